//! A node at the other end is like any other, and whoever only claims to be one does no harm.

use std::io::{Cursor, PipeReader, PipeWriter, Read, Write as _, pipe};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::agent::{Login, Memory, Service};
use crate::protocol::command::Slot;
use crate::protocol::facts::Expect;
use crate::types::certificate::NewKeyAlgorithm;

fn node() -> Memory {
    Memory::new("2026-11-21T12:00:00Z".parse().unwrap()).file("/data/a", "old", 0o644)
}

fn frame_of(message: &Value) -> Vec<u8> {
    let text = serde_json::to_vec(message).unwrap();
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_slice()].concat()
}

fn hello() -> Value {
    json!({
        "protocol": PROTOCOL, "version": "0.1.0", "os": "linux", "arch": "x86_64", "pid": 1, "hostname": "cp-1",
        "uid": 0, "readOnly": false, "unknownYet": 1
    })
}

/// A connection to somebody who says these bytes, whatever he is asked, and then stays silent or goes.
fn to(said: &[u8], stays: bool) -> Result<Remote, NodeError> {
    let (silent, kept): (PipeReader, PipeWriter) = pipe().unwrap();
    let input = Cursor::new(said.to_vec()).chain(silent);
    let kept: Option<PipeWriter> = stays.then_some(kept);
    let short = Duration::from_secs(1);
    let deadlines = Deadlines { hello: short, observe: short, lock: short, perform: short, undo: short };
    let session = Session { deadlines, ..Session::default() };
    Remote::connect(input, std::io::sink(), Box::new(kept), &session)
}

