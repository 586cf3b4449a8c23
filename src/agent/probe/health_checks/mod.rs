//! Gates looked for on a node.
//!
//! What enters is [health checks](HealthCheck) and the node; what leaves is that they hold, or which do not and why. It only looks: handshakes, one request on each
//! connection, questions to etcd that need no quorum. Files are read first, one after the other; then all health checks are looked for at the same time. Every wait has an end.

mod call;
mod replaced;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make certificates and start servers")]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use rustls::ClientConfig;

use crate::agent::fs::lookup::{Lookup, read};
use crate::agent::probe::etcd::EtcdClient;
use crate::agent::probe::http_request::{Answer, Failure, Request};
use crate::agent::probe::{tls, unit};
use crate::files::confined::Tree;
use crate::protocol::error::HostError;
use crate::protocol::facts::{EtcdFacts, MemberStatus, Probe, Seen};
use crate::protocol::health_check::HealthCheck;
use crate::x509::{Sha256, pem};
pub(crate) use replaced::{Before, Replaced, Running, before, remains};

/// How long one look may take.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// How often a gate that does not hold is looked for again.
pub(crate) const PAUSE: Duration = Duration::from_millis(200);

/// Most gates that are looked for at the same time.
const AT_ONCE: usize = 32;

/// Longest part of an answer that is told.
const TOLD: usize = 200;

/// What an API server answers who is nobody, where anonymous access is switched off (`--anonymous-auth=false`) or given no right to ask.
const STRANGERS_REFUSED: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];

/// A node on which gates can be looked for.
pub(crate) trait Checks: Lookup + Sized {
    /// Looks once whether gates hold.
    fn look_at(&self, gates: &BTreeSet<HealthCheck>) -> Glance {
        look_at(self, gates, &[])
    }

    /// Whether a gate that does not hold may hold a little later, so that waiting makes sense.
    fn changes_by_itself(&self) -> bool {
        true
    }
}

impl Checks for Tree {}

/// What one look at gates has shown.
#[derive(Debug, Default)]
pub(crate) struct Glance {
    /// The gates that do not hold, and why.
    pub(crate) failing: Vec<(HealthCheck, String)>,
    /// What runs behind them, where that is seen; looked for only where all of them hold.
    pub(crate) running: BTreeMap<HealthCheck, Running>,
}

/// The gates that hold now.
pub(crate) fn holding(node: &impl Checks, gates: &BTreeSet<HealthCheck>) -> BTreeSet<HealthCheck> {
    let failing: BTreeSet<HealthCheck> =
        node.look_at(gates).failing.into_iter().map(|(gate, _)| gate).collect();
    gates.difference(&failing).cloned().collect()
}

/// A look for which nothing has to be read any more.
type Ready = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// Looks once whether gates hold. `restarts` is what was there before what this transaction has restarted so far, the last word about each gate.
pub(crate) fn look_at(node: &impl Lookup, gates: &BTreeSet<HealthCheck>, restarts: &[Before]) -> Glance {
    let mut glance = Glance::default();
    let mut ready: Vec<(&HealthCheck, Ready)> = Vec::new();
    for gate in gates {
        match prepare(node, gate, restarts) {
            Ok(look) => ready.push((gate, look)),
            Err(reason) => glance.failing.push((gate.clone(), reason)),
        }
    }
    while !ready.is_empty() {
        let rest = ready.split_off(ready.len().min(AT_ONCE));
        std::thread::scope(|scope| {
            let looks: Vec<_> = ready.into_iter().map(|(gate, look)| (gate, scope.spawn(look))).collect();
            for (gate, look) in looks {
                let held = look.join().unwrap_or_else(|_| Err("the look at it broke off".to_owned()));
                glance.failing.extend(held.err().map(|reason| (gate.clone(), reason)));
            }
        });
        ready = rest;
    }
    if glance.failing.is_empty() {
        glance.running = gates.iter().filter_map(|gate| Some((gate.clone(), behind(gate)?))).collect();
    }
    glance
}

