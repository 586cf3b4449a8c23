//! `pki plan`: shows what would be done. It takes no lock and changes nothing.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use jiff::Timestamp;
use pki::diagnostic::escaped;
use pki::diff::instant;
use pki::ids::NodeName;
use pki::observed::Observed;
use pki::plan::{Options, Phase, Plan, Selector};
use pki::render;
use pki::saved::{Facts, to_text};
use pki::survey::Survey;
use pki::x509::Sha256;
use serde::Serialize;

use super::cluster::{self, Cluster, SkipArguments};
use super::exit::Outcome;
use super::external::CertificatesArguments;
use super::files;
use super::input::SpecArguments;
use super::{Exit, Global, json, output, reports, written};

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
    /// The clusters to plan for.
    ///
    /// # Errors
    /// The exit code, after what is wrong was told.
    pub(super) fn load(&self, global: &Global) -> Result<Vec<Cluster>, Exit> {
        let mut clusters = cluster::load(&self.spec, global)?;
        self.skip.skip(&mut clusters)?;
        Ok(clusters)
    }

    /// The clusters of the spec from which a saved plan was made, unless another place of it is named, without the nodes that the plan leaves alone.
    ///
    /// # Errors
    /// The exit code, after what is wrong was told.
    pub(super) fn load_for(
        &self,
        file: &str,
        skipped: &[NodeName],
        global: &Global,
    ) -> Result<Vec<Cluster>, Exit> {
        let mut spec = self.spec.clone();
        if spec.files.is_empty() {
            spec.files.push(PathBuf::from(file));
        }
        let mut clusters = cluster::load(&spec, global)?;
        for cluster in &mut clusters {
            cluster.skipped = skipped.iter().cloned().collect();
        }
        Ok(clusters)
    }

    /// Signed certificates are called after nodes, which belong to one cluster.
    ///
    /// # Errors
    /// The exit code, after it was told.
    pub(super) fn about_one(&self, clusters: &[Cluster], given: &[(&str, bool)]) -> Result<(), Exit> {
        let own = [("--certificates", self.signed.certificates.is_some())];
        let given: Vec<&str> =
            own.iter().chain(given).filter(|(_, given)| *given).map(|(option, _)| *option).collect();
        if clusters.len() > 1 && !given.is_empty() {
            let (given, are) = (given.join(", "), if given.len() == 1 { "is" } else { "are" });
            output::tell(&format!("error: {given} {are} about one cluster; name its spec alone with -f\n"));
            return Err(Exit::Usage);
        }
        Ok(())
    }

    pub(super) fn options(&self, as_of: bool) -> Options {
        Options {
            only: self.only.clone(),
            replace: self.replace.clone(),
            as_of,
            accept_outage: self.accept_outage,
            until_phase: self.until_phase,
            withheld: Vec::new(),
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
}

/// In which forms a plan is shown.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct FormArguments {
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Write the same result in another form to a file: text, json, markdown or gitlab; may be given several times
    #[arg(long, value_name = "KIND=PATH", value_parser = reports::report::<Format>)]
    report: Vec<(Format, PathBuf)>,
    /// The most bytes of Markdown; the middle is cut, and the errors only where they alone are longer
    #[arg(long, value_name = "BYTES", default_value_t = reports::COMMENT_BYTES)]
    max_bytes: usize,
}

/// The form of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For a comment on a pull request.
    Markdown,
    /// What GitLab shows at a merge request.
    Gitlab,
}

impl FormArguments {
    /// Prints a plan, and writes its reports.
    pub(super) fn show(&self, plan: &Plan, digest: Option<&Sha256>, exit: Exit) -> Exit {
        let text = |format| match format {
            Format::Text => render::plan(plan),
            Format::Json => json(&Report { plan, outcome: Outcome::untouched(exit) }),
            Format::Markdown => render::markdown(plan, digest, self.max_bytes),
            Format::Gitlab => render::gitlab(plan),
        };
        let printed = written(output::print(&text(self.format)));
        printed.max(reports::write(&self.report, text))
    }
}

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Plans.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let clusters = match arguments.plan.load(global) {
        Ok(clusters) => clusters,
        Err(exit) => return exit,
    };
    let given = [
        ("--out", arguments.out.is_some()),
        ("--facts", arguments.facts.is_some()),
        ("--report", !arguments.form.report.is_empty()),
    ];
    if let Err(exit) = arguments.plan.about_one(&clusters, &given) {
        return exit;
    }
    let exits = clusters.iter().map(|cluster| one(cluster, arguments, global).unwrap_or_else(|exit| exit));
    exits.max().unwrap_or(Exit::Done)
}

fn one(cluster: &Cluster, arguments: &Arguments, global: &Global) -> Result<Exit, Exit> {
    let survey = match &arguments.facts {
        Some(path) => from_facts(cluster, path)?,
        None => cluster.survey(&cluster.nodes())?,
    };
    let now = arguments.as_of.unwrap_or_else(super::now);
    let signed = arguments.plan.signed.read(&survey, now, global)?;
    let plan = cluster.plan(&survey, &arguments.plan.options(arguments.as_of.is_some()), &signed, now)?;
    let exit = exit_of(&plan, arguments.exit_code);
    let saved = arguments.out.as_ref().filter(|_| plan.applicable).map(|path| (path, to_text(&plan)));
    let digest = saved.as_ref().map(|(_, text)| Sha256::of(text.as_bytes()));
    let shown = arguments.form.show(&plan, digest.as_ref(), exit);
    match (&saved, &digest) {
        (Some((path, text)), Some(digest)) => save(&plan, (path, text), digest)?,
        _ if arguments.out.is_some() => {
            output::tell("No plan was saved: this one cannot be applied.\n");
        }
        _ => {}
    }
    Ok(exit.max(shown))
}

/// The exit code of a plan that is only shown.
pub(super) fn exit_of(plan: &Plan, tells_changes: bool) -> Exit {
    if !plan.blocked.is_empty() {
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
        output::tell(&format!(
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
    files::write(path, text, files::PRIVATE)?;
    output::tell(&format!(
        "Saved plan {} to {}, good until {}.\n  digest  sha256:{digest}\n  apply   pki apply {}\n",
        plan.id,
        files::shown(path),
        instant(plan.expires),
        escaped(&path.display().to_string())
    ));
    Ok(())
}
