//! A reboot at any moment of a transaction: the unit that is then there rolls back what is open, and nothing of it outlives the transaction.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::agent::Local;
use crate::agent::fs::disk::fail_point::FailPoint;
use crate::agent::local::host::tests::{Node, STATE, begin, write};
use crate::protocol::command::Begin;
use crate::protocol::facts::VisitState;
use crate::protocol::node::Host as _;

const UNIT_PATH: &str = "/etc/systemd/system/pki-undo.service";
const LINK_PATH: &str = "/etc/systemd/system/multi-user.target.wants/pki-undo.service";
const COPY_PATH: &str = "/var/lib/pki/undo/pki";

/// A machine with systemd, and a file to change.
fn machine() -> Node {
    let node = Node::new();
    fs::create_dir_all(node.at("/etc/systemd/system/multi-user.target.wants")).unwrap();
    node.file("/data/a", "old a", 0o644);
    node.file("/program", vec![7; 1024 * 1024 + 1], 0o755);
    node
}

fn started(node: &Node) -> Local {
    let mut local = node.local();
    local.boot = Some(Boot::of(node.at("/program")));
    local
}

fn change(local: &mut Local, run: &str) -> Result<(), HostError> {
    local.begin(&begin(run, 1, &["/data/a"]))?;
    local.perform(write("/data/a", "new a"))?;
    local.commit()
}

/// What is there of ours besides the state directory's own records.
fn there(node: &Node) -> Vec<&'static str> {
    let mut paths = vec![LINK_PATH, UNIT_PATH, COPY_PATH];
    paths.retain(|path| fs::symlink_metadata(node.at(path)).is_ok());
    paths
}

#[test]
fn the_unit_comes_before_all_readers_and_only_while_a_transaction_is_open() {
    let units = BTreeSet::from(["etcd-events".to_owned(), "a b.service".to_owned()]);
    let locations = BTreeSet::from(["/etc/kubernetes/pki/a.crt", "/data/etcd/a.key", "/od d/a"]);
    let undoing = Undoing { state_directory: "/var/lib/pki/", locations, units: &units };
    let text = unit(&undoing).unwrap();
    let expected = "# Put here by pki for one transaction and removed at its end: should the machine restart in between, what was
# half done is taken back before anything reads it.
[Unit]
Description=Take back what a reboot interrupted (pki)
ConditionPathExists=/var/lib/pki/open
After=local-fs.target
RequiresMountsFor=/data/etcd
RequiresMountsFor=/etc/kubernetes/pki
RequiresMountsFor=/var/lib/pki
Before=containerd.service
Before=crio.service
Before=docker.service
Before=etcd-events.service
Before=etcd.service
Before=k3s.service
Before=kubelet.service

[Service]
Type=oneshot
ExecStart=/var/lib/pki/undo/pki node undo --state-directory /var/lib/pki
TimeoutStartSec=300

[Install]
WantedBy=multi-user.target
";
    assert_eq!(text, expected);
}

#[test]
fn what_no_unit_can_name_is_not_named() {
    let of = |state_directory| {
        unit(&Undoing { state_directory, locations: BTreeSet::new(), units: &BTreeSet::new() })
    };
    for path in ["/var/lib/p ki", "/var/%h", "/var/$HOME", "/a\nExecStart=/bin/sh", "relative", "/a\"b"] {
        assert_eq!(of(path), None, "{path}");
    }
    for (name, full) in [
        ("etcd", Some("etcd.service")),
        ("etcd.service", Some("etcd.service")),
        ("etcd@a\\x2db.service", Some("etcd@a\\x2db.service")),
        ("etcd.d", Some("etcd.d.service")),
        ("etcd\nBefore=x", None),
        ("", None),
        (UNIT, None),
    ] {
        assert_eq!(unit_name(name).as_deref(), full);
    }
}

