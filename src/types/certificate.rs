//! What is said of a certificate wherever one is wished for: the algorithm of its key, its subject, and what it may be used for. Plain values.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The algorithms with which new keys are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
// Saved plans and schemas know it by this name.
#[schemars(rename = "KeyAlgorithm")]
pub enum NewKeyAlgorithm {
    /// RSA with 2048 bits, kubeadm's default.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with 3072 bits.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with 4096 bits.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// ECDSA over NIST P-256.
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// ECDSA over NIST P-384 (kubeadm 1.34 and later).
    #[serde(rename = "ecdsa-p384")]
    EcdsaP384,
    /// Ed25519. Kubernetes and etcd accept it, kubeadm never makes it.
    #[serde(rename = "ed25519")]
    Ed25519,
}

impl fmt::Display for NewKeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            NewKeyAlgorithm::Rsa2048 => "rsa-2048",
            NewKeyAlgorithm::Rsa3072 => "rsa-3072",
            NewKeyAlgorithm::Rsa4096 => "rsa-4096",
            NewKeyAlgorithm::EcdsaP256 => "ecdsa-p256",
            NewKeyAlgorithm::EcdsaP384 => "ecdsa-p384",
            NewKeyAlgorithm::Ed25519 => "ed25519",
        })
    }
}

/// A subject. Each part is one attribute; nothing is parsed out of a string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubjectName {
    /// CN. Kubernetes and etcd read it as the user. `{node}` stands for the node's name, `{address}` for its address.
    pub common_name: String,
    /// O, in this order. Kubernetes reads each as a group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub organizations: Vec<String>,
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Usage {
    /// Serving TLS (extended key usage serverAuth).
    Server,
    /// Presenting itself to a TLS server (extended key usage clientAuth).
    Client,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Usage::Server => "server",
            Usage::Client => "client",
        })
    }
}
