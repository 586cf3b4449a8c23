//! Start with a cluster that runs, have a member restarted, look whether and where etcd's data is saved.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::desired::Survey;
use crate::diff::{Differences, diff};
use crate::observe::survey::tests::now;
use crate::output;
use crate::plan::restart::cold_start::tests::{everything_down, later};
use crate::plan::restart::health_checks::tests::{facts, plan_at, plan_with, running, soon};
use crate::plan::{Dates, Draft, Options, PlanContent, Rest, SavedPlan, TransactionProgress, standing};
use crate::protocol::facts::{ClientCertificate, EtcdId, Seen};
use crate::protocol::file::to_text;
use crate::simulate::check;
use crate::trust::processes::Processes;

const NODES: [&str; 3] = ["cp-1", "cp-2", "cp-3"];

/// Every member follows the one of cp-1.
fn healthy(policy: EtcdSnapshots) -> Survey {
    let mut survey = running(ClientCertificate::Required);
    survey.desired.snapshots.etcd = policy;
    survey
}

/// The CA of etcd has to go.
fn distrusted(policy: EtcdSnapshots) -> Survey {
    let mut survey = healthy(policy);
    let held = Differences::without_findings(&survey.desired, &survey.observed, soon());
    let old = held.authorities()["etcd-ca"].signer().unwrap().fingerprint().to_string();
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.distrust.insert(format!("sha256:{old}"), "INC-2291, key exposed".to_owned());
    survey
}

/// The members have read their CA before its file was written, and have to be restarted.
fn stale(policy: EtcdSnapshots) -> Survey {
    let mut survey = healthy(policy);
    let earlier: Timestamp = soon() - SignedDuration::from_hours(2);
    for node in NODES {
        let found = facts(&mut survey, node);
        for endpoint in &mut found.services.get_mut("etcd").unwrap().endpoints {
            let Seen::Present(process) = &mut endpoint.process else { panic!() };
            process.started = earlier;
        }
        let Some(Seen::Present(file)) = found.files.get_mut("/etc/kubernetes/pki/etcd/ca.crt") else {
            panic!()
        };
        file.modified = soon() - SignedDuration::from_hours(1);
    }
    survey
}

fn lead(survey: &mut Survey, leader: Option<EtcdId>) {
    for node in NODES {
        let Seen::Present(etcd) = &mut facts(survey, node).etcd else { panic!() };
        for member in etcd.members.values_mut() {
            let Seen::Present(status) = &mut member.status else { panic!() };
            status.leader = leader;
        }
    }
}

/// The nodes on which etcd's data is saved.
fn saved_on(plan: &PlanContent) -> Vec<&str> {
    let saves = plan.actions().filter(|action| matches!(action.deed, Deed::SnapshotEtcd { .. }));
    saves.map(|action| action.address.place.as_str()).collect()
}

fn restarts(plan: &PlanContent) -> usize {
    plan.actions()
        .filter(|action| action.restarts().is_some_and(|service| service.as_str() == "etcd"))
        .count()
}

#[test]
fn before_a_ca_is_replaced_the_leader_sends_its_data_and_nothing_comes_before_that() {
    let survey = distrusted(EtcdSnapshots::default());
    let plan =
        check(Draft::by_hand(plan_at(&survey, soon())), &survey, &Processes::of(&survey.observed)).unwrap();
    assert!(plan.applicable && restarts(&plan) > 0);
    let first = &plan.visits[0];
    assert_eq!((first.phase, first.place.as_str(), first.actions.len()), (Phase::EtcdSnapshot, "cp-1", 1));
    assert_eq!(saved_on(&plan), ["cp-1"]);
    let action = &first.actions[0];
    assert_eq!(action.address.to_string(), "svc/etcd@cp-1");
    assert!(action.preconditions.is_empty(), "who leads, and how far, makes no plan stale");
    let expected = Deed::SnapshotEtcd {
        address: "127.0.0.1".parse().unwrap(),
        port: 2379,
        certificate: "/etc/kubernetes/pki/etcd/healthcheck-client.crt".to_owned(),
        key: "/etc/kubernetes/pki/etcd/healthcheck-client.key".to_owned(),
        directory: "/var/lib/pki".to_owned(),
        keep: 10,
        timeout: survey.desired.rollout.timeout,
    };
    assert_eq!(action.deed, expected);
    // It ends with it where the user wants no more.
    let alone = (*plan).clone().until(Phase::EtcdSnapshot).unwrap();
    assert_eq!((alone.visits.len(), restarts(&alone)), (1, 0));
}

