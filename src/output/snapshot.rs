//! What nodes keep of earlier runs, as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;

use super::issue::Lines;
use crate::diagnostic::escaped;
use crate::plan::{Deed, runs};
use crate::protocol::facts::VisitState;
use crate::protocol::snapshots::{Brief, EtcdSnapshot, SnapshotFacts};
use crate::protocol::state_layout::ETCD_SNAPSHOTS;
use crate::types::format::instant;
use crate::types::names::NodeName;

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

/// The snapshots of etcd's data, by node, the latest first; nothing where there are none.
pub fn etcd_snapshots(kept: &BTreeMap<NodeName, Vec<EtcdSnapshot>>) -> String {
    let mut text = String::new();
    for (node, kept) in kept {
        for EtcdSnapshot { path, run, taken_at, revision, bytes, sha256 } in kept.iter().rev() {
            let _ = writeln!(
                text,
                "{run}  {}  {node}  etcd's data, revision {revision}, {bytes} bytes; no rollback restores it\n    {}\n    sha256 {sha256}",
                instant(*taken_at),
                escaped(path)
            );
        }
    }
    text
}

/// What a plan says of saving etcd's data.
pub(super) fn etcd_snapshot_lines(body: &mut Lines, deed: &Deed) {
    let Deed::SnapshotEtcd { address, port, directory, keep, timeout, .. } = deed else { return };
    let member = SocketAddr::new(*address, *port);
    let folder = format!("{}/{ETCD_SNAPSHOTS}", escaped(directory.trim_end_matches('/')));
    body.add("sent by", format!("the member at {member}, before any member is restarted"));
    body.add("kept in", format!("{folder} on this node, mode 0600; the latest {keep} stay"));
    body.add("checked with", "the SHA-256 that etcd sends behind it; what fails it is not kept".to_owned());
    body.add("waits", format!("at most {timeout}; if it fails, nothing else is begun"));
    body.add("way back", "pki rollback does not restore it; etcdctl snapshot restore does".to_owned());
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
