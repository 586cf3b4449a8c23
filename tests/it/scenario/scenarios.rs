//! Every fault that a person makes in a cluster is told as the golden text beside it says.
//!
//! A folder of `tests/scenarios` is one scenario: `change.sh` makes the fault in a fresh cluster with real commands, a spec of its own or
//! one that `change.sh` names replaces `spec.yaml` where one is needed, `findings.txt` is what the report then says, and `plan.txt` the plan.
//! `UPDATE=1` rewrites these texts; an engineer on call acts on them, so read the difference before it is committed. `SCENARIO=WORD` runs
//! only those with this word in their names.
#![expect(
    clippy::disallowed_methods,
    reason = "scenarios are folders, and their faults are made by programs"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use pki::output::schema::Document;
use pki::plan::Options;
use pki::plan::model::outcome::Outcome;
use pki::simulate::Plan;

use crate::contract::schema::conforms;
use crate::contract::views;
use crate::support::cluster::{
    ARCHIVE, Cluster, ROOT, golden, is_root, left_out, normalised, plan_text, unpack,
};
use crate::support::kept::kept;
use crate::support::listing::{differing, listing};

/// Scenarios at the same time.
const AT_ONCE: usize = 4;

/// Scenarios in which files change hands, which only root can do.
pub(crate) const ROOT_ONLY: [&str; 4] = [
    "other-owner",
    "ack-ca-and-peer-ca-distrusted",
    "ack-behind-link-cas-expiring",
    "plain-etcd-ca-distrusted",
];

/// Scenarios in which there is nothing that pki does, and why.
const NOTHING_TO_DO: [(&str, &str); 27] = [
    ("in-agreement", "nothing is wrong"),
    ("version-1.31", "nothing is wrong with another version"),
    ("worker", "nothing is wrong with another role"),
    ("ecdsa-ca", "another algorithm is no fault"),
    ("names-in-other-case", "names are compared as DNS does"),
    ("text-and-crlf", "text around PEM is no fault"),
    ("directory-behind-link", "a declared link is as it should be"),
    ("own-root-already-there", "the cluster runs on the root that the spec names"),
    ("external-ca", "an authority may be kept elsewhere, and nothing is due"),
    ("external-ca-declared", "the same, declared"),
    ("leaf-outlives-ca", "a leaf that ends after its CA is noted: it works until the CA ends"),
    ("leaf-refused-by-openssl", "what the programs of the cluster take is left alone"),
    ("kubelet-current", "the kubelet renews its own certificate"),
    ("kubeconfig-of-another-cluster", "what would be written would go to the current context"),
    ("ca-key-on-worker", "a key is never deleted by itself"),
    ("stray-ca", "trust is never dropped by itself"),
    ("kubeconfig-without-user", "a kubeconfig that leads nowhere is not guessed at: a person moves it away"),
    ("kubelet-current-missing", "the file belongs to the kubelet"),
    ("node-of-k3s", "the node's own program takes care of its certificates"),
    ("shared-in-agreement", "nothing is wrong with what is shared and copied"),
    ("root-kubeconfig-stale", "what a person copied for himself is his own to renew"),
    ("kubeconfig-of-other-credentials", "a user who shows no certificate gets none"),
    ("upgrade-half-way", "each node is judged by its own version"),
    ("stray-ca-declared", "what the spec trusts too is trusted on, and never written"),
    ("stray-in-kubeconfig-alone", "whoever judges servers alone lets nobody in"),
    ("ca-begun-by-hand", "a rotation that a person has begun is his to end"),
    ("not-a-file", "what is no file is never removed"),
];

#[test]
fn every_scenario_is_told_as_its_golden_text_says() {
    let mut scenarios = folders(&Path::new(ROOT).join("tests/scenarios"));
    assert!(scenarios.len() >= 45, "only {} scenarios", scenarios.len());
    if let Ok(word) = std::env::var("SCENARIO") {
        scenarios.retain(|folder| folder.to_str().unwrap().rsplit('/').next().unwrap().contains(&word));
    }
    let ours = Cluster::unpack().report().digests();
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

pub(crate) fn folders(parent: &Path) -> Vec<PathBuf> {
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
    let cluster = set_up(folder)?;
    let report = cluster.report();
    let text = report.text();
    views::agree(&report.status, &report.observed, &text).map_err(|differs| format!("{name}: {differs}"))?;
    let text = text.replace(cluster.path().to_str().unwrap(), "<folder>");
    golden(&folder.join("findings.txt"), &normalised(findings(&text), ours))?;
    planned(folder, name, &cluster, ours)
}

/// A fresh cluster with the fault of a scenario in it: a copy of the one that was made of the same files.
pub(crate) fn set_up(folder: &Path) -> Result<Cluster, String> {
    let parent = folder.parent().unwrap();
    let mut parts = std::fs::read(ARCHIVE).unwrap();
    for among in [parent, folder] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(among).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.is_file() && file.extension().is_none_or(|extension| extension != "txt"));
        files.sort();
        parts.extend(files.into_iter().flat_map(|file| std::fs::read(file).unwrap()));
    }
    let name = format!("scenarios/{}", folder.file_name().unwrap().to_str().unwrap());
    let made = kept(&name, &parts, |cluster| make(folder, cluster))?;
    Ok(Cluster::copy(&made))
}

