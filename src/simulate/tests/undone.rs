//! What only an undo breaks bars no plan: it is declared, and asks for more than a yes where the plan brings it.

use super::faults::{NEW, under_the_new_one};
use super::trust::file_of;
use super::*;
use crate::plan::Approval;
use crate::plan::model::checked::UndoRisk;

/// The key of a pair of etcd's on a node is another one's, and the member goes on to serve the good pair at this port.
fn broken_on_disk(identity: &str, node: &str, port: u16) -> (Survey, Processes) {
    let mut survey = agreement();
    let path = |identity: &str, end: &str| format!("/etc/kubernetes/pki/etcd/{identity}.{end}");
    let certificate =
        file_of(&mut survey, node, &path(identity, "crt")).content.pem().unwrap().certificates.clone();
    let other = file_of(&mut survey, node, &path("healthcheck-client", "key")).content.clone();
    file_of(&mut survey, node, &path(identity, "key")).content = other;
    let process = Process { started: None, served: [(port, certificate)].into() };
    let known = [(("etcd".parse().unwrap(), node.parse().unwrap()), process)].into();
    (survey, Processes { known, ..Processes::default() })
}

/// Reissue and drop in one visit of the first node, behind others that trust and show both: only its undo shows the old certificate to who has dropped its CA.
fn only_its_undo_breaks() -> Vec<(&'static str, Vec<(Target, Deed)>)> {
    let identities = ["apiserver-etcd-client", "etcd-healthcheck-client", "etcd-peer", "etcd-server"];
    let reissue = |node| identities.map(|identity| issue(identity, node, under_the_new_one)).to_vec();
    let trust = || vec![bundle("etcd-ca", &["etcd-ca", NEW]), restart("etcd"), restart("kube-apiserver")];
    let mut visits: Vec<(&str, Vec<(Target, Deed)>)> = NODES.map(|node| (node, trust())).to_vec();
    visits.extend(["cp-2", "cp-3"].map(|node| (node, reissue(node))));
    visits.push(("cp-1", [reissue("cp-1"), vec![bundle("etcd-ca", &[NEW]), restart("etcd")]].concat()));
    visits
}

fn checked_of(plan: &Plan) -> &Checked {
    plan.checked.as_ref().unwrap()
}

#[test]
fn a_pair_that_is_broken_on_disk_and_served_from_memory_does_not_bar_its_repair() {
    let (survey, processes) = broken_on_disk("server", "cp-2", 2379);
    let plan = check(Draft::by_hand(plan_of(&survey, &[])), &survey, &processes).unwrap();
    assert!(plan.applicable && plan.summary.renew == 1);
    assert_eq!(checked_of(&plan).interruptions, []);
    let risks = &checked_of(&plan).if_undone;
    assert!(risks.len() > 1, "{risks:?}");
    for risk in risks {
        let UndoRisk::Breaks { node, connection, reason, passing, also_without_plan, .. } = risk else {
            panic!("{risk:?}")
        };
        assert!(node.as_str() == "cp-2" && connection.ends_with(" -> etcd@cp-2:2379"), "{risk:?}");
        assert!(reason.ends_with("does not belong to the key beside it"), "{reason}");
        assert!(*also_without_plan && !passing, "{risk:?}");
    }
    assert_eq!(plan.approval(), Approval::Ordinary, "without the plan it breaks as well");
    let text = crate::output::plan(&plan);
    assert!(text.contains("  Checked: no connection breaks; "), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains(
            "if the changes on cp-2 have to be undone, this breaks: the files on cp-2 do not work now and would be read again; \
             that breaks it without this plan too, sooner or later"
        ),
        "{text}"
    );
    assert!(words.contains("etcd@cp-2 -> etcd@cp-2:2379, if undone after step 3 "), "{text}");
    let json = serde_json::to_value(&plan).unwrap();
    let first = &json["checked"]["ifUndone"][0];
    assert_eq!(
        (first["kind"].as_str(), first["alsoWithoutPlan"].as_bool(), first.get("passing")),
        (Some("breaks"), Some(true), None)
    );
}

#[test]
fn nor_does_one_that_is_repaired_at_the_same_time_as_another() {
    let (survey, processes) = broken_on_disk("peer", "cp-1", 2380);
    let plan = plan_of(&survey, &["etcd-peer@cp-1", "etcd-peer@cp-2"]);
    let visits: Vec<&PlannedTransaction> = plan.visits.iter().collect();
    assert_eq!(visits.len(), 2);
    let found = simulate_waves(&plan, &[visits], &survey, &processes).unwrap();
    assert!(!found.if_undone.is_empty());
    assert!(found.if_undone.iter().all(|risk| risk.node().as_str() == "cp-1"), "{:?}", found.if_undone);
    assert!(found.if_undone.iter().all(UndoRisk::is_also_without_plan), "{:?}", found.if_undone);
}

#[test]
fn a_healthy_cluster_has_nothing_to_declare() {
    let survey = agreement();
    let plan = plan_of(&survey, &["@cp-1", "@cp-2", "@cp-3"]);
    let plan = check(Draft::by_hand(plan), &survey, &Processes::default()).unwrap();
    assert_eq!(checked_of(&plan).if_undone, []);
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["checked"].get("ifUndone"), None);
}

#[test]
fn what_an_undo_breaks_that_works_now_asks_for_the_approval_of_an_outage() {
    let content = by_hand(only_its_undo_breaks());
    let found = counterexamples(&content, &agreement(), &Processes::default());
    assert!(found.iter().any(|fault| matches!(fault.when(), When::WayBack(23))), "still found: {found:?}");
    let plan = check(Draft::by_hand(content), &agreement(), &Processes::default()).unwrap();
    let risks = &checked_of(&plan).if_undone;
    assert!(plan.applicable && !risks.is_empty());
    assert!(
        risks.iter().all(|risk| risk.node().as_str() == "cp-1" && !risk.is_also_without_plan()),
        "{risks:?}"
    );
    let Approval::Upper { name, why } = plan.approval() else { panic!("{risks:?}") };
    assert_eq!(name, "prod-eu1/outage");
    assert_eq!(why, ["if a step or a health check fails, undoing the changes on cp-1 breaks what works now"]);
    let text = crate::output::plan(&plan);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("Needs --confirm prod-eu1/outage"), "{text}");
    assert!(words.contains("it works now and after each step, and the undo itself breaks it"), "{text}");
}

#[test]
fn what_an_undo_breaks_hides_nothing_that_a_later_step_breaks() {
    let mut visits = only_its_undo_breaks();
    let nameless = issue("etcd-peer", "cp-3", |issue| {
        under_the_new_one(issue);
        issue.ip.remove(&"10.0.0.13".parse().unwrap());
    });
    visits.push(("cp-3", vec![nameless]));
    let wrong = check(Draft::by_hand(by_hand(visits)), &agreement(), &Processes::default()).unwrap_err();
    let Counterexample::Broken { when: When::Step(24), connection, .. } = &wrong else { panic!("{wrong}") };
    assert_eq!(connection, "etcd@cp-1 -> etcd@cp-3:2380");
    assert!(
        wrong.to_string().starts_with("the plan is wrong, so it is not shown: step 24 breaks "),
        "{wrong}"
    );
}
