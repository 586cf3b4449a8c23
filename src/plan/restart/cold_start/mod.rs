//! A cold start: etcd has no quorum, so its members can only come back together.
//!
//! What enters is the draft of a plan and what runs; what leaves is which deeds come in the phase that brings etcd back, and what shows that it is back. While
//! there is no quorum, no member can be waited for before the last one has its new certificates (systemd counts an etcd as started once it has a leader),
//! and a static pod is started by a kubelet alone, whose own certificate comes first then. Where neither a kubelet nor any of its pods runs, everything on the
//! node is written before the kubelet is started, once: it starts every pod with what lies there then, and remembers none of their failures.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::desired::request::live_request;
use crate::desired::{DesiredNode, DesiredService, Survey};
use crate::profile::{At, What};
use crate::protocol::health_check::HealthCheck;
use crate::spec::types::Restart;
use crate::types::names::{Address, AuthorityName, IdentityName, NodeName, ServiceName, Target};
use crate::types::place::Place;
use crate::types::service_kind::ServiceKind;
use crate::x509::Certificate;

use crate::plan::known::builder::Builder;
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::quorum::{self, Quorum};
use crate::plan::known::services::{self, has_pod, live, unit};
use crate::plan::{Deed, Input, Phase};

/// Finds out whether this plan brings etcd back, and gives each deed its phase.
pub(crate) fn assign_phases(builder: &mut Builder<'_>) {
    if !has_no_quorum(builder) || !can_have_one(builder) || !has_had_one(builder) {
        return;
    }
    let desired = &builder.input.survey.desired;
    let domains: BTreeMap<NodeName, Domain> =
        desired.nodes.iter().map(|(name, node)| (name.clone(), Domain::of(node))).collect();
    let is_replaced = |deed: &DraftDeed| {
        let domain = deed.address.node().and_then(|node| domains.get(node));
        deed.replaces && domain.is_some_and(|domain| domain.holds(&deed.address.target))
    };
    // Where nothing was before, nothing has run, and nobody waits for it.
    if !builder.draft.deeds.values().flatten().any(is_replaced) {
        return;
    }
    for (place, deeds) in &mut builder.draft.deeds {
        let Some((name, domain)) = place.node().and_then(|node| domains.get_key_value(node)) else {
            continue;
        };
        let is_dark =
            desired.nodes.get(name).is_some_and(|node| nothing_runs(builder.input.survey, name, node));
        let is_first = |target: &Target| domain.holds(target) || is_dark && is_read_by_pods(target);
        for deed in deeds.iter_mut().filter(|deed| is_first(&deed.address.target)) {
            deed.phase = Phase::Quorum;
            builder.is_cold = true;
        }
        if deeds.iter().any(|deed| deed.phase == Phase::Quorum) {
            // Whatever is written lies in them.
            let directories =
                deeds.iter_mut().filter(|deed| matches!(deed.address.target, Target::Directory(_)));
            directories.for_each(|deed| deed.phase = Phase::Quorum);
        }
    }
}

/// Whether etcd has no quorum, or cannot have one: nobody says that it has, and too few members have certificates that are still valid.
fn has_no_quorum(builder: &Builder<'_>) -> bool {
    let survey = builder.input.survey;
    match quorum::quorum(survey) {
        Quorum::Lost => true,
        Quorum::Kept | Quorum::Unseen => false,
        Quorum::Unknown if makes_one_of_two(builder) => true,
        Quorum::Unknown => {
            let members: Vec<&NodeName> = quorum::members(survey).collect();
            let valid = members.iter().filter(|name| !has_expired(builder, name)).count();
            valid + quorum::outside(survey) < quorum::needed(quorum::count(survey))
        }
    }
}

/// Whether what the members trust is replaced because they refuse each other.
fn makes_one_of_two(builder: &Builder<'_>) -> bool {
    let desired = &builder.input.survey.desired;
    let mut recovered = desired.authorities.keys().filter(|authority| builder.stays(authority).is_some());
    recovered.any(|authority| desired.nodes.values().any(|node| node.etcd_trusts(authority)))
}

/// Whether enough members run, or would be started. Where people have switched off the others, nothing that is waited for would come.
fn can_have_one(builder: &Builder<'_>) -> bool {
    let desired = &builder.input.survey.desired;
    let can_run = |name: &&&NodeName| {
        let node = desired.nodes.get(**name);
        let member = node.and_then(|node| node.services_of(ServiceKind::Etcd).next());
        let is_started = match member.and_then(|(service, wanted)| Some((service, wanted.restart.as_ref()?)))
        {
            Some((_, Restart { static_pod: Some(manifest), .. })) => {
                has_pod(builder.input.survey, name, manifest)
            }
            Some((service, _)) => unit(builder.input.survey, name, service)
                .is_some_and(|unit| unit.is_active() || unit.is_wanted()),
            None => false,
        };
        let live = member.and_then(|(service, _)| live(builder.input.survey, name)?.get(service));
        live.is_some_and(|live| !services::is_down(live)) || is_started && has_what_it_shows(builder, name)
    };
    let members: Vec<&NodeName> = quorum::members(builder.input.survey).collect();
    members.iter().filter(can_run).count() >= quorum::needed(quorum::count(builder.input.survey))
}

