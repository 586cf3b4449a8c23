//! What the planner chose where the facts left it a choice, and how a plan that is made again chooses the same.
//!
//! What enters is the work of a finished plan and the facts; what leaves are names of nodes. Which of several holders signs or gives a key, and whose member of etcd
//! comes last, may be another one by the time of the apply, and an interrupted run changes it by itself. So a plan records what it chose, and planning again follows
//! that where it could have chosen it itself: a node that holds no key never becomes a signer because a file says so. Pure.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Survey;
use crate::plan::restart::quorum;
use crate::plan::{Deed, Input, PlannedTransaction};
use crate::protocol::facts::Observed;
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
    /// What a plan has chosen.
    pub(crate) fn of(visits: &[PlannedTransaction], input: &Input<'_>) -> Self {
        let mut choices = Self { leader: leader(input).cloned(), ..Self::default() };
        for action in visits.iter().flat_map(|visit| &visit.actions) {
            match (&action.deed, &action.address.subject) {
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
                    if *copy.from() != action.address.node =>
                {
                    choices.shared.insert(identity.clone(), copy.from().clone());
                }
                (_, _) => {}
            }
        }
        choices
    }
}

/// The choices that are followed: those of the plan that is made again.
fn followed<'a>(input: &'a Input<'_>) -> Option<&'a Choices> {
    input.options.again.as_ref().map(|again| &again.choices)
}

/// The first of several nodes that would do, unless another one of them was chosen before.
pub(crate) fn first_of<'a, T>(
    mut able: impl Iterator<Item = (&'a NodeName, T)>,
    chosen: Option<&NodeName>,
) -> Option<(&'a NodeName, T)> {
    let first = able.next()?;
    let Some(chosen) = chosen.filter(|chosen| *chosen != first.0) else { return Some(first) };
    able.find(|(node, _)| *node == chosen).or(Some(first))
}

/// The node that was chosen to sign for a CA.
pub(crate) fn signer<'a>(input: &'a Input<'_>, authority: &AuthorityName) -> Option<&'a NodeName> {
    followed(input)?.signers.get(authority)
}

/// The node that was chosen to give a key pair.
pub(crate) fn key_pair<'a>(input: &'a Input<'_>, pair: &KeyPairName) -> Option<&'a NodeName> {
    followed(input)?.key_pairs.get(pair)
}

/// The node that was chosen to give a shared certificate.
pub(crate) fn shared<'a>(input: &'a Input<'_>, identity: &IdentityName) -> Option<&'a NodeName> {
    followed(input)?.shared.get(identity)
}

/// The node whose member of etcd leads, or led when the plan was made. Members that follow have the same data, so who leads by now makes no other plan.
pub(crate) fn leader<'a>(input: &'a Input<'_>) -> Option<&'a NodeName> {
    let Some(choices) = followed(input) else { return quorum::leader(&input.survey.observed) };
    match &choices.leader {
        Some(leader) if could_lead(leader, input.survey) => Some(leader),
        Some(_) => quorum::leader(&input.survey.observed),
        None => None,
    }
}

fn could_lead(node: &NodeName, survey: &Survey) -> bool {
    quorum::members(survey).any(|member| member == node) && follows(node, &survey.observed)
}

/// Whether the member of a node follows a leader, by its own word, and has a vote: one that has none may be far behind.
pub(crate) fn follows(node: &NodeName, observed: &Observed) -> bool {
    let facts = observed.nodes.get(node).and_then(|answer| answer.facts());
    let has_vote = |etcd: &&crate::protocol::facts::EtcdFacts| {
        etcd.members.get(&etcd.member).is_some_and(|own| !own.is_learner)
    };
    let etcd = facts.and_then(|facts| facts.etcd.present()).filter(has_vote);
    etcd.is_some_and(crate::protocol::facts::EtcdFacts::follows_leader)
}
