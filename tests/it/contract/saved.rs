//! Plans and facts as files: what is applied is what was reviewed, or nothing. Each rule of staleness comes in pairs: what the plan needs, and what it does not.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::os::unix::fs::PermissionsExt as _;

use pki::agent::Local;
use pki::protocol::command::WriteCommand;
use pki::protocol::node::Host as _;
use serde_json::Value;

use crate::security::forged_plans::named;
use crate::support::begin::begin;
use crate::support::made::{Made, Spec};
use crate::support::program;

/// A cluster in which every certificate is due, and the plan that renews them as `plan.json`.
fn planned() -> Made {
    let made = Made::new();
    made.spec(&Spec::renewing());
    made.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    made
}

/// Edits the plan and gives it a name that fits.
fn edit(made: &Made, change: impl FnOnce(&mut Value)) {
    let mut plan: Value = serde_json::from_slice(&std::fs::read(made.at("plan.json")).unwrap()).unwrap();
    change(&mut plan);
    std::fs::write(made.at("plan.json"), named(plan).to_string()).unwrap();
}

/// What is said when the plan is refused, upon which nothing has changed.
#[track_caller]
fn refused(made: &Made, code: i32, more: &[&str]) -> String {
    let before = made.listing();
    let output = made.pki(&[&["apply", "plan.json", "--yes"], more].concat());
    let said = program::stderr(&output);
    assert_eq!(program::code(&output), code, "{said}{}", program::stdout(&output));
    assert!(made.listing() == before, "something was touched");
    said
}

