//! What reviewers read of each kind of plan: Markdown as golden text, and how it fits where little room is given. The texts are those of the scenarios.
#![expect(clippy::disallowed_methods, reason = "the reports and the golden texts are files")]

use std::path::Path;
use std::time::Duration;

use pki::plan::Options;
use pki::plan::model::expected::ExpectedTime;
use pki::plan::model::outcome::{Failure, FailureKind, Outcome, Report, VisitEnd, VisitReport};
use pki::protocol::snapshots::EtcdSnapshot;
use pki::simulate::Plan;

use crate::scenario::scenarios::set_up;
use crate::support::cluster::{Cluster, ROOT, golden, normalised};
use crate::support::made::{Made, Spec};
use crate::support::program::words;

/// What a job's summary, a comment on a pull request and a small one may have, in bytes.
const BUDGETS: [usize; 3] = [1024 * 1024, 65_536, 4_096];

/// Each kind of plan: its golden text, its scenario, and whether an outage is accepted.
const KINDS: [(&str, &str, bool); 7] = [
    ("plan-nothing", "in-agreement", false),
    ("plan-certificate-due", "leaf-expiring", false),
    ("plan-ca-ends", "ca-expiring", false),
    ("plan-ca-replaced", "etcd-ca-distrusted", false),
    ("plan-blocked", "ca-of-two-nodes-foreign", false),
    ("plan-privileged", "privileged-certificates", false),
    ("plan-outage", "ca-of-two-nodes-foreign", true),
];

fn planned(scenario: &str, accept_outage: bool) -> (Plan, Cluster) {
    let cluster = set_up(&Path::new(ROOT).join("tests/scenarios").join(scenario)).unwrap();
    (cluster.plan(&Options { accept_outage, ..Options::default() }), cluster)
}

