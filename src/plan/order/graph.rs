//! An order for things that depend on each other. It knows nothing of certificates.
//!
//! What enters are keys that can be compared and the edges between them; what leaves is one order, always the same for the same input: without edges
//! that of the keys. What waited for a thing may follow it at once, before a smaller one that waits for nothing more. A circle is an error that names all its members.

use std::collections::BTreeSet;

use petgraph::algo::{condensation, is_cyclic_directed, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

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
    /// The things, sorted.
    keys: Vec<K>,
    /// What comes directly before each of them, by places in that list.
    before: Vec<BTreeSet<usize>>,
}

impl<K: Ord + Clone + ToString> Graph<K> {
    /// A graph of these things, without edges.
    pub fn new(keys: impl IntoIterator<Item = K>) -> Self {
        let keys: Vec<K> = keys.into_iter().collect::<BTreeSet<K>>().into_iter().collect();
        Self { before: vec![BTreeSet::new(); keys.len()], keys }
    }

    /// Says that `before` comes before `after`. Edges to or from things that are not in the graph mean nothing.
    pub fn edge(&mut self, before: &K, after: &K) {
        if let (Ok(before), Ok(after)) = (self.keys.binary_search(before), self.keys.binary_search(after))
            && let Some(edges) = self.before.get_mut(after)
        {
            edges.insert(before);
        }
    }

    /// What comes directly before a thing, sorted.
    pub fn before(&self, key: &K) -> impl Iterator<Item = &K> {
        let edges = self.keys.binary_search(key).ok().and_then(|place| self.before.get(place));
        edges.into_iter().flatten().filter_map(|place| self.keys.get(*place))
    }

    /// Whether things wait for each other, so that there is no order.
    pub fn is_cyclic(&self) -> bool {
        is_cyclic_directed(&self.graph())
    }

    /// Everything in order.
    ///
    /// # Errors
    /// A circle, with its members.
    pub fn order(&self) -> Result<Vec<K>, Cycle> {
        let graph = self.graph();
        match toposort(&graph, None) {
            Ok(order) => {
                Ok(order.into_iter().filter_map(|index| graph.node_weight(index).copied().cloned()).collect())
            }
            Err(_) => Err(cycle(graph)),
        }
    }

    /// The same for the library. It finishes first what it meets first, and puts last what it finishes first; so it is given everything from the last key to the first.
    fn graph(&self) -> DiGraph<&K, ()> {
        let mut graph = DiGraph::new();
        let mut indexes: Vec<NodeIndex> = self.keys.iter().rev().map(|key| graph.add_node(key)).collect();
        indexes.reverse();
        for (after, edges) in indexes.iter().zip(&self.before).rev() {
            for before in edges.iter().rev().filter_map(|place| indexes.get(*place)) {
                graph.add_edge(*before, *after, ());
            }
        }
        graph
    }
}

/// Everything that waits for itself. What waits for each other becomes one thing, with an edge to itself.
fn cycle<K: ToString>(graph: DiGraph<&K, ()>) -> Cycle {
    let circles = condensation(graph, false);
    let own = circles.node_indices().filter(|index| circles.contains_edge(*index, *index));
    let mut members: Vec<String> =
        own.filter_map(|index| circles.node_weight(index)).flatten().map(|key| key.to_string()).collect();
    members.sort();
    Cycle { members }
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
    fn what_waited_for_a_thing_may_follow_it_at_once() {
        assert_eq!(graph(&[("d", "b"), ("d", "a"), ("a", "c")]).order().unwrap(), ["d", "a", "c", "b"]);
    }

    #[test]
    fn what_comes_directly_before_is_sorted() {
        let graph = graph(&[("d", "a"), ("c", "a"), ("d", "a"), ("x", "a"), ("b", "d")]);
        assert_eq!(graph.before(&"a").collect::<Vec<_>>(), [&"c", &"d"]);
        assert!(!graph.is_cyclic());
    }

    #[test]
    fn every_member_of_a_circle_is_named() {
        let cycle = graph(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]).order().unwrap_err();
        assert_eq!(cycle.to_string(), "these actions wait for each other: a, b, c");
        assert_eq!(graph(&[("a", "a")]).order().unwrap_err().members, ["a"]);
        let two = graph(&[("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("d", "c")]);
        assert!(two.is_cyclic());
        assert_eq!(two.order().unwrap_err().members, ["a", "b", "c", "d"]);
    }
}
