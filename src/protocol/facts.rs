//! What the nodes said: one answer per node, free of secrets by type.
//!
//! What enters is the readings of the nodes (`node` fills these types); what leaves is values that `diff` compares with what
//! is wanted, and their JSON, which is `facts.json`. No type here can hold a private key, a token or the hash of a file
//! that holds one. What could not be seen is [`Seen::Unknown`] with a reason and never [`Seen::Absent`]. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::protocol::live_facts::{
    ClientCertificate, EndpointFacts, EndpointQuestion, EtcdFacts, EtcdId, EtcdQuestion, LiveRequest,
    MemberFacts, MemberStatus, Probe, ProcessFacts, Served, ServiceFacts, ServiceQuestion, UnitFacts,
};
pub use crate::protocol::unsafe_step::{Met, UnsafeStep, User};
pub use crate::protocol::visit::VisitState;

use crate::formats::etcd_configuration::EtcdConfiguration;
use crate::formats::kubeconfig::KubeconfigFacts;
use crate::formats::kubelet::KubeletFacts;
use crate::formats::manifest::ManifestFacts;
use crate::formats::node_path::beside;
use crate::formats::pem_facts::PemFacts;
use crate::protocol::visit::VisitId;
use crate::types::names::{NodeName, ServiceName};
use crate::types::place::Place;
use crate::x509::{Certificate, Sha256};

/// What every node said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Our own clock when the nodes were asked. Theirs are judged by it.
    pub observed_at: Timestamp,
    /// The answer of each node that was asked.
    pub nodes: BTreeMap<NodeName, Answer>,
}

impl Observed {
    /// What the node at a place told; none where it was not seen, and none of the cluster, which is no node.
    pub fn facts_at(&self, place: &Place) -> Option<&NodeFacts> {
        self.nodes.get(place.node()?)?.facts()
    }
}

/// What one node said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// Its facts.
    Facts(NodeFacts),
    /// It did not answer, so nothing is known about it.
    Unreachable {
        /// Why, in words for people.
        reason: String,
    },
    /// It was not asked, because the user said so; nothing is known about it either.
    Skipped,
}

impl Answer {
    /// The facts of a node that answered.
    pub fn facts(&self) -> Option<&NodeFacts> {
        match self {
            Self::Facts(facts) => Some(facts),
            Self::Unreachable { .. } | Self::Skipped => None,
        }
    }
}

/// The facts of one node, all read at about the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeFacts {
    /// The node's own host name: that of its kernel, or of its `/etc/hostname` when the node is a directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The node's clock when its files were read.
    pub clock: Timestamp,
    /// Who read them: only root can give files to other owners.
    pub served_by: ServedBy,
    /// The Kubernetes version by the image tags of the control plane's manifests. Absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<String>,
    /// What lies at each path that was asked for, and at each path that a manifest, a kubeconfig or the kubelet's configuration names.
    pub files: BTreeMap<String, Seen<FileFacts>>,
    /// The paths to which somebody decides the way who is not trusted with the node. What lies there is unknown, unless it was looked at through a link of an
    /// administrator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unsafe_steps: BTreeMap<String, UnsafeStep>,
    /// Why each path was looked at that the request did not name: the paths of the files that name it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub named_by: BTreeMap<String, BTreeSet<String>>,
    /// The transaction that a process left open when it died. It must be undone before anything else is done. Unknown when nobody looked.
    #[serde(default = "not_looked::<OpenTransaction>", skip_serializing_if = "Seen::is_unlooked")]
    pub open_transaction: Seen<OpenTransaction>,
    /// The last transaction that ended, which says whether it was undone. Unknown when nobody looked.
    #[serde(default = "not_looked::<PastTransaction>", skip_serializing_if = "Seen::is_unlooked")]
    pub last_transaction: Seen<PastTransaction>,
    /// The keys of distrusted CAs in the node's snapshots, by the fingerprint of the CA certificate; one that is not named
    /// is in none. Unknown when nobody looked.
    #[serde(default = "not_looked::<BTreeMap<Sha256, KeptKey>>", skip_serializing_if = "Seen::is_unlooked")]
    pub kept_keys: Seen<BTreeMap<Sha256, KeptKey>>,
    /// What runs. Empty for a node on which nothing runs because it is a directory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, ServiceFacts>,
    /// What is served at the ports of those who use an authority and are not managed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<EndpointFacts>,
    /// What the node's etcd member says. Unknown when nobody looked.
    #[serde(default = "not_looked::<EtcdFacts>", skip_serializing_if = "Seen::is_unlooked")]
    pub etcd: Seen<EtcdFacts>,
}

