//! What is kept of what a transaction left: no byte of it; and what is said when all is kept and only the record of it cannot be closed.

use super::*;
use crate::x509::PrivateKey;

const KEY: &str = "/etc/kubernetes/pki/ca.key";

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn restored(node: &Node, from: &str, path: &str) {
    let mut local = node.begun_as("bbbb-0001", &[path]);
    let from = VisitId { run: from.into(), visit: 1 };
    local.perform(WriteCommand::Restore { from, path: path.into(), with: Vec::new() }).unwrap();
    local.commit().unwrap();
}

#[test]
fn nothing_of_what_was_left_is_copied_and_it_is_known_again_all_the_same() {
    let node = Node::new();
    let text = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap().to_pem().unwrap().to_string();
    node.file(KEY, "old", 0o600);
    let mut local = node.begun_as("aaaa-0001", &[KEY]);
    local.perform(write(KEY, &text)).unwrap();
    local.commit().unwrap();
    let kept = files(&node.at("/var/lib/pki/snapshots"));
    assert!(kept.len() > 2, "{kept:?}");
    for file in &kept {
        let content = fs::read(file).unwrap();
        let holds = content.windows(11).any(|part| part == b"PRIVATE KEY");
        assert!(!holds, "{} holds the key that is in use", file.display());
        assert!(!file.components().any(|part| part.as_os_str() == "after"), "{}", file.display());
    }
    let facts = local.snapshots(STATE).unwrap();
    let [changed] = &facts[0].paths[..] else { panic!("{facts:?}") };
    assert!(changed.unchanged_since);
    assert!(
        matches!(&changed.after, Some(Brief::File(file)) if file.private_keys.len() == 1),
        "whose key it is, is told"
    );
    node.file(KEY, text.replace("-----BEGIN", "x\n-----BEGIN"), 0o600);
    assert!(!node.local().snapshots(STATE).unwrap()[0].paths[0].unchanged_since);
    node.file(KEY, &text, 0o600);
    restored(&node, "aaaa-0001", KEY);
    assert_eq!(node.text(KEY), "old");
}

#[test]
fn both_files_of_a_pair_go_back_or_neither_does() {
    let node = Node::new();
    let paths = ["/data/a.crt", "/data/a.key"];
    paths.iter().for_each(|path| node.file(path, "old", 0o600));
    let mut local = node.begun_as("aaaa-0001", &paths);
    paths.iter().for_each(|path| drop(local.perform(write(path, "new")).unwrap()));
    local.commit().unwrap();
    let from = VisitId { run: "aaaa-0001".into(), visit: 1 };
    let pair =
        || WriteCommand::Restore { from: from.clone(), path: paths[0].into(), with: vec![paths[1].into()] };
    node.file(paths[0], "of somebody", 0o600);
    let mut local = node.begun_as("bbbb-0001", &paths);
    let changed = HostError::ChangedSince { path: paths[0].into(), visit: from.clone() };
    assert_eq!(local.perform(pair()).unwrap_err(), changed);
    assert_eq!(paths.map(|path| node.text(path)), ["of somebody", "new"]);
    node.file(paths[0], "new", 0o600);
    local.undo().unwrap();
    let mut local = node.begun_as("bbbb-0002", &paths);
    local.perform(pair()).unwrap();
    local.commit().unwrap();
    assert_eq!(paths.map(|path| node.text(path)), ["old", "old"]);
}

#[test]
fn snapshots_of_before_in_which_what_was_left_is_copied_can_still_be_rolled_back() {
    let node = Node::new();
    node.file(KEY, "old", 0o600);
    let mut local = node.begun_as("aaaa-0001", &[KEY]);
    local.perform(write(KEY, "new")).unwrap();
    local.commit().unwrap();
    // As versions before wrote it.
    let visit = node.at("/var/lib/pki/snapshots/aaaa-0001/1");
    fs::create_dir(visit.join("after")).unwrap();
    fs::write(visit.join("after/0001"), "new").unwrap();
    let status = fs::metadata(node.at(KEY)).unwrap();
    let (mode, uid, gid) = (status.mode() & 0o7777, status.uid(), status.gid());
    let record = format!(
        r#"{{"{KEY}":{{"file":{{"mode":{mode},"uid":{uid},"gid":{gid},"size":3,"copy":"after/0001"}}}}}}"#
    );
    fs::write(visit.join("after.json"), record).unwrap();
    for (file, mode) in [("after", 0o700), ("after/0001", 0o600), ("after.json", 0o600)] {
        fs::set_permissions(visit.join(file), fs::Permissions::from_mode(mode)).unwrap();
    }
    assert!(node.local().snapshots(STATE).unwrap()[0].paths[0].unchanged_since);
    restored(&node, "aaaa-0001", KEY);
    assert_eq!(node.text(KEY), "old");
}

#[test]
fn once_it_is_committed_nothing_that_fails_makes_it_undone_or_a_persons_affair() {
    let whole = |effects: i64| {
        let node = Node::new();
        node.file("/data/a", "old", 0o600);
        let mut local = node.local();
        let end = FailPoint::after(effects);
        let outcome = local
            .begin(&begin("aaaa-0001", 1, &["/data/a"]))
            .and_then(|()| local.perform(write("/data/a", "new")))
            .and_then(|_| local.commit());
        (node, local, outcome, end.left())
    };
    let (_, _, outcome, left) = whole(1_000_000);
    assert_eq!(outcome, Ok(()));
    let all = 1_000_000 - left;
    let mut open = 0;
    for effects in 0..all {
        let (node, local, outcome, _) = whole(effects);
        if !matches!(outcome, Err(HostError::NotClosed { .. })) {
            continue;
        }
        open += 1;
        let error = outcome.unwrap_err().to_string();
        assert!(error.starts_with("the changes are kept"), "{error}");
        assert_eq!(node.text("/data/a"), "new");
        assert_eq!(local.lock_state(), Ok(LockState::Free), "after {effects}");
        drop(local);
        let mut next = node.local();
        if let Some(undone) = next.undo_open(STATE).unwrap() {
            assert_eq!(undone.state, VisitState::Committed, "after {effects}: the next run closes it");
        }
        assert_eq!(node.text("/data/a"), "new");
        next.begin(&begin("bbbb-0001", 1, &[])).unwrap();
    }
    assert!(open >= 1, "of {all} effects none came between the commit and its end");
}