#[test]
fn it_is_there_from_begin_to_commit() {
    let node = machine();
    let mut local = started(&node);
    local
        .begin(&Begin { units: ["scraper".to_owned()].into(), ..begin("7f3a-91c2", 1, &["/data/a"]) })
        .unwrap();
    assert_eq!(there(&node), [LINK_PATH, UNIT_PATH, COPY_PATH]);
    let text = node.text(UNIT_PATH);
    assert!(
        text.contains("Before=scraper.service\n") && text.contains("RequiresMountsFor=/data\n"),
        "{text}"
    );
    assert_eq!(fs::read_link(node.at(LINK_PATH)).unwrap(), Path::new("../pki-undo.service"));
    let mode = |path: &str| fs::metadata(node.at(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(UNIT_PATH), mode(COPY_PATH), mode("/var/lib/pki/undo")), (0o644, 0o700, 0o700));
    assert_eq!(fs::read(node.at(COPY_PATH)).unwrap(), fs::read(node.at("/program")).unwrap());
    local.perform(write("/data/a", "new a")).unwrap();
    local.commit().unwrap();
    assert_eq!(there(&node), Vec::<&str>::new());
    assert!(!node.at("/var/lib/pki/undo").exists());
}

#[test]
fn a_copy_that_is_the_same_is_not_made_again() {
    use std::os::unix::fs::MetadataExt as _;
    let node = machine();
    let tree = Tree::open(Some(node.root.path().to_path_buf())).unwrap();
    let store = Dir::of(&tree.open_parent("/var/x").unwrap()).unwrap();
    let units = BTreeSet::new();
    let place = || {
        let undoing = Undoing { state_directory: "/var", locations: BTreeSet::new(), units: &units };
        Boot::of(node.at("/program")).place(&tree, &store, &undoing).unwrap();
        fs::metadata(node.at("/var/undo/pki")).unwrap().ino()
    };
    let first = place();
    assert_eq!(place(), first);
    fs::write(node.at("/var/undo/pki"), vec![8; 1024 * 1024 + 1]).unwrap();
    assert_ne!(place(), first, "one that differs is replaced");
    remove(&tree, &store).unwrap();
    remove(&tree, &store).unwrap();
    assert!(!node.at("/var/undo").exists() && there(&node).is_empty());
}

#[test]
fn at_boot_files_are_put_back_and_no_program_is_run() {
    let node = machine();
    node.file("/program.sh", "#!/bin/sh\necho run >>ran\n", 0o755);
    let argv = vec![node.at("/program.sh").to_str().unwrap().to_owned()];
    let mut local = started(&node);
    local.begin(&begin("7f3a-91c2", 1, &["/data/a"])).unwrap();
    local.perform(write("/data/a", "new a")).unwrap();
    local.perform(crate::protocol::command::WriteCommand::Run { argv, timeout_seconds: 10 }).unwrap();
    // The power goes.
    drop(local);
    assert_eq!(there(&node).len(), 3);
    let mut booted = started(&node);
    let undone = booted.undo_at_boot(STATE).unwrap().unwrap();
    assert_eq!((undone.state, undone.restored), (VisitState::Undone, vec!["/data/a".to_owned()]));
    assert_eq!((node.text("/data/a").as_str(), node.text("/ran").as_str()), ("old a", "run\n"));
    assert_eq!(there(&node), Vec::<&str>::new());
    assert_eq!(booted.undo_at_boot(STATE), Ok(None));
    let [visit] = &booted.snapshots(STATE).unwrap()[..] else { panic!() };
    assert_eq!(visit.state, VisitState::Undone, "the next run reads it");
}

#[test]
fn what_cannot_be_put_back_stays_open_for_the_next_run() {
    let node = machine();
    let mut local = started(&node);
    local.begin(&begin("7f3a-91c2", 1, &["/data/a"])).unwrap();
    local.perform(write("/data/a", "new a")).unwrap();
    drop(local);
    fs::remove_file(node.at("/data/a")).unwrap();
    fs::create_dir(node.at("/data/a")).unwrap();
    let error = started(&node).undo_at_boot(STATE).unwrap_err();
    assert!(matches!(error, HostError::UndoFailed { .. }), "{error}");
    assert_eq!(there(&node).len(), 3, "it is tried again at the next start");
    fs::remove_dir(node.at("/data/a")).unwrap();
    assert!(started(&node).undo_open(STATE).unwrap().is_some());
    assert_eq!((node.text("/data/a").as_str(), there(&node).len()), ("old a", 0));
}

