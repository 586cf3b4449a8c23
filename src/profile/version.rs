//! Facts that hold from one Kubernetes version to another.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::types::scalars::KubernetesVersion;

/// A value that holds from `since` (inclusive) until `until` (exclusive), and in the patches of earlier minor versions to which it was backported.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Versioned<T> {
    /// The first version for which it holds; from the beginning when absent.
    #[serde(default)]
    pub since: Option<KubernetesVersion>,
    /// The first patch of each earlier minor version that has it too: from there to the end of that minor version.
    #[serde(default)]
    pub backported: BTreeSet<KubernetesVersion>,
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
                let is_backported = |first: &KubernetesVersion| {
                    (first.major, first.minor) == (version.major, version.minor) && *first <= version
                };
                let has_begun = self.since.is_none_or(|since| since <= version);
                (has_begun || self.backported.iter().any(is_backported))
                    && self.until.is_none_or(|until| version < until)
            }
            None => self.since.is_none() && self.until.is_none(),
        }
    }

    /// Whether this entry held for this version or for an earlier one: an upgrade leaves older certificates in place.
    pub fn held_up_to(&self, version: Option<KubernetesVersion>) -> bool {
        let first = self.backported.first().copied().into_iter().chain(self.since).min();
        match (version, first) {
            (Some(version), Some(since)) => since <= version,
            (Some(_) | None, None) | (None, Some(_)) => true,
        }
    }
}

/// The first value that holds for a version; `None` when no entry does, or when it depends on a version that is unknown.
pub fn applicable<T>(entries: &[Versioned<T>], version: Option<KubernetesVersion>) -> Option<&T> {
    entries.iter().find(|entry| entry.holds(version)).map(|entry| &entry.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> KubernetesVersion {
        text.parse().unwrap()
    }

    #[test]
    fn a_backport_holds_from_its_patch_to_the_end_of_its_own_minor_version() {
        let newer = Versioned {
            since: Some(version("1.37")),
            backported: [version("v1.33.12"), version("v1.34.8")].into(),
            until: None,
            value: "newer",
        };
        let older = Versioned { since: None, backported: BTreeSet::new(), until: None, value: "older" };
        let entries = [newer, older];
        let at = |text: &str| *applicable(&entries, Some(version(text))).unwrap();
        for text in ["v1.32.99", "v1.33.11", "v1.34.0", "v1.34.7", "v1.35.9", "v1.36.1"] {
            assert_eq!(at(text), "older", "{text}");
        }
        for text in ["v1.33.12", "v1.33.13", "v1.34.8", "v1.37.0", "v1.38.2"] {
            assert_eq!(at(text), "newer", "{text}");
        }
        // An upgrade from v1.33.12 to v1.34.0 leaves what v1.33.12 made.
        assert!(entries[0].held_up_to(Some(version("v1.34.0"))));
        assert!(!entries[0].held_up_to(Some(version("v1.33.11"))));
    }
}
