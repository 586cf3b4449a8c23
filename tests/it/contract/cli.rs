//! The program as pipelines and people at a terminal see it: exit codes, streams, colours.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use pki::agent::Local;
use pki::protocol::command::{Begin, WriteCommand};
use pki::protocol::node::Host as _;
use serde_json::Value;

use crate::support::begin::begin;
use crate::support::cluster::{Cluster, NODES, left_out};
use crate::support::program::{code, command, pki, stderr, stdout, words};

const IN_AGREEMENT: [&str; 5] = ["status", "-f", "spec.yaml", "--as-of", "2026-12-01T00:00:00Z"];

fn with<'a>(arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [arguments, more].concat()
}

fn remove(cluster: &Cluster, path: &str) {
    std::fs::remove_file(cluster.path().join(path)).unwrap();
}

#[test]
fn status_ends_with_0_unless_asked() {
    let cluster = Cluster::unpack();
    for arguments in [IN_AGREEMENT.to_vec(), with(&IN_AGREEMENT, &["--exit-code"])] {
        assert_eq!(code(&pki(cluster.path(), &arguments)), 0, "notes need no action");
    }
    remove(&cluster, "cp-1/etc/kubernetes/pki/apiserver.crt");
    assert_eq!(code(&pki(cluster.path(), &IN_AGREEMENT)), 0);
    for flag in ["--exit-code", "--detailed-exitcode"] {
        assert_eq!(code(&pki(cluster.path(), &with(&IN_AGREEMENT, &[flag]))), 2, "an action is due");
    }
    let json = pki(cluster.path(), &with(&IN_AGREEMENT, &["--exit-code", "--format", "json"]));
    let value: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(
        (&value["outcome"], &value["exit"], &value["touched"]),
        (&"changes-pending".into(), &2.into(), &false.into())
    );
    std::fs::write(cluster.path().join("cp-2/etc/kubernetes/pki/ca.key"), "").unwrap();
    std::fs::remove_dir_all(cluster.path().join("cp-3")).unwrap();
    assert_eq!(code(&pki(cluster.path(), &IN_AGREEMENT)), 0);
    assert_eq!(code(&pki(cluster.path(), &with(&IN_AGREEMENT, &["--exit-code"]))), 3, "something is unknown");
}

#[test]
fn the_future_is_told_as_of_an_instant() {
    let cluster = Cluster::unpack();
    let later = ["status", "-f", "spec.yaml", "--exit-code", "--as-of", "2027-11-01T00:00:00Z"];
    let output = pki(cluster.path(), &later);
    assert_eq!(code(&output), 2);
    assert!(stdout(&output).contains("expires 2027-11-21 and renewBefore is 30d (spec.yaml:7)"));
    assert_eq!(code(&pki(cluster.path(), &["status", "--as-of", "tomorrow"])), 64);
}

#[test]
fn a_wrong_command_line_ends_with_64() {
    let folder = tempfile::tempdir().unwrap();
    let wrong: [&[&str]; 10] = [
        &[],
        &["plann"],
        &["status", "--nope"],
        &["status", "--format", "yaml"],
        &["status", "--root", ".", "-f", "spec.yaml"],
        &["validate"],
        &["explain", "PKI9999"],
        &["help", "nothing"],
        &["--color", "sometimes", "schema"],
        &["snapshot", "prune", "-f", "spec.yaml", "--keep", "0"],
    ];
    for arguments in wrong {
        let output = pki(folder.path(), arguments);
        assert_eq!((code(&output), stdout(&output).as_str()), (64, ""), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
    assert!(
        stderr(&pki(folder.path(), &["statsu"])).contains("status"),
        "the command that may be meant is named"
    );
}

#[test]
fn help_and_version_are_results() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["help"],
        &["help", "status"],
        &["status", "--help"],
        &["help", "exit-codes"],
    ] {
        let output = pki(folder.path(), arguments);
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""), "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
    let prune = words(&stdout(&pki(folder.path(), &["snapshot", "prune", "--help"])));
    assert!(prune.contains("snapshots of etcd's data, to keep on each node, at least 1"), "{prune}");
    let table = stdout(&pki(folder.path(), &["help", "exit-codes"]));
    let codes: Vec<&str> =
        table.lines().skip(2).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(codes, ["0", "1", "2", "3", "4", "5", "6", "10", "11", "12", "64", "65", "130", "143"]);
}

