//! Checks of the CA certificates that a spec names by fingerprint: those that must go, and those that are trusted beside an authority's own.

use std::collections::BTreeMap;

use super::Checker;
use super::values::forms;
use crate::diagnostic::{Code, quoted};
use crate::spec::authority::Authority;
use crate::spec::custom_root::CustomRoot;
use crate::types::names::AuthorityName;

/// A field that names CA certificates, and what a reason in it is for.
struct Field {
    name: &'static str,
    named: fn(&Authority) -> &BTreeMap<String, String>,
    reason: &'static str,
}

const FIELDS: [Field; 2] = [
    Field {
        name: "distrust",
        named: |authority| &authority.distrust,
        reason: "say why this CA must go, such as \"INC-2291, key exposed\"; plans repeat it",
    },
    Field {
        name: "alsoTrusts",
        named: |authority| &authority.also_trusts,
        reason: "say whose CA it is and why it is trusted, such as \"the company's CA for users, SEC-12\"; plans repeat it",
    },
];

/// A fingerprint that names no certificate, or comes without a reason.
pub(super) fn invalid_fingerprint(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (name, authority) in &spec.authorities {
        for field in &FIELDS {
            for (fingerprint, reason) in (field.named)(authority) {
                let path = ["authorities", name.as_str(), field.name, fingerprint.as_str()];
                if !forms::is_fingerprint(fingerprint) {
                    checker.report_key(
                        Code::InvalidFingerprint,
                        &path,
                        &format!("{} is not a SHA-256 fingerprint", quoted(fingerprint)),
                        "this fingerprint",
                        "write `sha256:` and 64 lower-case hexadecimal digits without colons, as `pki status` shows them",
                    );
                }
                if reason.trim().is_empty() {
                    checker.report_key(
                        Code::InvalidFingerprint,
                        &path,
                        "the reason is empty",
                        "has no reason",
                        field.reason,
                    );
                }
            }
        }
    }
}

/// A CA that must go and is to be trusted all the same.
pub(super) fn distrusted_and_trusted(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (name, authority) in &spec.authorities {
        for fingerprint in authority.also_trusts.keys().filter(|own| authority.distrust.contains_key(*own)) {
            let of = |field| ["authorities", name.as_str(), field, fingerprint.as_str()];
            checker.report_with(
                Code::Contradiction,
                &of("alsoTrusts"),
                "a CA that is distrusted cannot be trusted beside the authority's own",
                "this CA",
                "remove it from `alsoTrusts` to have it dropped, or from `distrust` to keep it",
                vec![(of("distrust").to_vec(), "distrusted".to_owned())],
            );
        }
    }
}

/// The custom root of an authority is trusted anyway, and must not be distrusted at the same time.
pub(super) fn names_custom_root(checker: &mut Checker<'_>, roots: &BTreeMap<AuthorityName, CustomRoot>) {
    let spec = checker.spec;
    for (name, authority) in &spec.authorities {
        let Some(root) = roots.get(name).and_then(|root| root.certificate.as_ref()) else { continue };
        let fingerprint = format!("sha256:{}", root.fingerprint());
        for field in FIELDS.iter().filter(|field| (field.named)(authority).contains_key(&fingerprint)) {
            let of = |field| ["authorities", name.as_str(), field];
            checker.report_with(
                Code::Contradiction,
                &[of(field.name).as_slice(), &[fingerprint.as_str()]].concat(),
                "this is the root CA that `source` names",
                "this CA",
                "remove it here, or name another root in `source`",
                vec![(of("source").to_vec(), "the root of this authority".to_owned())],
            );
        }
    }
}
