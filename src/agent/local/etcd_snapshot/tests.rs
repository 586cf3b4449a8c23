//! Snapshots of a real etcd on a real disk: whole or not there, for one user alone, and the latest few.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::agent::probe::etcd::tests::Members;

fn clock() -> Timestamp {
    "2027-11-01T10:00:00.5Z".parse().unwrap()
}

fn later() -> Timestamp {
    "2027-11-02T10:00:00Z".parse().unwrap()
}

/// A node whose files are those of the members.
fn node(members: &Members, clock: fn() -> Timestamp) -> Local {
    Local::new(Some(members.folder.path().to_owned()), clock)
}

fn wanted(members: &Members, run: &str, certificate: &str) -> SnapshotEtcd {
    SnapshotEtcd {
        run: run.to_owned(),
        state_directory: "/state".to_owned(),
        keep: 2,
        address: std::net::SocketAddr::from(([127, 0, 0, 1], members.ports[0])),
        certificate: format!("/{certificate}.crt"),
        key: format!("/{certificate}.key"),
        timeout_seconds: 60,
        links: Default::default(),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("state/etcd")).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_snapshot_is_whole_for_its_owner_alone_and_found_again_by_its_name() {
    let Some(members) = Members::start() else { return };
    members.ask_until(|etcd| etcd.own_status().is_some_and(|own| own.leader.is_some()));
    let folder = members.folder.path();
    std::fs::create_dir(folder.join("run")).unwrap();
    let made = node(&members, clock).snapshot_etcd(&wanted(&members, "7f3a-91c2", "member")).unwrap();
    assert_eq!(made.path, format!("/state/etcd/20271101T100000Z_7f3a-91c2_r{}.db", made.revision));
    let file = folder.join(made.path.trim_start_matches('/'));
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(made.bytes, u64::try_from(bytes.len()).unwrap());
    let (database, digest) = bytes.split_at(bytes.len() - 32);
    assert_eq!((Sha256::of(database), digest), (made.sha256, &made.sha256.as_bytes()[..]));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        [mode(&file), mode(&folder.join("state/etcd")), mode(&folder.join("state"))],
        [0o600, 0o700, 0o700]
    );
    // The fraction of a second is not in the name.
    let mut listed = node(&members, clock).etcd_snapshots("/state").unwrap();
    listed.iter_mut().for_each(|listed| listed.taken_at = clock());
    assert_eq!(listed, [made]);

    // What a crash has left is removed by the next one, what others put there is not, and the latest stay.
    std::fs::write(folder.join("state/etcd/.20271101T090000Z_a_r1.db.new"), b"half").unwrap();
    std::fs::write(folder.join("state/etcd/mine.db"), b"mine").unwrap();
    let mut runs = Vec::new();
    for (run, clock) in [("b", later as fn() -> Timestamp), ("c", later)] {
        node(&members, clock).snapshot_etcd(&wanted(&members, run, "member")).unwrap();
        runs = node(&members, clock)
            .etcd_snapshots("/state")
            .unwrap()
            .into_iter()
            .map(|made| made.run)
            .collect();
    }
    assert_eq!(runs, ["b", "c"]);
    assert_eq!(names(folder).len(), 3, "{:?}", names(folder));
    let removed = node(&members, clock).prune("/state", 1).unwrap();
    assert!(removed.len() == 1 && removed[0].contains("_b_r"), "{removed:?}");
    assert!(names(folder).iter().any(|name| name == "mine.db"));

    // One that fails leaves nothing, and takes nothing away.
    let before = names(folder);
    for (run, certificate) in [("d", "stranger"), ("e", "nobody")] {
        let failed = node(&members, later).snapshot_etcd(&wanted(&members, run, certificate)).unwrap_err();
        assert!(matches!(failed, HostError::EtcdNotSaved { .. }), "{failed}");
        assert_eq!(names(folder), before);
    }
    assert!(node(&members, later).snapshot_etcd(&wanted(&members, "../x", "member")).is_err());
}

#[test]
fn room_is_looked_for_before_the_first_byte_and_some_is_left_for_etcd() {
    let bytes = 100 * 1024 * 1024;
    assert_eq!(check_room("/var/lib/pki/etcd", bytes, bytes + LEFT_FREE), Ok(()));
    let refused = check_room("/var/lib/pki/etcd", bytes, bytes + LEFT_FREE - 1).unwrap_err().to_string();
    assert_eq!(
        refused,
        "PKI3010: a snapshot of etcd's data needs 164 MiB below /var/lib/pki/etcd, and 163 MiB are free there; \
         nothing else was begun. Free some, or declare `snapshots: { etcd: never }`"
    );
    assert!(check_room("/", u64::MAX, u64::MAX - 1).is_err());
}

#[test]
fn only_names_of_our_own_are_snapshots() {
    let time: Timestamp = "2027-11-01T10:00:00Z".parse().unwrap();
    assert_eq!(read_name("20271101T100000Z_7f3a-91c2_r12.db"), Some((time, "7f3a-91c2".to_owned(), 12)));
    for name in [
        "",
        ".db",
        "mine.db",
        "20271101T100000Z_7f3a-91c2_r12",
        "20271101T100000Z_7f3a-91c2_12.db",
        "20271101T100000Z_7f3a-91c2_r12_x.db",
        "20271301T100000Z_7f3a-91c2_r12.db",
        "20271101T100000Z__r12.db",
        "20271101T100000Z_../a_r12.db",
        ".20271101T100000Z_7f3a-91c2_r12.db.new",
    ] {
        assert_eq!(read_name(name), None, "{name}");
    }
}
