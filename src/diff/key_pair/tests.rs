//! Keys that are replaced step by step: many public keys, many files, a node after the other.

use super::super::tests::{World, agreement};
use crate::formats::manifest::ManifestFacts;
use crate::formats::pem_facts::{KeyFacts, PublicKeyFacts};
use crate::protocol::facts::{Content, Seen};
use crate::x509::Sha256;

const PRIVATE: &str = "/etc/kubernetes/pki/sa.key";
const PUBLIC: &str = "/etc/kubernetes/pki/sa.pub";
const NEXT: &str = "/etc/kubernetes/sa-next.pub";
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const NODES: [&str; 3] = ["cp-1", "cp-2", "cp-3"];

impl World {
    fn private(&mut self, node: &str) -> &mut KeyFacts {
        let Content::Pem(pem) = &mut self.file(node, PRIVATE).content else { panic!() };
        &mut pem.keys[0]
    }

    fn public(&mut self, node: &str, path: &str) -> &mut Vec<PublicKeyFacts> {
        let Content::Pem(pem) = &mut self.file(node, path).content else { panic!() };
        &mut pem.public_keys
    }

    /// The node signs with another key from now on.
    fn sign_with_another(&mut self, node: &str) -> PublicKeyFacts {
        let key = self.private(node);
        key.spki_sha256 = Sha256::of(b"another");
        PublicKeyFacts { spki_sha256: key.spki_sha256, algorithm: key.algorithm.clone() }
    }

    /// The API server of the node is started with these files.
    fn check_by(&mut self, node: &str, files: &[&str]) {
        let flags: String =
            files.iter().map(|file| format!(", '--service-account-key-file={file}'")).collect();
        let manifest = format!(
            "{{kind: Pod, spec: {{containers: [{{name: kube-apiserver, command: [kube-apiserver{flags}], volumeMounts: [{{name: k, mountPath: /etc/kubernetes}}]}}], \
             volumes: [{{name: k, hostPath: {{path: /etc/kubernetes}}}}]}}}}"
        );
        let manifest = ManifestFacts::read(manifest.as_bytes());
        assert_eq!(manifest.problems, []);
        self.file(node, MANIFEST).content = Content::Manifest(manifest);
    }

    /// Another file of public keys lies on the node.
    fn lay_next(&mut self, node: &str, keys: Vec<PublicKeyFacts>) {
        let like = self.file(node, PUBLIC).clone();
        self.see(node, NEXT, Seen::Present(like));
        *self.public(node, NEXT) = keys;
    }
}

#[test]
fn every_public_key_of_the_file_counts() {
    for at in [0, 1] {
        let mut world = agreement();
        for node in NODES {
            let key = world.sign_with_another(node);
            world.public(node, PUBLIC).insert(at, key);
        }
        assert!(world.findings().is_empty(), "{at}: {:?}", world.findings());
    }
}

#[test]
fn every_file_that_a_flag_names_counts_and_no_other() {
    let mut world = agreement();
    for node in NODES {
        let key = world.sign_with_another(node);
        world.check_by(node, &[PUBLIC, NEXT]);
        world.lay_next(node, vec![key]);
    }
    assert!(world.of("key/sa@cp-1").is_empty(), "{:?}", world.findings());
    world.check_by("cp-1", &[PUBLIC]);
    assert_eq!(world.of("key/sa@cp-1"), ["Blocks PublicKeyMismatch"]);
    world.check_by("cp-1", &[PUBLIC, NEXT]);
    world.see("cp-1", NEXT, Seen::Unknown { reason: "permission denied".to_owned() });
    assert_eq!(world.of("key/sa@cp-1"), ["Unknown Unknown"]);
}

#[test]
fn the_public_half_of_a_private_key_is_a_public_key_as_well() {
    let mut world = agreement();
    for node in NODES {
        world.sign_with_another(node);
        world.check_by(node, &[PUBLIC, PRIVATE]);
    }
    assert!(world.of("key/sa@cp-1").is_empty(), "{:?}", world.findings());
}

#[test]
fn a_node_that_signs_with_another_key_is_only_named_where_every_node_accepts_both() {
    let mut world = agreement();
    let next = world.sign_with_another("cp-2");
    for node in NODES {
        world.public(node, PUBLIC).push(next.clone());
    }
    assert_eq!(world.findings(), ["key/sa@cp-2 Note DiffersBetweenNodes"]);
    world.public("cp-3", PUBLIC).pop();
    assert_eq!(world.findings(), ["key/sa@cp-2 Blocks DiffersBetweenNodes"]);
}
