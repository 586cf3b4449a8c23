//! The first look at nodes that no spec describes: which layout they have, what they are called, where they are and what they do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;

use super::cluster::{self, ClusterNames, api_server_certificate, host_of};
use super::comments::Comments;
use super::intents::intend;
use super::kubeadm::KubeadmConfig;
use super::{AdoptError, Draft, Found, Reached};
use crate::profile::detect;
use crate::profile::detect::{config, markers};
use crate::profile::{Profile, ProfileError, foreign};
use crate::protocol::facts::{Expect, NodeFacts, ObserveRequest, Observed};
use crate::spec::check::forms::is_endpoint;
use crate::spec::types::{ApiVersion, ClusterPki, Connection, Kind, Local, Metadata, Node, Role, Spec, Ssh};
use crate::types::names::{ClusterName, NodeName};
use crate::types::profile_name::ProfileName;

/// The kubeconfigs whose server is the node's own API server (kubeadm 1.19 and later, kubeadm#2271).
const LOCAL_KUBECONFIGS: [&str; 2] =
    ["/etc/kubernetes/controller-manager.conf", "/etc/kubernetes/scheduler.conf"];
/// The serving certificates of etcd, whose names hold its node's address.
const ETCD_SERVERS: [&str; 2] = ["/etc/etcd/pki/server.crt", "/etc/kubernetes/pki/etcd/server.crt"];
/// Where StarlingX keeps what the standby controller takes over, one directory for each release.
pub(super) const PLATFORM_CONFIG: &str = "/opt/platform/config";

/// What a node is asked before anything is known of it.
///
/// # Errors
/// Only if the program was built with a broken profile.
pub fn first_look() -> Result<ObserveRequest, ProfileError> {
    let mut request = markers()?;
    for path in LOCAL_KUBECONFIGS {
        request.files.insert(path.to_owned(), Expect::Kubeconfig);
    }
    for path in ETCD_SERVERS.into_iter().chain(cluster::API_SERVER_CERTIFICATES) {
        request.files.insert(path.to_owned(), Expect::Certificates);
    }
    request.files.insert(PLATFORM_CONFIG.to_owned(), Expect::Directory);
    Ok(request)
}

/// A spec of the nodes as they were found, with nothing adapted yet, and the name of each node in the order in which they are given.
///
/// # Errors
/// What keeps them from being one cluster of a known layout.
pub fn begin(found: &[Found], config: Option<&KubeadmConfig>) -> Result<(Draft, Vec<NodeName>), AdoptError> {
    let mut comments = Comments::default();
    let (profile, told_by) = layout(found)?;
    let names = names(found)?;
    if let Some((marker, node)) = told_by.and_then(|(marker, at)| Some((marker, names.get(at)?))) {
        comments.say(&["profile"], format!("told by {marker} on {node}"));
    }
    let by_name: BTreeMap<&NodeName, &Found> = names.iter().zip(found).collect();
    let facts: BTreeMap<&NodeName, &NodeFacts> =
        by_name.iter().map(|(name, found)| (*name, &found.facts)).collect();
    // What is so of the cluster, its control planes say, and no worker.
    let mut heard = BTreeMap::new();
    for (name, facts) in &facts {
        if detect::roles(profile, facts)? != BTreeSet::from([Role::Worker]) {
            heard.insert(*name, *facts);
        }
    }
    let told = ClusterNames::of(&heard, config, &mut comments);
    let versions = crate::desired::hints::versions(&known(found, &names, Timestamp::UNIX_EPOCH));
    let versions: BTreeSet<_> = versions.into_values().collect();
    match (versions.first(), versions.last()) {
        (Some(oldest), Some(newest)) if oldest != newest => comments
            .add(&["profile"], &format!("Kubernetes {oldest} to {newest} by the images of its manifests")),
        (Some(version), _) => {
            comments.add(&["profile"], &format!("Kubernetes {version} by the images of its manifests"));
        }
        (None, _) => {}
    }
    let mut nodes = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for (name, found) in &by_name {
        let layout = detect::layout(&found.facts)?.unwrap_or(profile);
        // A worker of a layout that builds on kubeadm has kubeadm's files only.
        let roles = detect::roles(layout, &found.facts)?;
        let address = address(found, &told).map(|(address, from)| {
            addresses.insert((*name).clone(), from);
            address
        });
        nodes.insert((*name).clone(), Node { address, roles, connection: None });
    }
    say_addresses(&addresses, &mut comments);
    if found.is_empty() {
        nodes = nodes_of_config(config, &mut comments);
        if nodes.is_empty() {
            return Err(AdoptError::NoNode(config.map_or_else(String::new, |config| config.file.clone())));
        }
    }
    let connection = connections(&by_name, &mut nodes);
    let mut second = Vec::new();
    for (name, facts) in &facts {
        for (layout, marker) in detect::further(facts, profile)? {
            second.push(format!(
                "{marker} on {name} belongs to a second layout, {layout}, which this spec leaves out: a spec of its own with `profile: {layout}` covers it"
            ));
        }
    }
    let mut draft = Draft {
        spec: ClusterPki {
            api_version: ApiVersion::V1Alpha1,
            kind: Kind::ClusterPki,
            metadata: Metadata {
                name: cluster_name(&facts, config, &mut comments),
                annotations: BTreeMap::new(),
                labels: BTreeMap::new(),
            },
            spec: Spec { cluster: told.cluster, connection, ..detect::bare(profile, nodes) },
        },
        only_from: config.filter(|_| found.is_empty()).map(|config| config.file.clone()),
        comments,
        remarks: BTreeSet::new(),
        disputes: told.disputes.into_iter().chain(second).collect(),
        intents: BTreeSet::new(),
        missing: None,
    };
    if let Some(config) = config {
        intend(config, &mut draft, &facts);
    }
    Ok((draft, names))
}

