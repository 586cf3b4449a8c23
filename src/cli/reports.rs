//! Further renderings of one result: `--report KIND=PATH`, so that a pipeline looks at its nodes once and writes what each of its readers wants.
//!
//! What enters is the option as typed; what leaves is a kind and a path. Which kinds there are is each command's own.

use std::path::PathBuf;

use clap::ValueEnum;
use pki::diagnostic::log_commands::in_text;

use super::{Exit, files};

/// The most bytes that a comment on a pull request of GitHub may have.
pub(super) const COMMENT_BYTES: usize = 65_536;

/// Reads `KIND=PATH`.
///
/// # Errors
/// What to write instead.
pub(super) fn report<K: ValueEnum>(text: &str) -> Result<(K, PathBuf), String> {
    let names = K::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let names: Vec<String> = names.map(|value| value.get_name().to_owned()).collect();
    let wrong = || format!("write KIND=PATH, with one of {}", names.join(", "));
    let (kind, path) = text.split_once('=').filter(|(_, path)| !path.is_empty()).ok_or_else(wrong)?;
    Ok((K::from_str(kind, false).map_err(|_| wrong())?, PathBuf::from(path)))
}

/// Whether every report can be written, before there is anything to report.
///
/// # Errors
/// The exit code, after every one that cannot was told.
pub(super) fn can_write<K>(reports: &[(K, PathBuf)]) -> Result<(), Exit> {
    let faults = reports.iter().filter_map(|(_, path)| files::can_write(path).err());
    faults.max().map_or(Ok(()), Err)
}

/// Writes each report; what is wrong with one keeps no other from being written.
pub(super) fn write<K: Copy>(reports: &[(K, PathBuf)], text: impl Fn(K) -> String) -> Exit {
    let exits =
        reports.iter().map(|(kind, path)| match files::write(path, &in_text(&text(*kind)), files::SHOWN) {
            Ok(()) => Exit::Done,
            Err(exit) => exit,
        });
    exits.max().unwrap_or(Exit::Done)
}
