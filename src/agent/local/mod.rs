//! This machine as a node, or a directory of it that stands for one.
//!
//! What enters is a request; what leaves is facts read from real files through [`Tree`], which keeps every path inside the root. The
//! clock is given, so that a test or a second look can be told the time.

pub(crate) mod etcd_snapshot;
pub(super) mod host;

use std::path::PathBuf;

use jiff::Timestamp;

use crate::agent::fs::accounts::served_by;
use crate::agent::fs::lookup::{Detail, Lookup, LookupResult};
use crate::agent::inspect::observe;
use crate::agent::inspect::snapshot_keys::SnapshotKeys;
use crate::agent::probe;
use crate::agent::transaction::Transaction;
use crate::agent::transaction::boot::Boot;
use crate::agent::transaction::lock::Lock;
use crate::agent::transaction::node_files::NodeFilesystem;
use crate::files::confined::Tree;
use crate::protocol::facts::{NodeFacts, ObserveRequest, OpenTransaction};
use crate::protocol::node::{Inspect, NodeError};

/// A transaction under way in this process.
#[derive(Debug)]
pub(super) struct LocalTransaction {
    visit: Transaction,
    site: NodeFilesystem,
    open: OpenTransaction,
    /// Whether it took the lock, rather than finding it taken for the whole run.
    took_lock: bool,
}

/// This machine, or a directory of it.
#[derive(Debug)]
pub struct Local {
    pub(super) root: Option<PathBuf>,
    /// A root that is not there is an empty node, and is made when the node is first worked on.
    pub(super) is_created_at_need: bool,
    pub(super) clock: fn() -> Timestamp,
    /// How a reboot is provided for; a directory that stands for a node is never started.
    pub(super) boot: Option<Boot>,
    pub(super) lock: Option<Lock>,
    pub(super) transaction: Option<LocalTransaction>,
}

impl Local {
    /// A node whose `/` is `root`, or this machine's own when there is none, and whose clock is `clock`.
    pub fn new(root: Option<PathBuf>, clock: fn() -> Timestamp) -> Self {
        let boot = if root.is_none() { Boot::of_machine() } else { None };
        Self { root, is_created_at_need: false, clock, boot, lock: None, transaction: None }
    }

    /// A node whose `/` is `root`, which is made when the node is first worked on. Until then it is an empty node.
    pub fn created_at_need(root: PathBuf, clock: fn() -> Timestamp) -> Self {
        Self { is_created_at_need: true, ..Self::new(Some(root), clock) }
    }

    /// Whether the directory that stands for the node is still to be made.
    pub(super) fn is_still_empty(&self) -> bool {
        let is_missing = |root: &PathBuf| matches!(root.try_exists(), Ok(false));
        self.is_created_at_need && self.root.as_ref().is_some_and(is_missing)
    }
}

/// Another view of the same node. The lock and the open transaction stay with the first.
impl Clone for Local {
    fn clone(&self) -> Self {
        Self {
            root: self.root.clone(),
            is_created_at_need: self.is_created_at_need,
            clock: self.clock,
            boot: self.boot.clone(),
            lock: None,
            transaction: None,
        }
    }
}

impl Inspect for Local {
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        if self.is_still_empty() {
            return Ok(observe(&Nothing, request, None, (self.clock)(), served_by()));
        }
        let tree = Tree::open(self.root.clone()).map_err(NodeError::NoFiles)?.with_links(&request.links);
        let tree = match &request.state_directory {
            Some(directory) => tree.with_state(directory),
            None => tree,
        };
        // The kernel's name is this machine's, not that of a node which is a directory.
        let hostname = match self.root {
            None => Some(rustix::system::uname().nodename().to_string_lossy().into_owned()),
            Some(_) => None,
        };
        let mut facts = observe(&tree, request, hostname, (self.clock)(), served_by());
        // On a directory nothing runs.
        if self.root.is_none() && !request.live.is_empty() {
            probe::observe(&mut facts, &request.live, &tree, self.clock);
        }
        Ok(facts)
    }

    fn detached(&self) -> Option<Box<dyn Inspect + Send>> {
        Some(Box::new(self.clone()))
    }
}

/// A file tree in which nothing is.
struct Nothing;

impl Lookup for Nothing {
    fn look(&self, _: &str, _: Detail) -> LookupResult {
        LookupResult::Missing
    }
}

impl SnapshotKeys for Nothing {}
