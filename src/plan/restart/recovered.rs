//! The last gate of a plan that brings etcd back: nothing worked together before it, so nothing could be asked to go on.
//!
//! What enters is the deeds of the last nodes, their order, and what the whole plan writes; what leaves is one more thing to wait for on the last node with an API
//! server: the members have a quorum, every API server is ready, and accepts the clients of that node that were renewed. An API server of which that cannot hold
//! is not asked: its node was not seen, it is not started here and does not answer, or it lacks something that this plan does not write. Whether controllers
//! lead is not looked at: their lease is in the cluster. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::cold_start;
use super::health_checks::calls::{call, kubeconfig_server};
use crate::desired::{DesiredNode, DesiredService};
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::services::live;
use crate::plan::{Deed, Input, Phase};
use crate::profile::{At, What};
use crate::protocol::health_check::HealthCheck;
use crate::spec::types::Scheme;
use crate::types::duration::Duration;
use crate::types::names::{Address, NodeName, ServiceName, Target};
use crate::types::place::Place;
use crate::types::service_kind::ServiceKind;

/// How long a kubelet waits at most before it starts a container again that has ended too often (1.20, `MaxContainerBackOff`). An API server that this plan does not
/// start may have ended so while etcd was gone.
const BACK_OFF_SECONDS: u64 = 300;

/// An API server that can be asked.
struct Server<'a> {
    /// Whether this plan starts it anew.
    is_started: bool,
    host: &'a str,
    port: u16,
    ready: Option<HealthCheck>,
}

/// Adds what is waited for to the deeds of the last node with an API server.
pub(crate) fn await_cluster(
    by_place: &mut BTreeMap<Place, Vec<DraftDeed>>,
    (order, phase): (&[Place], Phase),
    written: &BTreeSet<Address>,
    input: &Input<'_>,
) {
    let desired = &input.survey.desired;
    let servers: BTreeMap<&NodeName, Server<'_>> = desired
        .nodes
        .iter()
        .filter_map(|(name, node)| {
            let (service, wanted) = node.services_of(ServiceKind::ApiServer).next()?;
            let is_restarted = by_place.get(&Place::from(name)).into_iter().flatten().any(|deed| {
                matches!(deed.deed, Deed::Restart { .. })
                    && deed.address.target == Target::Service(service.clone())
            });
            let is_started =
                is_restarted || cold_start::comes_with_kubelet(input.survey, (name, node), service);
            let asked = server((name, node), (service, wanted), is_started, input)?;
            let works = is_started || answers(name, service, input);
            (works && has_what_it_reads((name, wanted), written, input)).then_some((name, asked))
        })
        .collect();
    let is_last = |place: &&Place| place.node().is_some_and(|name| servers.contains_key(name));
    let Some(place) = order.iter().rev().find(is_last) else { return };
    let Some((name, node)) = place.node().and_then(|name| desired.nodes.get_key_value(name)) else { return };
    let mut gates: BTreeSet<HealthCheck> =
        servers.values().filter_map(|server| server.ready.clone()).collect();
    gates.extend(cold_start::etcd_gate(node));
    let of_services = node.services.values().flat_map(|service| &service.dials);
    for dial in of_services.chain(node.programs.values().flatten()) {
        let Some(held) = dial.shows.as_ref().filter(|_| dial.at == At::Kubeconfig) else { continue };
        let identity = Address::on(Target::Identity(held.identity.clone()), name);
        if dial.to_kind != Some(ServiceKind::ApiServer) || !written.contains(&identity) {
            continue;
        }
        let Some(((host, _), server_name)) = kubeconfig_server(input, dial, (name, node)) else { continue };
        // Each API server has the name that all of them are known by, and its own address, but none of another one.
        let is_own = node.address.as_deref() == Some(host.as_str());
        let common = server_name.or((!is_own).then_some(host));
        let calls = servers
            .values()
            .filter_map(|server| call(dial, node, (server.host.to_owned(), server.port), common.clone()));
        gates.extend(calls.map(|call| HealthCheck::Accepts(Box::new(call))));
    }
    let seconds = desired.rollout.timeout.seconds();
    let timeout = match servers.values().all(|server| server.is_started) {
        true => seconds,
        false => seconds.saturating_add(BACK_OFF_SECONDS),
    };
    let deed = Deed::AwaitHealthy {
        gates,
        kept: BTreeSet::new(),
        elsewhere: BTreeMap::new(),
        settle: desired.rollout.settle,
        timeout: Duration::from_seconds(timeout),
    };
    let address = Address::on(Target::Node, name);
    let deeds = by_place.entry(place.clone()).or_default();
    deeds.push(DraftDeed { phase, address, deed, reasons: Vec::new(), replaces: false });
}

/// Where the API server of a node that was seen is asked, and what shows that it is ready.
fn server<'a>(
    (name, node): (&NodeName, &'a DesiredNode),
    (service, wanted): (&ServiceName, &DesiredService),
    is_started: bool,
    input: &Input<'_>,
) -> Option<Server<'a>> {
    let seen = live(input.survey, name)?.get(service)?;
    let own = wanted.endpoints.iter().find(|endpoint| endpoint.serves.is_some())?;
    let moved = seen.endpoints.iter().find(|endpoint| endpoint.serves == own.serves);
    let port = moved.map_or(own.port, |endpoint| endpoint.port);
    let mut asked = wanted.health.iter().filter(|asked| !asked.is_declared && asked.scheme == Scheme::Https);
    let path = asked.next().map(|asked| asked.path.as_str().to_owned());
    let ready = cold_start::address(node).zip(path);
    let ready = ready.map(|(address, path)| HealthCheck::Ready { address, port, path });
    Some(Server { is_started, host: node.address.as_deref()?, port, ready })
}

/// Whether a service answers with a certificate that is valid now.
fn answers(name: &NodeName, service: &ServiceName, input: &Input<'_>) -> bool {
    let endpoints = live(input.survey, name).and_then(|services| services.get(service)).into_iter();
    let mut served =
        endpoints.flat_map(|live| &live.endpoints).filter_map(|endpoint| endpoint.probe.served());
    served.any(|served| served.certificate.facts().is_in_time(input.now))
}

/// Whether every certificate that a service reads on a node can be shown, or is written by this plan.
fn has_what_it_reads(
    (name, wanted): (&NodeName, &DesiredService),
    written: &BTreeSet<Address>,
    input: &Input<'_>,
) -> bool {
    wanted.reads.iter().all(|read| match &read.what {
        What::Identity(identity) => {
            let view = input.differences.identity(name, identity);
            view.is_some_and(|view| view.is_usable(input.now))
                || written.contains(&Address::on(Target::Identity(identity.clone()), name))
        }
        What::Trust(_) | What::Signer(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => true,
    })
}
