//! What the nodes' own configuration tells about things that a spec may leave open, and whose word counts for what.
//!
//! What enters is [`Observed`] and what should be as far as the spec alone says it; what leaves is [`Hints`] for [`resolve`](crate::desired::resolve()). Pure. A hint never
//! overrides what a spec declares. About the cluster only control planes are heard, by the roles of the spec, only through files that they were asked for, and
//! only where all that say anything say the same; about itself a node is heard alone. What is disputed stays open, and says who says what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::desired::flagged::{places, program_of};
use crate::desired::{Desired, DesiredNode, Dispute, Disputes, Hints, Origin, Told};
use crate::formats::manifest::ContainerFacts;
use crate::protocol::facts::{FileKind, NodeFacts, Observed};
use crate::spec::check::forms::{dns_fault, path_fault};
use crate::spec::types::Role;
use crate::types::names::{AuthorityName, DirectoryName, NodeName};
use crate::types::scalars::KubernetesVersion;
use crate::types::storage::Storage;

/// What comes before the cluster's domain in the name under which API servers are called in it.
const IN_CLUSTER: &str = "kubernetes.default.svc.";
/// The longest endpoint that is taken: a name and a port.
const LONGEST_ENDPOINT: usize = 260;

/// The hints of all nodes together. `declared` is what the spec says without any hint.
pub fn hints(declared: &Desired, observed: &Observed) -> Hints {
    let mut hints = Hints { asked: true, versions: versions(observed), ..Hints::default() };
    let seen: Vec<Seen<'_>> = declared
        .nodes
        .iter()
        .filter_map(|(name, wanted)| Some(Seen { name, wanted, facts: observed.nodes.get(name)?.facts()? }))
        .collect();
    let masters: Vec<&Seen<'_>> = seen.iter().filter(|seen| seen.has(Role::ControlPlane)).collect();
    let endpoint = agreement(&masters, Seen::endpoint);
    hints.endpoint = settled(endpoint, "endpoint", "spec.cluster.controlPlaneEndpoint", &mut hints.disputes);
    let subnet = agreement(&masters, Seen::service_subnet);
    hints.service_subnet = settled(subnet, "service-ip", "spec.cluster.serviceSubnet", &mut hints.disputes);
    addresses(&seen, declared, &mut hints);
    member_indexes(&seen, &mut hints);
    let domain = agreement(&masters, Seen::dns_domain);
    hints.dns_domain = settled(domain, "dns-domain", "spec.cluster.dnsDomain", &mut hints.disputes);
    for seen in &seen {
        let mut places = places(seen.wanted, seen.facts);
        places.directories.extend(seen.pod_folder());
        hints.directories.insert(seen.name.clone(), places.directories);
        hints.files.insert(seen.name.clone(), places.files);
        hints.pods.insert(seen.name.clone(), seen.pods());
    }
    hints
}

/// The version of each node that tells one, for that node alone.
pub fn versions(observed: &Observed) -> BTreeMap<NodeName, KubernetesVersion> {
    let told = observed.nodes.iter().filter_map(|(name, answer)| {
        Some((name.clone(), answer.facts()?.kubernetes_version.as_deref()?.parse().ok()?))
    });
    told.collect()
}

/// A node that was seen.
struct Seen<'a> {
    name: &'a NodeName,
    wanted: &'a DesiredNode,
    facts: &'a NodeFacts,
}

impl<'a> Seen<'a> {
    fn has(&self, role: Role) -> bool {
        self.wanted.roles.contains(&role)
    }

    /// A container of a static pod, with the path of the pod's manifest. One that could not be read says nothing, and what the others say is not agreed by all.
    fn container_at(&self, program: &str) -> Option<(&'a str, &'a ContainerFacts)> {
        // A component that the spec does not give the node is not heard.
        let is_wanted = self.wanted.manifests.iter().any(|path| program_of(path) == program);
        let mut pods = self.facts.manifests();
        is_wanted.then(|| pods.find_map(|(path, pod)| Some((path, pod.container(program)?))))?
    }

    /// The manifest of each program that runs in a static pod. Of several the first by name counts: a kubelet starts it first.
    fn pods(&self) -> BTreeMap<String, String> {
        let mut pods = BTreeMap::new();
        for (path, pod) in self.facts.manifests() {
            for container in &pod.containers {
                pods.entry(container.component().to_owned()).or_insert_with(|| path.to_owned());
            }
        }
        pods
    }

