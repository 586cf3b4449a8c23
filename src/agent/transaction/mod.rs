//! A transaction as any node carries it out: what may be touched, what is known to be there, and how one object becomes another.
//!
//! What enters is paths and images from the commands; what leaves is changes for [`Filesystem`], each announced before it is made and refused
//! when somebody else has been there. It follows links and never replaces one. It touches nothing itself, so that a real node and one in memory
//! behave the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::agent::fs::accounts::Accounts;
use crate::agent::fs::file_state::{Access, FileImage, FileState, TreeImage};
use crate::agent::fs::lookup::{Detail, LookupResult};
use crate::agent::probe::health_checks::{Checks, Replaced};
use crate::files::confined::opens_to_others;
use crate::protocol::command::{Begin, Slot, VisitId};
use crate::protocol::error::HostError;
use crate::protocol::facts::{FileKind, ServedBy};
use crate::protocol::health_check::HealthCheck;
use crate::types::secret::Secret;
use crate::types::storage::FileSpec;
use crate::x509::{PrivateKey, Sha256};

pub(crate) mod boot;
pub(crate) mod bound;
pub(crate) mod identity_check;
pub(crate) mod journal;
mod known;
pub(crate) mod lock;
mod migration;
pub(crate) mod node_files;
pub(crate) mod path_change;
pub(crate) mod path_resolution;
pub(crate) mod perform;
mod requests;
pub(crate) mod shared;
pub(crate) mod snapshot;
pub(crate) mod state_dir;
mod stored;
pub(crate) mod undo;

pub(super) use known::Known;
pub(super) use migration::made_below;
pub(super) use path_change::{PathChange, backwards};
use path_resolution::Way;
pub(super) use path_resolution::destination;

/// A file tree that can be changed. A location is a path in which no directory is a link; the last name is taken as it is.
pub(crate) trait Filesystem: Checks {
    /// What is at a location.
    fn capture(&self, location: &str) -> Result<FileState, HostError>;

    /// The same, of a directory with everything in it.
    fn capture_tree(&self, location: &str) -> Result<FileState, HostError>;

    /// What is at a location, as fully as what it is compared with.
    fn capture_as(&self, location: &str, other: &FileState) -> Result<FileState, HostError> {
        if other.is_tree() { self.capture_tree(location) } else { self.capture(location) }
    }

    /// Records, so that it survives this process, that a location is about to change. `unrecorded` is what is there when the transaction's beginning
    /// could not know the location.
    fn announce(&mut self, touch: &PathChange, unrecorded: Option<&FileState>) -> Result<(), HostError>;

    /// Makes each location what the image says: all files are staged first and then take their places in this order.
    fn replace(&mut self, changes: &[Change]) -> Result<(), HostError>;

    /// Makes a directory of this program's own, closed to all others; one that is there is closed to them. Empty it is nothing to anybody, so no undo removes it.
    fn make_private(&mut self, path: &str) -> Result<(), HostError>;

    /// Removes from all earlier snapshots every copy that holds the private key with this public half. No undo brings it back.
    fn purge(&mut self, key: &Sha256) -> Result<(), HostError>;

    /// As whom it works.
    fn served_by(&self) -> ServedBy;

    /// The gates that held before anything was touched.
    fn held(&self) -> BTreeSet<HealthCheck> {
        BTreeSet::new()
    }

    /// Has a static pod stop before its manifest, which is `found` there, changes: the manifest waits beside its place until what these gates are about is gone.
    /// Gives the name under which it waits, if there was one.
    fn stop_pod(
        &mut self,
        touch: &PathChange,
        found: &FileState,
        gates: &BTreeSet<HealthCheck>,
        timeout: Duration,
    ) -> Result<Option<String>, HostError>;

    /// Removes a manifest that waits beside its place, where another one is by now.
    fn remove_waiting(&mut self, location: &str, name: &str) -> Result<(), HostError>;

    /// Records what runs of these gates before something is done upon which it is replaced. After a change of mind what was recorded first may stay.
    fn replacing(&mut self, _: &BTreeSet<HealthCheck>, _: Replaced<'_>) -> Result<(), HostError> {
        Ok(())
    }

