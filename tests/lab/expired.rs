//! Clusters that have died of their certificates: one run brings them back.

use std::path::Path;
use std::process::Command;

use crate::ROOT;
use crate::etcd::Cluster;
use crate::nodes::{Node, wait_until};
use crate::well;

/// Runs commands as a person would by hand, with what the scenarios share, on the disk of a node.
fn by_hand(node: &Node, commands: &str) {
    let library = Path::new(ROOT).join("tests/scenarios/lib.sh");
    let mut bash = Command::new("bash");
    bash.args(["-c", "set -euo pipefail; source \"$0\"; eval \"$1\""]).arg(library).arg(commands);
    well(&bash.current_dir(node.disk("")).output().unwrap());
}

/// The same certificates, issued in the past.
const EXPIRE: &str = "for name in server peer client; do \
    reissue etc/etcd/pki/$name etc/etcd/pki/ca 20250101000000Z 20260101000000Z; done";

fn state(node: &Node) -> String {
    node.run("systemctl show etcd -p ActiveState --value").trim().to_owned()
}

/// Every member was stopped, and waits for the others since.
fn all_are_started_again(cluster: &Cluster) {
    cluster.nodes.iter().for_each(|node| {
        node.run("systemctl stop etcd");
    });
    for node in &cluster.nodes {
        node.run("systemctl start --no-block etcd");
        wait_until("etcd waits for the others", || state(node) == "activating");
    }
}

fn each_port_shows_what_is_in_its_file(cluster: &Cluster) {
    for node in &cluster.nodes {
        assert_eq!(cluster.shows(node, 2379), cluster.in_file(node, "server"));
        assert_eq!(cluster.shows(node, 2380), cluster.in_file(node, "peer"));
    }
}

#[test]
fn etcd_whose_certificates_have_all_expired_comes_back_with_one_run() {
    let cluster = Cluster::new();
    cluster.write();
    cluster.nodes.iter().for_each(|node| by_hand(node, EXPIRE));
    all_are_started_again(&cluster);
    // As after so many failures that systemd has given up.
    let folder = cluster.nodes[1].disk("etc/systemd/system/etcd.service.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("once.conf"), "[Service]\nRestart=no\n").unwrap();
    cluster.nodes[1].run("systemctl daemon-reload; systemctl kill --signal=KILL etcd");
    wait_until("etcd has failed", || state(&cluster.nodes[1]) == "failed");
    let text = cluster.controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert!(text.contains("phase 1, to bring etcd back, whose members wait for each other"), "{text}");
    let text = cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(text.contains("follows a leader"), "{text}");
    cluster.everything_written_is_there();
    each_port_shows_what_is_in_its_file(&cluster);
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}

/// Another CA of the same name, with its key, in the place of that of the cluster.
const ANOTHER_CA: &str = "rm etc/etcd/pki/ca.key; new_ca etc/etcd/pki/ca etcd-ca";

/// All that it has signed, signed by the CA that lies there.
const BELOW_IT: &str = "for name in server peer client; do \
    reissue etc/etcd/pki/$name etc/etcd/pki/ca $CA_STARTS 20271121234434Z; done";

/// Two of three members have a CA that the third one has not.
fn two_have_another_ca(cluster: &Cluster) {
    by_hand(&cluster.nodes[1], ANOTHER_CA);
    let from = cluster.nodes[1].disk("etc/etcd/pki");
    by_hand(&cluster.nodes[2], &format!("cp {0}/ca.crt {0}/ca.key etc/etcd/pki/", from.display()));
}

/// Without the flag it is said what is broken and what would be done, and nothing is touched; with it one run heals everything.
fn is_healed_where_an_outage_is_accepted(cluster: &Cluster) {
    let starts = cluster.starts();
    let text = cluster.controller.ends(3, &["plan", "-f", "spec.yaml"]);
    let [one, two, three] = [0, 1, 2].map(|index| &cluster.nodes[index].name);
    assert!(
        text.contains("etcd-ca has become two CAs")
            && text.contains(&format!("which is held with its key on {two}, {three}, puts it on {one}"))
            && text.contains("--accept-outage keeps CN=etcd-ca"),
        "{text}"
    );
    let text = cluster.controller.ends(3, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(text.contains("Plan: blocked by"), "{text}");
    assert_eq!(cluster.starts(), starts);
    let text = cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--accept-outage"]);
    assert!(text.contains("Outage, accepted: etcd-ca has become two CAs"), "{text}");
    cluster.everything_written_is_there();
    each_port_shows_what_is_in_its_file(cluster);
    let authority = |node: &Node| cluster.in_file(node, "ca");
    assert_eq!(authority(&cluster.nodes[0]), authority(&cluster.nodes[1]));
    assert_eq!(authority(&cluster.nodes[2]), authority(&cluster.nodes[1]));
    for flags in [&["--exit-code"][..], &["--exit-code", "--accept-outage"]] {
        cluster.controller.ends(0, &[&["plan", "-f", "spec.yaml"][..], flags].concat());
    }
    cluster.is_left_clean();
}

#[test]
fn members_that_refuse_each_other_for_two_cas_are_healed_where_an_outage_is_accepted() {
    let cluster = Cluster::new();
    cluster.write();
    two_have_another_ca(&cluster);
    all_are_started_again(&cluster);
    is_healed_where_an_outage_is_accepted(&cluster);
}

#[test]
fn a_member_that_the_others_have_left_behind_with_their_new_ca_is_healed_where_an_outage_is_accepted() {
    let cluster = Cluster::new();
    cluster.write();
    std::fs::write(cluster.nodes[0].disk("var/lib/tests/stop"), "").unwrap();
    wait_until("the writer has stopped", || cluster.nodes[0].disk("var/lib/tests/stopped").exists());
    two_have_another_ca(&cluster);
    cluster.nodes.iter().for_each(|node| {
        node.run("systemctl stop etcd");
    });
    for node in &cluster.nodes[1..] {
        by_hand(node, BELOW_IT);
    }
    cluster.nodes.iter().for_each(|node| {
        node.run("systemctl start --no-block etcd");
    });
    wait_until("two of three have a quorum", || state(&cluster.nodes[1]) == "active");
    wait_until("the third one waits", || state(&cluster.nodes[0]) == "activating");
    is_healed_where_an_outage_is_accepted(&cluster);
}
