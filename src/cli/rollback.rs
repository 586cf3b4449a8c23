//! `pki rollback`: shows the way back to before a run, asks, and goes it.

use std::collections::BTreeMap;

use pki::apply::{Done, Event};
use pki::ids::NodeName;
use pki::node::HostError;
use pki::observe::at_once;
use pki::own_root::RootKeys;
use pki::plan::{Approval, Input, Options, rollback};
use pki::render;
use pki::visits::SnapshotFacts;

use super::apply::{Policy, carry_out, exit_of};
use super::cluster::{self, Cluster};
use super::consent::{self, Tied};
use super::input::SpecArguments;
use super::lock::LockArguments;
use super::nodes::Hosts;
use super::progress::Progress;
use super::{Exit, Global, chain, output, written};

/// What `pki rollback` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The run to go back before, such as 7f3a-91c2; the latest one when not given
    run: Option<String>,
    #[command(flatten)]
    spec: SpecArguments,
    #[command(flatten)]
    consent: consent::Consent,
    #[command(flatten)]
    locking: LockArguments,
    /// Show the plan and stop
    #[arg(long)]
    plan: bool,
}

/// Goes back.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    if !arguments.plan
        && let Err(exit) = arguments.consent.possible()
    {
        return exit;
    }
    let clusters = match cluster::load(&arguments.spec, global) {
        Ok(clusters) => clusters,
        Err(exit) => return exit,
    };
    let [cluster] = clusters.as_slice() else {
        output::tell("error: name the spec of exactly one cluster with -f\n");
        return Exit::Usage;
    };
    one(cluster, arguments, global).unwrap_or_else(|exit| exit)
}

fn one(cluster: &Cluster, arguments: &Arguments, global: &Global) -> Result<Exit, Exit> {
    let mut nodes = cluster.nodes();
    let survey = cluster.survey(&nodes)?;
    let snapshots = snapshots(&nodes, &survey.desired.snapshots.directory)?;
    let now = super::now();
    let differences = pki::diff::Differences::default();
    let input = Input {
        survey: &survey,
        differences: &differences,
        now,
        spec: cluster.reference.clone(),
        options: &Options::default(),
        place: &|path| cluster.place(path),
    };
    let back = rollback(&input, &snapshots, arguments.run.as_deref()).map_err(|error| {
        output::tell(&format!("error: {}\n", chain(&error)));
        Exit::Blocked
    })?;
    let shown = written(output::print(&render::plan(&back.plan)));
    if shown != Exit::Done || arguments.plan || back.plan.visits.is_empty() {
        return Ok(shown);
    }
    let approval = if back.expired.is_empty() {
        Approval::Ordinary
    } else {
        let expired = back.expired.join(", ");
        Approval::Upper {
            name: format!("{}/rollback", back.plan.cluster),
            why: vec![format!("This brings back certificates that have expired: {expired}.")],
        }
    };
    let tied = match arguments.run {
        Some(_) => Tied::Named,
        None => Tied::Anything { help: "name the run" },
    };
    arguments.consent.ask(&back.plan, &approval, tied)?;
    let on_failure = survey.desired.rollout.on_failure;
    let (root_keys, locking) = (RootKeys::default(), arguments.locking.locking());
    let policy = Policy { on_failure, root_keys: &root_keys, locking, done: Done::default() };
    let mut progress = Progress::new(global);
    let tell = &mut |event: &Event<'_>| progress.tell(event);
    let report = carry_out(&back.plan, &mut nodes, &survey.desired, policy, tell);
    Ok(exit_of(report.outcome).max(written(output::print(&render::report(&back.plan, &report)))))
}

/// The snapshots of every node.
///
/// # Errors
/// The exit code, when a node does not tell: half a way back would be a trap.
pub(super) fn snapshots(
    nodes: &Hosts,
    directory: &str,
) -> Result<BTreeMap<NodeName, Vec<SnapshotFacts>>, Exit> {
    let mut told = at_once(nodes, |node| node.snapshots(directory));
    let mut snapshots = BTreeMap::new();
    for name in nodes.keys() {
        let broke_off = || Err(HostError::Unreachable { reason: "its reading broke off".to_owned() });
        let kept = told.remove(name).unwrap_or_else(broke_off).map_err(|error| {
            output::tell(&format!("error: {name}: {}\n", chain(&error)));
            Exit::Blocked
        })?;
        snapshots.insert(name.clone(), kept);
    }
    Ok(snapshots)
}
