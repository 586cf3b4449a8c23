//! The exit codes: a contract with pipelines. A failure is 10 to 19 if and only if a managed file or service on a node was touched.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::{Serialize, Serializer};

/// How a run of the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done,
    /// An internal or I/O error.
    Internal,
    /// Changes are pending, and the caller asked to be told.
    ChangesPending,
    /// Findings block the way.
    Blocked,
    /// The command line is wrong.
    Usage,
    /// The spec is invalid.
    InvalidSpec,
}

impl Exit {
    const ALL: [Exit; 6] =
        [Exit::Done, Exit::Internal, Exit::ChangesPending, Exit::Blocked, Exit::Usage, Exit::InvalidSpec];

    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Internal => 1,
            Exit::ChangesPending => 2,
            Exit::Blocked => 3,
            Exit::Usage => 64,
            Exit::InvalidSpec => 65,
        }
    }

    /// The word for it in JSON output.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Internal => "error",
            Exit::ChangesPending => "changes-pending",
            Exit::Blocked => "blocked",
            Exit::Usage => "usage",
            Exit::InvalidSpec => "invalid-spec",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, or nothing to do (also: changes found, unless --exit-code was given)",
            Exit::Internal => "internal error, or a file could not be read or written",
            Exit::ChangesPending => "an action is due (only with --exit-code)",
            Exit::Blocked => "blocked by findings, or something is unknown (status: only with --exit-code)",
            Exit::Usage => "the command line is wrong",
            Exit::InvalidSpec => "the spec is invalid",
        }
    }

    /// The table that `pki help exit-codes` prints.
    pub(crate) fn table() -> String {
        let mut text = String::from(
            "Exit codes. A failure is 10 to 19 if and only if a managed file or service on a node was touched.\n\n",
        );
        for exit in Exit::ALL {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{:>5}  {}", exit.code(), exit.meaning());
        }
        text
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The end of every JSON output: what happened, in words and as a number.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    outcome: &'static str,
    #[serde(serialize_with = "code")]
    exit: Exit,
    touched: bool,
}

fn code<S: Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(exit.code())
}

impl Outcome {
    /// The outcome of a command that can touch nothing.
    pub(crate) fn untouched(exit: Exit) -> Self {
        Self { outcome: exit.outcome(), exit, touched: false }
    }
}
