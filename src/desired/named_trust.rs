//! Trust files that a component's flag names elsewhere than the layout has them.
//!
//! What enters is what should be and what the nodes hold; what leaves takes part in every change of a CA. A file that holds nothing but certificates of one
//! authority is a further place of it: it is written whenever the authority's own file is. One that holds other CAs besides is not ours to write; whoever
//! reads it is a consumer, for whom a replacement waits and without whom no CA is extended; and where nobody could read it, whoever reads it is a consumer of
//! every authority, since it may hold any of them. Only the flag decides what a process reads (kube-apiserver
//! `--etcd-cafile`, for one, need not be the file that kubeadm makes), so a restart alone fixes nothing there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::formats::manifest::{FileUse, KUBELET_CLIENT_CA, NamedFile, UNNAMEABLE_READER};
use crate::protocol::facts::{FileFacts, NodeFacts, Observed, Seen};
use crate::types::names::{AuthorityName, ConsumerName, NodeName};
use crate::types::scalars::FileMode;
use crate::x509::{Certificate, Sha256};

use super::{AuthorityCopy, Desired, DesiredConsumer, DesiredIdentity, DesiredNode};
use crate::types::storage::{FileSpec, Storage};

/// A trust file and who reads it.
struct Named {
    path: String,
    /// `kube-apiserver-etcd-cafile`.
    reader: String,
    /// `--etcd-cafile in /etc/kubernetes/manifests/kube-apiserver.yaml`.
    by: String,
}

impl Desired {
    /// Adds the trust files that flags name to the authorities whose certificates they hold. It is the last part of resolving: what was added before is kept.
    pub fn take_named_trust(&mut self, observed: &Observed) {
        let keys = keys(self, observed);
        for (name, node) in &mut self.nodes {
            let Some(facts) = observed.nodes.get(name).and_then(|answer| answer.facts()) else { continue };
            // Several flags may name one file, by one path or by two.
            let mut elsewhere: BTreeMap<&str, (Named, &FileFacts)> = BTreeMap::new();
            for named in named(facts) {
                if is_managed(node, facts, &named.path) {
                    continue;
                }
                match facts.files.get(&named.path).map(Seen::known) {
                    // Nothing is there to be written, and who reads it does not start before that is put right.
                    Some(Ok(None)) => {}
                    Some(Ok(Some(file))) if !facts.certificates(&named.path).is_empty() => {
                        elsewhere.entry(&file.resolved).or_insert((named, file));
                    }
                    Some(Ok(Some(_)) | Err(_)) | None => {
                        keys.keys().for_each(|any| consumer(node, any, &named));
                    }
                }
            }
            for (named, file) in elsewhere.into_values() {
                let held = facts.certificates(&named.path);
                // Behind a leaf stands its chain, which nobody trusts for standing there.
                if held.first().is_none_or(|first| !first.facts().is_ca()) {
                    continue;
                }
                for (authority, keys) in &keys {
                    let is_of =
                        |certificate: &Certificate| keys.contains(&certificate.facts().key.spki_sha256);
                    if held.iter().any(is_of) {
                        take(node, authority, &named, file, held.iter().all(is_of));
                    }
                }
            }
        }
    }
}

/// The keys of each authority's CA certificates, those that are to take their place among them, as they lie on any node.
fn keys(desired: &Desired, observed: &Observed) -> BTreeMap<AuthorityName, BTreeSet<Sha256>> {
    let mut keys: BTreeMap<AuthorityName, BTreeSet<Sha256>> = BTreeMap::new();
    for (name, node) in &desired.nodes {
        let Some(facts) = observed.nodes.get(name).and_then(|answer| answer.facts()) else { continue };
        for (authority, copy) in &node.authorities {
            let next = copy.successor().certificate.path;
            let held = [copy.certificate.path.as_str(), &next].map(|path| facts.certificates(path));
            let of = keys.entry(authority.clone()).or_default();
            of.extend(held.into_iter().flatten().map(|certificate| certificate.facts().key.spki_sha256));
        }
    }
    // A CA that stands in the files of two authorities says nothing about whose a file is.
    let of_others = |name: &AuthorityName| -> BTreeSet<Sha256> {
        keys.iter().filter(|(other, _)| *other != name).flat_map(|(_, keys)| keys.iter().copied()).collect()
    };
    keys.iter()
        .map(|(name, own)| (name.clone(), own.difference(&of_others(name)).copied().collect()))
        .collect()
}

/// The trust files that the flags of static pods and the configuration of the kubelet name.
fn named(facts: &NodeFacts) -> Vec<Named> {
    let of_pods = facts.manifests().flat_map(|(manifest, pod)| {
        pod.containers.iter().flat_map(move |container| {
            let files = container.named_files().into_iter().filter(|file| file.usage == FileUse::Trust);
            files.map(move |NamedFile { path, flag, .. }| Named {
                path,
                reader: format!("{}-{flag}", container.component()),
                by: format!("--{flag} in {manifest}"),
            })
        })
    });
    let of_kubelets = facts.kubelet_configurations().filter_map(|(configuration, kubelet)| {
        let path = kubelet.client_ca_file.clone().filter(|path| path.starts_with('/'))?;
        let by = format!("clientCAFile in {configuration}");
        Some(Named { path, reader: KUBELET_CLIENT_CA.to_owned(), by })
    });
    of_pods.chain(of_kubelets).collect()
}

