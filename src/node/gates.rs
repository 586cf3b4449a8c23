//! Gates looked for on a node.
//!
//! What enters is [gates](Gate) and the node; what leaves is that they hold, or which do not and why. It only looks. Every wait has an end.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use super::error::HostError;
use super::live::tls;
use super::observe::Look;
use super::program;
use crate::gate::Gate;
use crate::observed::Probe;
use crate::x509::{Sha256, pem};

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
            if !node.changes_by_itself() {
                return Ok(());
            }
            let since: Instant = *since.get_or_insert_with(Instant::now);
            if since.elapsed() >= settle {
                return Ok(());
            }
        } else {
            since = None;
            if start.elapsed() >= timeout || !node.changes_by_itself() {
                return Err(HostError::NotHealthy { reasons, seconds: timeout.as_secs() });
            }
        }
        std::thread::sleep(PAUSE);
    }
}
