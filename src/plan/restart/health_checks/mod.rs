//! What is waited for before a node's work is kept, and from where it is looked at.
//!
//! What must hold in any case is what the plan itself brings about: a new process, the new certificate, an API server that is ready after its restart, a member of etcd
//! that is healthy now. What a cluster may have switched off, or what may not work for other reasons, must hold if it does before the node is touched: other health
//! checks, connections of peers and clients. What is missing, broken or expired works for nobody before: where the plan mends that, the port must serve it if a
//! process listens there or is started, and those who present it must be accepted by every server that answers with a valid certificate of its own.
//! Nothing is called of nodes that are directories: on those nothing runs.
//!
//! That a controller manager or a scheduler answers 200 says nothing about leading: one that waits for the lease does so too (client-go
//! `leaderelection.NewLeaderHealthzAdaptor`, 1.20), and the lease itself is in the cluster, where no node looks.

pub(crate) mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::desired::request::live_request;
use crate::desired::{DesiredHealth, DesiredNode, DesiredService};
use crate::profile::{At, PresentedKey, TlsConnection, Trusts, What};
use crate::protocol::facts::{ClientCertificate, EndpointFacts, EtcdFacts, EtcdQuestion};
use crate::protocol::health_check::HealthCheck;
use crate::spec::types::Scheme;
use crate::types::duration::Duration;
use crate::types::names::{Address, IdentityName, NodeName, ServiceName, Target};
use crate::types::service_kind::ServiceKind;

use super::cause::Cause;
use crate::plan::known::builder::Builder;
use crate::plan::known::services::{is_silent, live};
use crate::plan::restart::cold_start;
use crate::plan::{Deed, Phase, RestartMethod};
use calls::{Node, answering, client_calls, etcd, listening_in_vain, peer_calls, peer_places, peers, what};

/// What is waited for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Awaited {
    pub(crate) gates: BTreeSet<HealthCheck>,
    pub(crate) kept: BTreeSet<HealthCheck>,
    pub(crate) elsewhere: BTreeMap<NodeName, BTreeSet<HealthCheck>>,
}

