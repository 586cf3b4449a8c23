//! `pki plan`: shows what would be done. It takes no lock and changes nothing.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pki::desired::Survey;
use pki::output::View;
use pki::plan::{Life, Options, Phase, SavedPlan, Selector, selects_nothing};
use pki::protocol::facts::Observed;
use pki::protocol::file::{Facts, to_text};
use pki::simulate::Plan;
use pki::types::duration::Duration;
use pki::types::format::instant;
use pki::x509::Sha256;
use serde::Serialize;

use super::cluster::{self, Cluster, Compared, SkipArguments};
use super::clusters::Clusters;
use super::exit::Outcome;
use super::external::CertificatesArguments;
use super::files;
use super::formats::PlanForm;
use super::input::{Input, SpecArguments};
use super::no_plan::NoPlan;
use super::untrusted::{HostsFrom, UntrustedArguments};
use super::{Exit, Global, json, reports, terminal, written};

/// What decides about the content of a plan besides the spec.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    spec: SpecArguments,
    #[command(flatten)]
    skip: SkipArguments,
    /// Plan only for this: NAME@NODE, NAME or @NODE, such as etcd-server@cp-2; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    only: Vec<Selector>,
    /// Replace this even if nothing is wrong with it; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    replace: Vec<Selector>,
    /// Replace this file of a node although it holds neither certificates nor keys nor a kubeconfig; may be given several times. Its bytes stay in the snapshot
    #[arg(long, value_name = "PATH")]
    replace_foreign: Vec<String>,
    #[command(flatten)]
    pub(super) signed: CertificatesArguments,
    /// Do what cannot be done without an outage, such as to make one CA of two that were mixed; changes nothing where none is needed
    #[arg(long)]
    accept_outage: bool,
    /// Leave what comes after this phase of the plan for a later run, such as quorum
    #[arg(long, value_name = "PHASE")]
    pub(super) until_phase: Option<Phase>,
}

impl PlanArguments {
    /// Whether a spec was named at all.
    ///
    /// # Errors
    /// The exit code, after it was told how `command` is typed.
    pub(super) fn named(&self, command: &str) -> Result<(), Exit> {
        self.spec.named(command)
    }

    /// The clusters to plan for.
    ///
    /// # Errors
    /// The exit code, after what is wrong was told.
    pub(super) fn load(&self, command: &str, global: &Global) -> Result<Clusters, Exit> {
        self.load_or(command, global, &mut |_| {})
    }

    /// The same, for a command that writes reports of specs that are `invalid`, too.
    ///
    /// # Errors
    /// The exit code, after what is wrong was told.
    fn load_or(
        &self,
        command: &str,
        global: &Global,
        invalid: &mut dyn FnMut(&Input),
    ) -> Result<Clusters, Exit> {
        let mut clusters = cluster::load_or(&self.spec, command, global, invalid)?;
        self.skip.skip(&mut clusters)?;
        self.selects(&clusters)?;
        Ok(clusters)
    }

    /// Whether everything that was named on the command line is there.
    ///
    /// # Errors
    /// The exit code, after every name that is not was told.
    fn selects(&self, clusters: &Clusters) -> Result<(), Exit> {
        let resolved: Option<Vec<_>> =
            clusters.iter().map(|cluster| Some((cluster.unasked()?, &cluster.skipped))).collect();
        // A spec that cannot be worked out is told of when its nodes are asked.
        let Some(resolved) = resolved else { return Ok(()) };
        let all: Vec<_> = resolved.iter().map(|(desired, skipped)| (desired, *skipped)).collect();
        let faults = selects_nothing(&self.options(false), &all);
        for fault in &faults {
            terminal::tell(&format!("error: {fault}\n  help: {}\n", fault.help));
        }
        if faults.is_empty() { Ok(()) } else { Err(Exit::Usage) }
    }

    /// The clusters of the spec from which a saved plan was made, unless another place of it is named, without the nodes that the plan leaves alone.
    ///
    /// # Errors
    /// The exit code, after what is wrong was told: the place has to be named where the plan's own word for it `is_doubtful`.
    pub(super) fn load_for(
        &self,
        saved: &SavedPlan,
        is_doubtful: bool,
        global: &Global,
    ) -> Result<Clusters, Exit> {
        let mut spec = self.spec.clone();
        if spec.files.is_empty() {
            if is_doubtful {
                terminal::tell(
                    "error: the plan names a spec outside of this folder, and nothing says that the plan is the reviewed one\n  help: name the spec with -f, or bind the run with --expect-digest\n",
                );
                return Err(Exit::Usage);
            }
            spec.files.push(PathBuf::from(&saved.spec().file));
        }
        let mut clusters = cluster::load(&spec, "apply", global)?;
        for cluster in clusters.iter_mut() {
            cluster.skipped = saved.skipped().iter().cloned().collect();
        }
        Ok(clusters)
    }

