//! Leaves: under every odd authority, with every algorithm, with long lives and several groups.

use super::*;
use crate::support::openssl::{CA, Recipe};

const P521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];

/// Issues under an authority that openssl made.
fn issued_under(recipe: &Recipe<'_>) -> (Certificate, Certificate) {
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, recipe);
    let ca_key = only_key(&openssl.read("ca.key"));
    let leaf = leaf(&key(NewKeyAlgorithm::EcdsaP256), &ca, &ca_key);
    assert_eq!(leaf.facts().issuer.der(), ca.facts().subject.der());
    assert_eq!(
        leaf.facts().authority_key_id.as_ref().map(|id| &id.key_id),
        ca.facts().subject_key_id.is_some().then_some(&ca.facts().subject_key_id)
    );
    (ca, leaf)
}

/// The twelfth, whose key identifier spells out issuer and serial number, stands with the authorities.
#[test]
fn leaves_are_accepted_under_eleven_odd_authorities() {
    let constrained =
        format!("{CA}nameConstraints=critical,permitted;DNS:example.com,permitted;IP:10.0.0.0/255.0.0.0\n");
    let last = CA.replace("CA:TRUE", "CA:TRUE,pathlen:0");
    let without_key_id = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=none\n";
    let plain = Recipe::default;
    for (recipe, strict) in [
        (Recipe { subject: "0.DC=com\n1.DC=example\nCN=ca", ..plain() }, true),
        (Recipe { subject: "O=x\n0.OU=one\n1.OU=two\nCN=ca", ..plain() }, true),
        (Recipe { subject: "O=x\nOU=unit\n+CN=ca", ..plain() }, true),
        (Recipe { subject: "CN=Zürich", mask: "MASK:0x4", ..plain() }, true),
        (Recipe { subject: "CN=Ωmega", mask: "MASK:0x800", ..plain() }, true),
        // Strict openssl wants the identifiers that Go does without.
        (Recipe { extensions: without_key_id, ..plain() }, false),
        (Recipe { serial: "0", ..plain() }, true),
        (Recipe { key: P521, ..plain() }, true),
        (Recipe { extensions: &constrained, ..plain() }, true),
        (Recipe { extensions: &last, ..plain() }, true),
        (Recipe { days: "36525", ..plain() }, true),
    ] {
        let (ca, leaf) = issued_under(&recipe);
        assert_accepted(&ca, &leaf, strict);
    }
}

#[test]
fn every_algorithm_issues_and_is_issued_every_algorithm() {
    for issuer_algorithm in ALGORITHMS {
        let ca_key = key(issuer_algorithm);
        let ca = root("etcd-ca", &ca_key);
        for algorithm in ALGORITHMS {
            let leaf = leaf(&key(algorithm), &ca, &ca_key);
            assert_eq!(leaf.facts().key.algorithm.to_string(), algorithm.to_string());
            assert_eq!(leaf.facts().signature_algorithm, ca.facts().signature_algorithm);
            assert_accepted(&ca, &leaf, true);
        }
    }
}

#[test]
fn large_rsa_keys_issue_and_are_issued() {
    let (ca_key, leaf_key) = (key(NewKeyAlgorithm::Rsa4096), key(NewKeyAlgorithm::Rsa3072));
    let ca = root("kubernetes", &ca_key);
    assert_accepted(&ca, &leaf(&leaf_key, &ca, &ca_key), true);
}

