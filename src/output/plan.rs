//! A plan as text: the verdict, one block for each change that is the same on several nodes, the order as executed, and a stable last line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::checked::checked;
use super::deed::{body, counted, deed, made_of};
use super::issue::kept_key;
use super::nothing::{nothing_to_do, unseen};
use super::phases;
use super::privilege::runs_as_root;
use super::time;
use super::wrap::wrapped;
use crate::diagnostic::escaped;
use crate::output::notes::{elsewhere, links, notes, reasons, restarts};
use crate::plan::{Action, Approval, Blocked, Deed, Disruption, Phase, PlanContent, PlannedTransaction};
use crate::types::format::instant;
use crate::types::names::Target;

/// The whole plan as text.
pub fn plan(plan: &PlanContent) -> String {
    let mut text = head(plan);
    if plan.is_empty() {
        text.push_str(&nothing_to_do(plan));
        return wrapped(&text);
    }
    text.push_str(&(verdict(plan) + &errors(plan)));
    text.push_str(&phases::table(plan));
    text.push_str(&blocks(plan));
    text.push_str(&(links(plan) + &restarts(plan) + &elsewhere(plan)));
    text.push_str(&phases::postponed(plan));
    text.push_str(&notes(plan));
    text.push_str(&order(plan));
    text.push_str(&checked(plan.checked.as_ref()));
    let unchanged = counted(plan.summary.unchanged, "certificate", "certificates");
    let _ = writeln!(text, "\n{unchanged} unchanged{}.", unseen(plan));
    // Scripts look for the last line as a whole.
    wrapped(&text) + &last_line(plan)
}

/// Writing to a String cannot fail, so results of `write!` are dropped throughout.
fn head(plan: &PlanContent) -> String {
    format!(
        "pki plan {}   {}   {}   {}, {} of {} nodes seen\n\n",
        plan.id,
        plan.cluster,
        escaped(&plan.spec.file),
        instant(plan.created),
        plan.summary.nodes_seen,
        plan.summary.nodes,
    )
}

fn verdict(plan: &PlanContent) -> String {
    let summary = &plan.summary;
    let parts: Vec<String> = [
        (summary.renew, "renew", "certificate", "certificates"),
        (summary.issue, "create", "thing that is not there", "things that are not there"),
        (summary.trust, "write", "trust bundle or shared key", "trust bundles or shared keys"),
        (summary.restart, "restart", "service", "services"),
        (summary.repair, "put right", "link, directory or mode", "links, directories or modes"),
        (summary.restore, "put back", "path", "paths"),
        (summary.copy, "copy a certificate to", "place", "places"),
        (
            summary.request,
            "ask for",
            "certificate that is signed elsewhere",
            "certificates that are signed elsewhere",
        ),
    ]
    .into_iter()
    .filter(|(count, ..)| *count > 0)
    .map(|(count, verb, one, many)| format!("{verb} {}", counted(count, one, many)))
    .collect();
    let mut text = String::new();
    if plan.actions().any(|action| matches!(action.deed, Deed::UndoOpen { .. })) {
        text.push_str("  First, what an interrupted run left half done is undone. What else is due is planned after that.\n");
    } else if !parts.is_empty() {
        let _ = writeln!(text, "  This plan will {}.   undo per node", parts.join(", "));
    } else if plan.blocked.is_empty() && summary.remove == 0 {
        text.push_str("  Nothing of what is due can be done by this plan.\n");
    }
    for outage in &plan.accepted_outages {
        let _ = writeln!(text, "  Outage, accepted: {}.", escaped(outage));
    }
    text.push_str(&upper_approval(plan));
    text.push_str(&runs_as_root(plan));
    if !plan.applicable {
        let why = if plan.blocked.is_empty() {
            "it was made for another instant than now"
        } else {
            "the errors below have to be gone first"
        };
        let _ = writeln!(text, "  It cannot be applied: {why}.");
    }
    text
}

