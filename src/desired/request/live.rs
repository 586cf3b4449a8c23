//! What a node has to be asked about its running services, worked out from what it should be.
//!
//! What enters is [`Desired`](crate::desired::Desired) and a node of it; what leaves is the [`LiveRequest`] that answers every question of [`crate::diff`] about what is in use. Pure.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::desired::{DesiredIdentity, DesiredNode, DesiredService};
use crate::profile::What;
use crate::protocol::facts::{EndpointQuestion, EtcdQuestion, LiveRequest, ServiceQuestion};
use crate::types::certificate::Usage;
use crate::types::names::AuthorityName;
use crate::types::service_kind::ServiceKind;
use crate::types::storage::Storage;

/// The name under which an API server serves the certificate that it has in memory for its calls to itself (apiserver `pkg/server/options`, all versions).
pub(crate) const LOOPBACK_NAME: &str = "apiserver-loopback-client";
/// How layouts begin the names of certificates that a member of etcd shows itself.
const OF_MEMBER: &str = "etcd";
/// The port of etcd for clients (IANA).
const ETCD_CLIENT_PORT: u16 = 2379;

/// What to ask a node about what runs on it.
pub fn live_request(node: &DesiredNode) -> LiveRequest {
    let services = node.services.iter().filter_map(|(name, service)| {
        let question = service_question(node, service);
        // Where something tells whether it works, it is known that the node is one on which things run.
        let is_of_use = question != ServiceQuestion::default() || !service.health.is_empty();
        is_of_use.then(|| (name.clone(), question))
    });
    let services = services.collect();
    LiveRequest { services, consumers: consumer_questions(node), etcd: etcd_question(node) }
}

/// The ports at which consumers of authorities show certificates, each once.
fn consumer_questions(node: &DesiredNode) -> Vec<EndpointQuestion> {
    let consumers = node.consumers.values().flat_map(|consumers| consumers.values());
    let ports: BTreeSet<u16> =
        consumers.flat_map(|consumer| &consumer.ports).map(|port| port.get()).collect();
    let question =
        |port| EndpointQuestion { port, addresses: addresses(node), serves: None, server_name: None };
    ports.into_iter().map(question).collect()
}

fn addresses(node: &DesiredNode) -> Vec<IpAddr> {
    let own = node.address.as_deref().and_then(|address| address.parse::<IpAddr>().ok());
    std::iter::once(IpAddr::V4(Ipv4Addr::LOCALHOST)).chain(own).collect()
}

fn service_question(node: &DesiredNode, service: &DesiredService) -> ServiceQuestion {
    let addresses = addresses(node);
    let mut endpoints = Vec::new();
    for endpoint in &service.endpoints {
        let question = EndpointQuestion {
            port: endpoint.port,
            addresses: addresses.clone(),
            serves: endpoint.serves.clone(),
            server_name: None,
        };
        if service.is(ServiceKind::ApiServer) {
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
    let (name, service) = node.services_of(ServiceKind::Etcd).next()?;
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
        (
            identity.usages.contains(&Usage::Server),
            !name.contains("healthcheck"),
            !name.starts_with(OF_MEMBER),
        )
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

#[cfg(test)]
mod tests {
    use crate::desired::{Hints, resolve};
    use crate::profile::Profile;
    use crate::protocol::facts::LiveRequest;
    use crate::spec::types::ClusterPki;
    use crate::types::profile_name::ProfileName;

    use super::live_request;

    /// What a node with all roles is asked in a layout.
    fn asked(profile: ProfileName) -> LiveRequest {
        let text = format!(
            "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: x }}\nspec:\n  profile: {profile}\n  cluster: {{ controlPlaneEndpoint: \"api.example:6443\", serviceSubnet: 10.96.0.0/12 }}\n  nodes:\n    cp-1: {{ address: 10.0.0.11, roles: [control-plane, etcd] }}\n"
        );
        let spec: ClusterPki = serde_saphyr::from_str(&text).unwrap();
        let desired =
            resolve(&spec, &Profile::load(profile).unwrap(), &Hints::default(), &Default::default()).unwrap();
        live_request(&desired.nodes["cp-1"])
    }

    #[test]
    fn each_port_is_asked_about_and_the_api_server_also_by_the_name_that_it_calls_itself() {
        let live = asked(ProfileName::Kubeadm);
        let ports = |service: &str| -> Vec<(u16, Option<String>)> {
            let endpoints = &live.services[service].endpoints;
            endpoints.iter().map(|endpoint| (endpoint.port, endpoint.server_name.clone())).collect()
        };
        let loopback = Some("apiserver-loopback-client".to_owned());
        assert_eq!(ports("kube-apiserver"), [(6443, loopback), (6443, None)]);
        assert_eq!(ports("etcd"), [(2379, None), (2380, None)]);
        assert_eq!(ports("kubelet"), [(10250, None)]);
        assert_eq!(live.services["kubelet"].unit.as_deref(), Some("kubelet.service"));
        assert_eq!(live.services["etcd"].unit, None);
        let addresses: Vec<String> =
            live.services["etcd"].endpoints[0].addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["127.0.0.1", "10.0.0.11"]);
    }

    #[test]
    fn etcd_is_asked_with_a_client_certificate_that_it_accepts() {
        for (profile, expected) in [
            (ProfileName::Kubeadm, "/etc/kubernetes/pki/etcd/healthcheck-client.crt"),
            (ProfileName::Etcd, "client.crt"),
            (ProfileName::Ack, "client"),
            (ProfileName::Starlingx, "client"),
            (ProfileName::KubesprayEtcd, "/etc/ssl/etcd/ssl/admin-cp-1.pem"),
            (ProfileName::Rke1, "kube"),
        ] {
            let etcd = asked(profile).etcd.unwrap_or_else(|| panic!("{profile}"));
            assert!(etcd.certificate.contains(expected), "{profile}: {}", etcd.certificate);
        }
        assert_eq!(asked(ProfileName::Custom), LiveRequest::default());
    }
}
