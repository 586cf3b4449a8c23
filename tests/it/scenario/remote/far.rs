//! Nodes that the real program serves through a pair of sockets, as sshd gives it one, with a tap on all that is said.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use jiff::Timestamp;
use pki::agent::Local;
use pki::apply::root_files;
use pki::apply::{Hosts, Locking, Settings, apply};
use pki::desired::Survey;
use pki::diagnostic::Source;
use pki::diff::diff;
use pki::observe::ask::PATIENCE;
use pki::observe::survey::survey_further;
use pki::plan::model::outcome::Report;
use pki::plan::{Input, Options};
use pki::profile::Profile;
use pki::protocol::facts::Observed;
use pki::protocol::file::SpecReference;
use pki::protocol::node::{Host, NodeError};
use pki::remote::session::{Remote, Session};
use pki::simulate::{Plan, check};
use pki::spec::custom_root::{RootKeys, Roots};
use pki::spec::{Loaded, ReadOptions, read};
use pki::trust::processes::Processes;
use pki::types::names::NodeName;
use pki::types::profile_name::ProfileName;
use pki::x509::Sha256;

use crate::support::cluster::in_order;

/// How long anything may take that should take no time.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// What happens when the controller is about to send a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It is sent.
    Send,
    /// It is sent, and the controller is gone, as after `kill -9`.
    SendAndGo,
    /// The node's process is killed first.
    Kill,
    /// It is sent, and the node's process is killed.
    SendAndKill,
}

type OnMessage = Box<dyn FnMut(&[u8]) -> Then + Send>;

/// What the controller hears instead of an answer: the request, the answer without its length, and what goes over the line, lengths and all.
pub(super) type OnAnswer = Box<dyn FnMut(&[u8], Vec<u8>) -> Vec<u8> + Send>;

/// A message as it goes over the line.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// What was said, and what is to happen.
pub(super) struct Tap {
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) received: Vec<u8>,
    on_message: OnMessage,
    process: u32,
}

/// A node's process and what is said to it.
pub(super) struct Served {
    child: Child,
    line: UnixStream,
    pub(super) tap: Arc<Mutex<Tap>>,
}

impl Served {
    /// Starts the program for a directory that stands for a node, and connects to it.
    pub(super) fn new(root: &Path, session: &Session, on_message: OnMessage) -> (Self, Remote) {
        let honest: OnAnswer = Box::new(|_, answer| framed(&answer));
        let (served, remote) = Self::lying(root, session, on_message, honest);
        (served, remote.unwrap())
    }

    /// The same, of a node whose answers are changed on the way, its first word among them.
    pub(super) fn lying(
        root: &Path,
        session: &Session,
        on_message: OnMessage,
        on_answer: OnAnswer,
    ) -> (Self, Result<Remote, NodeError>) {
        let (near, far) = UnixStream::pair().unwrap();
        let streams = [far.try_clone().unwrap(), far].map(|stream| Stdio::from(OwnedFd::from(stream)));
        let [input, output] = streams;
        let child = Command::new(env!("CARGO_BIN_EXE_pki"))
            .args(["node", "serve", "--root"])
            .arg(root)
            .env_clear()
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let tap = Tap { sent: Vec::new(), received: Vec::new(), on_message, process: child.id() };
        let tap = Arc::new(Mutex::new(tap));
        let line = near.try_clone().unwrap();
        let input = Tapped { stream: near.try_clone().unwrap(), tap: Arc::clone(&tap) };
        let input = Altered { from: input, on_answer, waiting: Vec::new() };
        let output = Tapped { stream: near, tap: Arc::clone(&tap) };
        let remote = Remote::connect(input, output, Box::new(()), session);
        (Self { child, line, tap }, remote)
    }

    /// What ends the connection, as `kill -9` of the controller does.
    pub(super) fn hang_up(&self) -> impl FnOnce() + Send + 'static {
        let line = self.line.try_clone().unwrap();
        move || line.shutdown(Shutdown::Both).unwrap()
    }

    /// Waits for the end of the process, which must not have said anything besides.
    pub(super) fn ended(self) -> ExitStatus {
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || ended.send(self.child.wait_with_output().unwrap()));
        let output = end.recv_timeout(DEADLINE).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        output.status
    }
}

struct Tapped {
    stream: UnixStream,
    tap: Arc<Mutex<Tap>>,
}

impl Read for Tapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.tap.lock().unwrap().received.extend(buffer.iter().take(count));
        Ok(count)
    }
}

/// Hands on one answer after the other, as it is changed.
struct Altered {
    from: Tapped,
    on_answer: OnAnswer,
    waiting: Vec<u8>,
}

