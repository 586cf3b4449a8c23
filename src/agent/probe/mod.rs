//! What runs on this machine: who listens, what is served, which process that is, and what systemd says of it.
//!
//! What enters is a [`LiveRequest`] and the facts of the node's files, whose manifests may move ports; what leaves is [`ServiceFacts`] and what etcd says. Everything is looked at
//! from the machine itself, all at the same time, and nothing waits longer than [`PATIENCE`], but for the end of an election of etcd. It changes nothing: handshakes without a client
//! certificate, questions to etcd with one, and reading below `/proc`.

pub mod dumps;
pub(super) mod etcd;
pub(crate) mod health_checks;
pub(crate) mod http_request;
pub(super) mod listeners;
pub(crate) mod program;
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests have the openssl program make certificates and serve them"
)]
pub(super) mod tests;
pub(super) mod tls;
pub(super) mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::agent::fs::lookup::Lookup;
use crate::protocol::facts::{
    EndpointFacts, EndpointQuestion, LiveRequest, NodeFacts, Probe, ProcessFacts, Seen, ServiceFacts,
};
use crate::types::names::ServiceName;
use listeners::{Listener, Listeners};

/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most endpoints that are looked at on one node: several times what any has.
const ENDPOINT_LIMIT: usize = 64;

/// Adds what runs to the facts of this machine, whose files are in `tree`. `clock` is its own.
pub(super) fn observe(
    facts: &mut NodeFacts,
    request: &LiveRequest,
    tree: &(impl Lookup + Sync),
    clock: fn() -> Timestamp,
) {
    let deadline = Instant::now() + PATIENCE;
    let listeners = Listeners::read();
    let mut dials: Vec<EndpointCall<'_>> = Vec::new();
    for (service, question) in &request.services {
        for endpoint in &question.endpoints {
            dials.extend(dials_of(Some(service), endpoint, facts, &listeners));
        }
    }
    dials.extend(request.consumers.iter().flat_map(|port| dials_of(None, port, facts, &listeners)));
    dials.truncate(ENDPOINT_LIMIT);
    let member: Vec<SocketAddr> = match &request.etcd {
        Some(etcd) => {
            let ports = dials
                .iter()
                .filter(|dial| dial.service == Some(&etcd.service) && dial.question.port == etcd.port);
            ports.flat_map(EndpointCall::addresses).collect()
        }
        None => Vec::new(),
    };
    let sockets: BTreeSet<u64> = dials.iter().flat_map(EndpointCall::sockets).collect();
    let mut services: BTreeMap<ServiceName, ServiceFacts> = BTreeMap::new();
    std::thread::scope(|scope| {
        let units: Vec<_> = request
            .services
            .iter()
            .filter_map(|(service, question)| Some((service, question.unit.as_deref()?)))
            .map(|(service, unit)| (service, scope.spawn(move || unit::observe(unit, PATIENCE, clock))))
            .collect();
        let probes: Vec<_> =
            dials.iter().map(|dial| (dial, scope.spawn(move || dial.probe(deadline)))).collect();
        let etcd =
            request.etcd.as_ref().map(|etcd| scope.spawn(|| etcd::observe(etcd, tree, &member, deadline)));
        let processes = listeners::processes(&sockets, deadline, clock);
        for service in request.services.keys() {
            services.insert(service.clone(), ServiceFacts::default());
        }
        for (service, unit) in units {
            let broke_off = || Seen::Unknown { reason: "the look at it broke off".to_owned() };
            if let Some(facts) = services.get_mut(service) {
                facts.unit = Some(unit.join().unwrap_or_else(|_| broke_off()));
            }
        }
        if let Some(etcd) = etcd {
            let broke_off = |_| Seen::Unknown { reason: "the look at it broke off".to_owned() };
            facts.etcd = etcd.join().unwrap_or_else(broke_off);
        }
        for (dial, probe) in probes {
            let broke_off = |_| (None, Probe::Unknown { reason: "the look at it broke off".to_owned() });
            let seen = dial.facts(probe.join().unwrap_or_else(broke_off), &processes);
            match dial.service {
                Some(service) => {
                    services.entry(service.clone()).or_default().endpoints.push(seen);
                }
                None => facts.consumers.push(seen),
            }
        }
    });
    facts.services = services;
}

/// One address that is called, and for whom.
struct EndpointCall<'a> {
    /// None for somebody who is not managed here.
    service: Option<&'a ServiceName>,
    question: &'a EndpointQuestion,
    port: u16,
    target: Reached,
}

