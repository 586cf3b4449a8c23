//! What each action needs to find: the facts that its decision was made from, and no others.
//!
//! What enters is a deed and what the nodes told; what leaves are its preconditions. Who leads etcd, how far its members are, and files that no decision looks
//! at, are never among them: a plan is not stale for what does not matter to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{DesiredNode, Survey};
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::paths::facts_of;
use crate::plan::{Deed, Expected, Fact, KeyCopy, Precondition, RestartMethod, fact};
use crate::protocol::facts::{NodeFacts, Seen};
use crate::types::names::{NodeName, ServiceName, Target};
use crate::types::service_kind::ServiceKind;

/// Which action of the plan wrote a path last.
#[derive(Debug, Default)]
pub(crate) struct LeftBy(BTreeMap<NodeName, BTreeMap<String, u32>>);

impl LeftBy {
    /// Notes that an action writes a path.
    pub(crate) fn insert(&mut self, node: NodeName, path: &str, action: u32) {
        self.0.entry(node).or_default().insert(path.to_owned(), action);
    }

    fn action(&self, node: &NodeName, path: &str) -> Option<u32> {
        self.0.get(node)?.get(path).copied()
    }
}

/// What a deed needs to find.
pub(crate) fn preconditions(deed: &DraftDeed, survey: &Survey, left_by: &LeftBy) -> Vec<Precondition> {
    let (own, observed) = (deed.address.node(), &survey.observed);
    let mut needed: BTreeSet<(&NodeName, &str)> = BTreeSet::new();
    let mut files = Vec::new();
    for (node, path) in places(deed) {
        if !needed.insert((node, path)) {
            continue;
        }
        let expected = match (left_by.action(node, path), facts_of(observed, node)) {
            (Some(number), _) => Expected::AsLeftBy(number),
            (None, Some(facts)) => Expected::Fact(fact(facts, path)),
            (None, None) => continue,
        };
        if expected != Expected::Fact(Fact::Unknown) {
            let node = (Some(node) != own).then(|| node.clone());
            files.push(Precondition::File { node, path: path.to_owned(), expected });
        }
    }
    if let (Deed::Restart { how, .. }, Target::Service(service)) = (&deed.deed, &deed.address.target)
        && let Some(facts) = observed.facts_at(&deed.address.place)
        && let Some(node) = survey.desired.at(&deed.address.place)
    {
        files.extend(of_restart(how, (service, node), facts));
    }
    files
}

/// The files that a deed writes, and those that decided what it writes. Of its own those on a node: what is in the cluster is no file.
fn places<'d>(draft: &'d DraftDeed) -> Vec<(&'d NodeName, &'d str)> {
    let deed = &draft.deed;
    let here = |path: &'d str| draft.address.node().map(|node| (node, path));
    let mut places: Vec<(&NodeName, &str)> = draft.paths().into_iter().filter_map(here).collect();
    if let Some(issue) = deed.issue() {
        places.push((&issue.signer, &issue.signer_certificate));
        places.push((&issue.signer, &issue.signer_key));
        places.extend(here(&issue.verified_by));
    }
    if let Some(copy) = deed.copy() {
        places.extend(copy.source.files().into_iter().map(|file| (copy.from(), file.path.as_str())));
        places.extend(here(&copy.verified_by));
    }
    if let Deed::InstallIdentity(install) = deed {
        places.extend(here(&install.verified_by));
    }
    if let Deed::CopyAuthorityCertificate { from, source, .. } | Deed::CopyKey(KeyCopy { from, source, .. }) =
        deed
    {
        places.push((from, source));
    }
    if let Deed::ExtendAuthority { key, .. } = deed {
        places.extend(here(&key.path));
    }
    if let Deed::WritePublicKey { private, .. } = deed {
        places.extend(here(&private.path));
    }
    places
}

/// A service is restarted because it ran, and a member of etcd because the others could do without it.
fn of_restart(
    how: &RestartMethod,
    (service, node): (&ServiceName, &DesiredNode),
    facts: &NodeFacts,
) -> Vec<Precondition> {
    let runs = |service: &ServiceName| {
        Some(Precondition::Service { service: service.clone(), active: is_active(facts, service)? })
    };
    let mut needs: Vec<Precondition> = match how {
        RestartMethod::Systemd { .. } => runs(service).into_iter().collect(),
        // Nobody else replaces the pod.
        RestartMethod::StaticPod { .. } => {
            let mut kubelets = node.services_of(ServiceKind::Kubelet);
            kubelets.find_map(|(name, _)| runs(name)).into_iter().collect()
        }
        // What is dead is started however it died, and a program takes care of itself.
        RestartMethod::Start { .. } | RestartMethod::Command { .. } => Vec::new(),
    };
    if node.services.get(service).is_some_and(|wanted| wanted.is(ServiceKind::Etcd))
        && let Some(names) = members(facts)
    {
        needs.push(Precondition::Members { names });
    }
    needs
}

/// The names of the members of etcd, as the node's own member tells.
pub(crate) fn members(facts: &NodeFacts) -> Option<BTreeSet<String>> {
    // A member that told nothing sets no condition. It is restarted only where none could be asked, to bring etcd back, or with `--accept-outage`.
    let etcd = facts.etcd.known().ok()??;
    Some(etcd.members.values().map(|member| member.name.clone()).collect())
}

/// Whether a unit is active; none where systemd did not tell.
pub(crate) fn is_active(facts: &NodeFacts, service: &ServiceName) -> Option<bool> {
    match facts.services.get(service)?.unit.as_ref()? {
        Seen::Present(unit) => Some(unit.is_active()),
        Seen::Absent => Some(false),
        Seen::Dangling { .. } | Seen::Looping { .. } | Seen::Unknown { .. } => None,
    }
}
