//! The system calls that change a disk, each on an open directory and a single name in it.
//!
//! What enters is names without a `/` and bytes; what leaves is the change, or an error with the path and the system's words. No call follows a
//! link, and nothing here decides. This is the one place through which every change goes, so that the tests can end the process between any two.
//!
//! Everything is done as the user who serves the node, in directories of other users too, where a thread with the rights of the directory's owner would have
//! the kernel judge each name once more. It would cost more than it gives: when a thread changes its effective or its file system's user, Linux puts whether
//! the whole process may be dumped back to `fs.suid_dumpable` (`commit_creds` in kernel/cred.c), which systemd sets to 2, and a crash in that moment would
//! hand every key in memory to the crash handler. So the steps of [`crate::files::confined`] and open descriptors are what holds.

use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Dir as Entries, FallocateFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid,
    XattrFlags,
};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::agent::fs::file_state::{Access, FileImage, FileState};
use crate::files::confined::{Guard, in_words};
use crate::protocol::error::HostError;
use crate::types::secret::Secret;

mod attributes;
mod beside;
#[cfg(test)]
pub(crate) mod fail_point;
mod identity;
mod large;
mod opening;
mod program;
mod tree;

use attributes::attributes;
pub(crate) use beside::{Beside, Seed};
pub(crate) use identity::Identity;

/// Most bytes of a file that a transaction copies or keeps, and that is read of such a copy.
pub(crate) const COPY_LIMIT: usize = 16 * 1024 * 1024;
/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    handle: OwnedFd,
    /// Its node path, for messages.
    pub(crate) path: String,
    /// Who decides what its names mean.
    guard: Guard,
}

/// What became of a directory that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    Removed,
    NotEmpty,
}

