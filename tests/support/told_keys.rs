//! Where a private key of a tree is told: in an output, in the journals and manifests that nodes keep, or in what people pass on. The keys are looked for in
//! all the forms of [`super::traces`].
#![expect(clippy::disallowed_methods, reason = "everything that nodes hold is read")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::traces::{LENGTH, traces};

/// Asserts that no private key below `folder` occurs in `said`, nor in any file that nodes keep of runs, besides the copies of files.
pub(crate) fn none_is_told(folder: &Path, said: &[u8]) {
    assert_eq!(told(folder, said), None);
}

/// Where a private key is told, and in which form.
pub(crate) fn told(folder: &Path, said: &[u8]) -> Option<String> {
    let files = files(folder);
    let mut needles = BTreeSet::new();
    for file in files.iter().filter(|file| !is_kept_by_pki(file) || is_copy(file)) {
        needles.extend(traces(&std::fs::read(file).unwrap()));
    }
    assert!(needles.len() >= 100, "only {} traces of keys", needles.len());
    let said = (PathBuf::from("(the output)"), said.to_vec());
    let kept = files.iter().filter(|file| is_kept_by_pki(file) && !is_copy(file) || is_passed_on(file));
    let texts: Vec<(PathBuf, Vec<u8>)> =
        kept.map(|file| (file.clone(), std::fs::read(file).unwrap())).chain([said]).collect();
    for (place, text) in texts {
        let windows: BTreeSet<&[u8]> = text.windows(LENGTH).collect();
        let found = needles.iter().find(|needle| windows.contains(needle.as_slice()));
        if let Some(found) = found {
            return Some(format!("{}: {}", place.display(), found.escape_ascii()));
        }
        let mark = b"PRIVATE KEY";
        if text.windows(mark.len()).any(|window| window == mark) {
            return Some(format!("{}: a PEM label", place.display()));
        }
    }
    None
}

fn is_kept_by_pki(file: &Path) -> bool {
    file.to_str().unwrap().contains("/var/lib/pki/") || file.ends_with("run/pki.lock")
}

/// What people pass on: requests and saved plans.
fn is_passed_on(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "csr" || extension == "json")
}

/// A copy of a file before or after a visit, or a key that waits with its request.
fn is_copy(file: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_str().unwrap().to_owned());
    file.parent()
        .and_then(name)
        .is_some_and(|parent| ["before", "after", "requests"].contains(&parent.as_str()))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files
}
