//! The order of deeds: which node comes when, and what comes before what on a node.
//!
//! One node is worked on in one transaction of each phase; a node that makes what others copy comes first. Inside a transaction a graph decides, and names break ties, so
//! the same deeds always come in the same order.

pub(crate) mod content;
pub(crate) mod disruption;
pub(super) mod graph;
pub(crate) mod preconditions;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::desired::Desired;
use crate::spec::types::Role;
use crate::types::names::{Address, AuthorityName, Target};
use crate::types::place::Place;
use crate::types::service_kind::ServiceKind;

use super::{Action, Bundle, CaCertificates, Deed, Input, Phase, PlannedTransaction, RestartMethod, Why};
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::{chosen, quorum};
use crate::plan::model::deed_traits::Rank;
use crate::plan::order::disruption::disruption;
use crate::plan::order::graph::{Cycle, Graph};
use crate::plan::order::preconditions::LeftBy;
use crate::plan::restart::{cold_start, recovered};

/// What is done at several places before anything of the next stage is done on any.
pub(super) struct Stage {
    pub(super) phase: Phase,
    pub(super) by_place: BTreeMap<Place, Vec<DraftDeed>>,
}

/// The deeds of each phase.
pub(super) fn stages(deeds: BTreeMap<Place, Vec<DraftDeed>>) -> Vec<Stage> {
    let mut by_phase: BTreeMap<Phase, BTreeMap<Place, Vec<DraftDeed>>> = BTreeMap::new();
    for (place, deeds) in deeds {
        for deed in deeds {
            by_phase.entry(deed.phase).or_default().entry(place.clone()).or_default().push(deed);
        }
    }
    by_phase.into_iter().map(|(phase, by_place)| Stage { phase, by_place }).collect()
}

/// The visits, in order, with numbered actions.
///
/// # Errors
/// A fault of the planner: deeds that wait for each other.
pub(super) fn visits(stages: Vec<Stage>, input: &Input<'_>) -> Result<Vec<PlannedTransaction>, Cycle> {
    let mut visits: Vec<PlannedTransaction> = Vec::new();
    let bears = |place: &Place| {
        let wanted = input.survey.desired.at(place);
        wanted.is_some_and(|wanted| wanted.has(ServiceKind::Etcd))
    };
    let mut progress = Progress { next: 1, left_by: LeftBy::default() };
    let all = stages.iter().flat_map(|stage| stage.by_place.values().flatten());
    let written: BTreeSet<Address> =
        all.filter(|deed| deed.gives_identity()).map(|deed| deed.address.clone()).collect();
    let recovers = stages.iter().any(|stage| stage.phase == Phase::Quorum);
    let last = stages.iter().map(|stage| stage.phase).filter(|phase| *phase <= Phase::Ordinary).max();
    for Stage { phase, mut by_place } in stages {
        let members: BTreeSet<&Place> = by_place.keys().filter(|place| bears(place)).collect();
        let leader = chosen::leader(input).map(Place::from);
        let order = place_order(&by_place, &members, leader.as_ref(), &input.survey.desired)?;
        if phase == Phase::Quorum {
            cold_start::await_quorum(&mut by_place, &order, input);
        }
        if recovers && last == Some(phase) {
            recovered::await_cluster(&mut by_place, (&order, phase), &written, input);
        }
        let together = together(&order, &by_place, input);
        for place in order {
            let deeds = by_place.remove(&place).unwrap_or_default();
            let number = u32::try_from(visits.len()).unwrap_or(u32::MAX).saturating_add(1);
            let actions = actions(deeds, &place, input, &mut progress)?;
            let with_previous = together.contains(&place);
            visits.push(PlannedTransaction { number, phase, with_previous, place, actions });
        }
    }
    Ok(visits)
}

/// The nodes that are worked on together with the one before them: workers that wait for nothing from each other, as many at once as the spec allows.
fn together(
    order: &[Place],
    by_place: &BTreeMap<Place, Vec<DraftDeed>>,
    input: &Input<'_>,
) -> BTreeSet<Place> {
    let desired = &input.survey.desired;
    let at_once = usize::try_from(desired.rollout.max_unavailable).unwrap_or(usize::MAX).max(1);
    // The cluster is no worker: what is done in it is done alone.
    let is_worker = |place: &Place| {
        let roles = desired.at(place).map(|node| &node.roles);
        roles.is_some_and(|roles| !roles.contains(&Role::ControlPlane) && !roles.contains(&Role::Etcd))
    };
    let waits_for = |place: &Place, other: &Place| {
        let deeds = by_place.get(place).into_iter().flatten();
        deeds.filter_map(|deed| deed.traits().from).any(|source| other.is(source))
    };
    let mut together = BTreeSet::new();
    let mut wave: Vec<&Place> = Vec::new();
    for place in order {
        let fits = is_worker(place)
            && wave.len() < at_once
            && wave
                .iter()
                .all(|other| is_worker(other) && !waits_for(place, other) && !waits_for(other, place));
        if fits && !wave.is_empty() {
            together.insert(place.clone());
        } else {
            wave.clear();
        }
        wave.push(place);
    }
    together
}

