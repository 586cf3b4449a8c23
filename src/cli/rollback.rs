//! `pki rollback`: shows the way back to before a run, asks, and goes it.

use std::collections::BTreeMap;

use pki::apply::{Done, Event};
use pki::ids::NodeName;
use pki::node::{Host, HostError};
use pki::observe::at_once;
use pki::own_root::RootKeys;
use pki::plan::{Approval, Input, Options, Rollback, rollback};
use pki::render;
use pki::signed::Signed;
use pki::simulate::{Processes, checked_rollback};
use pki::survey::Survey;
use pki::visits::SnapshotFacts;

use super::apply::{Policy, carry_out, exit_of};
use super::cluster;
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
    one(arguments, global).unwrap_or_else(|exit| exit)
}

fn one(arguments: &Arguments, global: &Global) -> Result<Exit, Exit> {
    let clusters = cluster::load(&arguments.spec, global)?;
    let cluster = cluster::only(&clusters)?;
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
        signed: &Signed::default(),
        place: &|path| cluster.place(path),
    };
    let mut back = rollback(&input, &snapshots, arguments.run.as_deref()).map_err(|error| {
        output::tell(&format!("error: {}\n", chain(&error)));
        Exit::Blocked
    })?;
    let processes = Processes::of(&survey.observed);
    back.plan = checked_rollback(back.plan, &survey, &processes, &snapshots);
    let shown = written(output::print(&render::plan(&back.plan)));
    if shown != Exit::Done || arguments.plan || back.plan.visits.is_empty() {
        return Ok(shown);
    }
    let tied = match arguments.run {
        Some(_) => Tied::Named,
        None => Tied::Anything { help: "name the run" },
    };
    arguments.consent.ask(&back.plan, &approval(&back, &survey), tied)?;
    let on_failure = survey.desired.rollout.on_failure;
    let (root_keys, locking) = (RootKeys::default(), arguments.locking.locking());
    let policy = Policy { on_failure, root_keys: &root_keys, locking, done: Done::default() };
    let mut progress = Progress::new(global);
    let tell = &mut |event: &Event<'_>| progress.tell(event);
    let report = carry_out(&back.plan, &mut nodes, &survey.desired, policy, tell);
    Ok(exit_of(report.outcome).max(written(output::print(&render::report(&back.plan, &report)))))
}

/// What a way back needs to be approved. Where nothing is seen to run, as on nodes that are directories, nothing is interrupted for certain.
fn approval(back: &Rollback, survey: &Survey) -> Approval {
    let mut facts = survey.observed.nodes.values().filter_map(|answer| answer.facts());
    let runs = facts.any(|facts| facts.services.values().any(|service| !service.started().is_empty()));
    let interruptions = back.plan.checked.iter().flat_map(|checked| &checked.interruptions);
    let outages = interruptions.filter(|interruption| runs && interruption.is_outage()).count();
    let mut why = Vec::new();
    if !back.expired.is_empty() {
        why.push(format!("This brings back certificates that have expired: {}.", back.expired.join(", ")));
    }
    match outages {
        0 => {}
        1 => why.push("This interrupts what works now, as the plan says.".to_owned()),
        outages => why.push(format!("This interrupts {outages} things that work now, as the plan says.")),
    }
    if why.is_empty() {
        return Approval::Ordinary;
    }
    Approval::Upper { name: format!("{}/rollback", back.plan.cluster), why }
}

/// The snapshots of every node.
///
/// # Errors
/// The exit code, when a node does not tell: half a way back would be a trap.
pub(super) fn snapshots(
    nodes: &Hosts,
    directory: &str,
) -> Result<BTreeMap<NodeName, Vec<SnapshotFacts>>, Exit> {
    kept(nodes, |node| node.snapshots(directory))
}

/// What every node keeps; a node that does not tell is an error.
pub(super) fn kept<T: Send>(
    nodes: &Hosts,
    ask: impl Fn(&(dyn Host + Send + Sync)) -> Result<Vec<T>, HostError> + Sync,
) -> Result<BTreeMap<NodeName, Vec<T>>, Exit> {
    let mut told = at_once(nodes, |node| ask(node.as_ref()));
    let mut all = BTreeMap::new();
    for name in nodes.keys() {
        let broke_off = || Err(HostError::Unreachable { reason: "its reading broke off".to_owned() });
        let kept = told.remove(name).unwrap_or_else(broke_off).map_err(|error| {
            output::tell(&format!("error: {name}: {}\n", chain(&error)));
            Exit::Blocked
        })?;
        all.insert(name.clone(), kept);
    }
    Ok(all)
}
