//! What a plan does about externally signed certificates: it writes requests, waits, and installs what comes back.

use std::collections::BTreeSet;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Told;
use crate::types::certificate::{SubjectName, Usage};
use crate::types::names::{Address, AuthorityName};
use crate::types::storage::{FileSpec, Storage};
use crate::x509::{Certificate, CertificateRequest, KeyAlgorithm, Sha256};

use super::issue::{CaCertificates, KeySource};

/// A request for a certificate that is signed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CsrRequest {
    /// The authority that is to sign it.
    pub authority: AuthorityName,
    /// The subject.
    pub subject: SubjectName,
    /// What it may be used for.
    pub usages: BTreeSet<Usage>,
    /// DNS names.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ip: BTreeSet<IpAddr>,
    /// What comes into it by the word of a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
    /// The key.
    pub key: KeySource,
    /// Where a key that is kept is taken from.
    pub storage: Storage,
    /// Where request and key wait on the node.
    pub file: FileSpec,
    /// The key of the request that waits there and does not ask for this, SHA-256 of its public half (SPKI).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Sha256>,
    /// The certificate that is to be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Certificate>,
}

impl CsrRequest {
    /// Whether a request that waits asks for this.
    pub(crate) fn fits(&self, waiting: &CertificateRequest) -> bool {
        let facts = waiting.facts();
        let has_key = match self.key {
            KeySource::New(algorithm) => facts.key.algorithm == KeyAlgorithm::from(algorithm),
            KeySource::Kept(spki) => facts.key.spki_sha256 == spki,
        };
        has_key
            && facts.subject.is(&self.subject)
            && facts.usages() == self.usages
            && facts.names.dns == self.dns
            && facts.names.ip == self.ip
    }
}

/// A certificate that was signed elsewhere and takes the place of its request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Install {
    /// The authority under which it is.
    pub authority: AuthorityName,
    /// The certificate.
    pub certificate: Certificate,
    /// The certificates between it and the authority's, each issued by the next one.
    pub chain: Vec<Certificate>,
    /// What it must be usable for.
    pub usages: BTreeSet<Usage>,
    /// DNS names that it has.
    pub dns: BTreeSet<String>,
    /// IP addresses that it has.
    pub ip: BTreeSet<IpAddr>,
    /// Where its key waits on the node. It goes from there to its place without leaving the node.
    pub request: FileSpec,
    /// Where it is kept.
    pub storage: Storage,
    /// The authority's certificates on this node, which it is checked with.
    pub verified_by: String,
    /// The CA certificates that a kubeconfig trusts, where it has to be written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<CaCertificates>,
    /// The certificate that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Certificate>,
}

/// A request that waits on its node, and that apply hands out once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// The certificate.
    pub address: Address,
    /// The request.
    pub request: CertificateRequest,
}
