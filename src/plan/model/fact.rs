//! What an action needs to find: only the facts that its decision needs, in a form that both planning and applying compute from the same
//! observation.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::formats::kubeconfig::Material;
use crate::formats::pem_facts::PemFacts;
use crate::protocol::facts::{Content, FileFacts, NodeFacts, Seen};
use crate::types::names::{NodeName, ServiceName};
use crate::x509::Sha256;

/// What must be so before an action: everything that its decision was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "of", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Precondition {
    /// What lies at a path.
    File {
        /// The node; none for that of the action.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<NodeName>,
        /// The path.
        path: String,
        /// What must be there.
        expected: Expected,
    },
    /// Whether the unit of a service is active on the node of the action.
    Service {
        /// The service.
        service: ServiceName,
        /// Whether it must be.
        active: bool,
    },
    /// Who the members of etcd are, by their names, as the node's own member tells. Who leads them, and how far they are, decides nothing.
    Members {
        /// The names.
        names: BTreeSet<String>,
    },
}

/// What must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Expected {
    /// What was seen when the plan was made.
    Fact(Fact),
    /// What an earlier action of the same plan leaves there.
    AsLeftBy(u32),
}

/// What lies at a path, as far as a decision depends on it. No secret, and no digest of a file that holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Fact {
    /// Nothing.
    Absent,
    /// A link that leads to nothing, or in a circle.
    BrokenLink,
    /// A directory.
    Directory,
    /// Certificates, and keys by the digest of their public halves.
    Pem {
        /// The certificates.
        certificates: Vec<Sha256>,
        /// The keys.
        keys: Vec<Sha256>,
    },
    /// A kubeconfig, by the certificate it shows and those that it trusts.
    Kubeconfig {
        /// The certificates of its current user.
        certificates: Vec<Sha256>,
        /// The key of its current user.
        keys: Vec<Sha256>,
        /// The CA certificates.
        trusted: Vec<Sha256>,
    },
    /// Something else, by its size and, where it cannot hold a secret, its digest.
    Other {
        /// The size in bytes.
        size: u64,
        /// The digest.
        sha256: Option<Sha256>,
    },
    /// Nothing is known of it.
    Unknown,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fact::Absent => f.write_str("nothing"),
            Fact::BrokenLink => f.write_str("a link that leads nowhere"),
            Fact::Directory => f.write_str("a directory"),
            Fact::Pem { certificates, keys } => f.write_str(&material(certificates, keys, &[])),
            Fact::Kubeconfig { certificates, keys, trusted } => {
                write!(f, "a kubeconfig with {}", material(certificates, keys, trusted))
            }
            Fact::Other { size, sha256: Some(digest) } => {
                write!(f, "{size} bytes, sha256 {}", digest.short())
            }
            Fact::Other { size, sha256: None } => write!(f, "{size} bytes"),
            Fact::Unknown => f.write_str("unknown"),
        }
    }
}

fn material(certificates: &[Sha256], keys: &[Sha256], trusted: &[Sha256]) -> String {
    let list = |what: &str, digests: &[Sha256]| {
        let digests: Vec<String> = digests.iter().map(Sha256::short).collect();
        (!digests.is_empty()).then(|| format!("{what} {}", digests.join(" ")))
    };
    let parts = [list("certificate", certificates), list("key with spki", keys), list("trust in", trusted)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "no certificate and no key".to_owned() } else { parts.join(", ") }
}

/// The fact about one path of a node.
pub fn fact(facts: &NodeFacts, path: &str) -> Fact {
    match facts.files.get(path) {
        Some(Seen::Absent) => Fact::Absent,
        Some(Seen::Dangling { .. } | Seen::Looping { .. }) => Fact::BrokenLink,
        Some(Seen::Unknown { .. }) | None => Fact::Unknown,
        Some(Seen::Present(file)) => present(file),
    }
}

fn present(file: &FileFacts) -> Fact {
    match &file.content {
        Content::Directory { .. } => Fact::Directory,
        Content::Pem(pem) => Fact::Pem { certificates: certificates(pem), keys: keys(pem) },
        Content::Kubeconfig(config) => {
            let (cluster, user) = config.current().map_or((None, None), |(c, u)| (Some(c), Some(u)));
            let embedded = |material: Option<&Material>| material.and_then(Material::embedded).cloned();
            let certificate = embedded(user.map(|user| &user.certificate)).unwrap_or_default();
            let key = embedded(user.map(|user| &user.key)).unwrap_or_default();
            let trusted = embedded(cluster.map(|cluster| &cluster.authority)).unwrap_or_default();
            Fact::Kubeconfig {
                certificates: certificates(&certificate),
                keys: keys(&key),
                trusted: certificates(&trusted),
            }
        }
        Content::Empty
        | Content::Manifest(_)
        | Content::Kubelet(_)
        | Content::EtcdConfiguration(_)
        | Content::Opaque
        | Content::NotRead
        | Content::Unreadable { .. } => Fact::Other { size: file.size, sha256: file.sha256 },
    }
}

fn certificates(pem: &PemFacts) -> Vec<Sha256> {
    pem.certificates.iter().map(|certificate| *certificate.fingerprint()).collect()
}

fn keys(pem: &PemFacts) -> Vec<Sha256> {
    pem.keys.iter().map(|key| key.spki_sha256).collect()
}
