//! Why a path of a node could not be used.

use serde::{Deserialize, Serialize};

use crate::protocol::facts::UnsafeStep;

/// Why a path, a file or a directory could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum TreeError {
    /// The root directory of the tree cannot be opened.
    #[error("the root directory {root} cannot be opened: {reason}")]
    RootUnusable {
        /// The root, as it was given.
        root: String,
        /// The system's words.
        reason: String,
    },
    /// The path does not start with `/`.
    #[error("{path:?} is not an absolute path")]
    Relative {
        /// The path, as it was given.
        path: String,
    },
    /// The path has a NUL byte in it.
    #[error("{path:?} has a NUL byte in it")]
    ContainsNul {
        /// The path, as it was given.
        path: String,
    },
    /// The path is longer than any path of Linux can be.
    #[error("the path is {length} bytes long, more than {limit}")]
    TooLong {
        /// Its length in bytes.
        length: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The path leads through more directories than any honest path does.
    #[error("the path leads through more than {limit} directories")]
    TooDeep {
        /// The most that is accepted.
        limit: usize,
    },
    /// A component in the middle of the path is no directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The node path of that component.
        path: String,
    },
    /// The path ends in no name of its own (`/`, or an ending `..`).
    #[error("{path:?} does not end in a name")]
    NoName {
        /// The path, as it was given.
        path: String,
    },
    /// The directory that should hold the path's name does not exist.
    #[error("{missing} does not exist")]
    NoParent {
        /// The node path of the first directory that is missing.
        missing: String,
    },
    /// The path leads through a link that ends in nothing.
    #[error("a link on the way leads to {missing}, which does not exist")]
    DanglingParent {
        /// The node path at which the link's target ends in nothing.
        missing: String,
    },
    /// The path leads through more links than any honest path has.
    #[error("the links on the way form a loop")]
    LoopingParent,
    /// Somebody who is not trusted with the node decides where the path leads.
    #[error("{0}")]
    Unsafe(Box<UnsafeStep>),
    /// What was to be read is no regular file.
    #[error("{path} is not a regular file")]
    NotRegular {
        /// Its resolved node path.
        path: String,
    },
    /// The file is larger than anything this program reads.
    #[error("{path} is larger than {limit} bytes")]
    TooLarge {
        /// Its resolved node path.
        path: String,
        /// The most that is read.
        limit: usize,
    },
    /// The file was changed or replaced while it was read.
    #[error("{path} was changed while it was read")]
    Changed {
        /// Its resolved node path.
        path: String,
    },
    /// The system refused.
    #[error("{path}: {reason}")]
    Refused {
        /// The node path at which it refused.
        path: String,
        /// The system's words.
        reason: String,
    },
}
