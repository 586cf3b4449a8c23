//! The state directory of a node: which transaction is open, which ended last, and the snapshots of both and of those before.
//!
//! What enters is its node path; what leaves is open directories of single transactions, and records that are replaced in one step. Everything below
//! belongs to who serves the node and is closed to all others, since the copies hold keys. It knows nothing of files outside.

use jiff::Timestamp;

use super::journal::{self, Journal};
use super::snapshot::{self, Manifest};
use crate::agent::fs::accounts::served_by;
use crate::agent::fs::disk::Dir;
use crate::files::confined::{Outcome, Tree};
use crate::protocol::command::VisitId;
use crate::protocol::error::HostError;
use crate::protocol::facts::{FileKind, OpenTransaction, PastTransaction, VisitState};
use crate::protocol::state_layout::{ETCD_SNAPSHOTS, LAST, OPEN, REQUESTS, SNAPSHOTS};
use crate::protocol::tree_error::TreeError;
use crate::x509::Sha256;

const PRIVATE: u32 = 0o700;

/// The state directory, open.
#[derive(Debug)]
pub(crate) struct StateDir {
    pub(crate) directory: Dir,
    snapshots: Dir,
}

impl StateDir {
    /// Opens the state directory; `None` when it is not there.
    pub(crate) fn open(tree: &Tree, path: &str) -> Result<Option<Self>, HostError> {
        let Some(directory) = walk_to(tree, path)? else { return Ok(None) };
        let Some(snapshots) = directory.child(SNAPSHOTS)? else { return Ok(None) };
        check_closed(&directory, served_by().uid)?;
        check_closed(&snapshots, served_by().uid)?;
        Ok(Some(Self { directory, snapshots }))
    }

    /// Opens the state directory and makes what of it is missing.
    pub(crate) fn make(tree: &Tree, path: &str, uid: u32) -> Result<Self, HostError> {
        let directory = make_path(tree, path)?;
        if directory.stat(SNAPSHOTS)?.is_some() {
            // Something is kept here already, and whoever could enter may have put it here.
            check_closed(&directory, uid)?;
        }
        close_to_others(&directory, uid)?;
        let snapshots = make_child(&directory, SNAPSHOTS)?;
        close_to_others(&snapshots, uid)?;
        Ok(Self { directory, snapshots })
    }

    /// Makes the directory for requests that wait.
    pub(crate) fn make_requests(&self, uid: u32) -> Result<(), HostError> {
        close_to_others(&make_child(&self.directory, REQUESTS)?, uid)
    }

    /// Makes the directory for snapshots of etcd's data.
    pub(crate) fn make_etcd_snapshots(&self, uid: u32) -> Result<Dir, HostError> {
        let directory = make_child(&self.directory, ETCD_SNAPSHOTS)?;
        close_to_others(&directory, uid)?;
        Ok(directory)
    }

    /// The directory for snapshots of etcd's data, if it is there.
    pub(crate) fn etcd_snapshots(&self) -> Result<Option<Dir>, HostError> {
        self.directory.child(ETCD_SNAPSHOTS)
    }

    /// The transaction that is open.
    pub(crate) fn marker(&self) -> Result<Option<OpenTransaction>, HostError> {
        let Some(bytes) = self.directory.read(OPEN)? else { return Ok(None) };
        serde_json::from_slice(bytes.reveal()).map(Some).map_err(|_| HostError::Damaged {
            path: self.directory.path_of(OPEN),
            reason: "it cannot be understood".to_owned(),
        })
    }

    /// From here on a crash leaves the transaction open.
    pub(crate) fn set_marker(&self, open: &OpenTransaction) -> Result<(), HostError> {
        self.directory.write_whole(OPEN, &text(open))
    }

    /// Ends a transaction: who looks now finds it in the past.
    pub(crate) fn end(&self, open: &OpenTransaction, state: VisitState) -> Result<(), HostError> {
        // What it tells is also in the journal, so a full disk must not keep the transaction open.
        let _told =
            self.directory.write_whole(LAST, &text(&PastTransaction { transaction: open.clone(), state }));
        self.directory.remove_file(OPEN)?;
        self.directory.sync()
    }

    /// The directory of a visit, if it is there.
    pub(crate) fn visit(&self, id: &VisitId) -> Result<Option<Dir>, HostError> {
        match self.snapshots.child(&id.run)? {
            Some(run) => run.child(&id.visit.to_string()),
            None => Ok(None),
        }
    }