    /// Signed certificates are called after nodes, which belong to one cluster.
    ///
    /// # Errors
    /// The exit code, after it was told.
    pub(super) fn about_one(&self, clusters: &Clusters, given: &[(&str, bool)]) -> Result<(), Exit> {
        let own = [("--certificates", self.signed.certificates.is_some())];
        let given: Vec<&str> =
            own.iter().chain(given).filter(|(_, given)| *given).map(|(option, _)| *option).collect();
        if clusters.are_several() && !given.is_empty() {
            let (given, are) = (given.join(", "), if given.len() == 1 { "is" } else { "are" });
            terminal::tell(&format!("error: {given} {are} about one cluster; name its spec alone with -f\n"));
            return Err(Exit::Usage);
        }
        Ok(())
    }

    pub(super) fn options(&self, as_of: bool) -> Options {
        Options {
            only: self.only.clone(),
            replace: self.replace.clone(),
            replace_foreign: self.replace_foreign.iter().cloned().collect(),
            as_of,
            accept_outage: self.accept_outage,
            until_phase: self.until_phase,
            withheld: Vec::new(),
            valid_for: None,
            again: None,
        }
    }
}

/// What `pki plan` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    plan: PlanArguments,
    #[command(flatten)]
    form: FormArguments,
    /// Plan as if it were this instant, such as 2027-01-31T00:00:00Z; such a plan cannot be applied
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    /// End with 2 when there is something to do
    #[arg(long, visible_alias = "detailed-exitcode")]
    exit_code: bool,
    /// Save the plan too, for `pki show` and `pki apply`; it holds no secret
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Plan from what `pki observe` has written, without asking any node
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// How long the plan may be applied, such as 14d: 7d when not given, and never more than a quarter of the shortest validity that it issues
    #[arg(long, value_name = "DURATION")]
    valid_for: Option<Duration>,
    #[command(flatten)]
    untrusted: UntrustedArguments,
}

/// In which forms a plan is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FormArguments {
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: PlanForm,
    /// Write the same result in another form to a file: text, json, markdown or gitlab; may be given several times
    #[arg(long, value_name = "KIND=PATH", value_parser = reports::report::<PlanForm>)]
    report: Vec<(PlanForm, PathBuf)>,
    /// The most bytes of Markdown; the middle is cut, and the errors only where they alone are longer
    #[arg(long, value_name = "BYTES", default_value_t = reports::COMMENT_BYTES)]
    max_bytes: usize,
}

impl FormArguments {
    /// Prints a plan, and writes its reports.
    pub(super) fn show<'p>(&self, plan: impl Into<View<'p>>, digest: Option<&Sha256>, exit: Exit) -> Exit {
        self.at(Place::Result, plan.into(), digest, exit)
    }

    /// The same on standard error.
    fn tell(&self, plan: &Plan, digest: Option<&Sha256>, exit: Exit) -> Exit {
        self.at(Place::Aside, View::from(&**plan), digest, exit)
    }

    fn at(&self, place: Place, plan: View<'_>, digest: Option<&Sha256>, exit: Exit) -> Exit {
        let text = |format| match format {
            PlanForm::Text => plan.text(),
            PlanForm::Json => json(&Report { plan, outcome: Outcome::untouched(exit) }),
            PlanForm::Markdown => plan.markdown(digest, self.max_bytes),
            PlanForm::Gitlab => plan.gitlab(),
        };
        let printed = match place {
            Place::Result => written(terminal::print(&text(self.format))),
            Place::Aside => {
                terminal::tell(&text(self.format));
                Exit::Done
            }
        };
        printed.max(reports::write(&self.report, text))
    }

    /// Writes the reports of a plan that was not made, and prints it to programs.
    fn tell_none(&self, none: &NoPlan<'_>) -> Exit {
        let text = |format| match format {
            PlanForm::Text => none.text(),
            PlanForm::Json => none.json(),
            PlanForm::Markdown => none.markdown(self.max_bytes),
            PlanForm::Gitlab => NoPlan::gitlab(),
        };
        let printed = match self.format {
            // People have read it on standard error.
            PlanForm::Text => Exit::Done,
            PlanForm::Json | PlanForm::Markdown | PlanForm::Gitlab => {
                written(terminal::print(&text(self.format)))
            }
        };
        printed.max(reports::write(&self.report, text))
    }
}

/// Where a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On standard output.
    Result,
    /// On standard error, because the saved plan itself is the result.
    Aside,
}

/// What `--out` calls standard output.
const STDOUT: &str = "-";

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    plan: View<'a>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Plans. Whatever comes of it, afterwards nothing of an earlier plan lies where this one was to be saved or reported: a pipeline must not take that for this one.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let out = arguments.out.as_deref().filter(|path| *path != Path::new(STDOUT));
    if let Some(Err(exit)) = out.map(files::remove_older) {
        return exit;
    }
    let mut reported = false;
    let exit = planned(arguments, global, &mut reported).unwrap_or_else(|exit| exit);
    if reported {
        return exit;
    }
    exit.max(arguments.form.tell_none(&NoPlan { input: None, exit }))
}

