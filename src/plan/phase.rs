//! Phases: what a plan does on every node that it concerns before it does the next thing on any.
//!
//! What enters is nothing; what leaves is a closed list of phases with their words. A phase is a barrier over the whole cluster: none of its visits is
//! open when the next one begins, and whoever goes back goes back through them. Inside a phase a node has one visit at most.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A phase. They are carried out in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Etcd, which has no quorum, gets one again: nobody else works before.
    Quorum,
    /// Everything that needs no phase of its own.
    #[default]
    Ordinary,
}

/// No phase is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no phase is called so; there are {}", Phase::ALL.map(Phase::name).join(", "))]
pub struct PhaseError;

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 2] = [Phase::Quorum, Phase::Ordinary];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Quorum => "quorum",
            Phase::Ordinary => "ordinary",
        }
    }

    /// Whether it is the one that a plan without phases has.
    pub fn is_ordinary(&self) -> bool {
        *self == Phase::Ordinary
    }

    /// What it is for, in words.
    pub fn words(self) -> &'static str {
        match self {
            Phase::Quorum => "bring etcd back, whose members wait for each other",
            Phase::Ordinary => "do everything else",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Phase {
    type Err = PhaseError;

    fn from_str(text: &str) -> Result<Self, PhaseError> {
        Phase::ALL.into_iter().find(|phase| phase.name() == text).ok_or(PhaseError)
    }
}
