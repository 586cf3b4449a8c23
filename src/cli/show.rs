//! `pki show`: a saved plan once more, to the byte as it was shown when it was made. No node is asked.

use std::path::PathBuf;

use pki::plan::Plan;
use pki::render;

use super::exit::Outcome;
use super::plan::{Report, exit_of};
use super::{Exit, Format, files, json, output, written};

/// What `pki show` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A plan that `pki plan -o` has written, or `-` for standard input
    plan: PathBuf,
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// End with 2 when there is something to do
    #[arg(long, visible_alias = "detailed-exitcode")]
    exit_code: bool,
}

/// Shows.
pub(super) fn run(arguments: &Arguments) -> Exit {
    one(arguments).unwrap_or_else(|exit| exit)
}

fn one(arguments: &Arguments) -> Result<Exit, Exit> {
    let (plan, _): (Plan, _) = files::read(&arguments.plan)?;
    let exit = exit_of(&plan, arguments.exit_code);
    let text = match arguments.format {
        Format::Text => render::plan(&plan),
        Format::Json => json(&Report { plan: &plan, outcome: Outcome::untouched(exit) }),
    };
    Ok(exit.max(written(output::print(&text))))
}
