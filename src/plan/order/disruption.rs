//! What a deed means for what runs.
//!
//! What enters is a deed and what should be on its node; what leaves is whether the services that read what it changes take it up by themselves, and when. Nothing is
//! ordered here: see [`crate::plan::order`].

use std::collections::BTreeSet;

use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::paths::{lies_below, reads_below};
use crate::plan::{Deed, Disruption, Input};
use crate::profile::Reload;
use crate::types::duration::Duration;
use crate::types::names::{ServiceName, Target};
use crate::types::place::Place;

/// What a deed means for the services that read what it changes. Below a directory that is `moved`, none of them finds it before it is restarted.
pub(crate) fn disruption(
    deed: &DraftDeed,
    place: &Place,
    input: &Input<'_>,
    moved: &BTreeSet<&str>,
) -> Disruption {
    if !deed.replaces {
        return Disruption::None;
    }
    if let (Deed::Restart { .. } | Deed::Restore { .. }, Target::Service(service)) =
        (&deed.deed, &deed.address.target)
    {
        return Disruption::Restart { services: [service.clone()].into() };
    }
    let desired = &input.survey.desired;
    // What is in the cluster is read by its own watchers, and no process of a node has it loaded.
    let Some(wanted) = desired.at(place) else { return Disruption::None };
    let changed = crate::plan::restart::cause::changes(deed);
    let own_move = deed.moved();
    let is_behind = deed.paths().iter().any(|path| moved.iter().any(|moved| lies_below(path, moved)));
    let mut restarts: BTreeSet<ServiceName> = BTreeSet::new();
    let mut reloads: BTreeSet<String> = BTreeSet::new();
    let mut within = Duration::default();
    for (service, service_wanted) in &wanted.services {
        if own_move.is_some_and(|moved| reads_below(service_wanted, wanted, moved)) {
            restarts.insert(service.clone());
        }
        for read in service_wanted.reads.iter().filter(|read| changed.contains(&read.what)) {
            match if is_behind { Reload::Start } else { read.reload(wanted.version) } {
                Reload::Start => {
                    restarts.insert(service.clone());
                }
                Reload::Handshake => {
                    reloads.insert(format!("{service} at the next handshake"));
                }
                Reload::Watch => {
                    reloads.insert(format!("{service} at once"));
                }
                Reload::Poll(time) => {
                    reloads.insert(format!("{service} within {time}"));
                    within = within.max(time);
                }
            }
        }
    }
    if !restarts.is_empty() {
        Disruption::Restart { services: restarts }
    } else if reloads.is_empty() {
        Disruption::None
    } else {
        Disruption::Reload { when: reloads.into_iter().collect::<Vec<_>>().join(", "), within }
    }
}