impl Awaited {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

type Service<'a> = (&'a ServiceName, &'a DesiredService);

/// What shows that a restarted service works with what is new: its unit, another process than before, every port that answered before, and its own word. Of
/// a member that waits for the others no more can be asked than that it has started to.
pub(crate) fn after_restart(
    builder: &Builder<'_>,
    cause: &Cause<'_>,
    node: &DesiredNode,
    how: &RestartMethod,
    written: &dyn Fn(&What) -> bool,
) -> Awaited {
    let (service, node) = ((cause.service, cause.wanted), (cause.node, node));
    let mut awaited = Awaited::default();
    if cause.phase == Phase::Quorum && service.1.is(ServiceKind::Etcd) {
        awaited.gates.extend(match how {
            RestartMethod::Start { unit } => Some(HealthCheck::Started { unit: unit.clone() }),
            RestartMethod::StaticPod { .. }
            | RestartMethod::Systemd { .. }
            | RestartMethod::Command { .. } => cold_start::peer_gate(service.0, node.1),
        });
        return awaited;
    }
    awaited.gates.extend(served(builder, service.0, node, written).into_iter().map(|(_, gate)| gate));
    match how {
        RestartMethod::Systemd { unit } => {
            awaited.gates.insert(HealthCheck::Active { unit: unit.clone() });
            awaited.gates.insert(HealthCheck::Restarted { unit: unit.clone() });
        }
        RestartMethod::Start { unit } => {
            awaited.gates.insert(HealthCheck::Active { unit: unit.clone() });
            // Who knows whether it has its other ports switched off.
            let is_mended = |identity: &IdentityName| written(&What::Identity(identity.clone()));
            let silent = silent(builder, cause, node.1).into_iter();
            let mended = silent.filter(|(endpoint, _)| endpoint.serves.as_ref().is_some_and(is_mended));
            awaited.gates.extend(mended.map(|(_, gate)| gate));
        }
        RestartMethod::StaticPod { manifest } => {
            let sockets = answering(builder, service.0, node.0);
            awaited.gates.extend(sockets.map(|(address, EndpointFacts { port, .. })| {
                HealthCheck::Replaced { manifest: manifest.clone(), address, port: *port }
            }));
            awaited.gates.extend(silent(builder, cause, node.1).into_iter().map(|(_, gate)| gate));
        }
        // Whether it restarts anything only it knows.
        RestartMethod::Command { .. } => {}
    }
    for (address, endpoint) in answering(builder, service.0, node.0) {
        if endpoint.serves.as_ref().is_none_or(|identity| !node.1.identities.contains_key(identity)) {
            awaited.gates.insert(HealthCheck::Listens { address, port: endpoint.port });
        }
    }
    add_health(builder, service, node.0, &mut awaited);
    if service.1.is(ServiceKind::ApiServer) {
        require_ready(builder, service, node, &mut awaited);
    }
    if service.1.is(ServiceKind::Etcd) {
        add_member(builder, node, &mut awaited);
        add_peers(builder, service, node, &|_| true, &mut awaited);
    }
    awaited
}

/// An API server that was started anew has to be ready, whatever it was before. Of one that was not looked at nothing is asked.
fn require_ready(builder: &Builder<'_>, service: Service<'_>, node: Node<'_>, awaited: &mut Awaited) {
    let seen = live(builder.input.survey, node.0).and_then(|services| services.get(service.0));
    if seen.is_none_or(|seen| seen.endpoints.is_empty()) {
        return;
    }
    let by_layout: Vec<&DesiredHealth> = service.1.health.iter().filter(|asked| !asked.is_declared).collect();
    for asked in by_layout.into_iter().filter(|asked| asked.scheme == Scheme::Https) {
        let found = answers_at(builder, service, node.0, asked.port);
        if found.as_ref().is_some_and(turns_strangers_away) {
            continue;
        }
        let where_it_answers = found.map(|(address, endpoint)| (address, endpoint.port));
        let as_declared = cold_start::address(node.1).map(|address| (address, asked.port));
        let Some((address, port)) = where_it_answers.or(as_declared) else { continue };
        let path = asked.path.as_str();
        // The same question twice would be two answers.
        awaited.kept.retain(
            |gate| !matches!(gate, HealthCheck::Http { port: of, path: at, .. } if *of == port && at == path),
        );
        awaited.gates.insert(HealthCheck::Ready { address, port, path: path.to_owned() });
    }
}

/// The ports of a service that is dead, as they should answer once it runs.
fn silent<'b>(
    builder: &'b Builder<'_>,
    cause: &Cause<'_>,
    node: &DesiredNode,
) -> Vec<(&'b EndpointFacts, HealthCheck)> {
    let live = live(builder.input.survey, cause.node).and_then(|services| services.get(cause.service));
    let Some(live) = live.filter(|live| is_silent(live)) else { return Vec::new() };
    let gate = |endpoint: &'b EndpointFacts| {
        let wanted = cause.wanted.endpoints.iter().find(|wanted| wanted.serves == endpoint.serves);
        let bound = wanted.and_then(|wanted| wanted.bind.iter().find_map(|bind| bind.parse().ok()));
        let (address, port) =
            (endpoint.address.or(bound).or_else(|| cold_start::address(node))?, endpoint.port);
        let served = endpoint.serves.as_ref().and_then(|identity| node.identities.get(identity));
        let gate = match served.map(|identity| identity.storage.certificate_path().to_owned()) {
            Some(certificate) => HealthCheck::Serves { address, port, certificate },
            None => HealthCheck::Listens { address, port },
        };
        Some((endpoint, gate))
    };
    let own = live.endpoints.iter().filter(|endpoint| endpoint.server_name.is_none());
    own.filter_map(gate).collect()
}

/// What shows that a service has taken up by itself what is new.
pub(crate) fn after_reload(
    builder: &Builder<'_>,
    service: Service<'_>,
    node: Node<'_>,
    renewed: &dyn Fn(&What) -> bool,
) -> Awaited {
    let mut awaited = Awaited::default();
    let served = served(builder, service.0, node, renewed).into_iter();
    let served = served.filter(|(identity, _)| renewed(&What::Identity(identity.clone())));
    awaited.gates.extend(served.map(|(_, gate)| gate));
    if service.1.reads.iter().any(|read| renewed(&read.what)) {
        add_health(builder, service, node.0, &mut awaited);
        if service.1.is(ServiceKind::Etcd) {
            add_member(builder, node, &mut awaited);
            add_peers(builder, service, node, renewed, &mut awaited);
        }
    }
    awaited
}

