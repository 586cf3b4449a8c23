//! Saved plans that were used: when they were applied, and whether somebody has gone back since.
//!
//! What enters is a saved plan and what the nodes keep of earlier runs; what leaves is told.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pki::diff::instant;
use pki::ids::NodeName;
use pki::node::SnapshotFacts;
use pki::observe::at_once;
use pki::observed::VisitState;
use pki::plan::{SavedPlan, Standing, Standings};
use pki::survey::Survey;

use super::nodes::Hosts;
use super::{Exit, output};

/// What the nodes keep that were seen. One that does not tell now keeps nobody from going on: its own store refuses to do the same visit twice.
fn kept(nodes: &Hosts, survey: &Survey) -> BTreeMap<NodeName, Vec<SnapshotFacts>> {
    let directory = &survey.desired.snapshots.directory;
    let told = at_once(nodes, |node| node.snapshots(directory));
    told.into_iter().filter_map(|(name, kept)| Some((name, kept.ok()?))).collect()
}

fn committed<'a>(
    saved: &'a SavedPlan,
    kept: &'a BTreeMap<NodeName, Vec<SnapshotFacts>>,
) -> impl Iterator<Item = (&'a NodeName, &'a SnapshotFacts)> {
    let all = kept.iter().flat_map(|(node, kept)| kept.iter().map(move |kept| (node, kept)));
    let visits = saved.visits().len();
    all.filter(move |(_, kept)| {
        let is_own = usize::try_from(kept.id.visit).is_ok_and(|visit| visit <= visits);
        kept.id.run == saved.id() && kept.state == VisitState::Committed && is_own
    })
}

/// Tells that a plan has been applied, and is still true.
pub(super) fn tell_done(saved: &SavedPlan, nodes: &Hosts, survey: &Survey) {
    let kept = kept(nodes, survey);
    let last: Option<Timestamp> = committed(saved, &kept).map(|(_, kept)| kept.begun_at).max();
    let how = match last {
        Some(time) => format!("is already applied, {}", instant(time)),
        None => "has nothing left to do: everything is as it says".to_owned(),
    };
    output::tell(&format!("Plan {} {how}. Nothing was touched.\n", saved.id()));
}

/// Counts as done what a plan has done and what is still exactly as it left it, and refuses a plan of which a part was applied that is not there any more.
///
/// # Errors
/// The exit code, after it was told who has gone back.
pub(super) fn settle(
    saved: &SavedPlan,
    standings: &mut Standings,
    nodes: &Hosts,
    survey: &Survey,
) -> Result<(), Exit> {
    if standings.visits.values().all(|standing| *standing == Standing::Done) {
        return Ok(());
    }
    let kept = kept(nodes, survey);
    for (node, own) in committed(saved, &kept) {
        let is_here = saved.visits().iter().any(|visit| visit.number == own.id.visit && visit.node == *node);
        if !is_here || standings.visits.get(&own.id.visit) == Some(&Standing::Done) {
            continue;
        }
        // What it was for may be due again, such as the next step of a replacement: that is another plan's.
        if !own.paths.is_empty() && own.paths.iter().all(|changed| changed.unchanged_since) {
            standings.visits.insert(own.id.visit, Standing::Done);
            continue;
        }
        let touches = |later: &&SnapshotFacts| {
            let mut paths = later.paths.iter().map(|changed| &changed.path);
            later.state == VisitState::Committed
                && later.id != own.id
                && later.begun_at >= own.begun_at
                && paths.any(|path| own.paths.iter().any(|changed| changed.path == *path))
        };
        let later = kept.get(node).into_iter().flatten().filter(touches).min_by_key(|later| later.begun_at);
        let by = match later {
            Some(later) if later.id.run == saved.id() => "the same run took that back".to_owned(),
            Some(later) => format!("it was rolled back by {}", later.id.run),
            None => "what it did there has been changed".to_owned(),
        };
        output::tell(&format!(
            "error: stale: plan {} was applied on {node} at {}, and {by} since; make a new plan\n  help: pki plan -f {} -o plan.json. Nothing was touched.\n",
            saved.id(),
            instant(own.begun_at),
            pki::diagnostic::escaped(&saved.spec().file)
        ));
        return Err(Exit::Stale);
    }
    Ok(())
}
