//! New roots, and old ones that are extended.

use pki::x509::issue::{IssueError, Refusal, extend};

use super::*;
use crate::support::openssl::{CA, Recipe};

#[test]
fn new_roots_are_those_of_kubeadm() {
    for algorithm in ALGORITHMS {
        let root = root("etcd-ca", &key(algorithm));
        assert!(openssl_verifies(&root, &root, None, true), "{algorithm}");
        let openssl = Openssl::new();
        openssl.write("root.crt", root.to_pem());
        let text = openssl.text(&["x509", "-noout", "-text", "-in", "root.crt"]);
        for expected in [
            "Issuer: CN = etcd-ca\n",
            "Subject: CN = etcd-ca\n",
            "Key Usage: critical\n                Digital Signature, Key Encipherment, Certificate Sign\n",
            "Basic Constraints: critical\n                CA:TRUE\n",
            "Subject Alternative Name: \n                DNS:etcd-ca\n",
            "Not After : Jan  1 00:00:00 2125 GMT\n",
        ] {
            assert!(text.contains(expected), "{expected}{text}");
        }
        assert_eq!(text.matches("X509v3 ").count(), 5, "{text}");
        assert!(openssl.text(&["asn1parse", "-in", "root.crt"]).contains("PRINTABLESTRING   :etcd-ca"));
    }
}

#[test]
fn the_key_identifier_is_the_one_that_openssl_computes() {
    let openssl = Openssl::new();
    let made = openssl.issue("ca", None, &Recipe::default());
    let ours = root("ca", &only_key(&openssl.read("ca.key")));
    assert_eq!(ours.facts().subject_key_id, made.facts().subject_key_id);
}

#[test]
fn a_root_of_any_name_and_number() {
    let openssl = Openssl::new();
    let p521 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
    openssl.issue("ca", None, &Recipe { key: &p521, ..Recipe::default() });
    let key = only_key(&openssl.read("ca.key"));
    for (organizations, shown) in [
        (vec![], "CN=Ωmega root"),
        (vec!["one"], "O=one, CN=Ωmega root"),
        (vec!["two", "one"], "O=one + O=two, CN=Ωmega root"),
    ] {
        let request = RootRequest {
            subject: subject("Ωmega root", &organizations),
            serial: SerialNumber::from_bytes(&[0x80, 0]).unwrap(),
            not_before: date("2025-01-01T00:00:00Z"),
            not_after: Timestamp::MAX,
        };
        let root = issue_root(&request, &key).unwrap();
        assert!(openssl_verifies(&root, &root, None, true));
        assert_eq!(root.facts().subject.to_string(), shown);
        assert!(root.facts().self_issued && root.facts().names.is_empty());
        assert_eq!(root.facts().serial.as_bytes(), [0, 0x80, 0]);
        assert_eq!(root.facts().not_after.to_string(), "9999-12-30T22:00:00Z");
    }
}

#[test]
fn an_extended_authority_keeps_every_leaf() {
    for recipe in [
        Recipe::default(),
        Recipe {
            subject: "0.DC=com\n1.DC=example\nOU=unit\n+CN=Zürich",
            mask: "MASK:0x4",
            ..Recipe::default()
        },
        Recipe { serial: "0", extensions: "basicConstraints=CA:TRUE\n", ..Recipe::default() },
    ] {
        let openssl = Openssl::new();
        let old = openssl.issue("ca", None, &recipe);
        let ca_key = only_key(&openssl.read("ca.key"));
        let leaf = leaf(&key(NewKeyAlgorithm::EcdsaP256), &old, &ca_key);
        let number = SerialNumber::random().unwrap();
        for serial in [None, Some(&number)] {
            let ends = date("2075-01-01T00:00:00Z");
            let new = extend(&old, &ca_key, old.facts().not_before, ends, serial).unwrap();
            let kept = serial.map_or(old.facts().serial.as_bytes(), SerialNumber::as_bytes);
            assert_eq!((new.facts().not_after, new.facts().serial.as_bytes()), (ends, kept));
            assert_eq!(new.facts().subject.der(), old.facts().subject.der());
            assert_eq!(new.facts().subject_key_id, old.facts().subject_key_id);
            assert_eq!(extensions(&new), extensions(&old));
            assert!(openssl_verifies(&new, &new, None, false));
            assert_accepted(&new, &leaf, false);
        }
    }
}

/// Everything in the DER from the public key to the signature.
fn extensions(certificate: &Certificate) -> Vec<u8> {
    let (der, spki) = (certificate.der(), certificate.facts().key.spki_der());
    let start = der.windows(spki.len()).position(|window| window == spki).unwrap();
    let signature_algorithm = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    let found = der[start..].windows(10).position(|window| window == signature_algorithm);
    der[start..start + found.unwrap()].to_vec()
}

#[test]
fn only_the_authority_itself_can_be_extended() {
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, &Recipe::default());
    let middle = openssl.issue("middle", Some("ca"), &Recipe { subject: "CN=middle", ..Recipe::default() });
    let cross = openssl.issue("cross", Some("ca"), &Recipe::default());
    let (starts, ends) = (ca.facts().not_before, date("2075-01-01T00:00:00Z"));
    for (name, certificate) in [("middle", middle), ("cross", cross)] {
        let key = only_key(&openssl.read(&format!("{name}.key")));
        let refusals = vec![Refusal::NotSelfSigned { subject: certificate.facts().subject.clone() }];
        assert_eq!(extend(&certificate, &key, starts, ends, None), Err(IssueError::Refused { refusals }));
    }
    let refusals = vec![
        Refusal::EmptyPeriod { not_before: ends, not_after: ends },
        Refusal::KeyNotIssuers { issuer: ca.facts().subject.clone() },
    ];
    let other = key(NewKeyAlgorithm::EcdsaP256);
    assert_eq!(extend(&ca, &other, ends, ends, None), Err(IssueError::Refused { refusals }));
}

#[test]
fn an_authority_that_refers_to_its_serial_number_issues_and_keeps_it() {
    let openssl = Openssl::new();
    let extensions = format!("{CA}authorityKeyIdentifier=keyid:always,issuer:always\n");
    let config = "[req]\nprompt=no\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\nCN=x\n[ext]\n";
    openssl.write("ca.cnf", format!("{config}{extensions}"));
    openssl.run(&["genpkey", "-algorithm", "ED25519", "-out", "ca.key"]);
    openssl.run(&["req", "-x509", "-key", "ca.key", "-config", "ca.cnf", "-days", "3650", "-out", "ca.crt"]);
    let (ca, key) = (openssl.certificate("ca"), only_key(&openssl.read("ca.key")));
    assert!(ca.facts().authority_key_id.as_ref().unwrap().issuer_and_serial);
    let leaf = leaf(&super::key(NewKeyAlgorithm::EcdsaP256), &ca, &key);
    assert_accepted(&ca, &leaf, true);
    let (starts, ends) = (ca.facts().not_before, date("2075-01-01T00:00:00Z"));
    let extended = extend(&ca, &key, starts, ends, None).unwrap();
    assert!(openssl_verifies(&extended, &extended, None, true));
    let number = SerialNumber::random().unwrap();
    let refusals = vec![Refusal::SerialReferredTo { subject: ca.facts().subject.clone() }];
    let refused = Err(IssueError::Refused { refusals });
    assert_eq!(extend(&ca, &key, starts, ends, Some(&number)), refused);
}