    /// Runs a program.
    fn run(&mut self, argv: &[String], timeout: Duration) -> Result<(), HostError>;

    /// Has a member of etcd hand its leadership on, if it leads.
    fn move_leader(&mut self, member: Member<'_>, timeout: Duration) -> Result<(), HostError>;

    /// What an earlier, committed visit changed when it was told to change `path`, in the order in which it did.
    fn earlier(&self, visit: &VisitId, path: &str) -> Result<Vec<Earlier>, HostError>;
}

/// A member of etcd on the node, and the files of a client that it accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) certificate: &'a str,
    pub(crate) key: &'a str,
}

/// A location and what it is to become.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(super) location: String,
    pub(super) image: FileState,
    /// What goes with a directory that is emptied, by path below it. Anything else in it belongs to others and stays.
    pub(super) takes: BTreeSet<String>,
    /// What was found there when it was decided; anything else is left as it is.
    pub(super) found: Option<FileState>,
}

/// A change that a command asks for.
pub(crate) struct Wanted {
    pub(super) touch: PathChange,
    pub(super) image: FileState,
    /// What is there, where it was captured with everything in it.
    pub(super) found: Option<FileState>,
}

/// A directory in whose place a link was put. It waits beside the link until the transaction ends.
#[derive(Debug, Clone)]
pub(crate) struct SetAside {
    pub(super) location: String,
    pub(super) tree: TreeImage,
    /// Programs that run may need it beyond the transaction.
    pub(super) stays: bool,
}

/// A change of an earlier visit.
pub(crate) struct Earlier {
    pub(super) location: String,
    pub(super) before: FileState,
    pub(super) after: FileState,
    pub(super) starts: bool,
}

/// A transaction under way.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(super) begin: Begin,
    /// What is at each location: as it was copied, and after a change as it was left.
    pub(super) known: BTreeMap<String, FileState>,
    /// What was changed, each location once, in the order of the first change.
    pub(super) touched: Vec<PathChange>,
    /// The directories in whose place links were put.
    pub(super) set_aside: Vec<SetAside>,
    /// Where each path led when the transaction began.
    ways: BTreeMap<String, Way>,
    /// Goes into the prints of what was written.
    salt: crate::agent::fs::print::Salt,
    /// The keys in memory.
    pub(super) slots: BTreeMap<Slot, Arc<PrivateKey>>,
}

impl Transaction {
    /// Captures everything that the transaction may touch.
    pub(super) fn open(begin: &Begin, objects: &impl Filesystem) -> Result<Self, HostError> {
        for (path, end) in &begin.leads {
            if destination(objects, path)? != *end {
                return Err(HostError::Changed { path: path.clone() });
            }
        }
        let (mut known, mut ways) = (BTreeMap::new(), BTreeMap::new());
        for path in &begin.paths {
            // A path that leads nowhere yet may lead somewhere once this transaction has made a directory or link; it is captured then.
            let way = Way::of(objects, path)?;
            for location in [&way.own, &way.end].into_iter().flatten() {
                let image = objects.capture(location)?;
                known.insert(location.clone(), image);
            }
            ways.insert(path.clone(), way);
        }
        Ok(Self {
            begin: begin.clone(),
            known,
            touched: Vec::new(),
            set_aside: Vec::new(),
            ways,
            salt: crate::agent::fs::print::Salt::drawn()?,
            slots: BTreeMap::new(),
        })
    }

