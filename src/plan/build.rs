//! From findings to deeds: what has to be done about each thing, and what cannot be done.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{DesiredNode, FileSpec};
use crate::diff::{AuthorityView, Effect, Finding, Obstacle, Reason, authority_views};
use crate::ids::{Address, AuthorityName, NodeName, ServiceName, Subject};
use crate::observed::{NodeFacts, Seen};
use crate::profile::{Reload, What};
use crate::spec::types::Restart;

use super::authorities::Sources;
use super::directories::reads_below;
use super::{Blocked, Deed, Input, ManualRestart, Noted, Why, authorities, identities};

/// Deeds without an order, and what cannot be done.
#[derive(Default)]
pub(super) struct Draft {
    /// By node, so that no builder of one node looks through those of all others.
    pub(super) deeds: BTreeMap<NodeName, Vec<DraftDeed>>,
    pub(super) blocked: Vec<Blocked>,
    pub(super) elsewhere: Vec<Blocked>,
    pub(super) restart_yourself: Vec<ManualRestart>,
    pub(super) notes: Vec<Noted>,
}

impl Draft {
    pub(super) fn add(&mut self, deed: DraftDeed) {
        self.deeds.entry(deed.address.node.clone()).or_default().push(deed);
    }

    /// The deeds on one node so far.
    pub(super) fn on(&self, node: &NodeName) -> &[DraftDeed] {
        self.deeds.get(node).map_or(&[], Vec::as_slice)
    }
}

/// One deed without its place in the order.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DraftDeed {
    pub(super) address: Address,
    pub(super) deed: Deed,
    pub(super) reasons: Vec<Why>,
    /// What it replaces was there before, so something may be running on it.
    pub(super) replaces: bool,
}

/// What every builder looks at.
pub(super) struct Builder<'a> {
    pub(super) input: &'a Input<'a>,
    pub(super) views: BTreeMap<AuthorityName, AuthorityView>,
    pub(super) sources: Sources,
    pub(super) draft: Draft,
}

/// Works out every deed.
pub(super) fn draft(input: &Input<'_>) -> Draft {
    let survey = input.survey;
    let mut builder = Builder::new(input);
    if builder.undo_what_is_open() {
        return builder.draft;
    }
    builder.note_everything();
    authorities::build(&mut builder);
    for (name, node) in &survey.desired.nodes {
        let Some(facts) = survey.observed.nodes.get(name).and_then(|answer| answer.facts()) else { continue };
        builder.directories(name, node);
        identities::build(&mut builder, name, node, facts);
        builder.permissions(name, node, facts);
        builder.parents(name, node, facts);
        builder.restarts(name, node);
    }
    builder.what_is_left();
    builder.draft.blocked.sort();
    builder.draft.blocked.dedup();
    builder.draft.elsewhere.sort();
    builder.draft
}

