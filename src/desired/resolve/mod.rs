//! From spec and profile to the wanted state of each node.

mod authority;
mod identity;
mod parts;
mod storage;

use std::collections::{BTreeMap, BTreeSet};

use parts::{first_service_address, kind_by_name, owned_file, split_endpoint};

use super::flagged::program_of;
use super::template::Values;
use super::{
    Decided, Desired, DesiredDirectory, DesiredHealth, DesiredKeyPair, DesiredNode, DesiredService, Hints,
};
use crate::profile::{
    Endpoint, Health, PresentedKey, Profile, Read, TlsConnection, Versioned, What, applicable,
};
use crate::spec::custom_root::Roots;
use crate::spec::types;
use crate::spec::types::{ClusterPki, Node, Placement, Role, Service, Spec};
use crate::types::certificate::NewKeyAlgorithm;
use crate::types::duration::Duration;
use crate::types::names::{AuthorityName, DirectoryName, IdentityName, NodeName, ServiceName};
use crate::types::scalars::KubernetesVersion;
use crate::types::storage::{FileSpec, Storage};
use crate::types::url::bracketed;

/// kubeadm's default (`networking.dnsDomain`).
const DNS_DOMAIN: &str = "cluster.local";

/// A part of a spec that no node could carry out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ResolveError {
    /// Where in the spec.
    pub path: Vec<String>,
    /// What is wrong and the way out.
    pub message: String,
}

impl ResolveError {
    fn new(path: &[&str], message: String) -> Self {
        Self { path: path.iter().map(|part| (*part).to_owned()).collect(), message }
    }
}

/// Works out the wanted state of every node, with what is known of the custom root CAs that the spec names.
///
/// # Errors
/// Every part of the spec that cannot be worked out: an additional certificate without authority, files or nodes; an authority, certificate or
/// directory that neither the profile nor the spec knows; a placeholder with no value.
pub fn resolve(
    spec: &ClusterPki,
    profile: &Profile,
    hints: &Hints,
    roots: &Roots,
) -> Result<Desired, Vec<ResolveError>> {
    let resolver = Resolver::new(spec, profile, hints);
    let mut problems = resolver.unknown_references();
    let mut nodes = BTreeMap::new();
    for (name, node) in &resolver.spec.nodes {
        nodes.insert(name.clone(), resolver.node(name, node, &mut problems));
    }
    let authorities = resolver.authorities(&nodes, roots);
    problems.extend(identity::shared_and_different(&nodes));
    if !problems.is_empty() {
        problems.sort_by(|a, b| (&a.path, &a.message).cmp(&(&b.path, &b.message)));
        problems.dedup();
        return Err(problems);
    }
    Ok(Desired {
        layout: layout(spec, profile, hints),
        cluster: spec.metadata.name.clone(),
        profile: spec.spec.profile,
        version: resolver.oldest(),
        authorities,
        nodes,
        rollout: spec.spec.rollout.clone(),
        snapshots: spec.spec.snapshots.clone(),
    })
}

/// The same nodes with what the layout gives them and nothing else: what is more than that is the spec's.
fn layout(spec: &ClusterPki, profile: &Profile, hints: &Hints) -> Option<BTreeMap<NodeName, DesiredNode>> {
    let Spec { certificates, authorities, services, .. } = &spec.spec;
    if certificates.is_empty() && authorities.is_empty() && services.is_empty() {
        return None;
    }
    let mut bare = spec.clone();
    bare.spec.certificates.clear();
    bare.spec.authorities.clear();
    bare.spec.services.clear();
    let resolver = Resolver::new(&bare, profile, hints);
    // What cannot be worked out is told of the spec itself.
    let mut problems = Vec::new();
    let nodes = bare.spec.nodes.iter();
    Some(nodes.map(|(name, node)| (name.clone(), resolver.node(name, node, &mut problems))).collect())
}

struct Resolver<'a> {
    spec: &'a Spec,
    profile: &'a Profile,
    hints: &'a Hints,
    roles: BTreeSet<Role>,
}

impl<'a> Resolver<'a> {
    fn new(spec: &'a ClusterPki, profile: &'a Profile, hints: &'a Hints) -> Self {
        let roles = spec.spec.nodes.values().flat_map(|node| node.roles.iter().copied()).collect();
        Self { spec: &spec.spec, profile, hints, roles }
    }

