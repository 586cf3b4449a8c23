//! The walk over real connections: at each message of an apply, to the node and from it, one of the two ends dies, or what is between them. Each time the node
//! ends old or new, by itself where its process lives, the next run finishes, nothing is due after it, and nothing of pki is left on either machine.
//!
//! The run renews two certificates and restarts a service whose program writes down which file it reads, so that an undo that forgot the restart shows.

mod ground;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::nodes::{DEADLINE, Node};
use ground::{End, Ground};

/// No run has more messages; one that has has lost its way.
const MOST_MESSAGES: usize = 120;
/// How long the node may take to undo once nobody speaks to it any more.
const UNDO: Duration = Duration::from_secs(10);

/// What happens at a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// `kill -9` of the controller.
    KillController,
    /// `kill -9` of the node's process.
    KillNode,
    /// The processes of sshd that carry the connection are killed.
    Cut,
    /// Nothing passes any more, and nobody is told.
    Freeze(Duration),
    /// The node loses its power, and comes back.
    PowerCycle,
}

#[test]
fn the_controller_dies_at_each_message() {
    walk(2, Blow::KillController);
}

#[test]
fn the_nodes_process_dies_at_each_message() {
    walk(2, Blow::KillNode);
}

#[test]
fn the_connection_is_cut_at_each_message() {
    walk(2, Blow::Cut);
}

#[test]
fn the_connection_freezes_at_each_message() {
    // Each time the node has to wait for its own deadline.
    walk(2, Blow::Freeze(Duration::from_secs(1)));
}

#[test]
fn the_node_loses_its_power_at_each_message() {
    walk(2, Blow::PowerCycle);
}

/// Goes through the messages on so many machines at once.
fn walk(machines: usize, blow: Blow) {
    let nodes = Node::take(machines);
    // Until the greeting tells a node how long it is to wait, it waits for a minute, with nothing open.
    let next = AtomicUsize::new(if matches!(blow, Blow::Freeze(_)) { 2 } else { 1 });
    let last = AtomicUsize::new(usize::MAX);
    let ends = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| {
                let ground = Ground::on(node, blow);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > last.load(Ordering::Relaxed) {
                        break;
                    }
                    assert!(number < MOST_MESSAGES, "{blow:?}: the run has no end");
                    match step(&ground, blow, number) {
                        None => {
                            last.fetch_min(number, Ordering::Relaxed);
                        }
                        Some(end) => ends.lock().unwrap_or_else(PoisonError::into_inner).push((number, end)),
                    }
                }
                ground.controller.is_left_clean();
            });
        }
    });
    let mut ends = ends.into_inner().unwrap();
    ends.sort_unstable_by_key(|(number, _)| *number);
    let count = |wanted: End| ends.iter().filter(|(_, end)| *end == wanted).count();
    let [old, new, open] = [End::Old, End::New, End::Open].map(count);
    assert!(ends.len() > 20 && old > 4 && new >= 1, "{blow:?}: old {old}, new {new}, open {open}: {ends:?}");
    // Only a process that was killed itself cannot undo, and a loss of power ends one process after the other.
    let may_be_open = matches!(blow, Blow::KillNode | Blow::PowerCycle);
    assert!(open == 0 || may_be_open, "{blow:?}: {ends:?}");
    assert!(open > 4 || blow != Blow::KillNode, "{ends:?}");
}

/// One run that is hit at a message. None when it ended before.
fn step(ground: &Ground<'_>, blow: Blow, number: usize) -> Option<End> {
    let context = format!("{blow:?} at message {number}");
    ground.begin();
    let tap = &ground.tap;
    tap.order(&if blow == Blow::KillNode { format!("kill {number}") } else { format!("hold {number}") });
    let mut run = ground.controller.start(&ground.arguments("apply", &["--yes"]));
    if blow == Blow::KillNode {
        let output = ground.controller.ended(run);
        if tap.count() < number {
            assert_eq!(output.status.code(), Some(0), "{context}: {output:?}");
            return None;
        }
        ground.judge_words(&output, &context);
        return Some(ground.ended(&context));
    }
    let begun = Instant::now();
    while !tap.holds() {
        if run.has_ended() {
            assert_eq!(ground.controller.ended(run).status.code(), Some(0), "{context}: not even reached");
            assert!(tap.count() < number, "{context}: not held");
            return None;
        }
        assert!(begun.elapsed() < DEADLINE, "{context}: neither reached nor ended");
        std::thread::sleep(Duration::from_millis(5));
    }
    match blow {
        Blow::KillController => run.kill(),
        Blow::Cut => ground.node.kill_connections(),
        Blow::Freeze(_) => ground.node.net("cut"),
        Blow::PowerCycle => {
            ground.node.power("kill");
            ground.node.power("on");
        }
        Blow::KillNode => {}
    }
    tap.go_on();
    if let Blow::Freeze(silence) = blow {
        // Nobody can tell it that the controller is gone.
        ground.wait_until_left_alone_within(silence + UNDO, &context);
        run.kill();
        ground.node.net("join");
    }
    if matches!(blow, Blow::Cut | Blow::PowerCycle) {
        ground.judge_words(&ground.controller.ended(run), &context);
    }
    ground.wait_until_left_alone_within(UNDO, &context);
    Some(ground.ended(&context))
}
