//! One finding about one thing: a reason, and what it means for a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reason;

/// What a finding means for a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// A change would be dangerous: a person has to look first.
    Blocks,
    /// Too little is known to decide.
    Unknown,
    /// A change is due.
    Due,
    /// Said, and left alone.
    Note,
}

/// One finding about one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// What it means for a plan.
    pub effect: Effect,
    /// What was found.
    #[serde(flatten)]
    pub reason: Reason,
    /// The path in the spec that decided it, such as `spec.defaults.renewBefore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Vec<String>>,
}

impl Finding {
    /// A change is due.
    pub fn due(reason: Reason) -> Self {
        Self { effect: Effect::Due, reason, decided_by: None }
    }

    /// A person has to look first.
    pub fn blocks(reason: Reason) -> Self {
        Self { effect: Effect::Blocks, reason, decided_by: None }
    }

    /// Said, and left alone.
    pub fn note(reason: Reason) -> Self {
        Self { effect: Effect::Note, reason, decided_by: None }
    }

    /// Due, unless the reason is that nothing is known.
    pub fn due_unless_unknown(reason: Reason) -> Self {
        let effect = if matches!(reason, Reason::Unknown { .. }) {
            Effect::Unknown
        } else if matches!(reason, Reason::ForeignContent { .. }) {
            // Who knows what it is has to say that it may go.
            Effect::Blocks
        } else {
            Effect::Due
        };
        Self { effect, reason, decided_by: None }
    }

    /// Names the part of the spec that decided it.
    #[must_use]
    pub fn decided_by(mut self, path: Option<&Vec<String>>) -> Self {
        self.decided_by = path.cloned();
        self
    }
}
