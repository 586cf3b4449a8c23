//! Progress on standard error: one live line on a terminal, one line for each finished step elsewhere.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};

use pki::diagnostic::escaped;
use pki::output::deed;
use pki::plan::PlanContent;
use pki::plan::model::outcome::{Event, VisitEnd};

use super::{Global, terminal};

/// Tells what happens.
pub(super) struct Progress {
    /// To which phase a visit belongs, by its number.
    phases: BTreeMap<u32, String>,
    quiet: bool,
    live: bool,
}

impl Progress {
    pub(super) fn new(plan: &PlanContent, global: &Global) -> Self {
        let dumb = !terminal::stderr_style(global.color).is_live;
        Self { phases: plan.phase_names(), quiet: global.quiet, live: stderr().is_terminal() && !dumb }
    }

    pub(super) fn tell(&mut self, event: &Event<'_>) {
        if self.quiet {
            return;
        }
        match event {
            Event::VisitBegins { visit, of } => {
                let phase = self.phases.get(&visit.number).map(|phase| format!(", {phase}"));
                let phase = phase.unwrap_or_default();
                self.line(&format!("{} ({} of {of}{phase})", visit.place, visit.number));
            }
            Event::StepBegins { action } if self.live => {
                terminal::tell(&format!("\r\u{1b}[K  {:>4}  {} ...", action.number, deed(action)));
            }
            Event::StepBegins { .. } => {}
            Event::StepRemarks { action, words } => {
                self.line(&format!("  {:>4}  {}: {}", action.number, deed(action), escaped(words)));
            }
            Event::StepEnds { action } => self.line(&format!("  {:>4}  {}", action.number, deed(action))),
            Event::StepFails { action, failure } => {
                self.line(&format!(
                    "  {:>4}  {} FAILED: {}",
                    action.number,
                    deed(action),
                    escaped(&failure.because)
                ));
            }
            Event::VisitEnds { visit, end } => {
                let whose = match self.phases.get(&visit.number) {
                    Some(phase) => format!("{}, {phase}:", visit.place),
                    None => visit.place.to_string(),
                };
                self.line(&format!("  {whose} {}", word(end)));
            }
        }
    }

    fn line(&self, text: &str) {
        let clear = if self.live { "\r\u{1b}[K" } else { "" };
        terminal::tell(&format!("{clear}{text}\n"));
    }
}

fn word(end: &VisitEnd) -> &'static str {
    match end {
        VisitEnd::NotStarted => "not started",
        VisitEnd::DoneBefore => "done before",
        VisitEnd::Committed => "done",
        VisitEnd::NotClosed(_) => "done, NOT CLOSED",
        VisitEnd::Saved(_) => "data saved",
        VisitEnd::Refused(_) => "not touched",
        VisitEnd::Undone(_) => "UNDONE: as before, checked",
        VisitEnd::TakenBack => "taken back",
        VisitEnd::Left(_) => "LEFT as it is",
        VisitEnd::Disconnected(_) => "CONNECTION LOST: the node puts itself back",
        VisitEnd::UndoFailed { .. } => "could NOT be put back",
    }
}
