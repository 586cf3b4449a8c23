//! What the next plan would do with an adopted spec, in lines for people.

use std::collections::BTreeMap;

use super::Draft;
use crate::diff::{Differences, Effect, Reason};
use crate::output;
use crate::plan::PlanContent;

/// What the next plan would do, and what was left out of the spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The stable last line of the plan; none when no node was looked at.
    pub plan: Option<String>,
    /// Whether the plan has nothing to do.
    pub is_empty: bool,
    /// Who takes part and is not in the spec, and the command that adopts them too.
    pub missing: Vec<String>,
    /// What the plan would change, and what keeps it from it.
    pub changes: Vec<String>,
    /// What was seen and is left alone.
    pub notes: Vec<String>,
    /// What a spec cannot say, or was not taken over.
    pub left_out: Vec<String>,
}

impl Outlook {
    /// Of a plan and the differences that it was made from.
    pub fn new(draft: &Draft, plan: &PlanContent, differences: &Differences) -> Self {
        let is_note = |effect: Effect| match effect {
            Effect::Note => true,
            Effect::Blocks | Effect::Unknown | Effect::Due => false,
        };
        Self {
            plan: output::plan(plan).lines().last().map(str::to_owned),
            is_empty: plan.is_empty(),
            missing: missing(draft),
            changes: lines(differences, |effect| !is_note(effect)),
            notes: lines(differences, is_note),
            left_out: left_out(draft),
        }
    }

    /// Where no node was looked at, so that there is nothing to plan from.
    pub fn unseen(draft: &Draft) -> Self {
        Self { left_out: left_out(draft), ..Self::default() }
    }

    /// What is to be said about it, in order, without indentation of its own.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut section = |head: &str, items: &[String]| {
            if !items.is_empty() {
                lines.push(head.to_owned());
                lines.extend(items.iter().map(|item| format!("  {item}")));
            }
        };
        section("This spec is not about the whole cluster:", &self.missing);
        match (&self.plan, self.is_empty) {
            (None, _) => section("No node was looked at: pki plan tells what they lack.", &[String::new()]),
            (Some(_), true) => section("The next plan would change nothing.", &[String::new()]),
            (Some(plan), false) => {
                section("The next plan would change something:", std::slice::from_ref(plan))
            }
        }
        section("Not adopted, because it is not to stay so:", &self.changes);
        section("Seen, and left alone:", &self.notes);
        section("Not in the spec:", &self.left_out);
        lines.retain(|line| !line.trim().is_empty());
        lines
    }
}

fn missing(draft: &Draft) -> Vec<String> {
    let Some(missing) = &draft.missing else { return Vec::new() };
    let command = missing.command.iter().map(|command| format!("look at all of them: {command}"));
    [missing.sentence.clone()].into_iter().chain(command).collect()
}

fn left_out(draft: &Draft) -> Vec<String> {
    draft.intents.union(&draft.remarks).cloned().collect()
}

/// The findings of some effects, what is said of several things alike in one line.
fn lines(differences: &Differences, wants: impl Fn(Effect) -> bool) -> Vec<String> {
    let mut alike: BTreeMap<(Effect, String), Vec<String>> = BTreeMap::new();
    for (address, findings) in &differences.findings {
        for finding in findings.iter().filter(|finding| wants(finding.effect)) {
            if matches!(finding.reason, Reason::NotInSpec { .. }) {
                continue;
            }
            let mut text = finding.reason.to_string();
            if matches!(finding.reason, Reason::PermissionsDiffer { .. }) {
                text.push_str("; a mode that grants more than it should is not adopted");
            }
            alike.entry((finding.effect, text)).or_default().push(address.to_string());
        }
    }
    let line = |((effect, text), addresses): ((Effect, String), Vec<String>)| {
        let word = match effect {
            Effect::Blocks => "blocked: ",
            Effect::Unknown => "unknown: ",
            Effect::Due | Effect::Note => "",
        };
        format!("{word}{}: {text}", addresses.join(", "))
    };
    let mut lines: Vec<String> = alike.into_iter().map(line).collect();
    lines.sort();
    lines
}
