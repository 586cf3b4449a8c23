//! Silence is never success: a command without a spec, and a selector that selects nothing, end with 64 and say what to type. Which commands and options there are is
//! taken from clap, by the completions that it makes, so that a new one cannot be forgotten.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::program::{code, pki, stderr, stdout};

/// Every command with its options, as clap tells them.
fn commands() -> BTreeMap<Vec<String>, BTreeSet<String>> {
    let folder = tempfile::tempdir().unwrap();
    let script = stdout(&pki(folder.path(), &["completions", "bash"]));
    let mut commands = BTreeMap::new();
    let mut lines = script.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("pki__").and_then(|label| label.strip_suffix(')')) else {
            continue;
        };
        let Some(options) = lines.next().and_then(|line| line.strip_prefix("opts=\"")) else { continue };
        let path: Vec<String> =
            label.split("__").filter(|word| *word != "subcmd").map(str::to_owned).collect();
        let options = options.trim_end_matches('"').split(' ').map(str::to_owned).collect();
        commands.insert(path, options);
    }
    assert!(commands.len() > 15, "{script}");
    commands
}

/// What a command needs besides a spec.
fn operands(path: &[String]) -> &'static [&'static str] {
    match path.join(" ").as_str() {
        "snapshot show" => &["7f3a-91c2"],
        _ => &[],
    }
}

#[test]
fn without_a_spec_every_command_but_those_that_may_look_at_this_machine_ends_with_64() {
    let folder = tempfile::tempdir().unwrap();
    let mut seen = BTreeSet::new();
    for (path, options) in commands() {
        let command = path.join(" ");
        // `adopt` takes none, and `status` may look at this machine.
        if !options.contains("--file") || command == "status" {
            continue;
        }
        seen.insert(command.clone());
        let mut variants: Vec<Vec<&str>> = vec![Vec::new()];
        for option in
            ["--yes", "--unattended", "--plan"].into_iter().filter(|option| options.contains(*option))
        {
            variants.push(vec![option]);
        }
        if options.contains("--format") {
            variants.push(vec!["--format", "json"]);
        }
        for variant in variants {
            let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
            arguments.extend(operands(&path));
            arguments.extend(&variant);
            let output = pki(folder.path(), &arguments);
            assert_eq!(code(&output), 64, "{arguments:?}: {}", stderr(&output));
            let told = stderr(&output);
            assert!(told.starts_with("error: no spec was named\n"), "{arguments:?}: {told}");
            let right = [&["pki"][..], &path.iter().map(String::as_str).collect::<Vec<_>>(), operands(&path)];
            let right = right.concat().join(" ");
            let is_right = |line: &str| line.contains(&right) && line.contains("cluster.yaml");
            assert!(told.lines().any(is_right), "{arguments:?} does not say `{right}`: {told}");
        }
    }
    let expected = [
        "apply",
        "lock status",
        "observe",
        "plan",
        "rollback",
        "snapshot list",
        "snapshot prune",
        "snapshot show",
        "validate",
    ];
    for command in expected {
        assert!(seen.contains(command), "{command} is not told by clap: {seen:?}");
    }
}

#[test]
fn the_last_event_says_that_the_command_line_was_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let output = pki(folder.path(), &["apply", "--format", "ndjson"]);
    let told = stdout(&output);
    let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((code(&output), &last["outcome"], &last["touched"]), (64, &"usage".into(), &false.into()));
}

/// What an option of a command takes.
enum Takes {
    /// Names of what must be there: calls that name what is not, and what is said.
    Names(&'static [(&'static [&'static str], &'static str)]),
    /// Nothing that selects.
    Else,
}

const SPEC: [&str; 2] = ["-f", "spec.yaml"];

