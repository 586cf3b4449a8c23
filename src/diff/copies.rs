//! The checks of further places: files that hold the same as the main place on the same node.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::DesiredCopy;
use crate::diagnostic::escaped;
use crate::profile::Keep;
use crate::types::storage::Storage;
use crate::x509::{Certificate, Sha256};

use super::authority::AuthorityCase;
use super::identity::IdentityCase;
use super::view::{pem, pem_reasons, storage_view};
use super::{Finding, IdentityView, Reason, files};
use crate::types::format::date;

/// What a further place holds that it should not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CopyHeld {
    /// Another certificate.
    Certificate {
        /// The certificate in it.
        found: Sha256,
        /// When that one ends.
        not_after: Timestamp,
        /// The certificate of the main place.
        wanted: Sha256,
    },
    /// The right certificate with another private key.
    Key,
    /// A kubeconfig that does not trust the CA certificate in use.
    Trust {
        /// That CA certificate.
        lacks: Sha256,
    },
    /// Other certificates besides the first one, or the same in another order.
    Bundle {
        /// Those in it.
        found: Vec<Sha256>,
        /// Those of the main place.
        wanted: Vec<Sha256>,
    },
    /// Nothing that could be used.
    Nothing {
        /// Why.
        problem: String,
    },
    /// The same, until the plan at hand renews the main place.
    Former {
        /// When it ends.
        not_after: Timestamp,
    },
}

impl CopyHeld {
    /// That the file at `path` is no copy of the one at `of`, as one clause.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, path: &str, of: &str) -> fmt::Result {
        let (path, of) = (escaped(path), escaped(of));
        match self {
            CopyHeld::Certificate { found, not_after, wanted } => write!(
                f,
                "{path} holds another certificate than {of}: {} (ends {}), not {}",
                found.short(),
                date(*not_after),
                wanted.short()
            ),
            CopyHeld::Key => write!(f, "{path} holds another private key than belongs to {of}"),
            CopyHeld::Trust { lacks } => {
                write!(f, "{path} does not trust {}, the CA certificate in use", lacks.short())
            }
            CopyHeld::Bundle { found, wanted } => {
                write!(f, "{path} holds other certificates than {of}: {}, not {}", list(found), list(wanted))
            }
            CopyHeld::Nothing { problem } => write!(f, "{path} is no copy of {of}: {}", escaped(problem)),
            CopyHeld::Former { not_after } => {
                write!(f, "{path} holds what {of} held, which ends {}", date(*not_after))
            }
        }
    }

    /// The same of a person's own copy, with what that person has to do.
    pub(super) fn write_outdated(&self, f: &mut fmt::Formatter<'_>, path: &str, of: &str) -> fmt::Result {
        match self {
            CopyHeld::Certificate { not_after, .. } => {
                write!(f, "{} still holds the certificate that ends {}; ", escaped(path), date(*not_after))?;
            }
            CopyHeld::Former { not_after } => write!(
                f,
                "{} is not written by this plan and keeps the certificate that ends {}; afterwards ",
                escaped(path),
                date(*not_after)
            )?,
            CopyHeld::Key | CopyHeld::Trust { .. } | CopyHeld::Bundle { .. } | CopyHeld::Nothing { .. } => {
                self.write(f, path, of)?;
                f.write_str("; ")?;
            }
        }
        write!(f, "copy {} over it", escaped(of))
    }
}

fn list(fingerprints: &[Sha256]) -> String {
    fingerprints.iter().map(|fingerprint| fingerprint.short()).collect::<Vec<_>>().join(", ")
}

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
    let view = storage_view(&copy.storage, case.facts);
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
