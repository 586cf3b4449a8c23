//! A user who owns a directory exchanges names in it, at every moment of a transaction.
//!
//! Beside the directory lie sentinels, files and directories of root that nobody may touch or read out. Each trick is played before each effect of a
//! transaction in turn, so no moment is left to luck.

use std::os::unix::fs::{FileTypeExt as _, chown, lchown};
use std::sync::Arc;

use super::*;

const N: u32 = 997;
const CANARY: &str = "root:!canary:19000::::::";
const CERTIFICATES: &str = "/var/lib/etcd/cert";

/// A PEM text that is none of the sentinels'.
fn pem(text: &str) -> String {
    format!(
        "-----BEGIN PARAMETERS-----\n{}\n-----END PARAMETERS-----\n",
        if text == "old" { "b2xk" } else { "bmV3" }
    )
}

struct World {
    node: Node,
}

impl World {
    /// None where nobody could be played.
    fn new() -> Option<Self> {
        if !is_root() {
            // Only root can give directories to another user.
            return None;
        }
        let node = Node::new();
        for directory in ["var/lib/etcd/cert/sub", "outside/directory"] {
            fs::create_dir_all(node.at(directory)).unwrap();
        }
        for path in
            ["/outside/shadow", "/outside/directory/a.pem", "/outside/directory/key", "/outside/sub-file"]
        {
            node.file(path, CANARY, 0o600);
        }
        node.file("/var/lib/etcd/cert/a.pem", pem("old"), 0o644);
        node.file("/var/lib/etcd/cert/sub/b.pem", pem("old"), 0o600);
        for path in ["", "/cert", "/cert/a.pem", "/cert/sub", "/cert/sub/b.pem"] {
            chown(node.at(&format!("/var/lib/etcd{path}")), Some(N), Some(N)).unwrap();
        }
        Some(Self { node })
    }

    /// The sentinels: content, owner, mode and inode.
    fn sentinels(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut waiting = vec![self.node.at("/outside")];
        while let Some(path) = waiting.pop() {
            let status = fs::symlink_metadata(&path).unwrap();
            if status.is_dir() {
                waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            let content = if status.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
            let text =
                format!("{content} {}:{} {:o} {}", status.uid(), status.gid(), status.mode(), status.ino());
            found.push((path, text));
        }
        found.sort();
        found
    }

    /// Whether a byte of a sentinel has come into what is kept, or anywhere else.
    fn leaks(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![self.node.root.path().to_path_buf()];
        while let Some(path) = waiting.pop() {
            let status = fs::symlink_metadata(&path).unwrap();
            if status.is_dir() && path != self.node.at("/outside") {
                waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            // A hard link to a sentinel is the sentinel.
            if status.is_file()
                && status.nlink() == 1
                && fs::read_to_string(&path).is_ok_and(|text| text.contains("canary"))
            {
                found.push(path);
            }
        }
        found
    }
}

const PATHS: [&str; 4] = [
    "/var/lib/etcd/cert/a.pem",
    "/var/lib/etcd/cert/sub/b.pem",
    "/var/lib/etcd/cert/new.pem",
    "/var/lib/etcd/cert/made",
];

fn orders() -> Vec<WriteCommand> {
    vec![
        write(PATHS[0], &pem("new")),
        write(PATHS[1], &pem("new")),
        write(PATHS[2], &pem("new")),
        WriteCommand::MakeDirectory {
            path: PATHS[3].into(),
            owner: "root".into(),
            group: "root".into(),
            mode: "0755".parse().unwrap(),
        },
        WriteCommand::SetPermissions { file: spec(PATHS[0], "0600") },
    ]
}

/// What the user does. Errors are its own affair.
fn play(trick: &str, root: &Path) {
    let at = |path: &str| root.join(path.trim_start_matches('/'));
    let link = |target: &str, path: &str| {
        let _made = symlink(target, at(path));
        let _given = lchown(at(path), Some(N), Some(N));
    };
    let aside = |path: &str| {
        let _moved = fs::rename(at(path), at(&format!("{path}.moved")));
    };
    match trick {
        "link at the last name" => {
            aside(PATHS[0]);
            link("/outside/shadow", PATHS[0]);
        }
        "link at a parent" => {
            aside(CERTIFICATES);
            link("/outside/directory", CERTIFICATES);
        }
        "link at an inner directory" => {
            aside("/var/lib/etcd/cert/sub");
            link("/outside/directory", "/var/lib/etcd/cert/sub");
        }
        "relative link" => {
            aside(PATHS[0]);
            link("../../../../outside/shadow", PATHS[0]);
        }
        "dangling link" => {
            aside(PATHS[0]);
            link("/outside/new", PATHS[0]);
        }
        "link through proc" => {
            aside(PATHS[0]);
            link("/proc/self/root/outside/shadow", PATHS[0]);
        }
        "loop" => {
            aside(PATHS[0]);
            link(PATHS[0], PATHS[0]);
        }
        "hard link" => {
            aside(PATHS[0]);
            let _linked = fs::hard_link(at("/outside/shadow"), at(PATHS[0]));
        }
        "hard link at a free name" => {
            let _linked = fs::hard_link(at("/outside/shadow"), at(PATHS[2]));
        }
        "link at a free name" => link("/outside/shadow", PATHS[2]),
        "link in place of a directory to be made" => link("/outside/directory", PATHS[3]),
        "fifo" => {
            aside(PATHS[0]);
            let _made = rustix::fs::mknodat(
                rustix::fs::CWD,
                at(PATHS[0]),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o666),
                0,
            );
        }
        "directory" => {
            aside(PATHS[0]);
            let _made = fs::create_dir(at(PATHS[0]));
        }
        "exchange of directories" => {
            aside(CERTIFICATES);
            let _made = fs::create_dir_all(at("/var/lib/etcd/cert/sub"));
            for path in [CERTIFICATES, "/var/lib/etcd/cert/sub"] {
                let _given = chown(at(path), Some(N), Some(N));
            }
            link("/outside/shadow", PATHS[0]);
            link("/outside/shadow", PATHS[1]);
        }
        "directory open to others" => {
            let _opened = fs::set_permissions(at(CERTIFICATES), fs::Permissions::from_mode(0o777));
        }
        "removal of temporary files" | "links in place of temporary files" => {
            let directory = at(CERTIFICATES);
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') {
                    let _removed = fs::remove_file(entry.path());
                    if trick.starts_with("links") {
                        link("/outside/shadow", &format!("{CERTIFICATES}/{name}"));
                    }
                }
            }
        }
        "hard links in place of temporary files" => {
            for entry in fs::read_dir(at(CERTIFICATES)).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with('.') {
                    let _removed = fs::remove_file(entry.path());
                    let _linked = fs::hard_link(at("/outside/shadow"), entry.path());
                }
            }
        }
        other => panic!("{other}"),
    }
}

