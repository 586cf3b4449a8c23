//! A saved plan is input: whoever edits one, with a name that fits, gets nothing done that spec and nodes do not give; and the honest plan is applied, to its end.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use pki::apply::root_files;
use pki::apply::used;
use pki::apply::used::KeptSnapshots;
use pki::apply::{Locking, Settings};
use pki::desired::Survey;
use pki::plan::model::outcome::{Event, Outcome, VisitEnd};
use pki::plan::{Action, Dates, Input, Options, SavedPlan};
use pki::protocol::file::SpecReference;
use pki::protocol::file::to_text;
use pki::simulate::{Plan, check};
use pki::trust::processes::Processes;
use pki::x509::Sha256;
use serde_json::{Value, json};

use crate::scenario::scenarios::{ROOT_ONLY, folders, set_up};
use crate::support::cluster::{Cluster, ROOT, is_root, now};
use crate::support::made::{Made, Spec};
use crate::support::program;
use crate::support::seeds;

/// Gives a plan the name that fits what it says, as anybody can.
pub(crate) fn named(mut plan: Value) -> Value {
    plan["id"] = "".into();
    let mut hashed = plan.clone();
    hashed.as_object_mut().unwrap().remove("checked");
    let digest = Sha256::of(hashed.to_string().as_bytes()).short();
    let (one, two) = digest.split_at(4);
    plan["id"] = format!("{one}-{two}").into();
    plan
}

/// Numbers visits and actions anew, so that it is the content that is refused and not its numbers.
fn numbered(plan: &mut Value) {
    let mut next = 1;
    for (index, visit) in plan["visits"].as_array_mut().unwrap().iter_mut().enumerate() {
        visit["number"] = (index + 1).into();
        for action in visit["actions"].as_array_mut().unwrap() {
            action["number"] = next.into();
            next += 1;
        }
    }
}

/// A cluster in which every certificate is due, and the plan that renews them.
fn planned() -> (Made, Value) {
    let made = Made::new();
    made.spec(&Spec::renewing());
    made.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    let plan = serde_json::from_slice(&std::fs::read(made.at("plan.json")).unwrap()).unwrap();
    (made, plan)
}

fn file(path: &str, mode: &str) -> Value {
    json!({ "path": path, "user": "root", "group": "root", "mode": mode })
}

fn action(address: &str, deed: &Value, undo: &str) -> Value {
    json!({ "number": 0, "address": address, "deed": deed, "disruption": "none", "undo": undo })
}

/// The deeds that were forged and applied in security.md's S2.
fn forged(plan: &Value) -> Vec<(&'static str, Value)> {
    let with = |action: Value| {
        let mut plan = plan.clone();
        let actions = plan["visits"][0]["actions"].as_array_mut().unwrap();
        actions.insert(1, action);
        plan
    };
    let ca = std::iter::once(plan["visits"][0]["actions"].as_array().unwrap());
    let before = ca.flatten().find_map(|action| action["deed"].get("before")).unwrap();
    let copy = json!({ "verb": "copy-key", "from": "cp-2", "source": "/etc/kubernetes/pki/ca.key", "file": file("/etc/x.key", "0644") });
    let bundle = json!({ "verb": "write-bundle", "file": file("/etc/shadow", "0644"), "certificates": [before], "before": [] });
    let run = json!({ "verb": "restart", "how": { "command": { "argv": ["/bin/sh", "-c", "id >/tmp/ran"] } }, "timeout": "9s" });
    let open = json!({ "verb": "set-permissions", "file": file("/etc/kubernetes/pki/ca.key", "0666"), "modeBefore": 384, "ownerBefore": "root:root" });
    let mut masters = plan.clone();
    let actions = masters["visits"][0]["actions"].as_array_mut().unwrap();
    let issue = actions.iter_mut().find(|action| action["deed"]["verb"] == "issue-identity").unwrap();
    issue.as_object_mut().unwrap().remove("preconditions");
    let deed = &mut issue["deed"];
    deed["subject"] = json!({ "commonName": "evil", "organizations": ["system:masters"] });
    deed["usages"] = json!(["client"]);
    (deed["dns"], deed["ip"]) = (json!([]), json!([]));
    deed["storage"] =
        json!({ "pair": { "certificate": file("/etc/x.crt", "0644"), "key": file("/etc/x.key", "0600") } });
    vec![
        ("a CA key in a file that everybody reads", with(action("ca/ca@cp-1", &copy, "restore"))),
        ("a bundle over a foreign file", with(action("ca/ca@cp-1", &bundle, "restore"))),
        ("a program", with(action("svc/kubelet@cp-1", &run, "inverse"))),
        ("a certificate of an administrator", masters),
        ("a CA key that everybody writes", with(action("ca/ca@cp-1", &open, "restore"))),
    ]
}

