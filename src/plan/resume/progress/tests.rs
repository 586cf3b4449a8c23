//! What makes a plan stale on nodes that run, in pairs: a fact that a decision needed, and its neighbour that decides nothing.

use std::collections::BTreeMap;

use super::*;
use crate::diff::diff;
use crate::plan::restart::health_checks::tests::{facts, plan_at, running, soon};
use crate::protocol::facts::{ClientCertificate, EtcdId, FileFacts, MemberFacts, Probe};
use crate::x509::{Certificate, Sha256};

const CURRENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
const SERVER: &str = "/etc/kubernetes/pki/apiserver.crt";

/// Every certificate is due, and etcd of cp-1 has to be restarted, because it serves another one than lies in its file. Kubelets rotate a certificate of their own.
fn planned() -> (Survey, PlanContent) {
    let mut survey = running(ClientCertificate::Required);
    for node in ["cp-1", "cp-2", "cp-3"] {
        let own = file(&survey, node, "/etc/kubernetes/pki/apiserver-kubelet-client.crt");
        facts(&mut survey, node).files.insert(CURRENT.to_owned(), Seen::Present(own));
    }
    let other = first(&file(&survey, "cp-1", SERVER));
    for endpoint in &mut facts(&mut survey, "cp-1").services.get_mut("etcd").unwrap().endpoints {
        if let Probe::Served(served) = &mut endpoint.probe {
            served.certificate = other.clone();
        }
    }
    let plan = plan_at(&survey, soon());
    let restarts: Vec<String> = plan
        .actions()
        .filter(|action| action.verb() == "restart")
        .map(|action| action.address.to_string())
        .collect();
    assert!(restarts.contains(&"svc/etcd@cp-1".to_owned()), "{restarts:?}");
    (survey, plan)
}

fn file(survey: &Survey, node: &str, path: &str) -> FileFacts {
    survey.observed.nodes[node].facts().unwrap().files[path].shown().unwrap().clone()
}

fn first(file: &FileFacts) -> Certificate {
    file.content.pem().unwrap().certificates[0].clone()
}

/// What has changed under the plan, as it is told.
fn changed(plan: &PlanContent, survey: &Survey) -> Vec<String> {
    let differences = diff(&survey.desired, &survey.observed, soon());
    let standings = standing(plan, survey, &differences);
    let told = standings.changed().into_iter();
    told.map(|one| format!("{} {} was {}, is {}", one.place, one.what, one.was, one.is)).collect()
}

fn members(survey: &mut Survey, node: &str, change: impl FnOnce(&mut BTreeMap<EtcdId, MemberFacts>)) {
    let Seen::Present(etcd) = &mut facts(survey, node).etcd else { panic!("etcd of {node} was not seen") };
    change(&mut etcd.members);
}

#[test]
fn on_nodes_as_they_were_everything_is_still_to_do() {
    let (survey, plan) = planned();
    let standings = standing(&plan, &survey, &diff(&survey.desired, &survey.observed, soon()));
    assert!(
        standings.visits.values().all(|standing| *standing == TransactionProgress::ToDo),
        "{standings:?}"
    );
    assert_eq!(standings.visits.len(), plan.visits.len());
}

#[test]
fn who_leads_etcd_and_how_far_it_is_decides_nothing_and_who_its_members_are_does() {
    let (mut survey, plan) = planned();
    for node in ["cp-1", "cp-2", "cp-3"] {
        members(&mut survey, node, |members| {
            for member in members.values_mut() {
                let Seen::Present(status) = &mut member.status else { panic!("{member:?}") };
                status.leader = Some(EtcdId(3));
                (status.raft_term, status.raft_index, status.raft_applied_index) = (9, 4_000, 4_000);
                status.database_bytes = 1 << 30;
            }
        });
    }
    assert_eq!(changed(&plan, &survey), Vec::<String>::new());
    members(&mut survey, "cp-1", |members| {
        let joined = MemberFacts { name: "cp-4".to_owned(), ..members[&EtcdId(1)].clone() };
        members.insert(EtcdId(4), joined);
    });
    assert_eq!(
        changed(&plan, &survey),
        ["cp-1 the members of etcd was cp-1, cp-2, cp-3, is cp-1, cp-2, cp-3, cp-4"]
    );
}

