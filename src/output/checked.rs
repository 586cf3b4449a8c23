//! What the simulation of a plan says, as text: one line that can be read at a glance, and one for each thing that the plan interrupts.

use std::fmt::Write as _;

use super::deed::counted;
use crate::diagnostic::escaped;
use crate::plan::model::checked::{Checked, Interruption, Least};

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
    for interruption in checked.interruptions.iter().take(MOST_LINES) {
        text.push_str(&line(interruption));
    }
    let more = checked.interruptions.len().saturating_sub(MOST_LINES);
    if more > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    and {more} more");
    }
    text
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
