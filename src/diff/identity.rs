//! The checks of an identity: a certificate with its key.

use crate::desired::DesiredNames;
use crate::formats::kubeconfig::OtherCredentials;
use crate::types::certificate::Usage;
use crate::types::format::subject_text;
use crate::types::storage::Storage;
use crate::x509::chain;
use crate::x509::chain::{ChainFault, Purpose};
use crate::x509::{Certificate, ExtendedKeyUsage, KeyAlgorithm};

use super::cases::{IdentityCase, issuers_of};
use super::{
    Effect, Finding, Form, Reason, Renewal, declared, files, is_extension, request, strangers, verifiers,
};

/// How good a certificate with its key is on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateHealth {
    /// A person has to look first, or nothing is known.
    Barred,
    /// It is not there, or cannot be used.
    Unusable,
    /// It can be used and is due to be replaced.
    Due,
    /// It is as it should be.
    Good,
}

/// A check of a certificate that is there.
type Check = fn(&IdentityCase<'_>, &Certificate) -> Option<Finding>;

/// Every check, in the order in which an engineer would look.
const CHECKS: [Check; 16] = [
    expired,
    expires_soon,
    not_yet_valid,
    issued_before,
    issuer_goes,
    wrong_issuer,
    verifiers::weak_signature,
    not_trusted,
    outlives_issuer,
    subject_differs,
    names_missing,
    names_unwanted,
    usages_differ,
    key_algorithm_differs,
    verifiers::weak_key,
    verifiers::refused_by_openssl,
];

impl IdentityCase<'_> {
    pub(super) fn findings(&self) -> Vec<Finding> {
        if self.wanted.optional && self.view.reasons == [Reason::Missing] {
            return Vec::new();
        }
        if let Some(by) = self.view.other_credentials {
            return self.left_alone(by);
        }
        let mut findings: Vec<Finding> =
            self.view.reasons.iter().cloned().map(Finding::due_unless_unknown).collect();
        if let Some(certificate) = &self.view.certificate {
            findings.extend(CHECKS.iter().filter_map(|check| check(self, certificate)));
            findings.extend(self.key_mismatch(certificate));
        }
        findings.extend(self.bundle_lacks());
        findings.extend(strangers::in_kubeconfig(self));
        findings.extend(self.chain_outdated());
        findings.extend(request::finding(self.wanted, self.facts));
        let files = self.wanted.storage.files();
        findings.extend(files.into_iter().flat_map(|file| files::findings(file, self.facts)));
        let declared = declared::of_identity(self, &findings);
        findings.extend(declared);
        match &self.view.renewal {
            Renewal::ByKubelet if self.is_overdue() => {
                findings.push(Finding::note(Reason::RotationOverdue));
            }
            Renewal::ByKubelet if self.is_usable() => leave_to_the_kubelet(&mut findings),
            Renewal::ByKubelet => {}
            Renewal::TurnedOff { configuration } => {
                findings.push(Finding::note(Reason::RotationTurnedOff { path: configuration.clone() }));
            }
            Renewal::Planned => {
                let is_embedded = self.wanted.rotated_by_kubelet && self.view.form == Form::Embedded;
                if is_embedded && self.view.certificate.is_some() {
                    findings.push(Finding::note(Reason::KubeletDoesNotRotate));
                }
            }
        }
        findings
    }

    /// A file that proves its user with something else than a certificate belongs to whoever set that up: what is odd about it is said, and nothing of it is written.
    fn left_alone(&self, by: OtherCredentials) -> Vec<Finding> {
        let path = self.wanted.storage.certificate_path().to_owned();
        let trust = self.bundle_lacks().map(|lacks| Finding { effect: Effect::Note, ..lacks });
        let end = self.view.certificate.as_ref();
        let end = end.and_then(|own| expired(self, own).or_else(|| expires_soon(self, own)));
        let end = end.map(|end| Finding { effect: Effect::Note, ..end });
        trust.into_iter().chain(end).chain([Finding::note(Reason::OtherCredentials { path, by })]).collect()
    }

    /// Whether a kubelet that shows it would be let in to ask for the next one.
    fn is_usable(&self) -> bool {
        let matching = |certificate: &Certificate| {
            self.now <= certificate.facts().not_after
                && self.view.key == Some(certificate.facts().key.spki_sha256)
        };
        self.view.reasons.is_empty() && self.view.certificate.as_ref().is_some_and(matching)
    }

    /// Whether the kubelet should have renewed it long ago: it does so after 70 to 90 percent of its life, at a moment drawn by lot (client-go 1.20 to 1.31,
    /// `util/certificate` `nextRotationDeadline`). Then its requests are not signed, or it does not run.
    fn is_overdue(&self) -> bool {
        let Some(certificate) = self.view.certificate.as_ref().filter(|_| self.is_usable()) else {
            return false;
        };
        let facts = certificate.facts();
        let (life, gone) =
            (facts.not_after.duration_since(facts.not_before), self.now.duration_since(facts.not_before));
        gone.as_secs().saturating_mul(100) > life.as_secs().saturating_mul(95)
    }

    /// How good what the node holds is, as far as the certificate and its key go.
    pub(super) fn standing(&self) -> CertificateHealth {
        let unknown = self.view.reasons.iter().any(|reason| matches!(reason, Reason::Unknown { .. }));
        if self.view.other_credentials.is_some() {
            return CertificateHealth::Barred;
        }
        let Some(certificate) = &self.view.certificate else {
            return if unknown { CertificateHealth::Barred } else { CertificateHealth::Unusable };
        };
        let found = CHECKS.iter().filter_map(|check| check(self, certificate));
        let gravest = found.map(|finding| finding.effect).min();
        let matches = self.view.key == Some(certificate.facts().key.spki_sha256);
        match gravest {
            _ if unknown => CertificateHealth::Barred,
            Some(Effect::Blocks | Effect::Unknown) => CertificateHealth::Barred,
            _ if !matches || !self.view.reasons.is_empty() => CertificateHealth::Unusable,
            Some(Effect::Due) => CertificateHealth::Due,
            Some(Effect::Note) | None => CertificateHealth::Good,
        }
    }

    /// The private key does not belong to the certificate.
    fn key_mismatch(&self, certificate: &Certificate) -> Option<Finding> {
        let key = self.view.key?;
        let of_certificate = certificate.facts().key.spki_sha256;
        (key != of_certificate)
            .then(|| Finding::due(Reason::KeyMismatch { certificate: of_certificate, key }))
    }

    /// The kubeconfig does not trust the authority that it should.
    fn bundle_lacks(&self) -> Option<Finding> {
        let Storage::Kubeconfig { .. } = &self.wanted.storage else { return None };
        let (trusted, signer) = (self.view.trusted.as_ref()?, self.authority?.view.signer()?);
        let lacks = !trusted.iter().any(|certificate| certificate == signer);
        lacks.then(|| Finding::due(Reason::BundleLacks { fingerprint: *signer.fingerprint() }))
    }

    /// Behind the certificate stands one of its CA that was signed again since. Only in a pair of files is it the plan's to mend.
    fn chain_outdated(&self) -> Option<Finding> {
        let signer = self.authority?.view.signer()?;
        let is_former = |held: &&Certificate| *held != signer && is_extension(held, signer);
        let former = self.view.chain.iter().find(is_former)?;
        let reason =
            Reason::ChainOutdated { found: *former.fingerprint(), wanted: Some(*signer.fingerprint()) };
        Some(match self.view.form {
            Form::Pair => Finding::due(reason),
            Form::Combined | Form::Embedded | Form::Referenced => Finding::note(reason),
        })
    }
}

