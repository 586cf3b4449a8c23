//! A node at the other end of a connection.
//!
//! What enters is a reader and a writer that lead to a [`Service`](crate::agent::Service), whatever carries them; what leaves is a node like any other. Nothing is
//! retried: after anything that went wrong with the connection, or after an answer that does not fit, no further request is sent, and the writer is
//! closed, upon which the node undoes what is open. What the node says is bounded in size and time and is of the kind that was asked for; its words
//! are not trusted, and whoever shows them escapes them.

mod asked;
mod budget;
mod link;

use std::any::Any;
use std::fmt;
use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::command::{
    Begin, Expected, ReadCommand, Reply, SnapshotEtcd, WireCommand, WriteCommand,
};
use crate::protocol::error::HostError;
use crate::protocol::facts::{NodeFacts, ObserveRequest};
use crate::protocol::lock::{Claim, LockState};
use crate::protocol::node::{Host, Inspect, NodeError};
use crate::protocol::snapshots::{EtcdSnapshot, SnapshotFacts, Undone};
use crate::protocol::wire::frame;
use crate::protocol::wire::frame::{Frame, FrameError};
use crate::protocol::wire::{Greeting, Hello, Introduction, Outcome, PROTOCOL, Performed, Request, VERSION};
use asked::Refusal;
use budget::Cost;
use link::{Broken, Link};

/// How long each kind of request may take before the node is taken for lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For the first word of the node.
    pub hello: Duration,
    /// For looking at the node's files.
    pub observe: Duration,
    /// For the lock, and what else takes no time.
    pub lock: Duration,
    /// For a command, beyond the time that a program of [`WriteCommand::Run`], a [`WriteCommand::MoveLeader`] or a pod that stops may take; also for beginning,
    /// committing and what concerns snapshots.
    pub perform: Duration,
    /// For an undo, which may have to run programs again.
    pub undo: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(30),
            observe: Duration::from_secs(30),
            lock: Duration::from_secs(30),
            // Thirty RSA keys on a small machine.
            perform: Duration::from_secs(120),
            undo: Duration::from_secs(900),
        }
    }
}

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The run, where it has a name already.
    pub run: Option<String>,
    /// What it is about: cluster, spec, who.
    pub note: String,
    /// After so long without a word from here the node takes this end for dead; from one second to one minute. Heartbeats go four times as often.
    pub silence: Duration,
    /// How long requests may take.
    pub deadlines: Deadlines,
    /// Nothing is copied to the node, and its own program is told to refuse everything but looking.
    pub looks_only: bool,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            run: None,
            note: String::new(),
            silence: Duration::from_secs(60),
            deadlines: Deadlines::default(),
            looks_only: false,
        }
    }
}

/// A node at the other end of a connection.
pub struct Remote {
    hello: Hello,
    deadlines: Deadlines,
    /// How long a static pod may take to stop in the transaction that is open.
    pod_seconds: u64,
    link: Mutex<Link>,
    /// What the facts cost that were taken from it, the most of any answer.
    cost: Mutex<Option<Cost>>,
    /// What carries the connection, such as a child process. Dropped last, when the writer is closed.
    _carrier: Mutex<Box<dyn Any + Send>>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("hello", &self.hello).finish_non_exhaustive()
    }
}

impl Remote {
    /// Waits for the node's first word and answers it. `carrier` is kept as long as the connection.
    ///
    /// # Errors
    /// When the other end says nothing in time, says something else than a node would, or speaks another version of the protocol.
    pub fn connect(
        input: impl Read + Send + 'static,
        output: impl Write + Send + 'static,
        carrier: Box<dyn Any + Send>,
        session: &Session,
    ) -> Result<Self, NodeError> {
        let Session { run, note, silence, deadlines, .. } = session;
        let silence = (*silence).clamp(Duration::from_secs(1), Duration::from_secs(60));
        let lost = |Broken(reason): Broken| NodeError::Disconnected { reason };
        let mut link = Link::new(input, output);
        let first = link.receive(deadlines.hello).map_err(lost)?;
        let unknown = |error: FrameError| NodeError::Disconnected { reason: error.to_string() };
        let Introduction { protocol, version } = frame::decode(&first).map_err(unknown)?;
        if protocol.major != PROTOCOL.major {
            return Err(NodeError::Incompatible {
                node_version: version,
                node_protocol: protocol.major,
                own_version: VERSION.to_owned(),
                own_protocol: PROTOCOL.major,
            });
        }
        let hello = frame::decode(&first).map_err(unknown)?;
        let greeting = Greeting {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            run: run.clone(),
            note: note.clone(),
            silence_seconds: silence.as_secs(),
        };
        let greeting = frame::encode(&greeting, frame::HELLO_LIMIT).map_err(unknown)?;
        link.send(greeting).map_err(lost)?;
        link.keep_alive(silence / 4);
        Ok(Self {
            hello,
            deadlines: *deadlines,
            pod_seconds: 0,
            link: Mutex::new(link),
            cost: Mutex::default(),
            _carrier: Mutex::new(carrier),
        })
    }

