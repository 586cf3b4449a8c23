//! The steps that are taken and those that are not, one by one and on real files.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::PathBuf;

use super::*;
use crate::files::confined::{Outcome, Tree};

const N: u32 = 997;
const OTHER: u32 = 1234;
const ROOT: Trusted = Trusted { serving: 0 };

fn object(kind: Kind, uid: u32, mode: u32) -> Object {
    Object { kind, uid, gid: uid, mode, links: 1, device: 1, has_access_list: false }
}

fn standing(domain: Domain) -> Standing {
    Standing { domain, is_sticky: false, device: 1, after_foreign_link: false }
}

const LAST: Way = Way::Down { is_last: true };
const ON: Way = Way::Down { is_last: false };

fn goes(verdict: Verdict) -> Option<Domain> {
    match verdict {
        Verdict::Go(standing) => Some(standing.domain),
        Verdict::Told(_) | Verdict::Refused => None,
    }
}

#[test]
fn the_owner_and_the_write_bits_of_a_directory_say_who_decides_about_its_names() {
    let cases = [
        (0, 0, 0o755, false, Domain::Trusted),
        (0, 0, 0o775, false, Domain::Trusted),
        (0, 0, 0o775, true, Domain::Anyone),
        (0, 5, 0o775, false, Domain::Anyone),
        (0, 0, 0o757, false, Domain::Anyone),
        (0, 0, 0o1777, false, Domain::Trusted),
        (N, N, 0o755, false, Domain::User(N)),
        (N, N, 0o775, false, Domain::Anyone),
        (N, 0, 0o770, false, Domain::User(N)),
        (N, N, 0o1777, false, Domain::User(N)),
    ];
    for (uid, gid, mode, has_access_list, expected) in cases {
        let met = Object { gid, has_access_list, ..object(Kind::Directory, uid, mode) };
        assert_eq!(met.domain(ROOT).0, expected, "{uid}:{gid} {mode:o} {has_access_list}");
    }
    let own = Trusted { serving: N };
    assert_eq!(
        object(Kind::Directory, N, 0o755).domain(own).0,
        Domain::Trusted,
        "who serves the node is trusted"
    );
}

#[test]
fn out_of_a_foreign_directory_only_what_its_owner_could_have_changed_anyway_is_met() {
    let from = standing(Domain::User(N));
    for purpose in [Purpose::Look, Purpose::Work] {
        let step = |met: Object, way: Way| from.step(&met, way, purpose, ROOT);
        assert_eq!(goes(step(object(Kind::Directory, N, 0o700), ON)), Some(Domain::User(N)));
        assert_eq!(goes(step(object(Kind::Regular, N, 0o600), LAST)), Some(Domain::User(N)));
        assert_eq!(goes(step(object(Kind::Directory, 0, 0o755), ON)), Some(Domain::User(N)), "stays foreign");
        assert_eq!(goes(step(object(Kind::Regular, 0, 0o600), LAST)), Some(Domain::User(N)));
        assert_eq!(goes(step(object(Kind::Directory, N, 0o700), Way::Back)), Some(Domain::User(N)));
        let refused = [
            (object(Kind::Directory, 0, 0o755), Way::Back),
            (object(Kind::Regular, 0, 0o600), ON),
            (Object { links: 2, ..object(Kind::Regular, 0, 0o600) }, LAST),
            (Object { device: 2, ..object(Kind::Directory, 0, 0o755) }, ON),
            (Object { device: 2, ..object(Kind::Directory, N, 0o755) }, ON),
            (object(Kind::Other, 0, 0o600), LAST),
            (object(Kind::Regular, OTHER, 0o600), LAST),
            (object(Kind::Directory, OTHER, 0o755), ON),
            (object(Kind::Link, OTHER, 0o777), LAST),
        ];
        for (met, way) in refused {
            assert_eq!(step(met, way), Verdict::Refused, "{purpose:?}: {met:?} {way:?}");
        }
        let after = Standing { after_foreign_link: true, ..from };
        for met in [object(Kind::Directory, 0, 0o755), object(Kind::Regular, 0, 0o600)] {
            assert_eq!(after.step(&met, LAST, purpose, ROOT), Verdict::Refused, "N's link has led here");
        }
    }
    let link = object(Kind::Link, 0, 0o777);
    assert!(matches!(from.step(&link, LAST, Purpose::Look, ROOT), Verdict::Told(_)));
    assert_eq!(from.step(&link, LAST, Purpose::Work, ROOT), Verdict::Refused);
}

