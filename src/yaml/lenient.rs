//! YAML that was found on a node: hostile until shown otherwise, and possibly full of secrets.
//!
//! What enters is text; what leaves is a typed value or the line of the error. The parser's own message never leaves,
//! because it may quote what it could not read. The same file is read as Kubernetes reads it: unknown fields are passed over and the
//! last of two equal keys wins.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::DuplicateKeyPolicy;

/// Where a YAML text stopped making sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// The line, from 1; 0 when the parser did not say.
    pub(crate) line: u64,
}

/// Reads a value out of one YAML document.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| YamlError { line: error.location().map_or(0, |location| location.line()) })
}

/// Reads `null` as an absent field, as Kubernetes does; for `#[serde(default, deserialize_with = ...)]`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
