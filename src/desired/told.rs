//! Whose word a value is that the spec leaves open.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DesiredNames;
use crate::diagnostic::escaped;
use crate::types::names::NodeName;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The node that says it.
    pub node: NodeName,
    /// The file on it that says so.
    pub path: String,
}

/// A value by the word of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The value, as it stands in a certificate or kubeconfig.
    pub value: String,
    /// Who says it. Of several that say the same, the first by name.
    pub from: Origin,
    /// Every control plane that was seen says the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agreed: bool,
}

impl Told {
    /// The same word, for another value that follows from it.
    pub fn with(&self, value: impl Into<String>) -> Self {
        Self { value: value.into(), ..self.clone() }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, path) = (escaped(&self.value), escaped(&self.from.path));
        write!(f, "{value} by the word of {} ({path})", self.from.node)
    }
}

/// A value that cannot be known, because nodes contradict each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// Who says what, in one sentence.
    pub because: String,
    /// The way out.
    pub help: String,
}

/// The disputes about the values of placeholders, such as `endpoint`.
pub type Disputes = BTreeMap<String, Dispute>;

impl DesiredNames {
    /// Whether both ask for the same, whoever says so.
    pub fn are_those_of(&self, other: &Self) -> bool {
        (&self.dns, &self.ip, &self.unresolved, self.exact)
            == (&other.dns, &other.ip, &other.unresolved, other.exact)
    }
}
