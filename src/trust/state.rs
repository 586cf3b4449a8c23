//! What every process has loaded, and which links work with that.
//!
//! What enters is the world's disks, the topology and the effects of deeds; what leaves is the links that change. An input has a list of states that
//! it may have in the worst case: a process that re-reads a file at some time may have any of them from the first change on until it is
//! restarted, and a link works only if it works with each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::disk::Disk;
use super::judge::{Judge, Question, Verdict};
use super::material::{Holding, HoldingId};
use super::topology::{Half, Input, InputId, InstanceId, Kind, LinkId, TakesUp, Topology};
use crate::trust::model::ClusterModel;
use crate::types::certificate::Usage;
use crate::types::duration::Duration;
use crate::types::names::NodeName;

/// One state that an input may be in, and the action since which it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Loaded {
    pub(crate) holding: HoldingId,
    pub(crate) since: u32,
}

/// Everything that changes while a plan is played.
#[derive(Debug)]
pub(crate) struct State<'a> {
    pub(crate) world: ClusterModel,
    pub(crate) topology: &'a Topology,
    judge: Judge,
    loaded: Vec<Vec<Loaded>>,
    /// Inputs of processes that have a directory open which is not in its place any more.
    detached: BTreeSet<InputId>,
    links: Vec<Verdict>,
}

/// What one node's part of the state was, to go back to.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    node: NodeName,
    disk: Disk,
    loaded: BTreeMap<InputId, (Vec<Loaded>, bool)>,
}

impl<'a> State<'a> {
    /// Processes have loaded what lies on their disks, unless something else is known of them.
    pub(crate) fn new(
        world: ClusterModel,
        topology: &'a Topology,
        at: Timestamp,
        loaded_otherwise: impl Fn(&Input, &mut ClusterModel) -> Option<HoldingId>,
    ) -> Self {
        let mut state = Self {
            world,
            topology,
            judge: Judge::new(at),
            loaded: Vec::new(),
            detached: BTreeSet::new(),
            links: Vec::new(),
        };
        for (index, input) in topology.inputs.iter().enumerate() {
            let holding =
                loaded_otherwise(input, &mut state.world).unwrap_or_else(|| state.on_disk(InputId(index)));
            state.loaded.push(vec![Loaded { holding, since: 0 }]);
        }
        for index in 0..topology.links.len() {
            let verdict = state.verdict(LinkId(index), &BTreeSet::new()).0;
            state.links.push(verdict);
        }
        state
    }

    /// How a link stood when it was looked at last.
    pub(crate) fn link(&self, id: LinkId) -> &Verdict {
        self.links.get(id.0).unwrap_or(&Verdict::Unknown)
    }

    pub(crate) fn loaded(&self, id: InputId) -> &[Loaded] {
        self.loaded.get(id.0).map_or(&[], Vec::as_slice)
    }

    /// What a process would load now.
    pub(crate) fn on_disk(&mut self, id: InputId) -> HoldingId {
        let Some(input) = self.topology.inputs.get(id.0) else {
            return self.world.material.hold(Holding::Unknown);
        };
        let node = self.topology.instance(input.instance).map(|instance| &instance.node);
        match node.and_then(|node| self.world.disks.get(node)) {
            Some(disk) => disk.read(&input.source, &mut self.world.material),
            None => self.world.material.hold(Holding::Unknown),
        }
    }

    /// Some paths of a node were written. Says whose state may have changed.
    pub(crate) fn wrote(&mut self, node: &NodeName, paths: &[String], action: u32) -> BTreeSet<InputId> {
        let readers = self.topology.readers.get(node);
        let of_path = |path: &String| readers.and_then(|readers| readers.get(path)).into_iter().flatten();
        let inputs: BTreeSet<InputId> = paths.iter().flat_map(of_path).copied().collect();
        inputs.into_iter().filter(|input| self.take_up(*input, action)).collect()
    }

    /// A reader may see what was written. Says whether its state may be another one now.
    fn take_up(&mut self, id: InputId, action: u32) -> bool {
        let Some(takes_up) = self.topology.inputs.get(id.0).map(|input| input.takes_up) else { return false };
        let next = Loaded { holding: self.on_disk(id), since: action };
        let is_usable = !matches!(
            self.world.material.holding(next.holding),
            Holding::Nothing | Holding::Pair { fits: false, .. }
        );
        let detached = self.detached.contains(&id);
        let Some(loaded) = self.loaded.get_mut(id.0) else { return false };
        match takes_up {
            TakesUp::AtStart => false,
            TakesUp::AtOnce if !detached => {
                let changes = loaded.iter().map(|known| known.holding).ne([next.holding]);
                if changes {
                    *loaded = vec![next];
                }
                changes
            }
            // Who polls or watches goes on with what it has when it finds nothing that it can use (dynamic_serving_content.go).
            TakesUp::AtOnce | TakesUp::SomeTime(_) | TakesUp::SeveralWays => {
                let is_new = is_usable && loaded.iter().all(|known| known.holding != next.holding);
                if is_new {
                    loaded.push(next);
                }
                is_new
            }
        }
    }