/// What an ordinary yes does not cover; nothing where it covers everything.
pub(super) fn upper_approval(plan: &PlanContent) -> String {
    let mut text = String::new();
    if let Approval::Upper { name, why } = plan.approval() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  Needs --confirm {name}, for there is no ordinary yes to this:");
        for why in why {
            let _ = writeln!(text, "    {}", escaped(&why));
        }
    }
    text
}

pub(super) fn errors(plan: &PlanContent) -> String {
    let mut grouped: BTreeMap<(&str, Option<&str>), Vec<&Blocked>> = BTreeMap::new();
    for blocked in &plan.blocked {
        grouped.entry((&blocked.because, blocked.help.as_deref())).or_default().push(blocked);
    }
    let mut text = String::new();
    for ((because, help), members) in grouped {
        let addresses: Vec<String> = members.iter().map(|blocked| blocked.address.to_string()).collect();
        let _ = writeln!(text, "\nerror: {}\n  {}", addresses.join(", "), escaped(because));
        if let Some(help) = help {
            let _ = writeln!(text, "  help: {}", escaped(help));
        }
    }
    text
}

/// Actions of which nothing but the node differs.
pub(super) struct Group<'a> {
    /// Sign and subject, such as `~ etcd-server`.
    pub(super) title: String,
    body: String,
    pub(super) members: Vec<&'a Action>,
}

impl Group<'_> {
    /// The first line of its body, which says what changes.
    pub(super) fn change(&self) -> String {
        let words = self.body.lines().next().unwrap_or_default().split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    }
}

/// The actions that a reader has to judge, grouped where nothing but the node differs.
pub(super) fn groups(plan: &PlanContent) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut known: BTreeMap<(String, String), usize> = BTreeMap::new();
    for action in plan.actions() {
        let Some((title, body)) = block(action, plan) else { continue };
        let position = *known.entry((title.clone(), body.clone())).or_insert(groups.len());
        match groups.get_mut(position) {
            Some(group) => group.members.push(action),
            None => groups.push(Group { title, body, members: vec![action] }),
        }
    }
    groups
}

fn blocks(plan: &PlanContent) -> String {
    let mut text = String::new();
    for Group { title, body, members } in groups(plan) {
        let nodes: Vec<&str> = members.iter().map(|action| action.address.place.as_str()).collect();
        let _ = writeln!(text, "\n  {title} @ {}", nodes.join(", "));
        text.push_str(&body);
        let kept: Vec<String> = members.iter().filter_map(|action| kept_key(action)).collect();
        if !kept.is_empty() {
            let _ = writeln!(text, "      {:<13} kept, spki {}", "key", kept.join(", "));
        }
        for line in why(&members) {
            let _ = writeln!(text, "      {:<13} {line}", "because");
        }
    }
    text
}

/// The reasons of a group, each once; one that is not that of all its members says on which nodes it is.
fn why(members: &[&Action]) -> Vec<String> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for action in members {
        let node = action.address.place.as_str();
        for line in reasons(&action.reasons) {
            match lines.iter_mut().find(|(known, _)| *known == line) {
                Some((_, nodes)) => nodes.push(node),
                None => lines.push((line, vec![node])),
            }
        }
    }
    let line = |(line, nodes): (String, Vec<&str>)| match nodes.len() < members.len() {
        true => format!("{}: {line}", nodes.join(", ")),
        false => line,
    };
    lines.into_iter().map(line).collect()
}

/// Title and body of an action's block; `None` for what frames the others.
fn block(action: &Action, plan: &PlanContent) -> Option<(String, String)> {
    let subject = &action.address.target;
    let (sign, mut body) = body(action, plan.created)?;
    match &action.disruption {
        Disruption::None => {}
        Disruption::Reload { when, .. } => body.add("takes effect", format!("{when}; no restart")),
        Disruption::Restart { .. } if matches!(action.deed, Deed::Restart { .. }) => {}
        Disruption::Restart { .. } if action.restarts().is_some() => {
            body.add("takes effect", "at once: the kubelet replaces the pod".to_owned());
        }
        Disruption::Restart { services } => {
            let services: Vec<&str> = services.iter().map(|service| service.as_str()).collect();
            let services = services.join(", ");
            // Whatever is put back at the address of a directory and has to be restarted for is a directory.
            let is_directory = matches!(action.address.target, Target::Directory(_));
            let is_removed = is_directory && matches!(action.deed, Deed::Restore { .. });
            let when = match (is_directory, is_removed) {
                (_, true) => {
                    format!("when restarted: {services}; what they have open is removed, so do not wait")
                }
                (true, false) => {
                    format!("when restarted: {services}; until then they have the old directory open")
                }
                (false, false) => format!("when {services} is restarted: read at its start only"),
            };
            body.add("takes effect", when);
        }
    }
    Some((format!("{sign} {}{subject}", made_of(&action.deed)), body.0))
}

