//! What the simulation of a plan says, as text: one line that can be read at a glance, one for each thing that the plan interrupts, and what would break if
//! a node undid its changes. Connections that break alike on a way back are told together.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::deed::counted;
use crate::diagnostic::escaped;
use crate::plan::model::checked::{Checked, Interruption, Least, UndoRisk};
use crate::types::names::NodeName;

/// So many interruptions are told one by one; the JSON form has all of them.
const MOST_LINES: usize = 40;

/// The lines; none for a plan that was not simulated.
pub(super) fn checked(checked: Option<&Checked>) -> String {
    let Some(checked) = checked else { return String::new() };
    let mut parts = vec![connections(checked)];
    // With one instance there is nothing to count; and where nothing was seen to run, only what would be lost counts.
    let is_seen = checked.processes != Some(0);
    let counts = |least: &&Least| least.of > 1 && (is_seen || least.least < least.before);
    parts.extend(checked.least.iter().filter(counts).map(at_least));
    if !is_seen {
        parts.push("no process was seen on these nodes, so nothing was checked live".to_owned());
    }
    let mut text = format!("\n  Checked: {}\n", parts.join("; "));
    let mut told = 0;
    for block in blocks(&checked.interruptions) {
        let room = MOST_LINES.saturating_sub(told);
        told += block.write(&mut text, room);
    }
    text.push_str(&more(checked.interruptions.len(), told, "    "));
    text.push_str(&if_undone(&checked.if_undone));
    text
}

/// How many of so many are left out.
fn more(count: usize, told: usize, indent: &str) -> String {
    match count.saturating_sub(told) {
        0 => String::new(),
        more => format!("{indent}and {more} more\n"),
    }
}

/// What would not work if nodes undid their changes: for each node what comes from its disk, and what comes from the plan.
fn if_undone(risks: &[UndoRisk]) -> String {
    let mut groups: BTreeMap<(&NodeName, bool), Vec<&UndoRisk>> = BTreeMap::new();
    for risk in risks {
        groups.entry((risk.node(), risk.is_also_without_plan())).or_default().push(risk);
    }
    let mut text = String::new();
    for ((node, also_without_plan), risks) in groups {
        let why = match also_without_plan {
            true => format!(
                "the files on {node} do not work now and would be read again; that breaks it without this plan too, sooner or later"
            ),
            false => "it works now and after each step, and the undo itself breaks it".to_owned(),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    if the changes on {node} have to be undone, this breaks: {why}");
        risks.iter().take(MOST_LINES).for_each(|risk| text.push_str(&undo_line(risk)));
        text.push_str(&more(risks.len(), MOST_LINES, "      "));
    }
    text
}

fn undo_line(risk: &UndoRisk) -> String {
    match risk {
        UndoRisk::Breaks { step, connection, reason, passing, .. } => {
            let until = if *passing { ", until the undo has ended" } else { "" };
            format!("      {connection}, if undone after step {step}{until}\n        {}\n", escaped(reason))
        }
        UndoRisk::TooFew { step, service, left, of, needed, .. } => format!(
            "      {service}, if undone after step {step}: {left} of {of} are left, and {needed} are needed\n"
        ),
    }
}

fn connections(checked: &Checked) -> String {
    if checked.too_many {
        return "not verified, because there are too many connections".to_owned();
    }
    let count =
        |is_it: fn(&Interruption) -> bool| checked.interruptions.iter().filter(|found| is_it(found)).count();
    let breaks = count(|found| matches!(found, Interruption::Breaks { .. }));
    let until_restarted = count(|found| matches!(found, Interruption::UntilRestarted { .. }));
    let outage = count(|found| matches!(found, Interruption::Outage { .. }));
    if breaks > 0 {
        return counted(breaks + until_restarted, "connection breaks", "connections break");
    }
    match (checked.connections, until_restarted) {
        _ if outage > 0 => {
            let counted = counted(outage, "connection breaks", "connections break");
            format!("{counted} for a time, as accepted; every one works at the end")
        }
        (0, _) => "no connection is known to work before this plan, so none can break".to_owned(),
        (_, 0) => "no connection breaks".to_owned(),
        (_, broken) => {
            format!(
                "{} until you restart what is named",
                counted(broken, "connection breaks", "connections break")
            )
        }
    }
}

fn at_least(least: &Least) -> String {
    let Least { service, of, before, least } = least;
    match before {
        0 => format!("no {service} is known to work before this plan"),
        before if before < of && before == least => format!("{service} {least} of {of}, as before"),
        _ => format!("{service} {least} of {of} at least"),
    }
}

/// What is told at once.
enum Block<'a> {
    Line(String),
    /// Connections that break on a way back, at the same step and until the same end, for the same reason.
    Breaks {
        step: u32,
        heals: &'a str,
        why: &'a str,
        /// Each with who refuses whom, where that is said.
        connections: Vec<(&'a str, Option<&'a str>)>,
    },
}

