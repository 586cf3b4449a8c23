//! Every fault that a person makes in a cluster is told as the golden text beside it says.
//!
//! A folder of `tests/scenarios` is one scenario: `change.sh` makes the fault in a fresh cluster with real commands, `spec.yaml` replaces the
//! shared spec where one is needed, and `findings.txt` is what the report then says. `UPDATE=1` rewrites these texts; an engineer on call acts
//! on them, so read the difference before it is committed.
#![expect(
    clippy::disallowed_methods,
    reason = "scenarios are folders, and their faults are made by programs"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cluster::{Cluster, ROOT, Report, golden, left_out};

/// Scenarios at the same time.
const AT_ONCE: usize = 4;

/// Scenarios in which files change hands, which only root can do.
const ROOT_ONLY: [&str; 1] = ["other-owner"];

#[test]
fn every_scenario_is_told_as_its_golden_text_says() {
    let scenarios = folders(&Path::new(ROOT).join("tests/scenarios"));
    assert!(scenarios.len() >= 45, "only {} scenarios", scenarios.len());
    let ours = digests(&Cluster::unpack().report());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        while let Some(folder) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            failures.extend(run(folder, &ours).err());
        }
        failures
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{} scenarios differ\n{}", failures.len(), failures.join("\n"));
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn run(folder: &Path, ours: &BTreeSet<String>) -> Result<(), String> {
    let name = folder.file_name().unwrap().to_str().unwrap();
    if ROOT_ONLY.contains(&name) && !is_root() {
        left_out(name, "only root can give files away");
        return Ok(());
    }
    let cluster = Cluster::unpack();
    let own_spec = folder.join("spec.yaml");
    if own_spec.exists() {
        std::fs::copy(own_spec, cluster.path().join("spec.yaml")).unwrap();
    }
    let change = Command::new("bash")
        .arg("-c")
        .arg("set -euo pipefail; source \"$1\"; source \"$2\"")
        .arg(name)
        .arg(folder.parent().unwrap().join("lib.sh"))
        .arg(folder.join("change.sh"))
        .current_dir(cluster.path())
        .output()
        .unwrap();
    if !change.status.success() {
        return Err(format!("{name}: change.sh failed\n{}", String::from_utf8_lossy(&change.stderr)));
    }
    let text = cluster.report().text().replace(cluster.path().to_str().unwrap(), "<folder>");
    golden(&folder.join("findings.txt"), &normalised(findings(&text), ours))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

/// The part of the report below its tables.
fn findings(text: &str) -> &str {
    let start = text.find("\nFindings\n").or_else(|| text.find("\nStatus: ")).unwrap();
    text.split_at(start).1.trim_start()
}

/// The short digests of everything that the untouched cluster holds: they are the same in every run.
fn digests(report: &Report) -> BTreeSet<String> {
    let leaves = report.status.certificates.iter().map(|status| &status.certificate);
    let authorities = report.status.certificate_authorities.iter().map(|status| &status.certificate);
    let fields = leaves.chain(authorities).flatten();
    fields.flat_map(|fields| [fields.fingerprint.short(), fields.spki.short()]).collect()
}

/// The text with digests that are others in every run replaced by numbers, in their order.
fn normalised(text: &str, ours: &BTreeSet<String>) -> String {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut out = String::new();
    let mut word = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() {
            word.push(character);
            continue;
        }
        let is_digest = word.len() == 8
            && word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if is_digest && !ours.contains(&word) {
            let number = names.len() + 1;
            out.push_str(names.entry(word.clone()).or_insert_with(|| format!("<digest-{number}>")));
        } else {
            out.push_str(&word);
        }
        word.clear();
        out.push(character);
    }
    out.pop();
    out
}
