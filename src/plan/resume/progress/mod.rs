//! How a saved plan stands against what is there now: what is still to do, what is done already, and what has changed under it.
//!
//! What enters is a plan and a new survey with its differences; what leaves is a verdict for each transaction, and what the transactions that are done have made. A transaction is
//! stale when a fact that one of its decisions needed is another one now, unless nothing of it is due any more: then what it was for has been reached. Pure.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::desired::{Desired, Survey};
use crate::diff::{Differences, Effect, waiting_request};
use crate::plan::known::paths::facts_of;
use crate::plan::model::deed_traits::Proof;
use crate::plan::order::preconditions::{is_active, members};
use crate::plan::{
    Action, Changed, Deed, Expected, Fact, Made, Phase, PlanContent, PlanProgress, PlannedTransaction,
    Precondition, SavedPlan, TransactionProgress, fact,
};
use crate::protocol::facts::{Answer, NodeFacts, Seen};
use crate::types::format::instant;
use crate::types::names::{Address, AuthorityName, Target};
use crate::types::place::Place;
use crate::types::service_kind::ServiceKind;
use crate::x509::CertificateRequest;

impl PlanProgress {
    /// Counts a visit as done, and what it was to make as made.
    pub fn count_as_done(&mut self, visit: &PlannedTransaction, survey: &Survey, differences: &Differences) {
        self.visits.insert(visit.number, TransactionProgress::Done);
        remember(&mut self.made, visit, survey, differences);
    }
}

impl SavedPlan {
    /// How its visits stand against what is there now.
    pub fn standing(&self, survey: &Survey, differences: &Differences) -> PlanProgress {
        standing(&self.says, survey, differences)
    }
}

/// How each visit of a plan stands.
pub fn standing(plan: &PlanContent, survey: &Survey, differences: &Differences) -> PlanProgress {
    let mut standings = PlanProgress::default();
    let mut gone_on: BTreeSet<&Place> = BTreeSet::new();
    let mut are_restarted = true;
    let (waiting, working): (Vec<_>, Vec<_>) = plan.visits.iter().rev().partition(|visit| only_waits(visit));
    for visit in working {
        // One node is visited in one phase after the other: what it has been through it has been through.
        let has_gone_on = gone_on.contains(&visit.place);
        // A snapshot of etcd's data is there for those that are still to be restarted.
        let is_needless = visit.phase == Phase::EtcdSnapshot && are_restarted;
        let standing = if is_needless || visit.phase.is_of_replacement() && has_gone_on {
            TransactionProgress::Done
        } else {
            of_visit(visit, survey, differences)
        };
        // What is purged may have gone by itself, with its snapshot, before anything was done.
        if standing == TransactionProgress::Done && visit.phase != Phase::Purge {
            gone_on.insert(&visit.place);
        }
        are_restarted &= standing == TransactionProgress::Done
            || !visit.actions.iter().any(|action| restarts_member(action, &survey.desired));
        if standing == TransactionProgress::Done {
            standings.count_as_done(visit, survey, differences);
        } else {
            standings.visits.insert(visit.number, standing);
        }
    }
    // What only waits leaves nothing by which it could be seen that it has: it is over with what it waits for.
    let is_over = standings.visits.values().all(|standing| *standing == TransactionProgress::Done);
    for visit in waiting {
        let standing = if is_over { TransactionProgress::Done } else { TransactionProgress::ToDo };
        standings.visits.insert(visit.number, standing);
    }
    standings
}

/// Whether a visit waits for what earlier ones do, and does nothing itself.
fn only_waits(visit: &PlannedTransaction) -> bool {
    let waits = |action: &Action| matches!(action.deed, Deed::AwaitHealthy { .. });
    let frames = |action: &Action| matches!(action.deed, Deed::Snapshot { .. } | Deed::Verify { .. });
    visit.actions.iter().any(waits) && visit.actions.iter().all(|action| waits(action) || frames(action))
}

/// Whether an action starts a member of etcd anew.
pub(crate) fn restarts_member(action: &Action, desired: &Desired) -> bool {
    let service = action.restarts().and_then(|_| desired.service_at(&action.address));
    service.is_some_and(|service| service.is(ServiceKind::Etcd))
}

