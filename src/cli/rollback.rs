//! `pki rollback`: shows the way back to before a run, asks, and goes it.

use std::collections::BTreeMap;

use pki::apply::Done;
use pki::desired::Survey;
use pki::diagnostic::{escaped, nearest};
use pki::diff::Differences;
use pki::diff::signed::Signed;
use pki::observe::ask::at_once;
use pki::output;
use pki::plan::model::outcome::Event;
use pki::plan::{Input, Options, Rollback, RollbackError, rollback, runs};
use pki::protocol::error::HostError;
use pki::protocol::node::Host;
use pki::protocol::snapshots::SnapshotFacts;
use pki::simulate::check_rollback;
use pki::spec::custom_root::RootKeys;
use pki::trust::processes::Processes;
use pki::types::format::with_causes;
use pki::types::names::NodeName;

use super::apply::{Policy, carry_out, exit_of};
use super::cluster;
use super::consent::{self, Tied};
use super::input::SpecArguments;
use super::lock::LockArguments;
use super::nodes::Hosts;
use super::progress::Progress;
use super::{Exit, Global, terminal, written};

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
    let run = arguments.run.as_deref().map(|run| format!(" {}", escaped(run))).unwrap_or_default();
    let command = format!("rollback{run}");
    if let Err(exit) = arguments.spec.named(&command) {
        return exit;
    }
    if !arguments.plan
        && let Err(exit) = arguments.consent.possible()
    {
        return exit;
    }
    one(arguments, &command, global).unwrap_or_else(|exit| exit)
}

fn one(arguments: &Arguments, command: &str, global: &Global) -> Result<Exit, Exit> {
    let clusters = cluster::load(&arguments.spec, command, global)?;
    let cluster = clusters.only()?;
    let mut nodes = cluster.nodes();
    let survey = cluster.survey(&nodes)?;
    let snapshots = snapshots(&nodes, &survey.desired.snapshots.directory)?;
    let now = super::now();
    // What is due is nobody's question: what was there comes back, whatever it is.
    let differences = Differences::without_findings(&survey.desired, &survey.observed, now);
    let input = Input {
        survey: &survey,
        differences: &differences,
        now,
        spec: cluster.reference.clone(),
        options: &Options::default(),
        signed: &Signed::default(),
        place: &|path| cluster.place(path),
    };
    let Rollback { draft, expired } =
        rollback(&input, &snapshots, arguments.run.as_deref()).map_err(|error| {
            if let (RollbackError::UnknownRun { .. } | RollbackError::NoSnapshots, Some(run)) =
                (&error, &arguments.run)
            {
                return no_such_run(run, &runs(&snapshots));
            }
            terminal::tell(&format!("error: {}\n", with_causes(&error)));
            Exit::Blocked
        })?;
    let processes = Processes::of(&survey.observed);
    let plan = check_rollback(draft, &survey, &processes, &snapshots);
    let shown = written(terminal::print(&output::plan(&plan)));
    if shown != Exit::Done || arguments.plan {
        return Ok(shown);
    }
    if plan.visits.is_empty() {
        arguments.consent.confirms_something(&[])?;
        return Ok(shown);
    }
    let tied = match arguments.run {
        Some(_) => Tied::Named,
        None => Tied::Anything { help: "name the run" },
    };
    let approval = plan.approval_of_way_back(&expired, is_anything_running(&survey));
    arguments.consent.ask(&plan, &approval, tied)?;
    let on_failure = survey.desired.rollout.on_failure;
    let (root_keys, locking) = (RootKeys::default(), arguments.locking.locking());
    let policy = Policy { on_failure, root_keys: &root_keys, locking, done: Done::default() };
    let mut progress = Progress::new(&plan, global);
    let tell = &mut |event: &Event<'_>| progress.tell(event);
    let report = carry_out(&plan, &mut nodes, &survey.desired, policy, false, tell);
    let exit = exit_of(report.outcome).max(written(terminal::print(&output::report(&plan, &report))));
    Ok(if report.touched() { exit.once_touched() } else { exit })
}

/// Tells that no node keeps a snapshot of the run that was named.
pub(super) fn no_such_run(run: &str, known: &[String]) -> Exit {
    let help = match (nearest(run, known.iter().map(String::as_str)), known) {
        (_, []) => "no node keeps a snapshot of any run".to_owned(),
        (Some(near), known) => format!("did you mean {near}? There are: {}", known.join(", ")),
        (None, known) => format!("there are: {}", known.join(", ")),
    };
    terminal::tell(&format!(
        "error: no node keeps a snapshot of run {}\n  help: {}\n",
        escaped(run),
        escaped(&help)
    ));
    Exit::Usage
}

/// Whether anything is seen to run.
fn is_anything_running(survey: &Survey) -> bool {
    let mut facts = survey.observed.nodes.values().filter_map(|answer| answer.facts());
    facts.any(|facts| facts.services.values().any(|service| !service.started().is_empty()))
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
            terminal::tell(&format!("error: {name}: {}\n", with_causes(&error)));
            Exit::Blocked
        })?;
        all.insert(name.clone(), kept);
    }
    Ok(all)
}
