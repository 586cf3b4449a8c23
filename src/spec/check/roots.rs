//! Checks of the certificates that `source` names. The contents come from whoever reads files; nothing is opened here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Checker;
use crate::diagnostic::{Code, Diagnostic, Place, quoted};
use crate::spec::custom_root;
use crate::spec::custom_root::{CertificateFile, CustomRoot};
use crate::types::names::AuthorityName;

/// Judges the certificate of every custom root, and keeps those that can be used.
pub(super) fn custom_roots(
    checker: &mut Checker<'_>,
    certificate_file: &dyn Fn(&str) -> CertificateFile,
) -> BTreeMap<AuthorityName, CustomRoot> {
    let spec = checker.spec;
    let mut roots = BTreeMap::new();
    let longest = longest(checker);
    let told: BTreeSet<Place> = checker.problems.iter().filter_map(Diagnostic::place).cloned().collect();
    for (name, authority) in &spec.authorities {
        let Some(path) = authority.source.as_ref().and_then(|source| source.certificate.as_deref()) else {
            continue;
        };
        let field = ["authorities", name.as_str(), "source", "certificate"];
        let place = checker.place(&field);
        // A path that is wrong in itself is told as that, and nobody is asked for it.
        if told.contains(&place)
            || authority.external
            || !super::is_readable(path)
            || !checker.is_intact(&field)
        {
            continue;
        }
        let longest = longest.get(name.as_str()).copied();
        let case = Case { checker, longest, field };
        let Some(certificate) = case.judge(path, certificate_file(path)) else { continue };
        if let Some(key) = authority.source.as_ref().and_then(|source| source.key.clone()) {
            roots.insert(
                name.clone(),
                CustomRoot { certificate_path: path.to_owned(), key_path: key, certificate },
            );
        }
    }
    roots
}

struct Case<'a, 'spec> {
    checker: &'a mut Checker<'spec>,
    /// The last certificate to end of those that it would issue now.
    longest: Option<(&'a str, Timestamp)>,
    field: [&'a str; 4],
}

impl Case<'_, '_> {
    /// The certificate, or that it may not be read; nothing after an error.
    fn judge(self, path: &str, file: CertificateFile) -> Option<Option<crate::x509::Certificate>> {
        let path = quoted(path);
        match file {
            CertificateFile::Content(content) => match custom_root::read(content.reveal()) {
                Ok(certificate) => {
                    if let Some(fault) =
                        custom_root::period_fault(&certificate, self.checker.now, self.longest)
                    {
                        self.report(fault.code, &format!("{path}: {}", fault.message), fault.help);
                    }
                    return Some(Some(certificate));
                }
                Err(faults) => {
                    let Self { checker, field, .. } = self;
                    for fault in faults {
                        checker.report(
                            fault.code,
                            &field,
                            &format!("{path}: {}", fault.message),
                            "this file",
                            fault.help,
                        );
                    }
                }
            },
            CertificateFile::Denied => {
                self.report(
                    Code::RootDenied,
                    &format!("{path} may not be read by the user who runs pki"),
                    "let this user read the certificate, which is no secret; a plan is blocked until it was read, and nothing needs the key before apply",
                );
                return Some(None);
            }
            CertificateFile::Missing => self.report(
                Code::RootUnreadable,
                &format!("there is no file {path}"),
                "write an absolute path, or one that counts from the folder of this spec",
            ),
            CertificateFile::NoFolder => self.report(
                Code::RootUnreadable,
                &format!(
                    "{path} is relative, and this spec came from standard input, which lies in no folder"
                ),
                "write an absolute path, or name the spec as a file",
            ),
            CertificateFile::Unusable { reason } => self.report(
                Code::RootUnreadable,
                &format!("{path} {reason}"),
                "name a file that holds the root's certificate as PEM",
            ),
        }
        None
    }

    fn report(self, code: Code, message: &str, help: &str) {
        self.checker.report(code, &self.field, message, "this file", help);
    }
}

/// Of each authority the latest end of what it would issue now, with its name; of two that end together the first.
fn longest<'spec>(checker: &Checker<'spec>) -> BTreeMap<&'spec str, (&'spec str, Timestamp)> {
    let spec = checker.spec;
    let declared = spec.certificates.iter().filter_map(|(name, certificate)| {
        certificate.authority.as_ref().map(|authority| (authority.as_str(), name.as_str()))
    });
    let known = checker.known.map(|known| &known.certificates).into_iter().flatten();
    let known = known.filter(|(name, issuer)| {
        let own = spec.certificates.get(name.as_str()).and_then(|own| own.authority.as_ref());
        own.is_none_or(|own| own.as_str() == issuer.as_str())
    });
    let mut longest: BTreeMap<&str, (&str, Timestamp)> = BTreeMap::new();
    for (authority, name) in declared.chain(known.map(|(name, issuer)| (issuer.as_str(), name.as_str()))) {
        let own = spec.certificates.get(name).and_then(|certificate| certificate.validity);
        let end = own.unwrap_or(spec.defaults.validity).after(checker.now);
        let last = longest.entry(authority).or_insert((name, end));
        if end > last.1 || end == last.1 && name < last.0 {
            *last = (name, end);
        }
    }
    longest
}