#[test]
fn each_kind_of_plan_reads_in_markdown_as_its_golden_text_says() {
    let ours = Cluster::unpack().report().digests();
    let mut differing = Vec::new();
    for (name, scenario, accept_outage) in KINDS {
        let (plan, cluster) = planned(scenario, accept_outage);
        let text = pki::output::markdown(&plan, None, BUDGETS[1]).replace(&plan.id, "<plan>");
        let text = normalised(&text, &ours).replace(cluster.path().to_str().unwrap(), "<folder>");
        differing.extend(golden(&Path::new(ROOT).join(format!("tests/golden/{name}.md")), &text).err());
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn head_errors_and_last_line_are_whole_in_every_budget() {
    for (name, scenario, accept_outage) in KINDS {
        let (plan, _cluster) = planned(scenario, accept_outage);
        let whole = pki::output::markdown(&plan, None, usize::MAX);
        let cut_at = ["\n| phase |", "\n| | What |", "\n<details>", "\nPlan `"];
        let ends = cut_at.iter().filter_map(|mark| whole.find(mark)).min().unwrap();
        let (head, _) = whole.split_at(ends);
        let (_, tail) = whole.split_at(whole.rfind("\nPlan `").unwrap());
        assert_eq!(
            head.matches("error: ").count(),
            pki::output::plan(&plan).matches("\nerror: ").count(),
            "{name}"
        );
        for budget in BUDGETS {
            let text = pki::output::markdown(&plan, None, budget);
            assert!(text.len() <= budget, "{name}: {} bytes of {budget}", text.len());
            assert!(text.starts_with(head) && text.ends_with(tail), "{name} in {budget} bytes: {text}");
            assert!(text.trim_end().ends_with("**") && tail.contains("**Plan: "), "{name}: {tail}");
            assert_eq!(text.matches("<details>").count(), text.matches("</details>").count(), "{name}");
            assert!(text.len() == whole.len() || budget < whole.len(), "{name}: cut although there is room");
        }
    }
}

#[test]
fn a_run_that_failed_tells_how_each_node_is_and_what_comes_next() {
    let made = Made::new();
    let fails = "  services: { kube-scheduler: { restart: { command: [/bin/sh, -c, 'case $PKI_ROOT in */cp-2) echo no such pod >&2; exit 1;; esac'] } } }\n";
    made.spec(&Spec { more: fails, ..Spec::renewing() });
    let only = ["--only", "scheduler.conf", "--only", "svc/kube-scheduler"];
    let reports = ["--report", "markdown=run.md", "--report", "text=run.txt", "--report", "json=run.json"];
    let text = made.ends(11, &[&["apply", "-f", "spec.yaml", "--yes"][..], &only, &reports].concat());
    let (_, report) = text.split_at(text.find("\napply ").unwrap());
    let run = report.split_whitespace().nth(1).unwrap();
    let told = |text: &str| text.replace(run, "<plan>").replace(made.path().to_str().unwrap(), "<folder>");
    let written = |name: &str| std::fs::read_to_string(made.at(name)).unwrap();
    golden(&Path::new(ROOT).join("tests/golden/apply-failed.txt"), &told(report)).unwrap();
    assert_eq!(written("run.txt"), report);
    let (head, folded) =
        written("run.md").split_once("<details>").map(|(a, b)| (told(a), b.to_owned())).unwrap();
    golden(&Path::new(ROOT).join("tests/golden/apply-failed.md"), &head).unwrap();
    assert!(folded.contains(&format!("pki plan {run} ")) && folded.contains("</details>"), "{folded}");
    let outcome: serde_json::Value = serde_json::from_str(&written("run.json")).unwrap();
    assert_eq!((&outcome["exit"], &outcome["touched"]), (&11.into(), &true.into()), "{outcome}");
    // Where there is less room, the plan goes first, and what came of it stays.
    let again = ["--report", "markdown=run.md", "--max-bytes", "1500", "--replace", "scheduler.conf@cp-1"];
    made.ends(11, &[&["apply", "-f", "spec.yaml", "--yes"][..], &only, &again].concat());
    let small = written("run.md");
    assert!(small.len() <= 1500, "{} bytes", small.len());
    assert!(small.contains("Because: ") && small.contains("Next: ") && small.contains("UNDONE"), "{small}");
}

/// What cannot be said in a comment, as a node may want it.
fn endless() -> [String; 2] {
    ["word ".repeat(20_000), "`".repeat(100_000)]
}

fn fits(text: &str, room: usize) {
    assert!(text.len() <= room, "{} bytes of {room}: {text}", text.len());
    let fences = text.lines().filter(|line| line.starts_with("```")).count();
    assert_eq!(fences % 2, 0, "{text}");
    assert!(text.contains("... cut: "), "{text}");
}

#[test]
fn errors_without_end_are_cut_and_it_is_said() {
    let (plan, _cluster) = planned("ca-of-two-nodes-foreign", false);
    let mut plan = (*plan).clone();
    for because in endless() {
        plan.blocked[0].because = because;
        for room in [4_096, 1_024] {
            let text = pki::output::markdown(&plan, None, room);
            fits(&text, room);
            assert!(text.starts_with("<!-- pki plan prod-eu1 -->\n### pki plan: blocked by "), "{text}");
            assert!(text.contains("\nPlan `") && text.trim_end().ends_with("**"), "{text}");
        }
    }
}

/// A run of the plan in which its visits ended so, and no later one was begun.
fn ended(plan: &Plan, ends: &[VisitEnd], because: String) -> Report {
    let place = plan.visits[0].place.clone();
    let ends = ends.iter().cloned().chain(std::iter::repeat(VisitEnd::NotStarted));
    let visits = plan.visits.iter().zip(ends);
    Report {
        run: plan.id.clone(),
        outcome: Outcome::Partial,
        visits: visits.map(|(visit, end)| VisitReport { place: visit.place.clone(), end }).collect(),
        failure: Some(Failure { place, step: None, kind: FailureKind::Step, because }),
        requests: Default::default(),
        remarks: Default::default(),
        spent: Default::default(),
    }
}

#[test]
fn a_plan_says_how_long_it_takes_and_its_report_what_the_time_went_into() {
    let (plan, _cluster) = planned("workers-two-at-once", false);
    // Three nodes, of which two are worked on at the same time.
    assert_eq!(ExpectedTime::of(&plan), ExpectedTime { work: 4, polls: 0, restarts: 4, settles: 0 });
    let told = words(&pki::output::plan(&plan));
    assert!(told.contains("Time about 8s: 4s work, 4s restarts visit 1"), "{told}");

    let restarts = plan.actions().filter(|action| action.restarts().is_some());
    let restarts: Vec<u32> = restarts.map(|action| action.number).collect();
    let mut report = ended(&plan, &[VisitEnd::Committed], "a cause".to_owned());
    // What was over at once is not gone into.
    report.spent.total = Duration::from_secs(9);
    assert!(!pki::output::report(&plan, &report).contains("Time: "));
    report.spent.total = Duration::from_secs(150);
    let times = [7_200, 61_000, 1_000].map(Duration::from_millis);
    report.spent.actions = restarts.into_iter().zip(times).collect();
    let told = words(&pki::output::report(&plan, &report));
    let lines = "Time: 2m30s (expected: about 8s) \
                 1m8s restart svc/kubelet: w-2 1m1s, w-1 7s \
                 1m22s everything else, a second or less each time";
    assert!(told.contains(lines), "{told}");
    let told = words(&pki::output::report_markdown(&plan, &report, 65_536));
    assert!(told.contains(lines), "{told}");
}

#[test]
fn a_failure_without_end_is_cut_and_it_is_said() {
    let (plan, _cluster) = planned("etcd-ca-distrusted", false);
    for because in endless() {
        for room in [4_096, 1_024] {
            let report = ended(&plan, &[VisitEnd::Committed], because.clone());
            let text = pki::output::report_markdown(&plan, &report, room);
            fits(&text, room);
            assert!(text.starts_with("<!-- pki apply prod-eu1 -->\n### pki apply "), "{text}");
        }
    }
}

#[test]
fn what_was_done_before_and_what_was_saved_counts_as_done() {
    let (plan, _cluster) = planned("etcd-ca-distrusted", false);
    let saved = VisitEnd::Saved(EtcdSnapshot {
        path: "/var/lib/pki/etcd/saved.db".to_owned(),
        run: plan.id.clone(),
        taken_at: "2026-12-01T00:00:00Z".parse().unwrap(),
        revision: 7,
        bytes: 4_128,
        sha256: pki::x509::Sha256::of(b""),
    });
    let told =
        |ends: &[VisitEnd]| words(&pki::output::report(&plan, &ended(&plan, ends, "a cause".to_owned())));
    let resumed = told(&[saved.clone(), VisitEnd::DoneBefore, VisitEnd::Committed]);
    let of = plan.visits.len();
    assert!(
        resumed.contains(&format!("`pki apply` goes on (3 of {of} done); or `pki rollback")),
        "{resumed}"
    );
    let nothing_new = told(&[saved, VisitEnd::DoneBefore]);
    assert!(!nothing_new.contains("pki rollback"), "nothing of this run can be taken back: {nothing_new}");
}
