//! The real files of a node as something that a transaction can change.
//!
//! What enters is locations and images; what leaves is files that have become them, each by one rename, so that no reader ever meets half a file or
//! none. What is about to change is in the journal before it does. Temporary files start with a dot, since a kubelet takes any other file
//! in its manifests directory for a pod.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::boot::{self, Boot, Undoing};
use super::journal::{self, Event, Journal};
use super::snapshot;
use crate::agent::fs::accounts::served_by;
use crate::agent::fs::disk::{Beside, Dir, Removal};
use crate::agent::fs::file_state::{FileState, TreeImage};
use crate::agent::fs::lookup::{Detail, Lookup, LookupResult};
use crate::agent::probe::etcd::EtcdClient;
use crate::agent::probe::health_checks;
use crate::agent::probe::health_checks::{Before, Checks, Glance, Replaced};
use crate::agent::probe::program;
use crate::agent::transaction::state_dir::StateDir;
use crate::agent::transaction::{Change, Earlier, Filesystem, Member, PathChange};
use crate::files::confined::Tree;
use crate::protocol::command::{Begin, VisitId};
use crate::protocol::error::HostError;
use crate::protocol::facts::{ServedBy, VisitState};
use crate::protocol::health_check::HealthCheck;
use crate::protocol::tree_error::TreeError;
use crate::x509::Sha256;
use step::{Staged, Step, stage_file};

mod pod;
mod step;

/// The longest wait for another leader that a node accepts.
const LONGEST_ELECTION: Duration = Duration::from_secs(60);

/// The files of a node during one transaction.
#[derive(Debug)]
pub(crate) struct NodeFilesystem {
    pub(crate) tree: Tree,
    pub(crate) root: Option<PathBuf>,
    pub(crate) store: StateDir,
    /// The names of what waits beside the files.
    pub(crate) beside: Beside,
    /// The directory of the visit, once it has one, and its journal.
    pub(crate) visit: Option<(Dir, Journal)>,
    pub(crate) clock: fn() -> Timestamp,
    /// How a reboot is provided for.
    pub(crate) boot: Option<Boot>,
    /// The directories of the locations, open since they were first met, so that no later step meets other ones under their names.
    pub(crate) held: Mutex<BTreeMap<String, Dir>>,
}

impl Filesystem for NodeFilesystem {
    fn capture(&self, location: &str) -> Result<FileState, HostError> {
        capture_at(self.place(location))
    }

    fn capture_tree(&self, location: &str) -> Result<FileState, HostError> {
        capture_tree_at(|| self.place(location))
    }

    fn announce(&mut self, touch: &PathChange, unrecorded: Option<&FileState>) -> Result<(), HostError> {
        let Some((directory, _)) = &self.visit else { return Err(HostError::NotOpen) };
        let before = match unrecorded {
            Some(image) => Some(snapshot::add_copy(directory, &touch.location, image)?),
            None => None,
        };
        self.note(Event::Writing { touch: touch.clone(), before })
    }

    fn replace(&mut self, changes: &[Change]) -> Result<(), HostError> {
        self.put_all(changes)?;
        self.note(Event::Wrote { locations: changes.iter().map(|change| change.location.clone()).collect() })
    }

    fn make_private(&mut self, _: &str) -> Result<(), HostError> {
        self.store.make_requests(served_by().uid)
    }

    fn served_by(&self) -> ServedBy {
        served_by()
    }

    fn held(&self) -> BTreeSet<HealthCheck> {
        journal::healthy(self.lines()).0
    }

    fn replacing(&mut self, gates: &BTreeSet<HealthCheck>, what: Replaced<'_>) -> Result<(), HostError> {
        self.note_before(gates, what).map(drop)
    }

    fn stop_pod(
        &mut self,
        touch: &PathChange,
        found: &FileState,
        gates: &BTreeSet<HealthCheck>,
        timeout: Duration,
    ) -> Result<Option<String>, HostError> {
        self.move_until_stopped(touch, found, gates, timeout)
    }

    fn remove_waiting(&mut self, location: &str, name: &str) -> Result<(), HostError> {
        let (directory, _) = self.place(location)?;
        directory.remove_file(name)?;
        directory.sync()
    }

