//! An order for things that depend on each other. It knows nothing of certificates.
//!
//! What enters are keys that can be compared and the edges between them; what leaves is one order, always the same for the same input: of all
//! that could come next, the smallest comes next. A circle is an error that names all its members.

use std::collections::BTreeMap;

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;

/// Things that depend on each other in a circle: a fault of the planner, never of the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("these actions wait for each other: {}", members.join(", "))]
pub struct Cycle {
    /// The members of every circle, by name.
    pub members: Vec<String>,
}

/// Things and what comes before what.
#[derive(Debug, Clone)]
pub struct Graph<K> {
    graph: DiGraph<K, ()>,
    indexes: BTreeMap<K, NodeIndex>,
}

impl<K: Ord + Clone + ToString> Graph<K> {
    /// A graph of these things, without edges.
    pub fn new(keys: impl IntoIterator<Item = K>) -> Self {
        let mut graph = DiGraph::new();
        let sorted: std::collections::BTreeSet<K> = keys.into_iter().collect();
        let indexes = sorted.into_iter().map(|key| (key.clone(), graph.add_node(key))).collect();
        Self { graph, indexes }
    }

    /// Says that `before` comes before `after`. Edges to or from things that are not in the graph mean nothing.
    pub fn edge(&mut self, before: &K, after: &K) {
        if let (Some(before), Some(after)) = (self.indexes.get(before), self.indexes.get(after)) {
            self.graph.update_edge(*before, *after, ());
        }
    }

    /// What comes directly before a thing, sorted.
    pub fn before(&self, key: &K) -> Vec<K> {
        let Some(index) = self.indexes.get(key) else { return Vec::new() };
        let edges = self.graph.edges_directed(*index, Direction::Incoming);
        let mut keys: Vec<K> =
            edges.filter_map(|edge| self.graph.node_weight(edge.source()).cloned()).collect();
        keys.sort();
        keys
    }

    /// Everything in order.
    ///
    /// # Errors
    /// A circle, with its members.
    pub fn order(&self) -> Result<Vec<K>, Cycle> {
        let mut waiting: BTreeMap<NodeIndex, usize> = BTreeMap::new();
        let mut ready: BTreeMap<&K, NodeIndex> = BTreeMap::new();
        for (key, index) in &self.indexes {
            match self.graph.edges_directed(*index, Direction::Incoming).count() {
                0 => {
                    ready.insert(key, *index);
                }
                count => {
                    waiting.insert(*index, count);
                }
            }
        }
        let mut order = Vec::with_capacity(self.indexes.len());
        while let Some((key, index)) = ready.pop_first() {
            order.push(key.clone());
            for edge in self.graph.edges_directed(index, Direction::Outgoing) {
                let target = edge.target();
                let Some(count) = waiting.get_mut(&target) else { continue };
                *count = count.saturating_sub(1);
                if *count == 0 {
                    waiting.remove(&target);
                    if let Some(key) = self.graph.node_weight(target) {
                        ready.insert(key, target);
                    }
                }
            }
        }
        if waiting.is_empty() { Ok(order) } else { Err(self.cycle()) }
    }

    fn cycle(&self) -> Cycle {
        let circles = tarjan_scc(&self.graph).into_iter().filter(|members| {
            members.len() > 1 || members.iter().any(|index| self.graph.contains_edge(*index, *index))
        });
        let mut members: Vec<String> = circles
            .flatten()
            .filter_map(|index| self.graph.node_weight(index).map(ToString::to_string))
            .collect();
        members.sort();
        Cycle { members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&'static str, &'static str)]) -> Graph<&'static str> {
        let mut graph = Graph::new(["d", "b", "a", "c"]);
        for (before, after) in edges {
            graph.edge(before, after);
        }
        graph
    }

    #[test]
    fn without_edges_the_order_is_by_name() {
        assert_eq!(graph(&[]).order().unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn edges_come_first_and_names_break_ties() {
        assert_eq!(graph(&[("d", "a"), ("c", "a")]).order().unwrap(), ["b", "c", "d", "a"]);
    }

    #[test]
    fn every_member_of_a_circle_is_named() {
        let cycle = graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]).order().unwrap_err();
        assert_eq!(cycle.to_string(), "these actions wait for each other: a, b, c");
        assert_eq!(graph(&[("a", "a")]).order().unwrap_err().members, ["a"]);
    }
}
