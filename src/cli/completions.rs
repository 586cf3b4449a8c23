//! `pki completions`: what a shell reads to complete commands and options.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::{Cli, Exit, terminal, written};

/// What `pki completions` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the completions.
pub(super) fn run(arguments: &Arguments) -> Exit {
    let mut bytes = Vec::new();
    generate(arguments.shell, &mut Cli::command(), "pki", &mut bytes);
    written(terminal::print(&String::from_utf8_lossy(&bytes)))
}
