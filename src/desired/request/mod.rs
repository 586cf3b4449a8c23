//! What a node has to be asked, worked out from what it should be.
//!
//! What enters is a [`DesiredNode`]; what leaves is the one request that answers every question of [`crate::diff`]. Pure.

mod live;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use live::LOOPBACK_NAME;
pub use live::live_request;

use crate::desired::DesiredNode;
use crate::profile::FOREIGN;
use crate::profile::detect::KUBELET_CONFIGURATION;
use crate::protocol::facts::{Expect, FileFacts, FileKind, NodeFacts, ObserveRequest, Seen};
use crate::types::service_kind::ServiceKind;
use crate::types::storage::Storage;

/// Where the kubelet keeps the certificate that it makes for its own port, where nobody gave it one (kubelet 1.20, `--cert-dir`).
pub(crate) const KUBELET_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet.crt";

/// The request for one node, whose snapshots are kept in `state_directory`. Files behind a link are asked for at their real place too: should the
/// link be missing, [`see_through_missing_links`] tells from there what it will lead to.
pub fn request(node: &DesiredNode, state_directory: &str) -> ObserveRequest {
    let mut request = as_known(node, state_directory);
    request.links = declared_links(node);
    for (link, path) in links(node) {
        for (real, (_, expect)) in real_places(&request.files, link, path) {
            request.files.entry(real).or_insert(expect);
        }
    }
    request
}

/// Tells of what lies behind links that are missing as if they were there, so that one plan can make them and work behind them. What was asked for this
/// alone is dropped.
pub fn see_through_missing_links(node: &DesiredNode, facts: &mut NodeFacts) {
    let links = links(node);
    if links.is_empty() {
        return;
    }
    let mut asked = as_known(node, "").files;
    let own = asked.clone();
    for (link, path) in links {
        let is_missing = matches!(facts.files.get(link), Some(Seen::Absent));
        let leads_to_directory = |file: &FileFacts| file.kind == FileKind::Directory;
        // Behind a link to what could not be read nothing is taken for seen.
        let directory = facts.files.get(path).and_then(|seen| seen.known().ok()?);
        let is_whole = directory.is_some_and(leads_to_directory);
        for (real, (known, expect)) in real_places(&asked, link, path) {
            let seen = if own.contains_key(&real) {
                facts.files.get(&real).cloned()
            } else {
                facts.files.remove(&real)
            };
            if let (true, true, Some(seen)) = (is_missing, is_whole, seen) {
                facts.files.insert(known, seen);
            }
            asked.entry(real).or_insert(expect);
        }
    }
}

/// The links that are declared for a node, each with the directory that it must lead to.
pub(crate) fn declared_links(node: &DesiredNode) -> BTreeMap<String, String> {
    links(node).into_iter().map(|(link, path)| (link.to_owned(), path.to_owned())).collect()
}

/// Each link of a node with the directory that it should lead to, the outer ones first.
fn links(node: &DesiredNode) -> Vec<(&str, &str)> {
    let declared = node.directories.values();
    let links = declared.filter_map(|directory| Some((directory.link.as_deref()?, directory.path.as_str())));
    let mut links: Vec<(&str, &str)> = links.collect();
    links.sort_by_key(|(link, _)| (link.len(), *link));
    links
}

/// What is asked for below a link, by its real place.
fn real_places(
    asked: &BTreeMap<String, Expect>,
    link: &str,
    path: &str,
) -> BTreeMap<String, (String, Expect)> {
    let below = asked.iter().filter_map(|(known, expect)| {
        let rest = known.strip_prefix(link)?;
        rest.starts_with('/').then(|| (format!("{path}{rest}"), (known.clone(), *expect)))
    });
    below.collect()
}

/// What is asked at the paths under which programs know their files.
fn as_known(node: &DesiredNode, state_directory: &str) -> ObserveRequest {
    let mut request =
        ObserveRequest { state_directory: Some(state_directory.to_owned()), ..ObserveRequest::default() };
    for foreign in FOREIGN {
        request.files.insert(foreign.marker.to_owned(), Expect::Link);
    }
    let mut ask = |path: &str, expect: Expect| {
        // A directory above a file may have to be made before it, unless it is asked about for its own sake.
        for above in path
            .match_indices('/')
            .filter_map(|(index, _)| path.get(..index))
            .filter(|above| !above.is_empty())
        {
            request.files.entry(above.to_owned()).or_insert(Expect::Link);
        }
        request.files.insert(path.to_owned(), expect);
    };
    ask(KUBELET_CONFIGURATION, Expect::KubeletConfiguration);
    if node.services_of(ServiceKind::Kubelet).next().is_some() {
        ask(KUBELET_CERTIFICATE, Expect::Certificates);
    }
    let manifests = node.manifests.iter().chain(node.manifests_of_others.keys());
    let pod_folders: BTreeSet<&str> = manifests.filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    for directory in node.directories.values() {
        let holds_pods = pod_folders.contains(directory.known_as());
        let expect = if holds_pods { Expect::StaticPods } else { Expect::Directory };
        ask(directory.known_as(), expect);
        ask(&directory.path, expect);
    }
    for manifest in &node.manifests {
        ask(manifest, Expect::Manifest);
    }
    for manifest in node.manifests_of_others.keys() {
        ask(manifest, Expect::Link);
    }
    for (authority, copy) in &node.authorities {
        if copy.may_hold_key && (node.etcd_trusts(authority) || node.connects_to_etcd_under(authority)) {
            // The one that is to take its place waits there.
            let next = copy.successor();
            ask(&next.certificate.path, Expect::Certificates);
            ask(&next.key.path, Expect::PrivateKey);
        }
        ask(&copy.certificate.path, Expect::Certificates);
        for file in copy.copies.values() {
            ask(&file.path, Expect::Certificates);
        }
        // Also where no key belongs: one that lies there all the same is a finding.
        ask(&copy.key.path, Expect::PrivateKey);
    }
    for storage in node.identities.values().flat_map(|identity| identity.places()) {
        match storage {
            Storage::Pair { certificate, key } => {
                ask(&certificate.path, Expect::Certificates);
                ask(&key.path, Expect::PrivateKey);
            }
            Storage::Combined { file } => ask(&file.path, Expect::Pair),
            Storage::Kubeconfig { file, .. } => ask(&file.path, Expect::Kubeconfig),
        }
    }
    for request in node.identities.values().filter_map(|identity| identity.request.as_ref()) {
        ask(&request.path, Expect::Pair);
    }
    for pair in node.key_pairs.values() {
        ask(&pair.private.path, Expect::PrivateKey);
        ask(&pair.public.path, Expect::PublicKey);
    }
    for path in node.consumers.values().flat_map(|consumers| consumers.values()).flat_map(|one| &one.paths) {
        // A file that is managed too is asked about for its own sake.
        request.files.entry(path.clone()).or_insert(Expect::Certificates);
    }
    request
}
