//! Who connects to whom: every instance of every service, what it reads, and every connection between them.
//!
//! What enters is the wanted state of the nodes, with the catalogue's TLS connections in it, and the disks; what leaves is [`Topology`], which does not change
//! while a plan is played. A side of which neither the catalogue nor the spec says anything is left out and never guessed.

use std::collections::BTreeMap;
use std::fmt;

use super::disk::{Disks, Source};
use crate::desired::{Desired, DesiredNode};
use crate::profile::{At, PresentedKey, Read, Reload, TlsConnection, Trusts, What};
use crate::protocol::facts::Observed;
use crate::types::certificate::Usage;
use crate::types::duration::Duration;
use crate::types::names::{AuthorityName, NodeName, ServiceName};
use crate::types::scalars::KubernetesVersion;
use crate::types::service_kind::ServiceKind;
use crate::types::storage::Storage;
use crate::types::url::host_of;
use crate::x509::chain::ServerName;

/// The most connections that are looked at: far more than a thousand workers have, and few enough for any machine.
pub(crate) const MAX_CONNECTIONS: usize = 250_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InstanceId(pub(crate) usize);
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct InputId(pub(crate) usize);
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(pub(crate) usize);

/// A service or program on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instance {
    pub(crate) service: ServiceName,
    pub(crate) node: NodeName,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.service, self.node)
    }
}

/// Something that an instance reads.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) instance: InstanceId,
    pub(crate) source: Source,
    pub(crate) takes_up: TakesUp,
}

/// When a running process takes up a change, in the worst case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakesUp {
    /// At once: it reads at each connection.
    AtOnce,
    /// At some time, each state until then may be the one that it has; after at most this time where it polls.
    SomeTime(Option<Duration>),
    /// It is read in several ways, of which each may have another state until it is restarted.
    SeveralWays,
    /// When it is restarted.
    AtStart,
}

/// Something that works or does not.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) client: InstanceId,
    pub(crate) server: InstanceId,
    pub(crate) port: Option<u16>,
    pub(crate) kind: Kind,
}

/// What it takes for a link to work.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// Each side accepts what the other shows.
    Connection(Vec<Half>),
    /// A signer has exactly one certificate to sign with (kubeadm#1350).
    Signing(InputId),
}

/// What one side shows and the other checks.
#[derive(Debug, Clone)]
pub(crate) struct Half {
    pub(crate) shows: InputId,
    pub(crate) checks: Option<InputId>,
    pub(crate) usage: Usage,
    pub(crate) name: Option<ServerName>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    pub(crate) instances: Vec<Instance>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) links: Vec<Link>,
    /// The inputs of each instance.
    pub(crate) inputs_of: BTreeMap<InstanceId, Vec<InputId>>,
    /// The links that depend on each input.
    pub(crate) links_of: BTreeMap<InputId, Vec<LinkId>>,
    /// The inputs that depend on each path.
    pub(crate) readers: BTreeMap<NodeName, BTreeMap<String, Vec<InputId>>>,
    /// The instances, by service.
    pub(crate) by_service: BTreeMap<ServiceName, BTreeMap<NodeName, InstanceId>>,
    /// What the services are of which more is known.
    pub(crate) kinds: BTreeMap<ServiceName, ServiceKind>,
    /// What is shown at each port of a node.
    pub(crate) served: BTreeMap<(NodeName, u16), InputId>,
    /// The services whose instances connect to each other: they need a quorum.
    pub(crate) peers: Vec<ServiceName>,
    /// There are more than [`MAX_CONNECTIONS`], so there are none here.
    pub(crate) too_many: bool,
    known_inputs: BTreeMap<(InstanceId, Source), InputId>,
}

