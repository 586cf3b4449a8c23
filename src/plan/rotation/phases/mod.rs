//! Replacing a CA of a running etcd: what each phase of it draws.
//!
//! What enters is what goes and what comes ([`crate::diff::CaRotation`]) and what every node holds; what leaves are the deeds that are missing, each in its phase. Who
//! checks comes before who shows, and nobody drops what somebody still shows (the order of gardener#6099). A phase that is done on every node draws nothing, so
//! an interrupted replacement goes on where it stands. Nothing is decided here about whether it may go on: see [`crate::plan::rotation::holds`]. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::desired::{AuthorityCopy, Desired, DesiredAuthority};
use crate::diff::{AuthorityView, Effect, Finding, Reason, successor_names};
use crate::profile::At;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName};
use crate::types::names::{Address, AuthorityName, IdentityName, NodeName, Target};
use crate::types::profile_name::ProfileName;
use crate::types::storage::FileSpec;
use crate::x509::{Certificate, Sha256};

use super::extend::held_at;
use crate::plan::known::builder::Builder;
use crate::plan::known::chosen;
use crate::plan::known::paths::facts_of;
use crate::plan::known::rotations::RotationProgress;
use crate::plan::known::signer::Signer;
use crate::plan::rotation::holds::strangers;
use crate::plan::{BACKDATE, Bundle, Deed, KeyCopy, Noted, Phase, Position, RootSource, Why};

/// One node's part.
struct Place<'a> {
    node: &'a NodeName,
    copy: &'a AuthorityCopy,
    next: AuthorityCopy,
    held: Vec<Certificate>,
    key: Option<Sha256>,
    staged: Option<Certificate>,
    staged_key: Option<Sha256>,
}

impl Place<'_> {
    /// Where it holds a CA with its key.
    fn files_of(&self, certificate: &Certificate) -> Option<&AuthorityCopy> {
        let spki = Some(certificate.facts().key.spki_sha256);
        if self.staged.as_ref() == Some(certificate) && self.staged_key == spki {
            return Some(&self.next);
        }
        (self.held.contains(certificate) && self.key == spki).then_some(self.copy)
    }
}

/// Draws what is missing of a replacement. Says where the one that comes signs.
pub(crate) fn build(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    wanted: &DesiredAuthority,
    copies: &[(&NodeName, &AuthorityCopy)],
) -> Option<Signer> {
    let replacement = builder.replacements.get(name).cloned()?;
    let view = builder.input.differences.authorities().get(name)?;
    let places: Vec<Place<'_>> = copies.iter().map(|(node, copy)| place(node, copy, view)).collect();
    let mut drawing = PhaseWriter { builder, name, wanted, replacement: &replacement };
    if replacement.succession.is_only_dropping() {
        if replacement.drops() {
            for place in &places {
                drawing.drop_strays(place);
                drawing.purge(place);
            }
            strangers::drop_from_kubeconfigs(builder, name, &replacement.succession);
        }
        return None;
    }
    let signer = drawing.prepare(&places)?;
    drawing.warn_of_joining(&places);
    for place in &places {
        let both = drawing.both(place);
        drawing.write(place, Phase::TrustBoth, (&place.held, None), &both);
        if replacement.drops() {
            drawing.drop_old(place, &both);
            drawing.purge(place);
        }
    }
    Some(signer)
}

fn place<'a>(node: &'a NodeName, copy: &'a AuthorityCopy, view: &AuthorityView) -> Place<'a> {
    Place {
        node,
        copy,
        next: copy.successor(),
        held: view.on_node(node).unwrap_or_default().to_vec(),
        key: view.keys.get(node).copied(),
        staged: view.staged.certificates.get(node).cloned(),
        staged_key: view.staged.keys.get(node).copied(),
    }
}

struct PhaseWriter<'d, 'a> {
    builder: &'d mut Builder<'a>,
    name: &'d AuthorityName,
    wanted: &'d DesiredAuthority,
    replacement: &'d RotationProgress,
}

impl PhaseWriter<'_, '_> {
    fn address(&self, place: &Place<'_>) -> Address {
        Address::on(Target::Authority(self.name.clone()), place.node)
    }

    fn why(&self, place: &Place<'_>) -> Vec<Why> {
        let findings = self.builder.findings(&self.address(place)).iter();
        let due = findings.filter(|finding| finding.effect == Effect::Due);
        due.map(|finding| self.builder.why(finding)).collect()
    }

    fn add(&mut self, place: &Place<'_>, phase: Phase, deed: Deed, replaces: bool) {
        let (address, why) = (self.address(place), self.why(place));
        self.builder.add_in(phase, address, deed, why, replaces);
    }

