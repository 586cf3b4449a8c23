//! The files that other files name, and how many of them an answer may hold.
//!
//! What enters is the content of a file; what leaves is the paths that it names, as a node looks at them besides what was asked for. Both ends go by it: the node
//! that answers, and the controller that takes nothing else. Pure.

use super::facts::{Content, Expect};
use crate::formats::kubeconfig::Field;
use crate::formats::manifest::FileUse;
use crate::formats::node_path::{beside, tidy};

/// Most names that are listed of one directory.
pub(crate) const LIST_LIMIT: usize = 4096;
/// Most paths looked at because other files name them: many times what any cluster has, and little enough for a hostile node.
pub(crate) const NAMED_LIMIT: usize = 512;

/// The files that the content of the file at `path`, which was looked at for what was expected there, names: as absolute node paths.
pub(crate) fn named_files(path: &str, expected_there: Expect, content: &Content) -> Vec<(String, Expect)> {
    match content {
        // All but hidden ones (kubelet config/file_linux.go and file.go `listConfig`, all versions).
        Content::Directory { entries, .. } if expected_there == Expect::StaticPods => {
            let shown = entries.iter().filter(|name| !name.starts_with('.'));
            shown.map(|name| (tidy(&format!("{path}/{name}")), Expect::Manifest)).collect()
        }
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
                (&facts.static_pod_path, Expect::StaticPods),
            ];
            files
                .into_iter()
                .filter_map(|(named, expect)| Some((beside(path, named.as_ref()?), expect)))
                .collect()
        }
        Content::Empty
        | Content::Pem(_)
        | Content::EtcdConfiguration(_)
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
        FileUse::EtcdConfiguration => Expect::EtcdConfiguration,
    }
}

fn expected_by(field: Field) -> Expect {
    match field {
        Field::CertificateAuthority | Field::ClientCertificate => Expect::Certificates,
        Field::ClientKey => Expect::PrivateKey,
    }
}