/// The authority that this plan makes, or signs again, and whose certificate a deed writes.
fn holds_made(deed: &DraftDeed) -> Option<&AuthorityName> {
    if let Deed::WriteBundle { bundle: Bundle::WithMade { .. }, .. } = &deed.deed {
        return deed.address.target.authority();
    }
    if let Deed::WriteChain { chain: CaCertificates::Made(authority), .. } = &deed.deed {
        return Some(authority);
    }
    None
}

/// What earlier visits leave to later ones.
struct Progress {
    /// The number of the next action.
    next: u32,
    left_by: LeftBy,
}

/// A node from which another one copies, or which signs with an authority that is made in this plan, comes before it.
/// The node whose etcd `leader` is restarted after those of the others, unless they wait for something from it.
fn place_order(
    by_place: &BTreeMap<Place, Vec<DraftDeed>>,
    members: &BTreeSet<&Place>,
    leader: Option<&Place>,
    desired: &Desired,
) -> Result<Vec<Place>, Cycle> {
    let mut graph = Graph::new(by_place.keys().cloned());
    let makers: BTreeSet<&Place> = by_place
        .iter()
        .filter(|(_, deeds)| deeds.iter().any(|deed| deed.traits().makes))
        .map(|(place, _)| place)
        .collect();
    for (place, deeds) in by_place {
        for deed in deeds {
            // Its own kind of making: other nodes wait only for the identity that they copy.
            if let Some(copy) = deed.deed.copy() {
                let source = Place::from(copy.from());
                if source != *place && issues(by_place, &source, &deed.address.target) {
                    graph.edge(&source, place);
                }
                continue;
            }
            if let Some(authority) = holds_made(deed) {
                let is_made = |other: &&DraftDeed| {
                    other.traits().makes && other.address.target.authority() == Some(authority)
                };
                let makers = by_place.iter().filter(|(_, deeds)| deeds.iter().any(|deed| is_made(&deed)));
                makers.filter(|(maker, _)| *maker != place).for_each(|(maker, _)| graph.edge(maker, place));
            }
            // Only what the other node makes in this very plan has to be there first.
            if let Some(source) = deed.traits().from.map(Place::from).filter(|source| source != place)
                && makers.contains(&source)
            {
                graph.edge(&source, place);
            }
        }
    }
    // What signs for others is put in order before, unless two nodes sign for each other.
    let mut mended_first = graph.clone();
    for (place, deed) in
        by_place.iter().flat_map(|(place, deeds)| deeds.iter().map(move |deed| (place, deed)))
    {
        let Deed::IssueIdentity(issue) = &deed.deed else { continue };
        let signer = Place::from(&issue.signer);
        let is_written = |other: &DraftDeed| {
            let paths = other.paths();
            paths.iter().any(|path| *path == issue.signer_certificate || *path == issue.signer_key)
        };
        if signer != *place && by_place.get(&signer).into_iter().flatten().any(is_written) {
            mended_first.edge(&signer, place);
        }
    }
    if !mended_first.is_cyclic() {
        graph = mended_first;
    }
    // Each of these orders is better than the next one, where what is copied leaves the choice.
    let members = members_in_turn(by_place, members, leader, desired);
    let leader_last = leader.map(|leader| {
        let (last, others): (Vec<&Place>, Vec<&Place>) =
            members.iter().flatten().copied().partition(|place| *place == leader);
        vec![others, last]
    });
    for turns in [Some(members.clone()), leader_last].into_iter().flatten() {
        let mut in_turn = graph.clone();
        for (turn, places) in turns.iter().enumerate() {
            for later in turns.iter().skip(turn + 1).flatten() {
                places.iter().for_each(|place| in_turn.edge(place, later));
            }
        }
        if let Ok(order) = in_turn.order() {
            return Ok(order);
        }
    }
    graph.order()
}

