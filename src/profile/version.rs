//! Facts that hold from one Kubernetes version to another.

use serde::Deserialize;

use crate::spec::scalars::KubernetesVersion;

/// A value that holds from `since` (inclusive) until `until` (exclusive).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Versioned<T> {
    /// The first version for which it holds; from the beginning when absent.
    #[serde(default)]
    pub since: Option<KubernetesVersion>,
    /// The first version for which it no longer holds; to this day when absent.
    #[serde(default)]
    pub until: Option<KubernetesVersion>,
    /// The value.
    pub value: T,
}

impl<T> Versioned<T> {
    /// Whether this entry holds for a version. Without a known version only an entry without bounds does.
    pub fn holds(&self, version: Option<KubernetesVersion>) -> bool {
        match version {
            Some(version) => {
                self.since.is_none_or(|since| since <= version)
                    && self.until.is_none_or(|until| version < until)
            }
            None => self.since.is_none() && self.until.is_none(),
        }
    }

    /// Whether this entry held for this version or for an earlier one: an upgrade leaves older certificates in place.
    pub fn held_up_to(&self, version: Option<KubernetesVersion>) -> bool {
        match (version, self.since) {
            (Some(version), Some(since)) => since <= version,
            (Some(_) | None, None) | (None, Some(_)) => true,
        }
    }
}

/// The value that holds for a version; `None` when no entry does, or when it depends on a version that is unknown.
pub fn applicable<T>(entries: &[Versioned<T>], version: Option<KubernetesVersion>) -> Option<&T> {
    entries.iter().find(|entry| entry.holds(version)).map(|entry| &entry.value)
}
