//! The checks of a key pair without certificate, such as the service account keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Desired, DesiredKeyPair};
use crate::formats::manifest::FileUse;
use crate::formats::pem_facts::PemFacts;
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
            if public.public_keys.is_empty() && public.certificates.is_empty() {
                let problem = "holds no public key".to_owned();
                findings
                    .push(Finding::due(Reason::Unparseable { path: wanted.public.path.clone(), problem }));
            } else if let Some(key) = private {
                findings.extend(mismatch(key, public, &Accepted::of(wanted, facts)));
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

/// The public keys by which the API server of a node checks tokens.
struct Accepted {
    keys: BTreeSet<Sha256>,
    /// Why one of its files was not seen.
    unseen: Option<Reason>,
}

impl Accepted {
    /// All keys of the pair's own file and of all files that `--service-account-key-file` names. kube-apiserver takes any number of both, and beside
    /// public keys the public halves of private keys and of certificates (1.20 to 1.31: client-go `keyutil.ParsePublicKeysPEM`).
    fn of(wanted: &DesiredKeyPair, facts: &NodeFacts) -> Self {
        let mut named: BTreeSet<String> = facts
            .manifests()
            .flat_map(|(_, manifest)| manifest.named_files())
            .filter(|file| file.usage == FileUse::PublicKeys)
            .map(|file| file.path)
            .collect();
        named.insert(wanted.public.path.clone());
        let mut accepted = Self { keys: BTreeSet::new(), unseen: None };
        for path in named {
            match pem(facts, &path) {
                Ok(pem) => accepted.keys.extend(public_halves(pem)),
                Err(reason @ Reason::Unknown { .. }) => accepted.unseen = Some(reason),
                Err(_) => {}
            }
        }
        accepted
    }
}

fn public_halves(pem: &PemFacts) -> impl Iterator<Item = Sha256> {
    let keys = pem.public_keys.iter().map(|key| key.spki_sha256);
    let private = pem.keys.iter().map(|key| key.spki_sha256);
    keys.chain(private).chain(pem.certificates.iter().map(|certificate| certificate.facts().key.spki_sha256))
}

/// The tokens that are signed with the key are refused, or may be.
fn mismatch(key: Sha256, public: &PemFacts, accepted: &Accepted) -> Option<Finding> {
    if accepted.keys.contains(&key) {
        return None;
    }
    if let Some(reason) = &accepted.unseen {
        return Some(Finding::due_unless_unknown(reason.clone()));
    }
    let mut held = public_halves(public);
    let public = held.next()?;
    Some(Finding::blocks(Reason::PublicKeyMismatch { public, further: held.collect(), key }))
}

/// The nodes whose pair is not the one that most nodes hold: tokens signed there are refused elsewhere at random (kubernetes#22351).
/// Which key is right only a person can tell, so it blocks. Where every node accepts each of the keys, somebody is replacing them, and it is only said.
pub(super) fn between_nodes(desired: &Desired, observed: &Observed) -> Vec<(Target, NodeName, Vec<Finding>)> {
    let mut held: BTreeMap<&KeyPairName, BTreeMap<&NodeName, Sha256>> = BTreeMap::new();
    let of_nodes = || {
        let facts = |node: &NodeName| observed.nodes.get(node).and_then(|answer| answer.facts());
        desired.nodes.iter().filter_map(move |(node, wanted)| Some((node, wanted, facts(node)?)))
    };
    for (node, wanted, facts) in of_nodes() {
        for (name, pair) in &wanted.key_pairs {
            let key = pem(facts, &pair.private.path).ok().and_then(|pem| pem.keys.first());
            if let Some(key) = key {
                held.entry(name).or_default().insert(node, key.spki_sha256);
            }
        }
    }
    let mut found = Vec::new();
    for (name, by_node) in held {
        let odd = odd_ones_out(&by_node);
        if odd.is_empty() {
            continue;
        }
        let is_everywhere = |wanted: &DesiredKeyPair, facts: &NodeFacts| {
            let accepted = Accepted::of(wanted, facts);
            by_node.values().all(|key| accepted.keys.contains(key))
        };
        let mut pairs =
            of_nodes().filter_map(|(_, wanted, facts)| Some((wanted.key_pairs.get(name)?, facts)));
        let is_rotation = pairs.all(|(wanted, facts)| is_everywhere(wanted, facts));
        let finding = if is_rotation { Finding::note } else { Finding::blocks };
        for (node, reason) in odd {
            found.push((Target::KeyPair(name.clone()), node, vec![finding(reason)]));
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

#[cfg(test)]
mod tests;
