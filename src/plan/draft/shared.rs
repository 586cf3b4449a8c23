//! Deeds about identities that all their nodes hold alike: one is issued at most, and every other node gets a copy of it.

use std::collections::BTreeMap;

use crate::diff::{CertificateHealth, Effect, Finding, Reason, SharedView};
use crate::types::names::{Address, IdentityName, NodeName, Target};
use crate::x509::Certificate;

use super::case::{Case, trust};
use super::issue::write_new;
use crate::plan::known::builder::Builder;
use crate::plan::known::chosen;
use crate::plan::model::identity_copy::{Copied, IdentityCopy};
use crate::plan::{Blocked, Deed, Input, Why};

/// The identities that their nodes share.
pub(crate) fn find<'a>(builder: &Builder<'a>) -> BTreeMap<IdentityName, Shared<'a>> {
    let input = builder.input;
    let shared = input.differences.shared().iter().map(|(name, view)| {
        let of_nodes = input.survey.desired.nodes.values().filter_map(|node| node.identities.get(name));
        let mut authorities = of_nodes.filter_map(|wanted| wanted.authority.as_ref());
        let goes_on = authorities.any(|authority| builder.replacements.waits(authority));
        (name.clone(), Shared::new(input, name.clone(), view, goes_on))
    });
    shared.collect()
}

/// What has to be done about it on one node. Nodes come in the order of their names, so that the one on which it is issued comes before the others.
pub(crate) fn build(
    builder: &mut Builder<'_>,
    shared: &BTreeMap<IdentityName, Shared<'_>>,
    case: Case<'_>,
    identity: &IdentityName,
) {
    let Some(shared) = shared.get(identity) else { return };
    if builder.input.options.selects(&case.address) {
        shared.build(builder, case);
    }
}

/// An identity that its nodes share, with what is the same for all of them, worked out once.
pub(crate) struct Shared<'a> {
    input: &'a Input<'a>,
    identity: IdentityName,
    view: &'a SharedView,
    /// Whether the user asked for a new one: on any node is on all.
    requested: bool,
    /// Whether another certificate mends anything on any node.
    is_due: bool,
    /// The nodes that the user did not select.
    left_out: Vec<NodeName>,
    /// Its authority is one whose replacement waits, so that it goes on as it is.
    goes_on: bool,
}

impl<'a> Shared<'a> {
    fn new(input: &'a Input<'a>, identity: IdentityName, view: &'a SharedView, goes_on: bool) -> Self {
        let mut shared =
            Self { input, identity, view, requested: false, is_due: false, left_out: Vec::new(), goes_on };
        for node in shared.view.nodes() {
            let address = shared.address(node);
            let is_selected = input.options.selects(&address);
            shared.requested |=
                is_selected && (input.is_to_be_replaced(&address) || input.signed.has(&address));
            shared.is_due |= !shared.due_on(node).is_empty();
            if !is_selected {
                shared.left_out.push(node.clone());
            }
        }
        shared
    }

    fn build(&self, builder: &mut Builder<'_>, mut case: Case<'_>) {
        let best = self
            .view
            .best_of(chosen::shared(self.input, &self.identity))
            .map(|(node, certificate, standing)| (node.clone(), certificate.clone(), standing));
        let requested = self.requested;
        if case.view.other_credentials.is_some() {
            let asked = self.input.asked_for(&case.address);
            if !asked.is_empty() {
                write_new(&case, builder, asked);
            }
            return;
        }
        let due = self.due_on(case.name);
        let findings = builder.findings(&case.address).to_vec();
        let kept = best.as_ref().filter(|(.., standing)| *standing == CertificateHealth::Good && !requested);
        if let Some((from, certificate, _)) = kept {
            if due.is_empty() {
                case.update_trust(builder, &trust(&findings));
            } else if !case.is_blocked(builder, &findings) {
                let why = self.why(builder, &due, &findings);
                self.copy(builder, &case, (from, Copied::held(certificate, case.wanted)), why);
            }
            return;
        }
        let is_due = requested || self.is_due;
        let Some(home) = self.view.home().filter(|_| is_due) else {
            case.update_trust(builder, &trust(&findings));
            return;
        };
        if self.is_left_out(builder, &case, home, &due) || case.is_blocked(builder, &findings) {
            return;
        }
        if case.name == home {
            let mut reasons = due;
            let asked = self.input.asked_for(&case.address);
            if requested && asked.is_empty() {
                reasons.push(Finding::due(Reason::Requested));
            }
            reasons.extend(asked);
            if reasons.is_empty() {
                reasons = self.view.nodes().flat_map(|node| self.due_on(node)).collect();
                reasons.sort();
                reasons.dedup();
            }
            reasons.extend(trust(&findings));
            case.model = best.map(|(_, certificate, _)| certificate).or(case.model);
            write_new(&case, builder, reasons);
            return;
        }
        let deeds = builder.draft.on(home);
        let mut deeds = deeds.iter().filter(|deed| deed.address.target == case.address.target);
        let issued = deeds.find_map(|deed| Some((deed.copied()?, deed.reasons.clone())));
        let why = self.why(builder, &due, &findings);
        match issued {
            Some((copied, reasons)) => {
                let why = if why.is_empty() { reasons } else { why };
                self.copy(builder, &case, (home, copied), why);
            }
            None => self.not_issued(builder, &case, home, why),
        }
    }

