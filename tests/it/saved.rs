//! Plans and facts as files: what is applied is what was reviewed, or nothing. Each rule of staleness comes in pairs: what the plan needs, and what it does not.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::cli;
use crate::made::{Made, Spec};

/// A cluster in which every certificate is due, and the plan that renews them as `plan.json`.
fn planned() -> Made {
    let made = Made::new();
    made.spec(&Spec::renewing());
    made.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    made
}

fn edit(made: &Made, change: impl FnOnce(&mut Value)) {
    let mut plan: Value = serde_json::from_slice(&std::fs::read(made.at("plan.json")).unwrap()).unwrap();
    change(&mut plan);
    std::fs::write(made.at("plan.json"), serde_json::to_string_pretty(&plan).unwrap()).unwrap();
}

/// What is said when the plan is refused, upon which nothing has changed.
#[track_caller]
fn refused(made: &Made, code: i32, more: &[&str]) -> String {
    let before = made.listing();
    let output = made.pki(&[&["apply", "plan.json", "--yes"], more].concat());
    let said = cli::stderr(&output);
    assert_eq!(cli::code(&output), code, "{said}{}", cli::stdout(&output));
    assert!(made.listing() == before, "something was touched");
    said
}

#[test]
fn a_saved_plan_is_for_its_owner_and_shown_as_it_was() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let told = made.pki(&["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    let shown = made.ends(0, &["show", "plan.json"]);
    assert_eq!(shown, cli::stdout(&told));
    let file = made.at("plan.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let digest = pki::x509::Sha256::of(text.as_bytes()).to_string();
    assert!(cli::stderr(&told).contains(&format!("digest  sha256:{digest}")), "{}", cli::stderr(&told));
    assert!(cli::stderr(&told).contains("apply   pki apply plan.json"));
    let plan: pki::plan::Plan = pki::saved::from_text(text.as_bytes()).unwrap();
    assert_eq!(pki::saved::to_text(&plan), text, "canonical: read and written again it is the same");
    assert!(plan.is_as_made());
    made.ends(2, &["show", "plan.json", "--exit-code"]);
    made.no_secret_was_told();
}

#[test]
fn a_saved_plan_is_applied_and_once_more_does_nothing() {
    let made = planned();
    let digest = pki::x509::Sha256::of(&std::fs::read(made.at("plan.json")).unwrap());
    let expect = format!("sha256:{digest}");
    made.ends(0, &["apply", "plan.json", "--yes", "--expect-digest", &expect]);
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    let done = made.listing();
    let again = made.pki(&["apply", "plan.json", "--yes"]);
    assert_eq!(cli::code(&again), 0);
    assert!(cli::stderr(&again).contains("is done already: nothing was touched"), "{}", cli::stderr(&again));
    assert!(made.listing() == done);
}

#[test]
fn what_one_run_has_left_undone_the_same_plan_finishes() {
    let made = Made::empty();
    made.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    made.ends(0, &["apply", "plan.json", "--yes"]);
    // As if only the first node, which makes the CAs, had been reached.
    for node in ["cp-2", "cp-3"] {
        std::fs::remove_dir_all(made.at(node)).unwrap();
    }
    let first = made.at("cp-1/etc/kubernetes/pki/ca.crt");
    let ca = std::fs::read(&first).unwrap();
    let said = made.ends(0, &["apply", "plan.json", "--yes"]);
    assert!(said.contains("cp-1  done before") && said.contains("cp-3  done, checked, kept"), "{said}");
    assert_eq!(std::fs::read(made.at("cp-3/etc/kubernetes/pki/ca.crt")).unwrap(), ca);
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
}

#[test]
fn a_plan_from_another_spec_is_stale() {
    let made = planned();
    made.spec(&Spec { defaults: "validity: 731d, renewBefore: 400d", more: "" });
    let said = refused(&made, 4, &[]);
    assert!(said.contains("stale: spec.yaml has changed: the plan was made from sha256:"), "{said}");
    // The same text at another place is the same spec.
    made.spec(&Spec::renewing());
    std::fs::rename(made.at("spec.yaml"), made.at("moved.yaml")).unwrap();
    made.ends(0, &["apply", "plan.json", "--yes", "-f", "moved.yaml"]);
}

#[test]
fn a_plan_is_stale_when_a_file_has_changed_that_it_needs_and_no_other() {
    let made = planned();
    // Nothing of this plan goes by it.
    std::fs::write(made.at("cp-2/etc/kubernetes/manifests"), "").unwrap_or_else(|_| {
        std::fs::write(made.at("cp-2/etc/kubernetes/manifests/of-nobody.yaml"), "a: 1\n").unwrap();
    });
    let [ours, other] = ["cp-2", "cp-3"].map(|node| made.at(node).join("etc/kubernetes/pki/apiserver.crt"));
    let kept = std::fs::read(&ours).unwrap();
    std::fs::copy(other, &ours).unwrap();
    let said = refused(&made, 4, &[]);
    let named = said.lines().find(|line| line.contains("/etc/kubernetes/pki/apiserver.crt was certificate "));
    assert!(
        named.is_some_and(|line| line.contains("error: stale: cp-2 ") && line.contains("(written 20")),
        "{said}"
    );
    assert_eq!(said.matches("error: stale").count(), 1, "{said}");
    std::fs::write(&ours, kept).unwrap();
    made.ends(0, &["apply", "plan.json", "--yes"]);
}

#[test]
fn the_key_of_the_signer_is_needed_too() {
    let made = planned();
    std::fs::remove_file(made.at("cp-1/etc/kubernetes/pki/etcd/ca.key")).unwrap();
    let said = refused(&made, 4, &[]);
    assert!(said.contains("cp-1 /etc/kubernetes/pki/etcd/ca.key was key with spki"), "{said}");
}

#[test]
fn a_plan_ages() {
    let made = planned();
    edit(&made, |plan| plan["expires_at"] = "2026-01-01T00:00:00Z".into());
    let said = refused(&made, 4, &[]);
    assert!(said.contains("stale: it was good until 2026-01-01 00:00Z"), "{said}");
}

#[test]
fn everything_that_speaks_against_a_plan_is_said_at_once() {
    let made = planned();
    edit(&made, |plan| plan["expires_at"] = "2026-01-01T00:00:00Z".into());
    made.spec(&Spec::default());
    let said = refused(&made, 4, &["--expect-digest", &"ab".repeat(32)]);
    for reason in ["was approved", "it was good until", "spec.yaml has changed"] {
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn another_major_format_is_refused_and_a_later_minor_one_is_read() {
    let made = planned();
    edit(&made, |plan| plan["format_version"] = "2.0".into());
    let said = refused(&made, 4, &[]);
    assert!(said.contains("it has format 2.0, and this program knows 1.0"), "{said}");
    edit(&made, |plan| {
        plan["format_version"] = "1.7".into();
        plan["of_later"] = "unknown".into();
    });
    made.ends(0, &["show", "plan.json"]);
}

#[test]
fn what_is_no_plan_is_refused() {
    let made = Made::new();
    for text in ["", "{", "[]", "{\"format_version\": \"1.0\"}", "\u{0}\u{1}"] {
        std::fs::write(made.at("plan.json"), text).unwrap();
        let said = refused(&made, 65, &[]);
        assert!(said.contains("error: `plan.json`: this is not what this program has written"), "{said}");
    }
}

#[test]
fn a_plan_that_was_edited_so_that_it_breaks_something_is_refused_with_what_it_breaks() {
    let made = planned();
    edit(&made, |plan| {
        let visits = plan["visits"].as_array_mut().unwrap();
        let actions = visits.iter_mut().flat_map(|visit| visit["actions"].as_array_mut().unwrap());
        for action in actions.filter(|action| action["address"] == "etcd-server@cp-2") {
            action["deed"]["ip"] = Value::Array(Vec::new());
            action["deed"]["dns"] = vec![Value::from("somewhere.else")].into();
        }
    });
    let said = refused(&made, 3, &[]);
    assert!(said.contains("the plan would break something") && said.contains("etcd@cp-2"), "{said}");
}

#[test]
fn a_plan_that_was_edited_at_all_is_refused() {
    let made = planned();
    edit(&made, |plan| plan["visits"][0]["actions"].as_array_mut().unwrap().truncate(2));
    let said = refused(&made, 4, &[]);
    assert!(said.contains("its name no longer fits what it says"), "{said}");
}

#[test]
fn a_run_ends_with_a_phase_of_its_plan_and_no_other_is_accepted() {
    let made = planned();
    let said = refused(&made, 64, &["--until-phase", "quorum"]);
    assert!(
        said.contains(
            "error: --until-phase: this plan has no phase quorum; its only phase is ordinary (to do"
        ),
        "{said}"
    );
    let said = refused(&made, 64, &["--until-phase", "soak"]);
    assert!(said.contains("no phase is called so; there are etcd-snapshot, quorum, ordinary"), "{said}");
    let output = made.pki(&["plan", "-f", "spec.yaml", "--until-phase", "quorum"]);
    assert_eq!(cli::code(&output), 64, "{}", cli::stderr(&output));
    // The last phase is the whole of it, and nothing to do is no fault of the phase.
    made.ends(0, &["apply", "plan.json", "--yes", "--until-phase", "ordinary"]);
    made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--until-phase", "quorum"]);
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
}

#[test]
fn a_plan_that_cannot_be_applied_is_not_saved() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let as_of = ["plan", "-f", "spec.yaml", "-o", "plan.json", "--as-of", "2027-01-31T00:00:00Z"];
    made.ends(0, &as_of);
    assert!(!made.at("plan.json").exists());
}

#[test]
fn from_facts_the_same_plan_is_made_without_any_node() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    made.ends(0, &["observe", "-f", "spec.yaml", "-o", "facts.json"]);
    assert_eq!(std::fs::metadata(made.at("facts.json")).unwrap().permissions().mode() & 0o7777, 0o600);
    let seen = made.ends(0, &["plan", "-f", "spec.yaml"]);
    let away = made.at("away");
    std::fs::create_dir(&away).unwrap();
    for node in crate::cluster::NODES {
        std::fs::rename(made.at(node), away.join(node)).unwrap();
    }
    let told = made.ends(0, &["plan", "-f", "spec.yaml", "--facts", "facts.json", "-o", "plan.json"]);
    // Their instants differ, and with them what is called after them.
    let timeless = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("pki plan ") && !line.contains("->"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(timeless(&told), timeless(&seen));
    for node in crate::cluster::NODES {
        std::fs::rename(away.join(node), made.at(node)).unwrap();
    }
    made.ends(0, &["apply", "plan.json", "--yes"]);
    made.no_secret_was_told();
}

#[test]
fn facts_of_another_cluster_are_refused_and_what_they_do_not_say_is_unknown() {
    let made = Made::new();
    made.ends(0, &["observe", "-f", "spec.yaml", "-o", "facts.json"]);
    let mut facts: Value = serde_json::from_slice(&std::fs::read(made.at("facts.json")).unwrap()).unwrap();
    facts["observed"]["nodes"].as_object_mut().unwrap().remove("cp-2");
    std::fs::write(made.at("less.json"), facts.to_string()).unwrap();
    let said = made.ends(3, &["plan", "-f", "spec.yaml", "--facts", "less.json"]);
    assert!(said.contains("cp-2") && said.contains("the node was not asked"), "{said}");
    facts["cluster"] = "another".into();
    std::fs::write(made.at("other.json"), facts.to_string()).unwrap();
    made.ends(64, &["plan", "-f", "spec.yaml", "--facts", "other.json"]);
}
