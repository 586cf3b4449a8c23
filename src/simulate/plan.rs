//! A plan that was simulated: the only kind that is carried out, and made here only.
//!
//! What enters is a draft; what leaves is the same work with what its simulation says, or what it would break. Of what a file says no [`Plan`] can be had: the
//! planner makes every draft, and the field of a plan is private to this file. Pure.

use std::ops::Deref;

use serde::Serialize;

use super::play::waves;
use super::{Before, cannot_be_done, once, played, too_few_already, undone};
use crate::desired::Survey;
use crate::plan::model::checked::{Checked, Counterexample, Interruption, UndoRisk};
use crate::plan::{Draft, Passed, PlanContent, PlannedTransaction};
use crate::trust::processes::Processes;
use crate::trust::restored::Snapshots;

/// What will be done, in order. Only [`check`] and [`check_rollback`] make one, and only one of this type is ever carried out.
#[must_use]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Plan(PlanContent);

impl Deref for Plan {
    type Target = PlanContent;

    fn deref(&self) -> &PlanContent {
        &self.0
    }
}

impl Plan {
    /// The same, of which no undo breaks what works: what every plan of the planner is like where no disk is broken already.
    #[cfg(test)]
    pub(crate) fn in_order(self) -> Self {
        assert_eq!(self.undo_risks().collect::<Vec<_>>(), Vec::<&UndoRisk>::new());
        self
    }

    /// The same, for a run that passes over what is done of a longer plan: of that it holds nothing but the places.
    pub fn passing_over(self, passed: &[Passed]) -> Self {
        let Self(mut content) = self;
        content.visits.extend(passed.iter().map(|passed| PlannedTransaction {
            number: passed.number,
            phase: passed.phase,
            with_previous: false,
            place: passed.place.clone(),
            actions: Vec::new(),
        }));
        content.visits.sort_by_key(|visit| visit.number);
        Self(content)
    }
}

/// The plan that a draft becomes, with what its simulation says. Where so much is down already that it would leave too little, that blocks it: no order could do
/// better. What only an undo breaks is declared: the plan is made, and asks for the approval that fits ([`PlanContent::approval`]).
///
/// # Errors
/// A step of it breaks something without saying so.
pub fn check(draft: Draft, survey: &Survey, processes: &Processes) -> Result<Plan, Counterexample> {
    let plan = draft.as_planned();
    if plan.visits.is_empty() {
        return Ok(Plan(draft.into_planned()));
    }
    let outage_accepted = processes.outage_accepted || !plan.accepted_outages.is_empty();
    let processes = Processes { outage_accepted, ..processes.clone() };
    let (checked, faults) = played(plan, &waves(plan), survey, &Before::known(&processes));
    let (risks, faults) = undone::apart(plan, faults);
    let Some(fault) = faults.into_iter().next() else {
        let checked = Some(declaring(checked, risks));
        return Ok(Plan(PlanContent { checked, ..draft.into_planned() }));
    };
    let blocked = cannot_be_done(&fault).or_else(|| too_few_already(plan, &checked, &fault));
    match blocked {
        Some(blocked) => Ok(Plan(draft.refused(blocked).into_planned())),
        None => Err(fault),
    }
}

/// The way back of a rollback, with what its simulation says in it. Whoever goes back to where something did not work asks for that, so whatever breaks is named.
pub fn check_rollback(draft: Draft, survey: &Survey, processes: &Processes, snapshots: &Snapshots) -> Plan {
    let plan = draft.as_planned();
    if plan.visits.is_empty() {
        return Plan(draft.into_planned());
    }
    let before = Before { snapshots, judges_end: false, ..Before::known(processes) };
    let (mut checked, faults) = played(plan, &waves(plan), survey, &before);
    let (mut risks, faults) = undone::apart(plan, faults);
    let faults = once(faults);
    // What it breaks is broken when it is undone, and is not said again.
    let broken: Vec<String> = faults.iter().map(Counterexample::what).collect();
    risks.retain(|risk| !broken.iter().any(|broken| broken == risk.what()));
    checked.interruptions.extend(faults.into_iter().map(Interruption::of));
    checked.interruptions.sort();
    Plan(PlanContent { checked: Some(declaring(checked, risks)), ..draft.into_planned() })
}

/// The same with these risks besides those that what lies on the disks brings.
fn declaring(mut checked: Checked, risks: Vec<UndoRisk>) -> Checked {
    checked.if_undone = undone::once(checked.if_undone.into_iter().chain(risks).collect());
    checked
}
