//! Who calls whom, so that it is seen that a connection works: which servers a client's certificate is tried at, and how members reach each other.
//!
//! What enters is a connection of the layout and what is seen to run; what leaves are calls with the files that the real client uses. Nothing is called of which
//! every instance is seen to be silent, and nothing is decided about what a call that fails means: see [`super`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::desired::DesiredNode;
use crate::profile::{At, PresentedKey, TlsConnection, Trusts, What};
use crate::protocol::facts::{EndpointFacts, EtcdFacts};
use crate::protocol::health_check::{Call, Shown, Trusted};
use crate::types::names::{IdentityName, NodeName, ServiceName, Target};
use crate::types::service_kind::ServiceKind;
use crate::types::storage::Storage;
use crate::types::url::tls_place;

use crate::plan::known::builder::Builder;
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::services::{is_silent, live};
use crate::plan::{Deed, Input};

/// A node with its name.
pub(super) type Node<'a> = (&'a NodeName, &'a DesiredNode);

/// Most servers that a client's certificate is tried at: etcd advises seven members at most.
const TRIED: usize = 9;

/// The calls of a member to all others.
pub(super) fn peers(
    builder: &Builder<'_>,
    dial: &TlsConnection,
    service: &ServiceName,
    name: &NodeName,
    node: &DesiredNode,
) -> Vec<Call> {
    let live = live(builder.input.survey, name).and_then(|services| services.get(service));
    if live.is_none_or(is_silent) {
        return Vec::new();
    }
    let own = peer_places(builder, dial, service, name);
    let others: BTreeSet<(String, u16)> = match etcd(builder, name) {
        Some(etcd) => etcd.members.values().flat_map(|member| places(&member.peer_urls)).collect(),
        None => {
            let others = builder.input.survey.desired.nodes.keys();
            others.flat_map(|other| peer_places(builder, dial, service, other)).collect()
        }
    };
    let others = others.into_iter().filter(|place| !own.contains(place)).take(TRIED);
    let calls = others.filter_map(|(host, port)| call(dial, node, (host, port), None));
    calls.map(|call| Call { is_peer: true, ..call }).collect()
}

/// The calls of a member to all others, and whether each is required even if it does not work before: what the member could not show is mended, and the other one is
/// as it should be.
pub(super) fn peer_calls(
    builder: &Builder<'_>,
    dial: &TlsConnection,
    service: &ServiceName,
    (name, node): Node<'_>,
) -> Vec<(Call, bool)> {
    let is_mended = dial.shows.as_ref().is_some_and(|held| is_mended(builder, name, held));
    let is_sound = |call: &Call| {
        let mut others = builder.input.survey.desired.nodes.keys().filter(|other| *other != name);
        others.any(|other| {
            let is_it = peer_places(builder, dial, service, other).contains(&(call.host.clone(), call.port));
            is_it && is_served(builder, dial, (other, call.port), name)
        })
    };
    let calls = peers(builder, dial, service, name, node).into_iter();
    let required = |call: Call| {
        let is_required = is_mended && is_sound(&call);
        (call, is_required)
    };
    calls.map(required).collect()
}

/// Where the member of a node is reached by others: as it says, else by the node's address; nowhere if it is seen not to answer.
pub(super) fn peer_places(
    builder: &Builder<'_>,
    dial: &TlsConnection,
    service: &ServiceName,
    name: &NodeName,
) -> BTreeSet<(String, u16)> {
    if let Some(etcd) = etcd(builder, name) {
        let own = etcd.members.get(&etcd.member);
        return own.map(|member| places(&member.peer_urls)).unwrap_or_default();
    }
    let node = builder.input.survey.desired.nodes.get(name);
    let node =
        node.filter(|node| node.services.contains_key(service) && !is_seen_silent(builder, service, name));
    let address = node.and_then(|node| node.address.clone());
    address.zip(dial.port).into_iter().collect()
}

