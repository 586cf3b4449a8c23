//! The real files of a node as something that a transaction can change.
//!
//! What enters is locations and images; what leaves is files that have become them, each by one rename, so that no reader ever meets half a file or
//! none. What is about to change is in the journal before it does. Temporary files start with a dot, since a kubelet takes any other file
//! in its manifests directory for a pod.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::boot::{self, Boot, Undoing};
use super::confined::{Tree, TreeError};
use super::disk::{Dir, Fuse, Removal};
use super::error::HostError;
use super::gates::{self, Replaced};
use super::image::{FileImage, Image, TreeImage};
use super::journal::{self, Event, Journal};
use super::observe::{Look, Sight, Want};
use super::order::{Begin, VisitId};
use super::program;
use super::snapshot;
use super::store::Store;
use super::visit::{Change, Earlier, Objects, Touch};
use crate::gate::Gate;
use crate::observed::{ServedBy, VisitState};
pub(super) use crate::visits::temporary_name;
use crate::x509::Sha256;

/// The files of a node during one transaction.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) tree: Tree,
    pub(super) root: Option<PathBuf>,
    pub(super) store: Store,
    pub(super) run: String,
    /// The directory of the visit, once it has one, and its journal.
    pub(super) visit: Option<(Dir, Journal)>,
    pub(super) clock: fn() -> Timestamp,
    /// How a reboot is provided for.
    pub(super) boot: Option<Boot>,
    pub(super) fuse: Fuse,
}

/// A file that waits to take its place.
struct Staged {
    directory: Dir,
    name: String,
    temporary: String,
}

impl Objects for Site {
    fn capture(&self, location: &str) -> Result<Image, HostError> {
        capture(&self.tree, location, &self.fuse)
    }

    fn capture_tree(&self, location: &str) -> Result<Image, HostError> {
        capture_tree(&self.tree, location, &self.fuse)
    }

