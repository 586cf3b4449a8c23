//! What the nodes' own configuration tells about things that a spec may leave open.
//!
//! What enters is [`Observed`]; what leaves is [`Hints`] for [`crate::desired::resolve`]. Pure. A hint never overrides what a spec declares.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::desired::Hints;
use crate::ids::DirectoryName;
use crate::kubeconfig::KubeconfigFacts;
use crate::manifest::ContainerFacts;
use crate::observed::{NodeFacts, Observed};

/// The hints of all nodes together.
pub fn hints(observed: &Observed) -> Hints {
    let mut hints = Hints { asked: true, ..Hints::default() };
    for (name, answer) in &observed.nodes {
        let Some(facts) = answer.facts() else { continue };
        let version = facts.kubernetes_version.as_deref().and_then(|version| version.parse().ok());
        if let Some(version) = version {
            hints.versions.insert(name.clone(), version);
        }
        let api_server = container(facts, "kube-apiserver");
        let etcd = container(facts, "etcd");
        if let Some(subnet) =
            api_server.and_then(|container| container.flags.last("service-cluster-ip-range"))
        {
            hints.service_subnet.get_or_insert_with(|| subnet.to_owned());
        }
        let advertised = api_server.and_then(|container| container.flags.last("advertise-address"));
        let client_url =
            etcd.and_then(|container| container.flags.last("advertise-client-urls")).and_then(host_of_url);
        if let Some(address) = advertised.or(client_url) {
            hints.addresses.insert(name.clone(), address.to_owned());
        }
        if let Some(endpoint) = control_plane_endpoint(facts) {
            hints.endpoint.get_or_insert(endpoint);
        }
        hints.directories.insert(name.clone(), moved_directories(api_server, etcd));
        hints.member_indexes.extend(member_indexes(facts));
    }
    hints
}

fn container<'a>(facts: &'a NodeFacts, program: &str) -> Option<&'a ContainerFacts> {
    facts.manifests().find_map(|(_, manifest)| manifest.container(program))
}

/// The host and port that admin.conf talks to, else kubelet.conf: kubeadm writes the control plane endpoint into both.
fn control_plane_endpoint(facts: &NodeFacts) -> Option<String> {
    let configs =
        facts.files.iter().filter_map(|(path, seen)| Some((path, seen.present()?.content.kubeconfig()?)));
    let named: BTreeMap<&str, &KubeconfigFacts> =
        configs.filter_map(|(path, config)| Some((path.rsplit('/').next()?, config))).collect();
    let config = ["admin.conf", "kubelet.conf"].iter().find_map(|name| named.get(name))?;
    let (cluster, _) = config.current()?;
    cluster.server.strip_prefix("https://").map(|rest| rest.trim_end_matches('/').to_owned())
}

/// The host of `https://HOST:PORT`, of the first one in a list.
fn host_of_url(urls: &str) -> Option<&str> {
    let first = urls.split(',').next()?;
    let authority = first.split_once("://")?.1.split('/').next()?;
    match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => authority.rsplit_once(':').map_or(Some(authority), |(host, _)| Some(host)),
    }
}

/// Of files that are called `ADDRESS-name-NUMBER.pem`, as ACK's installer numbers the members of etcd, the number of each address.
fn member_indexes(facts: &NodeFacts) -> BTreeMap<String, String> {
    let listings = facts.files.values().filter_map(|seen| seen.present()?.content.entries());
    let numbered = |entry: &String| {
        let (address, number) = entry.strip_suffix(".pem")?.split_once("-name-")?;
        let is_number = !number.is_empty() && number.len() < 4 && number.bytes().all(|b| b.is_ascii_digit());
        (is_number && address.parse::<IpAddr>().is_ok()).then(|| (address.to_owned(), number.to_owned()))
    };
    listings.flatten().filter_map(numbered).collect()
}

/// Directories that the flags of running components place elsewhere than the profile does (kubeadm's `certificatesDir`).
fn moved_directories(
    api_server: Option<&ContainerFacts>,
    etcd: Option<&ContainerFacts>,
) -> BTreeMap<DirectoryName, String> {
    let directory = |container: Option<&ContainerFacts>, flag: &str| {
        let container = container?;
        let path = container.host_path(container.flags.last(flag)?)?;
        path.rsplit_once('/').map(|(directory, _)| directory.to_owned())
    };
    [("pki", directory(api_server, "client-ca-file")), ("etcd-pki", directory(etcd, "trusted-ca-file"))]
        .into_iter()
        .filter_map(|(name, path)| Some((name.parse().ok()?, path?)))
        .collect()
}
