//! The plan: every action in the order in which it will be done, and why.
//!
//! What enters is what should be, what is, the differences, the instant `now` and what the user asked for; what leaves is a [`Draft`] that
//! leaves no choice open: names, dates, files, signers and order are in it. Only `simulate` makes a plan of it. Keys and serial numbers are the only things drawn later, so
//! a plan holds no secret and never can. Pure: the same input gives the same bytes.

pub(crate) mod draft;
pub mod known;
pub mod model;
mod order;
pub mod restart;
pub mod resume;
pub mod rotation;
#[cfg(test)]
mod tests;

pub use known::input::Input;
pub use model::approval::Approval;
pub use model::bundle::{Bundle, Position};
pub use model::choices::{Again, Choices};
pub use model::csr::{CsrRequest, Install, Waiting};
pub use model::deed::{Action, Deed, Disruption, PutBack, RestartMethod, RootSource, Undo, Why};
pub use model::draft::Draft;
pub use model::fact::{Expected, Fact, Precondition, fact};
pub use model::identity_copy::{IdentityCopy, KeyCopy};
pub use model::issue::{BACKDATE, CaCertificates, Issue, KeySource};
pub use model::life::{Life, PLAN_LIFE};
pub use model::linked::LinkedPath;
pub use model::options::{Options, Selector, SelectorError, Withheld};
pub use model::phase::{Phase, PhaseError, Side};
pub use model::phase_table::{PhaseLine, restarts};
pub use model::plan::PlanContent;
pub use model::postponed::Postponed;
pub use model::privilege::{Privilege, Privileged, RootCommand};
pub use model::saved_plan::SavedPlan;
pub use model::standing::{Changed, Made, PlanProgress, TransactionProgress};
pub use model::summary::{Summary, Upcoming};
pub use model::until::NoSuchPhase;
pub use model::visit::{Blocked, ManualRestart, Noted, PlannedTransaction};
pub use order::graph::{Cycle, Graph};
pub use resume::again::{Dates, Difference, Passed, Rest};
pub use resume::progress::standing;
pub use resume::rollback::{Rollback, RollbackError, rollback, runs};
pub use resume::selection::{SelectsNothing, selects_nothing};
pub use rotation::reached::{PhaseReached, RotationReached, reached};

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A fault of the planner: actions that wait for each other.
    #[error(transparent)]
    Cycle(#[from] Cycle),
    /// The user named a phase that the plan does not have.
    #[error(transparent)]
    Phase(#[from] NoSuchPhase),
}

/// Makes the plan, which then has to be simulated.
///
/// # Errors
/// A fault of the planner; or the user named a phase that the plan does not have.
pub fn draft(input: &Input<'_>) -> Result<Draft, PlanError> {
    let differences = input.differences.accepting(&input.options.replace_foreign);
    let input = &Input { differences: &differences, spec: input.spec.clone(), ..*input };
    let work = draft::worklist(input);
    let visits = order::visits(order::stages(work.deeds), input)?;
    let is_begun = order::content::is_begun(&input.survey.desired, input.differences);
    let mut plan = order::content::content(input, visits, &work.blocked);
    plan.privileges = model::privilege::privileges(input.survey, differences.authorities(), &plan.visits);
    plan.runs_as_root = model::privilege::runs_as_root(&input.survey.desired, &plan.visits);
    plan.phases = model::phase_table::table(&plan.visits, is_begun);
    plan.applicable = work.blocked.is_empty() && !input.options.as_of;
    plan.blocked = work.blocked;
    plan.elsewhere = work.elsewhere;
    plan.waiting = work.waiting;
    plan.restart_yourself = work.restart_yourself;
    plan.notes = work.notes;
    plan.accepted_outages = work.accepted;
    plan.postponed = work.postponed;
    if let Some(last) = input.options.until_phase {
        plan = plan.until(last)?;
    }
    Ok(Draft::new(plan))
}
