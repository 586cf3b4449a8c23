//! One field of a YAML text changed or added, all else byte for byte.
//!
//! What enters is a text and the mapping in it in which the field stands; what leaves is the new text, and whether two texts say the same but for that
//! field. The texts may hold secrets: nothing of them is in an error, and copies of them are wiped. Pure.

use zeroize::Zeroizing;

use crate::diagnostic::Span;
use crate::yaml::parse::{Entry, Node, Value};

/// A text that is edited.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl Text<'_> {
    /// A field of the mapping `home`, which is the value of the entry `home_entry`. `name` and `value` are written as they are, so they need no quotes or have
    /// them; a value takes over the quotes of the one that it replaces. `None` where that is not possible.
    pub(crate) fn set(
        self,
        home_entry: &Entry,
        home: &Node,
        name: &str,
        value: &str,
    ) -> Option<Zeroizing<String>> {
        match child(home, name.trim_matches('"')) {
            Some(entry) if entry.value.span.length == 0 => {
                self.insert(self.after_colon(entry)?, &[" ", value])
            }
            Some(entry) => self.replace(entry.value.span, value),
            None => match &home.value {
                Value::Mapping(entries) if self.written(home.span).starts_with('{') => {
                    let separator = if entries.is_empty() { "" } else { ", " };
                    self.insert(home.span.start + 1, &[name, ": ", value, separator])
                }
                Value::Mapping(entries) => {
                    let first = entries.first()?.key.span.start;
                    let indent = self.indent(first);
                    self.insert(first, &[name, ": ", value, self.line_end(), &indent])
                }
                Value::Null if home.span.length == 0 => {
                    self.insert(self.after_colon(home_entry)?, &[" {", name, ": ", value, "}"])
                }
                Value::Null => self.replace_with(home.span, &["{", name, ": ", value, "}"]),
                Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) => None,
            },
        }
    }

    /// A value takes the place of another, in the same quotes.
    fn replace(self, span: Span, value: &str) -> Option<Zeroizing<String>> {
        let written = self.written(span);
        let quote =
            written.chars().next().filter(|first| matches!(first, '"' | '\'') && !value.starts_with('"'));
        let quote = quote.map(String::from).unwrap_or_default();
        // A block scalar reaches up to the next line that is not empty. Its `|` and its indentation stand before it and stay.
        let kept = written.get(written.trim_end().len()..).unwrap_or_default();
        self.replace_with(span, &[&quote, value, &quote, kept])
    }

    fn insert(self, at: usize, parts: &[&str]) -> Option<Zeroizing<String>> {
        self.replace_with(Span { start: at, length: 0 }, parts)
    }

    fn replace_with(self, span: Span, parts: &[&str]) -> Option<Zeroizing<String>> {
        let (before, after) = (self.0.get(..span.start)?, self.0.get(span.end()..)?);
        let length = before.len() + parts.iter().map(|part| part.len()).sum::<usize>() + after.len();
        let mut edited = Zeroizing::new(String::with_capacity(length));
        edited.push_str(before);
        parts.iter().for_each(|part| edited.push_str(part));
        edited.push_str(after);
        Some(edited)
    }

    fn after_colon(self, entry: &Entry) -> Option<usize> {
        let rest = self.0.get(entry.key.span.end()..)?;
        let colon =
            rest.find(':').filter(|colon| rest.get(..*colon).is_some_and(|gap| gap.trim().is_empty()));
        colon.map(|colon| entry.key.span.end() + colon + 1)
    }

    /// What the next line of the same mapping starts with.
    fn indent(self, at: usize) -> String {
        let before = self.0.get(..at).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        " ".repeat(line.chars().count())
    }

    fn line_end(self) -> &'static str {
        if self.0.contains("\r\n") { "\r\n" } else { "\n" }
    }

    fn written(&self, span: Span) -> &str {
        self.0.get(span.start..span.end()).unwrap_or_default()
    }
}

/// An entry of a mapping.
pub(crate) fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Entry> {
    match &node.value {
        Value::Mapping(entries) => entries.iter().find(|entry| entry.key.name == name),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) => None,
    }
}

/// Takes a field out of the mapping that is written at a place. Where an alias repeats the mapping, the field stays in the repetition, so that
/// a change of it is seen. Tells whether the mapping was found.
pub(crate) fn forget(node: &mut Node, home: Span, name: &str) -> bool {
    let is_home = node.span == home;
    match &mut node.value {
        Value::Mapping(entries) if is_home => {
            entries.retain(|entry| entry.key.name != name);
            if entries.is_empty() {
                node.value = Value::Null;
            }
            true
        }
        Value::Mapping(entries) => entries.iter_mut().any(|entry| forget(&mut entry.value, home, name)),
        Value::Sequence(items) => items.iter_mut().any(|item| forget(item, home, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Whether two trees say the same, wherever it is written.
pub(crate) fn same(one: &Node, two: &Node) -> bool {
    match (&one.value, &two.value) {
        (Value::Mapping(one), Value::Mapping(two)) => {
            let pairs = || one.iter().zip(two);
            one.len() == two.len()
                && pairs().all(|(one, two)| one.key.name == two.key.name && same(&one.value, &two.value))
        }
        (Value::Sequence(one), Value::Sequence(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same(one, two))
        }
        (one, two) => one == two,
    }
}
