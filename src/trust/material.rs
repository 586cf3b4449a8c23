//! Certificates and keys of the model, those that exist and those that a plan makes, and what a file or a process holds of them.
//!
//! What enters is certificates that nodes told of and the facts that a plan states about new ones; what leaves is small numbers for them, so that
//! the same bundle on a thousand nodes is one bundle. A new certificate has no digest yet: it is known by its subject, names, usages, issuer and
//! dates. Nothing here judges.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::types::certificate::Usage;
use crate::x509::{Certificate, Sha256, SubjectNames};

/// A certificate of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CertificateId(usize);

/// What a file or a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HoldingId(usize);

/// A certificate.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// One that exists.
    Real(Certificate),
    /// One that the plan makes.
    Planned(Planned),
}

/// A certificate that the plan makes.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) subject: String,
    pub(crate) names: SubjectNames,
    pub(crate) usages: BTreeSet<Usage>,
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    /// Who signs it.
    pub(crate) issuer: Issuer,
    pub(crate) key: Key,
}

/// Who signs a planned certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Issuer {
    /// Its own key: it is an authority.
    Itself,
    /// This one.
    Certificate(CertificateId),
    /// One of which nothing is known.
    Unknown,
}

/// A private key, by its public half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// One that exists: SHA-256 of its public half (SPKI).
    Known(Sha256),
    /// The one that this action makes.
    Made(u32),
}

/// What a file or a process holds, as far as it matters to one who connects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Holding {
    /// Nothing that can be used.
    Nothing,
    /// Nobody knows.
    Unknown,
    /// A certificate to show, with what follows it in its file.
    Pair {
        certificate: CertificateId,
        chain: Vec<CertificateId>,
        /// Whether the key beside it is its own.
        fits: bool,
    },
    /// Certificates to check others with.
    Bundle(Vec<CertificateId>),
}

/// All of them, each once.
#[derive(Debug, Default)]
pub(crate) struct Material {
    certificates: Vec<Known>,
    by_digest: BTreeMap<Sha256, CertificateId>,
    holdings: Vec<Holding>,
    by_holding: BTreeMap<Holding, HoldingId>,
}

impl Material {
    /// The number of a certificate that exists.
    pub(crate) fn real(&mut self, certificate: &Certificate) -> CertificateId {
        if let Some(known) = self.by_digest.get(certificate.fingerprint()) {
            return *known;
        }
        let id = self.push(Known::Real(certificate.clone()));
        self.by_digest.insert(*certificate.fingerprint(), id);
        id
    }

    /// The number of a certificate that is made.
    pub(crate) fn planned(&mut self, planned: Planned) -> CertificateId {
        self.push(Known::Planned(planned))
    }

    fn push(&mut self, known: Known) -> CertificateId {
        self.certificates.push(known);
        CertificateId(self.certificates.len().saturating_sub(1))
    }

    /// The certificate with this digest, where any node holds it.
    pub(crate) fn with_digest(&self, digest: &Sha256) -> Option<CertificateId> {
        self.by_digest.get(digest).copied()
    }

    pub(crate) fn certificate(&self, id: CertificateId) -> Option<&Known> {
        self.certificates.get(id.0)
    }

    pub(crate) fn key_of(&self, id: CertificateId) -> Option<Key> {
        Some(match self.certificate(id)? {
            Known::Real(certificate) => Key::Known(certificate.facts().key.spki_sha256),
            Known::Planned(planned) => planned.key,
        })
    }

    /// The number of what is held.
    pub(crate) fn hold(&mut self, holding: Holding) -> HoldingId {
        if let Some(known) = self.by_holding.get(&holding) {
            return *known;
        }
        let id = HoldingId(self.holdings.len());
        self.holdings.push(holding.clone());
        self.by_holding.insert(holding, id);
        id
    }

    pub(crate) fn holding(&self, id: HoldingId) -> &Holding {
        self.holdings.get(id.0).unwrap_or(&Holding::Unknown)
    }
}
