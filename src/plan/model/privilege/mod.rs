//! What a finished plan gives beyond what the layout gives.
//!
//! What enters is the plan's actions, what should be, what the layout alone would have, and what is; what leaves is each privilege that an action gives. Only what
//! widens counts: a certificate or file that says and allows no more than the one in its place is ordinary, whatever that is, so that timers go on after one approval.
//! What is in its place counts only if a CA in use here issued it, or if it is a key: nobody earns a renewal by laying something down. Pure.

mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::{Desired, Survey};
use crate::diagnostic::escaped;
use crate::diff::AuthorityView;
use crate::types::lookalike::spelled;
use crate::types::names::{Address, AuthorityName, NodeName, ServiceName, Target};
use crate::types::place::Place;
use crate::types::scalars::FileMode;
use crate::x509::Sha256;

use crate::plan::{Action, Deed, PlannedTransaction, RestartMethod};
use judge::Judge;

/// What an action gives beyond what the layout gives to the same file on the same node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "privilege", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Privilege {
    /// A client certificate in a group to which Kubernetes or kubeadm give rights.
    PrivilegedGroup {
        /// The group.
        group: String,
    },
    /// A client certificate of a user of Kubernetes itself, or of etcd's root.
    SystemUser {
        /// The user.
        user: String,
    },
    /// A client certificate with which API servers are told for which user a request is.
    FrontProxy {
        /// The authority.
        authority: AuthorityName,
    },
    /// A group that the certificate in its place does not have.
    GroupAdded {
        /// The group.
        group: String,
    },
    /// Another user than the certificate in its place has.
    UserChanged {
        /// That user.
        from: String,
        /// The new one.
        to: String,
    },
    /// A client certificate or a CA key that the layout gives to nodes of another role.
    OtherRole {
        /// What it is, such as `the key of ca/etcd-ca`.
        what: String,
    },
    /// A private key or kubeconfig that others than its owner may open, or whose owner is nobody who runs here.
    OpenKey {
        /// The file.
        path: String,
        /// Its bits.
        mode: FileMode,
        /// Its owner, `USER:GROUP`.
        owner: String,
    },
    /// A name with letters of two scripts in one word.
    LookAlike {
        /// The name.
        name: String,
    },
    /// Clients of a CA are accepted that this plan does not make and whose key no node holds.
    TrustGained {
        /// The CA certificate: SHA-256 of its DER.
        fingerprint: Sha256,
        /// Its subject.
        subject: String,
    },
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Privilege::PrivilegedGroup { group } => {
                write!(f, "a client certificate in the group {}", spelled(group))
            }
            Privilege::SystemUser { user } => write!(f, "a client certificate of the user {}", spelled(user)),
            Privilege::FrontProxy { authority } => {
                write!(f, "a client certificate of {authority}, whose holders may speak for every user")
            }
            Privilege::GroupAdded { group } => {
                write!(f, "adds the group {} to a certificate that lacks it", spelled(group))
            }
            Privilege::UserChanged { from, to } => {
                write!(f, "makes a certificate of {} one of {}", spelled(from), spelled(to))
            }
            Privilege::OtherRole { what } => {
                write!(f, "{}, on a node of a role to which the profile does not give it", escaped(what))
            }
            Privilege::OpenKey { path, mode, owner } => {
                write!(f, "a key that others may open: {} {mode} {}", escaped(path), escaped(owner))
            }
            Privilege::LookAlike { name } => {
                write!(f, "a name with letters of two scripts in one word: {}", spelled(name))
            }
            Privilege::TrustGained { fingerprint, subject } => write!(
                f,
                "accepts clients of {} ({}), a CA whose key no node holds",
                spelled(subject),
                fingerprint.short()
            ),
        }
    }
}

/// A privilege and the action that gives it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Privileged {
    /// The number of the action.
    pub action: u32,
    /// What is given it.
    pub address: Address,
    /// What is given.
    #[serde(flatten)]
    pub privilege: Privilege,
}

/// A command that a spec has run as root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootCommand {
    /// The program with its arguments.
    pub argv: Vec<String>,
    /// The service that it restarts.
    pub service: ServiceName,
    /// The nodes.
    pub nodes: Vec<NodeName>,
}

/// Every privilege that these visits give, in their order.
pub(crate) fn privileges(
    survey: &Survey,
    authorities: &BTreeMap<AuthorityName, AuthorityView>,
    visits: &[PlannedTransaction],
) -> Vec<Privileged> {
    let actions: Vec<&Action> = visits.iter().flat_map(|visit| &visit.actions).collect();
    let judge = Judge::new(survey, authorities, &actions);
    let of_action = |action: &&Action| {
        let found: BTreeSet<Privilege> = judge.of(action).into_iter().collect();
        let (number, address) = (action.number, action.address.clone());
        found.into_iter().map(move |privilege| Privileged {
            action: number,
            address: address.clone(),
            privilege,
        })
    };
    actions.iter().flat_map(of_action).collect()
}

/// The commands of the spec that these visits run.
pub(crate) fn runs_as_root(desired: &Desired, visits: &[PlannedTransaction]) -> Vec<RootCommand> {
    let mut found: Vec<RootCommand> = Vec::new();
    for action in visits.iter().flat_map(|visit| &visit.actions) {
        // Commands run on nodes and nowhere else.
        let (
            Deed::Restart { how: RestartMethod::Command { argv }, .. },
            Address { target: Target::Service(service), place: Place::Node(node) },
        ) = (&action.deed, &action.address)
        else {
            continue;
        };
        let own = desired.layout().get(node).and_then(|node| node.services.get(service));
        if own.and_then(|own| own.restart.as_ref()?.command.as_ref()) == Some(argv) {
            continue;
        }
        match found.iter_mut().find(|known| known.argv == *argv && known.service == *service) {
            Some(known) if known.nodes.contains(node) => {}
            Some(known) => known.nodes.push(node.clone()),
            None => found.push(RootCommand {
                argv: argv.clone(),
                service: service.clone(),
                nodes: vec![node.clone()],
            }),
        }
    }
    found
}

#[cfg(test)]
mod tests;
