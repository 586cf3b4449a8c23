//! What a spec means: the wanted state of each node, fully worked out.
//!
//! What enters is a [`ClusterPki`](crate::spec::types::ClusterPki), its [`Profile`](crate::profile::Profile) and the [`Hints`] that nodes gave about things the spec left open (version, addresses).
//! What leaves is [`Desired`]: every file, name, period and owner in the clear, each with the place in the spec that decided it. Pure: the same
//! input gives the same value. A name whose parts are unknown is kept aside as unresolved and never guessed.

pub(crate) mod named_trust;
mod resolve;
mod survey;
mod template;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU16;

use crate::types::storage::{FileSpec, Storage};
pub use named_trust::{UnwrittenTrust, unwritten_trust};
pub use resolve::{ResolveError, resolve};
pub use survey::Survey;
pub use told::{Dispute, Disputes, Origin, Told};

use crate::profile::{Domain, Endpoint, Keep, Read, TlsConnection, What};
use crate::protocol::facts::NodeFacts;
use crate::spec::custom_root::{CustomRoot, Roots};
use crate::spec::types::{OnExpiry, Restart, Role, Rollout, Scheme, Snapshots, Source};
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::types::duration::Duration;
use crate::types::names::{
    Address, AuthorityName, ClusterName, ConsumerName, CopyName, DirectoryName, IdentityName, KeyPairName,
    NodeName, ServiceName, Target,
};
use crate::types::place::Place;
use crate::types::profile_name::ProfileName;
use crate::types::scalars::{FileMode, KubernetesVersion, UrlPath};
use crate::types::service_kind::ServiceKind;
use crate::x509::{Certificate, Sha256};

/// The wanted state of one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// The cluster's name.
    pub cluster: ClusterName,
    /// The layout.
    pub profile: ProfileName,
    /// The Kubernetes version, where known; while nodes differ, the oldest one. Each node is judged by its own.
    pub version: Option<KubernetesVersion>,
    /// The authorities of the cluster.
    pub authorities: BTreeMap<AuthorityName, DesiredAuthority>,
    /// The nodes.
    pub nodes: BTreeMap<NodeName, DesiredNode>,
    /// What the layout alone would have on each node, without the certificates, authorities and services of the spec; none where the spec declares none of them.
    pub layout: Option<BTreeMap<NodeName, DesiredNode>>,
    /// How changes are rolled out.
    pub rollout: Rollout,
    /// Where snapshots are kept.
    pub snapshots: Snapshots,
}

impl Desired {
    /// What the layout alone has on each node.
    pub fn layout(&self) -> &BTreeMap<NodeName, DesiredNode> {
        self.layout.as_ref().unwrap_or(&self.nodes)
    }

    /// What should be on the node at a place; none in the cluster, which is no node.
    pub fn at(&self, place: &Place) -> Option<&DesiredNode> {
        self.nodes.get(place.node()?)
    }

    /// The service that an address means; none where it means something else, or none that should be there.
    pub fn service_at(&self, address: &Address) -> Option<&DesiredService> {
        match &address.target {
            Target::Service(service) => self.at(&address.place)?.services.get(service),
            Target::Authority(_)
            | Target::Identity(_)
            | Target::KeyPair(_)
            | Target::Directory(_)
            | Target::Node => None,
        }
    }

    /// The certificate that an address means; none where it means something else, or none that should be there.
    pub fn identity_at(&self, address: &Address) -> Option<&DesiredIdentity> {
        self.at(&address.place)?.identities.get(address.target.identity()?)
    }

    /// The authority to which the thing at an address belongs: a CA, or a certificate of it.
    pub fn authority_at(&self, address: &Address) -> Option<&AuthorityName> {
        match address.target.authority() {
            Some(authority) => self.authorities.get_key_value(authority).map(|(name, _)| name),
            None => self.identity_at(address)?.authority.as_ref(),
        }
    }

    /// The custom root CAs with which it was resolved.
    pub fn roots(&self) -> Roots {
        let known = |(name, authority): (&AuthorityName, &DesiredAuthority)| {
            authority.root.clone().map(|root| (name.clone(), root))
        };
        self.authorities.iter().filter_map(known).collect()
    }
}

/// A value together with the path in the spec that decided it, such as `spec.certificates.apiserver.validity`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided<T> {
    /// The value.
    pub value: T,
    /// Where it was declared; `None` where it is the profile's or a built-in default.
    pub by: Option<Vec<String>>,
}

impl<T> Decided<T> {
    /// A value that the spec does not mention.
    pub fn built_in(value: T) -> Self {
        Self { value, by: None }
    }

    /// A value that the spec declares at this path.
    pub fn declared(value: T, path: &[&str]) -> Self {
        Self { value, by: Some(path.iter().map(|part| (*part).to_owned()).collect()) }
    }
}

