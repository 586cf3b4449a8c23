//! Going back is simulated with what the snapshots tell, and what breaks on it is named.

use super::*;
use crate::plan::resume::rollback::tests::back;
use crate::protocol::facts::VisitState;
use crate::protocol::snapshots::{Brief, ChangedPath, FileBrief, SnapshotFacts, VisitId};

const RUN: &str = "7f3a-91c2";

/// What a file of a node tells of itself.
fn brief(path: &str) -> FileBrief {
    let survey = agreement();
    let Answer::Facts(facts) = &survey.observed.nodes["cp-2"] else { panic!() };
    let pem = facts.files[path].shown().unwrap().content.pem().unwrap().clone();
    FileBrief {
        mode: 0o600,
        uid: 0,
        gid: 0,
        size: 1,
        certificates: pem.certificates,
        private_keys: pem.keys.iter().map(|key| key.spki_sha256).collect(),
        ..FileBrief::default()
    }
}

fn changed(path: &str, before: Brief) -> ChangedPath {
    ChangedPath {
        path: path.to_owned(),
        location: path.to_owned(),
        before,
        after: None,
        unchanged_since: true,
    }
}

fn snapshots(paths: Vec<ChangedPath>) -> Snapshots {
    let snapshot = SnapshotFacts {
        id: VisitId { run: RUN.to_owned(), visit: 1 },
        begun_at: now(),
        state: VisitState::Committed,
        note: String::new(),
        purged: Default::default(),
        paths,
    };
    [("cp-2".parse().unwrap(), vec![snapshot])].into()
}

fn restores(paths: &[ChangedPath]) -> PlanContent {
    let restore = |changed: &ChangedPath| {
        let (now, then) = (String::new(), String::new());
        let (path, with) = (changed.path.clone(), Vec::new());
        let deed = Deed::Restore { run: RUN.to_owned(), visit: 1, path, now, then, with };
        (Target::Node, deed)
    };
    by_hand(vec![("cp-2", paths.iter().map(restore).collect())])
}

fn gone_back(paths: Vec<ChangedPath>) -> Plan {
    let plan = restores(&paths);
    check_rollback(Draft::by_hand(plan), &agreement(), &Processes::default(), &snapshots(paths))
}

/// The peer certificate comes back as what lies in these files now.
fn peer(certificate: &str, key: &str) -> Vec<ChangedPath> {
    let pki = "/etc/kubernetes/pki";
    vec![
        changed(&format!("{pki}/etcd/peer.key"), Brief::File(brief(&format!("{pki}/{key}")))),
        changed(&format!("{pki}/etcd/peer.crt"), Brief::File(brief(&format!("{pki}/{certificate}")))),
    ]
}

/// The planner's own way back.
fn planned_back(paths: Vec<ChangedPath>) -> Plan {
    let (survey, snapshots) = (agreement(), snapshots(paths));
    let back = back(&survey, &snapshots);
    check_rollback(back.draft, &survey, &Processes::default(), &snapshots)
}

#[test]
fn another_pair_that_works_comes_back_whole_and_breaks_nothing() {
    // It is in force for the same names, and signed by the same CA, with a key of its own.
    let plan = planned_back(peer("etcd/server.crt", "etcd/server.key"));
    assert_eq!(plan.checked.clone().unwrap().interruptions, []);
    assert_eq!(plan.approval_of_way_back(&[], true), Approval::Ordinary);
}

#[test]
fn the_upper_approval_is_for_what_breaks_and_for_nothing_else() {
    let upper = |plan: &Plan| match plan.approval_of_way_back(&[], true) {
        Approval::Upper { name, why } => Some((name, why)),
        Approval::Ordinary => None,
    };
    let breaks = planned_back(peer("front-proxy-client.crt", "front-proxy-client.key"));
    let found = breaks.checked.clone().unwrap().interruptions.len();
    assert!(found > 1);
    let why = format!("This interrupts {found} things that work now, as the plan says.");
    assert_eq!(upper(&breaks), Some(("prod-eu1/rollback".to_owned(), vec![why])));
    assert_eq!(breaks.approval_of_way_back(&[], false), Approval::Ordinary, "nothing runs that could break");
    // A member of three may be replaced.
    let manifest = "/etc/kubernetes/manifests/etcd.yaml";
    let restarts = planned_back(vec![changed(manifest, Brief::File(brief("/etc/kubernetes/pki/ca.crt")))]);
    assert_eq!((restarts.summary.restart, upper(&restarts)), (1, None));
}

