//! How a plan that is made again chooses what the plan before it has chosen.
//!
//! What enters is what was chosen before and the facts; what leaves are names of nodes. Planning again follows what was chosen where it could have chosen it itself: a node
//! that holds no key never becomes a signer because a file says so. Pure.

use super::input::Input;
use super::quorum;
use crate::desired::Survey;
use crate::plan::Choices;
use crate::protocol::facts::{EtcdFacts, Observed};
use crate::types::names::{AuthorityName, IdentityName, KeyPairName, NodeName};

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
    let has_vote = |etcd: &&EtcdFacts| etcd.members.get(&etcd.member).is_some_and(|own| !own.is_learner);
    // Who gave no answer follows nobody: another one is chosen.
    let etcd = facts.and_then(|facts| facts.etcd.known().ok()?).filter(has_vote);
    etcd.is_some_and(EtcdFacts::follows_leader)
}