fn make(folder: &Path, cluster: &Path) -> Result<(), String> {
    unpack(cluster);
    let own_spec = folder.join("spec.yaml");
    if own_spec.exists() {
        std::fs::copy(own_spec, cluster.join("spec.yaml")).unwrap();
    }
    let change = Command::new("bash")
        .arg("-c")
        .arg("set -euo pipefail; source \"$1\"; source \"$2\"")
        .arg(folder.file_name().unwrap())
        .arg(folder.parent().unwrap().join("lib.sh"))
        .arg(folder.join("change.sh"))
        .current_dir(cluster)
        .output()
        .unwrap();
    if !change.status.success() {
        let said = String::from_utf8_lossy(&change.stderr);
        return Err(format!("{}: change.sh failed\n{said}", folder.display()));
    }
    Ok(())
}

/// The plan is as `plan.txt` says. What can be done is done, and then nothing is left to do; what is blocked touches nothing.
fn planned(folder: &Path, name: &str, cluster: &Cluster, ours: &BTreeSet<String>) -> Result<(), String> {
    let plan = cluster.plan(&Options::default());
    let text = plan_text(&plan, ours).replace(cluster.path().to_str().unwrap(), "<folder>");
    golden(&folder.join("plan.txt"), &text)?;
    conforms(Document::Plan, &serde_json::to_value(&plan).unwrap())?;
    conforms(Document::Facts, &serde_json::to_value(cluster.facts()).unwrap())?;
    let before = listing(cluster.path());
    if !plan.applicable {
        let says_why = text.contains("\nerror: ") && text.contains("It cannot be applied");
        return if says_why { Ok(()) } else { Err(format!("{name}: it is not said why\n{text}")) };
    }
    if plan.visits.is_empty() {
        return match NOTHING_TO_DO.iter().find(|(known, _)| *known == name) {
            Some(_) => told(name, cluster, &plan),
            None => Err(format!("{name}: the plan does nothing, and no reason for that is listed\n{text}")),
        };
    }
    let mut events = String::new();
    let report = cluster.apply_and(&plan, &mut |event| events.push_str(&pki::output::event(event)));
    for event in events.lines() {
        conforms(Document::Event, &serde_json::from_str(event).unwrap())?;
    }
    if report.outcome != Outcome::Done {
        return Err(format!("{name}: {report:?}"));
    }
    let differing = differing(&before, &listing(cluster.path()));
    let planned: BTreeSet<String> = plan
        .visits
        .iter()
        .flat_map(|visit| visit.actions.iter().map(move |action| (&visit.place, action)))
        .flat_map(|(node, action)| action.paths().into_iter().map(move |path| format!("{node}{path}")))
        .collect();
    // A path through a link is another one on the disk.
    let through_links = ["directory-", "link-", "kubelet-current-", "ack-behind-link-"]
        .iter()
        .any(|kind| name.starts_with(kind));
    // Those who are restarted there leave a note of it.
    let leaves_notes = name == "workers-two-at-once";
    if !through_links && !leaves_notes && !differing.is_subset(&planned) {
        return Err(format!("{name}: changed, but not planned: {:?}", differing.difference(&planned)));
    }
    let mut after = cluster.plan(&Options::default());
    if !plan.postponed.is_empty() && !after.visits.is_empty() {
        // What waited for the first plan is done by the second one.
        let report = cluster.apply(&after);
        if report.outcome != Outcome::Done {
            return Err(format!("{name}: {report:?}"));
        }
        after = cluster.plan(&Options::default());
    }
    if !after.visits.is_empty() || !after.blocked.is_empty() {
        return Err(format!("{name}: not done after the apply\n{}", pki::output::plan(&after)));
    }
    told(name, cluster, &after)
}

/// What is still due is named under "Not by this plan".
fn told(name: &str, cluster: &Cluster, plan: &Plan) -> Result<(), String> {
    let told: BTreeSet<String> = plan.elsewhere.iter().map(|blocked| blocked.address.to_string()).collect();
    let text = cluster.report().text();
    // Of what waits is told when it goes on.
    let waits = |address: &str| {
        let mut postponed = plan.postponed.iter();
        postponed.any(|postponed| address.starts_with(&format!("ca/{}@", postponed.authority)))
    };
    let due =
        text.lines().filter_map(|line| line.strip_prefix("  due ")).flat_map(|line| line.trim().split(", "));
    let untold: Vec<&str> = due.filter(|address| !told.contains(*address) && !waits(address)).collect();
    if untold.is_empty() {
        Ok(())
    } else {
        Err(format!("{name}: still due and not told: {untold:?}\n{text}"))
    }
}

/// The part of the report below its tables.
fn findings(text: &str) -> &str {
    let sections = ["\nAlarms\n", "\nFindings\n", "\nStatus: "];
    let start = sections.iter().find_map(|section| text.find(section)).unwrap();
    text.split_at(start).1.trim_start()
}
