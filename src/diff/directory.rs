//! The checks of a directory that a link leads to.

use crate::desired::{DesiredDirectory, DesiredNode};
use crate::protocol::facts::{Content, FileFacts, FileKind, Hop, NodeFacts, Seen};
use crate::types::names::{Address, DirectoryName, NodeName, Target};

use super::{Effect, Finding, MoveObstacle, Reason};

/// The outermost directory of a node that hides what lies at `path`. Nothing is known of files behind it, least of all that they are missing.
pub(super) fn hiding<'a>(
    node: &'a DesiredNode,
    facts: &NodeFacts,
    path: &str,
) -> Option<(&'a DirectoryName, &'a DesiredDirectory)> {
    let lies_in = |directory: &DesiredDirectory| {
        path.strip_prefix(directory.known_as()).is_some_and(|rest| rest.starts_with('/'))
    };
    let hiding =
        node.directories.iter().filter(|(_, directory)| lies_in(directory) && hides(directory, facts));
    hiding.min_by_key(|(_, directory)| directory.known_as().len())
}

/// Whether the way to a directory's files is blocked, by a link or by something that is no directory.
fn hides(directory: &DesiredDirectory, facts: &NodeFacts) -> bool {
    match facts.files.get(directory.known_as()) {
        Some(Seen::Dangling { .. } | Seen::Looping { .. } | Seen::Unknown { .. }) => true,
        Some(Seen::Present(file)) => file.kind != FileKind::Directory,
        // Only the link is missing when the directory itself is there: then its files are seen through the link that will be made, or not at all.
        Some(Seen::Absent) => {
            directory.link.is_some()
                && matches!(facts.files.get(&directory.path), Some(Seen::Present(_)))
                && !is_seen_through(directory, facts)
        }
        None => false,
    }
}

/// Whether what lies behind a link that is not there yet was seen at its real place, where there may be nothing at all.
fn is_seen_through(directory: &DesiredDirectory, facts: &NodeFacts) -> bool {
    let link = directory.known_as();
    // It is asked of one that is present alone.
    let content =
        facts.files.get(&directory.path).and_then(|seen| seen.known().ok()?).map(|file| &file.content);
    if matches!(content, Some(Content::Directory { entries, complete: true }) if entries.is_empty()) {
        return true;
    }
    let below = facts.files.range(format!("{link}/")..);
    let mut below = below.take_while(|(path, _)| path.starts_with(&format!("{link}/")));
    below.any(|(_, seen)| matches!(seen, Seen::Present(_)))
}

/// What stands in the way of moving a directory; `Err` when it is not known.
fn obstacle(
    link: &str,
    path: &str,
    directory: &FileFacts,
    facts: &NodeFacts,
) -> Result<Option<MoveObstacle>, String> {
    let above = link.rsplit_once('/').map(|(above, _)| above).unwrap_or_default();
    // One above that could not be read is taken for the same file system: the node itself refuses to move what is mounted.
    if let Some(above) = facts.files.get(above).and_then(|seen| seen.known().ok()?)
        && above.device != directory.device
    {
        return Ok(Some(MoveObstacle::IsMounted));
    }
    let link_there = |hops: &[Hop]| own_hop(hops, path).map(|hop| hop.target.clone());
    match facts.files.get(path) {
        None => Err(format!("{path} was not looked at")),
        Some(Seen::Unknown { reason }) => Err(format!("{path}: {reason}")),
        Some(Seen::Absent) => Ok(None),
        Some(Seen::Dangling { hops, .. } | Seen::Looping { hops }) => Ok(Some(
            link_there(hops).map_or(MoveObstacle::IsNoDirectory, |target| MoveObstacle::IsLink { target }),
        )),
        Some(Seen::Present(there)) => match (link_there(&there.hops), &there.content) {
            (Some(target), _) => Ok(Some(MoveObstacle::IsLink { target })),
            (None, Content::Directory { entries, .. }) if entries.is_empty() => Ok(None),
            (None, Content::Directory { entries, .. }) => {
                Ok(Some(MoveObstacle::HoldsFiles { count: entries.len() }))
            }
            (None, Content::Unreadable { reason }) => Err(format!("{path}: {reason}")),
            (None, _) if there.kind == FileKind::Directory => Err(format!("{path} was not looked into")),
            (None, _) => Ok(Some(MoveObstacle::IsNoDirectory)),
        },
    }
}