#[test]
fn a_code_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    for spelling in ["PKI1002", "pki1002", "1002"] {
        let output = pki(folder.path(), &["explain", spelling]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).starts_with("PKI1002 The same key twice in one mapping (error)\n"));
    }
    let unknown = pki(folder.path(), &["explain", "PKI1999"]);
    assert!(stderr(&unknown).starts_with("error: there is no code `PKI1999`"), "{}", stderr(&unknown));
    assert!(stdout(&pki(folder.path(), &["explain"])).lines().count() > 40);
}

#[test]
fn the_schema_is_one_json_document() {
    let folder = tempfile::tempdir().unwrap();
    let schema: Value = serde_json::from_slice(&pki(folder.path(), &["schema"]).stdout).unwrap();
    assert_eq!(schema["title"], "ClusterPKI");
}

#[test]
fn without_a_spec_the_machine_is_seen_as_it_is() {
    let cluster = Cluster::unpack();
    for node in NODES {
        let output = pki(cluster.path(), &["status", "--root", node, "--as-of", "2026-12-01T00:00:00Z"]);
        let text = stdout(&output);
        assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
        assert!(text.starts_with("prod-eu1   profile kubeadm v1.20.2 "), "{text}");
        assert!(text.contains(&format!("kubelet.conf@{node}")), "{text}");
        assert!(
            text.ends_with(
                "\nStatus: certificates 11, authorities 3, blocked 0, unknown 0, due 0, notes 1, alarms 0.\n"
            ),
            "{text}"
        );
    }
    let worker = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(worker.path().join("etc/kubernetes")).unwrap();
    std::fs::copy(
        cluster.path().join("cp-2/etc/kubernetes/kubelet.conf"),
        worker.path().join("etc/kubernetes/kubelet.conf"),
    )
    .unwrap();
    let output = pki(worker.path(), &["status", "--root", ".", "--as-of", "2026-12-01T00:00:00Z"]);
    assert!(
        stdout(&output).contains("kubelet.conf@cp-2") && stdout(&output).contains("ca/ca@cp-2"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_machine_without_certificates_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = pki(folder.path(), &["status", "--root", "."]);
    assert_eq!((code(&output), stdout(&output).as_str()), (3, ""));
    assert_eq!(
        stderr(&output),
        "error: no Kubernetes or etcd layout that pki knows under .\n  help: name a spec with -f, or another directory with --root\n"
    );
    std::fs::create_dir_all(folder.path().join("k3s/var/lib/rancher/k3s/server/tls")).unwrap();
    let output = pki(folder.path(), &["status", "--root", "k3s"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (3, ""));
    assert_eq!(
        stderr(&output),
        "error: /var/lib/rancher/k3s/server/tls under k3s belongs to k3s, whose own program makes and renews its certificates; pki never writes there\n  help: renew them with: k3s certificate rotate, then restart k3s.service\n"
    );
    let output = pki(folder.path(), &["status", "--root", "nowhere"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (1, ""));
    assert!(stderr(&output).contains("nowhere cannot be opened"), "{}", stderr(&output));
}

#[test]
fn colour_is_for_terminals_unless_someone_decides() {
    let cluster = Cluster::unpack();
    remove(&cluster, "cp-1/etc/kubernetes/pki/apiserver.crt");
    let colored = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = command(cluster.path(), &with(&IN_AGREEMENT, arguments));
        let output = command.envs(environment.iter().copied()).output().unwrap();
        let is_colored = output.stdout.contains(&0x1b);
        let plain = String::from_utf8(output.stdout).unwrap();
        assert!(plain.is_ascii(), "no line drawing in a pipe");
        is_colored
    };
    assert!(!colored(&[], &[]));
    assert!(!colored(&[], &[("TERM", "xterm-256color"), ("LANG", "C.UTF-8")]));
    assert!(colored(&["--color", "always"], &[]));
    assert!(colored(&["--color", "always"], &[("NO_COLOR", "1")]), "the flag wins over the environment");
    assert!(colored(&[], &[("FORCE_COLOR", "1")]));
    assert!(colored(&[], &[("CLICOLOR_FORCE", "1")]));
    assert!(!colored(&[], &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]));
    assert!(colored(&[], &[("FORCE_COLOR", "1"), ("NO_COLOR", "")]), "an empty variable is none");
    assert!(!colored(&["--color", "never"], &[("FORCE_COLOR", "1")]));
    assert!(!colored(&["--format", "json"], &[("FORCE_COLOR", "1")]), "JSON has no colour");
}

#[test]
fn colour_carries_no_meaning() {
    let cluster = Cluster::unpack();
    remove(&cluster, "cp-1/etc/kubernetes/pki/apiserver.crt");
    let plain = stdout(&pki(cluster.path(), &IN_AGREEMENT));
    let colored = stdout(&pki(cluster.path(), &with(&IN_AGREEMENT, &["--color", "always"])));
    let mut bare = String::new();
    for (position, part) in colored.split('\u{1b}').enumerate() {
        bare.push_str(if position == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    // Of a coloured cell the spaces behind it are coloured too.
    assert_eq!(plain, bare.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let cluster = Cluster::unpack();
    let mut child =
        command(cluster.path(), &["explain"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
    let script = format!("set -o pipefail; '{}' status -f spec.yaml | head -1", env!("CARGO_BIN_EXE_pki"));
    let output = Command::new("bash").args(["-c", &script]).current_dir(cluster.path()).output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    assert_eq!(stdout(&output).lines().count(), 1);
}

#[test]
fn a_full_disk_is_an_error() {
    let cluster = Cluster::unpack();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(cluster.path(), &IN_AGREEMENT).stdout(full).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).starts_with("error: cannot write to standard output: "), "{}", stderr(&output));
}

const SPEC: &str = "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: NAME }\nspec:\n  profile: etcd\n  nodes: { m-1: { address: 10.0.0.1, roles: [etcd] } }\n";

fn write(folder: &Path, file: &str, text: &str) {
    std::fs::write(folder.join(file), text).unwrap();
}

#[test]
fn validate_reads_files_folders_and_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.yaml", &SPEC.replace("NAME", "alpha"));
    std::fs::create_dir(folder.join("more")).unwrap();
    write(folder, "more/b.yml", &SPEC.replace("NAME", "beta"));
    write(folder, "more/notes.txt", "not a spec");
    let output = pki(folder, &["validate", "a.yaml", "more"]);
    let expected =
        "valid: alpha   profile etcd   1 node   a.yaml\nvalid: beta   profile etcd   1 node   more/b.yml\n";
    assert_eq!((code(&output), stdout(&output).as_str(), stderr(&output).as_str()), (0, expected, ""));
    let mut child = command(folder, &["validate", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(SPEC.replace("NAME", "gamma").as_bytes()).unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), "valid: gamma   profile etcd   1 node   stdin\n");
}

#[test]
fn an_invalid_spec_ends_with_65_and_stops_status_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.yaml", &SPEC.replace("NAME", "alpha").replace("profile: etcd", "profil: etcd"));
    for command in ["validate", "status"] {
        let output = pki(folder, &[command, "-f", "a.yaml"]);
        assert_eq!((code(&output), stdout(&output).as_str()), (65, ""), "{command}");
        assert!(
            stderr(&output).contains("PKI1020") && stderr(&output).contains("a.yaml:5:3"),
            "{}",
            stderr(&output)
        );
    }
    let json: Value =
        serde_json::from_slice(&pki(folder, &["validate", "a.yaml", "--format", "json"]).stdout).unwrap();
    assert_eq!(
        (&json["outcome"], &json["exit"], &json["touched"]),
        (&"invalid-spec".into(), &65.into(), &false.into())
    );
    let problem =
        json["problems"].as_array().unwrap().iter().find(|problem| problem["code"] == "PKI1020").unwrap();
    assert_eq!(
        (&problem["code"], &problem["file"], &problem["line"]),
        (&"PKI1020".into(), &"a.yaml".into(), &5.into())
    );
}

#[test]
fn one_cluster_in_two_files_is_refused_with_both_places() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for file in ["a.yaml", "b.yaml"] {
        write(folder, file, &SPEC.replace("NAME", "alpha"));
    }
    let output = pki(folder, &["validate", "a.yaml", "b.yaml"]);
    assert_eq!((code(&output), stdout(&output).as_str()), (65, ""));
    let report = stderr(&output);
    assert!(
        report.contains("PKI1012") && report.contains("a.yaml:3") && report.contains("b.yaml:3"),
        "{report}"
    );
}

#[test]
fn a_spec_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("empty")).unwrap();
    for (path, says) in [
        ("missing.yaml", "cannot read `missing.yaml`: No such file or directory"),
        ("empty", "the folder `empty` has no file named *.yaml or *.yml"),
    ] {
        for command in ["validate", "status"] {
            let output = pki(folder, &[command, "-f", path]);
            let report = stderr(&output);
            assert_eq!((code(&output), stdout(&output).as_str()), (65, ""));
            assert!(report.contains("PKI1009") && report.contains(says), "{report}");
        }
    }
}

