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

// A name with its place is known by this path too.
pub use super::address::{Address, AddressError, NODE, Target};
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
