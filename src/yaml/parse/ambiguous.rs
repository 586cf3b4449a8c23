//! Words that other YAML readers take for something else.
//!
//! What enters is a document; what leaves are warnings. It changes nothing about how the document is read.

use std::collections::BTreeSet;

use super::{Entry, MOST_PROBLEMS, Value};
use crate::diagnostic::{Code, Diagnostic, Span, quoted, shown};
use crate::yaml::document::Document;

/// Words that YAML 1.1 readers (PyYAML, Ansible, some versions of yq) take for booleans.
const OLD_BOOLEANS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "Y", "N"];

/// Names every unquoted scalar that YAML 1.1 readers take for something else: they rewrite it when a file passes
/// through them, and the next plan then sees a different spec.
///
/// Keys are judged where people choose them, below the mappings that `names` lists: the format's own `on` cannot be spelled otherwise.
pub fn ambiguous_scalars(document: &Document, names: &[&str]) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![(document.root(), false)];
    while let Some((node, has_names)) = waiting.pop() {
        match &node.value {
            Value::String(text) if node.plain => {
                check_ambiguous(document, text, node.span, &mut seen, &mut problems)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            Value::Sequence(items) => waiting.extend(items.iter().map(|item| (item, false))),
            Value::Mapping(entries) => {
                for Entry { key, value } in entries {
                    if key.plain && has_names {
                        check_ambiguous(document, &key.name, key.span, &mut seen, &mut problems);
                    }
                    waiting.push((value, names.contains(&key.name.as_str())));
                }
            }
        }
        if problems.len() >= MOST_PROBLEMS {
            break;
        }
    }
    problems
}

fn check_ambiguous(
    document: &Document,
    text: &str,
    span: Span,
    seen: &mut BTreeSet<Span>,
    problems: &mut Vec<Diagnostic>,
) {
    let lower = text.to_ascii_lowercase();
    let taken_for = if OLD_BOOLEANS.contains(&lower.as_str()) {
        "a boolean"
    } else if is_old_number(text) {
        "a number"
    } else if text.parse::<jiff::Timestamp>().is_ok() || text.parse::<jiff::civil::Date>().is_ok() {
        "a date"
    } else {
        return;
    };
    if seen.insert(span) {
        problems.push(
            Diagnostic::new(
                Code::AmbiguousScalar,
                format!("{} without quotes is {taken_for} to YAML 1.1 readers such as PyYAML", quoted(text)),
            )
            .at(document.place_of(span), "a text here")
            .help(format!("quote it: \"{}\"", shown(text))),
        );
    }
}

/// Base-sixty numbers (`1:30` is 90) and digits in groups (`1_000`), which YAML 1.2 no longer has.
fn is_old_number(text: &str) -> bool {
    let grouped = text.contains('_') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let sixties = text.contains(':')
        && text.split(':').enumerate().all(|(index, part)| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && (index == 0 || part.parse::<u8>().is_ok_and(|part| part < 60))
        });
    (grouped && text.starts_with(|first: char| first.is_ascii_digit())) || sixties
}