#[test]
fn a_huge_spec_is_refused_before_it_costs_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let huge = "# ten megabytes\n".repeat(10 * 1024 * 1024 / 16);
    write(folder, "huge.yaml", &huge);
    let by_name = pki(folder, &["validate", "huge.yaml"]);
    let mut child = command(folder, &["validate", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The program stops reading at its limit, and then nobody takes the rest.
    let written = child.stdin.take().unwrap().write_all(huge.as_bytes());
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    for output in [by_name, child.wait_with_output().unwrap()] {
        assert_eq!((code(&output), stdout(&output).as_str()), (65, ""));
        assert!(stderr(&output).contains("PKI1003"), "{}", stderr(&output));
    }
}

#[test]
fn nothing_is_written_to_a_node() {
    let cluster = Cluster::unpack();
    let listing = || {
        let find = ["cp-1", "cp-2", "cp-3", "-printf", "%p %m %U %G %s %T@ %C@ %y %l\\n"];
        let output = Command::new("find").args(find).current_dir(cluster.path()).output().unwrap();
        let mut lines: Vec<String> = stdout(&output).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let before = listing();
    assert!(before.len() > 100);
    pki(cluster.path(), &IN_AGREEMENT);
    pki(cluster.path(), &["status", "--root", "cp-1"]);
    assert_eq!(before, listing());
}

#[test]
fn status_and_plan_only_read() {
    for command in ["status", "plan"] {
        only_reads(command);
    }
}

fn only_reads(command: &str) {
    let cluster = Cluster::unpack();
    let trace = cluster.path().join("trace");
    let strace = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=%file,%network,%process,fchmod,fchown,ftruncate", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_pki"))
        .args([command, "-f", "spec.yaml"])
        .current_dir(cluster.path())
        .output();
    if !strace.is_ok_and(|output| output.status.success()) {
        left_out("status_and_plan_only_read", "strace is not installed or may not trace here");
        return;
    }
    let trace = std::fs::read_to_string(trace).unwrap();
    assert!(trace.contains("apiserver.key"), "{trace}");
    let calls = [
        "unlink", "rename", "mkdir", "rmdir", "chmod", "chown", "link(", "linkat(", "mknod", "truncate",
        "utime", "socket(", "connect(",
    ];
    for line in trace.lines() {
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        let changes = calls.iter().any(|name| call.trim_start_matches('f').starts_with(name))
            && !call.starts_with("readlink");
        let writes =
            ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"].iter().any(|flag| line.contains(flag));
        assert!(!changes && !writes, "{line}");
    }
    assert_eq!(trace.matches("execve(").count(), 1, "no other program is started");
}

