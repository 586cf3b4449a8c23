//! A plan with nothing to do, in words. That a cluster matches its spec is said only where all of it was looked at and all of it is as declared; everywhere else it is said
//! what was looked at, what was not, and what differs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::deed::counted;
use super::phases;
use crate::diagnostic::escaped;
use crate::diff::{Effect, NotAsDeclared, Reason};
use crate::output::notes::notes;
use crate::plan::PlanContent;
use crate::types::format::{date, instant};

/// The text of a plan in which nothing is to be done. Writing to a String cannot fail.
pub(super) fn nothing_to_do(plan: &PlanContent) -> String {
    let summary = &plan.summary;
    let (later, others) = differing(plan);
    let is_whole = plan.options.only.is_empty()
        && !plan.options.as_of
        && summary.nodes_seen == summary.nodes
        && plan.later.is_empty()
        && plan.postponed.is_empty()
        && plan.waiting.is_empty();
    let mut text = if is_whole && later.is_empty() && others == 0 {
        format!("No changes. {} matches {}.\n", plan.cluster, escaped(&plan.spec.file))
    } else {
        format!("Nothing to do{}{}.\n", scope(plan), but(&later, others))
    };
    if summary.outside_only > 0 {
        let due = counted(summary.outside_only, "thing is due", "things are due");
        let _ = writeln!(text, "  {due} outside --only.");
    }
    let _ = writeln!(
        text,
        "  {} and {} on {}{}",
        counted(summary.certificates, "certificate", "certificates"),
        counted(summary.authorities, "CA", "CAs"),
        counted(summary.nodes_seen, "node", "nodes"),
        unseen(plan),
    );
    if let Some(next) = &summary.next_renewal {
        let (at, expires) = (date(next.at), date(next.expires));
        let _ = writeln!(text, "  Next renewal due   {at}  {} (expires {expires})", next.name);
    }
    if let Some(first) = &summary.first_authority_end {
        let _ = writeln!(text, "  First CA to expire {}  {}", date(first.at), first.name);
    }
    text.push_str(&phases::postponed(plan));
    text.push_str(&notes(plan));
    text.push_str("\nPlan: nothing to do.\n");
    text
}

/// What was not seen, behind a count of what was.
pub(super) fn unseen(plan: &PlanContent) -> String {
    let summary = &plan.summary;
    if summary.unseen.is_empty() {
        return String::new();
    }
    let nodes: Vec<&str> = summary.unseen.iter().map(|node| node.as_str()).collect();
    format!(", {} not seen ({})", summary.not_seen, nodes.join(", "))
}

/// What was looked at, where that is not everything.
fn scope(plan: &PlanContent) -> String {
    let mut text = String::new();
    if !plan.options.only.is_empty() {
        let only: Vec<String> = plan.options.only.iter().map(ToString::to_string).collect();
        let _ = write!(text, " for {}", only.join(", "));
    }
    if plan.summary.nodes_seen < plan.summary.nodes {
        let _ = write!(text, " on the {} that were seen", counted(plan.summary.nodes_seen, "node", "nodes"));
    }
    if plan.options.as_of {
        let _ = write!(text, " as of {}", instant(plan.created));
    }
    if !plan.postponed.is_empty() {
        text.push_str(" now");
    }
    text
}

fn but(later: &BTreeMap<String, usize>, others: usize) -> String {
    let mut text = String::new();
    if !later.is_empty() {
        let values = later.iter().map(|(what, count)| format!("{what} ({count})"));
        let values: Vec<String> = values.collect();
        let count = later.values().sum();
        let _ = write!(
            text,
            "; {} until the next renewal: {}",
            counted(count, "declared value differs", "declared values differ"),
            values.join(", ")
        );
    }
    if others > 0 {
        let _ =
            write!(text, "; {} not as declared and left alone", counted(others, "thing is", "things are"));
    }
    text
}

/// What differs until the next renewal, each kind with its count; and how much else is not as the spec says, and is left alone.
fn differing(plan: &PlanContent) -> (BTreeMap<String, usize>, usize) {
    let mut later: BTreeMap<String, usize> = BTreeMap::new();
    let mut others = 0;
    for noted in plan.notes.iter().filter(|noted| noted.finding.effect == Effect::Note) {
        let reason = &noted.finding.reason;
        let what = if let Reason::NotAsDeclared { how } = reason { until_renewal(how) } else { None };
        match what {
            Some(what) => *later.entry(what).or_default() += 1,
            None => others += usize::from(!reason.is_as_declared()),
        }
    }
    (later, others)
}

/// What the next renewal makes as declared, if it does.
fn until_renewal(how: &NotAsDeclared) -> Option<String> {
    match how {
        NotAsDeclared::Validity { found, wanted, .. } => Some(format!("validity {found} -> {wanted}")),
        NotAsDeclared::ValidityClamped { wanted, issuer_not_after } => {
            Some(format!("validity {wanted}, cut at the CA's end on {}", date(*issuer_not_after)))
        }
        NotAsDeclared::ModeTighter { found, wanted, .. } => Some(format!("mode {found:04o} -> {wanted}")),
        NotAsDeclared::ExternalKeyHeld { .. } | NotAsDeclared::RoleContradicted { .. } => None,
    }
}
