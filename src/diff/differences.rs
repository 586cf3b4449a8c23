//! Every finding about a cluster, by what it is about.

use std::collections::{BTreeMap, BTreeSet};

use super::{Effect, Finding, Reason};
use crate::types::names::{Address, NodeName, Target};

/// Every finding, by address; a thing without findings is as it should be and does not occur.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// The findings of each thing, gravest first.
    pub findings: BTreeMap<Address, Vec<Finding>>,
}

impl Differences {
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

    pub(super) fn add(&mut self, subject: Target, node: &NodeName, findings: Vec<Finding>) {
        self.add_at(Address::on(subject, node), findings);
    }

    /// The same, wherever it is.
    pub(super) fn add_at(&mut self, address: Address, findings: Vec<Finding>) {
        if !findings.is_empty() {
            let of = self.findings.entry(address).or_default();
            of.extend(findings);
            of.sort();
            of.dedup();
        }
    }
}