/// What a certificate of the kubelet's own is like is said and left alone; the files around it are not the kubelet's to mend.
fn leave_to_the_kubelet(findings: &mut Vec<Finding>) {
    let is_of_the_file = |reason: &Reason| {
        matches!(
            reason,
            Reason::PermissionsDiffer { .. }
                | Reason::OwnerDiffers { .. }
                | Reason::BundleLacks { .. }
                | Reason::Distrusted { .. }
        )
    };
    let own = findings
        .iter_mut()
        .filter(|finding| finding.effect == Effect::Due && !is_of_the_file(&finding.reason));
    for finding in own {
        finding.effect = Effect::Note;
    }
    findings.push(Finding::note(Reason::KubeletRotates));
}

fn expired(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let not_after = certificate.facts().not_after;
    (case.now > not_after).then(|| Finding::due(Reason::Expired { not_after }))
}

fn expires_soon(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let not_after = certificate.facts().not_after;
    let renew_before = case.wanted.renew_before.value;
    if case.now > not_after || case.now < renew_before.before(not_after) {
        return None;
    }
    let finding = match case.issuer_end(certificate) {
        Some(issuer_not_after) if issuer_not_after <= not_after => {
            Finding::note(Reason::IssuerEndsFirst { issuer_not_after })
        }
        Some(_) | None => Finding::due(Reason::ExpiresSoon { not_after, renew_before }),
    };
    Some(finding.decided_by(case.wanted.renew_before.by.as_ref()))
}

fn not_yet_valid(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let not_before = certificate.facts().not_before;
    (case.now < not_before).then(|| Finding::due(Reason::NotYetValid { not_before }))
}

fn issued_before(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let cut_off = case.authority?.wanted.reissue_issued_before.as_ref()?;
    let not_before = certificate.facts().not_before;
    (not_before < cut_off.value).then(|| {
        Finding::due(Reason::IssuedBefore { not_before, cut_off: cut_off.value })
            .decided_by(cut_off.by.as_ref())
    })
}

/// The CA that issued it is being replaced.
fn issuer_goes(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let issuer = case.authority?.succession?.issuer_that_goes(certificate, &case.view.chain)?;
    Some(Finding::due(Reason::IssuerGoes { issuer: *issuer.fingerprint() }))
}

