//! What the time of a run went into.
//!
//! A value for reports: whoever carries out a plan counts it, and what is told of it is decided by whoever tells it.

use std::collections::BTreeMap;
use std::time::Duration;

/// The time of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpentTime {
    /// All of it.
    pub total: Duration,
    /// That of each action that was begun, by its number. Actions of nodes that are worked on at the same time count for each of them.
    pub actions: BTreeMap<u32, Duration>,
}
