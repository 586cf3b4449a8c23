//! Files too large to be held in memory: how much room there is for one, its end, and its name.
//!
//! What enters is names; what leaves is numbers and a few bytes. Nothing is changed here.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Dir, host_error};
use crate::protocol::error::HostError;

impl Dir {
    /// How many bytes may still be written to this file system by whoever serves the node.
    pub(crate) fn free_bytes(&self) -> Result<u64, HostError> {
        let found =
            rustix::fs::fstatvfs(&self.handle).map_err(|error| host_error(self.path.clone(), error))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// The length of a regular file and its last bytes; none where it is shorter, or no file.
    pub(crate) fn end_of<const N: usize>(&self, name: &str) -> Result<Option<(u64, [u8; N])>, HostError> {
        let failed = |error| host_error(self.path_of(name), error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::empty()).map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let length = u64::try_from(stat.st_size).unwrap_or_default();
        let end = u64::try_from(N).unwrap_or(u64::MAX);
        let Some(mut offset) = length.checked_sub(end) else { return Ok(None) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let mut bytes = [0; N];
        let mut rest: &mut [u8] = &mut bytes;
        while !rest.is_empty() {
            match rustix::io::pread(&file, &mut *rest, offset) {
                Ok(0) => return Ok(None),
                Ok(read) => {
                    offset = offset.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
                    rest = rest.split_at_mut_checked(read).map_or(&mut [], |(_, rest)| rest);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Some((length, bytes)))
    }
}