/// Plans for each cluster, and says whether the reports were written.
fn planned(arguments: &Arguments, global: &Global, reported: &mut bool) -> Result<Exit, Exit> {
    let hosts = arguments.untrusted.hosts()?;
    if hosts.as_ref().is_some_and(HostsFrom::is_empty) && arguments.facts.is_none() {
        terminal::tell(
            "error: --untrusted connects to no host that the spec names\n  help: name the hosts with --hosts-from FILE, or plan from --facts FILE\n",
        );
        return Err(Exit::Usage);
    }
    let mut plan_arguments = arguments.plan.clone();
    plan_arguments.spec.only_below = arguments.untrusted.untrusted;
    let mut told = Exit::Done;
    let mut invalid = |input: &Input| {
        *reported = true;
        told = arguments.form.tell_none(&NoPlan { input: Some(input), exit: Exit::InvalidSpec });
    };
    let clusters = plan_arguments.load_or("plan", global, &mut invalid);
    let mut clusters = clusters.map_err(|exit| exit.max(told))?;
    for cluster in clusters.iter_mut() {
        cluster.hosts.clone_from(&hosts);
    }
    let given = [
        ("--out", arguments.out.is_some()),
        ("--facts", arguments.facts.is_some()),
        ("--report", !arguments.form.report.is_empty()),
    ];
    plan_arguments.about_one(&clusters, &given)?;
    let mut gravest = Exit::Done;
    for cluster in clusters.iter() {
        gravest = gravest.max(one(cluster, arguments, global, reported).unwrap_or_else(|exit| exit));
    }
    Ok(gravest)
}

fn one(cluster: &Cluster, arguments: &Arguments, global: &Global, reported: &mut bool) -> Result<Exit, Exit> {
    let survey = match &arguments.facts {
        Some(path) => from_facts(cluster, path)?,
        None => cluster.survey(&cluster.nodes())?,
    };
    let now = arguments.as_of.unwrap_or_else(super::now);
    let compared = Compared::at(&survey, now);
    let signed = arguments.plan.signed.read(&compared, now, global)?;
    let options =
        Options { valid_for: arguments.valid_for, ..arguments.plan.options(arguments.as_of.is_some()) };
    let plan = cluster.plan(&compared, &options, &signed)?;
    let exit = exit_of(&*plan, arguments.exit_code);
    let saved = arguments.out.as_ref().filter(|_| plan.applicable).map(|path| (path, to_text(&plan)));
    let digest = saved.as_ref().map(|(_, text)| Sha256::of(text.as_bytes()));
    let is_result = saved.as_ref().is_some_and(|(path, _)| path.as_path() == Path::new(STDOUT));
    *reported = true;
    let shown = match is_result {
        true => arguments.form.tell(&plan, digest.as_ref(), exit),
        false => arguments.form.show(&*plan, digest.as_ref(), exit),
    };
    match (&saved, &digest) {
        (Some((path, text)), Some(digest)) => save(&plan, (path, text), digest)?,
        _ if arguments.out.is_some() => {
            terminal::tell("No plan was saved: this one cannot be applied.\n");
        }
        _ => {}
    }
    Ok(exit.max(shown))
}

/// The exit code of a plan that is only shown.
pub(super) fn exit_of<'p>(plan: impl Into<View<'p>>, tells_changes: bool) -> Exit {
    let plan = plan.into();
    if plan.is_blocked() {
        Exit::Blocked
    } else if tells_changes && !plan.is_empty() {
        Exit::ChangesPending
    } else {
        Exit::Done
    }
}

/// What was told earlier, as if the nodes told it now. What it does not say is unknown: no node is asked.
fn from_facts(cluster: &Cluster, path: &Path) -> Result<Survey, Exit> {
    let (facts, _): (Facts, _) = files::read(path)?;
    if facts.cluster != cluster.spec.metadata.name {
        terminal::tell(&format!(
            "error: {} is about the cluster {}, and the spec is about {}\n",
            files::shown(path),
            facts.cluster,
            cluster.spec.metadata.name
        ));
        return Err(Exit::Usage);
    }
    let mut observed: Observed = facts.observed;
    // A node that the spec no longer has says nothing about it.
    observed.nodes.retain(|name, _| cluster.spec.spec.nodes.contains_key(name));
    cluster.survey_further(&super::nodes::Hosts::new(), observed)
}

fn save(plan: &Plan, (path, text): (&Path, &str), digest: &Sha256) -> Result<(), Exit> {
    let place = if path == Path::new(STDOUT) {
        let exit = written(terminal::print(text));
        if exit != Exit::Done {
            return Err(exit);
        }
        "standard output".to_owned()
    } else {
        files::write(path, text, files::PRIVATE)?;
        files::shown(path)
    };
    let Life { length, cut_by } = plan.life();
    let why = match cut_by {
        Some(shortest) => {
            format!(" ({length}, a quarter of the shortest validity that it issues, {shortest})")
        }
        None => String::new(),
    };
    terminal::tell(&format!(
        "Saved plan {} to {place}, valid until {}{why}.\n  digest  sha256:{digest}\n  apply   pki apply {} --expect-digest sha256:{digest}\n",
        plan.id,
        instant(plan.expires),
        files::pasted(path)
    ));
    Ok(())
}
