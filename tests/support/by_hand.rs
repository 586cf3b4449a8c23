//! What a person does with a shell: commands, and what the scenarios share, in a folder. They must end well.
#![expect(clippy::disallowed_methods, reason = "the tests change real files")]

use std::path::Path;
use std::process::Command;

/// Runs commands in a folder, with the functions of `tests/scenarios/lib.sh`.
#[track_caller]
pub(crate) fn by_hand(folder: &Path, commands: &str) {
    let library = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/lib.sh");
    let mut bash = Command::new("bash");
    bash.args(["-c", "set -euo pipefail; source \"$0\"; eval \"$1\"", library, commands]);
    let output = bash.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