/// The interruptions in order. What breaks alike on a way back is told with the first of its kind; what a person has to mend by hand is told one by one.
fn blocks(interruptions: &[Interruption]) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for interruption in interruptions {
        let (connection, step, reason, heals) = match interruption {
            Interruption::Breaks { connection, step, reason, heals } => (connection, *step, reason, heals),
            Interruption::Restart { .. }
            | Interruption::Outage { .. }
            | Interruption::UntilRestarted { .. }
            | Interruption::TooFew { .. } => {
                blocks.push(Block::Line(line(interruption)));
                continue;
            }
        };
        let (who, why) = match reason.split_once(": ") {
            Some((who, why)) if who.contains(" refuses ") => (Some(who), why),
            Some(_) | None => (None, reason.as_str()),
        };
        let alike = blocks.iter_mut().find_map(|block| match block {
            Block::Breaks { step: known, heals: until, why: same, connections }
                if (*known, *until, *same) == (step, heals.as_str(), why) =>
            {
                Some(connections)
            }
            Block::Breaks { .. } | Block::Line(_) => None,
        });
        match alike {
            Some(connections) => connections.push((connection, who)),
            None => blocks.push(Block::Breaks { step, heals, why, connections: vec![(connection, who)] }),
        }
    }
    blocks
}

impl Block<'_> {
    /// Writes it with at most so many interruptions, and says how many it has told.
    fn write(&self, text: &mut String, room: usize) -> usize {
        // Writing to a String cannot fail.
        match self {
            _ if room == 0 => 0,
            Self::Line(line) => {
                text.push_str(line);
                1
            }
            Self::Breaks { step, heals, why, connections } => {
                if let [(connection, who)] = connections.as_slice() {
                    let who = who.map(|who| format!("{who}: ")).unwrap_or_default();
                    let _ = writeln!(text, "    {connection} breaks at step {step}; {heals}");
                    let _ = writeln!(text, "      {}{}", escaped(&who), escaped(why));
                    return 1;
                }
                let count = connections.len();
                let _ = writeln!(text, "    {count} connections break at step {step}; {heals}");
                let _ = writeln!(text, "      {}", escaped(why));
                for (connection, who) in connections.iter().take(room) {
                    let who = who.map(|who| format!("   {}", escaped(who))).unwrap_or_default();
                    let _ = writeln!(text, "        {connection}{who}");
                }
                count.min(room)
            }
        }
    }
}

fn line(interruption: &Interruption) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match interruption {
        Interruption::Restart { service, node, step, of, accepted } => {
            let why = match (accepted, of) {
                (true, _) => "as accepted".to_owned(),
                (false, 1) => "it is the only one".to_owned(),
                (false, of) => format!("there are only {of}"),
            };
            writeln!(text, "    {service} stands still while step {step} restarts it on {node}: {why}")
        }
        Interruption::Outage { connection, step, reason, until } => {
            let until = match until {
                Some(until) => format!("until step {until} mends it"),
                None => "when the visit is undone".to_owned(),
            };
            writeln!(
                text,
                "    {connection} breaks at step {step}, {until}, as accepted\n      {}",
                escaped(reason)
            )
        }
        Interruption::UntilRestarted { connection, step, reason, restart } => {
            let restart = restart.join(" and ");
            writeln!(
                text,
                "    {connection} breaks at step {step}, until you restart {restart}\n      {}",
                escaped(reason)
            )
        }
        Interruption::Breaks { connection, step, reason, heals } => {
            writeln!(text, "    {connection} breaks at step {step}; {heals}\n      {}", escaped(reason))
        }
        Interruption::TooFew { service, step, left, of, needed } => writeln!(
            text,
            "    {service} does not work from step {step} on: {left} of {of} are left, and {needed} are needed"
        ),
    };
    text
}
