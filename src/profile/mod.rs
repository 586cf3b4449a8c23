//! The built-in catalogues: what a distribution keeps where, who issued it, who reads it, and whether a running process reads it again.
//!
//! A profile is data (`kubeadm.yaml`, `etcd.yaml`, `custom.yaml`), embedded in the program and written with the same parts as a spec. What enters
//! is a profile's name; what leaves is the parsed table. A profile never decides anything: [`crate::desired`] combines it with a spec.
//!
//! Texts in a profile may use these placeholders: `{NAME}` for the path of the directory NAME, `{node}`, `{address}`, `{endpoint}` (host of
//! the control plane endpoint), `{endpoint-url}`, `{address-url}` (the node's own API server), `{service-ip}` (first address of the service subnet) and `{dns-domain}`.

mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde::Deserialize;

pub use version::{Versioned, applicable};

use crate::duration::Duration;
use crate::ids::{AuthorityName, DirectoryName, IdentityName, KeyPairName, ServiceName};
use crate::spec::check::KnownNames;
use crate::spec::scalars::{FileMode, KubernetesVersion};
use crate::spec::types::{Files, ProfileName, Restart, Role, SubjectName, Usage};

/// The catalogue of one distribution.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// What it is for, in one sentence.
    pub description: String,
    /// Paths that mark a machine as having this layout: any one of them is enough.
    #[serde(default)]
    pub detect: Vec<String>,
    /// Manifests of static pods, whose flags say where files really are.
    #[serde(default)]
    pub manifests: Vec<ManifestEntry>,
    /// Directories, by name.
    #[serde(default)]
    pub directories: BTreeMap<DirectoryName, DirectoryEntry>,
    /// Authorities, by name.
    #[serde(default)]
    pub authorities: BTreeMap<AuthorityName, AuthorityEntry>,
    /// Certificates with their keys, by name.
    #[serde(default)]
    pub identities: BTreeMap<IdentityName, IdentityEntry>,
    /// Key pairs without certificates, by name.
    #[serde(default)]
    pub key_pairs: BTreeMap<KeyPairName, KeyPairEntry>,
    /// Services, by name.
    #[serde(default)]
    pub services: BTreeMap<ServiceName, ServiceEntry>,
}

/// A static pod's manifest.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ManifestEntry {
    /// The file.
    pub path: String,
    /// The roles of nodes that have it.
    pub on: BTreeSet<Role>,
}

/// A directory of the layout.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DirectoryEntry {
    /// Its default path.
    pub path: String,
    /// The mode with which it is made.
    pub mode: FileMode,
    /// The roles of nodes that have it.
    pub on: BTreeSet<Role>,
}

/// An authority of the layout.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityEntry {
    /// The subject of a new certificate.
    pub subject: SubjectName,
    /// Its files.
    pub files: Files,
    /// The roles of nodes that hold the certificate, as signer or as trust bundle.
    pub on: BTreeSet<Role>,
    /// The roles of nodes that may hold the key.
    pub key_on: BTreeSet<Role>,
    /// The authority belongs to the layout only if a node of the cluster has this role (kubeadm with stacked etcd).
    #[serde(default)]
    pub needs: Option<Role>,
}

/// A certificate of the layout.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityEntry {
    /// The issuer; none for a certificate that signs itself.
    #[serde(default)]
    pub authority: Option<AuthorityName>,
    /// The subjects, by version. Every one is accepted on disk up to the cluster's version, the newest applicable one is issued.
    pub subjects: Vec<Versioned<SubjectName>>,
    /// What it may be used for.
    pub usages: BTreeSet<Usage>,
    /// Subject alternative names; whether one is an IP address is seen once it is filled in.
    #[serde(default)]
    pub names: Vec<String>,
    /// Where it is kept: a pair of files, or a kubeconfig.
    #[serde(flatten)]
    pub storage: StorageEntry,
    /// The roles of nodes that have it.
    pub on: BTreeSet<Role>,
    /// It belongs to the layout only if a node of the cluster has this role.
    #[serde(default)]
    pub needs: Option<Role>,
    /// The first version that has it.
    #[serde(default)]
    pub since: Option<KubernetesVersion>,
    /// Its absence is no finding (`super-admin.conf` is on one node only and may be moved away).
    #[serde(default)]
    pub optional: bool,
    /// The kubelet renews it by itself.
    #[serde(default)]
    pub rotated_by_kubelet: bool,
}

/// Where an identity of the layout is kept.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StorageEntry {
    /// Two files.
    Files(Files),
    /// One file with certificate and key.
    Combined(CombinedEntry),
    /// A kubeconfig with everything embedded.
    Kubeconfig(KubeconfigEntry),
}

/// One file with certificate and key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CombinedEntry {
    /// The file.
    pub path: String,
    /// Its mode.
    pub mode: FileMode,
}

