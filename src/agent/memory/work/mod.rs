//! Transactions on a node made of values.
//!
//! What enters is what enters on a real node, and where it is to fail; what leaves is the same node changed or rolled back. Commands go through the same
//! code as on a real node; only the lock, the copies and the journal are values here, kept by the node and lost by no crash. It touches nothing.

mod prune;
mod purge;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::{Entry, Failure, Memory, Object, is_below, services::same_file};
use crate::agent::fs::file_state::{Access, FileImage, FileState, TreeImage};
use crate::agent::transaction::perform;
use crate::agent::transaction::{
    Change, Earlier, Filesystem, Member, PathChange, Transaction, backwards, made_below,
};
use crate::protocol::command::{Begin, ReadCommand, Reply, SnapshotEtcd, VisitId, WriteCommand};
use crate::protocol::error::HostError;
use crate::protocol::facts::{NodeFacts, OpenTransaction, PastTransaction, Seen, ServedBy, VisitState};
use crate::protocol::health_check::HealthCheck;
use crate::protocol::lock::{Claim, Holder, LockState};
use crate::protocol::node::Host;
use crate::protocol::snapshots::{ChangedPath, EtcdSnapshot, SnapshotFacts, Undone};
use crate::types::secret::Secret;
use crate::x509::Sha256;

/// What a node in memory knows of transactions.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    holder: Option<Holder>,
    /// The memory of the process that works on the node.
    visit: Option<Transaction>,
    took_lock: bool,
    /// What would be on the node's disk: the visits, the last of which may be open.
    visits: Vec<KeptSnapshot>,
    pub(super) failure: Option<Failure>,
    performed: u32,
    pub(super) etcd: Vec<EtcdSnapshot>,
    ran: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
struct KeptSnapshot {
    about: OpenTransaction,
    state: VisitState,
    paths: BTreeSet<String>,
    before: BTreeMap<String, FileState>,
    touched: Vec<PathChange>,
    ran: Vec<Vec<String>>,
    after: BTreeMap<String, FileState>,
    /// The key of each location whose images were removed because of it.
    purged: BTreeMap<String, Sha256>,
    /// The keys that it removed from the snapshots that were there.
    purges: BTreeSet<Sha256>,
}

impl Memory {
    /// Gives the node's lock to another process.
    #[must_use]
    pub fn locked_by(mut self, run: &str) -> Self {
        self.work.holder = Some(Holder { pid: 1, since: None, claim: Claim::of_run(run) });
        self
    }

    /// Ends the process that works on the node, as a crash does: keys and lock are gone, an open transaction stays open.
    pub fn crash(&mut self) {
        self.work.visit = None;
        self.work.holder = None;
    }

    /// The programs that were run, in this order.
    pub fn ran(&self) -> &[Vec<String>] {
        &self.work.ran
    }

