//! Directories with everything in them: captured, filled, cleared, and exchanged with a link in one step.
//!
//! What enters is names in an open directory and trees; what leaves is the tree that is there, or a directory that has become one. A tree is small, as a
//! directory of certificates is: what is larger is refused and never copied in part. Filling goes on where an earlier try was cut off. Nothing is
//! removed that was not named.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Gid, Mode, RenameFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Beside, Dir, Removal, access_of, attributes, effect, host_error};
use crate::agent::fs::file_state::{Access, DirectoryImage, Entry, FileImage, FileState, TreeImage};
use crate::protocol::error::HostError;

/// Most objects in a directory that is moved: many times what any directory of certificates holds.
const ENTRY_LIMIT: usize = 4096;
/// Most bytes in the files of a directory that is moved. They are all held in memory.
const BYTE_LIMIT: usize = 64 * 1024 * 1024;
/// Directories inside each other; each is an open descriptor.
const DEPTH_LIMIT: usize = 32;

/// A capture under way.
struct Capture {
    tree: TreeImage,
    bytes: usize,
    device: u64,
}

impl Dir {
    /// Everything in a directory of this one.
    pub(crate) fn capture_tree(&self, name: &str) -> Result<TreeImage, HostError> {
        let root = self.child(name)?.ok_or_else(|| HostError::Missing { path: self.path_of(name) })?;
        let device = root.own_stat()?.st_dev;
        let mut capture = Capture { tree: TreeImage { entries: Default::default() }, bytes: 0, device };
        capture.add(&root, "", 0)?;
        Ok(capture.tree)
    }

    /// Makes a directory of this one hold a tree; it may be missing, empty, or filled in part already.
    pub(crate) fn fill(&self, name: &str, tree: &TreeImage, beside: &Beside) -> Result<(), HostError> {
        if self.stat(name)?.is_none() {
            self.make_directory(name, 0o700)?;
            self.sync()?;
        }
        let missing = |path: &str| HostError::Missing { path: self.path_of(&format!("{name}/{path}")) };
        let root = self.child(name)?.ok_or_else(|| missing(""))?;
        for (path, entry) in tree.entries.iter().filter(|(path, _)| !path.is_empty()) {
            let (holder, leaf) = root.holder(path)?.ok_or_else(|| missing(path))?;
            holder.fill_one(leaf, entry, beside)?;
        }
        // What holds something is finished after it: owner and mode may close it, and its time changes with every name that is added.
        for (path, entry) in tree.entries.iter().rev() {
            if let Entry::Directory(wanted) = entry {
                let directory = if path.is_empty() {
                    self.child(name)?
                } else {
                    match root.holder(path)? {
                        Some((holder, leaf)) => holder.child(leaf)?,
                        None => None,
                    }
                };
                directory.ok_or_else(|| missing(path))?.become_like(wanted)?;
            }
        }
        Ok(())
    }

    /// Removes from a directory of this one what has these names below it, and what writing them may have left. Anything else stays.
    pub(crate) fn clear(
        &self,
        name: &str,
        names: &BTreeSet<String>,
        beside: &Beside,
    ) -> Result<(), HostError> {
        let Some(root) = self.child(name)? else { return Ok(()) };
        for path in names.iter().rev() {
            let Some((holder, leaf)) = root.holder(path)? else { continue };
            holder.remove_beside(leaf, beside)?;
            match holder.kind(leaf)? {
                None => {}
                Some(FileType::Directory) => {
                    // One that somebody else has put something into stays.
                    let _removal: Removal = holder.remove_directory(leaf)?;
                }
                Some(_) => holder.remove_file(leaf)?,
            }
        }
        root.sync()
    }