impl Dir {
    pub(crate) fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }

    pub(crate) fn make_directory(&self, name: &str, mode: u32) -> Result<(), HostError> {
        self.effect(name, || rustix::fs::mkdirat(&self.handle, name, Mode::from_raw_mode(mode)))
    }

    /// The permission bits of this directory and whether it belongs to `uid`.
    pub(crate) fn own_access(&self) -> Result<Access, HostError> {
        let stat = rustix::fs::fstat(&self.handle).map_err(|error| host_error(self.path.clone(), error))?;
        Ok(access_of(&stat))
    }

    pub(crate) fn set_own_mode(&self, mode: u32) -> Result<(), HostError> {
        self.effect(".", || rustix::fs::fchmod(&self.handle, Mode::from_raw_mode(mode)))
    }

    /// Writes a new file of mode 0600, to the disk itself.
    pub(crate) fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        let file = self.create(name)?;
        self.append(&file, name, bytes)?;
        self.sync_file(&file, name)
    }

    /// Replaces a file of mode 0600 in one step.
    pub(crate) fn write_whole(&self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        let staged = staged_name(name);
        self.remove_file(&staged)?;
        let replaced = self.write_new(&staged, bytes).and_then(|()| self.rename(&staged, name));
        if replaced.is_err() {
            // Should this fail too, the next one that is staged removes it.
            let _removed = self.remove_file(&staged);
        }
        replaced?;
        self.sync()
    }

    pub(crate) fn create(&self, name: &str) -> Result<OwnedFd, HostError> {
        self.effect(name, || self.open_new(name))
    }

    /// Makes a file that nobody else can open.
    fn open_new(&self, name: &str) -> Result<OwnedFd, Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(0o600))
    }

    /// Opens a file that is there, or makes it with mode 0600, for reading and appending.
    pub(crate) fn open_appending(&self, name: &str) -> Result<OwnedFd, HostError> {
        let flags = OFlags::RDWR
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        self.effect(name, || rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(0o600)))
    }

    pub(crate) fn append(&self, file: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        #[cfg(test)]
        fail_point::pass_writing(file, bytes).map_err(|error| host_error(self.path_of(name), error))?;
        let mut rest = bytes;
        while !rest.is_empty() {
            match rustix::io::write(file, rest) {
                Ok(0) => return Err(host_error(self.path_of(name), Errno::IO)),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(host_error(self.path_of(name), error)),
            }
        }
        Ok(())
    }

    pub(crate) fn truncate(&self, file: &OwnedFd, name: &str, length: u64) -> Result<(), HostError> {
        self.effect(name, || rustix::fs::ftruncate(file, length))
    }

    /// Takes disk space for a file. A file system that cannot is no error.
    pub(crate) fn allocate(&self, name: &str, length: u64) -> Result<(), HostError> {
        let file = self.create(name)?;
        match self.effect(name, || match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => other,
        }) {
            Ok(()) => self.sync_file(&file, name),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn sync_file(&self, file: &OwnedFd, name: &str) -> Result<(), HostError> {
        self.effect(name, || rustix::fs::fsync(file))
    }

    pub(crate) fn sync(&self) -> Result<(), HostError> {
        self.effect(".", || rustix::fs::fsync(&self.handle))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), HostError> {
        self.effect(to, || rustix::fs::renameat(&self.handle, from, &self.handle, to))
    }

    /// Removes a file or link; none is no error.
    pub(crate) fn remove_file(&self, name: &str) -> Result<(), HostError> {
        self.effect(name, || match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            // A file system that is read-only says so even of a file that is not there.
            Err(Errno::ROFS) if self.is_free(name) => Ok(()),
            other => other,
        })
    }

    fn is_free(&self, name: &str) -> bool {
        matches!(rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW), Err(Errno::NOENT))
    }

    pub(crate) fn remove_directory(&self, name: &str) -> Result<Removal, HostError> {
        self.effect(name, || match rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(Removal::Removed),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Removal::NotEmpty),
            Err(error) => Err(error),
        })
    }

    /// Removes a directory with everything in it.
    pub(crate) fn remove_tree(&self, name: &str) -> Result<(), HostError> {
        if let Some(directory) = self.child(name)? {
            for inner in directory.names()? {
                let is_directory = directory
                    .stat(&inner)?
                    .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
                if is_directory { directory.remove_tree(&inner)? } else { directory.remove_file(&inner)? }
            }
            self.remove_directory(name)?;
        }
        Ok(())
    }

    pub(crate) fn make_link(&self, name: &str, target: &str) -> Result<(), HostError> {
        self.effect(name, || rustix::fs::symlinkat(target, &self.handle, name))
    }

    /// Gives a link away, and nothing that has taken its name since.
    pub(crate) fn own_link(&self, name: &str, uid: u32, gid: u32) -> Result<(), HostError> {
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = rustix::fs::openat(&self.handle, name, flags, Mode::empty())
            .map_err(|error| host_error(self.path_of(name), error))?;
        let stat = self.read_stat(&link, name)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Err(HostError::Changed { path: self.path_of(name) });
        }
        self.effect(name, || rustix::fs::chownat(&link, "", owner.0, owner.1, AtFlags::EMPTY_PATH))
    }

    /// Gives a file that was just made its owner, attributes and mode, in this order: changing the owner clears bits of the mode, and attributes
    /// such as access lists change others.
    pub(crate) fn dress(&self, file: &OwnedFd, name: &str, wanted: &FileImage) -> Result<(), HostError> {
        let stat = self.read_stat(file, name)?;
        let Access { mode, uid, gid } = wanted.access;
        if (stat.st_uid, stat.st_gid) != (uid, gid) {
            self.effect(name, || {
                rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            })?;
        }
        let given = attributes(file).map_err(|error| host_error(self.path_of(name), error))?;
        for (key, value) in &wanted.attributes {
            if given.get(key) != Some(value) {
                self.effect(name, || rustix::fs::fsetxattr(file, key.as_str(), value, XattrFlags::empty()))?;
            }
        }
        // An access list that the directory gives to new files was not on the one that is replaced.
        for key in
            given.keys().filter(|key| !wanted.attributes.contains_key(*key) && !key.starts_with("security."))
        {
            self.effect(name, || rustix::fs::fremovexattr(file, key.as_str()))?;
        }
        self.effect(name, || rustix::fs::fchmod(file, Mode::from_raw_mode(mode)))
    }

    pub(crate) fn set_modified(
        &self,
        file: &OwnedFd,
        name: &str,
        modified: (i64, i64),
    ) -> Result<(), HostError> {
        let time = Timespec { tv_sec: modified.0, tv_nsec: modified.1 };
        let times = Timestamps { last_access: time, last_modification: time };
        self.effect(name, || rustix::fs::futimens(file, &times))
    }

    /// Changes owner and mode of a file or directory where it is. In between it grants no more than before and after.
    pub(crate) fn set_access(
        &self,
        name: &str,
        wanted: Access,
        known: Option<Identity>,
    ) -> Result<(), HostError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::empty())
            .map_err(|error| host_error(self.path_of(name), error))?;
        let stat = self.read_stat(&file, name)?;
        self.enter(&stat, &file, name)?;
        if known.is_some_and(|known| known != Identity::from_stat(&stat)) {
            return Err(HostError::Changed { path: self.path_of(name) });
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink != 1 {
            // Under its other names it may be anything.
            let reason = "it has other names too, so neither owner nor mode is changed".to_owned();
            return Err(HostError::Refused { path: self.path_of(name), reason });
        }
        let current = access_of(&stat);
        if (current.uid, current.gid) != (wanted.uid, wanted.gid) {
            let common = Mode::from_raw_mode(current.mode & wanted.mode);
            self.effect(name, || rustix::fs::fchmod(&file, common))?;
            let owner = (Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid)));
            self.effect(name, || rustix::fs::fchown(&file, owner.0, owner.1))?;
        }
        self.effect(name, || rustix::fs::fchmod(&file, Mode::from_raw_mode(wanted.mode)))?;
        self.sync_file(&file, name)
    }

    /// The names in this directory, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, HostError> {
        let failed = |error| host_error(self.path.clone(), error);
        let mut names = Vec::new();
        for entry in Entries::read_from(&self.handle).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    pub(crate) fn stat(&self, name: &str) -> Result<Option<Stat>, HostError> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(host_error(self.path_of(name), error)),
        }
    }

    /// The bytes of a regular file, if it is there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Secret>, HostError> {
        match self.capture(name)? {
            FileState::File(file) => Ok(file.bytes.whole().cloned()),
            FileState::Absent => Ok(None),
            FileState::Directory(_) | FileState::Link { .. } | FileState::Tree(_) | FileState::Other => {
                Err(HostError::NotAFile { path: self.path_of(name) })
            }
        }
    }

    /// Everything that an object is.
    pub(crate) fn capture(&self, name: &str) -> Result<FileState, HostError> {
        let failed = |error| host_error(self.path_of(name), error);
        let Some(stat) = self.stat(name)? else { return Ok(FileState::Absent) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(FileState::Directory(access_of(&stat))),
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&self.handle, name, Vec::new()).map_err(failed)?;
                let target = target.into_string().map_err(|_| HostError::Refused {
                    path: self.path_of(name),
                    reason: "the link's target is not UTF-8".to_owned(),
                })?;
                Ok(FileState::Link { target, uid: stat.st_uid, gid: stat.st_gid })
            }
            FileType::RegularFile => self.capture_file(name).map(FileState::File),
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Ok(FileState::Other),
        }
    }

    fn capture_file(&self, name: &str) -> Result<FileImage, HostError> {
        let failed = |error| host_error(self.path_of(name), error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::empty()).map_err(failed)?;
        let before = self.read_stat(&file, name)?;
        self.enter(&before, &file, name)?;
        let too_large = || HostError::Refused {
            path: self.path_of(name),
            reason: format!("it is larger than {COPY_LIMIT} bytes"),
        };
        let size = usize::try_from(before.st_size).map_err(|_| too_large())?;
        if size > COPY_LIMIT {
            return Err(too_large());
        }
        // One byte more than the file has, so that growth shows, and never a second buffer that would not be wiped.
        let mut bytes = Zeroizing::new(vec![0; size.saturating_add(1)]);
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match rustix::io::read(&file, rest) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let attributes = attributes(&file).map_err(failed)?;
        let after = self.read_stat(&file, name)?;
        let moment = |stat: &Stat| {
            (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec, stat.st_size)
        };
        if filled != size || moment(&before) != moment(&after) {
            return Err(HostError::Changed { path: self.path_of(name) });
        }
        bytes.truncate(size);
        #[expect(clippy::useless_conversion, reason = "the width of the field differs between architectures")]
        let modified = Some((i64::from(after.st_mtime), i64::try_from(after.st_mtime_nsec).unwrap_or(0)));
        Ok(FileImage { bytes: Secret::new(bytes).into(), access: access_of(&after), attributes, modified })
    }

    fn read_stat(&self, file: &OwnedFd, name: &str) -> Result<Stat, HostError> {
        rustix::fs::fstat(file).map_err(|error| host_error(self.path_of(name), error))
    }

    fn effect<T>(&self, name: &str, change: impl FnOnce() -> Result<T, Errno>) -> Result<T, HostError> {
        effect(change).map_err(|error| host_error(self.path_of(name), error))
    }
}

/// Makes a change, unless a test has ended the process before it.
fn effect<T>(change: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    #[cfg(test)]
    fail_point::pass()?;
    change()
}

/// The name of the file that [`Dir::write_whole`] renames to `name`.
pub(crate) fn staged_name(name: &str) -> String {
    format!(".{name}.new")
}

fn access_of(stat: &Stat) -> Access {
    Access { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid }
}

pub(crate) fn host_error(path: String, error: Errno) -> HostError {
    let reason = in_words(error);
    match error {
        Errno::NOSPC | Errno::DQUOT => HostError::DiskFull { path, reason },
        Errno::ROFS => HostError::ReadOnly { path },
        Errno::ACCESS | Errno::PERM => HostError::Denied { path, reason },
        _ => HostError::Refused { path, reason },
    }
}