/// Whether there has been a cluster: of one that is only made now, nobody waits for the members to answer.
fn has_had_one(builder: &Builder<'_>) -> bool {
    let members: Vec<&NodeName> = quorum::members(builder.input.survey).collect();
    let has_certificates = |name: &&&NodeName| shown_by_etcd(builder, name).next().is_some();
    members.iter().filter(has_certificates).count() >= quorum::needed(quorum::count(builder.input.survey))
}

/// Whether everything that etcd has to show on a node is there and valid, or made by this plan: without it no member comes back, and nobody can wait for it.
fn has_what_it_shows(builder: &Builder<'_>, name: &NodeName) -> bool {
    identities_of_etcd(builder, name).all(|identity| {
        let address = Address::on(Target::Identity(identity.clone()), name);
        let held = builder.input.differences.identity(name, identity);
        let is_valid = |certificate: &Certificate| certificate.facts().not_after >= builder.input.now;
        let is_there =
            held.is_some_and(|held| held.certificate.as_ref().is_some_and(is_valid) && held.key.is_some());
        is_there || builder.draft.on(name).iter().any(|deed| deed.address == address)
    })
}

/// The certificates that etcd has to show on a node, as far as they are there.
fn shown_by_etcd<'b>(builder: &'b Builder<'_>, name: &'b NodeName) -> impl Iterator<Item = &'b Certificate> {
    identities_of_etcd(builder, name)
        .filter_map(|identity| builder.input.differences.identity(name, identity)?.certificate.as_ref())
}

/// What etcd has to show on a node.
fn identities_of_etcd<'b>(
    builder: &'b Builder<'_>,
    name: &NodeName,
) -> impl Iterator<Item = &'b IdentityName> {
    let node = builder.input.survey.desired.nodes.get(name).into_iter();
    let services = node.flat_map(|node| node.services_of(ServiceKind::Etcd));
    services.flat_map(|(_, wanted)| &wanted.reads).filter_map(|read| shown(&read.what))
}

/// Whether a certificate that etcd shows has expired on a node.
fn has_expired(builder: &Builder<'_>, name: &NodeName) -> bool {
    shown_by_etcd(builder, name).any(|certificate| certificate.facts().not_after < builder.input.now)
}

/// Whether the members of a node are pods, and neither they nor its other pods nor their kubelet run, which would be started.
pub(crate) fn nothing_runs(survey: &Survey, name: &NodeName, node: &DesiredNode) -> bool {
    let is_pod =
        |wanted: &DesiredService| wanted.restart.as_ref().is_some_and(|restart| restart.static_pod.is_some());
    let mut pods = node.services.iter().filter(|(_, wanted)| is_pod(wanted));
    etcd_is_a_pod(node) && pods.all(|(service, _)| comes_with_kubelet(survey, (name, node), service))
}

/// Whether a service that does not run comes back with the kubelet of its node, which does not run either and would be started. A kubelet that starts begins with
/// every pod anew: how often one has failed it keeps in memory (Kubernetes 1.20, pkg/kubelet/kubelet.go, `backOff`).
pub(crate) fn comes_with_kubelet(
    survey: &Survey,
    (name, node): (&NodeName, &DesiredNode),
    service: &ServiceName,
) -> bool {
    let mut kubelets = node.services_of(ServiceKind::Kubelet);
    let is_started = kubelets.any(|(kubelet, _)| {
        unit(survey, name, kubelet).is_some_and(|unit| !unit.is_active() && unit.is_wanted())
    });
    let restart = node.services.get(service).and_then(|wanted| wanted.restart.as_ref());
    let is_pod = restart.is_some_and(|restart| restart.static_pod.is_some());
    let live = live(survey, name).and_then(|services| services.get(service));
    is_started && is_pod && live.is_some_and(|live| services::is_silent(live) && live.started().is_empty())
}

/// Whether a thing is one of those that pods read.
fn is_read_by_pods(target: &Target) -> bool {
    match target {
        Target::Authority(_) | Target::Identity(_) | Target::KeyPair(_) | Target::Directory(_) => true,
        Target::Service(_) | Target::Node => false,
    }
}

/// Whether an identity must work for etcd to be asked, so that it is one of those that nobody can wait for before there is a quorum.
pub(crate) fn is_of_quorum(node: &DesiredNode, target: &Target) -> bool {
    Domain::of(node).holds(target)
}

/// The phase in which a service of a node is restarted.
pub(crate) fn phase_of(builder: &Builder<'_>, service: &DesiredService, node: &DesiredNode) -> Phase {
    let is_first = service.is(ServiceKind::Etcd) || service.is(ServiceKind::Kubelet) && etcd_is_a_pod(node);
    if builder.is_cold && is_first { Phase::Quorum } else { Phase::Ordinary }
}