    /// Exchanges two names in one step, so that nobody finds either of them missing.
    pub(crate) fn exchange(&self, one: &str, other: &str) -> Result<(), HostError> {
        let exchanged = effect(|| {
            rustix::fs::renameat_with(&self.handle, one, &self.handle, other, RenameFlags::EXCHANGE)
        });
        exchanged.map_err(|error| {
            let path = self.path_of(other);
            match error {
                Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => HostError::Refused {
                    path,
                    reason: "the kernel or the file system cannot exchange a directory and a link in one step (renameat2 with RENAME_EXCHANGE), and without that programs would find nothing for a moment".to_owned(),
                },
                Errno::BUSY => HostError::Refused {
                    path,
                    reason: "a file system is mounted there, so no link can take its place".to_owned(),
                },
                other => host_error(path, other),
            }
        })
    }

    /// Whether nothing is in a directory of this one.
    pub(crate) fn is_empty(&self, name: &str) -> Result<bool, HostError> {
        match self.child(name)? {
            Some(child) => Ok(child.names()?.is_empty()),
            None => Ok(true),
        }
    }

    /// Removes whatever has a name; none is no error.
    pub(crate) fn remove_any(&self, name: &str) -> Result<(), HostError> {
        match self.kind(name)? {
            None => Ok(()),
            Some(FileType::Directory) => self.remove_tree(name),
            Some(_) => self.remove_file(name),
        }
    }

    fn kind(&self, name: &str) -> Result<Option<FileType>, HostError> {
        Ok(self.stat(name)?.map(|stat| FileType::from_raw_mode(stat.st_mode)))
    }

    fn own_stat(&self) -> Result<Stat, HostError> {
        rustix::fs::fstat(&self.handle).map_err(|error| host_error(self.path.clone(), error))
    }

    /// The directory that holds what is at a path below this one, and its name there; `None` when that directory is missing.
    fn holder<'path>(&self, path: &'path str) -> Result<Option<(Self, &'path str)>, HostError> {
        let mut here = self.again()?;
        let (above, leaf) = path.rsplit_once('/').unwrap_or(("", path));
        for name in above.split('/').filter(|name| !name.is_empty()) {
            match here.kind(name)? {
                Some(FileType::Directory) => {}
                Some(_) | None => return Ok(None),
            }
            match here.child(name)? {
                Some(child) => here = child,
                None => return Ok(None),
            }
        }
        Ok(Some((here, leaf)))
    }

    fn fill_one(&self, name: &str, entry: &Entry, beside: &Beside) -> Result<(), HostError> {
        let found = self.capture(name)?;
        match (entry, &found) {
            (Entry::Directory(_), FileState::Directory(_)) => Ok(()),
            (Entry::Directory(_), FileState::Absent) => self.make_directory(name, 0o700),
            (Entry::Link { target, uid, gid }, FileState::Absent | FileState::Link { .. }) => {
                let wanted = FileState::Link { target: target.clone(), uid: *uid, gid: *gid };
                if found.same_as(&wanted) {
                    return Ok(());
                }
                // An earlier try may have been cut off; if that cannot be removed, another name is taken.
                let _removed = self.remove_beside(name, beside);
                let temporary = self.link_beside(name, beside, target, (*uid, *gid))?;
                self.rename(&temporary, name)
            }
            (Entry::File(wanted), FileState::Absent | FileState::File(_)) => {
                if found.same_as(&FileState::File(wanted.clone())) {
                    return Ok(());
                }
                let _removed = self.remove_beside(name, beside);
                let (temporary, file) = self.create_beside(name, beside)?;
                self.fill_file(&file, &temporary, wanted)?;
                self.rename(&temporary, name)
            }
            (Entry::Directory(_) | Entry::Link { .. } | Entry::File(_), found) => {
                Err(HostError::Occupied { path: self.path_of(name), found: found.kind().into() })
            }
        }
    }

    /// Makes a file that was just made what is wanted.
    pub(crate) fn fill_file(&self, file: &OwnedFd, name: &str, wanted: &FileImage) -> Result<(), HostError> {
        self.dress(file, name, wanted)?;
        self.append(file, name, wanted.content(&self.path_of(name))?)?;
        if let Some(modified) = wanted.modified {
            self.set_modified(file, name, modified)?;
        }
        self.sync_file(file, name)
    }

    /// Gives this directory owner, attributes, mode and time, in this order, and sees the names in it to the disk.
    fn become_like(&self, wanted: &DirectoryImage) -> Result<(), HostError> {
        let Access { mode, uid, gid } = wanted.access;
        let current = self.own_access()?;
        if (current.uid, current.gid) != (uid, gid) {
            self.effect(".", || {
                rustix::fs::fchown(&self.handle, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            })?;
        }
        let given = attributes(&self.handle).map_err(|error| host_error(self.path.clone(), error))?;
        for (key, value) in wanted.attributes.iter().filter(|(key, value)| given.get(*key) != Some(*value)) {
            self.effect(".", || {
                rustix::fs::fsetxattr(&self.handle, key.as_str(), value, XattrFlags::empty())
            })?;
        }
        for key in
            given.keys().filter(|key| !wanted.attributes.contains_key(*key) && !key.starts_with("security."))
        {
            self.effect(".", || rustix::fs::fremovexattr(&self.handle, key.as_str()))?;
        }
        self.effect(".", || rustix::fs::fchmod(&self.handle, Mode::from_raw_mode(mode)))?;
        if let Some((seconds, nanoseconds)) = wanted.modified {
            let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
            let times = Timestamps { last_access: time, last_modification: time };
            self.effect(".", || rustix::fs::futimens(&self.handle, &times))?;
        }
        self.sync()
    }
}

