//! The built-in catalogues: what a distribution keeps where, who issued it, who reads it, and whether a running process reads it again.
//!
//! A profile is data (`kubeadm.yaml`, `ack.yaml`, ...), embedded in the program and written with the same parts as a spec. What enters
//! is a profile's name; what leaves is the parsed table. A profile never decides anything: [`crate::desired`] combines it with a spec.
//!
//! A profile may build on another one (`base`): then it holds only what differs from that one.
//!
//! Texts in a profile may use these placeholders: `{NAME}` for the path of the directory NAME, `{node}`, `{node-short}` (up to the first dot), `{address}`, `{endpoint}` (host of
//! the control plane endpoint), `{endpoint-url}`, `{address-url}` (the node's own API server), `{service-ip}` (first address of the service subnet) and
//! `{dns-domain}`; of an identity that exists once for each member also `{member}`, `{member-address}`, `{member-dashed}` (the address with hyphens
//! for dots) and `{member-index}` (its place among the members, from 1).

mod foreign;
mod known;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde::Deserialize;

pub use connections::{At, PresentedKey, ProgramEntry, TlsConnection, Trusts};
pub use foreign::{FOREIGN, Foreign, foreign};
pub use version::{Versioned, applicable};

use crate::diagnostic::Source;
use crate::spec::types::{CertificateFile, Consumer, Files, Holders, Restart, Role, Scheme};
use crate::types::certificate::{SubjectName, Usage};
use crate::types::duration::Duration;
use crate::types::names::{
    AuthorityName, ConsumerName, CopyName, DirectoryName, IdentityName, KeyPairName, ServiceName,
};
use crate::types::profile_name::{ProfileName, profiles};
use crate::types::scalars::{FileMode, KubernetesVersion, UrlPath};
use crate::types::service_kind::ServiceKind;
use crate::yaml::decode::{Decoded, decode};
use crate::yaml::parse::{Parsed, parse};

/// The catalogue of one distribution.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// What it is for, in one sentence.
    pub description: String,
    /// The profile that this one builds on. Entries of the same name replace that one's.
    #[serde(default)]
    pub base: Option<ProfileName>,
    /// What of the base this layout does not have.
    #[serde(default)]
    pub without: Without,
    /// By what files a machine is seen to have this layout, and what it does then.
    #[serde(default)]
    pub detect: Detect,
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
    /// Programs that connect to services and do not run all the time, by name.
    #[serde(default)]
    pub programs: BTreeMap<ServiceName, ProgramEntry>,
}

/// What of its base a layout does not have.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Without {
    /// Directories.
    pub directories: BTreeSet<DirectoryName>,
    /// Authorities.
    pub authorities: BTreeSet<AuthorityName>,
    /// Certificates.
    pub identities: BTreeSet<IdentityName>,
}

/// By what files a machine is seen to have a layout, and what it does then.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Detect {
    /// Paths that mark a machine as having this layout: any one of them is enough.
    pub any: Vec<String>,
    /// It is looked for before the others, some of whose files its machines have too.
    pub first: bool,
    /// What every such machine does.
    pub always: BTreeSet<Role>,
    /// What a machine does where any of these paths is there. One that does nothing is a worker.
    pub roles: BTreeMap<Role, Vec<String>>,
    /// What a machine does that runs any of these programs in a static pod, whatever the pod's manifest is called.
    pub pods: BTreeMap<Role, Vec<String>>,
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
    /// Its default path. Without one the directory exists only where the spec says where it is.
    #[serde(default)]
    pub path: Option<String>,
    /// The mode with which it is made.
    #[serde(default = "default_directory_mode")]
    pub mode: FileMode,
    /// The roles of nodes that have it.
    pub on: BTreeSet<Role>,
}