/// The calls that a client makes with one certificate, and whether each is required even if it does not work before.
pub(super) fn client_calls(
    builder: &Builder<'_>,
    dial: &TlsConnection,
    (name, node): Node<'_>,
) -> Vec<(Call, bool)> {
    // On a node that is a directory nothing runs.
    let (Some(port), true) =
        (dial.port, live(builder.input.survey, name).is_some_and(|services| !services.is_empty()))
    else {
        return Vec::new();
    };
    // A kubelet asks an API server about who calls it, and the one that it knows may come back after this node.
    let may_wait = builder.is_cold && dial.to_kind == Some(ServiceKind::Kubelet);
    let is_mended = !may_wait && dial.shows.as_ref().is_some_and(|held| is_mended(builder, name, held));
    // What was not there nobody has accepted before.
    let is_there = dial.shows.as_ref().is_some_and(|held| has_certificate(builder, name, held));
    let is_sensible = |(_, is_required): &(Call, bool)| is_there || *is_required;
    if dial.at == At::Kubeconfig {
        let Some((place, server_name)) = kubeconfig_server(builder.input, dial, (name, node)) else {
            return Vec::new();
        };
        let own = node.address.as_deref() == Some(place.0.as_str());
        let is_back = own && is_brought_back(builder, dial, name);
        // Behind whatever it names are the servers of the spec: where all are seen to be silent, nobody can be called.
        if !is_back && is_silent_everywhere(builder, dial) {
            return Vec::new();
        }
        let is_required = is_mended && own && (is_back || is_served(builder, dial, (name, place.1), name));
        let call = call(dial, node, place, server_name).map(|call| (call, is_required));
        return call.into_iter().filter(is_sensible).collect();
    }
    let servers = builder.input.survey.desired.nodes.iter();
    let servers: Vec<&NodeName> = servers
        .filter(|(_, server)| server.services.contains_key(&dial.to))
        .map(|(server, _)| server)
        .filter(|server| is_answered(builder, dial, server, port))
        .collect();
    let has_own = servers.contains(&name);
    let targets: Vec<&NodeName> = match dial.at {
        At::Own | At::Nearest if has_own => vec![name],
        At::Own | At::Others | At::Kubeconfig => Vec::new(),
        // All members of etcd; of everything else one stands for all: there may be thousands.
        At::Nearest | At::Every if dial.to_kind == Some(ServiceKind::Etcd) => servers,
        At::Nearest | At::Every if has_own => vec![name],
        At::Nearest | At::Every => servers.into_iter().take(1).collect(),
    };
    let by_loopback = matches!(dial.at, At::Own | At::Nearest) && has_own;
    let mut calls = Vec::new();
    for server in targets.into_iter().take(TRIED) {
        let address = builder.input.survey.desired.nodes.get(server).and_then(|node| node.address.clone());
        let host = match by_loopback {
            true => Some("127.0.0.1".to_owned()),
            false => address,
        };
        let Some(host) = dial.name.clone().or(host) else { continue };
        let is_required = is_mended && is_served(builder, dial, (server, port), name);
        calls.extend(call(dial, node, (host, port), None).map(|call| (call, is_required)));
    }
    calls.retain(is_sensible);
    calls
}

/// Whether the API server of a node, which does not answer now, is started by this plan.
fn is_brought_back(builder: &Builder<'_>, dial: &TlsConnection, name: &NodeName) -> bool {
    let is_started = |deed: &DraftDeed| {
        matches!(deed.deed, Deed::Restart { .. }) && deed.address.target == Target::Service(dial.to.clone())
    };
    let is_api_server = dial.to_kind == Some(ServiceKind::ApiServer);
    is_api_server && is_seen_silent(builder, &dial.to, name) && builder.draft.on(name).iter().any(is_started)
}

fn is_silent_everywhere(builder: &Builder<'_>, dial: &TlsConnection) -> bool {
    builder.input.survey.desired.nodes.iter().all(|(name, server)| {
        !server.services.contains_key(&dial.to) || is_seen_silent(builder, &dial.to, name)
    })
}

fn is_seen_silent(builder: &Builder<'_>, service: &ServiceName, name: &NodeName) -> bool {
    live(builder.input.survey, name).and_then(|services| services.get(service)).is_some_and(is_silent)
}

fn is_answered(builder: &Builder<'_>, dial: &TlsConnection, server: &NodeName, port: u16) -> bool {
    answering(builder, &dial.to, server).any(|(_, endpoint)| endpoint.port == port)
}

/// Whether a server answers with a certificate that is valid now, or, on the node that is worked on, with one that is renewed there.
fn is_served(
    builder: &Builder<'_>,
    dial: &TlsConnection,
    (server, port): (&NodeName, u16),
    own: &NodeName,
) -> bool {
    let now = builder.input.now;
    let mut served = answering(builder, &dial.to, server).filter(|(_, endpoint)| endpoint.port == port);
    served.any(|(_, endpoint)| {
        let served = endpoint.probe.served();
        let is_in_time = served.is_some_and(|served| served.certificate.facts().is_in_time(now));
        let is_renewed = || endpoint.serves.as_ref().is_some_and(|identity| is_given(builder, own, identity));
        is_in_time || server == own && is_renewed()
    })
}