    /// What the node said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request and waits for its answer.
    fn answer<T: DeserializeOwned, E: DeserializeOwned>(
        &self,
        request: &impl Serialize,
        limit: usize,
        deadline: Duration,
    ) -> Result<Result<T, E>, NoAnswer> {
        let (mut link, answer) = self.exchange(request, limit, deadline)?;
        match frame::decode::<Outcome<T, E>>(&answer) {
            Ok(Outcome::Done(done)) => Ok(Ok(done)),
            Ok(Outcome::Failed(error)) => Ok(Err(error)),
            Ok(Outcome::Ended(reason)) => Err(link.give_up(format!("the node ended it: {reason}")).into()),
            Err(error) => {
                Err(link.give_up(format!("the node's answer is not what was asked for: {error}")).into())
            }
        }
    }

    /// Sends a request and waits for the bytes of its answer.
    fn exchange(
        &self,
        request: &impl Serialize,
        limit: usize,
        deadline: Duration,
    ) -> Result<(MutexGuard<'_, Link>, Frame), NoAnswer> {
        let frame = frame::encode(request, frame::REQUEST_LIMIT).map_err(|error| match error {
            FrameError::TooLong { .. } => NoAnswer::TooLarge,
            FrameError::Closed
            | FrameError::Torn
            | FrameError::Failed { .. }
            | FrameError::NotAFrame { .. }
            | FrameError::NotUnderstood { .. } => {
                NoAnswer::Lost(format!("the request cannot be sent: {error}"))
            }
        })?;
        let mut link = self.link();
        let answer = link.exchange(frame, limit, deadline)?;
        Ok((link, answer))
    }

    /// Asks for facts. The answer is taken apart against the question.
    fn facts(&self, question: &ObserveRequest) -> Result<Result<NodeFacts, NodeError>, NoAnswer> {
        let deadline = self.deadlines.observe;
        let until = Instant::now() + deadline;
        let request = Request::Observe(question.clone());
        let (mut link, answer) = self.exchange(&request, asked::limit(question), deadline)?;
        let Some(cost) = Cost::of(answer.len()) else {
            let reason = "the answers of all nodes together are larger than 512 MiB".to_owned();
            return Err(link.give_up(reason).into());
        };
        let reason = match asked::facts(&answer, question, until) {
            Ok(Outcome::Done(facts)) => {
                let mut most = self.cost.lock().unwrap_or_else(PoisonError::into_inner);
                let is_more = most.as_ref().is_none_or(|most| most.is_less_than(&cost));
                if is_more {
                    *most = Some(cost);
                }
                return Ok(Ok(facts));
            }
            Ok(Outcome::Failed(error)) => return Ok(Err(error)),
            Ok(Outcome::Ended(reason)) => format!("the node ended it: {reason}"),
            Err(Refusal::Unasked) => "it answered what was not asked".to_owned(),
            Err(Refusal::NotUnderstood) => "the node's answer is not what was asked for".to_owned(),
            Err(Refusal::TooLate) => format!("no answer came within {} s", deadline.as_secs_f32()),
        };
        Err(link.give_up(reason).into())
    }

    fn order<T: DeserializeOwned>(&self, request: &Request, deadline: Duration) -> Result<T, HostError> {
        self.order_of(request, frame::WORD_LIMIT, deadline)
    }

    fn order_of<T: DeserializeOwned>(
        &self,
        request: &Request,
        limit: usize,
        deadline: Duration,
    ) -> Result<T, HostError> {
        match self.answer(request, limit, deadline) {
            Ok(answer) => answer,
            Err(NoAnswer::Lost(reason)) => Err(HostError::Disconnected { reason }),
            Err(NoAnswer::TooLarge) => {
                Err(HostError::TooLarge { message: REQUEST.into(), mebibytes: LARGEST_REQUEST })
            }
        }
    }

    /// Has a command answered, which on the node itself may take so many seconds.
    fn command(&self, command: WireCommand, expected: &Expected, seconds: u64) -> Result<Reply, HostError> {
        let deadline = self.deadlines.perform.saturating_add(Duration::from_secs(seconds));
        let Performed(reply) = self.order_of(&Request::Perform(command), limit(expected), deadline)?;
        if expected.fits(&reply) {
            return Ok(reply);
        }
        let Broken(reason) =
            self.link().give_up("the node answered something else than it was asked".to_owned());
        Err(HostError::Disconnected { reason })
    }
}

