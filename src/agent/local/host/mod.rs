//! Transactions on this machine, or on a directory of it.
//!
//! What enters is their beginning, their commands and their end; what leaves is a node on which either all of it happened or nothing. The state directory
//! says at every moment which of the two is to come: without the `open` marker nothing was touched or everything is settled; with it the
//! journal names what may have been touched, and the copies beside it are on the disk. So the process may end between any two system calls.

use std::collections::BTreeSet;

use super::etcd_snapshot;
use crate::agent::fs::accounts::served_by;
use crate::agent::fs::disk::{Beside, Dir, Seed};
use crate::agent::fs::file_state::FileState;
use crate::agent::local::{Local, LocalTransaction};
use crate::agent::probe::health_checks;
use crate::agent::transaction::journal;
use crate::agent::transaction::journal::{Event, Journal};
use crate::agent::transaction::lock;
use crate::agent::transaction::lock::Lock;
use crate::agent::transaction::node_files;
use crate::agent::transaction::node_files::NodeFilesystem;
use crate::agent::transaction::perform;
use crate::agent::transaction::snapshot;
use crate::agent::transaction::snapshot::Manifest;
use crate::agent::transaction::state_dir::{StateDir, check_run};
use crate::agent::transaction::undo::{Restarts, undo};
use crate::agent::transaction::{Filesystem as _, SetAside, Transaction};
use crate::files::confined::Tree;
use crate::protocol::command::{Begin, ReadCommand, Reply, SnapshotEtcd, VisitId, WriteCommand};
use crate::protocol::error::HostError;
use crate::protocol::facts::{OpenTransaction, VisitState};
use crate::protocol::lock::{Claim, LockState};
use crate::protocol::node::Host;
use crate::protocol::snapshots::{ChangedPath, EtcdSnapshot, SnapshotFacts, Undone};
use crate::protocol::state_layout::OPEN;

impl Host for Local {
    fn lock(&mut self, claim: &Claim) -> Result<(), HostError> {
        check_run(&claim.run)?;
        if self.lock.is_none() {
            self.make_root()?;
            let tree = self.tree()?;
            self.lock = Some(Lock::take(&tree, claim, (self.clock)())?);
        }
        Ok(())
    }

    fn lock_state(&self) -> Result<LockState, HostError> {
        if self.is_still_empty() {
            return Ok(LockState::Free);
        }
        lock::state(&self.tree()?)
    }

    fn unlock(&mut self) {
        if self.transaction.is_none() {
            self.lock = None;
        }
    }

    fn begin(&mut self, begin: &Begin) -> Result<(), HostError> {
        if let Some(open) = &self.transaction {
            return Err(HostError::AlreadyOpen { open: open.open.id() });
        }
        check_run(&begin.id.run)?;
        let took_lock = self.lock.is_none();
        self.lock(&Claim::of_run(&begin.id.run))?;
        match self.open_transaction(begin, took_lock) {
            Ok(transaction) => {
                self.transaction = Some(transaction);
                Ok(())
            }
            Err(error) => {
                self.release(took_lock);
                Err(error)
            }
        }
    }

    fn ask(&mut self, command: ReadCommand) -> Result<Reply, HostError> {
        match &self.transaction {
            Some(LocalTransaction { site, .. }) => perform::ask(site, || site.held(), command),
            None => {
                let tree = self.tree()?;
                let tree = match command.links() {
                    Some(links) => tree.with_links(links),
                    None => tree,
                };
                perform::ask(&tree, BTreeSet::new, command)
            }
        }
    }

    fn perform(&mut self, command: WriteCommand) -> Result<Reply, HostError> {
        let LocalTransaction { visit, site, .. } = self.transaction.as_mut().ok_or(HostError::NotOpen)?;
        perform::perform(visit, site, command)
    }

