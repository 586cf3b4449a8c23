//! Certificates that those to whom they are presented refuse, on whatever node these are.
//!
//! What enters is the refusals that the connections of the layout make, and the findings so far; what leaves is a finding for each certificate about which nothing
//! else says why. A certificate that its own node trusts may be refused by all others: a rotation that ended half-way leaves such ones. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{Differences, Effect, Finding, Reason, is_extension};
use crate::desired::Desired;
use crate::protocol::facts::Observed;
use crate::trust::refused::{CheckedWith, Refusal, refusals};
use crate::types::names::{Address, IdentityName, NodeName, Target};
use crate::x509::Certificate;

/// The findings, each with what it is about.
pub(super) fn findings(
    desired: &Desired,
    observed: &Observed,
    known: &Differences,
) -> Vec<(Address, Finding)> {
    let mut of: BTreeMap<Address, Vec<Refusal>> = BTreeMap::new();
    for refusal in refusals(desired, observed) {
        if is_of_what_it_is_checked_with(&refusal, desired) && !is_said(&refusal, known) {
            let subject = Target::Identity(refusal.identity.clone());
            of.entry(Address::on(subject, &refusal.node)).or_default().push(refusal);
        }
    }
    let finding = |(address, refusals): (Address, Vec<Refusal>)| {
        let wanted = desired.identity_at(&address)?;
        let view = wanted.authority.as_ref().and_then(|authority| known.authorities().get(authority));
        let signer = view.filter(|view| !view.keys.is_empty()).and_then(|view| view.signer());
        let is_cured = |refusal: &Refusal| {
            let trusts = |signer: &Certificate| {
                refusal.bundle.iter().any(|held| held == signer || is_extension(held, signer))
            };
            signer.is_some_and(trusts)
        };
        let reason = Reason::Refused {
            by: names(refusals.iter().map(|refusal| &refusal.refused_by)),
            presented_by: names(refusals.iter().map(|refusal| &refusal.presented_by)),
            issuer: refusals.first()?.certificate.facts().issuer.to_string(),
            reissue: refusals.iter().all(is_cured),
        };
        Some((address, Finding::due(reason)))
    };
    of.into_iter().filter_map(finding).collect()
}

fn names<'a>(all: impl Iterator<Item = &'a String>) -> Vec<String> {
    all.cloned().collect::<BTreeSet<String>>().into_iter().collect()
}

/// Whether it is checked with the CA that should have issued it. Where the spec declares another one, it knows more of those who check than the layout does.
fn is_of_what_it_is_checked_with(refusal: &Refusal, desired: &Desired) -> bool {
    let authority_of = |node: &NodeName, identity: &IdentityName| {
        desired.nodes.get(node)?.identities.get(identity)?.authority.as_ref()
    };
    let checked_with = match &refusal.checked_with {
        CheckedWith::Authority(authority) => Some(authority),
        CheckedWith::Kubeconfig(kubeconfig) => authority_of(&refusal.refused_on, kubeconfig),
    };
    authority_of(&refusal.node, &refusal.identity) == checked_with
}

/// Whether a finding about either end says it already, or a replacement on its way ends it.
fn is_said(refusal: &Refusal, known: &Differences) -> bool {
    let of = |subject: Target, node| known.of(&Address::on(subject, &node));
    let own = of(Target::Identity(refusal.identity.clone()), refusal.node.clone());
    let (file, is_replaced) = match &refusal.checked_with {
        CheckedWith::Authority(authority) => {
            let subject = Target::Authority(authority.clone());
            (of(subject, refusal.refused_on.clone()), known.successions().contains_key(authority))
        }
        CheckedWith::Kubeconfig(kubeconfig) => {
            (of(Target::Identity(kubeconfig.clone()), refusal.refused_on.clone()), false)
        }
    };
    is_replaced || own.iter().any(says_of_leaf) || file.iter().any(says_of_trust)
}

/// Whether a finding about a certificate says that what issued it is not what should have.
fn says_of_leaf(finding: &Finding) -> bool {
    matches!(finding.effect, Effect::Blocks | Effect::Unknown)
        || matches!(
            finding.reason,
            Reason::IssuerGoes { .. }
                | Reason::NotTrusted { .. }
                | Reason::WeakSignature { .. }
                | Reason::DiffersBetweenNodes { .. }
        )
}

/// Whether a finding about what it is checked with says that this does not hold what it should.
fn says_of_trust(finding: &Finding) -> bool {
    match finding.effect {
        Effect::Blocks | Effect::Unknown => true,
        Effect::Note => false,
        Effect::Due => matches!(
            finding.reason,
            Reason::Missing
                | Reason::BundleLacks { .. }
                | Reason::CopyDiffers { .. }
                | Reason::CopyMissing { .. }
                | Reason::ZeroLength { .. }
                | Reason::Unparseable { .. }
                | Reason::NotPem { .. }
                | Reason::LinkDangling { .. }
                | Reason::Distrusted { .. }
                | Reason::SuccessorKeyLost { .. }
        ),
    }
}
