//! A static pod starts as soon as its manifest changes, so on every way back its manifest comes after what the pod reads.

use super::*;

const MANIFEST: &str = "/etc/kubernetes/etcd.yaml";
const CERTIFICATE: &str = "/etc/kubernetes/pki/etcd/server.crt";
const KEY: &str = "/etc/kubernetes/pki/etcd/server.key";
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n";
const PATHS: [&str; 3] = [MANIFEST, CERTIFICATE, KEY];

fn annotate() -> WriteCommand {
    WriteCommand::AnnotatePod { manifest: MANIFEST.to_owned(), word: "7f3a-91c2-1".to_owned() }
}

/// A transaction that has written a pair, restarted the pod, and written the key once more.
fn restarted(node: &Node) -> Local {
    node.file(MANIFEST, POD, 0o600);
    node.file(CERTIFICATE, "old certificate", 0o644);
    node.file(KEY, "old key", 0o600);
    let mut local = node.begun(&PATHS);
    local.perform(write(CERTIFICATE, "new certificate")).unwrap();
    local.perform(annotate()).unwrap();
    local.perform(write(KEY, "new key")).unwrap();
    assert_ne!(node.text(MANIFEST), POD);
    local
}

#[test]
fn an_undo_puts_the_manifest_back_last() {
    let node = Node::new();
    let undone = restarted(&node).undo().unwrap();
    assert_eq!(undone.restored, [KEY, CERTIFICATE, MANIFEST]);
    assert_eq!(node.text(MANIFEST), POD);
}

#[test]
fn so_does_the_undo_of_what_a_dead_process_left() {
    let node = Node::new();
    drop(restarted(&node));
    let undone = node.local().undo_open(STATE).unwrap().unwrap();
    assert_eq!(undone.restored, [KEY, CERTIFICATE, MANIFEST]);
}

#[test]
fn and_that_of_a_rollback_which_had_put_it_back() {
    let node = Node::new();
    restarted(&node).commit().unwrap();
    let new = node.text(MANIFEST);
    let mut local = node.begun_as("0000-0001", &PATHS);
    let from = VisitId { run: "7f3a-91c2".to_owned(), visit: 1 };
    for path in [CERTIFICATE, MANIFEST, KEY] {
        local
            .perform(WriteCommand::Restore { from: from.clone(), path: path.to_owned(), with: Vec::new() })
            .unwrap();
    }
    assert_eq!(node.text(MANIFEST), POD);
    let undone = local.undo().unwrap();
    assert_eq!(undone.restored, [KEY, CERTIFICATE, MANIFEST]);
    assert_eq!(node.text(MANIFEST), new);
}