pub(crate) fn await_healthy(
    builder: &mut Builder<'_>,
    phase: Phase,
    address: Address,
    awaited: Awaited,
    settle: Duration,
) {
    if !awaited.is_empty() {
        let timeout = builder.input.survey.desired.rollout.timeout;
        let Awaited { mut gates, mut kept, mut elsewhere } = awaited;
        if phase == Phase::Quorum {
            gates.retain(|gate| !matches!(gate, HealthCheck::Accepts(_)));
            // While members start and give up again nothing that works by chance can be asked to go on.
            (kept, elsewhere) = (BTreeSet::new(), BTreeMap::new());
        }
        let deed = Deed::AwaitHealthy { gates, kept, elsewhere, settle, timeout };
        builder.add_in(phase, address, deed, Vec::new(), false);
    }
}

/// Every client certificate that changes, and every one that is used with trust that changes, is tried at the servers that it is for.
pub(crate) fn await_clients(
    builder: &mut Builder<'_>,
    phase: Phase,
    on: Node<'_>,
    changed: &dyn Fn(&What) -> bool,
) {
    let (name, node) = on;
    let mut by_identity: BTreeMap<IdentityName, Awaited> = BTreeMap::new();
    let of_services = node.services.values().flat_map(|service| &service.dials);
    let of_programs = node.programs.values().flatten();
    for dial in of_services.chain(of_programs) {
        // Peers are looked at together with their member.
        let Some(PresentedKey { identity, .. }) = dial.shows.as_ref().filter(|_| dial.at != At::Others)
        else {
            continue;
        };
        let shown = What::Identity(identity.clone());
        if !changed(&shown) && !dial.trusts.iter().any(|trusts| changed(&what(trusts))) {
            continue;
        }
        let address = Address::on(Target::Identity(identity.clone()), name);
        let of_identity = builder.draft.on(name).iter().filter(|deed| deed.address == address);
        let is_for_quorum = cold_start::is_of_quorum(node, &address.target);
        if is_torn(builder, dial)
            || is_for_quorum && of_identity.clone().any(|deed| deed.phase == Phase::Quorum)
        {
            continue;
        }
        let awaited = by_identity.entry(identity.clone()).or_default();
        for (call, is_required) in client_calls(builder, dial, (name, node)) {
            let gate = HealthCheck::Accepts(Box::new(call));
            let set = if is_required { &mut awaited.gates } else { &mut awaited.kept };
            set.insert(gate);
        }
    }
    for (identity, awaited) in by_identity {
        let address = Address::on(Target::Identity(identity), name);
        await_healthy(builder, phase, address, awaited, Duration::from_seconds(0));
    }
}

/// Whether a connection hangs on an authority that this plan makes one of two: what worked on one side of the rift must not.
fn is_torn(builder: &Builder<'_>, dial: &TlsConnection) -> bool {
    let trusted = match &dial.trusts {
        Some(Trusts::Authority { authority, .. }) => Some(authority),
        Some(Trusts::Kubeconfig { .. }) | None => None,
    };
    trusted.into_iter().chain(&dial.admits).any(|authority| builder.stays(authority).is_some())
}

/// The ports at which a service serves certificates of the node's files, with the identities: those that answer, and those at which somebody listens who could not
/// serve what is written now.
fn served(
    builder: &Builder<'_>,
    service: &ServiceName,
    (name, node): Node<'_>,
    written: &dyn Fn(&What) -> bool,
) -> Vec<(IdentityName, HealthCheck)> {
    let is_written = |(_, endpoint): &(IpAddr, &EndpointFacts)| {
        endpoint.serves.as_ref().is_some_and(|identity| written(&What::Identity(identity.clone())))
    };
    let endpoints = answering(builder, service, name);
    let endpoints = endpoints.chain(listening_in_vain(builder, service, name).filter(is_written));
    let served = endpoints.filter_map(|(address, endpoint)| {
        let identity = endpoint.serves.clone()?;
        let certificate = node.identities.get(&identity)?.storage.certificate_path().to_owned();
        Some((identity, HealthCheck::Serves { address, port: endpoint.port, certificate }))
    });
    served.collect()
}

/// Where a port of the layout answers: there, or where the only port of the service is that was moved.
fn answers_at<'b>(
    builder: &'b Builder<'_>,
    service: Service<'_>,
    name: &NodeName,
    port: u16,
) -> Option<(IpAddr, &'b EndpointFacts)> {
    let only = service.1.endpoints.len() == 1 && service.1.endpoints.iter().all(|known| known.port == port);
    answering(builder, service.0, name).find(|(_, endpoint)| only || endpoint.port == port)
}