#[test]
fn where_several_users_decide_no_step_is_taken_and_no_name_is_made() {
    let from = standing(Domain::Anyone);
    for purpose in [Purpose::Look, Purpose::Work, Purpose::State] {
        for uid in [0, N] {
            for kind in [Kind::Directory, Kind::Link, Kind::Regular, Kind::Other] {
                assert_eq!(from.step(&object(kind, uid, 0o755), LAST, purpose, ROOT), Verdict::Refused);
            }
        }
        assert!(!from.may_create(purpose));
    }
}

#[test]
fn what_is_kept_is_reached_by_trusted_steps_alone() {
    let from = standing(Domain::Trusted);
    let step = |met: Object| from.step(&met, ON, Purpose::State, ROOT);
    assert_eq!(goes(step(object(Kind::Directory, 0, 0o755))), Some(Domain::Trusted));
    assert_eq!(goes(step(object(Kind::Link, 0, 0o777))), Some(Domain::Trusted));
    assert_eq!(goes(step(object(Kind::Directory, 0, 0o1777))), Some(Domain::Trusted));
    for met in [
        object(Kind::Directory, N, 0o755),
        object(Kind::Directory, 0, 0o757),
        object(Kind::Link, N, 0o777),
        object(Kind::Regular, N, 0o600),
        Object { links: 2, ..object(Kind::Regular, 0, 0o600) },
    ] {
        assert_eq!(step(met), Verdict::Refused, "{met:?}");
    }
    assert!(!standing(Domain::User(N)).may_create(Purpose::State));
}

#[test]
fn in_a_sticky_directory_entries_are_their_owners_and_links_of_others_are_not_followed() {
    let from = Standing { is_sticky: true, ..standing(Domain::Trusted) };
    let step = |met: Object| from.step(&met, ON, Purpose::Work, ROOT);
    assert_eq!(goes(step(object(Kind::Directory, N, 0o700))), Some(Domain::User(N)));
    assert_eq!(goes(step(object(Kind::Directory, 0, 0o700))), Some(Domain::Trusted));
    assert_eq!(goes(step(object(Kind::Link, 0, 0o777))), Some(Domain::Trusted));
    assert_eq!(step(object(Kind::Link, N, 0o777)), Verdict::Refused);
}

/// A tree with directories of another user in it. Only root can make one.
struct World {
    root: tempfile::TempDir,
}

