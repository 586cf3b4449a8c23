//! What systemd says of a unit.
//!
//! What enters is the name of a unit; what leaves is [`UnitFacts`] by `systemctl show`, which changes nothing. Where there is no systemd, it is unknown.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::ClockId;

use super::super::program;
use super::listeners::before;
use crate::observed::{Seen, UnitFacts};

/// Longest word of systemd's that is told.
const WORD_LIMIT: usize = 64;
const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState,InvocationID,MainPID,ExecMainStartTimestampMonotonic,UnitFileState";

/// Asks systemd about a unit.
pub(in crate::node) fn observe(unit: &str, patience: Duration, clock: fn() -> Timestamp) -> Seen<UnitFacts> {
    let arguments = ["show", "--no-pager", PROPERTIES, "--", unit].map(str::to_owned);
    match program::read(Path::new("systemctl"), &arguments, patience) {
        Ok(text) => facts(&text, before(clock(), ClockId::Monotonic)),
        Err(error) => Seen::Unknown { reason: error.to_string() },
    }
}

/// Reads the properties. Systemd counts from `origin`.
fn facts(text: &str, origin: Timestamp) -> Seen<UnitFacts> {
    let properties: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let word = |name: &str| {
        let word: String = properties.get(name)?.trim().chars().take(WORD_LIMIT).collect();
        (!word.is_empty()).then_some(word)
    };
    if word("LoadState").as_deref() == Some("not-found") {
        return Seen::Absent;
    }
    let (Some(active_state), Some(sub_state)) = (word("ActiveState"), word("SubState")) else {
        return Seen::Unknown { reason: "systemctl tells no state".to_owned() };
    };
    let started = word("ExecMainStartTimestampMonotonic").and_then(|number| number.parse::<i64>().ok());
    let started = started.filter(|microseconds| *microseconds > 0);
    let started = started.and_then(|microseconds| {
        let since = SignedDuration::from_micros(microseconds);
        origin.checked_add(since).ok()?.round(jiff::Unit::Millisecond).ok()
    });
    Seen::Present(UnitFacts {
        active_state,
        sub_state,
        invocation_id: word("InvocationID"),
        main_pid: word("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0),
        started,
        unit_file_state: word("UnitFileState"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "MainPID=812\nExecMainStartTimestampMonotonic=2000000\nLoadState=loaded\nActiveState=active\nSubState=running\nInvocationID=3aa0b7c1\n";

    #[test]
    fn a_running_unit_is_told_with_its_start() {
        let origin: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let facts = facts(RUNNING, origin);
        let unit = facts.present().unwrap();
        assert!(unit.is_active());
        assert_eq!((unit.main_pid, unit.sub_state.as_str()), (Some(812), "running"));
        assert_eq!(unit.invocation_id.as_deref(), Some("3aa0b7c1"));
        assert_eq!(unit.started.unwrap().to_string(), "2026-12-01T00:00:02Z");
    }

    #[test]
    fn a_unit_that_never_ran_has_no_process() {
        let text = "MainPID=0\nExecMainStartTimestampMonotonic=0\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nInvocationID=\n";
        let facts = facts(text, Timestamp::UNIX_EPOCH);
        let unit = facts.present().unwrap();
        assert_eq!((unit.main_pid, unit.started, unit.invocation_id.as_ref()), (None, None, None));
        assert!(!unit.is_active());
    }

    #[test]
    fn a_dead_unit_is_wanted_where_it_failed_or_should_have_started_with_the_node() {
        for (state, sub_state, file, wanted) in [
            ("failed", "failed", "disabled", true),
            ("activating", "auto-restart", "disabled", true),
            ("activating", "start", "enabled", true),
            ("inactive", "dead", "enabled", true),
            ("inactive", "dead", "enabled-runtime", true),
            ("inactive", "dead", "disabled", false),
            ("inactive", "dead", "static", false),
            ("inactive", "dead", "", false),
            ("failed", "failed", "masked", false),
        ] {
            let text = format!(
                "LoadState=loaded\nActiveState={state}\nSubState={sub_state}\nUnitFileState={file}\n"
            );
            let unit = facts(&text, Timestamp::UNIX_EPOCH);
            assert_eq!(unit.present().unwrap().is_wanted(), wanted, "{text}");
        }
    }

    #[test]
    fn no_unit_is_absent_and_no_answer_is_unknown() {
        let missing = RUNNING.replace("loaded", "not-found");
        assert_eq!(facts(&missing, Timestamp::UNIX_EPOCH), Seen::Absent);
        assert!(matches!(facts("", Timestamp::UNIX_EPOCH), Seen::Unknown { .. }));
        assert!(matches!(facts("ActiveState", Timestamp::UNIX_EPOCH), Seen::Unknown { .. }));
    }
}
