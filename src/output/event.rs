//! What happens during a run, one JSON object a line, for programs that follow it.
//!
//! What enters is an event; what leaves is its line. Kinds are `version` (always the first), `visit_start`, `step_start`, `step_done`, `remark` (what a step
//! did not do, and the run goes on without), `verify` (a check that held), `undo`, `etcd_snapshot`, `visit_done`, `request` (one that was handed out), `diagnostic` and
//! `outcome` (always the last). Later minor formats add kinds and names: readers pass over what they do not know.

use schemars::JsonSchema;
use serde::Serialize;

use super::deed::deed;
use crate::diagnostic::log_commands::in_json;
use crate::plan::model::outcome::{Event, Failure, VisitEnd};
use crate::plan::{Action, Deed, PlanContent};
use crate::protocol::file::{FORMAT_VERSION, TOOL};
use crate::protocol::snapshots::EtcdSnapshot;
use crate::types::names::Address;
use crate::x509::Sha256;

/// One line.
#[derive(Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schemars(title = "Event")]
pub(crate) enum Line<'a> {
    /// The first line: what tells, and what it is about.
    Version {
        /// The version of the form.
        format_version: &'static str,
        /// The program, with its version.
        tool: &'static str,
        /// The plan, which is also the run.
        plan: &'a str,
        /// The cluster.
        cluster: &'a str,
    },
    /// The work on a node begins.
    VisitStart {
        /// The number of the visit.
        visit: u32,
        /// How many visits the plan has.
        of: usize,
        /// The node.
        node: &'a str,
    },
    /// A step begins.
    StepStart(Step<'a>),
    /// A step is done.
    StepDone(Step<'a>),
    /// A step did not do all that it was for, and the run goes on.
    Remark {
        /// The node.
        node: &'a str,
        /// The number of the step.
        step: u32,
        /// What it did not do, and why, in words.
        message: &'a str,
    },
    /// A check has held.
    Verify(Step<'a>),
    /// A node was put back as it was before the visit, or could not be.
    Undo {
        /// The number of the visit.
        visit: u32,
        /// The node.
        node: &'a str,
        /// Whether it is as it was before.
        done: bool,
    },
    /// The work on a node has ended.
    VisitDone {
        /// The number of the visit.
        visit: u32,
        /// The node.
        node: &'a str,
        /// How.
        end: End,
    },
    /// A request for a certificate that is signed elsewhere was written.
    Request {
        /// The certificate.
        address: String,
        /// The node on which its key waits.
        node: &'a str,
        /// The file, on the machine that runs `pki`.
        file: &'a str,
    },
    /// etcd's data was saved.
    EtcdSnapshot {
        /// The node that keeps it.
        node: &'a str,
        /// The file.
        path: &'a str,
        /// Its length in bytes.
        bytes: u64,
        /// The revision that the member had reached when it was begun.
        revision: u64,
        /// The SHA-256 of the database.
        sha256: Sha256,
    },
    /// Something went wrong.
    Diagnostic {
        /// How grave it is: `error`.
        severity: &'static str,
        /// The node.
        node: &'a str,
        /// The number of the step, if it was one.
        step: Option<u32>,
        /// What, in words.
        message: &'a str,
    },
    /// The last line: how the run ended.
    Outcome {
        /// In a word, such as `done` or `partial`.
        outcome: &'a str,
        /// The exit code.
        exit: u8,
        /// Whether anything on a node was changed, even if it was put back.
        touched: bool,
    },
}

/// A step of the plan.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Step<'a> {
    /// Its number.
    step: u32,
    /// What it is about.
    address: String,
    /// What is done, in a word.
    verb: &'static str,
    /// The node.
    node: &'a str,
    /// What is done, in words.
    text: String,
}

/// How the work on a node has ended.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum End {
    /// It was not begun.
    NotStarted,
    /// What it was for had been reached already.
    DoneBefore,
    /// Everything was done, checked and kept.
    Committed,
    /// Everything was done, checked and kept; the record of it could not be closed, and the next run does that.
    NotClosed,
    /// etcd's data was saved, and nothing was touched.
    Saved,
    /// The node was not as the plan needs it, and nothing was touched.
    Refused,
    /// A step failed, and the node is as it was before.
    Undone,
    /// The connection was lost; the node puts itself back.
    Disconnected,
    /// It had been kept, and was taken back because a later visit failed.
    TakenBack,
    /// A step failed, and the node was left as it is.
    Left,
    /// A step failed, and the node could not be put back.
    UndoFailed,
}