    /// What control planes tell. The word of any other node counts for that node alone.
    fn told_versions(&self) -> impl Iterator<Item = KubernetesVersion> {
        let is_control_plane = |name: &NodeName| {
            self.spec.nodes.get(name).is_some_and(|node| node.roles.contains(&Role::ControlPlane))
        };
        let told = self.hints.versions.iter();
        told.filter(move |(name, _)| is_control_plane(name)).map(|(_, version)| *version)
    }

    /// The version that the spec declares, else the oldest that a control plane tells.
    fn oldest(&self) -> Option<KubernetesVersion> {
        self.spec.kubernetes_version.or_else(|| self.told_versions().min())
    }

    /// The newest version of all. What it brought may be on disk wherever an upgrade has begun.
    fn newest(&self) -> Option<KubernetesVersion> {
        self.told_versions().chain(self.spec.kubernetes_version).max()
    }

    /// The version by which a node is judged: the declared one, else its own. A node that tells none, such as a worker, is no newer than those that do.
    fn version_of(&self, node: &NodeName) -> Option<KubernetesVersion> {
        let own = || self.hints.versions.get(node).copied();
        self.spec.kubernetes_version.or_else(own).or_else(|| self.oldest())
    }

    fn knows_authority(&self, name: &AuthorityName) -> bool {
        self.profile.authorities.contains_key(name) || self.spec.authorities.contains_key(name)
    }