    /// What has this directory open does not see what is written into the one in its place.
    pub(crate) fn moved(&mut self, node: &NodeName, directory: &str) {
        let below = |path: &String| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        let readers = self.topology.readers.get(node).into_iter().flatten();
        self.detached
            .extend(readers.filter(|(path, _)| below(path)).flat_map(|(_, inputs)| inputs.iter().copied()));
    }

    /// A process starts, and loads what lies there now. Says which of its inputs are in another state than before.
    pub(crate) fn start(&mut self, instance: InstanceId, action: u32) -> BTreeSet<InputId> {
        let topology = self.topology;
        let mut changed = BTreeSet::new();
        for id in topology.inputs_of.get(&instance).into_iter().flatten() {
            self.detached.remove(id);
            let holding = self.on_disk(*id);
            if let Some(loaded) = self.loaded.get_mut(id.0)
                && loaded.iter().map(|known| known.holding).ne([holding])
            {
                *loaded = vec![Loaded { holding, since: action }];
                changed.insert(*id);
            }
        }
        changed
    }

    /// A process was seen to show the first certificate of this file at a port, so it has taken it up. Says whether its state is another one now.
    pub(crate) fn is_served(&mut self, node: &NodeName, port: u16, certificate: &str) -> Option<InputId> {
        let id = *self.topology.served.get(&(node.clone(), port))?;
        let input = self.topology.inputs.get(id.0)?;
        let is_of_file = input.source.certificate() == certificate;
        (is_of_file && self.has_taken_up(id)).then_some(id)
    }

    /// So much time has passed, in which whoever polls as often on this node has read everything. Says whose state is another one now.
    pub(crate) fn waited(&mut self, node: &NodeName, time: Duration) -> BTreeSet<InputId> {
        let topology = self.topology;
        let takes_up = |id: &InputId| topology.inputs.get(id.0).map(|input| input.takes_up);
        let polls =
            |id: &InputId| matches!(takes_up(id), Some(TakesUp::SomeTime(Some(period))) if period <= time);
        topology.inputs_on(node).filter(polls).filter(|id| self.has_taken_up(*id)).collect()
    }

    fn has_taken_up(&mut self, id: InputId) -> bool {
        let is_by_itself = self
            .topology
            .inputs
            .get(id.0)
            .is_some_and(|input| matches!(input.takes_up, TakesUp::SomeTime(_)));
        let holding = self.on_disk(id);
        let Some(loaded) = self.loaded.get_mut(id.0) else { return false };
        // Only what it may have taken up can it have taken up: what cannot be used it has passed over.
        let taken_up = loaded.iter().find(|known| known.holding == holding).copied();
        let is_news = is_by_itself && loaded.len() > 1 && !self.detached.contains(&id);
        let Some(taken_up) = taken_up.filter(|_| is_news) else { return false };
        *loaded = vec![taken_up];
        true
    }

    /// Looks again at every link that depends on these inputs, and tells those that stand otherwise than before.
    pub(crate) fn look_again(&mut self, inputs: &BTreeSet<InputId>) -> Vec<(LinkId, Verdict, u32)> {
        let topology = self.topology;
        let links: BTreeSet<LinkId> =
            inputs.iter().filter_map(|input| topology.links_of.get(input)).flatten().copied().collect();
        let mut changed = Vec::new();
        for id in links {
            let (verdict, since) = self.verdict(id, &BTreeSet::new());
            if let Some(known) = self.links.get_mut(id.0)
                && *known != verdict
            {
                changed.push((id, std::mem::replace(known, verdict), since));
            }
        }
        changed
    }

    /// How a link stands in the worst case, and the latest of the actions that lead there. Instances that are `restarted` have loaded what lies on
    /// their disks.
    pub(crate) fn verdict(&mut self, id: LinkId, restarted: &BTreeSet<InstanceId>) -> (Verdict, u32) {
        let topology = self.topology;
        let Some(link) = topology.links.get(id.0) else { return (Verdict::Unknown, 0) };
        match &link.kind {
            Kind::Signing(input) => {
                let states = self.states(*input, restarted);
                self.signing(&states)
            }
            Kind::Connection(halves) => {
                let mut worst = (Verdict::Holds, 0);
                for half in halves {
                    let shown = self.states(half.shows, restarted);
                    let checked = half.checks.map(|checks| self.states(checks, restarted));
                    match self.half(half, &shown, checked.as_deref()) {
                        (Verdict::Holds, _) => {}
                        (Verdict::Unknown, since) => worst = (Verdict::Unknown, since),
                        failed @ (Verdict::Fails(_), _) => return failed,
                    }
                }
                worst
            }
        }
    }

