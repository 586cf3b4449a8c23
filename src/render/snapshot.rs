//! What nodes keep of earlier runs, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::diagnostic::escaped;
use crate::diff::instant;
use crate::ids::NodeName;
use crate::observed::VisitState;
use crate::plan::runs;
use crate::visits::{Brief, SnapshotFacts};

/// The runs, the latest first, each with its nodes.
pub fn snapshots(kept: &BTreeMap<NodeName, Vec<SnapshotFacts>>) -> String {
    let mut text = String::new();
    for run in runs(kept) {
        let visits: Vec<(&NodeName, &SnapshotFacts)> = of_run(kept, &run).collect();
        let begun = visits.iter().map(|(_, snapshot)| snapshot.begun_at).min();
        let nodes: Vec<&str> = visits.iter().map(|(node, _)| node.as_str()).collect();
        let paths: usize = visits.iter().map(|(_, snapshot)| snapshot.paths.len()).sum();
        let note = visits.first().map(|(_, snapshot)| escaped(&snapshot.note)).unwrap_or_default();
        let begun = begun.map(instant).unwrap_or_default();
        let lost = visits.iter().any(|(_, snapshot)| !snapshot.purged_paths().is_empty());
        let lost = if lost { "  (a distrusted CA's key was removed from it)" } else { "" };
        let _ = writeln!(text, "{run}  {begun}  {}  {paths} paths  {note}{lost}", nodes.join(", "));
    }
    if text.is_empty() {
        text.push_str("No snapshots.\n");
    }
    text
}

/// What one run changed, path by path.
pub fn snapshot(kept: &BTreeMap<NodeName, Vec<SnapshotFacts>>, run: &str) -> String {
    let mut text = String::new();
    for (node, snapshot) in of_run(kept, run) {
        let _ = writeln!(
            text,
            "{node}  visit {}  {}  {}  {}",
            snapshot.id.visit,
            instant(snapshot.begun_at),
            state(snapshot.state),
            escaped(&snapshot.note)
        );
        for key in &snapshot.purged {
            let _ = writeln!(
                text,
                "  removed from the snapshots: the private key with spki {} of a distrusted CA",
                key.short()
            );
        }
        for changed in &snapshot.paths {
            let since = if changed.unchanged_since { "" } else { "   (changed since: a rollback leaves it)" };
            let after = changed.after.as_ref().map_or("unknown", kind);
            let _ =
                writeln!(text, "  {}: {} -> {after}{since}", escaped(&changed.path), kind(&changed.before));
        }
    }
    text
}

fn of_run<'a>(
    kept: &'a BTreeMap<NodeName, Vec<SnapshotFacts>>,
    run: &'a str,
) -> impl Iterator<Item = (&'a NodeName, &'a SnapshotFacts)> {
    let all = kept.iter().flat_map(|(node, kept)| kept.iter().map(move |snapshot| (node, snapshot)));
    all.filter(move |(_, snapshot)| snapshot.id.run == run)
}

fn state(state: VisitState) -> &'static str {
    match state {
        VisitState::Open => "open",
        VisitState::Committed => "kept",
        VisitState::Undone => "undone",
        VisitState::UndoFailed => "could not be undone",
    }
}

fn kind(brief: &Brief) -> &'static str {
    match brief {
        Brief::File(file) if file.purged => "file (removed here: it held the key of a distrusted CA)",
        Brief::Tree { .. } if brief.is_purged() => {
            "directory (a file with the key of a distrusted CA removed here)"
        }
        Brief::Absent => "nothing",
        Brief::Directory | Brief::Tree { .. } => "directory",
        Brief::Link { .. } => "link",
        Brief::File(_) => "file",
    }
}