fn of_visit(visit: &PlannedTransaction, survey: &Survey, differences: &Differences) -> TransactionProgress {
    let node = match &visit.place {
        Place::Node(node) => node,
        Place::Cluster => {
            return TransactionProgress::Unseen { reason: "nobody looks into it yet".to_owned() };
        }
    };
    match survey.observed.nodes.get(node) {
        Some(Answer::Facts(_)) => {}
        Some(Answer::Unreachable { reason }) => {
            return TransactionProgress::Unseen { reason: reason.clone() };
        }
        Some(Answer::Skipped) | None => {
            return TransactionProgress::Unseen { reason: "the node was not asked".to_owned() };
        }
    }
    let changed: BTreeSet<Changed> =
        visit.actions.iter().flat_map(|action| changed(action, survey)).collect();
    let is_restart = |action: &Action| matches!(action.deed, Deed::Restart { .. });
    let only_restarts = !visit.actions.iter().any(|action| !action.paths().is_empty() && !is_restart(action));
    if (!changed.is_empty() || only_restarts) && is_reached(visit, survey, differences) {
        return TransactionProgress::Done;
    }
    if changed.is_empty() {
        TransactionProgress::ToDo
    } else {
        TransactionProgress::Stale(changed.into_iter().collect())
    }
}

/// Whether nothing of what a visit was for is due any more.
fn is_reached(visit: &PlannedTransaction, survey: &Survey, differences: &Differences) -> bool {
    let is_open = |address: &Address| {
        differences.of(address).iter().any(|finding| match finding.effect {
            Effect::Blocks | Effect::Unknown | Effect::Due => true,
            Effect::Note => false,
        })
    };
    // What is signed elsewhere stays due until it comes back, and what goes until it has gone, however far its replacement is: of these only what was written tells.
    let is_due = |action: &Action| {
        !visit.phase.is_of_replacement()
            && !matches!(action.deed, Deed::WriteCsr(_))
            && is_open(&action.address)
    };
    let is_left = |action: &Action| !visit.phase.is_of_replacement() || is_left(action, survey);
    visit.actions.iter().all(|action| !is_due(action) && is_as_made(action, survey) && is_left(action))
}

/// An authority counts as made only by what this very plan says: what comes after it was planned from its dates.
fn is_as_made(action: &Action, survey: &Survey) -> bool {
    let facts = survey.observed.facts_at(&action.address.place);
    let first = |path: &str| facts?.first_certificate(path);
    let digest = |path: &str| match fact(facts?, path) {
        Fact::Pem { certificates, .. } | Fact::Kubeconfig { certificates, .. } => {
            certificates.first().copied()
        }
        Fact::Absent | Fact::BrokenLink | Fact::Directory | Fact::Other { .. } | Fact::Unknown => None,
    };
    match action.traits().proof {
        Proof::Findings => true,
        Proof::Never => false,
        Proof::NothingOpen => facts.is_some_and(|facts| facts.open_transaction == Seen::Absent),
        Proof::Authority { file, subject, life } => first(file).is_some_and(|made| {
            let facts = made.facts();
            facts.subject.common_name() == Some(subject.common_name.as_str())
                && (facts.not_before, facts.not_after) == life
        }),
        Proof::Extended { file, of, not_after } => first(file).is_some_and(|made| {
            made.facts().subject == of.facts().subject && made.facts().not_after == not_after
        }),
        Proof::Holds { file, certificate } => digest(file) == Some(*certificate.fingerprint()),
        Proof::Replaced { file, before } => digest(file).is_some_and(|now| now != *before.fingerprint()),
        Proof::OtherChain { file, before } => {
            let held = facts.map_or(&[][..], |facts| facts.certificates(file));
            !held.iter().skip(1).map(|held| held.fingerprint()).eq(before)
        }
        // One that was there before it asks for something else.
        Proof::Waits { replaces } => {
            waiting(action, survey).is_some_and(|waiting| Some(waiting.facts().key.spki_sha256) != replaces)
        }
    }
}

/// The request that waits for the certificate that an action asked for.
fn waiting(action: &Action, survey: &Survey) -> Option<CertificateRequest> {
    // Requests wait on nodes.
    let Address { target: Target::Identity(identity), place: Place::Node(node) } = &action.address else {
        return None;
    };
    let wanted = survey.desired.nodes.get(node)?.identities.get(identity)?;
    waiting_request(wanted, facts_of(&survey.observed, node)?).ok().flatten().cloned()
}

