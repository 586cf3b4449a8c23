//! Gates looked for on a node.
//!
//! What enters is [gates](Gate) and the node; what leaves is that they hold, or which do not and why. It only looks. Every wait has an end.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::HostError;
use super::live::{etcd, tls, unit};
use super::observe::Look;
use super::program;
use jiff::Timestamp;

use crate::gate::Gate;
use crate::observed::{EtcdQuestion, Probe, Seen};
use crate::x509::{Sha256, pem};

/// The service whose members are asked.
const ETCD: &str = "etcd";

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);

/// How often a gate that does not hold is looked for again.
const PAUSE: Duration = Duration::from_millis(200);

/// The gates that hold now.
pub(super) fn holding(node: &impl Look, gates: &BTreeSet<Gate>) -> BTreeSet<Gate> {
    gates.iter().filter(|gate| node.holds(gate).is_ok()).cloned().collect()
}

/// Whether a gate holds, or why not.
pub(super) fn holds(node: &impl Look, gate: &Gate) -> Result<(), String> {
    match gate {
        Gate::Active { unit } => {
            let arguments = ["is-active", "--quiet", "--", unit].map(str::to_owned);
            program::run(Path::new("systemctl"), &arguments, None, LOOK).map_err(|error| error.to_string())
        }
        Gate::Started { unit } => started(unit),
        Gate::EtcdQuorum { address, port, certificate, key } => {
            let (certificate, key) = (certificate.clone(), key.clone());
            follows_a_leader(node, SocketAddr::new(*address, *port), (certificate, key))
        }
        Gate::Listens { address, port } => shown(*address, *port).map(|_| ()),
        Gate::Serves { address, port, certificate } => {
            let wanted = first_certificate(node, certificate)?;
            let shown = shown(*address, *port)?;
            if shown == wanted {
                Ok(())
            } else {
                Err(format!("it shows sha256:{shown}, and the file has sha256:{wanted}"))
            }
        }
    }
}

/// Whether systemd has started a unit or is about to. One that is to be started again because it failed is neither.
fn started(unit: &str) -> Result<(), String> {
    match unit::observe(unit, LOOK, || Timestamp::UNIX_EPOCH) {
        Seen::Present(facts) if facts.is_active() => Ok(()),
        Seen::Present(facts) if facts.active_state == "activating" && facts.sub_state != "auto-restart" => {
            Ok(())
        }
        Seen::Present(facts) => Err(format!("it is {} ({})", facts.active_state, facts.sub_state)),
        Seen::Absent | Seen::Dangling { .. } | Seen::Looping { .. } => {
            Err("systemd knows no such unit".to_owned())
        }
        Seen::Unknown { reason } => Err(reason),
    }
}

fn follows_a_leader(
    node: &impl Look,
    address: SocketAddr,
    (certificate, key): (String, String),
) -> Result<(), String> {
    let question =
        EtcdQuestion { service: ETCD.parse().map_err(|_| ETCD)?, port: address.port(), certificate, key };
    match etcd::observe(&question, node, &[address], Instant::now() + LOOK) {
        Seen::Present(facts) => match facts.own_status() {
            Some(own) if own.leader.is_some() => Ok(()),
            Some(_) => Err("it has no leader".to_owned()),
            None => Err("it does not say how it is".to_owned()),
        },
        Seen::Absent | Seen::Dangling { .. } | Seen::Looping { .. } => Err("it gives no answer".to_owned()),
        Seen::Unknown { reason } => Err(reason),
    }
}

/// The digest of the certificate that is shown.
fn shown(address: IpAddr, port: u16) -> Result<Sha256, String> {
    match tls::probe(SocketAddr::new(address, port), None, Instant::now() + LOOK) {
        Probe::Served(served) => Ok(*served.certificate.fingerprint()),
        Probe::Refused => Err("the connection is refused".to_owned()),
        Probe::NotListening => Err("nothing listens".to_owned()),
        Probe::Unknown { reason } => Err(reason),
    }
}

/// The digest of the first certificate of a file.
fn first_certificate(node: &impl Look, path: &str) -> Result<Sha256, String> {
    let bytes = super::visit::read(node, path).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("{path} is not there"))?;
    let items = pem::read(bytes.reveal());
    let first = items.certificates().next().ok_or_else(|| format!("{path} has no certificate"))?;
    Ok(*first.fingerprint())
}

/// Waits until all gates hold and have held for `settle`.
pub(super) fn wait(
    node: &impl Look,
    gates: &BTreeSet<Gate>,
    settle: Duration,
    timeout: Duration,
) -> Result<(), HostError> {
    let start = Instant::now();
    let mut since = None;
    loop {
        let reasons: Vec<String> = gates
            .iter()
            .filter_map(|gate| node.holds(gate).err().map(|reason| format!("not so: {gate} ({reason})")))
            .collect();
        if reasons.is_empty() {
            let since: Instant = *since.get_or_insert_with(Instant::now);
            if since.elapsed() >= settle {
                return Ok(());
            }
        } else {
            since = None;
            if start.elapsed() >= timeout {
                return Err(HostError::NotHealthy { reasons, seconds: timeout.as_secs() });
            }
        }
        std::thread::sleep(PAUSE);
    }
}
