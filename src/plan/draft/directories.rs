//! Deeds about directories: links, directories that are moved, and directories that have to be there before anything is put into them.
//!
//! What enters is the findings about directories and the deeds so far; what leaves is the deeds that come before them, and which services have another
//! directory open than the one that will be there. Pure.

use std::collections::BTreeSet;

use crate::desired::{DesiredNode, DesiredService};
use crate::diff::{Effect, Finding, Reason};
use crate::protocol::facts::{NodeFacts, Seen};
use crate::types::names::{Address, DirectoryName, NodeName, Target};
use crate::types::storage::FileSpec;

use crate::plan::known::builder::Builder;
use crate::plan::known::paths::{lies_below, reads_below};
use crate::plan::{Blocked, Deed, Why};

/// What is said of everything behind a link that this plan makes: it is seen, and planned, only once the link is there.
pub(crate) fn behind_missing_links(builder: &mut Builder<'_>) -> BTreeSet<Finding> {
    let mut behind = BTreeSet::new();
    let all = builder.input.differences.findings.values().flatten();
    let unknown: BTreeSet<&Finding> = all.filter(|finding| finding.effect == Effect::Unknown).collect();
    for (name, node) in &builder.input.survey.desired.nodes {
        for (directory, wanted) in &node.directories {
            let address = Address::on(Target::Directory(directory.clone()), name);
            let missing = |finding: &Finding| matches!(finding.reason, Reason::LinkMissing { .. });
            if !builder.findings(&address).iter().any(missing) {
                continue;
            }
            let hidden = crate::diff::hidden(directory, wanted, name);
            if unknown.contains(&hidden) {
                let because =
                    format!("what lies behind {} can be seen only once the link is made", wanted.known_as());
                let help = Some("plan again after that".to_owned());
                builder.draft.elsewhere.push(Blocked { address, because, help, findings: Vec::new() });
                behind.insert(hidden);
            }
        }
    }
    behind
}

/// Draws what is due of the directories themselves.
pub(crate) fn build(builder: &mut Builder<'_>, name: &NodeName, node: &DesiredNode) {
    for (directory, wanted) in &node.directories {
        let address = Address::on(Target::Directory(directory.clone()), name);
        let due: Vec<Finding> = builder
            .findings(&address)
            .iter()
            .filter(|finding| finding.effect == Effect::Due)
            .cloned()
            .collect();
        let (Some(link), false) = (&wanted.link, due.is_empty()) else { continue };
        let reasons: Vec<Why> = due.iter().map(|finding| builder.why(finding)).collect();
        if due.iter().any(|finding| matches!(finding.reason, Reason::LinkMissing { .. })) {
            let deed = Deed::MakeLink { path: link.clone(), target: wanted.path.clone() };
            builder.add(address, deed, reasons, false);
        } else if due.iter().any(|finding| matches!(finding.reason, Reason::LinkIsDirectory { .. })) {
            move_directory(builder, address, node, (directory, link), &wanted.path, reasons);
        }
    }
}

/// One directory inside another is moved after it, by a plan that sees where it is then.
fn move_directory(
    builder: &mut Builder<'_>,
    address: Address,
    node: &DesiredNode,
    (directory, link): (&DirectoryName, &str),
    path: &str,
    reasons: Vec<Why>,
) {
    let moves = |name: &DirectoryName| {
        let address = address.beside(Target::Directory(name.clone()));
        let is_due = |finding: &Finding| {
            finding.effect == Effect::Due && matches!(finding.reason, Reason::LinkIsDirectory { .. })
        };
        builder.findings(&address).iter().any(is_due)
    };
    let outer = node
        .directories
        .iter()
        .find(|(name, outer)| *name != directory && lies_below(link, outer.known_as()) && moves(name));
    if let Some((name, _)) = outer {
        let because = format!("it lies in dir/{name}, which this plan moves first");
        let findings = reasons;
        let help = Some("plan again after that".to_owned());
        builder.draft.elsewhere.push(Blocked { address, because, help, findings });
        return;
    }
    let by_hand = |service: &DesiredService| {
        let command = service.restart.as_ref().and_then(|restart| restart.command.as_ref());
        command.is_none() && reads_below(service, node, link)
    };
    let keeps_old = node.services.values().any(by_hand);
    let deed = Deed::MoveDirectory { link: link.to_owned(), path: path.to_owned(), keeps_old };
    builder.add(address, deed, reasons, true);
}

/// Makes the directories that the deeds so far need and that are not there.
pub(crate) fn parents(builder: &mut Builder<'_>, name: &NodeName, node: &DesiredNode, facts: &NodeFacts) {
    let mut missing: BTreeSet<String> = BTreeSet::new();
    for deed in builder.draft.on(name) {
        let traits = deed.traits();
        let targets = traits.parents.unwrap_or(traits.writes);
        for path in targets {
            missing.extend(ancestors(path).filter(|ancestor| is_missing(facts, ancestor)).map(str::to_owned));
        }
        if let Deed::MakeLink { target, .. } = &deed.deed
            && is_missing(facts, target)
        {
            missing.insert(target.clone());
        }
    }
    for directory in node.directories.values().filter(|directory| directory.link.is_some()) {
        // The link itself is made by its own deed, or is there and dangling.
        missing.remove(directory.known_as());
        if builder.draft.moved(name).contains(directory.known_as()) {
            missing.remove(&directory.path);
            continue;
        }
        if missing.iter().any(|path| path.starts_with(&format!("{}/", directory.known_as())))
            || writes_below(builder, name, directory.known_as())
        {
            if is_missing(facts, &directory.path) {
                missing.insert(directory.path.clone());
            }
            missing
                .extend(ancestors(&directory.path).filter(|path| is_missing(facts, path)).map(str::to_owned));
        }
    }
    for path in missing {
        let known = node
            .directories
            .iter()
            .find(|(_, directory)| directory.path == path || directory.known_as() == path);
        let mode = known.map_or(crate::types::scalars::FileMode::DIRECTORY, |(_, directory)| directory.mode);
        let subject = match known {
            Some((name, _)) => Target::Directory(name.clone()),
            None => Target::Node,
        };
        let directory = FileSpec { path, user: "root".to_owned(), group: "root".to_owned(), mode };
        builder.add(Address::on(subject, name), Deed::MakeDirectory { directory }, Vec::new(), false);
    }
}

fn writes_below(builder: &Builder<'_>, node: &NodeName, directory: &str) -> bool {
    let prefix = format!("{directory}/");
    builder.draft.on(node).iter().flat_map(|deed| deed.paths()).any(|path| path.starts_with(&prefix))
}

/// The directories above a path, `/` left out, outermost first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(index, _)| path.get(..index)).filter(|ancestor| !ancestor.is_empty())
}

/// Whether a directory is not there, or only as a link to nothing.
fn is_missing(facts: &NodeFacts, path: &str) -> bool {
    match facts.files.get(path) {
        Some(Seen::Absent | Seen::Dangling { .. }) => true,
        Some(Seen::Present(_) | Seen::Looping { .. } | Seen::Unknown { .. }) | None => false,
    }
}
