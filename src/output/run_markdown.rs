//! How a run ended, as Markdown for a pipeline's summary or a comment on the change that it applied.
//!
//! What enters is the plan, the report of its run and how many bytes the result may have; what leaves is text that stays within them: the plan that was carried out
//! goes first, then the rows of nodes in the middle, and last the middle of why it ended so and what comes next. How it ended, in the first lines, is always there.

use std::fmt::Write as _;

use super::markdown::folded_plan;
use super::markdown_parts::{cell, code, cut_rows, fenced_within};
use super::report::{end, verdict, what_follows};
use super::time;
use super::wrap::wrapped;
use crate::plan::PlanContent;
use crate::plan::model::outcome::Report;

/// The hidden marker by which a comment about a run is found again.
fn marker(cluster: &str) -> String {
    format!("<!-- pki apply {cluster} -->")
}

/// The report as Markdown of at most `max_bytes`.
pub fn report_markdown(plan: &PlanContent, report: &Report, max_bytes: usize) -> String {
    let mut head = format!(
        "{}\n### pki apply {}{}\n\n",
        marker(plan.cluster.as_str()),
        report.run,
        verdict(report.outcome)
    );
    // Writing to a String cannot fail.
    let _ = writeln!(head, "Cluster {}, {}\n", code(plan.cluster.as_str()), code(&plan.spec.file));
    let follows = what_follows(plan, report).into_iter().map(|line| format!("{line}\n"));
    let follows: String = follows.chain([time::spent(plan, &report.spent)]).collect();
    if !follows.is_empty() {
        let room = max_bytes.saturating_sub(head.len());
        head.push_str(&fenced_within("text", &wrapped(&follows), room));
    }
    let phases = plan.phase_names();
    let visits = plan.visits.iter().zip(&report.visits);
    let rows = visits.map(|(visit, ended)| {
        format!(
            "| {} | {} | {} | {} |\n",
            visit.number,
            cell(ended.place.as_str()),
            phases.get(&visit.number).cloned().unwrap_or_else(|| visit.phase.to_string()),
            cell(&end(plan, &ended.end))
        )
    });
    let rows: Vec<String> = rows.collect();
    let room = max_bytes.saturating_sub(head.len());
    let table = cut_rows(TABLE_HEAD, &rows, room);
    let text = folded_plan(plan, room.saturating_sub(table.len()));
    [head, table, text].concat()
}

const TABLE_HEAD: &str = "| Visit | Node | Phase | End |\n|---|---|---|---|\n";
