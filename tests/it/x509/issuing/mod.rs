//! What is issued here, judged by openssl, by webpki, and by the chain rules of this library.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use pki::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use pki::x509::chain::{Purpose, verify};
use pki::x509::issue::{LeafRequest, RootRequest, issue, issue_root};
use pki::x509::{Certificate, PrivateKey, SerialNumber};
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::KeyUsage;

use crate::support::openssl::Openssl;
use crate::x509::key_and_pem_shapes::only_key;

mod authorities;
mod leaves;
mod refusals;
mod requests;

const ALGORITHMS: [NewKeyAlgorithm; 4] = [
    NewKeyAlgorithm::Rsa2048,
    NewKeyAlgorithm::EcdsaP256,
    NewKeyAlgorithm::EcdsaP384,
    NewKeyAlgorithm::Ed25519,
];

fn subject(common_name: &str, organizations: &[&str]) -> SubjectName {
    let organizations = organizations.iter().map(ToString::to_string).collect();
    SubjectName { common_name: common_name.to_owned(), organizations }
}

fn both_usages() -> BTreeSet<Usage> {
    BTreeSet::from([Usage::Server, Usage::Client])
}

fn dns(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn ip(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn date(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key(algorithm: NewKeyAlgorithm) -> PrivateKey {
    PrivateKey::generate(algorithm).unwrap()
}

/// A root of 2025 that lasts 100 years.
fn root(name: &str, key: &PrivateKey) -> Certificate {
    let request = RootRequest {
        subject: subject(name, &[]),
        serial: SerialNumber::random().unwrap(),
        not_before: date("2025-01-01T00:00:00Z"),
        not_after: date("2125-01-01T00:00:00Z"),
    };
    issue_root(&request, key).unwrap()
}

/// A leaf for a member of etcd that lasts as long as its issuer.
fn leaf_request(key: &PrivateKey, issuer: &Certificate) -> LeafRequest {
    LeafRequest {
        subject: subject("node1", &["one", "two"]),
        public_key: key.public_key().clone(),
        serial: SerialNumber::random().unwrap(),
        not_before: issuer.facts().not_before,
        not_after: issuer.facts().not_after,
        usages: both_usages(),
        dns: dns(&["node1.example.com"]),
        ip: ip(&["10.0.0.1"]),
    }
}

fn leaf(key: &PrivateKey, issuer: &Certificate, issuer_key: &PrivateKey) -> Certificate {
    issue(&leaf_request(key, issuer), issuer, issuer_key).unwrap()
}

fn soon(certificate: &Certificate) -> Timestamp {
    certificate.facts().not_before + SignedDuration::from_hours(1)
}

/// Whether `openssl verify` takes the leaf under the root, for a purpose of openssl's, if one is given.
fn openssl_verifies(root: &Certificate, leaf: &Certificate, purpose: Option<&str>, strict: bool) -> bool {
    let openssl = Openssl::new();
    openssl.write("root.crt", root.to_pem());
    openssl.write("leaf.crt", leaf.to_pem());
    let at = soon(leaf).as_second().to_string();
    let mut arguments = vec!["verify", "-attime", &at, "-check_ss_sig", "-CAfile", "root.crt"];
    arguments.extend(purpose.iter().flat_map(|purpose| ["-purpose", purpose]));
    arguments.extend(strict.then_some("-x509_strict"));
    arguments.push("leaf.crt");
    openssl.accepts(&arguments)
}

fn webpki_verifies(root: &Certificate, leaf: &Certificate, usage: KeyUsage) -> Result<(), webpki::Error> {
    let (root, der) = (CertificateDer::from(root.der()), CertificateDer::from(leaf.der()));
    let anchors = [webpki::anchor_from_trusted_cert(&root)?];
    let seconds = u64::try_from(soon(leaf).as_second()).unwrap();
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    webpki::EndEntityCert::try_from(&der)?
        .verify_for_usage(algorithms, &anchors, &[], time, usage, None, None)
        .map(|_path| ())
}

/// The leaf is good for serving and for dialling, whoever judges.
#[track_caller]
fn assert_accepted(root: &Certificate, leaf: &Certificate, strict: bool) {
    for purpose in ["sslserver", "sslclient"] {
        assert!(openssl_verifies(root, leaf, Some(purpose), strict), "{purpose}");
    }
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        assert_eq!(webpki_verifies(root, leaf, usage), Ok(()));
    }
    let name = "node1.example.com".parse().unwrap();
    for purpose in [Purpose::Server { name: Some(name) }, Purpose::Client] {
        let path = verify(leaf, &[], std::slice::from_ref(root), soon(leaf), &purpose);
        assert_eq!(path, Ok(vec![leaf.clone(), root.clone()]));
    }
}
