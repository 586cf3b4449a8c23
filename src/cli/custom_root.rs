//! The files of custom root CAs, as commands need them: certificates whenever a spec is read, keys once a plan was approved.

use std::path::{Path, PathBuf};

use pki::apply::root_files;
use pki::apply::root_files::{Keys, RootProblem};
use pki::diagnostic::{escaped, quoted};
use pki::simulate::Plan;
use pki::spec::custom_root::RootKeys;

use super::input::STDIN;
use super::{Exit, terminal};

/// The folder from which relative paths of a spec count; none for a spec from standard input.
pub(super) fn folder(file: &str) -> Option<PathBuf> {
    (file != STDIN).then(|| Path::new(file).parent().unwrap_or(Path::new("")).to_owned())
}

/// The keys of the roots that a plan installs, read before any node is touched. Relative paths count from the folder of the spec that was given, whatever a
/// saved plan says of it.
///
/// # Errors
/// The exit code, after everything that is wrong with the files was told.
pub(super) fn keys(plan: &Plan, spec: &str) -> Result<RootKeys, Exit> {
    match root_files::keys(plan, folder(spec).as_deref()) {
        Ok(Keys { keys, open }) => {
            for (path, mode) in open {
                terminal::tell(&format!(
                    "warning: {} has mode {mode:04o}: others than its owner may use the key of a root CA\n  help: chmod 0600 {}\n",
                    quoted(&path),
                    escaped(&path)
                ));
            }
            Ok(keys)
        }
        Err(errors) => {
            for error in &errors {
                terminal::tell(&format!("error: {error}\n  help: {}\n", error.problem.help()));
            }
            terminal::tell("Nothing was touched.\n");
            Err(errors.iter().map(|error| exit(&error.problem)).max().unwrap_or(Exit::Internal))
        }
    }
}

fn exit(problem: &RootProblem) -> Exit {
    match problem {
        RootProblem::Unread(_) => Exit::Internal,
        RootProblem::Key(_) => Exit::Blocked,
        RootProblem::Changed => Exit::Stale,
    }
}
