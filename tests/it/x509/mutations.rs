//! Damaged certificates, keys and PEM files: nothing panics, and no block of a file is lost without being named.

use std::sync::LazyLock;

use pki::x509::chain::{Purpose, verify};
use pki::x509::pem::{PemProblem, read};
use pki::x509::{Certificate, PrivateKey};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::openssl::{CA, Openssl, P256, Recipe};

struct Samples {
    certificates: Vec<Certificate>,
    keys: Vec<Vec<u8>>,
    file: Vec<u8>,
}

static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let openssl = Openssl::new();
    let extensions = format!(
        "{CA}nameConstraints=permitted;DNS:x.y,excluded;IP:10.0.0.0/255.0.0.0\nsubjectAltName=DNS:a.x.y,URI:http://b.x.y\n"
    );
    let root = openssl.issue(
        "root",
        None,
        &Recipe { subject: "O=a\n+OU=b\nCN=c", extensions: &extensions, ..Recipe::default() },
    );
    let leaf = openssl.issue("leaf", Some("root"), &Recipe { extensions: &extensions, ..Recipe::default() });
    let rsa: &[&str] = &["-algorithm", "RSA"];
    let keys = [P256, rsa, &["-algorithm", "ED25519"]]
        .map(|arguments| openssl.run(&[&["genpkey", "-outform", "DER"], arguments].concat()));
    let file = [
        openssl.read("leaf.crt"),
        openssl.read("root.crt"),
        openssl.read("leaf.key"),
        openssl.read("leaf.csr"),
    ]
    .concat();
    Samples { certificates: vec![root, leaf], keys: keys.to_vec(), file }
});

/// One to three places where a byte is replaced, put in or taken out.
fn damage() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    prop::collection::vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..4)
}

fn apply(bytes: &[u8], damage: &[(Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, value, kind) in damage {
        let place = place.index(bytes.len().max(1));
        match kind {
            0 if place < bytes.len() => bytes[place] = *value,
            1 if place < bytes.len() => drop(bytes.remove(place)),
            _ => bytes.insert(place.min(bytes.len()), *value),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(crate::support::seeds::cases(2000))]

    #[test]
    fn damaged_certificates_are_read_or_refused(which in any::<Index>(), damage in damage()) {
        let certificates = &SAMPLES.certificates;
        let whole = which.get(certificates);
        if let Ok(certificate) = Certificate::from_der(&apply(whole.der(), &damage)) {
            let facts = certificate.facts();
            let shown = format!("{facts:?} {} {}", facts.subject, facts.serial);
            prop_assert!(!shown.chars().any(char::is_control), "{}", shown);
            let now = whole.facts().not_before;
            let verdict = verify(&certificate, certificates, certificates, now, &Purpose::Any);
            prop_assert!(verdict.is_err() || certificates.contains(&certificate), "a damaged certificate verified");
        }
    }

    #[test]
    fn damaged_keys_are_read_or_refused(which in any::<Index>(), damage in damage()) {
        if let Ok(key) = PrivateKey::from_der(&apply(which.get::<Vec<u8>>(&SAMPLES.keys), &damage)) {
            prop_assert!(!key.public_key().spki_der().is_empty());
        }
    }

    #[test]
    fn no_block_of_a_damaged_file_is_lost_silently(damage in damage()) {
        let file = apply(&SAMPLES.file, &damage);
        let marker = b"-----BEGIN";
        let markers = file.windows(marker.len()).filter(|window| window == marker).count();
        let reading = read(&file);
        let lost = reading.problems.iter().filter(|problem| problem.loses_block()).count();
        prop_assert_eq!(markers, reading.items.len() + lost);
    }

    #[test]
    fn any_bytes_are_a_file(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let reading = read(&bytes);
        prop_assert!(!reading.problems.is_empty() || !reading.items.is_empty());
        prop_assert_eq!(bytes.is_empty(), reading.problems == [PemProblem::Empty]);
    }
}
