//! Every trick of a user who owns a directory, on every kind of file in it, before a plan is made and after it was reviewed.
//!
//! Enters: the master of an ACK cluster and a node with certificates of its own, both with directories of the user. Leaves: that nothing outside those directories
//! was written, given away or told, and that whoever was to write says by path why it did not.

use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode};

use super::*;

/// What the user puts in place of a file, or of the directory that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trick {
    Link(&'static str),
    LinkToItself,
    HardLink,
    Fifo,
    Socket,
    Device,
    Directory,
    LinkedParent,
    /// Not the user's own trick: an administrator let others in.
    ParentForAll,
    ParentForGroup,
    StickyParentWithLink,
}

const TRICKS: [Trick; 14] = [
    Trick::Link("/etc/shadow"),
    Trick::Link("../../../../etc/shadow"),
    Trick::Link("/proc/self/root/etc/shadow"),
    // A file that whoever follows it would make.
    Trick::Link("/etc/cron.d/new"),
    Trick::LinkToItself,
    Trick::HardLink,
    Trick::Fifo,
    Trick::Socket,
    Trick::Device,
    Trick::Directory,
    Trick::LinkedParent,
    Trick::ParentForAll,
    Trick::ParentForGroup,
    Trick::StickyParentWithLink,
];

impl Trick {
    /// Plays it on a file of a node; false where this machine does not let it be played.
    fn play(self, root: &Path, path: &str) -> bool {
        let file = root.join(path);
        let parent = file.parent().unwrap();
        let aside = |path: &Path| fs::rename(path, path.with_extension("moved")).unwrap();
        let link = |target: &str| {
            aside(&file);
            symlink(target, &file).unwrap();
            lchown(&file, Some(N), Some(N)).unwrap();
        };
        let open = |mode: u32, gid: u32| {
            lchown(parent, Some(0), Some(gid)).unwrap();
            fs::set_permissions(parent, fs::Permissions::from_mode(mode)).unwrap();
        };
        match self {
            Trick::Link(target) => link(target),
            Trick::LinkToItself => link(file.file_name().unwrap().to_str().unwrap()),
            Trick::HardLink => {
                aside(&file);
                fs::hard_link(root.join("etc/shadow"), &file).unwrap();
            }
            Trick::Fifo => {
                aside(&file);
                rustix::fs::mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
                lchown(&file, Some(N), Some(N)).unwrap();
            }
            Trick::Socket => {
                aside(&file);
                drop(UnixListener::bind(&file).unwrap());
                lchown(&file, Some(N), Some(N)).unwrap();
            }
            Trick::Device => {
                aside(&file);
                let null = rustix::fs::makedev(1, 3);
                let mode = Mode::from_raw_mode(0o666);
                if rustix::fs::mknodat(CWD, &file, FileType::CharacterDevice, mode, null).is_err() {
                    return false;
                }
            }
            Trick::Directory => {
                aside(&file);
                fs::create_dir(&file).unwrap();
                give(&file);
            }
            Trick::LinkedParent => {
                aside(parent);
                symlink("/etc/cron.d", parent).unwrap();
                lchown(parent, Some(N), Some(N)).unwrap();
            }
            Trick::ParentForAll => open(0o777, 0),
            Trick::ParentForGroup => open(0o775, N),
            Trick::StickyParentWithLink => {
                link("/etc/shadow");
                open(0o1777, 0);
            }
        }
        true
    }
}

/// A node of which the user owns a directory, with the spec by which it was made.
struct World {
    name: &'static str,
    /// Its copy, and the folder in which that is its root.
    folder: tempfile::TempDir,
    root: &'static str,
    spec: &'static str,
    /// What is replaced.
    replaced: &'static str,
}