impl Read for Altered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.waiting.is_empty() {
            let mut length = [0; 4];
            match self.from.read_exact(&mut length) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
            self.from.read_exact(&mut answer)?;
            let sent = self.from.tap.lock().unwrap().sent.last().cloned().unwrap_or_default();
            self.waiting = (self.on_answer)(sent.get(4..).unwrap_or_default(), answer);
        }
        let count = self.waiting.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.waiting[..count]);
        self.waiting.drain(..count);
        Ok(count)
    }
}

/// A message is written with one call.
impl Write for Tapped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let then = {
            let mut tap = self.tap.lock().unwrap();
            tap.sent.push(bytes.to_vec());
            let message = bytes.get(4..).unwrap_or_default();
            (tap.on_message)(message)
        };
        if then == Then::Kill {
            self.kill();
        }
        // The process may be gone.
        let sent = self.stream.write_all(bytes);
        match then {
            Then::Send | Then::Kill => sent.map(|()| bytes.len()),
            Then::SendAndGo => {
                self.stream.shutdown(Shutdown::Both)?;
                Err(ErrorKind::BrokenPipe.into())
            }
            Then::SendAndKill => {
                self.kill();
                sent.map(|()| bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tapped {
    fn kill(&self) {
        let process = self.tap.lock().unwrap().process.to_string();
        assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
    }
}

impl Drop for Tapped {
    fn drop(&mut self) {
        // The reading half is dropped at the end of the stream, and the writing one when the controller closes it.
        let _closed = self.stream.shutdown(Shutdown::Write);
    }
}

/// The spec in a folder.
pub(super) struct Spec {
    loaded: Loaded,
}

impl Spec {
    pub(super) fn read(folder: &Path) -> Self {
        let text = std::fs::read(folder.join("spec.yaml")).unwrap();
        let source = Source::from_bytes("spec.yaml", text).unwrap();
        let known: BTreeMap<_, _> = ProfileName::ALL
            .into_iter()
            .map(|name| (name, Profile::load(name).unwrap().known_names()))
            .collect();
        let certificate_file = |_: &str, path: &str| root_files::certificate(Some(folder), path);
        let certificate_file = &certificate_file;
        let options = ReadOptions { now: now(), ignore_other_kinds: false, known: &known, certificate_file };
        let reading = read(&[source], &options);
        Self { loaded: reading.specs.into_iter().next().unwrap() }
    }

    fn survey(&self, hosts: &Hosts) -> Survey {
        let profile = Profile::load(self.loaded.spec.spec.profile).unwrap();
        let nothing = Observed { observed_at: now(), nodes: BTreeMap::new() };
        survey_further((&self.loaded.spec, &Roots::new()), &profile, hosts, nothing, PATIENCE).unwrap()
    }

    pub(super) fn plan(&self, hosts: &Hosts, options: &Options) -> Plan {
        let survey = self.survey(hosts);
        let now = Timestamp::from_second(now().as_second()).unwrap();
        let differences = diff(&survey.desired, &survey.observed, now);
        let input = Input {
            survey: &survey,
            differences: &differences,
            now,
            spec: SpecReference {
                file: "spec.yaml".to_owned(),
                sha256: Sha256::of(b""),
                commit: None,
                files: Default::default(),
            },
            options,
            signed: &Default::default(),
            place: &|_| None,
        };
        let draft = pki::plan::draft(&input).unwrap();
        in_order(check(draft, &survey, &Processes::default()).unwrap())
    }

    /// Does what a plan says. What should be is not asked of the nodes again, so that what is said is the run's.
    pub(super) fn apply(&self, plan: &Plan, hosts: &mut Hosts, patience: Duration) -> Report {
        let directories: Hosts = self.nodes(|_| Box::new(Local::created_at_need("/nowhere".into(), now)));
        let desired = self.survey(&directories).desired;
        let settings = Settings {
            done: pki::apply::Done::default(),
            desired: &desired,
            on_failure: desired.rollout.on_failure,
            root_keys: &RootKeys::default(),
            note: "a test".to_owned(),
            locking: Locking { patience, ..Locking::default() },
            now,
            interrupted: &AtomicBool::new(false),
        };
        apply(plan, hosts, &settings, &mut |_| {})
    }

    /// The nodes, each made by its name.
    pub(super) fn nodes(&self, mut make: impl FnMut(&str) -> Box<dyn Host + Send + Sync>) -> Hosts {
        let names = self.loaded.spec.spec.nodes.keys();
        names.map(|name: &NodeName| (name.clone(), make(name.as_str()))).collect()
    }

    /// The nodes as directories of this machine.
    pub(super) fn local(&self, folder: &Path) -> Hosts {
        self.nodes(|name| Box::new(Local::new(Some(folder.join(name)), now)))
    }
}
