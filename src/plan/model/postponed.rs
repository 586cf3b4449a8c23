//! What a plan leaves for a later one that goes on by itself.
//!
//! A plain value with its written form; [`crate::plan::rotation::holds`] decides what is postponed. Pure.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::names::AuthorityName;

/// A replacement that goes on later by itself. That is no change: the same spec leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Postponed {
    /// What is replaced.
    pub authority: AuthorityName,
    /// From when on a plan goes on; none where it goes on once something else is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why, in one sentence.
    pub because: String,
}