impl<'a> Builder<'a> {
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        let views = authority_views(&input.survey.desired, &input.survey.observed);
        Self { input, views, sources: Sources::default(), draft: Draft::default() }
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
        self.draft.add(DraftDeed { address, deed, reasons, replaces });
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
                .filter(|finding| !seen_later.contains(finding))
                .collect();
            if let Some(first) = grave.first() {
                let help = help(&first.reason, address);
                self.block(address, first.reason.to_string(), help, &grave);
            }
        }
    }

    /// What a crash left half done is undone first. What else is due can only be seen once that has happened, so the plan holds nothing else.
    fn undo_what_is_open(&mut self) -> bool {
        for (name, answer) in &self.input.survey.observed.nodes {
            if let Some(open) = answer.facts().and_then(|facts| facts.open_transaction.present()) {
                let address = Address { subject: Subject::Node, node: name.clone() };
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

    /// What is due and nothing in the plan mends is named: a plan without it would look as if all were well.
    fn what_is_left(&mut self) {
        let blocked = self.draft.blocked.iter().chain(&self.draft.elsewhere);
        let told: BTreeSet<Address> = blocked.map(|blocked| blocked.address.clone()).collect();
        for (address, findings) in &self.input.differences.findings {
            let draft = &self.draft;
            if told.contains(address) || !self.input.options.selects(address) {
                continue;
            }
            let here = draft.deeds.get(&address.node).into_iter().flatten();
            let deeds: Vec<&DraftDeed> = here.filter(|deed| deed.address == *address).collect();
            let is_mended = |finding: &Finding| {
                // The deeds of a directory follow from what is put into it.
                matches!(address.subject, Subject::Directory(_)) && !deeds.is_empty()
                    || deeds.iter().flat_map(|deed| &deed.reasons).any(|why| why.finding == *finding)
            };
            let left: Vec<&Finding> = findings
                .iter()
                .filter(|finding| finding.effect == Effect::Due && !is_mended(finding))
                .collect();
            let Some(first) = left.first() else { continue };
            let (because, help) = not_mended(&first.reason, &address.subject);
            let findings = left.iter().map(|finding| self.why(finding)).collect();
            let address = address.clone();
            self.draft.elsewhere.push(Blocked { address, because, help: Some(help), findings });
        }
    }

    /// Owners and permission bits, of whatever this plan does not write anew with the right ones.
    fn permissions(&mut self, name: &NodeName, node: &DesiredNode, facts: &NodeFacts) {
        let identities = node.identities.iter().flat_map(|(identity, wanted)| {
            wanted.storage.files().into_iter().map(move |file| (Subject::Identity(identity.clone()), file))
        });
        let authorities = node.authorities.iter().flat_map(|(authority, copy)| {
            [&copy.certificate, &copy.key].map(|file| (Subject::Authority(authority.clone()), file))
        });
        let pairs = node.key_pairs.iter().flat_map(|(pair, wanted)| {
            [&wanted.private, &wanted.public].map(|file| (Subject::KeyPair(pair.clone()), file))
        });
        let files: Vec<(Subject, &FileSpec)> = identities.chain(authorities).chain(pairs).collect();
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

    /// Restarts of services that read something that is replaced and do not notice.
    pub(super) fn restarts(&mut self, name: &NodeName, node: &DesiredNode) {
        let mut changed: BTreeMap<What, Vec<Why>> = BTreeMap::new();
        for deed in self.draft.on(name).iter().filter(|deed| deed.replaces) {
            for what in changes(deed) {
                changed.entry(what).or_default().extend(deed.reasons.iter().cloned());
            }
        }
        let moved = self.moved(name);
        for (service, wanted) in &node.services {
            let stale = wanted
                .reads
                .iter()
                .filter(|read| read.reload(self.input.survey.desired.version) == Reload::Start)
                .map(|read| &read.what)
                .filter(|what| changed.contains_key(*what));
            let mut reads: BTreeSet<String> = stale.map(what_name).collect();
            // However it re-reads files, it has another directory open than the one that is there now.
            let is_in_use = |directory: &&String| reads_below(wanted, node, directory);
            reads
                .extend(moved.iter().filter(is_in_use).map(|directory| format!("the directory {directory}")));
            if reads.is_empty() {
                continue;
            }
            match wanted.restart.as_ref().and_then(|restart| restart.command.clone()) {
                Some(command) => {
                    let address = Address { subject: Subject::Service(service.clone()), node: name.clone() };
                    let timeout = self.input.survey.desired.rollout.timeout;
                    self.add(address, Deed::Restart { command, timeout }, Vec::new(), true);
                }
                None => self.restart_by_hand(service, name, &reads, wanted.restart.as_ref()),
            }
        }
    }

    fn restart_by_hand(
        &mut self,
        service: &ServiceName,
        node: &NodeName,
        reads: &BTreeSet<String>,
        restart: Option<&Restart>,
    ) {
        let how = match restart {
            Some(Restart { systemd: Some(unit), .. }) => format!("systemctl restart {unit}"),
            Some(Restart { static_pod: Some(manifest), .. }) => {
                format!("its static pod {manifest}, by a changed annotation in the manifest")
            }
            Some(Restart { systemd: None, static_pod: None, .. }) | None => "as it was started".to_owned(),
        };
        let reads: Vec<String> = reads.iter().cloned().collect();
        let same = |manual: &&mut ManualRestart| {
            manual.service == *service && manual.reads == reads && manual.how == how
        };
        match self.draft.restart_yourself.iter_mut().find(same) {
            Some(manual) => manual.nodes.push(node.clone()),
            None => self.draft.restart_yourself.push(ManualRestart {
                service: service.clone(),
                nodes: vec![node.clone()],
                reads,
                how,
            }),
        }
    }
}

/// What a deed changes, as services name what they read.
pub(super) fn changes(deed: &DraftDeed) -> Vec<What> {
    match (&deed.deed, &deed.address.subject) {
        (Deed::Restore { .. }, Subject::Identity(identity)) => {
            vec![What::Identity(identity.clone()), What::KubeconfigTrust(identity.clone())]
        }
        (Deed::IssueIdentity(issue), Subject::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if issue.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        (Deed::UpdateKubeconfig { .. }, Subject::Identity(identity)) => {
            vec![What::KubeconfigTrust(identity.clone())]
        }
        (
            Deed::WriteBundle { .. } | Deed::CopyAuthorityCertificate { .. } | Deed::Restore { .. },
            Subject::Authority(authority),
        ) => {
            vec![What::Trust(authority.clone()), What::Signer(authority.clone())]
        }
        (
            Deed::CopyKey { .. } | Deed::WritePublicKey { .. } | Deed::Restore { .. },
            Subject::KeyPair(pair),
        ) => {
            vec![What::KeyPair(pair.clone())]
        }
        _ => Vec::new(),
    }
}

/// What a service reads, as people call it.
fn what_name(what: &What) -> String {
    match what {
        What::Identity(identity) => identity.to_string(),
        What::Trust(authority) | What::Signer(authority) => format!("ca/{authority}"),
        What::KubeconfigTrust(identity) => format!("the CA data of {identity}"),
        What::KeyPair(pair) => format!("key/{pair}"),
    }
}

fn is_about_permissions(reason: &Reason, file: &str) -> bool {
    matches!(reason, Reason::PermissionsDiffer { path, .. } | Reason::OwnerDiffers { path, .. } if path == file)
}

/// Why something that is due is in no plan, and the way out.
fn not_mended(reason: &Reason, subject: &Subject) -> (String, String) {
    let (because, help) = if matches!(reason, Reason::LinkDangling { .. })
        && matches!(subject, Subject::Directory(_))
    {
        (
            "the directory behind a link is not there, and an empty one in its place would hide the right one",
            "mount the disk that holds it, or make the directory by hand if it is to be empty",
        )
    } else if matches!(reason, Reason::NotAFile { .. } | Reason::NotADirectory { .. }) {
        (
            "something else lies in its place, and pki never removes what it does not know",
            "look at it on the node and move it away; the next plan makes what is missing",
        )
    } else if matches!(subject, Subject::Authority(_)) {
        (
            "this version does not replace an authority that is there",
            "plan its replacement in time: nothing that it signs outlives it",
        )
    } else {
        ("pki does not mend this by itself", "look at it on the node, and plan again")
    };
    (because.to_owned(), help.to_owned())
}

/// The way out of what blocks.
fn help(reason: &Reason, address: &Address) -> Option<String> {
    let Address { subject, node } = address;
    if matches!(reason, Reason::WrongIssuer { .. }) {
        return Some(format!(
            "find out which CA the cluster really uses; if the CA on {node} is right, reissue: pki plan --replace {subject}@{node} --only {subject}@{node}"
        ));
    }
    if let Reason::LinkIsDirectory { wanted, .. } = reason {
        return Some(format!(
            "declare `migrate: true` in `directories` to have it moved to {wanted} and the link put in its place; programs that read below it have to be restarted then"
        ));
    }
    if let Reason::CannotMove { obstacle, .. } = reason {
        return Some(match obstacle {
            Obstacle::HoldsFiles { .. } => "look at both on the node: pki never merges two directories. Move away the one that is not in use".to_owned(),
            Obstacle::IsLink { .. } | Obstacle::IsNoDirectory => "look at it on the node: pki never replaces something that is there. Move it away, or declare another `path`".to_owned(),
            Obstacle::IsMounted => "the files are on a file system of their own already: remove `link` and let `path` name this place, or mount it elsewhere".to_owned(),
        });
    }
    if matches!(reason, Reason::LinkIsFile { .. }) {
        return Some(
            "look at the file on the node and move it away; the next plan makes the link".to_owned(),
        );
    }
    if *subject == Subject::Node && matches!(reason, Reason::Unknown { .. }) {
        return Some(format!("plan for the other nodes with --only @NODE, or make {node} reachable"));
    }
    let text = if matches!(reason, Reason::DiffersBetweenNodes { .. }) {
        "copy the right one to this node by hand; which one that is only you can tell"
    } else if matches!(reason, Reason::KeyMismatch { .. } | Reason::PublicKeyMismatch { .. }) {
        "put back the half that belongs to the other one, from a backup or another node"
    } else if matches!(reason, Reason::ClockSkew { .. }) {
        "set the node's clock right, for example with chrony, and plan again"
    } else if matches!(reason, Reason::LinkLoops { .. } | Reason::LinkDiffers { .. }) {
        "look at the link on the node; pki never replaces something that is there"
    } else {
        return None;
    };
    Some(text.to_owned())
}
