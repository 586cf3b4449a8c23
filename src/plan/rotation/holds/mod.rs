//! Whether the replacement of a CA may go on, and how far.
//!
//! What enters is what goes and what comes, and how the cluster is; what leaves is which replacements this plan works on, and of the others why they wait. A barrier
//! is proven by what is seen: while anything of it is unseen, broken or down, it holds, and whoever is to blame is named. Pure.

pub(crate) mod consumers;
pub(crate) mod manual_restarts;
pub(crate) mod outsiders;
pub mod strangers;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::{DesiredAuthority, DesiredNode};
use crate::diff::{Effect, Finding, Reason, Succession};
use crate::protocol::facts::{EtcdFacts, Seen};
use crate::types::format::instant;
use crate::types::names::{Address, AuthorityName, NodeName, Subject};
use crate::x509::Sha256;

use crate::plan::draft::{Builder, Held};
use crate::plan::restart::quorum;
use crate::plan::rotation::holds::consumers::{How, Need, needs};
use crate::plan::rotation::holds::outsiders::held_by;
use crate::plan::rotation::phases::{Replacement, trusts};
use crate::plan::{Blocked, Input, Noted};

/// A replacement that goes on later by itself. That is no change: the same spec leads there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Postponed {
    /// What is replaced.
    pub authority: AuthorityName,
    /// From when on a plan goes on; none where it goes on once something else is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why, in one sentence.
    pub because: String,
}

/// What is known of the replacements of all authorities.
#[derive(Debug, Default)]
pub(crate) struct Replacements {
    going: BTreeMap<AuthorityName, Replacement>,
    /// Those that have to wait. What they leave undone is told once, here.
    waiting: BTreeSet<AuthorityName>,
    pub(crate) told: Vec<Postponed>,
    pub(crate) elsewhere: Vec<Blocked>,
    pub(crate) blocked: Vec<Blocked>,
    pub(crate) held: Vec<Blocked>,
    /// Those of the waiting that are held by somebody outside the spec.
    held_names: BTreeSet<AuthorityName>,
    pub(crate) noted: Vec<Noted>,
}

/// Why a replacement does not go on.
enum Obstacle {
    /// It is told elsewhere, or was not asked for.
    Silent,
    /// Another plan goes on.
    Later(Option<Timestamp>, String),
    /// Somebody has to do something first; who is to blame, why, and the way out.
    Elsewhere(NodeName, String, String),
    /// The same, and nothing at all may be done before.
    Blocked(NodeName, String, String),
    /// Those who are not in the spec hold it.
    Held(NodeName, String, String),
}

impl Replacements {
    /// Looks at every authority.
    pub(crate) fn find(
        input: &Input<'_>,
        held: &Held<'_>,
        is_mixed_up: &dyn Fn(&AuthorityName) -> bool,
    ) -> Self {
        let mut replacements = Self::default();
        let authorities = input.survey.desired.authorities.iter();
        // Where two refuse each other no order of steps helps.
        for (name, wanted) in authorities.filter(|(name, _)| !is_mixed_up(name)) {
            let Some(succession) = held.successions.get(name) else { continue };
            let look = Look { input, held, name, wanted, succession };
            let shown = look.shown();
            let is_complete = shown.is_empty();
            let after_soak = match look.obstacle().map_or(Ok(()), Err) {
                Ok(()) => look.soaks(is_complete),
                Err(obstacle) => {
                    replacements.hold(name, obstacle);
                    continue;
                }
            };
            if let Some((until, because)) = &after_soak {
                let (until, because) = (*until, because.clone());
                replacements.told.push(Postponed { authority: name.clone(), until, because });
            }
            let needs = look.needs(&mut replacements);
            let may_reissue = needs.iter().all(|need| need.how == How::Shown);
            // Nobody shows anything of what is somebody else's.
            let still_showing = match succession.is_only_dropping() {
                true => Vec::new(),
                false => manual_restarts::still_showing(input, name, is_complete),
            };
            let drops = after_soak.is_none() && needs.is_empty() && still_showing.is_empty();
            replacements.elsewhere.extend(still_showing);
            let succession = succession.clone();
            replacements.going.insert(name.clone(), Replacement { succession, shown, may_reissue, drops });
        }
        replacements
    }

