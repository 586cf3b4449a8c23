//! Transactions on real files below a temporary directory.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;
use rustix::fs::XattrFlags;
use tempfile::TempDir;

use super::*;
use crate::agent::fs::disk::fail_point::FailPoint;
use crate::files::confined::Outcome;
use crate::protocol::command::{IdentityCheck, Slot};
use crate::protocol::facts::{ObserveRequest, Seen};
use crate::protocol::node::Inspect as _;
use crate::protocol::snapshots::Brief;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::types::secret::Secret;
use crate::types::storage::{FileSpec, Storage};
use crate::x509::pem;

mod beside;
mod crash;
mod directory;
mod hostile;
mod identity;
mod kept;
mod pods;
mod purge;

pub(crate) const STATE: &str = "/var/lib/pki";

pub(crate) fn clock() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A directory that stands for a node, and what it holds.
pub(crate) struct Node {
    pub(crate) root: TempDir,
}

impl Node {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        for directory in ["etc/kubernetes/pki/etcd", "var/lib", "run", "data", "usr/local/bin"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        fs::write(root.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\netcd:x:1234:1234::/:/bin/sh\n")
            .unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\netcd:x:1234:\n").unwrap();
        Self { root }
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    pub(crate) fn file(&self, path: &str, bytes: impl AsRef<[u8]>, mode: u32) {
        fs::write(self.at(path), bytes).unwrap();
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn local(&self) -> Local {
        Local::new(Some(self.root.path().to_path_buf()), clock)
    }

    pub(crate) fn begun(&self, paths: &[&str]) -> Local {
        self.begun_as("7f3a-91c2", paths)
    }

    pub(crate) fn begun_as(&self, run: &str, paths: &[&str]) -> Local {
        let mut local = self.local();
        local.begin(&begin(run, 1, paths)).unwrap();
        local
    }

    /// Whether a program that opens this path finds something, every link followed.
    pub(crate) fn resolved(&self, path: &Path) -> bool {
        matches!(self.local().tree().unwrap().walk(path.to_str().unwrap()).outcome, Outcome::Found(_))
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// Everything that a reader of the node can tell apart, the transactions' own directory left out.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        collect(self.root.path(), self.root.path(), &mut found);
        found
    }
}

fn collect(root: &Path, directory: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_path_buf();
        if name == Path::new("var/lib/pki") || name == Path::new("run/pki.lock") {
            continue;
        }
        let status = fs::symlink_metadata(&path).unwrap();
        let what = if status.is_symlink() {
            format!("link {:?}", fs::read_link(&path).unwrap())
        } else if status.is_dir() {
            collect(root, &path, found);
            "directory".to_owned()
        } else if !status.is_file() {
            "other".to_owned()
        } else {
            let attribute = attribute(&path, "user.note");
            format!("file {:?} {attribute:?} {}", fs::read(&path).unwrap(), status.mtime_nsec())
        };
        found.insert(name, format!("{what} {:o} {}:{}", status.mode(), status.uid(), status.gid()));
    }
}

pub(crate) fn attribute(path: &Path, name: &str) -> Option<String> {
    let mut value = vec![0; 100];
    let length = rustix::fs::getxattr(path, name, value.as_mut_slice()).ok()?;
    Some(String::from_utf8_lossy(&value[..length]).into_owned())
}

pub(crate) fn begin(run: &str, visit: u32, paths: &[&str]) -> Begin {
    Begin {
        id: VisitId { run: run.to_owned(), visit },
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        state_directory: STATE.to_owned(),
        keep: 3,
        note: "prod-eu1, by a test".to_owned(),
        units: BTreeSet::new(),
        gates: BTreeSet::new(),
        gates_seconds: 0,
        links: Default::default(),
        leads: Default::default(),
        replace_foreign: paths.iter().map(|path| (*path).to_owned()).collect(),
    }
}

pub(crate) fn spec(path: &str, mode: &str) -> FileSpec {
    FileSpec {
        path: path.to_owned(),
        user: "root".to_owned(),
        group: "root".to_owned(),
        mode: mode.parse().unwrap(),
    }
}

pub(crate) fn write(path: &str, text: &str) -> WriteCommand {
    WriteCommand::WriteText { file: spec(path, "0600"), content: Secret::new(text.as_bytes().to_vec()) }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_committed_write_replaces_the_content_and_keeps_what_else_the_file_had() {
    let node = Node::new();
    node.file("/etc/kubernetes/a", "old", 0o640);
    rustix::fs::setxattr(node.at("/etc/kubernetes/a"), "user.note", b"mine", XattrFlags::empty()).unwrap();
    fs::set_permissions(node.at("/etc/kubernetes/a"), fs::Permissions::from_mode(0o440)).unwrap();
    node.file("/etc/kubernetes/loose", "old", 0o666);
    if is_root() {
        std::os::unix::fs::chown(node.at("/etc/kubernetes/a"), Some(1234), Some(1234)).unwrap();
    }
    let mut local = node.begun(&["/etc/kubernetes/a", "/etc/kubernetes/loose", "/etc/kubernetes/new"]);
    for path in ["/etc/kubernetes/a", "/etc/kubernetes/loose", "/etc/kubernetes/new"] {
        local.perform(write(path, "new")).unwrap();
    }
    local.commit().unwrap();
    let status = fs::metadata(node.at("/etc/kubernetes/a")).unwrap();
    assert_eq!((node.text("/etc/kubernetes/a").as_str(), status.mode() & 0o7777), ("new", 0o400));
    assert_eq!(status.uid() == 1234, is_root(), "the owner stays");
    assert_eq!(attribute(&node.at("/etc/kubernetes/a"), "user.note").as_deref(), Some("mine"));
    for path in ["/etc/kubernetes/loose", "/etc/kubernetes/new"] {
        assert_eq!(fs::metadata(node.at(path)).unwrap().mode() & 0o7777, 0o600, "{path}");
    }
    let names: Vec<_> = fs::read_dir(node.at("/etc/kubernetes")).unwrap().collect();
    assert_eq!(names.len(), 4, "nothing temporary stays: {names:?}");
}

#[test]
fn a_new_file_belongs_to_the_user_that_the_node_itself_calls_so() {
    let node = Node::new();
    let file = FileSpec { user: "etcd".into(), group: "1234".into(), ..spec("/data/a", "0640") };
    let unknown = FileSpec { user: "etdc".into(), ..file.clone() };
    let mut local = node.begun(&["/data/a"]);
    let order = |file| WriteCommand::WriteText { file, content: Secret::new(b"x".to_vec()) };
    let error = local.perform(order(unknown)).unwrap_err();
    assert_eq!(error.to_string(), "the node has no user \"etdc\"");
    assert!(!node.at("/data/a").exists(), "nothing was written");
    if is_root() {
        local.perform(order(file)).unwrap();
        let status = fs::metadata(node.at("/data/a")).unwrap();
        assert_eq!((status.uid(), status.gid(), status.mode() & 0o7777), (1234, 1234, 0o640));
    }
}

#[test]
fn no_link_is_replaced_whether_it_is_the_file_or_a_directory_on_the_way() {
    let node = Node::new();
    node.file("/data/kubelet-client-2026.pem", "old", 0o600);
    symlink("kubelet-client-2026.pem", node.at("/data/kubelet-client-current.pem")).unwrap();
    symlink("/data", node.at("/etc/kubernetes/linked")).unwrap();
    symlink("/data/nowhere", node.at("/data/dangling")).unwrap();
    let before = node.everything();
    let paths = ["/data/kubelet-client-current.pem", "/etc/kubernetes/linked/new", "/data/dangling"];
    let mut local = node.begun(&paths);
    local.perform(write(paths[0], "new")).unwrap();
    local.perform(write(paths[1], "new")).unwrap();
    let error = local.perform(write(paths[2], "new")).unwrap_err();
    assert_eq!(error.to_string(), "/data/dangling leads to /data/nowhere, which does not exist");
    assert_eq!(node.text("/data/kubelet-client-2026.pem"), "new");
    assert_eq!(node.text("/data/new"), "new");
    assert!(node.at("/data/kubelet-client-current.pem").is_symlink());
    assert!(node.at("/etc/kubernetes/linked").is_symlink());
    let undone = local.undo().unwrap();
    assert_eq!(undone.restored, [paths[1], paths[0]]);
    assert_eq!(node.everything(), before);
}

#[test]
fn a_path_that_a_new_link_leads_elsewhere_is_taken_back_too() {
    let node = Node::new();
    node.file("/data/ca.crt", "old", 0o644);
    let before = node.everything();
    let mut local = node.begun(&[
        "/data/pki",
        "/etc/kubernetes/etcd",
        "/etc/kubernetes/etcd/ca.crt",
        "/etc/kubernetes/all",
        "/etc/kubernetes/all/ca.crt",
    ]);
    let directory = |path: &str| WriteCommand::MakeDirectory {
        path: path.into(),
        owner: "root".into(),
        group: "root".into(),
        mode: "0750".parse().unwrap(),
    };
    let link = |path: &str, target: &str| WriteCommand::MakeLink { path: path.into(), target: target.into() };
    local.perform(directory("/data/pki")).unwrap();
    local.perform(directory("/data/pki")).unwrap();
    local.perform(link("/etc/kubernetes/etcd", "/data/pki")).unwrap();
    local.perform(link("/etc/kubernetes/etcd", "/data/pki")).unwrap();
    local.perform(write("/etc/kubernetes/etcd/ca.crt", "new")).unwrap();
    local.perform(link("/etc/kubernetes/all", "../../data")).unwrap();
    local.perform(write("/etc/kubernetes/all/ca.crt", "new")).unwrap();
    assert_eq!(fs::metadata(node.at("/data/pki")).unwrap().mode() & 0o7777, 0o750);
    assert_eq!((node.text("/data/pki/ca.crt"), node.text("/data/ca.crt")), ("new".into(), "new".into()));
    for (order, found) in [
        (link("/etc/kubernetes/etcd", "/data"), "a symbolic link"),
        (link("/data/pki", "/data"), "a directory"),
        (directory("/etc/kubernetes/all/ca.crt"), "a file"),
    ] {
        let error = local.perform(order).unwrap_err();
        assert!(
            matches!(&error, HostError::Occupied { found: f, .. } if *f == found)
                || matches!(error, HostError::NotListed { .. }),
            "{error}"
        );
    }
    // Somebody else begins to use the new directory.
    node.file("/data/pki/foreign", "x", 0o600);
    let undone = local.undo().unwrap();
    assert_eq!(undone.left, ["/data/pki"]);
    fs::remove_dir_all(node.at("/data/pki")).unwrap();
    assert_eq!(node.everything(), before);
}

#[test]
fn permissions_are_set_where_the_file_is() {
    let node = Node::new();
    node.file("/data/key", "k", 0o644);
    let inode = fs::metadata(node.at("/data/key")).unwrap().ino();
    let before = node.everything();
    let mut local = node.begun(&["/data/key", "/data"]);
    local.perform(WriteCommand::SetPermissions { file: spec("/data/key", "0600") }).unwrap();
    local.perform(WriteCommand::SetPermissions { file: spec("/data", "0700") }).unwrap();
    let mode = |path: &str| fs::metadata(node.at(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("/data/key"), mode("/data")), (0o600, 0o700));
    assert_eq!(
        fs::metadata(node.at("/data/key")).unwrap().ino(),
        inode,
        "a process that has it open sees the change"
    );
    local.undo().unwrap();
    assert_eq!(node.everything(), before);
}

#[test]
fn no_directory_is_opened_to_others_who_could_change_what_lies_in_it() {
    let node = Node::new();
    fs::create_dir(node.at("/data/made")).unwrap();
    node.file("/data/made/d", "d", 0o600);
    let mut local = node.begun(&["/data/made"]);
    for mode in ["0777", "0722", "0702"] {
        let refused =
            local.perform(WriteCommand::SetPermissions { file: spec("/data/made", mode) }).unwrap_err();
        let words = format!("the mode {mode} would let others change what lies in the directory");
        assert!(refused.to_string().contains(&words), "{refused}");
    }
    local.perform(WriteCommand::SetPermissions { file: spec("/data/made", "0755") }).unwrap();
}

#[test]
fn only_listed_paths_are_touched_and_only_when_they_are_as_they_were_copied() {
    let node = Node::new();
    node.file("/data/a", "old", 0o600);
    node.file("/data/b", "old", 0o600);
    let mut local = node.begun(&["/data/a", "/data/missing/x"]);
    assert_eq!(
        local.perform(write("/data/b", "new")).unwrap_err(),
        HostError::NotListed { path: "/data/b".into() }
    );
    let error = local.perform(write("/data/missing/x", "new")).unwrap_err();
    assert_eq!(error, HostError::Missing { path: "/data/missing".into() });
    node.file("/data/a", "by someone else", 0o600);
    assert_eq!(
        local.perform(write("/data/a", "new")).unwrap_err(),
        HostError::Changed { path: "/data/a".into() }
    );
    local.undo().unwrap();
    assert_eq!(node.text("/data/a"), "by someone else", "what we did not touch is not ours to put back");
}

#[test]
fn one_transaction_is_open_at_a_time_and_the_lock_says_whose() {
    let node = Node::new();
    node.file("/data/a", "old", 0o600);
    let mut first = node.begun(&["/data/a"]);
    let again = first.begin(&begin("aaaa-0000", 1, &[])).unwrap_err();
    assert_eq!(again, HostError::AlreadyOpen { open: VisitId { run: "7f3a-91c2".into(), visit: 1 } });
    let mut second = node.local();
    let Err(HostError::Locked { holder: Some(holder) }) = second.begin(&begin("aaaa-0000", 1, &[])) else {
        panic!()
    };
    assert_eq!((holder.claim.run.as_str(), holder.pid), ("7f3a-91c2", std::process::id()));
    assert!(
        matches!(second.undo_open(STATE), Err(HostError::Locked { .. })),
        "a living transaction is not undone"
    );
    first.perform(write("/data/a", "new")).unwrap();
    drop(first);
    let open = second.begin(&begin("aaaa-0000", 1, &[])).unwrap_err();
    assert_eq!(open.to_string(), "transaction 7f3a-91c2/1 is open");
    let facts = second
        .observe(&ObserveRequest { state_directory: Some(STATE.into()), ..Default::default() })
        .unwrap();
    let Seen::Present(open) = facts.open_transaction else { panic!("{:?}", facts.open_transaction) };
    assert_eq!(
        (open.run.as_str(), open.visit, open.begun_at, open.note.as_str()),
        ("7f3a-91c2", 1, clock(), "prod-eu1, by a test")
    );
    assert_eq!(facts.last_transaction, Seen::Absent);
    assert_eq!(second.undo_open(STATE).unwrap().unwrap().restored, ["/data/a"]);
    assert_eq!(second.undo_open(STATE), Ok(None));
    assert_eq!(node.text("/data/a"), "old");
    let facts = second
        .observe(&ObserveRequest { state_directory: Some(STATE.into()), ..Default::default() })
        .unwrap();
    assert_eq!(facts.open_transaction, Seen::Absent);
    assert_eq!(facts.last_transaction.shown().unwrap().state, VisitState::Undone);
    assert_eq!(second.perform(write("/data/a", "x")).unwrap_err(), HostError::NotOpen);
    assert_eq!(second.begin(&begin("../x", 1, &[])), Err(HostError::BadRun { run: "../x".into() }));
    second.begin(&begin("7f3a-91c2", 1, &[])).unwrap();
}

#[test]
fn a_lock_for_a_run_outlives_its_transactions() {
    let node = Node::new();
    let mut local = node.local();
    local.lock(&Claim::of_run("7f3a-91c2")).unwrap();
    local.begin(&begin("7f3a-91c2", 1, &[])).unwrap();
    local.commit().unwrap();
    assert!(matches!(node.local().lock(&Claim::of_run("aaaa-0000")), Err(HostError::Locked { .. })));
    local.unlock();
    node.local().lock(&Claim::of_run("aaaa-0000")).unwrap();
}

#[test]
fn a_rollback_takes_back_exactly_what_a_run_did_and_nothing_that_came_later() {
    let node = Node::new();
    node.file("/data/a", "old", 0o644);
    node.file("/data/b", "old", 0o600);
    let before = node.everything();
    let mut local = node.begun(&["/data/a", "/data/b", "/data/c"]);
    for path in ["/data/a", "/data/b", "/data/c"] {
        local.perform(write(path, "new")).unwrap();
    }
    local.commit().unwrap();
    let facts = local.snapshots(STATE).unwrap();
    assert_eq!((facts.len(), facts[0].state, facts[0].paths.len()), (1, VisitState::Committed, 3));
    assert!(facts[0].paths.iter().all(|path| path.unchanged_since));
    assert_eq!(facts[0].paths[2].before, Brief::Absent);
    assert!(
        matches!(&facts[0].paths[0].after, Some(Brief::File(file)) if file.mode == 0o600 && file.size == 3)
    );

    node.file("/data/b", "by kubeadm", 0o600);
    assert!(!local.snapshots(STATE).unwrap()[0].paths[1].unchanged_since);
    let from = VisitId { run: "7f3a-91c2".into(), visit: 1 };
    let restore =
        |path: &str| WriteCommand::Restore { from: from.clone(), path: path.into(), with: Vec::new() };
    local.begin(&begin("bbbb-0001", 1, &["/data/a", "/data/b", "/data/c", "/data/d"])).unwrap();
    local.perform(restore("/data/a")).unwrap();
    local.perform(restore("/data/c")).unwrap();
    let changed = HostError::ChangedSince { path: "/data/b".into(), visit: from.clone() };
    assert_eq!(local.perform(restore("/data/b")).unwrap_err(), changed);
    let none = HostError::NoSnapshot { path: "/data/d".into(), visit: from.clone() };
    assert_eq!(local.perform(restore("/data/d")).unwrap_err(), none);
    node.file("/data/b", "new", 0o600);
    local.commit().unwrap();
    local.begin(&begin("bbbb-0001", 2, &["/data/b"])).unwrap();
    local.perform(restore("/data/b")).unwrap();
    local.commit().unwrap();
    assert_eq!(node.everything(), before, "times too, since a restart is judged by them");
}

#[test]
fn the_snapshots_of_the_latest_runs_are_kept_and_closed_to_others() {
    let node = Node::new();
    node.file("/data/a", "0", 0o600);
    let mut local = node.local();
    for run in 1..=5 {
        local.begin(&begin(&format!("run-{run}"), 1, &["/data/a"])).unwrap();
        local.perform(write("/data/a", &run.to_string())).unwrap();
        local.commit().unwrap();
    }
    let runs = |local: &Local| {
        local.snapshots(STATE).unwrap().into_iter().map(|facts| facts.id.run).collect::<Vec<_>>()
    };
    assert_eq!(runs(&local), ["run-3", "run-4", "run-5"]);
    assert_eq!(local.prune(STATE, 1).unwrap(), ["run-3", "run-4"]);
    assert_eq!(runs(&local), ["run-5"]);
    for (path, mode) in [
        ("/var/lib/pki", 0o700),
        ("/var/lib/pki/snapshots/run-5/1", 0o700),
        ("/var/lib/pki/snapshots/run-5/1/before", 0o700),
        ("/var/lib/pki/snapshots/run-5/1/before/0001", 0o600),
        ("/var/lib/pki/snapshots/run-5/1/manifest.json", 0o600),
    ] {
        assert_eq!(fs::metadata(node.at(path)).unwrap().mode() & 0o777, mode, "{path}");
    }
    let again = local.begin(&begin("run-5", 1, &[])).unwrap_err();
    assert_eq!(again, HostError::Repeated { id: VisitId { run: "run-5".into(), visit: 1 } });
}

#[test]
fn a_program_for_a_node_that_is_a_directory_is_one_of_the_machine_and_is_told_the_directory() {
    let node = Node::new();
    let mut local = node.begun(&[]);
    let run = |argv: &[&str]| WriteCommand::Run {
        argv: argv.iter().map(|one| (*one).to_owned()).collect(),
        timeout_seconds: 10,
    };
    local.perform(run(&["/bin/sh", "-c", "pwd -P > data/ran; echo \"$PKI_ROOT\" >> data/ran"])).unwrap();
    let root = node.root.path().canonicalize().unwrap();
    assert_eq!(node.text("/data/ran"), format!("{0}\n{0}\n", root.display()));
    let error = local.perform(run(&["/bin/sh", "-c", "exit 3"])).unwrap_err();
    assert!(error.to_string().ends_with("failed (exit status: 3)"), "{error}");
    let error = local.perform(run(&["systemctl", "restart", "etcd"])).unwrap_err();
    assert!(error.to_string().contains("by its absolute path"), "{error}");
}

#[test]
fn an_undo_that_cannot_finish_says_what_to_do_and_can_be_tried_again() {
    let node = Node::new();
    node.file("/data/a", "old", 0o600);
    node.file("/data/b", "old", 0o600);
    let before = node.everything();
    let mut local = node.begun(&["/data/a", "/data/b"]);
    local.perform(write("/data/a", "new")).unwrap();
    local.perform(write("/data/b", "new")).unwrap();
    fs::remove_file(node.at("/data/a")).unwrap();
    fs::create_dir(node.at("/data/a")).unwrap();
    let HostError::UndoFailed { path, reason, instruction } = local.undo().unwrap_err() else { panic!() };
    assert_eq!((path.as_str(), reason.as_str()), ("/data/a", "/data/a is already there: a directory"));
    assert!(instruction.contains("/var/lib/pki/snapshots/7f3a-91c2/1/manifest.json"), "{instruction}");
    assert_eq!(node.text("/data/b"), "old", "the others are put back all the same");
    assert_eq!(local.snapshots(STATE).unwrap()[0].state, VisitState::UndoFailed);
    drop(local);
    fs::remove_dir(node.at("/data/a")).unwrap();
    assert_eq!(node.local().undo_open(STATE).unwrap().unwrap().restored, ["/data/a"]);
    assert_eq!(node.everything(), before);
}

#[test]
fn a_full_disk_is_named_and_leaves_room_for_the_way_back() {
    if !is_root() {
        return;
    }
    let node = Node::new();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1200k", "tmpfs"])
        .arg(node.root.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        return;
    }
    struct Mounted(PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _status = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let _mounted = Mounted(node.root.path().to_path_buf());
    for directory in ["data", "run", "var/lib", "etc"] {
        fs::create_dir_all(node.at(directory)).unwrap();
    }
    let big = "k".repeat(100_000);
    node.file("/data/a", &big, 0o600);
    node.file("/data/b", &big, 0o600);
    let before = node.everything();
    let mut local = node.begun(&["/data/a", "/data/b"]);
    local.perform(write("/data/a", &"n".repeat(100_000))).unwrap();
    // Somebody else takes all the room that is left.
    let mut chunk = 65536;
    let mut filler = fs::File::create(node.at("/filler")).unwrap();
    while chunk > 0 {
        if std::io::Write::write_all(&mut filler, &vec![0; chunk]).is_err() {
            chunk /= 2;
        }
    }
    let error = local.perform(write("/data/b", &"n".repeat(100_000))).unwrap_err();
    assert!(matches!(&error, HostError::DiskFull { .. }), "{error}");
    drop(local);
    let undone = node.local().undo_open(STATE).unwrap().unwrap();
    assert!(undone.restored.contains(&"/data/a".to_owned()));
    fs::remove_file(node.at("/filler")).unwrap();
    assert_eq!(node.everything(), before);
}
