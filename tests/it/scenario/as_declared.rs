//! That a cluster matches its spec, and how much of it there is, is said only of what was wholly looked at; and every view knows the same states.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use pki::agent::Local;
use pki::protocol::command::Begin;
use pki::protocol::node::Host as _;
use serde_json::Value;

use crate::support::begin::begin;
use crate::support::made::{Made, Spec};
use crate::support::program::{stdout, words};

const PLAN: [&str; 3] = ["plan", "-f", "spec.yaml"];

fn edit(made: &Made, from: &str, to: &str) {
    let text = std::fs::read_to_string(made.at("spec.yaml")).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(made.at("spec.yaml"), text.replace(from, to)).unwrap();
}

#[test]
fn a_match_is_said_of_what_matches() {
    let made = Made::new();
    let text = made.ends(0, &PLAN);
    assert!(text.contains("No changes. prod-eu1 matches spec.yaml."), "{text}");
}

/// Each is valid, changes nothing now, and is no match: what is said instead.
#[test]
fn what_is_declared_and_has_no_effect_yet_is_no_match() {
    let nodes = "cp-3: { address: 10.0.0.13, roles: [control-plane, etcd]";
    let more = |text: &'static str| Spec { more: text, ..Spec::default() };
    let cases: [(Spec<'_>, (&str, &str), &str, &str); 5] = [
        (
            Spec { defaults: "validity: 90d, renewBefore: 30d", more: "" },
            ("", ""),
            "Nothing to do; 30 declared values differ until the next renewal: validity 365d -> 90d (30).",
            "made for 365d, and 90d is declared",
        ),
        (
            Spec { defaults: "validity: 20y, renewBefore: 30d, authorityValidity: 21y", more: "" },
            ("", ""),
            "Nothing to do;",
            "declared",
        ),
        (
            more(
                "  certificates: { apiserver: { files: { certificate: /etc/kubernetes/pki/apiserver.crt, key: /etc/kubernetes/pki/apiserver.key, mode: \"0640\" } } }\n",
            ),
            ("", ""),
            "3 declared values differ until the next renewal: mode 0600 -> 0640 (3).",
            "apiserver.key has mode 0600, tighter than the declared 0640",
        ),
        (
            more("  authorities: { ca: { external: true } }\n"),
            ("", ""),
            "Nothing to do; 3 things are not as declared and left alone.",
            "ca.key holds the key that the spec says is elsewhere",
        ),
        (
            Spec::default(),
            (nodes, "cp-3: { address: 10.0.0.13, roles: [control-plane]"),
            "Nothing to do; 1 thing is not as declared and left alone.",
            "manifests/etcd.yaml is there, and the spec does not give this node the role etcd",
        ),
    ];
    for (spec, (from, to), head, note) in cases {
        let made = Made::new();
        made.spec(&spec);
        if !from.is_empty() {
            edit(&made, from, to);
            let manifests = made.at("cp-3/etc/kubernetes/manifests");
            std::fs::create_dir_all(&manifests).unwrap();
            std::fs::write(manifests.join("etcd.yaml"), "kind: Pod\n").unwrap();
        }
        let output = made.pki(&PLAN);
        let text = words(&stdout(&output));
        assert!(!text.contains("matches"), "{text}");
        assert!(text.contains(head), "{head}: {text}");
        assert!(text.contains(note), "{note}: {text}");
    }
}

#[test]
fn what_an_option_leaves_out_is_no_match() {
    let made = Made::new();
    let text = made.ends(0, &[&PLAN[..], &["--only", "etcd-server"]].concat());
    assert!(text.contains("Nothing to do for etcd-server.") && !text.contains("matches"), "{text}");
    std::fs::remove_file(made.at("cp-2/etc/kubernetes/pki/apiserver.crt")).unwrap();
    let text = made.ends(0, &[&PLAN[..], &["--only", "etcd-server"]].concat());
    assert!(text.contains("1 thing is due outside --only."), "{text}");
    let made = Made::new();
    let text = made.ends(0, &[&PLAN[..], &["--skip-node", "cp-3"]].concat());
    assert!(text.contains("Nothing to do on the 2 nodes that were seen."), "{text}");
    assert!(text.contains("22 certificates and 3 CAs on 2 nodes, 11 not seen (cp-3)"), "{text}");
    let text = made.ends(0, &[&PLAN[..], &["--as-of", "2026-12-24T00:00:00Z"]].concat());
    assert!(!text.contains("matches"), "{text}");
}

#[test]
fn unknown_counts_are_no_numbers() {
    for away in 0..=3 {
        let made = Made::new();
        std::fs::remove_file(made.at("cp-1/etc/kubernetes/pki/apiserver.crt")).unwrap();
        let nodes = ["cp-3", "cp-2", "cp-1"];
        for node in nodes.iter().take(away) {
            std::fs::rename(made.at(node), made.at(&format!("away-{node}"))).unwrap();
            edit(&made, &format!("root: ./{node}, create: true"), &format!("root: ./{node}"));
        }
        let text = words(&stdout(&made.pki(&PLAN)));
        let seen = 33 - 11 * away;
        let unchanged = if away == 3 { 0 } else { seen - 1 };
        let counted = match away {
            0 => "32 certificates unchanged.".to_owned(),
            1 => format!("{unchanged} certificates unchanged, 11 not seen (cp-3)."),
            2 => format!("{unchanged} certificates unchanged, 22 not seen (cp-2, cp-3)."),
            _ => "0 certificates unchanged, 33 not seen (cp-1, cp-2, cp-3).".to_owned(),
        };
        assert!(text.contains(&counted), "{away} away: {counted}: {text}");
        assert!(!text.contains("at least"), "{away} away, and nothing was seen to run: {text}");
        if away == 0 {
            assert!(
                text.contains("no process was seen on these nodes, so nothing was checked live"),
                "{text}"
            );
        }
    }
}

#[test]
fn an_interrupted_run_is_in_every_view() {
    let made = Made::new();
    let status = ["status", "-f", "spec.yaml"];
    let with = |more: &[&'static str]| [&status[..], more].concat();
    made.ends(0, &with(&["--exit-code"]));
    let begin = Begin {
        replace_foreign: ["/data/link".to_owned()].into(),
        ..begin("7f3a-91c2", &["/etc/kubernetes/admin.conf"])
    };
    let mut local = Local::new(Some(made.at("cp-2")), jiff::Timestamp::now);
    local.begin(&begin).unwrap();
    drop(local);
    made.ends(3, &with(&["--exit-code"]));
    let text = words(&made.ends(0, &status));
    assert!(text.contains("open node@cp-2 run 7f3a-91c2 of"), "{text}");
    assert!(text.contains("was interrupted and is not undone yet (a test)"), "{text}");
    assert!(text.ends_with("alarms 1."), "{text}");
    let json: Value = serde_json::from_str(&made.ends(0, &with(&["--format", "json"]))).unwrap();
    let run = &json["interrupted"][0];
    assert_eq!(
        (&run["node"], &run["run"], &run["state"]),
        (&"cp-2".into(), &"7f3a-91c2".into(), &"interrupted".into())
    );
    let junit = made.ends(0, &with(&["--format", "junit"]));
    assert!(junit.contains("<error") && junit.contains("run 7f3a-91c2 of"), "{junit}");
    let metrics = made.ends(0, &with(&["--format", "prometheus"]));
    for line in [
        "pki_transaction_open{cluster=\"prod-eu1\",node=\"cp-2\"} 1",
        "pki_alarm{cluster=\"prod-eu1\",node=\"cp-2\",pki_id=\"node@cp-2\",state=\"interrupted\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[test]
fn an_alarm_is_in_every_view() {
    let made = Made::new();
    let later = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 400)).to_string();
    let status = ["status", "-f", "spec.yaml", "--as-of", &later];
    let with = |more: &[&'static str]| [&status[..], more].concat();
    made.ends(3, &with(&["--exit-code"]));
    assert!(made.ends(0, &status).contains("expired  "));
    assert!(made.ends(0, &with(&["--format", "json"])).contains("\"state\": \"expired\""));
    assert!(made.ends(0, &with(&["--format", "junit"])).contains("it has expired"));
    assert!(made.ends(0, &with(&["--format", "prometheus"])).contains("state=\"expired\"} 1"));
}