    fn hold(&mut self, name: &AuthorityName, obstacle: Obstacle) {
        self.waiting.insert(name.clone());
        let blocked = |node: NodeName, because: String, help: String| Blocked {
            address: Address { subject: Subject::Authority(name.clone()), node },
            because,
            help: Some(help),
            findings: Vec::new(),
        };
        match obstacle {
            Obstacle::Silent => {}
            Obstacle::Later(until, because) => {
                self.told.push(Postponed { authority: name.clone(), until, because });
            }
            Obstacle::Elsewhere(node, because, help) => self.elsewhere.push(blocked(node, because, help)),
            Obstacle::Blocked(node, because, help) => self.blocked.push(blocked(node, because, help)),
            Obstacle::Held(node, because, help) => {
                self.held_names.insert(name.clone());
                self.held.push(blocked(node, because, help));
            }
        }
    }

    /// The replacement of an authority that this plan works on.
    pub(crate) fn get(&self, name: &AuthorityName) -> Option<&Replacement> {
        self.going.get(name)
    }

    /// The authorities that this plan replaces and by whose new CA it has everything issued anew.
    pub(crate) fn reissued(&self) -> impl Iterator<Item = &AuthorityName> {
        self.going.iter().filter(|(_, going)| going.reissues()).map(|(name, _)| name)
    }

    /// Whether a finding says only that something goes whose replacement waits, or has what it issued wait.
    pub(crate) fn waits_for(&self, finding: &Finding, authority: &AuthorityName) -> bool {
        if matches!(finding.reason, Reason::IssuerGoes { .. })
            && self.going.get(authority).is_some_and(|going| !going.reissues())
        {
            return true;
        }
        // What is older than the new CA will have to be is not issued by the old one once more.
        if matches!(finding.reason, Reason::IssuedBefore { .. }) && self.held_names.contains(authority) {
            return true;
        }
        let is_of_replacement = matches!(
            finding.reason,
            Reason::IssuerGoes { .. }
                | Reason::Distrusted { .. }
                | Reason::RootDiffers { .. }
                | Reason::SuccessorKeyLost { .. }
        );
        is_of_replacement && self.waiting.contains(authority)
    }

    /// Whether it is held up.
    pub(crate) fn waits(&self, authority: &AuthorityName) -> bool {
        self.waiting.contains(authority)
    }

    /// Whether everything of it that can be done before its soak has ended is done, so that what is still due of it is no change.
    pub(crate) fn soaks(&self, authority: &AuthorityName) -> bool {
        self.going.get(authority).is_some_and(|going| !going.drops)
    }
}

struct Look<'l, 'a> {
    input: &'l Input<'a>,
    held: &'l Held<'a>,
    name: &'l AuthorityName,
    wanted: &'l DesiredAuthority,
    succession: &'l Succession,
}

impl Look<'_, '_> {
    /// The certificates that go and that issued something which is still held.
    fn shown(&self) -> BTreeSet<Sha256> {
        let mut shown = BTreeSet::new();
        for (node, wanted) in &self.input.survey.desired.nodes {
            let own = wanted.identities.iter();
            for (identity, _) in own.filter(|(_, wanted)| wanted.authority.as_ref() == Some(self.name)) {
                let Some(held) = self.held.identity(node, identity) else { continue };
                let certificate = held.certificate.as_ref();
                let issuer = certificate.and_then(|own| self.succession.issuer_that_goes(own, &held.chain));
                shown.extend(issuer.map(|issuer| *issuer.fingerprint()));
            }
        }
        shown
    }

    fn obstacle(&self) -> Option<Obstacle> {
        if !self.input.options.only.is_empty() {
            return Some(Obstacle::Silent);
        }
        if self.succession.is_only_dropping() {
            // Nothing comes, so nobody has to sign, and no member has to do without another one for longer than its restart.
            let is_of_etcd = self.held.authorities.get(self.name).is_some_and(|view| view.is_of_etcd);
            return self
                .unseen()
                .or_else(|| self.outsiders())
                .or_else(|| self.troubled())
                .or_else(|| self.unhealthy().filter(|_| is_of_etcd))
                .or_else(|| self.broken());
        }
        self.unseen()
            .or_else(|| self.external())
            .or_else(|| self.outsiders())
            .or_else(|| self.unread_root())
            .or_else(|| self.troubled())
            .or_else(|| self.unhealthy())
            .or_else(|| self.by_hand())
            .or_else(|| self.broken())
    }

