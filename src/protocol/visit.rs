//! The name of one transaction on one node, and how it stands: what the facts of a node, its snapshots and the commands to it all speak of.
//!
//! These are the types alone; what a node tells of its transactions is `facts` and `snapshots`. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names one transaction on one node: a run and the number of the visit in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VisitId {
    /// The run, which is also the plan's id, such as `7f3a-91c2`: up to 64 letters, digits and hyphens.
    pub run: String,
    /// The visit, counted from 1 over the whole run.
    pub visit: u32,
}

impl std::fmt::Display for VisitId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.run, self.visit)
    }
}

/// How a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum VisitState {
    /// It was begun and has not ended.
    Open,
    /// Its changes were kept.
    Committed,
    /// Its changes were taken back.
    Undone,
    /// Its changes could not all be taken back; it is still open and a person is needed.
    UndoFailed,
}