    fn run(&mut self, argv: &[String], timeout: Duration) -> Result<(), HostError> {
        self.note(Event::Running { argv: argv.to_vec(), timeout_seconds: timeout.as_secs() })?;
        self.start(argv, timeout)?;
        self.note(Event::Ran { argv: argv.to_vec() })
    }

    fn move_leader(&mut self, member: Member<'_>, timeout: Duration) -> Result<(), HostError> {
        let Member { address, certificate, key } = member;
        let start = Instant::now();
        let deadline = start.checked_add(timeout.min(LONGEST_ELECTION)).unwrap_or(start);
        EtcdClient::prepare(certificate, key, self)
            .and_then(|client| client.hand_on_leadership(address, deadline))
            .map_err(|reason| HostError::LeaderNotMoved { reason })
    }

    fn purge(&mut self, key: &Sha256) -> Result<(), HostError> {
        self.note(Event::Purging { key: *key })?;
        let (own, _) = self.visit.as_ref().ok_or(HostError::NotOpen)?;
        self.store.purge(key, own)
    }

    fn earlier(&self, visit: &VisitId, path: &str) -> Result<Vec<Earlier>, HostError> {
        let no_snapshot = || HostError::NoSnapshot { path: path.to_owned(), visit: visit.clone() };
        crate::agent::transaction::state_dir::check_run(&visit.run)?;
        let directory = self.store.visit(visit)?.ok_or_else(no_snapshot)?;
        let lines = Journal::read(&directory)?.unwrap_or_default();
        if journal::state(&lines) != Some(VisitState::Committed) {
            return Err(no_snapshot());
        }
        let manifest = snapshot::read_manifest(&directory)?;
        let after = snapshot::read_after(&directory)?;
        let purged = snapshot::read_purged(&directory)?;
        let mut earlier = Vec::new();
        for (touch, before) in journal::touched(&lines).into_iter().filter(|(touch, _)| touch.path == path) {
            let before = before.or_else(|| manifest.before.get(&touch.location)).ok_or_else(no_snapshot)?;
            let after = after.get(&touch.location).ok_or_else(no_snapshot)?;
            if purged.touches(before) || purged.touches(after) {
                return Err(HostError::Purged { path: path.to_owned(), visit: visit.clone() });
            }
            earlier.push(Earlier {
                location: touch.location.clone(),
                before: before.load(&directory)?,
                after: after.load(&directory)?,
                starts: touch.starts,
            });
        }
        if earlier.is_empty() { Err(no_snapshot()) } else { Ok(earlier) }
    }
}

impl Lookup for NodeFilesystem {
    fn look(&self, path: &str, want: Detail) -> LookupResult {
        self.tree.look(path, want)
    }
}

impl Checks for NodeFilesystem {
    fn look_at(&self, gates: &BTreeSet<HealthCheck>) -> Glance {
        health_checks::look_at(&self.tree, gates, &journal::replaced(self.lines()))
    }
}

impl NodeFilesystem {
    /// Looks at what runs of these gates, and records it.
    fn note_before(
        &mut self,
        gates: &BTreeSet<HealthCheck>,
        what: Replaced<'_>,
    ) -> Result<Vec<Before>, HostError> {
        let there = journal::replaced(self.lines());
        let mut noted = Vec::new();
        for gate in gates.iter().filter(|gate| what.is_of(gate)) {
            let first = there.iter().find(|before| before.gate == *gate);
            if let Some(before) = health_checks::before(gate, first, health_checks::LOOK) {
                self.note(Event::Replacing { before: before.clone() })?;
                noted.push(before);
            }
        }
        Ok(noted)
    }

    /// What the journal says so far.
    pub(crate) fn lines(&self) -> &[journal::Line] {
        self.visit.as_ref().map_or(&[], |(_, journal)| &journal.lines)
    }

