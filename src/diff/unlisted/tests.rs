//! Start in agreement, leave nodes out of the spec, look at who is found outside it.

use super::*;
use crate::desired::Survey;
use crate::diff::diff;
use crate::formats::manifest::ManifestFacts;
use crate::observe::survey::tests::{agreement, now};
use crate::protocol::facts::{Answer, Content, EtcdId, Seen as SeenAt};

/// The cluster of which only these nodes are in the spec.
fn only(nodes: &[&str]) -> Survey {
    let mut survey = agreement();
    survey.desired.nodes.retain(|name, _| nodes.contains(&name.as_str()));
    survey.observed.nodes.retain(|name, _| nodes.contains(&name.as_str()));
    survey
}

fn facts<'a>(survey: &'a mut Survey, node: &str) -> &'a mut NodeFacts {
    match survey.observed.nodes.get_mut(node) {
        Some(Answer::Facts(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

fn member(name: &str, host: &str) -> MemberFacts {
    let url = |port: u16| vec![format!("https://{host}:{port}")];
    MemberFacts {
        name: name.to_owned(),
        peer_urls: url(2380),
        client_urls: if name.is_empty() { Vec::new() } else { url(2379) },
        is_learner: false,
        status: SeenAt::Unknown { reason: "no answer".to_owned() },
    }
}

/// Has the member on a node tell that these are the members, the one of this number itself.
fn tells(survey: &mut Survey, node: &str, own: u64, members: &[(&str, &str)]) {
    let members = members.iter().zip(1..).map(|((name, host), id)| (EtcdId(id), member(name, host)));
    facts(survey, node).etcd =
        SeenAt::Present(EtcdFacts { cluster: EtcdId(7), member: EtcdId(own), members: members.collect() });
}

const ALL: [(&str, &str); 3] = [("cp-1", "10.0.0.11"), ("cp-2", "10.0.0.12"), ("cp-3", "10.0.0.13")];

/// Gives the container of a manifest this flag beside those that it has.
fn flag(survey: &mut Survey, node: &str, program: &str, flag: &str) {
    let path = format!("/etc/kubernetes/manifests/{program}.yaml");
    let text = format!(
        "kind: Pod\nspec:\n  containers:\n  - name: {program}\n    command: [{program}, --name={node}, \"{flag}\"]\n"
    );
    match facts(survey, node).files.get_mut(&path) {
        Some(SeenAt::Present(file)) => file.content = Content::Manifest(ManifestFacts::read(text.as_bytes())),
        other => panic!("{other:?}"),
    }
}

/// The text of the finding, if there is one.
fn found(survey: &Survey) -> Option<String> {
    let differences = diff(&survey.desired, &survey.observed, now());
    let mut all = differences.findings.iter().flat_map(|(address, findings)| {
        findings.iter().map(move |finding| (address, finding.effect, &finding.reason))
    });
    all.find(|(_, _, reason)| matches!(reason, Reason::NotInSpec { .. })).map(|(address, effect, reason)| {
        assert_eq!(effect, crate::diff::Effect::Blocks);
        format!("{address}: {reason}")
    })
}

#[test]
fn members_that_the_list_names_and_the_spec_does_not_are_found() {
    let mut survey = only(&["cp-2"]);
    assert_eq!(found(&survey), None, "its manifest names itself alone, and no member told anything");
    tells(&mut survey, "cp-2", 2, &ALL);
    let said = "svc/etcd@cp-2: etcd has members that are not in this spec: cp-1 (https://10.0.0.11:2380) and cp-3 (https://10.0.0.13:2380) (by its member list)";
    assert_eq!(found(&survey).as_deref(), Some(said));
    let unlisted = unlisted(&survey.desired, &survey.observed);
    assert_eq!((unlisted.count(), unlisted.members_up(&survey.observed)), (2, (2, 0)));
    let way_out = way_out(unlisted.members.as_ref().unwrap(), &survey.desired);
    assert!(way_out.contains("`pki adopt --host 10.0.0.11 --host 10.0.0.12 --host 10.0.0.13`"), "{way_out}");
    let ca = "front-proxy-ca".parse().unwrap();
    assert!(unlisted.holding(&ca).is_some(), "they may run API servers too");
    let mut whole = only(&["cp-1", "cp-2", "cp-3"]);
    tells(&mut whole, "cp-2", 2, &ALL);
    assert_eq!(found(&whole), None);
}

#[test]
fn one_that_has_not_started_and_one_under_a_name_of_another_day_are_told_apart() {
    let mut survey = only(&["cp-2"]);
    tells(&mut survey, "cp-2", 1, &[("infra2", "192.168.7.2"), ("", "10.0.0.14")]);
    let said = found(&survey).unwrap();
    assert!(said.ends_with("not in this spec: https://10.0.0.14:2380 (by its member list)"), "{said}");
}

#[test]
fn nodes_that_were_skipped_or_gave_no_answer_are_in_the_spec() {
    for answer in [Answer::Skipped, Answer::Unreachable { reason: "no route to host".to_owned() }] {
        let mut survey = only(&["cp-1", "cp-2", "cp-3"]);
        // Neither name nor address tells which of them it is.
        let members = [("a", "192.168.7.1"), ("cp-2", "10.0.0.12"), ("c", "192.168.7.3")];
        tells(&mut survey, "cp-2", 2, &members);
        survey.observed.nodes.insert("cp-1".parse().unwrap(), answer.clone());
        survey.observed.nodes.insert("cp-3".parse().unwrap(), answer.clone());
        assert_eq!(found(&survey), None);
        survey.desired.nodes.retain(|name, _| name.as_str() != "cp-3");
        survey.observed.nodes.retain(|name, _| name.as_str() != "cp-3");
        assert!(found(&survey).is_some(), "two members cannot both be the one node that gave no answer");
    }
}

#[test]
fn a_node_of_the_spec_without_the_role_is_named_with_it() {
    let mut survey = only(&["cp-1", "cp-2"]);
    tells(&mut survey, "cp-2", 2, &ALL[..2]);
    let etcd: ServiceName = "etcd".parse().unwrap();
    survey.desired.nodes.get_mut("cp-1").unwrap().services.remove(&etcd);
    let said = found(&survey).unwrap();
    assert!(said.contains("cp-1 (https://10.0.0.11:2380) (the node cp-1, without the role etcd)"), "{said}");
    let unlisted = unlisted(&survey.desired, &survey.observed);
    let way_out = way_out(unlisted.members.as_ref().unwrap(), &survey.desired);
    assert_eq!(way_out, "give cp-1 the role etcd in spec.nodes");
}

#[test]
fn the_first_cluster_of_a_member_counts_until_a_member_tells_who_there_is() {
    let mut survey = only(&["cp-2"]);
    let cluster = "--initial-cluster=cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380";
    flag(&mut survey, "cp-2", "etcd", cluster);
    let said = found(&survey).unwrap();
    let by = "cp-1 (https://10.0.0.11:2380) (by --initial-cluster in /etc/kubernetes/manifests/etcd.yaml)";
    assert!(said.ends_with(by), "{said}");
    tells(&mut survey, "cp-2", 1, &ALL[1..2]);
    assert_eq!(found(&survey), None, "cp-1 has left since");
}

#[test]
fn an_etcd_that_api_servers_call_and_no_node_has_is_found() {
    let mut survey = only(&["cp-2"]);
    let servers = "--etcd-servers=https://127.0.0.1:2379,https://10.0.0.11:2379";
    flag(&mut survey, "cp-2", "kube-apiserver", servers);
    let said = found(&survey).unwrap();
    assert!(
        said.starts_with("svc/kube-apiserver@cp-2: the API server uses etcd where no node of this spec is")
    );
    assert!(said.contains("https://10.0.0.11:2379 (by --etcd-servers in"), "{said}");
}

#[test]
fn an_etcd_all_of_whose_members_are_elsewhere_holds_its_own_ca_only() {
    let mut survey = only(&["cp-2"]);
    flag(&mut survey, "cp-2", "kube-apiserver", "--etcd-servers=https://10.9.9.9:2379");
    let etcd: ServiceName = "etcd".parse().unwrap();
    survey.desired.nodes.get_mut("cp-2").unwrap().services.remove(&etcd);
    assert_eq!(found(&survey), None, "that is no fault");
    let unlisted = unlisted(&survey.desired, &survey.observed);
    assert!(unlisted.external.is_some() && unlisted.members.is_none());
    assert!(unlisted.holding(&"ca".parse().unwrap()).is_none());
}

#[test]
fn hosts_are_compared_as_addresses_and_a_word_of_a_node_is_no_part_of_a_command() {
    assert_eq!(host_of("https://[fd00::1]:2380"), Some("fd00::1"));
    assert_eq!(canonical("FD00:0:0::1"), canonical("fd00::1"));
    let hostile = Outsider { name: None, urls: ["https://$(reboot):2380".to_owned()].into(), node: None };
    assert_eq!(hostile.host(), None);
}
