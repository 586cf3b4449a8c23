//! The links by which the paths of a plan lead elsewhere than they say.
//!
//! What enters is the work of a plan and what was seen of its nodes; what leaves is each link with its end, which a reviewer sees and the node compares when
//! the work begins. Pure.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::visit::PlannedTransaction;
use crate::desired::Survey;
use crate::protocol::facts::{FileFacts, NodeFacts};
use crate::types::names::NodeName;
use crate::types::place::Place;

/// A path of a plan that leads elsewhere, by a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkedPath {
    /// The node.
    pub node: NodeName,
    /// The path under which programs know it.
    pub path: String,
    /// Where it leads, every link resolved.
    pub resolved: String,
}

/// The links on the ways to what the visits touch.
pub(crate) fn linked(visits: &[PlannedTransaction], survey: &Survey) -> Vec<LinkedPath> {
    let mut found = BTreeSet::new();
    for visit in visits {
        // Links are files, and what is in the cluster is none.
        let Place::Node(node) = &visit.place else { continue };
        let Some(facts) = survey.observed.facts_at(&visit.place) else { continue };
        for path in visit.actions.iter().flat_map(|action| action.paths()) {
            if let Some((path, resolved)) = end(facts, path) {
                found.insert(LinkedPath { node: node.clone(), path, resolved });
            }
        }
    }
    found.into_iter().collect()
}

/// The link by which a path leads elsewhere, with its end: of a file in a directory behind a link, the directory.
fn end(facts: &NodeFacts, path: &str) -> Option<(String, String)> {
    let above = || path.match_indices('/').filter_map(|(index, _)| path.get(..index)).rev();
    let (known, file) =
        std::iter::once(path).chain(above()).find_map(|known| Some((known, seen(facts, known)?)))?;
    let first = file.hops.first()?;
    let rest = known.strip_prefix(first.path.as_str()).unwrap_or_default();
    match file.resolved.strip_suffix(rest) {
        Some(directory) if rest.starts_with('/') && !directory.is_empty() => {
            Some((first.path.clone(), directory.to_owned()))
        }
        Some(_) | None => Some((known.to_owned(), file.resolved.clone())),
    }
}

fn seen<'a>(facts: &'a NodeFacts, path: &str) -> Option<&'a FileFacts> {
    // What could not be read shows no link; it is not written either, for that is a finding that blocks.
    facts.files.get(path)?.known().ok()?
}
