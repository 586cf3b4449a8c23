//! Where a node made of values fails, so that tests see what becomes of that.
//!
//! What enters is one failure; what leaves is an error at that place, once. It touches nothing.

use super::Memory;
use crate::protocol::error::HostError;

/// Where a node in memory fails, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Instead of performing the order of this number, counted from 1 over all transactions.
    BeforeOrder(u32),
    /// When the order of this number has been performed.
    AfterOrder(u32),
    /// Instead of saving etcd's data.
    SnapshotEtcd,
    /// Instead of handing etcd's leadership on.
    MoveLeader,
    /// Instead of committing.
    Commit,
    /// Instead of undoing.
    Undo,
    /// When the manifest of a pod is aside: what the pod ran does not stop.
    Stop,
    /// When a service is to start: it does not.
    Start,
    /// When a service has started: it serves nothing.
    Serve,
}

impl Memory {
    /// Makes the node fail somewhere, once.
    #[must_use]
    pub fn failing(mut self, failure: Failure) -> Self {
        self.work.failure = Some(failure);
        self
    }

    /// Makes the node fail nowhere any more.
    #[must_use]
    pub fn unfailing(mut self) -> Self {
        self.work.failure = None;
        self
    }

    pub(super) fn fails(&mut self, here: Failure) -> Result<(), HostError> {
        if self.work.failure != Some(here) {
            return Ok(());
        }
        self.work.failure = None;
        Err(HostError::Refused { path: "/".to_owned(), reason: format!("told to fail: {here:?}") })
    }
}
