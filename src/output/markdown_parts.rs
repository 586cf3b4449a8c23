//! The parts of Markdown: fences that nothing in them can close, code spans, tables and folded blocks, each within so many bytes.
//!
//! What enters may be anybody's words; what leaves can be neither the marker of a comment nor a command to whoever prints it. Names that come from nodes and
//! certificates stand in code spans, where Markdown, HTML and mentions mean nothing. Nothing here knows of plans.

use super::deed::counted;
use crate::diagnostic::escaped;
use crate::diagnostic::log_commands::in_text;

/// What is left when something had to be cut.
pub(super) const CUT: &str = "... cut: ";

/// What begins a marker, of a plan or of a run.
const MARKER: &str = "<!-- pki ";

/// Words that may be anybody's: they can be neither the marker by which a comment is found nor a command to whoever prints them.
pub(super) fn harmless(text: &str) -> String {
    in_text(&text.replace(MARKER, "<\\u{21}-- pki ")).into_owned()
}

/// Text in a fence that nothing in it can close.
pub(super) fn fenced(kind: &str, text: &str) -> String {
    let text = harmless(text);
    let fence = "`".repeat(longest_run(&text).max(2) + 1);
    format!("{fence}{kind}\n{}\n{fence}\n\n", text.trim_end_matches('\n'))
}

/// Text in such a fence, with lines of its middle left out where there is no room for all; nothing where not even that can be said.
pub(super) fn fenced_within(kind: &str, text: &str, room: usize) -> String {
    let text = &harmless(text);
    let whole = fenced(kind, text);
    if whole.len() <= room {
        return whole;
    }
    let lines: Vec<&str> = text.lines().collect();
    let note = format!("{CUT}{} in all, the form `text` has them\n", counted(lines.len(), "line", "lines"));
    // A run of backticks in what is kept makes both fences longer.
    let around = fenced(kind, &note).len() + longest_run(text) * 2;
    let (first, last) = ends(&lines, room.saturating_sub(around));
    let cut = fenced(kind, &format!("{first}{note}{last}"));
    if cut.len() <= room { cut } else { String::new() }
}

/// The most backticks in a row.
pub(super) fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

/// A code span: in it nothing has a meaning but backticks, which it outnumbers.
pub(super) fn code(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let text = harmless(&escaped(text));
    let quotes = "`".repeat(longest_run(&text) + 1);
    let space = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{quotes}{space}{text}{space}{quotes}")
}

/// A code span in a table, whose columns end with bars.
pub(super) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// A table, with rows of its middle left out where there is no room for all; nothing where there are none, or no room even for its ends.
pub(super) fn cut_rows(head: &str, rows: &[String], room: usize) -> String {
    let whole = rows.concat();
    if rows.is_empty() {
        return String::new();
    }
    if head.len() + whole.len() < room {
        return format!("{head}{whole}\n");
    }
    let columns = head.lines().next().unwrap_or_default().matches('|').count();
    let note = format!(
        "| | {CUT}{} {}\n",
        counted(rows.len(), "row in all", "rows in all"),
        "| ".repeat(columns.saturating_sub(2)).trim_end()
    );
    let lines: Vec<&str> = rows.iter().map(|row| row.trim_end()).collect();
    let (first, last) = ends(&lines, room.saturating_sub(head.len() + note.len() + 1));
    if first.is_empty() && last.is_empty() {
        return String::new();
    }
    format!("{head}{first}{note}{last}\n")
}

/// A block that is folded up under its title.
pub(super) fn fold(title: &str, kind: &str, text: &str) -> String {
    format!("<details><summary>{title}</summary>\n\n{}</details>\n\n", fenced(kind, text))
}

/// As many lines of both ends as have room together: two of the beginning for each one of the end.
pub(super) fn ends(lines: &[&str], room: usize) -> (String, String) {
    let (mut first, mut last): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut left = room;
    let mut rest = lines.iter();
    for turn in 0_usize.. {
        let from_end = turn % 3 == 2;
        let Some(line) = (if from_end { rest.next_back() } else { rest.next() }) else { break };
        if line.len() + 1 > left {
            break;
        }
        left -= line.len() + 1;
        if from_end { last.push(line) } else { first.push(line) }
    }
    last.reverse();
    let text = |lines: Vec<&str>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    (text(first), text(last))
}
