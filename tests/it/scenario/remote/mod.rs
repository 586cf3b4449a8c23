//! Nodes at the other end of a connection: what a run does there, what becomes of it when one of the two ends dies, and which keys are told.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

mod far;
mod hostile;
mod lies;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pki::agent::Local;
use pki::apply::Hosts;
use pki::plan::Options;
use pki::plan::model::outcome::{Outcome, Report, VisitEnd};
use pki::protocol::command::{Begin, WriteCommand};
use pki::protocol::error::HostError;
use pki::protocol::facts::{ObserveRequest, Seen, VisitState};
use pki::protocol::lock::{Claim, LockState};
use pki::protocol::node::{Host, Inspect as _};
use pki::remote::session::{Remote, Session};
use pki::simulate::Plan;
use serde_json::Value;

use crate::support::begin::begin;
use crate::support::cluster::NODES;
use crate::support::listing::{Listing, differing, without_contents};
use crate::support::made;
use crate::support::made::Made;
use crate::support::program;
use crate::support::traces;
use crate::support::traces::{frames, windows_of};
use far::{DEADLINE, Served, Spec, Then, now};

const STATE: &str = "/var/lib/pki";

#[test]
fn a_run_through_connections_ends_as_one_on_this_machine() {
    let here = Made::empty();
    let text = here.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    let there = Made::empty();
    let (spec, mut hosts, served) = connected(&there);
    let plan = spec.plan(&hosts, &Options::default());
    let report = spec.apply(&plan, &mut hosts, Duration::ZERO);
    let words = pki::output::report(&plan, &report).replace(&plan.id, "<plan>");
    let run = text.split("\napply ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(text.replace(run, "<plan>").ends_with(&words), "{words}\n{text}");
    assert_eq!(without_contents(&there.listing()), without_contents(&here.listing()));
    drop(hosts);
    let taps: Vec<_> = served.iter().map(|served| Arc::clone(&served.tap)).collect();
    for served in served {
        assert!(served.ended().success());
    }
    there.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    only_shared_keys_crossed(there.path(), &taps);
}

/// A cluster's nodes, each served by a process of its own.
fn connected(made: &Made) -> (Spec, Hosts, Vec<Served>) {
    let spec = Spec::read(made.path());
    let mut all = Vec::new();
    let hosts = spec.nodes(|name| {
        std::fs::create_dir_all(made.at(name)).unwrap();
        let (served, remote) = Served::new(&made.at(name), &Session::default(), Box::new(|_| Then::Send));
        all.push(served);
        Box::new(remote)
    });
    (spec, hosts, all)
}

/// The keys that all nodes of the layout hold, and no others, were told, and only by the orders that copy them.
fn only_shared_keys_crossed(folder: &Path, taps: &[Arc<Mutex<far::Tap>>]) {
    let (mut shared, mut own) = (BTreeSet::new(), BTreeSet::new());
    for node in NODES {
        let kubernetes = folder.join(node).join("etc/kubernetes");
        for name in ["pki/ca.key", "pki/sa.key", "pki/front-proxy-ca.key", "pki/etcd/ca.key"] {
            shared.extend(traces::traces(&std::fs::read(kubernetes.join(name)).unwrap()));
        }
        for name in [
            "pki/apiserver.key",
            "pki/apiserver-kubelet-client.key",
            "pki/apiserver-etcd-client.key",
            "pki/front-proxy-client.key",
            "pki/etcd/server.key",
            "pki/etcd/peer.key",
            "pki/etcd/healthcheck-client.key",
            "admin.conf",
            "kubelet.conf",
            "scheduler.conf",
            "controller-manager.conf",
        ] {
            own.extend(traces::traces(&std::fs::read(kubernetes.join(name)).unwrap()));
        }
    }
    assert!(own.len() >= 100 && shared.len() >= 15, "{} and {}", own.len(), shared.len());
    let (mut copied, mut messages) = (BTreeSet::new(), 0);
    for tap in taps {
        let tap = tap.lock().unwrap();
        for message in frames(&tap.sent.concat()).into_iter().chain(frames(&tap.received)) {
            messages += 1;
            let may_hold = message.starts_with(br#"{"perform":{"writeShared"#)
                || message.starts_with(br#"{"done":{"shared"#);
            let told = windows_of(&message);
            let found = |keys: &BTreeSet<Vec<u8>>| keys.iter().find(|key| told.contains(*key)).cloned();
            assert_eq!(found(&own), None, "{}", message.escape_ascii());
            match found(&shared) {
                Some(_) if may_hold => copied.extend(shared.iter().filter(|key| told.contains(*key))),
                found => assert_eq!(found, None, "{}", message.escape_ascii()),
            }
        }
    }
    assert!(messages > 200, "only {messages} messages");
    assert!(copied.len() >= 4, "the shared keys crossed, so they would be found anywhere: {}", copied.len());
}

/// A cluster of which two things of one node are due.
struct Due {
    made: Made,
    spec: Spec,
    options: Options,
    plan: Plan,
    before: Listing,
}

impl Due {
    fn new() -> Self {
        Self::with("")
    }

    fn with(more: &str) -> Self {
        let made = Made::new();
        made.spec(&made::Spec { more, ..made::Spec::renewing() });
        let spec = Spec::read(made.path());
        let only = ["etcd-server@cp-1", "scheduler.conf@cp-1"].map(|address| address.parse().unwrap());
        let options = Options { only: only.into(), ..Options::default() };
        let plan = spec.plan(&spec.local(made.path()), &options);
        let before = made.listing();
        Self { made, spec, options, plan, before }
    }

    /// Applies with the one node at the other end of a connection. What is done with its `number`th message from here, the greeting being the first, is told.
    fn apply(&self, number: usize, then: Then) -> (Report, Served, usize) {
        let mut count = 0;
        let (served, report) = self.apply_and(&Session::default(), Duration::ZERO, move |_| {
            count += 1;
            if count == number { then } else { Then::Send }
        });
        let sent = served.tap.lock().unwrap().sent.len();
        (report, served, sent)
    }

    fn apply_and(
        &self,
        session: &Session,
        patience: Duration,
        on_message: impl FnMut(&[u8]) -> Then + Send + 'static,
    ) -> (Served, Report) {
        let (served, remote) = Served::new(&self.made.at("cp-1"), session, Box::new(on_message));
        let report = self.apply_on(remote, patience);
        (served, report)
    }

    fn apply_on(&self, remote: Remote, patience: Duration) -> Report {
        let mut remote = Some(remote);
        let mut hosts = self.spec.nodes(|name| match (name, remote.take()) {
            ("cp-1", Some(remote)) => Box::new(remote),
            _ => Box::new(Local::new(Some(self.made.at(name)), now)),
        });
        self.spec.apply(&self.plan, &mut hosts, patience)
    }

    /// Opens a transaction and writes in it.
    fn begin_by_hand(&self, remote: &mut Remote) {
        let path = "/etc/kubernetes/link".to_owned();
        let begin = Begin { replace_foreign: [path.clone()].into(), ..begin(&self.plan.id, &[&path]) };
        remote.begin(&begin).unwrap();
        remote.perform(WriteCommand::MakeLink { path, target: "x".to_owned() }).unwrap();
        assert_ne!(self.made.listing(), self.before);
    }

    fn local(&self) -> Local {
        Local::new(Some(self.made.at("cp-1")), now)
    }

    /// Whether the node is wholly new; otherwise it must be wholly old.
    fn is_new(&self, context: &str) -> bool {
        let after = self.made.listing();
        let request = ObserveRequest { state_directory: Some(STATE.to_owned()), ..Default::default() };
        let facts = self.local().observe(&request).unwrap();
        assert_eq!(facts.open_transaction, Seen::Absent, "{context}");
        if after == self.before {
            return false;
        }
        let past = facts.last_transaction.shown().unwrap();
        assert_eq!((&past.transaction.run, past.state), (&self.plan.id, VisitState::Committed), "{context}");
        assert_eq!(differing(&self.before, &after).len(), 3, "{context}: both things are new");
        assert!(
            self.spec.plan(&self.spec.local(self.made.path()), &self.options).visits.is_empty(),
            "{context}"
        );
        true
    }

    /// Applies until nothing is due any more.
    fn finish(&self, context: &str) {
        for _ in 0..2 {
            let mut hosts = self.spec.local(self.made.path());
            let plan = self.spec.plan(&hosts, &self.options);
            let report = self.spec.apply(&plan, &mut hosts, Duration::ZERO);
            assert_eq!(report.outcome, Outcome::Done, "{context}: {report:?}");
        }
        let due = self.spec.plan(&self.spec.local(self.made.path()), &self.options);
        assert!(due.visits.is_empty(), "{context}");
        assert_eq!(differing(&self.before, &self.made.listing()).len(), 3, "{context}");
    }
}

/// How many messages from here an undisturbed run takes.
fn messages() -> usize {
    let due = Due::new();
    let (report, served, sent) = due.apply(0, Then::Send);
    assert_eq!(report.outcome, Outcome::Done);
    assert!(served.ended().success());
    assert!(due.is_new("undisturbed") && (12..40).contains(&sent), "{sent}");
    sent
}

#[test]
fn a_node_whose_controller_dies_puts_itself_back_or_was_done() {
    let (mut old, mut new) = (0, 0);
    for number in 2..=messages() {
        let due = Due::new();
        let context = format!("message {number}");
        let (report, served, _) = due.apply(number, Then::SendAndGo);
        let ends: Vec<&VisitEnd> = report.visits.iter().map(|visit| &visit.end).collect();
        let begun = matches!(ends[..], [VisitEnd::Disconnected(_)]);
        // Before the beginning nothing was touched, and what comes after the commit is of no interest any more.
        let is_known =
            matches!(ends[..], [VisitEnd::Committed | VisitEnd::Refused(_) | VisitEnd::NotStarted]);
        assert!(begun || is_known, "{context}: {report:?}");
        let status = served.ended();
        assert!([Some(0), Some(10)].contains(&status.code()), "{context}: {status}");
        *(if due.is_new(&context) { &mut new } else { &mut old }) += 1;
        due.finish(&context);
    }
    assert!(old >= 8 && new >= 1, "{old} and {new}");
}

#[test]
fn what_a_killed_node_left_open_is_undone_by_the_next_run() {
    let mut undone = 0;
    for number in 2..=messages() {
        for then in [Then::Kill, Then::SendAndKill] {
            let due = Due::new();
            let context = format!("message {number}, {then:?}");
            let (report, served, _) = due.apply(number, then);
            assert!(report.outcome != Outcome::UndoFailed, "{context}: {report:?}");
            assert!(!served.ended().success(), "{context}");
            assert_eq!(due.local().lock_state(), Ok(LockState::Free), "{context}");
            let request = ObserveRequest { state_directory: Some(STATE.to_owned()), ..Default::default() };
            let open = due.local().observe(&request).unwrap().open_transaction;
            undone += usize::from(open.shown().is_some());
            due.finish(&context);
        }
    }
    assert!(undone >= 8, "{undone}");
}

#[test]
fn a_silent_controller_is_taken_for_dead() {
    let due = Due::new();
    // A machine that is busy with other tests may hold up a heartbeat, each of which comes after a quarter of it.
    let silence = Duration::from_secs(4);
    let session = Session { silence, ..Session::default() };
    let (heartbeat, heartbeats) = std::sync::mpsc::channel();
    let tell = move |message: &[u8]| {
        if message == b"\"heartbeat\"" {
            // The test may have ended.
            let _told = heartbeat.send(());
        }
        Then::Send
    };
    let (served, mut remote) = Served::new(&due.made.at("cp-1"), &session, Box::new(tell));
    due.begin_by_hand(&mut remote);
    // As long as heartbeats come, nothing else has to.
    let begun = Instant::now();
    while begun.elapsed() <= silence {
        heartbeats.recv_timeout(DEADLINE).unwrap();
    }
    assert!(remote.observe(&ObserveRequest::default()).is_ok());
    // Whoever is stopped says nothing, and its end of the connection stays open.
    let silent = Arc::clone(&served.tap);
    let held = silent.lock().unwrap();
    let status = served.ended();
    drop(held);
    assert_eq!(status.code(), Some(10));
    assert!(!due.is_new("silence"));
    assert!(matches!(remote.commit(), Err(HostError::Disconnected { .. })));
}

#[test]
fn a_node_that_still_puts_itself_back_holds_its_lock_and_can_be_waited_for() {
    // The undo restarts again, and is not held up then.
    let script = "test -e $PKI_ROOT/../again || { touch $PKI_ROOT/../again; echo > $PKI_ROOT/../started; read line < $PKI_ROOT/../go; }";
    let due = Due::with(&format!(
        "  services: {{ kube-scheduler: {{ restart: {{ command: [/bin/sh, -c, '{script}'] }} }} }}\n"
    ));
    for fifo in ["started", "go"] {
        assert!(Command::new("mkfifo").arg(due.made.at(fifo)).status().unwrap().success());
    }
    let started = due.made.at("started");
    let (busy, remote) = Served::new(&due.made.at("cp-1"), &Session::default(), Box::new(|_| Then::Send));
    let hang_up = busy.hang_up();
    let dying = std::thread::spawn(move || {
        // Opening a fifo waits for the other end: the node is in the middle of the restart then.
        std::fs::read(started).unwrap();
        hang_up();
    });
    let report = due.apply_on(remote, Duration::ZERO);
    dying.join().unwrap();
    assert!(matches!(report.visits[0].end, VisitEnd::Disconnected(_)), "{report:?}");
    let LockState::Held { holder: Some(holder) } = due.local().lock_state().unwrap() else {
        panic!("the node holds its lock")
    };
    assert_eq!(holder.claim.run, due.plan.id);
    let next = due.spec.plan(&due.spec.local(due.made.path()), &due.options);
    let go = due.made.at("go");
    let mut tries = 0;
    let mut rival = due;
    rival.plan = next;
    let (served, report) = rival.apply_and(&Session::default(), DEADLINE, move |message| {
        tries += usize::from(message.starts_with(br#"{"lock":"#));
        if tries == 3 && message.starts_with(br#"{"lock":"#) {
            std::fs::write(&go, "on\n").unwrap();
        }
        Then::Send
    });
    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
    assert!(served.ended().success());
    assert_eq!(busy.ended().code(), Some(10), "it has undone by itself");
    assert!(!rival.is_new("undone by itself"));
}

#[test]
fn who_is_at_work_is_told_to_whoever_comes_next() {
    let due = Due::new();
    let free = due.made.ends(0, &["lock", "status", "-f", "spec.yaml"]);
    assert_eq!(free, "cp-1  free\ncp-2  free\ncp-3  free\n");
    let (served, mut remote) =
        Served::new(&due.made.at("cp-2"), &Session::default(), Box::new(|_| Then::Send));
    let claim = Claim {
        run: "7f3a-91c2".to_owned(),
        user: "alice".to_owned(),
        host: "runner\u{1b}[2J-3".to_owned(),
        url: Some("https://ci.example/jobs/17".to_owned()),
    };
    remote.lock(&claim).unwrap();
    let pid = remote.hello().pid;
    let text = due.made.ends(0, &["lock", "status", "-f", "spec.yaml"]);
    let line = text.lines().nth(1).unwrap();
    let who = "run 7f3a-91c2 by alice on runner\\u{1b}[2J-3 since 20";
    assert!(
        line.contains(&format!("held by {who}"))
            && line.ends_with(&format!("(process {pid}, https://ci.example/jobs/17)")),
        "{text}"
    );
    let json: Value =
        serde_json::from_str(&due.made.ends(0, &["lock", "status", "-f", "spec.yaml", "--format", "json"]))
            .unwrap();
    assert_eq!(json["nodes"]["cp-1"], "free");
    assert_eq!(json["nodes"]["cp-2"]["held"]["holder"]["url"], "https://ci.example/jobs/17");
    let begun = Instant::now();
    let arguments = ["apply", "-f", "spec.yaml", "--yes", "--lock-timeout", "1s"];
    let refused = due.made.ends(5, &arguments);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(refused.contains(who), "{refused}");
    assert_eq!(due.made.listing(), due.before);
    drop(remote);
    assert!(served.ended().success());
    due.made.ends(0, &arguments);
}

#[test]
fn a_run_says_of_itself_who_it_is() {
    let script = "cat $PKI_ROOT/run/pki.lock > $PKI_ROOT/../holder";
    let due = Due::with(&format!(
        "  services: {{ kube-scheduler: {{ restart: {{ command: [/bin/sh, -c, '{script}'] }} }} }}\n"
    ));
    let arguments = ["apply", "-f", "spec.yaml", "--yes", "--only", "scheduler.conf@cp-1"];
    let ci = [
        ("USER", "alice"),
        ("GITHUB_SERVER_URL", "https://github.example"),
        ("GITHUB_REPOSITORY", "a/b"),
        ("GITHUB_RUN_ID", "17"),
    ];
    let output = program::command(due.made.path(), &arguments).envs(ci).output().unwrap();
    assert_eq!(program::code(&output), 0, "{}", program::stderr(&output));
    let holder: Value = serde_json::from_slice(&std::fs::read(due.made.at("holder")).unwrap()).unwrap();
    assert_eq!(
        (&holder["user"], &holder["url"]),
        (&"alice".into(), &"https://github.example/a/b/actions/runs/17".into())
    );
    assert!(
        holder["run"].is_string() && holder["host"].is_string() && holder["since"].is_string(),
        "{holder}"
    );
}

#[test]
fn a_process_that_is_told_to_end_puts_its_node_back_first() {
    let due = Due::new();
    let (served, mut remote) =
        Served::new(&due.made.at("cp-1"), &Session::default(), Box::new(|_| Then::Send));
    due.begin_by_hand(&mut remote);
    let kill = Command::new("kill").args(["-TERM", &remote.hello().pid.to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(served.ended().code(), Some(10));
    assert!(!due.is_new("SIGTERM"));
}

#[test]
fn a_server_for_reading_only_changes_nothing() {
    let made = Made::new();
    let before = made.listing();
    let mut child = Command::new(env!("CARGO_BIN_EXE_pki"))
        .args(["node", "serve", "--read-only", "--root"])
        .arg(made.at("cp-1"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut remote = Remote::connect(from, to, Box::new(()), &Session::default()).unwrap();
    assert!(remote.hello().read_only);
    assert!(remote.observe(&ObserveRequest::default()).is_ok());
    let refused = remote.lock(&Claim::of_run("7f3a-91c2"));
    assert!(matches!(refused, Err(HostError::ServedReadOnly { .. })), "{refused:?}");
    drop(remote);
    assert!(child.wait().unwrap().success());
    assert_eq!(made.listing(), before);
}

#[test]
fn whoever_does_not_speak_the_protocol_is_told_so_and_nothing_else_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program::command(folder.path(), &["node", "serve", "--root", "."])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"hello?\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((program::code(&output), program::stderr(&output).as_str()), (64, ""));
    let said = frames(&output.stdout);
    assert_eq!(said.len(), 2);
    let last = String::from_utf8(said[1].clone()).unwrap();
    assert!(last.contains("came instead of a message"), "{last}");
}