#[test]
fn extensions_are_those_of_kubeadm_in_its_order() {
    let ca_key = key(NewKeyAlgorithm::EcdsaP256);
    let ca = root("kubernetes", &ca_key);
    let request = LeafRequest {
        dns: dns(&["kubernetes", "*.example.com", "api.example.com"]),
        ip: ip(&["fd00::1", "10.0.0.1", "9.9.9.9"]),
        ..leaf_request(&key(NewKeyAlgorithm::Ed25519), &ca)
    };
    let openssl = Openssl::new();
    openssl.write("leaf.crt", issue(&request, &ca, &ca_key).unwrap().to_pem());
    let text = openssl.text(&["x509", "-noout", "-text", "-in", "leaf.crt"]);
    let extensions = text.split_once("X509v3 extensions:\n").unwrap().1;
    let extensions = extensions.split_once("    Signature Algorithm").unwrap().0;
    let key_id: Vec<String> =
        ca.facts().subject_key_id.as_ref().unwrap().iter().map(|byte| format!("{byte:02X}")).collect();
    let lines: Vec<&str> = extensions.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "X509v3 Key Usage: critical",
            "Digital Signature, Key Encipherment",
            "X509v3 Extended Key Usage:",
            "TLS Web Server Authentication, TLS Web Client Authentication",
            "X509v3 Authority Key Identifier:",
            &key_id.join(":"),
            "X509v3 Subject Alternative Name:",
            "DNS:*.example.com, DNS:api.example.com, DNS:kubernetes, IP Address:9.9.9.9, IP Address:10.0.0.1, \
             IP Address:FD00:0:0:0:0:0:0:1",
        ]
    );
}

#[test]
fn a_client_needs_no_names() {
    let ca_key = key(NewKeyAlgorithm::EcdsaP256);
    let ca = root("kubernetes", &ca_key);
    let request = LeafRequest {
        usages: BTreeSet::from([Usage::Client]),
        dns: BTreeSet::new(),
        ip: BTreeSet::new(),
        ..leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca)
    };
    let client = issue(&request, &ca, &ca_key).unwrap();
    assert!(client.facts().names.is_empty());
    assert!(openssl_verifies(&ca, &client, Some("sslclient"), true));
    assert!(!openssl_verifies(&ca, &client, Some("sslserver"), true));
    assert_eq!(webpki_verifies(&ca, &client, KeyUsage::client_auth()), Ok(()));
    assert!(webpki_verifies(&ca, &client, KeyUsage::server_auth()).is_err());
}

#[test]
fn a_hundred_years_are_written_in_both_kinds_of_dates() {
    let ca_key = key(NewKeyAlgorithm::EcdsaP256);
    let ca = root("kubernetes", &ca_key);
    let leaf_key = key(NewKeyAlgorithm::EcdsaP256);
    let mut request = leaf_request(&leaf_key, &ca);
    for (not_after, written) in [
        ("2124-12-31T23:59:59Z", "2124-12-31 23:59:59Z"),
        ("2050-01-01T00:00:00Z", "2050-01-01 00:00:00Z"),
        ("2049-12-31T23:59:59.9Z", "2049-12-31 23:59:59Z"),
    ] {
        request.not_after = date(not_after);
        let leaf = issue(&request, &ca, &ca_key).unwrap();
        assert_accepted(&ca, &leaf, true);
        let openssl = Openssl::new();
        openssl.write("leaf.crt", leaf.to_pem());
        let arguments = ["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", "leaf.crt"];
        assert_eq!(openssl.text(&arguments).trim(), format!("notAfter={written}"));
        let kinds = openssl.text(&["asn1parse", "-in", "leaf.crt"]);
        assert_eq!(kinds.matches("GENERALIZEDTIME").count(), usize::from(not_after >= "2050"), "{kinds}");
    }
}

#[test]
fn organizations_stand_in_one_sorted_set_before_the_common_name() {
    let ca_key = key(NewKeyAlgorithm::EcdsaP256);
    let ca = root("kubernetes", &ca_key);
    let groups = ["system:masters", "dev", "kubeadm:cluster-admins", "dév", "abc"];
    let request = LeafRequest {
        subject: subject("admin@example", &groups),
        ..leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca)
    };
    let openssl = Openssl::new();
    let leaf = issue(&request, &ca, &ca_key).unwrap();
    openssl.write("leaf.crt", leaf.to_pem());
    let shown = openssl.text(&["x509", "-noout", "-subject", "-nameopt", "utf8", "-in", "leaf.crt"]);
    assert_eq!(
        shown.trim(),
        "subject=O=abc + O=dev + O=dév + O=system:masters + O=kubeadm:cluster-admins, CN=admin@example"
    );
    assert_eq!(leaf.facts().subject.organizations(), groups.iter().map(ToString::to_string).collect());
    let kinds = openssl.text(&["asn1parse", "-in", "leaf.crt"]);
    assert!(kinds.contains("PRINTABLESTRING   :system:masters"), "{kinds}");
    assert!(kinds.contains("UTF8STRING        :admin@example"), "{kinds}");
}

