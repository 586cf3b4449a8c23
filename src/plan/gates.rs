//! What is waited for before a node's work is kept, and from where it is looked at.
//!
//! What must hold in any case is what the plan itself brings about: a new process, the new certificate, a member of etcd that is healthy now. What a cluster may have
//! switched off, or what may not work for other reasons, must hold if it does before the node is touched: anonymous health checks, connections of peers
//! and clients. A client whose certificate has expired cannot connect before; its connection is required where the server answers and its own certificate is
//! valid. Nothing is called of nodes that are directories: on those nothing runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::desired::{DesiredHealth, DesiredNode, DesiredService, Storage};
use crate::duration::Duration;
use crate::gate::{Call, Gate, Shown, Trusted};
use crate::ids::{Address, IdentityName, NodeName, ServiceName, Subject};
use crate::observed::{ClientCertificate, EndpointFacts, EtcdFacts};
use crate::profile::{At, Dial, Held, Trusts, What};
use crate::request::live_request;
use crate::spec::types::Scheme;

use super::build::Builder;
use super::restarts::{Cause, is_silent};
use super::{Deed, Phase, RestartMethod, cold, quorum};

/// Most servers that a client's certificate is tried at: etcd advises seven members at most.
const TRIED: usize = 9;

/// What is waited for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Awaited {
    pub(super) gates: BTreeSet<Gate>,
    pub(super) kept: BTreeSet<Gate>,
    pub(super) elsewhere: BTreeMap<NodeName, BTreeSet<Gate>>,
}

impl Awaited {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

type Service<'a> = (&'a ServiceName, &'a DesiredService);
type Node<'a> = (&'a NodeName, &'a DesiredNode);

impl Builder<'_> {
    /// What shows that a restarted service works with what is new: its unit, another process than before, every port that answered before, and its own word. Of
    /// a member that waits for the others no more can be asked than that it has started to.
    pub(super) fn after_restart(
        &self,
        cause: &Cause<'_>,
        node: &DesiredNode,
        how: &RestartMethod,
    ) -> Awaited {
        let (service, node) = ((cause.service, cause.wanted), (cause.node, node));
        let mut awaited = Awaited::default();
        if cause.phase == Phase::Quorum && quorum::is_member(service.0) {
            awaited.gates.extend(match how {
                RestartMethod::Start { unit } => Some(Gate::Started { unit: unit.clone() }),
                RestartMethod::StaticPod { .. }
                | RestartMethod::Systemd { .. }
                | RestartMethod::Command { .. } => self.peer_gate(service.0, node.1),
            });
            return awaited;
        }
        awaited.gates.extend(self.served(service.0, node).into_iter().map(|(_, gate)| gate));
        match how {
            RestartMethod::Systemd { unit } => {
                awaited.gates.insert(Gate::Active { unit: unit.clone() });
                awaited.gates.insert(Gate::Restarted { unit: unit.clone() });
            }
            RestartMethod::Start { unit } => {
                awaited.gates.insert(Gate::Active { unit: unit.clone() });
            }
            RestartMethod::StaticPod { manifest } => {
                let sockets = self.answering(service.0, node.0);
                awaited.gates.extend(sockets.map(|(address, EndpointFacts { port, .. })| Gate::Replaced {
                    manifest: manifest.clone(),
                    address,
                    port: *port,
                }));
                awaited.gates.extend(self.silent(cause, node.1));
            }
            // Whether it restarts anything only it knows.
            RestartMethod::Command { .. } => {}
        }
        for (address, endpoint) in self.answering(service.0, node.0) {
            if endpoint.serves.as_ref().is_none_or(|identity| !node.1.identities.contains_key(identity)) {
                awaited.gates.insert(Gate::Listens { address, port: endpoint.port });
            }
        }
        self.add_health(service, node.0, &mut awaited);
        if quorum::is_member(service.0) {
            self.add_member(node, &mut awaited);
            self.add_peers(service, node, &|_| true, &mut awaited);
        }
        awaited
    }

    /// The ports of a pod that is dead, as they should answer once it runs.
    fn silent(&self, cause: &Cause<'_>, node: &DesiredNode) -> Vec<Gate> {
        let live = self.live(cause.node).and_then(|services| services.get(cause.service));
        let Some(live) = live.filter(|live| is_silent(live)) else { return Vec::new() };
        let gate = |endpoint: &EndpointFacts| {
            let wanted = cause.wanted.endpoints.iter().find(|wanted| wanted.serves == endpoint.serves);
            let bound = wanted.and_then(|wanted| wanted.bind.iter().find_map(|bind| bind.parse().ok()));
            let (address, port) =
                (endpoint.address.or(bound).or_else(|| cold::address(node))?, endpoint.port);
            let served = endpoint.serves.as_ref().and_then(|identity| node.identities.get(identity));
            Some(match served.map(|identity| identity.storage.certificate_path().to_owned()) {
                Some(certificate) => Gate::Serves { address, port, certificate },
                None => Gate::Listens { address, port },
            })
        };
        let own = live.endpoints.iter().filter(|endpoint| endpoint.server_name.is_none());
        own.filter_map(gate).collect()
    }