const OWN: &str = "apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: x }
spec:
  profile: custom
  nodes: { n1: { address: 10.0.0.1, roles: [worker], connection: { local: { root: ./r } } } }
  authorities:
    ca: { subject: { commonName: ca }, files: { certificate: /srv/n/ca.crt, key: /srv/n/ca.key, owner: \"etcd:etcd\" }, on: { role: worker } }
  certificates:
    a: { authority: ca, subject: { commonName: a }, usages: [client], files: { certificate: /srv/n/a.crt, key: /srv/n/a.key, owner: \"etcd:etcd\" }, on: { role: worker }, copies: { c: { combined: { path: /srv/n/c.pem, owner: \"etcd:etcd\" } } } }
";

/// The node of the user's own certificates, as the first apply leaves it.
static NODE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::write(at("own.yaml"), OWN).unwrap();
    for directory in ["r/etc/cron.d", "r/etc/kubernetes/pki", "r/run", "r/srv/n"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for file in ["passwd", "group", "shadow"] {
        fs::copy(MASTER.path().join("n/etc").join(file), at("r/etc").join(file)).unwrap();
    }
    give(&at("r/srv/n"));
    // Keys that belong to another user are approved by name.
    assert_eq!(code(&pki(folder.path(), &["plan", "-f", "own.yaml", "-o", "p.json"])), 0);
    let digest = format!("sha256:{}", pki::x509::Sha256::of(&fs::read(at("p.json")).unwrap()));
    let approved = ["apply", "p.json", "--yes", "--expect-digest", &digest, "--confirm", "x/privilege"];
    let made = pki(folder.path(), &approved);
    assert_eq!(code(&made), 0, "{}{}", stdout(&made), stderr(&made));
    folder
});

/// An ACK master, and a node with certificates of its own.
const WORLDS: [fn() -> World; 2] = [
    || World {
        name: "an ACK master",
        folder: copied(&MASTER),
        root: "n",
        spec: "ack.yaml",
        replaced: "etcd-server@n1",
    },
    || World {
        name: "a node with certificates of its own",
        folder: copied(&NODE),
        root: "r",
        spec: "own.yaml",
        replaced: "a@n1",
    },
];

/// The files of each of them that a renewal of what is replaced touches or reads.
const FILES: [&[&str]; 2] = [
    &[
        "var/lib/etcd/cert/etcd-server.pem",
        "var/lib/etcd/cert/etcd-server-key.pem",
        "var/lib/etcd/cert/ca.pem",
        "var/lib/etcd/cert/ca-key.pem",
    ],
    &["srv/n/a.crt", "srv/n/a.key", "srv/n/c.pem", "srv/n/ca.crt", "srv/n/ca.key"],
];

impl World {
    fn root(&self) -> PathBuf {
        self.folder.path().join(self.root)
    }

    fn pki(&self, arguments: &[&str]) -> Output {
        in_time(self.folder.path(), arguments)
    }

    fn sentinels(&self) -> Vec<String> {
        sentinels(&self.root(), &["etc/shadow", "etc/cron.d", "etc/passwd"])
    }

    /// Runs what looks and what writes, with the trick played before, and with it played after the plan was reviewed.
    fn is_safe_from(trick: Trick, number: usize, file: &str) {
        for reviewed_before in [false, true] {
            let world = WORLDS[number]();
            let case = format!("{}: {trick:?} on {file}, reviewed before: {reviewed_before}", world.name);
            if reviewed_before {
                let planned = ["plan", "-f", world.spec, "--replace", world.replaced, "-o", "p.json"];
                assert_eq!(code(&world.pki(&planned)), 0, "{case}");
            }
            if !trick.play(&world.root(), file) {
                continue;
            }
            let before = world.sentinels();
            let calls: &[&[&str]] = if reviewed_before {
                &[&["apply", "p.json", "--yes"]]
            } else {
                &[
                    &["status", "-f", world.spec],
                    &["plan", "-f", world.spec, "--replace", world.replaced],
                    &["apply", "-f", world.spec, "--replace", world.replaced, "--yes"],
                ]
            };
            for arguments in calls {
                let output = world.pki(arguments);
                let text = format!("{}{}", stdout(&output), stderr(&output));
                let case = format!("{case}: {arguments:?}");
                assert_eq!(world.sentinels(), before, "{case}: {text}");
                assert!(!text.contains("canary"), "{case}: {text}");
                let flat: String = text.split_whitespace().collect();
                let parent = file.rsplit_once('/').unwrap().0;
                assert!(flat.contains(&format!("/{parent}")), "{case}: {text}");
                if arguments[0] == "apply" {
                    // A further place that cannot be written to keeps nothing else from being renewed.
                    let is_left = text.contains("Not by this plan: a@n1") && file.ends_with("/c.pem");
                    let codes: &[i32] = if is_left { &[0] } else { &[3, 4] };
                    assert!(codes.contains(&code(&output)), "{case}: {} {text}", code(&output));
                }
            }
        }
    }
}

#[test]
fn no_trick_on_any_file_makes_root_touch_or_tell_what_is_outside() {
    if !is_root() {
        return;
    }
    let mut cases = Vec::new();
    for (number, files) in FILES.iter().enumerate() {
        cases.extend(files.iter().flat_map(|file| TRICKS.map(|trick| (trick, number, *file))));
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((trick, number, file)) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                {
                    World::is_safe_from(*trick, *number, file);
                }
            });
        }
    });
}

/// A directory that is moved elsewhere is moved with everything in it, and only with what is in it.
#[test]
fn what_lies_in_a_directory_that_is_moved_leads_nothing_outside() {
    if !is_root() {
        return;
    }
    let moved = ACK.to_owned()
        + "  directories: { etcd-cert: { path: /data/etcd/cert, link: /var/lib/etcd/cert, migrate: true } }\n";
    let beside = [
        Trick::Link("/etc/shadow"),
        Trick::Link("/etc/cron.d/new"),
        Trick::HardLink,
        Trick::Fifo,
        Trick::Socket,
        Trick::Device,
    ];
    for trick in beside {
        let world = WORLDS[0]();
        fs::write(world.folder.path().join("moved.yaml"), &moved).unwrap();
        fs::create_dir_all(world.root().join("data/etcd")).unwrap();
        fs::write(world.root().join("var/lib/etcd/cert/more"), "").unwrap();
        if !trick.play(&world.root(), "var/lib/etcd/cert/more") {
            continue;
        }
        let before = world.sentinels();
        let output = world.pki(&["apply", "-f", "moved.yaml", "--yes"]);
        let text = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(world.sentinels(), before, "{trick:?}: {text}");
        assert!(!text.contains("canary"), "{trick:?}: {text}");
        let new = world.root().join("data/etcd/cert");
        if code(&output) == 0 {
            // A link goes along as what it is.
            assert!(fs::symlink_metadata(new.join("more")).unwrap().is_symlink(), "{trick:?}: {text}");
        } else {
            assert!(text.contains("/var/lib/etcd/cert"), "{trick:?}: {text}");
            assert!(!new.exists(), "{trick:?}: {text}");
        }
    }
    // A user who can write to where it goes decides what comes there.
    let world = WORLDS[0]();
    fs::write(world.folder.path().join("moved.yaml"), &moved).unwrap();
    fs::create_dir_all(world.root().join("data/etcd")).unwrap();
    symlink("/etc/cron.d", world.root().join("data/etcd/cert")).unwrap();
    give(&world.root().join("data"));
    let before = world.sentinels();
    let output = world.pki(&["apply", "-f", "moved.yaml", "--yes"]);
    let text = format!("{}{}", stdout(&output), stderr(&output));
    assert_eq!(world.sentinels(), before, "{text}");
    assert!(code(&output) != 0 && text.contains("/data/etcd"), "{text}");
}
