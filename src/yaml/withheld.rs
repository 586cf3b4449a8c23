//! What may be shown of a text that may be no spec at all.
//!
//! What enters are the problems of sources; what leaves is the same problems, where those of a document that does not say that it is a spec tell the place and
//! the kind alone. A path on the command line, or in a checkout, may lead to any file of this machine: the first lines of a key file are no help to anybody
//! who meant a spec, and all that somebody wants who did not.

use std::collections::BTreeMap;

use crate::diagnostic::counted;
use crate::diagnostic::{Code, Diagnostic, Label, Place, Source};

/// Takes everything out of the problems that repeats a document which does not declare itself a spec, snippets included.
pub(crate) fn withhold(problems: &mut [Diagnostic], sources: &[Source]) {
    // Of two sources of one name the first is meant; so it is where they are shown.
    let mut by_name: BTreeMap<&str, &Source> = BTreeMap::new();
    for source in sources {
        by_name.entry(&source.name).or_insert(source);
    }
    let mut parts: BTreeMap<&str, Vec<(usize, bool)>> = BTreeMap::new();
    for problem in problems {
        let is_secret = problem.labels.iter().any(|label| {
            let Some(source) = by_name.get(label.place.file.as_str()) else { return false };
            let parts = parts.entry(&source.name).or_insert_with(|| declared_parts(&source.text));
            let after = parts.partition_point(|(start, _)| *start <= label.place.span.start);
            let part = after.checked_sub(1).and_then(|part| parts.get(part));
            part.is_some_and(|(_, is_declared)| !is_declared)
        });
        if !is_secret {
            continue;
        }
        for Label { place, text } in &mut problem.labels {
            // A place beyond every text has no snippet.
            *place = Place { span: NOWHERE, ..place.clone() };
            text.clear();
        }
        // A foreign document's message tells its apiVersion and kind, and nothing else.
        if problem.code != Code::ForeignDocument {
            problem.message = problem.code.title().to_owned();
            problem.help = Some(NO_SPEC.to_owned());
        }
    }
}

/// A stretch that no text has.
const NOWHERE: crate::diagnostic::Span = crate::diagnostic::Span { start: usize::MAX, length: 0 };

const NO_SPEC: &str =
    "nothing of the document is shown, because it does not say `apiVersion: pki/v1alpha1`; check the path";

/// The documents of a file, by the lines that part them: where each begins, and whether it declares itself.
fn declared_parts(text: &str) -> Vec<(usize, bool)> {
    counted::steps(text.len());
    let mut starts = vec![0];
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        if position > 0 && (line.trim_end() == "---" || line.starts_with("--- ")) {
            starts.push(position);
        }
        position += line.len();
    }
    let ends = starts.iter().copied().skip(1).chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| (*start, is_declared(text.get(*start..end).unwrap_or_default())))
        .collect()
}

/// Whether a document says that it is a spec, however it is written and whatever is wrong with it otherwise.
fn is_declared(document: &str) -> bool {
    document.lines().any(|line| {
        let letters = line.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ':' | '/'));
        let line: String = letters.take(LONGEST_LINE).collect::<String>().to_lowercase();
        line.contains("apiversion:pki") || line.contains("kind:clusterpki")
    })
}

/// Nobody declares a spec behind so many letters.
const LONGEST_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_declares_itself_in_any_form_and_for_itself_alone() {
        for declared in [
            "apiVersion: pki/v1alpha1",
            "\"apiVersion\" : 'pki/v1alpha1'",
            "{ apiVersion: pki/v1alpha1, kind: X",
            "kind: ClusterPKI",
            "# a comment\napiversion: pki/v2",
            "{\"kind\":\"ClusterPKI\"",
        ] {
            assert!(is_declared(declared), "{declared}");
        }
        for other in ["root:!:19000::::::", "apiVersion: v1\nkind: Secret", "-----BEGIN PRIVATE KEY-----", ""]
        {
            assert!(!is_declared(other), "{other}");
        }
        let text = "a: 1\n---\napiVersion: pki/v1alpha1\nb: 2\n--- # third\nc: 3\n";
        let third = text.find("--- #").unwrap();
        assert_eq!(declared_parts(text), [(0, false), (5, true), (third, false)]);
        assert_eq!(declared_parts("---\na: 1\n"), [(0, false)]);
    }
}
