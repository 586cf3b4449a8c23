//! How long a plan takes where nothing goes wrong.
//!
//! What enters is a plan; what leaves is a length of time and what it is made of. It is an estimate for whoever plans a maintenance window: no wait ends by it, and a
//! run that takes longer is no fault. Nothing is stored, so it can be told of every saved plan.

use super::deed::{Action, Deed, Disruption, RestartMethod};
use super::plan::PlanContent;
use super::visit::PlannedTransaction;
use crate::protocol::health_check::HealthCheck;
use crate::types::duration::Duration;
use crate::types::names::Target;

/// What a visit takes besides its waits: questions, the snapshot, keys, writes and checks. Measured with three control planes of kubeadm 1.20 over SSH on two
/// processors, as are those below.
const VISIT: u64 = 2;
/// An API server that is started anew: until its port is free, and until it is ready (kube-apiserver 1.20: 0.1 s and 6.6 s).
const API_SERVER: u64 = 7;
/// Any other static pod: until its port is free, and until the kubelet has seen the manifest and the process answers (etcd 3.4: 1 to 2 s).
const STATIC_POD: u64 = 4;
/// A unit, or a program that restarts something.
const UNIT: u64 = 2;

/// How long it takes, and what the time goes into, in seconds; the parts are its sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpectedTime {
    /// Reading, writing, checking.
    pub work: u64,
    /// Waiting until what goes on running has read changed files again by itself.
    pub polls: u64,
    /// Starting services anew.
    pub restarts: u64,
    /// Seeing that what works goes on working.
    pub settles: u64,
}

impl ExpectedTime {
    /// That of a plan: its waves one after the other, each as long as its longest visit.
    pub fn of(plan: &PlanContent) -> Self {
        let longest = |wave: &[PlannedTransaction]| wave.iter().map(Self::of_visit).max_by_key(Self::total);
        plan.waves().filter_map(longest).fold(Self::default(), Self::and)
    }

    /// All of it.
    pub fn total(&self) -> Duration {
        let parts = [self.work, self.polls, self.restarts, self.settles];
        Duration::from_seconds(parts.into_iter().fold(0, u64::saturating_add))
    }

    fn of_visit(visit: &PlannedTransaction) -> Self {
        let actions = &visit.actions;
        Self {
            work: VISIT,
            polls: actions.iter().map(|action| awaited_poll(action, actions)).max().unwrap_or_default(),
            restarts: actions.iter().map(|action| restart(action, actions)).fold(0, u64::saturating_add),
            settles: actions.iter().map(settle).fold(0, u64::saturating_add),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            work: self.work.saturating_add(other.work),
            polls: self.polls.saturating_add(other.polls),
            restarts: self.restarts.saturating_add(other.restarts),
            settles: self.settles.saturating_add(other.settles),
        }
    }
}

/// How long a file that is changed may wait for whoever polls it, where the visit goes on only once it is in use.
fn awaited_poll(action: &Action, visit: &[Action]) -> u64 {
    let Disruption::Reload { within, .. } = &action.disruption else { return 0 };
    let paths = action.paths();
    let shows = |gate: &HealthCheck| matches!(gate, HealthCheck::Serves { certificate, .. } if paths.contains(&certificate.as_str()));
    if visit.iter().any(|other| gates(other).any(shows)) { within.seconds() } else { 0 }
}

fn restart(action: &Action, visit: &[Action]) -> u64 {
    let Some(service) = action.restarts() else { return 0 };
    // An API server is known by what is required of it afterwards.
    let is_ready = |gate: &HealthCheck| matches!(gate, HealthCheck::Ready { .. });
    let is_of = |other: &&Action| matches!(&other.address.target, Target::Service(of) if of == service);
    let is_api_server = visit.iter().filter(is_of).any(|other| gates(other).any(is_ready));
    // What is started anew without a restart of its own has its manifest put back.
    let is_unit =
        matches!(&action.deed, Deed::Restart { how, .. } if !matches!(how, RestartMethod::StaticPod { .. }));
    match (is_unit, is_api_server) {
        (true, _) => UNIT,
        (false, true) => API_SERVER,
        (false, false) => STATIC_POD,
    }
}

fn settle(action: &Action) -> u64 {
    if let Deed::AwaitHealthy { settle, .. } = &action.deed { settle.seconds() } else { 0 }
}

fn gates(action: &Action) -> impl Iterator<Item = &HealthCheck> {
    let gates = if let Deed::AwaitHealthy { gates, .. } = &action.deed { Some(gates) } else { None };
    gates.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::restart::health_checks::tests::{plan_at, running, soon};
    use crate::protocol::facts::ClientCertificate;

    #[test]
    fn a_renewal_of_all_waits_for_the_polls_of_each_api_server_and_for_each_restart() {
        let plan = plan_at(&running(ClientCertificate::Required), soon());
        let visits = u64::try_from(plan.visits.len()).unwrap();
        let settles: u64 = plan.actions().map(settle).sum();
        let of = |service: &str| {
            let is_of = |action: &&Action| action.restarts().is_some_and(|name| name.as_str() == service);
            u64::try_from(plan.actions().filter(is_of).count()).unwrap()
        };
        let restarts = API_SERVER * of("kube-apiserver")
            + STATIC_POD * (of("etcd") + of("kube-controller-manager") + of("kube-scheduler"))
            + UNIT * of("kubelet");
        assert!(of("kube-scheduler") == 3 && visits == 3 && settles > 0);
        let expected = ExpectedTime { work: VISIT * visits, polls: 3 * 60, restarts, settles };
        assert_eq!(ExpectedTime::of(&plan), expected);
    }
}
