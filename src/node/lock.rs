//! The lock that keeps a second run away from a node.
//!
//! What enters is a run's name; what leaves is the lock, or who holds it. It is an advisory lock of the kernel (`flock`): it ends with the process that
//! holds it, so a dead one leaves none. The file stays, because removing it would let two processes lock two files of one name.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::confined::{Tree, TreeError};
use super::disk::{Dir, Fuse, host_error};
use super::error::{Holder, HostError};

const DIRECTORY: &str = "/run";
const PATH: &str = "/run/pki.lock";

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: OwnedFd,
}

impl Lock {
    /// Takes the lock of a node, without waiting.
    pub(super) fn take(tree: &Tree, run: &str, fuse: &Fuse) -> Result<Self, HostError> {
        let place = match tree.open_parent(PATH) {
            Err(TreeError::NoParent { .. }) => {
                let root = tree.open_parent(DIRECTORY).map_err(unreachable)?;
                Dir::of(&root, fuse)?.make_directory("run", 0o755)?;
                tree.open_parent(PATH).map_err(unreachable)?
            }
            other => other.map_err(unreachable)?,
        };
        let failed = |error| host_error(PATH.to_owned(), error);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(place.directory.as_fd(), "pki.lock", flags, Mode::from_raw_mode(0o600))
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(HostError::Locked { holder: holder(file) }),
            Err(error) => return Err(failed(error)),
        }
        let holder = Holder { pid: std::process::id(), run: run.to_owned() };
        // Who holds it is told for people; the lock itself does not depend on it, nor on room on the disk.
        let text = serde_json::to_vec(&holder).unwrap_or_default();
        if rustix::fs::ftruncate(&file, 0).is_ok() {
            let _told = rustix::io::write(&file, &text);
        }
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _emptied = rustix::fs::ftruncate(&self.file, 0);
    }
}

fn holder(file: OwnedFd) -> Option<Holder> {
    serde_json::from_reader(std::io::Read::take(File::from(file), 4096)).ok()
}

fn unreachable(error: TreeError) -> HostError {
    HostError::Path { path: PATH.to_owned(), reason: error.to_string() }
}
