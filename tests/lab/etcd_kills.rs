//! A renewal and restart of etcd under a writer, interrupted at each visit: the controller is killed, or the node's process, or the node loses its power.
//!
//! Each time etcd becomes healthy again by itself, the next run finishes, nothing is due after it, and in the end each member has every acknowledged write.

use std::time::{Duration, Instant};

use crate::etcd::{Cluster, after_everything_made_so_far};
use crate::nodes::{DEADLINE, within};
use crate::tap::Tap;

/// How long etcd may take to be healthy again when nobody does anything.
const BY_ITSELF: Duration = Duration::from_secs(30);

/// The moments of a visit, by what the node is about to be told then.
const MOMENTS: [(&str, &str); 3] = [
    ("begun", r#"{"perform":{"makeKeys""#),
    ("written", r#"{"perform":{"run""#),
    ("restarted", r#"{"perform":{"await""#),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    KillController,
    KillNode,
    PowerCycle,
}

#[test]
fn the_controller_is_killed_at_each_visit() {
    at_each_visit(Blow::KillController, 0);
}

#[test]
fn the_nodes_process_is_killed_at_each_visit() {
    at_each_visit(Blow::KillNode, 1);
}

#[test]
fn the_node_is_rebooted_at_each_visit() {
    at_each_visit(Blow::PowerCycle, 2);
}

/// The blow at each visit, each time at another moment, the first time at this one; at each moment of each visit with `PKI_LAB_ALL`.
fn at_each_visit(blow: Blow, first: usize) {
    let cluster = Cluster::new();
    for node in &cluster.nodes {
        // As where a member starts with its machine.
        let link = node.disk("etc/systemd/system/multi-user.target.wants/etcd.service");
        std::os::unix::fs::symlink("/lib/systemd/system/etcd.service", link).unwrap();
    }
    let taps: Vec<Tap<'_>> = cluster.nodes.iter().map(Tap::on).collect();
    cluster.write();
    let times = if std::env::var_os("PKI_LAB_ALL").is_some() { MOMENTS.len() } else { 1 };
    for time in 0..times {
        for visit in 0..cluster.nodes.len() {
            step(&cluster, &taps, blow, visit, (visit + first + time) % MOMENTS.len());
        }
    }
    cluster.everything_written_is_there();
    cluster.is_left_clean();
}

fn step(cluster: &Cluster, taps: &[Tap<'_>], blow: Blow, visit: usize, moment: usize) {
    let (words, told) = MOMENTS[moment];
    let (node, tap) = (&cluster.nodes[visit], &taps[visit]);
    let context = format!("{blow:?} on {} when it has {words}", node.name);
    // Everything is due: each certificate, and for its authority's file, which looks as if it had been changed by hand, each member's restart.
    let cut_off = after_everything_made_so_far(node);
    cluster.spec(&format!("  authorities: {{ etcd-ca: {{ reissueIssuedBefore: \"{cut_off}\" }} }}\n"));
    cluster.nodes.iter().for_each(|node| {
        node.run("touch /etc/etcd/pki/ca.crt");
    });
    taps.iter().for_each(|tap| tap.order(""));
    tap.order(&format!("{} {told}", if blow == Blow::KillNode { "kill-at" } else { "hold-at" }));
    let mut run = cluster.controller.start(&["apply", "-f", "spec.yaml", "--yes"]);
    if blow != Blow::KillNode {
        let begun = Instant::now();
        assert!(within(DEADLINE, || tap.holds() || run.has_ended()), "{context}: not reached");
        assert!(tap.holds(), "{context}: ended before, after {:?}", begun.elapsed());
    }
    match blow {
        Blow::KillController => run.kill(),
        Blow::KillNode => {}
        Blow::PowerCycle => {
            node.power("kill");
            node.power("on");
            if visit == 0 {
                cluster.start_writer();
            }
        }
    }
    tap.go_on();
    if blow != Blow::KillController {
        let output = cluster.controller.ended(run);
        assert_ne!(output.status.code(), Some(0), "{context}: {output:?}");
    }
    let healthy = || {
        let health = ". /var/lib/tests/client; etcdctl --endpoints $all --command-timeout 3s endpoint health";
        cluster.nodes[0].ssh(health).status.success()
    };
    assert!(within(BY_ITSELF, healthy), "{context}: etcd is not healthy by itself");
    taps.iter().for_each(|tap| tap.order(""));
    cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--lock-timeout", "1m"]);
    assert!(within(BY_ITSELF, healthy), "{context}: etcd is not healthy after the next run");
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
}
