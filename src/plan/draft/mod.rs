//! From findings to deeds: what has to be done about each thing, and what cannot be done.

pub(crate) mod authorities;
pub(crate) mod chains;
pub(crate) mod copies;
pub(crate) mod directories;
pub(crate) mod external;
pub(crate) mod identities;
pub(crate) mod install;
pub(crate) mod shared;
pub(crate) mod wishes;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::Timestamp;

use crate::desired::DesiredNode;
use crate::desired::Survey;
use crate::diff::{
    AuthorityView, CaRotation, Effect, Finding, IdentityView, Reason, Unlisted, authority_views,
    foreign_content, identity_view, shared_views, successions, unlisted,
};
use crate::profile::Keep;
use crate::protocol::facts::{NodeFacts, Seen};
use crate::protocol::health_check::HealthCheck;
use crate::types::names::{Address, AuthorityName, IdentityName, NodeName, Target};
use crate::types::storage::FileSpec;

use crate::plan::draft::shared::Shared;
use crate::plan::known::advice::{help, not_mended};
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::recovery::Recovery;
use crate::plan::known::rotations::Rotations;
use crate::plan::known::signer::Sources;
use crate::plan::{Blocked, Deed, Input, ManualRestart, Noted, Phase, Postponed, Waiting, Why, Withheld};

/// Deeds without an order, and what cannot be done.
#[derive(Default)]
pub(crate) struct Worklist {
    /// By node, so that no builder of one node looks through those of all others.
    pub(super) deeds: BTreeMap<NodeName, Vec<DraftDeed>>,
    pub(super) blocked: Vec<Blocked>,
    pub(super) elsewhere: Vec<Blocked>,
    /// Changes of trust that those hold who are not in the spec.
    pub(super) held: Vec<Blocked>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) restart_yourself: Vec<ManualRestart>,
    pub(super) notes: Vec<Noted>,
    pub(super) postponed: Vec<Postponed>,
    /// The outages that the user accepted and the plan needs, in words.
    pub(super) accepted: Vec<String>,
}

impl Worklist {
    pub(super) fn add(&mut self, deed: DraftDeed) {
        self.deeds.entry(deed.address.node.clone()).or_default().push(deed);
    }

    /// The deeds on one node so far.
    pub(super) fn on(&self, node: &NodeName) -> &[DraftDeed] {
        self.deeds.get(node).map_or(&[], Vec::as_slice)
    }

    /// On a node on which these certificates come back as what nobody can show, no wait is for what depends on them.
    pub(super) fn without_gates(&mut self, node: &NodeName, files: &BTreeSet<String>) {
        if files.is_empty() {
            return;
        }
        let Some(deeds) = self.deeds.get_mut(node) else { return };
        let can_hold = |gate: &HealthCheck| match gate {
            HealthCheck::Active { .. }
            | HealthCheck::Listens { .. }
            | HealthCheck::Started { .. }
            | HealthCheck::Restarted { .. }
            | HealthCheck::Replaced { .. } => true,
            HealthCheck::Serves { certificate, .. } => !files.contains(certificate),
            HealthCheck::Etcd { .. } | HealthCheck::Http { .. } | HealthCheck::Accepts(_) => false,
        };
        deeds.retain_mut(|draft| {
            let Deed::AwaitHealthy { gates, kept, elsewhere, .. } = &mut draft.deed else { return true };
            gates.retain(can_hold);
            kept.retain(can_hold);
            elsewhere.clear();
            !(gates.is_empty() && kept.is_empty())
        });
    }
}

/// What the nodes hold, gathered once.
pub(crate) struct Known<'a> {
    pub(super) authorities: BTreeMap<AuthorityName, AuthorityView>,
    /// What takes the place of those that are being replaced.
    pub(super) successions: BTreeMap<AuthorityName, CaRotation>,
    /// Who takes part and is in no node of the spec.
    pub(super) unlisted: Unlisted,
    /// Of nodes that were seen.
    pub(super) identities: BTreeMap<&'a NodeName, BTreeMap<&'a IdentityName, Rc<IdentityView>>>,
}

