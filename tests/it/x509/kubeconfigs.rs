//! Kubeconfigs that kubeadm 1.20.2 wrote, edited: nothing but the base64 of the intended fields differs.
#![expect(clippy::disallowed_methods, reason = "the tests unpack real files")]

use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use pki::formats::kubeconfig::edit::{NewIdentity, with_identity, with_trusted};
use pki::types::certificate::{NewKeyAlgorithm, SubjectName};
use pki::types::non_empty::NonEmpty;
use pki::types::secret::Secret;
use pki::x509::issue::{RootRequest, issue_root};
use pki::x509::{PrivateKey, SerialNumber};

fn lines_that_differ<'a>(old: &'a str, new: &'a str) -> Vec<&'a str> {
    assert_eq!(old.lines().count(), new.lines().count());
    assert_eq!(old.ends_with('\n'), new.ends_with('\n'));
    let pairs = old.lines().zip(new.lines()).filter(|(old, new)| old != new);
    pairs
        .map(|(old, new)| {
            let (old_name, new_name) = (old.split(':').next().unwrap(), new.split(':').next().unwrap());
            assert_eq!(old_name, new_name);
            old_name.trim()
        })
        .collect()
}

#[test]
fn only_the_intended_lines_of_real_kubeconfigs_change() {
    let directory = tempfile::tempdir().unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kubeadm-v1.20.2.tar");
    let status =
        Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(directory.path()).status().unwrap();
    assert!(status.success());
    let key = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap();
    let request = RootRequest {
        subject: SubjectName { common_name: "new".into(), organizations: Vec::new() },
        serial: SerialNumber::random().unwrap(),
        not_before: "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap(),
        not_after: "2027-01-01T00:00:00Z".parse::<Timestamp>().unwrap(),
    };
    let certificates = [issue_root(&request, &key).unwrap()];
    let key_pem = Secret::from(key.to_pem().unwrap());
    for name in ["admin", "controller-manager", "kubelet", "scheduler"] {
        let path = directory.path().join("cp-1/etc/kubernetes").join(format!("{name}.conf"));
        let original = std::fs::read_to_string(path).unwrap();
        for text in [original.clone(), commented(&original)] {
            let identity =
                NewIdentity { certificates: &certificates, key: &key, key_pem: &key_pem, trusted: None };
            let edited = with_identity(text.as_bytes(), &identity).unwrap();
            let edited = std::str::from_utf8(edited.reveal()).unwrap();
            assert_eq!(
                lines_that_differ(&text, edited),
                ["client-certificate-data", "client-key-data"],
                "{name}"
            );
            let trusting = with_trusted(text.as_bytes(), &NonEmpty::one(certificates[0].clone())).unwrap();
            let trusting = std::str::from_utf8(trusting.reveal()).unwrap();
            assert_eq!(lines_that_differ(&text, trusting), ["certificate-authority-data"], "{name}");
        }
    }
}

/// The same file as a person leaves it: comments at the ends of lines and between them, and empty lines.
fn commented(text: &str) -> String {
    let lines = text.lines().map(|line| format!("{line} # was here: yes\n\n# client-key-data: no\n"));
    format!("# ours\n---\n{}", lines.collect::<String>())
}
