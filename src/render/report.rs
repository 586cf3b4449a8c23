//! How a run ended, as text: a line for each node, and what to do next.

use std::fmt::Write as _;

use crate::apply::{Failure, Outcome, Report, VisitEnd};
use crate::diagnostic::escaped;
use crate::plan::Plan;
use crate::visits::EtcdSnapshot;

/// The report as text.
pub fn report(plan: &Plan, report: &Report) -> String {
    let mut text = String::new();
    let total = plan.visits.len();
    let _ = match report.outcome {
        Outcome::Done => writeln!(text, "\napply {} done.", report.run),
        Outcome::Undone => {
            writeln!(text, "\napply {} failed; everything was put back and checked.", report.run)
        }
        Outcome::Partial => {
            writeln!(
                text,
                "\napply {} stopped. What is done is kept, and the cluster is consistent.",
                report.run
            )
        }
        Outcome::UndoFailed => writeln!(
            text,
            "\napply {} failed, and a node could not be put back. A person is needed.",
            report.run
        ),
        Outcome::Stale => writeln!(text, "\napply {}: the plan is stale. Nothing was touched.", report.run),
        Outcome::Locked => {
            writeln!(text, "\napply {}: somebody else is at work. Nothing was touched.", report.run)
        }
        Outcome::Refused => writeln!(text, "\napply {}: nothing was touched.", report.run),
        Outcome::InterruptedUntouched => {
            writeln!(text, "\napply {} was stopped before it began.", report.run)
        }
    };
    let width = report.visits.iter().map(|visit| visit.node.as_str().len()).max().unwrap_or(0);
    for visit in &report.visits {
        let _ = writeln!(text, "  {:<width$}  {}", visit.node, end(&visit.end));
    }
    if report.outcome == Outcome::Done {
        for manual in &plan.restart_yourself {
            let nodes: Vec<&str> = manual.nodes.iter().map(|node| node.as_str()).collect();
            let _ = writeln!(
                text,
                "Restart {} on {}: {}",
                manual.service,
                nodes.join(", "),
                escaped(&manual.how)
            );
        }
        for phase in &plan.later {
            let _ = writeln!(text, "Left for a later run: phase {phase}, to {}.", phase.words());
        }
    } else if let Some(failure) = &report.failure {
        let _ = writeln!(text, "Because: {}", because(failure));
    }
    let committed = report.visits.iter().filter(|visit| visit.end == VisitEnd::Committed).count();
    match report.outcome {
        Outcome::Partial if committed > 0 => {
            let _ = writeln!(
                text,
                "Next: mend the cause, then `pki apply` goes on ({committed} of {total} done); or `pki rollback {}` takes back what was done.",
                report.run
            );
        }
        Outcome::Partial => text.push_str("Next: run `pki apply` again; it goes on.\n"),
        Outcome::Undone | Outcome::Stale | Outcome::Locked | Outcome::Refused => {
            text.push_str("Next: mend the cause, then run `pki apply` again.\n");
        }
        Outcome::UndoFailed => {
            text.push_str("Next: do what is said above on that node, then run `pki apply`: it undoes what is open first.\n");
        }
        Outcome::Done | Outcome::InterruptedUntouched => {}
    }
    text
}

fn end(end: &VisitEnd) -> String {
    match end {
        VisitEnd::NotStarted => "not started".to_owned(),
        VisitEnd::DoneBefore => "done before".to_owned(),
        VisitEnd::Committed => "done, checked, kept".to_owned(),
        VisitEnd::Saved(snapshot) => saved(snapshot),
        VisitEnd::Refused(failure) => format!("not touched: {}", because(failure)),
        VisitEnd::Undone(failure) => format!("UNDONE, as before: {}", because(failure)),
        VisitEnd::TakenBack => "taken back, because a later node failed".to_owned(),
        VisitEnd::Left(failure) => format!("LEFT as it is: {}", because(failure)),
        VisitEnd::Disconnected(failure) => format!(
            "CONNECTION LOST: the node puts itself back, and the next run looks: {}",
            because(failure)
        ),
        VisitEnd::UndoFailed { cause, undo } => {
            format!("NOT PUT BACK: {}\n      first failure: {}", because(undo), because(cause))
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

fn because(failure: &Failure) -> String {
    match (&failure.number, &failure.step) {
        (Some(number), Some(step)) => format!("step {number} ({step}): {}", escaped(&failure.because)),
        _ => escaped(&failure.because),
    }
}