/// The layout that all nodes share, with the path that tells it and the place of its node among them. Workers of layouts that build on kubeadm's look like
/// kubeadm's.
fn layout(found: &[Found]) -> Result<(ProfileName, Option<(String, usize)>), AdoptError> {
    let mut chosen: Option<(ProfileName, &Found, (String, usize))> = None;
    for (at, node) in found.iter().enumerate() {
        let Some((profile, marker)) = detect::marker(&node.facts)? else {
            return Err(match foreign(&node.facts) {
                Some(foreign) => AdoptError::TakesCareItself {
                    called: node.called.clone(),
                    distribution: foreign.name,
                    marker: foreign.marker,
                },
                None => AdoptError::NoLayout(node.called.clone()),
            });
        };
        chosen = Some(match chosen {
            None => (profile, node, (marker, at)),
            Some((first, one, told)) if first == profile || builds_on(first, profile)? => (first, one, told),
            Some((first, ..)) if builds_on(profile, first)? => (profile, node, (marker, at)),
            Some((first, one, _)) => {
                return Err(AdoptError::Mixed {
                    one: one.called.clone(),
                    first,
                    other: node.called.clone(),
                    second: profile,
                });
            }
        });
    }
    Ok(chosen.map_or((ProfileName::Kubeadm, None), |(profile, _, told)| (profile, Some(told))))
}

fn builds_on(profile: ProfileName, base: ProfileName) -> Result<bool, ProfileError> {
    Ok(Profile::load(profile)?.base == Some(base))
}

fn names(found: &[Found]) -> Result<Vec<NodeName>, AdoptError> {
    let mut known: BTreeMap<NodeName, &Found> = BTreeMap::new();
    let mut names = Vec::new();
    for node in found {
        let by_certificate = || {
            let subject = &node.facts.first_certificate(ETCD_SERVERS.first()?)?.facts().subject;
            subject.common_name()?.parse().ok()
        };
        let told = || by_certificate().or_else(|| detect::node_name(&node.facts));
        let name = node.name.clone().or_else(told).unwrap_or_else(NodeName::unnamed);
        if let Some(one) = known.insert(name.clone(), node) {
            return Err(AdoptError::SameName { one: one.called.clone(), other: node.called.clone(), name });
        }
        names.push(name);
    }
    Ok(names)
}

fn cluster_name(
    facts: &BTreeMap<&NodeName, &NodeFacts>,
    config: Option<&KubeadmConfig>,
    comments: &mut Comments,
) -> ClusterName {
    let told = facts.iter().find_map(|(node, facts)| {
        let (name, path) = detect::cluster_name(facts)?;
        Some((name, format!("the cluster's name in {path} on {node}")))
    });
    let configured = || {
        let config = config?;
        let name = config.cluster_name.as_ref()?.to_ascii_lowercase().parse().ok()?;
        Some((name, format!("clusterName in {}", config.file)))
    };
    match told.or_else(configured) {
        Some((name, from)) => {
            comments.say(&["metadata"], from);
            name
        }
        None => {
            comments.say(&["metadata"], "no file tells it: give it the name that you use");
            ClusterName::unnamed()
        }
    }
}

