//! Runs that nobody ended, and which alarms a look has to end with.

use jiff::Timestamp;
use serde::Serialize;

use super::{AlarmState, Status};
use crate::diff::Effect;
use crate::protocol::facts::NodeFacts;
use crate::types::names::{Address, NodeName, Target};

/// An alarm about a node that a run left half changed: its process is gone, and what it did is not undone yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterruptedRun {
    /// Which alarm: always [`AlarmState::Interrupted`].
    pub state: AlarmState,
    /// The node, as `node@cp-1`.
    pub address: String,
    /// The node.
    pub node: NodeName,
    /// The run.
    pub run: String,
    /// When it began, by the node's clock.
    pub since: Timestamp,
    /// What it was about.
    pub note: String,
}

/// The alarm about a run that nobody ended.
pub(super) fn interrupted(node: &NodeName, facts: &NodeFacts) -> Option<InterruptedRun> {
    let open = facts.open_transaction.shown()?;
    let address = Address::on(Target::Node, node).to_string();
    let (run, since, note) = (open.run.clone(), open.begun_at, open.note.clone());
    Some(InterruptedRun { state: AlarmState::Interrupted, address, node: node.clone(), run, since, note })
}

impl Status {
    /// Whether an alarm is raised that a look has to end with, whatever a plan would do about it: only one about an end that is near is told by what is due.
    pub fn is_alarming(&self) -> bool {
        let certificates = self.certificates.iter().map(|row| (row.alarm.as_ref(), &row.findings));
        let authorities = self.certificate_authorities.iter().map(|row| (row.alarm.as_ref(), &row.findings));
        let by_end = certificates.chain(authorities).any(|(alarm, findings)| {
            let is_due = || findings.iter().any(|status| status.finding.effect == Effect::Due);
            alarm.is_some_and(|alarm| alarm.state != AlarmState::Expiring || !is_due())
        });
        by_end
            || self.others.iter().any(|row| !row.alarms.is_empty())
            || !self.failed_renewals.is_empty()
            || !self.interrupted.is_empty()
            || self.unmanaged.iter().any(|row| row.alarm.is_some())
            || self.alarming().next().is_some()
    }
}