    /// What shows that a service has taken up by itself what is new.
    pub(super) fn after_reload(
        &self,
        service: Service<'_>,
        node: Node<'_>,
        renewed: &dyn Fn(&What) -> bool,
    ) -> Awaited {
        let mut awaited = Awaited::default();
        let served = self.served(service.0, node).into_iter();
        let served = served.filter(|(identity, _)| renewed(&What::Identity(identity.clone())));
        awaited.gates.extend(served.map(|(_, gate)| gate));
        if service.1.reads.iter().any(|read| renewed(&read.what)) {
            self.add_health(service, node.0, &mut awaited);
            if quorum::is_member(service.0) {
                self.add_member(node, &mut awaited);
                self.add_peers(service, node, renewed, &mut awaited);
            }
        }
        awaited
    }

    pub(super) fn await_healthy(
        &mut self,
        phase: Phase,
        address: Address,
        awaited: Awaited,
        settle: Duration,
    ) {
        if !awaited.is_empty() {
            let timeout = self.input.survey.desired.rollout.timeout;
            let Awaited { gates, mut kept, mut elsewhere } = awaited;
            if phase == Phase::Quorum {
                // While members start and give up again nothing that works by chance can be asked to go on.
                (kept, elsewhere) = (BTreeSet::new(), BTreeMap::new());
            }
            let deed = Deed::AwaitHealthy { gates, kept, elsewhere, settle, timeout };
            self.add_in(phase, address, deed, Vec::new(), false);
        }
    }

    /// Every client certificate that changes, and every one that is used with trust that changes, is tried at the servers that it is for.
    pub(super) fn await_clients(&mut self, phase: Phase, on: Node<'_>, changed: &dyn Fn(&What) -> bool) {
        let (name, node) = on;
        let mut by_identity: BTreeMap<IdentityName, Awaited> = BTreeMap::new();
        let of_services = node.services.values().flat_map(|service| &service.dials);
        let of_programs = node.programs.values().flatten();
        for dial in of_services.chain(of_programs) {
            // Peers are looked at together with their member.
            let Some(Held { identity, .. }) = dial.shows.as_ref().filter(|_| dial.at != At::Others) else {
                continue;
            };
            let shown = What::Identity(identity.clone());
            if !changed(&shown) && !dial.trusts.iter().any(|trusts| changed(&what(trusts))) {
                continue;
            }
            let address = Address { subject: Subject::Identity(identity.clone()), node: name.clone() };
            let of_identity = self.draft.on(name).iter().filter(|deed| deed.address == address);
            if self.is_torn(dial) || of_identity.clone().any(|deed| deed.phase == Phase::Quorum) {
                continue;
            }
            let awaited = by_identity.entry(identity.clone()).or_default();
            for (call, is_required) in self.calls(dial, (name, node)) {
                let gate = Gate::Accepts(Box::new(call));
                let set = if is_required { &mut awaited.gates } else { &mut awaited.kept };
                set.insert(gate);
            }
        }
        for (identity, awaited) in by_identity {
            let address = Address { subject: Subject::Identity(identity), node: name.clone() };
            self.await_healthy(phase, address, awaited, Duration::from_seconds(0));
        }
    }

    /// Whether a connection hangs on an authority that this plan makes one of two: what worked on one side of the rift must not.
    fn is_torn(&self, dial: &Dial) -> bool {
        let trusted = match &dial.trusts {
            Some(Trusts::Authority { authority, .. }) => Some(authority),
            Some(Trusts::Kubeconfig { .. }) | None => None,
        };
        trusted.into_iter().chain(&dial.admits).any(|authority| self.stays(authority).is_some())
    }

    /// The ports at which a service serves certificates of the node's files, with the identities.
    fn served(&self, service: &ServiceName, (name, node): Node<'_>) -> Vec<(IdentityName, Gate)> {
        let endpoints = self.answering(service, name);
        let served = endpoints.filter_map(|(address, endpoint)| {
            let identity = endpoint.serves.clone()?;
            let certificate = node.identities.get(&identity)?.storage.certificate_path().to_owned();
            Some((identity, Gate::Serves { address, port: endpoint.port, certificate }))
        });
        served.collect()
    }

