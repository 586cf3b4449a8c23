//! What goes wrong, and how it ends: the exit code says whether anything was touched, the report says what is where, and the files agree.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files, and break them")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use pki::plan::Options;
use pki::plan::model::outcome::{Event, Outcome, VisitEnd};
use serde_json::Value;

use crate::support::cluster::{Cluster, is_root, left_out};
use crate::support::listing::{differing, listing};
use crate::support::made::{Made, Spec};
use crate::support::program;

const APPLY: [&str; 6] = ["apply", "-f", "spec.yaml", "--yes", "--only", "scheduler.conf"];
const SCHEDULERS: [&str; 3] = [
    "cp-1/etc/kubernetes/scheduler.conf",
    "cp-2/etc/kubernetes/scheduler.conf",
    "cp-3/etc/kubernetes/scheduler.conf",
];

/// A cluster whose certificates are all due, with a command that restarts the scheduler.
fn due(script: &str, more: &str) -> Made {
    let made = Made::new();
    let more = format!(
        "  services: {{ kube-scheduler: {{ restart: {{ command: [/bin/sh, -c, '{script}'] }} }} }}\n{more}"
    );
    made.spec(&Spec { more: &more, ..Spec::renewing() });
    made
}

#[test]
fn only_what_was_selected_is_done() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let before = made.listing();
    made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--only", "etcd-server@cp-2"]);
    let server = ["crt", "key"].map(|kind| format!("cp-2/etc/kubernetes/pki/etcd/server.{kind}"));
    assert_eq!(differing(&before, &made.listing()), server.into());
}

#[test]
fn what_is_to_be_replaced_is_replaced_although_nothing_is_wrong() {
    let made = Made::new();
    let before = made.listing();
    let arguments = ["apply", "-f", "spec.yaml", "--yes", "--replace", "apiserver@cp-3"];
    let text = made.ends(0, &arguments);
    assert!(text.contains("Plan: renew 1, issue 0,"), "{text}");
    let apiserver = ["crt", "key"].map(|kind| format!("cp-3/etc/kubernetes/pki/apiserver.{kind}"));
    assert_eq!(differing(&before, &made.listing()), apiserver.into());
}

#[test]
fn a_plan_for_another_instant_cannot_be_applied() {
    let made = Made::new();
    let year: i16 = jiff::Timestamp::now().to_string().split('-').next().unwrap().parse().unwrap();
    let later = format!("{}-06-01T00:00:00Z", year + 5);
    let text = made.ends(0, &["plan", "-f", "spec.yaml", "--as-of", &later]);
    assert!(text.contains("It cannot be applied: it was made for another instant than now."), "{text}");
    made.ends(2, &["plan", "-f", "spec.yaml", "--as-of", &later, "--exit-code"]);
    made.ends(64, &["apply", "-f", "spec.yaml", "--yes", "--as-of", &later]);
}

#[test]
fn a_plan_as_json_says_its_format_and_outcome() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let plan: Value =
        serde_json::from_str(&made.ends(2, &["plan", "-f", "spec.yaml", "--exit-code", "--format", "json"]))
            .unwrap();
    assert_eq!(plan["format_version"], "1.0");
    assert_eq!(
        (&plan["outcome"], &plan["exit"], &plan["touched"]),
        (&"changes-pending".into(), &2.into(), &false.into())
    );
    assert_eq!(plan["summary"]["renew"], 33);
    assert_eq!(plan["visits"].as_array().unwrap().len(), 3);
}

#[test]
fn without_approval_nothing_is_touched() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let before = made.listing();
    made.ends(6, &["apply", "-f", "spec.yaml", "--no-input"]);
    // A pipe of yeses is nobody; a session of its own has no terminal.
    let mut yes = Command::new("setsid")
        .args(["--wait", env!("CARGO_BIN_EXE_pki"), "apply", "-f", "spec.yaml"])
        .current_dir(made.path())
        .env("CI", "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program does not read it, so it may be gone already.
    let _pipe = yes.stdin.take().unwrap().write_all(b"yes\nyes\nyes\n");
    assert_eq!(program::code(&made.heard(yes.wait_with_output().unwrap())), 6);
    assert_eq!(made.listing(), before);
}

