//! Authorities that have become several: what an outage, once it is accepted, makes of them.
#![expect(clippy::disallowed_methods, reason = "clusters are folders, and their faults are made by programs")]

use std::path::Path;

use pki::plan::model::outcome::{Outcome, VisitEnd};
use pki::plan::{Options, PlanContent};
use pki::simulate::Plan;
use pki::x509::Certificate;

use crate::scenario::scenarios::set_up;
use crate::support::by_hand::by_hand;
use crate::support::cluster::{Cluster, ROOT, golden, plan_text};

fn accepting() -> Options {
    Options { accept_outage: true, ..Options::default() }
}

fn scenario(name: &str) -> (std::path::PathBuf, Cluster) {
    let folder = Path::new(ROOT).join("tests/scenarios").join(name);
    let cluster = set_up(&folder).unwrap();
    (folder, cluster)
}

/// What kubeadm does when it is run again on two of three nodes: each has made a CA of its own.
const EACH_ITS_OWN: &str = r#"
for node in cp-2 cp-3; do
  rm $node/$PKI/etcd/ca.key
  new_ca $node/$PKI/etcd/ca etcd-ca
  for name in etcd/server etcd/peer etcd/healthcheck-client apiserver-etcd-client; do
    reissue $node/$PKI/$name $node/$PKI/etcd/ca $CA_STARTS 20271121234434Z
  done
done
"#;

fn authority(cluster: &Cluster, node: &str) -> Certificate {
    let text = std::fs::read(cluster.path().join(node).join("etc/kubernetes/pki/etcd/ca.crt")).unwrap();
    pki::x509::pem::read(&text).certificates().next().unwrap().clone()
}

/// One run, after which nothing is left to do.
fn heals(cluster: &Cluster, plan: &Plan) {
    assert!(plan.applicable && !plan.accepted_outages.is_empty(), "{}", pki::output::plan(plan));
    assert_eq!(cluster.apply(plan).outcome, Outcome::Done);
    for options in [Options::default(), accepting()] {
        let after = cluster.plan(&options);
        assert!(after.is_empty(), "{}", pki::output::plan(&after));
    }
}

#[test]
fn the_ca_that_most_nodes_hold_with_its_key_stays_and_everything_else_is_replaced() {
    let (folder, cluster) = scenario("ca-of-two-nodes-foreign");
    let ours = Cluster::unpack().report().digests();
    let stays = authority(&cluster, "cp-2");
    let plan = cluster.plan(&accepting());
    golden(&folder.join("plan-accepted.txt"), &plan_text(&plan, &ours)).unwrap();
    heals(&cluster, &plan);
    assert!(["cp-1", "cp-2", "cp-3"].iter().all(|node| authority(&cluster, node) == stays));
}

#[test]
fn the_ca_that_the_spec_names_stays_whoever_holds_it() {
    let cluster = Cluster::unpack();
    by_hand(cluster.path(), EACH_ITS_OWN);
    let plan = cluster.plan(&accepting());
    assert!(!plan.applicable, "nobody knows which one is right");
    let blocked = &plan.blocked[0];
    assert!(blocked.because.starts_with("etcd-ca has become 3 CAs"), "{}", blocked.because);
    assert!(blocked.because.ends_with("on more nodes than any other"), "{}", blocked.because);
    assert!(blocked.help.as_ref().is_some_and(|help| help.contains("spec.authorities.etcd-ca.source")));
    let stays = authority(&cluster, "cp-3");
    for (from, to) in [("ca.crt", "root.crt"), ("ca.key", "root.key")] {
        let from = cluster.path().join("cp-3/etc/kubernetes/pki/etcd").join(from);
        std::fs::copy(from, cluster.path().join(to)).unwrap();
    }
    let spec = cluster.path().join("spec.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    let declared =
        "\nspec:\n  authorities: { etcd-ca: { source: { certificate: root.crt, key: root.key } } }\n";
    std::fs::write(&spec, text.replacen("\nspec:\n", declared, 1)).unwrap();
    heals(&cluster, &cluster.plan(&accepting()));
    assert!(["cp-1", "cp-2", "cp-3"].iter().all(|node| authority(&cluster, node) == stays));
}

#[test]
fn where_no_outage_is_needed_accepting_one_changes_nothing() {
    for name in ["leaf-expired", "everything-expired", "in-agreement", "ca-differs-on-one-node"] {
        let (_, cluster) = scenario(name);
        let (plan, accepted) = (cluster.plan(&Options::default()), cluster.plan(&accepting()));
        // Of what was asked for, and of the name that follows from it, both tell.
        let (options, id) = (plan.options.clone(), plan.id.clone());
        let accepted = PlanContent { options, id, ..(*accepted).clone() };
        assert_eq!(
            serde_json::to_string(&plan).unwrap(),
            serde_json::to_string(&accepted).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn of_two_workers_at_once_one_fails_and_the_other_is_done() {
    let (_, cluster) = scenario("workers-two-at-once");
    std::fs::write(cluster.path().join("w-2/restart"), "touch etc/restarted; exit 1\n").unwrap();
    let plan = cluster.plan(&Options::default());
    let report = cluster.apply(&plan);
    let ends: Vec<&str> = report.visits.iter().map(|visit| word(&visit.end)).collect();
    assert_eq!((report.outcome, ends), (Outcome::Partial, vec!["committed", "undone", "not started"]));
    std::fs::write(cluster.path().join("w-2/restart"), "").unwrap();
    assert_eq!(cluster.apply(&cluster.plan(&Options::default())).outcome, Outcome::Done);
    assert!(cluster.plan(&Options::default()).is_empty());
}

fn word(end: &VisitEnd) -> &'static str {
    match end {
        VisitEnd::NotStarted | VisitEnd::DoneBefore => "not started",
        VisitEnd::Committed | VisitEnd::NotClosed(_) => "committed",
        VisitEnd::Undone(_) => "undone",
        VisitEnd::Refused(_)
        | VisitEnd::Disconnected(_)
        | VisitEnd::TakenBack
        | VisitEnd::Left(_)
        | VisitEnd::Saved(_)
        | VisitEnd::UndoFailed { .. } => "otherwise",
    }
}
