//! An etcd that is made of values. There is no data, so a snapshot of it says only that it was made.
//!
//! What enters is what enters on a real node; what leaves is a snapshot where a member answers, and another leader where one can lead. It touches nothing.

use super::{Failure, Memory};
use crate::agent::probe::etcd::leadership::successor;
use crate::protocol::command::SnapshotEtcd;
use crate::protocol::error::HostError;
use crate::protocol::facts::Seen;
use crate::protocol::health_check::HealthCheck;
use crate::protocol::snapshots::EtcdSnapshot;
use crate::x509::Sha256;

impl Memory {
    pub(super) fn make_etcd_snapshot(&mut self, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        let SnapshotEtcd { run, state_directory, keep, address, certificate, key, .. } = wanted.clone();
        let taken_at = self.tick();
        let gate = HealthCheck::Etcd { address: address.ip(), port: address.port(), certificate, key };
        self.gate_holds(&gate).map_err(|reason| HostError::EtcdNotSaved { reason })?;
        self.fails(Failure::SnapshotEtcd)?;
        let path = format!("{state_directory}/etcd/{run}.db");
        let (revision, bytes, sha256) = (1, 40, Sha256::of(b"database"));
        let made = EtcdSnapshot { path, run, taken_at, revision, bytes, sha256 };
        self.work.etcd.push(made.clone());
        self.prune_etcd_snapshots(keep);
        Ok(made)
    }

    /// The member says from then on that another one leads, as it sees its cluster; other nodes are values of their own and go on saying what they said.
    pub(super) fn hand_on_leadership(&mut self) -> Result<(), String> {
        self.fails(Failure::MoveLeader).map_err(|error| error.to_string())?;
        let Some(Seen::Present(etcd)) = &mut self.etcd else { return Ok(()) };
        let Some(own) = etcd.own_status().filter(|own| own.leader == Some(etcd.member)) else {
            return Ok(());
        };
        let next = successor(etcd, own.raft_index).ok_or("no other member has caught up in time")?;
        for member in etcd.members.values_mut() {
            if let Seen::Present(status) = &mut member.status {
                status.leader = Some(next);
            }
        }
        Ok(())
    }

    /// Removes all but the latest, and tells which.
    pub(super) fn prune_etcd_snapshots(&mut self, keep: u32) -> Vec<String> {
        let excess = self.work.etcd.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        self.work.etcd.drain(..excess).map(|old| old.path).collect()
    }
}
