//! Ways back from the middle of a transaction, and the clock that health checks are.

use crate::trust::topology;
use proptest::prelude::*;

use super::*;
use crate::protocol::health_check::HealthCheck;

use super::faults::{NEW, under_the_new_one};

/// Everybody but the first node's etcd trusts the new authority already.
fn others_trust_both() -> Vec<(&'static str, Vec<(Target, Deed)>)> {
    let trusting =
        |node| (node, vec![bundle("etcd-ca", &["etcd-ca", NEW]), restart("etcd"), restart("kube-apiserver")]);
    vec![trusting("cp-2"), trusting("cp-3")]
}

/// A plan whose visit ends after so many of its actions.
fn cut(plan: &PlanContent, visit: usize, actions: usize) -> PlanContent {
    let mut cut = plan.clone();
    cut.visits.truncate(visit + 1);
    cut.visits[visit].actions.truncate(actions);
    cut
}

#[test]
fn between_two_restarts_of_one_process_the_way_back_is_another_one_than_from_the_end() {
    let identities = ["apiserver-etcd-client", "etcd-healthcheck-client", "etcd-peer", "etcd-server"];
    let plan_with = |more: &[(Target, Deed)]| {
        let mut visits = others_trust_both();
        visits.insert(0, ("cp-1", visits[0].1.clone()));
        for node in NODES {
            visits.push((node, identities.map(|identity| issue(identity, node, under_the_new_one)).to_vec()));
        }
        // The last of the nodes does more in the same visit.
        visits[5].1.extend(more.iter().cloned());
        by_hand(visits)
    };
    let (both, only) = (bundle("etcd-ca", &["etcd-ca", NEW]), bundle("etcd-ca", &[NEW]));
    played(&plan_with(&[])).unwrap();
    played(&plan_with(&[both.clone(), restart("etcd"), both.clone(), restart("etcd")])).unwrap();
    // It drops the old authority and takes it back. On the way forth, and from the end, that is in order.
    let plan = plan_with(&[only, restart("etcd"), both, restart("etcd")]);
    let dropped = plan.visits[5].actions[5].number;
    let (when, _, reason, _) = broken(played(&plan));
    assert_eq!(when, When::WayBack(dropped));
    assert!(reason.starts_with("etcd@cp-3 refuses "), "{reason}");
}

#[test]
fn a_gate_that_has_seen_what_a_poller_serves_ends_its_time_of_doubt() {
    // The API server polls its own certificate each minute; its clients drop the old authority after it has taken up the new certificate.
    let survey = agreement();
    let input = |topology: &Topology, survey: &Survey| {
        let served = &topology.served[&("cp-1".parse().unwrap(), 6443)];
        assert_eq!(survey.desired.nodes.len(), 3);
        topology.inputs[served.0].takes_up
    };
    let topology = topology(&survey.desired, &survey.observed, &BTreeMap::default());
    assert_eq!(input(&topology, &survey), TakesUp::SomeTime(Some(Duration::from_seconds(60))));
    let trusting = |of: &[&str]| {
        NODES.map(|node| (node, vec![bundle("ca", of), restart("kubelet"), restart("kube-apiserver")]))
    };
    let gate = HealthCheck::Serves {
        address: "10.0.0.11".parse().unwrap(),
        port: 6443,
        certificate: "/etc/kubernetes/pki/apiserver.crt".to_owned(),
    };
    let awaits = |gates: &[HealthCheck], settle: u64| {
        let deed = Deed::AwaitHealthy {
            gates: gates.iter().cloned().collect(),
            kept: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            settle: Duration::from_seconds(settle),
            timeout: Duration::from_seconds(90),
        };
        (Target::Service("kube-apiserver".parse().unwrap()), deed)
    };
    let of_first = |waits: (Target, Deed)| {
        let reissue = issue("apiserver", "cp-1", |issue| {
            issue.ip.insert("10.0.0.99".parse().unwrap());
        });
        by_hand(vec![("cp-1", vec![reissue, waits])])
    };
    let states = |plan: &PlanContent| {
        let mut world = ClusterModel::default();
        for (name, answer) in &survey.observed.nodes {
            let disk = Disk::of(answer.facts().unwrap(), &mut world.material);
            world.disks.insert(name.clone(), disk);
        }
        let topology = topology::topology(&survey.desired, &survey.observed, &world.disks);
        let input = topology.served[&("cp-1".parse().unwrap(), 6443)];
        let state = State::new(world, &topology, now(), |_, _| None);
        let mut play = Play::new(state, Watch::default(), BTreeSet::new(), BTreeSet::new(), (0, 0));
        play.wave(&[&plan.visits[0]]);
        play.state.loaded(input).len()
    };
    assert_eq!(states(&of_first(awaits(&[], 5))), 2, "it may have either");
    assert_eq!(states(&of_first(awaits(std::slice::from_ref(&gate), 5))), 1, "it was seen");
    assert_eq!(states(&of_first(awaits(&[], 60))), 1, "its time is over");
    let other = HealthCheck::Serves {
        address: "10.0.0.11".parse().unwrap(),
        port: 6443,
        certificate: "/etc/kubernetes/pki/etcd/server.crt".to_owned(),
    };
    assert_eq!(states(&of_first(awaits(&[other], 5))), 2, "something else was seen");
    assert!(played(&by_hand(trusting(&["ca"]).to_vec())).is_ok());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Bundle(usize),
    Issue(usize, bool),
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_usize).prop_map(Step::Bundle),
        (0..4_usize, any::<bool>()).prop_map(|(identity, new)| Step::Issue(identity, new)),
        (0..2_usize).prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(crate::seeds::cases(96))]

    /// However a visit is made up, a way back that breaks something from anywhere in it is found when the whole visit is played.
    #[test]
    fn no_way_back_is_missed(steps in prop::collection::vec(step(), 2..9)) {
        let identities = ["apiserver-etcd-client", "etcd-healthcheck-client", "etcd-peer", "etcd-server"];
        let deeds: Vec<(Target, Deed)> = steps.iter().map(|step| match step {
            Step::Bundle(of) => bundle("etcd-ca", [&["etcd-ca"][..], &["etcd-ca", NEW], &[NEW]][*of]),
            Step::Issue(identity, new) => issue(identities[*identity], "cp-1", |issue| {
                if *new { under_the_new_one(issue) }
            }),
            Step::Restart(service) => restart(["etcd", "kube-apiserver"][*service]),
        }).collect();
        let mut visits = others_trust_both();
        visits.push(("cp-1", deeds));
        let plan = by_hand(visits);
        let whole = played(&plan);
        for actions in 1..=steps.len() {
            let cut = cut(&plan, 2, actions);
            // What files have to hold at the end of a plan is no matter of its middle.
            let is_found = |found: &Counterexample| !matches!(found, Counterexample::Trust { .. });
            let missed = played(&cut).err().filter(is_found);
            prop_assert!(whole.is_err() || missed.is_none(), "{actions} of {steps:?}: {missed:?}");
        }
    }
}