    fn announce(&mut self, touch: &Touch, unrecorded: Option<&Image>) -> Result<(), HostError> {
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

    fn held(&self) -> BTreeSet<Gate> {
        journal::healthy(self.lines()).0
    }

    fn replacing(&mut self, gates: &BTreeSet<Gate>, what: Replaced<'_>) -> Result<(), HostError> {
        let there = journal::replaced(self.lines());
        for gate in gates.iter().filter(|gate| what.is_of(gate)) {
            let first = there.iter().find(|before| before.gate == *gate);
            if let Some(before) = gates::before(gate, first, gates::LOOK) {
                self.note(Event::Replacing { before })?;
            }
        }
        Ok(())
    }

    fn run(&mut self, argv: &[String], timeout: Duration) -> Result<(), HostError> {
        self.note(Event::Running { argv: argv.to_vec(), timeout_seconds: timeout.as_secs() })?;
        self.start(argv, timeout)?;
        self.note(Event::Ran { argv: argv.to_vec() })
    }

    fn purge(&mut self, key: &Sha256) -> Result<(), HostError> {
        self.note(Event::Purging { key: *key })?;
        let (own, _) = self.visit.as_ref().ok_or(HostError::NotOpen)?;
        self.store.purge(key, own)
    }

    fn earlier(&self, visit: &VisitId, path: &str) -> Result<Vec<Earlier>, HostError> {
        let no_snapshot = || HostError::NoSnapshot { path: path.to_owned(), visit: visit.clone() };
        super::store::check_run(&visit.run)?;
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

impl Look for Site {
    fn look(&self, path: &str, want: Want) -> Sight {
        self.tree.look(path, want)
    }

    fn failing(&self, gates: &BTreeSet<Gate>) -> Vec<(Gate, String)> {
        gates::failing(&self.tree, gates, &journal::replaced(self.lines()))
    }
}

impl Site {
    /// What the journal says so far.
    pub(super) fn lines(&self) -> &[journal::Line] {
        self.visit.as_ref().map_or(&[], |(_, journal)| &journal.lines)
    }

    /// Provides for a reboot, from when on the transaction is found open; the journal says why where that is not possible.
    pub(super) fn provide_for_reboot<'a>(
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
        if let Err(error) = boot.place(&self.tree, &self.store.directory, &undoing, &self.fuse) {
            // The line is for people; without it the transaction is as good.
            let _noted = self.note(Event::NoUndoAtBoot { reason: error.to_string() });
        }
    }

    /// Removes what was provided for a reboot; to be called before the transaction's marker goes. What cannot be removed does nothing without the
    /// marker and goes with the next transaction.
    pub(super) fn no_reboot_to_provide_for(&self) {
        if self.boot.is_some() {
            let _removed = boot::remove(&self.tree, &self.store.directory, &self.fuse);
        }
    }

    pub(super) fn note(&mut self, event: Event) -> Result<(), HostError> {
        let Some((directory, journal)) = &mut self.visit else { return Err(HostError::NotOpen) };
        journal.add(directory, (self.clock)(), event)
    }

    /// Runs a program without a word in the journal.
    pub(super) fn start(&self, argv: &[String], timeout: Duration) -> Result<(), HostError> {
        let program = self.program(argv)?;
        program::run(&program, argv.get(1..).unwrap_or_default(), self.root.as_deref(), timeout)
    }

    /// Makes one location what the image says.
    pub(super) fn put(&self, change: &Change) -> Result<(), HostError> {
        self.put_all(std::slice::from_ref(change))
    }

    /// Whether the directory in whose place a link was put still is what it was.
    pub(super) fn is_aside(&self, location: &str, tree: &TreeImage) -> Result<bool, HostError> {
        let (directory, name) = place(&self.tree, location, &self.fuse)?;
        Ok(directory.capture_tree(&temporary_name(&name, &self.run))?.same_as(tree))
    }

    /// Removes a directory that was exchanged for a link, as far as it holds what it `takes` along; whether it is gone.
    pub(super) fn discard_aside(&self, location: &str, takes: &BTreeSet<String>) -> Result<bool, HostError> {
        let (directory, name) = place(&self.tree, location, &self.fuse)?;
        let temporary = temporary_name(&name, &self.run);
        match directory.capture(&temporary)? {
            Image::Directory(_) => {
                directory.clear(&temporary, takes, &self.run)?;
                Ok(directory.remove_directory(&temporary)? == Removal::Removed)
            }
            Image::Absent | Image::Link { .. } | Image::File(_) | Image::Tree(_) | Image::Other => {
                directory.remove_any(&temporary).map(|()| true)
            }
        }
    }

    /// Removes what waits beside a location, or was left unfinished there; nothing is no error.
    pub(super) fn remove_aside(&self, location: &str) -> Result<(), HostError> {
        match place(&self.tree, location, &self.fuse) {
            Ok((directory, name)) => directory.remove_any(&temporary_name(&name, &self.run)),
            Err(HostError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
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
        for step in steps {
            step.take_place(staged, &self.run)?;
        }
        Ok(())
    }

    /// Prepares one change as far as nobody sees it.
    fn stage<'a>(
        &self,
        Change { location, image, takes }: &'a Change,
        staged: &mut Vec<Staged>,
    ) -> Result<Step<'a>, HostError> {
        let (directory, name) = place(&self.tree, location, &self.fuse)?;
        let current = directory.capture(&name)?;
        let temporary = temporary_name(&name, &self.run);
        match (image, current) {
            (Image::File(wanted), Image::File(current)) if wanted.has_content_of(&current) => {
                Ok(Step::SetAccess { directory, name, image })
            }
            (Image::File(wanted), Image::File(_) | Image::Absent | Image::Link { .. }) => {
                let index = staged.len();
                directory.remove_file(&temporary)?;
                staged.push(Staged { directory, name, temporary });
                stage_file(staged, index, wanted)?;
                Ok(Step::Swap { index })
            }
            (Image::Link { target, uid, gid }, Image::File(_) | Image::Absent | Image::Link { .. }) => {
                let index = staged.len();
                directory.remove_file(&temporary)?;
                stage_link(&directory, &temporary, target, (*uid, *gid))?;
                staged.push(Staged { directory, name, temporary });
                Ok(Step::Swap { index })
            }
            (Image::Directory(_), Image::Directory(_)) => Ok(Step::SetAccess { directory, name, image }),
            (Image::Directory(_), Image::Absent) => Ok(Step::MakeDirectory { directory, name, image }),
            (Image::Absent, Image::Directory(_)) => Ok(Step::RemoveDirectory { directory, name, takes }),
            (Image::Tree(tree), Image::Absent | Image::Directory(_)) => {
                Ok(Step::Fill { directory, name, tree, takes })
            }
            (Image::Tree(tree), Image::Link { .. }) => {
                // The very directory that the link took the place of, if it still waits here.
                let waits = matches!(directory.capture(&temporary)?, Image::Directory(_))
                    && directory.capture_tree(&temporary).is_ok_and(|found| found.same_as(tree));
                if !waits {
                    directory.remove_any(&temporary)?;
                    directory.fill(&temporary, tree, &self.run)?;
                }
                Ok(Step::Exchange { directory, name, temporary, is_link_left: true })
            }
            (Image::Link { target, uid, gid }, found @ Image::Directory(_)) => {
                // One that somebody else has put there is not exchanged for a link, and so never removed.
                if takes.is_empty() && !directory.is_empty(&name)? {
                    return Err(HostError::Occupied { path: location.clone(), found: found.kind().into() });
                }
                directory.remove_any(&temporary)?;
                stage_link(&directory, &temporary, target, (*uid, *gid))?;
                directory.sync()?;
                Ok(Step::Exchange { directory, name, temporary, is_link_left: false })
            }
            (Image::Absent, Image::File(_) | Image::Link { .. } | Image::Absent) => {
                Ok(Step::Remove { directory, name })
            }
            (Image::Other, Image::Other) => Ok(Step::Nothing),
            (
                Image::Absent
                | Image::Directory(_)
                | Image::Link { .. }
                | Image::File(_)
                | Image::Tree(_)
                | Image::Other,
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

/// The visible part of a change.
enum Step<'a> {
    Swap { index: usize },
    SetAccess { directory: Dir, name: String, image: &'a Image },
    MakeDirectory { directory: Dir, name: String, image: &'a Image },
    RemoveDirectory { directory: Dir, name: String, takes: &'a BTreeSet<String> },
    Fill { directory: Dir, name: String, tree: &'a TreeImage, takes: &'a BTreeSet<String> },
    Exchange { directory: Dir, name: String, temporary: String, is_link_left: bool },
    Remove { directory: Dir, name: String },
    Nothing,
}

impl Step<'_> {
    fn take_place(self, staged: &[Staged], run: &str) -> Result<(), HostError> {
        match self {
            Self::Swap { index } => {
                if let Some(Staged { directory, name, temporary }) = staged.get(index) {
                    directory.rename(temporary, name)?;
                    directory.sync()?;
                }
                Ok(())
            }
            Self::SetAccess { directory, name, image } => set_access(&directory, &name, image),
            Self::MakeDirectory { directory, name, image } => {
                directory.make_directory(&name, 0o700)?;
                set_access(&directory, &name, image)?;
                directory.sync()
            }
            // One that somebody else has put something into stays.
            Self::RemoveDirectory { directory, name, takes } => {
                if !takes.is_empty() {
                    directory.clear(&name, takes, run)?;
                }
                match directory.remove_directory(&name)? {
                    Removal::Removed => directory.sync(),
                    Removal::NotEmpty => Ok(()),
                }
            }
            Self::Fill { directory, name, tree, takes } => {
                let superfluous: BTreeSet<String> =
                    takes.iter().filter(|path| !tree.entries.contains_key(*path)).cloned().collect();
                if !superfluous.is_empty() {
                    directory.clear(&name, &superfluous, run)?;
                }
                directory.fill(&name, tree, run)?;
                directory.sync()?;
                // No link may lead there before it is whole.
                if takes.is_empty() && !directory.capture_tree(&name)?.is_made_of(tree) {
                    return Err(HostError::Changed { path: directory.path_of(&name) });
                }
                Ok(())
            }
            Self::Exchange { directory, name, temporary, is_link_left } => {
                directory.exchange(&temporary, &name)?;
                directory.sync()?;
                if is_link_left {
                    directory.remove_file(&temporary)?;
                    directory.sync()?;
                }
                Ok(())
            }
            Self::Remove { directory, name } => {
                directory.remove_file(&name)?;
                directory.sync()
            }
            Self::Nothing => Ok(()),
        }
    }
}

fn set_access(directory: &Dir, name: &str, image: &Image) -> Result<(), HostError> {
    match image {
        Image::File(FileImage { access, .. }) | Image::Directory(access) => {
            directory.set_access(name, *access)
        }
        Image::Absent | Image::Link { .. } | Image::Tree(_) | Image::Other => Ok(()),
    }
}

fn stage_link(
    directory: &Dir,
    temporary: &str,
    target: &str,
    (uid, gid): (u32, u32),
) -> Result<(), HostError> {
    directory.make_link(temporary, target)?;
    let own = directory.stat(temporary)?;
    if own.is_none_or(|own| (own.st_uid, own.st_gid) != (uid, gid)) {
        directory.own_link(temporary, uid, gid)?;
    }
    Ok(())
}

fn stage_file(staged: &[Staged], index: usize, wanted: &FileImage) -> Result<(), HostError> {
    let Some(Staged { directory, temporary, .. }) = staged.get(index) else { return Ok(()) };
    let file: OwnedFd = directory.create(temporary)?;
    directory.dress(&file, temporary, wanted)?;
    directory.append(&file, temporary, wanted.bytes.reveal())?;
    if let Some(modified) = wanted.modified {
        directory.set_modified(&file, temporary, modified)?;
    }
    directory.sync_file(&file, temporary)
}

/// Who serves this machine's nodes.
pub(super) fn served_by() -> ServedBy {
    ServedBy { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}

/// What is at a location; nothing when its directory is missing.
pub(super) fn capture(tree: &Tree, location: &str, fuse: &Fuse) -> Result<Image, HostError> {
    match place(tree, location, fuse) {
        Ok((directory, name)) => directory.capture(&name),
        Err(HostError::Missing { .. }) => Ok(Image::Absent),
        Err(error) => Err(error),
    }
}

/// The same, of a directory with everything in it.
pub(super) fn capture_tree(tree: &Tree, location: &str, fuse: &Fuse) -> Result<Image, HostError> {
    match capture(tree, location, fuse)? {
        Image::Directory(_) => {
            let (directory, name) = place(tree, location, fuse)?;
            directory.capture_tree(&name).map(Image::Tree)
        }
        other @ (Image::Absent | Image::Link { .. } | Image::File(_) | Image::Tree(_) | Image::Other) => {
            Ok(other)
        }
    }
}

/// The directory of a location. A location is resolved: a directory that has become a link meanwhile is another place.
pub(super) fn place(tree: &Tree, location: &str, fuse: &Fuse) -> Result<(Dir, String), HostError> {
    let failed = |reason: String| HostError::Path { path: location.to_owned(), reason };
    let place = match tree.open_parent(location) {
        Ok(place) => place,
        Err(TreeError::NoParent { missing }) => return Err(HostError::Missing { path: missing }),
        Err(error) => return Err(failed(error.to_string())),
    };
    let name = place.name.to_string_lossy().into_owned();
    let directory = Dir::of(&place, fuse)?;
    if directory.path_of(&name) != location {
        return Err(failed("a directory on the way has become a link".to_owned()));
    }
    Ok((directory, name))
}