    /// The directory of the layout that holds static pods, where the kubelet takes them from another one.
    fn pod_folder(&self) -> Option<(DirectoryName, String)> {
        let (folder, _) = self.facts.static_pod_folder()?;
        let is_folder =
            self.facts.files.get(&folder).and_then(|seen| seen.known().ok()?)?.kind == FileKind::Directory;
        let manifest = self.wanted.manifests.first().or(self.wanted.manifests_of_others.keys().next())?;
        let (own, _) = manifest.rsplit_once('/')?;
        let (name, _) = self.wanted.directories.iter().find(|(_, directory)| directory.known_as() == own)?;
        (is_folder && folder != own && path_fault(&folder).is_none()).then(|| (name.clone(), folder))
    }

    /// A value with the file that says it.
    fn told(&self, value: &str, path: &str) -> Told {
        let from = Origin { node: self.name.clone(), path: path.to_owned() };
        Told { value: value.to_owned(), from, agreed: false }
    }

    /// The host and port that admin.conf talks to, else kubelet.conf: kubeadm writes the control plane endpoint into both.
    fn endpoint(&self) -> Option<Told> {
        let places = self.wanted.identities.values().map(|identity| &identity.storage);
        let configs: Vec<(&str, &AuthorityName)> = places
            .filter_map(|place| match place {
                Storage::Kubeconfig { file, trusts, .. } => Some((file.path.as_str(), trusts)),
                Storage::Pair { .. } | Storage::Combined { .. } => None,
            })
            .collect();
        ["/admin.conf", "/kubelet.conf"].into_iter().find_map(|name| {
            let (path, trusts) = configs.iter().find(|(path, _)| path.ends_with(name))?;
            // One that could not be read says nothing here either.
            let config = self.facts.files.get(*path)?.known().ok()??.content.kubeconfig()?;
            let cas = self.wanted.certificates_of(trusts, self.facts);
            let cluster = config.clusters.get(&config.own_context(cas)?.1.cluster)?;
            let endpoint = cluster.server.strip_prefix("https://")?.trim_end_matches('/');
            is_endpoint(endpoint).then(|| self.told(endpoint, path))
        })
    }

    fn service_subnet(&self) -> Option<Told> {
        let (path, container) = self.container_at("kube-apiserver")?;
        Some(self.told(container.flags.last("service-cluster-ip-range")?, path))
    }

    /// The domain of the cluster's own names, by the issuer of service account tokens or a name in the API server's certificate, as kubeadm writes both.
    fn dns_domain(&self) -> Option<Told> {
        let (path, container) = self.container_at("kube-apiserver")?;
        let issuer = container.flags.all("service-account-issuer").iter();
        let issued = issuer.filter_map(|url| host_of_url(url)).find_map(|host| host.strip_prefix(IN_CLUSTER));
        let certificate = container.host_path(container.flags.last("tls-cert-file")?);
        let held = certificate.as_ref().and_then(|path| self.facts.first_certificate(path));
        let mut names = held.into_iter().flat_map(|held| &held.facts().names.dns);
        let named = || Some((names.find_map(|name| name.strip_prefix(IN_CLUSTER))?, certificate.as_deref()?));
        let (domain, from) = issued.map(|domain| (domain, path)).or_else(named)?;
        dns_fault(domain, false).is_none().then(|| self.told(domain, from))
    }

    fn address(&self) -> Option<Told> {
        let advertised = self
            .container_at("kube-apiserver")
            .and_then(|(path, container)| Some(self.told(container.flags.last("advertise-address")?, path)));
        advertised.or_else(|| {
            let (path, container) = self.container_at("etcd")?;
            Some(self.told(host_of_url(container.flags.last("advertise-client-urls")?)?, path))
        })
    }
}

/// Whether it can be a host and a port, and nothing else.
fn is_endpoint(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (1..=LONGEST_ENDPOINT).contains(&text.len()) && text.bytes().all(fits)
}

/// What was said about one thing.
enum Agreement {
    Silence,
    One(Told),
    Contradiction(Vec<Told>),
}

