//! What a spec declares and nothing on the node is wrong with, although it is otherwise: it takes effect when the certificate is renewed, or is left to a person. Each is a
//! note, so that nothing that is not wholly as declared is called a match.

use jiff::SignedDuration;

use super::cases::IdentityCase;
use super::{Effect, Finding, NotAsDeclared, Reason};
use crate::desired::DesiredNode;
use crate::protocol::facts::{FileKind, NodeFacts, Seen};
use crate::spec::types::Role;
use crate::types::duration::Duration;
use crate::x509::Certificate;

impl Finding {
    pub(super) fn not_as_declared(how: NotAsDeclared) -> Self {
        Self::note(Reason::NotAsDeclared { how: Box::new(how) })
    }
}

impl Reason {
    /// Whether a note says nothing against what the spec declares: that somebody else takes care of it, or that the user wanted it so.
    pub fn is_as_declared(&self) -> bool {
        matches!(
            self,
            Reason::KubeletRotates
                | Reason::KubeletDoesNotRotate
                | Reason::RotationTurnedOff { .. }
                | Reason::OtherCredentials { .. }
                | Reason::Skipped
                | Reason::Waived { .. }
                | Reason::EtcdNotSaved { .. }
                | Reason::KeyForJoining
                | Reason::StoppedByHand { .. }
                | Reason::KeepsFailing { .. }
                | Reason::AwaitsCertificate { .. }
        )
    }
}

/// A certificate may begin earlier than it was issued, so that clocks that run behind accept it; by no more than this where it is the tool's own choice.
const BACKDATED: SignedDuration = SignedDuration::from_hours(2);

/// The notes about an identity whose certificate stays.
pub(super) fn of_identity(case: &IdentityCase<'_>, findings: &[Finding]) -> Vec<Finding> {
    let is_replaced = findings.iter().any(|finding| finding.effect != Effect::Note);
    // What another program renews, or another CA signs, does not go by our periods.
    let is_ours = !case.wanted.rotated_by_kubelet && case.wanted.request.is_none();
    let certificate = case.view.certificate.as_ref().filter(|_| is_ours && !is_replaced);
    let validity = certificate.and_then(|certificate| validity(case, certificate, findings));
    let files = case.wanted.storage.files();
    let modes = files.into_iter().filter_map(|file| {
        let by = case.wanted.declared_modes.get(&file.path)?;
        let Some(Seen::Present(found)) = case.facts.files.get(&file.path) else { return None };
        let lacks = file.mode.bits() & !found.mode != 0 && found.mode & !file.mode.bits() == 0;
        let reason =
            NotAsDeclared::ModeTighter { path: file.path.clone(), found: found.mode, wanted: file.mode };
        (found.kind == FileKind::Regular && lacks)
            .then(|| Finding::not_as_declared(reason).decided_by(Some(by)))
    });
    validity.into_iter().chain(modes).collect()
}

/// The period is another one than is declared, or ends with the CA before what is declared has passed.
fn validity(case: &IdentityCase<'_>, certificate: &Certificate, findings: &[Finding]) -> Option<Finding> {
    let (from, until) = (certificate.facts().not_before, certificate.facts().not_after);
    let wanted = &case.wanted.validity;
    let life = until.duration_since(from);
    let declared = length(wanted.value);
    let said = |finding: &Finding| matches!(finding.reason, Reason::IssuerEndsFirst { .. });
    let issuer = case.issuer(certificate);
    let issuer_ends = issuer.map(|issuer| issuer.facts().not_after);
    if let Some(end) = issuer_ends.filter(|end| *end <= until && life + BACKDATED < declared) {
        let reason = NotAsDeclared::ValidityClamped { wanted: wanted.value, issuer_not_after: end };
        return (!findings.iter().any(said))
            .then(|| Finding::not_as_declared(reason).decided_by(wanted.by.as_ref()));
    }
    wanted.by.as_ref()?;
    // kubeadm lets its certificates begin with their CA: how long they were made for is not known then, only that what is left is not more than that.
    let begins_with_ca = issuer.is_some_and(|issuer| issuer.facts().not_before == from);
    let longer = match begins_with_ca {
        true => until.duration_since(case.now) > declared,
        false => life > declared + BACKDATED,
    };
    let differs = longer || life + BACKDATED < declared;
    let found = if begins_with_ca && longer { until.duration_since(case.now) } else { life };
    let next = case.wanted.renew_before.value.before(until);
    differs.then(|| {
        Finding::not_as_declared(NotAsDeclared::Validity {
            found: rounded(found),
            wanted: wanted.value,
            next,
        })
        .decided_by(wanted.by.as_ref())
    })
}

/// As people say it: in days, or in hours where those are few.
fn rounded(length: SignedDuration) -> Duration {
    const HOUR: u64 = 60 * 60;
    let seconds = u64::try_from(length.as_secs()).unwrap_or_default();
    let unit = if seconds < 48 * HOUR { HOUR } else { 24 * HOUR };
    Duration::from_seconds((seconds + unit / 2) / unit * unit)
}

fn length(duration: Duration) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(duration.seconds()).unwrap_or(i64::MAX))
}

/// The manifests on a node of components that the spec does not give it.
pub(super) fn roles(node: &DesiredNode, facts: &NodeFacts) -> Vec<Finding> {
    let present = node.manifests_of_others.iter().filter(|(path, _)| {
        matches!(facts.files.get(*path), Some(Seen::Present(file)) if file.kind == FileKind::Regular)
    });
    let reason = |(path, role): (&String, &Role)| {
        Finding::not_as_declared(NotAsDeclared::RoleContradicted { path: path.clone(), role: *role })
    };
    present.map(reason).collect()
}
