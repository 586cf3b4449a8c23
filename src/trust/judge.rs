//! Whether one side of a connection accepts what the other shows.
//!
//! What enters is what is shown, what it is checked with, for which use, under which name and when; what leaves is a verdict with its reason. By
//! the rules of [`crate::x509::chain`] for certificates that exist, and by the same rules over the stated facts for those that a plan makes; name
//! constraints of an authority are not looked at for the latter, because apply verifies each of them before it is used. Verdicts are
//! kept, so that a thousand clients of one server with the same bundle cost one verification.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::material::{CertificateId, Holding, HoldingId, Issuer, Known, Material, Planned};
use crate::types::certificate::Usage;
use crate::types::format::instant;
use crate::x509::chain;
use crate::x509::chain::{Purpose, ServerName};
use crate::x509::{Certificate, SubjectNames};

/// Whether something is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Holds,
    /// Too little is known.
    Unknown,
    /// It is not, and why.
    Fails(Arc<str>),
}

/// What is asked about a certificate that is shown.
#[derive(Debug, Clone)]
pub(crate) struct Question<'a> {
    pub(crate) shown: HoldingId,
    /// What it is checked with; none where nobody checks.
    pub(crate) checked_with: Option<HoldingId>,
    pub(crate) usage: Usage,
    /// The name that it must have.
    pub(crate) name: Option<&'a ServerName>,
    /// The name is the address of a client, which etcd looks for in its own way (client/pkg/transport/listener_tls.go `checkCertSAN`, 3.4): a certificate
    /// without any name passes, and of one with DNS names each is looked up until one leads to the address.
    pub(crate) is_address_of_client: bool,
}

/// The verdicts so far.
#[derive(Debug)]
pub(crate) struct Judge {
    at: Timestamp,
    chains: BTreeMap<(HoldingId, Option<HoldingId>, Usage), Verdict>,
}

impl Judge {
    pub(crate) fn new(at: Timestamp) -> Self {
        Self { at, chains: BTreeMap::new() }
    }

    /// The verdict on a certificate that is shown.
    pub(crate) fn ask(&mut self, material: &Material, question: &Question<'_>) -> Verdict {
        let key = (question.shown, question.checked_with, question.usage);
        let verdict = match self.chains.get(&key) {
            Some(known) => known.clone(),
            None => {
                let verdict = self.chain(material, question);
                self.chains.insert(key, verdict.clone());
                verdict
            }
        };
        match (verdict, question.name) {
            (Verdict::Holds, Some(name)) if question.checked_with.is_some() => {
                named(material, question.shown, name, question.is_address_of_client)
            }
            (verdict, _) => verdict,
        }
    }

    fn chain(&self, material: &Material, question: &Question<'_>) -> Verdict {
        let (certificate, followers) = match material.holding(question.shown) {
            Holding::Nothing => return fails("there is no certificate with its key to show"),
            Holding::Unknown | Holding::Bundle(_) => return Verdict::Unknown,
            Holding::Pair { fits: false, .. } => {
                return fails("the certificate that is shown does not belong to the key beside it");
            }
            Holding::Pair { certificate, chain, fits: true } => (*certificate, chain),
        };
        let bundle = match question.checked_with.map(|bundle| material.holding(bundle)) {
            None => return Verdict::Holds,
            Some(Holding::Bundle(bundle)) => bundle,
            Some(Holding::Nothing) => return fails("there are no CA certificates to check with"),
            Some(Holding::Unknown | Holding::Pair { .. }) => return self.outlived(material, certificate),
        };
        match material.certificate(certificate) {
            Some(Known::Real(leaf)) => {
                let (followers, roots) = (reals(material, followers), reals(material, bundle));
                match chain::verify(leaf, &followers, &roots, self.at, &Purpose::from(question.usage)) {
                    Ok(_) => Verdict::Holds,
                    Err(error) => Verdict::Fails(format!("{error}: {}", error.fault).into()),
                }
            }
            Some(Known::Planned(planned)) => self.planned(material, planned, bundle, question.usage),
            None => Verdict::Unknown,
        }
    }

