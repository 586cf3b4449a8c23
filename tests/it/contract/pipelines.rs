//! What pipelines and monitoring read: Markdown that fits, counts, test cases, events, metrics.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use pki::output::schema::Document;
use pki::plan::Options;
use serde_json::Value;

use crate::contract::schema::conforms;
use crate::support::cluster::{Cluster, ROOT, golden, normalised};
use crate::support::made::{Made, Spec};
use crate::support::program;

/// The renewal of everything on three nodes, as it is compared: without what differs from run to run.
fn renewal() -> (pki::simulate::Plan, BTreeSet<String>) {
    let cluster = Cluster::unpack();
    let spec = std::fs::read_to_string(cluster.path().join("spec.yaml")).unwrap();
    let spec = spec.replace("validity: 365d, renewBefore: 30d", "validity: 730d, renewBefore: 400d");
    std::fs::write(cluster.path().join("spec.yaml"), spec).unwrap();
    (cluster.plan(&Options::default()), Cluster::unpack().report().digests())
}

#[test]
fn markdown_for_a_pull_request_reads_as_reviewed() {
    let (plan, ours) = renewal();
    let text = pki::output::markdown(&plan, None, 65_536);
    let text = normalised(&text, &ours).replace(&plan.id, "<plan>");
    golden(&Path::new(ROOT).join("tests/golden/plan-renewal.md"), &text).unwrap();
}

#[test]
fn markdown_keeps_its_ends_however_little_room_there_is() {
    let (plan, _) = renewal();
    let whole = pki::output::markdown(&plan, None, 1024 * 1024);
    assert!(whole.contains("```mermaid") && whole.contains("<details><summary>The whole plan"));
    for room in [65_536, 16_384, 4_096, 2_048] {
        let text = pki::output::markdown(&plan, None, room);
        assert!(text.len() <= room, "{} bytes of {room}", text.len());
        assert!(text.starts_with("<!-- pki plan prod-eu1 -->\n### pki plan: renew 33\n"), "{text}");
        assert!(
            text.ends_with("**Plan: renew 33, issue 0, trust 0, remove 0, restart 0, repair 0.**\n"),
            "{text}"
        );
        let whole_fences = text.lines().filter(|line| line.starts_with("```")).count();
        assert_eq!(whole_fences % 2, 0, "a fence is left open: {text}");
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
        assert!(
            text.len() == whole.len() || text.contains("... cut: "),
            "{room}: it is not said that something is cut"
        );
    }
}

#[test]
fn the_errors_of_a_blocked_plan_stand_outside_of_what_is_folded_and_cut() {
    let made = Made::new();
    let [leaf, ca] = ["apiserver", "ca"].map(|name| made.at(&format!("cp-2/etc/kubernetes/pki/{name}.crt")));
    std::fs::copy(leaf, ca).unwrap();
    let text = made.ends(3, &["plan", "-f", "spec.yaml", "--format", "markdown", "--max-bytes", "4096"]);
    let errors = text.find("error: ca/ca@cp-2").unwrap();
    assert!(text.len() <= 4_096 && errors < text.find("<details>").unwrap_or(text.len()), "{text}");
    assert!(text.contains("### pki plan: blocked by 1 error\n"), "{text}");
    assert!(text.ends_with("**Plan: blocked by 1 error.**\n"), "{text}");
}

#[test]
fn nothing_to_do_is_said_in_a_few_lines() {
    let made = Made::new();
    let text = made.ends(0, &["plan", "-f", "spec.yaml", "--format", "markdown"]);
    assert!(
        text.contains("### pki plan: no changes\n") && text.ends_with("**Plan: nothing to do.**\n"),
        "{text}"
    );
}

/// Each kind of thing that could mean something where it is shown.
const HOSTILE: [&str; 3] =
    ["x|y`z``</details><script>@everyone", "[a](b) ::error::c %0A::error::d", "\u{202e}gnp.exe \u{1b}[31m"];

