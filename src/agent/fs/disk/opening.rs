//! Directories, opened one from another, and the judgement of what was opened.
//!
//! What enters is a place that was walked to, or a name in an open directory; what leaves is an open directory that may be worked in, or whose step it would be.
//! Nothing is changed here.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Dir, host_error};
use crate::files::confined::{Guard, Place};
use crate::protocol::error::HostError;

impl Dir {
    /// The directory of a place that was walked to.
    pub(crate) fn of(place: &Place) -> Result<Self, HostError> {
        let path = place.path.clone();
        match open_directory(place.directory.as_fd(), ".") {
            Ok(handle) => Ok(Self { handle, path, guard: place.standing }),
            Err(error) => Err(host_error(path, error)),
        }
    }

    /// A directory in this one, if it is there.
    pub(crate) fn child(&self, name: &str) -> Result<Option<Self>, HostError> {
        match self.stat(name)? {
            None => Ok(None),
            Some(_) => {
                let path = self.path_of(name);
                let handle = open_directory(self.handle.as_fd(), name)
                    .map_err(|error| host_error(path.clone(), error))?;
                let stat = self.read_stat(&handle, name)?;
                let guard = self.enter(&stat, &handle, name)?;
                Ok(Some(Self { handle, path, guard }))
            }
        }
    }

    /// Judges an object of this directory that has just been opened: between looking and opening it may have become another one.
    pub(super) fn enter(&self, stat: &Stat, opened: &OwnedFd, name: &str) -> Result<Guard, HostError> {
        let path = self.path_of(name);
        let guard = self
            .guard
            .enter(stat, opened, &self.path, &path)
            .map_err(|step| HostError::Unsafe { path: path.clone(), step })?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if self.guard.is_state() && is_file && stat.st_mode & 0o077 != 0 {
            let reason = "others than its owner may read or write it, and what it says is done as this user";
            return Err(HostError::Denied { path, reason: reason.to_owned() });
        }
        Ok(guard)
    }
}

fn open_directory(at: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}