    /// Makes the directory of a visit: `fill` fills it under a name of its own, so that it is there whole or not at all. One that was undone makes
    /// room for the next try.
    pub(crate) fn add_visit(
        &self,
        id: &VisitId,
        fill: impl FnOnce(&Dir) -> Result<(), HostError>,
    ) -> Result<Dir, HostError> {
        let run = make_child(&self.snapshots, &id.run)?;
        let name = id.visit.to_string();
        if let Some(earlier) = run.child(&name)? {
            match journal::state(&Journal::read(&earlier)?.unwrap_or_default()) {
                Some(VisitState::Undone) | None => remove(&run, &name)?,
                Some(VisitState::Open | VisitState::Committed | VisitState::UndoFailed) => {
                    return Err(HostError::Repeated { id: id.clone() });
                }
            }
        }
        let staged = format!(".{name}.new");
        run.remove_tree(&staged)?;
        run.make_directory(&staged, PRIVATE)?;
        let missing = || HostError::Missing { path: run.path_of(&name) };
        fill(&run.child(&staged)?.ok_or_else(missing)?)?;
        run.rename(&staged, &name)?;
        run.sync()?;
        run.child(&name)?.ok_or_else(missing)
    }

    /// Removes what a crash left of transactions that had not begun, or of snapshots that were being removed. No transaction may be open.
    pub(crate) fn sweep(&self) -> Result<(), HostError> {
        for run_name in self.snapshots.names()? {
            if run_name.starts_with('.') {
                self.snapshots.remove_tree(&run_name)?;
                continue;
            }
            let Some(run) = self.snapshots.child(&run_name)? else { continue };
            for visit_name in run.names()? {
                let Some(visit) = run.child(&visit_name)? else { continue };
                let unfinished = match Journal::read(&visit) {
                    Ok(lines) => {
                        matches!(journal::state(&lines.unwrap_or_default()), None | Some(VisitState::Open))
                    }
                    // What cannot be read may be someone's only copy.
                    Err(_) => false,
                };
                if visit_name.starts_with('.') || unfinished {
                    remove(&run, &visit_name)?;
                }
            }
            // It stays if anything is in it.
            self.snapshots.remove_directory(&run_name)?;
        }
        Ok(())
    }

    /// Every visit of which a snapshot is kept, the oldest first.
    pub(crate) fn visits(&self) -> Result<Vec<(Manifest, Dir)>, HostError> {
        let mut visits = Vec::new();
        for run_name in self.snapshots.names()?.iter().filter(|name| !name.starts_with('.')) {
            let Some(run) = self.snapshots.child(run_name)? else { continue };
            for visit_name in run.names()?.iter().filter(|name| !name.starts_with('.')) {
                if let Some(visit) = run.child(visit_name)? {
                    visits.push((snapshot::read_manifest(&visit)?, visit));
                }
            }
        }
        visits.sort_by(|(one, _), (two, _)| (one.begun_at, &one.id).cmp(&(two.begun_at, &two.id)));
        Ok(visits)
    }

    /// Removes from every snapshot but `own`, which is that of the open transaction, each copy that holds this private key.
    ///
    /// A snapshot whose records cannot be read is gone through like any other: what is looked at is the copies.
    pub(crate) fn purge(&self, key: &Sha256, own: &Dir) -> Result<(), HostError> {
        for run_name in self.snapshots.names()? {
            let Some(run) = self.snapshots.child(&run_name)? else { continue };
            for visit_name in run.names()? {
                let Some(visit) = run.child(&visit_name)? else { continue };
                if visit.path != own.path {
                    snapshot::purge(&visit, key)?;
                }
            }
        }
        Ok(())
    }

    /// Removes the snapshots of all runs but the latest `keep` and `current`, and those with a visit that has not ended well or badly.
    pub(crate) fn prune(&self, keep: usize, current: Option<&str>) -> Result<Vec<String>, HostError> {
        let mut latest: Vec<(Timestamp, String, bool)> = Vec::new();
        for (manifest, visit) in self.visits()? {
            let state = journal::state(&Journal::read(&visit)?.unwrap_or_default());
            let ended = matches!(state, Some(VisitState::Committed | VisitState::Undone));
            match latest.iter_mut().find(|(_, run, _)| *run == manifest.id.run) {
                Some(known) => *known = (manifest.begun_at, manifest.id.run, known.2 && ended),
                None => latest.push((manifest.begun_at, manifest.id.run, ended)),
            }
        }
        latest.sort();
        let excess = latest.len().saturating_sub(keep);
        let mut removed = Vec::new();
        for (_, run, ended) in latest.into_iter().take(excess) {
            if ended && current != Some(run.as_str()) {
                remove(&self.snapshots, &run)?;
                removed.push(run);
            }
        }
        Ok(removed)
    }
}

