//! `pki status`: reports every certificate, kubeconfig and CA.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;
use pki::detect::{detect, markers};
use pki::diagnostic::escaped;
use pki::diff::{Effect, diff};
use pki::node::{Inspect, Local};
use pki::observed::{Answer, Observed};
use pki::profile::Profile;
use pki::render::{self, StatusStyle};
use pki::spec::Loaded;
use pki::spec::types::ClusterPki;
use pki::status::Status;
use pki::survey::{Nodes, Survey, survey_further};
use serde::Serialize;

use super::exit::Outcome;
use super::input::{self, SpecArguments};
use super::{Exit, Format, Global, chain, internal, json, nodes, output, written};

/// What `pki status` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    spec: SpecArguments,
    /// Without a spec: the directory that stands for this machine's `/`
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    root: Option<PathBuf>,
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// What stands first
    #[arg(long, value_enum, default_value_t, value_name = "ORDER")]
    sort: Sort,
    /// Report as if it were this instant, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    /// End with 2 when an action is due, with 3 when something is blocked or unknown
    #[arg(long, visible_alias = "detailed-exitcode")]
    exit_code: bool,
}

/// The order of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Sort {
    /// Node by node.
    #[default]
    Node,
    /// What ends first stands first.
    Expiry,
}

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    status: &'a Status,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Reports.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let now = arguments.as_of.unwrap_or_else(super::now);
    if arguments.spec.files.is_empty() {
        return without_spec(arguments, global, now);
    }
    let input = match input::read(&arguments.spec, super::now()) {
        Ok(input) => input,
        Err(error) => return internal(&error),
    };
    output::tell(&input.report(output::stderr_style(global.color)));
    if input.has_errors() {
        return Exit::InvalidSpec;
    }
    let mut exit = Exit::Done;
    for loaded in &input.reading.specs {
        let known = Observed { observed_at: super::now(), nodes: BTreeMap::new() };
        let cluster =
            Cluster { spec: &loaded.spec, nodes: nodes::connect(loaded), known, loaded: Some(loaded) };
        exit = exit.max(report(&cluster, arguments, global, now));
    }
    exit
}

/// A cluster to report on.
struct Cluster<'a> {
    spec: &'a ClusterPki,
    nodes: Nodes,
    /// What is known of the nodes already.
    known: Observed,
    /// The document that was written, unless the spec was made up from what this machine holds.
    loaded: Option<&'a Loaded>,
}

impl Cluster<'_> {
    /// Where in the spec a path is written, as `FILE:LINE`; `None` for a built-in default.
    fn place(&self, path: &[String]) -> Option<String> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let document = &self.loaded?.document;
        document.node(&path)?;
        let place = document.key_place(&path);
        Some(format!("{}:{}", place.file, place.line))
    }
}

fn without_spec(arguments: &Arguments, global: &Global, now: Timestamp) -> Exit {
    let local = Local::new(arguments.root.clone(), super::now);
    let markers = match markers() {
        Ok(markers) => markers,
        Err(error) => return internal(&error),
    };
    let facts = match local.observe(&markers) {
        Ok(facts) => facts,
        Err(error) => {
            output::tell(&format!("error: {}\n", chain(&error)));
            return Exit::Internal;
        }
    };
    let root = arguments.root.as_deref().map(|root| root.display().to_string());
    let spec = match detect(&facts, root.as_deref()) {
        Ok(Some(spec)) => spec,
        Ok(None) => {
            output::tell(&format!(
                "error: no Kubernetes or etcd layout that pki knows under {}\n  help: name a spec with -f, or another directory with --root\n",
                root.as_deref().map_or_else(|| "/".to_owned(), escaped)
            ));
            return Exit::Blocked;
        }
        Err(error) => return internal(&error),
    };
    let nodes: Nodes =
        spec.spec.nodes.keys().map(|name| (name.clone(), Box::new(local.clone()) as _)).collect();
    let answers = spec.spec.nodes.keys().map(|name| (name.clone(), Answer::Facts(facts.clone())));
    let known = Observed { observed_at: super::now(), nodes: answers.collect() };
    report(&Cluster { spec: &spec, nodes, known, loaded: None }, arguments, global, now)
}

fn report(cluster: &Cluster<'_>, arguments: &Arguments, global: &Global, now: Timestamp) -> Exit {
    let profile = match Profile::load(cluster.spec.spec.profile) {
        Ok(profile) => profile,
        Err(error) => return internal(&error),
    };
    let known = cluster.known.clone();
    let Survey { desired, observed } = match survey_further(cluster.spec, &profile, &cluster.nodes, known) {
        Ok(survey) => survey,
        Err(problems) => {
            for problem in problems {
                output::tell(&format!("error: {}: {problem}\n", problem.path.join(".")));
            }
            return Exit::InvalidSpec;
        }
    };
    let differences = diff(&desired, &observed, now);
    let mut status = Status::new(&desired, &observed, &differences, now);
    if arguments.sort == Sort::Expiry {
        status.sort_by_expiry();
    }
    let exit = match status.gravest() {
        Some(Effect::Blocks | Effect::Unknown) if arguments.exit_code => Exit::Blocked,
        Some(Effect::Due) if arguments.exit_code => Exit::ChangesPending,
        Some(Effect::Blocks | Effect::Unknown | Effect::Due | Effect::Note) | None => Exit::Done,
    };
    let result = match arguments.format {
        Format::Text => {
            let output::Style { color, unicode, width: _ } = output::stdout_style(global.color);
            let style = StatusStyle { color, unicode };
            output::print(&render::status(&status, style, &|path| cluster.place(path)))
        }
        Format::Json => output::print(&json(&Report { status: &status, outcome: Outcome::untouched(exit) })),
    };
    exit.max(written(result))
}
