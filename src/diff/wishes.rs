//! Wishes of a spec that this version cannot fulfil: another CA in the place of one that is not etcd's alone.
//!
//! What enters is an authority on a node; what leaves is a finding for each wish, which blocks the plan and is an alarm: a spec that is accepted and not followed would look as
//! if all were well. What can be fulfilled is the part of [`super::succession`]. Pure.

use crate::spec::types::OnExpiry;

use super::cases::AuthorityCase;
use super::{Finding, Reason};

/// The wishes about an authority that cannot be fulfilled, told on the nodes that may sign.
pub(super) fn findings(case: &AuthorityCase<'_>) -> Vec<Finding> {
    if case.view.domain.is_replaceable() {
        return Vec::new();
    }
    let section =
        |field: &str| ["spec", "authorities", case.name.as_str(), field].map(str::to_owned).to_vec();
    let cannot = |asked: String, field: &str| {
        let reason = Reason::CannotReplace { authority: case.name.clone(), asked };
        Finding::blocks(reason).decided_by(Some(&section(field)))
    };
    let mut findings = Vec::new();
    let held = case.view.on_node(case.node).unwrap_or_default();
    for (fingerprint, because) in case.wanted.distrusted() {
        let is_held = held.iter().any(|held| *held.fingerprint() == fingerprint);
        let goes = |leaving: &super::CaRotation| leaving.leaving.contains_key(&fingerprint);
        if is_held && !case.succession.is_some_and(goes) {
            findings.push(cannot(format!("`distrust` of {} ({because})", fingerprint.short()), "distrust"));
        }
    }
    if case.wanted.on_expiry == OnExpiry::Replace && case.copy.may_hold_key {
        findings.push(cannot("`onExpiry: replace`".to_owned(), "onExpiry"));
    }
    findings
}
