//! `pki apply`: shows the plan, asks, and does exactly that.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pki::apply::{Done, Locking, Outcome as RunOutcome, Report, Settings, apply};
use pki::own_root::RootKeys;
use pki::plan::{Plan, SpecReference};
use pki::render;
use pki::spec::types::OnFailure;
use serde::Serialize;

use super::cluster::Cluster;
use super::exit::Outcome;
use super::lock::LockArguments;
use super::plan::PlanArguments;
use super::progress::Progress;
use super::saved_plan::{self, SavedArguments};
use super::{Exit, Format, Global, consent, json, output, own_root, written};

/// What `pki apply` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) saved: SavedArguments,
    #[command(flatten)]
    pub(super) plan: PlanArguments,
    #[command(flatten)]
    pub(super) consent: consent::Consent,
    #[command(flatten)]
    locking: LockArguments,
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) format: Format,
    /// What happens to work already done when a step fails; the spec's rollout.onFailure when not given
    #[arg(long, value_enum, value_name = "WHAT")]
    on_failure: Option<FailurePolicy>,
}

impl Arguments {
    fn policy(&self, spec: OnFailure) -> OnFailure {
        self.on_failure.map_or(spec, OnFailure::from)
    }
}

/// What happens to work already done when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FailurePolicy {
    /// The failing node is put back; nodes already done stay.
    UndoNode,
    /// The whole run is undone in reverse order.
    UndoAll,
    /// Everything is left as it is.
    Stop,
}

impl From<FailurePolicy> for OnFailure {
    fn from(policy: FailurePolicy) -> Self {
        match policy {
            FailurePolicy::UndoNode => OnFailure::UndoNode,
            FailurePolicy::UndoAll => OnFailure::UndoAll,
            FailurePolicy::Stop => OnFailure::Stop,
        }
    }
}

/// The result for programs.
#[derive(Serialize)]
struct Result<'a> {
    plan: &'a Plan,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Applies.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    if let Some(path) = &arguments.saved.plan_file {
        return saved_plan::run(path, arguments, global).unwrap_or_else(|exit| exit);
    }
    // Missing approval is found before any node is asked anything.
    if let Err(exit) = arguments.consent.possible() {
        return exit;
    }
    let clusters = match arguments.plan.load(global) {
        Ok(clusters) => clusters,
        Err(exit) => return exit,
    };
    let mut gravest = Exit::Done;
    for cluster in &clusters {
        let exit = one(cluster, arguments, global).unwrap_or_else(|exit| exit);
        gravest = gravest.max(exit);
        if exit != Exit::Done {
            // The next cluster is not begun on top of a failure.
            break;
        }
    }
    gravest
}

/// Work that an interrupted run left open is undone by a first round; only then can be seen what else is due.
const ROUNDS: usize = 2;

fn one(cluster: &Cluster, arguments: &Arguments, global: &Global) -> std::result::Result<Exit, Exit> {
    let mut exit = Exit::Done;
    for _ in 0..ROUNDS {
        let mut nodes = cluster.nodes();
        let survey = cluster.survey(&nodes)?;
        let plan = cluster.plan(&survey, &arguments.plan.options(false), super::now())?;
        if arguments.format == Format::Text {
            let shown = written(output::print(&render::plan(&plan)));
            if shown != Exit::Done {
                return Err(shown);
            }
        }
        if !plan.applicable {
            return Ok(finish(&plan, Exit::Blocked, false, arguments));
        }
        if plan.visits.is_empty() {
            return Ok(finish(&plan, exit, false, arguments));
        }
        arguments.consent.ask(&plan)?;
        let done = Done::default();
        let (told, touched) =
            do_it(&plan, (&mut nodes, &survey.desired), &cluster.reference, done, arguments, global);
        exit = told;
        let was_undo = plan.actions().all(|action| matches!(action.deed, pki::plan::Deed::UndoOpen { .. }));
        if exit != Exit::Done || !was_undo {
            return Ok(finish(&plan, exit, touched, arguments));
        }
    }
    Ok(exit)
}

/// Does what was approved, and tells how it ended; and whether anything was touched.
pub(super) fn do_it(
    plan: &Plan,
    (nodes, desired): (&mut super::nodes::Hosts, &pki::desired::Desired),
    spec: &SpecReference,
    done: Done,
    arguments: &Arguments,
    global: &Global,
) -> (Exit, bool) {
    let root_keys = match own_root::keys(plan, &spec.file) {
        Ok(keys) => keys,
        Err(exit) => return (exit, false),
    };
    let policy = Policy {
        on_failure: arguments.policy(desired.rollout.on_failure),
        root_keys: &root_keys,
        locking: arguments.locking.locking(),
        done,
    };
    let report = carry_out(plan, nodes, desired, policy, global);
    let mut exit = exit_of(report.outcome);
    if arguments.format == Format::Text {
        exit = exit.max(written(output::print(&render::report(plan, &report))));
    }
    (exit, report.touched())
}

/// How a plan is carried out.
pub(super) struct Policy<'a> {
    /// What happens when a step fails.
    pub(super) on_failure: OnFailure,
    /// The keys of the roots that it installs.
    pub(super) root_keys: &'a RootKeys,
    /// How nodes are locked.
    pub(super) locking: Locking,
    /// What is done already.
    pub(super) done: Done,
}

/// Carries out a plan with progress on standard error.
pub(super) fn carry_out(
    plan: &Plan,
    nodes: &mut super::nodes::Hosts,
    desired: &pki::desired::Desired,
    policy: Policy<'_>,
    global: &Global,
) -> Report {
    let interrupted = Arc::new(AtomicBool::new(false));
    super::signals::stop_on_signal(&interrupted);
    let settings = Settings {
        desired,
        on_failure: policy.on_failure,
        root_keys: policy.root_keys,
        note: format!("{} from {}", plan.cluster, plan.spec.file),
        locking: policy.locking,
        done: policy.done,
        now: super::now,
        interrupted: &interrupted,
    };
    let mut progress = Progress::new(global);
    apply(plan, nodes, &settings, &mut |event| progress.tell(event))
}

/// The exit code of a run.
pub(super) fn exit_of(outcome: RunOutcome) -> Exit {
    match outcome {
        RunOutcome::Done => Exit::Done,
        RunOutcome::Stale => Exit::Stale,
        RunOutcome::Locked => Exit::Locked,
        RunOutcome::Refused => Exit::Internal,
        RunOutcome::InterruptedUntouched => Exit::Interrupted,
        RunOutcome::Undone => Exit::Undone,
        RunOutcome::Partial => Exit::Partial,
        RunOutcome::UndoFailed => Exit::UndoFailed,
    }
}

pub(super) fn finish(plan: &Plan, exit: Exit, touched: bool, arguments: &Arguments) -> Exit {
    match arguments.format {
        Format::Text => exit,
        Format::Json => {
            let outcome = if touched { Outcome::touched(exit) } else { Outcome::untouched(exit) };
            exit.max(written(output::print(&json(&Result { plan, outcome }))))
        }
    }
}
