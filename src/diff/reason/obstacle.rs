//! What a reason tells of a directory that cannot be moved, as data and as one clause.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::escaped;

/// Why a directory cannot be moved.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
// Saved plans and schemas know it by this name.
#[schemars(rename = "Obstacle")]
pub enum MoveObstacle {
    /// Files are in both places.
    HoldsFiles {
        /// How many things are where it should be.
        count: usize,
    },
    /// Where it should be, there is a link.
    IsLink {
        /// What it says.
        target: String,
    },
    /// Where it should be, there is something that is no directory.
    IsNoDirectory,
    /// A file system is mounted on it.
    IsMounted,
}

impl fmt::Display for MoveObstacle {
    /// One clause, without a full stop; texts from nodes are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HoldsFiles { count } => {
                let things = if *count == 1 { "thing is" } else { "things are" };
                write!(f, "that directory is not empty, {count} {things} in it")
            }
            Self::IsLink { target } => write!(f, "a link to {} is there already", escaped(target)),
            Self::IsNoDirectory => f.write_str("something that is no directory is there already"),
            Self::IsMounted => {
                f.write_str("a file system is mounted on it, and no link can take the place of that")
            }
        }
    }
}
