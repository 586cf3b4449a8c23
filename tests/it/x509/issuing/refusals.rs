//! What must not be issued is refused, with every reason at once.

use pki::x509::ExtendedKeyUsage;
use pki::x509::chain::NameFault;
use pki::x509::issue::{IssueError, Refusal};

use super::*;
use crate::support::openssl::{CA, P256, Recipe};

fn reasons(result: Result<Certificate, IssueError>) -> Vec<String> {
    let error = result.unwrap_err();
    let IssueError::Refused { refusals } = error else { return vec![format!("not refused: {error:?}")] };
    refusals.iter().map(ToString::to_string).collect()
}

/// An authority that openssl made, with its key.
fn authority(recipe: &Recipe<'_>) -> (Certificate, PrivateKey) {
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, recipe);
    (ca, only_key(&openssl.read("ca.key")))
}

#[test]
fn nothing_outlives_its_issuer() {
    let ca_key = key(NewKeyAlgorithm::EcdsaP256);
    let ca = root("kubernetes", &ca_key);
    let mut request = leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca);
    assert!(issue(&request, &ca, &ca_key).is_ok(), "to the same second is long enough");
    request.not_after += SignedDuration::from_secs(1);
    let refusals = vec![Refusal::OutlivesIssuer {
        not_after: request.not_after,
        issuer_not_after: ca.facts().not_after,
    }];
    assert_eq!(issue(&request, &ca, &ca_key), Err(IssueError::Refused { refusals }));
}

#[test]
fn all_reasons_are_given_at_once() {
    let ca_key = key(NewKeyAlgorithm::EcdsaP256);
    let ca = root("kubernetes", &ca_key);
    let request = LeafRequest {
        subject: subject("", &["", "a", "a", "b\n"]),
        not_before: date("1969-12-31T23:59:59Z"),
        not_after: date("1960-01-01T00:00:00Z"),
        usages: BTreeSet::new(),
        dns: dns(&["nöde", "a..b", "b.*", "", "-a", "a b", "10.0.0.1\0", "good.example.com", "*.good"]),
        ..leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca)
    };
    assert_eq!(
        reasons(issue(&request, &ca, &key(NewKeyAlgorithm::EcdsaP256))),
        [
            "the organization b\\u{a} has control characters",
            "the subject has no common name",
            "an organization of the subject is empty",
            "the organization a stands in the subject twice",
            " is no DNS name",
            "-a is no DNS name",
            "10.0.0.1\\u{0} is no DNS name",
            "a b is no DNS name",
            "a..b is no DNS name",
            "b.* is no DNS name",
            "nöde is no DNS name",
            "no usage is given",
            "the date 1969-12-31T23:59:59Z lies before 1970",
            "the date 1960-01-01T00:00:00Z lies before 1970",
            "the period ends at 1960-01-01T00:00:00Z, which is not after its start 1969-12-31T23:59:59Z",
            "the private key does not belong to the certificate of CN=kubernetes",
        ]
    );
}

#[test]
fn a_leaf_is_not_named_as_its_issuer() {
    let ca_key = key(NewKeyAlgorithm::EcdsaP256);
    let ca = root("kubernetes", &ca_key);
    let request = LeafRequest {
        subject: subject("kubernetes", &[]),
        ..leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca)
    };
    assert_eq!(reasons(issue(&request, &ca, &ca_key)), ["the subject is the name of the issuer"]);
}

#[test]
fn only_authorities_that_may_sign_issue() {
    for (extensions, reason) in [
        ("basicConstraints=critical,CA:FALSE\n", "CN=x is no certificate authority"),
        ("keyUsage=keyCertSign\n", "CN=x is no certificate authority"),
        (
            "basicConstraints=critical,CA:TRUE\nkeyUsage=cRLSign\n",
            "the key usages of CN=x do not allow it to issue certificates",
        ),
    ] {
        let (ca, ca_key) = authority(&Recipe { extensions, ..Recipe::default() });
        let request = leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca);
        assert_eq!(reasons(issue(&request, &ca, &ca_key)), [reason]);
    }
}

#[test]
fn weak_and_unknown_keys_are_refused_on_both_sides() {
    let weak = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
    let (ca, ca_key) = authority(&Recipe { key: &weak, ..Recipe::default() });
    let request = leaf_request(&ca_key, &ca);
    assert_eq!(
        reasons(issue(&request, &ca, &ca_key)),
        ["a key of rsa-1024 is not fit to issue with", "a key of rsa-1024 is not fit for a certificate"]
    );
    let unknown = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"];
    let other = Openssl::new().issue("ca", None, &Recipe { key: &unknown, ..Recipe::default() });
    let (ca, ca_key) = authority(&Recipe { key: P256, ..Recipe::default() });
    let request = LeafRequest { public_key: other.facts().key.clone(), ..leaf_request(&ca_key, &ca) };
    assert_eq!(
        reasons(issue(&request, &ca, &ca_key)),
        ["a key of ecdsa-secp256k1 is not fit for a certificate"]
    );
}

#[test]
fn names_that_the_issuer_forbids_are_found_before_anything_leaves() {
    let extensions = format!("{CA}nameConstraints=critical,permitted;DNS:example.com\n");
    let (ca, ca_key) = authority(&Recipe { extensions: &extensions, ..Recipe::default() });
    let request = LeafRequest {
        dns: dns(&["node1.example.org"]),
        ..leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca)
    };
    let Err(IssueError::Refused { refusals }) = issue(&request, &ca, &ca_key) else { panic!("issued") };
    let [Refusal::NameNotAllowed { fault, .. }] = refusals.as_slice() else { panic!("{refusals:?}") };
    assert!(matches!(fault, NameFault::Forbidden { kind: "DNS name", .. }), "{fault}");
}

#[test]
fn an_issuer_for_servers_only_issues_no_clients() {
    let extensions = format!("{CA}extendedKeyUsage=serverAuth\n");
    let (ca, ca_key) = authority(&Recipe { extensions: &extensions, ..Recipe::default() });
    let request = leaf_request(&key(NewKeyAlgorithm::EcdsaP256), &ca);
    let Err(IssueError::Refused { refusals }) = issue(&request, &ca, &ca_key) else { panic!("issued") };
    let [Refusal::UsageNotAllowed { usage, .. }] = refusals.as_slice() else { panic!("{refusals:?}") };
    assert_eq!(*usage, ExtendedKeyUsage::ClientAuth);
    let servers = LeafRequest { usages: BTreeSet::from([Usage::Server]), ..request };
    assert!(issue(&servers, &ca, &ca_key).is_ok());
}
