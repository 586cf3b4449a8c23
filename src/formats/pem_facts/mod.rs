//! What a PEM text holds, without anything secret.
//!
//! What enters is the bytes of a certificate or key file, or of a kubeconfig's data field; what leaves is [`PemFacts`]:
//! whole certificates, of keys no more than what identifies their public half, and every defect. Pure; the bytes are not kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::format::with_causes;
use crate::x509::key::{KeyEncoding, PrivateKey};
use crate::x509::pem;
use crate::x509::pem::{Item, PemProblem, Reading};
use crate::x509::{Certificate, CertificateRequest, KeyAlgorithm, PublicKey, Sha256};

/// What a PEM text holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PemFacts {
    /// The certificates, in the text's order; one that stands there twice is here twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// The private keys that could be read, in the text's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyFacts>,
    /// How many private keys are encrypted with a passphrase.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub encrypted_keys: usize,
    /// The public keys that stand by themselves, as in `sa.pub`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub public_keys: Vec<PublicKeyFacts>,
    /// The requests for certificates that could be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<CertificateRequest>,
    /// Labels of blocks that are none of certificate and key, such as `CERTIFICATE REQUEST`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    /// What is wrong with the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub defects: Vec<PemDefect>,
}

/// What may be said of a private key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyFacts {
    /// Digest of its public half (SubjectPublicKeyInfo), by which it is matched with a certificate.
    pub spki_sha256: Sha256,
    /// What kind of key it is.
    pub algorithm: KeyAlgorithm,
    /// In which structure it is written.
    pub encoding: Encoding,
}

/// What identifies a public key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicKeyFacts {
    /// Digest of its SubjectPublicKeyInfo.
    pub spki_sha256: Sha256,
    /// What kind of key it is.
    pub algorithm: KeyAlgorithm,
}

/// The structure a private key is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Encoding {
    /// `RSA PRIVATE KEY`, as kubeadm writes.
    Pkcs1,
    /// `EC PRIVATE KEY`.
    Sec1,
    /// `PRIVATE KEY`.
    Pkcs8,
}

/// Something wrong with a PEM text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PemDefect {
    /// What it means for whoever reads the text.
    pub kind: DefectKind,
    /// The defect with its causes, in words for people.
    pub message: String,
}

/// What a defect means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DefectKind {
    /// Nothing, or only white space.
    Blank,
    /// Bytes, and none of them a PEM block.
    NotPem,
    /// More than is read, so the rest is unknown.
    TooMuch,
    /// A block was read here that the Go programs of the cluster pass over.
    SkippedByGo,
    /// A block could not be read.
    BrokenBlock,
}

impl PemFacts {
    /// Reads a PEM text. It never fails: what cannot be read is among the defects.
    pub fn read(bytes: &[u8]) -> Self {
        Self::of(pem::read(bytes))
    }

    /// What may be told of a PEM text that was read.
    pub fn of(reading: Reading) -> Self {
        let mut facts =
            Self { defects: reading.problems.iter().map(PemDefect::of).collect(), ..Self::default() };
        for item in reading.items {
            match item {
                Item::Certificate(certificate) => facts.certificates.push(certificate),
                Item::PrivateKey(key) => facts.keys.push(KeyFacts::of(&key)),
                Item::EncryptedKey => facts.encrypted_keys = facts.encrypted_keys.saturating_add(1),
                Item::PublicKey(key) => facts.public_keys.push(PublicKeyFacts::of(&key)),
                Item::CertificateRequest(request) => {
                    facts.requests.extend(request);
                    facts.others.push("CERTIFICATE REQUEST".to_owned());
                }
                // They belong to the key that follows and say nothing by themselves.
                Item::Parameters => {}
                Item::Other(label) => facts.others.push(label),
            }
        }
        facts
    }

    /// Whether there is a private key, or something that was not understood and could be one. Of such a text no hash may be shown.
    pub fn may_hold_keys(&self) -> bool {
        let harmless = |defect: &PemDefect| match defect.kind {
            DefectKind::Blank | DefectKind::SkippedByGo => true,
            DefectKind::NotPem | DefectKind::TooMuch | DefectKind::BrokenBlock => false,
        };
        let others_are_requests = self.others.iter().all(|label| label == "CERTIFICATE REQUEST");
        !self.keys.is_empty()
            || self.encrypted_keys > 0
            || !others_are_requests
            || !self.defects.iter().all(harmless)
    }
}

impl PemFacts {
    /// Whether it holds something, and nothing of PEM or of a certificate: then it may be any file.
    pub fn is_foreign(&self) -> bool {
        let is_understood =
            !self.certificates.is_empty() || !self.keys.is_empty() || !self.public_keys.is_empty();
        !is_understood && self.defects.iter().any(|defect| defect.kind == DefectKind::NotPem)
    }
}

impl KeyFacts {
    /// The facts of a key.
    pub fn of(key: &PrivateKey) -> Self {
        Self {
            spki_sha256: key.public_key().spki_sha256,
            algorithm: key.algorithm().clone(),
            encoding: match key.encoding() {
                KeyEncoding::Pkcs1 => Encoding::Pkcs1,
                KeyEncoding::Sec1 => Encoding::Sec1,
                KeyEncoding::Pkcs8 => Encoding::Pkcs8,
            },
        }
    }
}

impl PublicKeyFacts {
    /// The facts of a public key.
    pub fn of(key: &PublicKey) -> Self {
        Self { spki_sha256: key.spki_sha256, algorithm: key.algorithm.clone() }
    }
}

impl PemDefect {
    fn of(problem: &PemProblem) -> Self {
        let kind = match problem {
            PemProblem::Empty | PemProblem::OnlyWhitespace => DefectKind::Blank,
            PemProblem::NoBlocks | PemProblem::NotPem => DefectKind::NotPem,
            PemProblem::TooLarge { .. } | PemProblem::TooManyBlocks { .. } => DefectKind::TooMuch,
            PemProblem::ByteOrderMark
            | PemProblem::SharesLine { .. }
            | PemProblem::CertificateHeaders { .. } => DefectKind::SkippedByGo,
            PemProblem::BrokenBegin { .. }
            | PemProblem::MissingEnd { .. }
            | PemProblem::EndDiffers { .. }
            | PemProblem::Base64 { .. }
            | PemProblem::Certificate { .. }
            | PemProblem::PrivateKey { .. }
            | PemProblem::PublicKey { .. } => DefectKind::BrokenBlock,
        };
        Self { kind, message: with_causes(problem) }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests have the openssl program make keys and certificates"
)]
pub(crate) mod tests;
