//! A node: what can be asked of it, and the places where that touches the world.
//!
//! What enters is an [`ObserveRequest`]; what leaves is [`NodeFacts`]. [`Inspect`] is the reading half and cannot change a node: whoever
//! holds only `&dyn Inspect` has no way to write, remove or run. [`Local`] is this machine, or a directory that stands for a
//! node; [`Memory`] is a node made of values, for tests.

pub mod confined;
mod content;
mod local;
mod memory;
mod observe;

pub use local::Local;
pub use memory::Memory;

use crate::observed::{NodeFacts, ObserveRequest};
use confined::TreeError;

/// The reading half of a node.
pub trait Inspect {
    /// Answers one request. What of it cannot be seen is unknown in the answer; an error means that there is no answer at all.
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError>;
}

/// Why a node gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make the files that are observed")]
mod tests;