impl Capture {
    fn add(&mut self, directory: &Dir, at: &str, depth: usize) -> Result<(), HostError> {
        let stat = directory.own_stat()?;
        let refused = |path: String, reason: String| HostError::Refused { path, reason };
        if stat.st_dev != self.device {
            let reason = "another file system is mounted there, so it cannot be moved".to_owned();
            return Err(refused(directory.path.clone(), reason));
        }
        if depth == DEPTH_LIMIT {
            let reason = format!("it is more than {DEPTH_LIMIT} directories deep, so it is not moved");
            return Err(refused(directory.path.clone(), reason));
        }
        #[expect(clippy::useless_conversion, reason = "the width of the field differs between architectures")]
        let modified = Some((i64::from(stat.st_mtime), i64::try_from(stat.st_mtime_nsec).unwrap_or(0)));
        let attributes =
            attributes(&directory.handle).map_err(|error| host_error(directory.path.clone(), error))?;
        let image = DirectoryImage { access: access_of(&stat), attributes, modified };
        self.tree.entries.insert(at.to_owned(), Entry::Directory(image));
        for name in directory.names()? {
            let path = directory.path_of(&name);
            if name.contains(char::REPLACEMENT_CHARACTER) {
                return Err(refused(path, "its name is not UTF-8".to_owned()));
            }
            if self.tree.entries.len() == ENTRY_LIMIT {
                let reason = format!("it holds more than {ENTRY_LIMIT} objects, so it is not moved");
                return Err(refused(directory.path.clone(), reason));
            }
            let below = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
            let entry = match directory.capture(&name)? {
                FileState::Absent => return Err(HostError::Changed { path }),
                FileState::Directory(_) => {
                    let child = directory.child(&name)?.ok_or(HostError::Changed { path })?;
                    self.add(&child, &below, depth + 1)?;
                    continue;
                }
                FileState::Link { target, uid, gid } => Entry::Link { target, uid, gid },
                FileState::File(file) => {
                    self.bytes =
                        self.bytes.saturating_add(usize::try_from(file.bytes.len()).unwrap_or(usize::MAX));
                    if self.bytes > BYTE_LIMIT {
                        let reason =
                            format!("its directory holds more than {BYTE_LIMIT} bytes, so it is not moved");
                        return Err(refused(path, reason));
                    }
                    Entry::File(file)
                }
                FileState::Tree(_) | FileState::Other => {
                    let reason =
                        "it is a FIFO, socket or device, and its directory is not moved with such in it";
                    return Err(refused(path, reason.to_owned()));
                }
            };
            self.tree.entries.insert(below, entry);
        }
        Ok(())
    }
}
