//! What a plan waits for, in few lines.

use std::collections::{BTreeMap, BTreeSet};

use super::issue::Lines;
use crate::diagnostic::escaped;
use crate::protocol::health_check;
use crate::protocol::health_check::HealthCheck;
use crate::types::names::NodeName;

/// What is waited for: what must hold in any case, and what must hold because it does before, also as other nodes see it.
pub(super) fn gate_lines(
    body: &mut Lines,
    gates: &BTreeSet<HealthCheck>,
    kept: &BTreeSet<HealthCheck>,
    elsewhere: &BTreeMap<NodeName, BTreeSet<HealthCheck>>,
) {
    for line in health_check::lines(gates) {
        body.add("until", escaped(&line));
    }
    for line in health_check::lines(kept) {
        body.add("as before", escaped(&line));
    }
    let mut seen: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (node, gates) in elsewhere {
        health_check::lines(gates)
            .into_iter()
            .for_each(|line| seen.entry(line).or_default().push(node.as_str()));
    }
    for (line, nodes) in seen {
        body.add("as before", format!("{}, called from {}", escaped(&line), nodes.join(", ")));
    }
}
