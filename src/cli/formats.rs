//! The forms in which results are told: what each is for, and which of them each command takes.
//!
//! What enters is a word of the command line; what leaves is a value of the command's own enum, so that a command answers for exactly what it takes. How a
//! form looks is `output`'s.

use clap::ValueEnum;

/// Makes the enum of one command; the first form is the one that is taken when none is given. Each form says in `--help` what its row below says, unless the
/// command says something else.
macro_rules! form {
    ([$(#[$doc:meta])* $name:ident] [$($done:tt)*]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
        pub(super) enum $name { $($done)* }
    };
    ($head:tt [$($done:tt)*] $form:ident $help:literal, $($rest:tt)*) => {
        form! { $head [$($done)* #[doc = $help] $form,] $($rest)* }
    };
    ($head:tt $done:tt Text, $($rest:tt)*) => { form! { $head $done Text "For people.", $($rest)* } };
    ($head:tt $done:tt Json, $($rest:tt)*) => { form! { $head $done Json "For programs.", $($rest)* } };
    ($head:tt $done:tt Ndjson, $($rest:tt)*) => {
        form! { $head $done Ndjson "For programs, as it happens: one event a line, always ended by an outcome.", $($rest)* }
    };
    ($head:tt $done:tt Markdown, $($rest:tt)*) => {
        form! { $head $done Markdown "For a comment on a pull request.", $($rest)* }
    };
    ($head:tt $done:tt Gitlab, $($rest:tt)*) => {
        form! { $head $done Gitlab "What GitLab shows at a merge request.", $($rest)* }
    };
    ($head:tt $done:tt Junit, $($rest:tt)*) => {
        form! { $head $done Junit "Test cases, for the widgets of pipelines.", $($rest)* }
    };
    ($head:tt $done:tt Prometheus, $($rest:tt)*) => {
        form! { $head $done Prometheus "Metrics, for the textfile collector of node_exporter.", $($rest)* }
    };
}

/// Which forms each command takes.
macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident: $($form:ident $($help:literal)?),+;)*) => {
        $(form! { [$(#[$doc])* $name] [#[default]] $($form $($help)?,)+ })*
    };
}

forms! {
    /// The form of a result that has no others.
    ResultForm: Text, Json;
    /// The form of a report of `pki validate`.
    ValidationForm: Json, Junit;
    /// The form of a plan.
    PlanForm: Text, Json, Markdown, Gitlab;
    /// The form of a status.
    StatusForm: Text, Json, Junit, Prometheus;
    /// The form of what apply tells.
    ApplyForm: Text, Json "For programs, at the end.", Ndjson;
    /// The form of a report of apply.
    RunForm: Text, Json, Markdown "For a job's summary.";
}
