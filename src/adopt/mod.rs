//! From what nodes hold to the spec that would plan nothing for them.
//!
//! What enters are the facts of nodes that no spec describes yet, perhaps a kubeadm configuration or an inventory, and the instant `now`; what leaves is the text of a spec with
//! a comment for every value that was taken from somewhere, and what no spec can say. [`begin`] finds the layout and the nodes, [`settle`] turns what
//! differs from the layout into settings until nothing is left that a spec could express, [`text`] writes it down and [`read_back`] reads it again.
//! Pure: the same facts give the same bytes. What is dangerous is never adopted: it stays a finding of the next plan.

mod certificates;
mod cluster;
mod comments;
mod directories;
mod emit;
mod external_etcd;
mod files;
pub mod first_look;
mod host_range;
mod intents;
pub mod inventory;
mod kubeadm;
mod lifetimes;
pub mod next_plan;
mod outsiders;
pub(crate) mod spec_tree;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use emit::{Unreadable, read_back, text};
pub use first_look::{begin, first_look, known};
pub use kubeadm::{KubeadmConfig, KubeadmConfigError};
pub use next_plan::Outlook;

use crate::desired::Survey;
use crate::desired::hints::hints;
use crate::desired::{DesiredIdentity, Hints, ResolveError, resolve};
use crate::diff::diff;
use crate::profile::{Profile, ProfileError};
use crate::protocol::facts::NodeFacts;
use crate::spec::types::{Authority, Certificate, ClusterPki};
use crate::types::names::{IdentityName, NodeName};
use crate::types::profile_name::ProfileName;
use crate::types::scalars::Port;
use comments::Comments;

/// Changes after which the same facts are given up on. Each round settles what the round before made visible: directories, files, then what is in them.
const ROUNDS: usize = 8;

/// A node as it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// What messages call it: the host or the directory, as it was typed.
    pub called: String,
    /// The name that the user gave it.
    pub name: Option<NodeName>,
    /// How it is reached.
    pub reached: Reached,
    /// What it told at the first look.
    pub facts: NodeFacts,
}

/// How a node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// It is this machine, or a directory on it.
    Local {
        /// The directory, as the spec shall name it.
        root: Option<String>,
    },
    /// Over SSH.
    Ssh {
        /// The host.
        host: String,
        /// The user to log in as, where one was named.
        user: Option<String>,
        /// The port of sshd, where one was named.
        port: Option<Port>,
        /// Whether the program runs under sudo there.
        sudo: bool,
    },
}

/// Why nothing can be adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The program was built with a broken profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A node has no layout that is known.
    #[error("no Kubernetes or etcd layout that pki knows on {0}")]
    NoLayout(String),
    /// Another program takes care of a node's certificates.
    #[error(
        "{marker} on {called} belongs to {distribution}, whose own program makes and renews its certificates"
    )]
    TakesCareItself {
        /// What the node is called.
        called: String,
        /// The distribution.
        distribution: &'static str,
        /// The path that tells.
        marker: &'static str,
    },
    /// The nodes belong to different layouts.
    #[error("{one} has the layout {first}, and {other} the layout {second}: adopt them one after the other")]
    Mixed {
        /// What one node is called.
        one: String,
        /// Its layout.
        first: ProfileName,
        /// What another node is called.
        other: String,
        /// That one's layout.
        second: ProfileName,
    },
    /// Two nodes have one name.
    #[error("{one} and {other} are both called {name}")]
    SameName {
        /// What one of them is called.
        one: String,
        /// What the other one is called.
        other: String,
        /// Their name.
        name: NodeName,
    },
    /// The configuration names no node, and no other was named.
    #[error("{0} names no node; add --host for each node, or --root for a directory")]
    NoNode(String),
}

/// A spec on its way, with what is to be said about its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The spec.
    pub spec: ClusterPki,
    /// The file that it was made from, where no node was looked at.
    only_from: Option<String>,
    /// Where values were taken from.
    comments: Comments,
    /// What was found and cannot be said in a spec, or was deliberately not taken over; worked out anew in each round.
    remarks: BTreeSet<String>,
    /// What control planes say differently, and is left open, and what the spec leaves out.
    disputes: Vec<String>,
    /// What was intended and is not so.
    intents: BTreeSet<String>,
    /// Members of etcd that it lacks.
    missing: Option<outsiders::Missing>,
}

impl Draft {
    /// The settings of a certificate, made if there are none yet.
    fn certificate(&mut self, name: &IdentityName) -> &mut Certificate {
        self.spec.spec.certificates.entry(name.clone()).or_default()
    }

    fn remark(&mut self, text: String) {
        self.remarks.insert(text);
    }
}

/// What every rule looks at.
struct Evidence<'a> {
    profile: &'a Profile,
    survey: &'a Survey,
    config: Option<&'a KubeadmConfig>,
    now: Timestamp,
}

