//! `pki snapshot`: what the nodes keep of earlier runs.

use clap::Subcommand;
use pki::diagnostic::escaped;
use pki::output;
use pki::plan::runs;
use pki::types::format::with_causes;

use super::cluster::{self, Cluster};
use super::clusters::Clusters;
use super::input::SpecArguments;
use super::rollback::{self, snapshots};
use super::{Exit, Global, terminal, written};

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
    let (spec, typed) = match &arguments.command {
        Command::List { spec } => (spec, "snapshot list".to_owned()),
        Command::Show { spec, run } => (spec, format!("snapshot show {}", escaped(run))),
        Command::Prune { spec, .. } => (spec, "snapshot prune".to_owned()),
    };
    let clusters = match cluster::load(spec, &typed, global) {
        Ok(clusters) => clusters,
        Err(exit) => return exit,
    };
    let each = |one: &dyn Fn(&Cluster) -> Result<Exit, Exit>| {
        clusters.gravest(|cluster| one(cluster).unwrap_or_else(|exit| exit))
    };
    match &arguments.command {
        Command::List { .. } => each(&list),
        Command::Show { run, .. } => show(&clusters, run).unwrap_or_else(|exit| exit),
        Command::Prune { keep, .. } => each(&|cluster| prune(cluster, *keep)),
    }
}

/// What a run changed, in whichever cluster it did.
fn show(clusters: &Clusters, run: &str) -> Result<Exit, Exit> {
    let mut known = Vec::new();
    let mut text = String::new();
    for cluster in clusters.iter() {
        let kept = snapshots(&cluster.nodes(), &cluster.spec.spec.snapshots.directory)?;
        let runs = runs(&kept);
        if runs.iter().any(|known| known == run) {
            text.push_str(&output::snapshot(&kept, run));
        }
        known.extend(runs);
    }
    if !known.iter().any(|known| known == run) {
        return Err(rollback::no_such_run(run, &known));
    }
    Ok(written(terminal::print(&text)))
}

fn list(cluster: &Cluster) -> Result<Exit, Exit> {
    let nodes = cluster.nodes();
    let directory = &cluster.spec.spec.snapshots.directory;
    let kept = snapshots(&nodes, directory)?;
    let of_etcd = rollback::kept(&nodes, |node| node.etcd_snapshots(directory))?;
    Ok(written(terminal::print(&(output::snapshots(&kept) + &output::etcd_snapshots(&of_etcd)))))
}

fn prune(cluster: &Cluster, keep: Option<u32>) -> Result<Exit, Exit> {
    let mut nodes = cluster.nodes();
    let directory = &cluster.spec.spec.snapshots.directory;
    // A node that does not answer is known before anything is removed from another one.
    snapshots(&nodes, directory)?;
    let keep = keep.unwrap_or(cluster.spec.spec.snapshots.keep);
    let mut text = String::new();
    for (name, node) in &mut nodes {
        let removed = node.prune(directory, keep).map_err(|error| {
            terminal::tell(&format!("error: {name}: {}\n", with_causes(&error)));
            Exit::Internal
        })?;
        for run in removed {
            text.push_str(&format!("{name}: removed {run}\n"));
        }
    }
    if text.is_empty() {
        text = format!(
            "{}: nothing to remove; no node keeps more than {keep} runs\n",
            cluster.spec.metadata.name
        );
    }
    Ok(written(terminal::print(&text)))
}
