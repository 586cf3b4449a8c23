//! What the nodes' own records say of a saved plan that was used before: which of its transactions still stand as they were left, and who has gone back since.
//!
//! What enters is a saved plan, how its transactions stand by what can be seen, and what the nodes keep of earlier runs; what leaves is how they stand by those records too.
//! It reads records and decides; nothing is written.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Hosts;
use crate::desired::Survey;
use crate::diff::Differences;
use crate::observe::ask::at_once;
use crate::plan::{PlanProgress, PlannedTransaction, SavedPlan, TransactionProgress};
use crate::protocol::facts::VisitState;
use crate::protocol::snapshots::SnapshotFacts;
use crate::types::names::NodeName;

/// What each node keeps of earlier runs.
pub type KeptSnapshots = BTreeMap<NodeName, Vec<SnapshotFacts>>;

/// A part of a plan that was applied and is not there any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneBack {
    /// The node.
    pub node: NodeName,
    /// When the plan was applied there.
    pub applied_at: Timestamp,
    /// What has happened since, such as `it was rolled back by 09a2-91d9`.
    pub since: String,
}

/// What the nodes keep in a directory for snapshots. One that does not tell keeps nobody from going on: its own store refuses to do the same visit twice.
pub fn kept(nodes: &Hosts, directory: &str) -> KeptSnapshots {
    let told = at_once(nodes, |node| node.snapshots(directory));
    told.into_iter().filter_map(|(name, kept)| Some((name, kept.ok()?))).collect()
}

/// When a plan was applied last, by the records of the nodes.
pub fn last_applied(saved: &SavedPlan, kept: &KeptSnapshots) -> Option<Timestamp> {
    committed(saved, kept).map(|(_, kept)| kept.begun_at).max()
}

fn committed<'a>(
    saved: &'a SavedPlan,
    kept: &'a KeptSnapshots,
) -> impl Iterator<Item = (&'a NodeName, &'a SnapshotFacts)> {
    let all = kept.iter().flat_map(|(node, kept)| kept.iter().map(move |kept| (node, kept)));
    let visits = saved.visits().len();
    all.filter(move |(_, kept)| {
        let is_own = usize::try_from(kept.id.visit).is_ok_and(|visit| visit <= visits);
        kept.id.run == saved.id() && kept.state == VisitState::Committed && is_own
    })
}

/// Counts as done what a plan has done and what is still exactly as it left it.
///
/// # Errors
/// A part of the plan was applied and is not there any more.
pub fn settle(
    saved: &SavedPlan,
    standings: &mut PlanProgress,
    kept: &KeptSnapshots,
    survey: &Survey,
    differences: &Differences,
) -> Result<(), GoneBack> {
    for (node, own) in committed(saved, kept) {
        let is_own = |visit: &&PlannedTransaction| visit.number == own.id.visit && visit.place.is(node);
        let Some(visit) = saved.visits().iter().find(is_own) else { continue };
        // What it was for may be due again, such as the next step of a replacement: that is another plan's.
        if own.paths.iter().all(|changed| changed.unchanged_since) {
            standings.recorded.insert(visit.number);
            standings.count_as_done(visit, survey, differences);
            continue;
        }
        if standings.visits.get(&visit.number) == Some(&TransactionProgress::Done) {
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
        let since = match later {
            Some(later) if later.id.run == saved.id() => "the same run took that back".to_owned(),
            Some(later) => format!("it was rolled back by {}", later.id.run),
            None => "what it did there has been changed".to_owned(),
        };
        return Err(GoneBack { node: node.clone(), applied_at: own.begun_at, since });
    }
    Ok(())
}
