//! What holds a replacement before its first phase: one function for each reason.
//!
//! What enters is the replacement; what leaves is the first hold of all, or none. They are asked in the order in which a person would want to hear of them: who was not
//! seen, who takes part and is not here, what is broken. Pure.

use crate::desired::DesiredNode;
use crate::diff::{Effect, Finding, Reason};
use crate::profile::What;
use crate::types::names::{Address, NodeName, Target};

use super::hold::{Hold, HoldEffect, RotationCase};
use super::manual_restarts;
use super::outsiders::held_by;
use crate::plan::Phase;
use crate::plan::known::{quorum, services};

/// A reason to wait.
type Reasons<'r> = &'r [fn(&RotationCase<'_, '_>) -> Option<Hold>];

/// The first of them.
const ALL: Reasons<'static> = &[
    not_asked_for,
    unseen,
    unseen_holder,
    external,
    outsiders,
    unread_root,
    troubled,
    unhealthy,
    by_hand,
    broken,
];

/// Those of one that only drops: nothing comes, so nobody has to sign, and no member has to do without another one for longer than its restart.
const ONLY_DROPPING: Reasons<'static> =
    &[not_asked_for, unseen, unseen_holder, outsiders, troubled, unhealthy_of_etcd, broken];

const ELSEWHERE: (Phase, HoldEffect) = (Phase::Prepare, HoldEffect::Elsewhere);
const BLOCKED: (Phase, HoldEffect) = (Phase::Prepare, HoldEffect::Blocked);

pub(super) fn first(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let reasons = if case.succession.is_only_dropping() { ONLY_DROPPING } else { ALL };
    reasons.iter().find_map(|reason| reason(case))
}

/// Whoever asks for some things only does not ask for a replacement.
fn not_asked_for(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let is_narrowed = !case.input.options.only.is_empty();
    is_narrowed.then(|| case.silent(case.first, "something else was asked for"))
}

/// A node of which it is not known what it trusts.
fn unseen(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let view = case.input.differences.authorities().get(case.name)?;
    let node = view.unknown.first()?;
    let because = format!(
        "what {} trusts is not known, so no CA of {} is replaced: nobody shows a new one, and no old one is dropped, before every node is known to trust both",
        view.unknown_nodes(),
        case.name
    );
    Some(case.hold(BLOCKED, node, because, see(node)))
}

/// A node of which it is not known what it shows: it need not hold the CA itself.
fn unseen_holder(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let survey = case.input.survey;
    let is_unseen =
        |name: &&NodeName| survey.observed.nodes.get(*name).is_none_or(|answer| answer.facts().is_none());
    let holds = |wanted: &DesiredNode| {
        wanted.identities.values().any(|wanted| wanted.authority.as_ref() == Some(case.name))
    };
    let mut nodes = survey.desired.nodes.iter().filter(|(_, wanted)| holds(wanted)).map(|(name, _)| name);
    let node = nodes.find(is_unseen)?;
    let because = format!(
        "what {node} shows is not known, so no CA of {} is replaced: no old one is dropped before every node is known to show what the new one signed",
        case.name
    );
    Some(case.hold(BLOCKED, node, because, see(node)))
}

fn see(node: &NodeName) -> String {
    format!("make {node} reachable, or take it out of the spec")
}

/// Its key is where no new one can be made.
fn external(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let because = format!("the key of {} is kept elsewhere, so no other one can be made here", case.name);
    let help = "replace it where its key is, or declare `source` with the one that comes".to_owned();
    case.wanted.external.then(|| case.hold(ELSEWHERE, case.first, because, help))
}

/// Somebody who trusts it and is not in the spec.
fn outsiders(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let seen = case.unlisted.holding(case.name)?;
    let (because, help) = held_by(seen, case.input, case.name.as_str());
    Some(case.hold((Phase::Prepare, HoldEffect::Outside), case.first, because, help))
}

/// That the root of the spec could not be read is a finding of its own.
fn unread_root(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let is_unread = case.wanted.source.is_some() && case.succession.successor.is_none();
    is_unread.then(|| case.silent(case.first, "the root that comes could not be read"))
}

/// What a person has to look at first is told by its own findings.
fn troubled(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let is_grave = |finding: &Finding| matches!(finding.effect, Effect::Blocks | Effect::Unknown);
    let (address, _) = findings(case).find(|(_, finding)| is_grave(finding))?;
    Some(case.silent(address.place.clone(), "a person has to look at something of it first"))
}

