//! The published JSON Schema is the one that the types generate.
#![expect(clippy::disallowed_methods, reason = "the published schema is a file")]

use std::path::Path;

/// The schema that editors and CI download.
pub(crate) const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/cluster-pki.v1alpha1.json");

fn generated() -> String {
    format!("{}\n", serde_json::to_string_pretty(&pki::spec::schema::schema()).unwrap())
}

#[test]
fn the_published_schema_is_fresh() {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(Path::new(PUBLISHED).parent().unwrap()).unwrap();
        std::fs::write(PUBLISHED, generated()).unwrap();
    }
    let published = std::fs::read_to_string(PUBLISHED).unwrap();
    assert!(
        published == generated(),
        "schemas/ is stale: run the tests once with UPDATE=1 and review the change"
    );
}

#[test]
fn the_schema_is_draft_07_and_speaks_of_every_field() {
    let schema = pki::spec::schema::schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let mut silent = Vec::new();
    let definitions = schema["definitions"].as_object().unwrap();
    for (name, definition) in definitions.iter().chain([(&"ClusterPKI".to_owned(), &schema)]) {
        for (field, value) in definition["properties"].as_object().into_iter().flatten() {
            if value.get("description").is_none() {
                silent.push(format!("{name}.{field}"));
            }
        }
    }
    assert_eq!(silent, Vec::<String>::new(), "fields without a description");
}

#[test]
fn defaults_are_in_the_schema() {
    let schema = pki::spec::schema::schema();
    assert_eq!(schema["definitions"]["Defaults"]["properties"]["renewBefore"]["default"], "30d");
    assert_eq!(schema["definitions"]["Rollout"]["properties"]["onFailure"]["default"], "undo-node");
}
