//! Faults of a planner, planted: each is found, with the step and the connection. Beside each the plan without the fault, which passes.

use super::*;
use crate::types::place::Place;

/// The authority that stands for a new one.
pub(super) const NEW: &str = "front-proxy-ca";

pub(super) fn under_the_new_one(issue: &mut Issue) {
    let survey = agreement();
    let files = &survey.desired.nodes[&issue.signer].authorities[NEW];
    issue.issuer = Some(*authority(&survey, NEW).fingerprint());
    issue.signer_certificate = files.certificate.path.clone();
    issue.signer_key = files.key.path.clone();
}

/// Old and new are trusted everywhere, then everything shows the new one, then the old one is dropped; `leaves_out` is not restarted after the first.
fn rotation(leaves_out: Option<(&str, &str)>) -> PlanContent {
    let mut visits = Vec::new();
    let trusting = |of: &[&str], node: &str| {
        let mut deeds = vec![bundle("etcd-ca", of)];
        let services = ["etcd", "kube-apiserver"];
        deeds.extend(services.into_iter().filter(|service| leaves_out != Some((service, node))).map(restart));
        deeds
    };
    for node in NODES {
        visits.push((node, trusting(&["etcd-ca", NEW], node)));
    }
    for node in NODES {
        let identities = ["apiserver-etcd-client", "etcd-healthcheck-client", "etcd-peer", "etcd-server"];
        let deeds = identities.map(|identity| issue(identity, node, under_the_new_one)).to_vec();
        visits.push((node, deeds));
    }
    for node in NODES {
        visits.push((node, trusting(&[NEW], node)));
    }
    by_hand(visits)
}

#[test]
fn a_rotation_in_the_right_order_breaks_nothing() {
    let checked = played(&rotation(None)).unwrap();
    assert_eq!(checked.interruptions, []);
    let least: Vec<usize> = checked.least.iter().map(|least| least.least).collect();
    assert_eq!(least, [2, 2], "one member is restarted at a time");
}

#[test]
fn dropping_the_old_authority_before_its_certificates_are_replaced() {
    let mut plan = rotation(None);
    // The third barrier comes before the second.
    let drop = plan.visits.remove(6);
    plan.visits.insert(3, drop);
    let plan = renumbered(plan);
    let step = plan.visits[3].actions[0].number;
    let (when, connection, reason, heals) = broken(played(&plan));
    assert_eq!(
        (when, connection.as_str()),
        (When::Step(step), "etcdctl@cp-1 -> etcd@cp-1:2379"),
        "it reads first"
    );
    assert!(reason.starts_with("etcdctl@cp-1 refuses etcd@cp-1: "), "{reason}");
    assert_eq!(heals, Heals::Step(step_of(&plan, "etcd-server@cp-1")), "until what it is shown is new too");
    // Without programs that read each time, the processes that are restarted with it come next.
    let mut survey = agreement();
    survey.desired.nodes.values_mut().for_each(|node| node.programs.clear());
    let (when, connection, ..) = broken(simulate(&plan, &survey, &Processes::default()));
    assert_eq!((when, connection.as_str()), (When::Step(step + 1), "etcd@cp-1 -> etcd@cp-2:2380"));
}

#[test]
fn a_verifier_that_learns_of_the_new_authority_after_it_is_shown() {
    let mut plan = rotation(None);
    let reissue = plan.visits.remove(4);
    plan.visits.insert(0, reissue);
    let plan = renumbered(plan);
    let step = step_of(&plan, "apiserver-etcd-client@cp-2");
    let (when, connection, reason, heals) = broken(played(&plan));
    assert_eq!((when, connection.as_str()), (When::Step(step), "kube-apiserver@cp-2 -> etcd@cp-2:2379"));
    assert!(reason.contains("signed by CN=front-proxy-ca"), "{reason}");
    let restarts = plan.actions().filter(|action| action.address.to_string() == "svc/kube-apiserver@cp-2");
    let first = restarts.map(|action| action.number).min().unwrap();
    assert_eq!(heals, Heals::Step(first), "the last of its ends that has to know");
}

#[test]
fn something_that_reads_once_and_is_not_restarted() {
    let plan = rotation(Some(("kube-apiserver", "cp-2")));
    let (when, connection, reason, heals) = broken(played(&plan));
    let step = step_of(&plan, "etcd-server@cp-2");
    assert_eq!((when, connection.as_str()), (When::Step(step), "kube-apiserver@cp-2 -> etcd@cp-2:2379"));
    assert!(
        reason.starts_with("kube-apiserver@cp-2 refuses etcd@cp-2: the new certificate of cp-2"),
        "{reason}"
    );
    assert_eq!(heals, Heals::Restart(vec!["kube-apiserver@cp-2".to_owned()]));
}