const TRICKS: [&str; 18] = [
    "link at the last name",
    "link at a parent",
    "link at an inner directory",
    "relative link",
    "dangling link",
    "link through proc",
    "loop",
    "hard link",
    "hard link at a free name",
    "link at a free name",
    "link in place of a directory to be made",
    "fifo",
    "directory",
    "exchange of directories",
    "directory open to others",
    "removal of temporary files",
    "links in place of temporary files",
    "hard links in place of temporary files",
];

/// Of so many moments one is tried with each trick, each trick beginning at another one.
const STRIDE: usize = 7;

/// Runs the transaction to its end, whichever that is.
fn whole(local: &mut Local) -> Result<(), HostError> {
    ended(local, Local::commit)
}

fn ended(local: &mut Local, end: impl Fn(&mut Local) -> Result<(), HostError>) -> Result<(), HostError> {
    local.begin(&Begin { replace_foreign: BTreeSet::new(), ..begin("7f3a-91c2", 1, &PATHS) })?;
    let done =
        orders().into_iter().try_for_each(|order| local.perform(order).map(drop)).and_then(|()| end(local));
    if done.is_err() {
        // That it cannot be put back into what the user has made of its own directory is the user's affair.
        let _undone = local.undo();
    }
    done
}

#[test]
fn nothing_outside_is_touched_or_read_whatever_is_exchanged_at_whatever_moment() {
    let Some(world) = World::new() else { return };
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    let mut local = world.node.local();
    let counting = FailPoint::with_meanwhile(move |number| {
        counted.store(number + 1, std::sync::atomic::Ordering::SeqCst);
    });
    ended(&mut local, |local| local.undo().map(drop)).unwrap();
    drop(counting);
    assert_eq!(world.node.text(PATHS[0]), pem("old"));
    let effects = count.load(std::sync::atomic::Ordering::SeqCst);
    assert!(effects > 40, "{effects}");
    for (trick, commits) in TRICKS.iter().flat_map(|trick| [(*trick, true), (*trick, false)]) {
        // Every moment is met by some trick of each kind, and every trick by moments of each kind, in a time that is not too long.
        let first = TRICKS.iter().position(|other| *other == trick).unwrap_or_default();
        for moment in (0..effects).skip(first % STRIDE).step_by(STRIDE) {
            let world = World::new().unwrap();
            let before = world.sentinels();
            let root = world.node.root.path().to_path_buf();
            let mut local = world.node.local();
            let meanwhile = FailPoint::with_meanwhile(move |number| {
                if number == moment {
                    play(trick, &root);
                }
            });
            let done =
                ended(&mut local, |local| if commits { local.commit() } else { local.undo().map(drop) });
            drop(meanwhile);
            assert_eq!(world.sentinels(), before, "{trick}, before effect {moment}: {done:?}");
            assert_eq!(world.leaks(), Vec::<PathBuf>::new(), "{trick}, before effect {moment}: {done:?}");
            if let Err(error) = done {
                let words = error.to_string();
                assert!(words.contains("/var/lib/etcd"), "{trick}, before effect {moment}: {words}");
            }
        }
    }
}

