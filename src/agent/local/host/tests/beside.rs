//! What waits beside a file has a name that nobody can take first, and is found by who comes after a crash.

use super::*;
use crate::agent::fs::disk::Beside;
use crate::agent::transaction::journal;
use crate::agent::transaction::journal::Journal;
use crate::agent::transaction::state_dir::StateDir;

const JOURNAL: &str = "/var/lib/pki/snapshots/7f3a-91c2/1/journal.jsonl";

/// The names beside a file that the open transaction will use.
fn names(local: &Local, name: &str) -> Vec<String> {
    local.transaction.as_ref().unwrap().site.beside.names(name)
}

/// Puts things of somebody else under these names, of every kind in turn.
fn take(node: &Node, directory: &str, names: &[String]) {
    for (number, name) in names.iter().enumerate() {
        let path = format!("{directory}/{name}");
        match number % 3 {
            0 => {
                fs::create_dir(node.at(&path)).unwrap();
                node.file(&format!("{path}/of-another"), "x", 0o600);
            }
            1 => node.file(&path, "of another", 0o600),
            _ => symlink("/data/sentinel", node.at(&path)).unwrap(),
        }
    }
}

fn node() -> Node {
    let node = Node::new();
    node.file("/data/a", "old a", 0o644);
    node.file("/data/sentinel", "nobody's", 0o600);
    node
}

#[test]
fn a_name_that_somebody_has_made_first_fails_no_run() {
    let node = node();
    take(&node, "/data", &[".a.pki-7f3a-91c2".to_owned(), ".link.pki-7f3a-91c2".to_owned()]);
    let mut local = node.begun(&["/data/a", "/data/link"]);
    for name in ["a", "link"] {
        take(&node, "/data", names(&local, name).get(..15).unwrap());
    }
    let before = node.everything();
    local.perform(write("/data/a", "new a")).unwrap();
    local.perform(WriteCommand::MakeLink { path: "/data/link".into(), target: "/data/a".into() }).unwrap();
    local.commit().unwrap();
    assert_eq!(node.text("/data/a"), "new a");
    assert_eq!(fs::read_link(node.at("/data/link")).unwrap(), Path::new("/data/a"));
    let mut now = node.everything();
    now.retain(|path, _| before.contains_key(path));
    let changed: Vec<_> = now.iter().filter(|(path, facts)| before.get(*path) != Some(facts)).collect();
    assert!(
        changed.iter().all(|(path, _)| path.ends_with("data/a") || path.ends_with("data")),
        "{changed:?}"
    );
    assert_eq!(now.len(), before.len(), "what is somebody else's stays");
}

#[test]
fn who_takes_every_name_is_told_of_and_nothing_is_changed() {
    let node = node();
    let mut local = node.begun(&["/data/a"]);
    take(&node, "/data", &names(&local, "a"));
    let error = local.perform(write("/data/a", "new a")).unwrap_err();
    assert!(error.to_string().contains("every name"), "{error}");
    assert_eq!(node.text("/data/a"), "old a");
    local.undo().unwrap();
    assert_eq!(node.text("/data/a"), "old a");
}

#[test]
fn a_manifest_is_moved_over_nothing_of_anybody_else_and_stays_where_no_name_is_free() {
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n";
    let annotate =
        |word: &str| WriteCommand::AnnotatePod { manifest: "/data/etcd.yaml".into(), word: word.into() };
    let node = node();
    node.file("/data/etcd.yaml", manifest, 0o600);
    let mut local = node.begun(&["/data/etcd.yaml"]);
    // It needs two: for what was there, and for what comes in its place.
    take(&node, "/data", names(&local, "etcd.yaml").get(..14).unwrap());
    let before = node.everything();
    local.perform(annotate("first")).unwrap();
    local.commit().unwrap();
    assert!(node.text("/data/etcd.yaml").contains("pki/restarted-by"));
    let mut now = node.everything();
    now.retain(|path, facts| before.get(path) != Some(facts));
    assert!(
        now.keys().all(|path| path.ends_with("data/etcd.yaml")),
        "what is somebody else's stays: {now:?}"
    );
    let mut local = node.begun_as("0000-0001", &["/data/etcd.yaml"]);
    take(&node, "/data", &names(&local, "etcd.yaml"));
    let before = node.everything();
    let error = local.perform(annotate("second")).unwrap_err();
    assert!(matches!(&error, HostError::Refused { reason, .. } if reason.contains("every name")), "{error}");
    assert_eq!(node.everything(), before);
}

#[test]
fn the_names_of_two_transactions_of_one_run_have_nothing_in_common() {
    let node = node();
    let mut local = node.begun(&["/data/a"]);
    let first = names(&local, "a");
    local.undo().unwrap();
    let again = node.begun(&["/data/a"]);
    assert!(first.iter().all(|name| !names(&again, "a").contains(name)));
}

#[test]
fn what_a_crash_leaves_under_any_of_the_names_is_removed_by_the_next() {
    for number in 0..16 {
        let node = node();
        let before = node.everything();
        let mut local = node.begun(&["/data/a"]);
        let left = names(&local, "a").swap_remove(number);
        local.perform(write("/data/a", "new a")).unwrap();
        drop(local);
        node.file(&format!("/data/{left}"), "half a k", 0o600);
        node.local().undo_open(STATE).unwrap().unwrap();
        assert_eq!(node.everything(), before, "{left}");
    }
}

#[test]
fn what_a_version_without_random_names_left_is_removed_too() {
    let node = node();
    let before = node.everything();
    let mut local = node.begun(&["/data/a"]);
    local.perform(write("/data/a", "new a")).unwrap();
    drop(local);
    let text = node.text(JOURNAL);
    let (seed, rest) = text.split_once(r#","seed":""#).unwrap();
    let older = format!("{seed}{}", rest.split_once('"').unwrap().1);
    fs::write(node.at(JOURNAL), older).unwrap();
    node.file("/data/.a.pki-7f3a-91c2", "half a k", 0o600);
    node.local().undo_open(STATE).unwrap().unwrap();
    assert_eq!(node.everything(), before);
}

#[test]
fn the_names_are_known_from_the_journal_before_anything_is_touched() {
    let node = node();
    let local = node.begun(&["/data/a"]);
    let store = StateDir::open(&local.tree().unwrap(), STATE).unwrap().unwrap();
    let id = VisitId { run: "7f3a-91c2".to_owned(), visit: 1 };
    let lines = Journal::read(&store.visit(&id).unwrap().unwrap()).unwrap().unwrap();
    let beside = journal::beside(&lines, &id.run);
    assert!(matches!(beside, Beside::Seeded(_)));
    assert_eq!(beside.names("a"), names(&local, "a"));
}
