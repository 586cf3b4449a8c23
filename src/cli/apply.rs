//! `pki apply`: shows the plan, asks, and does exactly that.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;

use pki::apply::{Done, Locking, Settings, apply};
use pki::output;
use pki::output::View;
use pki::plan::model::outcome::{Event, Outcome as RunOutcome, Report};
use pki::plan::{SavedPlan, Waiting};
use pki::protocol::file::SpecReference;
use pki::simulate::Plan;
use pki::spec::custom_root::RootKeys;
use pki::spec::types::OnFailure;
use pki::types::names::{Address, ClusterName};
use pki::x509::CertificateRequest;
use serde::Serialize;

use super::cluster::{Cluster, Compared};
use super::consent::Tied;
use super::exit::Outcome;
use super::external::{RequestsArguments, Written};
use super::formats::{ApplyForm, RunForm};
use super::lock::LockArguments;
use super::plan::PlanArguments;
use super::progress::Progress;
use super::saved_plan::{self, SavedArguments};
use super::{Exit, Global, consent, custom_root, json, reports, signals, terminal, written};

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
    pub(super) locking: LockArguments,
    #[command(flatten)]
    requests: RequestsArguments,
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: ApplyForm,
    /// Write how it ended to a file too: text, json or markdown; may be given several times
    #[arg(long, value_name = "KIND=PATH", value_parser = reports::report::<RunForm>)]
    report: Vec<(RunForm, PathBuf)>,
    /// The most bytes of Markdown; the middle is cut, and why it ended so only where that alone is longer
    #[arg(long, value_name = "BYTES", default_value_t = reports::COMMENT_BYTES)]
    max_bytes: usize,
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
    plan: View<'a>,
    /// The requests that were handed out, each with its file.
    #[serde(skip_serializing_if = "<[Written]>::is_empty")]
    requests: &'a [Written],
    #[serde(flatten)]
    outcome: Outcome,
}

/// One call of the command.
pub(super) struct Call<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) global: &'a Global,
    /// Whether anything on a node was touched.
    touched: Cell<bool>,
    /// The requests that were handed out.
    handed_out: RefCell<Vec<Written>>,
    /// How the last run ended.
    ended: RefCell<Option<Report>>,
}

/// Applies.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let call = Call {
        arguments,
        global,
        touched: Cell::new(false),
        handed_out: RefCell::default(),
        ended: RefCell::default(),
    };
    // What could not be told at the end is no run that begins.
    let writable = reports::can_write(&arguments.report).and_then(|()| arguments.requests.can_write());
    let exit = match (writable, &arguments.saved.plan_file) {
        (Err(exit), _) => exit,
        (Ok(()), Some(path)) => saved_plan::run(path, &call).unwrap_or_else(|exit| exit),
        (Ok(()), None) => made_now(&call),
    };
    let told = match arguments.format {
        ApplyForm::Ndjson => call.after(exit, written(terminal::print(&call.outcome(exit).line()))),
        ApplyForm::Text | ApplyForm::Json => exit,
    };
    call.settled(told)
}

