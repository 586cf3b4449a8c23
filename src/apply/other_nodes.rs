//! What other nodes see of the one that is worked on.
//!
//! What enters is the health checks that an action looks for from other nodes; what leaves is that those of them hold that held before the transaction, or which do not and from where. The
//! other nodes only look. One that gives no answer before the transaction is not asked later; one that gives none later is a failure of the transaction, which is undone.

use std::collections::{BTreeMap, BTreeSet};

use super::Run;
use crate::plan::model::outcome::Failure;
use crate::plan::{Deed, PlannedTransaction};
use crate::protocol::command::ReadCommand;
use crate::protocol::error::HostError;
use crate::protocol::health_check::HealthCheck;
use crate::types::duration::Duration;
use crate::types::names::NodeName;
use crate::types::place::Place;

/// Gates, by the node from which they are looked for.
pub(super) type Elsewhere = BTreeMap<NodeName, BTreeSet<HealthCheck>>;

impl Run<'_, '_> {
    /// Looks before a visit what holds of all that the visit will look for from other nodes.
    pub(super) fn look_elsewhere(&mut self, visit: &PlannedTransaction) {
        let mut held = Elsewhere::new();
        for action in &visit.actions {
            let Deed::AwaitHealthy { elsewhere, .. } = &action.deed else { continue };
            for (node, gates) in elsewhere {
                for gate in gates {
                    if self.look(node, &[gate.clone()].into(), Duration::from_seconds(0)).is_ok() {
                        held.entry(node.clone()).or_default().insert(gate.clone());
                    }
                }
            }
        }
        self.held_elsewhere = held;
    }

    /// Waits until other nodes see again what they saw before the visit.
    pub(super) fn await_elsewhere(&mut self, wanted: &Elsewhere, timeout: Duration) -> Result<(), HostError> {
        for (node, gates) in wanted {
            let held = self.held_elsewhere.get(node);
            let gates: BTreeSet<HealthCheck> =
                gates.iter().filter(|gate| held.is_some_and(|held| held.contains(gate))).cloned().collect();
            if gates.is_empty() {
                continue;
            }
            self.look(node, &gates, timeout).map_err(|error| {
                let reasons = if let HostError::NotHealthy { reasons, .. } = &error {
                    reasons.iter().map(|reason| seen_from(node, reason)).collect()
                } else {
                    // It is not the node that is worked on whose connection may be lost.
                    vec![seen_from(node, &error.to_string())]
                };
                HostError::NotHealthy { reasons, seconds: timeout.seconds() }
            })?;
        }
        Ok(())
    }

    /// Whether other nodes see a node that was put back as they did before. One that gives no answer any more says nothing about it.
    pub(super) fn is_seen_as_before(&mut self, place: &Place) -> Result<(), Failure> {
        let timeout = self.settings.desired.rollout.timeout;
        for (other, gates) in std::mem::take(&mut self.held_elsewhere) {
            if let Err(HostError::NotHealthy { reasons, seconds }) = self.look(&other, &gates, timeout) {
                let reasons = reasons.iter().map(|reason| seen_from(&other, reason)).collect();
                return Err(Failure::on(place, None, HostError::NotHealthy { reasons, seconds }));
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        node: &NodeName,
        gates: &BTreeSet<HealthCheck>,
        timeout: Duration,
    ) -> Result<(), HostError> {
        let place = Place::from(node);
        let command = ReadCommand::Await {
            gates: gates.clone(),
            kept: BTreeSet::new(),
            settle_seconds: 0,
            timeout_seconds: timeout.seconds(),
            links: self.links_on(&place),
        };
        super::answers::ask(self, &place, command).map(|_| ())
    }
}

fn seen_from(node: &NodeName, reason: &str) -> String {
    format!("seen from {node}: {reason}")
}
