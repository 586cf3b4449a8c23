//! The names by which specs, plans and reports call things.
//!
//! What enters is text from a spec or a profile; what leaves is a checked name. A name is short, lower case and free of every character
//! that a shell, a URL, a metric label or a terminal would treat specially, so that addresses such as `etcd-server@cp-1` need no quoting
//! anywhere. Nothing here knows what a name stands for.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::place::Place;
use crate::diagnostic::{Code, Refusal, shown};

/// The longest name, in bytes: a DNS label, since node names end up in certificates.
pub const MAX_NAME: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name cannot be empty; write lower-case letters, digits and hyphens")]
    Empty,
    /// The text is longer than [`MAX_NAME`] bytes.
    #[error("the name is {0} bytes long, at most {MAX_NAME} are allowed; shorten it")]
    TooLong(usize),
    /// The first character is not a lower-case letter.
    #[error(
        "`{0}` does not start with a lower-case letter; write lower-case letters, digits and hyphens, a letter first"
    )]
    FirstCharacter(String),
    /// A character is outside the allowed set.
    #[error("`{name}` contains `{}`; only lower-case letters, digits and `{allowed}` are allowed", character.escape_default())]
    Character {
        /// The whole text, escaped.
        name: String,
        /// The first offending character.
        character: char,
        /// What is allowed besides letters and digits.
        allowed: &'static str,
    },
}

fn check(text: &str, punctuation: &'static str, first_may_be_digit: bool) -> Result<(), NameError> {
    let Some(first) = text.chars().next() else { return Err(NameError::Empty) };
    if text.len() > MAX_NAME {
        return Err(NameError::TooLong(text.len()));
    }
    if !(first.is_ascii_lowercase() || first_may_be_digit && first.is_ascii_digit()) {
        return Err(NameError::FirstCharacter(shown(text)));
    }
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || punctuation.contains(*c);
    match text.chars().find(|c| !allowed(c)) {
        Some(character) => Err(NameError::Character { name: shown(text), character, allowed: punctuation }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $punctuation:literal, $digit:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text, $punctuation, $digit)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(|error| de::Error::custom(Refusal::of(Code::InvalidName, &error)))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "maxLength": MAX_NAME })
            }
        }
    };
}

name!(
    /// A cluster, as `metadata.name` calls it.
    ClusterName, "-.", true, "^[a-z0-9][a-z0-9.-]*$"
);
name!(
    /// A node. It is also the node's Kubernetes name, so it may hold dots and start with a digit as a host name may.
    NodeName, "-.", true, "^[a-z0-9][a-z0-9.-]*$"
);
name!(
    /// An authority: a CA with its key, such as `etcd-ca`.
    AuthorityName, "-", false, "^[a-z][a-z0-9-]*$"
);
name!(
    /// An identity: a certificate with its key, such as `etcd-server` or `admin.conf`.
    IdentityName, "-.", false, "^[a-z][a-z0-9.-]*$"
);
name!(
    /// A key pair without a certificate, such as `sa`.
    KeyPairName, "-", false, "^[a-z][a-z0-9-]*$"
);
name!(
    /// A further place of a certificate or authority, such as `haproxy`.
    CopyName, "-", false, "^[a-z][a-z0-9-]*$"
);
name!(
    /// Somebody who uses an authority and is not managed here, such as `calico`.
    ConsumerName, "-", false, "^[a-z][a-z0-9-]*$"
);
name!(
    /// A port of a service, such as `metrics`.
    EndpointName, "-", false, "^[a-z][a-z0-9-]*$"
);
name!(
    /// A directory of a profile, such as `etcd-pki`.
    DirectoryName, "-", false, "^[a-z][a-z0-9-]*$"
);
name!(
    /// A service: something that runs and reads certificates, such as `kube-apiserver`.
    ServiceName, "-.", false, "^[a-z][a-z0-9.-]*$"
);

impl NodeName {
    /// What a machine is called that tells no name of its own.
    pub fn unnamed() -> Self {
        Self("this-node".to_owned())
    }
}

impl ClusterName {
    /// What a cluster is called whose nodes tell no name.
    pub fn unnamed() -> Self {
        Self("this-cluster".to_owned())
    }
}

impl Target {
    /// The CA, when it is one.
    pub fn authority(&self) -> Option<&AuthorityName> {
        if let Self::Authority(name) = self { Some(name) } else { None }
    }

    /// The key pair without certificate, if it is one.
    pub fn key_pair(&self) -> Option<&KeyPairName> {
        if let Self::KeyPair(name) = self { Some(name) } else { None }
    }
}

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
pub struct Address {
    /// What is meant.
    pub subject: Target,
    /// Where it is.
    pub place: Place,
}

impl Address {
    /// A thing on a node.
    pub fn on(subject: Target, node: &NodeName) -> Self {
        Self { subject, place: node.into() }
    }

    /// Another thing at the same place.
    pub fn beside(&self, subject: Target) -> Self {
        Self { subject, place: self.place.clone() }
    }

    /// The node that it is on; none for what is in the cluster.
    pub fn node(&self) -> Option<&NodeName> {
        self.place.node()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Node(node) => write!(f, "{}@{node}", self.subject),
            Place::Cluster => write!(f, "{}", self.subject),
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
        let (subject, place) = match text.split_once('@') {
            Some((subject, node)) => (subject, Some(node)),
            None if text.is_empty() || text == NODE => return Err(AddressError::Shape(shown(text))),
            None => (text, None),
        };
        let subject = match subject.split_once('/') {
            Some(("ca", name)) => Target::Authority(name.parse()?),
            Some(("key", name)) => Target::KeyPair(name.parse()?),
            Some(("dir", name)) => Target::Directory(name.parse()?),
            Some(("svc", name)) => Target::Service(name.parse()?),
            None if subject == NODE => Target::Node,
            Some(_) | None => Target::Identity(subject.parse()?),
        };
        let place = place.map(|node| node.parse().map(Place::Node)).transpose()?;
        Ok(Self { subject, place: place.unwrap_or(Place::Cluster) })
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
    fn names_are_plain_lower_case_words() {
        assert!("etcd-ca".parse::<AuthorityName>().is_ok());
        assert!("10-0-0-1.example".parse::<NodeName>().is_ok());
        assert!("admin.conf".parse::<IdentityName>().is_ok());
    }

    #[test]
    fn everything_a_shell_or_a_terminal_could_trip_over_is_refused() {
        for bad in ["", "Etcd", "1ca", "-ca", "a b", "a/b", "a@b", "a\u{202e}b", "a\nb", "a$b"] {
            assert!(bad.parse::<AuthorityName>().is_err(), "{bad:?} was accepted");
        }
        assert_eq!("x".repeat(64).parse::<AuthorityName>(), Err(NameError::TooLong(64)));
    }

    #[test]
    fn addresses_read_as_the_contract_writes_them() {
        let node: NodeName = "cp-2".parse().unwrap();
        let subject = Target::Authority("etcd-ca".parse().unwrap());
        assert_eq!(Address::on(subject, &node).to_string(), "ca/etcd-ca@cp-2");
    }
}