/// Every option there is. One that is not here fails the test: whoever adds it decides what it takes.
const OPTIONS: [(&str, Takes); 54] = [
    (
        "--only",
        Takes::Names(&[
            (
                &["plan", "--only", "etcd-srver"],
                "--only: nothing is called `etcd-srver`\n  help: did you mean `etcd-server`? It is on cp-1, cp-2, cp-3",
            ),
            (&["plan", "--only", "@cp-9"], "--only: there is no node `cp-9`\n  help: did you mean `cp-1`?"),
            (
                &["plan", "--only", "apiserver", "--only", "etcd-server@cp-9"],
                "--only: there is no node `cp-9`",
            ),
            (&["apply", "--yes", "--only", "@cp-9"], "--only: there is no node `cp-9`"),
        ]),
    ),
    (
        "--replace",
        Takes::Names(&[
            (
                &["plan", "--replace", "apisrver"],
                "--replace: nothing is called `apisrver`\n  help: did you mean `apiserver`?",
            ),
            (&["plan", "--replace", "svc/etcd"], "--replace: `svc/etcd` is no certificate"),
            (&["apply", "--yes", "--replace", "x@cp-1"], "--replace: nothing is called `x`"),
        ]),
    ),
    (
        "--skip-node",
        Takes::Names(&[(
            &["plan", "--skip-node", "cp-9"],
            "--skip-node: there is no node cp-9\n  help: did you mean cp-1?",
        )]),
    ),
    (
        "--until-phase",
        Takes::Names(&[
            (
                &["plan", "--replace", "apiserver", "--until-phase", "drop"],
                "for '--until-phase <PHASE>': no phase is called so; there are etcd-snapshot,",
            ),
            (
                &["plan", "--replace", "apiserver", "--until-phase", "drop-old"],
                "this plan has no phase drop-old",
            ),
        ]),
    ),
    (
        "--confirm",
        Takes::Names(&[
            (
                &["apply", "--yes", "--replace", "apiserver", "--confirm", "prod-eu1/drop"],
                "--confirm: nothing in this plan is called `prod-eu1/drop`",
            ),
            (
                &["apply", "--yes", "--confirm", "prod-eu1/drop"],
                "--confirm: nothing in this plan is called `prod-eu1/drop`",
            ),
        ]),
    ),
    (
        "--certificates",
        Takes::Names(&[(
            &["plan", "--certificates", "empty"],
            "--certificates: no file in `empty` is named *.crt or *.pem",
        )]),
    ),
    (
        "--facts",
        Takes::Names(&[(
            &["plan", "--facts", "other.json"],
            "is about the cluster other, and the spec is about prod-eu1",
        )]),
    ),
    ("--expect-digest", Takes::Else),
    ("--file", Takes::Else),
    ("-f", Takes::Else),
    ("--ignore-other-kinds", Takes::Else),
    ("--accept-outage", Takes::Else),
    ("--format", Takes::Else),
    ("--report", Takes::Else),
    ("--max-bytes", Takes::Else),
    ("--as-of", Takes::Else),
    ("--exit-code", Takes::Else),
    ("--detailed-exitcode", Takes::Else),
    ("--out", Takes::Else),
    ("-o", Takes::Else),
    ("--yes", Takes::Else),
    ("-y", Takes::Else),
    ("--unattended", Takes::Else),
    ("--no-input", Takes::Else),
    ("--lock-timeout", Takes::Else),
    ("--requests", Takes::Else),
    ("--on-failure", Takes::Else),
    ("--plan", Takes::Else),
    ("--keep", Takes::Else),
    ("--root", Takes::Else),
    ("--sort", Takes::Else),
    ("--host", Takes::Else),
    ("--sudo", Takes::Else),
    ("--inventory", Takes::Else),
    ("--kubeadm-config", Takes::Else),
    ("--force", Takes::Else),
    ("--color", Takes::Else),
    ("--ssh-config", Takes::Else),
    ("--quiet", Takes::Else),
    ("-q", Takes::Else),
    ("--timeout", Takes::Else),
    ("--help", Takes::Else),
    ("-h", Takes::Else),
    ("--version", Takes::Else),
    ("-V", Takes::Else),
    ("--read-only", Takes::Else),
    ("--state-directory", Takes::Else),
    ("--uploaded", Takes::Else),
    ("--untrusted", Takes::Else),
    ("--hosts-from", Takes::Else),
    ("--replan-if-equal", Takes::Else),
    ("--valid-for", Takes::Else),
    ("--replace-foreign", Takes::Else),
    ("--made", Takes::Else),
];

#[test]
fn a_selector_that_selects_nothing_ends_with_64() {
    let told: BTreeSet<String> = commands().into_values().flatten().collect();
    let known: BTreeSet<&str> = OPTIONS.iter().map(|(option, _)| *option).collect();
    let unknown: Vec<&String> =
        told.iter().filter(|option| option.starts_with('-') && !known.contains(option.as_str())).collect();
    assert!(unknown.is_empty(), "say in OPTIONS what these take: {unknown:?}");
    let cluster = Cluster::unpack();
    std::fs::create_dir(cluster.path().join("empty")).unwrap();
    let facts = pki(cluster.path(), &["observe", "-f", "spec.yaml"]);
    let facts = stdout(&facts).replace("\"cluster\": \"prod-eu1\"", "\"cluster\": \"other\"");
    std::fs::write(cluster.path().join("other.json"), facts).unwrap();
    for (option, takes) in &OPTIONS {
        let Takes::Names(calls) = takes else { continue };
        assert!(told.contains(*option), "{option} is no option any more");
        for (call, says) in *calls {
            let output = pki(cluster.path(), &[call, &SPEC[..]].concat());
            assert_eq!(code(&output), 64, "{call:?}: {}{}", stdout(&output), stderr(&output));
            assert!(stderr(&output).contains(says), "{call:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn a_run_that_no_node_knows_ends_with_64() {
    let cluster = Cluster::unpack();
    for call in [&["snapshot", "show", "7f3a-91c2"][..], &["rollback", "7f3a-91c2", "--plan"]] {
        let output = pki(cluster.path(), &[call, &SPEC[..]].concat());
        assert_eq!(
            (code(&output), stderr(&output).as_str()),
            (
                64,
                "error: no node keeps a snapshot of run 7f3a-91c2\n  help: no node keeps a snapshot of any run\n"
            ),
            "{call:?}"
        );
    }
    let applied = pki(cluster.path(), &["apply", "-f", "spec.yaml", "--yes", "--replace", "apiserver@cp-1"]);
    assert_eq!(code(&applied), 0, "{}", stderr(&applied));
    let list = stdout(&pki(cluster.path(), &["snapshot", "list", "-f", "spec.yaml"]));
    let is_run = |word: &&str| word.len() == 9 && word.as_bytes()[4] == b'-';
    let run = list.split_whitespace().find(is_run).unwrap().to_owned();
    let mistyped = format!("{}{}", run.get(..8).unwrap(), if run.ends_with('0') { "1" } else { "0" });
    for call in [["snapshot", "show", &mistyped].as_slice(), &["rollback", &mistyped, "--plan"]] {
        let output = pki(cluster.path(), &[call, &SPEC[..]].concat());
        assert_eq!(code(&output), 64, "{call:?}");
        assert!(stderr(&output).contains(&format!("did you mean {run}?")), "{}", stderr(&output));
    }
    let shown = pki(cluster.path(), &["snapshot", "show", &run, "-f", "spec.yaml"]);
    assert!(stdout(&shown).contains("apiserver.crt"), "{}", stdout(&shown));
}
