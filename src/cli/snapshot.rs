//! `pki snapshot`: what the nodes keep of earlier runs.

use clap::Subcommand;
use pki::plan::runs;
use pki::render;

use super::cluster::{self, Cluster};
use super::input::SpecArguments;
use super::rollback::{self, snapshots};
use super::{Exit, Global, chain, output, written};

/// What `pki snapshot` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the runs of which snapshots are kept, the latest first
    List {
        #[command(flatten)]
        spec: SpecArguments,
    },
    /// Show what a run changed, path by path
    Show {
        /// The run, such as 7f3a-91c2
        run: String,
        #[command(flatten)]
        spec: SpecArguments,
    },
    /// Remove the snapshots of all but the latest runs, and all but as many of the latest snapshots of etcd's data
    Prune {
        #[command(flatten)]
        spec: SpecArguments,
        /// How many runs, and how many snapshots of etcd's data, to keep on each node, at least 1; the spec's snapshots.keep when not given
        #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
        keep: Option<u32>,
    },
}

/// Lists, shows or prunes.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let spec = match &arguments.command {
        Command::List { spec } | Command::Show { spec, .. } | Command::Prune { spec, .. } => spec,
    };
    let clusters = match cluster::load(spec, global) {
        Ok(clusters) => clusters,
        Err(exit) => return exit,
    };
    let exits = clusters.iter().map(|cluster| one(cluster, &arguments.command).unwrap_or_else(|exit| exit));
    exits.max().unwrap_or(Exit::Done)
}

fn one(cluster: &Cluster, command: &Command) -> Result<Exit, Exit> {
    let mut nodes = cluster.nodes();
    let directory = &cluster.spec.spec.snapshots.directory;
    let kept = snapshots(&nodes, directory)?;
    let text = match command {
        Command::List { .. } => {
            let of_etcd = rollback::kept(&nodes, |node| node.etcd_snapshots(directory))?;
            render::snapshots(&kept) + &render::etcd_snapshots(&of_etcd)
        }
        Command::Show { run, .. } => {
            let known = runs(&kept);
            if !known.contains(run) {
                output::tell(&format!(
                    "error: no node keeps a snapshot of run {run:?}; there are: {}\n",
                    known.join(", ")
                ));
                return Err(Exit::Blocked);
            }
            render::snapshot(&kept, run)
        }
        Command::Prune { keep, .. } => {
            let keep = keep.unwrap_or(cluster.spec.spec.snapshots.keep);
            let mut text = String::new();
            for (name, node) in &mut nodes {
                let removed = node.prune(directory, keep).map_err(|error| {
                    output::tell(&format!("error: {name}: {}\n", chain(&error)));
                    Exit::Internal
                })?;
                for run in removed {
                    text.push_str(&format!("{name}: removed {run}\n"));
                }
            }
            text
        }
    };
    Ok(written(output::print(&text)))
}
