//! The checks of a directory that a link leads to.

use crate::desired::DesiredDirectory;
use crate::observed::{FileKind, Hop, NodeFacts, Seen};

use super::{Finding, Reason};

/// The findings about one directory. Only declared links are judged: a link that someone made for another directory is followed as it is.
pub(super) fn findings(wanted: &DesiredDirectory, facts: &NodeFacts) -> Vec<Finding> {
    let Some(link) = &wanted.link else { return loops(wanted, facts).into_iter().collect() };
    let finding = match facts.files.get(link) {
        None => Some(Finding::due_unless_unknown(Reason::Unknown {
            because: format!("{link} was not looked at"),
        })),
        Some(Seen::Unknown { reason }) => {
            Some(Finding::due_unless_unknown(Reason::Unknown { because: format!("{link}: {reason}") }))
        }
        Some(Seen::Absent) => Some(Finding::due(Reason::LinkMissing { wanted: wanted.path.clone() })),
        Some(Seen::Looping { .. }) => Some(Finding::blocks(Reason::LinkLoops { path: link.clone() })),
        Some(Seen::Dangling { hops, missing }) => match own_hop(hops, link) {
            Some(hop) if !leads_to(hop, &wanted.path) => Some(differs(hop, wanted)),
            Some(_) | None => {
                Some(Finding::due(Reason::LinkDangling { path: link.clone(), target: missing.clone() }))
            }
        },
        Some(Seen::Present(file)) => match own_hop(&file.hops, link) {
            None => Some(Finding::blocks(Reason::LinkIsDirectory { path: link.clone() })),
            Some(hop) if !leads_to(hop, &wanted.path) => Some(differs(hop, wanted)),
            Some(_) if file.kind != FileKind::Directory => {
                Some(Finding::blocks(Reason::NotAFile { path: wanted.path.clone() }))
            }
            Some(_) => None,
        },
    };
    finding.map(|finding| finding.decided_by(wanted.by.as_ref())).into_iter().collect()
}

fn loops(wanted: &DesiredDirectory, facts: &NodeFacts) -> Option<Finding> {
    match facts.files.get(&wanted.path)? {
        Seen::Looping { .. } => Some(Finding::blocks(Reason::LinkLoops { path: wanted.path.clone() })),
        Seen::Dangling { missing, .. } => {
            Some(Finding::blocks(Reason::LinkDangling { path: wanted.path.clone(), target: missing.clone() }))
        }
        Seen::Present(_) | Seen::Absent | Seen::Unknown { .. } => None,
    }
}

fn differs(hop: &Hop, wanted: &DesiredDirectory) -> Finding {
    Finding::blocks(Reason::LinkDiffers { found: hop.target.clone(), wanted: wanted.path.clone() })
}

/// The hop that is the link itself and not a link on the way to it.
fn own_hop<'a>(hops: &'a [Hop], link: &str) -> Option<&'a Hop> {
    let name = link.trim_end_matches('/').rsplit('/').next();
    hops.iter().find(|hop| hop.path == link || hop.path.rsplit('/').next() == name)
}

/// Whether a link's text names a directory, given absolute or relative to the link.
fn leads_to(hop: &Hop, directory: &str) -> bool {
    let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
    if hop.target.starts_with('/') {
        return trimmed(&hop.target) == trimmed(directory);
    }
    let mut parts: Vec<&str> = hop.path.split('/').collect();
    parts.pop();
    for part in hop.target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/") == trimmed(directory)
}