    /// The bytes of the file at a resolved path.
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        match &self.entries.get(path)?.object {
            Object::File(bytes) => Some(bytes),
            Object::Directory | Object::Link(_) | Object::Fifo | Object::Unreadable(_) => None,
        }
    }

    /// Whether two nodes have the same files, directories and links with the same owners and modes.
    pub fn has_files_of(&self, other: &Self) -> bool {
        let locations: BTreeSet<&String> = self.entries.keys().chain(other.entries.keys()).collect();
        locations.into_iter().all(|location| self.image(location).same_as(&other.image(location)))
    }

    pub(super) fn add_transactions(&self, facts: &mut NodeFacts) {
        let is_open = |kept: &&KeptSnapshot| matches!(kept.state, VisitState::Open | VisitState::UndoFailed);
        let open = self.work.visits.iter().find(is_open);
        facts.open_transaction = open.map_or(Seen::Absent, |open| Seen::Present(open.about.clone()));
        let last = self.work.visits.iter().rev().find(|kept| !is_open(kept));
        facts.last_transaction = last.map_or(Seen::Absent, |last| {
            Seen::Present(PastTransaction { transaction: last.about.clone(), state: last.state })
        });
    }

    fn image(&self, location: &str) -> FileState {
        let Some(Entry { object, mode, uid, gid, modified }) = self.entry(location) else {
            return FileState::Absent;
        };
        let access = Access { mode, uid, gid };
        match object {
            Object::File(bytes) => FileState::File(FileImage {
                bytes: Secret::new(bytes).into(),
                access,
                attributes: BTreeMap::new(),
                modified: Some((modified.as_second(), modified.subsec_nanosecond().into())),
            }),
            Object::Directory => FileState::Directory(access),
            Object::Link(target) => FileState::Link { target, uid, gid },
            Object::Fifo | Object::Unreadable(_) => FileState::Other,
        }
    }

    /// A directory with everything in it; anything else as it is.
    fn whole(&self, location: &str) -> Result<FileState, HostError> {
        let FileState::Directory(_) = self.image(location) else { return Ok(self.image(location)) };
        let below = self.entries.keys().filter_map(|key| key.strip_prefix(location)?.strip_prefix('/'));
        let names: BTreeSet<&str> = below
            .flat_map(|name| {
                let above = name.match_indices('/').filter_map(|(index, _)| name.get(..index));
                above.chain([name])
            })
            .chain([""])
            .collect();
        let mut tree = TreeImage { entries: BTreeMap::new() };
        for name in names {
            let path = if name.is_empty() { location.to_owned() } else { format!("{location}/{name}") };
            match self.image(&path) {
                FileState::Other | FileState::Tree(_) | FileState::Absent => {
                    let reason =
                        "it is a FIFO, socket or device, and its directory is not moved with such in it";
                    return Err(HostError::Refused { path, reason: reason.to_owned() });
                }
                image @ (FileState::Directory(_) | FileState::Link { .. } | FileState::File(_)) => {
                    tree.set(name, &image)
                }
            }
        }
        Ok(FileState::Tree(tree))
    }

    /// Makes one location what an image says, trees included.
    fn become_like(&mut self, Change { location, image, takes, .. }: &Change) {
        for name in takes.iter().rev() {
            let keeps = matches!(image, FileState::Tree(tree) if tree.entries.contains_key(name));
            if !keeps {
                self.put(&format!("{location}/{name}"), &FileState::Absent);
            }
        }
        match image {
            FileState::Tree(tree) => {
                self.entries.remove(location);
                for name in tree.entries.keys() {
                    let path = if name.is_empty() { location.clone() } else { format!("{location}/{name}") };
                    self.put(&path, &tree.at(name));
                }
            }
            FileState::Link { .. } => {
                self.entries.retain(|key, _| !is_below(key, location));
                self.put(location, image);
            }
            FileState::Absent | FileState::Directory(_) | FileState::File(_) | FileState::Other => {
                self.put(location, image)
            }
        }
    }

    fn put(&mut self, location: &str, image: &FileState) {
        let has_children = self.entries.keys().any(|key| is_below(key, location));
        let modified = self.clock;
        let entry = |object, access: Access, modified| {
            Some(Entry { object, mode: access.mode, uid: access.uid, gid: access.gid, modified })
        };
        let new = match image {
            // A directory that others use stays; a device is never touched.
            FileState::Absent if has_children => return,
            FileState::Other | FileState::Tree(_) => return,
            FileState::Absent => None,
            FileState::Directory(access) => entry(Object::Directory, *access, modified),
            FileState::Link { target, uid, gid } => {
                entry(Object::Link(target.clone()), Access { mode: 0o777, uid: *uid, gid: *gid }, modified)
            }
            FileState::File(file) => {
                let time = file.modified.and_then(|(seconds, nanoseconds)| {
                    Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok()
                });
                let Some(bytes) = file.bytes.whole() else { return };
                entry(Object::File(bytes.reveal().to_vec().into()), file.access, time.unwrap_or(modified))
            }
        };
        // Its directory must not vanish with the last thing in it.
        if let Some((parent, _)) = location.rsplit_once('/').filter(|(parent, _)| !parent.is_empty())
            && let Some(directory) = self.entry(parent)
        {
            self.entries.insert(parent.to_owned(), directory);
        }
        let before = match new {
            Some(entry) => self.entries.insert(location.to_owned(), entry),
            None => self.entries.remove(location),
        };
        let now = self.entries.get(location);
        if !same_file(before.as_ref().map(|entry| &entry.object), now.map(|entry| &entry.object)) {
            self.changed_manifest(location);
        }
    }

    fn open(&mut self) -> Option<&mut KeptSnapshot> {
        let mut kept = self.work.visits.iter_mut();
        kept.find(|kept| matches!(kept.state, VisitState::Open | VisitState::UndoFailed))
    }

    fn take_lock(&mut self, claim: &Claim) -> Result<bool, HostError> {
        let own = std::process::id();
        match &self.work.holder {
            Some(holder) if holder.pid == own => Ok(false),
            Some(holder) => Err(HostError::Locked { holder: Some(Box::new(holder.clone())) }),
            None => {
                self.work.holder = Some(Holder { pid: own, since: Some(self.clock), claim: claim.clone() });
                Ok(true)
            }
        }
    }

    fn release(&mut self, took_lock: bool) {
        if took_lock {
            self.work.holder = None;
        }
    }

    /// Does what a command says, unless the node is to fail at it.
    fn counted(
        &mut self,
        deed: impl FnOnce(&mut Self) -> Result<Reply, HostError>,
    ) -> Result<Reply, HostError> {
        self.tick();
        self.work.performed = self.work.performed.saturating_add(1);
        let number = self.work.performed;
        self.fails(Failure::BeforeOrder(number))?;
        let reply = deed(self);
        let after = self.fails(Failure::AfterOrder(number));
        reply.and_then(|reply| after.map(|()| reply))
    }

    fn undo_kept(&mut self) -> Result<Option<Undone>, HostError> {
        self.fails(Failure::Undo).map_err(|error| HostError::UndoFailed {
            path: "/".to_owned(),
            reason: error.to_string(),
            instruction: "Undo again".to_owned(),
        })?;
        let Some(kept) = self.open() else { return Ok(None) };
        kept.state = VisitState::Undone;
        let KeptSnapshot { about, before, touched, paths, ran, .. } = kept.clone();
        let trees =
            touched.iter().filter_map(|touch| Some((touch, before.get(&touch.location)?.tree()?.names())));
        let trees: Vec<(&PathChange, BTreeSet<String>)> = trees.collect();
        let mut undone =
            Undone { id: about.id(), state: VisitState::Undone, restored: Vec::new(), left: Vec::new() };
        for touch in backwards(touched.iter(), |touch| touch) {
            let Some(before) = before.get(&touch.location) else { continue };
            let now = |memory: &Self| memory.capture_as(&touch.location, before).unwrap_or(FileState::Other);
            if now(self).same_as(before) {
                continue;
            }
            let takes = made_below(touch, &trees, &paths);
            let location = touch.location.clone();
            self.become_like(&Change { location, image: before.clone(), takes, found: None });
            let is_back = now(self).same_as(before);
            if is_back { &mut undone.restored } else { &mut undone.left }.push(touch.path.clone());
        }
        for argv in ran {
            // One that does not start was why this is undone, or a person sees it.
            let _ended = self.ran_program(&argv);
            self.work.ran.push(argv);
        }
        Ok(Some(undone))
    }
}