#[test]
fn what_a_person_is_told_to_restart_is_named_and_is_no_fault() {
    let mut plan = rotation(Some(("kube-apiserver", "cp-2")));
    plan.restart_yourself.push(ManualRestart {
        service: "kube-apiserver".parse().unwrap(),
        nodes: vec!["cp-2".parse().unwrap()],
        reads: vec!["ca/etcd-ca".to_owned()],
        how: "as it was started".to_owned(),
        because: None,
    });
    let step = step_of(&plan, "etcd-server@cp-2");
    let found = played(&plan).unwrap().interruptions;
    let [Interruption::UntilRestarted { connection, step: at, restart, .. }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((connection.as_str(), *at), ("kube-apiserver@cp-2 -> etcd@cp-2:2379", step));
    assert_eq!(*restart, ["kube-apiserver@cp-2"]);
    plan.checked = Some(played(&plan).unwrap());
    let text = crate::output::plan(&plan);
    assert!(
        text.contains("Checked: 1 connection breaks until you restart what is named; etcd 2 of 3 at least"),
        "{text}"
    );
    assert!(
        text.contains(&format!("breaks at step {step}, until you restart kube-apiserver@cp-2\n")),
        "{text}"
    );
}

#[test]
fn a_bundle_in_the_file_that_the_controller_manager_signs_with() {
    let plan = by_hand(vec![("cp-2", vec![bundle("ca", &["ca", NEW])])]);
    let (when, connection, reason, _) = broken(played(&plan));
    assert_eq!((when, connection.as_str()), (When::Step(1), "kube-controller-manager@cp-2, which signs"));
    assert_eq!(reason, "it signs only with exactly one certificate, and its file holds 2");
    assert!(played(&by_hand(vec![("cp-2", vec![bundle("ca", &["ca"])])])).is_ok());
}

#[test]
fn a_peer_certificate_without_its_address() {
    let mut plan = plan_of(&agreement(), &["etcd-peer"]);
    assert!(played(&plan).is_ok());
    for action in plan.visits.iter_mut().flat_map(|visit| &mut visit.actions) {
        if let (Deed::IssueIdentity(issue), "etcd-peer@cp-2") =
            (&mut action.deed, action.address.to_string().as_str())
        {
            issue.ip.remove(&"10.0.0.12".parse().unwrap());
        }
    }
    let step = step_of(&plan, "etcd-peer@cp-2");
    let (when, connection, reason, heals) = broken(played(&plan));
    assert_eq!((when, connection.as_str()), (When::Step(step), "etcd@cp-1 -> etcd@cp-2:2380"));
    assert_eq!(reason, "etcd@cp-1 refuses etcd@cp-2: the new certificate of cp-2 is not for 10.0.0.12");
    assert_eq!(heals, Heals::Never);
}

#[test]
fn two_members_that_are_restarted_together() {
    let plan = by_hand(NODES.map(|node| (node, vec![restart("etcd")])).to_vec());
    let alone = played(&plan).unwrap();
    assert_eq!(alone.least[0].least, 2);
    let visits: Vec<&PlannedTransaction> = plan.visits.iter().collect();
    let together = [vec![visits[0], visits[1]], vec![visits[2]]];
    let found = simulate_waves(&plan, &together, &agreement(), &Processes::default()).unwrap_err();
    let Counterexample::TooFew { when, service, left, of, needed } = &found else { panic!("{found}") };
    assert_eq!((*when, service.as_str(), *left, *of, *needed), (When::Step(2), "etcd", 0, 3, 2));
    assert_eq!(
        found.to_string(),
        "the plan is wrong, so it is not shown: step 2 leaves 0 of 3 etcd, and 2 are needed"
    );
    let accepted = Processes { outage_accepted: true, ..Processes::default() };
    let named = simulate_waves(&plan, &together, &agreement(), &accepted).unwrap().interruptions;
    assert_eq!(named.len(), 2, "{named:?}");
}

#[test]
fn with_a_member_down_the_restart_of_another_one_is_refused_by_name() {
    let plan = by_hand(vec![("cp-1", vec![restart("etcd")])]);
    let down = [("etcd".parse().unwrap(), "cp-3".parse().unwrap())].into();
    let plan =
        check(Draft::by_hand(plan), &agreement(), &Processes { down, ..Processes::default() }).unwrap();
    assert!(!plan.applicable && plan.checked.is_none() && plan.is_as_made());
    let [blocked] = plan.blocked.as_slice() else { panic!("{:?}", plan.blocked) };
    assert_eq!(blocked.address.to_string(), "svc/etcd@cp-1");
    assert_eq!(blocked.because, "step 1 would leave 0 of 3 that work, and 2 are needed");
    assert_eq!(blocked.help.as_deref(), Some("bring back first what of etcd does not work now"));
}

#[test]
fn a_step_in_the_cluster_is_refused_since_nothing_of_the_cluster_is_played() {
    let mut plan = by_hand(vec![("cp-1", vec![bundle("ca", &["ca"])])]);
    played(&plan).unwrap();
    let node = std::mem::replace(&mut plan.visits[0].place, Place::Cluster);
    plan.visits[0].actions[0].address.place = Place::Cluster;
    for place in [Place::Cluster, node] {
        plan.visits[0].place = place;
        let found = played(&plan).unwrap_err();
        let Counterexample::Refused { when, address, reason } = &found else { panic!("{found}") };
        assert_eq!((*when, address.to_string().as_str()), (When::Step(1), "ca/ca"));
        assert!(reason.contains("nothing is simulated"), "{reason}");
    }
    let visits: Vec<&PlannedTransaction> = plan.visits.iter().collect();
    let wave = [vec![visits[0], visits[0]]];
    simulate_waves(&plan, &wave, &agreement(), &Processes::default()).unwrap_err();
    let checked = check(Draft::by_hand(plan), &agreement(), &Processes::default()).unwrap();
    assert!(!checked.applicable && checked.blocked[0].because.contains("step 1 would fail"));
}

#[test]
fn in_a_wave_every_order_is_tried() {
    // One after the other it works: the verifier learns of the new authority first.
    let plan = by_hand(vec![
        ("cp-1", vec![bundle("ca", &["ca", NEW]), restart("kubelet"), restart("kube-apiserver")]),
        ("cp-2", vec![issue("scheduler.conf", "cp-2", under_the_new_one)]),
        ("cp-3", vec![issue("apiserver-kubelet-client", "cp-3", under_the_new_one)]),
    ]);
    let visits: Vec<&PlannedTransaction> = plan.visits.iter().collect();
    let mut desired = agreement();
    // Only the kubelet of the first node is of interest here, and nothing signs.
    for (name, node) in &mut desired.desired.nodes {
        node.services.retain(|service, _| match service.as_str() {
            "kubelet" => name.as_str() == "cp-1",
            "kube-apiserver" => true,
            _ => false,
        });
    }
    for node in desired.desired.nodes.values_mut() {
        node.programs.clear();
    }
    let one_by_one = [vec![visits[0]], vec![visits[2]]];
    // What lies on the other nodes never learns of the new authority, which is another fault than the one looked for here.
    let alone = simulate_waves(&plan, &one_by_one, &desired, &Processes::default());
    assert!(matches!(alone, Ok(_) | Err(Counterexample::Trust { .. })), "{alone:?}");
    let together = [vec![visits[0], visits[2]]];
    let found = simulate_waves(&plan, &together, &desired, &Processes::default());
    let (when, connection, ..) = broken(found);
    assert_eq!(
        (when, connection.as_str()),
        (
            When::Step(step_of(&plan, "apiserver-kubelet-client@cp-3")),
            "kube-apiserver@cp-3 -> kubelet@cp-1:10250"
        )
    );
}

#[test]
fn a_way_back_that_breaks_what_the_way_forth_did_not() {
    let mut visits: Vec<(&str, Vec<(Target, Deed)>)> = Vec::new();
    for node in NODES {
        let deeds = vec![bundle("etcd-ca", &["etcd-ca", NEW]), restart("etcd"), restart("kube-apiserver")];
        visits.push((node, deeds));
    }
    for node in ["cp-2", "cp-3"] {
        let deeds = ["apiserver-etcd-client", "etcd-healthcheck-client", "etcd-peer", "etcd-server"];
        visits.push((node, deeds.map(|identity| issue(identity, node, under_the_new_one)).to_vec()));
    }
    // Reissue and drop in one visit: forth it is in order, but back the old certificate is shown to a process that has dropped its authority.
    let identities = ["apiserver-etcd-client", "etcd-healthcheck-client", "etcd-peer", "etcd-server"];
    let mut last = identities.map(|identity| issue(identity, "cp-1", under_the_new_one)).to_vec();
    last.extend([bundle("etcd-ca", &[NEW]), restart("etcd")]);
    visits.push(("cp-1", last));
    let (when, _, reason, _) = broken(played(&by_hand(visits)));
    assert_eq!(when, When::WayBack(23));
    assert!(reason.starts_with("etcd@cp-1 refuses "), "{reason}");
}

#[test]
fn the_only_member_cannot_be_restarted_without_an_interruption() {
    let mut survey = agreement();
    survey.desired.nodes.retain(|name, _| name.as_str() == "cp-1");
    let plan = by_hand(vec![("cp-1", vec![restart("etcd")])]);
    let checked = simulate(&plan, &survey, &Processes::default()).unwrap();
    let named: Vec<String> = checked.interruptions.iter().map(|one| format!("{one:?}")).collect();
    assert_eq!(named.len(), 1, "{named:?}");
    let text = crate::output::plan(&PlanContent { checked: Some(checked), ..plan });
    assert!(text.contains("Checked: no connection breaks; no process was seen on these nodes"), "{text}");
    assert!(
        text.contains("etcd stands still while step 1 restarts it on cp-1: it is the only one\n"),
        "{text}"
    );
}
