//! What issuing costs per algorithm: making a key, and making and verifying a certificate, apart from each other.
#![expect(clippy::unwrap_used, reason = "a benchmark that meets what it does not expect has failed")]

use std::collections::BTreeSet;

use divan::Bencher;
use pki::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use pki::x509::issue::{LeafRequest, RootRequest, issue, issue_root};
use pki::x509::{Certificate, PrivateKey, SerialNumber};

const ALGORITHMS: [NewKeyAlgorithm; 6] = [
    NewKeyAlgorithm::Rsa2048,
    NewKeyAlgorithm::Rsa3072,
    NewKeyAlgorithm::Rsa4096,
    NewKeyAlgorithm::EcdsaP256,
    NewKeyAlgorithm::EcdsaP384,
    NewKeyAlgorithm::Ed25519,
];

fn main() {
    divan::main();
}

fn root(key: &PrivateKey) -> Certificate {
    let request = RootRequest {
        subject: SubjectName { common_name: "kubernetes".into(), organizations: Vec::new() },
        serial: SerialNumber::random().unwrap(),
        not_before: "2025-01-01T00:00:00Z".parse().unwrap(),
        not_after: "2035-01-01T00:00:00Z".parse().unwrap(),
    };
    issue_root(&request, key).unwrap()
}

fn leaf_request(key: &PrivateKey, root: &Certificate) -> LeafRequest {
    LeafRequest {
        subject: SubjectName {
            common_name: "system:node:node1".into(),
            organizations: vec!["system:nodes".into()],
        },
        public_key: key.public_key().clone(),
        serial: SerialNumber::random().unwrap(),
        not_before: root.facts().not_before,
        not_after: root.facts().not_after,
        usages: BTreeSet::from([Usage::Server, Usage::Client]),
        dns: BTreeSet::from(["node1".into(), "node1.example.com".into()]),
        ip: BTreeSet::from(["10.0.0.1".parse().unwrap()]),
    }
}

#[divan::bench(args = ALGORITHMS, sample_count = 10, sample_size = 1)]
fn generate_key(algorithm: NewKeyAlgorithm) -> PrivateKey {
    PrivateKey::generate(algorithm).unwrap()
}

/// The algorithm is that of the issuer; the leaf's key has the same.
#[divan::bench(args = ALGORITHMS, sample_count = 20)]
fn issue_leaf(bencher: Bencher<'_, '_>, algorithm: NewKeyAlgorithm) {
    let key = PrivateKey::generate(algorithm).unwrap();
    let root = root(&key);
    let request = leaf_request(&PrivateKey::generate(algorithm).unwrap(), &root);
    bencher.bench_local(|| issue(&request, &root, &key).unwrap());
}

#[divan::bench(args = ALGORITHMS, sample_count = 20)]
fn write_key(bencher: Bencher<'_, '_>, algorithm: NewKeyAlgorithm) {
    let key = PrivateKey::generate(algorithm).unwrap();
    bencher.bench_local(|| key.to_pem().unwrap());
}
