//! Whether what was to be restarted is another process than before, and stays the same one from then on.
//!
//! What enters is what was seen just before the restart, which the journal keeps; what leaves is that a newer process has taken the place of the old one,
//! and which one that is. Processes are known by their number and their start, counted by a clock that nobody sets. It only looks.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::probe::listeners;
use crate::agent::probe::listeners::Instance;
use crate::agent::probe::unit;
use crate::protocol::facts::{Seen, UnitFacts};
use crate::protocol::health_check::HealthCheck;

/// What was there before a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Before {
    /// The gate that it is for.
    pub(crate) gate: HealthCheck,
    /// The start of the machine.
    boot: String,
    /// The ticks since then; what starts later is new.
    ticks: u64,
    /// The processes that must go.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    processes: BTreeSet<Instance>,
    /// The processes that may stay: those of the time before the transaction.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    may_stay: BTreeSet<Instance>,
    /// The invocation of the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invocation: Option<String>,
}

impl Before {
    /// Whether there was a process that must go.
    pub(crate) fn is_watched(&self) -> bool {
        !self.processes.is_empty()
    }
}

/// What is done so that something is started anew.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Replaced<'a> {
    /// A file is changed, which may be the manifest of a static pod.
    By { path: &'a str },
    /// A program is run, which may restart a unit.
    Program { argv: &'a [String] },
}

impl Replaced<'_> {
    /// Whether it is what a gate waits for.
    pub(crate) fn is_of(self, gate: &HealthCheck) -> bool {
        match (gate, self) {
            (HealthCheck::Replaced { manifest, .. }, Self::By { path }) => manifest == path,
            (HealthCheck::Restarted { unit }, Self::Program { argv }) => argv.last() == Some(unit),
            (
                HealthCheck::Active { .. }
                | HealthCheck::Listens { .. }
                | HealthCheck::Serves { .. }
                | HealthCheck::Started { .. }
                | HealthCheck::Restarted { .. }
                | HealthCheck::Replaced { .. }
                | HealthCheck::Etcd { .. }
                | HealthCheck::Http { .. }
                | HealthCheck::Ready { .. }
                | HealthCheck::Accepts(_),
                Self::By { .. } | Self::Program { .. },
            ) => false,
        }
    }
}

/// Looks at what a restart is about to replace; none where the gate is about no restart, or where nothing can be seen. When it is taken back, the way there is known:
/// a process that it has not replaced yet has not seen anything new.
pub(crate) fn before(gate: &HealthCheck, there: Option<&Before>, patience: Duration) -> Option<Before> {
    let (boot, ticks) = listeners::moment().ok()?;
    let none = |gate: &HealthCheck| Before {
        gate: gate.clone(),
        boot,
        ticks,
        processes: BTreeSet::new(),
        may_stay: BTreeSet::new(),
        invocation: None,
    };
    match gate {
        HealthCheck::Replaced { address, port, .. } => {
            let may_stay = there.map(|there| there.processes.clone()).unwrap_or_default();
            let found = listeners::holders(*address, *port).unwrap_or_default();
            let processes = found.difference(&may_stay).copied().collect();
            Some(Before { processes, may_stay, ..none(gate) })
        }
        HealthCheck::Restarted { unit } => {
            let invocation = facts(unit, patience).ok().and_then(|facts| facts.invocation_id);
            Some(Before { invocation, ..none(gate) })
        }
        HealthCheck::Active { .. }
        | HealthCheck::Listens { .. }
        | HealthCheck::Serves { .. }
        | HealthCheck::Started { .. }
        | HealthCheck::Etcd { .. }
        | HealthCheck::Http { .. }
        | HealthCheck::Ready { .. }
        | HealthCheck::Accepts(_) => None,
    }
}