#[test]
fn a_service_with_a_command_is_restarted_once_after_the_writes() {
    let made = due("{ pwd; sha256sum < etc/kubernetes/scheduler.conf; } >> $PKI_ROOT/../ran", "");
    let text = made.ends(0, &APPLY);
    assert!(text.contains("! svc/kube-scheduler @ cp-1, cp-2, cp-3"), "{text}");
    let after = made.listing();
    let ran = std::fs::read_to_string(made.at("ran")).unwrap();
    let lines: Vec<&str> = ran.lines().collect();
    assert_eq!(lines.len(), 6, "{ran}");
    for (index, path) in SCHEDULERS.iter().enumerate() {
        assert!(lines[2 * index].ends_with(path.split('/').next().unwrap()), "{ran}");
        let digest = lines[2 * index + 1].split(' ').next().unwrap();
        assert!(after[*path].ends_with(digest), "it ran after {path} was written");
    }
}

#[test]
fn services_without_a_command_are_named() {
    let made = due("true", "");
    let text = made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--only", "controller-manager.conf"]);
    assert!(
        text.contains(
            "Restart yourself, when the plan is applied:\n    kube-controller-manager @ cp-1, cp-2, cp-3"
        ),
        "{text}"
    );
    assert!(text.contains("\nRestart kube-controller-manager on cp-1, cp-2, cp-3: "), "{text}");
}

#[test]
fn a_failing_restart_on_the_first_node_leaves_everything_as_before() {
    let made = due("echo no such pod >&2; exit 1", "");
    let before = made.listing();
    let text = made.ends(10, &APPLY);
    assert!(text.contains("cp-1  UNDONE, as before: ") && text.contains("no such pod"), "{text}");
    assert!(text.contains("cp-2  not started"), "{text}");
    assert_eq!(made.listing(), before);
    made.no_secret_was_told();
}

/// The second node's restart fails.
const SECOND_FAILS: &str = "case $PKI_ROOT in */cp-2) exit 1;; esac";

