//! The counters of a plan.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use crate::diff::Effect;
use crate::plan::draft::Known;
use crate::plan::model::deed_traits::Counter;
use crate::plan::{Action, Blocked, Deed, Input, PlannedTransaction};
use crate::types::names::{Address, NodeName, Target};

/// How many things there are, and what happens to them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Certificates that replace one.
    pub renew: usize,
    /// Certificates, authorities and key pairs that were not there.
    pub issue: usize,
    /// Trust bundles and shared keys that are written.
    pub trust: usize,
    /// Things that are removed.
    pub remove: usize,
    /// Restarts.
    pub restart: usize,
    /// Links, directories, owners and permission bits that are put right.
    pub repair: usize,
    /// Paths that are put back as they were.
    pub restore: usize,
    /// Places to which a certificate is copied with its key. A renewal that lies in several places is one renewal, and its further places are counted here.
    pub copy: usize,
    /// Requests that are written for certificates that are signed elsewhere.
    #[serde(default)]
    pub request: usize,
    /// Certificates with their keys, on all nodes.
    pub certificates: usize,
    /// Authorities.
    pub authorities: usize,
    /// Nodes.
    pub nodes: usize,
    /// Nodes that were seen.
    pub nodes_seen: usize,
    /// Things that stay as they are.
    pub unchanged: usize,
    /// Certificates on nodes that were not seen: nothing is known of them.
    #[serde(default, skip_serializing_if = "is_none")]
    pub not_seen: usize,
    /// The nodes that were not seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<NodeName>,
    /// Things that are due and that the user left out with `--only`.
    #[serde(default, skip_serializing_if = "is_none")]
    pub outside_only: usize,
    /// What is renewed next if nothing else changes.
    pub next_renewal: Option<Upcoming>,
    /// The authority that ends first.
    pub first_authority_end: Option<Upcoming>,
}

/// Something that will be due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Upcoming {
    /// When.
    pub at: Timestamp,
    /// What.
    pub name: String,
    /// When it ends.
    pub expires: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl Summary {
    pub(crate) fn of(
        input: &Input<'_>,
        held: &Known<'_>,
        visits: &[PlannedTransaction],
        blocked: &[Blocked],
    ) -> Self {
        let mut summary = Summary::default();
        for action in visits.iter().flat_map(|visit| &visit.actions) {
            summary.count(action);
        }
        let mut touched = touched(visits);
        touched.extend(blocked.iter().map(|blocked| &blocked.address));
        let survey = input.survey;
        for (name, node) in &survey.desired.nodes {
            summary.nodes += 1;
            if !held.identities.contains_key(name) {
                summary.not_seen += node.identities.values().filter(|identity| !identity.optional).count();
                summary.unseen.push(name.clone());
                continue;
            }
            summary.nodes_seen += 1;
            for (identity, wanted) in &node.identities {
                let view = held.identity(name, identity);
                let certificate = view.and_then(|view| view.certificate.as_ref());
                let has_none = view.is_some_and(|view| view.other_credentials.is_some());
                let kept = (!wanted.optional || certificate.is_some()) && !has_none;
                summary.certificates += usize::from(kept);
                let address = Address { subject: Target::Identity(identity.clone()), node: name.clone() };
                summary.unchanged += usize::from(kept && !touched.contains(&address));
                if let (Some(certificate), false) = (certificate, wanted.rotated_by_kubelet) {
                    let expires = certificate.facts().not_after;
                    let at = wanted.renew_before.value.before(expires);
                    let name = identity.to_string();
                    keep_first(&mut summary.next_renewal, Upcoming { at, name, expires });
                }
            }
        }
        let outside = input.differences.findings.iter().filter(|(address, findings)| {
            let is_due = findings.iter().any(|finding| finding.effect == Effect::Due);
            is_due && !input.options.selects(address)
        });
        summary.outside_only = outside.count();
        for (name, view) in &held.authorities {
            summary.authorities += 1;
            if let Some(signer) = view.signer() {
                let expires = signer.facts().not_after;
                keep_first(
                    &mut summary.first_authority_end,
                    Upcoming { at: expires, name: name.to_string(), expires },
                );
            }
        }
        summary
    }

    /// The same with these visits alone: of what is left out, everything stays as it is.
    pub(crate) fn without(self, kept: &[PlannedTransaction], left: &[PlannedTransaction]) -> Self {
        let mut summary = Self {
            renew: 0,
            issue: 0,
            trust: 0,
            remove: 0,
            restart: 0,
            repair: 0,
            restore: 0,
            copy: 0,
            request: 0,
            ..self
        };
        for action in kept.iter().flat_map(|visit| &visit.actions) {
            summary.count(action);
        }
        let (kept, left) = (touched(kept), touched(left));
        let certificates =
            left.difference(&kept).filter(|address| matches!(address.subject, Target::Identity(_)));
        summary.unchanged += certificates.count();
        summary
    }

    fn count(&mut self, action: &Action) {
        let Some(counter) = action.traits().counter else { return };
        *match counter {
            Counter::Renew => &mut self.renew,
            Counter::Issue => &mut self.issue,
            Counter::Trust => &mut self.trust,
            Counter::Remove => &mut self.remove,
            Counter::Restart => &mut self.restart,
            Counter::Repair => &mut self.repair,
            Counter::Restore => &mut self.restore,
            Counter::Copy => &mut self.copy,
            Counter::Request => &mut self.request,
        } += 1;
    }
}

/// What does not stay as it is.
fn touched(visits: &[PlannedTransaction]) -> BTreeSet<&Address> {
    // Who asks for a certificate still has the one that was there.
    let actions = visits.iter().flat_map(|visit| &visit.actions);
    actions.filter(|action| !matches!(action.deed, Deed::WriteCsr(_))).map(|action| &action.address).collect()
}

fn keep_first(first: &mut Option<Upcoming>, next: Upcoming) {
    if first.as_ref().is_none_or(|first| next < *first) {
        *first = Some(next);
    }
}
