//! All nodes asked at once.
//!
//! What enters is the nodes, each behind [`Inspect`] with its own request; what leaves is [`Observed`], with an answer for
//! every node that was asked. A node that fails is unreachable with its reason, and delays the others no more than any node does; one that hangs is
//! given up after a time, and whatever reads it may go on by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use jiff::Timestamp;

use crate::protocol::facts::{Answer, NodeFacts, ObserveRequest, Observed};
use crate::protocol::node::{Inspect, NodeError};
use crate::types::format::with_causes;
use crate::types::names::NodeName;

/// Nodes that are asked at the same time: enough for the control planes there are, few enough for connections and open files.
const AT_ONCE: usize = 32;

/// How long a node may take to answer unless the user says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A node and what it is asked.
pub type Question<'a> = (&'a (dyn Inspect + Sync), ObserveRequest);

/// Asks every node its question, and waits for each as long as `patience`. `observed_at` is our own clock.
pub fn observe_all(
    nodes: &BTreeMap<NodeName, Question<'_>>,
    observed_at: Timestamp,
    patience: Duration,
) -> Observed {
    let mut answers = at_once(nodes, |(node, request)| ask(*node, request, patience));
    // A node without an answer must not be missing from the result, not even when the thread that asked it died.
    for name in nodes.keys() {
        answers.entry(name.clone()).or_insert_with(broke_off);
    }
    Observed { observed_at, nodes: answers }
}

/// Does the same with every node, with many of them at the same time. A node with which that panics is missing from the result.
pub fn at_once<'n, N: Sync, T: Send>(
    nodes: &'n BTreeMap<NodeName, N>,
    ask: impl Fn(&'n N) -> T + Sync,
) -> BTreeMap<NodeName, T> {
    let waiting: Vec<(&NodeName, &N)> = nodes.iter().collect();
    let next = AtomicUsize::new(0);
    let ask_until_done = || {
        let mut answers = Vec::new();
        while let Some((name, node)) = waiting.get(next.fetch_add(1, Ordering::Relaxed)) {
            answers.push(((*name).clone(), ask(node)));
        }
        answers
    };
    let mut answers = BTreeMap::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..waiting.len().min(AT_ONCE)).map(|_| scope.spawn(ask_until_done)).collect();
        for thread in threads {
            answers.extend(thread.join().unwrap_or_default());
        }
    });
    answers
}

/// The answer of one node.
fn ask(node: &(dyn Inspect + Sync), request: &ObserveRequest, patience: Duration) -> Answer {
    let Some(view) = node.detached() else { return answer(node.observe(request)) };
    let (answered, arrival) = channel();
    let request = request.clone();
    std::thread::spawn(move || {
        let told = answer(view.observe(&request));
        // Before the answer, with which the program may end: whoever lets go of a connection last closes it.
        drop(view);
        // Nobody waits any more when the time is over.
        let _heard = answered.send(told).is_ok();
    });
    match arrival.recv_timeout(patience) {
        Ok(answer) => answer,
        Err(RecvTimeoutError::Timeout) => {
            Answer::Unreachable { reason: format!("no answer within {} s", patience.as_secs_f32()) }
        }
        Err(RecvTimeoutError::Disconnected) => broke_off(),
    }
}

fn broke_off() -> Answer {
    Answer::Unreachable { reason: "the reading of this node broke off".to_owned() }
}