/// What still listens at the port of a pod, in words; none when the port is free. A process that does not listen any more is in nobody's way, and may stay for
/// long: kube-apiserver 1.20 goes on with its watches until the kubelet kills it, 30 s after it asked it to end (`terminationGracePeriodSeconds`). Waiting for its end
/// took 36 s without an API server on a kubeadm node, waiting for its port 7 s, of which 6 are its start.
pub(crate) fn remains(before: &Before) -> Option<String> {
    let HealthCheck::Replaced { address, port, .. } = &before.gate else { return None };
    let at = SocketAddr::new(*address, *port);
    match listeners::holders(*address, *port) {
        // One that was started again before its manifest was missed is in the way as well.
        Ok(holders) => {
            let told = |process: &Instance| Some(format!("process {} ({})", process.pid, process.name()?));
            let process = holders.difference(&before.may_stay).find_map(told)?;
            Some(format!("{process} still listens on {at}"))
        }
        Err(reason) => Some(format!("{at} is still in use: {reason}")),
    }
}

/// What runs behind a gate that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Running {
    /// The processes that hold a port.
    Processes(BTreeSet<Instance>),
    /// The invocation of a unit.
    Invocation(String),
}

impl Running {
    /// What holds a port; none where it cannot be seen.
    pub(super) fn behind(address: IpAddr, port: u16) -> Option<Self> {
        let holders = listeners::holders(address, port).ok()?;
        (!holders.is_empty()).then_some(Self::Processes(holders))
    }

    /// The invocation of a unit, which must be active.
    pub(super) fn of_unit(unit: &str, patience: Duration) -> Result<Option<Self>, String> {
        let facts = facts(unit, patience)?;
        match facts.is_up() {
            true => Ok(facts.invocation_id.map(Self::Invocation)),
            false => Err(format!("it is {} ({})", facts.active_state, facts.sub_state)),
        }
    }

    /// What is still the same; none where something else runs. A server may exchange some of the processes that work for it.
    pub(super) fn common_with(&self, now: &Self) -> Option<Self> {
        match (self, now) {
            (Self::Processes(before), Self::Processes(now)) => {
                let common: BTreeSet<Instance> = before.intersection(now).copied().collect();
                (!common.is_empty()).then_some(Self::Processes(common))
            }
            (Self::Invocation(before), Self::Invocation(now)) => (before == now).then(|| self.clone()),
            (Self::Processes(_), Self::Invocation(_)) | (Self::Invocation(_), Self::Processes(_)) => None,
        }
    }
}

impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processes(processes) => {
                let numbers: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
                write!(f, "process {}", numbers.join(", "))
            }
            Self::Invocation(invocation) => write!(f, "invocation {invocation}"),
        }
    }
}

/// Whether only processes that started after the change hold a port. What is left of the old one is not waited for: nobody reaches it any more, but for those who
/// still watch through it, and these call the new one once the kubelet ends it.
pub(super) fn is_replaced(before: &Before, (address, port): (IpAddr, u16)) -> Result<(), String> {
    let (boot, _) = listeners::moment()?;
    let found = listeners::holders(address, port)?;
    if found.is_empty() {
        return Err("nothing listens".to_owned());
    }
    if boot != before.boot {
        return Ok(());
    }
    let is_old = |process: &Instance| process.ticks < before.ticks && !before.may_stay.contains(process);
    if let Some(Instance { pid, .. }) =
        found.iter().find(|process| is_old(process) || before.processes.contains(process))
    {
        return Err(format!("process {pid} from before the change still serves it"));
    }
    Ok(())
}

/// Whether a unit has been started anew.
pub(super) fn is_restarted(before: &Before, unit: &str, patience: Duration) -> Result<(), String> {
    match Running::of_unit(unit, patience)? {
        None => Err("systemd tells no invocation".to_owned()),
        Some(Running::Invocation(now)) if before.invocation.as_ref() == Some(&now) => {
            Err(format!("it is still the invocation {now}"))
        }
        Some(_) => Ok(()),
    }
}

fn facts(name: &str, patience: Duration) -> Result<UnitFacts, String> {
    // The time of its start is not looked at, so any clock does.
    match unit::observe(name, patience, || Timestamp::UNIX_EPOCH) {
        Seen::Present(facts) => Ok(facts),
        Seen::Unknown { reason } => Err(reason),
        Seen::Absent | Seen::Dangling { .. } | Seen::Looping { .. } => {
            Err("systemd knows no such unit".to_owned())
        }
    }
}