    /// The image of a file with new content: who is there keeps owner, attributes and what of the mode the spec grants too.
    pub(super) fn renewed(
        &mut self,
        objects: &impl Filesystem,
        file: &FileSpec,
        bytes: Secret,
        known: Known,
    ) -> Result<(PathChange, FileState), HostError> {
        self.check_listed(&file.path)?;
        let location = self.destination(objects, &file.path)?;
        if known.is_secret(&file.path, bytes.reveal()) && self.own_place(objects, &file.path)? != location {
            // Whoever made the link wants the key elsewhere than the plan says.
            return Err(HostError::KeyBehindLink { path: file.path.clone(), location });
        }
        let wanted = self.access(objects, &file.user, &file.group, file.mode.bits())?;
        let (access, attributes) = match objects.capture(&location)? {
            FileState::File(old) => {
                self.check_known(&file.path, &old, known)?;
                (Access { mode: old.access.mode & wanted.mode, ..old.access }, old.attributes)
            }
            FileState::Absent => (wanted, BTreeMap::new()),
            FileState::Directory(_) | FileState::Link { .. } | FileState::Tree(_) | FileState::Other => {
                return Err(HostError::NotAFile { path: file.path.clone() });
            }
        };
        let image = FileState::File(FileImage { bytes: bytes.into(), access, attributes, modified: None });
        Ok((PathChange::new(&file.path, location), image))
    }

    /// Writes files: all are staged before the first takes its place.
    pub(super) fn write(
        &mut self,
        objects: &mut impl Filesystem,
        files: Vec<(&FileSpec, Secret)>,
    ) -> Result<(), HostError> {
        let mut changes = Vec::new();
        for (file, bytes) in files {
            changes.push(self.renewed(objects, file, bytes, Known::Material)?);
        }
        self.change(objects, changes)
    }

    pub(super) fn make_directory(
        &mut self,
        objects: &mut impl Filesystem,
        path: &str,
        (user, group): (&str, &str),
        mode: u32,
    ) -> Result<(), HostError> {
        self.check_listed(path)?;
        let location = self.own_place(objects, path)?;
        let occupied =
            |found: &'static str| Err(HostError::Occupied { path: path.to_owned(), found: found.into() });
        match objects.look(path, Detail::Place) {
            LookupResult::Found { status, .. } => match status.kind {
                FileKind::Directory => Ok(()),
                FileKind::Regular => occupied("a file"),
                FileKind::Other => occupied("neither file nor directory"),
            },
            LookupResult::Dangling { .. } | LookupResult::Looping { .. } => {
                occupied("a link that leads nowhere")
            }
            LookupResult::Failed { reason } => Err(HostError::Path { path: path.to_owned(), reason }),
            LookupResult::Unsafe { step } => Err(HostError::Unsafe { path: path.to_owned(), step }),
            LookupResult::Missing => {
                let access = usable(objects, path, self.access(objects, user, group, mode)?)?;
                let touch = PathChange::new(path, location);
                self.change(objects, vec![(touch, FileState::Directory(access))])
            }
        }
    }

    pub(super) fn make_link(
        &mut self,
        objects: &mut impl Filesystem,
        path: &str,
        target: &str,
    ) -> Result<(), HostError> {
        self.check_listed(path)?;
        if target.is_empty() || target.contains('\0') {
            let reason = "a link must say where it leads".to_owned();
            return Err(HostError::Path { path: path.to_owned(), reason });
        }
        let location = self.own_place(objects, path)?;
        match objects.capture(&location)? {
            FileState::Absent => {
                let ServedBy { uid, gid } = objects.served_by();
                let touch = PathChange::new(path, location);
                self.change(objects, vec![(touch, FileState::Link { target: target.to_owned(), uid, gid })])
            }
            FileState::Link { target: found, .. } if found == target => Ok(()),
            other @ (FileState::Directory(_)
            | FileState::Link { .. }
            | FileState::File(_)
            | FileState::Tree(_)
            | FileState::Other) => {
                Err(HostError::Occupied { path: path.to_owned(), found: other.kind().into() })
            }
        }
    }

