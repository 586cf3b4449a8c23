//! A plan that was not simulated: its work is in order, and nobody has seen it or can carry it out.
//!
//! What enters is what the planner has put together; what leaves is a [`Draft`], of which only `simulate` makes a plan. Nobody outside of `plan` and `simulate` reads
//! what it says, it has no form in which it could be written, and nothing that a file says becomes one: `tests/it/contract/layers/mod.rs` holds who makes one and who reads it.
//! Pure.

use std::collections::BTreeMap;

use super::csr::Waiting;
use super::fact::{Expected, Precondition};
use super::phase::Phase;
use super::plan::PlanContent;
use super::until::NoSuchPhase;
use super::visit::Blocked;

/// What was planned and not simulated yet.
#[must_use]
#[derive(Debug, Clone, PartialEq)]
pub struct Draft(PlanContent);

impl Draft {
    /// Of everything that was planned, which gives it its name.
    pub(in crate::plan) fn new(content: PlanContent) -> Self {
        Self(content.named())
    }

    /// What it says, for planning and simulating.
    pub(crate) fn as_planned(&self) -> &PlanContent {
        &self.0
    }

    /// What it says, of which the simulation makes a plan.
    pub(crate) fn into_planned(self) -> PlanContent {
        self.0
    }

    /// Whether it may be applied, as far as that is known before its simulation.
    pub fn is_applicable(&self) -> bool {
        self.0.applicable
    }

    /// What cannot be done, and why.
    pub fn blocked(&self) -> &[Blocked] {
        &self.0.blocked
    }

    /// The requests that wait on their nodes for certificates.
    pub fn waiting(&self) -> &[Waiting] {
        &self.0.waiting
    }

    /// The same up to a phase and with it.
    ///
    /// # Errors
    /// It has no such phase.
    pub fn until(self, last: Phase) -> Result<Self, NoSuchPhase> {
        Ok(Self(self.0.until(last)?))
    }

    /// The same, where it may have nothing left of that phase.
    pub(in crate::plan) fn up_to(self, last: Phase) -> Self {
        Self(self.0.up_to(last))
    }

    /// With one more reason why it may not be applied.
    pub(crate) fn refused(self, blocked: Blocked) -> Self {
        let Self(mut content) = self;
        content.blocked.push(blocked);
        content.applicable = false;
        content.id.clear();
        Self::new(content)
    }

    /// The same work as a part of a longer plan: under the name of that, each visit with its number there and that of its first action.
    pub(in crate::plan) fn renumbered(self, id: &str, numbers: &[Numbers]) -> Self {
        let Self(mut content) = self;
        let mut renumbered: BTreeMap<u32, u32> = BTreeMap::new();
        for (visit, new) in content.visits.iter_mut().zip(numbers) {
            visit.number = new.visit;
            for (action, number) in visit.actions.iter_mut().zip(new.first_action..) {
                renumbered.insert(action.number, number);
                action.number = number;
            }
        }
        let number = |old: &mut u32| *old = renumbered.get(old).copied().unwrap_or(*old);
        for action in content.visits.iter_mut().flat_map(|visit| &mut visit.actions) {
            action.after.iter_mut().for_each(number);
            for precondition in &mut action.preconditions {
                if let Precondition::File { expected: Expected::AsLeftBy(left), .. } = precondition {
                    number(left);
                }
            }
        }
        id.clone_into(&mut content.id);
        Self(content)
    }

    /// Of a plan made by hand, to try what its simulation says.
    #[cfg(test)]
    pub(crate) fn by_hand(content: PlanContent) -> Self {
        Self(content)
    }
}

/// The numbers of a visit in a longer plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::plan) struct Numbers {
    /// Its number.
    pub(in crate::plan) visit: u32,
    /// The number of its first action.
    pub(in crate::plan) first_action: u32,
}

impl PlanContent {
    fn named(mut self) -> Self {
        self.id = self.digest();
        self
    }
}
