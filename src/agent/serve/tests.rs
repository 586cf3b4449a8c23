//! What a node does when the controller goes away, falls silent, or is none.

use std::collections::BTreeSet;
use std::io::{PipeReader, PipeWriter, Write as _, pipe};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::*;
use crate::agent::{Failure, Memory};
use crate::protocol::command::{Begin, VisitId};
use crate::protocol::facts::{ObserveRequest, Seen, VisitState};
use crate::protocol::node::Inspect as _;

fn node() -> Memory {
    Memory::new("2026-11-21T12:00:00Z".parse().unwrap()).file("/data/a", "old", 0o644)
}

/// A service in a thread, and the controller's end of its pipes.
struct Served {
    to: Option<PipeWriter>,
    from: Option<PipeReader>,
    stopper: Stopper,
    thread: JoinHandle<(Memory, Ending)>,
}

impl Served {
    fn new(host: Memory, read_only: bool) -> Self {
        Self::limited(host, read_only, frame::ANSWER_LIMIT)
    }

    fn limited(mut host: Memory, read_only: bool, limit: usize) -> Self {
        let (input, to) = pipe().unwrap();
        let (from, output) = pipe().unwrap();
        let service = Service { limit, ..Service::listen(input) };
        let stopper = service.stopper();
        let thread = std::thread::spawn(move || {
            let ending = service.serve(&mut host, output, read_only, Login::LeaveForSession);
            (host, ending)
        });
        Self { to: Some(to), from: Some(from), stopper, thread }
    }

    fn greeted(host: Memory, read_only: bool, silence: u64) -> Self {
        Self::new(host, read_only).greet(silence)
    }

    fn greet(self, silence: u64) -> Self {
        let mut served = self;
        assert_eq!(served.hear()["protocol"]["major"], 1);
        served.say(&json!({ "protocol": PROTOCOL, "version": "0", "note": "", "silenceSeconds": silence }));
        served
    }

    /// A greeted service in the middle of a transaction that has written a file.
    fn at_work(host: Memory, silence: u64) -> Self {
        let mut served = Self::greeted(host, false, silence);
        let begin = Begin {
            id: VisitId { run: "7f3a-91c2".to_owned(), visit: 1 },
            paths: BTreeSet::from(["/data/b".to_owned()]),
            state_directory: "/var/lib/pki".to_owned(),
            keep: 3,
            note: String::new(),
            units: BTreeSet::new(),
            gates: BTreeSet::new(),
            gates_seconds: 0,
            links: Default::default(),
            leads: Default::default(),
            replace_foreign: BTreeSet::from(["/data/b".to_owned()]),
        };
        assert_eq!(served.ask(&json!({ "begin": begin })), json!({ "done": null }));
        let link = json!({ "perform": { "makeLink": { "path": "/data/b", "target": "a" } } });
        assert_eq!(served.ask(&link), json!({ "done": "done" }));
        served
    }

    fn say(&mut self, message: &Value) {
        let text = serde_json::to_vec(message).unwrap();
        self.write(&[&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_slice()].concat());
    }

