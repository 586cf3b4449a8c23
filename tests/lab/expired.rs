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
