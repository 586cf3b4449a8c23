//! The node's end of a connection: does what the controller says, and puts the node back when the controller is gone.
//!
//! What enters is [requests](crate::protocol::wire) on a stream of bytes and a [`Host`]; what leaves is answers, and how it ended. It decides nothing but one thing: a
//! transaction that is open when the stream ends, when nothing has come for too long, when something came that is not the protocol, or when the process is
//! told to end, is undone here, since nobody else can. The journal tells the next run. It never prints, and that an answer can no longer be written hinders no undo.
//!
//! One thread reads all the time, so that it is known how long the controller has been silent also while a command is performed. A command is
//! never broken off: what it may take is bounded by its own time, and the undo comes after it.

mod inbox;
mod login;

use std::borrow::Cow;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

pub use login::Login;

use crate::agent::fs::accounts::served_by;
use crate::protocol::command::Command;
use crate::protocol::error::HostError;
use crate::protocol::node::{Host, NodeError};
use crate::protocol::snapshots::Undone;
use crate::protocol::wire::frame;
use crate::protocol::wire::frame::FrameError;
use crate::protocol::wire::{Greeting, Hello, Introduction, Outcome, PROTOCOL, Performed, Request, VERSION};
use inbox::{Gone, Inbox};
use serde::Serialize;

/// After so long without a word the controller is taken for dead. It may ask for less.
const LONGEST_SILENCE: u64 = 60;

/// A stream that is listened to.
#[derive(Debug)]
pub struct Service {
    inbox: Arc<Inbox>,
    /// The longest answer.
    limit: usize,
}

/// Ends a service from another thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    inbox: Arc<Inbox>,
}

impl Stopper {
    /// Ends the service as the end of its stream does: after the order in hand, what is open is undone.
    pub fn stop(&self) {
        self.inbox.close(Gone::Stopped);
    }
}

/// How a service ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Nothing was open.
    Closed,
    /// It was not spoken to as the protocol says. Nothing was open.
    Refused {
        /// What was wrong, in words for people.
        reason: String,
    },
    /// A transaction was open and is undone.
    Undone(Undone),
    /// A transaction was open and could not be undone. It is still open; the journal tells why.
    UndoFailed(HostError),
}

/// Why a session ends.
enum End {
    Gone,
    Refused(String),
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Closed | FrameError::Torn | FrameError::Failed { .. } => Self::Gone,
            FrameError::TooLong { .. } | FrameError::NotAFrame { .. } | FrameError::NotUnderstood { .. } => {
                Self::Refused(error.to_string())
            }
        }
    }
}

impl Service {
    /// Begins to listen. The stream is read by a thread of its own, to its end.
    pub fn listen(input: impl Read + Send + 'static) -> Self {
        let inbox = Inbox::listen(input, Duration::from_secs(LONGEST_SILENCE));
        Self { inbox, limit: frame::LISTING_LIMIT }
    }

    /// What can end the service from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper { inbox: Arc::clone(&self.inbox) }
    }

    /// Serves until the controller is gone. With `read_only`, all that could change the node is refused.
    pub fn serve(self, host: &mut impl Host, output: impl Write, read_only: bool, login: Login) -> Ending {
        let mut session = Session {
            inbox: self.inbox,
            limit: self.limit,
            host,
            output,
            read_only,
            login: Some(login),
            about: String::new(),
            open: false,
        };
        let end = session.run();
        session.end(end)
    }
}

struct Session<'a, H, W> {
    inbox: Arc<Inbox>,
    limit: usize,
    host: &'a mut H,
    output: W,
    read_only: bool,
    /// The login in which this still is.
    login: Option<Login>,
    /// What the controller says it is about.
    about: String,
    /// Whether a transaction is open.
    open: bool,
}

