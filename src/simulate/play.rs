//! A plan played on the model: each action, each transaction's way back, and whatever can happen at the same time.
//!
//! What enters is the state before the plan and its transactions in waves; what leaves is every link that stopped working, with what fixes it, and the
//! lowest counts. In a wave the transactions to several nodes may come in any order and overlap: since each side of a link is one input on one node,
//! all orders are covered by trying every state that one node passes through against every one of the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::deeds::{Effect, UNPLAYED, refusal};
use super::trust_files::Watch;
use crate::plan::model::checked::When;
use crate::plan::{Action, Deed, PlanContent, PlannedTransaction};
use crate::trust::disk::DiskEntry;
use crate::trust::health::{Count, Health};
use crate::trust::judge::Verdict;
use crate::trust::state::{Before, Loaded, State};
use crate::trust::topology::{Half, InputId, InstanceId, Kind, LinkId};
use crate::types::names::{Address, NodeName, ServiceName};
use crate::types::place::Place;
use crate::types::service_kind::ServiceKind;

/// A link that worked and does not.
#[derive(Debug, Clone)]
pub(super) struct Break {
    pub(super) link: LinkId,
    pub(super) when: When,
    pub(super) reason: String,
    /// The action that mended it.
    pub(super) mended: Option<u32>,
    /// It holds as soon as these are restarted, which the plan tells a person to do.
    pub(super) told: BTreeSet<InstanceId>,
}

/// A state through which an input passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Passed {
    loaded: Loaded,
    /// Whether it passes through it only when its visit is undone.
    is_undo: bool,
}

/// An instance that a visit has restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Restarted {
    instance: InstanceId,
    /// The action that did it last.
    step: u32,
    by_manifest: bool,
}

/// Too few instances at a moment.
#[derive(Debug, Clone)]
pub(super) struct Shortage {
    pub(super) when: When,
    pub(super) count: Count,
    /// What is down then.
    pub(super) down: BTreeSet<InstanceId>,
}

/// A plan that is played.
pub(super) struct Play<'a> {
    pub(super) state: State<'a>,
    health: Health,
    /// Instances that a person is told to restart after the plan.
    told: BTreeSet<InstanceId>,
    pub(super) before: Vec<Count>,
    pub(super) lowest: Vec<Count>,
    pub(super) breaks: Vec<Break>,
    pub(super) shortages: Vec<Shortage>,
    /// What becomes of trust files.
    pub(super) watch: Watch,
    /// The steps that cannot be done, and why.
    pub(super) refusals: Vec<(When, Address, String)>,
    /// Every state that the inputs of the visit pass through.
    passed: BTreeMap<InputId, Vec<Passed>>,
    /// The counts before the visit.
    at_visit: Vec<Count>,
    /// How links stood before the visit, of those that stand otherwise since.
    stood: BTreeMap<LinkId, Verdict>,
}

impl<'a> Play<'a> {
    pub(super) fn new(
        state: State<'a>,
        watch: Watch,
        told: BTreeSet<InstanceId>,
        dead: BTreeSet<InstanceId>,
        outside: (usize, usize),
    ) -> Self {
        let health = Health::new(state.topology, dead, outside);
        let before = health.count(&state, &BTreeSet::new());
        Self {
            state,
            health,
            told,
            lowest: before.clone(),
            before,
            breaks: Vec::new(),
            shortages: Vec::new(),
            watch,
            refusals: Vec::new(),
            passed: BTreeMap::new(),
            at_visit: Vec::new(),
            stood: BTreeMap::new(),
        }
    }

    /// Visits that are made at the same time.
    pub(super) fn wave(&mut self, visits: &[&PlannedTransaction]) {
        if let [visit] = visits {
            self.forth(visit, true);
            return;
        }
        let mut all: Vec<BTreeMap<InputId, Vec<Passed>>> = Vec::new();
        let mut restarted: Vec<Restarted> = Vec::new();
        for visit in visits {
            // What is done in the cluster is not played, so nothing has to go back.
            let before = visit.place.node().map(|node| self.state.before(node));
            self.passed.clear();
            restarted.extend(self.forth(visit, true));
            if let Some(before) = before {
                self.state.go_back(&before);
            }
            all.push(std::mem::take(&mut self.passed));
        }
        self.all_down(&restarted);
        self.at_once(&all);
        for visit in visits {
            self.forth(visit, false);
        }
    }