/// What runs behind a gate that holds, where that is seen.
fn behind(gate: &HealthCheck) -> Option<Running> {
    match gate {
        HealthCheck::Active { unit } | HealthCheck::Restarted { unit } => {
            Running::of_unit(unit, LOOK).ok()?
        }
        HealthCheck::Listens { address, port }
        | HealthCheck::Serves { address, port, .. }
        | HealthCheck::Replaced { address, port, .. }
        | HealthCheck::Etcd { address, port, .. } => Running::behind(*address, *port),
        // Where members of etcd wait for each other it is no fault to give up and be started once more; what is called may be another machine.
        HealthCheck::Started { .. }
        | HealthCheck::Http { .. }
        | HealthCheck::Ready { .. }
        | HealthCheck::Accepts(_) => None,
    }
}

/// Reads what a gate needs of the node's files.
fn prepare(node: &impl Lookup, gate: &HealthCheck, restarts: &[Before]) -> Result<Ready, String> {
    let last = || restarts.iter().rev().find(|before| before.gate == *gate).cloned();
    let not_restarted = || "nothing was restarted".to_owned();
    match gate.clone() {
        HealthCheck::Active { unit } => Ok(Box::new(move || Running::of_unit(&unit, LOOK).map(drop))),
        HealthCheck::Started { unit } => Ok(Box::new(move || started(&unit))),
        HealthCheck::Listens { address, port } => Ok(Box::new(move || shown(address, port).map(drop))),
        HealthCheck::Serves { address, port, certificate } => {
            let wanted = first_certificate(node, &certificate)?;
            Ok(Box::new(move || match shown(address, port)? {
                shown if shown == wanted => Ok(()),
                shown => Err(format!("it shows sha256:{shown}, and the file has sha256:{wanted}")),
            }))
        }
        HealthCheck::Restarted { unit } => {
            let before = last().ok_or_else(not_restarted)?;
            Ok(Box::new(move || replaced::is_restarted(&before, &unit, LOOK)))
        }
        HealthCheck::Replaced { address, port, .. } => {
            let before = last().ok_or_else(not_restarted)?;
            Ok(Box::new(move || replaced::is_replaced(&before, (address, port))))
        }
        HealthCheck::Etcd { address, port, certificate, key } => {
            let asker = EtcdClient::prepare(&certificate, &key, node)?;
            Ok(Box::new(move || keeps_up(&asker, SocketAddr::new(address, port))))
        }
        HealthCheck::Http { tls, address, port, path } => {
            let config = if tls { Some(any_server()?) } else { None };
            Ok(Box::new(move || answers(config, (address, port), &path, &[])))
        }
        HealthCheck::Ready { address, port, path } => {
            let config = Some(any_server()?);
            Ok(Box::new(move || answers(config, (address, port), &path, &STRANGERS_REFUSED)))
        }
        HealthCheck::Accepts(call) => {
            let call = call::prepare(node, &call)?;
            Ok(Box::new(move || call.make(LOOK)))
        }
    }
}