    /// Provides for a reboot, from when on the transaction is found open; the journal says why where that is not possible.
    pub(crate) fn provide_for_reboot<'a>(
        &mut self,
        begin: &Begin,
        locations: impl Iterator<Item = &'a String>,
    ) {
        let Some(boot) = &self.boot else { return };
        let undoing = Undoing {
            state_directory: &begin.state_directory,
            locations: locations.map(String::as_str).collect(),
            units: &begin.units,
        };
        if let Err(error) = boot.place(&self.tree, &self.store.directory, &undoing) {
            // The line is for people; without it the transaction is as good.
            let _noted = self.note(Event::NoUndoAtBoot { reason: error.to_string() });
        }
    }

    /// Removes what was provided for a reboot; to be called before the transaction's marker goes. What cannot be removed does nothing without the
    /// marker and goes with the next transaction.
    pub(crate) fn no_reboot_to_provide_for(&self) {
        if self.boot.is_some() {
            let _removed = boot::remove(&self.tree, &self.store.directory);
        }
    }

    pub(crate) fn note(&mut self, event: Event) -> Result<(), HostError> {
        let Some((directory, journal)) = &mut self.visit else { return Err(HostError::NotOpen) };
        journal.add(directory, (self.clock)(), event)
    }

    /// Runs a program without a word in the journal.
    pub(crate) fn start(&self, argv: &[String], timeout: Duration) -> Result<(), HostError> {
        let program = self.program(argv)?;
        program::run(&program, argv.get(1..).unwrap_or_default(), self.root.as_deref(), timeout)
    }

    /// Makes one location what the image says.
    pub(crate) fn put(&self, change: &Change) -> Result<(), HostError> {
        self.put_all(std::slice::from_ref(change))
    }

    /// Whether the directory in whose place a link was put still is what it was.
    pub(crate) fn is_aside(&self, location: &str, tree: &TreeImage) -> Result<bool, HostError> {
        let (directory, name) = self.place(location)?;
        Ok(self.waiting(&directory, &name, tree)?.is_some())
    }

    /// Removes a directory that was exchanged for a link, as far as it holds what it `takes` along; whether it is gone.
    pub(crate) fn discard_aside(&self, location: &str, takes: &BTreeSet<String>) -> Result<bool, HostError> {
        let (directory, name) = self.place(location)?;
        let mut is_gone = true;
        for temporary in self.beside.names(&name) {
            match directory.capture(&temporary)? {
                FileState::Directory(_) => {
                    directory.clear(&temporary, takes, &self.beside)?;
                    is_gone &= directory.remove_directory(&temporary)? == Removal::Removed;
                }
                FileState::Absent
                | FileState::Link { .. }
                | FileState::File(_)
                | FileState::Tree(_)
                | FileState::Other => {
                    directory.remove_any(&temporary)?;
                }
            }
        }
        Ok(is_gone)
    }

    /// The name under which a directory waits with everything that the tree says.
    fn waiting(&self, directory: &Dir, name: &str, tree: &TreeImage) -> Result<Option<String>, HostError> {
        for temporary in self.beside.names(name) {
            if matches!(directory.capture(&temporary)?, FileState::Directory(_))
                && directory.capture_tree(&temporary).is_ok_and(|found| found.same_as(tree))
            {
                return Ok(Some(temporary));
            }
        }
        Ok(None)
    }

    /// Removes what waits beside a location, or was left unfinished there; nothing is no error.
    pub(crate) fn remove_aside(&self, location: &str) -> Result<(), HostError> {
        match self.place(location) {
            Ok((directory, name)) => directory.remove_beside(&name, &self.beside),
            Err(HostError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The directory of a location, the same one whenever it is asked for.
    fn place(&self, location: &str) -> Result<(Dir, String), HostError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (above, name) = location.rsplit_once('/').unwrap_or_default();
        if let Some(directory) = held.get(above) {
            return Ok((directory.again()?, name.to_owned()));
        }
        let (directory, name) = place(&self.tree, location)?;
        held.insert(above.to_owned(), directory.again()?);
        Ok((directory, name))
    }

    /// Lets go of directories in whose place this transaction has put something else.
    fn let_go(&self, location: &str) {
        let below = |path: &String| {
            path.strip_prefix(location).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|path, _| !below(path));
    }

    /// Whether every directory in which something was changed is still the one that its path leads to.
    pub(crate) fn check_places(&self, locations: &[&String]) -> Result<(), HostError> {
        for location in locations {
            let (directory, name) = match self.place(location) {
                Ok(held) => held,
                // Its directory went with it.
                Err(HostError::Missing { .. }) => continue,
                Err(error) => return Err(error),
            };
            let there = match place(&self.tree, location) {
                Ok((there, _)) => there,
                Err(HostError::Missing { .. } | HostError::Path { .. }) => {
                    return Err(HostError::Changed { path: (*location).clone() });
                }
                Err(error) => return Err(error),
            };
            if there.own_identity()? != directory.own_identity()?
                || there.identity(&name)? != directory.identity(&name)?
            {
                return Err(HostError::Changed { path: (*location).clone() });
            }
        }
        Ok(())
    }

    fn put_all(&self, changes: &[Change]) -> Result<(), HostError> {
        let mut staged = Vec::new();
        let outcome = self.stage_and_swap(changes, &mut staged);
        if outcome.is_err() {
            for Staged { directory, temporary, .. } in &staged {
                // Should this fail too, the undo tries it again.
                let _removed = directory.remove_file(temporary);
            }
        }
        outcome
    }

    fn stage_and_swap(&self, changes: &[Change], staged: &mut Vec<Staged>) -> Result<(), HostError> {
        let mut steps = Vec::new();
        for change in changes {
            steps.push(self.stage(change, staged)?);
        }
        for (step, change) in steps.into_iter().zip(changes) {
            let is_file = matches!(step, Step::SetAccess { .. } | Step::Nothing)
                || matches!((&step, &change.image), (Step::Swap { .. }, FileState::File(_)));
            let outcome = step.take_place(staged, &self.beside);
            if !is_file {
                self.let_go(&change.location);
            }
            outcome?;
        }
        Ok(())
    }

    /// Prepares one change as far as nobody sees it.
    fn stage<'a>(
        &self,
        Change { location, image, takes, found }: &'a Change,
        staged: &mut Vec<Staged>,
    ) -> Result<Step<'a>, HostError> {
        let (directory, name) = self.place(location)?;
        let identity = directory.identity(&name)?;
        let current = directory.capture(&name)?;
        let is_as_decided = found.as_ref().is_none_or(|found| {
            found.agrees_with(&current) || matches!((found, &current), (FileState::Other, FileState::Other))
        });
        if !is_as_decided || directory.identity(&name)? != identity {
            return Err(HostError::Changed { path: location.clone() });
        }
        match (image, current) {
            (FileState::File(wanted), FileState::File(current)) if wanted.has_content_of(&current) => {
                Ok(Step::SetAccess { directory, name, image, found: identity })
            }
            (FileState::File(wanted), FileState::File(_) | FileState::Absent | FileState::Link { .. }) => {
                let index = staged.len();
                let (temporary, file) = directory.create_beside(&name, &self.beside)?;
                staged.push(Staged { directory, name, temporary, found: identity, own: None });
                staged.last_mut().map_or(Ok(()), |last| stage_file(last, &file, wanted))?;
                Ok(Step::Swap { index })
            }
            (
                FileState::Link { target, uid, gid },
                FileState::File(_) | FileState::Absent | FileState::Link { .. },
            ) => {
                let index = staged.len();
                let temporary = directory.link_beside(&name, &self.beside, target, (*uid, *gid))?;
                let own = directory.identity(&temporary)?;
                staged.push(Staged { directory, name, temporary, found: identity, own });
                Ok(Step::Swap { index })
            }
            (FileState::Directory(_), FileState::Directory(_)) => {
                Ok(Step::SetAccess { directory, name, image, found: identity })
            }
            (FileState::Directory(_), FileState::Absent) => {
                Ok(Step::MakeDirectory { directory, name, image })
            }
            (FileState::Absent, FileState::Directory(_)) => {
                Ok(Step::RemoveDirectory { directory, name, takes })
            }
            (FileState::Tree(tree), FileState::Absent | FileState::Directory(_)) => {
                Ok(Step::Fill { directory, name, tree, takes })
            }
            (FileState::Tree(tree), FileState::Link { .. }) => {
                // The very directory that the link took the place of, if it still waits here.
                let temporary = match self.waiting(&directory, &name, tree)? {
                    Some(waiting) => waiting,
                    None => {
                        // Another try may have been cut off; if that cannot be removed, another name is taken.
                        let _removed = directory.remove_beside(&name, &self.beside);
                        let temporary = directory.directory_beside(&name, &self.beside)?;
                        directory.fill(&temporary, tree, &self.beside)?;
                        temporary
                    }
                };
                Ok(Step::Exchange { directory, name, temporary, is_link_left: true, found: identity })
            }
            (FileState::Link { target, uid, gid }, found @ FileState::Directory(_)) => {
                // One that somebody else has put there is not exchanged for a link, and so never removed.
                if takes.is_empty() && !directory.is_empty(&name)? {
                    return Err(HostError::Occupied { path: location.clone(), found: found.kind().into() });
                }
                let temporary = directory.link_beside(&name, &self.beside, target, (*uid, *gid))?;
                directory.sync()?;
                Ok(Step::Exchange { directory, name, temporary, is_link_left: false, found: identity })
            }
            (FileState::Absent, FileState::File(_) | FileState::Link { .. } | FileState::Absent) => {
                Ok(Step::Remove { directory, name, found: identity })
            }
            (FileState::Other, FileState::Other) => Ok(Step::Nothing),
            (
                FileState::Absent
                | FileState::Directory(_)
                | FileState::Link { .. }
                | FileState::File(_)
                | FileState::Tree(_)
                | FileState::Other,
                found,
            ) => Err(HostError::Occupied { path: location.to_owned(), found: found.kind().into() }),
        }
    }

    /// The program that a command names: one of this machine, also for a node that is a directory of it, which has none that could run.
    fn program(&self, argv: &[String]) -> Result<PathBuf, HostError> {
        let name = argv.first().map(String::as_str).unwrap_or_default();
        let refused = |reason: &str| HostError::Program {
            program: name.to_owned(),
            reason: reason.to_owned(),
            output: String::new(),
        };
        if name.is_empty() {
            return Err(refused("has no name"));
        }
        let program = PathBuf::from(name);
        // It is started in the node's directory, where a name without a path would mean another file.
        if self.root.is_some() && !program.is_absolute() {
            return Err(refused("cannot be run: it has to be named by its absolute path"));
        }
        Ok(program)
    }
}

