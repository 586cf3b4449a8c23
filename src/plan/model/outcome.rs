//! How a run ended: each transaction, and the whole.

use std::collections::BTreeMap;

use super::spent::SpentTime;
use crate::plan::{Action, PlanContent, PlannedTransaction};
use crate::protocol::error::HostError;
use crate::protocol::node::NodeError;
use crate::protocol::snapshots::EtcdSnapshot;
use crate::types::format::with_causes;
use crate::types::names::Address;
use crate::types::place::Place;
use crate::x509::CertificateRequest;

/// What happens during a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A node is begun.
    VisitBegins {
        /// Its visit.
        visit: &'a PlannedTransaction,
        /// How many there are.
        of: usize,
    },
    /// An action is begun.
    StepBegins {
        /// The action.
        action: &'a Action,
    },
    /// An action did not do all that it was for, and the run goes on.
    StepRemarks {
        /// The action.
        action: &'a Action,
        /// What it did not do, and why.
        words: &'a str,
    },
    /// An action is done.
    StepEnds {
        /// The action.
        action: &'a Action,
    },
    /// An action has failed; its node is put back next.
    StepFails {
        /// The action.
        action: &'a Action,
        /// Why.
        failure: &'a Failure,
    },
    /// A node has ended.
    VisitEnds {
        /// Its visit.
        visit: &'a PlannedTransaction,
        /// How.
        end: &'a VisitEnd,
    },
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Where.
    pub place: Place,
    /// The number of the action.
    pub step: Option<u32>,
    /// What kind of failure.
    pub kind: FailureKind,
    /// Why, in words for people, with every cause.
    pub because: String,
}

/// Kinds of failure that end a run differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// A step failed.
    Step,
    /// The node is no longer as it was when the plan was made.
    Stale,
    /// Somebody else works on the node.
    Locked,
    /// The user asked the run to stop.
    Interrupted,
    /// The connection to the node was lost.
    Disconnected,
}

/// Whether something is no longer what it was when the plan was made. Where a path led astray then, or a file was none to be replaced, the plan was blocked.
fn is_another_than_planned(error: &HostError) -> bool {
    matches!(
        error,
        HostError::Changed { .. }
            | HostError::ChangedSince { .. }
            | HostError::Unsafe { .. }
            | HostError::Foreign { .. }
    )
}

impl Failure {
    pub(crate) fn on(place: &Place, action: Option<&Action>, error: HostError) -> Self {
        let kind = if matches!(error, HostError::Locked { .. } | HostError::AlreadyOpen { .. }) {
            FailureKind::Locked
        } else if is_another_than_planned(&error) {
            FailureKind::Stale
        } else if matches!(error, HostError::Disconnected { .. }) {
            FailureKind::Disconnected
        } else {
            FailureKind::Step
        };
        Self::new(place, action, kind, with_causes(&error))
    }

    pub(crate) fn stale(place: &Place, action: &Action, path: &str) -> Self {
        let because = format!("{path} is no longer as it was when the plan was made");
        Self::new(place, Some(action), FailureKind::Stale, because)
    }

    /// What could be read when the plan was made and cannot be now. What it holds may have changed or not: the cause is what helps.
    pub(crate) fn unseen(place: &Place, action: &Action, path: &str, reason: &str) -> Self {
        let because = format!("{path} cannot be looked at again: {reason}");
        Self::new(place, Some(action), FailureKind::Stale, because)
    }

    pub(crate) fn unreachable(place: &Place, error: &NodeError) -> Self {
        Self::new(place, None, FailureKind::Step, with_causes(error))
    }

    pub(crate) fn unconnected(place: &Place) -> Self {
        let because = match place {
            Place::Node(_) => "the node has no connection",
            Place::Cluster => "nothing in the cluster can be worked on yet",
        };
        Self::new(place, None, FailureKind::Step, because.to_owned())
    }

    pub(crate) fn interrupted(place: &Place, action: &Action) -> Self {
        Self::new(place, Some(action), FailureKind::Interrupted, "the run was asked to stop".to_owned())
    }

    pub(crate) fn broke_off(place: &Place) -> Self {
        Self::new(place, None, FailureKind::Disconnected, "the visit broke off".to_owned())
    }

    fn new(place: &Place, action: Option<&Action>, kind: FailureKind, because: String) -> Self {
        Self { place: place.clone(), step: action.map(|action| action.number), kind, because }
    }
}

/// How a visit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisitEnd {
    /// It was not begun.
    NotStarted,
    /// It was not begun, because what it was for had been reached already.
    DoneBefore,
    /// Everything was done, checked and kept.
    Committed,
    /// Everything was done, checked and kept, and the record of it on the node could not be closed; the next run does.
    NotClosed(Failure),
    /// etcd's data was saved, and nothing was touched.
    Saved(EtcdSnapshot),
    /// Nothing was touched, because the node was not as the plan needs it.
    Refused(Failure),
    /// A step failed, and the node is as it was before, which was checked.
    Undone(Failure),
    /// The connection was lost while the node was worked on. The node puts itself back, or had just kept everything; the next run looks.
    Disconnected(Failure),
    /// It had been committed, and was taken back because a later visit failed.
    TakenBack,
    /// A step failed, and the node was left as it is, because the user wanted that.
    Left(Failure),
    /// A step failed, and the node could not be put back: a person is needed.
    UndoFailed {
        /// What failed first.
        cause: Failure,
        /// What failed while putting back.
        undo: Failure,
    },
}