#[test]
fn the_edits_that_were_once_applied_are_refused_before_anything_is_printed_or_written() {
    let (made, plan) = planned();
    let before = made.listing();
    for (what, mut edited) in forged(&plan) {
        // Whoever does not even give it another name:
        std::fs::write(made.at("forged.json"), edited.to_string()).unwrap();
        for command in [&["show", "forged.json"][..], &["apply", "forged.json", "--yes"]] {
            let output = made.pki(command);
            assert_eq!(
                (program::code(&output), program::stdout(&output).as_str()),
                (4, ""),
                "{what}: {}",
                program::stderr(&output)
            );
            assert!(!program::stderr(&output).contains("/etc/x"), "{what}: {}", program::stderr(&output));
        }
        numbered(&mut edited);
        std::fs::write(made.at("forged.json"), named(edited).to_string()).unwrap();
        made.ends(0, &["show", "forged.json"]);
        let output = made.pki(&["apply", "forged.json", "--yes"]);
        let said = program::stderr(&output);
        assert_eq!((program::code(&output), program::stdout(&output).as_str()), (4, ""), "{what}: {said}");
        assert!(said.contains("error: stale: the saved plan says "), "{what}: {said}");
        assert!(said.contains("; spec and nodes say "), "{what}: {said}");
        std::fs::remove_file(made.at("forged.json")).unwrap();
        assert!(made.listing() == before, "{what}: something was touched");
    }
    // The same plan, with nothing but its fields in another order, is as good as the honest one.
    std::fs::write(made.at("plan.json"), named(plan).to_string()).unwrap();
    made.ends(0, &["apply", "plan.json", "--yes"]);
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
}

#[test]
fn the_head_of_a_plan_says_nothing_that_its_spec_does_not() {
    let (made, plan) = planned();
    let before = made.listing();
    let edits: [(&str, &str, Value, i32); 7] = [
        ("/created", "which has not come yet", "2100-01-01T00:00:00Z".into(), 4),
        ("/created", "it expired", "2026-01-01T00:00:00Z".into(), 4),
        ("/cluster", "no spec of the cluster other", "other".into(), 64),
        ("/profile", "has another profile than the plan", "etcd".into(), 4),
        ("/spec/sha256", "has changed: the plan was made from", "ab".repeat(32).into(), 4),
        ("/spec/file", "name the spec with -f", "/etc/passwd".into(), 64),
        ("/spec/file", "name the spec with -f", "../spec.yaml".into(), 64),
    ];
    for (pointer, words, value, code) in edits {
        let mut edited = plan.clone();
        *edited.pointer_mut(pointer).unwrap() = value;
        std::fs::write(made.at("forged.json"), named(edited).to_string()).unwrap();
        let output = made.pki(&["apply", "forged.json", "--yes"]);
        let said = program::stderr(&output);
        assert_eq!(program::code(&output), code, "{pointer}: {said}");
        assert!(said.contains(words), "{pointer}: {said}");
        std::fs::remove_file(made.at("forged.json")).unwrap();
        assert!(made.listing() == before, "{pointer}: something was touched");
    }
}

#[test]
fn a_plan_of_version_0_1_0_is_shown_and_not_applied() {
    let (made, mut plan) = planned();
    plan.as_object_mut().unwrap().remove("choices");
    std::fs::write(made.at("plan.json"), named(plan).to_string()).unwrap();
    made.ends(0, &["show", "plan.json"]);
    let output = made.pki(&["apply", "plan.json", "--yes"]);
    let said = program::stderr(&output);
    assert_eq!(program::code(&output), 4, "{said}");
    assert!(said.contains("which did not record what making it again needs"), "{said}");
}

/// A scenario with a plan that can be applied.
struct Scenario {
    name: String,
    cluster: Cluster,
    plan: Plan,
}

fn scenarios() -> impl Iterator<Item = std::path::PathBuf> {
    let wanted = std::env::var("SCENARIO").unwrap_or_default();
    folders(&Path::new(ROOT).join("tests/scenarios")).into_iter().filter(move |folder| {
        let name = folder.file_name().unwrap().to_str().unwrap();
        name.contains(&wanted) && (is_root() || !ROOT_ONLY.contains(&name))
    })
}

fn scenario(folder: &Path) -> Option<Scenario> {
    let cluster = set_up(folder).unwrap();
    let plan = cluster.plan(&Options::default());
    let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
    (plan.applicable && !plan.visits.is_empty()).then_some(Scenario { name, cluster, plan })
}

