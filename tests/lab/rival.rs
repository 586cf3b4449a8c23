//! Two runs at once: the second one waits for the first, or for the node that still undoes it, or is told who is at work.

use std::path::Path;

use crate::PLACES;
use crate::controller::{Controller, ended_with};
use crate::nodes::{Node, wait_until};
use crate::specs::{Reached, Spec, give, made};
use crate::tap::Tap;

/// Where the program of the service's restart keeps what it does.
const TESTS: &str = "var/lib/tests";
/// The restart: begins, waits until it may end, and ends; each time is written down by the one clock that all nodes of the lab have. It first waits for `may-end-1`,
/// then for `may-end-2`, and so on.
const RESTART: &str = "#!/bin/sh
set -e
cd /var/lib/tests
number=$(($(cat restarts) + 1))
echo $number >restarts
date +%s%N >>times
until test -e may-end-$number; do sleep 0.02; done
date +%s%N >>times
";

/// Three control planes whose schedulers are due, and whose restarts the test holds.
struct Cluster {
    nodes: Vec<Node>,
    controller: Controller,
}

impl Cluster {
    fn new() -> Self {
        let (nodes, controller) = Controller::of_cluster();
        let more =
            "  services: { kube-scheduler: { restart: { command: [/bin/sh, /var/lib/tests/restart] } } }\n";
        controller.spec(&Spec { more, ..Spec::default() }.text(Reached::There));
        for ((name, _), node) in PLACES.iter().zip(&nodes) {
            give(node, &made().join(name));
            std::fs::create_dir_all(node.disk(TESTS)).unwrap();
            std::fs::write(node.disk(TESTS).join("restart"), RESTART).unwrap();
            std::fs::write(node.disk(TESTS).join("restarts"), "0").unwrap();
        }
        Self { nodes, controller }
    }

    fn restarts(&self, node: usize) -> usize {
        std::fs::read_to_string(self.nodes[node].disk(TESTS).join("restarts"))
            .unwrap()
            .trim()
            .parse()
            .unwrap_or(0)
    }

    fn wait_for_restart(&self, node: usize, number: usize) {
        wait_until("the service is not restarted", || self.restarts(node) == number);
    }

    fn may_end(&self, node: usize, number: usize) {
        std::fs::write(self.nodes[node].disk(TESTS).join(format!("may-end-{number}")), "").unwrap();
    }

    /// From when to when the services of a node were restarted.
    fn times(&self, node: usize) -> Vec<(u128, u128)> {
        let text = std::fs::read_to_string(self.nodes[node].disk(TESTS).join("times")).unwrap_or_default();
        let times: Vec<u128> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(times.len() % 2, 0, "a restart has begun and not ended");
        times.chunks(2).map(|pair| (pair[0], pair[1])).collect()
    }

    fn scheduler(&self, node: usize) -> Vec<u8> {
        std::fs::read(self.nodes[node].disk("etc/kubernetes/scheduler.conf")).unwrap()
    }

    fn is_left_clean(&self) {
        for node in &self.nodes {
            node.is_left_clean("afterwards");
        }
        self.controller.is_left_clean();
    }
}

fn apply<'a>(address: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["apply", "-f", "spec.yaml", "--yes", "--only", address], more].concat()
}