/// The member of a node as the other members see it, as far as it is known where: a port that answers before there is a quorum.
pub(crate) fn peer_gate(service: &ServiceName, node: &DesiredNode) -> Option<HealthCheck> {
    let wanted = node.services.get(service)?;
    let port = wanted.dials.iter().find(|dial| dial.to == *service && dial.at == At::Others)?.port?;
    let endpoint = wanted.endpoints.iter().find(|endpoint| endpoint.port == port)?;
    let certificate = node.identities.get(endpoint.serves.as_ref()?)?.storage.certificate_path().to_owned();
    let bound = endpoint.bind.iter().find_map(|bind| bind.parse().ok());
    Some(HealthCheck::Serves { address: bound.or_else(|| address(node))?, port, certificate })
}

fn shown(what: &What) -> Option<&IdentityName> {
    match what {
        What::Identity(identity) => Some(identity),
        What::Trust(_) | What::Signer(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => None,
    }
}

/// The address of a node, where that is no name.
pub(crate) fn address(node: &DesiredNode) -> Option<IpAddr> {
    node.address.as_deref()?.parse().ok()
}

fn etcd_is_a_pod(node: &DesiredNode) -> bool {
    let mut members = node.services_of(ServiceKind::Etcd);
    members.any(|(_, wanted)| wanted.restart.as_ref().is_some_and(|restart| restart.static_pod.is_some()))
}

/// What has to be right on a node for its member of etcd to start.
struct Domain {
    authorities: BTreeSet<AuthorityName>,
    identities: BTreeSet<IdentityName>,
}

impl Domain {
    fn of(node: &DesiredNode) -> Self {
        let mut domain = Self { authorities: BTreeSet::new(), identities: BTreeSet::new() };
        let members = node.services_of(ServiceKind::Etcd);
        for read in members.flat_map(|(_, wanted)| &wanted.reads) {
            if let What::Trust(authority) = &read.what {
                domain.authorities.insert(authority.clone());
            }
        }
        // Clients too: with one of them etcd is asked whether it is back.
        let issued = node.identities.iter().filter(|(_, wanted)| {
            wanted.authority.as_ref().is_some_and(|authority| domain.authorities.contains(authority))
        });
        domain.identities.extend(issued.map(|(identity, _)| identity.clone()));
        if etcd_is_a_pod(node) {
            let kubelets = node.services_of(ServiceKind::Kubelet);
            let read = kubelets.flat_map(|(_, wanted)| &wanted.reads);
            let own: Vec<&IdentityName> = read.filter_map(|read| shown(&read.what)).collect();
            let of_own =
                own.iter().filter_map(|identity| node.identities.get(*identity)?.authority.clone()).collect();
            domain.identities.extend(own.into_iter().cloned());
            let mut authorities: BTreeSet<AuthorityName> = of_own;
            domain.authorities.append(&mut authorities);
        }
        domain
    }

    fn holds(&self, subject: &Target) -> bool {
        match subject {
            Target::Authority(authority) => self.authorities.contains(authority),
            Target::Identity(identity) => self.identities.contains(identity),
            Target::KeyPair(_) | Target::Directory(_) | Target::Service(_) | Target::Node => false,
        }
    }
}

/// The last node of the phase that brings etcd back waits for what all of them make together.
pub(crate) fn await_quorum(
    by_place: &mut BTreeMap<Place, Vec<DraftDeed>>,
    order: &[Place],
    input: &Input<'_>,
) {
    let desired = &input.survey.desired;
    let member = |place: &Place| desired.at(place).and_then(|node| Some((node, etcd_gate(node)?)));
    let last = order.iter().rev().find_map(|place| Some((place, member(place)?)));
    let Some((place, (node, gate))) = last else { return };
    let Some((service, _)) = node.services_of(ServiceKind::Etcd).next() else { return };
    let address = Address { target: Target::Service(service.clone()), place: place.clone() };
    let deeds = by_place.entry(place.clone()).or_default();
    for deed in deeds.iter_mut().filter(|deed| deed.address == address) {
        if let Deed::AwaitHealthy { gates, .. } = &mut deed.deed {
            gates.insert(gate);
            return;
        }
    }
    let deed = Deed::AwaitHealthy {
        gates: [gate].into(),
        kept: BTreeSet::new(),
        elsewhere: BTreeMap::new(),
        settle: desired.rollout.settle,
        timeout: desired.rollout.timeout,
    };
    deeds.push(DraftDeed { phase: Phase::Quorum, address, deed, reasons: Vec::new(), replaces: false });
}

#[cfg(test)]
pub(crate) mod tests;

/// What shows that the members have a quorum: the one on this node follows a leader.
pub(crate) fn etcd_gate(node: &DesiredNode) -> Option<HealthCheck> {
    let question = live_request(node).etcd?;
    let endpoint = node.services.get(&question.service)?.endpoints.iter();
    let mut endpoint = endpoint.filter(|endpoint| endpoint.port == question.port);
    let bound = endpoint.next().and_then(|endpoint| endpoint.bind.iter().find_map(|bind| bind.parse().ok()));
    let address = bound.or_else(|| address(node)).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (port, certificate, key) = (question.port, question.certificate, question.key);
    Some(HealthCheck::Etcd { address, port, certificate, key })
}
