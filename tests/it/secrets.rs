//! No private key leaves its file: not into what the program prints, nor into the journals and manifests that nodes keep. The keys are looked for as
//! PEM, as base64 of their DER form and of its secret part, and as hexadecimal digits.
#![expect(clippy::disallowed_methods, reason = "the tests read everything that nodes hold")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::made::{Made, Spec};

/// Bytes of a key that are looked for: so many cannot occur by chance.
pub(crate) const LENGTH: usize = 24;

/// Asserts that no private key below `folder` occurs in `said`, nor in any file that nodes keep of runs, besides the copies of files.
pub(crate) fn none_is_told(folder: &Path, said: &[u8]) {
    assert_eq!(told(folder, said), None);
}

/// Where a private key is told, and in which form.
fn told(folder: &Path, said: &[u8]) -> Option<String> {
    let files = files(folder);
    let mut needles = BTreeSet::new();
    for file in files.iter().filter(|file| !is_kept_by_pki(file) || is_copy(file)) {
        needles.extend(traces(&std::fs::read(file).unwrap()));
    }
    assert!(needles.len() >= 100, "only {} traces of keys", needles.len());
    let said = (PathBuf::from("(the output)"), said.to_vec());
    let kept = files.iter().filter(|file| is_kept_by_pki(file) && !is_copy(file));
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

/// A copy of a file before or after a visit.
fn is_copy(file: &Path) -> bool {
    let name = |path: &Path| path.file_name().map(|name| name.to_str().unwrap().to_owned());
    file.parent().and_then(name).is_some_and(|parent| parent == "before" || parent == "after")
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

/// How the keys of a file could show: each as the first bytes of a text that holds it.
pub(crate) fn traces(content: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(content);
    let mut traces = Vec::new();
    for line in text.lines() {
        if let Some(encoded) = line.trim().strip_prefix("client-key-data: ") {
            let pem = STANDARD.decode(encoded).unwrap();
            traces.push(encoded.bytes().skip(encoded.len() / 2).take(LENGTH).collect());
            traces.extend(self::traces(&pem));
        }
    }
    let mut inside = false;
    let mut body = String::new();
    for line in text.lines() {
        if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
            (inside, body) = (true, String::new());
        } else if line.starts_with("-----END") && inside {
            inside = false;
            let der = STANDARD.decode(&body).unwrap();
            traces.extend(of_der(&der));
            // As PEM: lines of 48 bytes. The rest of them is the public half, which certificates hold too.
            let secret = if der.len() < 200 { 48..49 } else { 336..500 };
            traces.extend(
                secret.step_by(48).map(|start| body.bytes().skip(start / 3 * 4).take(LENGTH).collect()),
            );
        } else if inside {
            body.push_str(line);
        }
    }
    // The beginning of every key of one kind is the same, and no secret.
    traces.retain(|trace: &Vec<u8>| trace.len() == LENGTH && !trace.starts_with(b"MI"));
    traces
}

/// The secret part of a DER form: for P-256 in PKCS #8 it begins at byte 36; of RSA keys that place lies in the modulus, so the middle is taken.
fn of_der(der: &[u8]) -> Vec<Vec<u8>> {
    let start = if der.len() < 200 { 36 } else { der.len() / 2 };
    let secret = der.get(start..start + 30).unwrap_or_default();
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let forms = [
        STANDARD.encode(secret),
        STANDARD.encode(secret.get(1..).unwrap_or_default()),
        STANDARD.encode(secret.get(2..).unwrap_or_default()),
        hexadecimal.to_uppercase(),
        hexadecimal,
    ];
    let raw = secret.iter().copied().take(LENGTH).collect();
    forms.iter().map(|form| form.bytes().take(LENGTH).collect()).chain([raw]).collect()
}

#[test]
fn a_key_that_was_told_would_be_found() {
    let made = Made::new();
    let key = std::fs::read_to_string(made.at("cp-2/etc/kubernetes/pki/apiserver.key")).unwrap();
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let line = key.lines().nth(2).unwrap().as_bytes().to_vec();
    for trace in of_der(&STANDARD.decode(body).unwrap()).into_iter().chain([line]) {
        let said = [b"key=", trace.as_slice(), b"\n"].concat();
        assert!(told(made.path(), &said).is_some(), "{}", trace.escape_ascii());
    }
    assert_eq!(told(made.path(), b"no key at all"), None);
}

#[test]
fn no_run_tells_a_key() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    made.ends(0, &["plan", "-f", "spec.yaml", "--format", "json"]);
    made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--format", "json"]);
    made.ends(0, &["snapshot", "list", "-f", "spec.yaml"]);
    made.ends(0, &["status", "-f", "spec.yaml", "--format", "json"]);
    made.no_secret_was_told();
    made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    let listed = made.ends(0, &["snapshot", "list", "-f", "spec.yaml"]);
    assert!(!listed.is_empty());
    made.no_secret_was_told();
}
