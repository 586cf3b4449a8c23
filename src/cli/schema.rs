//! `pki schema`: prints the JSON Schema of the spec, or of what is written for programs.

use clap::ValueEnum;
use pki::output::schema::Document;

use super::{Exit, terminal, written};

/// What `pki schema` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What it describes
    #[arg(value_enum, default_value_t, value_name = "DOCUMENT")]
    of: Of,
}

/// What a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Of {
    /// The spec.
    #[default]
    Spec,
    /// A saved plan.
    Plan,
    /// What `pki observe` writes.
    Facts,
    /// One line of what `pki apply --format ndjson` tells.
    Event,
}

/// Prints the schema.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let document = match arguments.of {
        Of::Spec => Document::Spec,
        Of::Plan => Document::Plan,
        Of::Facts => Document::Facts,
        Of::Event => Document::Event,
    };
    written(terminal::print(&super::json(&document.schema())))
}