/// An authority as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredAuthority {
    /// The subject of a new certificate.
    pub subject: SubjectName,
    /// How long a new certificate is valid.
    pub validity: Decided<Duration>,
    /// When it is due for `on_expiry`.
    pub renew_before: Decided<Duration>,
    /// When an alarm is raised about it.
    pub alarm_before: Decided<Duration>,
    /// The algorithm that the key must have, where the spec declares one.
    pub key_algorithm: Option<Decided<NewKeyAlgorithm>>,
    /// The key is elsewhere, as the spec says.
    pub external: bool,
    /// A custom root CA.
    pub source: Option<Decided<Source>>,
    /// What is known of it; none before its file was read.
    pub root: Option<CustomRoot>,
    /// Everything issued before this instant is reissued.
    pub reissue_issued_before: Option<Decided<jiff::Timestamp>>,
    /// Fingerprints that must go, with reasons.
    pub distrust: BTreeMap<String, String>,
    /// Fingerprints of CA certificates that are trusted beside the authority's own, with reasons.
    pub also_trusts: BTreeMap<String, String>,
    /// What happens when it expires.
    pub on_expiry: OnExpiry,
    /// How long old and new are both trusted.
    pub soak: Option<Duration>,
    /// Consumers that are not waited for, each with the reason.
    pub waive: BTreeMap<ConsumerName, String>,
    /// How far a plan can go with it.
    pub domain: Domain,
    /// Whoever has a certificate of it may speak for every user: API servers take the user from the request.
    pub is_front_proxy: bool,
    /// The nodes that may hold the key.
    pub signers: BTreeSet<NodeName>,
}

/// Where it can be seen on a node what a consumer of an authority trusts and shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredConsumer {
    /// Files with certificates.
    pub paths: BTreeSet<String>,
    /// TLS ports.
    pub ports: BTreeSet<NonZeroU16>,
    /// Who names its file, where neither the spec nor the profile does: `--etcd-cafile in /etc/kubernetes/manifests/kube-apiserver.yaml`.
    pub named_by: Option<String>,
}

impl DesiredAuthority {
    /// The fingerprints of the CA certificates that must go, each with the reason.
    pub fn distrusted(&self) -> impl Iterator<Item = (Sha256, &str)> {
        named(&self.distrust)
    }

    /// The fingerprints of the CA certificates that are trusted beside its own, each with the reason.
    pub fn also_trusted(&self) -> impl Iterator<Item = (Sha256, &str)> {
        named(&self.also_trusts)
    }
}

/// Fingerprints as a spec writes them, each with its reason.
fn named(declared: &BTreeMap<String, String>) -> impl Iterator<Item = (Sha256, &str)> {
    declared.iter().filter_map(|(fingerprint, because)| {
        Some((fingerprint.strip_prefix("sha256:")?.parse().ok()?, because.as_str()))
    })
}

/// One node as it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredNode {
    /// What it does.
    pub roles: BTreeSet<Role>,
    /// The address that others use.
    pub address: Option<String>,
    /// Its Kubernetes version, where known.
    pub version: Option<KubernetesVersion>,
    /// Its directories, parents before children.
    pub directories: BTreeMap<DirectoryName, DesiredDirectory>,
    /// The manifests of its static pods.
    pub manifests: BTreeSet<String>,
    /// The manifests of components that it should not have, each with the role that it would need.
    pub manifests_of_others: BTreeMap<String, Role>,
    /// The authorities whose certificate it holds.
    pub authorities: BTreeMap<AuthorityName, AuthorityCopy>,
    /// Who else uses an authority on it and is not managed here.
    pub consumers: BTreeMap<AuthorityName, BTreeMap<ConsumerName, DesiredConsumer>>,
    /// Its certificates with their keys.
    pub identities: BTreeMap<IdentityName, DesiredIdentity>,
    /// Its key pairs without certificates.
    pub key_pairs: BTreeMap<KeyPairName, DesiredKeyPair>,
    /// Its services.
    pub services: BTreeMap<ServiceName, DesiredService>,
    /// What programs that are started on it anew for each use connect to.
    pub programs: BTreeMap<ServiceName, Vec<TlsConnection>>,
}