#[test]
fn a_machine_on_which_it_cannot_be_put_down_is_worked_on_without_it() {
    let node = machine();
    fs::remove_dir_all(node.at("/etc/systemd")).unwrap();
    let mut local = started(&node);
    local.begin(&begin("7f3a-91c2", 1, &["/data/a"])).unwrap();
    assert_eq!(there(&node), Vec::<&str>::new());
    let journal = node.text("/var/lib/pki/snapshots/7f3a-91c2/1/journal.jsonl");
    assert!(journal.contains("noUndoAtBoot") && journal.contains(UNITS), "{journal}");
    local.perform(write("/data/a", "new a")).unwrap();
    local.commit().unwrap();
    assert_eq!(node.text("/data/a"), "new a");
}

#[test]
fn a_directory_that_stands_for_a_node_is_never_started() {
    let node = machine();
    let mut local = node.local();
    local.begin(&begin("7f3a-91c2", 1, &["/data/a"])).unwrap();
    assert_eq!(there(&node), Vec::<&str>::new());
}

#[test]
fn a_power_cut_between_any_two_system_calls_leaves_the_unit_only_with_its_marker() {
    let run = |effects: i64| {
        let node = machine();
        let mut local = started(&node);
        let end = FailPoint::after(effects);
        let done = change(&mut local, "7f3a-91c2").is_ok();
        drop(local);
        (node, done, end.left())
    };
    let (_, done, left) = run(1_000_000);
    assert!(done);
    let mut seen = BTreeSet::new();
    for effects in 0..(1_000_000 - left) {
        let (node, ..) = run(effects);
        let is_open = node.at("/var/lib/pki/open").exists();
        let is_new = node.text("/data/a") == "new a";
        assert!(is_open || there(&node).is_empty(), "after {effects}: {:?}", there(&node));
        seen.insert((is_new, there(&node)));
        let mut booted = started(&node);
        let undone = booted.undo_at_boot(STATE).unwrap();
        let is_kept = undone.is_none_or(|undone| undone.state == VisitState::Committed);
        assert_eq!(
            node.text("/data/a"),
            if is_new && is_kept { "new a" } else { "old a" },
            "after {effects}"
        );
        drop(booted);
        // Whatever was cut off there, the next run is not hindered and leaves nothing.
        change(&mut started(&node), "next-1").unwrap();
        assert_eq!(there(&node), Vec::<&str>::new(), "after {effects}");
    }
    let whole = vec![LINK_PATH, UNIT_PATH, COPY_PATH];
    assert!(seen.contains(&(true, whole.clone())) && seen.contains(&(false, whole)), "{seen:?}");
}

#[test]
fn an_undo_at_boot_that_is_cut_off_is_finished_at_the_next() {
    for effects in 0.. {
        let node = machine();
        let mut local = started(&node);
        local.begin(&begin("7f3a-91c2", 1, &["/data/a"])).unwrap();
        local.perform(write("/data/a", "new a")).unwrap();
        drop(local);
        let mut booted = started(&node);
        let end = FailPoint::after(effects);
        let _cut_off = booted.undo_at_boot(STATE);
        drop(booted);
        let is_complete = end.left() >= 0;
        drop(end);
        let is_open = node.at("/var/lib/pki/open").exists();
        assert!(is_open || there(&node).is_empty(), "after {effects}");
        started(&node).undo_at_boot(STATE).unwrap();
        assert_eq!((node.text("/data/a").as_str(), there(&node).len()), ("old a", 0), "after {effects}");
        if is_complete {
            return;
        }
    }
}
