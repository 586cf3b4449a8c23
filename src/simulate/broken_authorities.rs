//! What does not work: before a plan, of each authority as a whole, and after one for which an outage was accepted.
//!
//! What enters is what is on the nodes and what runs, or a plan that was played; what leaves is names of authorities, and links that an outage does not excuse: it
//! may break what it likes on the way, and everything that it is about must work at its end.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::play::Play;
use super::{Processes, otherwise, told};
use crate::desired::AuthorityCopy;
use crate::desired::Survey;
use crate::plan::PlanContent;
use crate::plan::model::checked::{Counterexample, Heals, When};
use crate::trust::disk::{Disk, Source};
use crate::trust::judge::Verdict;
use crate::trust::model::World;
use crate::trust::state::State;
use crate::trust::topology::{Input, Kind, Link, LinkId, Topology, topology};
use crate::types::names::{AuthorityName, Subject};

/// The authorities none of whose connections between nodes works, of those that have any. One of which too little is known is taken to work.
pub fn severed(survey: &Survey, processes: &Processes, at: Timestamp) -> BTreeSet<AuthorityName> {
    let mut world = World::default();
    for (name, answer) in &survey.observed.nodes {
        if let Some(facts) = answer.facts() {
            let disk = Disk::of(facts, &mut world.material);
            world.disks.insert(name.clone(), disk);
        }
    }
    let topology = topology(&survey.desired, &survey.observed, &world.disks);
    let loaded_otherwise =
        |input: &Input, world: &mut World| otherwise(input, world, &topology, survey, processes);
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

/// The links that do not work at the end, of the authorities that the plan writes or signs with.
pub(super) fn left(
    plan: &PlanContent,
    play: &mut Play<'_>,
    topology: &Topology,
    survey: &Survey,
) -> Option<(When, Counterexample)> {
    let concerned = plan.actions().filter_map(|action| match &action.address.subject {
        Subject::Authority(authority) => Some(authority.clone()),
        Subject::Identity(_)
        | Subject::KeyPair(_)
        | Subject::Directory(_)
        | Subject::Service(_)
        | Subject::Node => Some(action.deed.signed_under()?.clone()),
    });
    let concerned: BTreeSet<AuthorityName> = concerned.collect();
    let when = When::Step(plan.actions().last()?.number);
    let told = told(plan, topology);
    for (index, link) in topology.links.iter().enumerate() {
        if authorities_of(link, topology, survey).is_disjoint(&concerned) {
            continue;
        }
        let id = LinkId(index);
        if let (Verdict::Fails(reason), _) = play.state.verdict(id, &told) {
            let (connection, reason) = (topology.words(id), reason.to_string());
            return Some((when, Counterexample::Broken { when, connection, reason, heals: Heals::Never }));
        }
    }
    None
}

/// The authorities with whose certificates a side of a link checks the other one.
fn authorities_of(link: &Link, topology: &Topology, survey: &Survey) -> BTreeSet<AuthorityName> {
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
