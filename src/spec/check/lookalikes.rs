//! Names that a reviewer would take for privileged ones.

use super::Checker;
use crate::diagnostic::Code;
use crate::types::lookalike::{resembles, spelled};

/// A user, group or DNS name that reads as one to which Kubernetes or etcd gives rights, and is another.
pub(super) fn look_alike(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let mut paths: Vec<Vec<&str>> = Vec::new();
    for name in spec.certificates.keys() {
        let fields: [&[&str]; 4] = [
            &["subject", "commonName"],
            &["subject", "organizations"],
            &["names", "dns"],
            &["names", "only", "dns"],
        ];
        paths.extend(fields.map(|field| [&["certificates", name.as_str()], field].concat()));
    }
    for name in spec.authorities.keys() {
        let fields = [["subject", "commonName"], ["subject", "organizations"]];
        paths.extend(fields.map(|field| [&["authorities", name.as_str()][..], &field].concat()));
    }
    for (path, text) in paths.iter().flat_map(|path| checker.texts(path)).collect::<Vec<_>>() {
        let Some(privileged) = resembles(&text) else { continue };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        checker.report(
            Code::LookAlike,
            &path,
            &format!("`{}` reads as `{privileged}` and is another name", spelled(&text)),
            "this name",
            "write the name that is meant in letters that nobody can take for others",
        );
    }
}
