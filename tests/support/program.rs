//! The program as a process: arguments go in; the exit code and what it printed come out.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A call of the program with an empty environment.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pki"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn pki(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// A text without its line breaks, in which what is long goes on.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
