//! Where the flags of running components place the files of a layout: the directory in which most of them are, and each file that is elsewhere.
//!
//! What enters is a node as the spec alone has it, and what was seen of it; what leaves are paths for [`Hints`](crate::desired::Hints). What a process reads decides, file by
//! file. A pair or key is where its flag says. A trust file that a flag names elsewhere may hold other CAs besides, so the authority stays where the layout has it as long
//! as anything is there ([`super::named_trust`] looks after such a file). Pure.

use std::collections::BTreeMap;

use crate::desired::{DesiredNode, Flagged};
use crate::formats::manifest::ManifestFacts;
use crate::formats::node_path::{file_name, tidy};
use crate::protocol::facts::{NodeFacts, Seen};
use crate::spec::check::forms::path_fault;
use crate::types::names::DirectoryName;
use crate::types::storage::Storage;

/// Which flags name which certificate and its key (Kubernetes 1.20 to 1.34, etcd 3.4 to 3.6).
pub(crate) const PAIRS: [(&str, &str, &str, &str); 6] = [
    ("kube-apiserver", "tls-cert-file", "tls-private-key-file", "apiserver"),
    ("kube-apiserver", "kubelet-client-certificate", "kubelet-client-key", "apiserver-kubelet-client"),
    ("kube-apiserver", "proxy-client-cert-file", "proxy-client-key-file", "front-proxy-client"),
    ("kube-apiserver", "etcd-certfile", "etcd-keyfile", "apiserver-etcd-client"),
    ("etcd", "cert-file", "key-file", "etcd-server"),
    ("etcd", "peer-cert-file", "peer-key-file", "etcd-peer"),
];

/// Which flags name a component's own kubeconfig.
const KUBECONFIGS: [(&str, &str, &str); 2] = [
    ("kube-controller-manager", "kubeconfig", "controller-manager.conf"),
    ("kube-scheduler", "kubeconfig", "scheduler.conf"),
];

/// Which flags name the private and the public keys of service accounts.
const PRIVATE_KEYS: [(&str, &str); 2] = [
    ("kube-apiserver", "service-account-signing-key-file"),
    ("kube-controller-manager", "service-account-private-key-file"),
];
const PUBLIC_KEYS: [(&str, &str); 1] = [("kube-apiserver", "service-account-key-file")];

/// Which flags name the certificate of an authority, those that are least likely to name more than it first.
const AUTHORITIES: [(&str, &str, &str); 6] = [
    ("kube-controller-manager", "cluster-signing-cert-file", "ca"),
    ("kube-controller-manager", "root-ca-file", "ca"),
    ("kube-apiserver", "client-ca-file", "ca"),
    ("kube-apiserver", "requestheader-client-ca-file", "front-proxy-ca"),
    ("etcd", "trusted-ca-file", "etcd-ca"),
    ("etcd", "peer-trusted-ca-file", "etcd-ca"),
];
const AUTHORITY_KEYS: [(&str, &str, &str); 1] =
    [("kube-controller-manager", "cluster-signing-key-file", "ca")];

/// A file of the layout and where flags have it.
struct Claim {
    /// Where the layout has it.
    expected: String,
    /// Where flags have it.
    named: Vec<Flagged>,
    /// What is there is the layout's own, however the flags are.
    only_if_absent: bool,
    /// The certificate of which it is the key.
    certificate: Option<String>,
}

/// Where flags have directories and files of a node.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) directories: BTreeMap<DirectoryName, String>,
    pub(super) files: BTreeMap<String, Flagged>,
}

/// Looks at the flags of the static pods on a node.
pub(super) fn places(wanted: &DesiredNode, facts: &NodeFacts) -> Places {
    let claims = claims(wanted, facts);
    let directories = directories(wanted, &claims);
    let moved = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        let own = wanted.directories.iter().find(|(_, directory)| directory.known_as() == folder);
        let to =
            own.filter(|(_, directory)| directory.by.is_none()).and_then(|(name, _)| directories.get(name));
        to.map_or_else(|| path.to_owned(), |to| format!("{to}/{name}"))
    };
    let is_absent = |path: &str| matches!(facts.files.get(path), Some(Seen::Absent));
    let mut files: BTreeMap<String, Flagged> = BTreeMap::new();
    for claim in &claims {
        let expected = moved(&claim.expected);
        if claim.named.iter().any(|named| named.path == expected) {
            continue;
        }
        if claim.only_if_absent && !is_absent(&expected) {
            continue;
        }
        // A key of which no flag tells lies beside its certificate.
        let certificate = claim.certificate.as_ref().map(|path| moved(path));
        let beside = || {
            let certificate = files.get(&certificate?)?;
            Some(Flagged { path: key_beside(&certificate.path), by: certificate.by.clone() })
        };
        let is_ca = |named: &&Flagged| {
            let first = facts.first_certificate(&named.path);
            !claim.only_if_absent
                || claim.certificate.is_some()
                || first.is_some_and(|first| first.facts().is_ca())
        };
        if let Some(named) = claim.named.iter().find(is_ca).cloned().or_else(beside) {
            files.insert(expected, named);
        }
    }
    Places { directories, files }
}

