//! 10 to 19 if and only if a managed file or service was touched, at the edges too: what cannot be written before the run and after it, and signals.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use std::fs::OpenOptions;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::made::{Made, Spec};
use crate::support::program::{self, code, stderr, stdout};

const APPLY: [&str; 6] = ["apply", "-f", "spec.yaml", "--yes", "--only", "scheduler.conf@cp-1"];

/// A cluster whose certificates are due, with a command that restarts the scheduler of a node.
fn due(script: &str) -> Made {
    let made = Made::new();
    let more = format!(
        "  services: {{ kube-scheduler: {{ restart: {{ command: [/bin/sh, -c, '{script}'] }} }} }}\n"
    );
    made.spec(&Spec { more: &more, ..Spec::renewing() });
    made
}

fn is_changed(made: &Made, before: &[u8]) -> bool {
    std::fs::read(made.at("cp-1/etc/kubernetes/scheduler.conf")).unwrap() != before
}

#[test]
fn what_cannot_be_written_makes_a_run_neither_touched_nor_untouched() {
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    // A report that cannot be written, and a standard output that cannot: in each form, with something to do and with nothing.
    let calls: [(&[&str], bool); 6] = [
        (&["--report", "markdown=/nonexistent/x.md"], false),
        (&["--report", "json=/nonexistent/x.json"], false),
        (&["--format", "text"], true),
        (&["--format", "json"], true),
        (&["--format", "ndjson"], true),
        (&["--report", "text=/nonexistent/x", "--format", "json"], true),
    ];
    for (more, to_full) in calls {
        for is_due in [true, false] {
            let made = if is_due { due("true") } else { Made::new() };
            let before = std::fs::read(made.at("cp-1/etc/kubernetes/scheduler.conf")).unwrap();
            let mut command = program::command(made.path(), &[&APPLY[..], more].concat());
            if to_full {
                command.stdout(full());
            }
            let output = made.heard(command.output().unwrap());
            let touched = is_changed(&made, &before);
            let expected = if touched { 11 } else { 1 };
            assert_eq!(code(&output), expected, "{more:?}, due: {is_due}: {}", stderr(&output));
            assert!(!stderr(&output).is_empty());
            if touched {
                assert!(stderr(&output).contains("warning: the run itself ended as its report says"));
            }
        }
    }
}

#[test]
fn what_cannot_be_opened_keeps_the_run_from_beginning() {
    let made = due("true");
    let before = made.listing();
    for more in [
        ["--report", "markdown=/nonexistent/x.md"],
        ["--report", "json=spec.yaml/x.json"],
        ["--requests", "/proc/nowhere"],
    ] {
        let output = made.pki(&[&APPLY[..], &more].concat());
        assert_eq!((code(&output), stdout(&output).as_str()), (1, ""), "{more:?}: {}", stderr(&output));
        assert_eq!(made.listing(), before, "{more:?}");
    }
}

#[test]
fn a_rollback_whose_report_cannot_be_written_has_touched_the_node_all_the_same() {
    let made = due("true");
    made.ends(0, &APPLY);
    let before = std::fs::read(made.at("cp-1/etc/kubernetes/scheduler.conf")).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output =
        program::command(made.path(), &["rollback", "-f", "spec.yaml", "--yes"]).stdout(full).output();
    let output = made.heard(output.unwrap());
    assert_eq!(code(&output), 1, "the plan could not be shown, so it is not carried out");
    assert!(!is_changed(&made, &before));
}

fn signal(run: &Child, name: &str) {
    assert!(
        Command::new("kill").args([&format!("-{name}"), &run.id().to_string()]).status().unwrap().success()
    );
}

/// A run that stands in the middle of a restart.
fn standing(made: &Made, more: &[&str]) -> Child {
    for fifo in ["started", "go"] {
        assert!(Command::new("mkfifo").arg(made.at(fifo)).status().unwrap().success());
    }
    let run = program::command(made.path(), &[&APPLY[..], more].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Opening a fifo waits for the other end, so the restart has begun after this.
    std::fs::read(made.at("started")).unwrap();
    run
}

fn ended(made: &Made, run: Child) -> Output {
    made.heard(run.wait_with_output().unwrap())
}

#[test]
fn a_second_signal_ends_the_program_with_a_sentence_and_an_exit_code() {
    for (name, format) in [("INT", "ndjson"), ("TERM", "text")] {
        let wait = "if [ -p ../go ]; then echo >../started; read line <../go; fi";
        let made = due(&format!("case $PKI_ROOT in */cp-1) {wait};; esac"));
        let run = standing(&made, &["--format", format]);
        signal(&run, name);
        // One that comes while the first one is still being delivered would be the same one to the kernel.
        std::thread::sleep(std::time::Duration::from_millis(300));
        signal(&run, name);
        let output = ended(&made, run);
        assert_eq!(output.status.code(), Some(11), "an exit status, and no signal: {}", stderr(&output));
        let sentence = "error: ended by a second signal: what was begun on cp-1 is undone by that node, or by the next run.";
        assert!(stderr(&output).contains(sentence), "{}", stderr(&output));
        if format == "ndjson" {
            let told = stdout(&output);
            let last: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
            assert_eq!(
                (&last["type"], &last["outcome"], &last["exit"], &last["touched"]),
                (&"outcome".into(), &"partial".into(), &11.into(), &true.into())
            );
        }
        std::fs::remove_file(made.at("go")).unwrap();
        let again = made.pki(&APPLY);
        assert_eq!(code(&again), 0, "the next run undoes it and goes on: {}", stderr(&again));
    }
}

#[test]
fn a_signal_before_anything_is_touched_says_so_by_its_own_number() {
    for (name, number) in [("INT", 130), ("TERM", 143)] {
        let made = due("true");
        let before = std::fs::read(made.at("cp-1/etc/kubernetes/scheduler.conf")).unwrap();
        // Somebody else holds the node, so that the run waits for the lock with its signals caught.
        let mut holder = Command::new("flock")
            .arg(made.at("cp-1/run/pki.lock"))
            .args(["sh", "-c", "echo held; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut held = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(holder.stdout.take().unwrap()), &mut held)
            .unwrap();
        let run = program::command(made.path(), &[&APPLY[..], &["--lock-timeout", "60s"]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_secs(2));
        signal(&run, name);
        std::thread::sleep(std::time::Duration::from_millis(200));
        signal(&run, name);
        let output = ended(&made, run);
        drop(holder.stdin.take());
        holder.wait().unwrap();
        assert!(!is_changed(&made, &before));
        // A run that saw the first signal while it waited says whose lock it is.
        assert!([number, 5].contains(&code(&output)), "{}{}", stdout(&output), stderr(&output));
        assert!(output.status.code().is_some());
    }
}