/// Whether what an action of a replacement wrote is there as it left it.
fn is_left(action: &Action, survey: &Survey) -> bool {
    let facts = survey.observed.facts_at(&action.address.place);
    let held = |path: &str| facts.map_or(&[][..], |facts| facts.certificates(path));
    if let Deed::WriteBundle { file, bundle, .. } = &action.deed {
        let held = held(&file.path);
        let is_there = bundle.certificates().iter().all(|certificate| held.contains(certificate));
        return is_there && held.len() == bundle.count();
    }
    if let Deed::RemoveCopy { path, .. } = &action.deed {
        return facts.is_some_and(|facts| fact(facts, path) == Fact::Absent);
    }
    if let Deed::PurgeSnapshots { fingerprint, key } = &action.deed {
        // While the key is in use it comes into the snapshots with the visit that drops it.
        let is_in_use = |facts: &NodeFacts| {
            // A key in a file that could not be read is missed; once it comes into a snapshot, a plan finds it there.
            let mut pems = facts.files.values().filter_map(|seen| seen.known().ok()??.content.pem());
            pems.any(|pem| pem.keys.iter().any(|held| held.spki_sha256 == *key))
        };
        return facts.is_some_and(|facts| {
            // Snapshots that could not be read are not taken for purged.
            let kept = facts.kept_keys.known().ok().flatten();
            kept.is_some_and(|kept| !kept.contains_key(fingerprint)) && !is_in_use(facts)
        });
    }
    if let Deed::CopyAuthorityCertificate { file, .. } = &action.deed {
        return !held(&file.path).is_empty();
    }
    true
}

/// The facts that an action needs and that are different now.
fn changed(action: &Action, survey: &Survey) -> Vec<Changed> {
    let own = &action.address.place;
    let changed = action.preconditions.iter().filter_map(|precondition| match precondition {
        Precondition::File { expected: Expected::AsLeftBy(_), .. } => None,
        Precondition::File { node, path, expected: Expected::Fact(was) } => {
            let place = node.as_ref().map_or_else(|| own.clone(), Place::from);
            let Some(facts) = survey.observed.facts_at(&place) else {
                let is = "unknown, because the node cannot be seen".to_owned();
                return Some(Changed { place, what: path.clone(), was: was.to_string(), is });
            };
            let now = fact(facts, path);
            if now == *was {
                return None;
            }
            // Only to be shown.
            let written = facts.files.get(path).and_then(|seen| seen.known().ok()?);
            let written = written.map(|file| format!(" (written {})", instant(file.modified)));
            let is = format!("{now}{}", written.unwrap_or_default());
            Some(Changed { place, what: path.clone(), was: was.to_string(), is })
        }
        Precondition::Service { service, active } => {
            let words = |active: bool| if active { "active" } else { "not active" }.to_owned();
            let now = survey.observed.facts_at(own).and_then(|facts| is_active(facts, service));
            let is = now.map_or_else(|| "unknown".to_owned(), words);
            let what = format!("the service {service}");
            (now != Some(*active)).then(|| Changed { place: own.clone(), what, was: words(*active), is })
        }
        Precondition::Members { names } => {
            let words = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
            let now = survey.observed.facts_at(own).and_then(members);
            let is = now.as_ref().map_or_else(|| "unknown".to_owned(), words);
            let what = "the members of etcd".to_owned();
            (now.as_ref() != Some(names)).then(|| Changed { place: own.clone(), what, was: words(names), is })
        }
    });
    changed.collect()
}

fn remember(made: &mut Made, visit: &PlannedTransaction, survey: &Survey, differences: &Differences) {
    let Some(node) = survey.desired.at(&visit.place) else { return };
    let facts = survey.observed.facts_at(&visit.place);
    let first = |path: &str| facts?.first_certificate(path);
    // Once it is in use it is no longer where it was made.
    let in_use = |authority: &AuthorityName| first(&node.authorities.get(authority)?.certificate.path);
    for action in &visit.actions {
        if let (
            Deed::CreateAuthority { certificate, .. }
            | Deed::ExtendAuthority { certificate, .. }
            | Deed::InstallAuthority { certificate, .. },
            Target::Authority(authority),
        ) = (&action.deed, &action.address.target)
            && let Some(certificate) = first(&certificate.path).or_else(|| in_use(authority))
        {
            made.authorities.insert(authority.clone(), certificate.clone());
        }
        if let (Deed::CreateKeyPair { private, .. }, Target::KeyPair(pair)) =
            (&action.deed, &action.address.target)
            && let Some(Fact::Pem { keys, .. }) = facts.map(|facts| fact(facts, &private.path))
        {
            made.pairs.extend(keys.first().map(|key| (pair.clone(), *key)));
        }
        if let (Deed::WriteCsr(_), Some(request)) = (&action.deed, waiting(action, survey)) {
            made.requests.insert(action.address.clone(), request);
        }
        if let (
            Deed::IssueIdentity(_) | Deed::CopyIdentity(_) | Deed::InstallIdentity(_),
            Target::Identity(identity),
        ) = (&action.deed, &action.address.target)
        {
            let held = visit.place.node().and_then(|node| differences.identity(node, identity));
            if let Some(certificate) = held.and_then(|held| held.certificate.clone()) {
                made.identities.insert(action.address.clone(), certificate);
            }
        }
    }
}
