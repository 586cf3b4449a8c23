//! Keys as files, requests for other authorities, and the silence about keys.

use std::error::Error;

use pki::x509::KeyEncoding;
use pki::x509::issue::{csr, csr_to_pem};

use super::*;

#[test]
fn new_keys_are_written_as_kubeadm_writes_them() {
    for (algorithm, label, encoding, shown) in [
        (NewKeyAlgorithm::Rsa2048, "RSA PRIVATE KEY", KeyEncoding::Pkcs1, "(2048 bit, 2 primes)"),
        (NewKeyAlgorithm::Rsa3072, "RSA PRIVATE KEY", KeyEncoding::Pkcs1, "(3072 bit, 2 primes)"),
        (NewKeyAlgorithm::Rsa4096, "RSA PRIVATE KEY", KeyEncoding::Pkcs1, "(4096 bit, 2 primes)"),
        (NewKeyAlgorithm::EcdsaP256, "EC PRIVATE KEY", KeyEncoding::Sec1, "ASN1 OID: prime256v1"),
        (NewKeyAlgorithm::EcdsaP384, "EC PRIVATE KEY", KeyEncoding::Sec1, "ASN1 OID: secp384r1"),
        (NewKeyAlgorithm::Ed25519, "PRIVATE KEY", KeyEncoding::Pkcs8, "ED25519 Private-Key"),
    ] {
        let key = key(algorithm);
        assert_eq!((key.algorithm().to_string(), key.encoding()), (algorithm.to_string(), encoding));
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with(&format!("-----BEGIN {label}-----\n")), "{algorithm}");
        assert!(pem.ends_with(&format!("\n-----END {label}-----\n")), "{algorithm}");
        assert!(pem.lines().all(|line| line.len() <= 64));
        let openssl = Openssl::new();
        openssl.write("key", pem.as_bytes());
        let text = openssl.text(&["pkey", "-in", "key", "-noout", "-text", "-check"]);
        assert!(text.contains(shown) && text.contains("Key is valid"), "{algorithm}");
        let public = openssl.text(&["pkey", "-in", "key", "-pubout"]);
        assert_eq!(public, key.public_key().to_pem());
        assert!(public.starts_with("-----BEGIN PUBLIC KEY-----\n"));
        let read = only_key(pem.as_bytes());
        assert_eq!((read.public_key(), read.encoding()), (key.public_key(), encoding));
        assert_eq!(read.to_pem().unwrap(), pem);
    }
}

#[test]
fn elliptic_curve_keys_name_their_curve_and_hold_their_public_key() {
    let openssl = Openssl::new();
    for (algorithm, curve) in
        [(NewKeyAlgorithm::EcdsaP256, "prime256v1"), (NewKeyAlgorithm::EcdsaP384, "secp384r1")]
    {
        openssl.write("key", key(algorithm).to_pem().unwrap().as_bytes());
        let structure = openssl.text(&["asn1parse", "-in", "key"]);
        let shape: Vec<&str> = structure
            .lines()
            .map(|line| line.split_once(": ").unwrap().1.split(" ").next().unwrap())
            .collect();
        assert_eq!(shape, ["SEQUENCE", "INTEGER", "OCTET", "cont", "OBJECT", "cont", "BIT"]);
        assert!(structure.contains(curve), "{structure}");
    }
}

#[test]
fn keys_that_others_wrote_are_written_in_the_same_forms() {
    let openssl = Openssl::new();
    for (arguments, label) in [
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..], "RSA PRIVATE KEY"),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "EC PRIVATE KEY"),
        (&["-algorithm", "ED25519"], "PRIVATE KEY"),
    ] {
        openssl.run(&[&["genpkey", "-out", "pkcs8"], arguments].concat());
        let pem = only_key(&openssl.read("pkcs8")).to_pem().unwrap();
        assert!(pem.starts_with(&format!("-----BEGIN {label}-----\n")));
        openssl.write("ours", pem.as_bytes());
        assert_eq!(openssl.run(&["pkey", "-in", "ours"]), openssl.read("pkcs8"));
    }
}