    fn commit(&mut self) -> Result<(), HostError> {
        let LocalTransaction { visit, site, open, took_lock } =
            self.transaction.as_mut().ok_or(HostError::NotOpen)?;
        let Some((directory, _)) = &site.visit else { return Err(HostError::NotOpen) };
        for SetAside { location, tree, .. } in &visit.set_aside {
            // Whoever has it open may have written to it since; then the copy is not what he knows.
            if !site.is_aside(location, tree)? {
                return Err(HostError::Changed { path: location.clone() });
            }
        }
        visit.check_ways(site)?;
        let touched: Vec<&String> = visit.touched.iter().map(|touch| &touch.location).collect();
        // What lay in a directory that was moved is in its new place by now.
        let is_moved = |location: &str| {
            let mut aside = visit.set_aside.iter();
            aside.any(|aside| {
                location.strip_prefix(aside.location.as_str()).is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let there: Vec<&String> = touched.iter().copied().filter(|location| !is_moved(location)).collect();
        site.check_places(&there)?;
        let after = touched.into_iter().filter_map(|location| Some((location, visit.known.get(location)?)));
        snapshot::write_after(directory, after)?;
        let (stays, goes): (Vec<&SetAside>, Vec<&SetAside>) =
            visit.set_aside.iter().partition(|aside| aside.stays);
        let locations = |aside: &[&SetAside]| aside.iter().map(|aside| aside.location.clone()).collect();
        let goes: Vec<String> = locations(&goes);
        site.note(Event::Committed { keeping: locations(&stays) })?;
        // From here on there is no way back, whatever fails.
        let closed = close(site, open, &goes);
        if closed.is_ok() {
            let keep = usize::try_from(visit.begin.keep).unwrap_or(usize::MAX);
            // The transaction has ended well; old snapshots that cannot be removed now are removed after the next one.
            let _pruned = site.store.prune(keep, Some(&open.run));
        }
        let took_lock = *took_lock;
        self.transaction = None;
        self.release(took_lock);
        closed.map_err(|error| HostError::NotClosed { reason: error.to_string() })
    }

    fn undo(&mut self) -> Result<Undone, HostError> {
        let LocalTransaction { site, open, took_lock, .. } =
            self.transaction.as_mut().ok_or(HostError::NotOpen)?;
        let took_lock = *took_lock;
        let undone = undo(site, open, Restarts::Repeated)?;
        self.transaction = None;
        self.release(took_lock);
        Ok(undone)
    }

    fn undo_open(&mut self, state_directory: &str) -> Result<Option<Undone>, HostError> {
        if self.transaction.is_some() {
            return self.undo().map(Some);
        }
        self.undo_left_open(state_directory, Restarts::Repeated)
    }

    fn snapshots(&self, state_directory: &str) -> Result<Vec<SnapshotFacts>, HostError> {
        let tree = self.tree()?;
        let Some(store) = StateDir::open(&tree, state_directory)? else { return Ok(Vec::new()) };
        let open = store.marker()?.map(|open| open.id());
        let mut found = Vec::new();
        for (manifest, directory) in store.visits()? {
            let lines = Journal::read(&directory)?.unwrap_or_default();
            let state = journal::state(&lines);
            // One that has neither begun nor ended is what a crash left of a beginning.
            let Some(state) =
                state.filter(|state| *state != VisitState::Open || open.as_ref() == Some(&manifest.id))
            else {
                continue;
            };
            let paths = self.changed_paths(&tree, &manifest, &directory, &lines, state)?;
            let Manifest { id, begun_at, note, .. } = manifest;
            let purged = journal::purged(&lines);
            found.push(SnapshotFacts { id, begun_at, state, note, purged, paths });
        }
        Ok(found)
    }

    fn snapshot_etcd(&mut self, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        self.make_etcd_snapshot(wanted)
    }

    fn etcd_snapshots(&self, state_directory: &str) -> Result<Vec<EtcdSnapshot>, HostError> {
        let store = StateDir::open(&self.tree()?, state_directory)?;
        let folder = store.map_or(Ok(None), |store| store.etcd_snapshots())?;
        folder.map_or(Ok(Vec::new()), |folder| etcd_snapshot::list(&folder))
    }

    fn prune(&mut self, state_directory: &str, keep: u32) -> Result<Vec<String>, HostError> {
        let tree = self.tree()?;
        let Some(store) = StateDir::open(&tree, state_directory)? else { return Ok(Vec::new()) };
        let took_lock = self.lock.is_none();
        self.lock(&Claim::of_run("prune"))?;
        if self.transaction.is_none() {
            // Only the snapshots tell of them.
            self.remove_what_waited(&tree, &store)?;
        }
        let current = self.transaction.as_ref().map(|transaction| transaction.open.run.as_str());
        let pruned =
            store.prune(usize::try_from(keep).unwrap_or(usize::MAX), current).and_then(|mut runs| {
                if let Some(folder) = store.etcd_snapshots()? {
                    runs.extend(etcd_snapshot::prune(&folder, keep)?);
                }
                Ok(runs)
            });
        self.release(took_lock && self.transaction.is_none());
        pruned
    }
}

impl Local {
    /// Ends a transaction that a reboot interrupted, before the services start that read its files. As [`Host::undo_open`], but runs no program.
    ///
    /// # Errors
    /// When something could not be put back; the transaction is then still open, and the journal tells why.
    pub fn undo_at_boot(&mut self, state_directory: &str) -> Result<Option<Undone>, HostError> {
        self.undo_left_open(state_directory, Restarts::Needless)
    }

    fn undo_left_open(
        &mut self,
        state_directory: &str,
        restarts: Restarts,
    ) -> Result<Option<Undone>, HostError> {
        let tree = self.tree()?.for_work().with_state(state_directory);
        let Some(store) = StateDir::open(&tree, state_directory)? else { return Ok(None) };
        let Some(found) = store.marker()? else { return Ok(None) };
        let took_lock = self.lock.is_none();
        self.lock(&Claim::of_run(&found.run))?;
        let undone = self.undo_found(tree, store, restarts);
        self.release(took_lock);
        undone
    }

    /// Makes the directory that stands for the node, where the spec wants that. It is no part of a transaction: an empty directory is an empty node.
    #[expect(clippy::disallowed_methods, reason = "makes the one directory that is not inside a node")]
    fn make_root(&self) -> Result<(), HostError> {
        match &self.root {
            Some(root) if self.is_created_at_need => std::fs::create_dir_all(root).map_err(|error| {
                HostError::Refused { path: root.display().to_string(), reason: error.to_string() }
            }),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn tree(&self) -> Result<Tree, HostError> {
        Tree::open(self.root.clone())
            .map_err(|error| HostError::Path { path: "/".to_owned(), reason: error.to_string() })
    }

    pub(crate) fn release(&mut self, took_lock: bool) {
        if took_lock {
            self.lock = None;
        }
    }

    fn open_transaction(&self, begin: &Begin, took_lock: bool) -> Result<LocalTransaction, HostError> {
        let tree = self.tree()?.for_work().with_links(&begin.links).with_state(&begin.state_directory);
        let store = StateDir::make(&tree, &begin.state_directory, served_by().uid)?;
        if let Some(open) = store.marker()? {
            return Err(HostError::AlreadyOpen { open: open.id() });
        }
        store.sweep()?;
        // A copy of an old directory that cannot be removed now hinders nothing.
        let _removed = self.remove_what_waited(&tree, &store);
        let seed = Seed::drawn()?;
        let mut site = NodeFilesystem {
            tree,
            root: self.root.clone(),
            store,
            beside: Beside::Seeded(seed.clone()),
            visit: None,
            clock: self.clock,
            boot: self.boot.clone(),
            held: Default::default(),
        };
        let visit = Transaction::open(begin, &site)?;
        let begun_at = (self.clock)();
        let directory = site.store.add_visit(&begin.id, |directory| {
            snapshot::write(directory, begin, begun_at, &visit.known)?;
            Journal::open(directory)?.add(directory, begun_at, Event::Begun { seed: Some(seed) })?;
            directory.sync()
        })?;
        let journal = Journal::open(&directory)?;
        site.visit = Some((directory, journal));
        let VisitId { run, visit: number } = begin.id.clone();
        let open = OpenTransaction { run, visit: number, begun_at, note: begin.note.clone() };
        if let Err(error) = site.store.set_marker(&open) {
            // The marker may be there although its directory could not be brought to the disk; nothing was touched yet.
            let _unmarked = site.store.directory.remove_file(OPEN);
            return Err(error);
        }
        site.provide_for_reboot(begin, visit.known.keys());
        if !begin.gates.is_empty() {
            let gates = health_checks::holding(&site.tree, &begin.gates);
            // Without the line an undo does not wait, and is as good otherwise.
            let _noted = site.note(Event::Healthy { gates, timeout_seconds: begin.gates_seconds });
        }
        Ok(LocalTransaction { visit, site, open, took_lock })
    }

    /// Directories in whose place links were put, and that waited for the programs that had them open.
    fn remove_what_waited(&self, tree: &Tree, store: &StateDir) -> Result<(), HostError> {
        for (manifest, directory) in store.visits()? {
            let lines = Journal::read(&directory)?.unwrap_or_default();
            if journal::state(&lines) != Some(VisitState::Committed) {
                continue;
            }
            let beside = journal::beside(&lines, &manifest.id.run);
            for (touch, _) in journal::trees(&lines) {
                // Its place may have become another one since.
                if let Ok((place, name)) = node_files::place(tree, &touch.location) {
                    place.remove_beside(&name, &beside)?;
                }
            }
        }
        Ok(())
    }

    fn undo_found(
        &self,
        tree: Tree,
        store: StateDir,
        restarts: Restarts,
    ) -> Result<Option<Undone>, HostError> {
        // Who held the lock may have settled it just before.
        let Some(open) = store.marker()? else { return Ok(None) };
        let id = open.id();
        let directory = store.visit(&id)?.ok_or_else(|| HostError::Damaged {
            path: store.directory.path_of(OPEN),
            reason: format!("it names transaction {id}, of which there is no snapshot"),
        })?;
        let journal = Journal::open(&directory)?;
        let mut site = NodeFilesystem {
            tree,
            root: self.root.clone(),
            store,
            beside: journal::beside(&journal.lines, &open.run),
            visit: Some((directory, journal)),
            clock: self.clock,
            boot: self.boot.clone(),
            held: Default::default(),
        };
        undo(&mut site, &open, restarts).map(Some)
    }

    fn changed_paths(
        &self,
        tree: &Tree,
        manifest: &Manifest,
        directory: &Dir,
        lines: &[journal::Line],
        state: VisitState,
    ) -> Result<Vec<ChangedPath>, HostError> {
        let after = match state {
            VisitState::Committed => Some(snapshot::read_after(directory)?),
            VisitState::Open | VisitState::Undone | VisitState::UndoFailed => None,
        };
        let purged = snapshot::read_purged(directory)?;
        let mut changed = Vec::new();
        for (touch, before) in journal::touched(lines) {
            let Some(before) = before.or_else(|| manifest.before.get(&touch.location)) else { continue };
            let left = after.as_ref().and_then(|after| after.get(&touch.location));
            let (after, unchanged_since) = match left {
                // What it was is not known any more, so nobody can say that it still is so.
                Some(left) if purged.touches(left) => (Some(left.brief(directory, &purged)?), false),
                Some(left) => {
                    let left = left.load(directory)?;
                    // One that cannot be captured any more is certainly not what was left.
                    let is_as_left = match &left {
                        FileState::Tree(_) => node_files::capture_tree(tree, &touch.location)
                            .is_ok_and(|found| found.same_as(&left)),
                        FileState::Absent
                        | FileState::Directory(_)
                        | FileState::Link { .. }
                        | FileState::File(_)
                        | FileState::Other => node_files::capture(tree, &touch.location)?.same_as(&left),
                    };
                    (Some(left.brief()), is_as_left)
                }
                None => (None, false),
            };
            changed.push(ChangedPath {
                path: touch.path.clone(),
                location: touch.location.clone(),
                before: before.brief(directory, &purged)?,
                after,
                unchanged_since,
            });
        }
        Ok(changed)
    }
}

/// Ends a transaction that is committed, but for the last strokes. Whoever finds it unfinished does the same again.
fn close(site: &mut NodeFilesystem, open: &OpenTransaction, goes: &[String]) -> Result<(), HostError> {
    for location in goes {
        // Keys are in it, so the transaction does not count as ended before it is gone.
        site.remove_aside(location)?;
    }
    if let Some((directory, _)) = &site.visit {
        // What is only for the way back is not needed any more; if it stays, the snapshot is larger for nothing.
        let _released = snapshot::release_reserve(directory);
    }
    site.no_reboot_to_provide_for();
    site.store.end(open, VisitState::Committed)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make the files that are changed")]
pub(crate) mod tests;