#[test]
fn a_plan_says_where_the_data_is_kept_how_it_is_checked_and_that_no_rollback_restores_it() {
    let text = output::plan(&plan_at(&distrusted(EtcdSnapshots::default()), soon()));
    for words in [
        "  + snapshot of svc/etcd @ cp-1\n",
        "the member at 127.0.0.1:2379, before any member is restarted",
        "/var/lib/pki/etcd on this node, mode 0600; the latest 10 stay",
        "the SHA-256 that etcd sends behind it",
        "pki rollback does not restore it; etcdctl snapshot restore does",
        "phase 1 (etcd-snapshot), to save etcd's data before any member is restarted: cp-1",
        "         1  save the data of svc/etcd",
    ] {
        assert!(text.contains(words), "{words}:\n{text}");
    }
}

#[test]
fn another_leader_is_asked_instead_and_where_it_says_nothing_one_of_those_that_follow_it() {
    let mut survey = distrusted(EtcdSnapshots::default());
    lead(&mut survey, Some(EtcdId(2)));
    assert_eq!(saved_on(&plan_at(&survey, soon())), ["cp-2"]);
    let mut survey = stale(EtcdSnapshots::Always);
    lead(&mut survey, Some(EtcdId(2)));
    facts(&mut survey, "cp-2").etcd = Seen::Unknown { reason: "no answer in time".to_owned() };
    assert_eq!(saved_on(&plan_at(&survey, soon())), ["cp-1"]);
    // One without a vote may be far behind.
    let Seen::Present(etcd) = &mut facts(&mut survey, "cp-1").etcd else { panic!() };
    etcd.members.get_mut(&EtcdId(1)).unwrap().is_learner = true;
    assert_eq!(saved_on(&plan_at(&survey, soon())), ["cp-3"]);
}

#[test]
fn the_policy_decides_and_without_a_restart_nothing_is_saved_whatever_it_is() {
    let extended = |policy| {
        let mut survey = healthy(policy);
        survey.desired.authorities.get_mut("etcd-ca").unwrap().renew_before.value = "3650d".parse().unwrap();
        survey
    };
    let [rotation, always, never] = [EtcdSnapshots::Rotation, EtcdSnapshots::Always, EtcdSnapshots::Never];
    for (survey, restarted, saved) in [
        (distrusted(rotation), true, true),
        (distrusted(always), true, true),
        (distrusted(never), true, false),
        (extended(rotation), true, true),
        (extended(never), true, false),
        (stale(rotation), true, false),
        (stale(always), true, true),
        (stale(never), true, false),
        (healthy(always), false, false),
    ] {
        let plan = plan_at(&survey, soon());
        let found = (restarts(&plan) > 0, saved_on(&plan).len());
        assert_eq!(found, (restarted, usize::from(saved)), "{:?}", survey.desired.snapshots.etcd);
        let is_noted = plan.notes.iter().any(|note| note.finding.reason.name() == "EtcdNotSaved");
        assert!(!is_noted);
    }
}

#[test]
fn where_nobody_can_be_asked_the_plan_says_so_and_goes_on_without() {
    for (said, because) in [
        (crate::protocol::facts::NOT_LOOKED, "no client certificate is known"),
        (
            "etcd does not accept the client certificate",
            "no member that could be asked for it follows a leader",
        ),
    ] {
        let mut survey = everything_down();
        survey.desired.snapshots.etcd = EtcdSnapshots::Always;
        NODES
            .iter()
            .for_each(|node| facts(&mut survey, node).etcd = Seen::Unknown { reason: said.to_owned() });
        let plan = plan_at(&survey, later());
        assert!(plan.applicable && saved_on(&plan).is_empty());
        let notes: Vec<String> = plan.notes.iter().map(|note| note.finding.reason.to_string()).collect();
        let saved = "etcd's data is not saved before its members are restarted";
        assert!(notes.iter().any(|note| note.contains(saved) && note.contains(because)), "{notes:?}");
    }
}