#[test]
fn what_a_reboot_interrupted_is_undone_by_a_command_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("node");
    for directory in ["data", "run", "var/lib"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }

    let undo = ["node", "undo", "--state-directory", "/var/lib/pki", "--root", "node"];
    let nothing = pki(folder.path(), &undo);
    assert_eq!((code(&nothing), stdout(&nothing), stderr(&nothing)), (0, String::new(), String::new()));
    let mut local = Local::new(Some(root.clone()), jiff::Timestamp::now);
    let begin = Begin {
        units: ["etcd.service".to_owned()].into(),
        replace_foreign: ["/data/link".to_owned()].into(),
        ..begin("7f3a-91c2", &["/data/link"])
    };
    local.begin(&begin).unwrap();
    let busy = pki(folder.path(), &undo);
    assert_eq!(code(&busy), 5, "who is at work undoes it himself: {}", stderr(&busy));
    local.perform(WriteCommand::MakeLink { path: "/data/link".to_owned(), target: "a".to_owned() }).unwrap();
    drop(local);
    let undone = pki(folder.path(), &undo);
    assert_eq!((code(&undone), root.join("data/link").exists()), (0, false));
    assert_eq!(stderr(&undone), "transaction 7f3a-91c2/1 is undone\n  put back: /data/link\n");
    std::fs::write(root.join("var/lib/pki/open"), "torn").unwrap();
    let for_others = pki(folder.path(), &undo);
    assert_eq!(code(&for_others), 1);
    assert!(
        stderr(&for_others).contains("/var/lib/pki/open: others than its owner"),
        "{}",
        stderr(&for_others)
    );
    std::fs::set_permissions(root.join("var/lib/pki/open"), PermissionsExt::from_mode(0o600)).unwrap();
    let damaged = pki(folder.path(), &undo);
    assert_eq!(code(&damaged), 1);
    assert_eq!(stderr(&damaged), "error: /var/lib/pki/open is damaged: it cannot be understood\n");
}

