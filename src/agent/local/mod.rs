//! This machine as a node, or a directory of it that stands for one.
//!
//! What enters is a request; what leaves is facts read from real files through [`Tree`], which keeps every path inside the root. The
//! clock is given, so that a test or a second look can be told the time.

pub(crate) mod etcd_snapshot;
pub(super) mod host;

use std::path::PathBuf;

use jiff::Timestamp;

use crate::agent::inspect::{Look, Payload, Sight, Want, observe};
use crate::agent::local::host::Transaction;
use crate::agent::probe;
use crate::agent::transaction::boot::Boot;
use crate::agent::transaction::lock::Lock;
use crate::agent::transaction::node_files::served_by;
use crate::files::confined::{Outcome, Tree, Walk};
use crate::protocol::facts::{NodeFacts, ObserveRequest};
use crate::protocol::named_files::LIST_LIMIT;
use crate::protocol::node::{Inspect, NodeError};
use crate::protocol::tree_error::TreeError;

/// How often a file is walked to again that was replaced while it was read. Whoever renews files replaces each once.
const ATTEMPTS: usize = 3;

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
    pub(super) transaction: Option<Transaction>,
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

impl Look for Nothing {
    fn look(&self, _: &str, _: Want) -> Sight {
        Sight::Missing
    }
}

impl Look for Tree {
    fn look(&self, path: &str, want: Want) -> Sight {
        let mut attempts = 1;
        loop {
            match self.attempt(path, want) {
                Err(TreeError::Changed { .. }) if attempts < ATTEMPTS => attempts += 1,
                Err(error) => return Sight::Failed { reason: error.to_string() },
                Ok(sight) => return sight,
            }
        }
    }
}

impl Tree {
    /// Walks and reads once. Of the errors of reading only a changed file leaves, because it means to walk again.
    fn attempt(&self, path: &str, want: Want) -> Result<Sight, TreeError> {
        let Walk { hops, outcome } = self.walk(path);
        let found = match outcome {
            Outcome::Found(found) => found,
            Outcome::Missing { .. } => return Ok(Sight::Missing),
            Outcome::Dangling { missing } => return Ok(Sight::Dangling { hops, missing }),
            Outcome::Loop => return Ok(Sight::Looping { hops }),
            Outcome::Unsafe(step) => return Ok(Sight::Unsafe { step }),
            Outcome::Failed(error) => return Ok(Sight::Failed { reason: error.to_string() }),
        };
        let mut status = found.status;
        let taken = match want.of(status.kind) {
            Want::Place => Ok(Payload::NotRead),
            Want::Names => self.list(&found, LIST_LIMIT).map(Payload::Names),
            want @ (Want::Bytes | Want::Copy) => self.read(&found, want.limit()).map(|(bytes, of_bytes)| {
                status = of_bytes;
                Payload::Bytes(bytes)
            }),
        };
        let payload = match taken {
            Ok(payload) => payload,
            Err(changed @ TreeError::Changed { .. }) => return Err(changed),
            Err(error) => Payload::Failed { reason: error.to_string() },
        };
        let told = found.told.map(Box::new);
        Ok(Sight::Found { hops, resolved: found.resolved, status, payload, told })
    }
}
