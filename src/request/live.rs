//! What a node has to be asked about its running services, worked out from what it should be.
//!
//! What enters is [`Desired`] and a node of it; what leaves is the [`LiveRequest`] that answers every question of [`crate::diff`] about what is in use. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::desired::{DesiredIdentity, DesiredNode, DesiredService, Storage};
use crate::ids::{AuthorityName, ServiceName};
use crate::observed::{EndpointQuestion, EtcdQuestion, LiveRequest, ServiceQuestion};
use crate::profile::What;
use crate::spec::types::Usage;

/// The service with a certificate in memory for its own calls to itself.
const API_SERVER: &str = "kube-apiserver";
/// The name under which it serves that one (apiserver `pkg/server/options`, all versions).
const LOOPBACK_NAME: &str = "apiserver-loopback-client";
/// The service that is asked about its members.
const ETCD: &str = "etcd";
/// Its port for clients (IANA).
const ETCD_CLIENT_PORT: u16 = 2379;

/// What to ask a node about what runs on it.
pub fn live_request(node: &DesiredNode) -> LiveRequest {
    let services = node.services.iter().filter_map(|(name, service)| {
        let question = service_question(node, name, service);
        (question != ServiceQuestion::default()).then(|| (name.clone(), question))
    });
    let services = services.collect();
    LiveRequest { services, etcd: etcd_question(node) }
}

fn service_question(node: &DesiredNode, name: &ServiceName, service: &DesiredService) -> ServiceQuestion {
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    addresses.extend(node.address.as_deref().and_then(|address| address.parse::<IpAddr>().ok()));
    let mut endpoints = Vec::new();
    for endpoint in &service.endpoints {
        let question = EndpointQuestion {
            port: endpoint.port,
            addresses: addresses.clone(),
            serves: endpoint.serves.clone(),
            server_name: None,
        };
        if name.as_str() == API_SERVER {
            let server_name = Some(LOOPBACK_NAME.to_owned());
            endpoints.push(EndpointQuestion { serves: None, server_name, ..question.clone() });
        }
        endpoints.push(question);
    }
    let unit = service.restart.as_ref().and_then(|restart| restart.systemd.clone());
    ServiceQuestion { unit, endpoints }
}

/// The member of the node is asked with a certificate that it accepts: one for clients, of an authority that it trusts.
fn etcd_question(node: &DesiredNode) -> Option<EtcdQuestion> {
    let (name, service) = node.services.iter().find(|(name, _)| name.as_str() == ETCD)?;
    let endpoint = service.endpoints.iter().find(|endpoint| endpoint.port == ETCD_CLIENT_PORT)?;
    let trusted: BTreeSet<&AuthorityName> = service
        .reads
        .iter()
        .filter_map(|read| match &read.what {
            What::Trust(authority) => Some(authority),
            What::Identity(_) | What::Signer(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => None,
        })
        .collect();
    let fits = |identity: &DesiredIdentity| {
        identity.usages.contains(&Usage::Client)
            && identity.authority.as_ref().is_some_and(|authority| trusted.contains(authority))
    };
    let candidates = node.identities.iter().filter(|(_, identity)| fits(identity));
    // One that is made for people and checks, else one that the member itself may show.
    let rank = |name: &str, identity: &DesiredIdentity| {
        (identity.usages.contains(&Usage::Server), !name.contains("healthcheck"), !name.starts_with(ETCD))
    };
    let pairs = candidates.filter_map(|(name, identity)| match &identity.storage {
        Storage::Pair { certificate, key } => Some((rank(name.as_str(), identity), certificate, key)),
        Storage::Combined { .. } | Storage::Kubeconfig { .. } => None,
    });
    let (_, certificate, key) = pairs.min_by_key(|(rank, ..)| *rank)?;
    Some(EtcdQuestion {
        service: name.clone(),
        port: endpoint.port,
        certificate: certificate.path.clone(),
        key: key.path.clone(),
    })
}
