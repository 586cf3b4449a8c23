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
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pki::diagnostic::{escaped, quoted};
use pki::plan::SavedPlan;
use pki::saved::{MAX_BYTES, SavedError};
use serde::de::DeserializeOwned;

use super::{Exit, chain, output};

/// The mode of plans and facts.
pub(super) const PRIVATE: u32 = 0o600;

/// The mode of what is made to be shown, such as reports, requests and specs.
pub(super) const SHOWN: u32 = 0o644;

/// Writes a file with these permission bits.
///
/// # Errors
/// The exit code, after it was told.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Exit> {
    replace(path, text.as_bytes(), mode).map_err(|error| {
        output::tell(&format!("error: cannot write {}: {error}\n", shown(path)));
        Exit::Internal
    })
}

fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // What is no file, such as /dev/stdout, has nothing in its place that could be half.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let mut file = tempfile::Builder::new().prefix(".pki-").tempfile_in(folder)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
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
    if !found.is_file() && !found.is_symlink() || path.starts_with("/dev") {
        return Ok(());
    }
    fs::remove_file(path).map_err(|error| not_removed(path, &error))
}

fn not_removed(path: &Path, error: &io::Error) -> Exit {
    output::tell(&format!("error: cannot remove the older {}: {error}\n", shown(path)));
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
    let value = pki::saved::from_text(&bytes).map_err(|error| refused(path, &error))?;
    Ok((value, bytes))
}

fn whole(path: &Path) -> Result<Vec<u8>, Exit> {
    bytes(path).map_err(|error| {
        output::tell(&format!("error: cannot read {}: {error}\n", shown(path)));
        Exit::Internal
    })
}

fn refused(path: &Path, error: &SavedError) -> Exit {
    output::tell(&format!("error: {}: {}\n", shown(path), chain(error)));
    match error {
        SavedError::Unreadable(_) => Exit::InvalidSpec,
        SavedError::Format { .. } => Exit::Stale,
        SavedError::Changed => {
            output::tell("  help: make a new plan with `pki plan -o`. Nothing was touched.\n");
            Exit::Stale
        }
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(File::open(path)?) };
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
    if !path.is_empty() && path.bytes().all(is_plain) {
        path
    } else {
        format!("'{}'", escaped(&path).replace('\'', "'\\''"))
    }
}
