//! Leadership is handed on in a real etcd of three members while it is written to, and nobody leads who has not caught up.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::tests::Members;
use super::*;
use crate::agent::Local;
use crate::protocol::facts::{MemberFacts, MemberStatus, Seen};

fn member(follows: Option<u64>, raft_index: u64, is_learner: bool) -> MemberFacts {
    let status = MemberStatus {
        version: "3.4.23".to_owned(),
        leader: follows.map(EtcdId),
        raft_term: 2,
        raft_index,
        raft_applied_index: raft_index,
        database_bytes: 1,
        alarms: Vec::new(),
    };
    MemberFacts {
        name: String::new(),
        peer_urls: Vec::new(),
        client_urls: Vec::new(),
        is_learner,
        status: Seen::Present(status),
    }
}

#[test]
fn whoever_has_come_furthest_leads_next_if_he_follows_and_has_a_vote() {
    let silent =
        MemberFacts { status: Seen::Unknown { reason: "refused".to_owned() }, ..member(Some(1), 0, false) };
    let next = |others: Vec<MemberFacts>| {
        let all = std::iter::once(member(Some(1), 100, false)).chain(others);
        let members = (1..).map(EtcdId).zip(all).collect();
        successor(&EtcdFacts { cluster: EtcdId(7), member: EtcdId(1), members }, 100).map(|id| id.0)
    };
    assert_eq!(next(vec![member(Some(1), 100, false), member(Some(1), 101, false)]), Some(3));
    assert_eq!(next(vec![member(Some(1), 100, false), member(Some(1), 100, false)]), Some(2));
    assert_eq!(next(vec![silent.clone(), member(Some(1), 101, false)]), Some(3));
    // One behind, one without a vote, one that follows another leader or nobody, one that is silent.
    let unfit = [member(Some(1), 99, false), member(Some(1), 200, true), member(Some(3), 200, false), silent];
    for unfit in unfit.into_iter().chain([member(None, 200, false)]) {
        assert_eq!(next(vec![unfit]), None);
    }
    assert_eq!(next(Vec::new()), None);
}

/// Somebody with the certificate of this name.
fn client(members: &Members, certificate: &str) -> EtcdClient {
    let file =
        |ending: &str| members.folder.path().join(format!("{certificate}.{ending}")).display().to_string();
    let tree = Local::new(None, jiff::Timestamp::now).tree().unwrap();
    EtcdClient::prepare(&file("crt"), &file("key"), &tree).unwrap()
}

fn address(members: &Members, index: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], members.ports[index]))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

/// Which member leads, by the word of this one.
fn leader(members: &Members, told_by: usize) -> Option<usize> {
    let etcd = client(members, "member").ask(&[address(members, told_by)], soon()).ok()?;
    let leader = etcd.members.get(&etcd.own_status()?.leader?)?;
    (0..3).find(|index| leader.name == format!("m{index}"))
}

fn leader_that_is_known(members: &Members) -> usize {
    members.ask_until(|etcd| {
        let mut statuses = etcd.members.values().map(|member| member.status.shown());
        statuses.all(|status| status.is_some_and(|status| status.leader.is_some()))
    });
    leader(members, 0).unwrap()
}

/// Writes through these members until it is told to stop, and says how many writes were acknowledged and the longest time without one.
fn write_on(members: &Members, through: &[usize], stop: &AtomicBool) -> (u32, Duration) {
    let urls: Vec<String> =
        through.iter().map(|index| format!("https://{}", address(members, *index))).collect();
    let (mut acknowledged, mut gap, mut last) = (0, Duration::ZERO, Instant::now());
    while !stop.load(Ordering::SeqCst) {
        let mut etcdctl = Command::new("etcdctl");
        etcdctl.env("ETCDCTL_API", "3").current_dir(members.folder.path());
        etcdctl.args(["--endpoints", &urls.join(","), "--command-timeout", "5s"]);
        etcdctl.args(["--cacert", "ca.crt", "--cert", "member.crt", "--key", "member.key"]);
        etcdctl.args(["--insecure-skip-tls-verify", "put", "written", &acknowledged.to_string()]);
        if etcdctl.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success() {
            acknowledged += 1;
            gap = gap.max(last.elapsed());
            last = Instant::now();
        }
    }
    (acknowledged, gap.max(last.elapsed()))
}

#[test]
fn a_leader_hands_on_before_it_dies_and_the_writes_go_on() {
    let Some(mut members) = Members::start() else { return };
    let first = leader_that_is_known(&members);
    let others: Vec<usize> = (0..3).filter(|index| *index != first).collect();
    let stop = AtomicBool::new(false);
    let (acknowledged, gap) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_on(&members, &others, &stop));
        let handed_on = client(&members, "member").hand_on_leadership(address(&members, first), soon());
        assert_eq!(handed_on, Ok(()));
        let next = leader(&members, first).unwrap();
        assert_ne!(next, first);
        // Whoever does not lead is left alone.
        let asked = client(&members, "member").hand_on_leadership(address(&members, first), soon());
        assert_eq!((asked, leader(&members, first)), (Ok(()), Some(next)));
        // A process that does not even say goodbye is missed by nobody once it does not lead.
        let id = rustix::process::Pid::from_child(&members.running[first]);
        rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(leader(&members, others[0]), Some(next), "nobody had to be elected");
        stop.store(true, Ordering::SeqCst);
        writer.join().unwrap()
    });
    assert!(acknowledged > 3, "{acknowledged}");
    // An election takes from one second to two (etcd's default timeout); a busy machine takes part of one for a program that writes.
    assert!(gap < Duration::from_secs(2), "{gap:?} without an acknowledged write, {acknowledged} writes");
    // Two are left: one of them leads, and dies.
    let next = leader(&members, others[0]).unwrap();
    let last = others.iter().copied().find(|other| *other != next).unwrap();
    members.kill(last);
    let short = Instant::now() + Duration::from_secs(3);
    let refused = client(&members, "member").hand_on_leadership(address(&members, next), short);
    // It goes on leading until it notices that nobody follows it, and then nobody leads.
    assert!(
        refused.as_ref().is_ok_and(|()| true)
            || refused.as_ref().is_err_and(|reason| reason == "no other member has caught up in time"),
        "{refused:?}"
    );
    members.kill(next);
    let dead = client(&members, "member").hand_on_leadership(address(&members, next), soon()).unwrap_err();
    assert!(dead.ends_with("Connection refused"), "{dead}");
}

#[test]
fn whoever_is_not_let_in_moves_nothing() {
    let Some(members) = Members::start() else { return };
    let first = leader_that_is_known(&members);
    let refused = client(&members, "stranger").hand_on_leadership(address(&members, first), soon());
    assert!(!refused.unwrap_err().is_empty());
    assert_eq!(leader(&members, first), Some(first));
}
