//! What the user asked for besides the spec.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Again, Phase};
use crate::types::duration::Duration;
use crate::types::names::{Address, Target};

/// What the user asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Options {
    /// Only these things; everything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Selector>,
    /// Left out, because nobody is there to approve what they would be given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Withheld>,
    /// Replaced even if nothing is wrong with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<Selector>,
    /// Files that may be replaced although they hold nothing that is known, by their paths.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub replace_foreign: BTreeSet<String>,
    /// The plan is made for another instant than the present, so it is never applicable.
    #[serde(default, skip_serializing_if = "is_false")]
    pub as_of: bool,
    /// What cannot be done without an outage is done all the same.
    #[serde(default, skip_serializing_if = "is_false")]
    pub accept_outage: bool,
    /// What comes after this phase is left for a later run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_phase: Option<Phase>,
    /// How long the plan may be applied, if that is allowed for what it issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Duration>,
    /// What a plan that is made again goes by. No file ever says this.
    #[serde(skip)]
    pub again: Option<Again>,
}

/// A thing that is left out of a plan, and what for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Withheld {
    /// The thing.
    pub address: Address,
    /// What it would be given, or what would come into it by whose word.
    pub privileges: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Options {
    /// Whether the user asked for nothing in particular.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Leaves out what a person has to look at; whether that is more than what is left out already.
    pub fn withhold(&mut self, found: Vec<(Address, String)>) -> bool {
        let before = self.withheld.len();
        for (address, words) in found {
            match self.withheld.iter_mut().find(|known| known.address == address) {
                Some(known) if known.privileges.contains(&words) => {}
                Some(known) => known.privileges.push(words),
                None => self.withheld.push(Withheld { address, privileges: vec![words] }),
            }
        }
        self.withheld.len() > before
    }

    /// Whether a thing belongs to the plan.
    pub fn selects(&self, address: &Address) -> bool {
        (self.only.is_empty() || self.only.iter().any(|selector| selector.matches(address)))
            && !self.withheld.iter().any(|withheld| withheld.address == *address)
    }

    /// Whether the user named this very thing to be replaced, and not everything on a node.
    pub(crate) fn names_to_replace(&self, address: &Address) -> bool {
        self.replace.iter().any(|selector| selector.subject.is_some() && selector.matches(address))
    }

    /// Whether a thing is to be replaced in any case.
    pub fn replaces(&self, address: &Address) -> bool {
        let is_replaced = |again: &Again| again.replaced.contains(address);
        !self.again.as_ref().is_some_and(is_replaced)
            && self.replace.iter().any(|selector| selector.matches(address))
    }
}

/// An address, or a part of one: `etcd-server@cp-2`, `etcd-server` on every node, `@cp-2` for everything on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Selector {
    subject: Option<String>,
    node: Option<String>,
}

/// A text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address; write NAME@NODE, NAME or @NODE, such as etcd-server@cp-2, ca/etcd-ca or @cp-2")]
pub struct SelectorError(String);

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-./@".contains(c);
        let (subject, node) = text.split_once('@').unwrap_or((text, ""));
        let part = |part: &str| (!part.is_empty()).then(|| part.to_owned());
        let selector = Self { subject: part(subject), node: part(node) };
        let empty = selector.subject.is_none() && selector.node.is_none();
        if empty || node.contains('@') || text.ends_with('@') || !text.chars().all(allowed) {
            return Err(SelectorError(text.escape_default().to_string()));
        }
        Ok(selector)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.subject.as_deref().unwrap_or(""))?;
        self.node.as_ref().map_or(Ok(()), |node| write!(f, "@{node}"))
    }
}

impl TryFrom<String> for Selector {
    type Error = SelectorError;

    fn try_from(text: String) -> Result<Self, SelectorError> {
        text.parse()
    }
}

impl From<Selector> for String {
    fn from(selector: Selector) -> Self {
        selector.to_string()
    }
}

impl Selector {
    /// The name and the node, as far as they are given.
    pub(crate) fn parts(&self) -> (Option<&str>, Option<&str>) {
        (self.subject.as_deref(), self.node.as_deref())
    }

    /// Whether an address is meant.
    pub fn matches(&self, address: &Address) -> bool {
        let subject: &Target = &address.target;
        self.subject.as_ref().is_none_or(|wanted| *wanted == subject.to_string())
            && self.node.as_ref().is_none_or(|wanted| is_on(address, wanted))
    }
}

/// Whether a thing is on the node that is called so. What is in the cluster is on none, whatever a node is called.
fn is_on(address: &Address, node: &str) -> bool {
    address.node().is_some_and(|own| own.as_str() == node)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(name: &str, node: &str) -> Address {
        Address::on(Target::Identity(name.parse().unwrap()), &node.parse().unwrap())
    }

    #[test]
    fn an_address_can_be_given_in_part() {
        let matches = |text: &str| text.parse::<Selector>().unwrap().matches(&address("etcd-server", "cp-2"));
        assert!(matches("etcd-server@cp-2") && matches("etcd-server") && matches("@cp-2"));
        assert!(!matches("etcd-server@cp-1") && !matches("etcd-peer") && !matches("@cp-1"));
    }

    #[test]
    fn what_is_in_the_cluster_is_selected_by_its_name_alone() {
        let matches = |text: &str| {
            let address: Address = "etcd-server".parse().unwrap();
            text.parse::<Selector>().unwrap().matches(&address)
        };
        assert!(matches("etcd-server") && !matches("etcd-peer"));
        assert!(!matches("@cluster") && !matches("etcd-server@cluster"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "@", "a@b@c", "etcd-server@", "a b", "A@b", "x;rm"] {
            assert!(text.parse::<Selector>().is_err(), "{text:?}");
        }
    }
}
