//! What the facts already show is said by the plan, and not found out by the run: steps whose nodes would refuse them. Each find is a case with a name.
#![expect(clippy::disallowed_methods, reason = "the tests change real files")]

use pki::agent::Memory;
use pki::plan::Options;
use pki::plan::model::outcome::Outcome;
use pki::simulate::Plan;

use crate::property::members::{Cluster, MADE, Place, etcd, shown};
use crate::property::properties::CLOCKS;
use crate::support::cluster::{Cluster as Kubeadm, NODES};

const CA: &str = "cp-1/etc/kubernetes/pki/ca.crt";
const FRONT: &str = "cp-1/etc/haproxy/front.pem";

/// A cluster of kubeadm with these nodes and a certificate that one of them holds in one file, too.
fn with_front(nodes: usize) -> Kubeadm {
    let cluster = Kubeadm::unpack();
    let path = cluster.path().join("spec.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let left_out = |line: &&str| !(nodes == 1 && (line.contains(" cp-2:") || line.contains(" cp-3:")));
    let mut text: String = text.lines().filter(left_out).map(|line| format!("{line}\n")).collect();
    text.push_str(
        "    front:\n      authority: ca\n      subject: { commonName: front }\n      usages: [server]\n      \
         names: { dns: [front.example] }\n      files: { certificate: /etc/front.crt, key: /etc/front.key }\n      \
         copies: { haproxy: { combined: { path: /etc/haproxy/front.pem } } }\n      on: { nodes: [cp-1] }\n",
    );
    std::fs::write(path, text).unwrap();
    std::fs::create_dir_all(cluster.path().join("cp-1/etc/haproxy")).unwrap();
    let plan = cluster.plan(&Options::default());
    assert!(plan.applicable, "{}", pki::output::plan(&plan));
    assert_eq!(cluster.apply(&plan).outcome, Outcome::Done);
    std::fs::remove_file(cluster.path().join(FRONT)).unwrap();
    cluster
}

fn reasons(plan: &Plan) -> Vec<String> {
    plan.blocked.iter().map(|blocked| format!("{}: {}", blocked.address, blocked.because)).collect()
}

#[test]
fn a_ca_that_can_be_read_on_no_node_is_an_error_of_the_plan() {
    for held in ["garbage", ""] {
        let cluster = with_front(1);
        std::fs::write(cluster.path().join(CA), held).unwrap();
        let plan = cluster.plan(&Options::default());
        assert!(!plan.applicable);
        let reasons = reasons(&plan);
        let named = "ca/ca@cp-1: the certificate of ca cannot be read on any node: ";
        assert!(reasons.iter().any(|reason| reason.starts_with(named)), "{reasons:?}");
        let text = pki::output::plan(&plan);
        assert!(!text.contains("certificates unchanged") || text.contains("error"), "{text}");
    }
}

#[test]
fn a_ca_that_can_be_read_on_another_node_is_put_back_before_it_is_needed() {
    let cluster = with_front(3);
    let ca = std::fs::read(cluster.path().join(CA)).unwrap();
    std::fs::write(cluster.path().join(CA), "garbage").unwrap();
    // Alone the copy cannot be checked with what lies there, and the plan says so.
    let only = Options { only: vec!["front@cp-1".parse().unwrap()], ..Options::default() };
    let alone = cluster.plan(&only);
    let found = reasons(&alone);
    assert!(!alone.applicable, "{}", pki::output::plan(&alone));
    assert!(found.iter().any(|reason| reason.contains("/etc/kubernetes/pki/ca.crt")), "{found:?}");
    // What is no certificate at all may be anything: whoever knows says that it may go.
    let plan = cluster.plan(&Options::default());
    let text = pki::output::plan(&plan);
    assert!(!plan.applicable && text.contains("--replace-foreign /etc/kubernetes/pki/ca.crt"), "{text}");
    let accepted = ["/etc/kubernetes/pki/ca.crt".to_owned()].into();
    let plan = cluster.plan(&Options { replace_foreign: accepted, ..Options::default() });
    assert!(plan.applicable, "{}", pki::output::plan(&plan));
    let report = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Done, "{:?}", report.failure);
    assert_eq!(std::fs::read(cluster.path().join(CA)).unwrap(), ca);
    assert!(cluster.path().join(FRONT).exists());
    assert!(cluster.plan(&Options::default()).visits.is_empty());
}

#[test]
fn a_key_that_cannot_be_read_on_one_node_is_not_made_anew_on_another() {
    let socket = |path: &std::path::Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    let unmounted = |path: &std::path::Path| std::os::unix::fs::symlink("/mnt/keys/sa.key", path).unwrap();
    for hidden in [&socket as &dyn Fn(&std::path::Path), &unmounted] {
        let cluster = Kubeadm::unpack();
        for node in NODES {
            for file in ["sa.key", "sa.pub"] {
                std::fs::remove_file(cluster.path().join(node).join("etc/kubernetes/pki").join(file))
                    .unwrap();
            }
        }
        hidden(&cluster.path().join("cp-1/etc/kubernetes/pki/sa.key"));
        let plan =
            cluster.plan(&Options { only: vec!["key/sa@cp-2".parse().unwrap()], ..Options::default() });
        let text = pki::output::plan(&plan).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!plan.applicable, "{text}");
        assert!(text.contains("/etc/kubernetes/pki/sa.key on cp-1 may hold it"), "{text}");
    }
}

/// One change of a member's files: `None` removes one, an empty text empties it, else it gets what another one holds.
type Change = (usize, &'static str, Option<&'static str>);

fn changed(mut memory: Memory, changes: &[Change], number: usize) -> Memory {
    let at = |file: &str| format!("/etc/etcd/pki/{file}");
    for (_, file, held) in changes.iter().filter(|(node, ..)| *node == number) {
        memory = match held {
            None => memory.without(&at(file)),
            Some("") => memory.file(&at(file), "", 0o600),
            Some(other) => match memory.bytes(&at(other)).map(<[u8]>::to_vec) {
                Some(bytes) => memory.file(&at(file), bytes, 0o600),
                None => memory,
            },
        };
    }
    memory
}

fn members(changes: &[Change]) -> Cluster {
    let made = |number: usize| {
        let memory = MADE[&Place::Usual][number].clone();
        changed(memory.running("etcd".parse().unwrap(), etcd(number)), changes, number)
    };
    Cluster::new(2, Place::Usual, made, CLOCKS[0])
}

/// The key of the CA is on one member and its certificate on the other one, and what both share has to be issued on the one and copied to the other: whichever comes first,
/// nobody can sign.
#[test]
fn what_is_shared_is_not_issued_while_the_ca_is_missing_where_its_key_is() {
    let cluster = members(&[
        (0, "ca.key", None),
        (1, "ca.crt", None),
        (0, "monitor.crt", Some("client.crt")),
        (1, "monitor.crt", Some("")),
    ]);
    let plan = cluster.planned().unwrap();
    if plan.applicable {
        let (report, _) = cluster.apply(&plan);
        assert_eq!(report.outcome, Outcome::Done, "{}", shown(&plan, &report));
        return;
    }
    let found = reasons(&plan);
    assert!(found.iter().any(|reason| reason.contains("/etc/etcd/pki/ca.crt on member-1")), "{found:?}");
}
