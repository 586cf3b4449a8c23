//! Snapshots of the data of an etcd that is made of values: there is no data, so one says only that it was made.
//!
//! What enters is what enters on a real node; what leaves is a snapshot where a member answers. It touches nothing.

use super::{Failure, Memory};
use crate::protocol::command::SnapshotEtcd;
use crate::protocol::error::HostError;
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

    /// Removes all but the latest, and tells which.
    pub(super) fn prune_etcd_snapshots(&mut self, keep: u32) -> Vec<String> {
        let excess = self.work.etcd.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        self.work.etcd.drain(..excess).map(|old| old.path).collect()
    }
}
