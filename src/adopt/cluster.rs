//! What the rules for names need to know of the cluster, from flags, kubeconfigs and the names in the API servers' certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use super::comments::Comments;
use super::kubeadm::KubeadmConfig;
use super::{Draft, Evidence};
use crate::profile::detect::{ADMIN_CONF, KUBELET_CONF, config, own_context};
use crate::protocol::facts::NodeFacts;
use crate::spec::check::forms::{dns_fault, is_endpoint, is_subnet};
use crate::spec::types::Cluster;
use crate::types::names::NodeName;
use crate::x509::Certificate;

/// The serving certificates of API servers, where no manifest says where they are.
pub(super) const API_SERVER_CERTIFICATES: [&str; 2] =
    ["/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/ssl/kube-apiserver.pem"];
/// kubeadm's own subnet of services.
const KUBEADM_SUBNET: &str = "10.96.0.0/12";
/// The name of the API server inside the cluster, which the domain of services follows.
const IN_CLUSTER: &str = "kubernetes.default.svc.";

/// What all nodes together tell of their cluster.
pub(super) struct ClusterNames {
    /// As a spec says it.
    pub(super) cluster: Cluster,
    /// Addresses that belong to no node: those of services and of what stands before the API servers.
    not_of_nodes: BTreeSet<IpAddr>,
    /// What control planes say differently and is left open: who says what, in a sentence each.
    pub(super) disputes: Vec<String>,
}

impl ClusterNames {
    pub(super) fn of(
        facts: &BTreeMap<&NodeName, &NodeFacts>,
        config: Option<&KubeadmConfig>,
        comments: &mut Comments,
    ) -> Self {
        let mut told =
            Self { cluster: Cluster::default(), not_of_nodes: BTreeSet::new(), disputes: Vec::new() };
        let mut say = |field: &str, found: Option<(String, String)>, configured: Option<&String>| {
            let configured = || {
                let config = config?;
                Some((configured?.clone(), format!("from {}", config.file)))
            };
            let (value, from) = found.or_else(configured)?;
            comments.say(&["cluster", field], from);
            Some(value)
        };
        let servers: Vec<Server<'_>> = facts.iter().filter_map(|(node, facts)| server(node, facts)).collect();
        told.not_of_nodes.extend(shared_addresses(&servers));
        let endpoint = told.unanimous("controlPlaneEndpoint", endpoints(facts));
        let host = endpoint.as_ref().and_then(|(endpoint, _)| host_of_endpoint(endpoint).parse().ok());
        // Without anything before them, the endpoint is the address of the only control plane.
        told.not_of_nodes.extend(host.filter(|_| servers.len() > 1));
        let by_flags = subnets(facts);
        let subnet = match by_flags.is_empty() {
            true => subnet_by_certificates(&servers, host),
            false => told.unanimous("serviceSubnet", by_flags),
        };
        told.not_of_nodes
            .extend(subnet.as_ref().and_then(|(subnet, _)| first_address(subnet)).map(IpAddr::V4));
        let intent = config.map(|config| &config.cluster);
        told.cluster = Cluster {
            control_plane_endpoint: say(
                "controlPlaneEndpoint",
                endpoint,
                intent.and_then(|intent| intent.control_plane_endpoint.as_ref()),
            ),
            service_subnet: say(
                "serviceSubnet",
                subnet,
                intent.and_then(|intent| intent.service_subnet.as_ref()),
            ),
            dns_domain: say(
                "dnsDomain",
                dns_domain(&servers),
                intent.and_then(|intent| intent.dns_domain.as_ref()),
            ),
        };
        told
    }

    /// What all say that say anything. One control plane's word does not become what should be on the others: where they differ it is left open, and told.
    fn unanimous(&mut self, field: &str, said: Vec<(String, String)>) -> Option<(String, String)> {
        let (first, _) = said.first()?;
        if said.iter().all(|(value, _)| value == first) {
            return said.into_iter().next();
        }
        let said: Vec<String> = said.iter().map(|(value, from)| format!("{value} is {from}")).collect();
        self.disputes.push(format!(
            "{field} is left open, because control planes say different things: {}. Declare the right one in spec.cluster",
            said.join("; ")
        ));
        None
    }

    /// Whether an address can be that of a single node.
    pub(super) fn is_address_of_a_node(&self, address: IpAddr) -> bool {
        !address.is_loopback() && !address.is_unspecified() && !self.not_of_nodes.contains(&address)
    }
}

/// An API server's certificate.
struct Server<'a> {
    node: &'a NodeName,
    path: &'a str,
    certificate: &'a Certificate,
}

fn server<'a>(node: &'a NodeName, facts: &'a NodeFacts) -> Option<Server<'a>> {
    let (path, certificate) = api_server_certificate(facts)?;
    Some(Server { node, path, certificate })
}

/// The certificate that a node's API server shows, with its path.
pub(super) fn api_server_certificate(facts: &NodeFacts) -> Option<(&str, &Certificate)> {
    let flagged = facts.manifests().find_map(|(_, manifest)| {
        let container = manifest.container("kube-apiserver")?;
        container.host_path(container.flags.last("tls-cert-file")?)
    });
    let usual = API_SERVER_CERTIFICATES.into_iter().map(str::to_owned);
    flagged.into_iter().chain(usual).find_map(|path| {
        let (path, _) = facts.files.get_key_value(&path)?;
        Some((path.as_str(), facts.first_certificate(path)?))
    })
}

/// The host of a URL.
pub(super) fn host_of(url: &str) -> Option<&str> {
    Some(host_of_endpoint(url.split_once("://")?.1.split('/').next()?))
}