/// Whether what a client has to show is missing, broken or outside its time, so that no server could have accepted it, and comes anew.
fn is_mended(builder: &Builder<'_>, name: &NodeName, held: &PresentedKey) -> bool {
    let view = builder.input.differences.identity(name, &held.identity);
    view.is_some_and(|view| !view.is_usable(builder.input.now)) && is_given(builder, name, &held.identity)
}

/// Whether this plan writes a certificate on a node.
fn is_given(builder: &Builder<'_>, name: &NodeName, identity: &IdentityName) -> bool {
    let target = Target::Identity(identity.clone());
    builder.draft.on(name).iter().any(|deed| deed.address.target == target && deed.gives_identity())
}

fn has_certificate(builder: &Builder<'_>, name: &NodeName, held: &PresentedKey) -> bool {
    let view = builder.input.differences.identity(name, &held.identity);
    // What would be shown is that of the current context, which may be one for another cluster.
    view.is_some_and(|view| view.certificate.is_some() && view.other_credentials.is_none())
}

/// The server that a kubeconfig names, the one on the node before the wanted one, and the name that it must prove.
pub(crate) fn kubeconfig_server(
    input: &Input<'_>,
    dial: &TlsConnection,
    (name, node): Node<'_>,
) -> Option<((String, u16), Option<String>)> {
    let held = dial.shows.as_ref()?;
    let Storage::Kubeconfig { file, server, .. } = &node.identities.get(&held.identity)?.storage else {
        return None;
    };
    let facts = input.survey.observed.nodes.get(name)?.facts()?;
    // Of one that could not be read the server is called that the spec gives it; nothing is written into it.
    let seen = facts.files.get(&file.path).and_then(|seen| seen.known().ok()?);
    let current = seen.and_then(|file| file.content.kubeconfig()).and_then(|config| config.current());
    match current {
        Some((cluster, _)) => Some((tls_place(&cluster.server)?, cluster.tls_server_name.clone())),
        None => Some((tls_place(server.as_deref()?)?, None)),
    }
}

/// The ports of a service that answer with TLS now.
pub(super) fn answering<'b>(
    builder: &'b Builder<'_>,
    service: &ServiceName,
    name: &NodeName,
) -> impl Iterator<Item = (IpAddr, &'b EndpointFacts)> {
    own_ports(builder, service, name).filter(|(_, endpoint)| endpoint.probe.served().is_some())
}

/// The ports of a service at which a process listens that did not get as far as showing a certificate.
pub(super) fn listening_in_vain<'b>(
    builder: &'b Builder<'_>,
    service: &ServiceName,
    name: &NodeName,
) -> impl Iterator<Item = (IpAddr, &'b EndpointFacts)> {
    // Where no process was seen to listen, nobody may be there at all.
    let listens = |endpoint: &EndpointFacts| matches!(endpoint.process.known(), Ok(Some(_)));
    own_ports(builder, service, name)
        .filter(move |(_, endpoint)| endpoint.probe.served().is_none() && listens(endpoint))
}

/// The ports of a service at which it shows what a file holds, if anything: what is served under a name of its own no file holds.
fn own_ports<'b>(
    builder: &'b Builder<'_>,
    service: &ServiceName,
    name: &NodeName,
) -> impl Iterator<Item = (IpAddr, &'b EndpointFacts)> {
    let facts = live(builder.input.survey, name).and_then(|services| services.get(service));
    let own = facts.into_iter().flat_map(|facts| &facts.endpoints).filter(|own| own.server_name.is_none());
    own.filter_map(|endpoint| Some((endpoint.address?, endpoint)))
}

/// What the member of a node says of itself.
pub(crate) fn etcd<'b>(builder: &'b Builder<'_>, node: &NodeName) -> Option<&'b EtcdFacts> {
    // A member that gave no answer is waited for as one that is not healthy: it must be no worse.
    builder.input.survey.observed.nodes.get(node)?.facts()?.etcd.known().ok()?
}

/// A call with the files that a client uses; none where it uses other places than are known.
pub(crate) fn call(
    dial: &TlsConnection,
    node: &DesiredNode,
    (host, port): (String, u16),
    server_name: Option<String>,
) -> Option<Call> {
    let PresentedKey { identity, copy } = dial.shows.as_ref()?;
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

pub(super) fn what(trusts: &Trusts) -> What {
    match trusts {
        Trusts::Authority { authority, .. } => What::Trust(authority.clone()),
        Trusts::Kubeconfig { kubeconfig } => What::KubeconfigTrust(kubeconfig.clone()),
    }
}

/// The hosts and ports of URLs with TLS.
fn places(urls: &[String]) -> BTreeSet<(String, u16)> {
    urls.iter().filter_map(|url| tls_place(url)).collect()
}
