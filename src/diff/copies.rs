//! The checks of further places: files that hold the same as the main place on the same node.

use crate::desired::DesiredCopy;
use crate::profile::Keep;
use crate::types::storage::Storage;
use crate::x509::{Certificate, Sha256};

use super::cases::{AuthorityCase, IdentityCase};
use super::view::{pem, pem_reasons, storage_view};
use super::{CopyHeld, Finding, IdentityView, Reason, files};

/// What is said of a path behind a directory that hides its files.
type Hidden<'a> = dyn Fn(&[&str]) -> Option<Vec<Finding>> + 'a;

/// The findings about the further places of an identity on one node.
pub(super) fn of_identity(case: &IdentityCase<'_>, hidden: &Hidden<'_>) -> Vec<Finding> {
    let is_absent = case.wanted.optional && case.view.reasons == [Reason::Missing];
    if is_absent || case.view.other_credentials.is_some() {
        return Vec::new();
    }
    let places = case.wanted.copies.values();
    places.flat_map(|copy| place(case, copy, hidden)).collect()
}

fn place(case: &IdentityCase<'_>, copy: &DesiredCopy, hidden: &Hidden<'_>) -> Vec<Finding> {
    let paths: Vec<&str> = copy.storage.files().into_iter().map(|file| file.path.as_str()).collect();
    let view = storage_view(&copy.storage, case.on, case.facts);
    if copy.keep == Keep::Report {
        return persons_own(case, copy, &view);
    }
    if let Some(hidden) = hidden(&paths) {
        return hidden;
    }
    let path = copy.storage.certificate_path().to_owned();
    if view.reasons.contains(&Reason::Missing) {
        let missing = || Finding::due(Reason::CopyMissing { path });
        return if copy.keep == Keep::Always { vec![missing()] } else { Vec::new() };
    }
    if let Some(unknown) = view.reasons.iter().find(|reason| matches!(reason, Reason::Unknown { .. })) {
        return vec![Finding::due_unless_unknown(unknown.clone())];
    }
    if let Some(by) = view.other_credentials {
        return vec![Finding::note(Reason::OtherCredentials { path, by })];
    }
    let of = case.wanted.storage.certificate_path();
    let differs = |held| {
        let held = Box::new(held);
        Finding::due(Reason::CopyDiffers { path: path.clone(), of: of.to_owned(), held })
    };
    let mut findings: Vec<Finding> = held(case, &view).into_iter().map(differs).collect();
    findings.extend(lacks_trust(case, copy, &view).map(differs));
    let own = copy.storage.files();
    findings.extend(own.into_iter().flat_map(|file| files::findings(file, case.facts)));
    findings
}

/// A copy that a person made for himself. What is no copy of this identity, or cannot be read, is nobody's business.
fn persons_own(case: &IdentityCase<'_>, copy: &DesiredCopy, view: &IdentityView) -> Vec<Finding> {
    let is_ours = |certificate: &Certificate| {
        case.wanted.accepted_subjects.iter().any(|subject| certificate.facts().subject.is(subject))
    };
    if !view.reasons.is_empty() || !view.certificate.as_ref().is_some_and(is_ours) {
        return Vec::new();
    }
    let held = held(case, view).or_else(|| lacks_trust(case, copy, view));
    let (path, of) = (copy.storage.certificate_path(), case.wanted.storage.certificate_path());
    let note = |held| {
        let held = Box::new(held);
        Finding::note(Reason::CopyOutdated { path: path.to_owned(), of: of.to_owned(), held })
    };
    held.map(note).into_iter().collect()
}

/// What a place holds instead of the main place's certificate and key; none while the main place itself has none.
fn held(case: &IdentityCase<'_>, view: &IdentityView) -> Option<CopyHeld> {
    let main = case.view.certificate.as_ref()?;
    if let Some(problem) = view.reasons.first() {
        return Some(CopyHeld::Nothing { problem: problem.to_string() });
    }
    let found = view.certificate.as_ref()?;
    if found == main && view.chain != case.view.chain {
        let all = |chain: &[Certificate]| fingerprints(&[std::slice::from_ref(main), chain].concat());
        return Some(CopyHeld::Bundle { found: all(&view.chain), wanted: all(&case.view.chain) });
    }
    if found != main {
        return Some(CopyHeld::Certificate {
            found: *found.fingerprint(),
            not_after: found.facts().not_after,
            wanted: *main.fingerprint(),
        });
    }
    (view.key != Some(main.facts().key.spki_sha256)).then_some(CopyHeld::Key)
}

/// A kubeconfig that names a file of CA certificates trusts what is in that file, and is not judged.
fn lacks_trust(case: &IdentityCase<'_>, copy: &DesiredCopy, view: &IdentityView) -> Option<CopyHeld> {
    let Storage::Kubeconfig { .. } = copy.storage else { return None };
    let authority = case.authority?.view;
    let (trusted, signer) = (view.trusted.as_ref()?, authority.signer()?);
    (!trusted.contains(signer)).then(|| CopyHeld::Trust { lacks: *signer.fingerprint() })
}

/// The findings about the further files of an authority on one node.
pub(super) fn of_authority(case: &AuthorityCase<'_>, hidden: &Hidden<'_>) -> Vec<Finding> {
    let main = pem(case.facts, &case.copy.certificate.path).ok().map(|pem| pem.certificates.as_slice());
    let main = main.filter(|certificates| !certificates.is_empty());
    let of = &case.copy.certificate.path;
    let mut findings = Vec::new();
    for file in case.copy.copies.values() {
        if let Some(hidden) = hidden(&[&file.path]) {
            findings.extend(hidden);
            continue;
        }
        let path = file.path.clone();
        let differs = |held| Reason::CopyDiffers { path: path.clone(), of: of.clone(), held: Box::new(held) };
        let nothing = |reason: &Reason| differs(CopyHeld::Nothing { problem: reason.to_string() });
        let reason = match (pem(case.facts, &file.path), main) {
            (Err(Reason::Missing), _) => Some(Reason::CopyMissing { path: path.clone() }),
            (Err(unknown @ Reason::Unknown { .. }), _) => Some(unknown),
            (Err(reason), _) => Some(nothing(&reason)),
            (Ok(_), None) => None,
            (Ok(held), Some(main)) => match pem_reasons(held, &file.path).first() {
                Some(reason) => Some(nothing(reason)),
                None if held.certificates != main => Some(differs(CopyHeld::Bundle {
                    found: fingerprints(&held.certificates),
                    wanted: fingerprints(main),
                })),
                None => None,
            },
        };
        findings.extend(reason.map(Finding::due_unless_unknown));
        findings.extend(files::findings(file, case.facts));
    }
    findings
}

fn fingerprints(certificates: &[Certificate]) -> Vec<Sha256> {
    certificates.iter().map(|certificate| *certificate.fingerprint()).collect()
}
