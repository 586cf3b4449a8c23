//! Which object is under a name: it is the same as before only if device and inode are.
//!
//! What enters is a name in an open directory; what leaves is numbers, or an error where another object has taken the name. Nothing is changed here.

use std::os::fd::AsFd;

use rustix::fs::Stat;
use rustix::io::Errno;

use super::{Dir, effect, host_error};
use crate::protocol::error::HostError;

/// What makes an object the same as before, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Of an open object.
    pub(crate) fn of(handle: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstat(handle).map(|stat| Self::from_stat(&stat))
    }

    pub(super) fn from_stat(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

impl Dir {
    /// Another handle of the same directory, whatever is under its name by now.
    pub(crate) fn again(&self) -> Result<Self, HostError> {
        let failed = |error: std::io::Error| HostError::Refused {
            path: self.path.clone(),
            reason: error.kind().to_string(),
        };
        let handle = self.handle.try_clone().map_err(failed)?;
        Ok(Self { handle, path: self.path.clone(), guard: self.guard })
    }

    /// The directory itself.
    pub(crate) fn own_identity(&self) -> Result<Identity, HostError> {
        Identity::of(&self.handle).map_err(|error| host_error(self.path.clone(), error))
    }

    /// What is under a name, a link itself and not what it leads to; none where it is free.
    pub(crate) fn identity(&self, name: &str) -> Result<Option<Identity>, HostError> {
        Ok(self.stat(name)?.map(|stat| Identity::from_stat(&stat)))
    }

    /// Refuses to go on where something else has come under a name.
    pub(crate) fn check_is(&self, name: &str, known: Option<&Identity>) -> Result<(), HostError> {
        if self.identity(name)?.as_ref() == known {
            return Ok(());
        }
        Err(HostError::Changed { path: self.path_of(name) })
    }

    /// Gives an object a name that is free. Whatever takes the name in between stays.
    pub(crate) fn rename_to_free(&self, from: &str, to: &str) -> Result<(), HostError> {
        match effect(|| self.rename_exclusively(from, to)) {
            Err(Errno::EXIST) => Err(HostError::Changed { path: self.path_of(to) }),
            other => other.map_err(|error| host_error(self.path_of(to), error)),
        }
    }

    pub(super) fn rename_exclusively(&self, from: &str, to: &str) -> Result<(), Errno> {
        use rustix::fs::RenameFlags;
        match rustix::fs::renameat_with(&self.handle, from, &self.handle, to, RenameFlags::NOREPLACE) {
            // The kernel or the file system has no such rename.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) if self.is_free(to) => {
                rustix::fs::renameat(&self.handle, from, &self.handle, to)
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Err(Errno::EXIST),
            other => other,
        }
    }
}
