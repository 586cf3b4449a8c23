//! What comes back with each path that a rollback restores.
//!
//! What enters is what the nodes tell of their snapshots, in which no key is; what leaves is, for each path of each transaction, the certificates and whose keys
//! they are with. What cannot be told from that is unknown, and never guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::disk::{DiskEntry, File};
use super::material::{Key, Material};
use crate::desired::Desired;
use crate::protocol::snapshots::{Brief, ChangedPath, FileBrief, SnapshotFacts, VisitId};
use crate::types::names::NodeName;
use crate::types::storage::Storage;

/// The snapshots that the nodes keep.
pub type Snapshots = BTreeMap<NodeName, Vec<SnapshotFacts>>;

/// What is at a path when it is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Comes {
    /// A file, and nothing below it; or nothing at all.
    File(DiskEntry),
    /// A directory with these files, by their paths below it.
    Tree(BTreeMap<String, DiskEntry>),
    /// An empty directory.
    Directory,
    /// A link; what lies behind it then is not known.
    Link,
}

/// All that is known of what comes back.
#[derive(Debug, Default)]
pub(crate) struct Restorable(BTreeMap<(NodeName, VisitId), BTreeMap<String, Comes>>);

impl Restorable {
    pub(crate) fn new(snapshots: &Snapshots, desired: &Desired, material: &mut Material) -> Self {
        let mut kept = BTreeMap::new();
        for (node, visits) in snapshots {
            let identities = desired.nodes.get(node).into_iter().flat_map(|node| node.identities.values());
            let kubeconfigs: BTreeSet<&str> = identities
                .flat_map(|wanted| wanted.places())
                .filter(|place| matches!(place, Storage::Kubeconfig { .. }))
                .map(Storage::certificate_path)
                .collect();
            for visit in visits {
                let mut paths: BTreeMap<String, Comes> = BTreeMap::new();
                for changed in &visit.paths {
                    let comes = comes(changed, &kubeconfigs, material);
                    // Of the two places of a directory that was moved its own is where readers look.
                    let is_first = !paths.contains_key(&changed.path);
                    if is_first || changed.location == changed.path {
                        paths.insert(changed.path.clone(), comes);
                    }
                }
                kept.insert((node.clone(), visit.id.clone()), paths);
            }
        }
        Self(kept)
    }

    /// What comes back at a path, if a snapshot tells.
    pub(crate) fn comes(&self, node: &NodeName, visit: VisitId, path: &str) -> Option<&Comes> {
        self.0.get(&(node.clone(), visit))?.get(path)
    }
}

fn comes(changed: &ChangedPath, kubeconfigs: &BTreeSet<&str>, material: &mut Material) -> Comes {
    let mut lies = |path: &str, file: &FileBrief| match kubeconfigs.contains(path) {
        true => kubeconfig(file, material),
        false => pem(file, material),
    };
    match &changed.before {
        Brief::Absent => Comes::File(DiskEntry::Nothing),
        Brief::Directory => Comes::Directory,
        Brief::Link { .. } => Comes::Link,
        Brief::File(file) => Comes::File(lies(&changed.path, file)),
        Brief::Tree { files } => {
            let below = |name: &str| format!("{}/{name}", changed.path);
            Comes::Tree(files.iter().map(|(name, file)| (name.clone(), lies(&below(name), file))).collect())
        }
    }
}

fn pem(file: &FileBrief, material: &mut Material) -> DiskEntry {
    DiskEntry::File(Arc::new(File {
        certificates: file.certificates.iter().map(|certificate| material.real(certificate)).collect(),
        key: file.private_keys.first().copied().map(Key::Known),
        ..File::default()
    }))
}

/// The certificates are told in a row: those of the user, then those that are trusted. They can be told apart where the first one is the key's and CAs follow.
fn kubeconfig(file: &FileBrief, material: &mut Material) -> DiskEntry {
    let (Some((user, rest)), [key]) = (file.certificates.split_first(), file.private_keys.as_slice()) else {
        return DiskEntry::Unknown;
    };
    let facts = user.facts();
    if facts.is_ca() || facts.key.spki_sha256 != *key || !rest.iter().all(|other| other.facts().is_ca()) {
        return DiskEntry::Unknown;
    }
    DiskEntry::File(Arc::new(File {
        certificates: vec![material.real(user)],
        key: Some(Key::Known(*key)),
        trusted: rest.iter().map(|certificate| material.real(certificate)).collect(),
        ..File::default()
    }))
}
