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

/// CAs made by openssl: a root, an intermediate under it, one under that, and a root that allows none below it with an intermediate all the same.
fn cas() -> impl Fn(&[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        set -e
        ca() { # NAME PATH-LENGTH [ISSUER]
            printf 'basicConstraints=critical,CA:TRUE%s\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n' "$2" >$1.ext
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout $1.key -subj /CN=$1 -out $1.csr
            if [ -n "$3" ]; then by="-CA $3.crt -CAkey $3.key -CAcreateserial"; else by="-key $1.key"; fi
            openssl x509 -req -in $1.csr $by -days 3650 -extfile $1.ext -out $1.crt
        }
        ca root ''; ca under ',pathlen:1' root; ca below ',pathlen:0' under
        ca narrow ',pathlen:0'; ca too-deep '' narrow
    "#;
    let made = Command::new("sh").args(["-c", script]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    move |names: &[&str]| {
        let file = |name: &&str| std::fs::read(folder.path().join(format!("{name}.crt"))).unwrap();
        names.iter().flat_map(file).collect()
    }
}

#[test]
fn an_intermediate_is_taken_with_everything_above_it_and_not_otherwise() {
    let file = cas();
    for taken in [&["root"][..], &["under", "root"], &["below", "under", "root"]] {
        let certificate = read(&file(taken)).unwrap();
        assert_eq!(certificate.facts().subject.common_name(), Some(taken[0]));
    }
    for (refused, because) in [
        (&["under"][..], "CN=under was issued by CN=root, so it is no root"),
        (&["below", "under"], "the last certificate, CN=under, was issued by CN=root, so it is no root"),
        (&["below", "root"], "its issuer CN=under is neither among the roots nor among the intermediates"),
        (&["below", "root", "under"], "the last certificate, CN=under, was issued by CN=root"),
        (&["under", "below", "root"], "the certificates are not each issued by the next one"),
        (&["under", "narrow"], "its issuer CN=root is neither among the roots"),
        (&["too-deep", "narrow"], "CN=narrow allows fewer than 1 CAs below it"),
        (&["root", "under"], "the file holds 2 certificates, and a root is one"),
    ] {
        let faults = read(&file(refused)).unwrap_err();
        assert!(faults.len() == 1 && faults[0].message.contains(because), "{refused:?}: {faults:?}");
    }
}