impl Host for Memory {
    fn lock(&mut self, claim: &Claim) -> Result<(), HostError> {
        self.take_lock(claim).map(|_| ())
    }

    fn lock_state(&self) -> Result<LockState, HostError> {
        Ok(match &self.work.holder {
            Some(holder) => LockState::Held { holder: Some(holder.clone()) },
            None => LockState::Free,
        })
    }

    fn unlock(&mut self) {
        if self.work.visit.is_none() {
            self.work.holder = None;
        }
    }

    fn begin(&mut self, begin: &Begin) -> Result<(), HostError> {
        if let Some(open) = self.open() {
            return Err(HostError::AlreadyOpen { open: open.about.id() });
        }
        let is_kept =
            |kept: &KeptSnapshot| kept.state == VisitState::Committed && kept.about.id() == begin.id;
        if self.work.visits.iter().any(is_kept) {
            return Err(HostError::Repeated { id: begin.id.clone() });
        }
        let took_lock = self.take_lock(&Claim::of_run(&begin.id.run))?;
        let visit = match Transaction::open(begin, self) {
            Ok(visit) => visit,
            Err(error) => {
                self.release(took_lock);
                return Err(error);
            }
        };
        let VisitId { run, visit: number } = begin.id.clone();
        self.work.visits.push(KeptSnapshot {
            about: OpenTransaction { run, visit: number, begun_at: self.clock, note: begin.note.clone() },
            state: VisitState::Open,
            paths: begin.paths.clone(),
            before: visit.known.clone(),
            touched: Vec::new(),
            ran: Vec::new(),
            after: BTreeMap::new(),
            purged: BTreeMap::new(),
            purges: BTreeSet::new(),
        });
        self.work.visit = Some(visit);
        self.work.took_lock = took_lock;
        Ok(())
    }

