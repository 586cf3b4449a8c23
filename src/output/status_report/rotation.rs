//! Replacements of CAs that are under way: what goes, what comes, and how far it is.

use serde::Serialize;

use super::{AuthorityStatus, CertificateFields, fields};
use crate::desired::Desired;
use crate::diff::{AuthorityView, Differences};
use crate::plan::{Phase, PhaseReached, RotationReached, reached};
use crate::types::names::{AuthorityName, NodeName};
use crate::x509::Sha256;
use jiff::Timestamp;

/// A CA that is being replaced.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationStatus {
    /// The authority.
    pub authority: AuthorityName,
    /// The certificates that go, by their digests.
    pub leaving: Vec<Sha256>,
    /// The one that comes.
    pub successor: CertificateFields,
    /// The first phase that is not done everywhere; none where only the old key in snapshots is left.
    pub phase: Option<Phase>,
    /// How far each phase is, in order.
    pub phases: Vec<PhaseStatus>,
}

/// How far a phase is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseStatus {
    /// The phase.
    pub phase: Phase,
    /// The nodes on which it is done.
    pub done: Vec<NodeName>,
    /// The nodes on which it is not, or not known to be.
    pub left: Vec<NodeName>,
}

/// Every replacement that was begun, and the row of each CA that comes and is first in no file yet.
pub(super) fn rotations(
    desired: &Desired,
    differences: &Differences,
    known: &[AuthorityStatus],
    now: Timestamp,
) -> (Vec<RotationStatus>, Vec<AuthorityStatus>) {
    let reached = reached(desired, differences);
    let rows = reached.iter().filter_map(|one| row(desired, differences, known, one, now)).collect();
    (reached.into_iter().map(|one| status(one, now)).collect(), rows)
}

fn status(reached: RotationReached, now: Timestamp) -> RotationStatus {
    let RotationReached { authority, leaving, successor, phases } = reached;
    RotationStatus {
        authority,
        leaving: leaving.iter().map(|certificate| *certificate.fingerprint()).collect(),
        successor: fields(&successor, now),
        phase: phases.iter().find(|phase| !phase.is_done()).map(|phase| phase.phase),
        phases: phases
            .into_iter()
            .map(|PhaseReached { phase, done, left }| PhaseStatus { phase, done, left })
            .collect(),
    }
}

fn row(
    desired: &Desired,
    differences: &Differences,
    known: &[AuthorityStatus],
    reached: &RotationReached,
    now: Timestamp,
) -> Option<AuthorityStatus> {
    let (name, successor) = (&reached.authority, &reached.successor);
    let is_it = |row: &&AuthorityStatus| {
        row.certificate.as_ref().is_some_and(|own| own.fingerprint == *successor.fingerprint())
    };
    if known.iter().any(|row| is_it(&row)) {
        return None;
    }
    let view: &AuthorityView = differences.authorities().get(name)?;
    let waits = |node: &NodeName| view.staged.certificates.get(node) == Some(successor);
    let holds = |node: &NodeName| view.on_node(node).is_some_and(|held| held.contains(successor));
    let nodes: Vec<NodeName> =
        desired.nodes.keys().filter(|node| waits(node) || holds(node)).cloned().collect();
    let first = nodes.first()?;
    let copy = desired.nodes.get(first)?.authorities.get(name)?;
    let path = if waits(first) { copy.successor().certificate.path } else { copy.certificate.path.clone() };
    let spki = successor.facts().key.spki_sha256;
    let keys = view.staged.keys.iter().chain(&view.keys);
    let mut signers: Vec<NodeName> =
        keys.filter(|(_, key)| **key == spki).map(|(node, _)| node.clone()).collect();
    signers.sort();
    signers.dedup();
    Some(AuthorityStatus {
        name: name.clone(),
        nodes,
        path,
        signers,
        externally_managed: false,
        successor: true,
        certificate: Some(fields(successor, now)),
        alarm: None,
        findings: Vec::new(),
    })
}
