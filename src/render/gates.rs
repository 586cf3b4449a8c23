//! What a plan waits for, in few lines.

use std::collections::{BTreeMap, BTreeSet};

use super::issue::Lines;
use crate::diagnostic::escaped;
use crate::gate::{self, Gate};
use crate::ids::NodeName;

/// What is waited for: what must hold in any case, and what must hold because it does before, also as other nodes see it.
pub(super) fn gate_lines(
    body: &mut Lines,
    gates: &BTreeSet<Gate>,
    kept: &BTreeSet<Gate>,
    elsewhere: &BTreeMap<NodeName, BTreeSet<Gate>>,
) {
    for line in gate::lines(gates) {
        body.add("until", escaped(&line));
    }
    for line in gate::lines(kept) {
        body.add("as before", escaped(&line));
    }
    let mut seen: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (node, gates) in elsewhere {
        gate::lines(gates).into_iter().for_each(|line| seen.entry(line).or_default().push(node.as_str()));
    }
    for (line, nodes) in seen {
        body.add("as before", format!("{}, called from {}", escaped(&line), nodes.join(", ")));
    }
}
