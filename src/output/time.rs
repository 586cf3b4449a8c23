//! The time of a run in words: what a plan is expected to take, and what a run took, with what for.
//!
//! What enters is a plan, and the report of its run; what leaves is lines of text. Runs that were over at once are not gone into.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration as Time;

use super::deed::{counted, deed};
use crate::plan::PlanContent;
use crate::plan::model::expected::ExpectedTime;
use crate::plan::model::spent::SpentTime;
use crate::types::duration::Duration;
use crate::types::place::Place;

/// Below this nobody asks where the time went.
const SHORT: Time = Time::from_secs(10);
/// Actions that took longer are named.
const LONG: Time = Time::from_secs(1);
/// Most nodes that are named for one deed.
const NAMED: usize = 5;

/// How long one deed took, with where.
type Times<'a> = Vec<(Time, &'a Place)>;

/// What a plan is expected to take; none where it does nothing.
pub(super) fn expected(plan: &PlanContent) -> Option<String> {
    if plan.visits.is_empty() {
        return None;
    }
    let time = ExpectedTime::of(plan);
    let parts: Vec<String> = [
        (time.work, "work"),
        (time.polls, "waiting until changed files are read again"),
        (time.restarts, "restarts"),
        (time.settles, "seeing that all goes on working"),
    ]
    .into_iter()
    .filter(|(seconds, _)| *seconds > 0)
    .map(|(seconds, what)| format!("{} {what}", Duration::from_seconds(seconds)))
    .collect();
    let of = if parts.len() > 1 { format!(": {}", parts.join(", ")) } else { String::new() };
    Some(format!("about {}{of}", time.total()))
}

/// What a run took, and every action that took longer than a second, the longest first.
pub(super) fn spent(plan: &PlanContent, spent: &SpentTime) -> String {
    if spent.total < SHORT {
        return String::new();
    }
    let mut deeds: BTreeMap<String, Times<'_>> = BTreeMap::new();
    let mut rest = spent.total;
    for action in plan.actions() {
        let Some(time) = spent.actions.get(&action.number).filter(|time| **time > LONG) else { continue };
        rest = rest.saturating_sub(*time);
        deeds.entry(deed(action)).or_default().push((*time, &action.address.place));
    }
    let sum = |times: &Times<'_>| times.iter().map(|(time, _)| *time).sum::<Time>();
    let mut deeds: Vec<(String, Times<'_>)> = deeds.into_iter().collect();
    deeds.sort_by_key(|(_, times)| Reverse(sum(times)));
    let expected = ExpectedTime::of(plan).total();
    let mut text = format!("Time: {} (expected: about {expected})\n", seconds(spent.total));
    // Writing to a String cannot fail.
    for (deed, mut times) in deeds {
        times.sort_by_key(|(time, _)| Reverse(*time));
        let named = times.iter().take(NAMED).map(|(time, place)| format!("{place} {}", seconds(*time)));
        let mut named: Vec<String> = named.collect();
        if times.len() > NAMED {
            named.push(format!("{} more", counted(times.len() - NAMED, "time", "times")));
        }
        let _ = writeln!(text, "  {:>6}  {deed}: {}", seconds(sum(&times)), named.join(", "));
    }
    let _ = writeln!(text, "  {:>6}  everything else, a second or less each time", seconds(rest));
    text
}

/// Whole seconds: nobody decides anything by less.
fn seconds(time: Time) -> String {
    Duration::from_seconds(time.as_secs() + u64::from(time.subsec_millis() >= 500)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_whole_seconds() {
        assert_eq!(seconds(Time::from_millis(1499)), "1s");
        assert_eq!(seconds(Time::from_millis(149_500)), "2m30s");
    }
}
