//! How many members of etcd and how many API servers work.
//!
//! What enters is the state and which instances are down at a moment; what leaves is a count. A member counts when it is up and reaches, and is reached
//! by, enough members for a quorum; an API server when it is up and reaches a member that counts, where the model knows its members.

use std::collections::{BTreeMap, BTreeSet};

use super::judge::Verdict;
use super::state::State;
use super::topology::{InstanceId, Kind, LinkId, Topology};
use crate::types::names::ServiceName;
use crate::types::service_kind::ServiceKind;

/// The services that are counted, with what their instances need.
#[derive(Debug, Default)]
pub(crate) struct Health {
    groups: Vec<Group>,
    /// What has not worked since before the plan.
    dead: BTreeSet<InstanceId>,
}

#[derive(Debug)]
struct Group {
    service: ServiceName,
    members: Vec<InstanceId>,
    /// How many are needed.
    needed: usize,
    /// Those for whom no node of the spec stands: how many there are, and how many of them are up.
    outside: (usize, usize),
    /// The links between members, by both ends; empty where members do not need each other.
    between: BTreeMap<(InstanceId, InstanceId), LinkId>,
    /// The links of each member to members of another group, one of which it needs.
    to_others: BTreeMap<InstanceId, Vec<(InstanceId, LinkId)>>,
}

/// A count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) service: ServiceName,
    pub(crate) healthy: usize,
    pub(crate) of: usize,
    pub(crate) needed: usize,
    /// Whether no order of restarts keeps enough of them.
    pub(crate) inherent: bool,
}

impl Health {
    /// Of these instances, some of which do not work, and of so many `outside`: members of etcd for which no node of the spec stands, and how many of them are up.
    pub(crate) fn new(topology: &Topology, dead: BTreeSet<InstanceId>, outside: (usize, usize)) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for service in &topology.peers {
            let members = members(topology, service);
            let outside = if topology.is(service, ServiceKind::Etcd) { outside } else { (0, 0) };
            let needed = (members.len() + outside.0) / 2 + 1;
            groups.push(Group {
                service: service.clone(),
                members,
                needed,
                outside,
                between: BTreeMap::new(),
                to_others: BTreeMap::new(),
            });
        }
        let mut api_servers = topology.kinds.iter().filter(|(_, kind)| **kind == ServiceKind::ApiServer);
        if let Some((service, _)) = api_servers.next() {
            let members = members(topology, service);
            groups.push(Group {
                service: service.clone(),
                members,
                needed: 1,
                outside: (0, 0),
                between: BTreeMap::new(),
                to_others: BTreeMap::new(),
            });
        }
        let mut of_member: BTreeMap<InstanceId, usize> = BTreeMap::new();
        for (index, group) in groups.iter().enumerate() {
            of_member.extend(group.members.iter().map(|member| (*member, index)));
        }
        for (index, link) in topology.links.iter().enumerate() {
            let Kind::Connection(_) = link.kind else { continue };
            let (Some(from), Some(to)) = (of_member.get(&link.client), of_member.get(&link.server)) else {
                continue;
            };
            let Some(group) = groups.get_mut(*from) else { continue };
            if from != to {
                group.to_others.entry(link.client).or_default().push((link.server, LinkId(index)));
            } else if topology.peers.contains(&group.service) && link.client != link.server {
                group.between.insert((link.client, link.server), LinkId(index));
            }
        }
        Self { groups, dead }
    }

    /// An instance is started.
    pub(crate) fn lives(&mut self, instance: InstanceId) {
        self.dead.remove(&instance);
    }

    /// Whether an instance has not worked since before the plan.
    pub(crate) fn is_dead(&self, instance: InstanceId) -> bool {
        self.dead.contains(&instance)
    }

    /// Whether a restart of this instance changes a count.
    pub(crate) fn counts_on(&self, instance: InstanceId) -> bool {
        self.groups.iter().any(|group| group.members.contains(&instance))
    }

    /// Whether a link changes a count.
    pub(crate) fn depends_on(&self, topology: &Topology, link: LinkId) -> bool {
        let Some(link) = topology.links.get(link.0) else { return false };
        self.counts_on(link.client) && self.counts_on(link.server)
    }

    /// The counts while some instances are down.
    pub(crate) fn count(&self, state: &State<'_>, down: &BTreeSet<InstanceId>) -> Vec<Count> {
        let mut healthy: BTreeSet<InstanceId> = BTreeSet::new();
        let mut counts = Vec::new();
        // Of a process that started before its files were written nobody knows what it has loaded; that it fails would be a guess as well.
        let works = |link: &LinkId| matches!(state.link(*link), Verdict::Holds | Verdict::Unknown);
        for group in &self.groups {
            let up: Vec<InstanceId> = group
                .members
                .iter()
                .filter(|member| !down.contains(member) && !self.dead.contains(member))
                .copied()
                .collect();
            let reach = |one: InstanceId, other: InstanceId| {
                [(one, other), (other, one)].iter().all(|ends| group.between.get(ends).is_some_and(works))
            };
            let needs_peers = group.needed > 1;
            let is_healthy = |member: &InstanceId| {
                let peers = || up.iter().filter(|other| *other != member && reach(*member, **other)).count();
                let others = group.to_others.get(member);
                (!needs_peers || peers() + group.outside.1 + 1 >= group.needed)
                    && others.is_none_or(|others| {
                        others.iter().any(|(other, link)| healthy.contains(other) && works(link))
                    })
            };
            let of_group: Vec<InstanceId> = up.iter().copied().filter(is_healthy).collect();
            let of = group.members.len() + group.outside.0;
            // Whoever needs a group that cannot do without any of its members stands still with it.
            let stands_still = !group.to_others.is_empty()
                && counts.iter().any(|other: &Count| other.inherent && other.healthy < other.needed);
            counts.push(Count {
                service: group.service.clone(),
                healthy: of_group.len() + group.outside.1,
                of,
                needed: group.needed,
                inherent: of <= group.needed || stands_still,
            });
            healthy.extend(of_group);
        }
        counts
    }
}

fn members(topology: &Topology, service: &ServiceName) -> Vec<InstanceId> {
    topology.by_service.get(service).into_iter().flat_map(|instances| instances.values().copied()).collect()
}
