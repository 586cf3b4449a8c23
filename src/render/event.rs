//! What happens during a run, one JSON object a line, for programs that follow it.
//!
//! What enters is an event; what leaves is its line. Kinds are `version` (always the first), `visit_start`, `step_start`, `step_done`, `verify` (a check that held),
//! `undo`, `visit_done`, `request` (one that was handed out), `diagnostic` and `outcome` (always the last, which the program writes). Later minor formats add kinds and names: readers pass over what they
//! do not know.

use serde::Serialize;

use super::deed::deed;
use crate::apply::{Event, Failure, VisitEnd};
use crate::ids::Address;
use crate::plan::{Action, Deed, Plan};
use crate::saved::{FORMAT_VERSION, TOOL};

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Version { format_version: &'static str, tool: &'static str, plan: &'a str, cluster: &'a str },
    VisitStart { visit: u32, of: usize, node: &'a str },
    StepStart(Step<'a>),
    StepDone(Step<'a>),
    Verify(Step<'a>),
    Undo { visit: u32, node: &'a str, done: bool },
    VisitDone { visit: u32, node: &'a str, end: &'static str },
    Request { address: String, node: &'a str, file: &'a str },
    Diagnostic { severity: &'static str, node: &'a str, step: Option<u32>, message: &'a str },
}

/// A step of the plan.
#[derive(Serialize)]
struct Step<'a> {
    step: u32,
    address: String,
    verb: &'static str,
    node: &'a str,
    text: String,
}

impl<'a> Step<'a> {
    fn of(action: &'a Action) -> Self {
        Self {
            step: action.number,
            address: action.address.to_string(),
            verb: action.deed.verb(),
            node: action.address.node.as_str(),
            text: deed(action),
        }
    }
}

/// The first line of a run.
pub fn version(plan: &Plan) -> String {
    let (plan, cluster) = (plan.id.as_str(), plan.cluster.as_str());
    line(&Line::Version { format_version: FORMAT_VERSION, tool: TOOL, plan, cluster })
}

/// The line of a request that was written to a file of the machine that runs `pki`.
pub fn request(address: &Address, file: &str) -> String {
    line(&Line::Request { address: address.to_string(), node: address.node.as_str(), file })
}

/// The lines of an event.
pub fn event(event: &Event<'_>) -> String {
    match event {
        Event::VisitBegins { visit, of } => {
            line(&Line::VisitStart { visit: visit.number, of: *of, node: visit.node.as_str() })
        }
        Event::StepBegins { action } => line(&Line::StepStart(Step::of(action))),
        Event::StepEnds { action }
            if matches!(action.deed, Deed::Verify { .. } | Deed::AwaitHealthy { .. }) =>
        {
            line(&Line::Verify(Step::of(action)))
        }
        Event::StepEnds { action } => line(&Line::StepDone(Step::of(action))),
        Event::StepFails { failure, .. } => diagnostic(failure),
        Event::VisitEnds { visit, end } => {
            let (number, node) = (visit.number, visit.node.as_str());
            let undo = |done| line(&Line::Undo { visit: number, node, done });
            let before = match end {
                VisitEnd::NotStarted | VisitEnd::DoneBefore | VisitEnd::Committed | VisitEnd::Left(_) => {
                    String::new()
                }
                VisitEnd::Refused(failure) | VisitEnd::Disconnected(failure) => diagnostic(failure),
                VisitEnd::Undone(_) | VisitEnd::TakenBack => undo(true),
                VisitEnd::UndoFailed { undo: failure, .. } => undo(false) + &diagnostic(failure),
            };
            before + &line(&Line::VisitDone { visit: number, node, end: word(end) })
        }
    }
}

fn diagnostic(failure: &Failure) -> String {
    let (node, message) = (failure.node.as_str(), failure.because.as_str());
    line(&Line::Diagnostic { severity: "error", node, step: failure.number, message })
}

fn word(end: &VisitEnd) -> &'static str {
    match end {
        VisitEnd::NotStarted => "not_started",
        VisitEnd::DoneBefore => "done_before",
        VisitEnd::Committed => "committed",
        VisitEnd::Refused(_) => "refused",
        VisitEnd::Undone(_) => "undone",
        VisitEnd::Disconnected(_) => "disconnected",
        VisitEnd::TakenBack => "taken_back",
        VisitEnd::Left(_) => "left",
        VisitEnd::UndoFailed { .. } => "undo_failed",
    }
}

fn line(value: &Line<'_>) -> String {
    // Plain words and numbers always serialise; JSON escapes whatever could break a line.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}