    fn address(&self, node: &NodeName) -> Address {
        Address::on(Target::Identity(self.identity.clone()), node)
    }

    /// The findings on a node that another certificate mends, whether the user selected it or not.
    fn due_on(&self, node: &NodeName) -> Vec<Finding> {
        let is_mended = |finding: &&Finding| {
            finding.effect == Effect::Due
                && !(self.goes_on && matches!(finding.reason, Reason::IssuerGoes { .. }))
                && (finding.reason.reissues() || matches!(finding.reason, Reason::DiffersBetweenNodes { .. }))
        };
        self.input.differences.of(&self.address(node)).iter().filter(is_mended).cloned().collect()
    }

    fn why(&self, builder: &Builder<'_>, due: &[Finding], findings: &[Finding]) -> Vec<Why> {
        due.iter().chain(&trust(findings)).map(|finding| builder.why(finding)).collect()
    }

    /// A new one goes to all nodes or to none: those that `--only` leaves out would hold another one. Says so.
    fn is_left_out(
        &self,
        builder: &mut Builder<'_>,
        case: &Case<'_>,
        home: &NodeName,
        due: &[Finding],
    ) -> bool {
        if self.left_out.is_empty() {
            return false;
        }
        let left_out: Vec<&str> = self.left_out.iter().map(NodeName::as_str).collect();
        let because = format!(
            "it is the same on all its nodes, so it is issued once, on {home}, for all of them; --only leaves out {}",
            left_out.join(", ")
        );
        let help = format!("select it on every node: --only {}", self.identity);
        let findings: Vec<&Finding> = due.iter().collect();
        builder.block(&case.address, because, Some(help), &findings);
        true
    }

    fn copy(
        &self,
        builder: &mut Builder<'_>,
        case: &Case<'_>,
        (from, copied): (&NodeName, Copied),
        why: Vec<Why>,
    ) {
        let authority = case.wanted.authority.as_ref();
        let stopped = match authority {
            Some(authority) => case.authority_is_sound(builder, authority, from),
            None => Ok(()),
        };
        if let Err(obstacle) = stopped.and_then(|()| case.can_be_written()) {
            case.stopped(builder, obstacle, why);
            return;
        }
        let desired = &builder.input.survey.desired;
        let there = desired.nodes.get(from).and_then(|node| node.identities.get(&self.identity));
        let Some(there) = there.filter(|there| there.shared) else { return };
        let places = ((from, &there.storage), (case.name, case.storage));
        let lacks = why.iter().any(|why| matches!(why.finding.reason, Reason::BundleLacks { .. }));
        let trusted = case.trusted_if_needed(builder, lacks);
        let Some(mut copy) = IdentityCopy::new(places.0, places.1, case.wanted, copied) else { return };
        let before: Option<Certificate> = case.view.certificate.clone();
        let replaces = before.is_some();
        copy.verified_by = case.verified_by();
        copy.told = case.server_told().into_iter().collect();
        (copy.trusted, copy.before) = (trusted, before);
        builder.add(case.address.clone(), Deed::CopyIdentity(Box::new(copy)), why, replaces);
    }

    /// What keeps it from being issued keeps it from every node.
    fn not_issued(&self, builder: &mut Builder<'_>, case: &Case<'_>, home: &NodeName, findings: Vec<Why>) {
        let at_home = self.address(home);
        let here = |blocked: &Blocked| Blocked {
            address: case.address.clone(),
            findings: findings.clone(),
            ..blocked.clone()
        };
        let draft = &mut builder.draft;
        for list in [&mut draft.blocked, &mut draft.elsewhere] {
            let found = list.iter().find(|blocked| blocked.address == at_home).map(here);
            if let Some(blocked) = found {
                list.push(blocked);
                return;
            }
        }
    }
}