#[test]
fn what_is_there_before_the_transaction_is_refused_by_name_and_owners() {
    for trick in TRICKS {
        let Some(world) = World::new() else { return };
        let before = world.sentinels();
        play(trick, world.node.root.path());
        let outcome = whole(&mut world.node.local());
        assert_eq!(world.sentinels(), before, "{trick}: {outcome:?}");
        assert_eq!(world.leaks(), Vec::<PathBuf>::new(), "{trick}");
        let is_gone =
            fs::symlink_metadata(world.node.at(PATHS[0])).is_ok_and(|found| found.file_type().is_fifo());
        match outcome {
            // The directory is still the user's, and so is what lies in it.
            Ok(()) => assert!(trick.contains("temporary") || trick == "exchange of directories", "{trick}"),
            Err(error @ HostError::Unsafe { .. }) => {
                let words = error.to_string();
                let names_both =
                    words.contains("997") && (words.contains("root (0)") || words.contains("of user 997"));
                let by_several = words.contains("several users can change");
                assert!(names_both || by_several, "{trick}: {words}");
            }
            Err(error) => assert!(
                is_gone || matches!(trick, "dangling link" | "loop" | "directory"),
                "{trick}: {error}"
            ),
        }
    }
}

#[test]
fn what_is_kept_in_a_foreign_directory_is_not_believed() {
    let Some(world) = World::new() else { return };
    let state = "/var/lib/etcd/pki";
    let begun =
        world.node.local().begin(&Begin { state_directory: state.into(), ..begin("7f3a-91c2", 1, &PATHS) });
    let words = begun.unwrap_err().to_string();
    assert!(words.contains("/var/lib/etcd") && words.contains("user 997"), "{words}");
    assert!(!world.node.at(state).exists());
    // The user plants a transaction with a program in it.
    fs::create_dir_all(world.node.at("/var/lib/etcd/pki/snapshots/0-1/1")).unwrap();
    let open = r#"{"run":"0-1","visit":1,"begunAt":"2026-11-30T00:00:00Z","note":"x"}"#;
    fs::write(world.node.at("/var/lib/etcd/pki/open"), open).unwrap();
    let mut local = world.node.local();
    for refused in [
        local.undo_open(state).unwrap_err(),
        local.undo_at_boot(state).unwrap_err(),
        local.snapshots(state).unwrap_err(),
        local.etcd_snapshots(state).unwrap_err(),
        local.prune(state, 1).unwrap_err(),
    ] {
        assert!(matches!(refused, HostError::Unsafe { .. }), "{refused}");
    }
    let request = ObserveRequest { state_directory: Some(state.into()), ..Default::default() };
    let facts = local.observe(&request).unwrap();
    assert!(matches!(facts.open_transaction, Seen::Unknown { .. }), "{:?}", facts.open_transaction);
    assert_eq!(facts.unsafe_steps[state].to, "/var/lib/etcd");
}

#[test]
fn kept_files_that_others_could_have_written_are_not_believed() {
    let Some(world) = World::new() else { return };
    whole(&mut world.node.local()).unwrap();
    let journal = world.node.at("/var/lib/pki/snapshots/7f3a-91c2/1/journal.jsonl");
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(world.node.local().snapshots(STATE).is_err());
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&journal, world.node.at("/var/lib/etcd/cert/journal")).unwrap();
    assert!(world.node.local().snapshots(STATE).is_err());
    fs::remove_file(world.node.at("/var/lib/etcd/cert/journal")).unwrap();
    assert_eq!(world.node.local().snapshots(STATE).unwrap().len(), 1);
    fs::set_permissions(world.node.at(STATE), fs::Permissions::from_mode(0o755)).unwrap();
    let words = world.node.local().snapshots(STATE).unwrap_err().to_string();
    assert!(words.contains("chmod 0700"), "{words}");
}

#[test]
fn the_lock_is_a_file_of_ones_own() {
    let Some(world) = World::new() else { return };
    let lock = world.node.at("/run/pki.lock");
    let refused = |world: &World| {
        let mut local = world.node.local();
        let taken = local.lock(&Claim::of_run("7f3a-91c2")).unwrap_err();
        assert!(!matches!(taken, HostError::Locked { .. }), "{taken}");
        assert!(local.lock_state().is_err());
        taken.to_string()
    };
    let before = world.sentinels();
    symlink("/outside/shadow", &lock).unwrap();
    assert!(refused(&world).contains("/run/pki.lock"));
    fs::remove_file(&lock).unwrap();
    fs::hard_link(world.node.at("/outside/shadow"), &lock).unwrap();
    assert!(refused(&world).contains("other names"));
    fs::remove_file(&lock).unwrap();
    fs::write(&lock, "").unwrap();
    chown(&lock, Some(N), Some(N)).unwrap();
    assert!(refused(&world).contains("user 997"));
    assert_eq!(world.sentinels(), before);
}
