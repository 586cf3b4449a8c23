//! Tells of saved plans that were used: when they were applied, and whether somebody has gone back since.
//!
//! What enters is a saved plan and what the nodes keep of earlier runs; what leaves is told.

use pki::apply::used;
use pki::apply::used::KeptSnapshots;
use pki::desired::Survey;
use pki::diagnostic::escaped;
use pki::diff::Differences;
use pki::plan::{PlanProgress, SavedPlan};
use pki::types::format::instant;

use super::nodes::Hosts;
use super::{Exit, terminal};

/// What the nodes keep of earlier runs.
pub(super) fn kept(nodes: &Hosts, survey: &Survey) -> KeptSnapshots {
    used::kept(nodes, &survey.desired.snapshots.directory)
}

/// Tells that a plan has been applied, and is still true.
pub(super) fn tell_done(saved: &SavedPlan, kept: &KeptSnapshots) {
    let how = match used::last_applied(saved, kept) {
        Some(time) => format!("is already applied, {}", instant(time)),
        None if saved.only_undoes() => "has nothing left to undo: that is done".to_owned(),
        None => "has nothing left to do: everything is as it says".to_owned(),
    };
    terminal::tell(&format!("Plan {} {how}. Nothing was touched.\n", saved.id()));
    if saved.only_undoes() {
        let file = escaped(&saved.spec().file);
        terminal::tell(&format!(
            "  help: what else is due was not planned in it; look with `pki plan -f {file}`\n"
        ));
    }
}

/// Counts as done what the nodes' records say that a plan has done, and refuses a plan of which a part was applied that is not there any more.
///
/// # Errors
/// The exit code, after it was told who has gone back.
pub(super) fn settle(
    saved: &SavedPlan,
    standings: &mut PlanProgress,
    kept: &KeptSnapshots,
    survey: &Survey,
    differences: &Differences,
) -> Result<(), Exit> {
    used::settle(saved, standings, kept, survey, differences).map_err(|gone| {
        terminal::tell(&format!(
            "error: stale: plan {} was applied on {} at {}, and {} since; make a new plan\n  help: pki plan -f {} -o plan.json. Nothing was touched.\n",
            saved.id(),
            gone.node,
            instant(gone.applied_at),
            gone.since,
            escaped(&saved.spec().file)
        ));
        Exit::Stale
    })
}
