//! YAML that was found on a node: hostile until shown otherwise, and possibly full of secrets.
//!
//! What enters is text; what leaves is a typed value or the line of the error. The parser's own message never leaves,
//! because it may quote what it could not read. The same file is read as Kubernetes reads it: unknown fields are passed over, the
//! last of two equal keys wins, and of several documents only the first one counts (sigs.k8s.io/yaml `YAMLToJSON`, which kubelets and client-go use, decodes one).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::DuplicateKeyPolicy;

/// Where a YAML text stopped making sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// The line, from 1; 0 when the parser did not say.
    pub(crate) line: u64,
}

/// The place of an error, to be read behind what it is; nothing where it is not known.
pub(crate) fn at_line(line: u64) -> String {
    if line == 0 { String::new() } else { format!(", at line {line}") }
}

/// The first document of a text, and what comes behind it, which nobody reads.
///
/// A line of three hyphens, or of three dots, at the left edge ends a document wherever it stands, also in a quoted or folded text (YAML 1.2, 9.1.2).
pub(crate) fn first_document(text: &str) -> (&str, &str) {
    let is_marker = |line: &str, marker: &str| {
        line.strip_prefix(marker)
            .is_some_and(|rest| rest.trim_start_matches([' ', '\t']).len() < rest.len() || rest.is_empty())
    };
    let mut has_begun = false;
    let mut at = 0_usize;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        let (begins, ends) = (is_marker(bare, "---"), is_marker(bare, "..."));
        if has_begun && (begins || ends) {
            return text.split_at_checked(at).unwrap_or((text, ""));
        }
        let is_before = bare.trim().is_empty() || bare.starts_with(['#', '%']);
        has_begun |= begins || !is_before;
        at = at.saturating_add(line.len());
    }
    (text, "")
}

/// Reads a value out of the first document of a YAML text.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        duplicate_keys: DuplicateKeyPolicy::LastWins,
    };
    serde_saphyr::from_str_with_options(first_document(text).0, options)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_first_document_is_not_looked_at() {
        for (text, first) in [
            ("a: 1\n", "a: 1\n"),
            ("a: 1\n---", "a: 1\n"),
            ("---\na: 1\n---\nb: 2\n", "---\na: 1\n"),
            (
                "# of the house\r\n\r\n--- # one\r\na: 1\r\n---\r\n",
                "# of the house\r\n\r\n--- # one\r\na: 1\r\n",
            ),
            ("%YAML 1.2\n---\na: 1\n...\n: [\n", "%YAML 1.2\n---\na: 1\n"),
            ("a: |\n  ---\n  b\n--- {c: d}\n", "a: |\n  ---\n  b\n"),
            ("a: ---b\n---b: 1\n", "a: ---b\n---b: 1\n"),
            ("---\n---\na: 1\n", "---\n"),
            ("", ""),
        ] {
            let (found, rest) = first_document(text);
            assert_eq!(found, first, "{text:?}");
            assert_eq!(format!("{found}{rest}"), text);
        }
    }

    #[test]
    fn a_later_document_that_is_no_yaml_is_no_error() {
        let read: std::collections::BTreeMap<String, u8> = read("a: 1\n---\n}: [\n").unwrap();
        assert_eq!(read["a"], 1);
    }
}
