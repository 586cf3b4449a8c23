//! `pki schema`: prints the JSON Schema of the spec.

use super::{Exit, output, written};

/// What `pki schema` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

/// Prints the schema.
pub(super) fn run(Arguments {}: &Arguments) -> Exit {
    written(output::print(&super::json(&pki::spec::schema::schema())))
}
