//! The keys of distrusted CAs that outlive them in snapshots.
//!
//! What enters is an authority on a node; what leaves is a finding for each CA that the spec distrusts, that no node holds any
//! more, and whose key the node's snapshots hold, or may hold. While a node holds it, its replacement comes first, and ends with
//! the same. Pure.

use crate::protocol::facts::Seen;
use crate::x509::Sha256;

use super::cases::AuthorityCase;
use super::{Finding, Reason};

/// What of the keys of distrusted CAs is left in the snapshots of a node.
pub(super) fn findings(case: &AuthorityCase<'_>) -> Vec<Finding> {
    // What a node holds that was not seen is not known to be gone.
    if !case.view.unknown.is_empty() {
        return Vec::new();
    }
    // Whether it is gone takes a look at every node, and most have nothing to tell of it.
    let told = case
        .wanted
        .distrusted()
        .filter_map(|(fingerprint, because)| Some((fingerprint, finding(case, fingerprint, because)?)));
    let of_gone = told.filter(|(fingerprint, _)| !case.view.holds(fingerprint));
    of_gone.map(|(_, finding)| finding).collect()
}

fn finding(case: &AuthorityCase<'_>, fingerprint: Sha256, because: &str) -> Option<Finding> {
    let unread = |because: &str| {
        let because = because.to_owned();
        Some(Finding::due(Reason::SnapshotsUnread { fingerprint, because }))
    };
    match &case.facts.kept_keys {
        Seen::Present(kept) => {
            // One that is in use under another certificate comes into every snapshot to come.
            let kept = kept.get(&fingerprint).filter(|kept| !case.view.holds_key(&kept.key))?;
            let (key, files, because) = (kept.key, kept.files, because.to_owned());
            Some(Finding::due(Reason::KeyInSnapshots { fingerprint, key, files, because }))
        }
        Seen::Absent => None,
        Seen::Dangling { missing, .. } => unread(&format!("{missing} does not exist")),
        Seen::Looping { .. } => unread("the links to it lead in a circle"),
        Seen::Unknown { reason } => unread(reason),
    }
}
