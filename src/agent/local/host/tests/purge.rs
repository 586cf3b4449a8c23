//! The key of a distrusted CA goes out of the snapshots, and nothing else does.

use super::*;
use crate::protocol::facts::KeptKey;
use crate::x509::{Certificate, PrivateKey, Sha256};

const CERTIFICATE: &str = "/etc/kubernetes/pki/etcd/ca.crt";
const KEY: &str = "/etc/kubernetes/pki/etcd/ca.key";
const PATHS: [&str; 3] = [CERTIFICATE, KEY, "/data/a"];

/// A node on which one run made a CA and another one replaced it; the CA and the text of its key.
fn node() -> (Node, Certificate, String) {
    let node = Node::new();
    let mut local = node.begun_as("run-1", &PATHS);
    let made = local.perform(WriteCommand::CreateAuthority {
        certificate: spec(CERTIFICATE, "0644"),
        key: spec(KEY, "0600"),
        algorithm: NewKeyAlgorithm::EcdsaP256,
        subject: SubjectName { common_name: "etcd-ca".to_owned(), ..SubjectName::default() },
        not_before: clock(),
        not_after: "2036-11-21T12:00:00Z".parse().unwrap(),
        over: None,
    });
    let Reply::Certificate(old) = made.unwrap() else { panic!() };
    local.perform(write("/data/a", "first")).unwrap();
    local.commit().unwrap();
    let text = node.text(KEY);
    let mut local = node.begun_as("run-1b", &PATHS);
    local.perform(WriteCommand::SetPermissions { file: spec(KEY, "0400") }).unwrap();
    local.commit().unwrap();
    let mut local = node.begun_as("run-2", &PATHS);
    let new = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap().to_pem().unwrap();
    let replace = WriteCommand::WriteText { file: spec(KEY, "0600"), content: Secret::from(new) };
    local.perform(replace).unwrap();
    local.perform(write("/data/a", "second")).unwrap();
    local.commit().unwrap();
    (node, old, text)
}

fn key(certificate: &Certificate) -> Sha256 {
    certificate.facts().key.spki_sha256
}

fn purge(local: &mut Local, run: &str, key: Sha256) -> Result<(), HostError> {
    local.begin(&begin(run, 1, &[]))?;
    local.perform(WriteCommand::PurgeSnapshots { key })?;
    local.commit()
}

/// The files below the state directory that hold a text.
fn holding(node: &Node, text: &str) -> Vec<PathBuf> {
    let mut waiting = vec![node.at(STATE)];
    let mut found = Vec::new();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(text) {
            found.push(path);
        }
    }
    found
}

fn kept(node: &Node, distrusted: &Certificate) -> Seen<BTreeMap<Sha256, KeptKey>> {
    let request = ObserveRequest {
        state_directory: Some(STATE.to_owned()),
        distrusted: [*distrusted.fingerprint()].into(),
        ..ObserveRequest::default()
    };
    node.local().observe(&request).unwrap().kept_keys
}

#[test]
fn a_key_goes_out_of_every_snapshot_and_all_else_stays() {
    let (node, old, text) = node();
    let found = KeptKey { key: key(&old), files: 2 };
    assert_eq!(kept(&node, &old), Seen::Present([(*old.fingerprint(), found)].into()));
    assert_eq!(holding(&node, &text).len(), 2, "before each of the two that came later");
    let (first, second) = (holding(&node, "first").len(), holding(&node, "second").len());
    let before = node.everything();
    purge(&mut node.local(), "run-3", key(&old)).unwrap();
    assert_eq!(holding(&node, &text), Vec::<PathBuf>::new());
    assert_eq!((holding(&node, "first").len(), holding(&node, "second").len()), (first, second));
    assert_eq!(kept(&node, &old), Seen::Present(BTreeMap::new()));
    assert_eq!(node.everything(), before, "nothing outside of the snapshots is touched");
}

