//! Real kubeadm 1.20.2 control planes, unpacked below a temporary directory, as three local nodes.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests unpack real files and look for their keys in the facts"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use pki::agent::Local;
use pki::observe::ask::{PATIENCE, Question, observe_all};
use pki::protocol::facts::{Content, Expect, FileFacts, NodeFacts, ObserveRequest, Observed, Seen};
use pki::types::names::NodeName;

use crate::support::cluster::{Cluster, NODES};

const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// Only the manifests and kubeconfigs are asked for; they name everything else.
fn request() -> ObserveRequest {
    let manifests =
        COMPONENTS.map(|component| (format!("/etc/kubernetes/manifests/{component}.yaml"), Expect::Manifest));
    let kubeconfigs = ["admin", "controller-manager", "kubelet", "scheduler"]
        .map(|name| (format!("/etc/kubernetes/{name}.conf"), Expect::Kubeconfig));
    let others = [
        ("/etc/kubernetes/pki".to_owned(), Expect::Directory),
        ("/etc/kubernetes/super-admin.conf".to_owned(), Expect::Kubeconfig),
        ("/etc/kubernetes/pki/etcd/ca.key".to_owned(), Expect::PrivateKey),
        ("/etc/kubernetes/pki/etcd/healthcheck-client.crt".to_owned(), Expect::Certificates),
    ];
    ObserveRequest {
        files: manifests.into_iter().chain(kubeconfigs).chain(others).collect(),
        state_directory: None,
        ..ObserveRequest::default()
    }
}

fn observe(root: &Path) -> Observed {
    let nodes = NODES.map(|name| (name, Local::new(Some(root.join(name)), now)));
    let questions = nodes
        .iter()
        .map(|(name, node)| -> (NodeName, Question<'_>) { (name.parse().unwrap(), (node, request())) });
    observe_all(&questions.collect(), now(), PATIENCE)
}

fn facts<'a>(observed: &'a Observed, node: &str) -> &'a NodeFacts {
    observed.nodes[node].facts().unwrap()
}

fn file<'a>(facts: &'a NodeFacts, path: &str) -> &'a FileFacts {
    facts.files[path].shown().unwrap()
}

#[test]
fn manifests_lead_to_every_certificate_and_key_that_the_control_plane_uses() {
    let root = Cluster::unpack();
    let observed = observe(root.path());
    for name in NODES {
        let facts = facts(&observed, name);
        assert_eq!(facts.kubernetes_version.as_deref(), Some("v1.20.2"));
        assert_eq!(facts.files["/etc/kubernetes/super-admin.conf"], Seen::Absent);
        let pki: BTreeSet<&str> =
            facts.files.keys().filter_map(|path| path.strip_prefix("/etc/kubernetes/pki/")).collect();
        let expected = [
            "apiserver-etcd-client.crt",
            "apiserver-etcd-client.key",
            "apiserver-kubelet-client.crt",
            "apiserver-kubelet-client.key",
            "apiserver.crt",
            "apiserver.key",
            "ca.crt",
            "ca.key",
            "etcd/ca.crt",
            "etcd/ca.key",
            "etcd/healthcheck-client.crt",
            "etcd/peer.crt",
            "etcd/peer.key",
            "etcd/server.crt",
            "etcd/server.key",
            "front-proxy-ca.crt",
            "front-proxy-client.crt",
            "front-proxy-client.key",
            "sa.key",
            "sa.pub",
        ];
        assert_eq!(pki, BTreeSet::from(expected));
        for path in pki {
            let file = file(facts, &format!("/etc/kubernetes/pki/{path}"));
            let Content::Pem(pem) = &file.content else { panic!("{path}") };
            let held = (pem.certificates.len(), pem.keys.len(), pem.public_keys.len());
            let (expected, mode) = match path.rsplit_once('.') {
                Some((_, "crt")) => ((1, 0, 0), 0o644),
                Some((_, "key")) => ((0, 1, 0), 0o600),
                _ => ((0, 0, 1), 0o600),
            };
            assert_eq!((held, file.mode, pem.defects.as_slice()), (expected, mode, [].as_slice()), "{path}");
            assert_eq!(file.sha256.is_some(), expected.1 == 0, "{path}");
        }
    }
}