/// A private key of which snapshots hold copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptKey {
    /// Its public half (SHA-256 of SubjectPublicKeyInfo).
    pub key: Sha256,
    /// The number of files that hold it.
    pub files: usize,
}

/// A transaction whose process is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenTransaction {
    /// The run.
    pub run: String,
    /// The number of the visit in it.
    pub visit: u32,
    /// When it began, by the node's clock.
    pub begun_at: Timestamp,
    /// What the run was about.
    pub note: String,
}

impl OpenTransaction {
    /// Which visit of which run it is.
    pub(crate) fn id(&self) -> VisitId {
        VisitId { run: self.run.clone(), visit: self.visit }
    }
}

/// A transaction that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastTransaction {
    /// Which one it was.
    pub transaction: OpenTransaction,
    /// How it ended.
    pub state: VisitState,
}

/// The user as which a node is read and changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServedBy {
    /// The effective user, by number; 0 is root.
    pub uid: u32,
    /// The effective group, by number.
    pub gid: u32,
}

/// What was seen at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Seen<T> {
    /// It is there.
    Present(T),
    /// It is certainly not there.
    Absent,
    /// A symbolic link is there, or on the way, and leads to nothing.
    Dangling {
        /// The links that were followed, the last of which is the broken one.
        hops: Vec<Hop>,
        /// The node path at which the last link's target ends in nothing.
        missing: String,
    },
    /// The symbolic links lead round in a circle.
    Looping {
        /// The links that were followed until it was clear.
        hops: Vec<Hop>,
    },
    /// Nothing is known, least of all that it is absent.
    Unknown {
        /// Why, in words for people.
        reason: String,
    },
}

/// Nothing is known of a thing, least of all that it is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unseen<'a> {
    /// Why, in words for people.
    pub reason: &'a str,
}

impl<T> Seen<T> {
    /// The thing; none where it is certainly not there, or only a link that leads nowhere. Whoever decides asks for it so.
    ///
    /// # Errors
    /// Nothing is known of it.
    pub fn known(&self) -> Result<Option<&T>, Unseen<'_>> {
        match self {
            Self::Present(present) => Ok(Some(present)),
            Self::Absent | Self::Dangling { .. } | Self::Looping { .. } => Ok(None),
            Self::Unknown { reason } => Err(Unseen { reason }),
        }
    }

    /// The thing, where there is one to show. None does not mean that it is absent, so nothing is decided by it.
    pub fn shown(&self) -> Option<&T> {
        match self {
            Self::Present(present) => Some(present),
            Self::Absent | Self::Dangling { .. } | Self::Looping { .. } | Self::Unknown { .. } => None,
        }
    }
}

pub(crate) const NOT_LOOKED: &str = "nobody looked";

/// Nothing is known because nothing was asked.
pub(crate) fn not_looked<T>() -> Seen<T> {
    Seen::Unknown { reason: NOT_LOOKED.to_owned() }
}

impl<T> Seen<T> {
    pub(crate) fn is_unlooked(&self) -> bool {
        match self {
            Self::Unknown { reason } => reason == NOT_LOOKED,
            Self::Present(_) | Self::Absent | Self::Dangling { .. } | Self::Looping { .. } => false,
        }
    }
}

/// What an object in a file tree is, once every link has been followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A FIFO, socket or device. It is never opened.
    Other,
}

/// A symbolic link that was followed on the way to a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// The node path of the link itself, its directory resolved.
    pub path: String,
    /// What the link says, absolute or relative to its directory.
    pub target: String,
}