impl DesiredNode {
    /// The certificates that the node holds of an authority, as far as they were seen.
    pub(crate) fn certificates_of<'f>(
        &self,
        authority: &AuthorityName,
        facts: &'f NodeFacts,
    ) -> &'f [Certificate] {
        let copy = self.authorities.get(authority);
        copy.map(|copy| facts.certificates(&copy.certificate.path)).unwrap_or_default()
    }

    /// Its services of a kind.
    pub fn services_of(&self, kind: ServiceKind) -> impl Iterator<Item = (&ServiceName, &DesiredService)> {
        self.services.iter().filter(move |(_, service)| service.is(kind))
    }

    /// Whether it should have a service of a kind.
    pub fn has(&self, kind: ServiceKind) -> bool {
        self.services_of(kind).next().is_some()
    }

    /// Whether its member of etcd trusts an authority.
    pub fn etcd_trusts(&self, authority: &AuthorityName) -> bool {
        let mut reads = self.services_of(ServiceKind::Etcd).flat_map(|(_, service)| &service.reads);
        reads.any(|read| read.what == What::Trust(authority.clone()))
    }

    /// Whether something on it connects to etcd under an authority.
    pub fn connects_to_etcd_under(&self, authority: &AuthorityName) -> bool {
        let mut dials = self.services.values().flat_map(|service| &service.dials);
        dials.any(|dial| dial.to_kind == Some(ServiceKind::Etcd) && dial.admits.as_ref() == Some(authority))
    }
}

/// A directory as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredDirectory {
    /// Where the files really are.
    pub path: String,
    /// The link under which programs know it.
    pub link: Option<String>,
    /// Whether a directory that stands where the link should be is moved.
    pub migrate: bool,
    /// The mode with which it is made.
    pub mode: FileMode,
    /// Where the spec declares it.
    pub by: Option<Vec<String>>,
}

impl DesiredDirectory {
    /// The path that programs use.
    pub fn known_as(&self) -> &str {
        self.link.as_deref().unwrap_or(&self.path)
    }
}

/// One node's copy of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityCopy {
    /// The certificate, which is also the trust bundle of what reads it.
    pub certificate: FileSpec,
    /// The key's file.
    pub key: FileSpec,
    /// Whether this node may hold the key.
    pub may_hold_key: bool,
    /// Further files with the same certificates.
    pub copies: BTreeMap<CopyName, FileSpec>,
}

impl AuthorityCopy {
    /// Where a CA that is to take its place waits, beside its files and read by nobody: `ca.crt` becomes `ca-next.crt`. A name like cfssl's, `ca-key.pem`, becomes
    /// `ca-next-key.pem`: it still ends as those of keys do, which scripts that look at every certificate in a folder leave out.
    pub fn successor(&self) -> Self {
        let beside = |file: &FileSpec| {
            let (folder, name) = file.path.rsplit_once('/').unwrap_or_default();
            let path = match name.rsplit_once('.') {
                Some((stem, extension)) => match stem.strip_suffix("-key") {
                    Some(stem) => format!("{folder}/{stem}-next-key.{extension}"),
                    None => format!("{folder}/{stem}-next.{extension}"),
                },
                None => format!("{folder}/{name}-next"),
            };
            FileSpec { path, ..file.clone() }
        };
        Self {
            certificate: beside(&self.certificate),
            key: beside(&self.key),
            may_hold_key: self.may_hold_key,
            copies: BTreeMap::new(),
        }
    }
}

/// A certificate with its key as it should be on one node.
#[derive(Debug, Clone, PartialEq)]
pub struct DesiredIdentity {
    /// The issuer; none for a certificate that signs itself.
    pub authority: Option<AuthorityName>,
    /// The subject of a new certificate; `None` while it depends on an unknown version.
    pub subject: Option<SubjectName>,
    /// The subjects that are right on disk.
    pub accepted_subjects: Vec<SubjectName>,
    /// What it may be used for.
    pub usages: BTreeSet<Usage>,
    /// Its names.
    pub names: DesiredNames,
    /// How long a new certificate is valid.
    pub validity: Decided<Duration>,
    /// When it is renewed.
    pub renew_before: Decided<Duration>,
    /// When an alarm is raised about it.
    pub alarm_before: Decided<Duration>,
    /// The algorithm that the key must have, where the spec declares one.
    pub key_algorithm: Option<Decided<NewKeyAlgorithm>>,
    /// Whether renewal keeps the key.
    pub reuse_key: bool,
    /// Where it is kept.
    pub storage: Storage,
    /// The API server that a new kubeconfig leads to, where that is the word of a node.
    pub server_told: Option<Told>,
    /// Why it is not known where a new kubeconfig leads.
    pub server_disputed: Option<Dispute>,
    /// Its absence is no finding.
    pub optional: bool,
    /// The kubelet renews it by itself.
    pub rotated_by_kubelet: bool,
    /// All nodes that have it hold the same certificate and key.
    pub shared: bool,
    /// The files whose permission bits the spec declares, each with its place in it.
    pub declared_modes: BTreeMap<String, Vec<String>>,
    /// Further places on this node that hold the same certificate and key.
    pub copies: BTreeMap<CopyName, DesiredCopy>,
    /// Where a new key waits with its request while the certificate is signed elsewhere; none for one that is signed here. Nothing but this program reads it.
    pub request: Option<FileSpec>,
}

