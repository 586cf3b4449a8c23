//! The looks by which a node would refuse an action, as far as it is known before anything is done.
//!
//! What enters is the state before an action and what it goes by; what leaves is the reason why the action cannot succeed. A node looks before it writes, and reads
//! afresh what it has written before it keeps it; each of these looks is taken here too, whoever planned the action. Which deed takes which is said in [`super::deeds`].
//! What is not known refuses nothing. Written from what the orders are documented to do, without a look at how they are carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::plan::{
    Action, CaCertificates, Deed, Expected, Issue, KeySource, PlanContent, PlannedTransaction, Precondition,
    fact,
};
use crate::protocol::facts::Observed;
use crate::trust::disk::{DiskEntry, File, Source};
use crate::trust::judge::Verdict;
use crate::trust::material::{CertificateId, Holding, Key, Known};
use crate::trust::model::ClusterModel;
use crate::trust::state::State;
use crate::types::certificate::Usage;
use crate::types::names::{AuthorityName, NodeName};
use crate::types::storage::Storage;

/// The actions that need to find what is not there, and why that is so. A visit looks at its node once, before it begins.
pub(super) fn unmet<'p>(plan: &'p PlanContent, observed: &Observed) -> Vec<(&'p Action, String)> {
    let mut left: BTreeMap<(&NodeName, &str), &Action> = BTreeMap::new();
    let numbers: BTreeSet<u32> = plan.actions().map(|action| action.number).collect();
    let mut unmet = Vec::new();
    for visit in &plan.visits {
        let before = left.clone();
        for action in &visit.actions {
            for precondition in &action.preconditions {
                let Precondition::File { node, path, expected } = precondition else { continue };
                // In the cluster there are no files.
                let Some(node) = node.as_ref().or(action.address.node()) else { continue };
                let place = (node, path.as_str());
                let reason = match expected {
                    Expected::AsLeftBy(number) => {
                        let last = left.get(&place).map(|action| action.number);
                        let is_met = last == Some(*number) || !numbers.contains(number);
                        (!is_met).then(|| format!("it needs {path} as step {number} leaves it"))
                    }
                    Expected::Fact(wanted) => {
                        let found = observed.nodes.get(node).and_then(|answer| answer.facts());
                        let found = found.map(|facts| fact(facts, path));
                        let is_other = found.as_ref().is_some_and(|found| found != wanted);
                        let step = before.get(&place).filter(|_| visit.place.is(node));
                        match (step, found) {
                            (Some(step), _) => Some(format!("step {} writes {path} before it", step.number)),
                            (None, Some(found)) if is_other => {
                                Some(format!("it needs {wanted} in {path}, and there is {found}"))
                            }
                            (None, Some(_) | None) => None,
                        }
                    }
                };
                unmet.extend(reason.map(|reason| (action, reason)));
            }
            if let Some(node) = action.address.node() {
                left.extend(action.paths().into_iter().map(|path| ((node, path), action)));
            }
        }
    }
    unmet
}

/// A certificate is signed with what lies on the signer's node, and a key that is kept is taken from its place.
pub(super) fn of_issue(world: &ClusterModel, node: &NodeName, issue: &Issue) -> Option<String> {
    let issuer = match &issue.issuer {
        Some(digest) => world.material.with_digest(digest),
        None => world.made.get(&issue.authority).copied(),
    };
    let unmade = if issue.issuer.is_none() { not_made(world, Some(&issue.authority)) } else { None };
    let kept = |spki| {
        let path = match &issue.storage {
            Storage::Pair { key, .. } => &key.path,
            Storage::Combined { file } | Storage::Kubeconfig { file, .. } => &file.path,
        };
        let lies_elsewhere = world.file(node, path).is_some_and(|file| file.key_file.is_some());
        if lies_elsewhere { None } else { other_key(world, node, path, Key::Known(spki)) }
    };
    let others = [issue.trusted.as_ref(), issue.chain.as_ref()];
    unmade
        .or_else(|| signs(world, (&issue.signer, &issue.signer_certificate, &issue.signer_key), issuer))
        .or_else(|| match issue.key {
            KeySource::Kept(spki) => kept(spki),
            KeySource::New(_) => None,
        })
        .or_else(|| others.into_iter().find_map(|from| not_made(world, made(from))))
}

/// The issuer must be in the authority's file, and the key beside it must be its own.
pub(super) fn signs(
    world: &ClusterModel,
    (node, certificate, key): (&NodeName, &str, &str),
    issuer: Option<CertificateId>,
) -> Option<String> {
    if let Some(missing) = missing(world, node, certificate).or_else(|| missing(world, node, key)) {
        return Some(missing);
    }
    let held = world.file(node, certificate)?;
    let Some(issuer) = issuer.filter(|issuer| held.certificates.contains(issuer)) else {
        return Some(format!("{certificate} on {node} does not hold the certificate that must sign"));
    };
    other_key(world, node, key, world.material.key_of(issuer)?)
}

/// What is copied must be there, and must be what the plan names.
pub(super) fn source(
    world: &ClusterModel,
    node: &NodeName,
    place: &Storage,
    wanted: Option<CertificateId>,
) -> Option<String> {
    let files = place.files();
    if let Some(missing) = files.iter().find_map(|file| missing(world, node, &file.path)) {
        return Some(missing);
    }
    let path = place.certificate_path();
    let found = world.file(node, path)?;
    // What a kubeconfig names instead lies elsewhere.
    if found.other_means || found.certificate_file.is_some() || found.key_file.is_some() {
        return None;
    }
    let Some(first) = found.certificates.first() else {
        return Some(format!("{path} on {node} holds no certificate"));
    };
    if wanted.is_some_and(|wanted| wanted != *first) {
        return Some(format!("{path} on {node} holds another certificate than the one that is copied"));
    }
    let key = match place {
        Storage::Pair { key, .. } => &key.path,
        Storage::Combined { file } | Storage::Kubeconfig { file, .. } => &file.path,
    };
    other_key(world, node, key, world.material.key_of(*first)?)
}

