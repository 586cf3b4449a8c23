//! The counters of a plan.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use jiff::Timestamp;

use super::deed::{Action, Deed};
use super::deed_traits::Counter;
use super::visit::PlannedTransaction;
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
    /// Restarts, those by putting back the manifest of a static pod among them.
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
            left.difference(&kept).filter(|address| matches!(address.target, Target::Identity(_)));
        summary.unchanged += certificates.count();
        summary
    }

    /// Counts an action. What starts a service anew counts as a restart however it does that: putting back the manifest of a static pod is one.
    pub(crate) fn count(&mut self, action: &Action) {
        self.restart += usize::from(action.restarts().is_some());
        let Some(counter) = action.traits().counter else { return };
        *match counter {
            Counter::Renew => &mut self.renew,
            Counter::Issue => &mut self.issue,
            Counter::Trust => &mut self.trust,
            Counter::Remove => &mut self.remove,
            Counter::Repair => &mut self.repair,
            Counter::Restore => &mut self.restore,
            Counter::Copy => &mut self.copy,
            Counter::Request => &mut self.request,
        } += if counter == Counter::Restore { action.paths().len() } else { 1 };
    }
}

/// What does not stay as it is.
pub(crate) fn touched(visits: &[PlannedTransaction]) -> BTreeSet<&Address> {
    // Who asks for a certificate still has the one that was there.
    let actions = visits.iter().flat_map(|visit| &visit.actions);
    actions.filter(|action| !matches!(action.deed, Deed::WriteCsr(_))).map(|action| &action.address).collect()
}