    /// The ports of a service that answer with TLS now.
    fn answering(
        &self,
        service: &ServiceName,
        name: &NodeName,
    ) -> impl Iterator<Item = (IpAddr, &EndpointFacts)> {
        let facts = self.live(name).and_then(|services| services.get(service));
        let endpoints = facts.into_iter().flat_map(|facts| &facts.endpoints);
        endpoints.filter_map(|endpoint| {
            endpoint.probe.served()?;
            // What is served under a name of its own no file holds.
            if endpoint.server_name.is_some() { None } else { Some((endpoint.address?, endpoint)) }
        })
    }

    /// Where a port of the layout answers: there, or where the only port of the service is that was moved.
    fn answers_at(
        &self,
        service: Service<'_>,
        name: &NodeName,
        port: u16,
    ) -> Option<(IpAddr, &EndpointFacts)> {
        let only =
            service.1.endpoints.len() == 1 && service.1.endpoints.iter().all(|known| known.port == port);
        self.answering(service.0, name).find(|(_, endpoint)| only || endpoint.port == port)
    }

    /// What a service says of itself, where it runs and may be asked. Of one that is seen not to run only the user's own questions are asked: what need not
    /// answer now need not answer afterwards.
    fn add_health(&self, service: Service<'_>, name: &NodeName, awaited: &mut Awaited) {
        let Some(live) = self.live(name).and_then(|services| services.get(service.0)) else { return };
        let is_running = !is_silent(live) || !live.started().is_empty();
        for DesiredHealth { scheme, address, port, path, is_declared } in &service.1.health {
            if !is_declared && !is_running {
                continue;
            }
            let found = self.answers_at(service, name, *port);
            let closed = |(_, endpoint): &(IpAddr, &EndpointFacts)| {
                let served = endpoint.probe.served();
                served.is_some_and(|served| served.client == ClientCertificate::Required)
            };
            if !is_declared && found.as_ref().is_some_and(closed) {
                continue;
            }
            let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let (answers, moved) = found.map_or((loopback, *port), |(at, endpoint)| (at, endpoint.port));
            let gate = Gate::Http {
                tls: *scheme == Scheme::Https,
                address: address.unwrap_or(answers),
                port: if *is_declared { *port } else { moved },
                path: path.as_str().to_owned(),
            };
            let set = if *is_declared { &mut awaited.gates } else { &mut awaited.kept };
            set.insert(gate);
        }
    }

    fn etcd(&self, node: &NodeName) -> Option<&EtcdFacts> {
        self.input.survey.observed.nodes.get(node)?.facts()?.etcd.present()
    }

    /// The member itself. One that is not healthy now is required to be no worse.
    fn add_member(&self, (name, node): Node<'_>, awaited: &mut Awaited) {
        let Some(question) = live_request(node).etcd else { return };
        let Some(wanted) = node.services.get(&question.service) else { return };
        let Some((address, endpoint)) = self.answers_at((&question.service, wanted), name, question.port)
        else {
            return;
        };
        let gate =
            Gate::Etcd { address, port: endpoint.port, certificate: question.certificate, key: question.key };
        let own = self.etcd(name).and_then(EtcdFacts::own_status);
        let is_healthy = own.is_some_and(|own| own.leader.is_some() && own.alarms.is_empty());
        let set = if is_healthy { &mut awaited.gates } else { &mut awaited.kept };
        set.insert(gate);
    }

    /// The connections of a member with every other one, both ways.
    fn add_peers(
        &self,
        (service, wanted): Service<'_>,
        (name, node): Node<'_>,
        changed: &dyn Fn(&What) -> bool,
        awaited: &mut Awaited,
    ) {
        for dial in wanted.dials.iter().filter(|dial| dial.to == *service && dial.at == At::Others) {
            let shown = dial.shows.iter().map(|held| What::Identity(held.identity.clone()));
            if self.is_torn(dial) || !shown.chain(dial.trusts.iter().map(what)).any(|what| changed(&what)) {
                continue;
            }
            let peers = self.peers(dial, service, name, node);
            awaited.kept.extend(peers.into_iter().map(|call| Gate::Accepts(Box::new(call))));
            for (other, wanted) in &self.input.survey.desired.nodes {
                let Some(theirs) = wanted.services.get(service).filter(|_| other != name) else { continue };
                let theirs = theirs.dials.iter().filter(|dial| dial.to == *service && dial.at == At::Others);
                let calls = theirs.flat_map(|dial| self.peers(dial, service, other, wanted));
                let own = self.peer_places(dial, service, name);
                let gates = calls.filter(|call| own.contains(&(call.host.clone(), call.port)));
                let gates: BTreeSet<Gate> = gates.map(|call| Gate::Accepts(Box::new(call))).collect();
                if !gates.is_empty() {
                    awaited.elsewhere.entry(other.clone()).or_default().extend(gates);
                }
            }
        }
    }

