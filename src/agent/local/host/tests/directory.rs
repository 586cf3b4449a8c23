//! A directory is moved with everything in it and a link takes its place: whole, or not at all, and back again.

use super::*;

const LINK: &str = "/etc/kubernetes/pki";
const MOVED: &str = "/data/made/pki";
const PATHS: [&str; 5] =
    ["/data/made", LINK, MOVED, "/etc/kubernetes/pki/a.crt", "/etc/kubernetes/pki/etcd/new"];

/// A node with everything in the directory that can be moved.
fn node() -> Node {
    let node = Node::new();
    node.file("/etc/kubernetes/pki/a.crt", "a", 0o644);
    node.file("/etc/kubernetes/pki/a.key", "key of a", 0o600);
    node.file("/etc/kubernetes/pki/etcd/b.key", "key of b", 0o640);
    node.file("/etc/kubernetes/pki/empty", "", 0o444);
    let noted = node.at("/etc/kubernetes/pki/a.key");
    rustix::fs::setxattr(noted, "user.note", b"mine", XattrFlags::empty()).unwrap();
    fs::set_permissions(node.at("/etc/kubernetes/pki/etcd"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(node.at(LINK), fs::Permissions::from_mode(0o711)).unwrap();
    symlink("etcd/b.key", node.at("/etc/kubernetes/pki/inside")).unwrap();
    symlink("/etc/kubernetes/pki/a.crt", node.at("/etc/kubernetes/pki/etcd/absolute")).unwrap();
    if is_root() {
        for path in ["/etc/kubernetes/pki/etcd", "/etc/kubernetes/pki/etcd/b.key"] {
            std::os::unix::fs::chown(node.at(path), Some(1234), Some(1234)).unwrap();
        }
    }
    node
}

fn directory(path: &str) -> WriteCommand {
    let (owner, group) = ("root".to_owned(), "root".to_owned());
    WriteCommand::MakeDirectory { path: path.to_owned(), owner, group, mode: "0755".parse().unwrap() }
}

fn moving(keeps_old: bool) -> WriteCommand {
    WriteCommand::MoveDirectory { link: LINK.to_owned(), path: MOVED.to_owned(), keeps_old }
}

/// The directory is moved, a file in it is written anew, and one is added.
fn orders() -> Vec<WriteCommand> {
    vec![
        directory("/data/made"),
        moving(false),
        write("/etc/kubernetes/pki/a.crt", "new a"),
        write("/etc/kubernetes/pki/etcd/new", "new"),
    ]
}

fn whole(local: &mut Local) -> Result<(), HostError> {
    local.begin(&begin("7f3a-91c2", 1, &PATHS))?;
    for order in orders() {
        local.perform(order)?;
    }
    local.commit()
}

/// Back to before the visit above.
fn back(local: &mut Local) -> Result<(), HostError> {
    local.begin(&begin("back", 1, &["/data/made", LINK]))?;
    let from = VisitId { run: "7f3a-91c2".to_owned(), visit: 1 };
    for path in [LINK, "/data/made"] {
        match local.perform(WriteCommand::Restore {
            from: from.clone(),
            path: path.to_owned(),
            with: Vec::new(),
        }) {
            // It was there before.
            Ok(_) | Err(HostError::NoSnapshot { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    local.commit()
}

/// What lies below a directory, by path below it.
fn below(everything: &BTreeMap<PathBuf, String>, directory: &str) -> BTreeMap<PathBuf, String> {
    let directory = directory.trim_start_matches('/');
    let below = everything.iter().filter_map(|(path, text)| {
        path.strip_prefix(directory).ok().map(|path| (path.to_path_buf(), text.clone()))
    });
    below.collect()
}

/// Times of changes are not compared where new files are.
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

fn waiting(node: &Node) -> Vec<String> {
    let names = fs::read_dir(node.at("/etc/kubernetes")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
}

/// The one directory that waits beside the link.
fn aside(node: &Node) -> String {
    let names = waiting(node);
    let [name] = names.as_slice() else { panic!("{names:?}") };
    assert!(name.starts_with(".pki.pki-") && name.len() == ".pki.pki-".len() + 16, "{name}");
    format!("/etc/kubernetes/{name}")
}

#[test]
fn everything_in_it_is_where_it_was_and_as_it_was() {
    let node = node();
    let before = node.everything();
    let modified = fs::metadata(node.at(LINK)).unwrap().modified().unwrap();
    let mut local = node.begun(&["/data/made", LINK, MOVED]);
    local.perform(directory("/data/made")).unwrap();
    local.perform(moving(false)).unwrap();
    aside(&node);
    local.commit().unwrap();
    assert_eq!(fs::read_link(node.at(LINK)).unwrap(), Path::new(MOVED));
    assert_eq!(below(&node.everything(), MOVED), below(&before, LINK));
    assert_eq!(fs::metadata(node.at(MOVED)).unwrap().modified().unwrap(), modified);
    assert_eq!(waiting(&node), Vec::<String>::new());
    assert_eq!(local.perform(moving(false)).unwrap_err(), HostError::NotOpen);
}

#[test]
fn the_old_directory_can_stay_for_those_who_have_it_open_until_the_next_transaction() {
    let node = node();
    let mut local = node.begun(&["/data/made", LINK, MOVED]);
    local.perform(directory("/data/made")).unwrap();
    local.perform(moving(true)).unwrap();
    local.commit().unwrap();
    drop(local);
    let waiting_at = aside(&node);
    assert_eq!(node.local().undo_open(STATE), Ok(None));
    assert_eq!(fs::read(node.at(&format!("{waiting_at}/a.key"))).unwrap(), b"key of a");
    let mut next = node.local();
    next.begin(&begin("next", 1, &[])).unwrap();
    assert_eq!(waiting(&node), Vec::<String>::new());
}

#[test]
fn it_goes_back_and_forth() {
    let node = node();
    let before = node.everything();
    whole(&mut node.local()).unwrap();
    let moved = node.everything();
    let facts = node.local().snapshots(STATE).unwrap();
    assert!(facts[0].paths.iter().all(|path| path.unchanged_since), "{:?}", facts[0].paths);
    back(&mut node.local()).unwrap();
    assert_eq!(node.everything(), before);
    let mut local = node.begun_as("forth", &["/data/made", LINK]);
    let from = VisitId { run: "back".to_owned(), visit: 1 };
    for path in ["/data/made", LINK] {
        local
            .perform(WriteCommand::Restore { from: from.clone(), path: path.to_owned(), with: Vec::new() })
            .unwrap();
    }
    local.commit().unwrap();
    assert_eq!(node.everything(), moved);
}

#[test]
fn it_does_not_go_back_once_anything_in_it_has_changed() {
    for change in ["/data/made/pki/a.key", "/data/made/pki/etcd/stranger"] {
        let node = node();
        whole(&mut node.local()).unwrap();
        node.file(change, "of another", 0o600);
        let since = node.everything();
        let facts = node.local().snapshots(STATE).unwrap();
        assert!(facts[0].paths.iter().any(|path| path.path == LINK && !path.unchanged_since));
        let mut local = node.local();
        assert!(matches!(back(&mut local), Err(HostError::ChangedSince { .. })));
        local.undo().unwrap();
        assert_eq!(node.everything(), since);
    }
}

#[test]
fn an_empty_directory_where_it_goes_is_filled_and_empty_again_after_an_undo() {
    let node = node();
    fs::create_dir_all(node.at(MOVED)).unwrap();
    fs::set_permissions(node.at(MOVED), fs::Permissions::from_mode(0o750)).unwrap();
    let before = node.everything();
    let inode = fs::metadata(node.at(MOVED)).unwrap().ino();
    let mut local = node.begun(&PATHS);
    for order in orders() {
        local.perform(order).unwrap();
    }
    assert_eq!(fs::metadata(node.at(MOVED)).unwrap().ino(), inode, "it may be where a disk is mounted");
    local.undo().unwrap();
    assert_eq!(node.everything(), before);
    whole(&mut node.local()).unwrap();
    back(&mut node.local()).unwrap();
    assert_eq!(node.everything(), before);
}

#[test]
fn a_process_that_ends_anywhere_leaves_all_or_nothing() {
    let effects = {
        let node = node();
        let mut local = node.local();
        let counting = FailPoint::after(1_000_000);
        whole(&mut local).unwrap();
        1_000_000 - counting.left()
    };
    assert!(effects > 100, "{effects}");
    let mut outcomes = [0, 0];
    for survived in 0..effects {
        let node = node();
        let before = node.everything();
        let names: Vec<PathBuf> = below(&before, LINK).into_keys().collect();
        let mut local = node.local();
        let end = FailPoint::after(survived);
        let outcome = whole(&mut local);
        drop(local);
        drop(end);
        for name in &names {
            assert!(node.resolved(&Path::new(LINK).join(name)), "{name:?} is away after {survived}");
        }
        node.local().undo_open(STATE).unwrap();
        let now = node.everything();
        if now == before {
            assert!(outcome.is_err());
            outcomes[0] += 1;
        } else {
            assert_eq!(node.text("/data/made/pki/a.crt"), "new a", "after {survived}");
            assert_eq!(waiting(&node), Vec::<String>::new(), "after {survived}");
            outcomes[1] += 1;
        }
        node.local().begin(&begin("next", 1, &PATHS)).unwrap();
    }
    assert!(outcomes[0] > 80 && outcomes[1] > 1, "{outcomes:?}");
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
        local.undo_open(STATE).ok();
        drop(local);
        let left = end.left();
        drop(end);
        node.local().undo_open(STATE).unwrap();
        assert_eq!(node.everything(), before);
        left
    };
    for survived in 0..(1_000_000 - interrupted(1_000_000)) {
        interrupted(survived);
    }
}

#[test]
fn a_way_back_that_ends_anywhere_is_gone_wholly_or_not_at_all() {
    let prepared = || {
        let node = node();
        let before = timeless(node.everything());
        whole(&mut node.local()).unwrap();
        (node, before)
    };
    let (first, _) = prepared();
    let mut local = first.local();
    let counting = FailPoint::after(1_000_000);
    back(&mut local).unwrap();
    let effects = 1_000_000 - counting.left();
    drop(counting);
    let mut outcomes = [0, 0];
    for survived in 0..effects {
        let (node, before) = prepared();
        let moved = node.everything();
        let mut local = node.local();
        let end = FailPoint::after(survived);
        let _cut_off = back(&mut local);
        drop(local);
        drop(end);
        assert!(node.resolved(Path::new("/etc/kubernetes/pki/etcd/b.key")), "after {survived}");
        node.local().undo_open(STATE).unwrap();
        let now = node.everything();
        let is_back = timeless(now.clone()) == before;
        assert!(is_back || now == moved, "after {survived} of {effects}");
        outcomes[usize::from(is_back)] += 1;
    }
    assert!(outcomes[0] > 80 && outcomes[1] > 1, "{outcomes:?}");
}

#[test]
fn what_cannot_be_moved_whole_is_refused_and_nothing_is_touched() {
    let refused = |prepare: &dyn Fn(&Node), says: &str| {
        let node = node();
        fs::create_dir_all(node.at("/data/made")).unwrap();
        prepare(&node);
        let before = node.everything();
        let mut local = node.begun(&PATHS);
        let error = local.perform(moving(false)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(node.everything(), before);
        local.undo().unwrap();
        assert_eq!(node.everything(), before);
    };
    let socket = |node: &Node| {
        std::os::unix::net::UnixListener::bind(node.at("/etc/kubernetes/pki/etcd/s")).unwrap();
    };
    refused(&socket, "/etc/kubernetes/pki/etcd/s: it is a FIFO, socket or device");
    let outward = |node: &Node| symlink("../../x", node.at("/etc/kubernetes/pki/etcd/out")).unwrap();
    refused(&outward, "/etc/kubernetes/pki/etcd/out: it is a link to ../../x, relative and out of");
    let full = |node: &Node| fs::create_dir_all(node.at("/data/made/pki/x")).unwrap();
    refused(&full, "/data/made/pki is already there: a directory that is not empty");
    let linked = |node: &Node| symlink("/data", node.at(MOVED)).unwrap();
    refused(&linked, "/data/made/pki is already there: a symbolic link");
    let file = |node: &Node| node.file(MOVED, "x", 0o600);
    refused(&file, "/data/made/pki is already there: a file");
    let inside = |node: &Node| {
        fs::remove_dir(node.at("/data/made")).unwrap();
        symlink("/etc/kubernetes/pki/etcd", node.at("/data/made")).unwrap();
    };
    refused(&inside, "lie one inside the other");
    let many = |node: &Node| {
        for number in 0..4100 {
            node.file(&format!("/etc/kubernetes/pki/{number}"), "", 0o600);
        }
    };
    refused(&many, "it holds more than 4096 objects, so it is not moved");
    let elsewhere = |node: &Node| {
        fs::rename(node.at(LINK), node.at("/data/elsewhere")).unwrap();
        symlink("/data/elsewhere", node.at(LINK)).unwrap();
    };
    refused(&elsewhere, "/etc/kubernetes/pki is already there: a symbolic link");
    let large = |node: &Node| {
        for number in 0..5 {
            let file = fs::File::create(node.at(&format!("/etc/kubernetes/pki/{number}"))).unwrap();
            file.set_len(15 * 1024 * 1024).unwrap();
        }
    };
    refused(&large, "its directory holds more than 67108864 bytes, so it is not moved");
}

#[test]
fn who_writes_into_the_old_directory_meanwhile_is_not_lost() {
    let node = node();
    let mut local = node.begun(&PATHS);
    for order in orders() {
        local.perform(order).unwrap();
    }
    fs::write(node.at(&format!("{}/late", aside(&node))), "late").unwrap();
    assert_eq!(local.commit().unwrap_err(), HostError::Changed { path: LINK.to_owned() });
}

#[test]
fn what_others_put_where_it_goes_stays_there() {
    let node = node();
    let before = node.everything();
    let mut local = node.begun(&PATHS);
    for order in orders() {
        local.perform(order).unwrap();
    }
    node.file("/data/made/pki/etcd/of-another", "x", 0o600);
    drop(local);
    let undone = node.local().undo_open(STATE).unwrap().unwrap();
    assert!(undone.left.contains(&LINK.to_owned()), "{undone:?}");
    assert_eq!(node.text("/data/made/pki/etcd/of-another"), "x");
    assert_eq!(below(&node.everything(), LINK), below(&before, LINK));
    assert_eq!(node.local().undo_open(STATE), Ok(None));
}

#[test]
fn what_was_restarted_is_restarted_again_when_the_directory_is_back() {
    let told = "test -L etc/kubernetes/pki && echo link >>run/log || echo directory >>run/log";
    let run = |script: &str| WriteCommand::Run {
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        timeout_seconds: 60,
    };
    let node = node();
    let mut local = node.begun(&PATHS);
    for order in orders().into_iter().chain([run(told), run(told)]) {
        local.perform(order).unwrap();
    }
    let failing = run("echo tried >>run/log; exit 1");
    assert!(local.perform(failing).is_err());
    drop(local);
    let undone = node.local().undo_open(STATE).unwrap().unwrap();
    assert_eq!(undone.state, VisitState::Undone);
    assert_eq!(node.text("/run/log"), "link\nlink\ntried\ndirectory\ntried\n");
}

#[test]
fn an_undo_after_which_a_program_cannot_be_restarted_needs_a_person() {
    let node = node();
    let before = node.everything();
    let mut local = node.begun(&PATHS);
    for order in orders() {
        local.perform(order).unwrap();
    }
    let argv = ["/bin/sh", "-c", "test -L etc/kubernetes/pki"].map(str::to_owned).to_vec();
    local.perform(WriteCommand::Run { argv, timeout_seconds: 60 }).unwrap();
    let error = local.undo().unwrap_err();
    assert!(error.to_string().contains("All files are back"), "{error}");
    assert_eq!(node.everything(), before);
    assert!(matches!(local.undo(), Err(HostError::UndoFailed { .. })), "undoing again goes on here");
}

#[test]
fn what_others_put_where_a_link_was_is_never_removed() {
    let node = node();
    whole(&mut node.local()).unwrap();
    let mut local = node.begun_as("back", &[LINK]);
    let from = VisitId { run: "7f3a-91c2".to_owned(), visit: 1 };
    local.perform(WriteCommand::Restore { from, path: LINK.to_owned(), with: Vec::new() }).unwrap();
    node.file("/etc/kubernetes/pki/etcd/of-another", "x", 0o600);
    drop(local);
    let undone = node.local().undo_open(STATE).unwrap().unwrap();
    assert_eq!(undone.left, [LINK]);
    assert_eq!(fs::read_link(node.at(LINK)).unwrap(), Path::new(MOVED));
    let left = aside(&node);
    assert_eq!(node.text(&format!("{left}/etcd/of-another")), "x");
    assert!(!node.at(&format!("{left}/a.key")).exists());

    let node = self::node();
    let link = || WriteCommand::MakeLink { path: "/data/link".to_owned(), target: "/data".to_owned() };
    let mut local = node.begun_as("made", &["/data/link"]);
    local.perform(link()).unwrap();
    local.commit().unwrap();
    let mut local = node.begun_as("back", &["/data/link"]);
    let from = VisitId { run: "made".to_owned(), visit: 1 };
    local.perform(WriteCommand::Restore { from, path: "/data/link".to_owned(), with: Vec::new() }).unwrap();
    fs::create_dir(node.at("/data/link")).unwrap();
    node.file("/data/link/of-another", "x", 0o600);
    drop(local);
    assert!(matches!(node.local().undo_open(STATE), Err(HostError::UndoFailed { .. })));
    assert_eq!(node.text("/data/link/of-another"), "x");
}