fn agreement<'a>(heard: &[&Seen<'a>], says: impl Fn(&Seen<'a>) -> Option<Told>) -> Agreement {
    let mut words: Vec<Told> = heard.iter().filter_map(|seen| says(seen)).collect();
    let all = words.len() == heard.len();
    let Some(first) = words.first() else { return Agreement::Silence };
    if words.iter().all(|word| word.value == first.value) {
        return Agreement::One(Told { agreed: all, ..words.swap_remove(0) });
    }
    Agreement::Contradiction(words)
}

fn settled(agreement: Agreement, about: &str, field: &str, disputes: &mut Disputes) -> Option<Told> {
    match agreement {
        Agreement::Silence => None,
        Agreement::One(told) => Some(told),
        Agreement::Contradiction(words) => {
            let because = contradiction(&words);
            let help = format!("declare {field}");
            disputes.insert(about.to_owned(), Dispute { because, help });
            None
        }
    }
}

/// Who says what, each value once with the first who says it.
fn contradiction(words: &[Told]) -> String {
    let mut values: BTreeSet<&str> = BTreeSet::new();
    let firsts = words.iter().filter(|word| values.insert(&word.value));
    let said: Vec<String> = firsts
        .map(|Told { value, from, .. }| format!("{} says {value} ({})", from.node, from.path))
        .collect();
    said.join(", ")
}

/// Each node's own address. One that another node has, or says it has, is nobody's until it is declared.
fn addresses(seen: &[Seen<'_>], declared: &Desired, hints: &mut Hints) {
    let told: BTreeMap<&NodeName, Told> = seen
        .iter()
        .filter(|seen| seen.wanted.address.is_none())
        .filter_map(|seen| Some((seen.name, seen.address()?)))
        .collect();
    for (name, word) in &told {
        let declared_by = declared
            .nodes
            .iter()
            .find(|(other, wanted)| other != name && wanted.address.as_deref() == Some(word.value.as_str()));
        let also_told = told.iter().find(|(other, theirs)| other != &name && theirs.value == word.value);
        let other = declared_by.map(|(other, _)| other).or(also_told.map(|(other, _)| *other));
        let Some(other) = other else {
            hints.addresses.insert((*name).clone(), word.clone());
            continue;
        };
        let because = format!(
            "{name} says that its address is {} ({}), and that is the address of {other}",
            word.value, word.from.path
        );
        let help = format!("declare spec.nodes.{name}.address");
        hints.disputed_addresses.insert((*name).clone(), Dispute { because, help });
    }
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

/// Of files that are called `ADDRESS-name-NUMBER.pem`, as ACK's installer numbers the members of etcd, the number of each address. The members are heard,
/// each about all, since each holds the files of all.
fn member_indexes(seen: &[Seen<'_>], hints: &mut Hints) {
    let mut said: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| seen.has(Role::Etcd)) {
        let directories = seen.wanted.directories.values();
        let paths: BTreeSet<&str> =
            directories.flat_map(|directory| [directory.known_as(), directory.path.as_str()]).collect();
        for path in paths {
            // One that could not be listed gives no number: every member holds the files of all.
            let listing = seen.facts.files.get(path).and_then(|found| found.known().ok()??.content.entries());
            for (address, number) in listing.into_iter().flatten().filter_map(|entry| numbered(entry)) {
                said.entry(address.to_owned()).or_default().push(seen.told(number, path));
            }
        }
    }
    for (address, words) in said {
        let Some(first) = words.first() else { continue };
        if words.iter().all(|word| word.value == first.value) {
            hints.member_indexes.insert(address, first.value.clone());
            continue;
        }
        let because =
            format!("the number in the names of the files of member {address}: {}", contradiction(&words));
        let help =
            "the files of a member have one number on every node: remove those that are wrong".to_owned();
        hints.disputed_members.insert(address, Dispute { because, help });
    }
}

fn numbered(entry: &str) -> Option<(&str, &str)> {
    let (address, number) = entry.strip_suffix(".pem")?.split_once("-name-")?;
    let is_number = !number.is_empty() && number.len() < 4 && number.bytes().all(|b| b.is_ascii_digit());
    (is_number && address.parse::<IpAddr>().is_ok()).then_some((address, number))
}
