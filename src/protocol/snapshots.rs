//! What a node tells of the transactions that were carried out on it.
//!
//! What enters is nothing; these are the types. What leaves is secret-free by construction: of a file that holds a key no more is said than
//! whose key it is, its size and who may read it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::x509::{Certificate, Sha256};
use jiff::Timestamp;

pub use crate::protocol::visit::VisitId;
use crate::protocol::visit::VisitState;

/// The name of what becomes, or was, `name` while a run is at work. It starts with a dot, since a kubelet takes any other file in its manifests
/// directory for a pod. How it ends only the node knows.
pub(crate) fn temporary_name(name: &str, end: &str) -> String {
    format!(".{name}.pki-{end}")
}

/// What an undo did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Undone {
    /// The transaction.
    pub id: VisitId,
    /// How it ended. [`VisitState::Committed`] when it was found to have been committed but for the last stroke, which was done instead.
    pub state: VisitState,
    /// The paths that were put back, in the order in which that was done. One that had not been changed yet is not among them.
    pub restored: Vec<String>,
    /// Directories that the transaction had made and that stay, because somebody else has put something into them.
    pub left: Vec<String>,
}

/// One visit of which a snapshot is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotFacts {
    /// Which one.
    pub id: VisitId,
    /// When it began, by the node's clock.
    pub begun_at: Timestamp,
    /// How it stands.
    pub state: VisitState,
    /// What the run was about.
    pub note: String,
    /// The keys that it removed from the snapshots that were there (SHA-256 of SubjectPublicKeyInfo).
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub purged: BTreeSet<Sha256>,
    /// What it changed, in the order in which it did.
    pub paths: Vec<ChangedPath>,
}

/// A snapshot of etcd's data that a node keeps. It holds whatever etcd holds, Secrets of Kubernetes too, and never leaves its node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdSnapshot {
    /// The file, as `etcdctl snapshot restore` takes it.
    pub path: String,
    /// The run before which it was made.
    pub run: String,
    /// When it was begun, by the node's clock.
    pub taken_at: Timestamp,
    /// The revision that the member had reached by then; what was written later may be in it too.
    pub revision: u64,
    /// The length of the file in bytes, with the 32 of its digest.
    pub bytes: u64,
    /// The SHA-256 of the database, which etcd sends behind it.
    pub sha256: Sha256,
}

/// One thing that a visit changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangedPath {
    /// The path as the order named it.
    pub path: String,
    /// The same with every link resolved, as it was then.
    pub location: String,
    /// What was there before.
    pub before: Brief,
    /// What the visit left there. Unknown unless it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Brief>,
    /// Whether it is still exactly what the visit left: only then can it be rolled back.
    pub unchanged_since: bool,
}

/// What may be told of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Brief {
    /// Nothing is there.
    Absent,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// What it says.
        target: String,
    },
    /// A file.
    File(FileBrief),
    /// A directory that was moved with everything in it.
    Tree {
        /// The files in it, by their paths below it.
        files: BTreeMap<String, FileBrief>,
    },
}

/// What may be told of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileBrief {
    /// The twelve permission bits.
    pub mode: u32,
    /// Owning user, by number.
    pub uid: u32,
    /// Owning group, by number.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Its certificates in the order of the file; of a kubeconfig those of the current user, then those that it trusts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// The public halves of its private keys (SHA-256 of SubjectPublicKeyInfo).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub private_keys: Vec<Sha256>,
    /// The public keys that stand in it by themselves (SHA-256 of SubjectPublicKeyInfo).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public_keys: Vec<Sha256>,
    /// Its copy was removed from the snapshot, because it held the private key of a distrusted CA, which is the one that is
    /// named. What else it held is not known any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purged: bool,
}

impl SnapshotFacts {
    /// The paths of which it cannot put back what was there, or tell what it left there, because a key was removed from it.
    pub fn purged_paths(&self) -> BTreeSet<&str> {
        let purged = self.paths.iter().filter(|changed| {
            changed.before.is_purged() || changed.after.as_ref().is_some_and(Brief::is_purged)
        });
        purged.map(|changed| changed.path.as_str()).collect()
    }
}

impl Brief {
    /// Whether a copy in it was removed because it held the key of a distrusted CA.
    pub fn is_purged(&self) -> bool {
        match self {
            Self::File(file) => file.purged,
            Self::Tree { files } => files.values().any(|file| file.purged),
            Self::Absent | Self::Directory | Self::Link { .. } => false,
        }
    }
}