#[test]
fn requests_carry_names_groups_and_usages() {
    for algorithm in ALGORITHMS {
        let key = key(algorithm);
        let subject = subject("system:node:nöde", &["system:nodes", "dev"]);
        let request =
            csr(&subject, &dns(&["b.example.com", "a"]), &ip(&["::1", "10.0.0.1"]), &both_usages(), &key);
        let openssl = Openssl::new();
        openssl.write("csr", csr_to_pem(&request.unwrap()));
        let text = openssl.text(&["req", "-in", "csr", "-verify", "-noout", "-text", "-nameopt", "utf8"]);
        for expected in [
            "Version: 1 (0x0)",
            "Subject: O=dev + O=system:nodes, CN=system:node:nöde\n",
            "Key Usage: critical\n                    Digital Signature, Key Encipherment\n",
            "TLS Web Server Authentication, TLS Web Client Authentication\n",
            "DNS:a, DNS:b.example.com, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(openssl.read("csr").starts_with(b"-----BEGIN CERTIFICATE REQUEST-----\n"));
        let public = openssl.text(&["req", "-in", "csr", "-noout", "-pubkey"]);
        assert_eq!(public, key.public_key().to_pem());
    }
}

#[test]
fn requests_are_refused_for_the_reasons_that_certificates_are() {
    let nothing = (BTreeSet::new(), BTreeSet::new());
    let error = csr(&subject("", &[]), &dns(&["ä"]), &nothing.0, &nothing.1, &key(NewKeyAlgorithm::Ed25519));
    assert_eq!(
        error.unwrap_err().to_string(),
        "refused: the subject has no common name; ä is no DNS name; no usage is given"
    );
}

/// Looks for pieces of the key in every form that Debug, hex or PEM would give them.
#[test]
fn nothing_that_is_printed_tells_of_a_key() {
    for algorithm in ALGORITHMS {
        let key = key(algorithm);
        let pem = key.to_pem().unwrap();
        let openssl = Openssl::new();
        openssl.write("key", pem.as_bytes());
        let der = openssl.run(&["pkey", "-in", "key", "-traditional", "-outform", "DER"]);
        // Of RSA the private exponent, of the others the scalar or seed lies here; the public key lies elsewhere.
        let secret = match algorithm {
            NewKeyAlgorithm::Rsa2048 | NewKeyAlgorithm::Rsa3072 | NewKeyAlgorithm::Rsa4096 => &der[300..330],
            NewKeyAlgorithm::EcdsaP256 | NewKeyAlgorithm::EcdsaP384 => &der[8..30],
            NewKeyAlgorithm::Ed25519 => &der[16..48],
        };
        let hex = |separator: &str, width: usize| {
            secret[..8].iter().map(|byte| format!("{byte:0width$x}")).collect::<Vec<_>>().join(separator)
        };
        let decimal = secret[..8].iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let canaries = [hex("", 2), hex(":", 2), hex(", ", 2), decimal];
        let ca = root("kubernetes", &key);
        let mut request = leaf_request(&key, &ca);
        let issued = issue(&request, &ca, &key).unwrap();
        request.not_after = Timestamp::MAX;
        let error = issue(&request, &ca, &key).unwrap_err();
        let csr = csr(&request.subject, &request.dns, &request.ip, &request.usages, &key).unwrap();
        let mut printed = format!("{key:?} {ca:?} {request:?} {issued:?} {error:?} {error} {:?}", ca.facts());
        printed.push_str(&format!("{:?} {:?} {}", ca.der(), issued.der(), csr_to_pem(&csr)));
        printed.push_str(&format!("{:?}", error.source()));
        for canary in &canaries {
            assert!(!printed.contains(canary), "{algorithm}");
        }
        for line in pem.lines().filter(|line| !line.starts_with('-')) {
            assert!(!printed.contains(line), "{algorithm}");
        }
        assert!(printed.starts_with(&format!("PrivateKey({algorithm}, redacted)")));
    }
}