/// The host of `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`.
fn host_of_endpoint(endpoint: &str) -> &str {
    if let Some((host, _)) = endpoint.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    match endpoint.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') => host,
        Some(_) | None => endpoint,
    }
}

/// Addresses that the certificates of several API servers have in common.
fn shared_addresses(servers: &[Server<'_>]) -> BTreeSet<IpAddr> {
    let mut names = servers.iter().map(|server| &server.certificate.facts().names.ip);
    let Some(first) = names.next().filter(|_| servers.len() > 1) else { return BTreeSet::new() };
    let common = names.fold(first.clone(), |common, names| common.intersection(names).copied().collect());
    // A certificate that names every node tells nothing apart.
    let own = |server: &Server<'_>| server.certificate.facts().names.ip.difference(&common).next().is_some();
    if servers.iter().all(own) { common } else { BTreeSet::new() }
}

/// kubeadm writes the control plane endpoint into admin.conf and kubelet.conf. Each node is heard once.
fn endpoints(facts: &BTreeMap<&NodeName, &NodeFacts>) -> Vec<(String, String)> {
    let told = |node: &NodeName, facts: &NodeFacts, path: &str| {
        let config = config(facts, path)?;
        let cluster = config.clusters.get(&own_context(facts, config)?.cluster)?;
        let endpoint = cluster.server.strip_prefix("https://")?.trim_end_matches('/');
        is_endpoint(endpoint).then(|| (endpoint.to_owned(), format!("the server in {path} on {node}")))
    };
    let of_node = |path: &'static str| {
        facts.iter().filter_map(move |(node, facts)| told(node, facts, path)).collect::<Vec<_>>()
    };
    let by_admins = of_node(ADMIN_CONF);
    if by_admins.is_empty() { of_node(KUBELET_CONF) } else { by_admins }
}

fn subnets(facts: &BTreeMap<&NodeName, &NodeFacts>) -> Vec<(String, String)> {
    let of_node = |(node, facts): (&&NodeName, &&NodeFacts)| {
        facts.manifests().find_map(|(path, manifest)| {
            let subnet = manifest.container("kube-apiserver")?.flags.last("service-cluster-ip-range")?;
            let is_known = subnet.split(',').all(is_subnet);
            is_known.then(|| (subnet.to_owned(), format!("--service-cluster-ip-range in {path} on {node}")))
        })
    };
    facts.iter().filter_map(of_node).collect()
}

/// The address that every API server has and that ends a subnet's zeros with a one. How long the subnet is, no certificate tells; only its first address
/// is ever used.
fn subnet_by_certificates(servers: &[Server<'_>], endpoint: Option<IpAddr>) -> Option<(String, String)> {
    let first = servers.first()?;
    let is_everywhere =
        |ip: &IpAddr| servers.iter().all(|server| server.certificate.facts().names.ip.contains(ip));
    let is_first = |ip: &&IpAddr| {
        matches!(ip, IpAddr::V4(v4) if v4.octets().last() == Some(&1) && !v4.is_loopback())
            && Some(**ip) != endpoint
            && is_everywhere(ip)
    };
    let mut firsts = first.certificate.facts().names.ip.iter().filter(is_first);
    let (Some(IpAddr::V4(address)), None) = (firsts.next(), firsts.next()) else { return None };
    let bits = address.to_bits().checked_sub(1)?;
    let subnet = if Some(*address) == first_address(KUBEADM_SUBNET) {
        KUBEADM_SUBNET.to_owned()
    } else {
        let prefix = if bits.trailing_zeros() >= 16 { 16 } else { 24 };
        format!("{}/{prefix}", Ipv4Addr::from_bits(bits))
    };
    let (path, node) = (first.path, first.node);
    Some((
        subnet,
        format!(
            "by the name {address} in {path} on {node}; its length is not told, only the first address counts"
        ),
    ))
}

fn first_address(subnets: &str) -> Option<Ipv4Addr> {
    let network: Ipv4Addr = subnets.split(',').next()?.split('/').next()?.parse().ok()?;
    network.to_bits().checked_add(1).map(Ipv4Addr::from_bits)
}

fn dns_domain(servers: &[Server<'_>]) -> Option<(String, String)> {
    servers.iter().find_map(|server| {
        let names = &server.certificate.facts().names.dns;
        let domain = names.iter().find_map(|name| name.strip_prefix(IN_CLUSTER))?;
        dns_fault(domain, false).is_none().then(|| {
            let from = format!("by the name {IN_CLUSTER}{domain} in {} on {}", server.path, server.node);
            (domain.to_owned(), from)
        })
    })
}

/// Values of which nodes, or nodes and the configuration, say different things.
pub(super) fn remarks(draft: &mut Draft, sight: &Evidence<'_>) {
    let cluster = draft.spec.spec.cluster.clone();
    draft.remarks.extend(draft.disputes.iter().cloned());
    if let Some(config) = sight.config {
        let pairs = [
            ("controlPlaneEndpoint", &cluster.control_plane_endpoint, &config.cluster.control_plane_endpoint),
            ("serviceSubnet", &cluster.service_subnet, &config.cluster.service_subnet),
            ("dnsDomain", &cluster.dns_domain, &config.cluster.dns_domain),
        ];
        for (field, found, wanted) in pairs {
            let without_port = |text: &String| text.trim_end_matches(":6443").to_owned();
            if let (Some(found), Some(wanted)) = (found, wanted)
                && without_port(found) != without_port(wanted)
            {
                draft.remark(format!("{field} is {wanted} in {}, and {found} on the nodes", config.file));
            }
        }
    }
    for (node, wanted) in &sight.survey.desired.nodes {
        if wanted.address.is_none() && !wanted.identities.is_empty() {
            draft.remark(format!("no file tells the address of {node}: declare its `address`"));
        }
    }
}
