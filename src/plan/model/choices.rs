//! What the planner chose where the facts left it a choice.
//!
//! What enters is the work of a finished plan; what leaves are names of nodes. Which of several holders signs or gives a key, and whose member of etcd comes last, may be
//! another one by the time of the apply, and an interrupted run changes it by itself. So a plan records what it chose. Pure.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::deed::Deed;
use super::visit::PlannedTransaction;
use crate::types::names::{Address, AuthorityName, IdentityName, KeyPairName, NodeName, Target};

/// What was chosen where several nodes would have done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Choices {
    /// The node whose member led etcd: it sends the snapshot, and is restarted last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<NodeName>,
    /// The node that signs for a CA, and gives its key to others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signers: BTreeMap<AuthorityName, NodeName>,
    /// The node that gives a key pair to others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub key_pairs: BTreeMap<KeyPairName, NodeName>,
    /// The node that gives a shared certificate to others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<IdentityName, NodeName>,
}

/// What a plan that is made again goes by, besides what the user asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Again {
    /// What was chosen the first time.
    pub choices: Choices,
    /// What was replaced already because the user asked for it, and is not replaced once more.
    pub replaced: BTreeSet<Address>,
}

impl Choices {
    /// What a plan has chosen, with the node whose member of etcd it took for the leader.
    pub(crate) fn of(visits: &[PlannedTransaction], leader: Option<&NodeName>) -> Self {
        let mut choices = Self { leader: leader.cloned(), ..Self::default() };
        for action in visits.iter().flat_map(|visit| &visit.actions) {
            match (&action.deed, &action.address.target) {
                (Deed::IssueIdentity(issue), _) => {
                    choices.signers.insert(issue.authority.clone(), issue.signer.clone());
                }
                (Deed::CopyKey(copy), Target::Authority(authority)) => {
                    choices.signers.entry(authority.clone()).or_insert_with(|| copy.from.clone());
                }
                (Deed::CopyKey(copy), Target::KeyPair(pair)) => {
                    choices.key_pairs.insert(pair.clone(), copy.from.clone());
                }
                (Deed::CopyIdentity(copy), Target::Identity(identity))
                    if !action.address.place.is(copy.from()) =>
                {
                    choices.shared.insert(identity.clone(), copy.from().clone());
                }
                (_, _) => {}
            }
        }
        choices
    }
}