/// A kubeconfig of the layout.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeconfigEntry {
    /// The file.
    pub path: String,
    /// Its mode.
    pub mode: FileMode,
    /// The URL of the API server.
    pub server: String,
    /// The name of the user in the file.
    pub user: String,
    /// The authority whose certificate the file trusts.
    pub trusts: AuthorityName,
    /// A file with certificate and key to which the kubelet points its kubeconfig after its first rotation.
    #[serde(default)]
    pub rotated: Option<String>,
}

/// A key pair without a certificate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyPairEntry {
    /// The private key.
    pub private: String,
    /// The public key.
    pub public: String,
    /// The mode of the private key.
    pub private_mode: FileMode,
    /// The mode of the public key.
    pub public_mode: FileMode,
    /// The roles of nodes that have it. All of them hold the same key.
    pub on: BTreeSet<Role>,
}

/// A service of the layout.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceEntry {
    /// The roles of nodes that run it.
    pub on: BTreeSet<Role>,
    /// How it is restarted.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// Where it serves TLS.
    #[serde(default)]
    pub endpoints: Vec<Endpoint>,
    /// What it reads.
    #[serde(default)]
    pub reads: Vec<Read>,
}

/// A listening TLS port.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// The port.
    pub port: u16,
    /// The certificate that it serves; none where the service makes its own in memory.
    #[serde(default)]
    pub serves: Option<IdentityName>,
}

/// One thing that a service reads, and whether the running process reads it again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Read {
    /// What is read.
    pub what: What,
    /// When the running process takes up a change, by version. Unknown version, or no matching entry: at its start.
    #[serde(default)]
    pub reload: Vec<Versioned<Reload>>,
    /// The file is mounted into the container by itself, so a renamed file stays invisible until the container is made anew.
    #[serde(default)]
    pub single_file_mount: bool,
    /// Where this is known from.
    #[serde(default)]
    pub source: Option<String>,
}

impl Read {
    /// When a process of this version takes up a change.
    pub fn reload(&self, version: Option<KubernetesVersion>) -> Reload {
        if self.single_file_mount {
            return Reload::Start;
        }
        applicable(&self.reload, version).copied().unwrap_or(Reload::Start)
    }
}

/// What a service reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A certificate with its key, which it presents.
    Identity(IdentityName),
    /// An authority's certificates, with which it checks others.
    Trust(AuthorityName),
    /// An authority's first certificate and its key, with which it signs. The file must hold exactly one certificate.
    Signer(AuthorityName),
    /// The CA data of a kubeconfig.
    KubeconfigTrust(IdentityName),
    /// A key pair.
    KeyPair(KeyPairName),
}

/// When a running process takes up a changed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reload {
    /// Only at its start.
    Start,
    /// At the next TLS handshake or dial.
    Handshake,
    /// As soon as the file changes.
    Watch,
    /// After at most this time.
    Poll(Duration),
}

/// A profile's text could not be read: a fault of the program, found by its tests.
#[derive(Debug, thiserror::Error)]
#[error("the built-in profile {name} does not parse")]
pub struct ProfileError {
    name: ProfileName,
    #[source]
    source: Box<serde_saphyr::Error>,
}

impl Profile {
    /// The built-in profile of this name.
    ///
    /// # Errors
    /// Only if the program was built with a broken profile.
    pub fn load(name: ProfileName) -> Result<Profile, ProfileError> {
        // Parsed once: that costs more than reading a whole node.
        static KUBEADM: OnceLock<Profile> = OnceLock::new();
        static ETCD: OnceLock<Profile> = OnceLock::new();
        static CUSTOM: OnceLock<Profile> = OnceLock::new();
        let (parsed, text) = match name {
            ProfileName::Kubeadm => (&KUBEADM, include_str!("kubeadm.yaml")),
            ProfileName::Etcd => (&ETCD, include_str!("etcd.yaml")),
            ProfileName::Custom => (&CUSTOM, include_str!("custom.yaml")),
        };
        if let Some(profile) = parsed.get() {
            return Ok(profile.clone());
        }
        let profile =
            serde_saphyr::from_str(text).map_err(|error| ProfileError { name, source: Box::new(error) })?;
        Ok(parsed.get_or_init(|| profile).clone())
    }
}

impl Profile {
    /// The names to which a spec with this profile may refer.
    pub fn known_names(&self) -> KnownNames {
        let issuer =
            |entry: &IdentityEntry| entry.authority.as_ref().map(ToString::to_string).unwrap_or_default();
        KnownNames {
            authorities: self.authorities.keys().map(ToString::to_string).collect(),
            certificates: self
                .identities
                .iter()
                .map(|(name, entry)| (name.to_string(), issuer(entry)))
                .collect(),
            directories: self.directories.keys().map(ToString::to_string).collect(),
            services: self.services.keys().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
