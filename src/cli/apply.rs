//! `pki apply`: shows the plan, asks, and does exactly that.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use pki::apply::{Locking, Outcome as RunOutcome, Report, Settings, apply};
use pki::own_root::RootKeys;
use pki::plan::Plan;
use pki::render;
use pki::spec::types::OnFailure;
use serde::Serialize;

use super::cluster::Cluster;
use super::exit::Outcome;
use super::lock::LockArguments;
use super::plan::PlanArguments;
use super::progress::Progress;
use super::{Exit, Format, Global, consent, json, output, own_root, written};

/// What `pki apply` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    plan: PlanArguments,
    #[command(flatten)]
    pub(super) consent: consent::Consent,
    #[command(flatten)]
    locking: LockArguments,
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// What happens to work already done when a step fails; the spec's rollout.onFailure when not given
    #[arg(long, value_enum, value_name = "WHAT")]
    on_failure: Option<FailurePolicy>,
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
        let root_keys = match own_root::keys(&plan) {
            Ok(keys) => keys,
            Err(exit) => return Ok(finish(&plan, exit, false, arguments)),
        };
        let locking = arguments.locking.locking();
        let on_failure = arguments.on_failure.map_or(survey.desired.rollout.on_failure, OnFailure::from);
        let report = carry_out(&plan, &mut nodes, &survey.desired, (on_failure, &root_keys), locking, global);
        exit = exit_of(report.outcome);
        if arguments.format == Format::Text {
            exit = exit.max(written(output::print(&render::report(&plan, &report))));
        }
        let was_undo = plan.actions().all(|action| matches!(action.deed, pki::plan::Deed::UndoOpen { .. }));
        if exit != Exit::Done || !was_undo {
            let touched = report.touched();
            return Ok(finish(&plan, exit, touched, arguments));
        }
    }
    Ok(exit)
}

/// Carries out a plan with progress on standard error.
pub(super) fn carry_out(
    plan: &Plan,
    nodes: &mut super::nodes::Hosts,
    desired: &pki::desired::Desired,
    (on_failure, root_keys): (OnFailure, &RootKeys),
    locking: Locking,
    global: &Global,
) -> Report {
    let interrupted = Arc::new(AtomicBool::new(false));
    super::signals::stop_on_signal(&interrupted);
    let settings = Settings {
        desired,
        on_failure,
        root_keys,
        note: format!("{} from {}", plan.cluster, plan.spec.file),
        locking,
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

fn finish(plan: &Plan, exit: Exit, touched: bool, arguments: &Arguments) -> Exit {
    match arguments.format {
        Format::Text => exit,
        Format::Json => {
            let outcome = if touched { Outcome::touched(exit) } else { Outcome::untouched(exit) };
            exit.max(written(output::print(&json(&Result { plan, outcome }))))
        }
    }
}