impl<'a> Known<'a> {
    fn new(survey: &'a Survey, now: Timestamp) -> Self {
        let (desired, observed) = (&survey.desired, &survey.observed);
        let of_node = |(name, node): (&'a NodeName, &'a DesiredNode)| {
            let facts = observed.nodes.get(name)?.facts()?;
            let views = node.identities.iter();
            let views = views.map(|(identity, wanted)| (identity, Rc::new(identity_view(wanted, facts))));
            Some((name, views.collect()))
        };
        let identities = desired.nodes.iter().filter_map(of_node).collect();
        let authorities = authority_views(desired, observed);
        let successions = successions(desired, &authorities, now);
        let unlisted = unlisted(desired, observed);
        Self { authorities, successions, unlisted, identities }
    }

    /// What a node holds of an identity; `None` when it was not seen.
    pub(super) fn identity(&self, node: &NodeName, identity: &IdentityName) -> Option<&Rc<IdentityView>> {
        self.identities.get(node)?.get(identity)
    }
}

/// What every builder looks at.
pub(crate) struct Builder<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) held: Known<'a>,
    pub(super) shared: BTreeMap<IdentityName, Rc<Shared<'a>>>,
    /// The authorities about which a person has to look first, or too little is known, on any node.
    pub(super) troubled: BTreeSet<AuthorityName>,
    pub(super) sources: Sources,
    pub(super) recovery: Recovery,
    pub(super) replacements: Rotations,
    /// The plan brings etcd back, which has no quorum.
    pub(super) is_cold: bool,
    pub(super) draft: Worklist,
}

/// Works out every deed.
pub(super) fn worklist<'a>(input: &'a Input<'a>) -> (Worklist, Known<'a>) {
    let survey = input.survey;
    let mut builder = Builder::new(input);
    if builder.undo_what_is_open() {
        return (builder.draft, builder.held);
    }
    if builder.is_of_other_machines() {
        return (builder.draft, builder.held);
    }
    builder.find_mixed();
    builder.find_replacements();
    builder.find_shared();
    builder.note_everything();
    builder.refuse_wishes();
    authorities::build(&mut builder);
    let extended = builder.extended();
    for (name, node) in &survey.desired.nodes {
        let Some(facts) = survey.observed.nodes.get(name).and_then(|answer| answer.facts()) else { continue };
        builder.directories(name, node);
        builder.purges(name, node);
        copies::of_authorities(&mut builder, name, node, facts);
        identities::build(&mut builder, name, node, facts);
        builder.chains(name, node, facts, &extended);
        builder.permissions(name, node, facts);
        builder.parents(name, node, facts);
    }
    builder.assign_phases();
    builder.assign_replacement_phases();
    for (name, node) in &survey.desired.nodes {
        if survey.observed.nodes.get(name).is_some_and(|answer| answer.facts().is_some()) {
            builder.restarts(name, node);
        }
    }
    builder.save_etcd();
    builder.what_is_left();
    builder.tell_held();
    builder.what_is_withheld();
    builder.draft.blocked.sort();
    builder.draft.blocked.dedup();
    builder.draft.elsewhere.sort();
    builder.leave_told_requests();
    (builder.draft, builder.held)
}