fn answer(result: Result<NodeFacts, NodeError>) -> Answer {
    match result {
        Ok(facts) => Answer::Facts(facts),
        Err(error) => Answer::Unreachable { reason: with_causes(&error) },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Barrier;

    use jiff::Timestamp;

    use super::*;
    use crate::agent::Memory;
    use crate::protocol::facts::{Expect, Seen};

    fn name(number: usize) -> NodeName {
        format!("cp-{number}").parse().unwrap()
    }

    /// A node that answers only when `together` of its kind are asked at the same time.
    struct Waiting {
        together: Arc<Barrier>,
    }

    impl Inspect for Waiting {
        fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
            self.together.wait();
            Memory::new(Timestamp::UNIX_EPOCH).observe(request)
        }
    }

    /// A node whose reading is a bug.
    struct Broken;

    impl Inspect for Broken {
        fn observe(&self, _: &ObserveRequest) -> Result<NodeFacts, NodeError> {
            panic!("a bug in the reading of one node")
        }
    }

    /// Asks all of these nodes for the same file, at the start of Unix time.
    fn ask<N: Inspect + Sync>(nodes: &[N], path: &str) -> Observed {
        let questions = nodes.iter().enumerate().map(|(number, node)| -> (NodeName, Question<'_>) {
            (
                name(number),
                (
                    node,
                    ObserveRequest {
                        files: BTreeMap::from([(path.to_owned(), Expect::Text)]),
                        state_directory: None,
                        ..ObserveRequest::default()
                    },
                ),
            )
        });
        observe_all(&questions.collect(), Timestamp::UNIX_EPOCH, Duration::from_secs(1))
    }

    #[test]
    fn every_node_that_is_asked_has_an_answer() {
        let node = |number: usize| {
            let memory = Memory::new(Timestamp::UNIX_EPOCH).file("/number", number.to_string(), 0o644);
            if number % 10 == 3 { memory.unreachable("no route to host") } else { memory }
        };
        let observed = ask(&(0..100).map(node).collect::<Vec<_>>(), "/number");
        assert_eq!(observed.nodes.len(), 100);
        for (number, answer) in (0..100).map(|number| (number, &observed.nodes[&name(number)])) {
            match answer {
                Answer::Facts(facts) => {
                    let file = facts.files["/number"].shown().unwrap();
                    assert_eq!(file.sha256, Some(crate::x509::Sha256::of(number.to_string().as_bytes())));
                }
                Answer::Skipped => panic!("every node was asked"),
                Answer::Unreachable { reason } => {
                    let expected = (3, "the node cannot be reached: no route to host");
                    assert_eq!((number % 10, reason.as_str()), expected);
                }
            }
        }
    }

    #[test]
    fn nodes_are_asked_at_the_same_time() {
        let together = Arc::new(Barrier::new(AT_ONCE));
        let nodes: Vec<Waiting> = (0..AT_ONCE).map(|_| Waiting { together: together.clone() }).collect();
        let observed = ask(&nodes, "/x");
        let absent = |answer: &Answer| answer.facts().is_some_and(|facts| facts.files["/x"] == Seen::Absent);
        assert!(observed.nodes.values().all(absent));
    }

    #[test]
    fn a_bug_in_the_reading_of_one_node_leaves_it_unreachable_and_not_missing() {
        assert!(ask(&[Broken], "/x").nodes[&name(0)].facts().is_none());
    }

    /// A node that does not answer before its other end is dropped, or never.
    #[derive(Clone)]
    struct Hanging(Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>);

    impl Inspect for Hanging {
        fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
            let _released = self.0.lock().unwrap().recv();
            Memory::new(Timestamp::UNIX_EPOCH).observe(request)
        }

        fn detached(&self) -> Option<Box<dyn Inspect + Send>> {
            Some(Box::new(self.clone()))
        }
    }

    #[test]
    fn a_node_that_hangs_is_given_up_and_the_others_are_seen() {
        let (release, released) = channel();
        let hanging = Hanging(Arc::new(released.into()));
        let good = Memory::new(Timestamp::UNIX_EPOCH);
        let nodes: [Box<dyn Inspect + Sync>; 2] = [Box::new(hanging), Box::new(good)];
        let observed = ask(&nodes, "/x");
        let expected = Answer::Unreachable { reason: "no answer within 1 s".to_owned() };
        assert_eq!(observed.nodes[&name(0)], expected);
        assert!(observed.nodes[&name(1)].facts().is_some());
        drop(release);
        let (release, released) = channel();
        drop::<std::sync::mpsc::Sender<()>>(release);
        assert!(ask(&[Hanging(Arc::new(released.into()))], "/x").nodes[&name(0)].facts().is_some());
    }

    #[test]
    fn no_nodes_give_no_answers() {
        assert_eq!(ask::<Memory>(&[], "/x"), Observed::default());
    }
}
