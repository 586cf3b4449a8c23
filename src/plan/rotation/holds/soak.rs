//! How long an old CA is trusted beside the new one, where the spec asks for it: until then nothing of it is dropped.
//!
//! What enters is the replacement and the files' times; what leaves is a hold before the phase that drops. Pure.

use jiff::Timestamp;

use super::hold::{Hold, RotationCase};
use crate::plan::Phase;
use crate::types::format::instant;

/// Both are trusted for a while after the last certificate of the new one was written.
pub(super) fn hold(case: &RotationCase<'_, '_>) -> Option<Hold> {
    let soak = case.wanted.soak.filter(|soak| soak.seconds() > 0)?;
    let postponed = |until, because| Some(case.postponed(Phase::DropOld, case.first, until, because));
    if !case.is_complete() {
        let because = format!(
            "the old CA and the new one are both trusted for {soak} after this plan; then a plan drops the old one"
        );
        return postponed(None, because);
    }
    let until = soak.after(last_written(case)?);
    let because = format!(
        "nobody shows a certificate of the old CA any more; it is dropped by a plan after {}",
        instant(until)
    );
    if case.input.now < until { postponed(Some(until), because) } else { None }
}

/// When the last certificate of it was written on any node: by its file's time, and never before it was made, since whoever copies files may keep older times.
/// The journals would tell no more: what a run writes begins five minutes before that at the earliest, and of what was done by hand, or pruned, they tell nothing.
fn last_written(case: &RotationCase<'_, '_>) -> Option<Timestamp> {
    let mut last = None;
    for (name, node) in &case.input.survey.desired.nodes {
        let facts = case.input.survey.observed.nodes.get(name).and_then(|answer| answer.facts());
        let own = node.identities.iter();
        for (identity, wanted) in own.filter(|(_, wanted)| wanted.authority.as_ref() == Some(case.name)) {
            let certificate =
                case.input.differences.identity(name, identity).and_then(|held| held.certificate.as_ref());
            last = last.max(certificate.map(|certificate| certificate.facts().not_before));
            for place in wanted.places() {
                let file = facts.and_then(|facts| facts.files.get(place.certificate_path()));
                // The time of a file that could not be read does not count; that it could not holds the rotation before this is asked.
                last = last.max(file.and_then(|seen| seen.known().ok()?).map(|file| file.modified));
            }
        }
    }
    last
}
