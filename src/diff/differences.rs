//! Every finding about a cluster, by what it is about, with what the nodes hold, from which they were found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::views::Views;
use super::{AuthorityView, CaRotation, Effect, Finding, Identities, IdentityView, Reason, SharedView};
use crate::desired::Desired;
use crate::protocol::facts::Observed;
use crate::types::names::{Address, AuthorityName, IdentityName, NodeName, Target};

/// The findings of each thing, gravest first.
pub type Findings = BTreeMap<Address, Vec<Finding>>;

/// Every finding, by address; a thing without findings is as it should be and does not occur. What the nodes hold comes with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences {
    /// The findings.
    pub findings: Findings,
    /// What the nodes hold, of the same survey and for the same instant.
    views: Arc<Views>,
}

impl Differences {
    /// What the nodes hold, with nothing found about it: for who puts back what was there, whatever that is.
    pub fn without_findings(desired: &Desired, observed: &Observed, now: Timestamp) -> Self {
        Self { findings: Findings::new(), views: Arc::new(Views::of(desired, observed, now)) }
    }

    pub(super) fn views(&self) -> &Arc<Views> {
        &self.views
    }

    /// What all nodes hold of each authority.
    pub fn authorities(&self) -> &BTreeMap<AuthorityName, AuthorityView> {
        &self.views.authorities
    }

    /// What takes the place of each authority that is being replaced.
    pub fn successions(&self) -> &BTreeMap<AuthorityName, CaRotation> {
        &self.views.successions
    }

    /// What all nodes hold of each identity that they share.
    pub fn shared(&self) -> &BTreeMap<IdentityName, SharedView> {
        &self.views.shared
    }

    /// What each node that was seen holds of its identities.
    pub fn identities(&self) -> &BTreeMap<NodeName, Identities> {
        &self.views.identities
    }

    /// What a node holds of an identity; none when it was not seen, or should not hold it.
    pub fn identity(&self, node: &NodeName, identity: &IdentityName) -> Option<&Arc<IdentityView>> {
        self.views.identities.get(node)?.get(identity)
    }

    /// The findings of one thing.
    pub fn of(&self, address: &Address) -> &[Finding] {
        self.findings.get(address).map_or(&[], Vec::as_slice)
    }

    /// The gravest effect of all findings; `None` when there are none.
    pub fn gravest(&self) -> Option<Effect> {
        self.findings.values().flatten().map(|finding| finding.effect).min()
    }

    /// The same where these files may be replaced, although they hold nothing that is known.
    #[must_use]
    pub fn accepting(&self, paths: &BTreeSet<String>) -> Self {
        let mut differences = self.clone();
        for finding in differences.findings.values_mut().flatten() {
            if let Reason::ForeignContent { path, .. } = &finding.reason
                && paths.contains(path)
            {
                finding.effect = Effect::Due;
            }
        }
        differences.findings.values_mut().for_each(|findings| findings.sort());
        differences
    }

    pub(super) fn add(&mut self, subject: Target, node: &NodeName, found: Vec<Finding>) {
        add(&mut self.findings, subject, node, found);
    }

    /// The same, wherever it is.
    pub(super) fn add_at(&mut self, address: Address, found: Vec<Finding>) {
        add_at(&mut self.findings, address, found);
    }
}

/// Adds what was found about a thing on a node to what was found before.
pub(super) fn add(findings: &mut Findings, subject: Target, node: &NodeName, found: Vec<Finding>) {
    add_at(findings, Address::on(subject, node), found);
}

fn add_at(findings: &mut Findings, address: Address, found: Vec<Finding>) {
    if !found.is_empty() {
        let of = findings.entry(address).or_default();
        of.extend(found);
        of.sort();
        of.dedup();
    }
}