/// Does something with every scenario, some at the same time, and names each that fails.
fn in_each(work: impl Fn(&Scenario) -> Result<(), String> + Sync) {
    let folders: Vec<_> = scenarios().collect();
    let (next, tried) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let run = || {
        let mut failures = Vec::new();
        while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(scenario) = scenario(folder) {
                tried.fetch_add(1, Ordering::Relaxed);
                failures.extend(work(&scenario).err().map(|why| format!("{}: {why}", scenario.name)));
            }
        }
        failures
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    // The words after which the command is told that tries the same edits again.
    assert!(failures.is_empty(), "Test failed: {} scenarios:\n{}", failures.len(), failures.join("\n"));
    assert!(tried.into_inner() >= 40 || std::env::var_os("SCENARIO").is_some());
}

/// What apply makes of a saved plan.
fn again(saved: &SavedPlan, survey: &Survey, kept: &KeptSnapshots) -> Result<Option<Plan>, String> {
    let differences = pki::diff::diff(&survey.desired, &survey.observed, now());
    let mut standings = saved.standing(survey, &differences);
    used::settle(saved, &mut standings, kept, survey, &differences).map_err(|gone| format!("{gone:?}"))?;
    if let Some(stale) = standings.changed().first() {
        return Err(format!("stale: {stale:?}"));
    }
    let signed = pki::diff::signed::check(&saved.brought(&standings), survey, &differences, saved.created())
        .map_err(|problems| format!("{problems:?}"))?;
    let differences = pki::diff::diff(&survey.desired, &survey.observed, saved.created());
    let options = saved.options_again(&standings);
    let made = pki::plan::draft(&Input {
        survey,
        differences: &differences,
        now: saved.created(),
        spec: SpecReference {
            file: "spec.yaml".to_owned(),
            sha256: Sha256::of(b""),
            commit: None,
            files: Default::default(),
        },
        options: &options,
        signed: &signed,
        place: &|_| None,
    })
    .map_err(|error| error.to_string())?;
    if saved.is_done(&standings, &made) {
        return Ok(None);
    }
    let rest = saved
        .rest(&standings, made, &survey.desired, Dates::Equal)
        .map_err(|difference| difference.to_string())?;
    check(rest.into_draft(), survey, &Processes::default()).map(Some).map_err(|wrong| wrong.to_string())
}

/// What the nodes keep of earlier runs.
fn kept(cluster: &Cluster) -> KeptSnapshots {
    let loaded = cluster.spec();
    let desired = cluster.survey(&loaded).desired;
    used::kept(&cluster.nodes(&loaded), &desired.snapshots.directory)
}

/// Carries out a plan and stops after its next visit, as if somebody had interrupted it.
fn one_visit(cluster: &Cluster, plan: &Plan, done: pki::apply::Done) -> pki::plan::model::outcome::Report {
    let loaded = cluster.spec();
    let desired = cluster.survey(&loaded).desired;
    let interrupted = AtomicBool::new(false);
    let root_keys = root_files::keys(plan, Some(cluster.path())).unwrap().keys;
    let settings = Settings {
        desired: &desired,
        on_failure: desired.rollout.on_failure,
        root_keys: &root_keys,
        note: "a test".to_owned(),
        now,
        locking: Locking::default(),
        done,
        interrupted: &interrupted,
    };
    pki::apply::apply(plan, &mut cluster.nodes(&loaded), &settings, &mut |event| {
        if let Event::VisitEnds { end: VisitEnd::Committed | VisitEnd::Saved(_), .. } = event {
            interrupted.store(true, Ordering::Relaxed);
        }
    })
}

#[test]
fn the_honest_plan_goes_on_after_an_interruption_at_each_visit() {
    in_each(|Scenario { cluster, plan, .. }| {
        let saved = SavedPlan::read(to_text(plan).as_bytes()).map_err(|error| error.to_string())?;
        for round in 0..=plan.visits.len() {
            let survey = cluster.survey(&cluster.spec());
            let rest = match again(&saved, &survey, &kept(cluster)) {
                Ok(Some(rest)) => rest,
                Ok(None) => return Ok(()),
                Err(why) => return Err(format!("after {round} of {} visits: {why}", plan.visits.len())),
            };
            let passed = saved.passed(&rest);
            let visits = passed.iter().map(|visit| visit.number).collect();
            let done = pki::apply::Done { visits, ..Default::default() };
            let whole = rest.passing_over(&passed);
            let report = one_visit(cluster, &whole, done);
            let is_good =
                matches!(report.outcome, Outcome::Done | Outcome::Partial | Outcome::InterruptedUntouched);
            if !is_good || report.failure.is_some() && report.outcome != Outcome::Partial {
                return Err(format!("visit {round}: {report:?}"));
            }
        }
        let survey = cluster.survey(&cluster.spec());
        match again(&saved, &survey, &kept(cluster)) {
            Ok(None) => Ok(()),
            other => Err(format!("after its last visit it is not done: {other:?}")),
        }
    });
}

