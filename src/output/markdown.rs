//! A plan as Markdown, for a comment on a pull request or a job's summary.
//!
//! What enters is a finished plan and how many bytes the result may have; what leaves is text that stays within them: first the drawing of the order goes, then the
//! middle of the text, then the middle of the table, and last the middle of the errors. The first lines and the last one, some hundred bytes, are always there. A
//! comment is found again by the hidden marker in its first line.

use std::fmt::Write as _;

use super::deed::counted;
use super::markdown_parts::{CUT, cell, code, cut_rows, ends, fenced_within, fold, harmless, longest_run};
use super::phases;
use super::plan::{Group, counters, errors, groups, last_line, plan as text_of, upper_approval};
use super::privilege::caution;
use super::wrap::wrapped;
use crate::plan::{Action, Deed, Disruption, PlanContent, Undo};
use crate::types::format::instant;
use crate::x509::Sha256;

/// The plan as Markdown of at most `max_bytes`, with the digest of its saved form where it was saved.
pub fn markdown(plan: &PlanContent, digest: Option<&Sha256>, max_bytes: usize) -> String {
    let tail = tail(plan, digest);
    let head = head(plan, digest, max_bytes.saturating_sub(tail.len()));
    let room = max_bytes.saturating_sub(head.len() + tail.len());
    let phases = phases::markdown(plan);
    let rows: Vec<String> = groups(plan).iter().map(row).collect();
    let table = [phases.clone(), cut_rows(TABLE_HEAD, &rows, usize::MAX)].concat();
    let text = folded_plan(plan, usize::MAX);
    // Of one visit there is no order to draw.
    let drawing = match plan.visits.len() {
        0 | 1 => String::new(),
        _ => fold("The order", "mermaid", &drawing(plan)),
    };
    let body = if table.len() + text.len() + drawing.len() <= room {
        [table, text, drawing].concat()
    } else if table.len() + text.len() <= room {
        [table, text].concat()
    } else {
        let phases = if phases.len() <= room / 2 { phases } else { String::new() };
        let table = cut_rows(TABLE_HEAD, &rows, (room / 2).saturating_sub(phases.len()));
        let left = room.saturating_sub(phases.len() + table.len());
        [phases, table, folded_plan(plan, left)].concat()
    };
    [head, body, tail].concat()
}

/// The hidden marker by which a comment is found again.
pub fn marker(cluster: &str) -> String {
    format!("<!-- pki plan {cluster} -->")
}

/// What stands in place of a plan where none could be made, as Markdown of at most `max_bytes`. The cluster is none where the spec does not even say that.
pub fn no_plan_markdown(cluster: Option<&str>, title: &str, problems: &str, max_bytes: usize) -> String {
    let marker = cluster.map_or_else(|| "<!-- pki plan -->".to_owned(), marker);
    let head = format!("{marker}\n### pki plan: {title}, no plan\n\n");
    let tail = "\n**Plan: none.**\n";
    let room = max_bytes.saturating_sub(head.len() + tail.len() + 1);
    let lines = wrapped(problems);
    let block = fenced_within("text", lines.trim_start_matches('\n'), room);
    format!("{head}{block}{tail}")
}

/// The first line of Markdown: the comment is found again by it, and what is applied is tied to its digest. Nothing in the text below looks like it.
fn first_line(cluster: &str, digest: Option<&Sha256>) -> String {
    digest.map_or_else(|| marker(cluster), |digest| format!("<!-- pki plan {cluster} sha256:{digest} -->"))
}

/// What everything else makes room for at the beginning: what it is about, the verdict, and the errors, of which the middle is cut where they alone are too long.
fn head(plan: &PlanContent, digest: Option<&Sha256>, room: usize) -> String {
    let first = first_line(plan.cluster.as_str(), digest);
    let mut text = format!("{first}\n### pki plan: {}\n\n", verdict(plan));
    let commit = plan.spec.commit.as_ref().map(|commit| format!(" at {}", commit.get(..7).unwrap_or(commit)));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "Cluster {}, {}{}, {} of {} nodes seen\n",
        code(plan.cluster.as_str()),
        code(&plan.spec.file),
        commit.unwrap_or_default(),
        plan.summary.nodes_seen,
        plan.summary.nodes
    );
    text.push_str(&caution(plan, room.saturating_sub(text.len()) / 2));
    let mut kept = vec![upper_approval(plan), errors(plan)];
    kept.retain(|kept| !kept.is_empty());
    for (index, lines) in kept.iter().enumerate() {
        let share = room.saturating_sub(text.len()) / (kept.len() - index);
        let lines = wrapped(lines);
        let block = fenced_within("text", lines.trim_start_matches('\n'), share.saturating_sub(1));
        if !block.is_empty() {
            let _ = writeln!(text, "{block}");
        }
    }
    text
}

