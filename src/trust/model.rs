//! The model of a cluster that a simulation changes: what is on its disks, and which certificates and keys there are. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::trust::disk::{DiskEntry, Disks, File};
use crate::trust::material::{CertificateId, Material};
use crate::trust::restored::Restorable;
use crate::types::names::{AuthorityName, NodeName, ServiceName};

/// Everything that deeds change.
#[derive(Debug, Default)]
pub(crate) struct ClusterModel {
    pub(crate) disks: Disks,
    pub(crate) material: Material,
    /// The authorities that the plan has made so far.
    pub(crate) made: BTreeMap<AuthorityName, CertificateId>,
    /// What comes back where a path is restored.
    pub(crate) kept: Restorable,
    /// The services that start when a manifest changes.
    pub(crate) pods: BTreeMap<(NodeName, String), ServiceName>,
}

impl ClusterModel {
    pub(crate) fn disk_file(&self, node: &NodeName, path: &str) -> File {
        let found = self.disks.get(node).and_then(|disk| disk.file(path));
        found.map(|file| (**file).clone()).unwrap_or_default()
    }

    /// The file at a path, as far as it is known to be one.
    pub(crate) fn file(&self, node: &NodeName, path: &str) -> Option<&File> {
        self.disks.get(node)?.file(path).map(Arc::as_ref)
    }

    pub(crate) fn lies(&self, node: &NodeName, path: &str) -> DiskEntry {
        self.disks.get(node).map_or(DiskEntry::Unknown, |disk| disk.at(path).clone())
    }
}