    /// A node of which it is not known what it trusts.
    fn unseen(&self) -> Option<Obstacle> {
        let view = self.held.authorities.get(self.name)?;
        let Some(node) = view.unknown.first().cloned() else { return self.unseen_holder() };
        let because = format!(
            "what {} trusts is not known, so no CA of {} is replaced: nobody shows a new one, and no old one is dropped, before every node is known to trust both",
            view.unknown_nodes(),
            self.name
        );
        Some(Obstacle::Blocked(
            node.clone(),
            because,
            format!("make {node} reachable, or take it out of the spec"),
        ))
    }

    /// A node of which it is not known what it shows: it need not hold the CA itself.
    fn unseen_holder(&self) -> Option<Obstacle> {
        let survey = self.input.survey;
        let is_unseen =
            |name: &&NodeName| survey.observed.nodes.get(*name).is_none_or(|answer| answer.facts().is_none());
        let holds = |wanted: &DesiredNode| {
            wanted.identities.values().any(|wanted| wanted.authority.as_ref() == Some(self.name))
        };
        let mut nodes = survey.desired.nodes.iter().filter(|(_, wanted)| holds(wanted)).map(|(name, _)| name);
        let node = nodes.find(is_unseen)?.clone();
        let because = format!(
            "what {node} shows is not known, so no CA of {} is replaced: no old one is dropped before every node is known to show what the new one signed",
            self.name
        );
        let help = format!("make {node} reachable, or take it out of the spec");
        Some(Obstacle::Blocked(node, because, help))
    }

    fn external(&self) -> Option<Obstacle> {
        let node = self.nodes().next()?.clone();
        let because = format!("the key of {} is kept elsewhere, so no other one can be made here", self.name);
        let help = "replace it where its key is, or declare `source` with the one that comes".to_owned();
        (self.wanted.external).then_some(Obstacle::Elsewhere(node, because, help))
    }

    /// Somebody who trusts it and is not in the spec.
    fn outsiders(&self) -> Option<Obstacle> {
        let seen = self.held.unlisted.holding(self.name)?;
        let (because, help) = held_by(seen, self.input, self.name.as_str());
        Some(Obstacle::Held(self.nodes().next()?.clone(), because, help))
    }

    /// Those who still need what goes and are waited for, each told with what to do; the others are noted.
    fn needs(&self, replacements: &mut Replacements) -> Vec<Need> {
        let mut waited_for = Vec::new();
        for need in needs(self.input.survey, self.name, self.succession) {
            let address = Address { subject: Subject::Authority(self.name.clone()), node: need.node.clone() };
            let words = need.words(self.name);
            if let Some(reason) = self.wanted.waive.get(&need.consumer) {
                let waived = Reason::Waived { needs: words, because: reason.clone() };
                replacements.noted.push(Noted { address, finding: Finding::note(waived) });
                continue;
            }
            let waits = match need.how {
                How::TrustedAlone | How::Unknown { .. } => {
                    "so nobody shows what a new one signs, and no old one is dropped, before"
                }
                How::Shown => "so no old one is dropped before",
            };
            let help = match need.how {
                How::TrustedAlone => self.bundle_on(&need.node).map_or_else(
                    || "let it trust both".to_owned(),
                    |path| format!("let it trust both, as {path} does after this plan"),
                ),
                How::Shown => "give it a certificate of the new one".to_owned(),
                How::Unknown { .. } => "let it be read".to_owned(),
            };
            let help = format!(
                "{help}, and plan again; or say that it is not waited for: spec.authorities.{}.waive.{}: WHY",
                self.name, need.consumer
            );
            let because = format!("{words}, {waits}");
            replacements.elsewhere.push(Blocked { address, because, help: Some(help), findings: Vec::new() });
            waited_for.push(need);
        }
        waited_for
    }