fn verdict(plan: &PlanContent) -> String {
    if !plan.blocked.is_empty() {
        return format!("blocked by {}", counted(plan.blocked.len(), "error", "errors"));
    }
    if plan.is_empty() {
        return "no changes".to_owned();
    }
    let counts = counters(plan);
    let counts: Vec<&str> = counts.split(", ").filter(|count| !count.ends_with(" 0")).collect();
    if counts.is_empty() { "nothing that this plan can do".to_owned() } else { counts.join(", ") }
}

/// Everything that may not be cut at the end.
fn tail(plan: &PlanContent, digest: Option<&Sha256>) -> String {
    let mut text = format!("\nPlan {}", code(&plan.id));
    if let Some(digest) = digest {
        let _ = write!(text, ", digest {}", code(&format!("sha256:{digest}")));
    }
    let _ = write!(text, ", valid until {}\n\n**{}**\n", instant(plan.expires), last(plan));
    text
}

fn last(plan: &PlanContent) -> String {
    if plan.is_empty() { "Plan: nothing to do.".to_owned() } else { last_line(plan).trim_end().to_owned() }
}

const TABLE_HEAD: &str = "| | What | Nodes | Change | Disruption | Undo |\n|---|---|---|---|---|---|\n";

/// A change that is the same on several nodes.
fn row(group: &Group<'_>) -> String {
    let (sign, what) = group.title.split_once(' ').unwrap_or(("", &group.title));
    let nodes: Vec<&str> = group.members.iter().map(|action| action.address.place.as_str()).collect();
    let first = group.members.first();
    let disruption = first.map_or_else(String::new, |action| disruption(action));
    let undo = first.map_or("", |action| undo(action));
    let (nodes, change) = (nodes.join(", "), group.change());
    format!(
        "| `{sign}` | {} | {} | {} | {} | {undo} |\n",
        cell(what),
        cell(&nodes),
        cell(&change),
        cell(&disruption)
    )
}

fn disruption(action: &Action) -> String {
    match &action.disruption {
        Disruption::None => "none".to_owned(),
        Disruption::Reload { when, .. } => when.clone(),
        Disruption::Restart { services } if action.restarts().is_some() => {
            format!("restart of {}", names(services))
        }
        Disruption::Restart { services } => format!("when {} is restarted", names(services)),
    }
}

fn names(services: &std::collections::BTreeSet<crate::types::names::ServiceName>) -> String {
    services.iter().map(|service| service.as_str()).collect::<Vec<_>>().join(", ")
}

fn undo(action: &Action) -> &'static str {
    match action.undo {
        Undo::Restore => "from the snapshot",
        Undo::Inverse => "restarted again",
        Undo::None if matches!(action.deed, Deed::PurgeSnapshots { .. }) => "NONE",
        Undo::None => "none needed",
    }
}

/// The text with its signs at the beginning of lines, where a diff has its own.
fn as_diff(text: &str) -> String {
    let line = |line: &str| match line.as_bytes() {
        [b' ', b' ', b'+', b' ', ..] => format!("+ {}\n", line.get(4..).unwrap_or_default()),
        [b' ', b' ', b'~' | b'!', b' ', ..] => format!("! {}\n", line.get(4..).unwrap_or_default()),
        // What begins like a change in a diff is none here.
        [b'+' | b'-' | b'!' | b'@', ..] => format!(" {line}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// The visits, one after the other. Node names are plain words, and nothing else stands in it.
fn drawing(plan: &PlanContent) -> String {
    let mut text = String::from("flowchart LR\n");
    for visit in &plan.visits {
        let count = counted(visit.actions.len(), "step", "steps");
        let _ = writeln!(text, "  v{}[\"{} {}: {count}\"]", visit.number, visit.number, visit.place);
    }
    for pair in plan.visits.windows(2) {
        if let [before, after] = pair {
            let _ = writeln!(text, "  v{} --> v{}", before.number, after.number);
        }
    }
    text
}

/// The text of a plan, folded, with lines of its middle left out where there is no room for all.
pub(super) fn folded_plan(plan: &PlanContent, room: usize) -> String {
    let text = as_diff(&harmless(&text_of(plan)));
    let whole = fold("The whole plan", "diff", &text);
    if whole.len() <= room { whole } else { cut_fold(&text, room) }
}

/// The text with lines of its middle left out; nothing where not even its ends have room.
fn cut_fold(text: &str, room: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let note = format!("{CUT}{} in all, the saved plan has them\n", counted(lines.len(), "line", "lines"));
    let empty = fold("The plan, shortened", "diff", &note).len() + longest_run(text) * 2;
    let (first, last) = ends(&lines, room.saturating_sub(empty + 2));
    if first.is_empty() {
        return String::new();
    }
    fold("The plan, shortened", "diff", &format!("{first}{note}{last}"))
}
