//! What a node can do for whoever reaches it: the reading half, the writing half, and why there is no answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::protocol::command::{Begin, ReadCommand, Reply, SnapshotEtcd, WriteCommand};
use crate::protocol::error::HostError;
use crate::protocol::facts::{NodeFacts, ObserveRequest};
use crate::protocol::lock::{Claim, LockState};
use crate::protocol::snapshots::{EtcdSnapshot, SnapshotFacts, Undone};
use crate::protocol::tree_error::TreeError;

/// The reading half of a node.
pub trait Inspect {
    /// Answers one request. What of it cannot be seen is unknown in the answer; an error means that there is no answer at all.
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError>;

    /// Another view of the same node that may outlive this one, so that nobody has to wait for a reading that hangs, as one of a dead network disk does.
    /// None where every answer comes within a time of its own.
    fn detached(&self) -> Option<Box<dyn Inspect + Send>> {
        None
    }
}

impl<T: Inspect + ?Sized> Inspect for Box<T> {
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        (**self).observe(request)
    }

    fn detached(&self) -> Option<Box<dyn Inspect + Send>> {
        (**self).detached()
    }
}

/// The writing half of a node. One transaction is open at a time.
pub trait Host: Inspect {
    /// Takes the node's lock and holds it until [`Host::unlock`] or the end of the process, without waiting for it. A transaction takes it by itself; this
    /// is for a run that must keep others away between its visits.
    fn lock(&mut self, claim: &Claim) -> Result<(), HostError>;

    /// Whether somebody holds the lock. It may be another answer a moment later.
    fn lock_state(&self) -> Result<LockState, HostError>;

    /// Gives the lock back.
    fn unlock(&mut self);

    /// Opens a transaction: takes the lock, and copies everything that may be touched. After an error nothing is open.
    fn begin(&mut self, begin: &Begin) -> Result<(), HostError>;

    /// Answers what needs no transaction. One that is open is asked all the same: it knows what held before it touched anything, and where links lead.
    fn ask(&mut self, command: ReadCommand) -> Result<Reply, HostError>;

    /// Performs one command of the open transaction. After an error it is still open and can be undone, or go on.
    fn perform(&mut self, command: WriteCommand) -> Result<Reply, HostError>;

    /// Ends the open transaction and keeps what it did. After an error it is still open.
    fn commit(&mut self) -> Result<(), HostError>;

    /// Ends the open transaction and puts everything back.
    fn undo(&mut self) -> Result<Undone, HostError>;

    /// Ends a transaction that a dead process left open below `state_directory`, as [`Host::undo`] does; nothing when there is none.
    fn undo_open(&mut self, state_directory: &str) -> Result<Option<Undone>, HostError>;

    /// The visits of which a snapshot is kept below `state_directory`, the oldest first.
    fn snapshots(&self, state_directory: &str) -> Result<Vec<SnapshotFacts>, HostError>;

    /// Has the member of etcd on this node send its data, and keeps it. After an error nothing of it is left. It takes the lock if nobody here holds it.
    fn snapshot_etcd(&mut self, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError>;

    /// The snapshots of etcd's data that are kept below `state_directory`, the oldest first.
    fn etcd_snapshots(&self, state_directory: &str) -> Result<Vec<EtcdSnapshot>, HostError>;

    /// Removes the snapshots of etcd's data but the latest `keep`, and the snapshots of all but the latest `keep` runs below `state_directory`, and tells which. What is open or could not be undone stays.
    fn prune(&mut self, state_directory: &str, keep: u32) -> Result<Vec<String>, HostError>;
}

/// Why a node gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum NodeError {
    /// The node's file tree cannot be opened.
    #[error("the node's files cannot be reached")]
    NoFiles(#[source] TreeError),
    /// The node cannot be reached.
    #[error("the node cannot be reached: {reason}")]
    Unreachable {
        /// Why, in words for people.
        reason: String,
    },
    /// The connection to the node was lost.
    #[error("the connection to the node is lost: {reason}")]
    Disconnected {
        /// Why, in words for people.
        reason: String,
    },
    /// A message does not go through the connection, which is as before.
    #[error("the {message} is larger than {mebibytes} MiB, the most that is sent at once")]
    TooLarge {
        /// Which one.
        message: Cow<'static, str>,
        /// The largest possible one.
        mebibytes: usize,
    },
    /// The program on the node speaks another version of the protocol.
    #[error(
        "pki {node_version} on the node speaks protocol {node_protocol} and this pki {own_version} speaks protocol {own_protocol}; put the same version at both ends"
    )]
    Incompatible {
        /// The version of the program on the node.
        node_version: String,
        /// The major version of its protocol.
        node_protocol: u32,
        /// The version of this program.
        own_version: String,
        /// The major version of its protocol.
        own_protocol: u32,
    },
}
