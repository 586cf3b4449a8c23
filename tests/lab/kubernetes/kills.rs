//! A control plane on which an apply is hit: the controller is killed, or the node's process, or the node loses its power, while clients use the cluster.
//!
//! Each time the cluster is ready again by itself, the next run finishes, nothing is due after it, and nothing of pki is left. One blow of each kind, at a quarter, the half
//! and three quarters of what is said between controller and node; at each message with `PKI_LAB_ALL=1`.

use crate::cluster::Cluster;
use crate::judges::each_port_shows_its_file;
use crate::load::Load;
use crate::nodes::{DEADLINE, within};
use crate::tap::Tap;

/// A certificate that etcd takes up by itself, and one for which a pod is replaced.
const APPLY: [&str; 10] = [
    "apply",
    "-f",
    "spec.yaml",
    "--yes",
    "--lock-timeout",
    "2m",
    "--replace",
    "etcd-peer@cp-2",
    "--replace",
    "scheduler.conf@cp-2",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    KillController,
    KillNode,
    PowerCycle,
}

#[test]
fn an_apply_that_is_hit_leaves_a_cluster_that_works_and_the_next_one_finishes() {
    let cluster = Cluster::up();
    let tap = Tap::on(&cluster.planes[1]);
    tap.order("");
    cluster.controller.ends(0, &APPLY);
    let messages = tap.count();
    assert!(messages > 8, "{messages}");
    for (quarter, blow) in (1..).zip([Blow::KillController, Blow::KillNode, Blow::PowerCycle]) {
        let load = Load::on(&cluster);
        let numbers: Vec<usize> = match std::env::var_os("PKI_LAB_ALL") {
            Some(_) => (1..=messages).collect(),
            None => vec![messages * quarter / 4],
        };
        for number in &numbers {
            hit(&cluster, &tap, blow, *number);
        }
        let used = load.end();
        used.tell(&format!("{blow:?} at messages {numbers:?} of {messages}"));
        // What loses its power answers nobody, and takes what is under way on the endpoint with it.
        let may_fail: &[&str] =
            if blow == Blow::PowerCycle { &["cp-1", "cp-2", "cp-3", "endpoint"] } else { &[] };
        used.none_failed_but_through(may_fail);
    }
    each_port_shows_its_file(&cluster);
    cluster.planes[1].install(&cluster.controller.program, "usr/local/bin/pki");
    cluster.is_left_clean();
}

fn hit(cluster: &Cluster, tap: &Tap<'_>, blow: Blow, number: usize) {
    let context = format!("{blow:?} at message {number}");
    let node = &cluster.planes[1];
    tap.order(&if blow == Blow::KillNode { format!("kill {number}") } else { format!("hold {number}") });
    let mut run = cluster.controller.start(&APPLY);
    if blow != Blow::KillNode {
        assert!(within(DEADLINE, || tap.holds() || run.has_ended()), "{context}: not reached");
        assert!(tap.holds(), "{context}: not held");
    }
    match blow {
        Blow::KillController => run.kill(),
        Blow::KillNode => {}
        Blow::PowerCycle => {
            node.power("kill");
            node.power("on");
        }
    }
    tap.go_on();
    if blow != Blow::KillController {
        let output = cluster.controller.ended(run);
        assert_ne!(output.status.code(), Some(0), "{context}: {output:?}");
    }
    cluster.is_ready();
    tap.order("");
    cluster.controller.ends(0, &APPLY);
    cluster.is_ready();
    cluster.nothing_is_to_be_done();
}
