#![expect(
    clippy::disallowed_methods,
    reason = "reads and writes the files that were named on the command line"
)]
//! Files that commands write and read again: plans, facts and reports.
//!
//! What enters is finished text and a path as typed. A file is there as a whole or not at all: it is written beside its place and then takes it. Plans and facts
//! show how a cluster is laid out, so they are for their owner alone; reports are made to be shown.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use pki::diagnostic::{self, quoted};
use pki::files::named;
use pki::plan::SavedPlan;
use pki::protocol::file::{MAX_BYTES, SavedError};
use pki::types::format::with_causes;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use super::{Exit, terminal};

/// The mode of plans and facts.
pub(super) const PRIVATE: u32 = 0o600;

/// Letters of a temporary name; each is one of 62, so that together they are more than 64 random bits.
const RANDOM_LETTERS: usize = 12;

/// The mode of what is made to be shown, such as reports, requests and specs.
pub(super) const SHOWN: u32 = 0o644;

/// Writes a file with these permission bits.
///
/// # Errors
/// The exit code, after it was told.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Exit> {
    Target::open(path)?.write(text, mode)
}

/// A place that a result goes to, open before the result is known. What is there stays as it is until the result is whole.
pub(super) struct Target {
    path: PathBuf,
    open: Open,
}

enum Open {
    /// Something that takes what is written as it comes: a stream of this process, or a pipe.
    Stream(File),
    /// A new file beside the place, which takes it when it is whole.
    Beside(NamedTempFile),
}

impl Target {
    /// Opens a place. A link is never followed at its last name: one that leads to a file is replaced, and any other is refused, because it leads to what
    /// nobody named.
    ///
    /// # Errors
    /// The exit code, after it was told.
    pub(super) fn open(path: &Path) -> Result<Self, Exit> {
        match Open::at(path) {
            Ok(open) => Ok(Self { path: path.to_owned(), open }),
            Err(error) => Err(unwritable(path, &error)),
        }
    }

    /// Writes the result, with these permission bits where it is a file.
    ///
    /// # Errors
    /// The exit code, after it was told.
    pub(super) fn write(self, text: &str, mode: u32) -> Result<(), Exit> {
        let Self { path, open } = self;
        open.write(&path, text.as_bytes(), mode).map_err(|error| unwritable(&path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Exit {
    terminal::tell(&format!("error: cannot write {}: {error}\n", shown(path)));
    Exit::Internal
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        if is_own_stream(path) {
            return Ok(Self::Stream(File::options().append(true).open(path)?));
        }
        let found = match fs::symlink_metadata(path) {
            Ok(found) => Some(found.file_type()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        match found {
            None => Self::beside(path),
            Some(kind) if kind.is_file() => Self::beside(path),
            Some(kind) if kind.is_symlink() => {
                if fs::metadata(path).is_ok_and(|end| end.is_file()) {
                    return Self::beside(path);
                }
                let end = fs::read_link(path)?;
                let end = shown(&end);
                Err(io::Error::other(format!("it is a link to {end}, which is not a file; name that itself")))
            }
            Some(kind) if kind.is_fifo() => {
                // Should something else have taken the name since, it is not followed and not written to.
                let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
                let pipe = File::options().write(true).custom_flags(no_follow).open(path)?;
                if pipe.metadata()?.file_type().is_fifo() {
                    return Ok(Self::Stream(pipe));
                }
                Err(io::Error::other("it was changed while it was opened"))
            }
            Some(kind) if kind.is_dir() => Err(io::Error::from(io::ErrorKind::IsADirectory)),
            Some(_) => Err(io::Error::other("it is a device or a socket, and not a file")),
        }
    }

    fn beside(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = tempfile::Builder::new().prefix(".pki-").rand_bytes(RANDOM_LETTERS).tempfile_in(folder)?;
        Ok(Self::Beside(file))
    }

    fn write(self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        match self {
            Self::Stream(mut stream) => stream.write_all(bytes),
            Self::Beside(mut file) => {
                file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
                file.write_all(bytes)?;
                file.as_file().sync_all()?;
                file.persist(path)?;
                Ok(())
            }
        }
    }
}

/// A stream of this process, by the name that the system has for it. Nothing else below `/dev` is written to.
fn is_own_stream(path: &Path) -> bool {
    let Some(name) = path.to_str() else { return false };
    let number = name.strip_prefix("/dev/fd/");
    matches!(name, "/dev/stdout" | "/dev/stderr" | "/dev/null")
        || number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a result could be written to a path, found out before there is one: nothing that is there changes.
///
/// # Errors
/// The exit code, after it was told.
pub(super) fn can_write(path: &Path) -> Result<(), Exit> {
    // Whoever reads a pipe would take the end of this look for the end of the result.
    if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        return Ok(());
    }
    Target::open(path).map(|_| ())
}

/// Removes an older file from where a new one will be written or not.
///
/// # Errors
/// The exit code, after it was told.
pub(super) fn remove_older(path: &Path) -> Result<(), Exit> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(not_removed(path, &error)),
    };
    // What is no file, such as /dev/stdout, keeps nothing.
    // A link that leads to no file is refused when it is to be written.
    let leads_to_file = || fs::metadata(path).is_ok_and(|end| end.is_file());
    if !(found.is_file() || found.is_symlink() && leads_to_file()) || path.starts_with("/dev") {
        return Ok(());
    }
    fs::remove_file(path).map_err(|error| not_removed(path, &error))
}

fn not_removed(path: &Path, error: &io::Error) -> Exit {
    terminal::tell(&format!("error: cannot remove the older {}: {error}\n", shown(path)));
    Exit::Internal
}

/// Reads a saved plan. Nothing of one that was changed is told.
///
/// # Errors
/// The exit code, after it was told.
pub(super) fn read_plan(path: &Path) -> Result<(SavedPlan, Vec<u8>), Exit> {
    let bytes = whole(path)?;
    let plan = SavedPlan::read(&bytes).map_err(|error| refused(path, &error))?;
    Ok((plan, bytes))
}

/// Reads facts.
///
/// # Errors
/// The exit code, after it was told.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<(T, Vec<u8>), Exit> {
    let bytes = whole(path)?;
    let value = pki::protocol::file::from_text(&bytes).map_err(|error| refused(path, &error))?;
    Ok((value, bytes))
}

fn whole(path: &Path) -> Result<Vec<u8>, Exit> {
    bytes(path).map_err(|error| {
        terminal::tell(&format!("error: cannot read {}: {error}\n", shown(path)));
        Exit::Internal
    })
}

fn refused(path: &Path, error: &SavedError) -> Exit {
    terminal::tell(&format!("error: {}: {}\n", shown(path), with_causes(error)));
    match error {
        SavedError::Unreadable(_) => Exit::InvalidSpec,
        SavedError::Format { .. } => Exit::Stale,
        SavedError::Changed => {
            terminal::tell("  help: make a new plan with `pki plan -o`. Nothing was touched.\n");
            Exit::Stale
        }
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(named::named(path)?) };
    source.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

/// A path, safe to show.
pub(super) fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A path as a shell takes it.
pub(super) fn pasted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-+:@%=,".contains(&byte);
    if !path.is_empty() && path.bytes().all(is_plain) { path } else { diagnostic::pasted(&path) }
}
