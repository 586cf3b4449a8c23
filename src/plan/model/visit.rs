//! The work of a plan, node by node, and what it leaves undone.
//!
//! Plain values: the planner fills them, everybody reads them. What a transaction says of itself is told here; nothing is decided. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deed::{Action, Why};
use super::phase::Phase;
use crate::diff::Finding;
use crate::types::names::{Address, NodeName, ServiceName};
use crate::types::place::Place;

/// The work on one node, done or undone as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
// Saved plans and schemas know it by this name.
#[schemars(rename = "Visit")]
pub struct PlannedTransaction {
    /// Its place among the visits, from 1.
    pub number: u32,
    /// The phase to which it belongs. Visits come in the order of their phases.
    #[serde(default, skip_serializing_if = "Phase::is_ordinary")]
    pub phase: Phase,
    /// It is made at the same time as the visit before it: both are to workers, of which the spec lets so many be worked on at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_previous: bool,
    /// Where it is done. Forms of version 1 know nodes only.
    #[serde(rename = "node")]
    #[schemars(with = "NodeName", description = "The node.")]
    pub place: Place,
    /// The actions, in order.
    pub actions: Vec<Action>,
}

/// Something that is due and cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    /// What it is about.
    pub address: Address,
    /// Why it cannot be done, in one sentence.
    pub because: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The findings behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Why>,
}

/// A service that has to be restarted by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualRestart {
    /// The service.
    pub service: ServiceName,
    /// The nodes.
    pub nodes: Vec<NodeName>,
    /// What it has to read again.
    pub reads: Vec<String>,
    /// How it is restarted, in words.
    pub how: String,
    /// Why the plan does not do it, where it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Something that was found and is left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Noted {
    /// What it is about.
    pub address: Address,
    /// The finding.
    pub finding: Finding,
}

impl PlannedTransaction {
    /// Whether nothing but CAs of somebody else is dropped by it: no CA goes because another one has come.
    pub fn drops_only_strays(&self) -> bool {
        let mut writes = self.actions.iter().filter(|action| action.writes_trust()).peekable();
        self.phase == Phase::DropOld && writes.peek().is_some() && writes.all(Action::drops_strays)
    }

    /// What its phase is for, in words.
    pub fn purpose(&self) -> &'static str {
        match self.drops_only_strays() {
            true => "drop a distrusted CA",
            false => self.phase.words(),
        }
    }
}
