//! Where the names of large mappings are.
//!
//! What enters is the tree of a document, then names that are looked for in its mappings; what leaves is their entries. A cluster of thousands of nodes has a
//! mapping with as many names, and each check looks for every one of them: from the first on that would be a square.

use std::collections::BTreeMap;

use crate::diagnostic::Span;
use crate::diagnostic::counted;
use crate::yaml::node::{Entry, Node, Value};

/// Mappings with fewer names are searched as they are.
const SMALL: usize = 16;

/// For each large mapping, by its place, where its names are.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<Span, BTreeMap<String, usize>>);

impl Names {
    /// The index of a tree.
    pub(crate) fn of(root: &Node) -> Self {
        let mut names = BTreeMap::new();
        let mut waiting = vec![root];
        while let Some(node) = waiting.pop() {
            match &node.value {
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
                Value::Sequence(items) => waiting.extend(items),
                Value::Mapping(entries) => {
                    waiting.extend(entries.iter().map(|entry| &entry.value));
                    if entries.len() > SMALL {
                        // What an alias repeats is the same at the same place.
                        names.entry(node.span).or_insert_with(|| index(entries));
                    }
                }
            }
        }
        Self(names)
    }

    /// The entry of a mapping with a name.
    pub(crate) fn entry<'node>(
        &self,
        mapping: Span,
        entries: &'node [Entry],
        name: &str,
    ) -> Option<&'node Entry> {
        if entries.len() > SMALL
            && let Some(names) = self.0.get(&mapping)
        {
            counted::steps(1);
            let found = names.get(name).map(|index| entries.get(*index));
            match found {
                None => return None,
                Some(Some(entry)) if entry.key.name == name => return Some(entry),
                // Another mapping at the same place; it is searched.
                Some(Some(_) | None) => {}
            }
        }
        counted::steps(entries.len());
        entries.iter().find(|entry| entry.key.name == name)
    }
}

fn index(entries: &[Entry]) -> BTreeMap<String, usize> {
    entries.iter().enumerate().map(|(index, entry)| (entry.key.name.clone(), index)).collect()
}
