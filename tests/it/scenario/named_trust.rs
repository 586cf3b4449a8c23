//! A trust file that a flag names elsewhere than the layout has it takes part in every change of its CA, or keeps it from happening by name.
#![expect(clippy::disallowed_methods, reason = "the tests change real files")]

use std::path::PathBuf;
use std::process::Command;

use pki::plan::model::outcome::Outcome;
use pki::plan::{Deed, Options, Phase};
use pki::simulate::Plan;

use crate::support::cluster::{Cluster, NODES, now};

const OWN: &str = "/etc/kubernetes/pki/etcd/ca.crt";
const NAMED: &str = "/etc/kubernetes/pki/apiserver-etcd-ca.crt";

fn at(cluster: &Cluster, node: &str, path: &str) -> PathBuf {
    cluster.path().join(node).join(path.trim_start_matches('/'))
}

/// A cluster of which every API server checks etcd with a file of its own that holds this.
fn with_named(content: &[&str], wish: &str) -> Cluster {
    let cluster = Cluster::unpack();
    for node in NODES {
        let held: String =
            content.iter().map(|path| std::fs::read_to_string(at(&cluster, node, path)).unwrap()).collect();
        std::fs::write(at(&cluster, node, NAMED), held).unwrap();
        let manifest = at(&cluster, node, "/etc/kubernetes/manifests/kube-apiserver.yaml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let flag = format!("--etcd-cafile={OWN}");
        assert!(text.contains(&flag), "the fixture names etcd's CA by another flag");
        std::fs::write(&manifest, text.replace(&flag, &format!("--etcd-cafile={NAMED}"))).unwrap();
    }
    let ca = at(&cluster, "cp-1", OWN);
    let told = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", ca.to_str().unwrap()])
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let fingerprint = told.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
    let spec = cluster.path().join("spec.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    let wish = wish.replace("FINGERPRINT", &fingerprint);
    std::fs::write(&spec, format!("{text}  authorities: {{ etcd-ca: {{ {wish} }} }}\n")).unwrap();
    cluster
}

const DISTRUST: &str = "distrust: { \"sha256:FINGERPRINT\": a test }";
const EXTEND: &str = "onExpiry: extend, validity: 20y, renewBefore: 12y";

/// The phases in which a file is written on a node.
fn written(plan: &Plan, node: &str, path: &str) -> Vec<Phase> {
    let here = plan.visits.iter().filter(|visit| visit.place.as_str() == node);
    let of_visit = |visit: &pki::plan::PlannedTransaction| {
        let writes = visit.actions.iter().any(
            |action| matches!(&action.deed, Deed::WriteBundle { file, .. } | Deed::ExtendAuthority { certificate: file, .. } if file.path == path),
        );
        writes.then_some(visit.phase)
    };
    here.filter_map(of_visit).collect()
}

/// Every node's etcd is accepted by what its API server reads, with the openssl program as judge.
fn accepts(cluster: &Cluster) {
    for node in NODES {
        let server = at(cluster, node, "/etc/kubernetes/pki/etcd/server.crt");
        let verified = Command::new("openssl")
            .args(["verify", "-attime", &now().as_second().to_string()])
            .args(["-CAfile", at(cluster, node, NAMED).to_str().unwrap(), server.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{node}: {}", String::from_utf8_lossy(&verified.stderr));
    }
}

#[test]
fn a_replacement_writes_it_when_both_are_trusted_and_when_the_old_one_is_dropped() {
    let cluster = with_named(&[OWN], DISTRUST);
    let plan = cluster.plan(&Options::default());
    assert!(plan.applicable, "{}", pki::output::plan(&plan));
    for node in NODES {
        assert_eq!(written(&plan, node, NAMED), [Phase::TrustBoth, Phase::DropOld], "{node}");
    }
    let report = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Done, "{:?}", report.failure);
    accepts(&cluster);
    for node in NODES {
        let [own, named] = [OWN, NAMED].map(|path| std::fs::read(at(&cluster, node, path)).unwrap());
        assert_eq!(own, named, "{node}");
    }
    assert!(cluster.plan(&Options::default()).visits.is_empty(), "one apply is enough");
}

#[test]
fn an_extension_writes_it_with_the_cas_own_file() {
    let cluster = with_named(&[OWN], EXTEND);
    let plan = cluster.plan(&Options::default());
    assert!(plan.applicable, "{}", pki::output::plan(&plan));
    for node in NODES {
        assert_eq!(written(&plan, node, NAMED).len(), 1, "{node}: {}", pki::output::plan(&plan));
    }
    let report = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Done, "{:?}", report.failure);
    accepts(&cluster);
    assert!(cluster.plan(&Options::default()).visits.is_empty(), "one apply is enough");
}

#[test]
fn one_that_holds_other_cas_too_is_nobodys_to_write_and_holds_both() {
    for wish in [DISTRUST, EXTEND] {
        let cluster = with_named(&[OWN, "/etc/kubernetes/pki/front-proxy-ca.crt"], wish);
        let plan = cluster.plan(&Options::default());
        for node in NODES {
            assert_eq!(written(&plan, node, NAMED), [], "{node}");
        }
        let text = pki::output::plan(&plan).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("Not by this plan: ca/etcd-ca") && text.contains(NAMED), "{wish}: {text}");
        assert!(text.contains("spec.authorities.etcd-ca.waive."), "{wish}: {text}");
        assert!(!plan.phases().any(|(phase, _)| phase == Phase::DropOld), "{wish}: {text}");
        let report = cluster.apply(&plan);
        assert_eq!(report.outcome, Outcome::Done, "{:?}", report.failure);
        accepts(&cluster);
    }
}

#[test]
fn one_that_cannot_be_read_may_hold_any_ca_and_holds_each() {
    for wish in [DISTRUST, EXTEND] {
        let cluster = with_named(&[OWN], wish);
        let named = at(&cluster, "cp-2", NAMED);
        std::fs::remove_file(&named).unwrap();
        std::os::unix::net::UnixListener::bind(&named).unwrap();
        let plan = cluster.plan(&Options::default());
        let text = pki::output::plan(&plan).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("Not by this plan: ca/etcd-ca") && text.contains(NAMED), "{wish}: {text}");
        assert!(text.contains("spec.authorities.etcd-ca.waive.kube-apiserver-etcd-cafile"), "{wish}: {text}");
        assert!(!plan.phases().any(|(phase, _)| phase == Phase::DropOld), "{wish}: {text}");
    }
}