/// A renewal would put a certificate of another CA into a running system, so this blocks.
fn wrong_issuer(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let authority = case.authority?;
    let issuers = case.issuers().filter(|issuers| !issuers.is_empty())?;
    if authority.view.signer().is_some_and(|signer| chain::is_issued_by(certificate, signer)) {
        // The certificate is right and the CA on this node is not, which the authority's own findings say.
        return None;
    }
    if authority.succession.is_some_and(|succession| succession.issued(certificate, &case.view.chain)) {
        // It is known, and on its way into or out of the bundle here.
        return None;
    }
    if verifiers::signed_weakly(case, certificate).is_some() {
        // Whoever looks for a signature that counts finds none, which is another fault than a wrong CA.
        return None;
    }
    issuers_of(certificate, &case.view.chain, issuers).is_empty().then(|| {
        let issuer = certificate.facts().issuer.to_string();
        Finding::blocks(Reason::WrongIssuer { issuer, authority: authority.name.clone() })
    })
}

fn not_trusted(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let issuers = case.issuers()?;
    let above = issuers_of(certificate, &case.view.chain, issuers);
    if above.is_empty() {
        return None;
    }
    // Dates have findings of their own, so the path is judged at an instant at which all are valid, if there is one.
    let facts = certificate.facts();
    let from = above.iter().map(|issuer| issuer.facts().not_before).fold(facts.not_before, Ord::max);
    let until = above.iter().map(|issuer| issuer.facts().not_after).fold(facts.not_after, Ord::min);
    if from > until {
        return None;
    }
    let instant = case.now.clamp(from, until);
    let failure = case.wanted.usages.iter().find_map(|usage| {
        chain::verify(certificate, &case.view.chain, issuers, instant, &Purpose::from(*usage)).err()
    })?;
    if matches!(failure.fault, ChainFault::UsageNotAllowed { .. }) && failure.certificate == *certificate {
        // The leaf itself lacks the usage, which `usages_differ` says in plainer words.
        return None;
    }
    Some(Finding::due(Reason::NotTrusted { because: format!("{failure}: {}", failure.fault) }))
}

fn outlives_issuer(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let (not_after, issuer_not_after) = (certificate.facts().not_after, case.issuer_end(certificate)?);
    (not_after > issuer_not_after)
        .then(|| Finding::note(Reason::OutlivesIssuer { not_after, issuer_not_after }))
}

fn subject_differs(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let accepted = &case.wanted.accepted_subjects;
    let wanted = case.wanted.subject.as_ref().or(accepted.first())?;
    let found = certificate.facts();
    (!accepted.iter().any(|subject| found.subject.is(subject))).then(|| {
        Finding::due(Reason::SubjectDiffers {
            found: found.subject.to_string(),
            wanted: subject_text(wanted),
        })
    })
}

fn names_missing(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let (wanted, found) = (&case.wanted.names, &certificate.facts().names);
    // DNS names compare without case, as Go's verifier does.
    let dns: Vec<String> = wanted.dns.iter().filter(|name| !has_dns(&found.dns, name)).cloned().collect();
    let ip: Vec<_> = wanted.ip.difference(&found.ip).copied().collect();
    (!dns.is_empty() || !ip.is_empty())
        .then(|| Finding::due(Reason::NamesMissing { dns, ip }).decided_by(wanted.by.as_ref()))
}

/// Additional names are what people add by hand for load balancers: only `names.only` makes them wrong.
fn names_unwanted(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let (wanted, found) = (&case.wanted.names, &certificate.facts().names);
    let DesiredNames { exact: true, .. } = wanted else { return None };
    let dns: Vec<String> = found.dns.iter().filter(|name| !has_dns(&wanted.dns, name)).cloned().collect();
    let ip: Vec<_> = found.ip.difference(&wanted.ip).copied().collect();
    (!dns.is_empty() || !ip.is_empty())
        .then(|| Finding::due(Reason::NamesUnwanted { dns, ip }).decided_by(wanted.by.as_ref()))
}

fn has_dns<'a>(names: impl IntoIterator<Item = &'a String>, wanted: &str) -> bool {
    names.into_iter().any(|name| name.eq_ignore_ascii_case(wanted))
}

fn usages_differ(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    // A certificate without the extension may be used for everything (RFC 5280, 4.2.1.12).
    let found = certificate.facts().extended_key_usages.as_ref()?;
    let allows = |usage: &Usage| {
        let needed = ExtendedKeyUsage::from(*usage);
        found.contains(&needed) || found.contains(&ExtendedKeyUsage::Any)
    };
    let missing: Vec<Usage> = case.wanted.usages.iter().copied().filter(|usage| !allows(usage)).collect();
    (!missing.is_empty()).then(|| Finding::due(Reason::UsagesDiffer { missing }))
}

fn key_algorithm_differs(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    // The spec declares it for what is issued here; the kubelet makes its own keys (ECDSA P-256, client-go util/certificate).
    let declared = case.wanted.key_algorithm.as_ref().filter(|_| case.view.renewal != Renewal::ByKubelet)?;
    let (found, wanted) = (&certificate.facts().key.algorithm, KeyAlgorithm::from(declared.value));
    (*found != wanted).then(|| {
        Finding::due(Reason::KeyAlgorithmDiffers { found: found.clone(), wanted })
            .decided_by(declared.by.as_ref())
    })
}
