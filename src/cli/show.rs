//! `pki show`: a saved plan once more, to the byte as it was shown when it was made. No node is asked.

use std::path::PathBuf;

use pki::x509::Sha256;

use super::plan::{FormArguments, exit_of};
use super::{Exit, files};

/// What `pki show` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A plan that `pki plan -o` has written, or `-` for standard input
    plan: PathBuf,
    #[command(flatten)]
    form: FormArguments,
    /// End with 2 when there is something to do
    #[arg(long, visible_alias = "detailed-exitcode")]
    exit_code: bool,
}

/// Shows.
pub(super) fn run(arguments: &Arguments) -> Exit {
    one(arguments).unwrap_or_else(|exit| exit)
}

fn one(arguments: &Arguments) -> Result<Exit, Exit> {
    let (plan, bytes) = files::read_plan(&arguments.plan)?;
    let exit = exit_of(&plan, arguments.exit_code);
    Ok(exit.max(arguments.form.show(&plan, Some(&Sha256::of(&bytes)), exit)))
}