/// The facts of a file or directory, after every link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileFacts {
    /// What it is.
    pub kind: FileKind,
    /// The links that were followed to it, in order; also those of directories on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Hop>,
    /// Its node path with every link resolved.
    pub resolved: String,
    /// The twelve permission bits.
    #[serde(with = "octal")]
    #[schemars(with = "String", regex(pattern = "^[0-7]{4}$"))]
    pub mode: u32,
    /// Owning user, by number.
    pub uid: u32,
    /// Owning group, by number.
    pub gid: u32,
    /// Owning user, by the name in the node's own `/etc/passwd`. Absent for a number without a name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Owning group, by the name in the node's own `/etc/group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Last change of its content.
    pub modified: Timestamp,
    /// Number of the device that holds it.
    pub device: u64,
    /// Number of its inode there. A process that opened another one has not seen this file.
    pub inode: u64,
    /// Digest of the whole file, only where the file was understood and holds no private key, token or password: the
    /// hash of a file with a weakly protected secret lets that secret be guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// What is in it.
    pub content: Content,
}

/// What is in a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Content {
    /// A file of zero bytes.
    Empty,
    /// Certificates and keys. Lists may be empty, with the problems that explain it.
    Pem(PemFacts),
    /// A kubeconfig.
    Kubeconfig(KubeconfigFacts),
    /// A static pod manifest.
    Manifest(ManifestFacts),
    /// The kubelet's configuration file.
    Kubelet(KubeletFacts),
    /// etcd's configuration file.
    EtcdConfiguration(EtcdConfiguration),
    /// The names in a directory.
    Directory {
        /// Sorted names.
        entries: Vec<String>,
        /// Whether these are all.
        complete: bool,
    },
    /// Bytes in which nothing was looked for, or nothing was found.
    Opaque,
    /// Not opened: the request asked only where it is, or it is not what the request expected there.
    NotRead,
    /// The file is there but its content could not be read, so what it holds is unknown.
    Unreadable {
        /// Why, in words for people.
        reason: String,
    },
}

impl Content {
    /// The certificates and keys, when it is a file of them.
    pub fn pem(&self) -> Option<&PemFacts> {
        if let Self::Pem(facts) = self { Some(facts) } else { None }
    }

    /// The kubeconfig, when it is one.
    pub fn kubeconfig(&self) -> Option<&KubeconfigFacts> {
        if let Self::Kubeconfig(facts) = self { Some(facts) } else { None }
    }

    /// The static pod manifest, when it is one.
    pub fn manifest(&self) -> Option<&ManifestFacts> {
        if let Self::Manifest(facts) = self { Some(facts) } else { None }
    }

    /// The kubelet's configuration, when it is one.
    pub fn kubelet(&self) -> Option<&KubeletFacts> {
        if let Self::Kubelet(facts) = self { Some(facts) } else { None }
    }

    /// The names in it, when it is a directory.
    pub fn entries(&self) -> Option<&[String]> {
        if let Self::Directory { entries, .. } = self { Some(entries) } else { None }
    }
}

/// What a request expects at a path, which decides how its bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Expect {
    /// Certificates in PEM.
    Certificates,
    /// A private key in PEM.
    PrivateKey,
    /// A certificate and its key in one PEM file, as kubelets write them.
    Pair,
    /// Public keys in PEM.
    PublicKey,
    /// A kubeconfig.
    Kubeconfig,
    /// A static pod manifest.
    Manifest,
    /// The kubelet's configuration file.
    KubeletConfiguration,
    /// etcd's configuration file.
    EtcdConfiguration,
    /// A directory, of which the names are listed.
    Directory,
    /// A kubelet's folder of static pods: its names are listed, and every file in it is read as a manifest, as a kubelet does whatever it is called.
    StaticPods,
    /// A symbolic link: where it leads is of interest and not what is there.
    Link,
    /// Text of which only the digest is of interest.
    Text,
}