    /// One visit, action by action, with the ways back from it.
    fn forth(&mut self, visit: &PlannedTransaction, and_back: bool) -> Vec<Restarted> {
        let node = match &visit.place {
            Place::Node(node) => node,
            Place::Cluster => {
                let refused = visit.actions.iter().filter(|_| and_back);
                let refused = refused
                    .map(|action| (When::Step(action.number), action.address.clone(), UNPLAYED.to_owned()));
                self.refusals.extend(refused);
                return Vec::new();
            }
        };
        let before = self.state.before(node);
        self.stood.clear();
        self.at_visit = self.health.count(&self.state, &BTreeSet::new());
        let mut restarted: Vec<Restarted> = Vec::new();
        for (index, action) in visit.actions.iter().enumerate() {
            let done = visit.actions.get(..index).unwrap_or_default();
            if and_back && is_point(action, done, &restarted) {
                self.back(node, done, &before, &restarted);
            }
            // A second time it is played from where the others of its wave have left the nodes.
            if and_back && let Some(reason) = refusal(&mut self.state, visit, action) {
                self.refusals.push((When::Step(action.number), action.address.clone(), reason));
            }
            let changed = match self.state.world.act(action) {
                Effect::None => continue,
                Effect::Wrote(paths) => {
                    if and_back {
                        self.watch.wrote(&self.state.world, node, &paths, action.number);
                    }
                    self.state.wrote(node, &paths, action.number)
                }
                Effect::Moved(directory) => {
                    self.state.moved(node, &directory);
                    continue;
                }
                Effect::Awaited { served, settled } => {
                    let mut changed = self.state.waited(node, settled);
                    let served = served.iter();
                    changed
                        .extend(served.filter_map(|(port, certificate)| {
                            self.state.is_served(node, *port, certificate)
                        }));
                    changed
                }
                Effect::Restarted { service, by_manifest } => {
                    let Some(instance) = self.state.topology.of(&service, node) else { continue };
                    let again = Restarted { instance, step: action.number, by_manifest };
                    match restarted.iter_mut().find(|known| known.instance == instance) {
                        Some(known) => *known = again,
                        None => restarted.push(again),
                    }
                    self.down(&BTreeSet::from([instance]), When::Step(action.number));
                    self.health.lives(instance);
                    let mut changed = self.state.start(instance, action.number);
                    for pod in self.dead_pods(&service, node) {
                        restarted.push(Restarted { instance: pod, step: action.number, by_manifest: false });
                        self.health.lives(pod);
                        changed.extend(self.state.start(pod, action.number));
                    }
                    changed
                }
            };
            self.changed(&changed, When::Step(action.number));
        }
        if and_back {
            self.back(node, &visit.actions, &before, &restarted);
        }
        restarted
    }

    /// The pods of a node that do not run, where this service is the kubelet that starts them.
    fn dead_pods(&self, service: &ServiceName, node: &NodeName) -> Vec<InstanceId> {
        let topology = self.state.topology;
        if !topology.is(service, ServiceKind::Kubelet) {
            return Vec::new();
        }
        let world = &self.state.world;
        let is_there = |manifest: &str| !matches!(world.lies(node, manifest), DiskEntry::Nothing);
        let pods = world.pods.iter().filter(|((on, manifest), _)| on == node && is_there(manifest));
        let pods = pods.filter_map(|(_, pod)| topology.of(pod, node));
        pods.filter(|pod| self.health.is_dead(*pod)).collect()
    }

    /// The snapshot is put back, last write first, and what was restarted is restarted again: pods by their manifests, which come last, then the others in
    /// the order in which they were.
    fn back(&mut self, node: &NodeName, done: &[Action], before: &Before, restarted: &[Restarted]) {
        let Some(last) = done.last().map(|action| action.number) else { return };
        let after = self.state.before(node);
        let stood = self.stood.clone();
        let when = When::WayBack(last);
        // Each path goes back where it was changed first, a pair as one; permissions are not played.
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let writing = done.iter().filter(|action| !matches!(action.deed, Deed::SetPermissions { .. }));
        let first = writing
            .map(|action| action.paths().into_iter().filter(|path| seen.insert(path)).collect::<Vec<_>>());
        let first: Vec<Vec<&str>> = first.collect();
        for paths in first.into_iter().rev() {
            let changed = self.state.put_back(before, &paths, last);
            self.changed(&changed, when);
        }
        let (pods, others): (Vec<&Restarted>, Vec<&Restarted>) =
            restarted.iter().partition(|restarted| restarted.by_manifest);
        for Restarted { instance, .. } in pods.into_iter().rev().chain(others) {
            self.down(&BTreeSet::from([*instance]), when);
            let changed = self.state.start(*instance, last);
            self.changed(&changed, when);
        }
        self.state.go_back(&after);
        self.stood = stood;
    }

