//! The process ends between any two system calls, and in the middle of any write.

use super::*;

/// A node with a file to change, one to add, and a link and a directory to make.
fn node() -> Node {
    let node = Node::new();
    node.file("/data/a", "old a", 0o644);
    node.file("/data/b", "old b", 0o600);
    symlink("/data", node.at("/etc/kubernetes/linked")).unwrap();
    node
}

const PATHS: [&str; 6] =
    ["/data/a", "/etc/kubernetes/linked/b", "/data/c", "/data/made", "/data/made/d", "/etc/kubernetes/link"];

fn orders() -> Vec<WriteCommand> {
    vec![
        write("/data/a", "new a"),
        write("/etc/kubernetes/linked/b", "new b"),
        write("/data/c", "new c"),
        WriteCommand::MakeDirectory {
            path: "/data/made".into(),
            owner: "root".into(),
            group: "root".into(),
            mode: "0755".parse().unwrap(),
        },
        write("/data/made/d", "new d"),
        WriteCommand::MakeLink { path: "/etc/kubernetes/link".into(), target: "/data/made".into() },
        WriteCommand::SetPermissions { file: spec("/data/c", "0400") },
    ]
}

fn whole(local: &mut Local) -> Result<(), HostError> {
    local.begin(&begin("7f3a-91c2", 1, &PATHS))?;
    for order in orders() {
        local.perform(order)?;
    }
    local.commit()
}

/// How many effects a transaction has, and what it leaves. Times of changes are not compared where new files are.
fn uninterrupted() -> (i64, BTreeMap<PathBuf, String>) {
    let node = node();
    let mut local = node.local();
    let counting = FailPoint::after(1_000_000);
    whole(&mut local).unwrap();
    (1_000_000 - counting.left(), timeless(node.everything()))
}

fn timeless(everything: BTreeMap<PathBuf, String>) -> BTreeMap<PathBuf, String> {
    let without = |text: String| match text.starts_with("file") {
        true => {
            let mut words: Vec<&str> = text.split(' ').collect();
            let at = words.len() - 3;
            words.remove(at);
            words.join(" ")
        }
        false => text,
    };
    everything.into_iter().map(|(path, text)| (path, without(text))).collect()
}

#[test]
fn a_process_that_ends_anywhere_leaves_all_or_nothing_once_the_next_has_looked() {
    let (effects, after) = uninterrupted();
    assert!(effects > 50, "{effects}");
    let mut outcomes = [0, 0];
    for survived in 0..effects {
        let node = node();
        let before = node.everything();
        let mut local = node.local();
        let end = FailPoint::after(survived);
        let outcome = whole(&mut local);
        drop(local);
        drop(end);
        let mut next = node.local();
        let undone = next.undo_open(STATE).unwrap();
        let now = node.everything();
        if timeless(now.clone()) == after {
            outcomes[1] += 1;
            assert!(undone.is_none_or(|undone| undone.state == VisitState::Committed), "after {survived}");
        } else {
            outcomes[0] += 1;
            assert_eq!(now, before, "after {survived} of {effects} effects");
            assert!(outcome.is_err());
        }
        // The next run is not hindered by anything.
        next.begin(&begin("next-1", 1, &PATHS)).unwrap();
        next.undo().unwrap();
        assert_eq!(next.undo_open(STATE), Ok(None));
    }
    assert!(outcomes[0] > 40 && outcomes[1] > 1, "{outcomes:?}");
}

#[test]
fn an_undo_that_ends_anywhere_is_finished_by_the_next() {
    let interrupted = |changes: i64| {
        let node = node();
        let before = node.everything();
        let mut local = node.begun(&PATHS);
        for order in orders() {
            local.perform(order).unwrap();
        }
        drop(local);
        let mut local = node.local();
        let end = FailPoint::after(changes);
        let outcome = local.undo_open(STATE);
        drop(local);
        let left = end.left();
        drop(end);
        node.local().undo_open(STATE).unwrap();
        assert_eq!(node.everything(), before);
        (outcome, left)
    };
    let (outcome, left) = interrupted(1_000_000);
    outcome.unwrap();
    for survived in 0..(1_000_000 - left) {
        interrupted(survived).0.ok();
    }
}

#[test]
fn the_removal_of_old_snapshots_may_be_cut_off_too() {
    let run = |local: &mut Local, name: &str, keep: u32| {
        local.begin(&Begin { keep, ..begin(name, 1, &PATHS) })?;
        local.perform(write("/data/a", name))?;
        local.commit()
    };
    let prepared = || {
        let node = node();
        for name in ["run-1", "run-2", "run-3"] {
            run(&mut node.local(), name, 9).unwrap();
        }
        node
    };
    let mut complete = false;
    for survived in 0.. {
        let node = prepared();
        let mut local = node.local();
        let end = FailPoint::after(survived);
        let _cut_off = run(&mut local, "run-4", 1);
        complete = end.left() >= 0;
        drop(local);
        drop(end);
        let mut next = node.local();
        next.undo_open(STATE).unwrap();
        let kept = next.snapshots(STATE).unwrap();
        let committed = kept.iter().rev().find(|facts| facts.state == VisitState::Committed).unwrap();
        assert_eq!(node.text("/data/a"), committed.id.run, "after {survived}");
        assert!(committed.paths.iter().all(|path| path.unchanged_since), "after {survived}");
        run(&mut next, "run-5", 1).unwrap();
        assert_eq!(next.snapshots(STATE).unwrap().len(), 1, "after {survived}");
        assert_eq!(fs::read_dir(node.at("/var/lib/pki/snapshots")).unwrap().count(), 1, "after {survived}");
        if complete {
            break;
        }
    }
    assert!(complete);
}

#[test]
fn a_failed_order_leaves_the_transaction_able_to_go_back() {
    let (effects, _) = uninterrupted();
    for survived in 0..effects {
        let node = node();
        let before = node.everything();
        let mut local = node.local();
        local.begin(&begin("7f3a-91c2", 1, &PATHS)).unwrap();
        let end = FailPoint::after(survived);
        let mut failed = false;
        for order in orders() {
            failed |= local.perform(order).is_err();
        }
        drop(end);
        let undone = local.undo().unwrap();
        assert_eq!(node.everything(), before, "after {survived}, {failed} {undone:?}");
    }
}

proptest! {
    #![proptest_config(crate::seeds::cases(48))]

    #[test]
    fn whatever_was_done_is_undone(steps in prop::collection::vec((0..5usize, 0..6usize, ".{0,20}", 0..0o777u32), 1..12)) {
        let node = node();
        let before = node.everything();
        let paths = ["/data/a", "/etc/kubernetes/linked/b", "/data/c", "/data/made", "/data/made/d", "/etc/kubernetes/linked/c"];
        let mut local = node.begun(&paths);
        for (kind, path, text, mode) in steps {
            let path = paths[path];
            let order = match kind {
                0 | 1 => write(path, &text),
                2 => WriteCommand::MakeDirectory { path: path.into(), owner: "root".into(), group: "root".into(), mode: "0755".parse().unwrap() },
                3 => WriteCommand::MakeLink { path: path.into(), target: text },
                _ => WriteCommand::SetPermissions { file: spec(path, &format!("{:04o}", mode | 0o600)) },
            };
            // Many of these are refused, as they must be.
            let _refused = local.perform(order);
        }
        drop(local);
        node.local().undo_open(STATE).unwrap();
        prop_assert_eq!(node.everything(), before);
    }
}
