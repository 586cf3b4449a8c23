//! Checks of the certificates that `source` names. The contents come from whoever reads files; nothing is opened here.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Checker;
use crate::diagnostic::{Code, quoted};
use crate::ids::AuthorityName;
use crate::own_root::{self, CertificateFile, OwnRoot};
use crate::spec::types::Spec;

/// Judges the certificate of every own root, and keeps those that can be used.
pub(super) fn own_roots(
    checker: &mut Checker<'_>,
    certificate_file: &dyn Fn(&str) -> CertificateFile,
) -> BTreeMap<AuthorityName, OwnRoot> {
    let spec = checker.spec;
    let mut roots = BTreeMap::new();
    for (name, authority) in &spec.authorities {
        let Some(path) = authority.source.as_ref().and_then(|source| source.certificate.as_deref()) else {
            continue;
        };
        let field = ["authorities", name.as_str(), "source", "certificate"];
        let place = checker.place(&field);
        // A path that is wrong in itself is told as that, and nobody is asked for it.
        let is_told = checker.problems.iter().any(|problem| problem.place() == Some(&place));
        if is_told || authority.external || !super::is_readable(path) || !checker.is_intact(&field) {
            continue;
        }
        let case = Case { checker, name, field };
        let Some(certificate) = case.judge(path, certificate_file(path)) else { continue };
        if let Some(key) = authority.source.as_ref().and_then(|source| source.key.clone()) {
            roots.insert(
                name.clone(),
                OwnRoot { certificate_path: path.to_owned(), key_path: key, certificate },
            );
        }
    }
    roots
}

struct Case<'a, 'spec> {
    checker: &'a mut Checker<'spec>,
    name: &'a AuthorityName,
    field: [&'a str; 4],
}

impl Case<'_, '_> {
    /// The certificate, or that it may not be read; nothing after an error.
    fn judge(self, path: &str, file: CertificateFile) -> Option<Option<crate::x509::Certificate>> {
        let path = quoted(path);
        match file {
            CertificateFile::Content(content) => match own_root::read(content.reveal()) {
                Ok(certificate) => {
                    let longest = longest(self.checker, self.name);
                    let longest = longest.as_ref().map(|(name, end)| (name.as_str(), *end));
                    if let Some(fault) = own_root::period_fault(&certificate, self.checker.now, longest) {
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

/// The latest end of what an authority would issue now, with its name.
fn longest(checker: &Checker<'_>, authority: &AuthorityName) -> Option<(String, Timestamp)> {
    let spec: &Spec = checker.spec;
    let declared =
        spec.certificates.iter().filter(|(_, certificate)| certificate.authority.as_ref() == Some(authority));
    let declared = declared.map(|(name, _)| name.as_str());
    let known = checker.known.map(|known| &known.certificates).into_iter().flatten();
    let known = known.filter(|(name, issuer)| {
        let elsewhere = spec.certificates.iter().any(|(own, certificate)| {
            own.as_str() == name.as_str()
                && certificate.authority.as_ref().is_some_and(|own| own != authority)
        });
        issuer.as_str() == authority.as_str() && !elsewhere
    });
    let names = declared.chain(known.map(|(name, _)| name.as_str()));
    let ends = names.map(|name| {
        let own = spec.certificates.iter().find(|(own, _)| own.as_str() == name);
        let validity =
            own.and_then(|(_, certificate)| certificate.validity).unwrap_or(spec.defaults.validity);
        (validity.after(checker.now), name)
    });
    ends.max_by(|left, right| (left.0, right.1).cmp(&(right.0, left.1)))
        .map(|(end, name)| (name.to_owned(), end))
}