/// What a service says of itself, where it runs and may be asked. Of one that is seen not to run only the user's own questions are asked: what need not
/// answer now need not answer afterwards.
fn add_health(builder: &Builder<'_>, service: Service<'_>, name: &NodeName, awaited: &mut Awaited) {
    let Some(live) = live(builder.input.survey, name).and_then(|services| services.get(service.0)) else {
        return;
    };
    let is_running = !is_silent(live) || !live.started().is_empty();
    for DesiredHealth { scheme, address, port, path, is_declared } in &service.1.health {
        if !is_declared && !is_running {
            continue;
        }
        let found = answers_at(builder, service, name, *port);
        if !is_declared && found.as_ref().is_some_and(turns_strangers_away) {
            continue;
        }
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (answers, moved) = found.map_or((loopback, *port), |(at, endpoint)| (at, endpoint.port));
        let gate = HealthCheck::Http {
            tls: *scheme == Scheme::Https,
            address: address.unwrap_or(answers),
            port: if *is_declared { *port } else { moved },
            path: path.as_str().to_owned(),
        };
        let set = if *is_declared { &mut awaited.gates } else { &mut awaited.kept };
        set.insert(gate);
    }
}

/// Whether a port ends the connection of everybody who shows no certificate.
fn turns_strangers_away((_, endpoint): &(IpAddr, &EndpointFacts)) -> bool {
    let served = endpoint.probe.served();
    served.is_some_and(|served| served.client == ClientCertificate::Required)
}

/// How the member of a node is asked where it answers now.
pub(crate) fn member(builder: &Builder<'_>, (name, node): Node<'_>) -> Option<(IpAddr, EtcdQuestion)> {
    let question = live_request(node).etcd?;
    let wanted = node.services.get(&question.service)?;
    let (address, endpoint) = answers_at(builder, (&question.service, wanted), name, question.port)?;
    Some((address, EtcdQuestion { port: endpoint.port, ..question }))
}

/// The member itself. One that is not healthy now is required to be no worse.
fn add_member(builder: &Builder<'_>, (name, node): Node<'_>, awaited: &mut Awaited) {
    let Some((address, EtcdQuestion { port, certificate, key, .. })) = member(builder, (name, node)) else {
        return;
    };
    let gate = HealthCheck::Etcd { address, port, certificate, key };
    let own = etcd(builder, name).and_then(EtcdFacts::own_status);
    let is_healthy = own.is_some_and(|own| own.leader.is_some() && own.alarms.is_empty());
    let set = if is_healthy { &mut awaited.gates } else { &mut awaited.kept };
    set.insert(gate);
}

/// The connections of a member with every other one, both ways.
fn add_peers(
    builder: &Builder<'_>,
    (service, wanted): Service<'_>,
    (name, node): Node<'_>,
    changed: &dyn Fn(&What) -> bool,
    awaited: &mut Awaited,
) {
    for dial in wanted.dials.iter().filter(|dial| dial.to == *service && dial.at == At::Others) {
        let shown = dial.shows.iter().map(|held| What::Identity(held.identity.clone()));
        if is_torn(builder, dial) || !shown.chain(dial.trusts.iter().map(what)).any(|what| changed(&what)) {
            continue;
        }
        for (call, is_required) in peer_calls(builder, dial, service, (name, node)) {
            let set = if is_required { &mut awaited.gates } else { &mut awaited.kept };
            set.insert(HealthCheck::Accepts(Box::new(call)));
        }
        for (other, wanted) in &builder.input.survey.desired.nodes {
            let Some(theirs) = wanted.services.get(service).filter(|_| other != name) else { continue };
            let theirs = theirs.dials.iter().filter(|dial| dial.to == *service && dial.at == At::Others);
            let calls = theirs.flat_map(|dial| peers(builder, dial, service, other, wanted));
            let own = peer_places(builder, dial, service, name);
            let gates = calls.filter(|call| own.contains(&(call.host.clone(), call.port)));
            let gates: BTreeSet<HealthCheck> =
                gates.map(|call| HealthCheck::Accepts(Box::new(call))).collect();
            if !gates.is_empty() {
                awaited.elsewhere.entry(other.clone()).or_default().extend(gates);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