/// The directories of the layout in which no more files are than in another one, by files of the same names. Where as many are in both, it is the layout's.
fn directories(wanted: &DesiredNode, claims: &[Claim]) -> BTreeMap<DirectoryName, String> {
    let mut found = BTreeMap::new();
    for (name, directory) in &wanted.directories {
        let own = directory.known_as();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for claim in claims {
            let Some((folder, file)) = claim.expected.rsplit_once('/') else { continue };
            for (in_folder, called) in claim.named.iter().filter_map(|named| named.path.rsplit_once('/')) {
                if folder == own && called == file {
                    *votes.entry(in_folder).or_default() += 1;
                }
            }
        }
        let most = votes.iter().max_by_key(|(folder, count)| (**count, **folder == own));
        if let Some((folder, _)) = most.filter(|(folder, _)| **folder != own && path_fault(folder).is_none())
        {
            found.insert(name.clone(), (*folder).to_owned());
        }
    }
    found
}

/// Every file of the layout that a flag names. A certificate comes before its key.
fn claims(wanted: &DesiredNode, facts: &NodeFacts) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    // A manifest of what runs as a unit here is of another cluster, or of another day.
    let pods: Vec<(&str, &ManifestFacts)> = facts.manifests().collect();
    let flagged = |program: &str, flag: &str| match is_pod(wanted, program) {
        true => flagged(&pods, program, flag),
        false => Vec::new(),
    };
    let mut claim = |expected: &str, named: Vec<Flagged>, only_if_absent: bool, certificate: Option<&str>| {
        let certificate = certificate.map(str::to_owned);
        match claims.iter_mut().find(|claim| claim.expected == expected) {
            Some(claim) => claim.named.extend(named),
            None => claims.push(Claim { expected: expected.to_owned(), named, only_if_absent, certificate }),
        }
    };
    for (program, certificate_flag, key_flag, name) in PAIRS {
        let storage = wanted.identities.get(name).map(|identity| &identity.storage);
        if let Some(Storage::Pair { certificate, key }) = storage {
            let named = [flagged(program, certificate_flag), flagged(program, key_flag)];
            // One without the other is no pair that could be written.
            if let [certificates, keys] = named
                && !certificates.is_empty()
                && !keys.is_empty()
            {
                claim(&certificate.path, certificates, false, None);
                claim(&key.path, keys, false, None);
            }
        }
    }
    for (program, flag, name) in KUBECONFIGS {
        if let Some(Storage::Kubeconfig { file, .. }) =
            wanted.identities.get(name).map(|identity| &identity.storage)
        {
            claim(&file.path, flagged(program, flag), false, None);
        }
    }
    for pair in wanted.key_pairs.values() {
        let all = |flags: &[(&str, &str)]| {
            flags.iter().flat_map(|(program, flag)| flagged(program, flag)).collect::<Vec<_>>()
        };
        claim(&pair.private.path, all(&PRIVATE_KEYS), false, None);
        claim(&pair.public.path, all(&PUBLIC_KEYS), false, None);
    }
    for (program, flag, name) in AUTHORITIES {
        if let Some(copy) = wanted.authorities.get(name) {
            claim(&copy.certificate.path, flagged(program, flag), true, None);
        }
    }
    for (name, copy) in &wanted.authorities {
        let flags = AUTHORITY_KEYS.iter().filter(|(_, _, of)| *of == name.as_str());
        let named = flags.flat_map(|(program, flag, _)| flagged(program, flag)).collect();
        claim(&copy.key.path, named, true, Some(&copy.certificate.path));
    }
    claims.retain(|claim| !claim.named.is_empty() || claim.certificate.is_some());
    claims
}

/// Whether the layout has a component in a static pod.
fn is_pod(wanted: &DesiredNode, program: &str) -> bool {
    let restarts = wanted.services.values().filter_map(|service| service.restart.as_ref());
    restarts.filter_map(|restart| restart.static_pod.as_deref()).any(|path| program_of(path) == program)
}

/// The files that a flag of a component names, as paths of the node, with what names them.
fn flagged(pods: &[(&str, &ManifestFacts)], program: &str, flag: &str) -> Vec<Flagged> {
    let pod = pods.iter().find_map(|(path, manifest)| Some((path, manifest.container(program)?)));
    let Some((manifest, container)) = pod else { return Vec::new() };
    let all = container.flags.all(flag);
    // Only keys to check with may be given several times; of all other flags the last one counts.
    let counting = if PUBLIC_KEYS.iter().any(|(_, several)| *several == flag) {
        all
    } else {
        all.last_chunk::<1>().map_or(&[][..], |last| &last[..])
    };
    let paths = counting.iter().flat_map(|value| value.split(','));
    let of_node = paths.filter_map(|path| container.host_path(path)).map(|path| tidy(&path));
    let by = format!("--{flag} in {manifest}");
    of_node.filter(|path| path_fault(path).is_none()).map(|path| Flagged { path, by: by.clone() }).collect()
}

/// What a manifest is called after: `kube-apiserver` of `/etc/kubernetes/manifests/kube-apiserver.yaml`, as kubeadm does.
pub(super) fn program_of(manifest: &str) -> &str {
    let name = file_name(manifest);
    name.split_once('.').map_or(name, |(stem, _)| stem)
}

/// Where the key of a CA would lie.
pub(crate) fn key_beside(certificate: &str) -> String {
    match certificate.rsplit_once('.') {
        Some((stem, "pem")) => format!("{stem}-key.pem"),
        Some((stem, end)) if !end.contains('/') => format!("{stem}.key"),
        Some(_) | None => format!("{certificate}.key"),
    }
}

#[cfg(test)]
mod tests;
