//! The JSON Schema of the spec, for editors and CI.
//!
//! What leaves is draft-07, the newest that yaml-language-server reads. It is generated from the types in [`super::types`], so it cannot drift
//! from what is read; it says less than the checks do, never more.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::types::ClusterPki;

/// The JSON Schema (draft-07) of one document.
pub fn schema() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<ClusterPki>().to_value()
}