/// The finding about something real that stands where the link should be.
fn in_the_way(wanted: &DesiredDirectory, link: &str, file: &FileFacts, facts: &NodeFacts) -> Finding {
    let (path, wanted_path) = (link.to_owned(), wanted.path.clone());
    if file.kind != FileKind::Directory {
        return Finding::blocks(Reason::LinkIsFile { path, wanted: wanted_path });
    }
    match obstacle(link, &wanted.path, file, facts) {
        Ok(None) if !wanted.migrate => Finding::blocks(Reason::LinkIsDirectory { path, wanted: wanted_path }),
        Ok(None) => Finding::due(Reason::LinkIsDirectory { path, wanted: wanted_path }),
        Ok(Some(obstacle)) => Finding::blocks(Reason::CannotMove { path, wanted: wanted_path, obstacle }),
        Err(because) => Finding::due_unless_unknown(Reason::Unknown { because }),
    }
}

/// What is said of everything behind a directory that hides its files: once, instead of a finding for each file.
pub(crate) fn hidden(name: &DirectoryName, directory: &DesiredDirectory, node: &NodeName) -> Finding {
    let address = Address::on(Target::Directory(name.clone()), node);
    let because = format!("it lies behind {}, see {address}", directory.known_as());
    Finding { effect: Effect::Unknown, reason: Reason::Unknown { because }, decided_by: None }
}

/// The findings about one directory. Only declared links are judged: a link that someone made for another directory is followed as it is.
pub(super) fn findings(wanted: &DesiredDirectory, facts: &NodeFacts) -> Vec<Finding> {
    let Some(link) = &wanted.link else { return blocked_way(wanted, facts).into_iter().collect() };
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
            None => Some(in_the_way(wanted, link, file, facts)),
            Some(hop) if !leads_to(hop, &wanted.path) => Some(differs(hop, wanted)),
            Some(_) if file.kind != FileKind::Directory => {
                Some(Finding::blocks(Reason::NotADirectory { path: wanted.path.clone() }))
            }
            Some(_) => None,
        },
    };
    finding.map(|finding| finding.decided_by(wanted.by.as_ref())).into_iter().collect()
}

fn blocked_way(wanted: &DesiredDirectory, facts: &NodeFacts) -> Option<Finding> {
    match facts.files.get(&wanted.path)? {
        Seen::Looping { .. } => Some(Finding::blocks(Reason::LinkLoops { path: wanted.path.clone() })),
        Seen::Dangling { missing, .. } => {
            Some(Finding::blocks(Reason::LinkDangling { path: wanted.path.clone(), target: missing.clone() }))
        }
        Seen::Present(file) if file.kind != FileKind::Directory => {
            Some(Finding::blocks(Reason::NotADirectory { path: wanted.path.clone() }))
        }
        Seen::Unknown { reason } => {
            let because = format!("{}: {reason}", wanted.path);
            Some(Finding::due_unless_unknown(Reason::Unknown { because }))
        }
        Seen::Present(_) | Seen::Absent => None,
    }
}

fn differs(hop: &Hop, wanted: &DesiredDirectory) -> Finding {
    Finding::blocks(Reason::LinkDiffers { found: hop.target.clone(), wanted: wanted.path.clone() })
}

/// The hop that is the link itself and not a link on the way to it.
pub(crate) fn own_hop<'a>(hops: &'a [Hop], link: &str) -> Option<&'a Hop> {
    let name = link.trim_end_matches('/').rsplit('/').next();
    hops.iter().find(|hop| hop.path == link || hop.path.rsplit('/').next() == name)
}

/// Whether a link's text names a directory, given absolute or relative to the link.
fn leads_to(hop: &Hop, directory: &str) -> bool {
    target(hop) == directory.trim_end_matches('/')
}

/// Where a link leads, by its text alone.
pub(crate) fn target(hop: &Hop) -> String {
    if hop.target.starts_with('/') {
        return hop.target.trim_end_matches('/').to_owned();
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
    parts.join("/")
}
