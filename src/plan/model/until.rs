//! A plan that ends with one of its phases: the rest is left for a later run, which finds it due.
//!
//! What enters is a finished plan and a phase; what leaves is the plan without what comes after it, or why that cannot be. The order stays as it is: a phase stands on
//! those before it only, so what is left is a plan too. Pure.

use std::collections::BTreeSet;

use super::phase::Phase;
use super::plan::PlanContent;
use super::visit::PlannedTransaction;
use crate::types::names::{Address, NodeName, ServiceName};

/// A plan does not have the phase that was named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this plan has no phase {phase}; {}", what_it_has(has))]
pub struct NoSuchPhase {
    /// The phase that was named.
    pub phase: Phase,
    /// The phases that it has, in order.
    pub has: Vec<Phase>,
}

fn what_it_has(phases: &[Phase]) -> String {
    let described: Vec<String> =
        phases.iter().map(|phase| format!("{phase} (to {})", phase.words())).collect();
    match described.as_slice() {
        [only] => format!("its only phase is {only}"),
        _ => format!("its phases are {}", described.join(", ")),
    }
}

impl PlanContent {
    /// The plan up to a phase and with it. Its name stays: what is left of a saved plan is another run of the same.
    ///
    /// What an interrupted run left open is undone whatever phase is named, because only then can be seen which phases there are; and where there is nothing to do
    /// there is nothing to leave.
    ///
    /// # Errors
    /// It has no such phase.
    pub(crate) fn until(self, last: Phase) -> Result<Self, NoSuchPhase> {
        if self.only_undoes() {
            return Ok(self);
        }
        let has: Vec<Phase> = self.phases().map(|(phase, _)| phase).collect();
        if !has.contains(&last) {
            return Err(NoSuchPhase { phase: last, has });
        }
        Ok(self.up_to(last))
    }

    /// The same, where it may have nothing left of that phase.
    pub(crate) fn up_to(mut self, last: Phase) -> Self {
        let has: Vec<Phase> = self.phases().map(|(phase, _)| phase).collect();
        self.later = has.into_iter().filter(|phase| *phase > last).collect();
        let (kept, left): (Vec<PlannedTransaction>, Vec<PlannedTransaction>) =
            self.visits.into_iter().partition(|visit| visit.phase <= last);
        self.summary = self.summary.without(&kept, &left);
        self.visits = kept;
        let numbers: BTreeSet<u32> = self.actions().map(|action| action.number).collect();
        self.privileges.retain(|privileged| numbers.contains(&privileged.action));
        let services: BTreeSet<ServiceName> =
            self.actions().filter_map(|action| action.restarts().cloned()).collect();
        self.runs_as_root.retain(|command| services.contains(&command.service));
        self.phases.retain(|line| line.phase <= last);
        let written: BTreeSet<&Address> =
            self.visits.iter().flat_map(|visit| &visit.actions).map(|action| &action.address).collect();
        let is_written = |names: &[String], node: &NodeName| {
            written
                .iter()
                .any(|address| address.place.is(node) && names.contains(&address.target.to_string()))
        };
        // What is not written yet needs no restart yet.
        for manual in &mut self.restart_yourself {
            manual.nodes.retain(|node| is_written(&manual.reads, node));
        }
        self.restart_yourself.retain(|manual| !manual.nodes.is_empty());
        self
    }
}