/// What is at a location; nothing when its directory is missing.
pub(crate) fn capture(tree: &Tree, location: &str) -> Result<FileState, HostError> {
    capture_at(place(tree, location))
}

fn capture_at(place: Result<(Dir, String), HostError>) -> Result<FileState, HostError> {
    match place {
        Ok((directory, name)) => directory.capture(&name),
        Err(HostError::Missing { .. }) => Ok(FileState::Absent),
        Err(error) => Err(error),
    }
}

/// The same, of a directory with everything in it.
pub(crate) fn capture_tree(tree: &Tree, location: &str) -> Result<FileState, HostError> {
    capture_tree_at(|| place(tree, location))
}

fn capture_tree_at(place: impl Fn() -> Result<(Dir, String), HostError>) -> Result<FileState, HostError> {
    match capture_at(place())? {
        FileState::Directory(_) => {
            let (directory, name) = place()?;
            directory.capture_tree(&name).map(FileState::Tree)
        }
        other @ (FileState::Absent
        | FileState::Link { .. }
        | FileState::File(_)
        | FileState::Tree(_)
        | FileState::Other) => Ok(other),
    }
}

/// The directory of a location. A location is resolved: a directory that has become a link meanwhile is another place.
pub(crate) fn place(tree: &Tree, location: &str) -> Result<(Dir, String), HostError> {
    let failed = |reason: String| HostError::Path { path: location.to_owned(), reason };
    let place = match tree.open_parent(location) {
        Ok(place) => place,
        Err(TreeError::NoParent { missing }) => return Err(HostError::Missing { path: missing }),
        Err(TreeError::Unsafe(step)) => return Err(HostError::Unsafe { path: location.to_owned(), step }),
        // A disk that fails says nothing of what the path leads to.
        Err(TreeError::Refused { path, reason }) => return Err(HostError::Refused { path, reason }),
        Err(error) => return Err(failed(error.to_string())),
    };
    let name = place.name.to_string_lossy().into_owned();
    let directory = Dir::of(&place)?;
    if directory.path_of(&name) != location {
        return Err(failed("a directory on the way has become a link".to_owned()));
    }
    Ok((directory, name))
}
