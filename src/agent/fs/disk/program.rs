//! A program that is kept beside the data of a transaction.
//!
//! What enters is the path of a program; what leaves is a private copy of it that can be run. It is copied piece by piece, since a program may be large,
//! and not at all where the same one lies there already.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use super::{Dir, host_error, staged_name};
use crate::protocol::error::HostError;

const PRIVATE: u32 = 0o700;
/// What systemd expects of a unit: it complains of one that only root may read.
const PUBLIC: u32 = 0o644;
const PIECE: usize = 1024 * 1024;

impl Dir {
    /// Makes `name` a copy of a program, for its owner alone, on the disk itself.
    pub(crate) fn hold_program(&self, name: &str, program: &Path) -> Result<(), HostError> {
        let mounted =
            rustix::fs::fstatvfs(&self.handle).map_err(|error| host_error(self.path.clone(), error))?;
        if mounted.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            let reason = "no program can be run from this file system: it is mounted noexec".to_owned();
            return Err(HostError::Refused { path: self.path.clone(), reason });
        }
        let of_program = |error| host_error(program.display().to_string(), error);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let source = rustix::fs::open(program, flags, Mode::empty()).map_err(of_program)?;
        if self.is_copy(name, &source).map_err(of_program)? {
            return Ok(());
        }
        let source = rustix::fs::open(program, flags, Mode::empty()).map_err(of_program)?;
        self.replace(name, PRIVATE, |staged, copy| {
            let mut piece = vec![0; PIECE];
            loop {
                let read = fill(&source, &mut piece).map_err(of_program)?;
                if read == 0 {
                    return Ok(());
                }
                self.append(copy, staged, piece.get(..read).unwrap_or_default())?;
            }
        })
    }

    /// Replaces a file that all may read in one step.
    pub(crate) fn write_public(&self, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        self.replace(name, PUBLIC, |staged, file| self.append(file, staged, bytes))
    }

    fn replace(
        &self,
        name: &str,
        mode: u32,
        write: impl FnOnce(&str, &OwnedFd) -> Result<(), HostError>,
    ) -> Result<(), HostError> {
        let staged = staged_name(name);
        self.remove_file(&staged)?;
        let file = self.create(&staged)?;
        write(&staged, &file)?;
        self.effect(&staged, || rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)))?;
        self.sync_file(&file, &staged)?;
        // A program that is open for writing cannot be run.
        drop(file);
        self.rename(&staged, name)?;
        self.sync()
    }

    /// Whether the very same bytes lie there and can be run.
    fn is_copy(&self, name: &str, source: &OwnedFd) -> Result<bool, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(copy) = rustix::fs::openat(&self.handle, name, flags, Mode::empty()) else { return Ok(false) };
        let (stat, wanted) = (rustix::fs::fstat(&copy)?, rustix::fs::fstat(source)?);
        if stat.st_mode & 0o7777 != PRIVATE || stat.st_size != wanted.st_size {
            return Ok(false);
        }
        let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
        loop {
            let (read, held) = (fill(source, &mut ours)?, fill(&copy, &mut theirs)?);
            if ours.get(..read) != theirs.get(..held) {
                return Ok(false);
            }
            if read == 0 {
                return Ok(true);
            }
        }
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(file, rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
