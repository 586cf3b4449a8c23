//! The published JSON Schemas are those that the types generate, and what the program writes is what they say.
#![expect(clippy::disallowed_methods, reason = "the published schemas are files")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use pki::output::schema::Document;
use serde_json::{Value, json};

use crate::support::cluster::ROOT;
use crate::support::made::{Made, Spec};

/// The schema that editors, CI and other programs download.
pub(crate) fn published(document: Document) -> PathBuf {
    Path::new(ROOT).join("schemas").join(document.file_name())
}

static VALIDATORS: LazyLock<[Validator; 4]> =
    LazyLock::new(|| Document::ALL.map(|document| jsonschema::draft7::new(&document.schema()).unwrap()));

/// Whether a value is what its schema says; else where it is not.
pub(crate) fn conforms(document: Document, value: &Value) -> Result<(), String> {
    let position = Document::ALL.iter().position(|known| *known == document).unwrap();
    let errors = VALIDATORS[position].iter_errors(value);
    let errors: Vec<String> = errors.map(|error| format!("{}: {error}", error.instance_path)).collect();
    if errors.is_empty() { Ok(()) } else { Err(format!("{document:?}: {}", errors.join("\n"))) }
}

/// As `pki schema` prints it.
fn printed(schema: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(schema).unwrap())
}

/// As it is published: that of the spec for people and editors, the others with one line for each definition, so that a change of form is
/// still seen in a diff.
fn lines(document: Document, schema: &Value) -> String {
    match document {
        Document::Spec => printed(schema),
        Document::Plan | Document::Facts | Document::Event => {
            let line = |(name, value): (&String, &Value)| {
                let value = match (name.as_str(), value.as_object()) {
                    ("definitions", Some(definitions)) => {
                        let lines =
                            definitions.iter().map(|(name, value)| format!("{}:{value}", json!(name)));
                        format!("{{\n{}\n}}", lines.collect::<Vec<_>>().join(",\n"))
                    }
                    _ => value.to_string(),
                };
                format!("{}:{value}", json!(name))
            };
            let parts = schema.as_object().unwrap().iter().map(line);
            format!("{{\n{}\n}}\n", parts.collect::<Vec<_>>().join(",\n"))
        }
    }
}

#[test]
fn the_published_schemas_are_fresh() {
    for document in Document::ALL {
        let generated = lines(document, &document.schema());
        let file = published(document);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, &generated).unwrap();
        }
        let published = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            published == generated,
            "{} is stale: run the tests once with UPDATE=1 and review the change",
            file.display()
        );
    }
    let files = std::fs::read_dir(Path::new(ROOT).join("schemas")).unwrap().count();
    assert_eq!(files, Document::ALL.len(), "a schema of nothing lies in schemas/");
}

#[test]
fn the_schemas_are_draft_07_and_speak_of_every_field() {
    for document in Document::ALL {
        let schema = document.schema();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        let mut silent = Vec::new();
        let definitions = schema["definitions"].as_object().unwrap();
        for (name, definition) in definitions.iter().chain([(&format!("{document:?}"), &schema)]) {
            for (field, value) in definition["properties"].as_object().into_iter().flatten() {
                if value.get("description").is_none() {
                    silent.push(format!("{name}.{field}"));
                }
            }
        }
        assert_eq!(silent, Vec::<String>::new(), "fields without a description");
    }
}

#[test]
fn defaults_are_in_the_schema() {
    let schema = Document::Spec.schema();
    assert_eq!(schema["definitions"]["Defaults"]["properties"]["renewBefore"]["default"], "30d");
    assert_eq!(schema["definitions"]["Rollout"]["properties"]["onFailure"]["default"], "undo-node");
}

#[test]
fn each_schema_is_printed() {
    let made = Made::new();
    for (word, document) in [
        ("spec", Document::Spec),
        ("plan", Document::Plan),
        ("facts", Document::Facts),
        ("event", Document::Event),
    ] {
        let read: Value = serde_json::from_slice(&std::fs::read(published(document)).unwrap()).unwrap();
        assert_eq!(made.ends(0, &["schema", word]), printed(&read));
    }
    assert_eq!(made.ends(0, &["schema"]), made.ends(0, &["schema", "spec"]));
}

#[test]
fn what_is_written_is_what_its_schema_says_and_nothing_else_is() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    made.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    made.ends(0, &["observe", "-f", "spec.yaml", "-o", "facts.json"]);
    let read =
        |name: &str| -> Value { serde_json::from_slice(&std::fs::read(made.at(name)).unwrap()).unwrap() };
    let (plan, facts) = (read("plan.json"), read("facts.json"));
    assert_eq!(conforms(Document::Plan, &plan), Ok(()));
    assert_eq!(conforms(Document::Facts, &facts), Ok(()));
    let shown = made.ends(0, &["plan", "-f", "spec.yaml", "--format", "json"]);
    assert_eq!(conforms(Document::Plan, &serde_json::from_str(&shown).unwrap()), Ok(()));

    assert!(conforms(Document::Facts, &plan).is_err() && conforms(Document::Plan, &facts).is_err());
    // A later minor format adds names; what a reader needs is not left out, and is of its kind.
    let changed = |whole: &Value, pointer: &str, name: &str, to: Option<Value>| {
        let mut value = whole.clone();
        let object = value.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
        match to {
            Some(to) => object.insert(name.to_owned(), to),
            None => object.remove(name),
        };
        value
    };
    assert_eq!(conforms(Document::Plan, &changed(&plan, "", "of_later", Some(json!(1)))), Ok(()));
    for (document, broken) in [
        (Document::Plan, changed(&plan, "", "visits", None)),
        (Document::Plan, changed(&plan, "/visits/0", "node", Some(json!(7)))),
        (Document::Plan, changed(&plan, "/visits/0/actions/1/deed", "verb", Some(json!("dance")))),
        (Document::Plan, changed(&plan, "/spec", "sha256", Some(json!("9c41")))),
        (Document::Facts, changed(&facts, "", "observed", None)),
        (Document::Event, json!({ "type": "outcome", "outcome": "done", "exit": "0", "touched": true })),
        (Document::Event, json!({ "type": "undo", "visit": 1, "node": "cp-1" })),
    ] {
        assert!(conforms(document, &broken).is_err(), "{broken}");
    }
}