#[test]
fn the_serial_number_is_the_one_that_was_given() {
    let ca_key = key(NewKeyAlgorithm::EcdsaP256);
    let ca = root("kubernetes", &ca_key);
    for bytes in [&[1][..], &[0x80], &[0, 0, 0xff, 0], &[0x7f; 20]] {
        let serial = SerialNumber::from_bytes(bytes).unwrap();
        let request =
            LeafRequest { serial: serial.clone(), ..leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca) };
        let leaf = issue(&request, &ca, &ca_key).unwrap();
        assert_eq!(leaf.facts().serial.as_bytes(), serial.as_bytes());
        assert_eq!(leaf.facts().serial.to_string(), serial.to_string());
        assert_accepted(&ca, &leaf, true);
    }
}

#[test]
fn openssl_takes_every_leaf_for_what_it_is_for() {
    for issuer in ALGORITHMS {
        let ca_key = key(issuer);
        let ca = root("ca", &ca_key);
        for (usages, purposes) in [
            (BTreeSet::from([Usage::Server]), ["sslserver"].as_slice()),
            (BTreeSet::from([Usage::Client]), &["sslclient"]),
            (both_usages(), &["sslserver", "sslclient"]),
        ] {
            let own = key(NewKeyAlgorithm::EcdsaP256);
            let leaf = issue(&LeafRequest { usages, ..leaf_request(&own, &ca) }, &ca, &ca_key).unwrap();
            for purpose in purposes {
                assert!(openssl_verifies(&ca, &leaf, Some(purpose), true), "{issuer:?} {purpose}");
            }
            // What Go takes for more than it says, or OpenSSL for less, is never in one.
            let facts = leaf.facts();
            let listed = facts.extended_key_usages.as_ref().unwrap();
            assert!(!listed.contains(&pki::x509::ExtendedKeyUsage::Any), "{listed:?}");
            let key_id = facts.authority_key_id.as_ref().and_then(|id| id.key_id.clone());
            assert_eq!(key_id, ca.facts().subject_key_id);
        }
    }
}

/// The three shapes of which a report says that OpenSSL refuses them.
#[test]
fn openssl_refuses_what_go_takes_and_a_report_names() {
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, &Recipe { subject: "CN=ca", ..Recipe::default() });
    openssl.write("twin.key", openssl.read("ca.key"));
    openssl.write("twin.ext", CA.replace("=hash", "=01:02:03:04"));
    openssl.run(&[
        "x509", "-in", "ca.crt", "-signkey", "ca.key", "-clrext", "-extfile", "twin.ext", "-out", "twin.crt",
    ]);
    let sound = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\nauthorityKeyIdentifier=keyid\n";
    let any = sound.replace("serverAuth,clientAuth", "anyExtendedKeyUsage");
    let signs = sound.replace("digitalSignature", "keyCertSign");
    for (issuer, extensions, taken) in
        [("ca", sound, true), ("twin", sound, false), ("ca", &any, false), ("ca", &signs, false)]
    {
        let leaf = openssl.issue("leaf", Some(issuer), &Recipe { extensions, ..Recipe::default() });
        for (purpose, go) in [("sslserver", Purpose::Server { name: None }), ("sslclient", Purpose::Client)] {
            assert_eq!(openssl_verifies(&ca, &leaf, Some(purpose), false), taken, "{issuer} {extensions}");
            let path = verify(&leaf, &[], std::slice::from_ref(&ca), soon(&leaf), &go);
            assert!(path.is_ok(), "{path:?}");
        }
    }
}
