//! The journal of one transaction: what was about to be done, and how it ended.
//!
//! What enters is events; what leaves is a file with one JSON line for each, on the disk itself before the deed that it announces. A line that a
//! crash has torn never announced anything that was done, so it is cut off. No content of any file is in it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::snapshot::Record;
use crate::agent::fs::disk::{Beside, Dir, Seed};
use crate::agent::probe::health_checks::Before;
use crate::agent::transaction::PathChange;
use crate::protocol::error::HostError;
use crate::protocol::facts::VisitState;
use crate::protocol::health_check::HealthCheck;
use crate::x509::Sha256;

const NAME: &str = "journal.jsonl";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    #[serde(flatten)]
    pub(crate) event: Event,
}

/// What happens to a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Event {
    /// Everything known is copied.
    Begun {
        /// What the names are made from of what waits beside the files. Versions before 0.2 made them from the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seed: Option<Seed>,
    },
    /// Should the machine restart before the end, nothing will undo this transaction by itself.
    NoUndoAtBoot { reason: String },
    /// Gates that held before anything was touched: after an undo they must hold again, within this time.
    Healthy { gates: BTreeSet<HealthCheck>, timeout_seconds: u64 },
    /// What runs is about to be started anew; this is what was there.
    Replacing { before: Before },
    /// A location is about to change for the first time.
    Writing {
        #[serde(flatten)]
        touch: PathChange,
        /// What was there, when the copies made at the beginning do not have it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Record>,
    },
    /// Locations are as they were to be.
    Wrote { locations: Vec<String> },
    /// A program is about to be run.
    Running { argv: Vec<String>, timeout_seconds: u64 },
    /// A program ended well.
    Ran { argv: Vec<String> },
    /// The private key with this public half is about to be removed from all earlier snapshots.
    Purging { key: Sha256 },
    /// The changes are kept.
    Committed {
        /// The links beside which the directories wait whose places they took.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keeping: Vec<String>,
    },
    /// The changes are being taken back.
    Undoing,
    /// The changes are taken back, but for directories that others use by now.
    Undone { left: Vec<String> },
    /// A change could not be taken back.
    UndoFailed { path: String, reason: String },
}

/// The open journal of a transaction.
#[derive(Debug)]
pub(crate) struct Journal {
    file: OwnedFd,
    length: u64,
    pub(crate) lines: Vec<Line>,
}

impl Journal {
    /// Reads a journal without touching it; `None` when there is none.
    pub(crate) fn read(directory: &Dir) -> Result<Option<Vec<Line>>, HostError> {
        let Some(bytes) = directory.read(NAME)? else { return Ok(None) };
        parse(directory, whole_lines(bytes.reveal())).map(Some)
    }

    /// Opens a journal for more, and cuts off a torn line.
    pub(crate) fn open(directory: &Dir) -> Result<Self, HostError> {
        let file = directory.open_appending(NAME)?;
        let bytes = directory.read(NAME)?.unwrap_or_default();
        let whole = whole_lines(bytes.reveal());
        let lines = parse(directory, whole)?;
        let length = u64::try_from(whole.len()).unwrap_or(u64::MAX);
        if whole.len() < bytes.len() {
            directory.truncate(&file, NAME, length)?;
        }
        Ok(Self { file, length, lines })
    }

    /// Adds an event and sees it to the disk.
    pub(crate) fn add(&mut self, directory: &Dir, at: Timestamp, event: Event) -> Result<(), HostError> {
        let line = Line { at, event };
        let mut text = serde_json::to_vec(&line).map_err(|error| HostError::Refused {
            path: directory.path_of(NAME),
            reason: error.to_string(),
        })?;
        text.push(b'\n');
        let written =
            directory.append(&self.file, NAME, &text).and_then(|()| directory.sync_file(&self.file, NAME));
        if let Err(error) = written {
            // Half a line, or one of which nobody knows whether it is on the disk, must not be read as said later.
            let _cut = directory
                .truncate(&self.file, NAME, self.length)
                .and_then(|()| directory.sync_file(&self.file, NAME));
            return Err(error);
        }
        self.length = self.length.saturating_add(u64::try_from(text.len()).unwrap_or(0));
        self.lines.push(line);
        Ok(())
    }
}

/// How a transaction with these lines stands; `None` before it has begun.
pub(crate) fn state(lines: &[Line]) -> Option<VisitState> {
    let mut state = None;
    for line in lines {
        state = match &line.event {
            Event::Begun { .. } | Event::Undoing => Some(VisitState::Open),
            Event::NoUndoAtBoot { .. }
            | Event::Healthy { .. }
            | Event::Replacing { .. }
            | Event::Writing { .. }
            | Event::Wrote { .. }
            | Event::Running { .. }
            | Event::Ran { .. }
            | Event::Purging { .. } => state,
            Event::Committed { .. } => Some(VisitState::Committed),
            Event::Undone { .. } => Some(VisitState::Undone),
            Event::UndoFailed { .. } => Some(VisitState::UndoFailed),
        };
    }
    state
}

