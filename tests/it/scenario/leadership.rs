//! A member of etcd that leads hands its leadership on before it is restarted: in every phase, and where that fails the run goes on and says so.

use pki::agent::Failure;
use pki::output::schema::Document;
use pki::plan::model::outcome::{Event, Outcome};
use pki::plan::{Deed, Phase};
use pki::simulate::Plan;
use pki::spec::types::EtcdSnapshots;
use serde_json::Value;

use crate::contract::schema::conforms;
use crate::property::members::{Cluster, name, shown};
use crate::scenario::etcd_snapshots::{LEADER, distrusted};

/// The phases and nodes in which etcd is restarted, each with whether its member is asked to hand on right before.
fn restarts(plan: &Plan) -> Vec<(Phase, String, bool)> {
    let mut restarts = Vec::new();
    for visit in &plan.visits {
        for (index, action) in visit.actions.iter().enumerate() {
            if action.restarts().is_some_and(|service| service.as_str() == "etcd") {
                let before = index.checked_sub(1).and_then(|before| visit.actions.get(before));
                let is_asked = before.is_some_and(|before| {
                    before.address == action.address && matches!(before.deed, Deed::MoveLeader { .. })
                });
                restarts.push((visit.phase, visit.place.to_string(), is_asked));
            }
        }
    }
    restarts
}

fn leads(cluster: &Cluster, number: usize) -> bool {
    let observed = cluster.survey().observed;
    let facts = observed.nodes[name(number).as_str()].facts().unwrap();
    let etcd = facts.etcd.shown().unwrap();
    etcd.own_status().unwrap().leader == Some(etcd.member)
}

#[test]
fn in_every_phase_each_member_is_asked_right_before_its_restart_and_the_way_back_asks_too() {
    let cluster = distrusted(EtcdSnapshots::Never, |_, memory| memory);
    let plan = cluster.plan();
    let restarts_there = restarts(&plan);
    let phases: std::collections::BTreeSet<Phase> = restarts_there.iter().map(|(phase, ..)| *phase).collect();
    assert!(phases.len() > 1, "{restarts_there:?}");
    assert!(restarts_there.iter().all(|(.., is_asked)| *is_asked), "{restarts_there:?}");
    let text = pki::output::plan(&plan);
    assert!(text.contains("leadership is moved to another member first"), "{text}");
    assert!(leads(&cluster, LEADER));
    let (report, _) = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Done, "{}", shown(&plan, &report));
    assert!(report.remarks.is_empty() && !leads(&cluster, LEADER));
    // The whole of it cannot be taken back.
    let cluster = distrusted(EtcdSnapshots::Never, |_, memory| memory);
    let plan = cluster.plan_until(Phase::TrustBoth);
    assert_eq!(cluster.apply(&plan).0.outcome, Outcome::Done);
    let back = cluster.way_back(&plan.id);
    let restarts_back = restarts(&back);
    assert!(
        !restarts_back.is_empty() && restarts_back.iter().all(|(.., is_asked)| *is_asked),
        "{restarts_back:?}"
    );
}

#[test]
fn where_leadership_cannot_be_moved_the_member_is_restarted_all_the_same_and_the_report_says_so() {
    let cluster = distrusted(EtcdSnapshots::Never, |number, memory| match number {
        LEADER => memory.failing(Failure::MoveLeader),
        _ => memory,
    });
    let plan = cluster.plan();
    let (report, _) = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Done, "{}", shown(&plan, &report));
    let [(number, words)] = &report.remarks.iter().collect::<Vec<_>>()[..] else {
        panic!("{:?}", report.remarks)
    };
    let action = plan.actions().find(|action| action.number == **number).unwrap();
    assert!(matches!(action.deed, Deed::MoveLeader { .. }) && action.address.place.as_str() == name(LEADER));
    assert!(words.starts_with("etcd's leadership was not moved: "), "{words}");
    for text in [pki::output::report(&plan, &report), pki::output::report_markdown(&plan, &report, 65536)] {
        let line = format!("Note: step {number} on {}: etcd's leadership was not moved", name(LEADER));
        assert!(text.contains(&line), "{text}");
    }
    let line = pki::output::event(&Event::StepRemarks { action, words });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(conforms(Document::Event, &line), Ok(()), "{line}");
    assert_eq!((&line["type"], &line["message"]), (&"remark".into(), &words.as_str().into()));
}