#[test]
fn a_kubelets_own_rotation_decides_nothing_and_a_certificate_that_is_written_does() {
    let (mut survey, plan) = planned();
    let other = file(&survey, "cp-2", SERVER);
    facts(&mut survey, "cp-1").files.insert(CURRENT.to_owned(), Seen::Present(other.clone()));
    assert_eq!(changed(&plan, &survey), Vec::<String>::new());
    facts(&mut survey, "cp-1").files.insert(SERVER.to_owned(), Seen::Present(other));
    let told = changed(&plan, &survey);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with(&format!("cp-1 {SERVER} was certificate ")), "{told:?}");
}

#[test]
fn a_process_that_was_started_anew_decides_nothing_and_a_kubelet_that_stopped_does() {
    let (mut survey, plan) = planned();
    for endpoint in
        facts(&mut survey, "cp-1").services.values_mut().flat_map(|service| &mut service.endpoints)
    {
        if let Seen::Present(process) = &mut endpoint.process {
            process.pid += 1;
        }
    }
    assert_eq!(changed(&plan, &survey), Vec::<String>::new());
    let kubelet = facts(&mut survey, "cp-1").services.get_mut("kubelet").unwrap();
    let Some(Seen::Present(unit)) = &mut kubelet.unit else { panic!("{kubelet:?}") };
    (unit.active_state, unit.sub_state) = ("inactive".to_owned(), "dead".to_owned());
    assert_eq!(changed(&plan, &survey), ["cp-1 the service kubelet was active, is not active"]);
}

#[test]
fn a_node_that_cannot_be_seen_is_not_stale_and_not_done() {
    let (mut survey, plan) = planned();
    let reason = "no answer in time".to_owned();
    survey.observed.nodes.insert("cp-3".parse().unwrap(), Answer::Unreachable { reason: reason.clone() });
    let standings = standing(&plan, &survey, &diff(&survey.desired, &survey.observed, soon()));
    let of_node = |node: &str| plan.visits.iter().find(|visit| visit.place.as_str() == node).unwrap().number;
    assert_eq!(standings.visits[&of_node("cp-3")], TransactionProgress::Unseen { reason });
    assert_eq!(standings.visits[&of_node("cp-1")], TransactionProgress::ToDo);
}

#[test]
fn what_is_purged_by_itself_is_no_sign_of_the_phases_before_it() {
    let mut survey = running(ClientCertificate::Required);
    let held = Differences::without_findings(&survey.desired, &survey.observed, soon());
    let old = held.authorities()["etcd-ca"].signer().unwrap().fingerprint().to_string();
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.distrust.insert(format!("sha256:{old}"), "INC-2291, key exposed".to_owned());
    let mut plan = plan_at(&survey, soon());
    // The key of one that went before, which only snapshots held when the plan was made.
    for visit in &mut plan.visits {
        for action in &mut visit.actions {
            if let Deed::PurgeSnapshots { fingerprint, key } = &mut action.deed {
                (*fingerprint, *key) = (Sha256::of(b"gone"), Sha256::of(b"its key"));
            }
        }
    }
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts(&mut survey, node).kept_keys = Seen::Present(BTreeMap::new());
    }
    let standings = standing(&plan, &survey, &diff(&survey.desired, &survey.observed, soon()));
    let (mut purges, mut others) = (0, 0);
    for visit in &plan.visits {
        let is_done = standings.visits[&visit.number] == TransactionProgress::Done;
        let count = if visit.phase == Phase::Purge { &mut purges } else { &mut others };
        *count += usize::from(is_done);
    }
    assert_eq!((purges, others), (3, 0), "{standings:?}");
}
