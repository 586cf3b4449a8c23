//! Start in agreement, let the CA of etcd be about to end, look at the plan.

use crate::desired::Decided;
use crate::desired::Survey;
use crate::diff::diff;
use crate::observe::survey::tests::{SPEC, agreement, now};
use crate::plan::{Deed, Input, Options, draft};
use crate::protocol::facts::{Answer, EtcdFacts, EtcdId, MemberFacts, MemberStatus, Seen};
use crate::protocol::file::SpecReference;
use crate::simulate::{Plan, check};
use crate::trust::processes::Processes;
use crate::x509::Sha256;

/// The plan where the member on the node of this number, from 1, leads.
fn plan_where_leads(leader: u64) -> Plan {
    plan_of(ending(leader), &Options::default())
}

/// A cluster whose CA of etcd is about to end.
fn ending(leader: u64) -> Survey {
    let mut survey = agreement();
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.renew_before = Decided::built_in("3650d".parse().unwrap());
    authority.validity = Decided::built_in("20y".parse().unwrap());
    let status = MemberStatus {
        version: "3.5.1".to_owned(),
        leader: Some(EtcdId(leader)),
        raft_term: 2,
        raft_index: 9,
        raft_applied_index: 9,
        database_bytes: 1,
        alarms: Vec::new(),
    };
    let member = MemberFacts {
        name: String::new(),
        peer_urls: Vec::new(),
        client_urls: Vec::new(),
        is_learner: false,
        status: Seen::Present(status),
    };
    for (answer, id) in survey.observed.nodes.values_mut().zip(1..) {
        let Answer::Facts(facts) = answer else { panic!("{answer:?}") };
        let members = (1..=3).map(|id| (EtcdId(id), member.clone())).collect();
        facts.etcd = Seen::Present(EtcdFacts { cluster: EtcdId(7), member: EtcdId(id), members });
    }
    survey
}

fn plan_of(survey: Survey, options: &Options) -> Plan {
    let differences = diff(&survey.desired, &survey.observed, now());
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(SPEC.as_bytes()),
        commit: None,
        files: Default::default(),
    };
    let draft = draft(&Input {
        survey: &survey,
        differences: &differences,
        now: now(),
        spec,
        options,
        signed: &Default::default(),
        place: &|_| None,
    });
    check(draft.unwrap(), &survey, &Processes::of(&survey.observed)).unwrap().in_order()
}

#[test]
fn it_is_made_first_and_not_where_the_leader_is() {
    for (leader, maker) in [(1, "cp-2"), (2, "cp-1"), (3, "cp-1")] {
        let plan = plan_where_leads(leader);
        assert!(plan.applicable);
        let mut made = plan.actions().filter(|action| matches!(action.deed, Deed::ExtendAuthority { .. }));
        assert_eq!(made.next().unwrap().address.place.as_str(), maker, "{leader} leads");
        assert!(made.next().is_none());
        let visits: Vec<&str> = plan.visits.iter().map(|visit| visit.place.as_str()).collect();
        assert_eq!((visits.len(), visits[0]), (3, maker), "{leader} leads");
    }
}

#[test]
fn what_is_missing_on_one_node_is_put_back_before_it_is_extended() {
    for node in ["cp-1", "cp-2"] {
        let mut survey = ending(3);
        let Some(Answer::Facts(facts)) = survey.observed.nodes.get_mut(node) else { panic!("{node}") };
        facts.files.insert("/etc/kubernetes/pki/etcd/ca.crt".to_owned(), Seen::Absent);
        let plan = plan_of(survey, &Options::default());
        let written = plan.actions().filter(|action| action.address.to_string().starts_with("ca/"));
        let written: Vec<(&str, bool)> = written
            .map(|action| (action.address.place.as_str(), matches!(action.deed, Deed::WriteBundle { .. })))
            .collect();
        assert_eq!(written, [(node, true)]);
        let waits = format!("ca/etcd-ca@{node} comes first (missing); the next plan extends etcd-ca");
        assert_eq!(plan.elsewhere.len(), 2);
        assert!(plan.elsewhere.iter().all(|blocked| blocked.because == waits), "{:?}", plan.elsewhere);
    }
}

#[test]
fn who_makes_it_is_one_of_the_nodes_that_get_it() {
    let only = vec!["@cp-2".parse().unwrap()];
    let plan = plan_of(ending(2), &Options { only, ..Options::default() });
    let made = plan.actions().filter(|action| matches!(action.deed, Deed::ExtendAuthority { .. }));
    assert_eq!(made.map(|action| action.address.place.as_str()).collect::<Vec<_>>(), ["cp-2"]);
}
