//! Directories that lie elsewhere than the layout has them: moved by the flags of components, or behind a link.

use std::collections::BTreeMap;

use super::{Draft, Evidence};
use crate::adopt::first_look::PLATFORM_CONFIG;
use crate::desired::DesiredNode;
use crate::diff::{own_hop, target};
use crate::protocol::facts::{FileKind, NodeFacts, Seen};
use crate::spec::check::forms::path_fault;
use crate::spec::types::Directory;
use crate::types::names::{DirectoryName, NodeName};

/// Declares what all nodes agree on.
pub(super) fn adopt(draft: &mut Draft, sight: &Evidence<'_>) {
    for (name, entry) in &sight.profile.directories {
        if draft.spec.spec.directories.contains_key(name) {
            continue;
        }
        let Some(default) = entry.path.as_deref() else {
            release(draft, sight, name);
            continue;
        };
        let mut found: BTreeMap<&NodeName, Option<Directory>> = BTreeMap::new();
        for (node, wanted) in &sight.survey.desired.nodes {
            if let Some(facts) = sight.facts(node)
                && let Some(place) = place(wanted, facts, name, default)
            {
                found.insert(node, place);
            }
        }
        let Some((first, place)) = found.first_key_value() else { continue };
        if found.values().all(|other| other == place) {
            if let Some(directory) = place {
                let from = match &directory.link {
                    Some(link) => format!("{link} on {first} is a link to it"),
                    None => match sight.facts(first).and_then(|facts| facts.static_pod_folder()) {
                        Some((folder, by)) if folder == directory.path => {
                            format!("staticPodPath in {by} on {first}")
                        }
                        Some(_) | None => format!("by the flags in the manifests on {first}"),
                    },
                };
                draft.comments.say(&["directories", name.as_str()], from);
                draft.spec.spec.directories.insert(name.clone(), directory.clone());
            }
            continue;
        }
        let told = |(node, place): (&&NodeName, &Option<Directory>)| match place {
            Some(directory) => format!("{} on {node}", directory.path),
            None => format!("where the profile has it on {node}"),
        };
        let places: Vec<String> = found.iter().map(told).collect();
        draft
            .remark(format!("the directory {name} is {}: links are followed as they are", places.join(", ")));
    }
}

/// Where a node has a directory, if that is not where the layout has it. Nothing for a node on which it is not seen.
fn place(
    wanted: &DesiredNode,
    facts: &NodeFacts,
    name: &DirectoryName,
    default: &str,
) -> Option<Option<Directory>> {
    let known = wanted.directories.get(name)?.known_as();
    let Some(Seen::Present(file)) = facts.files.get(known) else { return None };
    if file.kind != FileKind::Directory {
        return None;
    }
    let linked = own_hop(&file.hops, known).map(target).filter(|path| path_fault(path).is_none());
    Some(match linked {
        Some(path) => Some(Directory { path, link: Some(known.to_owned()), migrate: false }),
        None if known != filled(default, wanted) => {
            Some(Directory { path: known.to_owned(), link: None, migrate: false })
        }
        None => None,
    })
}

/// A default path with the directories that it names in it.
fn filled(path: &str, wanted: &DesiredNode) -> String {
    wanted.directories.iter().fold(path.to_owned(), |path, (name, directory)| {
        path.replace(&format!("{{{name}}}"), directory.known_as())
    })
}

/// The directory of the release that a StarlingX controller has, which no layout can know.
fn release(draft: &mut Draft, sight: &Evidence<'_>, name: &DirectoryName) {
    let is_release = |entry: &&String| {
        entry.starts_with(|first: char| first.is_ascii_digit())
            && entry.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let mut releases: BTreeMap<String, &NodeName> = BTreeMap::new();
    for node in sight.survey.desired.nodes.keys() {
        // One that could not be listed names no release, and the path of the layout stays, which the next plan looks for.
        let listing = sight.facts(node).and_then(|facts| facts.files.get(PLATFORM_CONFIG)?.known().ok()?);
        let entries = listing.and_then(|file| file.content.entries()).unwrap_or_default();
        releases.extend(entries.iter().filter(is_release).map(|release| (release.clone(), node)));
    }
    let mut several = releases.iter();
    match (several.next(), several.next()) {
        (Some((release, node)), None) => {
            let path = format!("{PLATFORM_CONFIG}/{release}");
            draft.comments.say(&["directories", name.as_str()], format!("the only release on {node}"));
            let directory = Directory { path, link: None, migrate: false };
            draft.spec.spec.directories.insert(name.clone(), directory);
        }
        (Some(_), Some(_)) => {
            let releases: Vec<&str> = releases.keys().map(String::as_str).collect();
            let releases = releases.join(", ");
            draft.remark(format!(
                "{PLATFORM_CONFIG} holds several releases ({releases}): declare directories.{name} once one is left"
            ));
        }
        (None, _) => {}
    }
}
