//! What planning has found to do so far, and what it has to tell.
//!
//! A plain value: every part that draws deeds adds to it, and the last one puts it in order. Nothing is decided or ordered here. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::draft_deed::DraftDeed;
use crate::plan::{Blocked, ManualRestart, Noted, Postponed, Waiting};
use crate::types::names::NodeName;
use crate::types::place::Place;

/// Deeds without an order, and what cannot be done.
#[derive(Default)]
pub(crate) struct Worklist {
    /// By place, so that no builder of one node looks through those of all others.
    pub(crate) deeds: BTreeMap<Place, Vec<DraftDeed>>,
    pub(crate) blocked: Vec<Blocked>,
    pub(crate) elsewhere: Vec<Blocked>,
    /// Changes of trust that those hold who are not in the spec.
    pub(crate) held: Vec<Blocked>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) restart_yourself: Vec<ManualRestart>,
    pub(crate) notes: Vec<Noted>,
    pub(crate) postponed: Vec<Postponed>,
    /// The outages that the user accepted and the plan needs, in words.
    pub(crate) accepted: Vec<String>,
}

impl Worklist {
    pub(crate) fn add(&mut self, deed: DraftDeed) {
        self.deeds.entry(deed.address.place.clone()).or_default().push(deed);
    }

    /// The deeds on one node so far.
    pub(crate) fn on(&self, node: &NodeName) -> &[DraftDeed] {
        self.at(&node.into())
    }

    /// The deeds at one place so far.
    pub(crate) fn at(&self, place: &Place) -> &[DraftDeed] {
        self.deeds.get(place).map_or(&[], Vec::as_slice)
    }

    /// The directories on a node in whose place another one comes, by the path under which programs know them.
    pub(crate) fn moved(&self, node: &NodeName) -> BTreeSet<String> {
        self.on(node).iter().filter_map(DraftDeed::moved).map(str::to_owned).collect()
    }

    /// Leaves a restart to a person; the same on several nodes is told once.
    pub(crate) fn leave_restart(&mut self, new: ManualRestart) {
        let same = |manual: &&mut ManualRestart| {
            (&manual.service, &manual.reads, &manual.how, &manual.because)
                == (&new.service, &new.reads, &new.how, &new.because)
        };
        match self.restart_yourself.iter_mut().find(same) {
            Some(manual) => {
                let further: Vec<NodeName> =
                    new.nodes.into_iter().filter(|node| !manual.nodes.contains(node)).collect();
                manual.nodes.extend(further);
            }
            None => self.restart_yourself.push(new),
        }
    }
}
