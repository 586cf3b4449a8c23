//! What systemd says of a unit.
//!
//! What enters is the name of a unit; what leaves is [`UnitFacts`] by `systemctl show`, which changes nothing. Where there is no systemd, it is unknown.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::ClockId;

use super::listeners::before;
use crate::agent::probe::program;
use crate::protocol::facts::{Seen, UnitFacts};

/// Longest word of systemd's that is told.
const WORD_LIMIT: usize = 64;
const PROPERTIES: &str = "--property=LoadState,ActiveState,SubState,InvocationID,MainPID,ExecMainStartTimestampMonotonic,ActiveEnterTimestampMonotonic,NRestarts,Result,UnitFileState,ExecStart,Environment,EnvironmentFiles";
/// The flags of etcd that tell who takes part; no other word of a command line or an environment is kept.
const TOLD: [&str; 4] = ["name", "initial-cluster", "initial-advertise-peer-urls", "advertise-client-urls"];
/// The largest file with an environment that is read.
const ENVIRONMENT_LIMIT: u64 = 64 * 1024;

/// Asks systemd about a unit.
pub(crate) fn observe(unit: &str, patience: Duration, clock: fn() -> Timestamp) -> Seen<UnitFacts> {
    let arguments = ["show", "--no-pager", PROPERTIES, "--", unit].map(str::to_owned);
    match program::read(Path::new("systemctl"), &arguments, patience) {
        Ok(text) => {
            let now = clock();
            facts(&text, (before(now, ClockId::Monotonic), now), &environment_file)
        }
        Err(error) => Seen::Unknown { reason: error.to_string() },
    }
}

/// Reads the properties. Systemd counts from `origin`.
fn facts(
    text: &str,
    (origin, now): (Timestamp, Timestamp),
    file: &dyn Fn(&str) -> Option<String>,
) -> Seen<UnitFacts> {
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
    let moment = |name: &str| {
        let microseconds: i64 = word(name)?.parse().ok().filter(|microseconds| *microseconds > 0)?;
        let since = SignedDuration::from_micros(microseconds);
        origin.checked_add(since).ok()?.round(jiff::Unit::Millisecond).ok()
    };
    let started = moment("ExecMainStartTimestampMonotonic");
    // One that was reloaded has been active for longer than its process runs, and one that says itself when it is ready for less.
    let up_since = moment("ActiveEnterTimestampMonotonic").max(started).filter(|_| active_state == "active");
    let up = up_since.map(|since| now.duration_since(since).as_secs());
    Seen::Present(UnitFacts {
        active_state,
        sub_state,
        invocation_id: word("InvocationID"),
        main_pid: word("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid != 0),
        started,
        restarts: word("NRestarts").and_then(|number| number.parse().ok()),
        up_seconds: up.map(|seconds| u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)),
        result: word("Result"),
        unit_file_state: word("UnitFileState"),
        flags: flags(text, file),
    })
}

/// What a unit is started with, as far as it tells who takes part in etcd: its environment, and its command line, which wins (etcd, "Configuration options").
fn flags(text: &str, file: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let properties = || text.lines().filter_map(|line| line.split_once('='));
    let mut flags = BTreeMap::new();
    let mut keep = |flag: &str, value: &str| {
        if TOLD.contains(&flag) {
            flags.insert(flag.to_owned(), value.trim().trim_matches(['"', '\'']).to_owned());
        }
    };
    let mut variable = |assignment: &str| {
        let Some((name, value)) = assignment.trim().trim_start_matches(['"', '\'']).split_once('=') else {
            return;
        };
        if let Some(flag) = name.strip_prefix("ETCD_") {
            keep(&flag.to_ascii_lowercase().replace('_', "-"), value);
        }
    };
    for (_, words) in properties().filter(|(name, _)| *name == "Environment") {
        words.split_whitespace().for_each(&mut variable);
    }
    for (_, named) in properties().filter(|(name, _)| *name == "EnvironmentFiles") {
        let path = named.rsplit_once(" (").map_or(named, |(path, _)| path);
        let text = file(path).unwrap_or_default();
        text.lines().filter(|line| !line.trim_start().starts_with('#')).for_each(&mut variable);
    }
    for (_, command) in properties().filter(|(name, _)| *name == "ExecStart") {
        let arguments = command.split_once("argv[]=").map_or("", |(_, rest)| rest);
        let arguments = arguments.split_once(" ;").map_or(arguments, |(arguments, _)| arguments);
        let mut words = arguments.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
            match flag.split_once('=') {
                Some((flag, value)) => keep(flag, value),
                None => {
                    if let Some(value) = words.next_if(|next| !next.starts_with('-')) {
                        keep(flag, value);
                    }
                }
            }
        }
    }
    flags
}

