//! The phases of a plan in one table: what everybody trusts in each, what is shown, what is restarted, and whether there is a way back.
//!
//! What enters are finished transactions, and whether what comes is shown already; what leaves is one line for each phase. It is said before approval, and decides nothing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::phase::{Phase, Side};
use super::visit::PlannedTransaction;
use crate::types::names::ServiceName;

/// One phase of a replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PhaseLine {
    /// The phase.
    pub phase: Phase,
    /// Its visits.
    pub visits: usize,
    /// Which CAs everybody trusts once it is done.
    pub trusted: Side,
    /// Which CA issued what is shown once it is done.
    pub shown: Side,
    /// How many instances of each service it restarts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub restarts: BTreeMap<ServiceName, usize>,
    /// Whether it can be taken back once it is done.
    pub can_go_back: bool,
}

/// The phases in which a plan replaces CAs; of one that goes on with what was begun the first ones show both already.
pub(crate) fn table(visits: &[PlannedTransaction], is_begun: bool) -> Vec<PhaseLine> {
    let first = if is_begun { Side::Both } else { Side::Old };
    let phases = visits.chunk_by(|one, next| one.phase == next.phase);
    let lines = phases.filter_map(|visits| {
        let phase = visits.first()?.phase;
        // Where only somebody else's CA is dropped, no CA takes the place of another.
        if phase == Phase::DropOld && visits.iter().all(PlannedTransaction::drops_only_strays) {
            return None;
        }
        let sides = phase.sides()?;
        let (trusted, shown) = (sides.trusted, sides.shown.unwrap_or(first));
        let restarts = restarts(visits);
        let can_go_back = phase.has_way_back();
        Some(PhaseLine { phase, visits: visits.len(), trusted, shown, restarts, can_go_back })
    });
    lines.collect()
}

/// How many instances of each service visits restart.
pub fn restarts(visits: &[PlannedTransaction]) -> BTreeMap<ServiceName, usize> {
    let mut restarts: BTreeMap<ServiceName, usize> = BTreeMap::new();
    for service in visits.iter().flat_map(|visit| &visit.actions).filter_map(|action| action.restarts()) {
        *restarts.entry(service.clone()).or_default() += 1;
    }
    restarts
}
