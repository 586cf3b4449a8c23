//! JSON Schemas of the spec and of what is written for programs: saved plans, facts, events.
//!
//! What leaves is draft-07, the newest that yaml-language-server reads. Each is generated from the types that are read or written, so it cannot drift from them; that
//! of the spec says less than the checks do, never more. The others describe what this version writes: later minor formats add names, which a reader passes over.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::output::Line;
use crate::plan::PlanContent;
use crate::protocol::file::Facts;
use crate::spec::types::ClusterPki;

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// One document of a spec.
    Spec,
    /// A saved plan.
    Plan,
    /// What `pki observe` writes.
    Facts,
    /// One line of what `pki apply --format ndjson` tells.
    Event,
}

impl Document {
    /// All of them.
    pub const ALL: [Document; 4] = [Document::Spec, Document::Plan, Document::Facts, Document::Event];

    /// The name of its schema's file, with the version of the form.
    pub fn file_name(self) -> &'static str {
        match self {
            Document::Spec => "cluster-pki.v1alpha1.json",
            Document::Plan => "plan.v1.json",
            Document::Facts => "facts.v1.json",
            Document::Event => "event.v1.json",
        }
    }

    /// The JSON Schema (draft-07).
    pub fn schema(self) -> Value {
        match self {
            Document::Spec => generated::<ClusterPki>(SchemaSettings::draft07()),
            Document::Plan => generated::<PlanContent>(SchemaSettings::draft07().for_serialize()),
            Document::Facts => generated::<Facts>(SchemaSettings::draft07().for_serialize()),
            Document::Event => generated::<Line<'static>>(SchemaSettings::draft07().for_serialize()),
        }
    }
}

fn generated<T: JsonSchema>(settings: SchemaSettings) -> Value {
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