#[test]
fn a_saved_plan_is_for_its_owner_and_shown_as_it_was() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let told = made.pki(&["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    let shown = made.ends(0, &["show", "plan.json"]);
    assert_eq!(shown, program::stdout(&told));
    let file = made.at("plan.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let digest = pki::x509::Sha256::of(text.as_bytes()).to_string();
    assert!(
        program::stderr(&told).contains(&format!("digest  sha256:{digest}")),
        "{}",
        program::stderr(&told)
    );
    assert!(program::stderr(&told).contains("apply   pki apply plan.json"));
    let plan = pki::plan::SavedPlan::read(text.as_bytes()).unwrap();
    assert_eq!(pki::protocol::file::to_text(&plan), text, "canonical: read and written again it is the same");
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
    assert_eq!(program::code(&again), 0);
    assert!(program::stderr(&again).contains(" is already applied, 20"), "{}", program::stderr(&again));
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
fn what_a_plan_only_undoes_may_undo_itself_before_it_is_applied() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    let plan = ["plan", "-f", "spec.yaml", "-o", "plan.json"];
    // By the node, as when its timer goes off; by that plan, which is then applied a second time.
    for by_itself in [true, false] {
        interrupted(&made);
        let shown = made.ends(0, &plan);
        assert!(shown.contains("what an interrupted run left half done is undone"), "{shown}");
        if by_itself {
            made.ends(0, &["node", "undo", "--state-directory", "/var/lib/pki", "--root", "cp-2"]);
        } else {
            made.ends(0, &["apply", "plan.json", "--yes"]);
        }
        let before = made.listing();
        let output = made.pki(&["apply", "plan.json", "--yes"]);
        let said = program::stderr(&output);
        assert_eq!(program::code(&output), 0, "{said}");
        assert!(
            said.contains("has nothing left to undo") && said.contains("pki plan -f spec.yaml"),
            "{said}"
        );
        assert!(made.listing() == before, "something was touched");
        made.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    }
}

/// Leaves on a node what a run leaves that is killed there.
fn interrupted(made: &Made) {
    let mut local = Local::new(Some(made.at("cp-2")), jiff::Timestamp::now);
    let path = "/etc/kubernetes/half-done".to_owned();
    let begin = begin("7f3a-91c2", &[&path]);
    local.begin(&begin).unwrap();
    local.perform(WriteCommand::MakeLink { path, target: "pki".to_owned() }).unwrap();
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
    std::fs::write(made.at("cp-2/etc/kubernetes/of-nobody.yaml"), "a: 1\n").unwrap();
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
    // Whatever it says of its end itself.
    edit(&made, |plan| plan["expires_at"] = "2026-01-01T00:00:00Z".into());
    made.ends(0, &["show", "plan.json"]);
    edit(&made, |plan| plan["created"] = "2026-01-01T00:00:00Z".into());
    let said = refused(&made, 4, &[]);
    assert!(said.contains("stale: it expired 2026-01-08 00:00Z"), "{said}");
    assert!(said.contains("make it again, or `pki apply plan.json --replan-if-equal`"), "{said}");
}

#[test]
fn a_plan_that_is_too_old_is_applied_if_planning_today_gives_the_same() {
    let made = Made::new();
    made.spec(&Spec { defaults: "validity: 730d, renewBefore: 400d", more: "" });
    // Two seconds, and no certificate ends before that.
    made.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json", "--valid-for", "1s"]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    let said = refused(&made, 4, &[]);
    assert!(said.contains("stale: it expired "), "{said}");
    let plan = std::fs::read(made.at("plan.json")).unwrap();
    edit(&made, |plan| {
        let actions = plan["visits"][0]["actions"].as_array_mut().unwrap();
        let issue = actions.iter_mut().find(|action| action["deed"]["verb"] == "issue-identity").unwrap();
        issue["deed"]["ip"] = serde_json::json!(["10.66.66.66"]);
    });
    let said = refused(&made, 4, &["--replan-if-equal"]);
    assert!(said.contains("the saved plan says issue-identity"), "{said}");
    std::fs::write(made.at("plan.json"), plan).unwrap();
    made.ends(0, &["apply", "plan.json", "--yes", "--replan-if-equal"]);
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
}

#[test]
fn how_long_a_plan_is_valid_is_said_with_the_reason() {
    let made = planned();
    let saved = |more: &[&str]| {
        program::stderr(&made.pki(&[&["plan", "-f", "spec.yaml", "-o", "plan.json"], more].concat()))
    };
    let valid = |said: &str| said.lines().next().unwrap().to_owned();
    assert!(valid(&saved(&[])).ends_with("Z."), "a week is less than a quarter of two years");
    let cut = valid(&saved(&["--valid-for", "365d"]));
    assert!(cut.contains(", a quarter of the shortest validity that it issues, "), "{cut}");
}

#[test]
fn approval_on_the_command_line_is_for_a_plan_with_a_digest() {
    let made = planned();
    for approval in
        [&["--unattended"][..], &["--confirm", "prod-eu1/outage"], &["--yes", "--confirm", "prod-eu1/outage"]]
    {
        let before = made.listing();
        let output = made.pki(&[&["apply", "plan.json"], approval].concat());
        let said = program::stderr(&output);
        assert_eq!(program::code(&output), 64, "{approval:?}: {said}");
        assert!(
            said.contains("on a saved plan needs the digest of what was reviewed: --expect-digest"),
            "{said}"
        );
        assert!(made.listing() == before);
    }
    let output = made.pki(&["apply", "plan.json", "--yes"]);
    let said = program::stderr(&output);
    assert!(program::code(&output) == 0 && said.contains("note: this run is bound to no review"), "{said}");
    assert!(said.contains("add --expect-digest sha256:"), "{said}");
}

#[test]
fn a_plan_that_was_rolled_back_says_so() {
    let made = planned();
    made.ends(0, &["apply", "plan.json", "--yes"]);
    let plan: Value = serde_json::from_slice(&std::fs::read(made.at("plan.json")).unwrap()).unwrap();
    let id = plan["id"].as_str().unwrap();
    let told = made.ends(0, &["rollback", id, "-f", "spec.yaml", "--yes"]);
    let run = told
        .lines()
        .find_map(|line| line.strip_prefix("apply "))
        .and_then(|line| line.split_whitespace().next());
    let said = refused(&made, 4, &[]);
    assert!(said.contains(&format!("stale: plan {id} was applied on cp-1 at ")), "{said}");
    assert!(said.contains(&format!("rolled back by {}", run.unwrap_or("?"))), "{said}");
    assert!(!said.contains("there has been"), "{said}");
}

#[test]
fn an_older_plan_goes_where_none_is_saved_and_a_dash_is_standard_output() {
    let made = planned();
    std::fs::write(made.at("bad.yaml"), "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: a }\nspec: { profil: etcd, nodes: {} }\n").unwrap();
    let reports = [
        "--report",
        "text=p.txt",
        "--report",
        "markdown=p.md",
        "--report",
        "json=p.json",
        "--report",
        "gitlab=p.gl",
    ];
    for name in ["p.txt", "p.md", "p.json", "p.gl"] {
        std::fs::write(made.at(name), "of another plan").unwrap();
    }
    made.ends(65, &[&["plan", "-f", "bad.yaml", "-o", "plan.json"][..], &reports].concat());
    assert!(!made.at("plan.json").exists());
    let read = |name: &str| std::fs::read_to_string(made.at(name)).unwrap();
    assert!(read("p.txt").contains("profil") && read("p.md").contains("profil"), "{}", read("p.md"));
    assert!(read("p.md").starts_with("<!-- pki plan") && read("p.md").ends_with("**Plan: none.**\n"));
    let json: Value = serde_json::from_str(&read("p.json")).unwrap();
    assert_eq!((&json["exit"], json["problems"].as_array().unwrap().is_empty()), (&65.into(), false));
    assert_eq!(read("p.gl"), "{\n  \"create\": 0,\n  \"update\": 0,\n  \"delete\": 0\n}\n");
    // Whatever else ends it, nothing of another plan is left.
    made.ends(64, &[&["plan", "-f", "spec.yaml", "--skip-node", "cp-9"][..], &reports].concat());
    assert!(
        read("p.md").contains("no plan") && read("p.txt").starts_with("No plan: pki ended with 64"),
        "{}",
        read("p.txt")
    );
    let output = made.pki(&["plan", "-f", "spec.yaml", "-o", "-"]);
    assert_eq!(program::code(&output), 0);
    let plan = pki::plan::SavedPlan::read(&output.stdout).unwrap();
    assert!(
        !made.at("-").exists() && program::stderr(&output).contains("\nPlan: renew "),
        "{}",
        program::stderr(&output)
    );
    std::fs::write(made.at("plan.json"), &output.stdout).unwrap();
    assert!(made.ends(0, &["show", "plan.json"]).contains(plan.id()));
}

#[test]
fn a_spec_that_is_not_believed_decides_neither_whom_nor_what_is_read() {
    let made = planned();
    std::fs::write(
        made.at("hosts.yaml"),
        "cp-1: { host: 127.0.0.1, port: 1, hostKeys: [\"ssh-ed25519 AAAA\"] }\n",
    )
    .unwrap();
    let output = made.pki(&["plan", "-f", "spec.yaml", "--untrusted"]);
    assert_eq!(program::code(&output), 64, "{}", program::stderr(&output));
    let told = made.ends(
        3,
        &["plan", "-f", "spec.yaml", "--untrusted", "--hosts-from", "hosts.yaml", "--timeout", "5s"],
    );
    assert!(
        told.contains("cp-2") && program::words(&told).contains("--hosts-from does not name it"),
        "{told}"
    );
    // No folder of this machine is looked at, though the spec names three.
    assert!(!told.contains("renew"), "{told}");
    // From facts it goes without any node.
    made.ends(0, &["observe", "-f", "spec.yaml", "-o", "facts.json"]);
    made.ends(0, &["plan", "-f", "spec.yaml", "--untrusted", "--facts", "facts.json"]);
    let source =
        "  authorities: { etcd-ca: { source: { certificate: /etc/ssl/ca.crt, key: /etc/ssl/ca.key } } }\n";
    made.spec(&Spec { more: source, ..Spec::renewing() });
    let output = made.pki(&["plan", "-f", "spec.yaml", "--untrusted", "--facts", "facts.json"]);
    assert_eq!(program::code(&output), 65, "{}", program::stderr(&output));
    assert!(
        program::words(&program::stderr(&output)).contains("is not read with --untrusted"),
        "{}",
        program::stderr(&output)
    );
}

#[test]
fn everything_that_speaks_against_a_plan_is_said_at_once() {
    let made = planned();
    edit(&made, |plan| plan["created"] = "2026-01-01T00:00:00Z".into());
    made.spec(&Spec::default());
    let said = refused(&made, 4, &["--expect-digest", &"ab".repeat(32)]);
    for reason in ["was approved", "it expired", "spec.yaml has changed"] {
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
fn a_plan_that_was_edited_is_refused_with_the_first_thing_that_differs() {
    let made = planned();
    edit(&made, |plan| {
        let visits = plan["visits"].as_array_mut().unwrap();
        let actions = visits.iter_mut().flat_map(|visit| visit["actions"].as_array_mut().unwrap());
        for action in actions.filter(|action| action["address"] == "etcd-server@cp-2") {
            action["deed"]["ip"] = Value::Array(Vec::new());
            action["deed"]["dns"] = vec![Value::from("somewhere.else")].into();
        }
    });
    let said = refused(&made, 4, &[]);
    assert!(
        said.contains("the saved plan says issue-identity etcd-server@cp-2, deed.dns[0] \"somewhere.else\""),
        "{said}"
    );
}

#[test]
fn a_plan_that_was_edited_at_all_is_refused() {
    let made = planned();
    let text = std::fs::read_to_string(made.at("plan.json")).unwrap();
    std::fs::write(made.at("plan.json"), text.replacen("apiserver", "apisrver", 1)).unwrap();
    let said = refused(&made, 4, &[]);
    assert!(said.contains("its name does not fit what it says"), "{said}");
    edit(&made, |plan| plan["visits"][0]["actions"].as_array_mut().unwrap().truncate(2));
    let said = refused(&made, 4, &[]);
    assert!(
        said.contains("its name does not fit what it says"),
        "its actions are not numbered as they stand: {said}"
    );
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
    assert_eq!(program::code(&output), 64, "{}", program::stderr(&output));
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
    for node in crate::support::cluster::NODES {
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
    for node in crate::support::cluster::NODES {
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