#[test]
fn a_node_that_is_down_for_repair_is_left_out_and_the_others_are_worked_on() {
    let cluster = Cluster::unpack();
    remove(&cluster, "cp-1/etc/kubernetes/pki/apiserver.crt");
    std::fs::rename(cluster.path().join("cp-3"), cluster.path().join("away")).unwrap();
    let pki = |arguments: &[&str]| pki(cluster.path(), &with(arguments, &["-f", "spec.yaml"]));
    assert_eq!(code(&pki(&["apply", "--yes"])), 3, "a node that is not seen blocks");
    let status = pki(&["status", "--skip-node", "cp-3", "--exit-code"]);
    assert_eq!(code(&status), 2, "a due renewal counts for more than a node that was left out");
    let apply = pki(&["apply", "--yes", "--skip-node", "cp-3"]);
    assert_eq!(code(&apply), 0, "{}", stderr(&apply));
    assert!(stdout(&apply).contains("node@cp-3: skipped, by --skip-node"), "{}", stdout(&apply));
    assert!(cluster.path().join("cp-1/etc/kubernetes/pki/apiserver.crt").exists());
    assert!(!cluster.path().join("cp-3").exists());
    std::fs::rename(cluster.path().join("away"), cluster.path().join("cp-3")).unwrap();
    assert_eq!(code(&pki(&["plan", "--exit-code"])), 0, "nothing is due where it comes back");
}

#[test]
fn a_node_to_skip_must_be_one_and_some_must_be_left() {
    let cluster = Cluster::unpack();
    for (skipped, words) in [
        (
            vec!["cp-4"],
            "error: --skip-node: there is no node cp-4\n  help: did you mean cp-1? The nodes are cp-1, cp-2, cp-3\n",
        ),
        (vec!["cp-1", "cp-2", "cp-3"], "error: --skip-node leaves no node of prod-eu1\n"),
    ] {
        for command in ["status", "plan", "apply"] {
            let mut arguments = vec![command, "-f", "spec.yaml"];
            arguments.extend(skipped.iter().flat_map(|name| ["--skip-node", name]));
            if command == "apply" {
                arguments.push("--yes");
            }
            let output = pki(cluster.path(), &arguments);
            assert_eq!((code(&output), stderr(&output).as_str()), (64, words), "{command}");
        }
    }
    assert_eq!(code(&pki(cluster.path(), &["status", "--skip-node", "cp-1"])), 64, "no spec, no nodes");
    assert_eq!(code(&pki(cluster.path(), &["plan", "-f", "spec.yaml", "--timeout", "0s"])), 64);
    assert_eq!(code(&pki(cluster.path(), &["plan", "-f", "spec.yaml", "--timeout", "5"])), 64);
    assert_eq!(code(&pki(cluster.path(), &["--timeout", "5m", "plan", "-f", "spec.yaml"])), 0);
}
