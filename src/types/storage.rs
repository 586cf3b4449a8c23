//! Files as they should be, and how an identity is kept in them. Plain values.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::names::AuthorityName;
use crate::types::scalars::FileMode;

/// A file as it should be, content aside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileSpec {
    /// The absolute path on the node.
    pub path: String,
    /// The owner's user name.
    pub user: String,
    /// The owner's group name.
    pub group: String,
    /// The permission bits.
    pub mode: FileMode,
}

/// Where an identity is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Storage {
    /// Two files.
    Pair {
        /// The certificate.
        certificate: FileSpec,
        /// The private key.
        key: FileSpec,
    },
    /// One file with both.
    Combined {
        /// The file.
        file: FileSpec,
    },
    /// A kubeconfig with everything embedded.
    Kubeconfig {
        /// The file.
        file: FileSpec,
        /// The API server's URL; `None` where it could not be worked out.
        server: Option<String>,
        /// The name of the user in it.
        user: String,
        /// The authority that it trusts.
        trusts: AuthorityName,
        /// The file to which a kubelet points it after its first rotation.
        rotated: Option<String>,
    },
}

impl Storage {
    /// The file that shows the certificate: what a report calls the identity's place.
    pub fn certificate_path(&self) -> &str {
        match self {
            Storage::Pair { certificate, .. } => &certificate.path,
            Storage::Combined { file } | Storage::Kubeconfig { file, .. } => &file.path,
        }
    }

    /// Whether a path is one of its files, or the one that a kubelet goes on with after its first rotation.
    pub fn is_at(&self, path: &str) -> bool {
        let goes_on_with = match self {
            Storage::Kubeconfig { rotated, .. } => rotated.as_deref(),
            Storage::Pair { .. } | Storage::Combined { .. } => None,
        };
        goes_on_with == Some(path) || self.files().iter().any(|file| file.path == path)
    }

    /// Every file of the identity.
    pub fn files(&self) -> Vec<&FileSpec> {
        match self {
            Storage::Pair { certificate, key } => vec![certificate, key],
            Storage::Combined { file } | Storage::Kubeconfig { file, .. } => vec![file],
        }
    }
}
