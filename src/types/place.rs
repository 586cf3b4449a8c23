//! Where things are: on a node, or in the cluster behind its API.
//!
//! What enters and leaves is a place and its text. Nothing makes a [`Place::Cluster`] yet; whoever works at a place says what he does there. Nothing here knows how a
//! place is reached.

use std::fmt;

use serde::de::{self, IntoDeserializer as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::names::NodeName;

/// Where a thing is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// On a node, which has files and services.
    Node(NodeName),
    /// In the cluster: an object behind its API, the same through whichever node it is reached. There are no files there.
    Cluster,
}

impl Place {
    /// The node; none for what is in the cluster, which is on no node.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Place::Node(node) => Some(node),
            Place::Cluster => None,
        }
    }

    /// Whether it is this node.
    pub fn is(&self, node: &NodeName) -> bool {
        self.node() == Some(node)
    }

    /// What it is called where texts name nodes.
    pub fn as_str(&self) -> &str {
        match self {
            Place::Node(node) => node.as_str(),
            // No node can be called so.
            Place::Cluster => "the cluster",
        }
    }
}

impl From<NodeName> for Place {
    fn from(node: NodeName) -> Self {
        Place::Node(node)
    }
}

impl From<&NodeName> for Place {
    fn from(node: &NodeName) -> Self {
        Place::Node(node.clone())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Of a node its name. Forms of version 1 have no word for the cluster, so it is none of their names: no reader takes it for a node.
impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.node().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By what is there, so that the cluster is refused in words and a field that is missing is still said to be missing.
        deserializer.deserialize_any(PlaceVisitor)
    }
}

struct PlaceVisitor;

impl de::Visitor<'_> for PlaceVisitor {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Place, E> {
        NodeName::deserialize(text.into_deserializer()).map(Place::Node)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Place, E> {
        Err(E::custom("it names the cluster where this program can only work on nodes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_written_by_its_name_and_read_by_it() {
        let place: Place = serde_json::from_str("\"cluster\"").unwrap();
        assert_eq!(place.node().map(NodeName::as_str), Some("cluster"));
        assert_eq!(serde_json::to_string(&place).unwrap(), "\"cluster\"");
        assert!(place.is(&"cluster".parse().unwrap()) && place.to_string() == "cluster");
    }

    #[test]
    fn no_form_of_version_1_names_the_cluster() {
        assert!(Place::Cluster.as_str().parse::<NodeName>().is_err(), "a node could be called so");
        let written = serde_json::to_string(&Place::Cluster).unwrap();
        assert_eq!(written, "null");
        let refused = serde_json::from_str::<Place>(&written).unwrap_err().to_string();
        assert!(refused.contains("names the cluster"), "{refused}");
        assert!(serde_json::from_str::<Place>("\"the cluster\"").is_err());
    }
}