/// The address that others use for a node, with what tells it.
fn address(found: &Found, told: &ClusterNames) -> Option<(String, String)> {
    let facts = &found.facts;
    let flag = |program: &str, flag: &str| {
        facts.manifests().find_map(|(path, manifest)| {
            let value = manifest.container(program)?.flags.last(flag)?.to_owned();
            Some((value, format!("--{flag} in {path}")))
        })
    };
    let advertised = || flag("kube-apiserver", "advertise-address");
    let client_url = || {
        let (urls, from) = flag("etcd", "advertise-client-urls")?;
        Some((host_of(urls.split(',').next()?)?.to_owned(), from))
    };
    let own_server = || {
        LOCAL_KUBECONFIGS.iter().find_map(|path| {
            let (cluster, _) = config(facts, path)?.current()?;
            let host = host_of(&cluster.server)?;
            let is_own = told.is_address_of_a_node(host.parse().ok()?);
            is_own.then(|| (host.to_owned(), format!("the server in {path}")))
        })
    };
    let typed = || match &found.reached {
        Reached::Ssh { host, .. } if host.parse::<IpAddr>().is_ok() => {
            Some((host.clone(), "what pki was told to connect to".to_owned()))
        }
        Reached::Ssh { .. } | Reached::Local { .. } => None,
    };
    let by_names = || {
        let servers = ETCD_SERVERS.iter().filter_map(|path| Some((*path, facts.first_certificate(path)?)));
        let mut servers = servers.chain(api_server_certificate(facts));
        servers.find_map(|(path, certificate)| {
            let mut own = certificate.facts().names.ip.iter().filter(|ip| told.is_address_of_a_node(**ip));
            let (one, another) = (own.next()?, own.next());
            another.is_none().then(|| (one.to_string(), format!("the names of {path}")))
        })
    };
    let is_host = |(address, _): &(String, String)| is_endpoint(address);
    advertised().or_else(client_url).or_else(own_server).or_else(typed).or_else(by_names).filter(is_host)
}

/// Where the addresses are from, once where that is the same of all.
fn say_addresses(addresses: &BTreeMap<NodeName, String>, comments: &mut Comments) {
    let Some(first) = addresses.values().next() else { return };
    if addresses.values().all(|from| from == first) {
        comments.say(&["nodes"], format!("addresses: {first}"));
        return;
    }
    for (name, from) in addresses {
        comments.say(&["nodes", name.as_str()], format!("address: {from}"));
    }
}

fn nodes_of_config(config: Option<&KubeadmConfig>, comments: &mut Comments) -> BTreeMap<NodeName, Node> {
    let Some(config) = config else { return BTreeMap::new() };
    for name in config.nodes.keys() {
        comments.say(&["nodes", name.as_str()], format!("from {}", config.file));
    }
    config.nodes.clone()
}

/// How the nodes are reached: said once where it is the same for all.
fn connections(
    by_name: &BTreeMap<&NodeName, &Found>,
    nodes: &mut BTreeMap<NodeName, Node>,
) -> Option<Connection> {
    let ssh = |ssh: Ssh| Connection { ssh: Some(ssh), local: None };
    let mut own: BTreeMap<NodeName, Connection> = BTreeMap::new();
    for (name, found) in by_name {
        let connection = match &found.reached {
            Reached::Local { root } => {
                Connection { ssh: None, local: Some(Local { root: root.clone(), create: false }) }
            }
            Reached::Ssh { host, user, port, sudo } => {
                let address = nodes.get(*name).and_then(|node| node.address.clone());
                let host = match address.as_deref() {
                    Some(address) if address == host => None,
                    None if name.as_str() == host => None,
                    Some(_) | None if name.as_str() == host => Some("{node}".to_owned()),
                    Some(_) | None => Some(host.clone()),
                };
                ssh(Ssh { host, user: user.clone(), port: *port, sudo: *sudo, ..Ssh::default() })
            }
        };
        own.insert((*name).clone(), connection);
    }
    let Some(first) = own.values().next().cloned() else { return Some(ssh(Ssh::default())) };
    if own.values().all(|connection| *connection == first) {
        return Some(first);
    }
    // The most common way over SSH is the cluster's; the others are their nodes' own.
    let count = |way: &Connection| own.values().filter(|other| *other == way).count();
    let over_ssh = own.values().filter(|way| way.ssh.is_some());
    let common = over_ssh.reduce(|best, way| if count(way) > count(best) { way } else { best }).cloned();
    for (name, connection) in &own {
        if let Some(node) = nodes.get_mut(name).filter(|_| Some(connection) != common.as_ref()) {
            node.connection = Some(connection.clone());
        }
    }
    common
}

/// What nodes told at the first look, as the answers of a survey.
pub fn known(found: &[Found], names: &[NodeName], observed_at: Timestamp) -> Observed {
    let answers = names.iter().zip(found);
    let answers = answers
        .map(|(name, found)| (name.clone(), crate::protocol::facts::Answer::Facts(found.facts.clone())));
    Observed { observed_at, nodes: answers.collect() }
}