fn default_directory_mode() -> FileMode {
    FileMode::DIRECTORY
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
    /// What a plan can do so that another one takes its place.
    pub replace: Domain,
    /// API servers take the user from the request of whoever has a certificate of it.
    #[serde(default)]
    pub is_front_proxy: bool,
    /// Further files that hold the same certificates.
    #[serde(default)]
    pub copies: BTreeMap<CopyName, CertificatePlaceEntry>,
    /// Who else uses it where it is installed, beyond what this layout manages.
    #[serde(default)]
    pub consumers: BTreeMap<ConsumerName, Consumer>,
}

/// How far a plan can go with an authority, by where everything is that trusts it, or shows what it signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Domain {
    /// All of it is on nodes, in the hands of etcd: another one can take its place.
    Nodes,
    /// The same, and yet it can only be signed again with its key, for this reason.
    ExtendOnly(String),
    /// Neither, for this reason.
    None(String),
}

impl Default for Domain {
    /// Of what nothing is said, nothing is known.
    fn default() -> Self {
        Self::None("nothing is known of it".to_owned())
    }
}

impl Domain {
    /// Whether another authority can take its place.
    pub fn is_replaceable(&self) -> bool {
        match self {
            Domain::Nodes => true,
            Domain::ExtendOnly(_) | Domain::None(_) => false,
        }
    }

    /// Whether it is etcd's alone, so that it can be signed again with its key.
    pub fn is_extendable(&self) -> bool {
        match self {
            Domain::Nodes | Domain::ExtendOnly(_) => true,
            Domain::None(_) => false,
        }
    }

    /// The one of two that allows less; the first, where both allow the same.
    pub(crate) fn or_less(self, other: Domain) -> Domain {
        let allows = |domain: &Domain| (domain.is_extendable(), domain.is_replaceable());
        if allows(&other) < allows(&self) { other } else { self }
    }
}

/// A further file with the certificates of an authority.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificatePlaceEntry {
    /// The file. A place whose path cannot be filled in does not exist.
    #[serde(flatten)]
    pub file: CertificateFile,
    /// The roles of nodes that have it.
    pub on: BTreeSet<Role>,
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
    /// Names that every node of a role contributes.
    #[serde(default)]
    pub names_of: Option<NamesOf>,
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
    /// Whether each node has one of its own, or all hold the same one.
    #[serde(default)]
    pub holders: Holders,
    /// There is one for each node with this role, named `NAME-NODE`, on every node that `on` names.
    #[serde(default)]
    pub each: Option<Role>,
    /// Renewals keep the key, whatever the spec says: something else depends on it.
    #[serde(default)]
    pub keeps_key: bool,
    /// Further places that hold the same certificate and key.
    #[serde(default)]
    pub copies: BTreeMap<CopyName, PlaceEntry>,
}

/// Names that every node of a role contributes to a certificate.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamesOf {
    /// The role.
    pub role: Role,
    /// The names of one such node.
    pub names: Vec<String>,
}

/// A further place of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceEntry {
    /// How it is kept there. A place whose path cannot be filled in does not exist.
    #[serde(flatten)]
    pub storage: StorageEntry,
    /// What becomes of it.
    #[serde(default)]
    pub keep: Keep,
    /// The roles of nodes that have it.
    pub on: BTreeSet<Role>,
}

/// What becomes of a further place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Keep {
    /// It is made if it is missing, and follows every renewal.
    #[default]
    Always,
    /// It follows every renewal where it is; its absence is no finding.
    IfPresent,
    /// It belongs to a person: that it is outdated is said, and it is never written.
    Report,
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
    /// Its owner, `USER` or `USER:GROUP`; root when absent.
    #[serde(default)]
    pub owner: Option<String>,
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
    /// What it is, where more is known of it than is said here.
    #[serde(default)]
    pub kind: Option<ServiceKind>,
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
    /// What it connects to.
    #[serde(default)]
    pub dials: Vec<TlsConnection>,
    /// What its instance on a node calls itself, where every installation of the layout has it so: the name of a member of etcd.
    #[serde(default)]
    pub member_name: Option<String>,
    /// What tells on its node whether it works. Some of it a cluster may have switched off, such as anonymous access.
    #[serde(default)]
    pub health: Vec<Health>,
}