    /// Nodes do not show what the cluster keeps for those who join (kubeadm 1.15 and later, app/phases/copycerts), so it is said whenever it could be there.
    fn warn_of_joining(&mut self, places: &[Place<'_>]) {
        let is_kubeadm = self.builder.input.survey.desired.profile == ProfileName::Kubeadm;
        if let Some(first) = places.iter().find(|place| is_kubeadm && place.copy.may_hold_key) {
            let (address, finding) = (self.address(first), Finding::note(Reason::KeyForJoining));
            self.builder.draft.notes.push(Noted { address, finding });
        }
    }

    /// The one that comes lies, with its key, beside the files of every node that may sign. Says where it signs.
    fn prepare(&mut self, places: &[Place<'_>]) -> Option<Signer> {
        let successor = self.replacement.succession.successor.clone();
        let ready = successor.as_ref().and_then(|certificate| {
            let able =
                places.iter().filter_map(|place| Some((place.node, (place, place.files_of(certificate)?))));
            let chosen = chosen::signer(self.builder.input, self.name);
            chosen::first_of(able, chosen).map(|(_, ready)| ready)
        });
        let first = match ready {
            Some((place, _)) => place,
            None => places.iter().find(|place| place.copy.may_hold_key)?,
        };
        let files = ready.map_or_else(|| first.next.clone(), |(_, files)| files.clone());
        let mut not_after = successor.as_ref().map(|certificate| certificate.facts().not_after);
        if ready.is_none() {
            let (deed, end) = self.make(first, successor.as_ref())?;
            not_after = Some(end);
            self.add(first, Phase::Prepare, deed, false);
        }
        let holds = |place: &Place<'_>| {
            successor.as_ref().is_some_and(|certificate| place.files_of(certificate).is_some())
        };
        for place in places.iter().filter(|place| place.copy.may_hold_key && !holds(place)) {
            if place.node == first.node {
                continue;
            }
            let next = &place.next;
            let certificate = match &successor {
                Some(certificate) => Deed::WriteBundle {
                    file: next.certificate.clone(),
                    bundle: Bundle::one(certificate),
                    before: place.staged.iter().map(|staged| *staged.fingerprint()).collect(),
                },
                None => Deed::CopyAuthorityCertificate {
                    from: first.node.clone(),
                    source: files.certificate.path.clone(),
                    file: next.certificate.clone(),
                },
            };
            self.add(place, Phase::Prepare, certificate, false);
            let key = Deed::CopyKey(KeyCopy {
                from: first.node.clone(),
                source: files.key.path.clone(),
                file: next.key.clone(),
                spki: successor.as_ref().map(|certificate| certificate.facts().key.spki_sha256),
            });
            self.add(place, Phase::Prepare, key, false);
        }
        Some(Signer { node: first.node.clone(), files, not_after: not_after?, certificate: successor })
    }

    /// How the one that comes is put on the first node, and when it ends.
    fn make(&mut self, first: &Place<'_>, root: Option<&Certificate>) -> Option<(Deed, Timestamp)> {
        let next = &first.next;
        let (certificate, key) = (next.certificate.clone(), next.key.clone());
        if let Some(root) = root {
            let own = self.wanted.root.as_ref()?;
            let source = RootSource { certificate: own.certificate_path.clone(), key: own.key_path.clone() };
            let deed = Deed::InstallAuthority { certificate, key, root: root.clone(), source };
            return Some((deed, root.facts().not_after));
        }
        if first.staged.is_none() && first.staged_key.is_some() {
            let because = format!(
                "a key without a certificate lies at {}, where the key of the CA goes that is to come",
                next.key.path
            );
            let help = format!("look at it on {} and move it away", first.node);
            self.builder.block(&self.address(first), because, Some(help), &[]);
            return None;
        }
        let now = self.builder.input.now;
        let not_after = self.wanted.validity.value.after(now);
        // It must not be one of those that are too old itself.
        let cut_off = self.wanted.reissue_issued_before.as_ref().map(|cut_off| cut_off.value);
        let back_dated = BACKDATE.before(now);
        let not_before =
            cut_off.filter(|cut_off| *cut_off <= now).map_or(back_dated, |cut_off| back_dated.max(cut_off));
        let deed = Deed::CreateAuthority {
            certificate,
            key,
            subject: self.subject(now),
            algorithm: self
                .wanted
                .key_algorithm
                .as_ref()
                .map_or(NewKeyAlgorithm::Rsa2048, |algorithm| algorithm.value),
            not_before,
            not_after,
            over: first.staged.as_ref().map(|staged| *staged.fingerprint()),
        };
        Some((deed, not_after))
    }

    /// Another subject than that of every CA that is there: of two with the same name some verifiers try the first one only (eks, containers-roadmap#2638).
    fn subject(&self, now: Timestamp) -> SubjectName {
        let view = self.builder.input.differences.authorities().get(self.name);
        let held = view
            .into_iter()
            .flat_map(|view| view.certificates.values().flatten().chain(view.staged.certificates.values()));
        let taken: BTreeSet<&str> = held.filter_map(|held| held.facts().subject.common_name()).collect();
        let own = &self.wanted.subject.common_name;
        let free = successor_names(own, now).find(|name| !taken.contains(name.as_str()));
        SubjectName { common_name: free.unwrap_or_else(|| own.clone()), ..self.wanted.subject.clone() }
    }

    /// What a node trusts while both are trusted: what it holds, what somebody shows something of, and the one that comes.
    fn both(&self, place: &Place<'_>) -> Bundle {
        let leaving = self.replacement.succession.leaving.values().map(|(leaving, _)| leaving);
        let shown = leaving.filter(|leaving| self.replacement.shown.contains(leaving.fingerprint()));
        let comes = &self.replacement.succession.successor;
        // Nobody is restarted to load somebody else's CA that goes in this plan anyway.
        let is_stray = |held: &&Certificate| {
            let leaving = self.replacement.succession.leaving.get(held.fingerprint());
            self.replacement.drops() && leaving.is_some_and(|(_, finding)| finding.is_of_stray())
        };
        let known = place.held.iter().filter(|held| !is_stray(held)).chain(shown).cloned();
        match comes {
            Some(comes) => Bundle::with_last(known, comes),
            None => Bundle::with_made(Position::Last, known),
        }
    }

    /// What is left without the CAs of somebody else, in the main file and in each further one.
    fn drop_strays(&mut self, place: &Place<'_>) {
        let succession = &self.replacement.succession;
        let goes = |held: &&Certificate| succession.leaving.contains_key(held.fingerprint());
        let left = Bundle::known(place.held.iter().filter(|held| !goes(held)).cloned());
        // A file never trusts nobody: what was put in the place of the authority's own CA gives way to it.
        let Some(left) = left.or_else(|| succession.successor.as_ref().map(Bundle::one)) else { return };
        let files = [&place.copy.certificate].into_iter().chain(place.copy.copies.values());
        let files: Vec<(FileSpec, Vec<Sha256>)> =
            files.map(|file| (file.clone(), held_at(self.builder, &place.node.into(), &file.path))).collect();
        let wanted = left.fingerprints();
        for (file, before) in files.into_iter().filter(|(_, before)| *before != wanted) {
            let deed = Deed::WriteBundle { file, bundle: left.clone(), before };
            let address = self.address(place);
            let why = strangers::why_dropped(self.builder, &address);
            self.builder.add_in(Phase::DropOld, address, deed, why, true);
        }
    }

    /// Only the one that comes is left, and its key is in the place of the old one.
    fn drop_old(&mut self, place: &Place<'_>, both: &Bundle) {
        let leaving = &self.replacement.succession.leaving;
        let comes = self.replacement.succession.successor.clone();
        let goes = |certificate: &&Certificate| leaving.contains_key(certificate.fingerprint());
        let stays = both.certificates().iter().filter(|certificate| !goes(certificate)).cloned();
        let after = match &comes {
            Some(comes) => Bundle::with_first(comes, stays),
            None => Bundle::with_made(Position::First, stays),
        };
        self.write(place, Phase::DropOld, (both.certificates(), both.made()), &after);
        let is_main = comes.as_ref().is_some_and(|comes| {
            place.files_of(comes).is_some_and(|files| files.key.path == place.copy.key.path)
        });
        let (main, next) = (&place.copy, &place.next);
        if place.copy.may_hold_key && !is_main {
            let key = Deed::CopyKey(KeyCopy {
                from: place.node.clone(),
                source: next.key.path.clone(),
                file: main.key.clone(),
                spki: comes.as_ref().map(|certificate| certificate.facts().key.spki_sha256),
            });
            self.add(place, Phase::DropOld, key, place.key.is_some());
        }
        // What is there now, or is put there by the first phase.
        let is_left = |there: bool| there || place.copy.may_hold_key && !is_main;
        let pairs = [
            (is_left(place.staged.is_some()), &next.certificate, &main.certificate),
            (is_left(place.staged_key.is_some()), &next.key, &main.key),
        ];
        for (_, file, of) in pairs.into_iter().filter(|(is_left, ..)| *is_left) {
            let deed = Deed::RemoveCopy { path: file.path.clone(), of: of.path.clone() };
            self.add(place, Phase::DropOld, deed, false);
        }
    }

    /// The snapshots forget the keys of the CAs that are distrusted: those that they hold, and those that the visits before copy into them.
    fn purge(&mut self, place: &Place<'_>) {
        let succession = &self.replacement.succession;
        let comes = succession.successor.as_ref().map(|comes| comes.facts().key.spki_sha256);
        let facts = facts_of(&self.builder.input.survey.observed, place.node);
        // Snapshots that could not be read are a finding as soon as the CA is gone, so they are not forgotten.
        let kept = facts.and_then(|facts| facts.kept_keys.known().ok()?);
        let going = succession.leaving.values().filter_map(|(leaving, finding)| {
            let is_distrusted = matches!(finding.reason, Reason::Distrusted { .. });
            let (fingerprint, key) = (*leaving.fingerprint(), leaving.facts().key.spki_sha256);
            let is_here = [place.key, place.staged_key].contains(&Some(key));
            let is_kept = is_here || kept.is_some_and(|kept| kept.contains_key(&fingerprint));
            // A key that stays in use is in the snapshots of every run to come.
            (is_distrusted && is_kept && comes != Some(key))
                .then(|| (Deed::PurgeSnapshots { fingerprint, key }, self.builder.why(finding)))
        });
        let address = self.address(place);
        for (deed, why) in going.collect::<Vec<_>>() {
            self.builder.add_in(Phase::Purge, address.clone(), deed, vec![why], false);
        }
    }

    /// Writes a bundle to its file and to the further places of it, where one of them holds something else.
    fn write(
        &mut self,
        place: &Place<'_>,
        phase: Phase,
        (known, made): (&[Certificate], Option<Position>),
        after: &Bundle,
    ) {
        let before: Vec<Sha256> = known.iter().map(|certificate| *certificate.fingerprint()).collect();
        let is_new = (known, made) != (after.certificates(), after.made());
        let mut files: Vec<(&FileSpec, Vec<Sha256>)> = Vec::new();
        if is_new {
            files.push((&place.copy.certificate, before.clone()));
        }
        for copy in place.copy.copies.values() {
            // What an earlier phase wrote is known; what was there before is not, for a copy may lag behind.
            let held = if phase == Phase::TrustBoth {
                held_at(self.builder, &place.node.into(), &copy.path)
            } else {
                before.clone()
            };
            if is_new || held != after.fingerprints() {
                files.push((copy, held));
            }
        }
        for (file, before) in files {
            let deed = Deed::WriteBundle { file: file.clone(), bundle: after.clone(), before };
            self.add(place, phase, deed, true);
        }
    }
}

/// In which phase each identity of an authority is reissued: by who shows it to whom, on any node.
pub(crate) fn phases(desired: &Desired, name: &AuthorityName) -> BTreeMap<IdentityName, Phase> {
    let mut phases: BTreeMap<IdentityName, Phase> = BTreeMap::new();
    for node in desired.nodes.values() {
        for (identity, wanted) in &node.identities {
            if wanted.authority.as_ref() == Some(name) {
                phases.entry(identity.clone()).or_insert(Phase::Clients);
            }
        }
        for service in node.services.values() {
            let between =
                |port: u16| service.dials.iter().any(|dial| dial.at == At::Others && dial.port == Some(port));
            for endpoint in &service.endpoints {
                let served = endpoint.serves.as_ref().and_then(|identity| phases.get_mut(identity));
                let phase = if between(endpoint.port) { Phase::Peers } else { Phase::Servers };
                if let Some(known) = served {
                    *known = phase.max(*known);
                }
            }
        }
    }
    phases
}

/// What a replaced authority issues is reissued in the phase of those who show it.
pub(crate) fn assign_replacement_phases(builder: &mut Builder<'_>) {
    let desired = &builder.input.survey.desired;
    let going: Vec<AuthorityName> = builder.replacements.reissued().cloned().collect();
    for name in going {
        let phases = phases(desired, &name);
        for deed in builder.draft.deeds.values_mut().flatten() {
            let Target::Identity(identity) = &deed.address.target else { continue };
            let writes = matches!(deed.deed, Deed::IssueIdentity(_) | Deed::CopyIdentity(_));
            if let Some(phase) = phases.get(identity).filter(|_| writes) {
                deed.phase = *phase;
            }
        }
    }
}

#[cfg(test)]
mod tests;
