//! A node over SSH.
//!
//! What enters is a [`SshTarget`]; what leaves is a node like any other. It is connected to when it is first asked something, and never again: after a failure, or
//! when the connection is lost, every further question is answered with the reason, because only a new survey can tell what has become of it.

mod client;
mod config;
mod failure;
pub(crate) mod private_dir;
pub(crate) mod remote_process;
mod target;

use std::fmt;
use std::sync::{Arc, Mutex, TryLockError};

pub use client::{Client, ClientSettings};
pub use failure::SshError;
pub use target::{Known, SshTarget};

use crate::protocol::command::{Begin, ReadCommand, Reply, SnapshotEtcd, WriteCommand};
use crate::protocol::error::HostError;
use crate::protocol::facts::{NodeFacts, ObserveRequest};
use crate::protocol::lock::{Claim, LockState};
use crate::protocol::node::{Host, Inspect, NodeError};
use crate::protocol::snapshots::{EtcdSnapshot, SnapshotFacts, Undone};
use crate::remote::session::{Remote, Session};

/// A node over SSH.
#[derive(Clone)]
pub struct Ssh {
    target: SshTarget,
    client: Arc<Client>,
    session: Session,
    /// Shared with whoever was told to ask and may be waiting longer than anybody waits for him.
    state: Arc<Mutex<State>>,
}

enum State {
    NotConnected,
    Connected(Box<Remote>),
    Failed(SshError),
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Ssh {
    /// A node. Nothing is connected to yet.
    pub fn new(client: &Arc<Client>, target: SshTarget, session: Session) -> Self {
        Self { target, client: Arc::clone(client), session, state: Arc::new(Mutex::new(State::NotConnected)) }
    }

    /// Does something with the node, connected to if it is not yet.
    fn with<T>(&self, ask: impl FnOnce(&mut Remote) -> T) -> Result<T, SshError> {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(state)) => state.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let said = "it has not answered what it was asked before".to_owned();
                return Err(SshError::Ended { host: self.target.host.clone(), said });
            }
        };
        if matches!(*state, State::NotConnected) {
            *state = match remote_process::connect(&self.client, &self.target, &self.session) {
                Ok(remote) => State::Connected(Box::new(remote)),
                Err(error) => State::Failed(error),
            };
        }
        match &mut *state {
            State::Connected(remote) => Ok(ask(remote)),
            State::Failed(error) => Err(error.clone()),
            State::NotConnected => {
                Err(SshError::Ended { host: self.target.host.clone(), said: "it was never made".to_owned() })
            }
        }
    }

    fn order<T>(&self, ask: impl FnOnce(&mut Remote) -> Result<T, HostError>) -> Result<T, HostError> {
        self.with(ask).unwrap_or_else(|error| Err(HostError::Unreachable { reason: error.to_string() }))
    }
}

impl Inspect for Ssh {
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        self.with(|remote| remote.observe(request))
            .unwrap_or_else(|error| Err(NodeError::Unreachable { reason: error.to_string() }))
    }

    fn detached(&self) -> Option<Box<dyn Inspect + Send>> {
        Some(Box::new(self.clone()))
    }
}

impl Host for Ssh {
    fn lock(&mut self, claim: &Claim) -> Result<(), HostError> {
        self.order(|remote| remote.lock(claim))
    }

    fn lock_state(&self) -> Result<LockState, HostError> {
        self.order(|remote| remote.lock_state())
    }

    fn unlock(&mut self) {
        // A node that was never connected to holds no lock of ours, and one that does not answer gives it back when its connection ends.
        if let Ok(mut state) = self.state.try_lock()
            && let State::Connected(remote) = &mut *state
        {
            remote.unlock();
        }
    }

    fn begin(&mut self, begin: &Begin) -> Result<(), HostError> {
        self.order(|remote| remote.begin(begin))
    }

    fn ask(&mut self, command: ReadCommand) -> Result<Reply, HostError> {
        self.order(|remote| remote.ask(command))
    }

    fn perform(&mut self, command: WriteCommand) -> Result<Reply, HostError> {
        self.order(|remote| remote.perform(command))
    }

    fn commit(&mut self) -> Result<(), HostError> {
        self.order(Remote::commit)
    }

    fn undo(&mut self) -> Result<Undone, HostError> {
        self.order(Remote::undo)
    }

    fn undo_open(&mut self, state_directory: &str) -> Result<Option<Undone>, HostError> {
        self.order(|remote| remote.undo_open(state_directory))
    }

    fn snapshots(&self, state_directory: &str) -> Result<Vec<SnapshotFacts>, HostError> {
        self.order(|remote| remote.snapshots(state_directory))
    }

    fn snapshot_etcd(&mut self, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        self.order(|remote| remote.snapshot_etcd(wanted))
    }

    fn etcd_snapshots(&self, state_directory: &str) -> Result<Vec<EtcdSnapshot>, HostError> {
        self.order(|remote| remote.etcd_snapshots(state_directory))
    }

    fn prune(&mut self, state_directory: &str, keep: u32) -> Result<Vec<String>, HostError> {
        self.order(|remote| remote.prune(state_directory, keep))
    }
}