/// Whether a path is one of the layout's or the spec's, those of consumers among them, or leads to one of them.
fn is_managed(node: &DesiredNode, facts: &NodeFacts, path: &str) -> bool {
    let mut of_consumers = paths_of_consumers(node, |_| true);
    is_of_layout(node, facts, path) || of_consumers.any(|own| facts.is_same_file(own, path))
}

/// The same without the files that nobody but a flag names and that hold the CAs of others besides.
pub(crate) fn is_of_layout(node: &DesiredNode, facts: &NodeFacts, path: &str) -> bool {
    let own = node.authorities.values().flat_map(paths_of);
    let places = node.identities.values().flat_map(DesiredIdentity::places);
    let leaves = places.flat_map(Storage::files).map(|file| file.path.as_str());
    let declared = paths_of_consumers(node, |consumer| consumer.named_by.is_none());
    own.chain(leaves).chain(declared).any(|own| facts.is_same_file(own, path))
}

fn paths_of_consumers(
    node: &DesiredNode,
    which: impl Fn(&&DesiredConsumer) -> bool,
) -> impl Iterator<Item = &str> {
    let consumers = node.consumers.values().flat_map(BTreeMap::values).filter(which);
    consumers.flat_map(|consumer| &consumer.paths).map(String::as_str)
}

fn paths_of(copy: &AuthorityCopy) -> impl Iterator<Item = &str> {
    [&copy.certificate].into_iter().chain(copy.copies.values()).map(|file| file.path.as_str())
}

fn take(node: &mut DesiredNode, authority: &AuthorityName, named: &Named, file: &FileFacts, is_pure: bool) {
    let place = is_pure.then(|| as_it_is(&named.path, file)).flatten();
    match (node.authorities.get_mut(authority), place) {
        (Some(copy), Some(place)) => {
            // Two flags of one component may name two files.
            let numbered = (2..).map(|number| format!("{}-{number}", named.reader));
            let mut names = std::iter::once(named.reader.clone()).chain(numbered);
            let name = names.find(|name| !copy.copies.contains_key(name.as_str()));
            match name.and_then(|name| name.parse().ok()) {
                Some(name) => drop(copy.copies.insert(name, place)),
                None => consumer(node, authority, named),
            }
        }
        (None, _) | (_, None) => consumer(node, authority, named),
    }
}

/// A file with the owner and mode that it has; none where they cannot be given to another one. A number stands for an owner without a name.
fn as_it_is(path: &str, file: &FileFacts) -> Option<FileSpec> {
    let called = |name: &Option<String>, id: u32| match (name, id) {
        (Some(name), _) => name.clone(),
        (None, 0) => "root".to_owned(),
        (None, id) => id.to_string(),
    };
    let (user, group) = (called(&file.owner, file.uid), called(&file.group, file.gid));
    Some(FileSpec { path: path.to_owned(), user, group, mode: FileMode::new(file.mode)? })
}

fn consumer(node: &mut DesiredNode, authority: &AuthorityName, named: &Named) {
    // A program whose name is no name of ours is waited for all the same.
    let name = named.reader.parse().or_else(|_| UNNAMEABLE_READER.parse());
    let Ok(name) = name else { return };
    let of = node.consumers.entry(authority.clone()).or_default();
    let consumer: &mut DesiredConsumer = of.entry(name).or_default();
    consumer.paths.insert(named.path.clone());
    consumer.named_by = Some(named.by.clone());
}

/// A trust file that a flag names and that only a person can write.
pub struct UnwrittenTrust<'a> {
    /// Where it is.
    pub node: &'a NodeName,
    /// Who reads it: the name by which `waive` knows it.
    pub consumer: &'a ConsumerName,
    /// The file.
    pub path: &'a str,
    /// What names it.
    pub named_by: &'a str,
}

/// The files that hold certificates of an authority besides those of others, as flags name them.
pub fn unwritten_trust<'a>(
    desired: &'a Desired,
    authority: &'a AuthorityName,
) -> impl Iterator<Item = UnwrittenTrust<'a>> {
    let of_node = move |(node, wanted): (&'a NodeName, &'a DesiredNode)| {
        let consumers = wanted.consumers.get(authority).into_iter().flatten();
        consumers.filter_map(move |(consumer, places)| {
            let (path, named_by) = (places.paths.first()?, places.named_by.as_deref()?);
            Some(UnwrittenTrust { node, consumer, path, named_by })
        })
    };
    desired.nodes.iter().flat_map(of_node)
}
