//! How a certificate is issued: everything but its key and its serial number, which are drawn at apply.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Told;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::types::duration::Duration;
use crate::types::names::{AuthorityName, NodeName};
use crate::types::non_empty::NonEmpty;
use crate::types::storage::Storage;
use crate::x509::issue::{LeafContent, Refusal, refusals};
use crate::x509::{Certificate, Sha256};

/// How long before `now` a new certificate begins, so that a clock that runs a little behind accepts it (kubernetes#118922 uses the same).
pub const BACKDATE: Duration = Duration::from_seconds(300);

/// How a certificate is issued and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issue {
    /// The authority.
    pub authority: AuthorityName,
    /// The node whose key signs.
    pub signer: NodeName,
    /// The certificate that signs; none while an earlier action of this plan makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Sha256>,
    /// The authority's files on that node.
    pub signer_certificate: String,
    /// The authority's key on that node.
    pub signer_key: String,
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
    /// The beginning of its life.
    pub not_before: Timestamp,
    /// The end of its life.
    pub not_after: Timestamp,
    /// The declared validity ends later than the issuer, so the issuer's end counts.
    pub clamped: bool,
    /// The key.
    pub key: KeySource,
    /// Where it is kept.
    pub storage: Storage,
    /// The authority's certificates on this node, which the new certificate is checked with.
    pub verified_by: String,
    /// The CA certificates that a kubeconfig trusts, where it has to be written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<CaCertificates>,
    /// The CA certificates that follow it in its file, where some follow the one that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<CaCertificates>,
    /// The certificate that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Certificate>,
}

impl Issue {
    /// Why its issuer cannot issue it, whatever key is drawn.
    pub(crate) fn refusals(&self, issuer: &Certificate) -> Vec<Refusal> {
        let Self { subject, usages, dns, ip, not_before, not_after, .. } = self;
        let content =
            LeafContent { subject, not_before: *not_before, not_after: *not_after, usages, dns, ip };
        refusals(&content, issuer)
    }
}

/// Where the CA certificates come from that a kubeconfig trusts, or that follow a certificate in its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CaCertificates {
    /// They are known.
    Certificates(NonEmpty<Certificate>),
    /// An earlier action of this plan makes this authority.
    Made(AuthorityName),
}

/// Where a certificate's key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KeySource {
    /// It is made at apply, on the node.
    New(NewKeyAlgorithm),
    /// The existing key is kept; SHA-256 of its public half (SPKI).
    Kept(Sha256),
}

impl KeySource {
    /// The algorithm of a key that is made.
    pub fn made(self) -> Option<NewKeyAlgorithm> {
        match self {
            KeySource::New(algorithm) => Some(algorithm),
            KeySource::Kept(_) => None,
        }
    }
}
