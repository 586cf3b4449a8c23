//! A tree of YAML nodes to any plain serde type, with every problem told in one run.
//!
//! What enters is a [`Document`]; what leaves is the decoded value, if one is left, and a diagnostic for each fault, at its
//! place. Serde stops at the first error, so decoding is repeated: each fault is noted and its node cut from a copy of the tree, until the rest
//! decodes. A required field that is missing, or was cut, is filled with a stand-in (an empty mapping, a word) so that what stands beside it can
//! still be judged; if no stand-in fits, what lacks the field is cut in silence. So every fault is told once, and no fault is told that another
//! one caused. A value with stand-ins always comes with an error, so that nobody plans from it.
//!
//! Scalars are strict: nothing is converted, a number or boolean where a text is wanted is told to be quoted. Types must be plain (no `flatten`,
//! `untagged` or internal tag), since serde buffers those and loses the places.

mod deserializer;
mod fault;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;

use crate::diagnostic::{Code, Diagnostic, Place, Span, quoted};
use crate::yaml::document::Document;
use crate::yaml::parse::{Entry, Key, Node, Value};
use deserializer::NodeDeserializer;
use fault::{Fault, FaultyPart};

/// How many problems of one document are told.
pub const MOST_PROBLEMS: usize = 100;

/// What could be made of a document.
#[derive(Debug)]
pub struct Decoded<T> {
    /// The value, without the faulty parts; none if nothing is left.
    pub value: Option<T>,
    /// Every fault, in the order of discovery.
    pub problems: Vec<Diagnostic>,
    /// The stretches of the file that the value does not reflect.
    pub dropped: Vec<Span>,
}

/// Decodes a document as far as it can be decoded.
pub fn decode<T: DeserializeOwned>(document: &Document) -> Decoded<T> {
    let mut tree = document.root().clone();
    let mut recovery = Recovery {
        document,
        problems: Vec::new(),
        dropped: Vec::new(),
        cut: BTreeSet::new(),
        filled: BTreeMap::new(),
    };
    let value = loop {
        match T::deserialize(NodeDeserializer::new(&tree)) {
            Ok(value) => break Some(value),
            Err(fault) => {
                if !recovery.mend(&mut tree, fault) {
                    break None;
                }
            }
        }
        if recovery.problems.len() >= MOST_PROBLEMS {
            recovery.problems.push(too_many(document));
            break None;
        }
    };
    Decoded { value, problems: recovery.problems, dropped: recovery.dropped }
}

fn too_many(document: &Document) -> Diagnostic {
    Diagnostic::new(
        Code::TooManyProblems,
        format!(
            "{} has more than {MOST_PROBLEMS} problems; the others are not shown",
            quoted(document.file())
        ),
    )
    .at(document.place(&[]), "in this document")
    .help("mend these first, or check that this is the right file")
}

/// The state between two attempts.
struct Recovery<'document> {
    document: &'document Document,
    problems: Vec<Diagnostic>,
    dropped: Vec<Span>,
    /// Fields that were cut: the mapping's place in the file, and the field.
    cut: BTreeSet<(Span, String)>,
    /// Stand-ins in the tree, and how many were tried: the mapping's place in the file, and the field.
    filled: BTreeMap<(Span, String), usize>,
}

/// What a missing field is filled with, one after the other, until the type takes it.
fn stand_ins() -> [Value; 6] {
    [
        Value::Mapping(Vec::new()),
        Value::Sequence(Vec::new()),
        Value::String(String::new()),
        Value::String("x".to_owned()),
        Value::Number("1".to_owned()),
        Value::Bool(false),
    ]
}