impl VisitEnd {
    /// Whether everything of it was done by this run and kept.
    pub fn is_kept(&self) -> bool {
        match self {
            VisitEnd::Committed | VisitEnd::NotClosed(_) => true,
            VisitEnd::NotStarted
            | VisitEnd::DoneBefore
            | VisitEnd::Saved(_)
            | VisitEnd::Refused(_)
            | VisitEnd::Undone(_)
            | VisitEnd::Disconnected(_)
            | VisitEnd::TakenBack
            | VisitEnd::Left(_)
            | VisitEnd::UndoFailed { .. } => false,
        }
    }
}

/// How one visit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitReport {
    /// Where.
    pub place: Place,
    /// How its visit ended.
    pub end: VisitEnd,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Nothing was touched: a node was not as the plan needs it.
    Stale,
    /// Nothing was touched: somebody else works on a node.
    Locked,
    /// Nothing was touched, for another reason.
    Refused,
    /// Nothing was touched: the user asked to stop before.
    InterruptedUntouched,
    /// A step failed, and everything that was touched is as it was before.
    Undone,
    /// Some visits were kept; the cluster is consistent, and the next apply goes on.
    Partial,
    /// A node could not be put back: a person is needed.
    UndoFailed,
}

impl Outcome {
    /// How a run ends that was refused before it began.
    pub fn of_refusal(failure: &Failure) -> Self {
        match failure.kind {
            FailureKind::Stale => Outcome::Stale,
            FailureKind::Locked => Outcome::Locked,
            FailureKind::Interrupted => Outcome::InterruptedUntouched,
            FailureKind::Step | FailureKind::Disconnected => Outcome::Refused,
        }
    }
}

/// How a run ended, visit by visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The run, which is called as its plan.
    pub run: String,
    /// The whole.
    pub outcome: Outcome,
    /// Each visit, in order.
    pub visits: Vec<VisitReport>,
    /// What failed.
    pub failure: Option<Failure>,
    /// The requests for certificates that are signed elsewhere, as they wait on their nodes.
    pub requests: BTreeMap<Address, CertificateRequest>,
    /// What actions did not do, without which the run went on all the same, by their numbers.
    pub remarks: BTreeMap<u32, String>,
    /// What its time went into.
    pub spent: SpentTime,
}

impl Report {
    pub(crate) fn new(plan: &PlanContent) -> Self {
        let not_started = |visit: &PlannedTransaction| VisitReport {
            place: visit.place.clone(),
            end: VisitEnd::NotStarted,
        };
        Self {
            run: plan.id.clone(),
            outcome: Outcome::Done,
            visits: plan.visits.iter().map(not_started).collect(),
            failure: None,
            requests: BTreeMap::new(),
            remarks: BTreeMap::new(),
            spent: SpentTime::default(),
        }
    }

    /// Whether anything on a node was changed, even if it was put back.
    pub fn touched(&self) -> bool {
        self.visits.iter().any(|visit| match &visit.end {
            VisitEnd::NotStarted | VisitEnd::DoneBefore | VisitEnd::Saved(_) | VisitEnd::Refused(_) => false,
            VisitEnd::Committed
            | VisitEnd::NotClosed(_)
            | VisitEnd::Undone(_)
            | VisitEnd::TakenBack
            | VisitEnd::Left(_)
            | VisitEnd::Disconnected(_)
            | VisitEnd::UndoFailed { .. } => true,
        })
    }

    pub(crate) fn is_committed(&self, position: usize) -> bool {
        self.visits.get(position).is_some_and(|visit| visit.end == VisitEnd::Committed)
    }

    pub(crate) fn interrupted(&mut self) {
        self.outcome = if self.touched() { Outcome::Partial } else { Outcome::InterruptedUntouched };
    }

    pub(crate) fn ended(&mut self, position: usize, end: VisitEnd) {
        match &end {
            VisitEnd::NotStarted
            | VisitEnd::DoneBefore
            | VisitEnd::Saved(_)
            | VisitEnd::Committed
            | VisitEnd::TakenBack => {}
            VisitEnd::Refused(failure)
            | VisitEnd::NotClosed(failure)
            | VisitEnd::Undone(failure)
            | VisitEnd::Left(failure)
            | VisitEnd::Disconnected(failure) => {
                self.failure.get_or_insert_with(|| failure.clone());
            }
            VisitEnd::UndoFailed { cause, .. } => {
                self.failure.get_or_insert_with(|| cause.clone());
            }
        }
        if let Some(visit) = self.visits.get_mut(position) {
            visit.end = end;
        }
        self.outcome = self.judge();
    }

    fn was_interrupted(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Interrupted)
    }

    fn judge(&self) -> Outcome {
        let mut kept = false;
        let mut put_back = false;
        let mut refused = None;
        for visit in &self.visits {
            match &visit.end {
                VisitEnd::NotStarted | VisitEnd::DoneBefore | VisitEnd::Saved(_) => {}
                VisitEnd::Committed | VisitEnd::NotClosed(_) | VisitEnd::Left(_) => kept = true,
                // Nobody knows yet which of the two.
                VisitEnd::Disconnected(_) => (kept, put_back) = (true, true),
                VisitEnd::Undone(_) | VisitEnd::TakenBack => put_back = true,
                VisitEnd::Refused(failure) => refused = Some(failure),
                VisitEnd::UndoFailed { .. } => return Outcome::UndoFailed,
            }
        }
        match (kept, put_back, refused) {
            (true, true, _) | (true, false, Some(_)) => Outcome::Partial,
            (true, false, None) if self.failure.is_some() => Outcome::Partial,
            (true, false, None) => Outcome::Done,
            // Whoever stops a run has not seen it fail.
            (false, true, _) if self.was_interrupted() => Outcome::Partial,
            (false, true, _) => Outcome::Undone,
            (false, false, Some(failure)) => Outcome::of_refusal(failure),
            (false, false, None) => Outcome::Refused,
        }
    }
}
