//! The authorities that do not work before any plan: of each connection between nodes that uses them one side refuses the other.
//!
//! What enters is what is on the nodes and what runs; what leaves is the names of authorities. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::disk::{Disk, Source};
use super::judge::Verdict;
use super::model::ClusterModel;
use super::processes::{Processes, otherwise};
use super::state::State;
use super::topology::{Input, Kind, Link, LinkId, Topology, topology};
use crate::desired::{AuthorityCopy, Survey};
use crate::types::names::AuthorityName;

/// The authorities none of whose connections between nodes works, of those that have any. One of which too little is known is taken to work.
pub(crate) fn severed(survey: &Survey, processes: &Processes, at: Timestamp) -> BTreeSet<AuthorityName> {
    let mut world = ClusterModel::default();
    for (name, answer) in &survey.observed.nodes {
        if let Some(facts) = answer.facts() {
            let disk = Disk::of(facts, &mut world.material);
            world.disks.insert(name.clone(), disk);
        }
    }
    let topology = topology(&survey.desired, &survey.observed, &world.disks);
    let loaded_otherwise =
        |input: &Input, world: &mut ClusterModel| otherwise(input, world, &topology, survey, processes);
    let state = State::new(world, &topology, at, loaded_otherwise);
    let (mut severed, mut working) = (BTreeSet::new(), BTreeSet::new());
    for (index, link) in topology.links.iter().enumerate() {
        let [client, server] =
            [link.client, link.server].map(|end| topology.instance(end).map(|end| &end.node));
        if client == server {
            continue;
        }
        for authority in authorities_of(link, &topology, survey) {
            match state.link(LinkId(index)) {
                Verdict::Fails(_) => severed.insert(authority),
                Verdict::Holds | Verdict::Unknown => working.insert(authority),
            };
        }
    }
    severed.into_iter().filter(|authority| !working.contains(authority)).collect()
}

/// The authorities with whose certificates a side of a link checks the other one.
pub(crate) fn authorities_of(link: &Link, topology: &Topology, survey: &Survey) -> BTreeSet<AuthorityName> {
    let Kind::Connection(halves) = &link.kind else { return BTreeSet::new() };
    let checks = halves.iter().filter_map(|half| topology.inputs.get(half.checks?.0));
    let of_input = |input: &Input| {
        let Source::Bundle(path) = &input.source else { return None };
        let node = survey.desired.nodes.get(&topology.instance(input.instance)?.node)?;
        let is_in = |copy: &AuthorityCopy| copy.certificate.path == *path;
        node.authorities.iter().find(|(_, copy)| is_in(copy)).map(|(authority, _)| authority.clone())
    };
    checks.filter_map(of_input).collect()
}