/// A file that a unit of systemd takes its environment from.
#[expect(clippy::disallowed_methods, reason = "reads a file that systemd names")]
fn environment_file(path: &str) -> Option<String> {
    let is_small = |file: &std::fs::Metadata| file.is_file() && file.len() <= ENVIRONMENT_LIMIT;
    std::fs::metadata(path).ok().filter(is_small)?;
    std::fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "MainPID=812\nExecMainStartTimestampMonotonic=2000000\nLoadState=loaded\nActiveState=active\nSubState=running\nInvocationID=3aa0b7c1\n";

    const EPOCH: (Timestamp, Timestamp) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);

    #[test]
    fn a_running_unit_is_told_with_its_start() {
        let origin: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let facts = facts(RUNNING, (origin, origin), &|_| None);
        let unit = facts.shown().unwrap();
        assert!(unit.is_active());
        assert_eq!((unit.main_pid, unit.sub_state.as_str()), (Some(812), "running"));
        assert_eq!(unit.invocation_id.as_deref(), Some("3aa0b7c1"));
        assert_eq!(unit.started.unwrap().to_string(), "2026-12-01T00:00:02Z");
    }

    #[test]
    fn a_unit_that_never_ran_has_no_process() {
        let text = "MainPID=0\nExecMainStartTimestampMonotonic=0\nLoadState=loaded\nActiveState=inactive\nSubState=dead\nInvocationID=\n";
        let facts = facts(text, EPOCH, &|_| None);
        let unit = facts.shown().unwrap();
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
            let unit = facts(&text, EPOCH, &|_| None);
            assert_eq!(unit.shown().unwrap().is_wanted(), wanted, "{text}");
        }
    }

    #[test]
    fn a_unit_that_systemd_starts_again_and_again_never_counts_as_running() {
        let origin: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        // What `systemctl show` says of a kubelet (1.20.2) whose client certificate has expired, at two moments of eleven seconds.
        let moments = |restarts: u32, active: bool| {
            let state = if active { "active\nSubState=running" } else { "activating\nSubState=auto-restart" };
            let result = if active { "success" } else { "exit-code" };
            format!(
                "MainPID=9\nExecMainStartTimestampMonotonic=70000000\nActiveEnterTimestampMonotonic=70000000\n\
                 NRestarts={restarts}\nResult={result}\nLoadState=loaded\nActiveState={state}\nUnitFileState=enabled\n"
            )
        };
        let seen = |text: &str, second: i64| {
            let now = origin + SignedDuration::from_secs(second);
            let facts = facts(text, (origin, now), &|_| None);
            let unit = facts.shown().unwrap().clone();
            (unit.is_up(), unit.is_active(), unit.keeps_failing(), unit.is_wanted())
        };
        assert_eq!(seen(&moments(512, true), 70), (true, false, true, true));
        assert_eq!(seen(&moments(512, false), 75), (false, false, true, true));
        assert_eq!(seen(&moments(512, true), 80), (true, true, false, true), "it has come to stay");
        assert_eq!(seen(&moments(0, true), 70), (true, true, false, true), "somebody has just started it");
        // Before 235 systemd does not count.
        let old = moments(1, true).replace("NRestarts=1\n", "");
        assert_eq!(seen(&old, 70), (true, true, false, true));
    }

    #[test]
    fn no_unit_is_absent_and_no_answer_is_unknown() {
        let missing = RUNNING.replace("loaded", "not-found");
        assert_eq!(facts(&missing, EPOCH, &|_| None), Seen::Absent);
        assert!(matches!(facts("", EPOCH, &|_| None), Seen::Unknown { .. }));
        assert!(matches!(facts("ActiveState", EPOCH, &|_| None), Seen::Unknown { .. }));
    }

    #[test]
    fn what_tells_who_takes_part_in_etcd_is_kept_and_nothing_else() {
        let text = format!(
            "{RUNNING}Environment=ETCD_NAME=old ETCD_PASSWORD=hunter2\nEnvironmentFiles=/etc/etcd.env (ignore_errors=no)\n\
             ExecStart={{ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd --name n1 --listen-peer-urls=https://10.0.0.1:2380 --token hunter2 ; ignore_errors=no }}\n"
        );
        let file = |path: &str| {
            assert_eq!(path, "/etc/etcd.env");
            let text = "# ETCD_NAME=none\nETCD_INITIAL_CLUSTER=\"n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380\"\nSECRET=hunter2\n";
            Some(text.to_owned())
        };
        let facts = facts(&text, EPOCH, &file);
        let flags = &facts.shown().unwrap().flags;
        assert_eq!(flags["name"], "n1", "the command line wins");
        assert_eq!(flags["initial-cluster"], "n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380");
        assert_eq!(flags.len(), 2);
    }
}