/// Whether systemd has started a unit or is about to. One that is to be started again because it failed is neither.
fn started(unit: &str) -> Result<(), String> {
    match unit::observe(unit, LOOK, || Timestamp::UNIX_EPOCH) {
        Seen::Present(facts) if facts.is_up() => Ok(()),
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
fn first_certificate(node: &impl Lookup, path: &str) -> Result<Sha256, String> {
    let bytes = read(node, path).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("{path} is not there"))?;
    let items = pem::read(bytes.reveal());
    let first = items.certificates().next().ok_or_else(|| format!("{path} has no certificate"))?;
    Ok(*first.fingerprint())
}

/// A TLS client that takes any server.
fn any_server() -> Result<Arc<ClientConfig>, String> {
    let sight = Arc::new(tls::ServerHello::new());
    let config = ClientConfig::builder_with_provider(sight.provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(sight)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Whether a path answers 200, or what else is as good.
fn answers(
    tls: Option<Arc<ClientConfig>>,
    (address, port): (IpAddr, u16),
    path: &str,
    as_good: &[StatusCode],
) -> Result<(), String> {
    let host = address.to_string();
    match crate::agent::probe::http_request::get(&Request { host: &host, port, path, tls }, LOOK) {
        Ok(Answer { status: StatusCode::OK, .. }) => Ok(()),
        Ok(Answer { status, .. }) if as_good.contains(&status) => Ok(()),
        Ok(Answer { status, body }) => Err(format!("it answers {status}{}", troubles(&body))),
        Err(
            Failure::Unreached(cause) | Failure::Handshake { cause, .. } | Failure::NoAnswer { cause, .. },
        ) => Err(cause.to_string()),
    }
}

/// What an answer says is wrong. Kubernetes has a line for each check, and one that fails begins with `[-]` (apiserver `server/healthz`, 1.16 and later).
fn troubles(body: &str) -> String {
    let failed: Vec<&str> = body.lines().filter(|line| line.starts_with("[-]")).collect();
    let text = if failed.is_empty() { body.to_owned() } else { failed.join(", ") };
    let words =
        text.split(|one: char| one.is_whitespace() || one.is_control()).filter(|word| !word.is_empty());
    let told: String = words.collect::<Vec<_>>().join(" ").chars().take(TOLD).collect();
    if told.is_empty() { told } else { format!(": {told}") }
}

/// Whether a member follows a leader, has no alarm, and has applied what any member had committed at the look before.
fn keeps_up(asker: &EtcdClient, address: SocketAddr) -> Result<(), String> {
    let first = asker.ask(&[address], Instant::now() + LOOK)?;
    let own = status(&first)?;
    let others = first.members.values().filter_map(|member| member.status.known().ok()?);
    let committed = others.map(|status| status.raft_index).max().unwrap_or(own.raft_index);
    std::thread::sleep(PAUSE);
    let second = asker.ask(&[address], Instant::now() + LOOK)?;
    let applied = applied(status(&second)?);
    if applied < committed {
        return Err(format!("it has applied entry {applied}, and {committed} was committed before that"));
    }
    Ok(())
}

/// Before 3.4 a member does not tell what it has applied.
fn applied(status: &MemberStatus) -> u64 {
    if status.raft_applied_index == 0 { status.raft_index } else { status.raft_applied_index }
}

/// What a member says of itself, if there is nothing wrong with it.
fn status(etcd: &EtcdFacts) -> Result<&MemberStatus, String> {
    let own = etcd.own_status().ok_or("the member does not tell how it is")?;
    if own.leader.is_none() {
        return Err("the member has no leader".to_owned());
    }
    match own.alarms.first() {
        Some(alarm) => Err(format!("the member says: {alarm}")),
        None => Ok(own),
    }
}

/// Waits until all gates hold and have held for `settle`, all that time with the same processes: one that is started again and again answers at most
/// looks too. A process that is followed by another one begins the time anew, and is named should the wait end without success.
pub(crate) fn wait(
    node: &impl Checks,
    gates: &BTreeSet<HealthCheck>,
    settle: Duration,
    timeout: Duration,
) -> Result<(), HostError> {
    let start = Instant::now();
    let mut since = None;
    let mut known: BTreeMap<HealthCheck, Running> = BTreeMap::new();
    let mut followed: BTreeMap<HealthCheck, String> = BTreeMap::new();
    loop {
        let Glance { failing, running } = node.look_at(gates);
        let mut is_as_before = true;
        for (gate, now) in running {
            let before = known.get(&gate);
            let same = before.map_or(Some(now.clone()), |before| before.common_with(&now));
            if let (Some(before), None) = (before, &same) {
                is_as_before = false;
                followed.insert(gate.clone(), format!("it does not last: {before} was followed by {now}"));
            }
            known.insert(gate, same.unwrap_or(now));
        }
        if failing.is_empty() && is_as_before {
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
                let reasons = failing.into_iter().chain(followed);
                let reasons = reasons.map(|(gate, reason)| format!("not so: {gate} ({reason})")).collect();
                return Err(HostError::NotHealthy { reasons, seconds: timeout.as_secs() });
            }
        }
        std::thread::sleep(PAUSE);
    }
}