    fn ask(&mut self, command: ReadCommand) -> Result<Reply, HostError> {
        self.counted(|node| perform::ask(node, || node.held(), command))
    }

    fn perform(&mut self, command: WriteCommand) -> Result<Reply, HostError> {
        self.counted(|node| {
            let mut visit = node.work.visit.take().ok_or(HostError::NotOpen)?;
            let reply = perform::perform(&mut visit, node, command);
            node.work.visit = Some(visit);
            reply
        })
    }

    fn commit(&mut self) -> Result<(), HostError> {
        let Some(visit) = &self.work.visit else { return Err(HostError::NotOpen) };
        let (known, keep) = (visit.known.clone(), visit.begin.keep);
        self.fails(Failure::Commit)?;
        if let Some(kept) = self.open() {
            let after = kept.touched.iter().filter_map(|touch| known.get_key_value(&touch.location));
            kept.after = after.map(|(location, image)| (location.clone(), image.clone())).collect();
            kept.state = VisitState::Committed;
        }
        self.work.visit = None;
        let took_lock = self.work.took_lock;
        self.release(took_lock);
        self.prune_runs(keep.max(1));
        Ok(())
    }

    fn undo(&mut self) -> Result<Undone, HostError> {
        if self.work.visit.is_none() {
            return Err(HostError::NotOpen);
        }
        let undone = self.undo_kept()?.ok_or(HostError::NotOpen)?;
        self.work.visit = None;
        let took_lock = self.work.took_lock;
        self.release(took_lock);
        Ok(undone)
    }

    fn undo_open(&mut self, _: &str) -> Result<Option<Undone>, HostError> {
        if self.work.visit.is_some() {
            return self.undo().map(Some);
        }
        let Some(run) = self.open().map(|open| open.about.run.clone()) else { return Ok(None) };
        let took_lock = self.take_lock(&Claim::of_run(&run))?;
        let undone = self.undo_kept();
        self.release(took_lock);
        undone
    }

    fn snapshots(&self, _: &str) -> Result<Vec<SnapshotFacts>, HostError> {
        let facts = self.work.visits.iter().map(|kept| {
            let changed = |touch: &PathChange| {
                let after = kept.after.get(&touch.location);
                ChangedPath {
                    path: touch.path.clone(),
                    location: touch.location.clone(),
                    before: kept.brief(&touch.location, kept.before.get(&touch.location)),
                    after: after.map(|after| kept.brief(&touch.location, Some(after))),
                    unchanged_since: !kept.purged.contains_key(&touch.location)
                        && after.is_some_and(|after| {
                            self.capture_as(&touch.location, after).is_ok_and(|now| now.same_as(after))
                        }),
                }
            };
            SnapshotFacts {
                id: kept.about.id(),
                begun_at: kept.about.begun_at,
                state: kept.state,
                note: kept.about.note.clone(),
                purged: kept.purges.clone(),
                paths: kept.touched.iter().map(changed).collect(),
            }
        });
        Ok(facts.collect())
    }

    fn snapshot_etcd(&mut self, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        self.make_etcd_snapshot(wanted)
    }

    fn etcd_snapshots(&self, _: &str) -> Result<Vec<EtcdSnapshot>, HostError> {
        Ok(self.work.etcd.clone())
    }

    fn prune(&mut self, _: &str, keep: u32) -> Result<Vec<String>, HostError> {
        Ok(self.prune_runs(keep).into_iter().chain(self.prune_etcd_snapshots(keep)).collect())
    }
}

impl Filesystem for Memory {
    fn capture(&self, location: &str) -> Result<FileState, HostError> {
        Ok(self.image(location))
    }

