//! What a node gave back, held against what the plan asked for: a node that signs may lie about anything but its own key.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::protocol::command::SignRequest;
use crate::protocol::error::HostError;
use crate::types::certificate::SubjectName;
use crate::x509::{Certificate, CertificateFacts, ExtendedKeyUsage, SubjectNames};

/// A certificate that another node signed. That its issuer vouches for it the node that receives it looks at, with the CA certificates that it has.
pub(super) fn signed(certificate: &Certificate, asked: &SignRequest, path: &str) -> Result<(), HostError> {
    let facts = certificate.facts();
    let asked_names =
        SubjectNames { dns: asked.dns.clone(), ip: asked.ip.clone(), ..SubjectNames::default() };
    let usages: BTreeSet<ExtendedKeyUsage> =
        asked.usages.iter().copied().map(ExtendedKeyUsage::from).collect();
    let held = facts.extended_key_usages.clone().unwrap_or_default();
    let wrong = [
        (facts.key != asked.public_key, "another key"),
        (!facts.subject.is(&asked.subject), "another subject"),
        (facts.names != asked_names, "other names"),
        (held != usages, "other usages"),
        (is_other_period(facts, asked.not_before, asked.not_after), "other dates"),
        (facts.is_ca(), "the right to sign others"),
    ];
    refused(path, &wrong)
}

/// The certificate of an authority that a node made or signed again.
pub(super) fn authority(
    certificate: &Certificate,
    subject: Option<&SubjectName>,
    (not_before, not_after): (Timestamp, Timestamp),
    path: &str,
) -> Result<(), HostError> {
    let facts = certificate.facts();
    let wrong = [
        (subject.is_some_and(|subject| !facts.subject.is(subject)), "another subject"),
        (is_other_period(facts, not_before, not_after), "other dates"),
        (!facts.is_ca(), "no right to sign others"),
    ];
    refused(path, &wrong)
}

/// The certificate of an authority that was signed again: only its end is another one.
pub(super) fn extended_authority(
    certificate: &Certificate,
    of: &Certificate,
    not_after: Timestamp,
    path: &str,
) -> Result<(), HostError> {
    let (facts, old) = (certificate.facts(), of.facts());
    let wrong = [(facts.key != old.key, "another key"), (facts.subject != old.subject, "another subject")];
    refused(path, &wrong)?;
    authority(certificate, None, (old.not_before, not_after), path)
}

fn refused(path: &str, wrong: &[(bool, &str)]) -> Result<(), HostError> {
    let found: Vec<&str> = wrong.iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, what)| *what).collect();
    if found.is_empty() {
        return Ok(());
    }
    let reason =
        format!("the certificate that was given has {}, not what the plan says", found.join(" and "));
    Err(HostError::Refused { path: path.to_owned(), reason })
}

/// Certificates know no fractions of a second.
fn is_other_period(facts: &CertificateFacts, not_before: Timestamp, not_after: Timestamp) -> bool {
    (facts.not_before.as_second(), facts.not_after.as_second())
        != (not_before.as_second(), not_after.as_second())
}
