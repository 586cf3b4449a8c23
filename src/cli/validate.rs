//! `pki validate`: checks specs without touching any node.

use std::path::PathBuf;

use pki::diagnostic::{Severity, escaped};
use pki::output;
use serde::Serialize;

use super::exit::Outcome;
use super::formats::{ResultForm, ValidationForm};
use super::input::{self, Input, SpecArguments};
use super::{Exit, Global, reports, terminal, written};

/// What `pki validate` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Specs, folders of specs, or `-`
    #[arg(value_name = "SPEC")]
    specs: Vec<PathBuf>,
    #[command(flatten)]
    spec: SpecArguments,
    /// The form of the result
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: ResultForm,
    /// Write the same result in another form to a file: json or junit; may be given several times
    #[arg(long, value_name = "KIND=PATH", value_parser = reports::report::<ValidationForm>)]
    report: Vec<(ValidationForm, PathBuf)>,
}

/// The result for programs.
#[derive(Serialize)]
struct Report {
    format_version: &'static str,
    clusters: Vec<String>,
    problems: Vec<Problem>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    code: String,
    severity: String,
    message: String,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    help: Option<String>,
}

/// Checks the specs.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let mut spec = arguments.spec.clone();
    spec.files.extend(arguments.specs.iter().cloned());
    if let Err(exit) = spec.named("validate") {
        return exit;
    }
    let input = match input::read(&spec, super::now()) {
        Ok(input) => input,
        Err(error) => return super::internal(&error),
    };
    let exit = if input.has_errors() { Exit::InvalidSpec } else { Exit::Done };
    let result = match arguments.format {
        ResultForm::Text => {
            terminal::tell(&input.report(terminal::stderr_style(global.color)));
            if exit == Exit::Done { terminal::print(&text(&input)) } else { Ok(()) }
        }
        ResultForm::Json => terminal::print(&super::json(&report(&input, exit))),
    };
    let reported = reports::write(&arguments.report, |kind| match kind {
        ValidationForm::Json => super::json(&report(&input, exit)),
        ValidationForm::Junit => {
            let files: Vec<String> = input.sources.iter().map(|source| source.name.clone()).collect();
            output::junit_of_validation(&files, &input.reading.problems)
        }
    });
    let written = written(result).max(reported);
    if written == Exit::Done { exit } else { written }
}

fn text(input: &Input) -> String {
    let cluster = |loaded: &pki::spec::Loaded| {
        let spec = &loaded.spec.spec;
        let nodes = spec.nodes.len();
        let plural = if nodes == 1 { "" } else { "s" };
        let file = escaped(loaded.document.file());
        format!(
            "valid: {}   profile {}   {nodes} node{plural}   {file}\n",
            loaded.spec.metadata.name, spec.profile
        )
    };
    input.reading.specs.iter().map(cluster).collect()
}

pub(super) fn report(input: &Input, exit: Exit) -> impl Serialize + use<> {
    let problem = |problem: &pki::diagnostic::Diagnostic| Problem {
        code: problem.code.to_string(),
        severity: match problem.severity {
            Severity::Error => "error".to_owned(),
            Severity::Warning => "warning".to_owned(),
        },
        message: problem.message.clone(),
        file: problem.place().map(|place| place.file.clone()),
        line: problem.place().map(|place| place.line),
        column: problem.place().map(|place| place.column),
        help: problem.help.clone(),
    };
    Report {
        format_version: output::status_report::FORMAT_VERSION,
        clusters: input.reading.specs.iter().map(|loaded| loaded.spec.metadata.name.to_string()).collect(),
        problems: input.reading.problems.iter().map(problem).collect(),
        outcome: Outcome::untouched(exit),
    }
}