/// What an observation of somebody ends with who says this after his hello.
#[track_caller]
fn refused(said: &[u8], stays: bool) -> String {
    let remote = to(&[frame_of(&hello()), said.to_vec()].concat(), stays).unwrap();
    let mut ends = [remote.observe(&ObserveRequest::default()), remote.observe(&ObserveRequest::default())];
    assert_eq!(ends[0], ends[1], "nothing more is asked, and the first reason stays");
    match std::mem::replace(&mut ends[0], Err(NodeError::Unreachable { reason: String::new() })) {
        Err(NodeError::Disconnected { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_node_is_asked_and_told_through_a_connection() {
    let (input, to) = pipe().unwrap();
    let (from, output) = pipe().unwrap();
    let served = std::thread::spawn(move || {
        let mut host = node();
        Service::listen(input).serve(&mut host, output, false, Login::LeaveForSession)
    });
    let mut remote = Remote::connect(from, to, Box::new(()), &Session::default()).unwrap();
    assert_eq!(remote.hello().pid, std::process::id());
    let files = [("/data/a".to_owned(), Expect::Text)];
    let request = ObserveRequest { files: files.into(), state_directory: None, ..ObserveRequest::default() };
    assert_eq!(remote.observe(&request), node().observe(&request));
    let claim = Claim { user: "alice".to_owned(), ..Claim::of_run("7f3a-91c2") };
    remote.lock(&claim).unwrap();
    let LockState::Held { holder: Some(holder) } = remote.lock_state().unwrap() else { panic!("it is free") };
    assert_eq!(holder.claim, claim);
    remote.unlock();
    assert_eq!(remote.lock_state(), Ok(LockState::Free));
    assert_eq!(remote.commit(), Err(HostError::NotOpen));
    assert_eq!(remote.undo_open("/var/lib/pki"), Ok(None));
    assert_eq!(remote.snapshots("/var/lib/pki"), Ok(Vec::new()));
    let question = ReadCommand::ReadShared { path: "/data/a".to_owned(), links: Default::default() };
    assert!(matches!(remote.ask(question), Ok(Reply::Shared(secret)) if secret.reveal() == b"old"));
    drop(remote);
    assert_eq!(served.join().unwrap(), crate::agent::Ending::Closed);
}

#[test]
fn a_request_that_is_too_large_is_not_sent_and_the_next_one_is_answered() {
    let (input, to) = pipe().unwrap();
    let (from, output) = pipe().unwrap();
    let served = std::thread::spawn(move || {
        Service::listen(input).serve(&mut node(), output, false, Login::LeaveForSession)
    });
    let mut remote = Remote::connect(from, to, Box::new(()), &Session::default()).unwrap();
    let claim = Claim { user: "x".repeat(frame::REQUEST_LIMIT), ..Claim::of_run("7f3a-91c2") };
    let error = remote.lock(&claim).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request to the node is larger than 48 MiB, the most that is sent at once"
    );
    assert_eq!(remote.lock_state(), Ok(LockState::Free));
    drop(remote);
    assert_eq!(served.join().unwrap(), crate::agent::Ending::Closed);
}

#[test]
fn another_version_is_told_with_both_versions() {
    let error = to(&frame_of(&json!({ "protocol": { "major": 7, "minor": 0 }, "version": "9.9.9" })), true);
    let text = error.unwrap_err().to_string();
    assert!(
        text.contains("pki 9.9.9 on the node speaks protocol 7") && text.contains("speaks protocol 1"),
        "{text}"
    );
}

#[test]
fn who_is_no_node_is_refused() {
    for (said, reason) in [
        (
            &b"Last login: today\n"[..],
            "\"Last\" came instead of a message: the login must not print anything",
        ),
        (b"", "no answer came within 1 s"),
        (b"\0\0\0\x02{}", "a message cannot be understood"),
        (b"\0\x10\0\0", "a message of 1048576 bytes was announced"),
    ] {
        let error = to(said, true).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let error = to(b"", false).unwrap_err().to_string();
    assert!(error.contains("the other end has closed it"), "{error}");
}

#[test]
fn an_answer_that_does_not_fit_ends_the_connection() {
    let unasked = frame_of(&json!({ "done": {} }));
    for (said, stays, reason) in [
        (vec![], true, "no answer came within"),
        (vec![], false, "the other end has closed it"),
        (frame_of(&json!({ "ended": "it is late" })), true, "the node ended it: it is late"),
        (unasked, true, ""),
        (b"\xff\xff\xff\xff".to_vec(), true, "a message of 4294967295 bytes was announced"),
        (frame_of(&json!({ "done": null }))[..9].to_vec(), false, "it ended in the middle of a message"),
    ] {
        let found = refused(&said, stays);
        assert!(found.contains(reason), "{found}");
    }
}

#[test]
fn an_answer_of_another_kind_is_none() {
    // The answer arrives only when it is asked for.
    let answered = |answer: Value, ask: &dyn Fn(&mut Remote) -> String| {
        let (input, to) = pipe().unwrap();
        let (from, mut output) = pipe().unwrap();
        let fake = std::thread::spawn(move || {
            let mut input = input;
            output.write_all(&frame_of(&hello())).unwrap();
            for _ in 0..2 {
                frame::read(&mut input, || frame::REQUEST_LIMIT, || true).unwrap();
            }
            output.write_all(&frame_of(&answer)).unwrap();
            input.read_to_end(&mut Vec::new()).unwrap();
        });
        let mut remote = Remote::connect(from, to, Box::new(()), &Session::default()).unwrap();
        let text = ask(&mut remote);
        assert_eq!(remote.commit().unwrap_err().to_string(), text, "nothing more is asked");
        fake.join().unwrap();
        text
    };
    let keys =
        || WriteCommand::MakeKeys { keys: [(Slot("a".to_owned()), NewKeyAlgorithm::EcdsaP256)].into() };
    for (answer, reason) in [
        (json!({ "done": "done" }), "something else than it was asked"),
        (json!({ "done": { "publicKeys": {} } }), "something else than it was asked"),
        (json!({ "done": { "shared": "aGVsbG8=" } }), "something else than it was asked"),
        (json!({ "done": null }), "not what was asked for"),
        (json!({ "done": { "publicKeys": { "a": "bm8ga2V5" } } }), "not what was asked for"),
    ] {
        let text = answered(answer, &|remote| remote.perform(keys()).unwrap_err().to_string());
        assert!(text.contains(reason) && text.ends_with("the node undoes by itself"), "{text}");
    }
}
