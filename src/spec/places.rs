//! The places where things are kept: files, kubeconfigs, directories, and the nodes that have them.
//!
//! Like everything in [`super::types`], these types hold what was written and nothing else.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Role;
use crate::types::names::NodeName;
use crate::types::scalars::FileMode;

/// Where a certificate and its key are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Files {
    /// The certificate, an absolute path on the node. `{node}` stands for the node's name, `{address}` for its address.
    pub certificate: String,
    /// The private key, an absolute path on the node.
    pub key: String,
    /// The owner, `USER` or `USER:GROUP`; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The mode of the key, quoted and octal, such as `"0640"`; `"0600"` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// The mode of the certificate, quoted and octal; `"0644"` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_mode: Option<FileMode>,
}

/// A file with certificates and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateFile {
    /// The file, an absolute path on the node. `{node}` stands for the node's name, `{address}` for its address.
    pub path: String,
    /// The owner, `USER` or `USER:GROUP`; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The mode, quoted and octal; `"0644"` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
}

/// One file with a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CombinedFile {
    /// The file, an absolute path on the node. `{node}` stands for the node's name, `{address}` for its address.
    pub path: String,
    /// The owner, `USER` or `USER:GROUP`; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The mode, quoted and octal; `"0600"` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
}

/// A kubeconfig with a certificate and its key embedded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KubeconfigFile {
    /// The file, an absolute path on the node. `{node}` stands for the node's name, `{address}` for its address.
    pub path: String,
    /// The URL of the API server. Without it, that of the kubeconfig that it is a copy of, or else that of the control plane endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The owner, `USER` or `USER:GROUP`; root when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The mode, quoted and octal; `"0600"` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
}

/// A further place of a certificate and its key: exactly one of `files`, `combined` and `kubeconfig`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Place {
    /// Two files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// One file with the certificate first and its key behind it, as HAProxy reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combined: Option<CombinedFile>,
    /// A kubeconfig with everything embedded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigFile>,
}

/// Whether nodes hold one certificate together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Holders {
    /// Each node has a certificate and key of its own, and the key never leaves it.
    #[default]
    Each,
    /// All nodes hold the same certificate and key: it is issued on the first node by name, and copied to the others.
    Shared,
}

/// Which nodes hold something.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placement {
    /// Every node with this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// These nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes: BTreeSet<NodeName>,
}

/// Somebody who uses an authority and is not managed here: where it can be seen what it trusts and shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consumer {
    /// Files with certificates that it trusts or shows, absolute paths on the node. One that is not there is not used.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<String>,
    /// TLS ports at which it shows a certificate, between 1 and 65535. One on which nothing listens is not used.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<NonZeroU16>,
    /// The nodes on which it is; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Placement>,
}

/// Where a directory of the profile really is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Directory {
    /// Where the files really are, an absolute path on the node.
    pub path: String,
    /// A symbolic link that leads there: the path under which programs know the directory. Without it, programs know `path` itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Whether a real directory that stands where the link should be is moved to `path`, with everything in it, and the link put in its place. Programs
    /// that read below it have to be restarted: one that runs still has the old directory open. Without it, such a directory is reported and left alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub migrate: bool,
}
