//! `pki observe`: what the nodes tell, as a file from which plans can be made without access to any node. It takes no lock and changes nothing.

use std::path::PathBuf;

use pki::protocol::facts::Answer;
use pki::protocol::file::{Facts, to_text};

use super::cluster::{self, SkipArguments};
use super::files;
use super::input::SpecArguments;
use super::{Exit, Global, terminal, written};

/// What `pki observe` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    spec: SpecArguments,
    #[command(flatten)]
    skip: SkipArguments,
    /// Where the facts go; standard output when not given. They hold no secret, but show how the cluster is laid out
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Observes.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    one(arguments, global).unwrap_or_else(|exit| exit)
}

fn one(arguments: &Arguments, global: &Global) -> Result<Exit, Exit> {
    let mut clusters = cluster::load(&arguments.spec, "observe", global)?;
    arguments.skip.skip(&mut clusters)?;
    let cluster = clusters.only()?;
    let survey = cluster.survey(&cluster.nodes())?;
    let mut exit = Exit::Done;
    for (name, answer) in &survey.observed.nodes {
        if let Answer::Unreachable { reason } = answer {
            terminal::tell(&format!("warning: {name}: {}\n", pki::diagnostic::escaped(reason)));
            exit = Exit::Blocked;
        }
    }
    let name = cluster.spec.metadata.name.clone();
    let text = to_text(&Facts::new(name, cluster.reference.clone(), survey.observed));
    match &arguments.out {
        Some(path) => files::write(path, &text, files::PRIVATE)?,
        None => exit = exit.max(written(terminal::print(&text))),
    }
    Ok(exit)
}