impl Recovery<'_> {
    /// Notes a fault and cuts its node, or fills it if it is missing; `false` when there is nothing left to decode.
    fn mend(&mut self, tree: &mut Node, mut fault: Fault) -> bool {
        // Faults gather their way outwards: the last step is the outermost.
        fault.way.reverse();
        if let Some(depth) = self.stand_in_on(tree, &fault.way) {
            fault.way.truncate(depth);
            return self.try_next_stand_in(tree, &fault);
        }
        // A choice of which the only field was cut is not empty by itself.
        let is_emptied = fault.code == Code::NotExactlyOne
            && fault.target == FaultyPart::Value
            && walk(tree, &fault.way).is_some_and(|node| self.cut.iter().any(|(span, _)| *span == node.span));
        if is_emptied {
            return self.cut(tree, &fault.way);
        }
        let Some(field) = fault.missing.map(str::to_owned) else {
            self.problems.push(self.describe(tree, &fault));
            return self.cut(tree, &fault.way);
        };
        let Some(mapping) = walk_mut(tree, &fault.way) else { return false };
        let span = mapping.span;
        let is_told = self.cut.contains(&(span, field.clone()));
        if let Value::Mapping(entries) = &mut mapping.value {
            let key = Key { name: field.clone(), span: Span { start: span.start, length: 0 }, plain: true };
            let value = Node { span: key.span, value: Value::Null, plain: true };
            entries.push(Entry { key, value });
            fault.way.push(entries.len() - 1);
        }
        self.filled.entry((span, field)).or_insert(0);
        if !is_told {
            let mapping = Fault {
                way: fault.way.split_last().map(|(_, outer)| outer.to_vec()).unwrap_or_default(),
                ..fault.clone()
            };
            self.problems.push(self.describe(tree, &mapping));
        }
        self.try_next_stand_in(tree, &fault)
    }

    /// How many steps lead to the first stand-in on a way, if one is on it.
    fn stand_in_on(&self, tree: &Node, way: &[usize]) -> Option<usize> {
        (1..=way.len()).find(|depth| {
            let (Some(last), Some(parent)) =
                (way.get(depth - 1), way.get(..depth - 1).and_then(|outer| walk(tree, outer)))
            else {
                return false;
            };
            match &parent.value {
                Value::Mapping(entries) => entries.get(*last).is_some_and(|entry| {
                    entry.key.span.length == 0
                        && self.filled.contains_key(&(parent.span, entry.key.name.clone()))
                }),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) => {
                    false
                }
            }
        })
    }

    /// Puts the next stand-in at a way, or cuts the mapping around it when none is left.
    fn try_next_stand_in(&mut self, tree: &mut Node, fault: &Fault) -> bool {
        let Some((last, outer)) = fault.way.split_last() else { return false };
        let Some(parent) = walk_mut(tree, outer) else { return false };
        let span = parent.span;
        let Value::Mapping(entries) = &mut parent.value else { return false };
        let Some(entry) = entries.get_mut(*last) else { return false };
        let tried = self.filled.entry((span, entry.key.name.clone())).or_insert(0);
        let next = match fault.word {
            // The type wants one word of a list and says which.
            Some(word) if entry.value.value != Value::String(word.to_owned()) => {
                Some(Value::String(word.to_owned()))
            }
            Some(_) | None => {
                let next = stand_ins().into_iter().nth(*tried);
                *tried += 1;
                next
            }
        };
        match next {
            Some(value) => {
                entry.value.value = value;
                true
            }
            None => self.cut(tree, outer),
        }
    }

    /// Cuts the node at a way out of the tree; `false` if it is the root.
    fn cut(&mut self, tree: &mut Node, way: &[usize]) -> bool {
        let Some((last, outer)) = way.split_last() else { return false };
        let Some(parent) = walk_mut(tree, outer) else { return false };
        let parent_span = parent.span;
        match &mut parent.value {
            Value::Mapping(entries) if *last < entries.len() => {
                let entry = entries.remove(*last);
                let end = entry.value.span.end().max(entry.key.span.end());
                self.dropped.push(Span::between(entry.key.span.start, end));
                self.cut.insert((parent_span, entry.key.name));
                true
            }
            Value::Sequence(items) if *last < items.len() => {
                self.dropped.push(items.remove(*last).span);
                true
            }
            Value::Mapping(_)
            | Value::Sequence(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_) => false,
        }
    }

    fn describe(&self, tree: &Node, fault: &Fault) -> Diagnostic {
        let names = names(tree, &fault.way);
        let (context, place) = match (fault.target, &fault.missing) {
            (FaultyPart::Value, None) => (names.join("."), self.value_place(tree, &fault.way)),
            (FaultyPart::Value, Some(_)) => (names.join("."), self.key_place(tree, &fault.way)),
            (FaultyPart::Key, _) => {
                let outer = names.split_last().map(|(_, outer)| outer).unwrap_or_default();
                (outer.join("."), self.key_place(tree, &fault.way))
            }
        };
        let speaks_of_field = matches!(fault.code, Code::UnknownField | Code::MissingField);
        let message = match (context.is_empty(), speaks_of_field) {
            (true, _) => fault.message.to_string(),
            (false, true) => format!("{} in {}", fault.message, quoted(&context)),
            (false, false) => format!("{}: {}", quoted(&context), fault.message),
        };
        let label = match fault.missing {
            Some(field) => format!("has no {}", quoted(field)),
            None => fault.label.to_owned(),
        };
        let problem = Diagnostic::new(fault.code, message).at(place, label);
        match &fault.help {
            Some(help) => problem.help(help.clone()),
            None => problem,
        }
    }

    fn value_place(&self, tree: &Node, way: &[usize]) -> Place {
        match walk(tree, way) {
            Some(node) if !matches!(node.value, Value::Null | Value::Mapping(_)) => {
                self.document.place_of(node.span)
            }
            Some(_) | None => self.key_place(tree, way),
        }
    }

    /// The key that leads to a node; of a list item the item; of the document its start.
    fn key_place(&self, tree: &Node, way: &[usize]) -> Place {
        let start = Span { start: tree.span.start, length: 0 };
        let span = match way.split_last() {
            None => start,
            Some((last, outer)) => match walk(tree, outer).map(|node| &node.value) {
                Some(Value::Mapping(entries)) => entries.get(*last).map_or(start, |entry| entry.key.span),
                Some(Value::Sequence(items)) => items.get(*last).map_or(start, |item| item.span),
                Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => start,
            },
        };
        self.document.place_of(span)
    }
}

fn walk<'tree>(tree: &'tree Node, way: &[usize]) -> Option<&'tree Node> {
    way.iter().try_fold(tree, |node, index| match &node.value {
        Value::Mapping(entries) => entries.get(*index).map(|entry| &entry.value),
        Value::Sequence(items) => items.get(*index),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn walk_mut<'tree>(tree: &'tree mut Node, way: &[usize]) -> Option<&'tree mut Node> {
    way.iter().try_fold(tree, |node, index| match &mut node.value {
        Value::Mapping(entries) => entries.get_mut(*index).map(|entry| &mut entry.value),
        Value::Sequence(items) => items.get_mut(*index),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// The field names along a way; list items do not add one.
fn names(tree: &Node, way: &[usize]) -> Vec<String> {
    let mut node = tree;
    let mut names = Vec::new();
    for index in way {
        match &node.value {
            Value::Mapping(entries) => {
                let Some(entry) = entries.get(*index) else { break };
                names.push(entry.key.name.clone());
                node = &entry.value;
            }
            Value::Sequence(items) => {
                let Some(item) = items.get(*index) else { break };
                node = item;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => break,
        }
    }
    names
}