    fn write(&mut self, bytes: &[u8]) {
        self.to.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn hear(&mut self) -> Value {
        let frame = frame::read(self.from.as_mut().unwrap(), || frame::ANSWER_LIMIT, || true).unwrap();
        serde_json::from_slice(&frame).unwrap()
    }

    fn ask(&mut self, message: &Value) -> Value {
        self.say(message);
        self.hear()
    }

    /// Closes the pipes and waits for the end.
    fn closed(mut self) -> (Memory, Ending) {
        self.to = None;
        self.from = None;
        self.ended()
    }

    fn ended(self) -> (Memory, Ending) {
        self.thread.join().unwrap()
    }
}

#[track_caller]
fn is_undone(ended: (Memory, Ending)) {
    let (host, ending) = ended;
    let Ending::Undone(undone) = ending else { panic!("{ending:?}") };
    assert_eq!((undone.state, undone.restored), (VisitState::Undone, vec!["/data/b".to_owned()]));
    assert!(host.has_files_of(&node()));
    let request = ObserveRequest { state_directory: Some("/var/lib/pki".to_owned()), ..Default::default() };
    let facts = host.observe(&request).unwrap();
    assert_eq!(facts.open_transaction, Seen::Absent);
    assert_eq!(facts.last_transaction.shown().unwrap().state, VisitState::Undone, "the next run reads it");
}

#[test]
fn a_transaction_whose_controller_is_gone_is_undone() {
    is_undone(Served::at_work(node(), 60).closed());
}

#[test]
fn answers_that_cannot_be_written_hinder_no_undo() {
    let mut served = Served::at_work(node(), 60);
    served.from = None;
    served.say(&json!("lockState"));
    is_undone(served.ended());
}

#[test]
fn a_silent_controller_is_taken_for_dead() {
    let served = Served::at_work(node(), 0);
    // The pipes are open all the time; what was asked for is less than the least.
    let (keeps_open, thread) = ((served.to, served.from), served.thread);
    is_undone(thread.join().unwrap());
    drop(keeps_open);
}

#[test]
fn a_process_that_is_told_to_end_puts_the_node_back_first() {
    let served = Served::at_work(node(), 60);
    served.stopper.stop();
    is_undone(served.ended());
}

#[test]
fn what_is_not_the_protocol_ends_the_session_and_is_undone() {
    let message = |text: &[u8]| [&u32::try_from(text.len()).unwrap().to_be_bytes(), text].concat();
    let wrong = [
        (message(b"{}"), "cannot be understood"),
        (message(b"null"), "cannot be understood"),
        (message(&b"[".repeat(100_000)), "cannot be understood"),
        (message(br#"{"perform":{"fly":{}}}"#), "cannot be understood"),
        (b"\xff\xff\xff\xff".to_vec(), "a message of 4294967295 bytes was announced"),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "\"GET \" came instead of a message"),
    ];
    for (bytes, reason) in wrong {
        let mut served = Served::at_work(node(), 60);
        served.write(&bytes);
        let last = served.hear();
        assert!(last["ended"].as_str().unwrap().contains(reason), "{last}");
        is_undone(served.ended());
    }
}

#[test]
fn a_message_that_is_torn_off_is_the_end_of_the_controller() {
    let mut served = Served::at_work(node(), 60);
    served.write(b"\0\0\0\x08\"com");
    is_undone(served.closed());
}

#[test]
fn what_was_committed_stays() {
    let mut served = Served::at_work(node(), 60);
    assert_eq!(served.ask(&json!("commit")), json!({ "done": null }));
    let (host, ending) = served.closed();
    assert_eq!(ending, Ending::Closed);
    assert!(!host.has_files_of(&node()));
}

#[test]
fn an_undo_that_fails_leaves_the_transaction_open_and_says_so() {
    let (host, ending) = Served::at_work(node().failing(Failure::Undo), 60).closed();
    assert!(matches!(ending, Ending::UndoFailed(HostError::UndoFailed { .. })), "{ending:?}");
    let request = ObserveRequest { state_directory: Some("/var/lib/pki".to_owned()), ..Default::default() };
    assert!(host.observe(&request).unwrap().open_transaction.shown().is_some());
}

#[test]
fn another_version_of_the_protocol_is_refused_with_both_named() {
    let mut served = Served::new(node(), false);
    served.hear();
    served.say(&json!({ "protocol": { "major": 2, "minor": 0 }, "version": "9.0.0", "somethingNew": [] }));
    let last = served.hear();
    let reason = last["ended"].as_str().unwrap();
    assert!(reason.contains("protocol 1") && reason.contains("9.0.0 speaks protocol 2"), "{reason}");
    assert!(matches!(served.ended().1, Ending::Refused { .. }));
}

#[test]
fn a_node_for_reading_only_can_be_looked_at_and_nothing_else() {
    let mut served = Served::greeted(node(), true, 60);
    let seen = served.ask(&json!({ "observe": { "files": { "/data/a": "text" } } }));
    assert!(seen["done"]["files"]["/data/a"]["present"].is_object(), "{seen}");
    served.say(&json!("heartbeat"));
    assert_eq!(served.ask(&json!("lockState")), json!({ "done": "free" }));
    assert_eq!(
        served.ask(&json!({ "snapshots": { "stateDirectory": "/var/lib/pki" } })),
        json!({ "done": [] })
    );
    let begin = json!({ "id": { "run": "a", "visit": 1 }, "paths": [], "stateDirectory": "/s", "keep": 1, "note": "" });
    for refused in [
        json!({ "lock": { "run": "a" } }),
        json!("unlock"),
        json!({ "begin": begin }),
        json!({ "perform": { "readShared": { "path": "/data/a" } } }),
        json!({ "perform": { "makeLink": { "path": "/x", "target": "y" } } }),
        json!("commit"),
        json!("undo"),
        json!({ "undoOpen": { "stateDirectory": "/var/lib/pki" } }),
        json!({ "prune": { "stateDirectory": "/var/lib/pki", "keep": 1 } }),
    ] {
        let answer = served.ask(&refused);
        assert!(answer["failed"]["servedReadOnly"].is_object(), "{refused}: {answer}");
    }
    let (host, ending) = served.closed();
    assert_eq!(ending, Ending::Closed);
    assert!(host.has_files_of(&node()));
}

#[test]
fn an_answer_that_is_too_large_is_told_and_the_transaction_goes_on() {
    let host = node().file("/data/large", "x".repeat(frame::MEBIBYTE), 0o600);
    let mut served = Served::limited(host, false, frame::MEBIBYTE).greet(60);
    let too_large = json!({ "failed": { "tooLarge": { "message": "node's answer", "mebibytes": 1 } } });
    let read = json!({ "perform": { "readShared": { "path": "/data/large" } } });
    assert_eq!(served.ask(&read), too_large);
    let files: serde_json::Map<String, Value> =
        (0..20_000).map(|number| (format!("/data/{number:0>60}"), json!("text"))).collect();
    assert_eq!(served.ask(&json!({ "observe": { "files": files } })), too_large);
    assert_eq!(served.ask(&json!("lockState")), json!({ "done": "free" }));
    assert_eq!(served.closed().1, Ending::Closed);
}