#[test]
fn keys_match_their_certificates_and_shared_keys_are_the_same_everywhere() {
    let root = Cluster::unpack();
    let observed = observe(root.path());
    let key_of = |node: &str, path: &str| {
        file(facts(&observed, node), path).content.pem().unwrap().keys[0].spki_sha256
    };
    let certified = |node: &str, path: &str| {
        file(facts(&observed, node), path).content.pem().unwrap().certificates[0].facts().key.spki_sha256
    };
    for node in NODES {
        for name in ["ca", "apiserver", "etcd/ca", "etcd/peer", "etcd/server", "front-proxy-client"] {
            let path = format!("/etc/kubernetes/pki/{name}");
            assert_eq!(
                key_of(node, &format!("{path}.key")),
                certified(node, &format!("{path}.crt")),
                "{path}"
            );
        }
    }
    let distinct = |path: &str| NODES.iter().map(|node| key_of(node, path)).collect::<BTreeSet<_>>().len();
    assert_eq!(distinct("/etc/kubernetes/pki/sa.key"), 1);
    assert_eq!(distinct("/etc/kubernetes/pki/ca.key"), 1);
    assert_eq!(distinct("/etc/kubernetes/pki/apiserver.key"), 3);
}

#[test]
fn kubeconfigs_show_their_identities() {
    let root = Cluster::unpack();
    let observed = observe(root.path());
    for (name, subject) in [
        ("admin", "kubernetes-admin"),
        ("controller-manager", "system:kube-controller-manager"),
        ("kubelet", "system:node:cp-2"),
        ("scheduler", "system:kube-scheduler"),
    ] {
        let file = file(facts(&observed, "cp-2"), &format!("/etc/kubernetes/{name}.conf"));
        let Content::Kubeconfig(kubeconfig) = &file.content else { panic!("{name}") };
        assert_eq!((kubeconfig.problems.as_slice(), file.sha256), ([].as_slice(), None));
        let (cluster, user) = kubeconfig.current().unwrap();
        assert!(cluster.server.starts_with("https://"), "{}", cluster.server);
        let certificate = &user.certificate.embedded().unwrap().certificates[0];
        assert!(certificate.facts().subject.to_string().contains(subject), "{}", certificate.facts().subject);
        assert_eq!(user.key.embedded().unwrap().keys[0].spki_sha256, certificate.facts().key.spki_sha256);
        assert_eq!(cluster.authority.embedded().unwrap().certificates.len(), 1);
    }
}

#[test]
fn a_kubeconfig_mounted_as_a_single_file_is_told() {
    let root = Cluster::unpack();
    let observed = observe(root.path());
    let manifests: BTreeMap<&str, _> = facts(&observed, "cp-1").manifests().collect();
    let manager = manifests["/etc/kubernetes/manifests/kube-controller-manager.yaml"];
    let manager = manager.container("kube-controller-manager").unwrap();
    assert!(
        manager
            .own_mount("/etc/kubernetes/controller-manager.conf")
            .is_some_and(|mount| mount.is_single_file())
    );
    assert!(manager.own_mount("/etc/kubernetes/pki/ca.crt").is_none());
}

#[test]
fn facts_of_whole_control_planes_hold_no_secret_and_survive_their_json() {
    let root = Cluster::unpack();
    let observed = observe(root.path());
    let json = serde_json::to_string(&observed).unwrap();
    let debug = format!("{observed:?}");
    assert_eq!(serde_json::from_str::<Observed>(&json).unwrap(), observed);
    let mut checked = 0;
    for node in NODES {
        let kubernetes = root.path().join(node).join("etc/kubernetes");
        let pki = kubernetes.join("pki");
        for directory in [kubernetes, pki.join("etcd"), pki] {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let is = |extension: &str| path.extension().is_some_and(|found| found == extension);
                let text =
                    if is("key") || is("conf") { std::fs::read_to_string(&path).unwrap() } else { continue };
                let data = text.lines().filter_map(|line| line.trim().strip_prefix("client-key-data: "));
                // An RSA key starts with its modulus, which its certificate shows to everyone; six lines hold 2048 bits.
                let lines = text.lines().skip(8).filter(|line| is("key") && line.len() == 64);
                for secret in data.chain(lines) {
                    // From the middle, where nothing is common to all keys.
                    let secret = secret.get(secret.len() / 2 - 10..secret.len() / 2 + 10).unwrap();
                    assert!(!json.contains(secret) && !debug.contains(secret), "{}", path.display());
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 300, "only {checked} pieces of keys were looked for");
    assert!(!json.contains("PRIVATE KEY"));
}
