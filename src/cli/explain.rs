//! `pki explain CODE`: what a code means, with an example and the way out.

use super::{Exit, Global, terminal, written};

/// What `pki explain` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A code such as PKI1003; without one, every code is listed
    code: Option<String>,
}

/// Explains a code.
pub(super) fn run(arguments: &Arguments, _: &Global) -> Exit {
    let text = match &arguments.code {
        Some(code) => match pki::diagnostic::explain::explain(code) {
            Ok(text) => text,
            Err(error) => {
                terminal::tell(&format!("error: {error}\n"));
                return Exit::Usage;
            }
        },
        None => pki::diagnostic::explain::overview(),
    };
    written(terminal::print(&text))
}