impl<H: Host, W: Write> Session<'_, H, W> {
    fn run(&mut self) -> End {
        let greeted = self.send(&hello(self.read_only)).map_err(End::from).and_then(|()| self.greeting());
        if let Err(end) = greeted {
            return end;
        }
        loop {
            let frame = match self.inbox.next() {
                Ok(frame) => frame,
                Err(gone) => return End::from(gone),
            };
            let request = match frame::decode(&frame) {
                Ok(request) => request,
                Err(error) => return error.into(),
            };
            // The memory of the message is wiped before anything is done that may take long.
            drop(frame);
            if let Err(error) = self.answer(request) {
                return error.into();
            }
        }
    }

    fn greeting(&mut self) -> Result<(), End> {
        let frame = self.inbox.next().map_err(End::from)?;
        let Introduction { protocol, version } = frame::decode(&frame)?;
        if protocol.major != PROTOCOL.major {
            let error = NodeError::Incompatible {
                node_version: VERSION.to_owned(),
                node_protocol: PROTOCOL.major,
                own_version: version,
                own_protocol: protocol.major,
            };
            return Err(End::Refused(error.to_string()));
        }
        let Greeting { run, note, silence_seconds, .. } = frame::decode(&frame)?;
        self.inbox.expect_within(Duration::from_secs(silence_seconds.clamp(1, LONGEST_SILENCE)));
        self.about = run.map_or_else(|| note.clone(), |run| format!("{run}: {note}"));
        Ok(())
    }

    fn answer(&mut self, request: Request) -> Result<(), FrameError> {
        if let Some(request) = self.refused(&request) {
            let error = HostError::ServedReadOnly { request: request.into() };
            return self.send(&Outcome::<()>::Failed(error));
        }
        match request {
            Request::Heartbeat => Ok(()),
            Request::Observe(request) => {
                let observed = self.host.observe(&request);
                self.tell_or(observed, |message, mebibytes| NodeError::TooLarge { message, mebibytes })
            }
            Request::Lock(claim) => {
                let locked = self.host.lock(&claim);
                self.tell(locked)
            }
            Request::LockState => {
                let state = self.host.lock_state();
                self.tell(state)
            }
            Request::Unlock => {
                self.host.unlock();
                self.tell(Ok(()))
            }
            Request::Begin(begin) => {
                if let Some(login) = self.login.take() {
                    login.leave(&self.about);
                }
                let begun = self.host.begin(&begin);
                self.open |= begun.is_ok();
                self.tell(begun)
            }
            Request::Perform(command) => {
                let reply = match command.into() {
                    Command::Read(command) => self.host.ask(command),
                    Command::Write(command) => self.host.perform(command),
                };
                self.tell(reply.map(Performed))
            }
            Request::Commit => {
                let committed = self.host.commit();
                self.open &= committed.is_err();
                self.tell(committed)
            }
            Request::Undo => {
                let undone = self.host.undo();
                self.open &= undone.is_err();
                self.tell(undone)
            }
            Request::UndoOpen { state_directory } => {
                let undone = self.host.undo_open(&state_directory);
                self.open &= undone.is_err();
                self.tell(undone)
            }
            Request::Snapshots { state_directory } => {
                let snapshots = self.host.snapshots(&state_directory);
                self.tell(snapshots)
            }
            Request::SnapshotEtcd(wanted) => {
                let made = self.host.snapshot_etcd(&wanted);
                self.tell(made)
            }
            Request::EtcdSnapshots { state_directory } => {
                let snapshots = self.host.etcd_snapshots(&state_directory);
                self.tell(snapshots)
            }
            Request::Prune { state_directory, keep } => {
                let pruned = self.host.prune(&state_directory, keep);
                self.tell(pruned)
            }
        }
    }

    /// What a request is called that a node for reading only refuses.
    fn refused(&self, request: &Request) -> Option<&'static str> {
        let what = match request {
            Request::Heartbeat
            | Request::Observe(_)
            | Request::LockState
            | Request::Snapshots { .. }
            | Request::EtcdSnapshots { .. } => {
                return None;
            }
            Request::Lock(_) => "to lock it",
            Request::Unlock => "to unlock it",
            Request::Begin(_) => "to begin a transaction",
            // Also a command that only reads may read keys.
            Request::Perform(_) => "an order",
            Request::Commit => "to commit",
            Request::Undo | Request::UndoOpen { .. } => "to undo",
            Request::SnapshotEtcd(_) => "to save etcd's data",
            Request::Prune { .. } => "to remove snapshots",
        };
        self.read_only.then_some(what)
    }

    fn tell<T: Serialize>(&mut self, result: Result<T, HostError>) -> Result<(), FrameError> {
        self.tell_or(result, |message, mebibytes| HostError::TooLarge { message, mebibytes })
    }

    /// An answer, or that it is too large: then the session goes on, and what was done is as done as if it had been told.
    fn tell_or<T: Serialize, E: Serialize>(
        &mut self,
        result: Result<T, E>,
        too_large: impl FnOnce(Cow<'static, str>, usize) -> E,
    ) -> Result<(), FrameError> {
        let outcome = match result {
            Ok(done) => Outcome::Done(done),
            Err(error) => Outcome::Failed(error),
        };
        let frame = match frame::encode(&outcome, self.limit) {
            Err(FrameError::TooLong { limit, .. }) => {
                let error = too_large("node's answer".into(), limit / frame::MEBIBYTE);
                frame::encode(&Outcome::<T, E>::Failed(error), frame::LISTING_LIMIT)?
            }
            other => other?,
        };
        frame::write(&mut self.output, &frame)
    }

    fn send(&mut self, message: &impl Serialize) -> Result<(), FrameError> {
        let frame = frame::encode(message, frame::LISTING_LIMIT)?;
        frame::write(&mut self.output, &frame)
    }

    /// The last words, and the undo of what is open.
    fn end(mut self, end: End) -> Ending {
        let ending = match end {
            End::Gone => Ending::Closed,
            End::Refused(reason) => {
                // Whoever does not speak the protocol may not read it either.
                let _told = self.send(&Outcome::<()>::Ended(reason.clone()));
                Ending::Refused { reason }
            }
        };
        if !self.open {
            return ending;
        }
        match self.host.undo() {
            Ok(undone) => Ending::Undone(undone),
            Err(error) => Ending::UndoFailed(error),
        }
    }
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Closed | Gone::Silent | Gone::Stopped => Self::Gone,
            Gone::Refused(reason) => Self::Refused(reason),
        }
    }
}

fn hello(read_only: bool) -> Hello {
    Hello {
        protocol: PROTOCOL,
        version: VERSION.to_owned(),
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        pid: std::process::id(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        uid: served_by().uid,
        read_only,
    }
}

#[cfg(test)]
mod tests;