/// Makes plans and applies them.
fn made_now(call: &Call<'_>) -> Exit {
    // Missing approval is found before any node is asked anything.
    if let Err(exit) = call.arguments.plan.named("apply").and_then(|()| call.arguments.consent.possible()) {
        return exit;
    }
    let clusters = match call.arguments.plan.load("apply", call.global) {
        Ok(clusters) => clusters,
        Err(exit) => return exit,
    };
    let given = [("--report", !call.arguments.report.is_empty())];
    if let Err(exit) = call.arguments.plan.about_one(&clusters, &given) {
        return exit;
    }
    let mut gravest = Exit::Done;
    for cluster in clusters.iter() {
        let exit = one(cluster, call).unwrap_or_else(|exit| exit);
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

fn one(cluster: &Cluster, call: &Call<'_>) -> std::result::Result<Exit, Exit> {
    let mut exit = Exit::Done;
    for _ in 0..ROUNDS {
        let mut nodes = cluster.nodes();
        let survey = cluster.survey(&nodes)?;
        let now = super::now();
        let compared = Compared::at(&survey, now);
        let signed = call.arguments.plan.signed.read(&compared, now, call.global)?;
        let mut options = call.arguments.plan.options(false);
        let mut plan = cluster.plan(&compared, &options, &signed)?;
        // Nobody is there to look at what a person has to approve: it is left out, and the rest is done.
        while call.arguments.consent.is_unattended() && options.withhold(plan.waits_for_a_person()) {
            plan = cluster.plan(&compared, &options, &signed)?;
        }
        let waits = if options.withheld.is_empty() { Exit::Done } else { Exit::NotApproved };
        call.show(&plan)?;
        if !plan.applicable {
            return Ok(call.finish(&plan, Exit::Blocked));
        }
        if plan.visits.is_empty() {
            if !call.touched.get() {
                call.arguments.consent.confirms_something(&[])?;
            }
            return Ok(call.finish(
                &plan,
                exit.max(call.hand_out(cluster.as_named(), &plan.waiting, &BTreeMap::new())).max(waits),
            ));
        }
        let tied =
            Tied::Anything { help: "save the plan with `pki plan -o`, apply that with --expect-digest" };
        call.arguments.consent.ask(&plan, &plan.approval(), tied)?;
        exit = call.carry_out(&plan, (&mut nodes, &survey.desired), &cluster.reference, Done::default());
        if exit != Exit::Done || !plan.only_undoes() {
            return Ok(call.finish(&plan, exit.max(waits)));
        }
    }
    Ok(exit)
}

impl Call<'_> {
    /// Shows what will be done.
    ///
    /// # Errors
    /// The exit code, when it could not be shown: then it is not done either.
    pub(super) fn show(&self, plan: &Plan) -> std::result::Result<(), Exit> {
        let shown = match self.arguments.format {
            ApplyForm::Text => written(terminal::print(&output::plan(plan))),
            ApplyForm::Json => Exit::Done,
            ApplyForm::Ndjson => written(terminal::print(&output::version(plan))),
        };
        if shown == Exit::Done { Ok(()) } else { Err(shown) }
    }

    /// Does what was approved, and tells how it ended.
    pub(super) fn carry_out(
        &self,
        plan: &Plan,
        (nodes, desired): (&mut super::nodes::Hosts, &pki::desired::Desired),
        spec: &SpecReference,
        done: Done,
    ) -> Exit {
        let root_keys = match custom_root::keys(plan, &spec.file) {
            Ok(keys) => keys,
            Err(exit) => return exit,
        };
        let policy = Policy {
            on_failure: self.arguments.on_failure.map_or(desired.rollout.on_failure, OnFailure::from),
            root_keys: &root_keys,
            locking: self.arguments.locking.locking(),
            done,
        };
        let mut progress = Progress::new(plan, self.global);
        let mut unwritten = Exit::Done;
        let tells_events = self.arguments.format == ApplyForm::Ndjson;
        let tell = &mut |event: &Event<'_>| match self.arguments.format {
            // A reader that has gone away is no reason to stop in the middle of a node.
            ApplyForm::Ndjson => unwritten = unwritten.max(written(terminal::print(&output::event(event)))),
            ApplyForm::Text | ApplyForm::Json => progress.tell(event),
        };
        let report = carry_out(plan, nodes, desired, policy, tells_events, tell);
        self.touched.set(self.touched.get() || report.touched());
        let mut exit = self.after(exit_of(report.outcome), unwritten);
        if self.arguments.format == ApplyForm::Text {
            exit = self.after(exit, written(terminal::print(&output::report(plan, &report))));
        }
        exit = self
            .after(exit, self.hand_out((&plan.cluster, &plan.spec.file), &plan.waiting, &report.requests));
        *self.ended.borrow_mut() = Some(report);
        exit
    }

    /// Writes the requests that wait for certificates, those of earlier runs too, and tells what to do with them.
    pub(super) fn hand_out(
        &self,
        (cluster, spec_file): (&ClusterName, &str),
        waiting: &[Waiting],
        made: &BTreeMap<Address, CertificateRequest>,
    ) -> Exit {
        let waiting = waiting.iter().map(|waiting| (waiting.address.clone(), waiting.request.clone()));
        let mut requests: BTreeMap<Address, CertificateRequest> = waiting.collect();
        requests.extend(made.iter().map(|(address, request)| (address.clone(), request.clone())));
        let handed_out = match self.arguments.requests.write(cluster, &requests) {
            Ok(handed_out) => handed_out,
            Err(exit) => return exit,
        };
        let told = match self.arguments.format {
            ApplyForm::Text => {
                let files = handed_out.iter().map(|written| (written.address.clone(), written.file.clone()));
                terminal::print(&output::requests(&files.collect::<Vec<_>>(), spec_file))
            }
            ApplyForm::Ndjson => {
                let lines = handed_out.iter().map(|written| output::request(&written.address, &written.file));
                terminal::print(&lines.collect::<String>())
            }
            ApplyForm::Json => Ok(()),
        };
        *self.handed_out.borrow_mut() = handed_out;
        written(told)
    }

    /// For whom, and with how much patience, nodes are locked.
    pub(super) fn locking(&self) -> Locking {
        self.arguments.locking.locking()
    }

    /// Ends with a saved plan of which nothing had to be carried out.
    pub(super) fn finish_unused(&self, saved: &SavedPlan, exit: Exit) -> Exit {
        let plan = View::from(saved);
        self.tell_end(exit, |form, exit| match form {
            RunForm::Text => plan.text(),
            RunForm::Json => self.json(plan, exit),
            RunForm::Markdown => plan.markdown(None, self.arguments.max_bytes),
        })
    }

    fn json(&self, plan: View<'_>, exit: Exit) -> String {
        json(&Result { plan, requests: &self.handed_out.borrow(), outcome: self.outcome(exit) })
    }

    /// Tells the end in every form that was asked for. What is printed last knows how the reports went.
    fn tell_end(&self, exit: Exit, text: impl Fn(RunForm, Exit) -> String) -> Exit {
        let exit = self.after(exit, reports::write(&self.arguments.report, |form| text(form, exit)));
        match self.arguments.format {
            ApplyForm::Text | ApplyForm::Ndjson => exit,
            ApplyForm::Json => self.after(exit, written(terminal::print(&text(RunForm::Json, exit)))),
        }
    }

    /// The end after something was told, or could not be. Behind a run that touched a node this is no more than a warning, but it is one.
    fn after(&self, exit: Exit, told: Exit) -> Exit {
        if told != Exit::Done && self.touched.get() {
            terminal::tell(
                "warning: the run itself ended as its report says; what could not be written is lost\n",
            );
        }
        self.settled(exit.max(told))
    }

    /// The end of everything: with 10 to 19 if and only if a node was touched.
    fn settled(&self, exit: Exit) -> Exit {
        if self.touched.get() { exit.once_touched() } else { exit }
    }

    /// Ends with a plan: tells how, in every form that was asked for. What was not carried out is told as the plan that it is.
    pub(super) fn finish(&self, plan: &Plan, exit: Exit) -> Exit {
        let ended = self.ended.borrow();
        self.tell_end(exit, |form, exit| match (form, &*ended) {
            (RunForm::Text, Some(report)) => output::report(plan, report),
            (RunForm::Text, None) => output::plan(plan),
            (RunForm::Json, _) => self.json(View::from(&**plan), exit),
            (RunForm::Markdown, Some(report)) => {
                output::report_markdown(plan, report, self.arguments.max_bytes)
            }
            (RunForm::Markdown, None) => output::markdown(plan, None, self.arguments.max_bytes),
        })
    }

    fn outcome(&self, exit: Exit) -> Outcome {
        if self.touched.get() { Outcome::touched(exit) } else { Outcome::untouched(exit) }
    }
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

/// Carries out a plan, which a signal stops; every event is told.
pub(super) fn carry_out(
    plan: &Plan,
    nodes: &mut super::nodes::Hosts,
    desired: &pki::desired::Desired,
    policy: Policy<'_>,
    tells_events: bool,
    tell: &mut dyn FnMut(&Event<'_>),
) -> Report {
    let interrupted = signals::stop_on_signal(tells_events);
    let settings = Settings {
        desired,
        on_failure: policy.on_failure,
        root_keys: policy.root_keys,
        note: format!("{} from {}", plan.cluster, plan.spec.file),
        locking: policy.locking,
        done: policy.done,
        now: super::now,
        interrupted,
    };
    let tell = &mut |event: &Event<'_>| {
        signals::happened(event);
        tell(event);
    };
    apply(plan, nodes, &settings, tell)
}

/// The exit code of a run.
pub(super) fn exit_of(outcome: RunOutcome) -> Exit {
    match outcome {
        RunOutcome::Done => Exit::Done,
        RunOutcome::Stale => Exit::Stale,
        RunOutcome::Locked => Exit::Locked,
        RunOutcome::Refused => Exit::Internal,
        RunOutcome::InterruptedUntouched => signals::untouched(),
        RunOutcome::Undone => Exit::Undone,
        RunOutcome::Partial => Exit::Partial,
        RunOutcome::UndoFailed => Exit::UndoFailed,
    }
}
