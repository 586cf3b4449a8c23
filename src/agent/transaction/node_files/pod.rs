//! A static pod that stops before its manifest changes.
//!
//! What enters is a manifest and the gates that are about its pod; what leaves is the manifest under a name beside its own, and nothing of the pod that listens.
//! A kubelet that meets a changed manifest starts the new pod before the old one has let go of its port (1.20: "bind: address already in use"), and
//! then backs off; so it must meet none first. It passes over names that begin with a dot (kubernetes 1.20, pkg/kubelet/config/file.go and file_linux.go), and it
//! stops pods only once it has seen all of its sources, the API server among them (pkg/kubelet/kubelet.go, deletePod). Nothing is put back here: the change that
//! follows does that, or the undo.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::NodeFilesystem;
use crate::agent::fs::file_state::FileState;
use crate::agent::probe::health_checks::{Before, PAUSE, Replaced, remains};
use crate::agent::transaction::PathChange;
use crate::protocol::error::HostError;
use crate::protocol::health_check::HealthCheck;

/// How long the manifest of a pod is away of which nothing runs that could be waited for: as long as a kubelet takes to go through its pods (1.20,
/// `housekeepingPeriod`). The changed annotation alone makes it another pod, so nothing hangs on it.
const ABSENCE: Duration = Duration::from_secs(2);

impl NodeFilesystem {
    /// Moves a manifest aside, if it still is what was found, and waits until the ports of its pod are free. One that is aside already is only waited for.
    pub(super) fn move_until_stopped(
        &mut self,
        touch: &PathChange,
        found: &FileState,
        gates: &BTreeSet<HealthCheck>,
        timeout: Duration,
    ) -> Result<Option<String>, HostError> {
        let begun = Instant::now();
        let there = self.note_before(gates, Replaced::By { path: &touch.path })?;
        let mut waits = None;
        if matches!(found, FileState::File(_)) {
            let (directory, name) = self.place(&touch.location)?;
            let identity = directory.identity(&name)?;
            if !found.agrees_with(&directory.capture(&name)?) {
                return Err(HostError::Changed { path: touch.location.clone() });
            }
            waits = Some(directory.move_beside(&name, &self.beside, identity.as_ref())?);
        }
        // No kubelet reads a directory that stands for a node.
        if self.root.is_none() && !there.iter().any(Before::is_watched) {
            std::thread::sleep(ABSENCE.min(timeout));
        }
        while let Some(reason) = there.iter().find_map(remains) {
            if begun.elapsed() >= timeout {
                let manifest = touch.path.clone();
                return Err(HostError::NotStopped { manifest, reason, seconds: timeout.as_secs() });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(waits)
    }
}
