//! Visits without a transaction: what a crash left open is undone, and etcd's data is saved.
//!
//! What enters is a transaction that does one of these and nothing else; what leaves is how it ended. Neither touches what a transaction would have to roll back.

use std::net::SocketAddr;

use super::Run;
use crate::plan::model::outcome::{Event, Failure, FailureKind, VisitEnd};
use crate::plan::{Action, Deed, PlannedTransaction};
use crate::protocol::command::SnapshotEtcd;
use crate::protocol::error::HostError;
use crate::protocol::snapshots::EtcdSnapshot;

impl Run<'_, '_> {
    /// How a visit ended that needs no transaction; none where it needs one.
    pub(super) fn without_transaction(
        &mut self,
        visit: &PlannedTransaction,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> Option<VisitEnd> {
        let [action] = visit.actions.as_slice() else { return None };
        if action.traits().transaction {
            return None;
        }
        let is_undo = matches!(action.deed, Deed::UndoOpen { .. });
        // What is neither is refused, since no member is asked for it.
        Some(if is_undo { self.undo_open(visit, action, tell) } else { self.save_etcd(action, tell) })
    }

    fn undo_open(
        &mut self,
        visit: &PlannedTransaction,
        action: &Action,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> VisitEnd {
        let directory = self.settings.desired.snapshots.directory.clone();
        tell(&Event::StepBegins { action });
        match self.host(&visit.place).and_then(|mut host| {
            host.undo_open(&directory).map_err(|error| Failure::on(&visit.place, Some(action), error))
        }) {
            Ok(_) => {
                tell(&Event::StepEnds { action });
                VisitEnd::Committed
            }
            Err(failure) => {
                tell(&Event::StepFails { action, failure: &failure });
                if failure.kind == FailureKind::Disconnected {
                    return VisitEnd::Disconnected(failure);
                }
                VisitEnd::UndoFailed { cause: failure.clone(), undo: failure }
            }
        }
    }

    /// If it cannot be saved, nothing has been touched, and nothing is.
    fn save_etcd(&mut self, action: &Action, tell: &mut dyn FnMut(&Event<'_>)) -> VisitEnd {
        tell(&Event::StepBegins { action });
        match self.snapshot_etcd(action) {
            Ok(snapshot) => {
                tell(&Event::StepEnds { action });
                VisitEnd::Saved(snapshot)
            }
            Err(error) => {
                let failure = Failure::on(&action.address.place, Some(action), error);
                tell(&Event::StepFails { action, failure: &failure });
                VisitEnd::Refused(failure)
            }
        }
    }

    /// Has the member of the action's node send its data.
    pub(super) fn snapshot_etcd(&mut self, action: &Action) -> Result<EtcdSnapshot, HostError> {
        let place = &action.address.place;
        let Deed::SnapshotEtcd { address, port, certificate, key, directory, keep, timeout } = &action.deed
        else {
            return Err(super::answers::unanswered());
        };
        let wanted = SnapshotEtcd {
            run: self.plan.id.clone(),
            state_directory: directory.clone(),
            keep: *keep,
            address: SocketAddr::new(*address, *port),
            certificate: certificate.clone(),
            key: key.clone(),
            timeout_seconds: timeout.seconds(),
            links: self.links_on(place),
        };
        self.hosts.get(place).map_or(Err(HostError::NotOpen), |host| super::held(host).snapshot_etcd(&wanted))
    }
}