enum Reached {
    /// A socket listens there. Some that listen on all addresses are reached at one of two.
    Listening { socket: u64, addresses: Vec<IpAddr> },
    /// Nothing listens on the port.
    Nothing,
    /// It is not known who listens, so it is tried.
    Unseen { address: IpAddr, reason: String },
}

fn dials_of<'a>(
    service: Option<&'a ServiceName>,
    question: &'a EndpointQuestion,
    facts: &NodeFacts,
    listeners: &Result<Listeners, String>,
) -> Vec<EndpointCall<'a>> {
    let moved = facts
        .manifests()
        .find_map(|(_, manifest)| Some(manifest.container(service?.as_str())?.listening(question.port)));
    let ports: BTreeSet<(u16, Option<IpAddr>)> = match moved {
        Some(moved) if !moved.is_empty() => moved.into_iter().collect(),
        Some(_) | None => [(question.port, None)].into(),
    };
    let mut dials: Vec<EndpointCall<'a>> = Vec::new();
    for (port, address) in ports {
        let dial = |target| EndpointCall { service, question, port, target };
        match listeners {
            Ok(listeners) => {
                let found: Vec<&Listener> = listeners.on(port).filter(|it| it.answers(address)).collect();
                if found.is_empty() {
                    dials.push(dial(Reached::Nothing));
                }
                dials.extend(found.into_iter().map(|listener| {
                    let addresses = match address {
                        Some(address) => vec![address],
                        None => reached_at(listener.address),
                    };
                    dial(Reached::Listening { socket: listener.socket, addresses })
                }));
            }
            Err(reason) => {
                let addresses = match address {
                    Some(address) => vec![address],
                    None => question.addresses.clone(),
                };
                let unseen = |address| dial(Reached::Unseen { address, reason: reason.clone() });
                dials.extend(addresses.into_iter().map(unseen));
            }
        }
    }
    dials
}

/// From the machine itself a socket for all addresses is reached at the loopback. One of IPv6 answers IPv4 too unless it was told not to.
fn reached_at(address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => vec![Ipv4Addr::LOCALHOST.into()],
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        IpAddr::V4(_) | IpAddr::V6(_) => vec![address],
    }
}

impl EndpointCall<'_> {
    fn sockets(&self) -> Option<u64> {
        match self.target {
            Reached::Listening { socket, .. } => Some(socket),
            Reached::Nothing | Reached::Unseen { .. } => None,
        }
    }

    /// Where it is called.
    fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = match &self.target {
            Reached::Listening { addresses, .. } => addresses.as_slice(),
            Reached::Unseen { address, .. } => std::slice::from_ref(address),
            Reached::Nothing => &[],
        };
        addresses.iter().map(|address| SocketAddr::new(*address, self.port)).collect()
    }

    /// Calls it. Of several addresses the first one counts that does not refuse.
    fn probe(&self, deadline: Instant) -> (Option<IpAddr>, Probe) {
        let call = |address: IpAddr| {
            let socket = SocketAddr::new(address, self.port);
            (Some(address), tls::probe(socket, self.question.server_name.as_deref(), deadline))
        };
        match &self.target {
            Reached::Nothing => (None, Probe::NotListening),
            Reached::Unseen { address, .. } => call(*address),
            Reached::Listening { addresses, .. } => {
                let mut answers = addresses.iter().map(|address| call(*address));
                let first = answers.next().unwrap_or((None, Probe::NotListening));
                if first.1 == Probe::Refused {
                    answers.find(|(_, probe)| *probe != Probe::Refused).unwrap_or(first)
                } else {
                    first
                }
            }
        }
    }

    fn facts(
        &self,
        (address, probe): (Option<IpAddr>, Probe),
        processes: &Result<BTreeMap<u64, ProcessFacts>, String>,
    ) -> EndpointFacts {
        let unknown = |reason: &str| Seen::Unknown { reason: reason.to_owned() };
        let process = match (&self.target, processes) {
            (Reached::Nothing, _) => Seen::Absent,
            (Reached::Unseen { reason, .. }, _) | (Reached::Listening { .. }, Err(reason)) => unknown(reason),
            (Reached::Listening { socket, .. }, Ok(processes)) => match processes.get(socket) {
                Some(process) => Seen::Present(process.clone()),
                None => unknown("no process that holds the socket can be seen"),
            },
        };
        EndpointFacts {
            port: self.port,
            address,
            serves: self.question.serves.clone(),
            server_name: self.question.server_name.clone(),
            probe,
            process,
        }
    }
}