/// What a message is called that is too large to be sent.
const REQUEST: &str = "request to the node";
/// The largest one, in MiB.
const LARGEST_REQUEST: usize = frame::REQUEST_LIMIT / frame::MEBIBYTE;

/// Why a request has no answer.
enum NoAnswer {
    /// Nothing more can be asked.
    Lost(String),
    /// It was not sent.
    TooLarge,
}

impl From<Broken> for NoAnswer {
    fn from(Broken(reason): Broken) -> Self {
        Self::Lost(reason)
    }
}

impl Inspect for Remote {
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        match self.facts(request) {
            Ok(answer) => answer,
            Err(NoAnswer::Lost(reason)) => Err(NodeError::Disconnected { reason }),
            Err(NoAnswer::TooLarge) => {
                Err(NodeError::TooLarge { message: REQUEST.into(), mebibytes: LARGEST_REQUEST })
            }
        }
    }
}

impl Host for Remote {
    fn lock(&mut self, claim: &Claim) -> Result<(), HostError> {
        self.order(&Request::Lock(claim.clone()), self.deadlines.lock)
    }

    fn lock_state(&self) -> Result<LockState, HostError> {
        self.order(&Request::LockState, self.deadlines.lock)
    }

    fn unlock(&mut self) {
        // A node that is lost has given its lock back when its process ended.
        let _unlocked: Result<(), HostError> = self.order(&Request::Unlock, self.deadlines.lock);
    }

    fn begin(&mut self, begin: &Begin) -> Result<(), HostError> {
        self.pod_seconds = begin.gates_seconds;
        self.order(&Request::Begin(begin.clone()), self.deadlines.perform)
    }

    fn ask(&mut self, command: ReadCommand) -> Result<Reply, HostError> {
        let waits =
            if let ReadCommand::Await { timeout_seconds, .. } = &command { *timeout_seconds } else { 0 };
        let expected = command.expected();
        self.command(command.into(), &expected, waits)
    }

    fn perform(&mut self, command: WriteCommand) -> Result<Reply, HostError> {
        let takes = if let WriteCommand::Run { timeout_seconds, .. }
        | WriteCommand::MoveLeader { timeout_seconds, .. } = &command
        {
            *timeout_seconds
        } else if matches!(command, WriteCommand::AnnotatePod { .. } | WriteCommand::Restore { .. }) {
            self.pod_seconds
        } else {
            0
        };
        let expected = command.expected();
        self.command(command.into(), &expected, takes)
    }

    fn commit(&mut self) -> Result<(), HostError> {
        self.order(&Request::Commit, self.deadlines.perform)
    }

    fn undo(&mut self) -> Result<Undone, HostError> {
        self.order_of(&Request::Undo, frame::MEBIBYTE, self.deadlines.undo)
    }

    fn undo_open(&mut self, state_directory: &str) -> Result<Option<Undone>, HostError> {
        let request = Request::UndoOpen { state_directory: state_directory.to_owned() };
        self.order_of(&request, frame::MEBIBYTE, self.deadlines.undo)
    }

    fn snapshots(&self, state_directory: &str) -> Result<Vec<SnapshotFacts>, HostError> {
        let request = Request::Snapshots { state_directory: state_directory.to_owned() };
        self.order_of(&request, frame::LISTING_LIMIT, self.deadlines.perform)
    }

    fn snapshot_etcd(&mut self, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        let deadline = self.deadlines.perform.saturating_add(Duration::from_secs(wanted.timeout_seconds));
        self.order(&Request::SnapshotEtcd(wanted.clone()), deadline)
    }

    fn etcd_snapshots(&self, state_directory: &str) -> Result<Vec<EtcdSnapshot>, HostError> {
        let request = Request::EtcdSnapshots { state_directory: state_directory.to_owned() };
        self.order_of(&request, frame::MEBIBYTE, self.deadlines.perform)
    }

    fn prune(&mut self, state_directory: &str, keep: u32) -> Result<Vec<String>, HostError> {
        let request = Request::Prune { state_directory: state_directory.to_owned(), keep };
        self.order_of(&request, frame::MEBIBYTE, self.deadlines.perform)
    }
}

/// How long a reply may be.
fn limit(expected: &Expected) -> usize {
    match expected {
        Expected::Done | Expected::PublicKey | Expected::Certificate | Expected::Request => frame::WORD_LIMIT,
        Expected::PublicKeys(slots) => frame::WORD_LIMIT.saturating_add(slots.len().saturating_mul(4096)),
        Expected::Shared | Expected::SharedIdentity => frame::ANSWER_LIMIT,
    }
}

#[cfg(test)]
mod tests;