    fn capture_tree(&self, location: &str) -> Result<FileState, HostError> {
        self.whole(location)
    }

    fn announce(&mut self, touch: &PathChange, unrecorded: Option<&FileState>) -> Result<(), HostError> {
        let kept = self.open().ok_or(HostError::NotOpen)?;
        if let Some(image) = unrecorded {
            kept.before.insert(touch.location.clone(), image.clone());
        }
        kept.touched.push(touch.clone());
        Ok(())
    }

    fn replace(&mut self, changes: &[Change]) -> Result<(), HostError> {
        for Change { location, image, .. } in changes {
            let current = self.image(location);
            let fits = match (image, &current) {
                (FileState::Directory(_), FileState::Directory(_) | FileState::Absent)
                | (FileState::Absent | FileState::Link { .. }, FileState::Directory(_))
                | (
                    FileState::Tree(_),
                    FileState::Directory(_) | FileState::Absent | FileState::Link { .. },
                ) => true,
                (FileState::Directory(_) | FileState::Tree(_), _)
                | (_, FileState::Directory(_) | FileState::Other)
                | (FileState::Other, _) => false,
                (FileState::Absent | FileState::Link { .. } | FileState::File(_), _) => true,
            };
            if !fits {
                return Err(HostError::Occupied { path: location.clone(), found: current.kind().into() });
            }
        }
        for change in changes {
            self.become_like(change);
        }
        Ok(())
    }

    fn stop_pod(
        &mut self,
        touch: &PathChange,
        _: &FileState,
        _: &BTreeSet<HealthCheck>,
        timeout: Duration,
    ) -> Result<Option<String>, HostError> {
        self.put(&touch.location, &FileState::Absent);
        let stopped = self.fails(Failure::Stop).map_err(|error| HostError::NotStopped {
            manifest: touch.path.clone(),
            reason: error.to_string(),
            seconds: timeout.as_secs(),
        });
        stopped.map(|()| None)
    }

    fn remove_waiting(&mut self, _: &str, _: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn make_private(&mut self, path: &str) -> Result<(), HostError> {
        self.put(path, &FileState::Directory(Access { mode: 0o700, uid: 0, gid: 0 }));
        Ok(())
    }

    fn served_by(&self) -> ServedBy {
        ServedBy::default()
    }

    fn purge(&mut self, key: &Sha256) -> Result<(), HostError> {
        self.purge_kept(key)
    }

    fn run(&mut self, argv: &[String], _: Duration) -> Result<(), HostError> {
        self.work.ran.push(argv.to_vec());
        let kept = self.open().ok_or(HostError::NotOpen)?;
        if !kept.ran.contains(&argv.to_vec()) {
            kept.ran.push(argv.to_vec());
        }
        self.ran_program(argv)
    }

    fn move_leader(&mut self, _: Member<'_>, _: Duration) -> Result<(), HostError> {
        self.hand_on_leadership().map_err(|reason| HostError::LeaderNotMoved { reason })
    }

    fn earlier(&self, visit: &VisitId, path: &str) -> Result<Vec<Earlier>, HostError> {
        let no_snapshot = || HostError::NoSnapshot { path: path.to_owned(), visit: visit.clone() };
        let is_it = |kept: &&KeptSnapshot| kept.state == VisitState::Committed && kept.about.id() == *visit;
        let kept = self.work.visits.iter().find(is_it).ok_or_else(no_snapshot)?;
        let touched = kept.touched.iter().filter(|touch| touch.path == path);
        if touched.clone().any(|touch| kept.purged.contains_key(&touch.location)) {
            return Err(HostError::Purged { path: path.to_owned(), visit: visit.clone() });
        }
        let earlier: Vec<Earlier> = touched
            .filter_map(|touch| {
                let (before, after) = (kept.before.get(&touch.location)?, kept.after.get(&touch.location)?);
                Some(Earlier {
                    location: touch.location.clone(),
                    before: before.clone(),
                    after: after.clone(),
                    starts: touch.starts,
                })
            })
            .collect();
        if earlier.is_empty() { Err(no_snapshot()) } else { Ok(earlier) }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests compare with real files")]
mod tests;
