//! The checks of the way to a file: who else decides where it leads.
//!
//! A path that leads through a directory of another user leads wherever that user wants, at every moment. What lies behind such a step is unknown, also where
//! something was seen there, and nothing that depends on it is written.

use crate::desired::DesiredNode;
use crate::diagnostic::escaped;
use crate::protocol::facts::{Hop, Met, NodeFacts, Seen, UnsafeStep};
use crate::types::names::{Address, DirectoryName, NodeName, Target};
use crate::types::storage::{FileSpec, Storage};

use super::{Effect, Finding, Reason, own_hop, target};

/// What is said of a thing whose files lie behind such a step, instead of everything else or besides it.
pub(super) struct Ways {
    /// The findings.
    pub(super) findings: Vec<Finding>,
    /// Whether nothing was seen there, so that nothing else can be said.
    pub(super) is_all: bool,
}

/// The findings about the ways to these files; none where all of them are safe.
pub(super) fn findings(
    paths: &[&str],
    node: &DesiredNode,
    name: &NodeName,
    facts: &NodeFacts,
) -> Option<Ways> {
    let mut ways = Ways { findings: Vec::new(), is_all: false };
    for path in paths {
        let Some(step) = facts.unsafe_steps.get(*path) else { continue };
        ways.is_all |= !matches!(facts.files.get(*path), Some(Seen::Present(_)));
        let finding = match behind(step, node, path) {
            // Said once of the directory, instead of once of each file in it.
            Some((directory, known)) => {
                let address = Address::on(Target::Directory(directory.clone()), name);
                let because = format!("it lies behind {known}, see {address}");
                Finding { effect: Effect::Unknown, reason: Reason::Unknown { because }, decided_by: None }
            }
            None => unsafe_way(path, step),
        };
        if !ways.findings.contains(&finding) {
            ways.findings.push(finding);
        }
    }
    (!ways.findings.is_empty()).then_some(ways)
}

/// The directory of the layout that such a step leads to, if the path lies in it.
fn behind<'a>(step: &UnsafeStep, node: &'a DesiredNode, path: &str) -> Option<(&'a DirectoryName, &'a str)> {
    let lies_in = |known: &str| path.strip_prefix(known).is_some_and(|rest| rest.starts_with('/'));
    let directories = node.directories.iter().map(|(name, directory)| (name, directory.known_as()));
    let mut led_to =
        directories.filter(|(_, known)| (*known == step.to || step.link() == Some(*known)) && lies_in(known));
    led_to.next()
}

/// The finding about a directory of the layout itself, with what to declare where that is the way out.
pub(super) fn of_directory(directory: &DirectoryName, known_as: &str, facts: &NodeFacts) -> Option<Finding> {
    let step = facts.unsafe_steps.get(known_as)?;
    let mut finding = unsafe_way(known_as, step);
    if let (Reason::UnsafeLink { declare, .. }, Met::Link { target: text }) = (&mut finding.reason, &step.met)
        && step.to == known_as
        && step.to_owner.as_ref().is_some_and(|owner| owner.uid == 0 || owner.uid == facts.served_by.uid)
    {
        let place = target(&Hop { path: step.to.clone(), target: text.clone() });
        *declare = Some(format!("directories: {{ {directory}: {{ path: {place}, link: {known_as} }} }}"));
    }
    Some(finding)
}

/// The finding about this program's own directory.
pub(super) fn of_state(facts: &NodeFacts, state_directory: &str) -> Option<Finding> {
    let step = facts.unsafe_steps.get(state_directory.trim_end_matches('/'))?;
    Some(unsafe_way(state_directory, step))
}

fn unsafe_way(path: &str, step: &UnsafeStep) -> Finding {
    let (path, step) = (path.to_owned(), Box::new(step.clone()));
    let reason = if step.link().is_some() {
        Reason::UnsafeLink { path, step, declare: None }
    } else {
        Reason::ForeignDirectory { path, step }
    };
    Finding { effect: Effect::Unknown, reason, decided_by: None }
}

/// The link at the last name of a file with a private key, which is never written through: whoever made it wants the key elsewhere than the layout.
pub(crate) fn linked_key(storage: &Storage, facts: &NodeFacts) -> Vec<Finding> {
    let secret: &FileSpec = match storage {
        Storage::Pair { key, .. } => key,
        Storage::Combined { file } | Storage::Kubeconfig { file, .. } => file,
    };
    linked(&secret.path, facts).into_iter().collect()
}

/// The same of one file.
pub(super) fn linked(path: &str, facts: &NodeFacts) -> Option<Finding> {
    // Of a file that could not be read this is not said; that it could not is a finding, which blocks.
    let file = facts.files.get(path)?.known().ok()??;
    let name = path.rsplit('/').next()?;
    // The kubelet has its own certificate behind a link, and renews it itself.
    if name.starts_with("kubelet-") && name.ends_with("-current.pem") {
        return None;
    }
    let hop =
        own_hop(&file.hops, path).filter(|hop| !file.resolved.starts_with(&format!("{}/", hop.path)))?;
    let reason = Reason::KeyBehindLink {
        path: path.to_owned(),
        target: hop.target.clone(),
        resolved: file.resolved.clone(),
    };
    Some(Finding::blocks(reason))
}

/// What to do about a step, for a person.
pub(crate) fn safe_way(step: &UnsafeStep, declare: Option<&String>) -> String {
    if let Some(declare) = declare {
        return format!("if the link is right, declare it: {declare}");
    }
    let to = escaped(step.link().unwrap_or(&step.to));
    match (&step.met, &step.from_owner) {
        _ if step.link().is_some() => {
            format!(
                "look at {to} on the node: put the file itself there, or give the directories on the way to root"
            )
        }
        (Met::NotClosed { .. }, _) => {
            format!("look at what is in {to} on the node, then close it: chmod 0700 {to}")
        }
        (_, None) => format!(
            "take the write permission for others from {}: chmod go-w {}",
            escaped(&step.from),
            escaped(&step.from)
        ),
        (
            Met::Link { .. }
            | Met::Nothing
            | Met::Directory
            | Met::File
            | Met::HardLink
            | Met::MountPoint
            | Met::Other,
            Some(_),
        ) => {
            format!(
                "look at {to} on the node, and who owns {}: one user must own all of the way, or root",
                escaped(&step.from)
            )
        }
    }
}