#[test]
fn a_hostile_subject_means_nothing_in_any_rendering() {
    let made = Made::new();
    // A certificate that somebody has put there, whose subject is a trap.
    let folder = made.at("cp-2/etc/kubernetes/pki");
    let openssl = crate::support::openssl::Openssl::new();
    let [first, second, third] = HOSTILE.map(|text| text.replace('/', "\\/"));
    let subject = format!("/O={first}/OU={second}/CN={third}");
    let (key, crt) = (folder.join("apiserver.key"), folder.join("apiserver.crt"));
    let [request, serial] = [openssl.path("request.pem"), openssl.path("serial")];
    let paths = [&key, &request, &folder.join("ca.crt"), &folder.join("ca.key"), &crt, &serial]
        .map(|path| path.display().to_string());
    openssl.run(&["req", "-new", "-utf8", "-key", &paths[0], "-subj", &subject, "-out", &paths[1]]);
    openssl.run(&[
        "x509",
        "-req",
        "-in",
        &paths[1],
        "-CA",
        &paths[2],
        "-CAkey",
        &paths[3],
        "-CAcreateserial",
        "-CAserial",
        &paths[5],
        "-days",
        "9",
        "-out",
        &paths[4],
    ]);
    let all = ["markdown", "text", "json", "gitlab"].map(|kind| (kind, format!("{kind}={kind}.out")));
    let mut arguments = vec!["plan", "-f", "spec.yaml"];
    arguments.extend(all.iter().flat_map(|(_, report)| ["--report", report]));
    made.ends(0, &arguments);
    made.ends(
        0,
        &[
            "status",
            "-f",
            "spec.yaml",
            "--report",
            "junit=junit.out",
            "--report",
            "prometheus=prometheus.out",
            "--report",
            "text=status.out",
        ],
    );
    for name in ["markdown", "text", "json", "gitlab", "junit", "prometheus", "status"] {
        let text = std::fs::read_to_string(made.at(&format!("{name}.out"))).unwrap();
        let deceives = |character: char| {
            character != '\n' && (character.is_control() || ('\u{202a}'..='\u{202e}').contains(&character))
        };
        assert!(!text.contains(deceives), "{name}: {text}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{name}: {text}");
    }
    let markdown = std::fs::read_to_string(made.at("markdown.out")).unwrap();
    // Only in fences and code spans: what is left without them has none of it.
    let mut fence: Option<String> = None;
    let outside = markdown.lines().filter(|line| {
        let marks: String = line.chars().take_while(|character| *character == '`').collect();
        match &fence {
            Some(open) if *line == open.as_str() => fence = None,
            None if marks.len() >= 3 => fence = Some(marks),
            Some(_) => return false,
            None => return true,
        }
        false
    });
    let outside: String = outside.filter(|line| !line.starts_with('|')).collect::<Vec<_>>().join("\n");
    assert!(!outside.contains("script") && !outside.contains("@everyone"), "{outside}");
    assert_eq!(markdown.lines().filter(|line| *line == "</details>").count(), 1, "{markdown}");
    let junit =
        quick_junit::Report::deserialize_from_str(&std::fs::read_to_string(made.at("junit.out")).unwrap())
            .unwrap();
    assert!(junit.failures > 0);
    promtool(&made.at("prometheus.out"));
}

#[test]
fn one_look_gives_every_rendering() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let shown = made.ends(
        0,
        &[
            "plan",
            "-f",
            "spec.yaml",
            "--report",
            "markdown=a.md",
            "--report",
            "gitlab=b.json",
            "--report",
            "json=c.json",
            "--report",
            "text=d.txt",
        ],
    );
    let read = |name: &str| std::fs::read_to_string(made.at(name)).unwrap();
    assert_eq!(read("d.txt"), shown);
    assert_eq!(
        read("b.json").split_whitespace().collect::<String>(),
        "{\"create\":0,\"update\":33,\"delete\":0}"
    );
    let plan: Value = serde_json::from_str(&read("c.json")).unwrap();
    assert_eq!(plan["summary"]["renew"], 33);
    assert!(read("a.md").starts_with("<!-- pki plan prod-eu1 -->"));
    made.ends(64, &["plan", "-f", "spec.yaml", "--report", "html=a.html"]);
    made.ends(1, &["plan", "-f", "spec.yaml", "--report", "text=nowhere/a.txt"]);
}

fn events(text: &str) -> Vec<Value> {
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        assert_eq!(conforms(Document::Event, event), Ok(()), "{event}");
    }
    events
}