    pub(super) fn set_permissions(
        &mut self,
        objects: &mut impl Filesystem,
        file: &FileSpec,
    ) -> Result<(), HostError> {
        self.check_listed(&file.path)?;
        let location = self.destination(objects, &file.path)?;
        let wanted = self.access(objects, &file.user, &file.group, file.mode.bits())?;
        // Who is not root cannot give files away, so for him a `root` in the spec leaves the owner as it is.
        let keep = |old: Access| match objects.served_by().uid {
            0 => wanted,
            _ => Access {
                mode: wanted.mode,
                uid: if file.user == "root" { old.uid } else { wanted.uid },
                gid: if file.group == "root" { old.gid } else { wanted.gid },
            },
        };
        let image = match objects.capture(&location)? {
            FileState::File(old) => {
                self.check_known(&file.path, &old, Known::Material)?;
                FileState::File(FileImage { access: keep(old.access), ..old })
            }
            FileState::Directory(old) => FileState::Directory(usable(objects, &file.path, keep(old))?),
            FileState::Absent => return Err(HostError::Missing { path: file.path.clone() }),
            FileState::Link { .. } | FileState::Tree(_) | FileState::Other => {
                return Err(HostError::NotAFile { path: file.path.clone() });
            }
        };
        self.change(objects, vec![(PathChange::new(&file.path, location), image)])
    }

    /// Puts back what an earlier visit changed at these paths, all of it or nothing: all files are staged before the first takes its place.
    pub(super) fn restore(
        &mut self,
        objects: &mut impl Filesystem,
        from: &VisitId,
        paths: &[&str],
    ) -> Result<(), HostError> {
        let mut changes = Vec::new();
        for path in paths.iter().copied() {
            self.check_listed(path)?;
            for Earlier { location, before, after, starts } in objects.earlier(from, path)?.into_iter().rev()
            {
                let is_whole = matches!((&before, &after), (FileState::Tree(_), _) | (_, FileState::Tree(_)));
                let current =
                    if is_whole { objects.capture_tree(&location)? } else { objects.capture(&location)? };
                if current.same_as(&before) {
                    continue;
                }
                if !current.same_as(&after) {
                    return Err(HostError::ChangedSince { path: path.to_owned(), visit: from.clone() });
                }
                let touch = PathChange { path: path.to_owned(), location, starts };
                changes.push(Wanted { touch, image: before, found: is_whole.then_some(current) });
            }
        }
        self.change_all(objects, changes, false)
    }

    pub(super) fn change(
        &mut self,
        objects: &mut impl Filesystem,
        changes: Vec<(PathChange, FileState)>,
    ) -> Result<(), HostError> {
        let wanted = changes.into_iter().map(|(touch, image)| Wanted { touch, image, found: None });
        self.change_all(objects, wanted.collect(), false)
    }

    /// Announces and makes changes. Locations that are so already are left alone. A directory in whose place a link comes `stays` beside it beyond
    /// the transaction, or goes with its end.
    pub(super) fn change_all(
        &mut self,
        objects: &mut impl Filesystem,
        changes: Vec<Wanted>,
        stays: bool,
    ) -> Result<(), HostError> {
        let mut needed = Vec::new();
        for Wanted { touch, image, found } in changes {
            let current = match found {
                Some(found) => found,
                None => objects.capture(&touch.location)?,
            };
            let known = self.known_at(&touch.location);
            if known.as_ref().is_some_and(|known| !known.agrees_with(&current)) {
                return Err(HostError::Changed { path: touch.path });
            }
            if !current.same_as(&image) {
                let is_unrecorded = known.is_none() || matches!(current, FileState::Tree(_));
                needed.push((touch, image, current, is_unrecorded));
            }
        }
        let mut replacements = Vec::new();
        let mut stopped = Vec::new();
        for (touch, image, mut current, is_unrecorded) in needed {
            let is_announced = self.touched.iter().any(|before| before.location == touch.location);
            if !is_announced && self.tree_around(&touch.location).is_none() {
                objects.announce(&touch, is_unrecorded.then_some(&current))?;
                self.touched.push(touch.clone());
            }
            if touch.starts && matches!(current, FileState::File(_)) {
                // Should it not stop, the undo puts the manifest back, after the files that the pod would read.
                let timeout = Duration::from_secs(self.begin.gates_seconds);
                let waits = objects.stop_pod(&touch, &current, &self.begin.gates, timeout)?;
                stopped.extend(waits.map(|name| (touch.location.clone(), name)));
                current = FileState::Absent;
            }
            let mut takes = BTreeSet::new();
            let found = Some(current.clone());
            if let FileState::Tree(tree) = current {
                takes = tree.names();
                if matches!(image, FileState::Link { .. }) {
                    let location = touch.location.clone();
                    self.set_aside.push(SetAside { location, tree, stays });
                }
            }
            replacements.push(Change { location: touch.location, image, takes, found });
        }
        let outcome = objects.replace(&replacements);
        for Change { location, image: intended, .. } in replacements {
            let left = match (objects.capture_as(&location, &intended), &outcome) {
                (Ok(left), _) => left,
                (Err(error), Ok(())) => return Err(error),
                // What went wrong first is what a person needs to know.
                (Err(_), Err(_)) => continue,
            };
            if outcome.is_ok() && !left.is_as_intended(&intended) {
                return Err(HostError::Changed { path: location });
            }
            self.know(location, left.printed(&self.salt));
        }
        outcome?;
        stopped.iter().try_for_each(|(location, name)| objects.remove_waiting(location, name))
    }

