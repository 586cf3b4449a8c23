//! The files that other files name, and how many of them an answer may hold.
//!
//! What enters is the content of a file; what leaves is the paths that it names, as a node looks at them besides what was asked for. Both ends go by it: the node
//! that answers, and the controller that takes nothing else. Pure.

use super::facts::{Content, Expect};
use crate::formats::kubeconfig::Field;
use crate::formats::manifest::FileUse;

/// Most names that are listed of one directory.
pub(crate) const LIST_LIMIT: usize = 4096;
/// Most paths looked at because other files name them: many times what any cluster has, and little enough for a hostile node.
pub(crate) const NAMED_LIMIT: usize = 512;

/// The files that the content of the file at `path` names, as absolute node paths.
pub(crate) fn named_files(path: &str, content: &Content) -> Vec<(String, Expect)> {
    match content {
        Content::Manifest(facts) => {
            facts.named_files().into_iter().map(|file| (tidy(&file.path), expected(file.usage))).collect()
        }
        Content::Kubeconfig(facts) => {
            let files = facts.named_files().into_iter();
            files.map(|(field, named)| (beside(path, named), expected_by(field))).collect()
        }
        Content::Kubelet(facts) => {
            let files = [
                (&facts.client_ca_file, Expect::Certificates),
                (&facts.tls_cert_file, Expect::Certificates),
                (&facts.tls_private_key_file, Expect::PrivateKey),
            ];
            files
                .into_iter()
                .filter_map(|(named, expect)| Some((beside(path, named.as_ref()?), expect)))
                .collect()
        }
        Content::Empty
        | Content::Pem(_)
        | Content::Directory { .. }
        | Content::Opaque
        | Content::NotRead
        | Content::Unreadable { .. } => Vec::new(),
    }
}

fn expected(usage: FileUse) -> Expect {
    match usage {
        FileUse::Certificates | FileUse::Trust => Expect::Certificates,
        FileUse::PrivateKey => Expect::PrivateKey,
        FileUse::PublicKeys => Expect::PublicKey,
        FileUse::Kubeconfig => Expect::Kubeconfig,
    }
}

fn expected_by(field: Field) -> Expect {
    match field {
        Field::CertificateAuthority | Field::ClientCertificate => Expect::Certificates,
        Field::ClientKey => Expect::PrivateKey,
    }
}

/// An absolute path as it is, a relative one against the directory of the file that names it. Kubernetes does this by the letters of
/// the paths, before any link (client-go `ResolveLocalPaths`, kubelet `resolveRelativePaths`), so `..` is taken out the same way.
fn beside(path: &str, named: &str) -> String {
    if named.starts_with('/') {
        return tidy(named);
    }
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut names = Vec::new();
    for name in directory.split('/').chain(named.split('/')) {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// The same path without doubled slashes and `.`, so that one file has one name.
fn tidy(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    format!("/{}", names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_taken_from_the_directory_of_the_file_that_names_them() {
        assert_eq!(beside("/etc/kubernetes/admin.conf", "pki/ca.crt"), "/etc/kubernetes/pki/ca.crt");
        assert_eq!(beside("/etc/kubernetes/admin.conf", "../ca.crt"), "/etc/ca.crt");
        assert_eq!(beside("/admin.conf", "../../ca.crt"), "/ca.crt");
        assert_eq!(beside("/etc/admin.conf", "/abs//./ca.crt"), "/abs/ca.crt");
    }
}