impl<'a> Builder<'a> {
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        let held = Known::new(input.survey, input.now);
        let is_grave = |finding: &Finding| matches!(finding.effect, Effect::Blocks | Effect::Unknown);
        let findings = input.differences.findings.iter();
        let grave = findings.filter(|(_, findings)| findings.iter().any(is_grave));
        let troubled = grave.filter_map(|(address, _)| address.subject.authority().cloned()).collect();
        Self {
            input,
            held,
            shared: BTreeMap::new(),
            troubled,
            sources: Sources::default(),
            recovery: Recovery::default(),
            replacements: Rotations::default(),
            is_cold: false,
            draft: Worklist::default(),
        }
    }

    fn find_shared(&mut self) {
        let (desired, observed) = (&self.input.survey.desired, &self.input.survey.observed);
        let (authorities, successions) = (&self.held.authorities, &self.held.successions);
        for (name, view) in shared_views(desired, observed, authorities, successions, self.input.now) {
            let of_nodes = desired.nodes.values().filter_map(|node| node.identities.get(&name));
            let mut authorities = of_nodes.filter_map(|wanted| wanted.authority.as_ref());
            let goes_on = authorities.any(|authority| self.replacements.waits(authority));
            let shared = Shared::new(self.input, name.clone(), view, goes_on);
            self.shared.insert(name, Rc::new(shared));
        }
    }

    /// A finding with the place in the spec behind it.
    pub(super) fn why(&self, finding: &Finding) -> Why {
        let place = finding.decided_by.as_deref().and_then(self.input.place);
        Why { finding: finding.clone(), place }
    }

    /// The findings of a thing that the user selected.
    pub(super) fn findings(&self, address: &Address) -> &[Finding] {
        if self.input.options.selects(address) { self.input.differences.of(address) } else { &[] }
    }

    pub(super) fn add(&mut self, address: Address, deed: Deed, reasons: Vec<Why>, replaces: bool) {
        self.add_in(Phase::Ordinary, address, deed, reasons, replaces);
    }

    pub(super) fn add_in(
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
        let facts = self.input.survey.observed.nodes.get(&address.node)?.facts()?;
        let may_go = &self.input.options.replace_foreign;
        let mut paths = deed.traits(address).writes.into_iter().filter(|path| !may_go.contains(*path));
        paths.find_map(|path| foreign_content(facts, path))
    }

    pub(super) fn block(
        &mut self,
        address: &Address,
        because: String,
        help: Option<String>,
        findings: &[&Finding],
    ) {
        let findings = findings.iter().map(|finding| self.why(finding)).collect();
        self.draft.blocked.push(Blocked { address: address.clone(), because, help, findings });
    }

    /// Report-only findings are noted; a node that was not seen, and whatever a person has to look at first, blocks.
    fn note_everything(&mut self) {
        let seen_later = self.behind_missing_links();
        for (address, findings) in &self.input.differences.findings {
            if !self.input.options.selects(address) {
                continue;
            }
            for finding in findings.iter().filter(|finding| finding.effect == Effect::Note) {
                self.draft.notes.push(Noted { address: address.clone(), finding: finding.clone() });
            }
            let grave: Vec<&Finding> = findings
                .iter()
                .filter(|finding| matches!(finding.effect, Effect::Blocks | Effect::Unknown))
                .filter(|finding| !seen_later.contains(finding) && !self.is_told(address, finding))
                .filter(|finding| !is_about_outsiders(finding))
                .filter(|finding| !self.is_lifted(address, finding))
                .collect();
            for stranger in grave.iter().filter(|finding| finding.is_foreign_ca()) {
                self.tell_stranger(address, stranger);
            }
            let grave: Vec<&Finding> = grave.into_iter().filter(|finding| !finding.is_foreign_ca()).collect();
            if let Some(first) = grave.first() {
                let help = help(&first.reason, address);
                self.block(address, first.reason.to_string(), help, &grave);
            }
        }
    }

    /// Where a machine is not the node that it is taken for, whatever was worked out for any node may be about another one: nothing is planned, whatever the user
    /// selected.
    fn is_of_other_machines(&mut self) -> bool {
        for (address, findings) in &self.input.differences.findings {
            let others = findings.iter().filter(|one| matches!(one.reason, Reason::OtherMachine { .. }));
            for finding in others {
                self.block(address, finding.reason.to_string(), help(&finding.reason, address), &[finding]);
            }
        }
        !self.draft.blocked.is_empty()
    }

    /// Whether the user has asked for what a finding recommends: a certificate of another CA is reissued by its address, once somebody has found the CA on disk
    /// to be the right one.
    pub(super) fn is_lifted(&self, address: &Address, finding: &Finding) -> bool {
        self.input.options.replaces(address) && matches!(finding.reason, Reason::WrongIssuer { .. })
    }

    /// What a crash left half done is undone first. What else is due can only be seen once that has happened, so the plan holds nothing else.
    fn undo_what_is_open(&mut self) -> bool {
        for (name, answer) in &self.input.survey.observed.nodes {
            if let Some(open) = answer.facts().and_then(|facts| facts.open_transaction.present()) {
                let address = Address { subject: Target::Node, node: name.clone() };
                self.add(
                    address,
                    Deed::UndoOpen { run: open.run.clone(), visit: open.visit },
                    Vec::new(),
                    false,
                );
            }
        }
        !self.draft.deeds.is_empty()
    }

    /// What is left out because nobody is there to approve it is named, with what has to be approved.
    fn what_is_withheld(&mut self) {
        for Withheld { address, privileges } in &self.input.options.withheld {
            let due = self.input.differences.of(address).iter();
            let findings = due.filter(|one| one.effect == Effect::Due).map(|one| self.why(one)).collect();
            let because = format!("it waits for an approval: {}", privileges.join("; "));
            let help = "save the plan with `pki plan -o`, have it reviewed, and apply it with --expect-digest, and with --confirm if it says so".to_owned();
            let address = address.clone();
            self.draft.elsewhere.push(Blocked { address, because, help: Some(help), findings });
        }
    }

    /// What is due and nothing in the plan mends is named: a plan without it would look as if all were well.
    fn what_is_left(&mut self) {
        let blocked = self.draft.blocked.iter().chain(&self.draft.elsewhere).chain(&self.draft.held);
        let told: BTreeSet<Address> = blocked.map(|blocked| blocked.address.clone()).collect();
        for (address, findings) in &self.input.differences.findings {
            if told.contains(address) || !self.input.options.selects(address) {
                continue;
            }
            let here = self.draft.deeds.get(&address.node).into_iter().flatten();
            let deeds: Vec<&DraftDeed> = here.filter(|deed| deed.address == *address).collect();
            let is_mended = |finding: &Finding| {
                // The deeds of a directory follow from what is put into it.
                matches!(address.subject, Target::Directory(_)) && !deeds.is_empty()
                    || deeds.iter().flat_map(|deed| &deed.reasons).any(|why| why.finding == *finding)
            };
            let left: Vec<&Finding> = findings
                .iter()
                .filter(|finding| finding.effect == Effect::Due && !is_mended(finding))
                .filter(|finding| !self.is_waited_for(address, finding))
                .collect();
            let Some(first) = left.first() else { continue };
            let (because, help) = not_mended(&first.reason, &address.subject);
            let findings = left.iter().map(|finding| self.why(finding)).collect();
            let address = address.clone();
            self.draft.elsewhere.push(Blocked { address, because, help: Some(help), findings });
        }
    }

    /// That a request waits is said with what is due, and noted only where nothing is.
    fn leave_told_requests(&mut self) {
        let told: BTreeSet<&Address> = self.draft.elsewhere.iter().map(|blocked| &blocked.address).collect();
        let is_told = |noted: &Noted| {
            matches!(noted.finding.reason, Reason::AwaitsCertificate { .. })
                && (told.contains(&noted.address) || self.input.signed.has(&noted.address))
        };
        self.draft.notes.retain(|noted| !is_told(noted));
    }

    /// Owners and permission bits, of whatever this plan does not write anew with the right ones.
    fn permissions(&mut self, name: &NodeName, node: &DesiredNode, facts: &NodeFacts) {
        let identities = node.identities.iter().flat_map(|(identity, wanted)| {
            let kept = wanted.copies.values().filter(|copy| copy.keep != Keep::Report);
            let storages = kept.map(|copy| &copy.storage).chain([&wanted.storage]);
            storages
                .flat_map(|storage| storage.files())
                .map(move |file| (Target::Identity(identity.clone()), file))
        });
        let authorities = node.authorities.iter().flat_map(|(authority, copy)| {
            let files = copy.copies.values().chain([&copy.certificate, &copy.key]);
            files.map(|file| (Target::Authority(authority.clone()), file))
        });
        let pairs = node.key_pairs.iter().flat_map(|(pair, wanted)| {
            [&wanted.private, &wanted.public].map(|file| (Target::KeyPair(pair.clone()), file))
        });
        let files: Vec<(Target, &FileSpec)> = identities.chain(authorities).chain(pairs).collect();
        for (subject, file) in files {
            let address = Address { subject, node: name.clone() };
            let due: Vec<Why> = self
                .findings(&address)
                .iter()
                .filter(|finding| {
                    finding.effect == Effect::Due && is_about_permissions(&finding.reason, &file.path)
                })
                .map(|finding| self.why(finding))
                .collect();
            let Some(Seen::Present(found)) = facts.files.get(&file.path) else { continue };
            if due.is_empty() {
                continue;
            }
            let user = found.owner.clone().unwrap_or_else(|| found.uid.to_string());
            let group = found.group.clone().unwrap_or_else(|| found.gid.to_string());
            let deed = Deed::SetPermissions {
                file: file.clone(),
                mode_before: found.mode,
                owner_before: format!("{user}:{group}"),
            };
            self.add(address, deed, due, false);
        }
    }
}

fn is_about_permissions(reason: &Reason, file: &str) -> bool {
    matches!(reason, Reason::PermissionsDiffer { path, .. } | Reason::OwnerDiffers { path, .. } if path == file)
}

/// Whether a finding is about somebody outside the spec: it holds what changes trust, and nothing else.
fn is_about_outsiders(finding: &Finding) -> bool {
    matches!(finding.reason, Reason::NotInSpec { .. })
}