/// Whether a run's name can be the name of a directory.
pub(crate) fn check_run(run: &str) -> Result<(), HostError> {
    let fits =
        (1..=64).contains(&run.len()) && run.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { Ok(()) } else { Err(HostError::BadRun { run: run.to_owned() }) }
}

/// Takes the name away in one step first, so that no reader meets half a snapshot.
fn remove(parent: &Dir, name: &str) -> Result<(), HostError> {
    let gone = format!(".{}.gone", name.trim_start_matches('.'));
    if name != gone {
        parent.remove_tree(&gone)?;
        parent.rename(name, &gone)?;
    }
    parent.remove_tree(&gone)?;
    parent.sync()
}

fn make_child(parent: &Dir, name: &str) -> Result<Dir, HostError> {
    if let Some(child) = parent.child(name)? {
        return Ok(child);
    }
    parent.make_directory(name, PRIVATE)?;
    parent.sync()?;
    parent.child(name)?.ok_or_else(|| HostError::Missing { path: parent.path_of(name) })
}

fn close_to_others(directory: &Dir, uid: u32) -> Result<(), HostError> {
    let access = directory.own_access()?;
    if access.uid != uid {
        let reason = format!("it belongs to user {}, and snapshots hold private keys", access.uid);
        return Err(HostError::Denied { path: directory.path.clone(), reason });
    }
    if access.mode & 0o077 != 0 { directory.set_own_mode(access.mode & PRIVATE) } else { Ok(()) }
}

/// What is kept here decides what is put back and what is run, so nobody else may have been here.
fn check_closed(directory: &Dir, uid: u32) -> Result<(), HostError> {
    let access = directory.own_access()?;
    let path = directory.path.clone();
    if access.uid != uid {
        let reason =
            format!("it belongs to user {}, and what is kept there must be of user {uid}", access.uid);
        return Err(HostError::Denied { path, reason });
    }
    if access.mode & 0o077 != 0 {
        let reason = format!(
            "its mode is {:04o}, and others than its owner must not enter: look at what is in it, then chmod 0700 {path}",
            access.mode
        );
        return Err(HostError::Denied { path, reason });
    }
    Ok(())
}

fn walk_to(tree: &Tree, path: &str) -> Result<Option<Dir>, HostError> {
    let failed = |reason: String| HostError::Path { path: path.to_owned(), reason };
    match tree.walk_to_state(path).outcome {
        Outcome::Found(found) => match (found.status.kind, &found.place) {
            (FileKind::Directory, Some(place)) => {
                let parent = Dir::of(place)?;
                parent.child(&place.name.to_string_lossy())
            }
            (FileKind::Directory | FileKind::Regular | FileKind::Other, _) => {
                Err(failed("it is not a directory of its own".to_owned()))
            }
        },
        Outcome::Missing { .. } => Ok(None),
        Outcome::Dangling { missing } => Err(HostError::Dangling { path: path.to_owned(), missing }),
        Outcome::Loop => Err(failed("the links on the way form a loop".to_owned())),
        Outcome::Unsafe(step) => Err(HostError::Unsafe { path: path.to_owned(), step }),
        Outcome::Failed(error) => Err(failed(error.to_string())),
    }
}

/// Makes a directory with every directory above it that is missing; those are open to all, as `/var/lib` is.
fn make_path(tree: &Tree, path: &str) -> Result<Dir, HostError> {
    let failed = |error: TreeError| HostError::Path { path: path.to_owned(), reason: error.to_string() };
    if let Some(directory) = walk_to(tree, path)? {
        return Ok(directory);
    }
    let mut missing = Vec::new();
    let mut upper = path.trim_end_matches('/');
    let place = loop {
        match tree.open_parent_for_state(upper) {
            Ok(place) => break place,
            Err(TreeError::NoParent { .. }) => {
                let (above, name) = upper.rsplit_once('/').unwrap_or_default();
                missing.push(name);
                upper = above;
            }
            Err(TreeError::Unsafe(step)) => return Err(HostError::Unsafe { path: path.to_owned(), step }),
            Err(error) => return Err(failed(error)),
        }
    };
    let mut here = Dir::of(&place)?;
    let first = place.name.to_string_lossy().into_owned();
    missing.push(&first);
    while let Some(name) = missing.pop() {
        if here.stat(name)?.is_none() {
            here.make_directory(name, if missing.is_empty() { PRIVATE } else { 0o755 })?;
            here.sync()?;
        }
        here = here.child(name)?.ok_or_else(|| HostError::Missing { path: here.path_of(name) })?;
    }
    Ok(here)
}

fn text(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