#[test]
fn a_failing_second_node_is_put_back_and_the_first_one_stays() {
    let made = due(SECOND_FAILS, "");
    let before = made.listing();
    let text = made.ends(11, &APPLY);
    for line in
        ["  cp-1  done, checked, kept", "  cp-2  UNDONE, as before: ", "  cp-3  not started", "(1 of 3 done)"]
    {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(differing(&before, &made.listing()), [SCHEDULERS[0].to_owned()].into());
    made.spec(&Spec::renewing());
    let rest = made.ends(0, &APPLY);
    assert!(rest.contains("Plan: renew 2,"), "the next run goes on: {rest}");
}

#[test]
fn a_run_that_failed_raises_an_alarm_on_its_node_until_one_succeeds_there() {
    let made = due(SECOND_FAILS, "");
    let status = ["status", "-f", "spec.yaml"];
    let json = |made: &Made| -> Value {
        serde_json::from_str(&made.ends(0, &[&status[..], &["--format", "json"]].concat())).unwrap()
    };
    assert_eq!(json(&made)["failedRenewals"], Value::Array(Vec::new()));
    made.ends(11, &APPLY);
    let failed = &json(&made)["failedRenewals"];
    assert_eq!(failed.as_array().unwrap().len(), 1, "{failed}");
    assert_eq!(
        (&failed[0]["state"], &failed[0]["address"], &failed[0]["undone"]),
        (&"renewalFailed".into(), &"node@cp-2".into(), &true.into())
    );
    let text = made.ends(0, &status);
    let (alarms, _) = text.split_once("\nFindings\n").unwrap();
    assert!(alarms.contains("  failed   node@cp-2\n           the last run, "), "{text}");
    let undone = "was undone on this node, so that what it should have renewed is as before";
    assert!(program::words(alarms).contains(undone), "{text}");
    assert!(text.ends_with(", alarms 1.\n"), "{text}");
    let metrics = made.ends(0, &[&status[..], &["--format", "prometheus"]].concat());
    let raised =
        "pki_alarm{cluster=\"prod-eu1\",node=\"cp-2\",pki_id=\"node@cp-2\",state=\"renewal-failed\"} 1";
    assert!(metrics.lines().any(|line| line == raised), "{metrics}");
    made.spec(&Spec::renewing());
    made.ends(0, &APPLY);
    assert_eq!(json(&made)["failedRenewals"], Value::Array(Vec::new()));
}

#[test]
fn undo_all_takes_the_first_node_back_too() {
    let made = due(SECOND_FAILS, "  rollout: { onFailure: undo-all }\n");
    let before = made.listing();
    let text = made.ends(10, &APPLY);
    assert!(text.contains("  cp-1  taken back, because a later node failed"), "{text}");
    assert_eq!(made.listing(), before);
}

#[test]
fn stop_leaves_everything_as_it_is() {
    let made = due(SECOND_FAILS, "");
    let before = made.listing();
    let text = made.ends(11, &[&APPLY[..], &["--on-failure", "stop"]].concat());
    assert!(text.contains("  cp-2  LEFT as it is: "), "{text}");
    assert_eq!(
        differing(&before, &made.listing()),
        SCHEDULERS[..2].iter().map(|path| (*path).to_owned()).collect()
    );
}

#[test]
fn a_node_that_somebody_else_works_on_is_left_alone() {
    let made = due("true", "");
    let before = made.listing();
    std::fs::create_dir_all(made.at("cp-2/run")).unwrap();
    let mut holder = Command::new("flock")
        .arg(made.at("cp-2/run/pki.lock"))
        .args(["sh", "-c", "echo held; read -r line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut held)
        .unwrap();
    let text = made.ends(5, &APPLY);
    assert!(text.contains("somebody else is at work. Nothing was touched."), "{text}");
    assert_eq!(made.listing(), before);
    drop(holder.stdin.take());
    holder.wait().unwrap();
    made.ends(0, &APPLY);
}

#[test]
fn an_interrupted_run_puts_its_node_back() {
    for (node, code, kept) in [("cp-1", 11, 0), ("cp-2", 11, 1)] {
        let wait =
            "if [ -p ../go ]; then echo >../started; read line <../go; rm ../go; else echo >../again; fi";
        let script = format!("case $PKI_ROOT in */{node}) {wait};; esac");
        let made = due(&script, "");
        let before = made.listing();
        for fifo in ["started", "go"] {
            assert!(Command::new("mkfifo").arg(made.at(fifo)).status().unwrap().success());
        }
        let run: Child = program::command(made.path(), &APPLY)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Opening a fifo waits for the other end, so the restart has begun after this.
        std::fs::read(made.at("started")).unwrap();
        let signal = Command::new("kill").args(["-INT", &run.id().to_string()]).status();
        assert!(signal.unwrap().success());
        std::fs::write(made.at("go"), "on\n").unwrap();
        let output = made.heard(run.wait_with_output().unwrap());
        assert_eq!(program::code(&output), code, "{}{}", program::stdout(&output), program::stderr(&output));
        assert!(
            program::stdout(&output).contains("the run was asked to stop"),
            "{}",
            program::stdout(&output)
        );
        assert_eq!(differing(&before, &made.listing()).len(), kept);
        assert!(made.at("again").exists(), "what runs on the new files is restarted with the old ones");
    }
}

#[test]
fn a_directory_that_cannot_be_written_leaves_the_node_as_it_was() {
    if !is_root() {
        left_out("a read-only directory", "only root can mount");
        return;
    }
    let made = due("true", "");
    let before = made.listing();
    let folder = made.at("cp-1/etc/kubernetes");
    let Some(mounted) = Mounted::new(&["--bind".as_ref(), folder.as_ref(), folder.as_ref()], &folder) else {
        return;
    };
    assert!(Command::new("mount").args(["-o", "remount,bind,ro"]).arg(&folder).status().unwrap().success());
    let output = made.pki(&APPLY);
    assert_eq!(program::code(&output), 10, "{}{}", program::stdout(&output), program::stderr(&output));
    assert!(
        program::stdout(&output).contains("the file system is read-only"),
        "{}",
        program::stdout(&output)
    );
    drop(mounted);
    assert_eq!(made.listing(), before);
}

#[test]
fn a_user_who_may_not_write_is_told_so_and_leaves_the_node_as_it_was() {
    if !is_root() {
        left_out("permission denied", "only root can become another user");
        return;
    }
    let made = due("true", "");
    // Everything can be read by the other user but the directory of the kubeconfigs cannot be written.
    let script = "chmod 755 . && chown -R 65534:65534 cp-? && chown 0:0 cp-1/etc/kubernetes && chmod 755 cp-1/etc/kubernetes";
    assert!(Command::new("sh").args(["-c", script]).current_dir(made.path()).status().unwrap().success());
    let program = made.at("pki");
    std::fs::copy(env!("CARGO_BIN_EXE_pki"), &program).unwrap();
    let before = made.listing();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(APPLY)
        .current_dir(made.path())
        .output()
        .unwrap();
    let text = program::stdout(&output);
    assert_eq!(program::code(&output), 10, "{text}{}", program::stderr(&output));
    assert!(text.contains("Permission denied"), "{text}");
    assert_eq!(made.listing(), before);
}

#[test]
fn a_file_that_changes_behind_the_plan_makes_it_stale() {
    let change = |cluster: &Cluster, node: &str| {
        let crt = |node: &str| cluster.path().join(node).join("etc/kubernetes/pki/apiserver.crt");
        std::fs::copy(crt("cp-3"), crt(node)).unwrap();
    };
    let replaced = || {
        let cluster = Cluster::unpack();
        let options = Options { replace: vec!["apiserver".parse().unwrap()], ..Options::default() };
        let plan = cluster.plan(&options);
        (cluster, plan)
    };
    let (cluster, plan) = replaced();
    change(&cluster, "cp-1");
    let before = listing(cluster.path());
    let report = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Stale, "nothing is touched");
    let because = report.failure.unwrap().because;
    assert_eq!(because, "/etc/kubernetes/pki/apiserver.crt is no longer as it was when the plan was made");
    assert_eq!(listing(cluster.path()), before);

    let (cluster, plan) = replaced();
    let report = cluster.apply_and(&plan, &mut |event| {
        if let Event::VisitEnds { visit, .. } = event
            && visit.number == 1
        {
            change(&cluster, "cp-2");
        }
    });
    assert_eq!(report.outcome, Outcome::Partial, "the first node is done by then");
    let ends: Vec<&VisitEnd> = report.visits.iter().map(|visit| &visit.end).collect();
    assert!(
        matches!(ends[..], [VisitEnd::Committed, VisitEnd::Refused(_), VisitEnd::NotStarted]),
        "{ends:?}"
    );
}

#[test]
fn a_full_disk_leaves_the_node_as_it_was() {
    if !is_root() {
        left_out("a full disk", "only root can mount");
        return;
    }
    let made = due("true", "");
    let folder = made.at("cp-1");
    let copy = made.at("copy");
    assert!(Command::new("cp").arg("-a").arg(&folder).arg(&copy).status().unwrap().success());
    let tmpfs = ["-t", "tmpfs", "-o", "size=400k,mode=755", "tmpfs"].map(Path::new);
    let Some(mounted) = Mounted::new(&[&tmpfs[..], &[folder.as_ref()]].concat(), &folder) else { return };
    let back = Command::new("cp").arg("-a").arg(copy.join(".")).arg(&folder).status();
    assert!(back.unwrap().success());
    // What is left of the disk is taken; that this fails when nothing is left is the point.
    let _full = std::fs::write(folder.join("ballast"), vec![0; 400 * 1024]);
    let before = made.listing();
    let output = made.pki(&APPLY);
    assert!(
        [1, 10].contains(&program::code(&output)),
        "{}{}",
        program::stdout(&output),
        program::stderr(&output)
    );
    assert!(program::stdout(&output).contains("No space left on device"), "{}", program::stdout(&output));
    assert_eq!(made.listing(), before);
    drop(mounted);
}

/// A mount that ends with this value.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn new(arguments: &[&Path], at: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(arguments).stderr(Stdio::null()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        left_out("a mount", "this machine allows none");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _status = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
