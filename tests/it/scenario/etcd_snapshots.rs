//! etcd's data is saved before its members are restarted: a cluster in memory whose members say that they follow a leader.

use std::collections::BTreeMap;

use pki::agent::{Failure, Memory};
use pki::output::schema::Document;
use pki::plan::model::outcome::{Event, Outcome, VisitEnd};
use pki::plan::{Deed, Phase};
use pki::protocol::facts::{EtcdFacts, EtcdId, MemberFacts, MemberStatus, Seen};
use pki::protocol::node::Host;
use pki::protocol::snapshots::EtcdSnapshot;
use pki::simulate::Plan;
use pki::spec::types::EtcdSnapshots;
use pki::types::names::NodeName;
use pki::x509::pem;
use serde_json::Value;

use crate::contract::schema::conforms;
use crate::property::members::{Cluster, MADE, Place, etcd, name, shown};
use crate::property::properties::CLOCKS;
use crate::support::program::words;

/// Whose member leads.
pub(super) const LEADER: usize = 1;

/// What the member of a node says: all follow the leader.
fn says(number: usize) -> Seen<EtcdFacts> {
    let id = |number: usize| EtcdId(u64::try_from(number + 1).unwrap());
    let member = |number: usize| MemberFacts {
        name: name(number),
        peer_urls: Vec::new(),
        client_urls: Vec::new(),
        is_learner: false,
        status: Seen::Present(MemberStatus {
            version: "3.5.1".to_owned(),
            leader: Some(id(LEADER)),
            raft_term: 2,
            raft_index: 9,
            raft_applied_index: 9,
            database_bytes: 20480,
            alarms: Vec::new(),
        }),
    };
    let members = (0..3).map(|number| (id(number), member(number))).collect();
    Seen::Present(EtcdFacts { cluster: EtcdId(7), member: id(number), members })
}

/// Three members whose CA the spec distrusts.
pub(super) fn distrusted(policy: EtcdSnapshots, memory: impl Fn(usize, Memory) -> Memory) -> Cluster {
    let made = |number: usize| {
        let made = MADE[&Place::Usual][number].clone().running("etcd".parse().unwrap(), etcd(number));
        memory(number, made.etcd(says(number)))
    };
    let mut cluster = Cluster::new(3, Place::Usual, made, CLOCKS[0]);
    let old = MADE[&Place::Usual][0].bytes("/etc/etcd/pki/ca.crt").unwrap();
    let old = pem::read(old).certificates().next().unwrap().fingerprint().to_string();
    cluster.spec.spec.snapshots.etcd = policy;
    let authority = cluster.spec.spec.authorities.entry("etcd-ca".parse().unwrap()).or_default();
    authority.distrust.insert(format!("sha256:{old}"), "INC-1".to_owned());
    cluster
}

fn kept(cluster: &Cluster) -> BTreeMap<NodeName, Vec<EtcdSnapshot>> {
    let kept = cluster.nodes.iter().map(|(name, node)| (name.clone(), node.etcd_snapshots("").unwrap()));
    kept.filter(|(_, kept)| !kept.is_empty()).collect()
}

fn saves(plan: &Plan) -> usize {
    plan.actions().filter(|action| matches!(action.deed, Deed::SnapshotEtcd { .. })).count()
}

fn restarts(cluster: &Cluster) -> u32 {
    cluster.nodes.values().filter_map(|node| node.memory().is_running("etcd")).sum()
}