    /// The verdict where it is not known what a certificate is checked with: nobody accepts one outside its time.
    fn outlived(&self, material: &Material, certificate: CertificateId) -> Verdict {
        let (from, until) = match material.certificate(certificate) {
            Some(Known::Real(real)) => (real.facts().not_before, real.facts().not_after),
            Some(Known::Planned(planned)) => (planned.not_before, planned.not_after),
            None => return Verdict::Unknown,
        };
        if from <= self.at && self.at <= until {
            return Verdict::Unknown;
        }
        fails(&format!("the certificate is valid from {} to {}", instant(from), instant(until)))
    }

    fn planned(
        &self,
        material: &Material,
        planned: &Planned,
        bundle: &[CertificateId],
        usage: Usage,
    ) -> Verdict {
        let subject = &planned.subject;
        if self.at < planned.not_before || planned.not_after < self.at {
            let (from, until) = (instant(planned.not_before), instant(planned.not_after));
            return fails(&format!("the new certificate of {subject} is valid from {from} to {until}"));
        }
        if !planned.usages.contains(&usage) {
            return fails(&format!("the new certificate of {subject} is not for use as {usage}"));
        }
        let issuer = match planned.issuer {
            Issuer::Certificate(issuer) => issuer,
            Issuer::Itself | Issuer::Unknown => return Verdict::Unknown,
        };
        let signs = |candidate: &CertificateId| self.stands_for(material, *candidate, issuer);
        if bundle.iter().any(signs) {
            return Verdict::Holds;
        }
        let count = match bundle.len() {
            1 => "the one CA certificate".to_owned(),
            count => format!("any of the {count} CA certificates"),
        };
        let issuer = match material.certificate(issuer) {
            Some(Known::Real(issuer)) => {
                format!("{} ({})", issuer.facts().subject, issuer.fingerprint().short())
            }
            Some(Known::Planned(issuer)) => format!("the new {}", issuer.subject),
            None => "an unknown CA".to_owned(),
        };
        fails(&format!(
            "the new certificate of {subject} is signed by {issuer}, which is not {count} that it is checked with"
        ))
    }

    /// Whether a certificate of a bundle vouches for what another authority's certificate signs: it is the same one, or has its name and key.
    fn stands_for(&self, material: &Material, candidate: CertificateId, issuer: CertificateId) -> bool {
        match (material.certificate(candidate), material.certificate(issuer)) {
            (Some(Known::Real(candidate)), Some(Known::Real(issuer))) => {
                let (facts, issuer) = (candidate.facts(), issuer.facts());
                facts.is_ca()
                    && facts.defects.is_empty()
                    && facts.is_in_time(self.at)
                    && facts.subject == issuer.subject
                    && facts.key.spki_sha256 == issuer.key.spki_sha256
            }
            _ => candidate == issuer,
        }
    }
}

/// Whether what is shown has a name.
fn named(material: &Material, shown: HoldingId, name: &ServerName, is_address_of_client: bool) -> Verdict {
    let Holding::Pair { certificate, .. } = material.holding(shown) else { return Verdict::Unknown };
    let Some(known) = material.certificate(*certificate) else { return Verdict::Unknown };
    let names: &SubjectNames = match known {
        Known::Real(certificate) => &certificate.facts().names,
        Known::Planned(planned) => &planned.names,
    };
    if is_address_of_client && names.is_empty() || chain::is_for(names, name) {
        return Verdict::Holds;
    }
    // Where a name leads only the member knows; the one that every machine gives itself leads to no other.
    if is_address_of_client && names.dns.iter().any(|name| name != "localhost") {
        return Verdict::Unknown;
    }
    match known {
        Known::Real(real) => fails(&format!("the certificate of {} is not for {name}", real.facts().subject)),
        Known::Planned(planned) => {
            fails(&format!("the new certificate of {} is not for {name}", planned.subject))
        }
    }
}

fn reals(material: &Material, certificates: &[CertificateId]) -> Vec<Certificate> {
    let known = certificates.iter().filter_map(|id| material.certificate(*id));
    known
        .filter_map(|known| match known {
            Known::Real(certificate) => Some(certificate.clone()),
            Known::Planned(_) => None,
        })
        .collect()
}

fn fails(reason: &str) -> Verdict {
    Verdict::Fails(reason.into())
}