/// A member that does not work: without it none of the others can be restarted.
fn unhealthy(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let survey = case.input.survey;
    let is_down = |name: &&NodeName| {
        let facts = survey.observed.nodes.get(*name).and_then(|answer| answer.facts());
        let Some(facts) = facts else { return false };
        let Some(live) = quorum::live(survey, name) else { return false };
        // One that was asked and gave no answer does not work.
        let follows = matches!(facts.etcd.known(), Ok(Some(etcd)) if etcd.follows_leader());
        let is_asked = !facts.etcd.is_unlooked();
        services::is_down(live) || is_asked && !follows
    };
    let node = quorum::members(survey).find(is_down)?;
    let because = format!(
        "the member of etcd on {node} does not work, so no other one can be restarted: the replacement of {} waits where it stands",
        case.name
    );
    let help = format!("bring the member on {node} back, and plan again");
    Some(case.hold(ELSEWHERE, node, because, help))
}

fn unhealthy_of_etcd(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let is_of_etcd =
        case.input.differences.authorities().get(case.name).is_some_and(|view| view.domain.is_extendable());
    unhealthy(case).filter(|_| is_of_etcd)
}

/// A service that trusts it, runs, and is restarted by a person only: that it trusts both could not be seen.
fn by_hand(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let running = manual_restarts::restarted(
        case.input.survey,
        |what| matches!(what, What::Trust(trusted) if trusted == case.name),
    );
    let (node, service) = running.into_iter().next()?;
    let because = format!(
        "{service} on {node} trusts {} from its start on and is restarted by hand, so that it trusts the new CA could not be proven",
        case.name
    );
    let help = format!("declare spec.services.{service}.restart");
    Some(case.hold(BLOCKED, node, because, help))
}

/// Something of it that is broken is mended first, with the CA that is there.
fn broken(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let is_authority = |address: &Address| matches!(address.target, Target::Authority(_));
    // The key of an authority that goes is not put back anywhere.
    let is_broken = |address: &Address, finding: &Finding| {
        does_not_work(finding, case.input.differences.of(address))
            || !is_authority(address) && finding.reason == Reason::KeyMissing
    };
    let (address, finding) = findings(case).find(|(address, finding)| is_broken(address, finding))?;
    let view = case.input.differences.authorities().get(case.name)?;
    let signer = view.signer()?;
    let can_sign = view.keys.values().any(|key| *key == signer.facts().key.spki_sha256);
    let because = || format!("{address} comes first ({}); the next plan goes on", finding.reason);
    (is_authority(address) || can_sign)
        .then(|| case.postponed(Phase::Prepare, address.place.clone(), None, because()))
}

/// Whether something does not work as it is, so that it cannot wait for the one that comes.
fn does_not_work(finding: &Finding, beside: &[Finding]) -> bool {
    let goes = || beside.iter().any(|other| matches!(other.reason, Reason::IssuerGoes { .. }));
    finding.effect == Effect::Due
        // Where only some nodes have got the new one yet, the replacement itself goes on with the others.
        && !(matches!(finding.reason, Reason::DiffersBetweenNodes { .. }) && goes())
        && matches!(
            finding.reason,
            Reason::Missing
                | Reason::Expired { .. }
                | Reason::NotYetValid { .. }
                | Reason::KeyMismatch { .. }
                | Reason::NotTrusted { .. }
                | Reason::WeakSignature { .. }
                | Reason::WeakKey { .. }
                | Reason::Unparseable { .. }
                | Reason::ZeroLength { .. }
                | Reason::NotPem { .. }
                | Reason::LinkDangling { .. }
                | Reason::KeyEncrypted { .. }
                | Reason::DiffersBetweenNodes { .. }
        )
}

/// The findings about the authority itself and what it issued.
fn findings<'c>(case: &'c RotationCase<'_, '_>) -> impl Iterator<Item = (&'c Address, &'c Finding)> {
    let of_authority = |address: &Address| case.input.survey.desired.authority_at(address) == Some(case.name);
    let all = case.input.differences.findings.iter();
    all.filter(move |(address, _)| of_authority(address))
        .flat_map(|(address, findings)| findings.iter().map(move |finding| (address, finding)))
}
