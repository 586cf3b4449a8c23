//! No image of this process's memory is left behind: it may hold private keys.
//!
//! What enters is nothing; what leaves is a process of which the kernel writes no core file and which no other process of the same user may look into. A
//! limit alone is not enough: the kernel heeds it only for files, and not where a program takes the image, as with systemd-coredump and apport (core(5)).
//! What is started by this process is as it would have been without it.

use std::process::{Child, Command};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// The limit that was there before.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();
/// While a program is started, the limit is the one of before: one program at a time.
static STARTING: Mutex<()> = Mutex::new(());

/// Forbids core files and looks into the memory of this process, from here on.
///
/// # Errors
/// When the kernel does not allow it. Then no key may be touched.
pub fn forbid() -> std::io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let before = BEFORE.get_or_init(|| rustix::process::getrlimit(Resource::Core));
    limit(&Rlimit { current: Some(0), maximum: before.maximum })
}

/// Starts a program with the limit that was there before.
pub(crate) fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let Some(before) = BEFORE.get() else { return command.spawn() };
    let _one_at_a_time = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    // This process stays closed to dumps meanwhile: the limit is only the second lock on that door.
    limit(before)?;
    let child = command.spawn();
    limit(&Rlimit { current: Some(0), maximum: before.maximum })?;
    child
}

fn limit(limit: &Rlimit) -> std::io::Result<()> {
    Ok(rustix::process::setrlimit(Resource::Core, *limit)?)
}
