//! The phases of a replacement as a table, and what waits.
//!
//! What enters is a finished plan; what leaves is text, empty where nothing is replaced. Nothing is decided here.

use std::fmt::Write as _;

use super::deed::counted;
use crate::diagnostic::escaped;
use crate::plan::{Phase, PhaseLine, PlanContent};

/// The table, in columns.
pub(super) fn table(plan: &PlanContent) -> String {
    if plan.phases.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; 5]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows(plan)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    let mut text = String::from("\n");
    for row in &rows {
        let mut line = String::from("  ");
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(line, "{cell:<width$}   ", width = width(column).unwrap_or_default());
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The same for Markdown.
pub(super) fn markdown(plan: &PlanContent) -> String {
    if plan.phases.is_empty() {
        return String::new();
    }
    let mut text = format!("| {} |\n|---|---|---|---|---|\n", HEAD.join(" | "));
    for row in rows(plan) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
    text
}

const HEAD: [&str; 5] = ["phase", "trusted by all", "shown", "restarts", "way back"];

fn rows(plan: &PlanContent) -> impl Iterator<Item = [String; 5]> {
    let mut number = 0;
    plan.phases.iter().map(move |line| {
        number += 1;
        let PhaseLine { phase, trusted, shown, can_go_back, .. } = line;
        let services = line.restarts.iter().map(|(service, count)| format!("{service} x{count}"));
        let restarts: Vec<String> = services.collect();
        [
            format!("{number} {} ({})", phase.title(), counted(line.visits, "visit", "visits")),
            trusted.words().to_owned(),
            shown.words().to_owned(),
            if restarts.is_empty() { "none".to_owned() } else { restarts.join(", ") },
            match (can_go_back, phase) {
                (true, _) => "pki rollback",
                (false, Phase::Purge) => "NONE: no snapshot holds its key from then on",
                (false, _) => "NONE: the old CA is refused from then on",
            }
            .to_owned(),
        ]
    })
}

/// The replacements that go on later by themselves.
pub(super) fn postponed(plan: &PlanContent) -> String {
    let mut text = String::new();
    for waiting in &plan.postponed {
        let _ = writeln!(text, "\n  Waiting: ca/{}\n    {}", waiting.authority, escaped(&waiting.because));
    }
    text
}
