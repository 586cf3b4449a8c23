//! Files that versions of this program have saved, which every later one must still read.
//!
//! `tests/saved/v1` holds plans (`plan-*.json`) and facts (`facts-*.json`) of format 1 as they were written, each in one line, and nobody
//! rewrites more of them than white space: whoever changes a saved type so that
//! one of them is refused has broken the plans that wait for approval somewhere. A field that is added is therefore left out where it says nothing (`default` and
//! `skip_serializing_if`), or the name of an older plan would no longer fit. Whoever adds a deed, or a fact that a plan goes by, adds a file with it: made by the program
//! itself (`pki plan -o`, `pki observe -o`, or `to_text` of what the command line does not save) from a cluster of the tests, never from a real one. A new major format gets a folder of its own; this one stays while its
//! format is read.
#![expect(clippy::disallowed_methods, reason = "the saved forms are files")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pki::output::schema::Document;
use pki::plan::SavedPlan;
use pki::protocol::file::{Facts, from_text, to_text};
use serde_json::Value;

use crate::contract::schema::conforms;
use crate::support::cluster::ROOT;
use crate::support::program;

/// The files of a kind, of every format that is still read.
fn files(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(ROOT).join("tests/saved/v1");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_of_kind = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(kind);
    let mut files: Vec<PathBuf> = entries.filter(is_of_kind).collect();
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    files
}

fn value(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_plan_that_was_saved_is_read_and_shown_under_its_name() {
    for path in files("plan-") {
        let text = std::fs::read(&path).unwrap();
        let plan = SavedPlan::read(&text).unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
        assert_eq!(conforms(Document::Plan, &value(&path)), Ok(()), "{}", path.display());
        let again = SavedPlan::read(to_text(&plan).as_bytes()).unwrap();
        assert_eq!(again, plan);
        for format in ["text", "markdown", "gitlab", "json"] {
            let shown = program::pki(Path::new(ROOT), &["show", path.to_str().unwrap(), "--format", format]);
            assert_eq!(program::code(&shown), 0, "{}: {}", path.display(), program::stderr(&shown));
        }
    }
}

#[test]
fn of_all_facts_that_were_saved_a_plan_is_made() {
    for path in files("facts-") {
        let facts: Facts = from_text(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(conforms(Document::Facts, &value(&path)), Ok(()), "{}", path.display());
        assert_eq!(from_text::<Facts>(to_text(&facts).as_bytes()).unwrap(), facts);
        let [spec, path] = [path.with_file_name("spec.yaml"), path].map(|path| path.display().to_string());
        let at = ["--as-of", "2027-11-01T00:00:00Z"];
        let told =
            program::pki(Path::new(ROOT), &[&["plan", "-f", &spec, "--facts", &path][..], &at].concat());
        let text = program::stdout(&told);
        assert_eq!(program::code(&told), 0, "{path}: {text}{}", program::stderr(&told));
        assert!(text.lines().last().unwrap().starts_with("Plan: renew "), "{path}: {text}");
    }
}

/// Names that hold one entry for each thing there is, not the fields of one.
const MAPS: [&str; 7] = ["nodes", "files", "services", "flags", "members", "ports", "endpoints"];

/// Gives every object with fields of its own one that this version does not know.
fn with_later_fields(value: &mut Value, name: &str, added: &mut usize) {
    match value {
        Value::Object(fields) => {
            for (name, value) in &mut *fields {
                with_later_fields(value, name, added);
            }
            // An object with one name may be a choice between several, of which it can name one alone.
            if fields.len() > 1 && !MAPS.contains(&name) {
                fields.insert("laterField".to_owned(), Value::from(17));
                *added += 1;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| with_later_fields(value, "", added)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn fields_that_a_later_minor_format_adds_to_facts_are_passed_over() {
    for path in files("facts-") {
        let (mut later, mut added) = (value(&path), 0);
        with_later_fields(&mut later, "", &mut added);
        later["format_version"] = Value::from("1.9");
        assert!(added > 50, "{}: {added}", path.display());
        assert_eq!(conforms(Document::Facts, &later), Ok(()), "{}", path.display());
        let read: Facts = from_text(later.to_string().as_bytes()).unwrap();
        let known: Facts = from_text(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(read.observed, known.observed, "{}", path.display());
    }
}

#[test]
fn every_deed_is_in_a_plan_that_was_saved() {
    let schema = Document::Plan.schema();
    let deeds = schema["definitions"]["Deed"]["oneOf"].as_array().unwrap();
    let verb = |value: &Value| value.as_str().map(str::to_owned);
    let known: BTreeSet<String> =
        deeds.iter().filter_map(|deed| verb(&deed["properties"]["verb"]["const"])).collect();
    assert!(known.len() >= 20, "{known:?}");
    let mut saved = BTreeSet::new();
    for path in files("plan-") {
        for visit in value(&path)["visits"].as_array().unwrap() {
            let actions = visit["actions"].as_array().unwrap().iter();
            saved.extend(actions.filter_map(|action| verb(&action["deed"]["verb"])));
        }
    }
    let missing: Vec<&String> = known.difference(&saved).collect();
    assert!(missing.is_empty(), "add a plan with these to tests/saved: {missing:?}");
}

#[test]
fn every_deed_is_called_as_its_json_calls_it() {
    for path in files("plan-") {
        for visit in value(&path)["visits"].as_array().unwrap() {
            for action in visit["actions"].as_array().unwrap() {
                let read: pki::plan::Action = serde_json::from_value(action.clone()).unwrap();
                assert_eq!(action["deed"]["verb"], read.verb(), "{}", path.display());
            }
        }
    }
}
