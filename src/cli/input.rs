#![expect(clippy::disallowed_methods, reason = "reads the specs that were named on the command line")]
//! The specs that were named on the command line: files, folders, `-` for standard input.
//!
//! What enters are paths as typed; what leaves are texts, and a problem for each path that gave none. Never more than one file's limit is read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pki::apply::root_files;
use pki::diagnostic;
use pki::diagnostic::Source;
use pki::diagnostic::{Code, Diagnostic, RenderStyle, Severity};
use pki::files::named;
use pki::profile::Profile;
use pki::spec;
use pki::spec::custom_root::CertificateFile;
use pki::spec::{ReadOptions, Reading};
use pki::types::profile_name::ProfileName;

use super::terminal::Style;
use super::{Exit, clusters, custom_root, untrusted};

/// One more byte than a spec may have, so that a larger file is noticed and never held in memory.
const READ_LIMIT: u64 = 1024 * 1024 + 1;

/// What messages call standard input.
pub(super) const STDIN: &str = "stdin";

/// The options that name specs.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SpecArguments {
    /// A spec, a folder of specs, or `-` for standard input; may be given several times
    #[arg(short, long = "file", value_name = "PATH", id = "files")]
    pub(super) files: Vec<PathBuf>,
    /// Pass over documents of other kinds, as in the output of `kustomize build`
    #[arg(long)]
    pub(super) ignore_other_kinds: bool,
    /// Of the files that a spec names, only those below its own folder are read.
    #[arg(skip)]
    pub(super) only_below: bool,
}

impl SpecArguments {
    /// Whether a spec was named at all.
    ///
    /// # Errors
    /// The exit code, after it was told how `command` is typed.
    pub(super) fn named(&self, command: &str) -> Result<(), Exit> {
        if self.files.is_empty() { Err(clusters::no_spec(command)) } else { Ok(()) }
    }
}

/// What was read.
pub(super) struct Input {
    /// The texts, for showing places in them.
    pub(super) sources: Vec<Source>,
    /// The specs and their problems.
    pub(super) reading: Reading,
}

impl Input {
    /// Whether anything is wrong that forbids going on.
    pub(super) fn has_errors(&self) -> bool {
        diagnostic::has_errors(&self.reading.problems)
    }

    /// How many problems forbid going on.
    pub(super) fn errors(&self) -> usize {
        self.reading.problems.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// Every problem as text, ending with a summary; empty when there is none.
    pub(super) fn report(&self, style: Style) -> String {
        let style = RenderStyle { color: style.color, unicode: style.unicode, width: style.width };
        diagnostic::render(&self.reading.problems, &self.sources, style)
    }
}

/// Reads everything that the arguments name.
///
/// # Errors
/// Only if the program was built with a broken profile.
pub(super) fn read(arguments: &SpecArguments, now: Timestamp) -> Result<Input, pki::profile::ProfileError> {
    let mut known = BTreeMap::new();
    for name in ProfileName::ALL {
        known.insert(name, Profile::load(name)?.known_names());
    }
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    for path in &arguments.files {
        match files_of(path) {
            Ok(files) => {
                for file in files {
                    match source(&file) {
                        Ok(source) => sources.push(source),
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    let certificate_file = |spec: &str, path: &str| {
        let folder = custom_root::folder(spec);
        if arguments.only_below && !untrusted::is_below(folder.as_deref(), path) {
            let reason = "is not read with --untrusted: it does not lie below the spec's folder".to_owned();
            return CertificateFile::Unusable { reason };
        }
        root_files::certificate(folder.as_deref(), path)
    };
    let options = ReadOptions {
        now,
        ignore_other_kinds: arguments.ignore_other_kinds,
        known: &known,
        certificate_file: &certificate_file,
    };
    // With nothing readable, that there is no spec in it need not be said as well.
    let mut reading = if sources.is_empty() { Reading::default() } else { spec::read(&sources, &options) };
    reading.problems.extend(problems);
    diagnostic::sort(&mut reading.problems);
    Ok(Input { sources, reading })
}

/// A spec that was named, or found in a folder that was.
struct Found {
    path: PathBuf,
    folder: Option<PathBuf>,
}

/// The files that a path stands for: itself, or the YAML files of a folder in the order of their names.
fn files_of(path: &Path) -> Result<Vec<Found>, Diagnostic> {
    let itself = || Ok(vec![Found { path: path.to_owned(), folder: None }]);
    if path == Path::new("-") {
        return itself();
    }
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    if !metadata.is_dir() {
        return itself();
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| unreadable(path, &error))? {
        let entry = entry.map_err(|error| unreadable(path, &error))?.path();
        let is_yaml = entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        // What is named like a spec and cannot be read as one is said, except for a folder in the folder.
        if is_yaml && !entry.is_dir() {
            files.push(Found { path: entry, folder: Some(path.to_owned()) });
        }
    }
    files.sort_by(|one, other| one.path.cmp(&other.path));
    if files.is_empty() {
        let message = format!("the folder {} has no file named *.yaml or *.yml", shown(path));
        return Err(
            Diagnostic::new(Code::Unreadable, message).help("name the file itself, or another folder")
        );
    }
    Ok(files)
}

fn source(Found { path, folder }: &Found) -> Result<Source, Diagnostic> {
    let mut bytes = Vec::new();
    let (name, result) = if path == Path::new("-") {
        (STDIN.to_owned(), io::stdin().lock().take(READ_LIMIT).read_to_end(&mut bytes))
    } else {
        let opened = match (folder, path.file_name()) {
            (Some(folder), Some(name)) => named::in_folder(folder, Path::new(name)),
            (Some(_) | None, _) => named::spec(path),
        };
        let read = opened.and_then(|file| {
            // A size that is known to be too large is told without reading a byte.
            let length = file.metadata()?.len();
            if length >= READ_LIMIT {
                bytes.resize(usize::try_from(READ_LIMIT).unwrap_or(usize::MAX), b' ');
                return Ok(bytes.len());
            }
            file.take(READ_LIMIT).read_to_end(&mut bytes)
        });
        // A file of this name is not to be taken for standard input.
        let name = path.display().to_string();
        (if name == STDIN { format!("./{name}") } else { name }, read)
    };
    result.map_err(|error| unreadable(path, &error))?;
    Source::from_bytes(name, bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(Code::Unreadable, format!("cannot read {}: {error}", shown(path)))
        .help("check the path and its permissions")
}

fn shown(path: &Path) -> String {
    diagnostic::quoted(&path.display().to_string())
}