    /// Some inputs are in another state: which links stand otherwise, and what does that leave?
    fn changed(&mut self, inputs: &BTreeSet<InputId>, when: When) {
        for input in inputs {
            let passed = self.passed.entry(*input).or_default();
            let is_undo = matches!(when, When::WayBack(_));
            for loaded in self.state.loaded(*input) {
                match passed.iter_mut().find(|known| known.loaded == *loaded) {
                    Some(known) => known.is_undo &= is_undo,
                    None => passed.push(Passed { loaded: *loaded, is_undo }),
                }
            }
        }
        let mut counts = false;
        for (link, was, _) in self.state.look_again(inputs) {
            counts |= self.health.depends_on(self.state.topology, link);
            let stood = self.stood.entry(link).or_insert_with(|| was.clone()).clone();
            match (was, self.state.link(link).clone()) {
                // A way back may lead to where it did not work before.
                (Verdict::Holds, Verdict::Fails(_))
                    if matches!(when, When::WayBack(_)) && stood != Verdict::Holds => {}
                (Verdict::Holds, Verdict::Fails(reason)) => self.broken(link, when, &reason),
                (_, Verdict::Holds) => self.mended(link, when),
                (
                    Verdict::Holds | Verdict::Unknown | Verdict::Fails(_),
                    Verdict::Unknown | Verdict::Fails(_),
                ) => {}
            }
        }
        if counts {
            let found = self.health.count(&self.state, &BTreeSet::new());
            self.keep_lowest(&found);
        }
    }

    fn broken(&mut self, link: LinkId, when: When, reason: &str) {
        let told = match self.state.verdict(link, &self.told.clone()).0 {
            Verdict::Holds => self.stale(link),
            Verdict::Unknown | Verdict::Fails(_) => BTreeSet::new(),
        };
        self.breaks.push(Break { link, when, reason: reason.to_owned(), mended: None, told });
    }

    /// The instances at the ends of a link that a person is told to restart and that have not loaded what lies on their disks.
    fn stale(&mut self, link: LinkId) -> BTreeSet<InstanceId> {
        let Some(found) = self.state.topology.links.get(link.0) else { return BTreeSet::new() };
        let ends = [found.client, found.server];
        let inputs: Vec<InputId> = match &found.kind {
            Kind::Signing(input) => vec![*input],
            Kind::Connection(halves) => {
                halves.iter().flat_map(|half| [Some(half.shows), half.checks]).flatten().collect()
            }
        };
        let mut stale = BTreeSet::new();
        for input in inputs {
            let Some(instance) = self.state.topology.inputs.get(input.0).map(|input| input.instance) else {
                continue;
            };
            let on_disk = self.state.on_disk(input);
            let differs = self.state.loaded(input).iter().any(|loaded| loaded.holding != on_disk);
            if differs && ends.contains(&instance) && self.told.contains(&instance) {
                stale.insert(instance);
            }
        }
        stale
    }

    fn mended(&mut self, link: LinkId, when: When) {
        // What is mended on a way back is not mended on the way forth, nor the other way round.
        let same_way = |found: When| match (found, when) {
            (When::Step(_), When::Step(_)) => true,
            (When::WayBack(found), When::WayBack(now)) => found == now,
            (When::Step(_), When::WayBack(_)) | (When::WayBack(_), When::Step(_)) => false,
        };
        let open = self
            .breaks
            .iter_mut()
            .filter(|found| found.link == link && found.mended.is_none() && same_way(found.when));
        open.for_each(|found| found.mended = Some(when.step()));
    }

    /// Some instances are down together.
    fn down(&mut self, down: &BTreeSet<InstanceId>, when: When) {
        if !down.iter().any(|instance| self.health.counts_on(*instance)) {
            return;
        }
        let without = self.health.count(&self.state, &BTreeSet::new());
        let found = self.health.count(&self.state, down);
        self.keep_lowest(&found);
        for (found, without) in found.into_iter().zip(without) {
            // What was short before is not short because of this, nor is it where a way back leads to how it was.
            let was_short = matches!(when, When::WayBack(_))
                && self
                    .at_visit
                    .iter()
                    .any(|before| before.service == found.service && before.healthy < before.needed);
            if found.healthy < found.needed && without.healthy >= without.needed && !was_short {
                self.shortages.push(Shortage { when, count: found, down: down.clone() });
            }
        }
    }

    fn keep_lowest(&mut self, found: &[Count]) {
        for (lowest, found) in self.lowest.iter_mut().zip(found) {
            lowest.healthy = lowest.healthy.min(found.healthy);
        }
    }

    /// Nothing says in which order the instances that a wave restarts come back.
    fn all_down(&mut self, restarted: &[Restarted]) {
        if let Some(last) = restarted.iter().map(|restarted| restarted.step).max() {
            self.down(&restarted.iter().map(|restarted| restarted.instance).collect(), When::Step(last));
        }
    }

