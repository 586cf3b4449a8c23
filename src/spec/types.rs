//! The spec as it is typed: `apiVersion: pki/v1alpha1`, `kind: ClusterPKI`.
//!
//! These types are the single source of the format: the reader decodes into them, the JSON Schema is generated from them, and profiles are
//! written with the same parts. They hold what was written and nothing else; what it means for each node is worked out in
//! [`crate::desired`]. Maps are keyed by name and never lists, because kustomize replaces lists when it merges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::authority::{Authority, OnExpiry, Source};
pub use super::operation::{
    Connection, Endpoint, EtcdSnapshots, Health, Local, OnFailure, Restart, Rollout, Scheme, Service,
    Snapshots, Ssh,
};
pub use super::places::{
    CertificateFile, CombinedFile, Consumer, Directory, Files, Holders, KubeconfigFile, Place, Placement,
};
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::types::duration::Duration;
use crate::types::names::{
    AuthorityName, ClusterName, CopyName, DirectoryName, IdentityName, NodeName, ServiceName,
};
use crate::types::profile_name::ProfileName;
use crate::types::scalars::KubernetesVersion;

/// The PKI that one cluster should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "ClusterPKI", rename = "ClusterPKI")]
pub struct ClusterPki {
    /// The version of this format.
    pub api_version: ApiVersion,
    /// Always `ClusterPKI`.
    pub kind: Kind,
    /// Names the cluster.
    pub metadata: Metadata,
    /// The wanted state.
    pub spec: Spec,
}

/// The version of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "pki/v1alpha1")]
    V1Alpha1,
}

/// The kind of document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// The PKI of one cluster.
    #[serde(rename = "ClusterPKI")]
    ClusterPki,
}

/// What Kubernetes tools expect beside a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The cluster's name, as plans and approvals call it.
    pub name: ClusterName,
    /// Free notes, such as the origin that kustomize adds. They change nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Free labels. They change nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The wanted state of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The layout that the cluster was installed with.
    pub profile: ProfileName,
    /// The Kubernetes version, such as `v1.31.2`. Read from the nodes when absent. It decides version-dependent rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes_version: Option<KubernetesVersion>,
    /// What the rules for names in certificates need to know of the cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cluster: Cluster,
    /// What holds for every certificate and authority that does not say otherwise.
    #[serde(default, skip_serializing_if = "is_default")]
    pub defaults: Defaults,
    /// The nodes, by name. A node's name is also the name that its certificates carry.
    pub nodes: BTreeMap<NodeName, Node>,
    /// How nodes without a connection of their own are reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// Settings of the profile's authorities, and additional authorities.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub authorities: BTreeMap<AuthorityName, Authority>,
    /// Settings of the profile's certificates, and additional certificates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<IdentityName, Certificate>,
    /// Where the profile's directories really are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub directories: BTreeMap<DirectoryName, Directory>,
    /// Settings of the profile's services, and additional services.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub services: BTreeMap<ServiceName, Service>,
    /// How changes are rolled out over the nodes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
    /// Where snapshots are kept, how many, and when etcd's data is among them.
    #[serde(default, skip_serializing_if = "is_default")]
    pub snapshots: Snapshots,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What the rules for names in certificates need to know of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cluster {
    /// The stable address of the API server, `HOST` or `HOST:PORT`, as kubeadm's `controlPlaneEndpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<String>,
    /// The subnets of services, such as `10.96.0.0/12`, with a comma between two of dual stack. The first address of the first is a name of the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_subnet: Option<String>,
    /// The domain of services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_domain: Option<String>,
}

/// What holds for every certificate and authority that does not say otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Defaults {
    /// How long a new certificate is valid.
    pub validity: Duration,
    /// A certificate is renewed once its remaining life is at most this: with `15d`, one that ends in exactly fifteen days is renewed, one a second later is not.
    pub renew_before: Duration,
    /// `status` raises an alarm about a certificate once its remaining life is at most this, whether or not it is renewed by then.
    pub alarm_before: Duration,
    /// The same for authorities, whose replacement takes long to prepare.
    pub authority_alarm_before: Duration,
    /// How long a new authority is valid.
    pub authority_validity: Duration,
    /// The algorithm of keys. When absent, a renewal keeps the algorithm that it finds, and what is new gets `rsa-2048`, kubeadm's default; an existing
    /// key of another algorithm is replaced only if this is declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<NewKeyAlgorithm>,
    /// Whether renewal keeps the existing key. A new key each time is safer, and is what kubeadm does.
    pub reuse_keys: bool,
}

impl Default for Defaults {
    /// The values of kubeadm: 8760 h for leaves, 87600 h for authorities (kubeadm v1beta4 `certificateValidityPeriod`,
    /// `caCertificateValidityPeriod`). 30 days is our own window; the alarms are those of StarlingX: 30 days (500.200), 180 for the Kubernetes root CA.
    fn default() -> Self {
        Self {
            validity: Duration::from_days(365),
            renew_before: Duration::from_days(30),
            alarm_before: Duration::from_days(30),
            authority_alarm_before: Duration::from_days(180),
            authority_validity: Duration::from_days(3650),
            key_algorithm: None,
            reuse_keys: false,
        }
    }
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// The IP address or host name that others use for this node. An IP address is also a name in its certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What the node does.
    pub roles: BTreeSet<Role>,
    /// How this node is reached, where that differs from the cluster's `connection`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the API server, controller manager and scheduler.
    ControlPlane,
    /// Runs a member of etcd.
    Etcd,
    /// Runs workloads only.
    Worker,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Role::ControlPlane => "control-plane",
            Role::Etcd => "etcd",
            Role::Worker => "worker",
        })
    }
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificate {
    /// The authority that issues it. Needed for a certificate that the profile does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<AuthorityName>,
    /// The subject, where it differs from the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectName>,
    /// What it may be used for, where that differs from the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usages: Option<BTreeSet<Usage>>,
    /// Names besides those of the profile.
    #[serde(default, skip_serializing_if = "is_default")]
    pub names: Names,
    /// How long a new certificate is valid; `defaults.validity` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<Duration>,
    /// It is renewed once its remaining life is at most this; `defaults.renewBefore` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Duration>,
    /// `status` raises an alarm about it once its remaining life is at most this; `defaults.alarmBefore` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_before: Option<Duration>,
    /// The algorithm of a new key; `defaults.keyAlgorithm` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<NewKeyAlgorithm>,
    /// Whether renewal keeps the key; `defaults.reuseKeys` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse_keys: Option<bool>,
    /// Where it is kept. A certificate that the profile does not know needs this or `kubeconfig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// It is kept in a kubeconfig, with its key and the certificate of its authority, instead of in files of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigFile>,
    /// Whether each node has a certificate of its own, or all nodes hold the same one; the profile's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holders: Option<Holders>,
    /// Further places on the same nodes that hold the same certificate and key, by name. A place of the profile's name replaces that one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copies: BTreeMap<CopyName, Place>,
    /// The nodes that hold it. Needed for a certificate that the profile does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Placement>,
}

/// Subject alternative names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Names {
    /// DNS names, a wildcard allowed as the left-most label.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dns: BTreeSet<String>,
    /// IP addresses.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ip: BTreeSet<String>,
    /// Exactly these names, instead of the profile's with additions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<OnlyNames>,
}

/// Names that replace the profile's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OnlyNames {
    /// DNS names, a wildcard allowed as the left-most label.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub dns: BTreeSet<String>,
    /// IP addresses.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ip: BTreeSet<String>,
}
