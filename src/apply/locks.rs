//! The locks of a run: which nodes it holds, and how long it waits for them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::desired::{Desired, DesiredNode};
use crate::protocol::error::HostError;
use crate::protocol::lock::Claim;
use crate::simulate::Plan;
use crate::spec::types::Role;
use crate::types::place::Place;

use super::{Hosts, Locking, Table, held, in_table};
use crate::plan::model::outcome::Failure;

/// How often a lock is asked for that somebody else holds: after this time first, and each time after twice as long as before, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Locks the nodes of a plan before it is looked at them for the last time; [`super::apply`] takes over these locks. They are given back with the nodes.
///
/// # Errors
/// Somebody else holds one of them, or it cannot be reached.
pub fn lock(
    plan: &Plan,
    hosts: &mut Hosts,
    desired: &Desired,
    locking: &Locking,
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    in_table(hosts, |table| take(plan, table, desired, locking, interrupted))
}

/// Locks nodes in the order of their names, so that two runs cannot wait for each other: every node of the plan, and where something is restarted also
/// every other one with etcd or a control plane, so that no two runs take down two of them at once. One of those that cannot be reached keeps
/// nobody from working on the others, and nobody from here works on it either.
pub(super) fn take(
    plan: &Plan,
    hosts: &Table,
    desired: &Desired,
    locking: &Locking,
    interrupted: &AtomicBool,
) -> Result<(), Failure> {
    let visited: BTreeSet<Place> = plan.visits.iter().map(|visit| visit.place.clone()).collect();
    let mut places = visited.clone();
    if plan.actions().any(|action| action.restarts().is_some()) {
        let bears =
            |node: &DesiredNode| node.roles.contains(&Role::ControlPlane) || node.roles.contains(&Role::Etcd);
        let bearing = desired.nodes.iter().filter(|(_, node)| bears(node));
        places.extend(bearing.map(|(name, _)| Place::from(name)).filter(|place| hosts.contains_key(place)));
    }
    let start = Instant::now();
    let deadline = start.checked_add(locking.patience).unwrap_or(start);
    for place in &places {
        let mut host = hosts.get(place).map(held).ok_or_else(|| Failure::unconnected(place))?;
        let claim = Claim { run: plan.id.clone(), ..locking.claim.clone() };
        let mut pause = FIRST_PAUSE;
        while let Err(error) = host.lock(&claim) {
            let left = deadline.saturating_duration_since(Instant::now());
            let is_held = matches!(error, HostError::Locked { .. });
            if matches!(error, HostError::Unreachable { .. }) && !visited.contains(place) {
                break;
            }
            if !is_held || left.is_zero() || interrupted.load(Ordering::Relaxed) {
                return Err(Failure::on(place, None, error));
            }
            sleep(pause.min(left));
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }
    Ok(())
}