impl DesiredIdentity {
    /// Every place, the main one first.
    pub fn places(&self) -> impl Iterator<Item = &Storage> {
        std::iter::once(&self.storage).chain(self.copies.values().map(|copy| &copy.storage))
    }

    /// Every place but those that a person keeps for himself, the main one first.
    pub fn managed_places(&self) -> impl Iterator<Item = &Storage> {
        let kept = self.copies.values().filter(|copy| copy.keep != Keep::Report);
        std::iter::once(&self.storage).chain(kept.map(|copy| &copy.storage))
    }
}

/// A further place of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredCopy {
    /// How it is kept there.
    pub storage: Storage,
    /// What becomes of it.
    pub keep: Keep,
}

/// Subject alternative names as they should be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredNames {
    /// DNS names.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ip: BTreeSet<IpAddr>,
    /// Names that could not be worked out, as the profile writes them: neither required nor refused.
    pub unresolved: BTreeSet<String>,
    /// Whether other names are wrong.
    pub exact: bool,
    /// Where the spec adds to them.
    pub by: Option<Vec<String>>,
    /// Those that are the word of a node, by their text.
    pub told: BTreeMap<String, Told>,
    /// Why one that could not be worked out is disputed.
    pub disputed: Option<Dispute>,
}

/// A key pair without certificate as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredKeyPair {
    /// The private key.
    pub private: FileSpec,
    /// The public key.
    pub public: FileSpec,
}

/// A service as it should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DesiredService {
    /// What it is, where more has to be known of it than is said here.
    pub kind: Option<ServiceKind>,
    /// How it is restarted.
    pub restart: Option<Restart>,
    /// Whether the spec, and not the profile, says how.
    pub restart_by: Option<Vec<String>>,
    /// Where it serves TLS.
    pub endpoints: Vec<Endpoint>,
    /// What it reads.
    pub reads: Vec<Read>,
    /// What it connects to.
    pub dials: Vec<TlsConnection>,
    /// What tells whether it works.
    pub health: Vec<DesiredHealth>,
    /// What its instance here calls itself, where the layout fixes that: the name of a member of etcd.
    pub member_name: Option<String>,
}

impl DesiredService {
    /// Whether it is of a kind.
    pub fn is(&self, kind: ServiceKind) -> bool {
        self.kind == Some(kind)
    }
}

/// A path on the node that answers 200 while a service works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredHealth {
    /// How it is asked.
    pub scheme: Scheme,
    /// The address; none for the loopback, or where the service listens.
    pub address: Option<IpAddr>,
    /// The port that the layout gives it.
    pub port: u16,
    /// The path.
    pub path: UrlPath,
    /// The spec says so: it must hold after a restart, whether it held before or not.
    pub is_declared: bool,
}

/// What nodes say about things that a spec may leave open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// Whether nodes were asked at all. Before that nothing is wrong with what is still open.
    pub asked: bool,
    /// The Kubernetes version of each node that tells one. In the middle of an upgrade they differ.
    pub versions: BTreeMap<NodeName, KubernetesVersion>,
    /// The service subnet, from the API servers' `--service-cluster-ip-range`.
    pub service_subnet: Option<Told>,
    /// The control plane endpoint, from the server of the control planes' kubeconfigs.
    pub endpoint: Option<Told>,
    /// What about the cluster is disputed between control planes, by placeholder.
    pub disputes: Disputes,
    /// Each node's address, from its own `--advertise-address` or etcd's advertised URL.
    pub addresses: BTreeMap<NodeName, Told>,
    /// The nodes whose own word about their address is that another node has it.
    pub disputed_addresses: BTreeMap<NodeName, Dispute>,
    /// The members, by address, of whose files the nodes do not agree how they are numbered.
    pub disputed_members: BTreeMap<String, Dispute>,
    /// The number in the names of the members' files, by address, where a layout numbers them.
    pub member_indexes: BTreeMap<String, String>,
    /// The domain of the cluster's own names, from the API servers' `--service-account-issuer` or certificate.
    pub dns_domain: Option<Told>,
    /// Each node's directories, where the flags of its components tell.
    pub directories: BTreeMap<NodeName, BTreeMap<DirectoryName, String>>,
    /// Each node's single files that lie elsewhere than in those directories, by where they would be.
    pub files: BTreeMap<NodeName, BTreeMap<String, Flagged>>,
    /// The manifest of each program that runs in a static pod of a node.
    pub pods: BTreeMap<NodeName, BTreeMap<String, String>>,
}

/// A file that a flag names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flagged {
    /// Its path on the node.
    pub path: String,
    /// What names it: `--tls-cert-file in /etc/kubernetes/manifests/kube-apiserver.yaml`.
    pub by: String,
}

pub(crate) mod flagged;

pub mod hints;
pub mod request;
#[cfg(test)]
mod tests;