/// The visits as they are carried out.
fn order(plan: &PlanContent) -> String {
    if plan.visits.is_empty() {
        return String::new();
    }
    let nodes: Vec<&str> = plan.visits.iter().map(|visit| visit.place.as_str()).collect();
    let phases: Vec<(Phase, &[PlannedTransaction])> = plan.phases().collect();
    let is_plain = phases.iter().all(|(phase, _)| phase.is_ordinary());
    let most = plan.waves().map(<[PlannedTransaction]>::len).max().unwrap_or(1);
    let at_a_time = match most {
        1 => if is_plain { "one at a time" } else { "one node at a time" }.to_owned(),
        many => {
            format!("one at a time, but for workers: up to {many} at once, as rollout.maxUnavailable allows")
        }
    };
    let mut text = match is_plain {
        true => format!("\n  Order  {}, {at_a_time}\n", nodes.join(", ")),
        false => format!(
            "\n  Order  {} on all its nodes before anything else is done; {at_a_time}\n",
            counted(phases.len(), "phase, done", "phases, each done")
        ),
    };
    if let Some(expected) = time::expected(plan) {
        let _ = writeln!(text, "  Time   {expected}");
    }
    for (number, (phase, visits)) in (1..).zip(phases) {
        if !is_plain {
            let nodes: Vec<&str> = visits.iter().map(|visit| visit.place.as_str()).collect();
            let purpose = visits.first().map_or_else(|| phase.words(), PlannedTransaction::purpose);
            let _ = writeln!(text, "    phase {number} ({phase}), to {purpose}: {}", nodes.join(", "));
        }
        for visit in visits {
            let with = if visit.with_previous { ", at the same time" } else { "" };
            let _ = writeln!(text, "    visit {}  {}{with}", visit.number, visit.place);
            for action in &visit.actions {
                let _ = writeln!(text, "      {:>4}  {}", action.number, deed(action));
            }
        }
    }
    for phase in &plan.later {
        let _ = writeln!(text, "    Left for a later run: phase {phase}, to {}.", phase.words());
    }
    text.push_str(
        "    If a step fails, its node is put back as it was before the visit, and the run stops.\n",
    );
    text
}

/// The contract with scripts: fixed counters in a fixed order.
pub(super) fn last_line(plan: &PlanContent) -> String {
    if !plan.blocked.is_empty() {
        let errors = counted(plan.blocked.len(), "error", "errors");
        return format!("Plan: blocked by {errors}.\n");
    }
    let mut text = format!("Plan: {}.", counters(plan));
    if !plan.later.is_empty() {
        let _ = write!(text, " Phases {} of {}.", plan.phases().count(), plan.phase_count());
    }
    text.push('\n');
    text
}

/// The counters: those that are always there, then those that count something.
pub(super) fn counters(plan: &PlanContent) -> String {
    let summary = &plan.summary;
    let mut text = format!(
        "renew {}, issue {}, trust {}, remove {}, restart {}, repair {}",
        summary.renew, summary.issue, summary.trust, summary.remove, summary.restart, summary.repair
    );
    if summary.restore > 0 {
        let _ = write!(text, ", restore {}", summary.restore);
    }
    if summary.copy > 0 {
        let _ = write!(text, ", copy {}", summary.copy);
    }
    if summary.request > 0 {
        let _ = write!(text, ", request {}", summary.request);
    }
    text
}
