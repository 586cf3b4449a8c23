//! A node in memory fails where it is told, and else does what real files do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use proptest::prelude::*;

use super::*;
use crate::agent::Local;
use crate::agent::memory::Running;
use crate::protocol::facts::{Content, Expect, ObserveRequest};
use crate::protocol::node::Inspect as _;
use crate::types::storage::FileSpec;

const PATHS: [&str; 6] = ["/data/a", "/linked/b", "/data/c", "/data/made", "/data/made/d", "/linked/c"];

fn clock() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn memory() -> Memory {
    Memory::new(clock())
        .file("/data/a", "old a", 0o644)
        .file("/data/b", "old b", 0o600)
        .directory("/data", 0o755)
        .link("/linked", "/data")
}

fn begin(run: &str) -> Begin {
    Begin {
        id: VisitId { run: run.to_owned(), visit: 1 },
        paths: PATHS.iter().map(|path| (*path).to_owned()).collect(),
        state_directory: "/var/lib/pki".to_owned(),
        keep: 2,
        note: String::new(),
        units: BTreeSet::new(),
        gates: std::collections::BTreeSet::new(),
        gates_seconds: 0,
        links: Default::default(),
        leads: Default::default(),
        replace_foreign: PATHS.iter().map(|path| (*path).to_owned()).collect(),
    }
}

fn spec(path: &str, mode: u32) -> FileSpec {
    let mode = format!("{mode:04o}").parse().unwrap();
    FileSpec { path: path.to_owned(), user: "root".to_owned(), group: "root".to_owned(), mode }
}

fn write(path: &str, text: &str) -> WriteCommand {
    WriteCommand::WriteText { file: spec(path, 0o600), content: Secret::new(text.as_bytes().to_vec()) }
}

#[test]
fn a_node_in_memory_fails_where_it_is_told_and_can_be_put_back() {
    for failure in [Failure::BeforeOrder(2), Failure::AfterOrder(2), Failure::Commit] {
        let before = memory();
        let mut node = memory().failing(failure);
        node.begin(&begin("r")).unwrap();
        let outcome = node
            .perform(write("/data/a", "new"))
            .and_then(|_| node.perform(write("/data/c", "new")))
            .and_then(|_| node.commit());
        assert!(outcome.is_err());
        assert_eq!(node.bytes("/data/c").is_some(), failure != Failure::BeforeOrder(2), "{failure:?}");
        node.crash();
        let asked = ObserveRequest { state_directory: Some("/var/lib/pki".into()), ..Default::default() };
        assert_eq!(node.observe(&asked).unwrap().open_transaction.shown().unwrap().run, "r");
        assert!(matches!(node.begin(&begin("s")), Err(HostError::AlreadyOpen { .. })));
        assert_eq!(node.undo_open("").unwrap().unwrap().state, VisitState::Undone);
        assert!(node.has_files_of(&before), "{failure:?}");
    }
    let mut failing = memory().failing(Failure::Undo);
    failing.begin(&begin("r")).unwrap();
    failing.perform(write("/data/a", "new")).unwrap();
    assert!(matches!(failing.undo(), Err(HostError::UndoFailed { .. })));
    failing.undo().unwrap();
    assert!(failing.has_files_of(&memory()));
    assert!(matches!(memory().locked_by("other").begin(&begin("r")), Err(HostError::Locked { .. })));
}

#[test]
fn a_kubelet_that_starts_begins_with_the_pods_that_do_not_run() {
    let manifest = |name: &str| format!("/etc/kubernetes/manifests/{name}.yaml");
    let pod = |name: &str| Running { manifest: Some(manifest(name)), ..Running::default() };
    let kubelet = Running { unit: Some("kubelet.service".to_owned()), ..Running::default() };
    let mut node = memory().file(&manifest("etcd"), "", 0o600).file(&manifest("kube-apiserver"), "", 0o600);
    node = node.running("kubelet".parse().unwrap(), kubelet);
    node = node.running("kube-apiserver".parse().unwrap(), pod("kube-apiserver"));
    for dead in ["etcd", "kube-scheduler"] {
        node = node.failing(Failure::Start).running(dead.parse().unwrap(), pod(dead));
    }
    node.begin(&begin("r")).unwrap();
    let argv = ["systemctl", "restart", "--no-block", "--", "kubelet.service"].map(str::to_owned).to_vec();
    node.perform(WriteCommand::Run { argv, timeout_seconds: 1 }).unwrap();
    let starts = ["kubelet", "kube-apiserver", "etcd", "kube-scheduler"].map(|name| node.is_running(name));
    // The last one has no manifest.
    assert_eq!(starts, [Some(2), Some(1), Some(2), None]);
}

#[test]
fn a_committed_visit_can_be_rolled_back_by_another() {
    let mut node = memory();
    node.begin(&begin("r")).unwrap();
    node.perform(write("/data/a", "new")).unwrap();
    node.perform(write("/data/c", "new")).unwrap();
    node.perform(WriteCommand::Run { argv: vec!["reload".into()], timeout_seconds: 1 }).unwrap();
    node.commit().unwrap();
    assert_eq!(node.ran(), [["reload"]]);
    assert!(node.snapshots("").unwrap()[0].paths.iter().all(|path| path.unchanged_since));
    let from = VisitId { run: "r".into(), visit: 1 };
    node.begin(&begin("back")).unwrap();
    for path in ["/data/a", "/data/c"] {
        node.perform(WriteCommand::Restore { from: from.clone(), path: path.into(), with: Vec::new() })
            .unwrap();
    }
    node.commit().unwrap();
    assert!(node.has_files_of(&memory()));
}

