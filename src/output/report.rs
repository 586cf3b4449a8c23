//! How a run ended, as text: a line for each node, and what to do next.

use std::fmt::Write as _;

use super::deed;
use super::time;
use super::wrap::wrapped;
use crate::diagnostic::escaped;
use crate::plan::PlanContent;
use crate::plan::model::outcome::{Failure, Outcome, Report, VisitEnd};
use crate::protocol::snapshots::EtcdSnapshot;

/// The report as text.
pub fn report(plan: &PlanContent, report: &Report) -> String {
    let mut text = format!("\napply {}{}\n", report.run, verdict(report.outcome));
    let width = report.visits.iter().map(|visit| visit.place.as_str().len()).max().unwrap_or(0);
    let phases = plan.phase_names();
    for (planned, visit) in plan.visits.iter().zip(&report.visits) {
        // A node is visited once in each phase.
        let phase = phases.get(&planned.number).map(|phase| format!("{phase}: ")).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<width$}  {phase}{}", visit.place, end(plan, &visit.end));
    }
    text.push_str(&time::spent(plan, &report.spent));
    for line in what_follows(plan, report) {
        let _ = writeln!(text, "{line}");
    }
    wrapped(&text)
}

/// How the whole ended, to be read after the name of the run.
pub(super) fn verdict(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => " done.",
        Outcome::Undone => " failed; everything was put back and checked.",
        Outcome::Partial => " stopped. What is done is kept, and the cluster is consistent.",
        Outcome::UndoFailed => " failed, and a node could not be put back. A person is needed.",
        Outcome::Stale => ": the plan is stale. Nothing was touched.",
        Outcome::Locked => ": somebody else is at work. Nothing was touched.",
        Outcome::Refused => ": nothing was touched.",
        Outcome::InterruptedUntouched => " was stopped before it began.",
    }
}

/// Why it ended so, and what comes next, a line each.
pub(super) fn what_follows(plan: &PlanContent, report: &Report) -> Vec<String> {
    let remark = |(number, words): (&u32, &String)| {
        let place =
            plan.actions().find(|action| action.number == *number).map(|action| &action.address.place);
        let on = place.map(|place| format!(" on {place}")).unwrap_or_default();
        format!("Note: step {number}{on}: {}; the run went on", escaped(words))
    };
    let mut lines: Vec<String> = report.remarks.iter().map(remark).collect();
    if report.outcome == Outcome::Done {
        for manual in &plan.restart_yourself {
            let nodes: Vec<&str> = manual.nodes.iter().map(|node| node.as_str()).collect();
            let how = escaped(&manual.how);
            lines.push(format!("Restart {} on {}: {how}", manual.service, nodes.join(", ")));
        }
        for phase in &plan.later {
            lines.push(format!("Left for a later run: phase {phase}, to {}.", phase.words()));
        }
    } else if let Some(failure) = &report.failure {
        lines.push(format!("Because: {}", because(plan, failure)));
    }
    let (run, total) = (&report.run, plan.visits.len());
    let done = report.visits.iter().filter(|visit| is_done(&visit.end)).count();
    // What was done before is no part of this run, and data that was saved is nothing to take back.
    let takes_back = report.visits.iter().any(|visit| visit.end.is_kept());
    let next = match report.outcome {
        Outcome::Partial if takes_back => format!(
            "mend the cause, then `pki apply` goes on ({done} of {total} done); or `pki rollback {run}` takes back what was done."
        ),
        Outcome::Partial => "run `pki apply` again; it goes on.".to_owned(),
        Outcome::Undone | Outcome::Stale | Outcome::Locked | Outcome::Refused => {
            "mend the cause, then run `pki apply` again.".to_owned()
        }
        Outcome::UndoFailed => {
            "do what is said above on that node, then run `pki apply`: it undoes what is open first."
                .to_owned()
        }
        Outcome::Done | Outcome::InterruptedUntouched => return lines,
    };
    lines.push(format!("Next: {next}"));
    lines
}

/// Whether nothing of a visit is left for the next run.
fn is_done(end: &VisitEnd) -> bool {
    end.is_kept() || matches!(end, VisitEnd::DoneBefore | VisitEnd::Saved(_))
}

/// How a visit ended.
pub(super) fn end(plan: &PlanContent, end: &VisitEnd) -> String {
    match end {
        VisitEnd::NotStarted => "not started".to_owned(),
        VisitEnd::DoneBefore => "done before".to_owned(),
        VisitEnd::Committed => "done, checked, kept".to_owned(),
        VisitEnd::NotClosed(failure) => {
            format!("done, checked, kept; NOT CLOSED: {}", because(plan, failure))
        }
        VisitEnd::Saved(snapshot) => saved(snapshot),
        VisitEnd::Refused(failure) => format!("not touched: {}", because(plan, failure)),
        VisitEnd::Undone(failure) => format!("UNDONE, as before: {}", because(plan, failure)),
        VisitEnd::TakenBack => "taken back, because a later node failed".to_owned(),
        VisitEnd::Left(failure) => format!("LEFT as it is: {}", because(plan, failure)),
        VisitEnd::Disconnected(failure) => format!(
            "CONNECTION LOST: the node puts itself back, and the next run looks: {}",
            because(plan, failure)
        ),
        VisitEnd::UndoFailed { cause, undo } => {
            format!("NOT PUT BACK: {}\n      first failure: {}", because(plan, undo), because(plan, cause))
        }
    }
}

/// Where etcd's data is, so that a person finds it when it is needed.
fn saved(EtcdSnapshot { path, revision, bytes, sha256, .. }: &EtcdSnapshot) -> String {
    format!(
        "etcd's data saved: revision {revision}, {bytes} bytes; no rollback restores it\n      {}\n      sha256 {sha256}",
        escaped(path)
    )
}

/// Why something was not done, with the step in words.
fn because(plan: &PlanContent, failure: &Failure) -> String {
    let because = escaped(&failure.because);
    match plan.actions().find(|action| Some(action.number) == failure.step) {
        Some(action) => format!("step {} ({}): {because}", action.number, deed(action)),
        None => because,
    }
}