/// What one node is asked. It answers with [`NodeFacts`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObserveRequest {
    /// Absolute node paths and what is expected there.
    pub files: BTreeMap<String, Expect>,
    /// The directory with the node's snapshots and journals, when it is asked whether a transaction is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_directory: Option<String>,
    /// The fingerprints of CA certificates that the spec distrusts, when it is asked whether snapshots hold their keys.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub distrusted: BTreeSet<Sha256>,
    /// The links that the spec declares, each with the directory that it must lead to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// What is asked about what runs.
    #[serde(default, skip_serializing_if = "LiveRequest::is_empty")]
    pub live: LiveRequest,
}

impl NodeFacts {
    /// The certificates in a PEM file; none where none were seen.
    pub fn certificates(&self, path: &str) -> &[Certificate] {
        let pem = self.files.get(path).and_then(|seen| seen.known().ok()??.content.pem());
        pem.map_or(&[], |pem| &pem.certificates)
    }

    /// The first certificate of a PEM file, if it was seen.
    pub fn first_certificate(&self, path: &str) -> Option<&Certificate> {
        self.certificates(path).first()
    }

    /// What was seen at a path; unknown when nobody looked.
    pub fn file(&self, path: &str) -> Seen<&FileFacts> {
        match self.files.get(path) {
            None => Seen::Unknown { reason: format!("{path} was not looked at") },
            Some(Seen::Present(facts)) => Seen::Present(facts),
            Some(Seen::Absent) => Seen::Absent,
            Some(Seen::Dangling { hops, missing }) => {
                Seen::Dangling { hops: hops.clone(), missing: missing.clone() }
            }
            Some(Seen::Looping { hops }) => Seen::Looping { hops: hops.clone() },
            Some(Seen::Unknown { reason }) => Seen::Unknown { reason: reason.clone() },
        }
    }

    /// The static pod manifests that could be read, by path. Where the kubelet's configuration says in which folder they are, those of others count for nothing.
    pub fn manifests(&self) -> impl Iterator<Item = (&str, &ManifestFacts)> {
        let folder = self.static_pod_folder().map(|(folder, _)| folder);
        self.contents().filter_map(move |(path, content)| {
            let is_read = folder.as_deref().is_none_or(|folder| is_in(path, folder));
            Some((path, content.manifest().filter(|_| is_read)?))
        })
    }

    /// The folder from which the kubelet takes static pods, as its configuration says, with the file that says so.
    pub fn static_pod_folder(&self) -> Option<(String, &str)> {
        let mut configurations = self.kubelet_configurations();
        configurations.find_map(|(path, own)| Some((beside(path, own.static_pod_path.as_ref()?), path)))
    }

    /// The configuration files of kubelets that could be read, by path.
    pub fn kubelet_configurations(&self) -> impl Iterator<Item = (&str, &KubeletFacts)> {
        self.contents().filter_map(|(path, content)| Some((path, content.kubelet()?)))
    }

    /// What is in the files that could be read, by path. One that could not be read says nothing, and whoever has to know has a finding for it.
    pub fn contents(&self) -> impl Iterator<Item = (&str, &Content)> {
        self.files.iter().filter_map(|(path, seen)| Some((path.as_str(), &seen.known().ok()??.content)))
    }

    /// Whether two paths are one, or lead to one file. What could not be read is not the same file as one that could.
    pub fn is_same_file(&self, one: &str, other: &str) -> bool {
        let place = |path: &str| Some(&self.files.get(path)?.known().ok()??.resolved);
        one == other || place(one).is_some_and(|one| Some(one) == place(other))
    }
}

/// Whether a path is that of a file in a folder, or the folder itself: a kubelet takes a single file too.
fn is_in(path: &str, folder: &str) -> bool {
    path == folder || path.rsplit_once('/').is_some_and(|(parent, _)| parent == folder)
}

/// Permission bits as people write them: `"0640"`.
mod octal {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(mode: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{mode:04o}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mode = u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777);
        mode.ok_or_else(|| de::Error::custom("a file mode is up to four octal digits"))
    }
}