/// Which members of etcd come when: what one can be given without a restart, so that it works, the others have before any of them is restarted; then those that
/// get new certificates with their restart, whose old ones may not work; then the others, and the leader last: it hands on once then,
/// and where it cannot, its restart costs the only election.
fn members_in_turn<'a>(
    by_place: &'a BTreeMap<Place, Vec<DraftDeed>>,
    members: &BTreeSet<&Place>,
    leader: Option<&Place>,
    desired: &Desired,
) -> Vec<Vec<&'a Place>> {
    let restarts_member = |deed: &DraftDeed| quorum::restarts_member(deed, desired);
    let mut turns = vec![Vec::new(); 4];
    if !by_place.values().flatten().any(restarts_member) {
        return Vec::new();
    }
    for (place, deeds) in by_place.iter().filter(|(place, _)| members.contains(place)) {
        let turn = match deeds.iter().any(restarts_member) {
            true if leader == Some(place) => 3,
            true if deeds.iter().any(DraftDeed::gives_identity) => 1,
            true => 2,
            false => 0,
        };
        if let Some(turn) = turns.get_mut(turn) {
            turn.push(place);
        }
    }
    turns
}

/// Whether an identity is issued at a place.
fn issues(by_place: &BTreeMap<Place, Vec<DraftDeed>>, place: &Place, subject: &Target) -> bool {
    let mut deeds = by_place.get(place).into_iter().flatten();
    let is_new = |deed: &Deed| matches!(deed, Deed::IssueIdentity(_) | Deed::InstallIdentity(_));
    deeds.any(|deed| deed.address.target == *subject && is_new(&deed.deed))
}

/// What a deed is called inside one visit: its rank, its address, its path and its turn, in this order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    rank: Rank,
    address: Address,
    path: String,
    /// Its place among those of which all of this is the same.
    turn: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.address, self.path)
    }
}

fn key(deed: &DraftDeed) -> Key {
    let path = if matches!(deed.deed, Deed::AwaitHealthy { .. }) {
        // Behind the restart of the same service, whatever that writes.
        "~".to_owned()
    } else if let Deed::PurgeSnapshots { fingerprint, .. } = &deed.deed {
        // One authority may have lost several keys.
        fingerprint.to_string()
    } else {
        deed.paths().first().map(|path| (*path).to_owned()).unwrap_or_default()
    };
    Key { rank: deed.traits().rank, address: deed.address.clone(), path, turn: 0 }
}

/// Every deed under a key of its own: what is to be done twice alike is done once, for the reasons of both, and nothing takes another one's place.
fn keyed(deeds: Vec<DraftDeed>) -> BTreeMap<Key, DraftDeed> {
    let mut keyed: BTreeMap<Key, DraftDeed> = BTreeMap::new();
    'deeds: for deed in deeds {
        let mut key = key(&deed);
        while let Some(known) = keyed.get_mut(&key) {
            if known.deed == deed.deed {
                let new = deed.reasons.into_iter().filter(|why| !known.reasons.contains(why));
                let new: Vec<Why> = new.collect();
                known.reasons.extend(new);
                continue 'deeds;
            }
            key.turn = key.turn.saturating_add(1);
        }
        keyed.insert(key, deed);
    }
    keyed
}

fn actions(
    mut deeds: Vec<DraftDeed>,
    place: &Place,
    input: &Input<'_>,
    Progress { next, left_by }: &mut Progress,
) -> Result<Vec<Action>, Cycle> {
    add_frame(&mut deeds, place);
    let deeds = keyed(deeds);
    let graph = edges(&deeds, input);
    let order = graph.order()?;
    let numbers: BTreeMap<Key, u32> = order
        .iter()
        .map(|key| {
            let number = *next;
            *next = next.saturating_add(1);
            (key.clone(), number)
        })
        .collect();
    let moved: BTreeSet<&str> = deeds.values().filter_map(DraftDeed::moved).collect();
    let mut actions = Vec::new();
    for key in order {
        let (Some(deed), Some(number)) = (deeds.get(&key), numbers.get(&key)) else { continue };
        let preconditions = preconditions::preconditions(deed, input.survey, left_by);
        match place {
            Place::Node(node) => {
                deed.paths().into_iter().for_each(|path| left_by.insert(node.clone(), path, *number));
            }
            // No later action finds a file there.
            Place::Cluster => {}
        }
        actions.push(Action {
            number: *number,
            address: deed.address.clone(),
            reasons: deed.reasons.clone(),
            preconditions,
            disruption: disruption(deed, place, input, &moved),
            undo: deed.traits().undo,
            after: graph.before(&key).filter_map(|key| numbers.get(key).copied()).collect(),
            deed: deed.deed.clone(),
        });
    }
    Ok(actions)
}

