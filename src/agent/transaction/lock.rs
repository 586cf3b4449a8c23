//! The lock that keeps a second run away from a node.
//!
//! What enters is who wants it; what leaves is the lock, or who holds it. It is an advisory lock of the kernel (`flock`): it ends with the process that
//! holds it, so a dead one leaves none. The file stays, because removing it would let two processes lock two files of one name. What is
//! written in it is for people, and nothing is decided by it.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread::sleep;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::agent::fs::disk::{Dir, host_error};
use crate::files::confined::Tree;
use crate::protocol::error::HostError;
use crate::protocol::lock::{Claim, Holder, LockState};
use crate::protocol::tree_error::TreeError;

const DIRECTORY: &str = "/run";
const PATH: &str = "/run/pki.lock";
const NAME: &str = "pki.lock";

/// Most bytes that are read about one.
const READ_LIMIT: u64 = 8192;
/// How often the lock is tried while nobody says that he holds it: that may be one who only looks ([`state`]) and is gone at once.
const ATTEMPTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock, held as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: OwnedFd,
}

impl Lock {
    /// Takes the lock of a node, without waiting.
    pub(crate) fn take(tree: &Tree, claim: &Claim, now: Timestamp) -> Result<Self, HostError> {
        let place = match tree.open_parent(PATH) {
            Err(TreeError::NoParent { .. }) => {
                let root = tree.open_parent(DIRECTORY).map_err(unreachable)?;
                Dir::of(&root)?.make_directory("run", 0o755)?;
                tree.open_parent(PATH).map_err(unreachable)?
            }
            other => other.map_err(unreachable)?,
        };
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(place.directory.as_fd(), NAME, flags, Mode::from_raw_mode(0o600))
            .map_err(failed)?;
        check_own(&file)?;
        let mut attempts = 1;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {
                    let holder = holder(&file);
                    if holder.is_some() || attempts == ATTEMPTS {
                        return Err(HostError::Locked { holder: holder.map(Box::new) });
                    }
                    attempts += 1;
                    sleep(PAUSE);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        let holder = Holder { pid: std::process::id(), since: Some(now), claim: claim.shortened() };
        // Who holds it is told for people; the lock itself does not depend on it, nor on room on the disk.
        let text = serde_json::to_vec(&holder).unwrap_or_default();
        if rustix::fs::ftruncate(&file, 0).is_ok() {
            let _told = rustix::io::pwrite(&file, &text, 0);
        }
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _emptied = rustix::fs::ftruncate(&self.file, 0);
        release(&self.file);
    }
}

/// Whether the lock of a node is held, told by trying to share it for a moment. Whoever tries to take it in that very moment finds it held by
/// nobody he could name, and tries again; and the answer may be outdated when it arrives.
pub(crate) fn state(tree: &Tree) -> Result<LockState, HostError> {
    let place = match tree.open_parent(PATH) {
        Err(TreeError::NoParent { .. }) => return Ok(LockState::Free),
        other => other.map_err(unreachable)?,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(place.directory.as_fd(), NAME, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(LockState::Free),
        other => other.map_err(failed)?,
    };
    check_own(&file)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            release(&file);
            Ok(LockState::Free)
        }
        Err(Errno::WOULDBLOCK) => Ok(LockState::Held { holder: holder(&file) }),
        Err(error) => Err(failed(error)),
    }
}

/// To close the file is not enough: a program that another thread is just starting has a copy of it, and with it the lock, until its `exec`.
fn release(file: &OwnedFd) {
    let _released = rustix::fs::flock(file, FlockOperation::Unlock);
}

/// Whoever owns the file can hold its lock for ever, and what is written about a holder goes into whatever the name leads to.
fn check_own(file: &OwnedFd) -> Result<(), HostError> {
    let stat = rustix::fs::fstat(file).map_err(failed)?;
    let own = rustix::process::geteuid().as_raw();
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let reason = match (is_file, stat.st_uid == own, stat.st_nlink) {
        (true, true, 1) => return Ok(()),
        (false, _, _) => "it is not a regular file".to_owned(),
        (true, false, _) => {
            format!("it belongs to user {}, and not to user {own}, who works here", stat.st_uid)
        }
        (true, true, _) => "it has other names too".to_owned(),
    };
    let reason = format!("{reason}. Look who put it there, then remove it");
    Err(HostError::Denied { path: PATH.to_owned(), reason })
}

/// Who says in the file that he holds it. What a dead process left there is not asked for, since the lock is then free.
fn holder(file: &OwnedFd) -> Option<Holder> {
    let mut copy = File::from(file.try_clone().ok()?);
    copy.rewind().ok()?;
    let mut text = Vec::new();
    copy.take(READ_LIMIT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn failed(error: Errno) -> HostError {
    host_error(PATH.to_owned(), error)
}

fn unreachable(error: TreeError) -> HostError {
    if let TreeError::Unsafe(step) = error {
        return HostError::Unsafe { path: PATH.to_owned(), step };
    }
    HostError::Path { path: PATH.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_that_is_just_starting_has_a_copy_of_holds_no_lock() {
        let directory = tempfile::tempdir().unwrap();
        let tree = Tree::open(Some(directory.path().to_path_buf())).unwrap();
        let take = || Lock::take(&tree, &Claim::of_run("7f3a-91c2"), Timestamp::UNIX_EPOCH);
        let lock = take().unwrap();
        let _copy = lock.file.try_clone().unwrap();
        assert!(matches!(state(&tree), Ok(LockState::Held { holder: Some(_) })));
        assert!(matches!(take(), Err(HostError::Locked { holder: Some(_) })));
        drop(lock);
        assert_eq!(state(&tree), Ok(LockState::Free));
        take().unwrap();
    }
}
