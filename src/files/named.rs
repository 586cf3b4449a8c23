#![expect(clippy::disallowed_methods, reason = "opens the files that were named on the command line")]
//! Files that were named on the machine that runs `pki`, opened so that nothing waits and nothing but a file is read.
//!
//! What enters is a path as typed, or a name in a folder; what leaves is an open file, or why there is none. A pipe is read only where its name says that it
//! is one of this process's own: whoever may put a FIFO into a checkout must not be able to stop a run. A path of a checkout must end in it: git keeps
//! links, so a link there is the word of whoever wrote the checkout.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Component, Path};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Opens a file that was named. Links are followed: whoever named it chose it.
///
/// # Errors
/// The system's, or that it is no file.
pub fn named(path: &Path) -> io::Result<File> {
    if is_own_input(path) {
        return File::open(path);
    }
    // Opening a device can do something to it, so it is looked at first, and again once it is open.
    refuse_others(&std::fs::metadata(path)?)?;
    let file = File::from(rustix::fs::open(path, FLAGS, Mode::empty())?);
    refuse_others(&file.metadata()?)?;
    Ok(file)
}

/// Opens a spec that was named. One below the working directory must end below it too.
///
/// # Errors
/// The system's, or that it is no file, or leads elsewhere.
pub fn spec(path: &Path) -> io::Result<File> {
    if is_own_input(path) {
        return File::open(path);
    }
    let here = std::env::current_dir().unwrap_or_default();
    let name = if path.is_absolute() { path.strip_prefix(&here).ok() } else { Some(path) };
    match name.filter(|name| stays_below(name)) {
        Some(name) => below(Path::new("."), name).map_err(|error| in_words(error, "the working directory")),
        None => named(path),
    }
}

/// Opens a file in a folder, if it ends below that folder. Links are followed as far as that.
///
/// # Errors
/// The system's, or that it is no file, or leads elsewhere.
pub fn in_folder(folder: &Path, name: &Path) -> io::Result<File> {
    below(folder, name).map_err(|error| in_words(error, "its folder"))
}

/// Opens a file that a spec names: a relative path counts from the spec's folder and must end below it.
///
/// # Errors
/// The system's, or that it is no file, or leads elsewhere.
pub fn of_spec(folder: &Path, path: &Path) -> io::Result<File> {
    if path.is_absolute() {
        return named(path);
    }
    below(folder, path).map_err(|error| in_words(error, "the spec's folder"))
}

/// Whether an error says that a path leads out of where it must stay.
pub fn leads_out(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::XDEV.raw_os_error())
        || error.get_ref().is_some_and(|of| of.is::<Out>())
}

/// A path leads out of where it must stay.
#[derive(Debug, thiserror::Error)]
#[error("it leads out of {0}, and only what lies below that is read; write its absolute path")]
struct Out(&'static str);

fn in_words(error: io::Error, folder: &'static str) -> io::Error {
    if leads_out(&error) { io::Error::other(Out(folder)) } else { error }
}

fn below(folder: &Path, name: &Path) -> io::Result<File> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = rustix::fs::openat(CWD, folder, flags, Mode::empty())?;
    // `/proc/self/root` is a directory to every other check.
    let within = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
    // First without permission to read, so that nothing happens to a device.
    let found = rustix::fs::openat2(&here, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), within)?;
    refuse_others(&File::from(found).metadata()?)?;
    let file = File::from(rustix::fs::openat2(&here, name, FLAGS, Mode::empty(), within)?);
    refuse_others(&file.metadata()?)?;
    Ok(file)
}

/// Whether a path cannot leave its folder by its own names.
fn stays_below(name: &Path) -> bool {
    let mut depth = 0_usize;
    name.components().all(|part| match part {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir => match depth.checked_sub(1) {
            Some(less) => {
                depth = less;
                true
            }
            None => false,
        },
        Component::RootDir | Component::Prefix(_) => false,
    })
}

fn refuse_others(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    let what = if kind.is_fifo() { "a pipe; one is read as `-` or /dev/stdin" } else { "no regular file" };
    Err(io::Error::other(format!("it is {what}")))
}

/// The names under which the system has this process's own input.
fn is_own_input(path: &Path) -> bool {
    let Some(name) = path.to_str() else { return false };
    let number = name.strip_prefix("/dev/fd/");
    name == "/dev/stdin"
        || number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}
