//! Keys of roots: what is taken, what is refused, and that a refusal tells nothing of the key.

use std::process::Command;

use super::*;

/// A self-signed root made by openssl, and the content of its key file.
fn root(key: &[&str]) -> (Certificate, Secret) {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [
        &[
            "req", "-x509", "-noenc", "-days", "3650", "-subj", "/CN=root", "-keyout", "ca.key", "-out",
            "ca.crt",
        ],
        key,
    ]
    .concat();
    let made = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read_file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    (read(&read_file("ca.crt")).unwrap(), Secret::new(read_file("ca.key")))
}

const P256: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn the_key_of_the_root_is_taken_and_written_as_kubeadm_writes_keys() {
    for (algorithm, label) in [(P256, "EC PRIVATE KEY"), (&["-newkey", "rsa:2048"], "RSA PRIVATE KEY")] {
        let (certificate, content) = root(algorithm);
        let key = RootKey::read(&certificate, &content).unwrap();
        assert_eq!(key.certificate(), certificate.fingerprint());
        let pem = key.to_pem().unwrap();
        assert!(pem.reveal().starts_with(format!("-----BEGIN {label}-----").as_bytes()));
        assert!(RootKey::read(&certificate, &pem).is_ok());
        assert!(format!("{key:?}").contains("redacted"));
    }
}

#[test]
fn anything_else_is_refused_without_a_word_of_the_file() {
    let (certificate, own) = root(P256);
    let (_, other) = root(P256);
    let refused = |content: &[u8]| RootKey::read(&certificate, &Secret::new(content.to_vec())).unwrap_err();
    assert!(matches!(refused(other.reveal()), RootKeyError::Mismatch { .. }));
    assert_eq!(refused(b"hunter2"), RootKeyError::NoKey);
    assert_eq!(refused(certificate.to_pem().as_bytes()), RootKeyError::NoKey);
    assert_eq!(refused(&[own.reveal(), other.reveal()].concat()), RootKeyError::Several);
    let label = "ENCRYPTED PRIVATE KEY";
    let encrypted = format!("-----BEGIN {label}-----\naGVsbG8=\n-----END {label}-----\n");
    assert_eq!(refused(encrypted.as_bytes()), RootKeyError::Encrypted);
}
