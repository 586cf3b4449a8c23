//! What a plan says besides what it does: why, restarts that are left to a person, what is due and done elsewhere, and what is left alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::diagnostic::escaped;
use crate::diff::Effect;
use crate::plan::{PlanContent, Why};

/// Services that a person restarts.
pub(super) fn restarts(plan: &PlanContent) -> String {
    if plan.restart_yourself.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n  Restart yourself, when the plan is applied:\n");
    for manual in &plan.restart_yourself {
        let nodes: Vec<&str> = manual.nodes.iter().map(|node| node.as_str()).collect();
        let _ = writeln!(
            text,
            "    {} @ {}   reads {} only at its start",
            manual.service,
            nodes.join(", "),
            manual.reads.join(", ")
        );
        let _ = writeln!(text, "      how: {}", escaped(&manual.how));
        if let Some(because) = &manual.because {
            let _ = writeln!(text, "      not by this plan: {}", escaped(because));
        }
    }
    text
}

/// Where paths of the plan lead elsewhere than they say. The same link on several nodes is one line.
pub(super) fn links(plan: &PlanContent) -> String {
    let mut grouped: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for linked in &plan.links {
        let line = format!("{} -> {}", escaped(&linked.path), escaped(&linked.resolved));
        grouped.entry(line).or_default().push(linked.node.as_str());
    }
    let mut text = String::new();
    if !grouped.is_empty() {
        text.push_str("\n  Links on the way:\n");
    }
    for (line, nodes) in grouped {
        let _ = writeln!(text, "    {line}   on {}", nodes.join(", "));
    }
    text
}

pub(super) fn elsewhere(plan: &PlanContent) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for blocked in &plan.elsewhere {
        let mut body = format!("    {}\n", escaped(&blocked.because));
        for line in reasons(&blocked.findings) {
            let _ = writeln!(body, "    because {line}");
        }
        if let Some(help) = &blocked.help {
            let _ = writeln!(body, "    help: {}", escaped(help));
        }
        let address = blocked.address.to_string();
        match groups.iter_mut().find(|(known, _)| *known == body) {
            Some((_, addresses)) => addresses.push(address),
            None => groups.push((body, vec![address])),
        }
    }
    let mut text = String::new();
    for (body, addresses) in groups {
        let _ = write!(text, "\n  Not by this plan: {}\n{body}", addresses.join(", "));
    }
    text
}

/// What was found and is left alone. The same words on several nodes are one line.
pub(super) fn notes(plan: &PlanContent) -> String {
    let mut grouped: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for noted in plan.notes.iter().filter(|noted| noted.finding.effect == Effect::Note) {
        grouped.entry(noted.finding.reason.to_string()).or_default().push(noted.address.to_string());
    }
    let mut text = String::new();
    for (reason, addresses) in grouped {
        if text.is_empty() {
            text.push_str("\n  Noted, and left alone:\n");
        }
        let _ = writeln!(text, "    {}: {reason}", addresses.join(", "));
    }
    text
}

/// Reasons with the places that decided them, each once.
pub(super) fn reasons<'a>(reasons: impl IntoIterator<Item = &'a Why>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for Why { finding, place } in reasons {
        let place = place.as_ref().map(|place| format!(" ({})", escaped(place))).unwrap_or_default();
        let line = format!("{}{place}", finding.reason);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}