    fn unknown_references(&self) -> Vec<ResolveError> {
        let mut problems = Vec::new();
        for (name, authority) in &self.spec.authorities {
            if !self.profile.authorities.contains_key(name)
                && (authority.files.is_none() || authority.on.is_none())
            {
                problems.push(ResolveError::new(
                    &["spec", "authorities", name.as_str()],
                    format!(
                        "the profile {} has no authority `{name}`; an additional one needs `files`, `on` and `subject`",
                        self.spec.profile
                    ),
                ));
            }
        }
        for name in self.spec.directories.keys().filter(|name| !self.profile.directories.contains_key(*name))
        {
            let known: Vec<&str> = self.profile.directories.keys().map(DirectoryName::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            problems.push(ResolveError::new(
                &["spec", "directories", name.as_str()],
                format!("the profile {} has no directory `{name}`; it has: {known}", self.spec.profile),
            ));
        }
        for (service, entry) in &self.spec.services {
            for identity in entry.reads.iter().filter(|identity| {
                !self.profile.identities.contains_key(*identity)
                    && !self.spec.certificates.contains_key(*identity)
            }) {
                problems.push(ResolveError::new(
                    &["spec", "services", service.as_str(), "reads"],
                    format!(
                        "no certificate `{identity}` in the profile {} or in this spec",
                        self.spec.profile
                    ),
                ));
            }
        }
        problems
    }

    fn applies(&self, on: &BTreeSet<Role>, needs: Option<Role>, node: &Node) -> bool {
        needs.is_none_or(|role| self.roles.contains(&role)) && on.iter().any(|role| node.roles.contains(role))
    }

    fn node(&self, name: &NodeName, node: &Node, problems: &mut Vec<ResolveError>) -> DesiredNode {
        let told = self.hints.addresses.get(name).map(|told| told.value.clone());
        let address = node.address.clone().or(told);
        let mut values = self.values(name, node);
        let directories = self.directories(name, node, &mut values);
        let manifests = self.profile.manifests.iter();
        let manifests = manifests
            .filter(|manifest| self.applies(&manifest.on, None, node))
            .filter_map(|manifest| Some(self.pod(name, values.fill(&manifest.path)?)))
            .collect();
        let of_others = self.profile.manifests.iter();
        let of_others = of_others.filter(|manifest| !self.applies(&manifest.on, None, node));
        let manifests_of_others = of_others
            .filter_map(|manifest| {
                Some((self.pod(name, values.fill(&manifest.path)?), *manifest.on.first()?))
            })
            .collect();
        DesiredNode {
            roles: node.roles.clone(),
            address,
            version: self.version_of(name),
            directories,
            manifests,
            manifests_of_others,
            authorities: self.authority_copies(name, node, &values, problems),
            consumers: self.consumers(name, node, &values, problems),
            identities: self.identities(name, node, &values, problems),
            key_pairs: self.key_pairs(name, node, &values),
            services: self.services(name, node, &values),
            programs: self.programs(name, node, &values),
        }
    }

    fn values(&self, name: &NodeName, node: &Node) -> Values {
        let mut values = Values::default();
        values.set("node", name.as_str());
        values.set_if_known("node-short", name.as_str().split('.').next().map(str::to_owned));
        let url = |address: &str| format!("https://{}:6443", bracketed(address));
        match (&node.address, self.hints.addresses.get(name), self.hints.disputed_addresses.get(name)) {
            (Some(address), ..) => {
                values.set("address", address);
                ["address-url", "endpoint-url"].into_iter().for_each(|name| values.set(name, url(address)));
            }
            (None, Some(told), _) => {
                values.set_told("address", &told.value, told);
                let url = url(&told.value);
                ["address-url", "endpoint-url"]
                    .into_iter()
                    .for_each(|name| values.set_told(name, &url, told));
            }
            (None, None, Some(dispute)) => {
                for name in ["address", "address-url", "endpoint-url"] {
                    values.dispute(name, dispute);
                }
            }
            (None, None, None) => {}
        }
        let Hints { endpoint, service_subnet, disputes, .. } = self.hints;
        let cluster = &self.spec.cluster;
        let url = |host: &str, port: &str| format!("https://{}:{port}", bracketed(host));
        match (&cluster.control_plane_endpoint, endpoint, disputes.get("endpoint")) {
            (Some(endpoint), ..) => {
                let (host, port) = split_endpoint(endpoint);
                values.set("endpoint", host);
                values.set("endpoint-url", url(host, port));
            }
            (None, Some(told), _) => {
                let (host, port) = split_endpoint(&told.value);
                values.set_told("endpoint", host, told);
                values.set_told("endpoint-url", url(host, port), told);
            }
            (None, None, Some(dispute)) => {
                values.dispute("endpoint", dispute);
                values.dispute("endpoint-url", dispute);
            }
            // A control plane with nothing before it is its own endpoint.
            (None, None, None) => {}
        }
        let first = |subnet: &str| first_service_address(subnet).map(|ip| ip.to_string());
        match (&cluster.service_subnet, service_subnet, disputes.get("service-ip")) {
            (Some(subnet), ..) => values.set_if_known("service-ip", first(subnet)),
            (None, Some(told), _) => {
                if let Some(ip) = first(&told.value) {
                    values.set_told("service-ip", ip, told);
                }
            }
            (None, None, Some(dispute)) => values.dispute("service-ip", dispute),
            (None, None, None) => {}
        }
        match (&cluster.dns_domain, &self.hints.dns_domain, disputes.get("dns-domain")) {
            (Some(domain), ..) => values.set("dns-domain", domain),
            (None, Some(told), _) if told.value != DNS_DOMAIN => {
                values.set_told("dns-domain", &told.value, told);
            }
            (None, None, Some(dispute)) => values.dispute("dns-domain", dispute),
            (None, Some(_), _) | (None, None, None) => values.set("dns-domain", DNS_DOMAIN),
        }
        values
    }

    /// The manifest of what a path of the layout is called after, wherever it runs on the node. What runs nowhere is to be where the layout has it.
    fn pod(&self, node: &NodeName, path: String) -> String {
        let pods = self.hints.pods.get(node);
        pods.and_then(|pods| pods.get(program_of(&path))).cloned().unwrap_or(path)
    }

    /// A file of the layout, where the flags on the node have it.
    fn placed(&self, node: &NodeName, file: FileSpec) -> FileSpec {
        let flagged = self.hints.files.get(node).and_then(|files| files.get(&file.path));
        match flagged {
            Some(flagged) => FileSpec { path: flagged.path.clone(), ..file },
            None => file,
        }
    }

    /// The same, of all files of a certificate.
    fn storage_placed(&self, node: &NodeName, storage: Storage) -> Storage {
        match storage {
            Storage::Pair { certificate, key } => {
                Storage::Pair { certificate: self.placed(node, certificate), key: self.placed(node, key) }
            }
            Storage::Kubeconfig { file, server, user, trusts, rotated } => {
                Storage::Kubeconfig { file: self.placed(node, file), server, user, trusts, rotated }
            }
            Storage::Combined { file } => Storage::Combined { file },
        }
    }

    fn directories(
        &self,
        node_name: &NodeName,
        node: &Node,
        values: &mut Values,
    ) -> BTreeMap<DirectoryName, DesiredDirectory> {
        let mut directories = BTreeMap::new();
        let mut waiting: Vec<_> = self.profile.directories.iter().collect();
        // A directory's default path may name another one, in any order; each pass settles those whose parts are known.
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|(name, entry)| {
                let declared = self.spec.directories.get(*name);
                let told = self.hints.directories.get(node_name).and_then(|told| told.get(*name)).cloned();
                let default =
                    declared.map(|d| d.path.clone()).or(told).or_else(|| values.fill(entry.path.as_deref()?));
                let Some(path) = default else { return true };
                let directory = DesiredDirectory {
                    path,
                    link: declared.and_then(|d| d.link.clone()),
                    migrate: declared.is_some_and(|d| d.migrate),
                    mode: entry.mode,
                    by: declared.map(|_| spec_path(&["spec", "directories", name.as_str()])),
                };
                values.set(name.as_str(), directory.known_as());
                if self.applies(&entry.on, None, node) {
                    directories.insert((*name).clone(), directory);
                }
                false
            });
            if waiting.len() == before {
                break;
            }
        }
        directories
    }

    fn key_pairs(
        &self,
        name: &NodeName,
        node: &Node,
        values: &Values,
    ) -> BTreeMap<crate::types::names::KeyPairName, DesiredKeyPair> {
        let entries = self.profile.key_pairs.iter().filter(|(_, entry)| self.applies(&entry.on, None, node));
        entries
            .filter_map(|(pair, entry)| {
                let private = owned_file(&entry.private, None, entry.private_mode, values)?;
                let public = owned_file(&entry.public, None, entry.public_mode, values)?;
                let (private, public) = (self.placed(name, private), self.placed(name, public));
                Some((pair.clone(), DesiredKeyPair { private, public }))
            })
            .collect()
    }

    fn services(
        &self,
        node_name: &NodeName,
        node: &Node,
        values: &Values,
    ) -> BTreeMap<ServiceName, DesiredService> {
        let mut services = BTreeMap::new();
        for (name, entry) in &self.profile.services {
            if self.applies(&entry.on, None, node) {
                let mut restart = entry.restart.clone();
                if let Some(restart) = &mut restart {
                    let pod = restart.static_pod.take().and_then(|path| values.fill(&path));
                    restart.static_pod = pod.map(|path| self.pod(node_name, path));
                }
                let service = DesiredService {
                    kind: entry.kind,
                    restart,
                    restart_by: None,
                    endpoints: entry
                        .endpoints
                        .iter()
                        .map(|endpoint| self.own_endpoint(endpoint, node_name, values))
                        .collect(),
                    reads: entry.reads.iter().map(|read| self.own_read(read, node_name)).collect(),
                    dials: entry.dials.iter().map(|dial| self.own_dial(dial, node_name, values)).collect(),
                    member_name: entry.member_name.as_ref().and_then(|name| values.fill(name)),
                    health: entry
                        .health
                        .iter()
                        .filter_map(|health| own_health(health, self.version_of(node_name)))
                        .collect(),
                };
                services.insert(name.clone(), self.with_declared(name, service));
            }
        }
        for name in self.spec.services.keys().filter(|name| !self.profile.services.contains_key(*name)) {
            let service = DesiredService { kind: kind_by_name(name), ..DesiredService::default() };
            services.insert(name.clone(), self.with_declared(name, service));
        }
        services
    }

    /// Of an identity that exists once for each member, a service uses that of its own node.
    fn own_identity(&self, identity: &IdentityName, node: &NodeName) -> IdentityName {
        let each = self.profile.identities.get(identity).and_then(|entry| entry.each);
        each.and_then(|_| identity::member_name(identity, node)).unwrap_or_else(|| identity.clone())
    }

    fn own_endpoint(&self, endpoint: &Endpoint, node: &NodeName, values: &Values) -> Endpoint {
        let serves = endpoint.serves.as_ref().map(|identity| self.own_identity(identity, node));
        let bind = endpoint.bind.iter().filter_map(|address| values.fill(address)).collect();
        Endpoint { serves, bind, ..endpoint.clone() }
    }

    fn own_dial(&self, dial: &TlsConnection, node: &NodeName, values: &Values) -> TlsConnection {
        let shows = dial.shows.as_ref();
        let shows = shows.map(|held| PresentedKey {
            identity: self.own_identity(&held.identity, node),
            copy: held.copy.clone(),
        });
        let name = dial.name.as_deref().and_then(|name| values.fill(name));
        TlsConnection { shows, name, ..dial.clone() }
    }

    fn programs(
        &self,
        name: &NodeName,
        node: &Node,
        values: &Values,
    ) -> BTreeMap<ServiceName, Vec<TlsConnection>> {
        let entries = self.profile.programs.iter().filter(|(_, entry)| self.applies(&entry.on, None, node));
        let dials =
            |dials: &[TlsConnection]| dials.iter().map(|dial| self.own_dial(dial, name, values)).collect();
        entries.map(|(program, entry)| (program.clone(), dials(&entry.dials))).collect()
    }

    fn own_read(&self, read: &Read, node: &NodeName) -> Read {
        let what = match &read.what {
            What::Identity(identity) => What::Identity(self.own_identity(identity, node)),
            What::Trust(_) | What::Signer(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => {
                read.what.clone()
            }
        };
        Read { what, ..read.clone() }
    }

    fn renew_before(&self, own: Option<Duration>, section: &[&str]) -> Decided<Duration> {
        decide(own, section, "renewBefore", self.spec.defaults.renew_before, "renewBefore")
    }

    /// The algorithm that a key must have; none where neither its own section nor the defaults declare one.
    fn key_algorithm(
        &self,
        own: Option<NewKeyAlgorithm>,
        section: &[&str],
    ) -> Option<Decided<NewKeyAlgorithm>> {
        let either = own.or(self.spec.defaults.key_algorithm)?;
        Some(decide(own, section, "keyAlgorithm", either, "keyAlgorithm"))
    }

    fn with_declared(&self, name: &ServiceName, mut service: DesiredService) -> DesiredService {
        let Some(declared) = self.spec.services.get(name) else { return service };
        let Service { restart, reads, endpoints, health } = declared;
        for types::Endpoint { port, serves } in endpoints.values() {
            // A port that the profile knows too is described anew.
            service.endpoints.retain(|known| known.port != port.number());
            service.endpoints.push(Endpoint {
                port: port.number(),
                bind: Vec::new(),
                serves: serves.clone(),
            });
        }
        if let Some(types::Health { port, path, scheme, address }) = health {
            service.health = vec![DesiredHealth {
                scheme: *scheme,
                address: *address,
                port: port.number(),
                path: path.clone(),
                is_declared: true,
            }];
        }
        if let Some(restart) = restart {
            service.restart = Some(restart.clone());
            service.restart_by = Some(spec_path(&["spec", "services", name.as_str(), "restart"]));
        }
        service.reads.extend(reads.iter().map(|identity| Read {
            what: What::Identity(identity.clone()),
            reload: Vec::<Versioned<_>>::new(),
            single_file_mount: false,
            source: None,
        }));
        service
    }
}

/// The certificate's or authority's own value, else the default. Whether a default was typed or is built in is seen by looking its path up
/// in the document.
fn decide<T>(own: Option<T>, section: &[&str], field: &str, default: T, default_field: &str) -> Decided<T> {
    match own {
        Some(value) => {
            let mut path = spec_path(section);
            path.push(field.to_owned());
            Decided { value, by: Some(path) }
        }
        None => Decided::declared(default, &["spec", "defaults", default_field]),
    }
}

fn own_health(health: &Health, version: Option<KubernetesVersion>) -> Option<DesiredHealth> {
    let Health { port, path, scheme, source: _ } = health;
    let path = applicable(path, version)?.clone();
    Some(DesiredHealth { scheme: *scheme, address: None, port: *port, path, is_declared: false })
}

fn spec_path(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

fn unknown_placeholder(path: &[&str]) -> ResolveError {
    let message = "a placeholder here has no value on this node; only {node} and {address} (with the node's `address` set) are filled in";
    ResolveError::new(path, message.to_owned())
}

fn placed(on: &Placement, name: &NodeName, node: &Node) -> bool {
    on.role.is_some_and(|role| node.roles.contains(&role)) || on.nodes.contains(name)
}