    fn bundle_on(&self, node: &NodeName) -> Option<&str> {
        let copy = self.input.survey.desired.nodes.get(node)?.authorities.get(self.name)?;
        Some(&copy.certificate.path)
    }

    /// That the root of the spec could not be read is a finding of its own.
    fn unread_root(&self) -> Option<Obstacle> {
        (self.wanted.source.is_some() && self.succession.successor.is_none()).then_some(Obstacle::Silent)
    }

    fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        let nodes = self.input.survey.desired.nodes.iter();
        nodes.filter(|(_, node)| node.authorities.contains_key(self.name)).map(|(name, _)| name)
    }

    /// The findings about the authority itself and what it issued.
    fn findings(&self) -> impl Iterator<Item = (&Address, &Finding)> {
        let of_authority = |address: &Address| match &address.subject {
            Subject::Authority(authority) => authority == self.name,
            Subject::Identity(identity) => {
                let node = self.input.survey.desired.nodes.get(&address.node);
                let wanted = node.and_then(|node| node.identities.get(identity));
                wanted.is_some_and(|wanted| wanted.authority.as_ref() == Some(self.name))
            }
            Subject::KeyPair(_) | Subject::Directory(_) | Subject::Service(_) | Subject::Node => false,
        };
        let all = self.input.differences.findings.iter();
        all.filter(move |(address, _)| of_authority(address))
            .flat_map(|(address, findings)| findings.iter().map(move |finding| (address, finding)))
    }

    /// What a person has to look at first is told by its own findings.
    fn troubled(&self) -> Option<Obstacle> {
        let is_grave = |finding: &Finding| matches!(finding.effect, Effect::Blocks | Effect::Unknown);
        self.findings().any(|(_, finding)| is_grave(finding)).then_some(Obstacle::Silent)
    }

    /// A member that does not work: without it none of the others can be restarted.
    fn unhealthy(&self) -> Option<Obstacle> {
        let survey = self.input.survey;
        let member_of = |name: &&NodeName| {
            let facts = survey.observed.nodes.get(*name)?.facts()?;
            let (_, live) = facts.services.iter().find(|(service, _)| quorum::is_member(service))?;
            let follows = facts.etcd.present().is_some_and(EtcdFacts::follows_leader);
            let is_asked = !facts.etcd.is_unlooked();
            (quorum::is_down(live) || is_asked && !follows).then(|| (*name).clone())
        };
        let node = quorum::members(survey).find_map(|name| member_of(&name))?;
        let because = format!(
            "the member of etcd on {node} does not work, so no other one can be restarted: the replacement of {} waits where it stands",
            self.name
        );
        let help = format!("bring the member on {node} back, and plan again");
        Some(Obstacle::Elsewhere(node, because, help))
    }

    /// A service that trusts it, runs, and is restarted by a person only: that it trusts both could not be seen.
    fn by_hand(&self) -> Option<Obstacle> {
        let (name, service) = manual_restarts::restarted(self.input.survey, |what| trusts(what, self.name))
            .into_iter()
            .next()?;
        let because = format!(
            "{service} on {name} trusts {} from its start on and is restarted by hand, so that it trusts the new CA could not be proven",
            self.name
        );
        let help = format!("declare spec.services.{service}.restart");
        Some(Obstacle::Blocked(name.clone(), because, help))
    }

    /// Something of it that is broken is mended first, with the CA that is there.
    fn broken(&self) -> Option<Obstacle> {
        let is_authority = |address: &Address| matches!(address.subject, Subject::Authority(_));
        // The key of an authority that goes is not put back anywhere.
        let is_broken = |address: &Address, finding: &Finding| {
            is_broken(finding, self.input.differences.of(address))
                || !is_authority(address) && finding.reason == Reason::KeyMissing
        };
        let (address, finding) = self.findings().find(|(address, finding)| is_broken(address, finding))?;
        let view = self.held.authorities.get(self.name)?;
        let signer = view.signer()?;
        let can_sign = view.keys.values().any(|key| *key == signer.facts().key.spki_sha256);
        let because = || format!("{address} comes first ({}); the next plan goes on", finding.reason);
        (is_authority(address) || can_sign).then(|| Obstacle::Later(None, because()))
    }

    /// How long both are trusted, where that has not passed: until when, and why.
    fn soaks(&self, is_complete: bool) -> Option<(Option<Timestamp>, String)> {
        let soak = self.wanted.soak.filter(|soak| soak.seconds() > 0)?;
        if !is_complete {
            let because = format!(
                "the old CA and the new one are both trusted for {soak} after this plan; then a plan drops the old one"
            );
            return Some((None, because));
        }
        let until = soak.after(self.last_written()?);
        let because = format!(
            "nobody shows a certificate of the old CA any more; it is dropped by a plan after {}",
            instant(until)
        );
        (self.input.now < until).then_some((Some(until), because))
    }

    /// When the last certificate of it was written on any node: by its file's time, and never before it was made, since whoever copies files may keep older times.
    /// The journals would tell no more: what a run writes begins five minutes before that at the earliest, and of what was done by hand, or pruned, they tell nothing.
    fn last_written(&self) -> Option<Timestamp> {
        let mut last = None;
        for (name, node) in &self.input.survey.desired.nodes {
            let facts = self.input.survey.observed.nodes.get(name).and_then(|answer| answer.facts());
            let own = node.identities.iter();
            for (identity, wanted) in own.filter(|(_, wanted)| wanted.authority.as_ref() == Some(self.name)) {
                let certificate =
                    self.held.identity(name, identity).and_then(|held| held.certificate.as_ref());
                last = last.max(certificate.map(|certificate| certificate.facts().not_before));
                for place in wanted.places() {
                    let file = facts.and_then(|facts| facts.files.get(place.certificate_path()));
                    last = last.max(file.and_then(Seen::present).map(|file| file.modified));
                }
            }
        }
        last
    }
}

