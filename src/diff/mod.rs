//! What differs between what should be and what is, and why.
//!
//! What enters is [`Desired`], [`Observed`] and the instant `now`; what leaves is [`Differences`]: for each thing on each node its findings, each
//! a [`Reason`] with its [`Effect`]. Pure. Each check is one small function named after what it finds; facts are gathered once before (`views`), so that no
//! check parses anything, and who asks later what the nodes hold asks [`Differences`]. What could not be seen is a finding of its own and never counts as absent.

mod alarm;
mod authority;
mod authority_view;
mod cases;
mod copies;
mod declared;
mod differences;
mod directory;
mod files;
mod finding;
mod identity;
mod key_pair;
mod machine;
mod named;
mod pods;
mod reason;
mod refused;
mod request;
mod service;
mod shared;
pub mod signed;
mod snapshot_keys;
mod strangers;
mod succession;
#[cfg(test)]
mod tests;
mod trust;
mod unlisted;
mod verifiers;
mod view;
mod views;
mod ways;
mod wishes;

use std::sync::Arc;

use jiff::Timestamp;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

pub use alarm::FindingAlarm;
pub use authority_view::{AuthorityView, Staged};
pub use differences::{Differences, Findings};
pub(crate) use directory::{hidden, own_hop, target};
pub use finding::{Effect, Finding};
pub use identity::CertificateHealth;
pub use named::{NamedCertificate, named_certificates};
pub use reason::{CopyHeld, Judges, KnownContent, MoveObstacle, NotAsDeclared, Reason, Stray};
pub use request::waiting_request;
pub use shared::SharedView;
pub use succession::CaRotation;
pub(crate) use succession::successor_names;
pub use trust::is_extension;
pub use unlisted::{Outsider, Seen as SeenOutside, Sighting, Unlisted, unlisted, way_out};
pub use view::{Form, Identities, IdentityView, Renewal, storage_view};
pub(crate) use view::{foreign_content, in_the_way};
pub(crate) use ways::{linked_key, safe_way};

use crate::desired::{Desired, DesiredNode};
use crate::profile::{Keep, foreign};
use crate::protocol::facts::{Answer, NodeFacts, Observed};
use crate::types::duration::Duration;
use crate::types::names::{NodeName, Target};
use differences::add;
use pods::Doubts;
use views::Views;
use ways::Ways;

/// The largest difference between a node's clock and ours. Beyond it a certificate that we issue might not be valid yet on the node.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_seconds(60);

/// Compares what should be with what is at the instant `now`.
pub fn diff(desired: &Desired, observed: &Observed, now: Timestamp) -> Differences {
    let mut differences = Differences::without_findings(desired, observed, now);
    let views = &Arc::clone(differences.views());
    let nothing_held = Identities::new();
    let of_node = |(name, node): (&NodeName, &DesiredNode)| {
        let mut found = Findings::new();
        match observed.nodes.get(name) {
            Some(Answer::Facts(facts)) => {
                let held = views.identities.get(name).unwrap_or(&nothing_held);
                let unread = pods::unread(facts);
                let doubts = pods::doubts(node, facts, &unread);
                node_differences(&mut found, desired, (name, node), (facts, &doubts), (views, held), now);
                let of_node = [
                    clock_skew(facts, observed.observed_at),
                    takes_care_itself(facts),
                    machine::other_machine(desired, (name, node), facts, held),
                    ways::of_state(facts, &desired.snapshots.directory),
                ];
                let of_node = of_node.into_iter().flatten().chain(declared::roles(node, facts));
                let of_node = of_node.chain(pods::notes(node, facts, &unread));
                add(&mut found, Target::Node, name, of_node.collect());
            }
            Some(Answer::Unreachable { reason }) => {
                add(&mut found, Target::Node, name, vec![unreachable(reason)]);
            }
            Some(Answer::Skipped) => {
                add(&mut found, Target::Node, name, vec![Finding::note(Reason::Skipped)]);
            }
            None => add(&mut found, Target::Node, name, vec![unreachable("the node was not asked")]),
        }
        found
    };
    // Checking signatures is most of the work, and no node's checks need another's.
    let by_node: Vec<Findings> = desired.nodes.par_iter().map(of_node).collect();
    differences.findings = by_node.into_iter().flatten().collect();
    let shared = shared::between_nodes(&views.shared);
    for (subject, node, findings) in key_pair::between_nodes(desired, observed).into_iter().chain(shared) {
        differences.add(subject, &node, findings);
    }
    for (node, finding) in machine::common_addresses(desired, observed) {
        differences.add(Target::Node, &node, vec![finding]);
    }
    for (address, finding) in refused::findings(desired, observed, &differences) {
        differences.add_at(address, vec![finding]);
    }
    if let Some((at, finding)) = unlisted(desired, observed).finding() {
        differences.add_at(at.clone(), vec![finding]);
    }
    differences
}

