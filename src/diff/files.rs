//! The checks of a file itself: permission bits and owner.

use crate::protocol::facts::{FileFacts, FileKind, NodeFacts, Seen};
use crate::types::storage::FileSpec;

use super::{Finding, Reason};

/// The findings about one file; none while there is no file, which others say.
pub(super) fn findings(wanted: &FileSpec, facts: &NodeFacts) -> Vec<Finding> {
    let Some(Seen::Present(file)) = facts.files.get(&wanted.path) else { return Vec::new() };
    if file.kind != FileKind::Regular {
        return Vec::new();
    }
    [permissions_differ(wanted, file), owner_differs(wanted, file, facts)].into_iter().flatten().collect()
}

/// Only bits that grant more than wanted: hardening guides tighten modes, and undoing that would be a surprise.
fn permissions_differ(wanted: &FileSpec, file: &FileFacts) -> Option<Finding> {
    let grants_more = file.mode & !wanted.mode.bits() != 0;
    grants_more.then(|| {
        Finding::due(Reason::PermissionsDiffer {
            path: wanted.path.clone(),
            found: file.mode,
            wanted: wanted.mode,
        })
    })
}

/// A node that is not served by root cannot give files away; there its own user stands for root.
fn owner_differs(wanted: &FileSpec, file: &FileFacts, facts: &NodeFacts) -> Option<Finding> {
    let stands_for_root = |id: u32, own: u32| id == 0 || own != 0 && id == own;
    let user = match &file.owner {
        _ if wanted.user == "root" => stands_for_root(file.uid, facts.served_by.uid),
        Some(owner) => *owner == wanted.user,
        None => wanted.user == file.uid.to_string(),
    };
    let group = match &file.group {
        _ if wanted.group == "root" => stands_for_root(file.gid, facts.served_by.gid),
        Some(group) => *group == wanted.group,
        None => wanted.group == file.gid.to_string(),
    };
    (!(user && group)).then(|| {
        let user = file.owner.clone().unwrap_or_else(|| file.uid.to_string());
        let group = file.group.clone().unwrap_or_else(|| file.gid.to_string());
        Finding::due(Reason::OwnerDiffers {
            path: wanted.path.clone(),
            found: format!("{user}:{group}"),
            wanted: format!("{}:{}", wanted.user, wanted.group),
        })
    })
}