impl Topology {
    pub(crate) fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(id.0)
    }

    pub(crate) fn of(&self, service: &ServiceName, node: &NodeName) -> Option<InstanceId> {
        self.by_service.get(service)?.get(node).copied()
    }

    /// Whether a service is of a kind.
    pub(crate) fn is(&self, service: &ServiceName, kind: ServiceKind) -> bool {
        self.kinds.get(service) == Some(&kind)
    }

    /// The inputs of everything that runs on a node.
    pub(crate) fn inputs_on(&self, node: &NodeName) -> impl Iterator<Item = InputId> {
        let instances = self.by_service.values().filter_map(|instances| instances.get(node));
        instances.filter_map(|instance| self.inputs_of.get(instance)).flatten().copied()
    }

    /// `CLIENT -> SERVER:PORT`.
    pub(crate) fn words(&self, id: LinkId) -> String {
        let Some(link) = self.links.get(id.0) else { return String::new() };
        let name = |id| self.instance(id).map(ToString::to_string).unwrap_or_default();
        match (&link.kind, link.port) {
            (Kind::Signing(_), _) => format!("{}, which signs", name(link.client)),
            (Kind::Connection(_), Some(port)) => {
                format!("{} -> {}:{port}", name(link.client), name(link.server))
            }
            (Kind::Connection(_), None) => {
                format!("{} -> those who trust what {} publishes", name(link.client), name(link.server))
            }
        }
    }
}

/// Works out who connects to whom.
pub(crate) fn topology(desired: &Desired, observed: &Observed, disks: &Disks) -> Topology {
    let mut builder = Builder { desired, observed, disks, topology: Topology::default() };
    for (name, node) in &desired.nodes {
        for service in node.services.keys().chain(node.programs.keys()) {
            builder.add_instance(service, name);
        }
        let kinds =
            node.services.iter().filter_map(|(service, wanted)| Some((service.clone(), wanted.kind?)));
        builder.topology.kinds.extend(kinds);
    }
    for (name, node) in &desired.nodes {
        for (service, wanted) in &node.services {
            builder.dials((service, name), node, &wanted.dials, Some(&wanted.reads));
            builder.signers((service, name), node, &wanted.reads);
        }
        for (program, dials) in &node.programs {
            builder.dials((program, name), node, dials, None);
        }
        if builder.topology.links.len() > MAX_CONNECTIONS {
            return Topology { too_many: true, ..Topology::default() };
        }
    }
    builder.topology
}

struct Builder<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    disks: &'a Disks,
    topology: Topology,
}