    /// The calls of a member to all others.
    fn peers(&self, dial: &Dial, service: &ServiceName, name: &NodeName, node: &DesiredNode) -> Vec<Call> {
        let live = self.live(name).and_then(|services| services.get(service));
        if live.is_none_or(is_silent) {
            return Vec::new();
        }
        let own = self.peer_places(dial, service, name);
        let others: BTreeSet<(String, u16)> = match self.etcd(name) {
            Some(etcd) => etcd.members.values().flat_map(|member| places(&member.peer_urls)).collect(),
            None => {
                let others = self.input.survey.desired.nodes.keys();
                others.flat_map(|other| self.peer_places(dial, service, other)).collect()
            }
        };
        let others = others.into_iter().filter(|place| !own.contains(place)).take(TRIED);
        let calls = others.filter_map(|(host, port)| call(dial, node, (host, port), None));
        calls.map(|call| Call { is_peer: true, ..call }).collect()
    }

    /// Where the member of a node is reached by others: as it says, else by the node's address; nowhere if it is seen not to answer.
    fn peer_places(&self, dial: &Dial, service: &ServiceName, name: &NodeName) -> BTreeSet<(String, u16)> {
        if let Some(etcd) = self.etcd(name) {
            let own = etcd.members.get(&etcd.member);
            return own.map(|member| places(&member.peer_urls)).unwrap_or_default();
        }
        let node = self.input.survey.desired.nodes.get(name);
        let node =
            node.filter(|node| node.services.contains_key(service) && !self.is_seen_silent(service, name));
        let address = node.and_then(|node| node.address.clone());
        address.zip(dial.port).into_iter().collect()
    }

    /// The calls that a client makes with one certificate, and whether each is required even if it does not work before.
    fn calls(&self, dial: &Dial, (name, node): Node<'_>) -> Vec<(Call, bool)> {
        // On a node that is a directory nothing runs.
        let (Some(port), true) = (dial.port, self.live(name).is_some_and(|services| !services.is_empty()))
        else {
            return Vec::new();
        };
        let is_expired = dial.shows.as_ref().is_some_and(|held| self.is_out_of_date(name, held));
        if dial.at == At::Kubeconfig {
            // Behind whatever it names are the servers of the spec: where all are seen to be silent, nobody can be called.
            if self.is_silent_everywhere(dial) {
                return Vec::new();
            }
            let Some((place, server_name)) = self.kubeconfig_server(dial, (name, node)) else {
                return Vec::new();
            };
            let own = node.address.as_deref() == Some(place.0.as_str());
            let is_required = is_expired && own && self.is_served(dial, name, place.1);
            return call(dial, node, place, server_name)
                .map(|call| (call, is_required))
                .into_iter()
                .collect();
        }
        let servers = self.input.survey.desired.nodes.iter();
        let servers: Vec<&NodeName> = servers
            .filter(|(_, server)| server.services.contains_key(&dial.to))
            .map(|(server, _)| server)
            .filter(|server| self.is_answered(dial, server, port))
            .collect();
        let has_own = servers.contains(&name);
        let targets: Vec<&NodeName> = match dial.at {
            At::Own | At::Nearest if has_own => vec![name],
            At::Own | At::Others | At::Kubeconfig => Vec::new(),
            // All members of etcd; of everything else one stands for all: there may be thousands.
            At::Nearest | At::Every if quorum::is_member(&dial.to) => servers,
            At::Nearest | At::Every if has_own => vec![name],
            At::Nearest | At::Every => servers.into_iter().take(1).collect(),
        };
        let by_loopback = matches!(dial.at, At::Own | At::Nearest) && has_own;
        let mut calls = Vec::new();
        for server in targets.into_iter().take(TRIED) {
            let address = self.input.survey.desired.nodes.get(server).and_then(|node| node.address.clone());
            let host = match by_loopback {
                true => Some("127.0.0.1".to_owned()),
                false => address,
            };
            let Some(host) = dial.name.clone().or(host) else { continue };
            let is_required = is_expired && self.is_served(dial, server, port);
            calls.extend(call(dial, node, (host, port), None).map(|call| (call, is_required)));
        }
        calls
    }