#[test]
fn the_leader_saves_its_data_before_the_first_member_is_restarted_and_the_report_says_where() {
    let cluster = distrusted(EtcdSnapshots::default(), |_, memory| memory);
    let plan = cluster.plan();
    assert!(plan.applicable, "{}", pki::output::plan(&plan));
    let before = restarts(&cluster);
    let (report, _) = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Done, "{}", shown(&plan, &report));
    assert!(restarts(&cluster) > before);
    let kept = kept(&cluster);
    assert_eq!(kept.keys().map(NodeName::as_str).collect::<Vec<_>>(), [name(LEADER)]);
    let [snapshot] = &kept.values().next().unwrap()[..] else { panic!("{kept:?}") };
    assert_eq!(report.visits[0].end, VisitEnd::Saved(snapshot.clone()));
    assert_eq!(
        (snapshot.run.as_str(), snapshot.path.as_str()),
        (plan.id.as_str(), &*format!("/var/lib/pki/etcd/{}.db", plan.id))
    );
    let text = pki::output::report(&plan, &report);
    let line = format!(
        "{} phase 1 of 8 (etcd-snapshot): etcd's data saved: revision 1, 40 bytes; no rollback restores it {} sha256 ",
        name(LEADER),
        snapshot.path
    );
    assert!(words(&text).contains(&line), "{text}");
    let ended = Event::VisitEnds { visit: &plan.visits[0], end: &report.visits[0].end };
    let lines: Vec<Value> =
        pki::output::event(&ended).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter().for_each(|line| assert_eq!(conforms(Document::Event, line), Ok(()), "{line}"));
    let [saved, done] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&saved["type"], &saved["path"]), (&"etcd_snapshot".into(), &snapshot.path.clone().into()));
    assert_eq!(
        (&saved["sha256"], &done["end"]),
        (&format!("sha256:{}", snapshot.sha256).into(), &"saved".into())
    );
    let listed = pki::output::etcd_snapshots(&kept);
    assert!(
        listed.starts_with(&plan.id)
            && listed.contains(&snapshot.path)
            && listed.contains(&snapshot.sha256.to_string()),
        "{listed}"
    );
    // Nothing more to do, so nothing to save.
    assert_eq!(saves(&cluster.plan()), 0);
}

#[test]
fn if_the_data_cannot_be_saved_nothing_is_touched_and_the_next_run_begins_with_it_again() {
    let cluster = distrusted(EtcdSnapshots::default(), |number, memory| match number {
        LEADER => memory.failing(Failure::SnapshotEtcd),
        _ => memory,
    });
    let (plan, before, started) = (cluster.plan(), cluster.copies(), restarts(&cluster));
    let (report, _) = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Refused, "{}", shown(&plan, &report));
    assert!(!report.touched() && cluster.is_as(&before) && restarts(&cluster) == started);
    assert!(kept(&cluster).is_empty());
    let text = pki::output::report(&plan, &report);
    assert!(
        text.contains("nothing was touched") && text.contains("step 1 (save the data of svc/etcd)"),
        "{text}"
    );
    // The same plan once more.
    let (report, _) = cluster.apply(&plan);
    assert_eq!((report.outcome, kept(&cluster).len()), (Outcome::Done, 1), "{}", shown(&plan, &report));
}

#[test]
fn never_saves_nothing_and_otherwise_as_many_are_kept_as_the_spec_says() {
    let cluster = distrusted(EtcdSnapshots::Never, |_, memory| memory);
    let plan = cluster.plan();
    assert_eq!((saves(&plan), cluster.apply(&plan).0.outcome), (0, Outcome::Done));
    assert!(kept(&cluster).is_empty());

    let mut cluster = distrusted(EtcdSnapshots::Rotation, |_, memory| memory);
    cluster.spec.spec.snapshots.keep = 2;
    let first = cluster.plan_until(Phase::EtcdSnapshot);
    for _ in 0..3 {
        assert_eq!(cluster.apply(&first).0.outcome, Outcome::Done);
    }
    assert_eq!(kept(&cluster).values().map(Vec::len).collect::<Vec<_>>(), [2]);
}

#[test]
fn the_way_back_restores_no_data_and_saves_it_again_only_where_the_spec_wants_it_before_every_restart() {
    for (policy, saved) in [(EtcdSnapshots::Rotation, 0), (EtcdSnapshots::Always, 1)] {
        let cluster = distrusted(policy, |_, memory| memory);
        let before = cluster.copies();
        let plan = cluster.plan_until(Phase::TrustBoth);
        assert_eq!((saves(&plan), cluster.apply(&plan).0.outcome), (1, Outcome::Done));
        let back = cluster.way_back(&plan.id);
        assert_eq!(saves(&back), saved, "{}", pki::output::plan(&back));
        let (report, _) = cluster.apply(&back);
        assert_eq!(report.outcome, Outcome::Done, "{}", shown(&back, &report));
        assert!(cluster.is_as(&before));
        assert_eq!(kept(&cluster).values().map(Vec::len).sum::<usize>(), 1 + saved);
    }
}