impl<'a> Step<'a> {
    fn of(action: &'a Action) -> Self {
        Self {
            step: action.number,
            address: action.address.to_string(),
            verb: action.verb(),
            node: action.address.place.as_str(),
            text: deed(action),
        }
    }
}

/// The first line of a run.
pub fn version(plan: &PlanContent) -> String {
    let (plan, cluster) = (plan.id.as_str(), plan.cluster.as_str());
    line(&Line::Version { format_version: FORMAT_VERSION, tool: TOOL, plan, cluster })
}

/// The line of a request that was written to a file of the machine that runs `pki`.
pub fn request(address: &Address, file: &str) -> String {
    line(&Line::Request { address: address.to_string(), node: address.place.as_str(), file })
}

/// The last line of a run, with the word for how it ended and the exit code.
pub fn outcome(outcome: &str, exit: u8, touched: bool) -> String {
    line(&Line::Outcome { outcome, exit, touched })
}

/// The lines of an event.
pub fn event(event: &Event<'_>) -> String {
    match event {
        Event::VisitBegins { visit, of } => {
            line(&Line::VisitStart { visit: visit.number, of: *of, node: visit.place.as_str() })
        }
        Event::StepBegins { action } => line(&Line::StepStart(Step::of(action))),
        Event::StepRemarks { action, words } => {
            let (node, step) = (action.address.place.as_str(), action.number);
            line(&Line::Remark { node, step, message: words })
        }
        Event::StepEnds { action }
            if matches!(action.deed, Deed::Verify { .. } | Deed::AwaitHealthy { .. }) =>
        {
            line(&Line::Verify(Step::of(action)))
        }
        Event::StepEnds { action } => line(&Line::StepDone(Step::of(action))),
        Event::StepFails { failure, .. } => diagnostic(failure),
        Event::VisitEnds { visit, end } => {
            let (number, node) = (visit.number, visit.place.as_str());
            let undo = |done| line(&Line::Undo { visit: number, node, done });
            let before = match end {
                VisitEnd::NotStarted | VisitEnd::DoneBefore | VisitEnd::Committed | VisitEnd::Left(_) => {
                    String::new()
                }
                VisitEnd::Saved(EtcdSnapshot { path, bytes, revision, sha256, .. }) => {
                    let (bytes, revision, sha256) = (*bytes, *revision, *sha256);
                    line(&Line::EtcdSnapshot { node, path, bytes, revision, sha256 })
                }
                VisitEnd::Refused(failure)
                | VisitEnd::NotClosed(failure)
                | VisitEnd::Disconnected(failure) => diagnostic(failure),
                VisitEnd::Undone(_) | VisitEnd::TakenBack => undo(true),
                VisitEnd::UndoFailed { undo: failure, .. } => undo(false) + &diagnostic(failure),
            };
            before + &line(&Line::VisitDone { visit: number, node, end: ended(end) })
        }
    }
}

fn diagnostic(failure: &Failure) -> String {
    let (node, message) = (failure.place.as_str(), failure.because.as_str());
    line(&Line::Diagnostic { severity: "error", node, step: failure.step, message })
}

fn ended(end: &VisitEnd) -> End {
    match end {
        VisitEnd::NotStarted => End::NotStarted,
        VisitEnd::DoneBefore => End::DoneBefore,
        VisitEnd::Committed => End::Committed,
        VisitEnd::NotClosed(_) => End::NotClosed,
        VisitEnd::Saved(_) => End::Saved,
        VisitEnd::Refused(_) => End::Refused,
        VisitEnd::Undone(_) => End::Undone,
        VisitEnd::Disconnected(_) => End::Disconnected,
        VisitEnd::TakenBack => End::TakenBack,
        VisitEnd::Left(_) => End::Left,
        VisitEnd::UndoFailed { .. } => End::UndoFailed,
    }
}

fn line(value: &Line<'_>) -> String {
    // Plain words and numbers always serialise; JSON escapes whatever could break a line.
    let mut text = in_json(&serde_json::to_string(value).unwrap_or_default()).into_owned();
    text.push('\n');
    text
}