    fn is_silent_everywhere(&self, dial: &Dial) -> bool {
        self.input.survey.desired.nodes.iter().all(|(name, server)| {
            !server.services.contains_key(&dial.to) || self.is_seen_silent(&dial.to, name)
        })
    }

    fn is_seen_silent(&self, service: &ServiceName, name: &NodeName) -> bool {
        self.live(name).and_then(|services| services.get(service)).is_some_and(is_silent)
    }

    fn is_answered(&self, dial: &Dial, server: &NodeName, port: u16) -> bool {
        self.answering(&dial.to, server).any(|(_, endpoint)| endpoint.port == port)
    }

    /// Whether a server answers with a certificate that is valid now.
    fn is_served(&self, dial: &Dial, server: &NodeName, port: u16) -> bool {
        let now = self.input.now;
        let mut served = self.answering(&dial.to, server).filter(|(_, endpoint)| endpoint.port == port);
        served.any(|(_, endpoint)| {
            endpoint.probe.served().is_some_and(|served| {
                let facts = served.certificate.facts();
                facts.not_before <= now && now <= facts.not_after
            })
        })
    }

    /// Whether what a client shows now is outside its time, so that no server could have accepted it.
    fn is_out_of_date(&self, name: &NodeName, held: &Held) -> bool {
        let now = self.input.now;
        let view = self.held.identity(name, &held.identity);
        let certificate = view.and_then(|view| view.certificate.as_ref());
        certificate.is_some_and(|certificate| {
            let facts = certificate.facts();
            now < facts.not_before || facts.not_after < now
        })
    }

    /// The server that a kubeconfig names, the one on the node before the wanted one, and the name that it must prove.
    fn kubeconfig_server(
        &self,
        dial: &Dial,
        (name, node): Node<'_>,
    ) -> Option<((String, u16), Option<String>)> {
        let held = dial.shows.as_ref()?;
        let Storage::Kubeconfig { file, server, .. } = &node.identities.get(&held.identity)?.storage else {
            return None;
        };
        let facts = self.input.survey.observed.nodes.get(name)?.facts()?;
        let seen = facts.files.get(&file.path).and_then(|seen| seen.present());
        let current = seen.and_then(|file| file.content.kubeconfig()).and_then(|config| config.current());
        match current {
            Some((cluster, _)) => Some((place(&cluster.server)?, cluster.tls_server_name.clone())),
            None => Some((place(server.as_deref()?)?, None)),
        }
    }
}

/// A call with the files that a client uses; none where it uses other places than are known.
fn call(
    dial: &Dial,
    node: &DesiredNode,
    (host, port): (String, u16),
    server_name: Option<String>,
) -> Option<Call> {
    let Held { identity, copy } = dial.shows.as_ref()?;
    let wanted = node.identities.get(identity)?;
    let storage = match copy {
        Some(copy) => &wanted.copies.get(copy)?.storage,
        None => &wanted.storage,
    };
    let shows = match storage {
        Storage::Pair { certificate, key } => {
            Shown::Files { certificate: certificate.path.clone(), key: key.path.clone() }
        }
        Storage::Combined { file } => Shown::Files { certificate: file.path.clone(), key: file.path.clone() },
        Storage::Kubeconfig { file, .. } => Shown::Kubeconfig { file: file.path.clone() },
    };
    let trusts = match &dial.trusts {
        None => None,
        Some(Trusts::Authority { authority, copy }) => {
            let held = node.authorities.get(authority)?;
            let file = match copy {
                Some(copy) => held.copies.get(copy)?,
                None => &held.certificate,
            };
            Some(Trusted::File { path: file.path.clone() })
        }
        Some(Trusts::Kubeconfig { kubeconfig }) => {
            let file = node.identities.get(kubeconfig)?.storage.certificate_path().to_owned();
            Some(Trusted::Kubeconfig { file })
        }
    };
    Some(Call { host, port, server_name, shows, trusts, is_peer: false })
}

fn what(trusts: &Trusts) -> What {
    match trusts {
        Trusts::Authority { authority, .. } => What::Trust(authority.clone()),
        Trusts::Kubeconfig { kubeconfig } => What::KubeconfigTrust(kubeconfig.clone()),
    }
}

/// The hosts and ports of URLs with TLS.
fn places(urls: &[String]) -> BTreeSet<(String, u16)> {
    urls.iter().filter_map(|url| place(url)).collect()
}

/// The host and the port of a URL with TLS, without brackets.
fn place(url: &str) -> Option<(String, u16)> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    (uri.scheme_str() == Some("https")).then_some((host, uri.port_u16().unwrap_or(443)))
}

#[cfg(test)]
mod tests;
