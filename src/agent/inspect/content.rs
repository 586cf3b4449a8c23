//! What the bytes of a file are, and whether their hash may be shown.
//!
//! What enters is bytes and what was expected of them; what leaves is facts without secrets, and the paths of further files that
//! they name. Pure.

use crate::formats::kubeconfig::{Field, KubeconfigFacts};
use crate::formats::kubelet::KubeletFacts;
use crate::formats::manifest::{FileUse, ManifestFacts};
use crate::formats::pem_facts::PemFacts;
use crate::protocol::facts::{Content, Expect};
use crate::x509::Sha256;

/// Reads bytes as what is expected. The digest is there only when it gives no secret away.
pub(crate) fn classify(bytes: &[u8], expect: Expect) -> (Content, Option<Sha256>) {
    if bytes.is_empty() {
        return (Content::Empty, None);
    }
    let digest_if = |open: bool| open.then(|| Sha256::of(bytes));
    match expect {
        Expect::Certificates | Expect::PublicKey => {
            let facts = PemFacts::read(bytes);
            let digest = digest_if(!facts.may_hold_keys());
            (Content::Pem(facts), digest)
        }
        Expect::PrivateKey | Expect::Pair => (Content::Pem(PemFacts::read(bytes)), None),
        Expect::Kubeconfig => {
            let facts = KubeconfigFacts::read(bytes);
            let digest = digest_if(!facts.holds_secrets());
            (Content::Kubeconfig(facts), digest)
        }
        Expect::Manifest => {
            let facts = ManifestFacts::read(bytes);
            let digest = digest_if(facts.problems.is_empty() && !facts.withholds);
            (Content::Manifest(facts), digest)
        }
        Expect::KubeletConfiguration => (Content::Kubelet(KubeletFacts::read(bytes)), None),
        Expect::Text if contains(bytes, b"-----BEGIN") => {
            let facts = PemFacts::read(bytes);
            let digest = digest_if(!facts.may_hold_keys());
            (Content::Pem(facts), digest)
        }
        // Keys in DER are no text.
        Expect::Text => (Content::Opaque, digest_if(str::from_utf8(bytes).is_ok())),
        Expect::Directory | Expect::Link => (Content::NotRead, None),
    }
}

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

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
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

    #[test]
    fn a_digest_is_shown_only_of_what_is_known_to_hold_no_secret() {
        let digest = |bytes: &[u8], expect| classify(bytes, expect).1.is_some();
        let certificate_that_is_none = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(
            !digest(certificate_that_is_none, Expect::Certificates),
            "a block that cannot be read may be anything"
        );
        assert!(!digest(b"hunter2", Expect::Certificates));
        assert!(!digest(
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
            Expect::Text
        ));
        assert!(!digest(b"\x30\x82\x04\xa4\x02\x01\x00", Expect::Text), "it may be a key in DER");
        assert!(digest(b"[Service]\nExecStart=/usr/bin/etcd\n", Expect::Text));
        assert!(!digest(b"", Expect::PrivateKey));
        assert!(!digest(b"kind: Config\nusers: [{name: a, user: {token: hunter2}}]\n", Expect::Kubeconfig));
        assert!(!digest(
            b"kind: Config\nusers: [{name: a, user: {exec: {args: [hunter2]}}}]\n",
            Expect::Kubeconfig
        ));
        assert!(!digest(b"users: [hunter2", Expect::Kubeconfig));
        let by_files = b"kind: Config\nusers: [{name: a, user: {client-certificate: /c, client-key: /k}}]\n";
        assert!(digest(by_files, Expect::Kubeconfig));
        let pod = |env: &str, args: &str| {
            format!(
                "{{kind: Pod, spec: {{containers: [{{name: etcd, command: [etcd{args}], env: [{env}]}}]}}}}"
            )
        };
        assert!(digest(pod("", ", --name=m").as_bytes(), Expect::Manifest));
        assert!(digest(
            pod("{name: HTTP_PROXY, value: 'http://proxy:3128'}", "").as_bytes(),
            Expect::Manifest
        ));
        for (env, args) in [
            ("{name: HTTP_PROXY, value: 'http://u:hunter2@proxy:3128'}", ""),
            ("{name: ROOT_PASSWORD, value: hunter2}", ""),
            ("", ", --some-token=hunter2"),
        ] {
            assert!(!digest(pod(env, args).as_bytes(), Expect::Manifest), "{env} {args}");
        }
    }
}