#[test]
fn a_saved_plan_is_as_good_when_another_member_leads_and_saves_again_until_all_are_restarted() {
    // No certificate is due: the members are restarted, and nothing else is done.
    let at = |survey: Survey| {
        let mut survey = survey;
        survey.observed.observed_at = now();
        NODES.iter().for_each(|node| facts(&mut survey, node).clock = now());
        survey
    };
    let survey = at(stale(EtcdSnapshots::Always));
    let plan = plan_at(&survey, now());
    assert_eq!((plan.visits.len(), restarts(&plan), saved_on(&plan).len()), (4, 3, 1));
    let told = |survey: &Survey| {
        let differences = diff(&survey.desired, &survey.observed, now());
        standing(&plan, survey, &differences).to_do().collect::<Vec<u32>>()
    };
    assert_eq!(told(&survey), [1, 2, 3, 4]);
    let mut other = survey.clone();
    lead(&mut other, Some(EtcdId(3)));
    assert_eq!(told(&other), [1, 2, 3, 4]);
    // The first of the others was restarted; then all were.
    let restarted = at(healthy(EtcdSnapshots::Always));
    let mut interrupted = survey.clone();
    let name = plan.visits[1].place.as_str();
    let of_restarted = restarted.observed.nodes[name].clone();
    *interrupted.observed.nodes.get_mut(name).unwrap() = of_restarted;
    assert_eq!(told(&interrupted), [1, 3, 4]);
    assert_eq!(told(&restarted), [0; 0]);
}

#[test]
fn another_leader_makes_no_other_plan_of_what_was_saved() {
    for mut survey in [distrusted(EtcdSnapshots::default()), stale(EtcdSnapshots::Always)] {
        let saved = SavedPlan::read(to_text(&plan_at(&survey, soon())).as_bytes()).unwrap();
        assert_eq!(saved.choices().unwrap().leader.as_ref().unwrap().as_str(), "cp-1");
        let third = facts(&mut survey, "cp-3").etcd.shown().unwrap().member;
        lead(&mut survey, Some(third));
        let standings = saved.standing(&survey, &diff(&survey.desired, &survey.observed, soon()));
        let rest = |survey: &Survey, options: &Options| {
            let made = Draft::by_hand(plan_with(survey, soon(), options));
            saved.rest(&standings, made, &survey.desired, Dates::Equal)
        };
        // Of itself the planner would now ask the new leader, and restart it last.
        assert!(rest(&survey, &Options::default()).is_err());
        let again = saved.options_again(&standings);
        let Ok(Rest::Work(made)) = rest(&survey, &again) else { panic!() };
        let made = made.into_planned();
        assert_eq!(saved_on(&made), ["cp-1"]);
        assert_eq!(
            (made.id.as_str(), &made.options),
            (saved.id(), &Options::default()),
            "nothing of it is written"
        );
        // A member that follows nobody is not chosen because a file says so.
        let Seen::Present(etcd) = &mut facts(&mut survey, "cp-1").etcd else { panic!() };
        let own = etcd.member;
        let Seen::Present(status) = &mut etcd.members.get_mut(&own).unwrap().status else { panic!() };
        status.leader = None;
        assert!(rest(&survey, &again).is_err());
    }
}

#[test]
fn a_plan_that_saves_first_is_not_begun_without_that() {
    let mut survey = stale(EtcdSnapshots::Always);
    let saved = SavedPlan::read(to_text(&plan_at(&survey, soon())).as_bytes()).unwrap();
    // By now it would not be saved, and the members are restarted all the same.
    survey.desired.snapshots.etcd = EtcdSnapshots::Never;
    let mut standings = saved.standing(&survey, &diff(&survey.desired, &survey.observed, soon()));
    let again = saved.options_again(&standings);
    let made = plan_with(&survey, soon(), &again);
    assert!(restarts(&made) > 0 && saved_on(&made).is_empty());
    let difference = saved
        .rest(&standings, Draft::by_hand(made.clone()), &survey.desired, Dates::Equal)
        .unwrap_err()
        .to_string();
    assert!(difference.contains("snapshot-etcd"), "{difference}");
    // A run that was interrupted has saved it already.
    let places: Vec<u32> = made.visits.iter().map(|visit| visit.number).collect();
    assert_eq!(places, [1, 2, 3]);
    standings.visits.insert(1, TransactionProgress::Done);
    let Ok(Rest::Work(_)) = saved.rest(&standings, Draft::by_hand(made), &survey.desired, Dates::Equal)
    else {
        panic!()
    };
}