/// Every visit begins with a snapshot of what it touches and ends with a check; undoing what a crash left has its own copies, and saving etcd's data touches nothing.
fn add_frame(deeds: &mut Vec<DraftDeed>, place: &Place) {
    let node = match place {
        Place::Node(node) => node,
        // It has no files that could be put back or read afresh.
        Place::Cluster => return,
    };
    if deeds.iter().all(|deed| !deed.traits().transaction) {
        return;
    }
    let address = Address::on(Target::Node, node);
    let paths: BTreeSet<String> = deeds.iter().flat_map(|deed| deed.paths()).map(str::to_owned).collect();
    let identities = deeds.iter().filter_map(|deed| match (&deed.deed, &deed.address.target) {
        (
            Deed::IssueIdentity(_) | Deed::CopyIdentity(_) | Deed::InstallIdentity(_),
            Target::Identity(identity),
        ) => Some(identity.clone()),
        _ => None,
    });
    let verify = Deed::Verify { identities: identities.collect() };
    let frame = |deed| DraftDeed {
        phase: Phase::Ordinary,
        address: address.clone(),
        deed,
        reasons: Vec::new(),
        replaces: false,
    };
    deeds.push(frame(Deed::Snapshot { paths }));
    deeds.push(frame(verify));
}

/// What comes before what: everything after the snapshot and before the check; a directory before what lies in it; a link after what it leads to;
/// an authority before what it issues; one path's deeds in the order of their ranks; restarts after every write.
fn edges(deeds: &BTreeMap<Key, DraftDeed>, input: &Input<'_>) -> Graph<Key> {
    let mut graph = Graph::new(deeds.keys().cloned());
    let mut writers: BTreeMap<&str, Vec<&Key>> = BTreeMap::new();
    for (key, deed) in deeds {
        for path in deed.paths() {
            writers.entry(path).or_default().push(key);
        }
    }
    kubelet_first(deeds, input, &mut graph);
    for (key, deed) in deeds {
        for (other, _) in deeds.range(..key.clone()).filter(|(other, _)| is_barrier(other.rank, key.rank)) {
            graph.edge(other, key);
        }
        for path in deed.paths() {
            for above in path.match_indices('/').filter_map(|(index, _)| path.get(..index)) {
                for writer in writers.get(above).into_iter().flatten() {
                    // Going back, a directory that was made goes after what was put into it.
                    if matches!(deed.deed, Deed::Restore { .. }) {
                        graph.edge(key, writer);
                    } else {
                        graph.edge(writer, key);
                    }
                }
            }
            let same = writers.get(path).into_iter().flatten().filter(|writer| **writer < key);
            for writer in same {
                graph.edge(writer, key);
            }
        }
        // A further file of an authority is copied from the main one of this node, which the same kind of deed may bring from another node.
        let is_copied_here =
            matches!(&deed.deed, Deed::CopyAuthorityCertificate { from, .. } if deed.address.place.is(from));
        for path in deed.traits().reads {
            let is_before =
                |writer: &Key| writer.rank < key.rank || is_copied_here && writer.rank == key.rank;
            let before = writers.get(path).into_iter().flatten();
            for writer in before.filter(|writer| **writer != key && is_before(writer)) {
                graph.edge(writer, key);
            }
        }
    }
    graph
}

/// A kubelet that does not run, or is about to end for it cannot show its certificate, is started before the pods that it is to replace.
fn kubelet_first(deeds: &BTreeMap<Key, DraftDeed>, input: &Input<'_>, graph: &mut Graph<Key>) {
    let desired = &input.survey.desired;
    let is_first = |key: &Key, deed: &DraftDeed| {
        let Deed::Restart { how, .. } = &deed.deed else { return false };
        matches!(how, RestartMethod::Start { .. }) || cannot_call(&key.address, input)
    };
    let of_service = |key: &&Key| matches!(&key.address.target, Target::Service(_));
    let is_own =
        |key: &&Key| desired.service_at(&key.address).is_some_and(|service| service.is(ServiceKind::Kubelet));
    if !deeds.iter().any(|(key, deed)| is_own(&key) && is_first(key, deed)) {
        return;
    }
    for own in deeds.keys().filter(is_own) {
        for other in deeds.keys().filter(|key| of_service(key) && !is_own(key)) {
            graph.edge(own, other);
        }
    }
}

/// Whether a service cannot show what it presents to others: it has expired, or is broken.
fn cannot_call(service: &Address, input: &Input<'_>) -> bool {
    let wanted = input.survey.desired.service_at(service);
    let mut presented = wanted.into_iter().flat_map(|wanted| &wanted.dials).flat_map(|dial| &dial.shows);
    presented.any(|held| {
        let view = service.node().and_then(|node| input.differences.identity(node, &held.identity));
        view.is_some_and(|view| !view.is_usable(input.now))
    })
}

/// The snapshot comes before everything, the check after everything, restarts after all writes.
fn is_barrier(before: Rank, after: Rank) -> bool {
    before < after && (before <= Rank::Snapshot || after >= Rank::Restart)
}
