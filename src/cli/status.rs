//! `pki status`: reports every certificate, kubeconfig and CA.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;
use pki::agent::Local;
use pki::desired::Survey;
use pki::diagnostic::escaped;
use pki::diff::{Effect, diff};
use pki::output;
use pki::output::StatusStyle;
use pki::output::status_report::Status;
use pki::profile::detect::{detect, further, markers};
use pki::profile::{Profile, foreign};
use pki::protocol::facts::{Answer, Observed};
use pki::protocol::file::SpecReference;
use pki::protocol::node::Inspect;
use pki::x509::Sha256;
use serde::Serialize;

use super::cluster::{self, Cluster, SkipArguments};
use super::exit::Outcome;
use super::formats::StatusForm;
use super::input::SpecArguments;
use super::nodes::Hosts;
use super::{Exit, Global, internal, json, reports, terminal, written};

/// What `pki status` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    spec: SpecArguments,
    #[command(flatten)]
    skip: SkipArguments,
    /// Without a spec: the directory that stands for this machine's `/`
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    root: Option<PathBuf>,
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: StatusForm,
    /// Write the same result in another form to a file: text, json, junit or prometheus; may be given several times
    #[arg(long, value_name = "KIND=PATH", value_parser = reports::report::<StatusForm>)]
    report: Vec<(StatusForm, PathBuf)>,
    /// What stands first
    #[arg(long, value_enum, default_value_t, value_name = "ORDER")]
    sort: Sort,
    /// Report as if it were this instant, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
    /// End with 2 when an action is due, with 3 when something is blocked, unknown, interrupted or an alarm
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
        return without_spec(arguments, global, now).unwrap_or_else(|exit| exit);
    }
    let mut clusters = match cluster::load(&arguments.spec, "status", global) {
        Ok(clusters) => clusters,
        Err(exit) => return exit,
    };
    if let Err(exit) = arguments.skip.skip(&mut clusters) {
        return exit;
    }
    let mut exit = Exit::Done;
    let mut looks = Vec::new();
    for cluster in clusters.into_iter() {
        match cluster.survey(&cluster.nodes()) {
            Ok(survey) => looks.push(Look::new(cluster, survey, arguments, now)),
            Err(failed) => exit = exit.max(failed),
        }
    }
    exit.max(report(&looks, arguments, global))
}

/// Reports on this machine, or on a directory that stands for one, without a spec.
fn without_spec(arguments: &Arguments, global: &Global, now: Timestamp) -> Result<Exit, Exit> {
    let local = Local::new(arguments.root.clone(), super::now);
    let markers = markers().map_err(|error| internal(&error))?;
    let facts = local.observe(&markers).map_err(|error| internal(&error))?;
    let root = arguments.root.as_deref().map(|root| root.display().to_string());
    let Some(spec) = detect(&facts, root.as_deref()).map_err(|error| internal(&error))? else {
        let place = root.as_deref().map_or_else(|| "/".to_owned(), escaped);
        if let Some(foreign) = foreign(&facts) {
            terminal::tell(&format!(
                "error: {} under {place} belongs to {}, whose own program makes and renews its certificates; pki never writes there\n  help: renew them with: {}\n",
                foreign.marker, foreign.name, foreign.renewal
            ));
            return Err(Exit::Blocked);
        }
        terminal::tell(&format!(
            "error: no Kubernetes or etcd layout that pki knows under {place}\n  help: name a spec with -f, or another directory with --root\n"
        ));
        return Err(Exit::Blocked);
    };
    for (layout, marker) in further(&facts, spec.spec.profile).map_err(|error| internal(&error))? {
        terminal::tell(&format!(
            "note: {marker} belongs to a second layout, {layout}; of its files this report has only those that flags and kubeconfigs name\n  help: a spec with `profile: {layout}` covers it\n"
        ));
    }
    let node = || Box::new(Local::new(arguments.root.clone(), super::now)) as _;
    let nodes: Hosts = spec.spec.nodes.keys().map(|name| (name.clone(), node())).collect();
    let profile = Profile::load(spec.spec.profile).map_err(|error| internal(&error))?;
    let reference = SpecReference {
        file: String::new(),
        sha256: Sha256::of(&[]),
        commit: None,
        files: Default::default(),
    };
    // What told the layout is not asked again.
    let answers = spec.spec.nodes.keys().map(|name| (name.clone(), Answer::Facts(facts.clone())));
    let known = Observed { observed_at: super::now(), nodes: answers.collect() };
    let cluster = Cluster {
        spec,
        profile,
        loaded: None,
        reference,
        ssh_config: global.ssh_config.clone(),
        hosts: None,
        patience: global.patience(),
        skipped: BTreeSet::new(),
    };
    let survey = cluster.survey_further(&nodes, known)?;
    Ok(report(&[Look::new(cluster, survey, arguments, now)], arguments, global))
}

/// A cluster as it was found.
struct Look {
    cluster: Cluster,
    survey: Survey,
    status: Status,
    exit: Exit,
}

impl Look {
    fn new(cluster: Cluster, survey: Survey, arguments: &Arguments, now: Timestamp) -> Self {
        let Survey { desired, observed } = &survey;
        let differences = diff(desired, observed, now);
        let mut status = Status::new(desired, observed, &differences, now);
        if arguments.sort == Sort::Expiry {
            status.sort_by_expiry();
        }
        let exit = match status.gravest() {
            Some(_) | None if arguments.exit_code && status.is_alarming() => Exit::Blocked,
            Some(Effect::Blocks | Effect::Unknown) if arguments.exit_code => Exit::Blocked,
            Some(Effect::Due) if arguments.exit_code => Exit::ChangesPending,
            Some(Effect::Blocks | Effect::Unknown | Effect::Due | Effect::Note) | None => Exit::Done,
        };
        Self { cluster, survey, status, exit }
    }
}

fn report(looks: &[Look], arguments: &Arguments, global: &Global) -> Exit {
    let text = |format, style| match format {
        StatusForm::Text => {
            let one = |look: &Look| output::status(&look.status, style, &|path| look.cluster.place(path));
            looks.iter().map(one).collect()
        }
        StatusForm::Json => {
            let one =
                |look: &Look| json(&Report { status: &look.status, outcome: Outcome::untouched(look.exit) });
            looks.iter().map(one).collect()
        }
        StatusForm::Junit => output::junit_of_status(looks.iter().map(|look| &look.status)),
        StatusForm::Prometheus => {
            let all: Vec<_> = looks.iter().map(|look| (&look.status, &look.survey.observed)).collect();
            // Two metrics of one name would be a fault of this program, which the tests would show.
            output::metrics(&all).unwrap_or_default()
        }
    };
    let stdout = terminal::stdout_style(global.color);
    let style = StatusStyle { color: stdout.color, unicode: stdout.unicode };
    let printed = written(terminal::print(&text(arguments.format, style)));
    // A file is no terminal.
    let plain = StatusStyle { color: false, unicode: false };
    let reported = reports::write(&arguments.report, |format| text(format, plain));
    let gravest = looks.iter().map(|look| look.exit).max().unwrap_or(Exit::Done);
    gravest.max(printed).max(reported)
}