    /// The directory with everything in it that this transaction has made around a location, and the location's path below it.
    fn tree_around<'path>(&self, location: &'path str) -> Option<(String, &'path str)> {
        self.touched.iter().find_map(|touch| {
            let below = location.strip_prefix(&touch.location)?.strip_prefix('/')?;
            let is_tree = self.known.get(&touch.location).is_some_and(FileState::is_tree);
            is_tree.then(|| (touch.location.clone(), below))
        })
    }

    fn known_at(&self, location: &str) -> Option<FileState> {
        match self.tree_around(location) {
            Some((around, below)) => self.known.get(&around)?.tree().map(|tree| tree.at(below)),
            None => self.known.get(location).cloned(),
        }
    }

    fn know(&mut self, location: String, left: FileState) {
        if let Some((around, below)) = self.tree_around(&location)
            && let Some(FileState::Tree(tree)) = self.known.get_mut(&around)
        {
            tree.set(below, &left);
            return;
        }
        self.known.insert(location, left);
    }

    /// A file that this program does not know is left alone, whatever led here, unless somebody said that it may go.
    fn check_known(&self, path: &str, old: &FileImage, known: Known) -> Result<(), HostError> {
        let may_go = self.begin.replace_foreign.contains(path);
        let whole = old.bytes.whole().map(Secret::reveal);
        if may_go || old.bytes.len() == 0 || whole.is_some_and(|bytes| known.is_met_by(bytes)) {
            return Ok(());
        }
        Err(HostError::Foreign { path: path.to_owned() })
    }

    pub(super) fn check_listed(&self, path: &str) -> Result<(), HostError> {
        if self.begin.paths.contains(path) {
            return Ok(());
        }
        Err(HostError::NotListed { path: path.to_owned() })
    }

    /// Owner and mode of something new. A node that is not served by root cannot give files away; there its own user stands for root.
    fn access(
        &self,
        objects: &impl Filesystem,
        user: &str,
        group: &str,
        mode: u32,
    ) -> Result<Access, HostError> {
        let (mut uid, mut gid) = Accounts::read(objects).numbers(user, group)?;
        let own = objects.served_by();
        if own.uid != 0 {
            uid = if user == "root" { own.uid } else { uid };
            gid = if group == "root" { own.gid } else { gid };
        }
        Ok(Access { mode, uid, gid })
    }
}

/// A directory in which this program can go on: open to no others, and, for who is not root, not closed to himself.
fn usable(objects: &impl Filesystem, path: &str, access: Access) -> Result<Access, HostError> {
    if opens_to_others(access.mode, access.gid, false) && access.mode & 0o1000 == 0 {
        // Whatever lies in it could be led elsewhere from then on, by anybody, and could not be put back.
        let reason =
            format!("the mode {:04o} would let others change what lies in the directory", access.mode);
        return Err(HostError::Denied { path: path.to_owned(), reason });
    }
    if objects.served_by().uid == 0 || access.mode & 0o700 == 0o700 {
        return Ok(access);
    }
    let reason = format!("the mode {:04o} would close the directory to its owner", access.mode);
    Err(HostError::Denied { path: path.to_owned(), reason })
}
