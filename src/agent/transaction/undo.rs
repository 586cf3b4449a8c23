//! The way back of a transaction.
//!
//! What enters is a node with a journal and the copies that were made at the beginning; what leaves is the node as it was, with what was restarted restarted
//! again and as healthy as it was, or the error that a person must see to. It goes by what is on the disk alone: the memory of the process that did it may be gone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::agent::fs::file_state::FileState;
use crate::agent::probe::health_checks;
use crate::agent::probe::health_checks::Replaced;
use crate::agent::transaction::journal;
use crate::agent::transaction::journal::{Event, Program};
use crate::agent::transaction::node_files::NodeFilesystem;
use crate::agent::transaction::snapshot;
use crate::agent::transaction::{Change, Filesystem as _, backwards, made_below};
use crate::protocol::error::HostError;
use crate::protocol::facts::{OpenTransaction, VisitState};
use crate::protocol::health_check::HealthCheck;
use crate::protocol::snapshots::Undone;

/// Whether an undo runs the programs again that the transaction ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Restarts {
    Repeated,
    /// What they restart has not started yet.
    Needless,
}

/// Takes back what the journal says may have been done, from the copies alone: the memory of the process that did it may be gone.
pub(crate) fn undo(
    site: &mut NodeFilesystem,
    open: &OpenTransaction,
    restarts: Restarts,
) -> Result<Undone, HostError> {
    let id = open.id();
    let lines = site.visit.as_ref().map(|(_, journal)| journal.lines.clone()).unwrap_or_default();
    let mut undone = Undone { id, state: VisitState::Undone, restored: Vec::new(), left: Vec::new() };
    match journal::state(&lines) {
        // It ended but for the marker. Files may have been changed by others since, with every right.
        Some(state @ (VisitState::Committed | VisitState::Undone)) => {
            undone.state = state;
            let keeping = journal::keeping(&lines);
            for (touch, _) in journal::trees(&lines) {
                if !keeping.contains(&touch.location) {
                    site.remove_aside(&touch.location)?;
                }
            }
            site.no_reboot_to_provide_for();
            site.store.end(open, state)?;
            return Ok(undone);
        }
        Some(VisitState::Open | VisitState::UndoFailed) | None => {}
    }
    if let Some((directory, _)) = &site.visit {
        snapshot::release_reserve(directory)?;
        snapshot::remove_half_written(directory)?;
    }
    // On a full or broken disk the files count for more than the lines about them.
    let _noted = site.note(Event::Undoing);
    let trees = journal::trees(&lines);
    let paths = match &site.visit {
        Some((directory, _)) if !trees.is_empty() => snapshot::read_manifest(directory)?.paths,
        Some(_) | None => BTreeSet::new(),
    };
    let mut failure = None;
    let mut seen = BTreeSet::new();
    let restarted: BTreeSet<HealthCheck> =
        journal::replaced(&lines).into_iter().map(|before| before.gate).collect();
    let (healthy, timeout) = journal::healthy(&lines);
    let begun = Instant::now();
    for (touch, before) in backwards(journal::touched(&lines).into_iter(), |(touch, _)| touch) {
        if !seen.insert(&touch.location) {
            continue;
        }
        let outcome = before_image(site, &touch.location, before).and_then(|image| {
            if touch.starts && restarts == Restarts::Repeated {
                let found = site.capture_as(&touch.location, &image)?;
                if !found.same_as(&image) {
                    // Files count for more than what runs. All pods together have this time; one that does not stop in it is seen by the gates below.
                    let rest = timeout.saturating_sub(begun.elapsed());
                    let _stopped = site.stop_pod(touch, &found, &restarted, rest);
                }
            }
            put_back(site, &touch.location, image, made_below(touch, &trees, &paths))
        });
        match outcome {
            Ok(Done::Restored) => undone.restored.push(touch.path.clone()),
            Ok(Done::WasSo) => {}
            Ok(Done::Left) => undone.left.push(touch.path.clone()),
            Err(error) => failure = failure.or(Some((touch.location.clone(), error))),
        }
    }
    if let Some((path, error)) = failure {
        return Err(failed(site, path, &error));
    }
    // What was restarted with the new files runs on them, or has a directory open that is gone.
    let programs = match restarts {
        Restarts::Repeated => journal::programs(&lines),
        Restarts::Needless => Vec::new(),
    };
    for Program { argv, timeout, went_well } in programs {
        if went_well {
            let _noted = site.replacing(&restarted, Replaced::Program { argv });
        }
        let outcome = site.start(argv, timeout);
        // One that failed before is why this is undone; nobody can expect it to work now, but it may.
        if let (true, Err(error)) = (went_well, outcome) {
            return Err(not_restarted(site, argv, &error));
        }
    }
    if restarts == Restarts::Repeated {
        let mut gates = healthy;
        gates.extend(journal::taken_back(site.lines()));
        if let Err(error) = health_checks::wait(site, &gates, Duration::ZERO, timeout) {
            return Err(not_healthy(site, &error));
        }
    }
    // A line that is missing makes this snapshot look like one that never began, which is as true.
    let _noted = site.note(Event::Undone { left: undone.left.clone() });
    site.no_reboot_to_provide_for();
    site.store.end(open, VisitState::Undone)?;
    Ok(undone)
}