#[test]
fn events_tell_the_whole_run_and_always_end_with_an_outcome() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let told = events(&made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--format", "ndjson"]));
    let kinds: Vec<&str> = told.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!((kinds[0], kinds[1], kinds.last()), ("version", "visit_start", Some(&"outcome")));
    assert_eq!(kinds.iter().filter(|kind| **kind == "verify").count(), 3);
    let [started, ended] =
        ["step_start", "step_done"].map(|kind| kinds.iter().filter(|known| **known == kind).count());
    assert_eq!(started, ended + 3);
    assert_eq!(
        *told.last().unwrap(),
        serde_json::json!({"type": "outcome", "outcome": "done", "exit": 0, "touched": true})
    );

    for (code, arguments) in [
        (6, vec!["apply", "-f", "spec.yaml", "--no-input", "--format", "ndjson"]),
        (65, vec!["apply", "-f", "nowhere.yaml", "--yes", "--format", "ndjson"]),
        (1, vec!["apply", "nowhere.json", "--yes", "--format", "ndjson"]),
    ] {
        let told = events(&made.ends(code, &arguments));
        let last = told.last().unwrap();
        assert_eq!(
            (last["type"].as_str(), last["exit"].as_i64()),
            (Some("outcome"), Some(code.into())),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_status_is_test_cases_and_metrics() {
    let made = Made::new();
    std::fs::remove_file(made.at("cp-2/etc/kubernetes/pki/apiserver.crt")).unwrap();
    let junit =
        made.ends(0, &["status", "-f", "spec.yaml", "--format", "junit", "--report", "prometheus=pki.prom"]);
    let report = quick_junit::Report::deserialize_from_str(&junit).unwrap();
    assert_eq!((report.tests, report.failures), (36, 1), "{junit}");
    let metrics = std::fs::read_to_string(made.at("pki.prom")).unwrap();
    promtool(&made.at("pki.prom"));
    let has = |line: &str| assert!(metrics.lines().any(|known| known.starts_with(line)), "{line}\n{metrics}");
    has(
        "x509_cert_not_after{cluster=\"prod-eu1\",filename=\"apiserver.crt\",filepath=\"/etc/kubernetes/pki/apiserver.crt\",issuer_CN=\"kubernetes\",node=\"cp-1\",pki_id=\"apiserver@cp-1\",serial_number=\"",
    );
    has("x509_cert_expired{");
    has("x509_cert_not_before{");
    has("pki_drift_objects{cluster=\"prod-eu1\",effect=\"due\"} 1");
    has("pki_last_observe_success{cluster=\"prod-eu1\",node=\"cp-1\"} 1");
    has("pki_transaction_open{cluster=\"prod-eu1\",node=\"cp-1\"} 0");
    assert!(!metrics.contains("node=\"cp-2\",pki_id=\"apiserver@cp-2\""), "what is not there has no end");
}

#[test]
fn a_validation_is_test_cases() {
    let made = Made::new();
    std::fs::write(made.at("bad.yaml"), "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: a }\nspec: { profil: etcd, nodes: {} }\n").unwrap();
    let output = made.pki(&["validate", "spec.yaml", "bad.yaml", "--report", "junit=junit.xml"]);
    assert_eq!(program::code(&output), 65);
    let report =
        quick_junit::Report::deserialize_from_str(&std::fs::read_to_string(made.at("junit.xml")).unwrap())
            .unwrap();
    assert_eq!((report.tests, report.failures), (2, 1));
}

#[test]
fn an_overlay_gives_a_spec_and_the_completions_are_a_program_of_the_shell() {
    let overlay = Path::new(ROOT).join("examples/gitops/overlays/prod");
    // Before 1.21 kubectl had a kustomize that knows no names of targets.
    match Command::new("kubectl").arg("kustomize").arg(overlay).output() {
        Ok(output) if output.status.success() => {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("built.yaml"), output.stdout).unwrap();
            let output = program::pki(folder.path(), &["validate", "built.yaml"]);
            assert_eq!(program::stdout(&output), "valid: prod   profile kubeadm   3 nodes   built.yaml\n");
        }
        Ok(_) | Err(_) => {
            crate::support::cluster::left_out("an overlay", "there is no kubectl that builds it")
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let script = program::stdout(&program::pki(folder.path(), &["completions", "bash"]));
    assert!(script.contains("--expect-digest") && script.contains("observe"));
    std::fs::write(folder.path().join("completions"), script).unwrap();
    let checked = Command::new("bash").arg("-n").arg(folder.path().join("completions")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn every_alert_rule_fires_for_its_cause() {
    let alerts = Path::new(ROOT).join("tests/alerts.yaml");
    match Command::new("promtool").args(["test", "rules"]).arg(alerts).output() {
        Ok(output) => {
            let [said, errors] =
                [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            assert!(output.status.success(), "{said}{errors}");
        }
        Err(_) => crate::support::cluster::left_out("promtool", "it is not installed"),
    }
}

/// Each line parses and follows the rules for names, as Prometheus sees it.
pub(crate) fn promtool(file: &Path) {
    let input = std::fs::File::open(file).unwrap();
    match Command::new("promtool").args(["check", "metrics"]).stdin(input).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
        }
        Err(_) => crate::support::cluster::left_out("promtool", "it is not installed"),
    }
}