/// The names of what may wait beside the files that a transaction of this run has changed.
pub(crate) fn beside(lines: &[Line], run: &str) -> Beside {
    let seed = lines.iter().find_map(|line| {
        let Event::Begun { seed } = &line.event else { return None };
        seed.clone()
    });
    seed.map_or_else(|| Beside::Run(run.to_owned()), Beside::Seeded)
}

/// What was, or may have been, changed, in this order, with what was there if the line says it.
pub(crate) fn touched(lines: &[Line]) -> Vec<(&PathChange, Option<&Record>)> {
    let touched = lines.iter().filter_map(|line| {
        let Event::Writing { touch, before } = &line.event else { return None };
        Some((touch, before.as_ref()))
    });
    touched.collect()
}

/// What held before anything was touched, and how long an undo waits for it.
pub(crate) fn healthy(lines: &[Line]) -> (BTreeSet<HealthCheck>, Duration) {
    let mut healthy = (BTreeSet::new(), Duration::ZERO);
    for line in lines {
        if let Event::Healthy { gates, timeout_seconds } = &line.event {
            healthy = (gates.clone(), Duration::from_secs(*timeout_seconds));
        }
    }
    healthy
}

/// What was there before each restart, in this order.
pub(crate) fn replaced(lines: &[Line]) -> Vec<Before> {
    let replaced = lines.iter().filter_map(|line| {
        let Event::Replacing { before } = &line.event else { return None };
        Some(before.clone())
    });
    replaced.collect()
}

/// The restarts that were begun to be taken back: what runs must be another one by then.
pub(crate) fn taken_back(lines: &[Line]) -> BTreeSet<HealthCheck> {
    let begun = lines.iter().position(|line| line.event == Event::Undoing).unwrap_or(lines.len());
    replaced(lines.get(begun..).unwrap_or_default()).into_iter().map(|before| before.gate).collect()
}

/// A program that a transaction has run.
pub(crate) struct Program<'a> {
    pub(crate) argv: &'a [String],
    pub(crate) timeout: Duration,
    /// Whether it ended, and well.
    pub(crate) went_well: bool,
}

/// The programs that were run, each once, in this order.
pub(crate) fn programs(lines: &[Line]) -> Vec<Program<'_>> {
    let mut programs: Vec<Program<'_>> = Vec::new();
    for line in lines {
        match &line.event {
            Event::Running { argv, timeout_seconds } => {
                if !programs.iter().any(|known| known.argv == argv) {
                    let timeout = Duration::from_secs(*timeout_seconds);
                    programs.push(Program { argv, timeout, went_well: false });
                }
            }
            Event::Ran { argv } => {
                let ended = programs.iter_mut().filter(|known| known.argv == argv);
                ended.for_each(|program| program.went_well = true);
            }
            Event::Begun { .. }
            | Event::NoUndoAtBoot { .. }
            | Event::Healthy { .. }
            | Event::Replacing { .. }
            | Event::Writing { .. }
            | Event::Wrote { .. }
            | Event::Purging { .. }
            | Event::Committed { .. }
            | Event::Undoing
            | Event::Undone { .. }
            | Event::UndoFailed { .. } => {}
        }
    }
    programs
}

/// The keys that were, or may have been, removed from the snapshots that were there.
pub(crate) fn purged(lines: &[Line]) -> BTreeSet<Sha256> {
    let purged = lines.iter().filter_map(|line| {
        let Event::Purging { key } = &line.event else { return None };
        Some(*key)
    });
    purged.collect()
}

/// The directories that were, or may have been, replaced with everything in them, with the names below them.
pub(crate) fn trees(lines: &[Line]) -> Vec<(&PathChange, BTreeSet<String>)> {
    let touched = touched(lines).into_iter();
    let trees = touched.filter_map(|(touch, before)| match before {
        Some(record @ Record::Tree { .. }) => Some((touch, record.names())),
        Some(_) | None => None,
    });
    trees.collect()
}

/// The links beside which directories wait beyond the transaction.
pub(crate) fn keeping(lines: &[Line]) -> BTreeSet<String> {
    let committed = lines.iter().filter_map(|line| match &line.event {
        Event::Committed { keeping } => Some(keeping),
        Event::Begun { .. }
        | Event::NoUndoAtBoot { .. }
        | Event::Healthy { .. }
        | Event::Replacing { .. }
        | Event::Writing { .. }
        | Event::Wrote { .. }
        | Event::Running { .. }
        | Event::Ran { .. }
        | Event::Purging { .. }
        | Event::Undoing
        | Event::Undone { .. }
        | Event::UndoFailed { .. } => None,
    });
    committed.flatten().cloned().collect()
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}

fn parse(directory: &Dir, whole: &[u8]) -> Result<Vec<Line>, HostError> {
    let lines = whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    let parsed = lines.map(|(index, line)| {
        serde_json::from_slice(line).map_err(|_| HostError::Damaged {
            path: directory.path_of(NAME),
            reason: format!("line {} cannot be understood", index + 1),
        })
    });
    parsed.collect()
}
