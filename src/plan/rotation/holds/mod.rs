//! Whether the replacement of a CA may go on, and how far: every reason to wait is a `Hold` before a phase.
//!
//! What enters is what goes and what comes, and how the cluster is; what leaves is one list of holds, from which it follows how far this plan goes with each
//! replacement, and what is told of the others. A barrier is proven by what is seen: while anything of it is unseen, broken or down, it holds, and whoever is to
//! blame is named. Each reason is a small function in a file of its own phase; here they are put in order. Pure.

mod before_prepare;
pub(crate) mod consumers;
mod hold;
pub(crate) mod manual_restarts;
pub(crate) mod outsiders;
mod soak;
pub(crate) mod strangers;

use std::collections::BTreeSet;

use crate::diff::{CaRotation, Finding, Reason, Unlisted};
use crate::types::names::{Address, AuthorityName, Target};
use crate::x509::Sha256;

use super::split_ca::is_mixed_up;
use crate::plan::known::builder::Builder;
use crate::plan::known::rotations::{RotationProgress, Rotations};
use crate::plan::{Blocked, Input, Noted, Phase, Postponed};
use hold::{Hold, HoldEffect, RotationCase};

/// The last phase before the first one that is held.
fn last(holds: &[Hold]) -> Phase {
    let is_free = |phase: &Phase| !holds.iter().any(|hold| hold.holds(*phase));
    Phase::ALL.into_iter().filter(is_free).max().unwrap_or_default()
}

/// Everything that holds it, in the order in which it is told. What holds all of it is told alone: whoever has to wait for that need not hear of what comes later.
fn holds(case: &RotationCase<'_, '_>) -> Vec<Hold> {
    if let Some(hold) = before_prepare::first(case) {
        return vec![hold];
    }
    let mut holds = Vec::from_iter(soak::hold(case));
    holds.extend(consumers::holds(case));
    holds.extend(manual_restarts::still_showing(case));
    holds
}

/// The certificates that go and that issued something which is still held.
fn shown(input: &Input<'_>, name: &AuthorityName, succession: &CaRotation) -> BTreeSet<Sha256> {
    let mut shown = BTreeSet::new();
    for (node, wanted) in &input.survey.desired.nodes {
        let own = wanted.identities.iter();
        for (identity, _) in own.filter(|(_, wanted)| wanted.authority.as_ref() == Some(name)) {
            let Some(held) = input.differences.identity(node, identity) else { continue };
            let certificate = held.certificate.as_ref();
            let issuer = certificate.and_then(|own| succession.issuer_that_goes(own, &held.chain));
            shown.extend(issuer.map(|issuer| *issuer.fingerprint()));
        }
    }
    shown
}

/// Looks at every authority: how far this plan goes with each replacement, and everything that holds one.
fn find(
    input: &Input<'_>,
    unlisted: &Unlisted,
    is_mixed_up: &dyn Fn(&AuthorityName) -> bool,
) -> (Rotations, Vec<Hold>) {
    let mut replacements = Rotations::default();
    let mut all = Vec::new();
    let authorities = input.survey.desired.authorities.iter();
    // Where two refuse each other no order of steps helps.
    for (name, wanted) in authorities.filter(|(name, _)| !is_mixed_up(name)) {
        let Some(succession) = input.differences.successions().get(name) else { continue };
        let nodes = &input.survey.desired.nodes;
        let first = nodes.iter().find(|(_, node)| node.authorities.contains_key(name));
        // Nothing is known of one that no node has.
        let Some((first, _)) = first else { continue };
        let shown = shown(input, name, succession);
        let case = RotationCase { input, unlisted, name, wanted, succession, first, shown };
        let mut holds = holds(&case);
        let is_held_outside = holds.iter().any(|hold| hold.effect == HoldEffect::Outside);
        let (succession, shown, last) = (succession.clone(), case.shown, last(&holds));
        replacements.insert(name, RotationProgress { succession, shown, last }, is_held_outside);
        all.append(&mut holds);
    }
    (replacements, all)
}

/// Finds out which replacements this plan works on, and tells why the others wait.
pub(crate) fn find_replacements(builder: &mut Builder<'_>) {
    let (replacements, holds) = find(builder.input, &builder.unlisted, &|name| is_mixed_up(builder, name));
    builder.replacements = replacements;
    for hold in holds {
        tell_hold(builder, hold);
    }
}

fn tell_hold(builder: &mut Builder<'_>, hold: Hold) {
    let Hold { before: _, who: address, because, help, until, effect } = hold;
    let list = match effect {
        HoldEffect::Elsewhere => &mut builder.draft.elsewhere,
        HoldEffect::Blocked => &mut builder.draft.blocked,
        HoldEffect::Outside => &mut builder.draft.held,
        HoldEffect::Postponed => {
            if let Some(authority) = address.target.authority().cloned() {
                builder.draft.postponed.push(Postponed { authority, until, because });
            }
            return;
        }
        HoldEffect::Silent => return,
        HoldEffect::Noted { waived } => {
            let finding = Finding::note(Reason::Waived { needs: because, because: waived });
            builder.draft.notes.push(Noted { address, finding });
            return;
        }
    };
    list.push(Blocked { address, because, help, findings: Vec::new() });
}

/// Whether a finding belongs to a replacement that waits, about which everything is said.
pub(crate) fn is_waited_for(builder: &Builder<'_>, address: &Address, finding: &Finding) -> bool {
    let Some(authority) = builder.input.survey.desired.authority_at(address) else { return false };
    let is_authority = matches!(address.target, Target::Authority(_));
    let is_told = builder.replacements.soaks(authority) || builder.replacements.waits(authority);
    builder.replacements.waits_for(finding, authority) || is_authority && is_told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(before: Phase, effect: HoldEffect) -> Hold {
        let who = "ca/etcd-ca@cp-1".parse().unwrap();
        Hold { before, who, because: String::new(), help: None, until: None, effect }
    }

    #[test]
    fn a_plan_goes_as_far_as_the_phase_before_the_first_that_is_held() {
        let elsewhere = |before| hold(before, HoldEffect::Elsewhere);
        assert_eq!(last(&[]), Phase::Purge);
        assert_eq!(last(&[elsewhere(Phase::DropOld)]), Phase::Servers);
        assert_eq!(last(&[elsewhere(Phase::DropOld), elsewhere(Phase::Clients)]), Phase::TrustBoth);
        for effect in [HoldEffect::Silent, HoldEffect::Postponed, HoldEffect::Outside, HoldEffect::Blocked] {
            assert!(last(&[hold(Phase::Prepare, effect.clone())]) < Phase::Prepare, "{effect:?}");
        }
    }

    #[test]
    fn what_is_waived_holds_nothing() {
        let waived = HoldEffect::Noted { waived: "it is gone soon".to_owned() };
        assert_eq!(last(&[hold(Phase::Clients, waived)]), Phase::Purge);
    }
}
