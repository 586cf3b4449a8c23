//! What lies on the disks of the nodes, and what each deed makes of it.
//!
//! What enters is what the nodes said, and then the deeds of a plan one by one; what leaves is which paths changed and what a reader finds. It is
//! written from what the deeds are documented to do, without a look at how they are planned or carried out. A pair of files counts as
//! written at once: the instant between key and certificate is shorter than any client's next attempt. Owners and modes are not part of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::material::{CertificateId, Holding, HoldingId, Key, Material};
use crate::formats::kubeconfig::{KubeconfigFacts, Material as Field};
use crate::formats::node_path::beside;
use crate::formats::pem_facts::PemFacts;
use crate::protocol::facts::{Content, FileFacts, NodeFacts, Seen};
use crate::types::names::NodeName;
use crate::types::storage::Storage;
use crate::x509::Certificate;

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DiskEntry {
    Nothing,
    Unknown,
    File(Arc<File>),
}

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) certificates: Vec<CertificateId>,
    pub(crate) key: Option<Key>,
    /// The CA certificates of a kubeconfig.
    pub(crate) trusted: Vec<CertificateId>,
    /// Files that a kubeconfig names instead.
    pub(crate) certificate_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) trusted_file: Option<String>,
    /// What is wrong with its text: who reads a file to judge what was written refuses it for that.
    pub(crate) problem: Option<Arc<str>>,
    /// A kubeconfig whose user or server is something else than certificates.
    pub(crate) other_means: bool,
}

/// Where a reader looks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A certificate and its key in two files.
    Pair { certificate: String, key: String },
    /// Both in one file.
    Combined(String),
    /// The user of a kubeconfig.
    User(String),
    /// The CA certificates of a kubeconfig.
    Cluster(String),
    /// A file of certificates.
    Bundle(String),
}

impl Source {
    /// Where the certificate with its key is read from.
    pub(crate) fn of(storage: &Storage) -> Self {
        match storage {
            Storage::Pair { certificate, key } => {
                Self::Pair { certificate: certificate.path.clone(), key: key.path.clone() }
            }
            Storage::Combined { file } => Self::Combined(file.path.clone()),
            Storage::Kubeconfig { file, .. } => Self::User(file.path.clone()),
        }
    }

    /// The file with the certificates.
    pub(crate) fn certificate(&self) -> &str {
        match self {
            Self::Pair { certificate, .. } => certificate,
            Self::Combined(path) | Self::User(path) | Self::Cluster(path) | Self::Bundle(path) => path,
        }
    }

    fn paths(&self) -> Vec<&String> {
        match self {
            Self::Pair { certificate, key } => vec![certificate, key],
            Self::Combined(path) | Self::User(path) | Self::Cluster(path) | Self::Bundle(path) => vec![path],
        }
    }
}

/// The files of one node. A path that is not in it is not known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(BTreeMap<String, DiskEntry>);

impl Disk {
    /// The disk of a node that told its facts.
    pub(crate) fn of(facts: &NodeFacts, material: &mut Material) -> Self {
        let mut disk = BTreeMap::new();
        for (path, seen) in &facts.files {
            let mut lies = lies(path, seen, material);
            if let (DiskEntry::File(file), true) = (&mut lies, leads_elsewhere(seen, facts)) {
                Arc::make_mut(file).other_means = true;
            }
            disk.insert(path.clone(), lies);
        }
        Self(disk)
    }

    pub(crate) fn at(&self, path: &str) -> &DiskEntry {
        self.0.get(path).unwrap_or(&DiskEntry::Unknown)
    }

    /// The file at a path, as far as it is one.
    pub(crate) fn file(&self, path: &str) -> Option<&Arc<File>> {
        match self.at(path) {
            DiskEntry::File(file) => Some(file),
            DiskEntry::Nothing | DiskEntry::Unknown => None,
        }
    }

    pub(crate) fn put(&mut self, path: &str, lies: DiskEntry) {
        self.0.insert(path.to_owned(), lies);
    }

    /// Every path that is known.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Every path whose change a reader may see, those that a kubeconfig names among them.
    pub(crate) fn paths_of(&self, source: &Source) -> Vec<String> {
        let mut paths: Vec<String> = source.paths().into_iter().cloned().collect();
        if let Source::User(path) | Source::Cluster(path) = source
            && let Some(file) = self.file(path)
        {
            let named = [&file.certificate_file, &file.key_file, &file.trusted_file];
            paths.extend(named.into_iter().flatten().cloned());
        }
        paths
    }

