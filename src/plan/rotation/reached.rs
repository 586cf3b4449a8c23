//! How far the replacement of a CA has come, by what the nodes hold.
//!
//! What enters is what should be and the differences; what leaves is, for each replacement that was begun, which phases are done on which nodes. It is for
//! people who look in the middle of one, and decides nothing: what is drawn next is worked out from the same trees in [`super::phases`]. Pure.

use crate::desired::{Desired, DesiredNode};
use crate::diff::{AuthorityView, CaRotation, Differences};
use crate::plan::Phase;
use crate::types::names::{AuthorityName, NodeName};
use crate::x509::Certificate;

use super::phases::phases;

/// A replacement that was begun and is not at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationReached {
    /// The authority.
    pub authority: AuthorityName,
    /// The certificates that go.
    pub leaving: Vec<Certificate>,
    /// The one that comes.
    pub successor: Certificate,
    /// Its phases in order, up to that in which the old CA is dropped.
    pub phases: Vec<PhaseReached>,
}

/// A phase, and the nodes that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseReached {
    /// The phase.
    pub phase: Phase,
    /// The nodes on which it is done.
    pub done: Vec<NodeName>,
    /// The others, and those of which nothing is known.
    pub left: Vec<NodeName>,
}

impl PhaseReached {
    /// Whether it is done everywhere.
    pub fn is_done(&self) -> bool {
        self.left.is_empty()
    }
}

/// The phases that trees show: what snapshots hold is told by findings of its own.
const SHOWN: [Phase; 6] =
    [Phase::Prepare, Phase::TrustBoth, Phase::Clients, Phase::Peers, Phase::Servers, Phase::DropOld];

/// Every replacement that was begun.
pub fn reached(desired: &Desired, differences: &Differences) -> Vec<RotationReached> {
    let begun = differences.successions().iter().filter(|(_, rotation)| !rotation.is_only_dropping());
    begun.filter_map(|(name, rotation)| of_authority(desired, differences, name, rotation)).collect()
}

fn of_authority(
    desired: &Desired,
    differences: &Differences,
    name: &AuthorityName,
    rotation: &CaRotation,
) -> Option<RotationReached> {
    let successor = rotation.successor.as_ref()?;
    let trees =
        Trees { desired, differences, name, rotation, successor, view: differences.authorities().get(name)? };
    let phases: Vec<PhaseReached> = SHOWN.into_iter().map(|phase| trees.phase(phase)).collect();
    // A root that the spec names comes, too, before any node has it.
    let is_begun = phases.first().is_some_and(|prepare| !prepare.done.is_empty());
    let leaving = rotation.leaving.values().map(|(certificate, _)| certificate.clone()).collect();
    let phases = phases.into_iter().filter(|phase| !(phase.done.is_empty() && phase.left.is_empty()));
    is_begun.then(|| RotationReached {
        authority: name.clone(),
        leaving,
        successor: successor.clone(),
        phases: phases.collect(),
    })
}

/// What is looked at for one authority.
struct Trees<'a> {
    desired: &'a Desired,
    differences: &'a Differences,
    name: &'a AuthorityName,
    rotation: &'a CaRotation,
    successor: &'a Certificate,
    view: &'a AuthorityView,
}

impl Trees<'_> {
    fn phase(&self, phase: Phase) -> PhaseReached {
        let mut reached = PhaseReached { phase, done: Vec::new(), left: Vec::new() };
        for (name, node) in &self.desired.nodes {
            match self.is_done(phase, name, node) {
                Some(true) => reached.done.push(name.clone()),
                Some(false) => reached.left.push(name.clone()),
                None => {}
            }
        }
        reached
    }

    /// Whether a phase is done on a node; none where it does not concern it.
    fn is_done(&self, phase: Phase, name: &NodeName, node: &DesiredNode) -> Option<bool> {
        let copy = node.authorities.get(self.name);
        let held = self.view.on_node(name).unwrap_or_default();
        let is_here = held.contains(self.successor);
        match phase {
            Phase::Prepare => {
                let waits = self.view.staged.certificates.get(name) == Some(self.successor);
                copy.filter(|copy| copy.may_hold_key).map(|_| waits || is_here)
            }
            Phase::TrustBoth => copy.map(|_| is_here),
            Phase::Clients | Phase::Peers | Phase::Servers => self.is_reissued(phase, name, node),
            Phase::DropOld => copy.map(|_| {
                is_here && !held.iter().any(|held| self.rotation.leaving.contains_key(held.fingerprint()))
            }),
            Phase::EtcdSnapshot | Phase::Quorum | Phase::Ordinary | Phase::Purge => None,
        }
    }

    fn is_reissued(&self, phase: Phase, name: &NodeName, node: &DesiredNode) -> Option<bool> {
        let of_phase = phases(self.desired, self.name);
        let own = node.identities.iter().filter(|(identity, _)| of_phase.get(*identity) == Some(&phase));
        let own = own.filter(|(_, wanted)| wanted.authority.as_ref() == Some(self.name));
        let mut own = own.filter_map(|(identity, wanted)| {
            let view = self.differences.identity(name, identity);
            let certificate = view.and_then(|view| Some((view.certificate.as_ref()?, view.chain.as_slice())));
            // What is optional and not there is not reissued either.
            match certificate {
                Some((certificate, chain)) => Some(self.rotation.is_of_what_comes(certificate, chain)),
                None => (!wanted.optional).then_some(false),
            }
        });
        let first = own.next()?;
        Some(first && own.all(|is_reissued| is_reissued))
    }
}
