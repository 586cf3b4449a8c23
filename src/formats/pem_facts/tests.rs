//! Files of certificates and keys, made with the openssl program.

use std::process::Command;

use super::*;

/// What the openssl program prints.
pub(crate) fn openssl(arguments: &str) -> String {
    let output = Command::new("openssl").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A certificate that signed itself, and its key, of ECDSA P-256.
pub(crate) fn pair(name: &str) -> (String, String) {
    let both = openssl(&format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout /dev/stdout -out /dev/stdout"
    ));
    let at = both.find("-----BEGIN CERTIFICATE").unwrap();
    let (key, certificate) = both.split_at(at);
    (certificate.to_owned(), key.to_owned())
}

/// Private keys in every form, each with the facts it should give.
pub(crate) fn keys() -> Vec<(String, &'static str)> {
    vec![
        (openssl("genrsa -traditional 2048"), "rsa-2048 pkcs1"),
        (openssl("genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048"), "rsa-2048 pkcs8"),
        (openssl("ecparam -name prime256v1 -genkey"), "ecdsa-p256 sec1"),
        (openssl("ecparam -name secp384r1 -genkey -noout"), "ecdsa-p384 sec1"),
        (openssl("genpkey -algorithm ed25519"), "ed25519 pkcs8"),
        (
            openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:hunter2"),
            "encrypted",
        ),
    ]
}

fn describe(facts: &PemFacts) -> String {
    let mut parts: Vec<String> = facts
        .keys
        .iter()
        .map(|key| format!("{} {}", key.algorithm, format!("{:?}", key.encoding).to_lowercase()))
        .collect();
    parts.extend((facts.encrypted_keys > 0).then(|| "encrypted".to_owned()));
    parts.join(", ")
}

#[test]
fn of_keys_only_the_public_half_is_told() {
    for (pem, expected) in keys() {
        let facts = PemFacts::read(pem.as_bytes());
        assert_eq!(describe(&facts), expected);
        assert_eq!(facts.defects, []);
        assert!(facts.may_hold_keys());
    }
}

#[test]
fn a_key_is_matched_with_its_certificate_by_its_public_half() {
    let (certificate, key) = pair("one");
    let facts = PemFacts::read(format!("{certificate}{key}").as_bytes());
    let [certificate] = facts.certificates.as_slice() else { panic!("{facts:?}") };
    assert_eq!(facts.keys[0].spki_sha256, certificate.facts().key.spki_sha256);
}

#[test]
fn what_holds_no_key_says_so() {
    let (one, _) = pair("one");
    let (two, key) = pair("two");
    let bundle = PemFacts::read(format!("{one}{two}{one}").as_bytes());
    assert_eq!((bundle.certificates.len(), bundle.may_hold_keys()), (3, false));
    assert!(PemFacts::read(format!("{one}{key}").as_bytes()).may_hold_keys());
}

#[test]
fn defects_are_told_by_what_they_mean() {
    let (certificate, key) = pair("one");
    let kinds = |text: &str| -> Vec<DefectKind> {
        PemFacts::read(text.as_bytes()).defects.iter().map(|defect| defect.kind).collect()
    };
    assert_eq!(kinds(""), [DefectKind::Blank]);
    assert_eq!(kinds("\n\n"), [DefectKind::Blank]);
    assert_eq!(kinds("hello"), [DefectKind::NotPem]);
    assert_eq!(kinds(&certificate), []);
    assert_eq!(kinds(&format!("\u{feff}{certificate}")), [DefectKind::SkippedByGo]);
    assert_eq!(kinds(&format!("{certificate}-----BEGIN CERTIFICATE-----\nAAAA")), [DefectKind::BrokenBlock]);
    let cut_short: String = key.lines().take(2).collect::<Vec<_>>().join("\n");
    assert_eq!(kinds(&cut_short), [DefectKind::BrokenBlock]);
    assert!(PemFacts::read(cut_short.as_bytes()).may_hold_keys(), "half a key is a secret too");
    assert!(PemFacts::read(b"hello").may_hold_keys(), "what was not understood may be a key");
}

#[test]
fn no_form_of_a_key_leaves_in_facts() {
    for (pem, expected) in keys() {
        let facts = PemFacts::read(pem.as_bytes());
        let shown = format!("{facts:?}{}", serde_json::to_string(&facts).unwrap());
        let lines = pem.lines().filter(|line| line.len() > 20 && !line.starts_with("-----"));
        for line in lines {
            assert!(!shown.contains(line), "{expected}");
        }
    }
}

#[test]
fn facts_survive_their_own_json() {
    let (certificate, key) = pair("one");
    let mut text =
        format!("{certificate}{key}-----BEGIN X-----\nAAAA\n-----END X-----\n-----BEGIN CERTIFICATE-----\n");
    for (pem, _) in keys() {
        text.push_str(&pem);
    }
    let facts = PemFacts::read(text.as_bytes());
    assert!(!facts.defects.is_empty());
    let json = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<PemFacts>(&json).unwrap(), facts);
}