#[test]
fn a_snapshot_tells_what_was_purged_puts_the_rest_back_and_can_be_pruned() {
    let (node, old, _) = node();
    let mut local = node.local();
    purge(&mut local, "run-3", key(&old)).unwrap();
    let told = local.snapshots(STATE).unwrap();
    assert_eq!(told.len(), 3);
    for run in &told[..2] {
        assert_eq!(run.purged_paths(), [KEY].into());
        let changed = run.paths.iter().find(|changed| changed.path == KEY).unwrap();
        assert!(changed.before.is_purged() || changed.after.as_ref().unwrap().is_purged());
    }
    assert_eq!(told[2].purged, [key(&old)].into());
    assert!(told[1].paths.iter().any(|changed| changed.path == "/data/a" && changed.unchanged_since));
    let from = VisitId { run: "run-2".to_owned(), visit: 1 };
    local.begin(&begin("run-4", 1, &PATHS)).unwrap();
    let restore =
        |path: &str| WriteCommand::Restore { from: from.clone(), path: path.to_owned(), with: Vec::new() };
    let refused = local.perform(restore(KEY)).unwrap_err();
    assert_eq!(refused, HostError::Purged { path: KEY.to_owned(), visit: from.clone() });
    local.perform(restore("/data/a")).unwrap();
    local.commit().unwrap();
    assert_eq!(node.text("/data/a"), "first");
    assert_eq!(node.local().prune(STATE, 1).unwrap().len(), 2);
}

#[test]
fn a_purge_that_ends_anywhere_leaves_readable_snapshots_and_is_done_by_the_next() {
    let (whole, old, _) = node();
    let mut local = whole.local();
    let counting = FailPoint::after(1_000_000);
    purge(&mut local, "run-3", key(&old)).unwrap();
    let effects = 1_000_000 - counting.left();
    drop(counting);
    let mut halves = 0;
    for survived in 0..effects {
        let (node, old, text) = node();
        let mut local = node.local();
        let end = FailPoint::after(survived);
        let ended = purge(&mut local, "run-3", key(&old));
        drop(local);
        drop(end);
        let mut next = node.local();
        next.undo_open(STATE).unwrap();
        let Seen::Present(left) = kept(&node, &old) else { panic!("after {survived}") };
        let files = left.get(old.fingerprint()).map_or(0, |kept| kept.files);
        assert_eq!(files, holding(&node, &text).len(), "after {survived}");
        halves += usize::from(files == 1);
        assert!(ended.is_err() || files == 0, "after {survived}");
        next.snapshots(STATE).unwrap();
        purge(&mut next, "run-4", key(&old)).unwrap();
        assert_eq!(holding(&node, &text), Vec::<PathBuf>::new(), "after {survived}");
        next.snapshots(STATE).unwrap();
    }
    assert!(effects > 20 && halves > 0, "{effects}, {halves}");
}

#[test]
fn a_key_in_a_large_file_of_a_directory_that_was_moved_is_found_and_goes() {
    let (node, old, text) = node();
    let large = format!("{}{text}", "# a note\n".repeat(256 * 1024));
    assert!(large.len() > 2 * 1024 * 1024);
    node.file("/etc/kubernetes/pki/notes", &large, 0o600);
    node.file("/etc/kubernetes/pki/blob", "x".repeat(3 * 1024 * 1024), 0o600);
    let (link, path) = ("/etc/kubernetes/pki".to_owned(), "/data/pki".to_owned());
    let mut local = node.begun_as("run-3", &[&link, &path]);
    local.perform(WriteCommand::MoveDirectory { link, path, keeps_old: false }).unwrap();
    local.commit().unwrap();
    let files = holding(&node, &text).len();
    assert!(files > 2, "the directory is kept with the large file in it");
    let found = KeptKey { key: key(&old), files };
    assert_eq!(kept(&node, &old), Seen::Present([(*old.fingerprint(), found)].into()));
    purge(&mut node.local(), "run-4", key(&old)).unwrap();
    assert_eq!(holding(&node, &text), Vec::<PathBuf>::new());
    assert_eq!(kept(&node, &old), Seen::Present(BTreeMap::new()));
}

#[test]
fn snapshots_that_cannot_be_read_are_not_taken_for_free_of_keys() {
    let (node, old, _) = node();
    let large = node.at(STATE).join("snapshots/run-1/1/after/large");
    fs::create_dir(large.parent().unwrap()).unwrap();
    fs::File::create(large).unwrap().set_len(16 * 1024 * 1024 + 1).unwrap();
    assert!(matches!(kept(&node, &old), Seen::Unknown { .. }));
    let none = Node::new();
    assert_eq!(kept(&none, &old), Seen::Present(BTreeMap::new()), "no snapshots hold no key");
}