/// A path that answers 200 while a service works.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// The port.
    pub port: u16,
    /// The path, by version.
    pub path: Vec<Versioned<UrlPath>>,
    /// How it is asked.
    #[serde(default)]
    pub scheme: Scheme,
    /// Where this is known from.
    pub source: String,
}

/// A listening TLS port.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// The port.
    pub port: u16,
    /// The addresses on which the layout has it listen; all of the node's when there are none.
    #[serde(default)]
    pub bind: Vec<String>,
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
#[error("the built-in profile {name} does not parse: {because}")]
pub struct ProfileError {
    name: ProfileName,
    because: String,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// The text of a profile, and where it is kept once it is read: that costs more than reading a whole node.
        fn text(name: ProfileName) -> (&'static OnceLock<Profile>, &'static str) {
            match name {
                $(ProfileName::$variant => {
                    static READ: OnceLock<Profile> = OnceLock::new();
                    (&READ, include_str!(concat!($name, ".yaml")))
                })*
            }
        }
    };
}

profiles!(texts);

impl Profile {
    /// The built-in profile of this name.
    ///
    /// # Errors
    /// Only if the program was built with a broken profile.
    pub fn load(name: ProfileName) -> Result<Profile, ProfileError> {
        let (parsed, text) = text(name);
        if let Some(profile) = parsed.get() {
            return Ok(profile.clone());
        }
        let read = Profile::read(text).map_err(|because| ProfileError { name, because })?;
        let profile = match read.base {
            Some(base) => read.over(Profile::load(base)?),
            None => read,
        };
        Ok(parsed.get_or_init(|| profile.with_kinds()).clone())
    }
}

impl Profile {
    /// Reads the text of a profile as a spec is read.
    fn read(text: &str) -> Result<Profile, String> {
        let Parsed { documents, problems } = parse(&Source::new("profile", text));
        let Decoded { value, problems: faults, .. } = match &documents[..] {
            [document] => decode(document),
            _ => return Err(format!("it has {} documents", documents.len())),
        };
        match (problems.iter().chain(&faults).next(), value) {
            (None, Some(profile)) => Ok(profile),
            (Some(problem), _) => Err(problem.message.clone()),
            (None, None) => Err("nothing can be made of it".to_owned()),
        }
    }

    /// With what each connection leads to, which is said of the service.
    fn with_kinds(mut self) -> Profile {
        let kinds = self.services.iter().filter_map(|(name, entry)| Some((name.clone(), entry.kind?)));
        let kinds: BTreeMap<ServiceName, ServiceKind> = kinds.collect();
        let of_services = self.services.values_mut().flat_map(|entry| &mut entry.dials);
        let of_programs = self.programs.values_mut().flat_map(|entry| &mut entry.dials);
        for dial in of_services.chain(of_programs) {
            dial.to_kind = kinds.get(&dial.to).copied();
        }
        self
    }

    /// This profile together with what it takes from its base.
    fn over(self, mut base: Profile) -> Profile {
        base.directories.retain(|name, _| !self.without.directories.contains(name));
        base.authorities.retain(|name, _| !self.without.authorities.contains(name));
        base.identities.retain(|name, _| !self.without.identities.contains(name));
        base.directories.extend(self.directories);
        base.authorities.extend(self.authorities);
        base.identities.extend(self.identities);
        base.key_pairs.extend(self.key_pairs);
        base.services.extend(self.services);
        base.programs.extend(self.programs);
        base.manifests.extend(self.manifests);
        Profile { description: self.description, detect: self.detect, base: self.base, ..base }
    }
}

pub mod connections;
pub mod detect;
#[cfg(test)]
mod tests;