/// Every leaf of a value, by its pointer.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                leaves(value, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for (index, value) in values.iter().enumerate() {
                leaves(value, &format!("{at}/{index}"), found);
            }
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => found.push(at.to_owned()),
    }
}

/// Numbers that follow from the seed of the run.
struct Drawn(u64);

impl Drawn {
    /// Those of a scenario, whichever are tried beside it.
    fn of(scenario: &str) -> Self {
        let bytes = *Sha256::of(format!("{} {scenario}", seeds::number()).as_bytes()).as_bytes();
        Self(u64::from_be_bytes(bytes[..8].try_into().unwrap()).max(1))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

/// A value of the same kind that is another one.
fn other(value: &Value, drawn: &mut Drawn) -> Value {
    const TEXTS: [&str; 6] =
        ["cp-2", "/etc/shadow", "system:masters", "2027-06-01T00:00:00Z", "0666", "restore"];
    match value {
        Value::Bool(value) => json!(!value),
        Value::Number(value) => json!(value.as_u64().unwrap_or(0) + 1),
        Value::String(value) => {
            let text = TEXTS[drawn.below(TEXTS.len())];
            if text == value { json!("cp-3") } else { json!(text) }
        }
        Value::Array(_) => json!(["x"]),
        Value::Object(_) | Value::Null => json!({ "x": 1 }),
    }
}

/// One edit of a plan, in words; none where there was nothing to edit.
fn edited(plan: &mut Value, leaves: &[String], drawn: &mut Drawn) -> Option<String> {
    let pointer = &leaves[drawn.below(leaves.len())];
    let (parent, name) = pointer.rsplit_once('/')?;
    let name = name.replace("~1", "/").replace("~0", "~");
    match drawn.below(4) {
        0 => {
            let leaf = plan.pointer_mut(pointer)?;
            *leaf = other(leaf, drawn);
            Some(format!("{pointer} = {leaf}"))
        }
        1 => {
            match plan.pointer_mut(parent)? {
                Value::Object(fields) => {
                    fields.remove(&name)?;
                }
                Value::Array(values) => {
                    values.remove(name.parse().ok()?);
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
            }
            Some(format!("{pointer} removed"))
        }
        2 => {
            let leaf = plan.pointer(pointer)?.clone();
            match plan.pointer_mut(parent)? {
                Value::Array(values) => values.push(leaf),
                Value::Object(fields) => {
                    fields.insert("extra".to_owned(), leaf);
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
            }
            Some(format!("{pointer} twice"))
        }
        _ => {
            let name = pointer.rsplit('/').next()?;
            let same: Vec<&String> =
                leaves.iter().filter(|leaf| leaf.ends_with(&format!("/{name}"))).collect();
            let with = same[drawn.below(same.len())];
            let (one, two) = (plan.pointer(pointer)?.clone(), plan.pointer(with)?.clone());
            (one != two).then_some(())?;
            *plan.pointer_mut(pointer)? = two;
            *plan.pointer_mut(with)? = one;
            Some(format!("{pointer} and {with} swapped"))
        }
    }
}

/// What a plan does, keys and serial numbers aside.
fn does(plan: &Plan) -> Vec<Value> {
    let does =
        |action: &Action| json!({ "address": action.address, "deed": action.deed, "undo": action.undo });
    plan.actions().map(does).collect()
}

#[test]
fn an_edited_plan_is_refused_or_does_what_the_honest_one_does() {
    let edits = seeds::cases(60).cases;
    in_each(|Scenario { name, cluster, plan }| {
        let survey = cluster.survey(&cluster.spec());
        let honest: Value = serde_json::from_str(&to_text(plan)).unwrap();
        let mut found = Vec::new();
        leaves(&honest, "", &mut found);
        let mut drawn = Drawn::of(name);
        let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
        for _ in 0..edits {
            let mut forged = honest.clone();
            let Some(edit) = edited(&mut forged, &found, &mut drawn) else { continue };
            let text = named(forged).to_string();
            let outcome = match SavedPlan::read(text.as_bytes())
                .map(|saved| again(&saved, &survey, &KeptSnapshots::new()))
            {
                Err(_) => "no plan",
                Ok(Err(_)) => "refused",
                Ok(Ok(None)) => return Err(format!("{edit}: it counts as done")),
                Ok(Ok(Some(rest))) if does(&rest) == does(plan) => "the same",
                Ok(Ok(Some(rest))) => return Err(format!("{edit}: {:#?}", does(&rest))),
            };
            *outcomes.entry(outcome).or_default() += 1;
        }
        // An oracle that sees one outcome only has seen nothing.
        if outcomes.len() < 2 { Err(format!("{outcomes:?}")) } else { Ok(()) }
    });
}