fn node_differences(
    found: &mut Findings,
    desired: &Desired,
    (name, node): (&NodeName, &DesiredNode),
    (facts, doubts): (&NodeFacts, &Doubts),
    (views, held): (&Views, &Identities),
    now: Timestamp,
) {
    for (directory, wanted) in &node.directories {
        if directory::hiding(node, facts, wanted.known_as()).is_some() {
            continue;
        }
        let findings = match ways::of_directory(directory, wanted.known_as(), facts) {
            Some(finding) => vec![finding],
            None => directory::findings(wanted, facts),
        };
        add(found, Target::Directory(directory.clone()), name, findings);
    }
    // What lies behind a step that somebody else decides is unknown, whatever was seen there.
    let by_unsafe_ways =
        |paths: &[&str], findings: Vec<Finding>| match ways::findings(paths, node, name, facts) {
            Some(Ways { findings, is_all: true }) => findings,
            Some(Ways { findings: ways, is_all: false }) => ways.into_iter().chain(findings).collect(),
            None => findings,
        };
    let hidden = |paths: &[&str]| {
        let (directory, wanted) = paths.iter().find_map(|path| directory::hiding(node, facts, path))?;
        Some(vec![hidden(directory, wanted, name)])
    };
    let doubted = |target: Target, findings: Vec<Finding>| pods::doubted(doubts, &target, findings);
    for (authority, copy) in &node.authorities {
        let (Some(wanted), Some(view)) =
            (desired.authorities.get(authority), views.authorities.get(authority))
        else {
            continue;
        };
        let succession = views.successions.get(authority);
        let case = cases::AuthorityCase {
            now,
            name: authority,
            wanted,
            copy,
            view,
            succession,
            node: name,
            on: node,
            facts,
        };
        let findings = hidden(&[&copy.certificate.path, &copy.key.path]);
        let findings = findings.unwrap_or_else(|| {
            let linked = ways::linked(&copy.key.path, facts);
            case.findings().into_iter().chain(copies::of_authority(&case, &hidden)).chain(linked).collect()
        });
        let copied = copy.copies.values().map(|file| file.path.as_str());
        let paths: Vec<&str> = [&*copy.certificate.path, &*copy.key.path].into_iter().chain(copied).collect();
        let findings = by_unsafe_ways(&paths, doubted(Target::Authority(authority.clone()), findings));
        add(found, Target::Authority(authority.clone()), name, findings);
    }
    for (identity, wanted) in &node.identities {
        let Some(view) = held.get(identity) else { continue };
        let authority = views.known().of(wanted, desired);
        let case = cases::IdentityCase { now, wanted, view, authority, node: name, on: node, facts };
        let files: Vec<&str> = wanted.storage.files().into_iter().map(|file| file.path.as_str()).collect();
        let findings = hidden(&files).unwrap_or_else(|| {
            let linked = linked_key(&wanted.storage, facts);
            case.findings().into_iter().chain(copies::of_identity(&case, &hidden)).chain(linked).collect()
        });
        let copied = wanted.copies.values().filter(|copy| copy.keep != Keep::Report);
        let copied = copied.flat_map(|copy| copy.storage.files()).map(|file| file.path.as_str());
        let files: Vec<&str> = files.into_iter().chain(copied).collect();
        let findings = by_unsafe_ways(&files, doubted(Target::Identity(identity.clone()), findings));
        add(found, Target::Identity(identity.clone()), name, findings);
    }
    for (pair, wanted) in &node.key_pairs {
        let findings = hidden(&[&wanted.private.path, &wanted.public.path]);
        let findings = findings.unwrap_or_else(|| key_pair::findings(wanted, facts));
        let findings = doubted(Target::KeyPair(pair.clone()), findings);
        let findings = by_unsafe_ways(&[&wanted.private.path, &wanted.public.path], findings);
        add(found, Target::KeyPair(pair.clone()), name, findings);
    }
    for (service, wanted) in &node.services {
        let Some(live) = facts.services.get(service) else { continue };
        let case = service::ServiceCase { version: node.version, node, wanted, live, facts, held };
        add(found, Target::Service(service.clone()), name, case.findings());
    }
}

fn unreachable(reason: &str) -> Finding {
    Finding {
        effect: Effect::Unknown,
        reason: Reason::Unknown { because: reason.to_owned() },
        decided_by: None,
    }
}

/// Files of k3s, RKE2 or k0s are theirs alone to write: what else is written there is undone at their next start, or breaks them.
fn takes_care_itself(facts: &NodeFacts) -> Option<Finding> {
    let foreign = foreign(facts)?;
    let (distribution, path) = (foreign.name.to_owned(), foreign.marker.to_owned());
    Some(Finding::blocks(Reason::TakesCareItself { distribution, path }))
}

/// The node's clock is off by more than [`MAX_CLOCK_SKEW`].
fn clock_skew(facts: &NodeFacts, ours: Timestamp) -> Option<Finding> {
    let off = facts.clock < MAX_CLOCK_SKEW.before(ours) || facts.clock > MAX_CLOCK_SKEW.after(ours);
    off.then(|| Finding::blocks(Reason::ClockSkew { node: facts.clock, ours }))
}
