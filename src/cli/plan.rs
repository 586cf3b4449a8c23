//! `pki plan`: shows what would be done. It takes no lock and changes nothing.

use jiff::Timestamp;
use pki::plan::{Options, Plan, Selector};
use pki::render;
use serde::Serialize;

use super::cluster::{self, Cluster, SkipArguments};
use super::exit::Outcome;
use super::input::SpecArguments;
use super::{Exit, Format, Global, json, output, written};

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
    /// Do what cannot be done without an outage, such as to make one CA of two that were mixed; changes nothing where none is needed
    #[arg(long)]
    accept_outage: bool,
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

    pub(super) fn options(&self, as_of: bool) -> Options {
        Options {
            only: self.only.clone(),
            replace: self.replace.clone(),
            as_of,
            accept_outage: self.accept_outage,
        }
    }
}

/// What `pki plan` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    plan: PlanArguments,
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Plan as if it were this instant, such as 2027-01-31T00:00:00Z; such a plan cannot be applied
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    /// End with 2 when there is something to do
    #[arg(long, visible_alias = "detailed-exitcode")]
    exit_code: bool,
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
    let exits = clusters.iter().map(|cluster| one(cluster, arguments).unwrap_or_else(|exit| exit));
    exits.max().unwrap_or(Exit::Done)
}

fn one(cluster: &Cluster, arguments: &Arguments) -> Result<Exit, Exit> {
    let nodes = cluster.nodes();
    let survey = cluster.survey(&nodes)?;
    let now = arguments.as_of.unwrap_or_else(super::now);
    let plan = cluster.plan(&survey, &arguments.plan.options(arguments.as_of.is_some()), now)?;
    let exit = if !plan.blocked.is_empty() {
        Exit::Blocked
    } else if arguments.exit_code && !plan.is_empty() {
        Exit::ChangesPending
    } else {
        Exit::Done
    };
    let text = match arguments.format {
        Format::Text => render::plan(&plan),
        Format::Json => json(&Report { plan: &plan, outcome: Outcome::untouched(exit) }),
    };
    Ok(exit.max(written(output::print(&text))))
}
