//! A node that cannot be reached: it answers every question with the reason, and does nothing.

use crate::protocol::command::{Begin, ReadCommand, Reply, SnapshotEtcd, WriteCommand};
use crate::protocol::error::HostError;
use crate::protocol::facts::{NodeFacts, ObserveRequest};
use crate::protocol::lock::{Claim, LockState};
use crate::protocol::node::{Host, Inspect, NodeError};
use crate::protocol::snapshots::{EtcdSnapshot, SnapshotFacts, Undone};

/// A node that cannot be reached.
#[derive(Debug, Clone)]
pub struct Unreachable {
    reason: String,
}

impl Unreachable {
    /// A node that cannot be reached for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }

    fn error(&self) -> HostError {
        HostError::Unreachable { reason: self.reason.clone() }
    }
}

impl Inspect for Unreachable {
    fn observe(&self, _: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        Err(NodeError::Unreachable { reason: self.reason.clone() })
    }
}

impl Host for Unreachable {
    fn lock(&mut self, _: &Claim) -> Result<(), HostError> {
        Err(self.error())
    }

    fn lock_state(&self) -> Result<LockState, HostError> {
        Err(self.error())
    }

    fn unlock(&mut self) {}

    fn begin(&mut self, _: &Begin) -> Result<(), HostError> {
        Err(self.error())
    }

    fn ask(&mut self, _: ReadCommand) -> Result<Reply, HostError> {
        Err(self.error())
    }

    fn perform(&mut self, _: WriteCommand) -> Result<Reply, HostError> {
        Err(self.error())
    }

    fn commit(&mut self) -> Result<(), HostError> {
        Err(self.error())
    }

    fn undo(&mut self) -> Result<Undone, HostError> {
        Err(self.error())
    }

    fn undo_open(&mut self, _: &str) -> Result<Option<Undone>, HostError> {
        Err(self.error())
    }

    fn snapshots(&self, _: &str) -> Result<Vec<SnapshotFacts>, HostError> {
        Err(self.error())
    }

    fn snapshot_etcd(&mut self, _: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        Err(self.error())
    }

    fn etcd_snapshots(&self, _: &str) -> Result<Vec<EtcdSnapshot>, HostError> {
        Err(self.error())
    }

    fn prune(&mut self, _: &str, _: u32) -> Result<Vec<String>, HostError> {
        Err(self.error())
    }
}
