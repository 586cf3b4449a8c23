//! Plans and facts as files: written once, read by people and programs, used later.
//!
//! What enters or leaves is text. The form is canonical: the same value is the same bytes, so that a digest stands for it. It holds no secret, because no type in
//! a plan or in facts can. What is read is somebody else's word: its size is bounded by the caller, unknown names of a later minor format are passed over where
//! the type allows it, and an unknown major one is refused. No file is touched here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::diagnostic::log_commands::in_json;
use crate::protocol::facts::Observed;
use crate::types::names::ClusterName;
use crate::x509::Sha256;

/// The version of the JSON forms: minor steps only add, a reader refuses a major one that it does not know.
pub const FORMAT_VERSION: &str = "1.0";

/// The program that writes, with its version.
pub(crate) const TOOL: &str = concat!("pki ", env!("CARGO_PKG_VERSION"));

/// The largest file that is read, in bytes: a renewal of everything on a thousand nodes, or all that these nodes tell, is a fraction of it.
pub const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Why a text cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// It is no JSON, or not that of such a value.
    #[error("this is not what this program has written")]
    Unreadable(#[source] serde_json::Error),
    /// It is a plan, and somebody has changed it by hand, or half of it is missing.
    #[error("the plan was changed after it was saved: its name does not fit what it says")]
    Changed,
    /// It was made by a program that knows more.
    #[error("it has format {found}, and this program knows {FORMAT_VERSION}; use the program that made it")]
    Format {
        /// Its format.
        found: String,
    },
}

/// The part of every format that says which one it is.
#[derive(Deserialize)]
struct Head {
    format_version: String,
}

/// The canonical text of a value, with one line feed at its end.
pub fn to_text(value: &impl Serialize) -> String {
    // Only maps with keys that are no strings could fail, and nothing that is saved has any.
    let mut text = in_json(&serde_json::to_string_pretty(value).unwrap_or_default()).into_owned();
    text.push('\n');
    text
}

/// Reads what [`to_text`] wrote.
///
/// # Errors
/// It is something else, or of a later format.
pub fn from_text<T: DeserializeOwned>(text: &[u8]) -> Result<T, SavedError> {
    check_format(text)?;
    serde_json::from_slice(text).map_err(SavedError::Unreadable)
}

/// Refuses what is of a later format.
pub(crate) fn check_format(text: &[u8]) -> Result<(), SavedError> {
    let head: Head = serde_json::from_slice(text).map_err(SavedError::Unreadable)?;
    let major = |version: &str| version.split('.').next().unwrap_or_default().to_owned();
    if major(&head.format_version) != major(FORMAT_VERSION) {
        let found = head.format_version.escape_debug().take(20).collect();
        return Err(SavedError::Format { found });
    }
    Ok(())
}

/// What the nodes of a cluster told, for planning without access to any of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// The version of the written form, such as `1.0`.
    #[serde(rename = "format_version")]
    pub format_version: String,
    /// The program that asked, with its version.
    pub tool: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// The spec that said what to ask.
    pub spec: SpecReference,
    /// What they told.
    pub observed: Observed,
}

impl Facts {
    /// What was told about a cluster.
    pub fn new(cluster: ClusterName, spec: SpecReference, observed: Observed) -> Self {
        Self { format_version: FORMAT_VERSION.to_owned(), tool: TOOL.to_owned(), cluster, spec, observed }
    }
}

/// Which spec a plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpecReference {
    /// The file, as it was named.
    pub file: String,
    /// SHA-256 of its text.
    pub sha256: Sha256,
    /// The commit that the pipeline says it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The files that it names, as they are named there, with SHA-256 of what they hold: `source.certificate` and `knownHosts`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, Sha256>,
}