    fn states(&mut self, id: InputId, restarted: &BTreeSet<InstanceId>) -> Vec<Loaded> {
        let is_restarted =
            self.topology.inputs.get(id.0).is_some_and(|input| restarted.contains(&input.instance));
        match is_restarted {
            true => vec![Loaded { holding: self.on_disk(id), since: 0 }],
            false => self.loaded(id).to_vec(),
        }
    }

    /// Whether what is shown is accepted by who checks it with this.
    pub(crate) fn ask(&mut self, shown: HoldingId, checked_with: HoldingId, usage: Usage) -> Verdict {
        let checked_with = Some(checked_with);
        let question = Question { shown, checked_with, usage, name: None, is_address_of_client: false };
        self.judge.ask(&self.world.material, &question)
    }

    /// Whether one side accepts the other, with just this in their hands.
    pub(crate) fn on_disks(&mut self, half: &Half, shown: HoldingId, checked: Option<HoldingId>) -> Verdict {
        let loaded = |holding| Loaded { holding, since: 0 };
        let checked = checked.map(|holding| [loaded(holding)]);
        self.half(half, &[loaded(shown)], checked.as_ref().map(|checked| &checked[..])).0
    }

    /// Whether one side accepts the other, whichever of these states they are in.
    pub(crate) fn half(
        &mut self,
        half: &Half,
        shown: &[Loaded],
        checked: Option<&[Loaded]>,
    ) -> (Verdict, u32) {
        let unchecked = [None];
        let checked: Vec<Option<Loaded>> = match checked {
            Some(checked) => checked.iter().map(|loaded| Some(*loaded)).collect(),
            None => unchecked.to_vec(),
        };
        let mut worst = (Verdict::Holds, 0);
        for shown in shown {
            for checked in &checked {
                let question = Question {
                    shown: shown.holding,
                    checked_with: checked.map(|loaded| loaded.holding),
                    usage: half.usage,
                    name: half.name.as_ref(),
                    is_address_of_client: half.usage == Usage::Client,
                };
                let since = shown.since.max(checked.map_or(0, |loaded| loaded.since));
                match self.judge.ask(&self.world.material, &question) {
                    Verdict::Holds => {}
                    Verdict::Unknown => worst = (Verdict::Unknown, since),
                    Verdict::Fails(reason) => {
                        let whole = format!("{}{reason}", self.who(half));
                        return (Verdict::Fails(whole.into()), since);
                    }
                }
            }
        }
        worst
    }

    /// Who refuses whom.
    fn who(&self, half: &Half) -> String {
        let name = |input: InputId| {
            let instance = self.topology.inputs.get(input.0).map(|input| input.instance);
            let instance = instance.and_then(|instance| self.topology.instance(instance));
            instance.map(ToString::to_string).unwrap_or_default()
        };
        match half.checks {
            Some(checks) => format!("{} refuses {}: ", name(checks), name(half.shows)),
            None => format!("{}: ", name(half.shows)),
        }
    }

    fn signing(&self, states: &[Loaded]) -> (Verdict, u32) {
        for loaded in states {
            let reason: Arc<str> = match self.world.material.holding(loaded.holding) {
                Holding::Bundle(certificates) if certificates.len() == 1 => continue,
                Holding::Bundle(certificates) => format!(
                    "it signs only with exactly one certificate, and its file holds {}",
                    certificates.len()
                )
                .into(),
                Holding::Unknown | Holding::Pair { .. } => return (Verdict::Unknown, loaded.since),
                Holding::Nothing => "its file holds no certificate to sign with".into(),
            };
            return (Verdict::Fails(reason), loaded.since);
        }
        (Verdict::Holds, 0)
    }

    /// What a node's part is now.
    pub(crate) fn before(&self, node: &NodeName) -> Before {
        let inputs = self.topology.inputs_on(node);
        let loaded = inputs.map(|id| (id, (self.loaded(id).to_vec(), self.detached.contains(&id)))).collect();
        let disk = self.world.disks.get(node).cloned().unwrap_or_default();
        Before { node: node.clone(), disk, loaded }
    }

    /// Makes a node's part what it was, without telling anybody.
    pub(crate) fn go_back(&mut self, before: &Before) {
        self.world.disks.insert(before.node.clone(), before.disk.clone());
        for (id, (loaded, detached)) in &before.loaded {
            if let Some(known) = self.loaded.get_mut(id.0) {
                known.clone_from(loaded);
            }
            if *detached {
                self.detached.insert(*id);
            } else {
                self.detached.remove(id);
            }
        }
        let _ = self.look_again(&before.loaded.keys().copied().collect());
    }

    /// Puts paths back as they were.
    pub(crate) fn put_back(&mut self, before: &Before, paths: &[&str], action: u32) -> BTreeSet<InputId> {
        if let Some(disk) = self.world.disks.get_mut(&before.node) {
            paths.iter().for_each(|path| disk.put(path, before.disk.at(path).clone()));
        }
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        self.wrote(&before.node, &paths, action)
    }
}
