//! What the bytes of a file are, and whether their hash may be shown.
//!
//! What enters is bytes and what was expected of them; what leaves is facts without secrets. Pure.

use crate::formats::etcd_configuration::EtcdConfiguration;
use crate::formats::kubeconfig::KubeconfigFacts;
use crate::formats::kubelet::KubeletFacts;
use crate::formats::manifest::ManifestFacts;
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
        // It may hold the token of its cluster.
        Expect::EtcdConfiguration => (Content::EtcdConfiguration(EtcdConfiguration::read(bytes)), None),
        Expect::Text if contains(bytes, b"-----BEGIN") => {
            let facts = PemFacts::read(bytes);
            let digest = digest_if(!facts.may_hold_keys());
            (Content::Pem(facts), digest)
        }
        // Keys in DER are no text.
        Expect::Text => (Content::Opaque, digest_if(str::from_utf8(bytes).is_ok())),
        Expect::Directory | Expect::StaticPods | Expect::Link => (Content::NotRead, None),
    }
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

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