/// The same node as real files.
fn real() -> tempfile::TempDir {
    let root = tempfile::TempDir::new().unwrap();
    fs::create_dir_all(root.path().join("data")).unwrap();
    for (path, text, mode) in [("data/a", "old a", 0o644), ("data/b", "old b", 0o600)] {
        fs::write(root.path().join(path), text).unwrap();
        fs::set_permissions(root.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    symlink("/data", root.path().join("linked")).unwrap();
    root
}

/// What both kinds of node tell of the paths.
fn told(node: &dyn Host) -> BTreeMap<String, String> {
    let files = PATHS.iter().map(|path| ((*path).to_owned(), Expect::Text)).collect();
    let facts =
        node.observe(&ObserveRequest { files, state_directory: None, ..ObserveRequest::default() }).unwrap();
    let tell = |seen: &Seen<_>| match seen {
        Seen::Present(crate::protocol::facts::FileFacts { kind, mode, size, content, sha256, .. }) => {
            // Of a directory the real node has the transaction's own entries besides.
            if matches!(content, Content::Directory { .. }) {
                return format!("directory {mode:o}");
            }
            format!("{kind:?} {mode:o} {size} {sha256:?} {content:?}")
        }
        Seen::Absent => "absent".to_owned(),
        Seen::Dangling { .. } => "dangling".to_owned(),
        Seen::Looping { .. } => "looping".to_owned(),
        Seen::Unknown { .. } => "unknown".to_owned(),
    };
    facts.files.iter().map(|(path, seen)| (path.clone(), tell(seen))).collect()
}

#[test]
fn a_directory_is_moved_with_everything_in_it_and_comes_back() {
    let node = || {
        Memory::new(clock())
            .file("/etc/pki/a", "old a", 0o644)
            .file("/etc/pki/etcd/b", "old b", 0o600)
            .link("/etc/pki/etcd/c", "b")
            .directory("/etc/pki", 0o711)
            .directory("/data", 0o755)
    };
    let paths = ["/etc/pki", "/data/pki", "/etc/pki/a", "/etc/pki/new"];
    let begin = |run: &str| Begin {
        paths: paths.map(str::to_owned).into(),
        replace_foreign: paths.map(str::to_owned).into(),
        ..begin(run)
    };
    let moving = |link: &str, path: &str| WriteCommand::MoveDirectory {
        link: link.to_owned(),
        path: path.to_owned(),
        keeps_old: false,
    };
    let work = |node: &mut Memory| {
        node.begin(&begin("r")).unwrap();
        node.perform(moving("/etc/pki", "/data/pki")).unwrap();
        node.perform(write("/etc/pki/a", "new a")).unwrap();
        node.perform(write("/etc/pki/new", "new")).unwrap();
    };
    let before = node();
    let mut moved = node();
    work(&mut moved);
    assert_eq!(moved.bytes("/data/pki/a"), Some(b"new a".as_slice()));
    assert_eq!(moved.bytes("/data/pki/etcd/b"), Some(b"old b".as_slice()));
    assert_eq!(moved.bytes("/etc/pki/a"), None, "a link is there");
    let mut undone = moved.clone();
    undone.crash();
    undone.undo_open("").unwrap();
    assert!(undone.has_files_of(&before));
    moved.commit().unwrap();
    assert!(moved.snapshots("").unwrap()[0].paths.iter().all(|path| path.unchanged_since));
    moved.begin(&begin("back")).unwrap();
    let from = VisitId { run: "r".to_owned(), visit: 1 };
    moved.perform(WriteCommand::Restore { from, path: "/etc/pki".to_owned(), with: Vec::new() }).unwrap();
    assert!(moved.has_files_of(&before));
    moved.undo().unwrap();
    assert_eq!(moved.bytes("/data/pki/new"), Some(b"new".as_slice()));

    let mut full = node().file("/data/pki/x", "x", 0o600);
    full.begin(&begin("r")).unwrap();
    assert!(matches!(full.perform(moving("/etc/pki", "/data/pki")), Err(HostError::Occupied { .. })));
    let mut odd = node().fifo("/etc/pki/etcd/fifo");
    odd.begin(&begin("r")).unwrap();
    assert!(matches!(odd.perform(moving("/etc/pki", "/data/pki")), Err(HostError::Refused { .. })));
    assert!(odd.undo().unwrap().restored.is_empty());
}

proptest! {
    #![proptest_config(crate::seeds::cases(48))]

    #[test]
    fn a_node_in_memory_does_what_a_real_one_does(
        steps in prop::collection::vec((0..5usize, 0..6usize, "[a-c/.]{0,6}", 0..0o777u32), 1..10)
    ) {
        let root = real();
        let before = memory();
        let mut memory = before.clone();
        let mut local = Local::new(Some(root.path().to_path_buf()), clock);
        memory.begin(&begin("r")).unwrap();
        local.begin(&begin("r")).unwrap();
        for (kind, path, text, mode) in steps {
            let path = PATHS[path];
            let order = || match kind {
                0 | 1 => write(path, &text),
                2 => WriteCommand::MakeDirectory { path: path.into(), owner: "root".into(), group: "root".into(), mode: "0755".parse().unwrap() },
                3 => WriteCommand::MakeLink { path: path.into(), target: text.clone() },
                _ => WriteCommand::SetPermissions { file: spec(path, mode | 0o700) },
            };
            let outcomes = [memory.perform(order()), local.perform(order())].map(|outcome| outcome.map(|_| ()));
            prop_assert_eq!(&outcomes[0].is_ok(), &outcomes[1].is_ok(), "{:?} {:?}", order(), outcomes);
            prop_assert_eq!(told(&memory), told(&local));
        }
        memory.undo().unwrap();
        local.undo().unwrap();
        prop_assert_eq!(told(&memory), told(&local));
        prop_assert!(memory.has_files_of(&before));
    }
}