/// Everything that the visit wrote is read afresh before it is kept.
pub(super) fn verify(state: &mut State<'_>, visit: &PlannedTransaction, action: &Action) -> Option<String> {
    let Deed::Verify { identities } = &action.deed else { return None };
    let is_checked =
        |written: &&Action| written.address.target.identity().is_some_and(|name| identities.contains(name));
    let written = visit.actions.iter().filter(is_checked);
    let places: Vec<Place<'_>> = written.filter_map(|written| place(&written.deed)).collect();
    let node = action.address.node()?;
    places.iter().find_map(|place| not_whole(state, node, place))
}

/// What a place must be.
struct Place<'a> {
    storage: &'a Storage,
    verified_by: &'a str,
    usages: &'a BTreeSet<Usage>,
    dns: &'a BTreeSet<String>,
    ip: &'a BTreeSet<IpAddr>,
}

fn place(deed: &Deed) -> Option<Place<'_>> {
    if let Deed::IssueIdentity(issue) = deed {
        let (storage, verified_by, usages) = (&issue.storage, &issue.verified_by, &issue.usages);
        return Some(Place { storage, verified_by, usages, dns: &issue.dns, ip: &issue.ip });
    }
    if let Deed::CopyIdentity(copy) = deed {
        let (storage, verified_by, usages) = (&copy.target, &copy.verified_by, &copy.usages);
        return Some(Place { storage, verified_by, usages, dns: &copy.dns, ip: &copy.ip });
    }
    if let Deed::InstallIdentity(install) = deed {
        let (storage, verified_by, usages) = (&install.storage, &install.verified_by, &install.usages);
        return Some(Place { storage, verified_by, usages, dns: &install.dns, ip: &install.ip });
    }
    None
}

fn not_whole(state: &mut State<'_>, node: &NodeName, place: &Place<'_>) -> Option<String> {
    let path = place.storage.certificate_path();
    let bundle = Some(place.verified_by).filter(|bundle| !bundle.is_empty());
    let read = place.storage.files().into_iter().map(|file| file.path.as_str()).chain(bundle);
    for read in read.collect::<Vec<_>>() {
        if let Some(reason) = missing(&state.world, node, read) {
            return Some(reason);
        }
        if let Some(problem) = state.world.file(node, read).and_then(|file| file.problem.clone()) {
            return Some(format!("{read}: {problem}"));
        }
    }
    let disk = state.world.disks.get(node)?;
    let shown = disk.read(&Source::of(place.storage), &mut state.world.material);
    if let Some(bundle) = bundle {
        let checked = disk.read(&Source::Bundle(bundle.to_owned()), &mut state.world.material);
        for usage in place.usages {
            if let Verdict::Fails(reason) = state.ask(shown, checked, *usage) {
                return Some(format!("{path}, checked with {bundle}: {reason}"));
            }
        }
    }
    let material = &state.world.material;
    let Holding::Pair { certificate, .. } = material.holding(shown) else { return None };
    let names = match material.certificate(*certificate)? {
        Known::Real(certificate) => &certificate.facts().names,
        Known::Planned(planned) => &planned.names,
    };
    let ip = place.ip.difference(&names.ip).map(ToString::to_string);
    let lacks: Vec<String> = place.dns.difference(&names.dns).cloned().chain(ip).collect();
    (!lacks.is_empty()).then(|| format!("{path}: its names lack {}", lacks.join(", ")))
}

pub(super) fn missing(world: &ClusterModel, node: &NodeName, path: &str) -> Option<String> {
    match world.lies(node, path) {
        DiskEntry::Nothing => Some(format!("nothing is in {path} on {node}")),
        DiskEntry::Unknown | DiskEntry::File(_) => None,
    }
}

pub(super) fn no_key(world: &ClusterModel, node: &NodeName, path: &str) -> Option<String> {
    let lacks = |file: &File| file.key.is_none();
    let lacks = world.file(node, path).is_some_and(lacks);
    missing(world, node, path)
        .or_else(|| lacks.then(|| format!("{path} on {node} has no private key that can be used")))
}

pub(super) fn other_key(world: &ClusterModel, node: &NodeName, path: &str, wanted: Key) -> Option<String> {
    let is_other = |file: &File| file.key != Some(wanted);
    let is_other = world.file(node, path).is_some_and(is_other);
    no_key(world, node, path).or_else(|| {
        is_other.then(|| format!("the private key in {path} on {node} does not belong to the certificate"))
    })
}

/// The authority of which an earlier action must have made a certificate.
pub(super) fn made(from: Option<&CaCertificates>) -> Option<&AuthorityName> {
    match from? {
        CaCertificates::Made(authority) => Some(authority),
        CaCertificates::Certificates(_) => None,
    }
}

pub(super) fn not_made(world: &ClusterModel, authority: Option<&AuthorityName>) -> Option<String> {
    let authority = authority.filter(|authority| !world.made.contains_key(*authority))?;
    Some(format!("no earlier step makes the certificate of {authority} that it writes"))
}