    /// Every state of one node of a wave against every state of each other one.
    fn at_once(&mut self, visits: &[BTreeMap<InputId, Vec<Passed>>]) {
        let topology = self.state.topology;
        let mut visit_of: BTreeMap<InputId, usize> = BTreeMap::new();
        for (index, passed) in visits.iter().enumerate() {
            visit_of.extend(passed.keys().map(|input| (*input, index)));
        }
        let links: BTreeSet<LinkId> =
            visit_of.keys().filter_map(|input| topology.links_of.get(input)).flatten().copied().collect();
        for id in links {
            let Some(Kind::Connection(halves)) = topology.links.get(id.0).map(|link| &link.kind) else {
                continue;
            };
            if *self.state.link(id) != Verdict::Holds {
                continue;
            }
            for half in halves {
                let Some(checks) = half.checks else { continue };
                let (Some(one), Some(other)) = (visit_of.get(&half.shows), visit_of.get(&checks)) else {
                    continue;
                };
                if one == other {
                    continue;
                }
                let states = |play: &Self, visit: &usize, input: InputId| {
                    let stands = play.state.loaded(input).iter();
                    let mut states: Vec<Passed> =
                        stands.map(|loaded| Passed { loaded: *loaded, is_undo: false }).collect();
                    states.extend(
                        visits.get(*visit).and_then(|passed| passed.get(&input)).into_iter().flatten(),
                    );
                    states
                };
                let (shown, checked) = (states(self, one, half.shows), states(self, other, checks));
                if let Some((when, reason)) = self.fails(half, &shown, &checked) {
                    self.broken(id, when, &reason);
                    break;
                }
            }
        }
    }

    /// Whether one side refuses the other in any of these states: on the way forth, or else where one of them is undone.
    fn fails(&mut self, half: &Half, shown: &[Passed], checked: &[Passed]) -> Option<(When, Arc<str>)> {
        let loaded = |states: &[Passed], of_undo: bool| -> Vec<Loaded> {
            states.iter().filter(|state| of_undo || !state.is_undo).map(|state| state.loaded).collect()
        };
        let (forth, checked_forth) = (loaded(shown, false), loaded(checked, false));
        if let (Verdict::Fails(reason), since) = self.state.half(half, &forth, Some(&checked_forth)) {
            return Some((When::Step(since), reason));
        }
        let (all, all_checked) = (loaded(shown, true), loaded(checked, true));
        let undone = |states: &[Passed]| -> Vec<Loaded> {
            states.iter().filter(|state| state.is_undo).map(|state| state.loaded).collect()
        };
        for shown in undone(shown) {
            if let (Verdict::Fails(reason), _) = self.state.half(half, &[shown], Some(&all_checked)) {
                return Some((When::WayBack(shown.since), reason));
            }
        }
        for checked in undone(checked) {
            if let (Verdict::Fails(reason), _) = self.state.half(half, &all, Some(&[checked])) {
                return Some((When::WayBack(checked.since), reason));
            }
        }
        None
    }

    /// Whether what a person is told to restart mends a link that is still broken at the end.
    pub(super) fn is_mended_by_hand(&mut self, link: LinkId) -> bool {
        let told = self.told.clone();
        self.state.verdict(link, &told).0 == Verdict::Holds
    }

    /// What mends a link that is still broken at the end.
    pub(super) fn would_mend(&mut self, link: LinkId) -> Option<BTreeSet<InstanceId>> {
        let found = self.state.topology.links.get(link.0)?;
        let (client, server) = (found.client, found.server);
        let candidates = [[client].into(), [server].into(), BTreeSet::from([client, server])];
        candidates.into_iter().find(|these| self.state.verdict(link, these).0 == Verdict::Holds)
    }
}

/// Whether the way back from before an action is one that the way back from the end of the visit does not stand for.
///
/// Whether one side of a connection accepts the other depends on two inputs, so a state of the way back matters only by its pairs. Of the pairs of two files, or of
/// a file and of what a process has loaded, the way forth shows each one in which the file is as it was or the process was not restarted yet, and the way
/// back from the end each other one, unless a file is written twice: what it holds between stands beside files that are put back. Of what two processes have
/// loaded, each pair occurs on those ways as well, unless one is restarted on the way back while the other was never restarted, or will be once more.
fn is_point(action: &Action, done: &[Action], restarted: &[Restarted]) -> bool {
    if matches!(action.deed, Deed::SetPermissions { .. }) {
        return false;
    }
    if action.restarts().is_some() {
        return !restarted.is_empty();
    }
    let paths = action.paths();
    let writes = done
        .iter()
        .filter(|done| !matches!(done.deed, Deed::SetPermissions { .. }) && done.restarts().is_none());
    writes.flat_map(|done| done.paths()).any(|path| paths.contains(&path))
}

/// The visits in waves, as a plan has them made.
pub(super) fn waves(plan: &PlanContent) -> Vec<Vec<&PlannedTransaction>> {
    plan.waves().map(|wave| wave.iter().collect()).collect()
}
