//! No path and no link leads out of a tree, and what is there is told apart from what is not.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::*;

/// A directory that stands for a node's `/`, beside a file that no walk may ever reach.
struct World {
    outside: tempfile::TempDir,
}

const CANARY: &str = "outside the root";

impl World {
    fn new() -> Self {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir_all(outside.path().join("root/etc/pki")).unwrap();
        fs::write(outside.path().join("canary"), CANARY).unwrap();
        fs::write(outside.path().join("root/etc/pki/ca.crt"), "inside").unwrap();
        Self { outside }
    }

    fn root(&self) -> PathBuf {
        self.outside.path().join("root")
    }

    fn tree(&self) -> Tree {
        Tree::open(Some(self.root())).unwrap()
    }

    /// The real path of a node path.
    fn at(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    fn link(&self, path: &str, target: impl AsRef<Path>) {
        symlink(target, self.at(path)).unwrap();
    }

    fn canary(&self) -> String {
        self.outside.path().join("canary").to_str().unwrap().to_owned()
    }
}

/// The end of a walk in one line.
fn end(walk: &Walk) -> String {
    match &walk.outcome {
        Outcome::Found(found) => format!("found {}", found.resolved),
        Outcome::Missing { parent, name } => format!("missing {name} in {parent}"),
        Outcome::Dangling { missing } => format!("dangling at {missing}"),
        Outcome::Loop => "loop".to_owned(),
        Outcome::Unsafe(step) => format!("unsafe: {step}"),
        Outcome::Failed(error) => format!("failed: {error}"),
    }
}

fn ends(world: &World, path: &str) -> String {
    end(&world.tree().walk(path))
}

fn content(tree: &Tree, path: &str) -> Result<String, TreeError> {
    let Outcome::Found(found) = tree.walk(path).outcome else { panic!("{path} is not there") };
    tree.read(&found, 1 << 20).map(|(bytes, _)| String::from_utf8(bytes.to_vec()).unwrap())
}

fn hops(walk: &Walk) -> Vec<(&str, &str)> {
    walk.hops.iter().map(|hop| (hop.path.as_str(), hop.target.as_str())).collect()
}

#[test]
fn a_plain_path_is_found_with_its_metadata() {
    let world = World::new();
    fs::set_permissions(world.at("/etc/pki/ca.crt"), fs::Permissions::from_mode(0o640)).unwrap();
    let walk = world.tree().walk("/etc/pki/ca.crt");
    assert_eq!((end(&walk).as_str(), hops(&walk)), ("found /etc/pki/ca.crt", vec![]));
    let Outcome::Found(found) = walk.outcome else { panic!() };
    assert_eq!((found.status.kind, found.status.mode, found.status.size), (FileKind::Regular, 0o640, 6));
    let place = found.place.unwrap();
    assert_eq!((place.path.as_str(), place.name.to_str()), ("/etc/pki", Some("ca.crt")));
    assert_eq!(content(&world.tree(), "/etc/pki/ca.crt").unwrap(), "inside");
}

#[test]
fn odd_spellings_of_a_path_are_one_path() {
    let world = World::new();
    for path in ["//etc///pki/ca.crt", "/etc/./pki/ca.crt", "/etc/pki/../pki/ca.crt", "/../../etc/pki/ca.crt"]
    {
        assert_eq!(ends(&world, path), "found /etc/pki/ca.crt", "{path}");
    }
    for path in ["/etc/pki", "/etc/pki/", "/etc/pki/."] {
        assert_eq!(ends(&world, path), "found /etc/pki", "{path}");
    }
    assert_eq!(ends(&world, "/"), "found /");
    assert_eq!(ends(&world, "/.."), "found /");
}

#[test]
fn paths_that_are_no_paths_are_refused() {
    let world = World::new();
    assert_eq!(ends(&world, "etc/pki"), "failed: \"etc/pki\" is not an absolute path");
    assert_eq!(ends(&world, ""), "failed: \"\" is not an absolute path");
    assert_eq!(ends(&world, "/etc\0/pki"), "failed: \"/etc\\0/pki\" has a NUL byte in it");
    assert_eq!(ends(&world, &"/a".repeat(3000)), "failed: the path is 6000 bytes long, more than 4095");
    assert_eq!(
        ends(&world, &format!("/{}", "n".repeat(300))),
        format!("failed: /{}: File name too long", "n".repeat(300))
    );
    assert_eq!(ends(&world, "/etc/pki/ca.crt/"), "failed: /etc/pki/ca.crt is not a directory");
    assert_eq!(ends(&world, "/etc/pki/ca.crt/x"), "failed: /etc/pki/ca.crt is not a directory");
    assert_eq!(ends(&world, "/etc/pki/ca.crt/.."), "failed: /etc/pki/ca.crt is not a directory");
}

#[test]
fn a_missing_path_names_the_deepest_directory_that_exists() {
    let world = World::new();
    assert_eq!(ends(&world, "/etc/pki/etcd/ca.crt"), "missing etcd in /etc/pki");
    assert_eq!(ends(&world, "/nothing"), "missing nothing in /");
}

#[test]
fn links_are_followed_and_recorded_hop_by_hop() {
    let world = World::new();
    fs::create_dir_all(world.at("/data/etcd/cert")).unwrap();
    fs::create_dir_all(world.at("/var/lib/etcd")).unwrap();
    fs::write(world.at("/data/etcd/cert/ca.pem"), "moved").unwrap();
    world.link("/var/lib/etcd/cert", "/data/etcd/current");
    world.link("/data/etcd/current", "cert");
    let walk = world.tree().walk("/var/lib/etcd/cert/ca.pem");
    assert_eq!(end(&walk), "found /data/etcd/cert/ca.pem");
    assert_eq!(hops(&walk), [("/var/lib/etcd/cert", "/data/etcd/current"), ("/data/etcd/current", "cert")]);
    assert_eq!(content(&world.tree(), "/var/lib/etcd/cert/ca.pem").unwrap(), "moved");
}

#[test]
fn a_missing_file_behind_a_sound_link_is_missing_and_one_behind_a_broken_link_dangles() {
    let world = World::new();
    fs::create_dir_all(world.at("/data/cert")).unwrap();
    world.link("/etc/sound", "/data/cert");
    world.link("/etc/broken", "../gone/cert");
    world.link("/etc/second", "broken");
    assert_eq!(ends(&world, "/etc/sound/ca.pem"), "missing ca.pem in /data/cert");
    assert_eq!(ends(&world, "/etc/broken/ca.pem"), "dangling at /gone");
    assert_eq!(ends(&world, "/etc/broken"), "dangling at /gone");
    let walk = world.tree().walk("/etc/second");
    assert_eq!(end(&walk), "dangling at /gone");
    assert_eq!(hops(&walk), [("/etc/second", "broken"), ("/etc/broken", "../gone/cert")]);
}

#[test]
fn loops_end() {
    let world = World::new();
    world.link("/etc/self", "self");
    world.link("/etc/a", "b");
    world.link("/etc/b", "/etc/a");
    for path in ["/etc/self", "/etc/a", "/etc/a/x"] {
        let walk = world.tree().walk(path);
        assert_eq!((end(&walk).as_str(), walk.hops.len()), ("loop", 40), "{path}");
    }
}

#[test]
fn forty_links_are_followed_and_one_more_is_a_loop() {
    let world = World::new();
    world.link("/link0", "etc/pki/ca.crt");
    for number in 1..=40 {
        world.link(&format!("/link{number}"), format!("link{}", number - 1));
    }
    assert_eq!(ends(&world, "/link39"), "found /etc/pki/ca.crt");
    assert_eq!(ends(&world, "/link40"), "loop");
}

#[test]
fn no_link_and_no_dots_lead_outside_the_root() {
    let world = World::new();
    let canary = world.canary();
    world.link("/etc/absolute", &canary);
    world.link("/etc/climbing", format!("../../../../../../../../../..{canary}"));
    world.link("/etc/up", "../../canary");
    world.link("/etc/directory", world.outside.path());
    for path in ["/etc/absolute", "/etc/climbing", "/etc/up", "/etc/directory/canary"] {
        assert!(ends(&world, path).starts_with("dangling at /"), "{path}: {}", ends(&world, path));
    }
    assert_eq!(ends(&world, "/../canary"), "missing canary in /");
    assert_eq!(ends(&world, "/etc/pki/../../../canary"), "missing canary in /");
    // The same absolute target inside the root is what the link means there.
    fs::create_dir_all(world.at(&canary).parent().unwrap()).unwrap();
    fs::write(world.at(&canary), "the node's own").unwrap();
    assert_eq!(content(&world.tree(), "/etc/absolute").unwrap(), "the node's own");
}

#[test]
fn dots_after_a_link_go_up_from_where_it_leads() {
    let world = World::new();
    fs::create_dir_all(world.at("/data/deep/cert")).unwrap();
    world.link("/etc/cert", "/data/deep/cert");
    assert_eq!(ends(&world, "/etc/cert/.."), "found /data/deep");
}

#[test]
fn links_of_proc_are_text_and_no_doors() {
    // The kernel jumps through these links wherever they point; a walk takes them for the path they print.
    let outside = tempfile::tempdir().unwrap();
    let tree = Tree::open(Some("/proc/self".into())).unwrap();
    let walk = tree.walk("/cwd/Cargo.toml");
    assert!(end(&walk).starts_with("dangling at /"), "{}", end(&walk));
    drop(outside);
}

#[test]
fn without_a_root_the_machine_itself_is_walked() {
    let world = World::new();
    let tree = Tree::open(None).unwrap();
    assert_eq!(content(&tree, &world.canary()).unwrap(), CANARY);
}

#[test]
fn a_root_that_is_missing_or_a_file_is_an_error() {
    let world = World::new();
    let error = Tree::open(Some(world.at("/gone"))).unwrap_err().to_string();
    assert!(error.ends_with("cannot be opened: No such file or directory"), "{error}");
    let error = Tree::open(Some(world.at("/etc/pki/ca.crt"))).unwrap_err().to_string();
    assert!(error.ends_with("cannot be opened: Not a directory"), "{error}");
}

#[test]
fn only_regular_files_of_bounded_size_are_read() {
    let world = World::new();
    let fifo = world.at("/etc/fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from(0o600), 0).unwrap();
    File::create(world.at("/etc/huge")).unwrap().set_len(1 << 40).unwrap();
    let tree = world.tree();
    let refusal = |path: &str| content(&tree, path).unwrap_err().to_string();
    assert_eq!(refusal("/etc/fifo"), "/etc/fifo is not a regular file");
    assert_eq!(refusal("/etc"), "/etc is not a regular file");
    assert_eq!(refusal("/"), "/ is not a regular file");
    assert_eq!(refusal("/etc/huge"), "/etc/huge is larger than 1048576 bytes");
    fs::write(world.at("/etc/empty"), "").unwrap();
    assert_eq!(content(&tree, "/etc/empty").unwrap(), "");
}

#[test]
fn a_file_replaced_between_walk_and_read_is_reread_or_refused_never_mixed() {
    let world = World::new();
    let tree = world.tree();
    let Outcome::Found(found) = tree.walk("/etc/pki/ca.crt").outcome else { panic!() };
    fs::remove_file(world.at("/etc/pki/ca.crt")).unwrap();
    let changed = TreeError::Changed { path: "/etc/pki/ca.crt".into() };
    assert_eq!(tree.read(&found, 100).unwrap_err(), changed);
    world.link("/etc/pki/ca.crt", world.canary());
    assert_eq!(tree.read(&found, 100).unwrap_err(), changed);
    fs::remove_file(world.at("/etc/pki/ca.crt")).unwrap();
    rustix::fs::mknodat(CWD, world.at("/etc/pki/ca.crt"), FileType::Fifo, Mode::from(0o600), 0).unwrap();
    assert_eq!(tree.read(&found, 100).unwrap_err(), changed);
    fs::remove_file(world.at("/etc/pki/ca.crt")).unwrap();
    fs::write(world.at("/etc/pki/ca.crt"), "the next one").unwrap();
    let (bytes, status) = tree.read(&found, 100).unwrap();
    assert_eq!((bytes.as_slice(), status.size), (b"the next one".as_slice(), 12));
}

#[test]
fn directories_are_listed_sorted_and_bounded() {
    let world = World::new();
    for name in ["c", "a", "b"] {
        fs::write(world.at("/etc/pki").join(name), "").unwrap();
    }
    let tree = world.tree();
    let Outcome::Found(found) = tree.walk("/etc/pki").outcome else { panic!() };
    let all = tree.list(&found, 100).unwrap();
    assert_eq!((all.names.join(" ").as_str(), all.complete), ("a b c ca.crt", true));
    let some = tree.list(&found, 2).unwrap();
    assert_eq!((some.names.len(), some.complete), (2, false));
    let Outcome::Found(file) = tree.walk("/etc/pki/a").outcome else { panic!() };
    assert_eq!(tree.list(&file, 2).unwrap_err(), TreeError::NotADirectory { path: "/etc/pki/a".into() });
}

#[test]
fn a_chain_of_links_through_very_many_directories_is_refused() {
    let world = World::new();
    fs::create_dir_all(world.at(&"/d".repeat(130))).unwrap();
    assert_eq!(ends(&world, &"/d".repeat(130)), "failed: the path leads through more than 128 directories");
}

#[test]
fn unreadable_is_not_missing() {
    let world = World::new();
    fs::set_permissions(world.at("/etc/pki"), fs::Permissions::from_mode(0o000)).unwrap();
    let end = ends(&world, "/etc/pki/ca.crt");
    // Root may pass every directory, so as root the walk succeeds.
    let expected = if rustix::process::geteuid().is_root() {
        "found /etc/pki/ca.crt"
    } else {
        "failed: /etc/pki/ca.crt: Permission denied"
    };
    assert_eq!(end, expected);
    fs::set_permissions(world.at("/etc/pki"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_parent_of_a_name_is_opened_whatever_the_name_is() {
    let world = World::new();
    world.link("/etc/link", "/nowhere");
    world.link("/moved", "etc/pki");
    let tree = world.tree();
    let place =
        |path: &str| tree.open_parent(path).map(|place| (place.path, place.name.into_string().unwrap()));
    let at = |path: &str, name: &str| Ok((path.to_owned(), name.to_owned()));
    assert_eq!(place("/etc/pki/ca.crt"), at("/etc/pki", "ca.crt"));
    assert_eq!(place("/etc/pki/new.crt"), at("/etc/pki", "new.crt"));
    assert_eq!(place("/etc/link"), at("/etc", "link"));
    assert_eq!(place("/moved/new.crt"), at("/etc/pki", "new.crt"));
    assert_eq!(place("/etc/pki/"), at("/etc", "pki"));
    assert_eq!(place("/new"), at("/", "new"));
    assert_eq!(place("/gone/new"), Err(TreeError::NoParent { missing: "/gone".into() }));
    assert_eq!(place("/etc/link/new"), Err(TreeError::DanglingParent { missing: "/nowhere".into() }));
    assert_eq!(
        place("/etc/pki/ca.crt/new"),
        Err(TreeError::NotADirectory { path: "/etc/pki/ca.crt".into() })
    );
    for path in ["/", "/.", "/etc/..", "/etc/../"] {
        assert_eq!(place(path), Err(TreeError::NoName { path: path.into() }), "{path}");
    }
}

#[test]
fn swapping_a_directory_for_a_link_while_walking_never_leads_outside() {
    let world = World::new();
    fs::create_dir_all(world.at("/spare")).unwrap();
    fs::write(world.at("/spare/canary"), "inside").unwrap();
    // Two links to where the canary lies: by an absolute path, and by climbing.
    world.link("/escape", world.outside.path());
    fs::create_dir_all(world.at("/sub")).unwrap();
    let done = AtomicBool::new(false);
    let swaps = AtomicU32::new(0);
    let tree = world.tree();
    let mut walks = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let target = world.at("/sub/swapped");
            let climbing = world.at("/sub/climbing");
            symlink("../../", &climbing).unwrap();
            while !done.load(Ordering::Relaxed) {
                for other in [world.at("/escape"), climbing.clone()] {
                    fs::rename(world.at("/spare"), &target).unwrap();
                    fs::rename(&target, world.at("/spare")).unwrap();
                    fs::rename(&other, &target).unwrap();
                    fs::rename(&target, &other).unwrap();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        while walks < 2_000 || swaps.load(Ordering::Relaxed) < 500 {
            walks += 1;
            for path in ["/sub/swapped/canary", "/sub/swapped/../canary", "/sub/swapped/../../canary"] {
                let Outcome::Found(found) = tree.walk(path).outcome else { continue };
                if let Ok((bytes, _)) = tree.read(&found, 100) {
                    assert_eq!(bytes.as_slice(), b"inside");
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}
