//! Snapshots of etcd's data on this machine: made, listed, and removed when there are newer ones.
//!
//! What enters is how a member is asked; what leaves is a whole file below the state directory, for root alone, or nothing: what is cut short or cannot be
//! written is gone again. All that is known of one is in its name and its last bytes, so there is no list that could be wrong. It is never read back and never
//! restored here; that is done with `etcdctl snapshot restore`, by people.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::agent::fs::accounts::served_by;
use crate::agent::fs::disk::{Dir, staged_name};
use crate::agent::local::Local;
use crate::agent::probe::etcd::EtcdClient;
use crate::agent::probe::etcd::snapshot::{Announced, Keeper};
use crate::agent::transaction::state_dir::{StateDir, check_run};
use crate::files::confined::Tree;
use crate::protocol::command::SnapshotEtcd;
use crate::protocol::error::HostError;
use crate::protocol::lock::Claim;
use crate::protocol::node::Host as _;
use crate::protocol::snapshots::EtcdSnapshot;
use crate::x509::Sha256;

/// So much stays free: etcd often writes to the same disk, and stops where there is nothing left.
const LEFT_FREE: u64 = 64 * 1024 * 1024;
/// In names, which are sorted by it.
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// The longest wait that a node accepts: a day.
const LONGEST: u64 = 24 * 60 * 60;

impl Local {
    pub(crate) fn make_etcd_snapshot(&mut self, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        check_run(&wanted.run)?;
        let took_lock = self.lock.is_none();
        self.lock(&Claim::of_run(&wanted.run))?;
        let tree = self.tree().map(|tree| tree.with_links(&wanted.links));
        let made = tree.and_then(|tree| self.received(&tree, wanted));
        self.release(took_lock && self.transaction.is_none());
        made
    }

    fn received(&self, tree: &Tree, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        let SnapshotEtcd { run, state_directory, address, certificate, key, timeout_seconds, .. } = wanted;
        let asker = EtcdClient::prepare(certificate, key, tree)
            .map_err(|reason| HostError::EtcdNotSaved { reason: format!("{address}: {reason}") })?;
        let uid = served_by().uid;
        let folder = StateDir::make(tree, state_directory, uid)?.make_etcd_snapshots(uid)?;
        sweep(&folder)?;
        let start = Instant::now();
        let timeout = Duration::from_secs((*timeout_seconds).min(LONGEST));
        let deadline = start.checked_add(timeout).unwrap_or(start);
        let taken_at = (self.clock)();
        let mut file = Receiving { folder: &folder, taken_at, run, begun: None };
        let received = asker.snapshot(*address, deadline, &mut file);
        let Receiving { begun, .. } = file;
        let made = match (received, &begun) {
            (Ok(sha256), Some(begun)) => begun.take_place(&folder).map(|()| {
                let Announced { bytes, revision } = begun.announced;
                let (path, run) = (folder.path_of(&begun.name), run.clone());
                EtcdSnapshot { path, run, taken_at, revision, bytes, sha256 }
            }),
            (Ok(_), None) => Err(HostError::EtcdNotSaved { reason: format!("{address}: it sent nothing") }),
            (Err(error), _) => Err(error),
        };
        match (&made, begun) {
            // It is there; older ones that cannot be removed now are removed with the next one.
            (Ok(_), _) => drop(prune(&folder, wanted.keep)),
            // Should this fail too, the next one removes it.
            (Err(_), Some(Begun { name, .. })) => drop(folder.remove_file(&staged_name(&name))),
            (Err(_), None) => {}
        }
        made
    }
}

/// A snapshot that is being received.
struct Receiving<'a> {
    folder: &'a Dir,
    taken_at: Timestamp,
    run: &'a str,
    begun: Option<Begun>,
}

struct Begun {
    name: String,
    file: OwnedFd,
    announced: Announced,
}

impl Keeper for Receiving<'_> {
    fn begin(&mut self, announced: Announced) -> Result<(), HostError> {
        check_room(&self.folder.path, announced.bytes, self.folder.free_bytes()?)?;
        let name = format!("{}_{}_r{}.db", self.taken_at.strftime(TIME), self.run, announced.revision);
        let file = self.folder.create(&staged_name(&name))?;
        self.begun = Some(Begun { name, file, announced });
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        let Some(Begun { name, file, announced }) = &self.begun else { return Err(HostError::NotOpen) };
        match self.folder.append(file, &staged_name(name), bytes) {
            // Somebody else has written meanwhile.
            Err(HostError::DiskFull { .. }) => {
                let (path, needed) = (self.folder.path.clone(), announced.bytes);
                Err(HostError::EtcdNoRoom { path, needed, free: self.folder.free_bytes()? })
            }
            other => other,
        }
    }
}

/// Whether so much can be kept, with something left for etcd.
fn check_room(path: &str, bytes: u64, free: u64) -> Result<(), HostError> {
    let needed = bytes.saturating_add(LEFT_FREE);
    if free >= needed { Ok(()) } else { Err(HostError::EtcdNoRoom { path: path.to_owned(), needed, free }) }
}

impl Begun {
    /// Brings what is whole to the disk and gives it its name.
    fn take_place(&self, folder: &Dir) -> Result<(), HostError> {
        let staged = staged_name(&self.name);
        folder.sync_file(&self.file, &staged)?;
        folder.rename(&staged, &self.name)?;
        folder.sync()
    }
}

/// Removes what a crash left of one that was being received.
fn sweep(folder: &Dir) -> Result<(), HostError> {
    for name in folder.names()?.iter().filter(|name| name.starts_with('.')) {
        folder.remove_file(name)?;
    }
    Ok(())
}

/// Every snapshot of etcd's data in a folder, the oldest first. What is called otherwise is somebody else's.
pub(crate) fn list(folder: &Dir) -> Result<Vec<EtcdSnapshot>, HostError> {
    let mut found = Vec::new();
    for name in folder.names()? {
        let Some((taken_at, run, revision)) = read_name(&name) else { continue };
        let Some((bytes, digest)) = folder.end_of::<32>(&name)? else { continue };
        let (path, sha256) = (folder.path_of(&name), Sha256::from(digest));
        found.push(EtcdSnapshot { path, run, taken_at, revision, bytes, sha256 });
    }
    Ok(found)
}

/// Removes all but the latest `keep`, and tells which.
pub(crate) fn prune(folder: &Dir, keep: u32) -> Result<Vec<String>, HostError> {
    let names: Vec<String> = folder.names()?.into_iter().filter(|name| read_name(name).is_some()).collect();
    let excess = names.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
    let mut removed = Vec::new();
    for name in names.iter().take(excess) {
        folder.remove_file(name)?;
        removed.push(folder.path_of(name));
    }
    folder.sync()?;
    Ok(removed)
}

/// When it was made, before which run, and at which revision.
fn read_name(name: &str) -> Option<(Timestamp, String, u64)> {
    let mut parts = name.strip_suffix(".db")?.split('_');
    let (time, run, revision) = (parts.next()?, parts.next()?, parts.next()?);
    check_run(run).ok()?;
    let time = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let revision = revision.strip_prefix('r')?.parse().ok()?;
    parts.next().is_none().then(|| (time, run.to_owned(), revision))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests start a real etcd and look at its files")]
mod tests;
