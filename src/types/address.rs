//! What a thing is called in plans and reports: what it is, and where.
//!
//! What enters and leaves is text such as `ca/etcd-ca@cp-1`. Nothing here knows what a name stands for.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::{
    AuthorityName, DirectoryName, IdentityName, KeyPairName, NameError, NodeName, ServiceName,
};
use super::place::Place;
use crate::diagnostic::shown;

/// What an address points at, before the `@`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A CA: `ca/etcd-ca`.
    Authority(AuthorityName),
    /// A certificate with its key: `etcd-server`.
    Identity(IdentityName),
    /// A key pair without certificate: `key/sa`.
    KeyPair(KeyPairName),
    /// A directory: `dir/etcd-pki`.
    Directory(DirectoryName),
    /// A running service: `svc/kube-apiserver`.
    Service(ServiceName),
    /// The node itself.
    Node,
}

impl Target {
    /// The CA, when it is one.
    pub fn authority(&self) -> Option<&AuthorityName> {
        if let Self::Authority(name) = self { Some(name) } else { None }
    }

    /// The certificate with its key, if it is one.
    pub fn identity(&self) -> Option<&IdentityName> {
        if let Self::Identity(name) = self { Some(name) } else { None }
    }

    /// The key pair without certificate, if it is one.
    pub fn key_pair(&self) -> Option<&KeyPairName> {
        if let Self::KeyPair(name) = self { Some(name) } else { None }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Authority(name) => write!(f, "ca/{name}"),
            Target::Identity(name) => write!(f, "{name}"),
            Target::KeyPair(name) => write!(f, "key/{name}"),
            Target::Directory(name) => write!(f, "dir/{name}"),
            Target::Service(name) => write!(f, "svc/{name}"),
            Target::Node => f.write_str(NODE),
        }
    }
}

/// What the node itself is called in an address, so no certificate can be called so.
pub const NODE: &str = "node";

/// One thing at one place, written `etcd-server@cp-2`, `ca/etcd-ca@cp-1` or `svc/etcd@cp-3`. What is in the cluster has no `@`, since a node may be called anything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    description = "One thing on one node, written `etcd-server@cp-2`, `ca/etcd-ca@cp-1` or `svc/etcd@cp-3`."
)]
pub struct Address {
    /// What is meant.
    pub target: Target,
    /// Where it is.
    pub place: Place,
}

impl Address {
    /// A thing on a node.
    pub fn on(target: Target, node: &NodeName) -> Self {
        Self { target, place: node.into() }
    }

    /// Another thing at the same place.
    pub fn beside(&self, target: Target) -> Self {
        Self { target, place: self.place.clone() }
    }

    /// The node that it is on; none for what is in the cluster.
    pub fn node(&self) -> Option<&NodeName> {
        self.place.node()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Node(node) => write!(f, "{}@{node}", self.target),
            Place::Cluster => write!(f, "{}", self.target),
        }
    }
}

/// A text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no node in it, and what it names is on a node.
    #[error("`{0}` is no address; write NAME@NODE")]
    Shape(String),
    /// A part of it is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (target, place) = match text.split_once('@') {
            Some((target, node)) => (target, Some(node)),
            None if text.is_empty() || text == NODE => return Err(AddressError::Shape(shown(text))),
            None => (text, None),
        };
        let target = match target.split_once('/') {
            Some(("ca", name)) => Target::Authority(name.parse()?),
            Some(("key", name)) => Target::KeyPair(name.parse()?),
            Some(("dir", name)) => Target::Directory(name.parse()?),
            Some(("svc", name)) => Target::Service(name.parse()?),
            None if target == NODE => Target::Node,
            Some(_) | None => Target::Identity(target.parse()?),
        };
        let place = place.map(|node| node.parse().map(Place::Node)).transpose()?;
        Ok(Self { target, place: place.unwrap_or(Place::Cluster) })
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in [
            "etcd-server@cp-2",
            "ca/etcd-ca@cp-1",
            "svc/etcd@cp-3",
            "key/sa@cp-1",
            "dir/etcd-pki@a.b",
            "node@cp-1",
            "admin.conf@cp-1",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "@", "a@", "@b", "x/y@b", "ca/@b", "a@b@c", "A@b", "node", "x/y", "ca/", "A"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_in_the_cluster_has_no_node_in_its_address() {
        for text in ["etcd-server", "ca/etcd-ca", "svc/etcd", "key/sa", "dir/etcd-pki", "cluster"] {
            let address: Address = text.parse().unwrap();
            assert_eq!((&address.place, address.node()), (&Place::Cluster, None), "{text}");
            assert_eq!(address.to_string(), text);
            let json = serde_json::to_string(&address).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Address>(&json).unwrap(), address);
        }
        // A node may be called so.
        let on_node: Address = "cluster@cluster".parse().unwrap();
        assert_eq!((on_node.to_string(), on_node.place.as_str()), ("cluster@cluster".to_owned(), "cluster"));
    }

    #[test]
    fn addresses_read_as_the_contract_writes_them() {
        let node: NodeName = "cp-2".parse().unwrap();
        let target = Target::Authority("etcd-ca".parse().unwrap());
        assert_eq!(Address::on(target, &node).to_string(), "ca/etcd-ca@cp-2");
    }
}