impl Builder<'_> {
    fn add_instance(&mut self, service: &ServiceName, node: &NodeName) {
        let instances = &mut self.topology.instances;
        let id = InstanceId(instances.len());
        instances.push(Instance { service: service.clone(), node: node.clone() });
        self.topology.by_service.entry(service.clone()).or_default().insert(node.clone(), id);
    }

    fn dials(
        &mut self,
        (service, name): (&ServiceName, &NodeName),
        node: &DesiredNode,
        dials: &[TlsConnection],
        reads: Option<&[Read]>,
    ) {
        let Some(client) = self.topology.of(service, name) else { return };
        for dial in dials {
            if dial.to == *service && dial.at == At::Others && !self.topology.peers.contains(service) {
                self.topology.peers.push(service.clone());
            }
            let shows = dial.shows.as_ref().and_then(|held| self.shown(client, node, held, reads));
            let trusts = dial.trusts.as_ref().and_then(|trusts| self.trusted(client, node, trusts, reads));
            for (server_node, called) in self.servers(dial, name, node) {
                self.link(client, name, dial, (shows, trusts), (&server_node, called));
            }
        }
    }

    fn link(
        &mut self,
        client: InstanceId,
        client_node: &NodeName,
        dial: &TlsConnection,
        (shows, trusts): (Option<InputId>, Option<InputId>),
        (server_node, called): (&NodeName, Option<String>),
    ) {
        let Some(server) = self.topology.of(&dial.to, server_node) else { return };
        let Some(node) = self.desired.nodes.get(server_node) else { return };
        let Some(wanted) = node.services.get(&dial.to) else { return };
        let mut halves = Vec::new();
        let endpoint = dial.port.and_then(|port| wanted.endpoints.iter().find(|known| known.port == port));
        if let Some(identity) = endpoint.and_then(|endpoint| endpoint.serves.clone()) {
            let held = PresentedKey { identity, copy: None };
            if let Some(served) = self.shown(server, node, &held, Some(&wanted.reads)) {
                let name = called.and_then(|called| called.parse().ok());
                self.topology.served.extend(dial.port.map(|port| ((server_node.clone(), port), served)));
                halves.push(Half { shows: served, checks: trusts, usage: Usage::Server, name });
            }
        }
        let admits = dial.admits.clone().map(|authority| Trusts::Authority { authority, copy: None });
        let admits = admits.and_then(|trusts| self.trusted(server, node, &trusts, Some(&wanted.reads)));
        if let (Some(shows), Some(admits)) = (shows, admits) {
            let address = self.desired.nodes.get(client_node).and_then(|node| node.address.clone());
            let address = address.filter(|_| dial.checks_address).and_then(|address| address.parse().ok());
            // Which names a host name stands for is known on the nodes only.
            let name = address.filter(|address| matches!(address, ServerName::Ip(_)));
            halves.push(Half { shows, checks: Some(admits), usage: Usage::Client, name });
        }
        if !halves.is_empty() {
            self.add(Link { client, server, port: dial.port, kind: Kind::Connection(halves) });
        }
    }

    fn add(&mut self, link: Link) {
        let id = LinkId(self.topology.links.len());
        let mut inputs: Vec<InputId> = match &link.kind {
            Kind::Connection(halves) => {
                halves.iter().flat_map(|half| [Some(half.shows), half.checks]).flatten().collect()
            }
            Kind::Signing(input) => vec![*input],
        };
        inputs.sort();
        inputs.dedup();
        for input in inputs {
            self.topology.links_of.entry(input).or_default().push(id);
        }
        self.topology.links.push(link);
    }

    /// The nodes whose instances are dialled, each with the name by which it is.
    fn servers(
        &self,
        dial: &TlsConnection,
        own: &NodeName,
        node: &DesiredNode,
    ) -> Vec<(NodeName, Option<String>)> {
        let Some(instances) = self.topology.by_service.get(&dial.to) else { return Vec::new() };
        let loopback = || Some(dial.name.clone().unwrap_or_else(|| "127.0.0.1".to_owned()));
        let by_address = |name: &NodeName| {
            let address = self.desired.nodes.get(name).and_then(|node| node.address.clone());
            (name.clone(), dial.name.clone().or(address))
        };
        match dial.at {
            At::Own | At::Nearest if instances.contains_key(own) => vec![(own.clone(), loopback())],
            At::Own => Vec::new(),
            At::Nearest | At::Every => instances.keys().map(by_address).collect(),
            At::Others => instances.keys().filter(|name| *name != own).map(by_address).collect(),
            At::Kubeconfig => {
                let Some(host) = self.kubeconfig_host(dial, own, node) else { return Vec::new() };
                let is_at = |name: &&NodeName| {
                    let address = self.desired.nodes.get(*name).and_then(|node| node.address.as_deref());
                    address == Some(&host) || name.as_str() == host
                };
                let local = ["127.0.0.1", "::1", "localhost"].contains(&host.as_str());
                let found = if local { instances.get_key_value(own).map(|(name, _)| name) } else { None };
                match found.or_else(|| instances.keys().find(is_at)) {
                    Some(found) => vec![(found.clone(), Some(host))],
                    // A load balancer leads to any of them.
                    None => instances.keys().map(|name| (name.clone(), Some(host.clone()))).collect(),
                }
            }
        }
    }

    /// The host that a kubeconfig names: the one on the node, else the wanted one.
    fn kubeconfig_host(&self, dial: &TlsConnection, own: &NodeName, node: &DesiredNode) -> Option<String> {
        let Some(Trusts::Kubeconfig { kubeconfig }) = &dial.trusts else { return None };
        let wanted = node.identities.get(kubeconfig)?;
        let Storage::Kubeconfig { file, server, .. } = &wanted.storage else { return None };
        let facts = self.observed.nodes.get(own).and_then(|answer| answer.facts());
        // Where one leads that could not be read is taken from the spec; what it shows and trusts stays unknown.
        let seen = facts.and_then(|facts| facts.files.get(&file.path)?.known().ok()?);
        let current = seen.and_then(|file| file.content.kubeconfig()).and_then(|config| config.current());
        match current {
            Some((cluster, _)) => {
                cluster.tls_server_name.clone().or_else(|| host_of(&cluster.server).map(str::to_owned))
            }
            None => server.as_deref().and_then(host_of).map(str::to_owned),
        }
    }

    /// What an instance shows.
    fn shown(
        &mut self,
        instance: InstanceId,
        node: &DesiredNode,
        held: &PresentedKey,
        reads: Option<&[Read]>,
    ) -> Option<InputId> {
        let wanted = node.identities.get(&held.identity)?;
        let storage = match &held.copy {
            Some(copy) => &wanted.copies.get(copy)?.storage,
            None => &wanted.storage,
        };
        let takes_up = takes_up(reads, &What::Identity(held.identity.clone()), node.version);
        Some(self.input(instance, Source::of(storage), takes_up))
    }

    /// What an instance checks with.
    fn trusted(
        &mut self,
        instance: InstanceId,
        node: &DesiredNode,
        trusts: &Trusts,
        reads: Option<&[Read]>,
    ) -> Option<InputId> {
        let (source, what) = match trusts {
            Trusts::Authority { authority, copy } => {
                let held = node.authorities.get(authority)?;
                let file = match copy {
                    Some(copy) => held.copies.get(copy)?,
                    None => &held.certificate,
                };
                (Source::Bundle(file.path.clone()), What::Trust(authority.clone()))
            }
            Trusts::Kubeconfig { kubeconfig } => {
                let path = node.identities.get(kubeconfig)?.storage.certificate_path().to_owned();
                (Source::Cluster(path), What::KubeconfigTrust(kubeconfig.clone()))
            }
        };
        let takes_up = takes_up(reads, &what, node.version);
        Some(self.input(instance, source, takes_up))
    }

    fn signers(&mut self, (service, name): (&ServiceName, &NodeName), node: &DesiredNode, reads: &[Read]) {
        let signs = |read: &Read| match &read.what {
            What::Signer(authority) => Some(authority.clone()),
            What::Identity(_) | What::Trust(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => None,
        };
        let authorities: Vec<AuthorityName> = reads.iter().filter_map(signs).collect();
        for authority in authorities {
            let (Some(instance), Some(held)) =
                (self.topology.of(service, name), node.authorities.get(&authority))
            else {
                continue;
            };
            let takes_up = takes_up(Some(reads), &What::Signer(authority), node.version);
            let source = Source::Bundle(held.certificate.path.clone());
            // The same file may be a bundle to check with, which is taken up in its own way.
            let input = self.new_input(instance, source, takes_up);
            self.add(Link { client: instance, server: instance, port: None, kind: Kind::Signing(input) });
        }
    }

    fn input(&mut self, instance: InstanceId, source: Source, takes_up: TakesUp) -> InputId {
        if let Some(known) = self.topology.known_inputs.get(&(instance, source.clone())) {
            return *known;
        }
        let id = self.new_input(instance, source.clone(), takes_up);
        self.topology.known_inputs.insert((instance, source), id);
        id
    }

    fn new_input(&mut self, instance: InstanceId, source: Source, takes_up: TakesUp) -> InputId {
        let id = InputId(self.topology.inputs.len());
        if let Some(Instance { node, .. }) = self.topology.instance(instance).cloned() {
            let paths = self.disks.get(&node).map(|disk| disk.paths_of(&source)).unwrap_or_default();
            let readers = self.topology.readers.entry(node).or_default();
            paths.into_iter().for_each(|path| readers.entry(path).or_default().push(id));
        }
        self.topology.inputs_of.entry(instance).or_default().push(id);
        self.topology.inputs.push(Input { instance, source, takes_up });
        id
    }
}

/// When a change of something is taken up. Something that is read in several ways may be the old one in one of them and the new one in another.
fn takes_up(reads: Option<&[Read]>, what: &What, version: Option<KubernetesVersion>) -> TakesUp {
    let Some(reads) = reads else { return TakesUp::AtOnce };
    let of_what = reads.iter().filter(|read| read.what == *what);
    let ways: Vec<TakesUp> = of_what
        .map(|read| match read.reload(version) {
            Reload::Start => TakesUp::AtStart,
            Reload::Handshake => TakesUp::AtOnce,
            Reload::Watch => TakesUp::SomeTime(None),
            Reload::Poll(period) => TakesUp::SomeTime(Some(period)),
        })
        .collect();
    match ways.split_first() {
        None => TakesUp::AtStart,
        Some((first, rest)) if rest.iter().all(|way| way == first) => *first,
        Some(_) => TakesUp::SeveralWays,
    }
}