#[test]
fn what_comes_back_and_works_is_said_to_work() {
    let plan = gone_back(peer("etcd/peer.crt", "etcd/peer.key"));
    assert_eq!(plan.checked.clone().unwrap().interruptions, []);
}

#[test]
fn what_comes_back_and_is_refused_is_named_with_its_step_and_reason() {
    let plan = gone_back(peer("front-proxy-client.crt", "front-proxy-client.key"));
    let found = plan.checked.clone().unwrap().interruptions;
    let [Interruption::Breaks { connection, step, reason, .. }, ..] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((connection.as_str(), *step), ("etcd@cp-1 -> etcd@cp-2:2380", 1));
    assert!(reason.starts_with("etcd@cp-1 refuses etcd@cp-2: "), "{reason}");
    assert!(found.iter().all(Interruption::is_outage));
    let text = crate::output::plan(&plan);
    assert!(text.contains("  Checked: 4 connections break; etcd 2 of 3 at least"), "{text}");
    assert!(text.contains("    4 connections break at step 1; nothing in the plan mends it\n"), "{text}");
    assert!(text.contains("        etcd@cp-1 -> etcd@cp-2:2380   etcd@cp-1 refuses etcd@cp-2\n"), "{text}");
}

#[test]
fn connections_that_break_alike_are_told_once_with_their_names() {
    let plan = gone_back(vec![changed("/etc/kubernetes/admin.conf", Brief::Absent)]);
    let found = plan.checked.clone().unwrap().interruptions;
    assert!(found.len() > 2, "{found:?}");
    let text = crate::output::plan(&plan);
    assert_eq!(text.matches(" break at step 1; nothing in the plan mends it").count(), 1, "{text}");
    for one in &found {
        let Interruption::Breaks { connection, .. } = one else { panic!("{one:?}") };
        assert_eq!(text.matches(connection.as_str()).count(), 1, "{text}");
    }
}

#[test]
fn of_what_no_snapshot_tells_nothing_is_claimed() {
    let paths = peer("front-proxy-client.crt", "front-proxy-client.key");
    let plan = check_rollback(
        Draft::by_hand(restores(&paths)),
        &agreement(),
        &Processes::default(),
        &Snapshots::new(),
    );
    assert_eq!(plan.checked.clone().unwrap().interruptions, []);
}

#[test]
fn a_manifest_that_comes_back_is_a_restart() {
    let mut survey = agreement();
    survey.desired.nodes.retain(|name, _| name.as_str() == "cp-2");
    let manifest = "/etc/kubernetes/manifests/etcd.yaml";
    let paths = vec![changed(manifest, Brief::File(brief("/etc/kubernetes/pki/ca.crt")))];
    let plan =
        check_rollback(Draft::by_hand(restores(&paths)), &survey, &Processes::default(), &snapshots(paths));
    let found = plan.checked.clone().unwrap().interruptions;
    let [Interruption::Restart { service, step, of: 1, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((service.as_str(), *step), ("etcd", 1));
}

#[test]
fn what_was_made_goes_and_whoever_needs_it_has_lost_it() {
    let config = "/etc/kubernetes/scheduler.conf";
    let plan = gone_back(vec![changed(config, Brief::Absent)]);
    let found = plan.checked.clone().unwrap().interruptions;
    // A scheduler that runs keeps what it has read.
    assert_eq!(found, []);
    let plan = gone_back(vec![changed("/etc/kubernetes/admin.conf", Brief::Absent)]);
    let found = plan.checked.clone().unwrap().interruptions;
    assert!(found.iter().any(|one| matches!(one, Interruption::Breaks { connection, .. } if connection.starts_with("kubectl@cp-2"))), "{found:?}");
}