    /// What a reader finds.
    pub(crate) fn read(&self, source: &Source, material: &mut Material) -> HoldingId {
        let holding = match source {
            Source::Pair { certificate, key } => self.pair(certificate, key, material),
            Source::Combined(path) => self.pair(path, path, material),
            Source::User(path) => match self.at(path) {
                DiskEntry::Nothing => Holding::Nothing,
                DiskEntry::Unknown => Holding::Unknown,
                DiskEntry::File(file) if file.other_means => Holding::Unknown,
                DiskEntry::File(file) => {
                    let certificate = file.certificate_file.as_deref().unwrap_or(path);
                    self.pair(certificate, file.key_file.as_deref().unwrap_or(path), material)
                }
            },
            Source::Cluster(path) => match self.at(path) {
                DiskEntry::Nothing => Holding::Nothing,
                DiskEntry::Unknown => Holding::Unknown,
                DiskEntry::File(file) if file.other_means => Holding::Unknown,
                DiskEntry::File(file) => match &file.trusted_file {
                    Some(named) => self.bundle(named),
                    None => bundle(&file.trusted),
                },
            },
            Source::Bundle(path) => self.bundle(path),
        };
        material.hold(holding)
    }

    fn pair(&self, certificate: &str, key: &str, material: &Material) -> Holding {
        match (self.at(certificate), self.at(key)) {
            (DiskEntry::Unknown, _) | (_, DiskEntry::Unknown) => Holding::Unknown,
            (DiskEntry::Nothing, _) | (_, DiskEntry::Nothing) => Holding::Nothing,
            (DiskEntry::File(shown), DiskEntry::File(beside)) => {
                match (shown.certificates.split_first(), beside.key) {
                    (Some((first, chain)), Some(key)) => Holding::Pair {
                        certificate: *first,
                        chain: chain.to_vec(),
                        fits: material.key_of(*first) == Some(key),
                    },
                    _ => Holding::Nothing,
                }
            }
        }
    }

    fn bundle(&self, path: &str) -> Holding {
        match self.at(path) {
            DiskEntry::Nothing => Holding::Nothing,
            DiskEntry::Unknown => Holding::Unknown,
            DiskEntry::File(file) => bundle(&file.certificates),
        }
    }
}

fn bundle(certificates: &[CertificateId]) -> Holding {
    if certificates.is_empty() { Holding::Nothing } else { Holding::Bundle(certificates.to_vec()) }
}

/// The disks of all nodes.
pub(crate) type Disks = BTreeMap<NodeName, Disk>;

fn lies(path: &str, seen: &Seen<FileFacts>, material: &mut Material) -> DiskEntry {
    let file = match seen {
        Seen::Present(file) => file,
        Seen::Absent | Seen::Dangling { .. } | Seen::Looping { .. } => return DiskEntry::Nothing,
        Seen::Unknown { .. } => return DiskEntry::Unknown,
    };
    match &file.content {
        Content::Pem(pem) => DiskEntry::File(Arc::new(of_pem(pem, material))),
        Content::Kubeconfig(config) => DiskEntry::File(Arc::new(of_kubeconfig(path, config, material))),
        Content::Empty => DiskEntry::Nothing,
        Content::Manifest(_)
        | Content::Kubelet(_)
        | Content::EtcdConfiguration(_)
        | Content::Directory { .. }
        | Content::Opaque
        | Content::NotRead
        | Content::Unreadable { .. } => DiskEntry::Unknown,
    }
}

/// Whether the current context of a kubeconfig leads to another cluster, and another one to that of the node: what is shown and trusted there is nothing to this
/// cluster.
fn leads_elsewhere(seen: &Seen<FileFacts>, facts: &NodeFacts) -> bool {
    // What could not be read leads nowhere that is known, and vouches for nothing.
    let config = seen.known().ok().flatten().and_then(|file| file.content.kubeconfig());
    let Some(config) = config.filter(|config| config.contexts.len() > 1) else { return false };
    let files = facts.contents().filter_map(|(_, content)| content.pem());
    let cas = files.flat_map(|pem| &pem.certificates).filter(|certificate| certificate.facts().is_ca());
    let cas: Vec<Certificate> = cas.cloned().collect();
    config.own_beside_current(&cas).is_some()
}

fn of_pem(pem: &PemFacts, material: &mut Material) -> File {
    File {
        certificates: pem.certificates.iter().map(|certificate| material.real(certificate)).collect(),
        key: pem.keys.first().map(|key| Key::Known(key.spki_sha256)),
        problem: pem.defects.first().map(|defect| defect.message.as_str().into()),
        ..File::default()
    }
}

fn of_kubeconfig(path: &str, config: &KubeconfigFacts, material: &mut Material) -> File {
    let Some((cluster, user)) = config.current() else { return File::default() };
    let mut file = File::default();
    match &user.certificate {
        Field::Embedded(pem) => file.certificates = of_pem(pem, material).certificates,
        Field::File { path: named } => file.certificate_file = Some(beside(path, named)),
        Field::Absent | Field::Undecodable => {}
    }
    match &user.key {
        Field::Embedded(pem) => file.key = of_pem(pem, material).key,
        Field::File { path: named } => file.key_file = Some(beside(path, named)),
        Field::Absent | Field::Undecodable => {}
    }
    match &cluster.authority {
        Field::Embedded(pem) => file.trusted = of_pem(pem, material).certificates,
        Field::File { path: named } => file.trusted_file = Some(beside(path, named)),
        Field::Absent | Field::Undecodable => {}
    }
    file.other_means = user.has_token || user.has_password || user.has_program || cluster.insecure;
    file
}