#[test]
fn a_run_waits_for_the_node_that_still_undoes_what_a_dead_run_began() {
    let cluster = Cluster::new();
    for node in &cluster.nodes {
        Tap::on(node).order("");
    }
    let before = [cluster.scheduler(0), cluster.scheduler(1)];
    let mut dying = cluster.controller.start(&apply("scheduler.conf@cp-1", &[]));
    cluster.wait_for_restart(0, 1);
    dying.kill();
    cluster.may_end(0, 1);
    // The node has noticed, and restarts the service with the old file.
    cluster.wait_for_restart(0, 2);
    assert_eq!(cluster.scheduler(0), before[0]);

    // Whoever does not wait is told who is at work.
    let refused = cluster.controller.ends(5, &apply("scheduler.conf@cp-2", &["--lock-timeout", "0s"]));
    assert!(refused.contains("cp-1") && refused.contains("run "), "{refused}");
    assert_eq!(cluster.scheduler(1), before[1]);

    let tap = Tap::on_running(&cluster.nodes[0]);
    let tries = || tap.said().iter().filter(|said| said.message.starts_with(br#"{"lock":"#)).count();
    let tried = tries();
    let mut waiting = cluster.controller.start(&apply("scheduler.conf@cp-2", &["--lock-timeout", "2m"]));
    wait_until("the second run does not try again", || tries() >= tried + 3);
    assert!(!waiting.has_ended());
    assert_eq!((cluster.scheduler(1), cluster.restarts(1)), (before[1].clone(), 0), "it has not begun");
    cluster.may_end(0, 2);
    cluster.may_end(1, 1);
    ended_with(0, &cluster.controller.ended(waiting));
    assert_eq!(cluster.scheduler(0), before[0], "undone");
    assert_ne!(cluster.scheduler(1), before[1], "done");
    let (first, second) = (cluster.times(0), cluster.times(1));
    assert_eq!((first.len(), second.len()), (2, 1));
    assert!(first[1].1 < second[0].0, "two control planes were restarted at once: {first:?} and {second:?}");
    cluster.is_left_clean();
}

#[test]
fn a_second_controller_is_told_who_is_at_work_and_disturbs_nobody() {
    let cluster = Cluster::new();
    for node in &cluster.nodes {
        node.install(Path::new(env!("CARGO_BIN_EXE_pki")), "usr/local/bin/pki");
    }
    let other = cluster.scheduler(1);
    let mut first = cluster.controller.start(&apply("scheduler.conf@cp-1", &[]));
    cluster.wait_for_restart(0, 1);
    let status = cluster.controller.ends(0, &["lock", "status", "-f", "spec.yaml"]);
    let held =
        status.lines().find(|line| line.starts_with("cp-1")).and_then(|line| line.split(" since ").next());
    let held = held.and_then(|line| line.split("held by ").nth(1)).unwrap();
    let refused = cluster.controller.ends(5, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(refused.contains(held), "{held}: {refused}");
    // Whoever only looks is not refused.
    cluster.controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert_eq!(cluster.scheduler(1), other);
    assert!(!first.has_ended());
    cluster.may_end(0, 1);
    ended_with(0, &cluster.controller.ended(first));
    cluster.may_end(1, 1);
    cluster.controller.ends(0, &apply("scheduler.conf@cp-2", &[]));
    cluster.is_left_clean();
}

#[test]
fn the_first_interrupt_finishes_or_undoes_the_node_in_hand() {
    let cluster = Cluster::new();
    let addresses = ["--only", "scheduler.conf@cp-2"];
    let before = cluster.scheduler(1);
    let run = cluster.controller.start(&apply("scheduler.conf@cp-1", &addresses));
    cluster.wait_for_restart(0, 1);
    run.signal("INT");
    cluster.may_end(0, 1);
    cluster.may_end(0, 2);
    let told = ended_with(11, &cluster.controller.ended(run));
    assert!(told.contains("asked to stop") && told.contains("not started"), "{told}");
    assert_eq!((cluster.scheduler(1), cluster.restarts(1)), (before, 0));
    cluster.may_end(0, 3);
    cluster.may_end(1, 1);
    cluster.controller.ends(0, &apply("scheduler.conf@cp-1", &addresses));
    cluster.is_left_clean();
}

#[test]
fn the_second_interrupt_ends_the_run_and_the_node_undoes() {
    let cluster = Cluster::new();
    let before = cluster.scheduler(0);
    let mut run = cluster.controller.start(&apply("scheduler.conf@cp-1", &[]));
    cluster.wait_for_restart(0, 1);
    run.signal("TERM");
    // Two signals of one kind that nobody has taken yet are one.
    run.wait_for_words("A second signal ends pki at once.");
    run.signal("TERM");
    let output = cluster.controller.ended(run);
    // It ended by itself, and says that a node was touched.
    ended_with(11, &output);
    cluster.may_end(0, 1);
    cluster.wait_for_restart(0, 2);
    cluster.may_end(0, 2);
    cluster.nodes[0].is_left_clean("afterwards");
    assert_eq!(cluster.scheduler(0), before);
    cluster.may_end(0, 3);
    cluster.controller.ends(0, &apply("scheduler.conf@cp-1", &[]));
    cluster.is_left_clean();
}