/// Whether something does not work as it is, so that it cannot wait for the one that comes.
fn is_broken(finding: &Finding, beside: &[Finding]) -> bool {
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

impl Builder<'_> {
    /// Finds out which replacements this plan works on, and tells why the others wait.
    pub(crate) fn find_replacements(&mut self) {
        let mut found = Replacements::find(self.input, &self.held, &|name| self.is_mixed_up(name));
        self.draft.postponed.append(&mut found.told);
        self.draft.elsewhere.append(&mut found.elsewhere);
        self.draft.blocked.append(&mut found.blocked);
        self.draft.held.append(&mut found.held);
        self.draft.notes.append(&mut found.noted);
        self.replacements = found;
    }

    /// The authority to which a thing belongs.
    pub(crate) fn authority_at(&self, address: &Address) -> Option<&AuthorityName> {
        match &address.subject {
            Subject::Authority(authority) => {
                self.input.survey.desired.authorities.get_key_value(authority).map(|(name, _)| name)
            }
            Subject::Identity(identity) => {
                let node = self.input.survey.desired.nodes.get(&address.node)?;
                node.identities.get(identity)?.authority.as_ref()
            }
            Subject::KeyPair(_) | Subject::Directory(_) | Subject::Service(_) | Subject::Node => None,
        }
    }

    /// Whether a finding belongs to a replacement that waits, about which everything is said.
    pub(crate) fn is_waited_for(&self, address: &Address, finding: &Finding) -> bool {
        let Some(authority) = self.authority_at(address) else { return false };
        let is_authority = matches!(address.subject, Subject::Authority(_));
        let is_told = self.replacements.soaks(authority) || self.replacements.waits(authority);
        self.replacements.waits_for(finding, authority) || is_authority && is_told
    }

    /// What a replaced authority issues is reissued in the phase of those who show it.
    pub(crate) fn assign_replacement_phases(&mut self) {
        let desired = &self.input.survey.desired;
        let going: Vec<AuthorityName> = self.replacements.reissued().cloned().collect();
        for name in going {
            let phases = crate::plan::rotation::phases::phases(desired, &name);
            for deed in self.draft.deeds.values_mut().flatten() {
                let Subject::Identity(identity) = &deed.address.subject else { continue };
                let writes = matches!(
                    deed.deed,
                    crate::plan::Deed::IssueIdentity(_) | crate::plan::Deed::CopyIdentity(_)
                );
                if let Some(phase) = phases.get(identity).filter(|_| writes) {
                    deed.phase = *phase;
                }
            }
        }
    }
}
