//! The checks of a key pair without certificate, such as the service account keys.

use std::collections::BTreeMap;

use crate::desired::{Desired, DesiredKeyPair};
use crate::protocol::facts::{NodeFacts, Observed};
use crate::types::names::{KeyPairName, NodeName, Target};
use crate::x509::Sha256;

use super::view::{pem, pem_reasons};
use super::{Finding, Reason, files};

/// The findings about one node's pair.
pub(super) fn findings(wanted: &DesiredKeyPair, facts: &NodeFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let private = match pem(facts, &wanted.private.path) {
        Ok(private) => {
            findings.extend(pem_reasons(private, &wanted.private.path).into_iter().map(Finding::blocks));
            if private.keys.is_empty() && private.encrypted_keys > 0 {
                findings.push(Finding::blocks(Reason::KeyEncrypted { path: wanted.private.path.clone() }));
            }
            private.keys.first().map(|key| key.spki_sha256)
        }
        Err(reason) => {
            findings.push(Finding::due_unless_unknown(reason));
            None
        }
    };
    match pem(facts, &wanted.public.path) {
        Ok(public) => {
            let first = public.public_keys.first().map(|key| key.spki_sha256);
            if let (Some(key), Some(public)) = (private, first)
                && key != public
            {
                findings.push(Finding::blocks(Reason::PublicKeyMismatch { public, key }));
            }
            if first.is_none() {
                let problem = "holds no public key".to_owned();
                findings
                    .push(Finding::due(Reason::Unparseable { path: wanted.public.path.clone(), problem }));
            }
        }
        Err(Reason::Missing) if findings.iter().any(|finding| finding.reason == Reason::Missing) => {}
        Err(Reason::Missing) => findings.push(Finding::due(Reason::PublicKeyMissing)),
        Err(reason) => findings.push(Finding::due_unless_unknown(reason)),
    }
    findings.extend(files::findings(&wanted.private, facts));
    findings.extend(files::findings(&wanted.public, facts));
    findings
}

/// The nodes whose pair is not the one that most nodes hold: tokens signed there are refused elsewhere at random (kubernetes#22351).
/// Which key is right only a person can tell, so it blocks.
pub(super) fn between_nodes(desired: &Desired, observed: &Observed) -> Vec<(Target, NodeName, Vec<Finding>)> {
    let mut held: BTreeMap<&KeyPairName, BTreeMap<&NodeName, Sha256>> = BTreeMap::new();
    for (node, wanted) in &desired.nodes {
        let Some(facts) = observed.nodes.get(node).and_then(|answer| answer.facts()) else { continue };
        for (name, pair) in &wanted.key_pairs {
            let key = pem(facts, &pair.private.path).ok().and_then(|pem| pem.keys.first());
            if let Some(key) = key {
                held.entry(name).or_default().insert(node, key.spki_sha256);
            }
        }
    }
    let mut found = Vec::new();
    for (name, by_node) in held {
        for (node, reason) in odd_ones_out(&by_node) {
            found.push((Target::KeyPair(name.clone()), node, vec![Finding::blocks(reason)]));
        }
    }
    found
}

/// Each node that holds something else than the most common value; when no value is the most common one, every node but the first.
pub(super) fn odd_ones_out(by_node: &BTreeMap<&NodeName, Sha256>) -> Vec<(NodeName, Reason)> {
    let mut counts: BTreeMap<Sha256, usize> = BTreeMap::new();
    for value in by_node.values() {
        *counts.entry(*value).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let Some(common) = by_node.values().find(|value| counts.get(*value) == Some(&most)).copied() else {
        return Vec::new();
    };
    let others: Vec<NodeName> =
        by_node.iter().filter(|(_, value)| **value == common).map(|(node, _)| (*node).clone()).collect();
    let odd = by_node.iter().filter(|(_, value)| **value != common);
    odd.map(|(node, found)| {
        let reason = Reason::DiffersBetweenNodes { others: others.clone(), found: *found, elsewhere: common };
        ((*node).clone(), reason)
    })
    .collect()
}
