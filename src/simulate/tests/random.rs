//! Whatever is lost, renewed and restarted in a cluster, the planner's plan breaks nothing that it does not name.

use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use super::*;
use crate::protocol::facts::Seen;
use crate::spec::types::Restart;

const SERVICES: [&str; 5] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"];

const LOST: [&str; 9] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/pki/apiserver.crt",
    "/etc/kubernetes/pki/apiserver.key",
    "/etc/kubernetes/pki/ca.crt",
    "/etc/kubernetes/pki/front-proxy-client.crt",
    "/etc/kubernetes/pki/etcd/ca.crt",
    "/etc/kubernetes/pki/etcd/peer.crt",
    "/etc/kubernetes/pki/etcd/server.key",
];

const RENEWED: [&str; 8] = [
    "admin.conf",
    "apiserver",
    "apiserver-etcd-client",
    "apiserver-kubelet-client",
    "controller-manager.conf",
    "etcd-peer",
    "etcd-server",
    "scheduler.conf",
];

fn random(nodes: &[&str], restarted: &[&str], lost: &[(Index, Index)]) -> Survey {
    let mut survey = agreement();
    survey.desired.nodes.retain(|name, _| nodes.contains(&name.as_str()));
    survey.observed.nodes.retain(|name, _| nodes.contains(&name.as_str()));
    for service in survey.desired.nodes.values_mut().flat_map(|node| &mut node.services) {
        if restarted.contains(&service.0.as_str()) {
            let command = Some(vec!["/usr/local/bin/restart".to_owned(), service.0.to_string()]);
            service.1.restart = Some(Restart { systemd: None, static_pod: None, command });
        }
    }
    for (node, path) in lost {
        let Answer::Facts(facts) = survey.observed.nodes.get_mut(*node.get(nodes)).unwrap() else { panic!() };
        facts.files.insert((*path.get(&LOST)).to_owned(), Seen::Absent);
    }
    survey
}

proptest! {
    #![proptest_config(crate::seeds::cases(64))]

    #[test]
    fn no_plan_breaks_what_it_does_not_name(
        nodes in subsequence(NODES.to_vec(), 1..=3),
        restarted in subsequence(SERVICES.to_vec(), 0..=5),
        renewed in subsequence(RENEWED.to_vec(), 0..=8),
        lost in prop::collection::vec((any::<Index>(), any::<Index>()), 0..4),
    ) {
        let survey = random(&nodes, &restarted, &lost);
        let plan = plan_of(&survey, &renewed);
        let found = simulate(&plan, &survey, &Processes::default());
        let checked = match found {
            Ok(checked) => checked,
            Err(wrong) => return Err(TestCaseError::fail(format!("{wrong}\n{}", crate::output::plan(&plan)))),
        };
        for least in checked.least.iter().filter(|least| least.of > 2 && least.before == least.of) {
            prop_assert!(least.least >= 2, "{least:?}\n{}", crate::output::plan(&plan));
        }
        let again = simulate(&plan, &survey, &Processes::default()).unwrap();
        prop_assert_eq!(checked, again);
    }
}