impl<'a> Evidence<'a> {
    fn facts(&self, node: &NodeName) -> Option<&'a NodeFacts> {
        self.survey.observed.nodes.get(node)?.facts()
    }

    /// Each certificate under the name by which a spec sets it, with the nodes that hold it. One that exists once for each member occurs once for each.
    fn identities(&self) -> BTreeMap<IdentityName, Vec<Inventory<'a>>> {
        let mut held: BTreeMap<IdentityName, Vec<Inventory<'a>>> = BTreeMap::new();
        for (node, wanted) in &self.survey.desired.nodes {
            let Some(facts) = self.facts(node) else { continue };
            for (own, identity) in &wanted.identities {
                let name = self.name_in_spec(own);
                let address = wanted.address.as_deref();
                held.entry(name).or_default().push(Inventory { node, address, own, wanted: identity, facts });
            }
        }
        held
    }

    /// Whether there is one of it for each member of etcd.
    fn is_of_members(&self, name: &IdentityName) -> bool {
        self.profile.identities.get(name).is_some_and(|entry| entry.each.is_some())
    }

    fn name_in_spec(&self, own: &IdentityName) -> IdentityName {
        let of_members = self.profile.identities.iter().filter(|(_, entry)| entry.each.is_some());
        let mut names = of_members.map(|(name, _)| name);
        let is_instance = |name: &&IdentityName| {
            own.as_str()
                .strip_prefix(name.as_str())
                .and_then(|rest| rest.strip_prefix('-'))
                .is_some_and(|member| self.survey.desired.nodes.contains_key(member))
        };
        names.find(is_instance).unwrap_or(own).clone()
    }
}

/// A certificate as one node should hold it, with what that node told.
#[derive(Clone, Copy)]
struct Inventory<'a> {
    node: &'a NodeName,
    address: Option<&'a str>,
    own: &'a IdentityName,
    wanted: &'a DesiredIdentity,
    facts: &'a NodeFacts,
}

impl Inventory<'_> {
    /// A text in which the node's name or address stands as a whole, or before the first dot, with placeholders in their places.
    fn as_template(&self, text: &str) -> String {
        template(text, self.node, self.address)
    }
}

/// `{address}` and `{node}` for a node's own address and name, the latter also before a dot.
fn template(text: &str, node: &NodeName, address: Option<&str>) -> String {
    if Some(text) == address {
        return "{address}".to_owned();
    }
    match text.strip_prefix(node.as_str()) {
        Some(rest) if rest.is_empty() || rest.starts_with('.') => format!("{{node}}{rest}"),
        Some(_) | None => text.to_owned(),
    }
}

/// The one text that stands for the texts of all nodes: the same everywhere, or the same once names and addresses are placeholders.
fn common(texts: &[(String, &NodeName, Option<&str>)]) -> Option<String> {
    let (first, ..) = texts.first()?;
    if first.contains(['{', '}']) {
        return None;
    }
    if texts.iter().all(|(text, ..)| text == first) {
        return Some(first.clone());
    }
    let filled = |text: &str, node: &NodeName, address: Option<&str>| {
        let text = match address {
            Some(address) if !address.is_empty() => text.replace(address, "{address}"),
            Some(_) | None => text.to_owned(),
        };
        text.replace(node.as_str(), "{node}")
    };
    let mut all = texts.iter().map(|(text, node, address)| filled(text, node, *address));
    let first = all.next()?;
    all.all(|text| text == first).then_some(first)
}

/// Turns what differs from the layout into settings of the spec, until nothing is left that it could express. The survey is of the spec that leaves.
///
/// # Errors
/// What of the spec cannot be worked out, such as files that are called after an address that nobody tells.
pub fn settle(
    mut draft: Draft,
    mut survey: Survey,
    profile: &Profile,
    config: Option<&KubeadmConfig>,
    now: Timestamp,
) -> Result<(Draft, Survey), Vec<ResolveError>> {
    let roots = survey.desired.roots();
    let resolved = |spec: &ClusterPki, survey: &Survey, is_settled: bool| {
        let declared = resolve(spec, profile, &Hints::default(), &roots)?;
        let mut told = hints(&declared, &survey.observed);
        // What a spec can say of single files it is to say, so until then they are where the layout has them.
        if !is_settled {
            told.files.clear();
        }
        let mut desired = resolve(spec, profile, &told, &roots)?;
        desired.take_named_trust(&survey.observed);
        Ok::<_, Vec<ResolveError>>(desired)
    };
    survey.desired = resolved(&draft.spec, &survey, false)?;
    for _ in 0..ROUNDS {
        let next = adapted(&draft, &Evidence { profile, survey: &survey, config, now });
        let is_settled = next.spec == draft.spec;
        draft = next;
        if is_settled {
            break;
        }
        survey.desired = resolved(&draft.spec, &survey, false)?;
    }
    survey.desired = resolved(&draft.spec, &survey, true)?;
    Ok((draft, survey))
}

/// One round of rules. What is in files is looked at once it is known where they are.
fn adapted(draft: &Draft, sight: &Evidence<'_>) -> Draft {
    let mut next = Draft { remarks: BTreeSet::new(), ..draft.clone() };
    cluster::remarks(&mut next, sight);
    outsiders::look(&mut next, sight);
    directories::adopt(&mut next, sight);
    external_etcd::adopt(&mut next, sight);
    files::moved(&mut next, sight);
    files::left_out(&mut next, sight);
    if next.spec != draft.spec {
        return next;
    }
    let differences = diff(&sight.survey.desired, &sight.survey.observed, sight.now);
    files::owned(&mut next, sight, &differences);
    certificates::adopt(&mut next, sight, &differences);
    lifetimes::adopt(&mut next, sight, &differences);
    let spec = &mut next.spec.spec;
    spec.certificates.retain(|_, own| *own != Certificate::default());
    spec.authorities.retain(|_, own| *own != Authority::default());
    next
}
