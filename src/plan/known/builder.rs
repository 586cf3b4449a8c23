//! What planning looks at, and what it fills.
//!
//! One value goes through all parts of planning: it answers what was found about a thing and why, and takes a deed or a block. What it refuses is a deed that would
//! write over what nobody knows. Which deeds there are is decided by the parts above. Pure.

use std::collections::BTreeSet;

use super::advice::help;
use super::draft_deed::DraftDeed;
use super::input::Input;
use super::recovery::Recovery;
use super::rotations::Rotations;
use super::signer::Sources;
use super::worklist::Worklist;
use crate::diff::{Effect, Finding, Reason, Unlisted, foreign_content, unlisted};
use crate::plan::{Blocked, Deed, Phase, Why};
use crate::types::names::{Address, AuthorityName};
use crate::x509::Certificate;

/// What every part of planning looks at and fills.
pub(crate) struct Builder<'a> {
    pub(crate) input: &'a Input<'a>,
    /// Who takes part and is in no node of the spec.
    pub(crate) unlisted: Unlisted,
    /// The authorities about which a person has to look first, or too little is known, on any node.
    pub(crate) troubled: BTreeSet<AuthorityName>,
    pub(crate) sources: Sources,
    pub(crate) recovery: Recovery,
    pub(crate) replacements: Rotations,
    /// The plan brings etcd back, which has no quorum.
    pub(crate) is_cold: bool,
    pub(crate) draft: Worklist,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(input: &'a Input<'a>) -> Self {
        let is_grave = |finding: &Finding| matches!(finding.effect, Effect::Blocks | Effect::Unknown);
        let findings = input.differences.findings.iter();
        let grave = findings.filter(|(_, findings)| findings.iter().any(is_grave));
        let troubled = grave.filter_map(|(address, _)| address.target.authority().cloned()).collect();
        Self {
            input,
            unlisted: unlisted(&input.survey.desired, &input.survey.observed),
            troubled,
            sources: Sources::default(),
            recovery: Recovery::default(),
            replacements: Rotations::default(),
            is_cold: false,
            draft: Worklist::default(),
        }
    }

    /// A finding with the place in the spec behind it.
    pub(crate) fn why(&self, finding: &Finding) -> Why {
        let place = finding.decided_by.as_deref().and_then(self.input.place);
        Why { finding: finding.clone(), place }
    }

    /// The findings of a thing that the user selected.
    pub(crate) fn findings(&self, address: &Address) -> &[Finding] {
        if self.input.options.selects(address) { self.input.differences.of(address) } else { &[] }
    }

    /// The findings that say that a thing is missing.
    pub(crate) fn missing(&self, address: &Address) -> Vec<Why> {
        let findings = self.findings(address).iter();
        findings
            .filter(|finding| finding.reason == Reason::Missing)
            .map(|finding| self.why(finding))
            .collect()
    }

    /// Whether the user has asked for what a finding recommends: a certificate of another CA is reissued by its address, once somebody has found the CA on disk
    /// to be the right one.
    pub(crate) fn is_lifted(&self, address: &Address, finding: &Finding) -> bool {
        self.input.options.replaces(address) && matches!(finding.reason, Reason::WrongIssuer { .. })
    }

    /// The certificate of an authority that this plan makes one again.
    pub(crate) fn stays(&self, authority: &AuthorityName) -> Option<&Certificate> {
        self.recovery.stays.get(authority)
    }

    pub(crate) fn add(&mut self, address: Address, deed: Deed, reasons: Vec<Why>, replaces: bool) {
        self.add_in(Phase::Ordinary, address, deed, reasons, replaces);
    }

    pub(crate) fn add_in(
        &mut self,
        phase: Phase,
        address: Address,
        deed: Deed,
        reasons: Vec<Why>,
        replaces: bool,
    ) {
        match self.foreign_to(&address, &deed) {
            Some(foreign) => {
                let (because, help) = (foreign.to_string(), help(&foreign, &address));
                self.draft.elsewhere.push(Blocked { address, because, help, findings: reasons });
            }
            None => self.draft.add(DraftDeed { phase, address, deed, reasons, replaces }),
        }
    }

    /// What lies where a deed would write, if it is nothing that is known and nobody has said that it may go: the node would refuse the deed.
    fn foreign_to(&self, address: &Address, deed: &Deed) -> Option<Reason> {
        let facts = self.input.survey.observed.facts_at(&address.place)?;
        let may_go = &self.input.options.replace_foreign;
        let mut paths = deed.traits(address).writes.into_iter().filter(|path| !may_go.contains(*path));
        paths.find_map(|path| foreign_content(facts, path))
    }

    pub(crate) fn block(
        &mut self,
        address: &Address,
        because: String,
        help: Option<String>,
        findings: &[&Finding],
    ) {
        let findings = findings.iter().map(|finding| self.why(finding)).collect();
        self.draft.blocked.push(Blocked { address: address.clone(), because, help, findings });
    }
}