enum Done {
    Restored,
    WasSo,
    /// A directory that others use by now.
    Left,
}

fn before_image(
    site: &NodeFilesystem,
    location: &str,
    before: Option<&snapshot::Record>,
) -> Result<FileState, HostError> {
    let Some((directory, _)) = &site.visit else { return Err(HostError::NotOpen) };
    match before {
        Some(record) => record.load(directory),
        None => {
            let manifest = snapshot::read_manifest(directory)?;
            let record = manifest.before.get(location).ok_or_else(|| HostError::Damaged {
                path: directory.path.clone(),
                reason: format!("its manifest does not name {location}"),
            })?;
            record.load(directory)
        }
    }
}

/// Makes one location what it was, and looks whether it is.
fn put_back(
    site: &mut NodeFilesystem,
    location: &str,
    before: FileState,
    takes: BTreeSet<String>,
) -> Result<Done, HostError> {
    let found = site.capture_as(location, &before)?;
    // The directory whose place a link took waits where else only something unfinished is.
    if !matches!((&before, &found), (FileState::Tree(_), FileState::Link { .. })) {
        site.remove_aside(location)?;
    }
    if found.same_as(&before) {
        return Ok(Done::WasSo);
    }
    let change =
        Change { location: location.to_owned(), image: before.clone(), takes, found: Some(found.clone()) };
    site.put(&change)?;
    if matches!((&before, &found), (FileState::Link { .. }, FileState::Directory(_)))
        && !site.discard_aside(location, &change.takes)?
    {
        return Ok(Done::Left);
    }
    site.remove_aside(location)?;
    match (site.capture_as(location, &before)?, &before) {
        (FileState::Directory(_), FileState::Absent) => Ok(Done::Left),
        (now, before) if now.same_as(before) => Ok(Done::Restored),
        (FileState::Tree(now), FileState::Tree(before)) if before.is_within(&now) => Ok(Done::Left),
        (_, _) => Err(HostError::Changed { path: location.to_owned() }),
    }
}

/// Says what a person has to do, and leaves the transaction open.
fn failed(site: &mut NodeFilesystem, path: String, error: &HostError) -> HostError {
    let reason = error.to_string();
    let _noted = site.note(Event::UndoFailed { path: path.clone(), reason: reason.clone() });
    let snapshot = site.visit.as_ref().map(|(directory, _)| directory.path.clone()).unwrap_or_default();
    let instruction = format!(
        "Remove the cause and undo again. By hand: {snapshot}/manifest.json names under {path:?} what was there, and its copy in {snapshot}"
    );
    HostError::UndoFailed { path, reason, instruction }
}

/// The files are back, and a program that was restarted with the new ones has not been restarted with the old ones.
fn not_restarted(site: &mut NodeFilesystem, argv: &[String], error: &HostError) -> HostError {
    let (path, reason) = (format!("what {:?} restarts", argv.join(" ")), error.to_string());
    let _noted = site.note(Event::UndoFailed { path: path.clone(), reason: reason.clone() });
    let instruction =
        "All files are back; this has to be run again so that they are used. Remove the cause and undo again"
            .to_owned();
    HostError::UndoFailed { path, reason, instruction }
}

fn not_healthy(site: &mut NodeFilesystem, error: &HostError) -> HostError {
    let (path, reason) = ("what was healthy before".to_owned(), error.to_string());
    let _noted = site.note(Event::UndoFailed { path: path.clone(), reason: reason.clone() });
    let instruction = "All files are back and what was restarted was restarted again. Look why it does not work, and undo again".to_owned();
    HostError::UndoFailed { path, reason, instruction }
}
