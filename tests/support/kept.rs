//! What is dear to make and the same for many tests: made once into a folder of `target/tmp`, also by test processes that run at the same time, and
//! copied from there. It never checks what lies there: the digest in its name says of what it was made.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use pki::x509::Sha256;

/// The folder `name` made of `parts`, which is made unless it is there.
pub(crate) fn kept(
    name: &str,
    parts: &[u8],
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&parent).unwrap();
    let lock = File::create(parent.join("lock")).unwrap();
    lock.lock().unwrap();
    let kept = parent.join(Sha256::of(parts).short());
    if kept.exists() {
        return Ok(kept);
    }
    // What it was made of before is another one.
    for old in std::fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().path()) {
        if old.is_dir() {
            std::fs::remove_dir_all(old).unwrap();
        }
    }
    // A run that is killed here leaves nothing under the name.
    let fresh = tempfile::tempdir_in(&parent).unwrap();
    make(fresh.path())?;
    std::fs::rename(fresh.keep(), &kept).unwrap();
    Ok(kept)
}

/// Everything in a folder, as it is there.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status();
    assert!(copied.unwrap().success(), "{}", from.display());
}
