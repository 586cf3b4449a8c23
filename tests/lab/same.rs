//! A cluster over SSH is told, and changed, as the same cluster is in directories of this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use pki::x509::Sha256;

use crate::PLACES;
use crate::controller::Controller;
use crate::nodes::{Called, Node, below};
use crate::specs::give;
use crate::support::cluster::{Cluster, ROOT, normalised};

/// What is asked and done one after the other, with the code that it ends with.
const STEPS: [(i32, &[&str]); 7] = [
    (0, &["status"]),
    (2, &["plan", "--exit-code"]),
    (0, &["apply", "--yes"]),
    (0, &["plan", "--exit-code"]),
    (0, &["status", "--exit-code"]),
    (0, &["rollback", "--yes"]),
    (2, &["plan", "--exit-code"]),
];

#[test]
fn the_quickstart_over_ssh_is_the_quickstart() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("examples/quickstart.yaml")).unwrap();
    let there = without_connections(&text);
    let here = text.replace("../target/quickstart/", "./");
    let give_files = |controller: &Controller, _: &[Node]| {
        for (name, _) in PLACES {
            std::fs::create_dir_all(controller.at(name).join("etc")).unwrap();
        }
    };
    compared(&here, &there, give_files, &STEPS[..5]);
}

#[test]
fn a_cluster_of_kubeadm_over_ssh_is_what_it_is_here() {
    let fixture = Cluster::unpack();
    let text = std::fs::read_to_string(fixture.path().join("spec.yaml")).unwrap();
    let here = text.replace(
        "validity: 365d, renewBefore: 30d",
        "validity: 730d, renewBefore: 400d, keyAlgorithm: ecdsa-p256",
    );
    let give_files = |controller: &Controller, nodes: &[Node]| {
        for ((name, _), node) in PLACES.iter().zip(nodes) {
            let files = fixture.path().join(name);
            give(node, &files);
            std::fs::create_dir(controller.at(name)).unwrap();
            for entry in std::fs::read_dir(files).unwrap() {
                let mut copy = std::process::Command::new("cp");
                copy.arg("-a").arg(entry.unwrap().path()).arg(controller.at(name));
                assert!(copy.status().unwrap().success());
            }
        }
    };
    compared(&here, &without_connections(&here), give_files, &STEPS);
}

/// The spec with its nodes behind SSH.
pub(crate) fn without_connections(text: &str) -> String {
    let mut spec = String::new();
    for line in text.lines() {
        let line = line.split(", connection:").next().unwrap();
        let is_cut = line.trim_start().starts_with("cp-");
        spec.push_str(line);
        spec.push_str(if is_cut { " }\n" } else { "\n" });
    }
    // As its last line, so that all others have the numbers that they have here.
    spec.push_str("  connection: { ssh: {} }\n");
    spec
}

fn compared(
    here: &str,
    there: &str,
    give_files: impl FnOnce(&Controller, &[Node]),
    steps: &[(i32, &[&str])],
) {
    let (nodes, controller) = Controller::of_cluster();
    let _called = Called::as_in_the_example(&nodes);
    give_files(&controller, &nodes);
    let cluster = |node: &Node| digests(&node.disk("etc/kubernetes"));
    let before: Vec<_> = nodes.iter().map(cluster).collect();
    for (code, arguments) in steps {
        let arguments = [arguments, ["-f", "spec.yaml"].as_slice()].concat();
        let told = [here, there].map(|spec| {
            controller.spec(spec);
            without_what_runs(&comparable(&controller.ends(*code, &arguments)))
        });
        assert_eq!(told[0], told[1], "{arguments:?}");
        for ((name, _), node) in PLACES.iter().zip(&nodes) {
            let (here, there) = (listing(&controller.at(name)), listing(&node.disk("/")));
            let paths: BTreeSet<_> = here.keys().chain(there.keys()).collect();
            let differing: Vec<_> =
                paths.into_iter().filter(|path| here.get(*path) != there.get(*path)).collect();
            assert!(differing.is_empty(), "{arguments:?}: on {name}: {differing:?}");
        }
    }
    if steps.iter().any(|(_, arguments)| arguments.contains(&"rollback")) {
        assert!(before == nodes.iter().map(cluster).collect::<Vec<_>>(), "a rollback puts everything back");
    }
    for node in &nodes {
        node.is_left_clean("afterwards");
    }
    controller.is_left_clean();
}

/// A plan without how much its simulation knows to work: of a directory nothing is known to run, and of a machine it is seen that nothing does. And a report without
/// what its time went into, which is told of longer runs.
fn without_what_runs(text: &str) -> String {
    let (mut is_checked, mut is_time) = (false, false);
    let is_kept = |line: &&str| {
        is_time = line.starts_with("Time: ") || is_time && line.starts_with("  ");
        // The sentence may go on in a second line; connections have lines of their own.
        is_checked = line.starts_with("  Checked: ")
            || is_checked && line.starts_with("    ") && !line.contains(" -> ");
        !is_checked && !is_time
    };
    text.lines().filter(is_kept).flat_map(|line| [line, "\n"]).collect()
}

/// Every file below a directory, with what is in it.
fn digests(top: &Path) -> BTreeMap<PathBuf, Sha256> {
    let mut digests = BTreeMap::new();
    below(top, &mut |path| {
        if path.is_file() {
            digests.insert(path.to_owned(), Sha256::of(&std::fs::read(path).unwrap()));
        }
    });
    digests
}

/// What is there of the cluster's and of pki's, without contents: keys are drawn anew everywhere.
fn listing(root: &Path) -> BTreeMap<String, String> {
    let mut listing = BTreeMap::new();
    for top in ["etc/kubernetes", "var/lib/pki"] {
        below(&root.join(top), &mut |path| {
            let facts = path.symlink_metadata().unwrap();
            let target = std::fs::read_link(path).unwrap_or_default();
            let text = format!("{:o} {}:{} {}", facts.mode(), facts.uid(), facts.gid(), target.display());
            let path = path.strip_prefix(root).unwrap().display().to_string();
            listing.insert(without_runs(&path), text);
        });
    }
    listing
}

/// A text without what is another in each run: names of runs, digests, and the time of day.
fn comparable(text: &str) -> String {
    normalised(&without_runs(text), &BTreeSet::new())
}

fn without_runs(text: &str) -> String {
    let is_hex = |word: &str| word.len() == 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_time = |word: &str| {
        let digits: String =
            word.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
        ["00:00Z", "00:00:00Z", "00:00"].contains(&digits.as_str())
    };
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || "-:".contains(letter);
    let mut out = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(['\n']) {
        if is_of_word(letter) {
            word.push(letter);
            continue;
        }
        let is_run = word.split_once('-').is_some_and(|(first, second)| is_hex(first) && is_hex(second));
        out.push_str(if is_run {
            "<run>"
        } else if is_time(&word) {
            "<time>"
        } else {
            &word
        });
        word.clear();
        out.push(letter);
    }
    out.pop();
    out
}