impl World {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let world = Self { root: tempfile::tempdir().unwrap() };
        fs::set_permissions(world.root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (path, uid, mode) in [
            ("/var/lib/etcd", N, 0o700),
            ("/var/lib/etcd/cert", N, 0o700),
            ("/var/lib/etcd/by-root", 0, 0o755),
            ("/etc/kubernetes", 998, 0o755),
            ("/etc/kubernetes/ssl", 0, 0o700),
            ("/etc/kubernetes/manifests", 0, 0o755),
            ("/etc/pki", 0, 0o755),
            ("/etc/shared", 0, 0o775),
            ("/data/etcd", 0, 0o755),
            ("/tmp", 0, 0o1777),
            ("/home/other/n", OTHER, 0o700),
        ] {
            fs::create_dir_all(world.at(path)).unwrap();
            chown(world.at(path), Some(uid), Some(if path == "/etc/shared" { 50 } else { uid })).unwrap();
            fs::set_permissions(world.at(path), fs::Permissions::from_mode(mode)).unwrap();
        }
        for (path, uid) in [
            ("/var/lib/etcd/cert/own.pem", N),
            ("/var/lib/etcd/cert/of-root.pem", 0),
            ("/var/lib/etcd/by-root/ca.pem", 0),
            ("/etc/kubernetes/ssl/ca.key", 0),
            ("/etc/kubernetes/admin.conf", 0),
            ("/etc/kubernetes/manifests/etcd.yaml", 0),
            ("/etc/pki/of-etcd.pem", N),
            ("/etc/shared/of-etcd.pem", N),
            ("/etc/shadow", 0),
            ("/tmp/of-etcd", N),
            ("/home/other/n/file", OTHER),
            ("/data/etcd/a.pem", 0),
        ] {
            fs::write(world.at(path), "x").unwrap();
            chown(world.at(path), Some(uid), Some(uid)).unwrap();
        }
        for (path, target, uid) in [
            ("/var/lib/etcd/cert/to-own", "own.pem", N),
            ("/var/lib/etcd/to-own-by-parent", "cert/../cert/own.pem", N),
            ("/var/lib/etcd/cert/to-shadow", "/etc/shadow", N),
            ("/var/lib/etcd/cert/to-shadow-by-parents", "../../../../etc/shadow", N),
            ("/var/lib/etcd/cert/to-shadow-by-proc", "/proc/self/root/etc/shadow", N),
            ("/var/lib/etcd/cert/to-file-of-root-beside", "of-root.pem", N),
            ("/var/lib/etcd/to-directory-of-root-beside", "by-root", N),
            ("/var/lib/etcd/cert/link-of-root", "/etc/shadow", 0),
            ("/var/lib/etcd/loop", "loop", N),
            ("/etc/pki/link-of-root", "../shadow", 0),
            ("/etc/pki/link-of-etcd", "/etc/shadow", N),
            ("/etc/kubernetes/pki", "ssl", 998),
            ("/var/lib/etcd/declared", "/data/etcd", N),
            ("/var/lib/etcd/exchanged", "/etc", N),
            ("/tmp/link-of-etcd", "of-etcd", N),
        ] {
            symlink(target, world.at(path)).unwrap();
            lchown(world.at(path), Some(uid), Some(uid)).unwrap();
        }
        fs::hard_link(world.at("/etc/shadow"), world.at("/var/lib/etcd/cert/hard-link")).unwrap();
        Some(world)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn tree(&self, root: &str) -> Tree {
        let links = [
            ("/etc/kubernetes/pki".to_owned(), "/etc/kubernetes/ssl".to_owned()),
            ("/var/lib/etcd/declared".to_owned(), "/data/etcd".to_owned()),
            ("/var/lib/etcd/exchanged".to_owned(), "/data/etcd".to_owned()),
        ];
        Tree::open(Some(self.at(root))).unwrap().with_links(&links.into())
    }
}

/// Rows are `(path, where it ends or none where it is refused)`.
#[test]
fn the_layouts_of_real_clusters_are_walked_and_what_their_users_can_do_is_not() {
    let Some(world) = World::new() else { return };
    let rows = [
        ("/var/lib/etcd/cert/own.pem", Some("/var/lib/etcd/cert/own.pem")),
        ("/var/lib/etcd/cert/of-root.pem", Some("/var/lib/etcd/cert/of-root.pem")),
        ("/var/lib/etcd/by-root/ca.pem", Some("/var/lib/etcd/by-root/ca.pem")),
        ("/etc/kubernetes/ssl/ca.key", Some("/etc/kubernetes/ssl/ca.key")),
        ("/etc/kubernetes/admin.conf", Some("/etc/kubernetes/admin.conf")),
        ("/etc/kubernetes/manifests/etcd.yaml", Some("/etc/kubernetes/manifests/etcd.yaml")),
        ("/etc/kubernetes/pki/ca.key", Some("/etc/kubernetes/ssl/ca.key")),
        ("/var/lib/etcd/declared/a.pem", Some("/data/etcd/a.pem")),
        ("/etc/pki/of-etcd.pem", Some("/etc/pki/of-etcd.pem")),
        ("/etc/pki/link-of-root", Some("/etc/shadow")),
        ("/var/lib/etcd/cert/to-own", Some("/var/lib/etcd/cert/own.pem")),
        ("/var/lib/etcd/to-own-by-parent", Some("/var/lib/etcd/cert/own.pem")),
        ("/tmp/of-etcd", Some("/tmp/of-etcd")),
        ("/var/lib/etcd/cert/to-shadow", None),
        ("/var/lib/etcd/cert/to-shadow-by-parents", None),
        ("/var/lib/etcd/cert/to-shadow-by-proc", None),
        ("/var/lib/etcd/cert/to-file-of-root-beside", None),
        ("/var/lib/etcd/to-directory-of-root-beside/ca.pem", None),
        ("/var/lib/etcd/cert/link-of-root", None),
        ("/var/lib/etcd/cert/hard-link", None),
        ("/var/lib/etcd/exchanged/shadow", None),
        ("/etc/pki/link-of-etcd", None),
        ("/etc/shared/of-etcd.pem", None),
        ("/etc/shared/missing", None),
        ("/tmp/link-of-etcd", None),
    ];
    let tree = world.tree("/").for_work();
    for (path, expected) in rows {
        let found = match tree.walk(path).outcome {
            Outcome::Found(found) => Some(found.resolved),
            Outcome::Unsafe(step) => {
                assert!(step.to_string().contains(" of ") || step.to_owner.is_none(), "{path}: {step}");
                None
            }
            other @ (Outcome::Missing { .. }
            | Outcome::Dangling { .. }
            | Outcome::Loop
            | Outcome::Failed(_)) => {
                panic!("{path}: {other:?}")
            }
        };
        assert_eq!(found.as_deref(), expected, "{path}");
    }
    assert!(matches!(tree.walk("/var/lib/etcd/loop").outcome, Outcome::Loop));
    assert!(matches!(tree.walk("/var/lib/etcd/cert/new").outcome, Outcome::Missing { .. }));
    let home = world.tree("/home/other").for_work();
    assert!(matches!(home.walk("/n/file").outcome, Outcome::Found(_)), "the root of a tree is trusted");
}

#[test]
fn a_link_of_root_in_a_foreign_directory_is_looked_through_and_told() {
    let Some(world) = World::new() else { return };
    let Outcome::Found(found) = world.tree("/").walk("/var/lib/etcd/cert/link-of-root").outcome else {
        panic!("not looked through")
    };
    assert_eq!(found.resolved, "/etc/shadow");
    let told = found.told.unwrap();
    assert_eq!(told.to, "/var/lib/etcd/cert/link-of-root");
    let words = told.to_string();
    assert!(words.contains("of root (0)") && words.contains("which user 997 can change"), "{words}");
}

#[test]
fn a_name_is_taken_only_where_no_one_else_could_take_it_for_something_else() {
    let Some(world) = World::new() else { return };
    let tree = world.tree("/").for_work();
    let refused = |path: &str| tree.open_parent(path).is_err();
    for path in [
        "/etc/shared/new",
        "/etc/shared/of-etcd.pem",
        "/var/lib/etcd/cert/hard-link",
        "/etc/pki/link-of-etcd/x",
    ] {
        assert!(refused(path), "{path}");
    }
    for path in [
        "/var/lib/etcd/cert/new",
        "/var/lib/etcd/cert/own.pem",
        "/var/lib/etcd/cert/to-shadow",
        "/etc/pki/new",
    ] {
        assert!(!refused(path), "{path}");
    }
}
