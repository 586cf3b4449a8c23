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
    /// The plan no longer fits the nodes.
    Stale,
    /// Somebody else is at work.
    Locked,
    /// Approval was not given.
    NotApproved,
    /// A step failed, and everything is as it was before.
    Undone,
    /// The run stopped; what is done is kept, and the next apply goes on.
    Partial,
    /// A node could not be put back.
    UndoFailed,
    /// The command line is wrong.
    Usage,
    /// The spec is invalid.
    InvalidSpec,
    /// A signal came before any node was touched: Ctrl-C.
    Interrupted,
    /// A signal came before any node was touched: SIGTERM.
    Terminated,
}

impl Exit {
    const ALL: [Exit; 14] = [
        Exit::Done,
        Exit::Internal,
        Exit::ChangesPending,
        Exit::Blocked,
        Exit::Stale,
        Exit::Locked,
        Exit::NotApproved,
        Exit::Undone,
        Exit::Partial,
        Exit::UndoFailed,
        Exit::Usage,
        Exit::InvalidSpec,
        Exit::Interrupted,
        Exit::Terminated,
    ];

    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Internal => 1,
            Exit::ChangesPending => 2,
            Exit::Blocked => 3,
            Exit::Stale => 4,
            Exit::Locked => 5,
            Exit::NotApproved => 6,
            Exit::Undone => 10,
            Exit::Partial => 11,
            Exit::UndoFailed => 12,
            Exit::Usage => 64,
            Exit::InvalidSpec => 65,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }

    /// The word for it in JSON output.
    pub(crate) fn outcome(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Internal => "error",
            Exit::ChangesPending => "changes-pending",
            Exit::Blocked => "blocked",
            Exit::Stale => "stale",
            Exit::Locked => "locked",
            Exit::NotApproved => "not-approved",
            Exit::Undone => "undone",
            Exit::Partial => "partial",
            Exit::UndoFailed => "undo-failed",
            Exit::Usage => "usage",
            Exit::InvalidSpec => "invalid-spec",
            Exit::Interrupted | Exit::Terminated => "interrupted",
        }
    }

    /// What it means, in a few words.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, or nothing to do (also: changes found, unless --exit-code was given)",
            Exit::Internal => "internal error, or a file could not be read or written",
            Exit::ChangesPending => "an action is due (only with --exit-code)",
            Exit::Blocked => "blocked by findings, or something is unknown (status: only with --exit-code)",
            Exit::Stale => "the plan is stale: something that it was made from has changed",
            Exit::Locked => "somebody else is at work on a node",
            Exit::NotApproved => "not approved: answered no, or nobody to ask and no --yes",
            Exit::Undone => "failed; all changes were undone, and that was checked",
            Exit::Partial => "failed or interrupted; the state is consistent, and the next apply goes on",
            Exit::UndoFailed => "an undo failed, and a person is needed; the text says what and where",
            Exit::Usage => "the command line is wrong",
            Exit::InvalidSpec => "the spec is invalid",
            Exit::Interrupted => "interrupted (Ctrl-C) before any node was touched",
            Exit::Terminated => "terminated (SIGTERM) before any node was touched",
        }
    }

    /// The end of a run that has touched a node. Whatever goes wrong behind that, such as a report that cannot be written, does not make it untouched.
    pub(crate) fn once_touched(self) -> Self {
        match self {
            // What waits for approval while the rest is done is no failure.
            Exit::Done | Exit::NotApproved | Exit::Undone | Exit::Partial | Exit::UndoFailed => self,
            Exit::Internal
            | Exit::ChangesPending
            | Exit::Blocked
            | Exit::Stale
            | Exit::Locked
            | Exit::Usage
            | Exit::InvalidSpec
            | Exit::Interrupted
            | Exit::Terminated => Exit::Partial,
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
    /// As the last event of a run.
    pub(crate) fn line(&self) -> String {
        pki::output::outcome(self.outcome, self.exit.code(), self.touched)
    }

    /// The outcome of a run that changed something, even if it was put back.
    pub(crate) fn touched(exit: Exit) -> Self {
        let exit = exit.once_touched();
        Self { outcome: exit.outcome(), exit, touched: true }
    }

    /// The outcome of a run or command that touched nothing.
    pub(crate) fn untouched(exit: Exit) -> Self {
        Self { outcome: exit.outcome(), exit, touched: false }
    }
}
