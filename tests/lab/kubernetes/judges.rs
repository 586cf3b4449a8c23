//! What is looked at before and after: which processes run since when, what ports serve, what lies on disks, and what kubeadm says of it.
//!
//! Everything is seen from outside the program under test: processes by the nodes' cgroups, certificates by openssl, dates by kubeadm.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::nodes::Node;

/// What may be restarted.
const PROGRAMS: [&str; 6] =
    ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "containerd"];

/// What runs, `PROGRAM@NODE`, each with its process and the tick at which that started.
pub(crate) type Running = BTreeMap<String, (u32, u64)>;

pub(crate) fn running<'a>(nodes: impl IntoIterator<Item = &'a Node>) -> Running {
    let mut running = Running::new();
    for node in nodes {
        for (process, words) in node.processes() {
            let program = words.split(' ').next().unwrap().rsplit('/').next().unwrap();
            // One that has just ended has no start any more.
            if let (true, Some(start)) = (PROGRAMS.contains(&program), start(process)) {
                running.insert(format!("{program}@{}", node.name), (process, start));
            }
        }
    }
    running
}

/// When a process started: the 22nd field of its `stat`, after a name that may hold anything.
fn start(process: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// What runs anew, or no longer.
pub(crate) fn restarted(before: &Running, after: &Running) -> BTreeSet<String> {
    let is_other = |(program, instance): &(&String, &(u32, u64))| after.get(*program) != Some(*instance);
    before.iter().filter(is_other).map(|(program, _)| program.clone()).collect()
}

/// What a plan lists as restarted.
pub(crate) fn listed(plan: &Value) -> BTreeSet<String> {
    let actions =
        plan["visits"].as_array().unwrap().iter().flat_map(|visit| visit["actions"].as_array().unwrap());
    let services = actions.flat_map(|action| {
        let node = action["address"].as_str().unwrap().rsplit('@').next().unwrap().to_owned();
        let services = action["disruption"]["restart"]["services"].as_array().cloned().unwrap_or_default();
        services.into_iter().map(move |service| format!("{}@{node}", service.as_str().unwrap()))
    });
    services.collect()
}

/// The ports of a control plane, each with the file whose certificate it serves.
const PORTS: [(u16, &str); 4] = [
    (6443, "/etc/kubernetes/pki/apiserver.crt"),
    (2379, "/etc/kubernetes/pki/etcd/server.crt"),
    (2380, "/etc/kubernetes/pki/etcd/peer.crt"),
    (10250, "/var/lib/kubelet/pki/kubelet.crt"),
];

/// Each port shows what is in its file; those of controller-manager and scheduler show something.
#[track_caller]
pub(crate) fn each_port_shows_its_file(cluster: &Cluster) {
    for node in &cluster.planes {
        for (port, file) in PORTS {
            let in_file = node.run(&format!("openssl x509 -noout -fingerprint -sha256 -in {file}"));
            assert_eq!(shown(node, port), in_file, "{} on port {port}, {file}", node.name);
        }
        for port in [10257, 10259] {
            assert!(shown(node, port).contains("ingerprint"), "{} on port {port}", node.name);
        }
    }
    for node in &cluster.workers {
        let in_file =
            node.run("openssl x509 -noout -fingerprint -sha256 -in /var/lib/kubelet/pki/kubelet.crt");
        assert_eq!(shown(node, 10250), in_file, "{}", node.name);
    }
}

fn shown(node: &Node, port: u16) -> String {
    // Some listen on this address only.
    let address = if port > 10250 { "127.0.0.1".to_owned() } else { node.address() };
    node.run(&format!(
        "openssl s_client -connect {address}:{port} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256"
    ))
}

/// Every certificate that kubeadm knows lives for a year, it says.
#[track_caller]
pub(crate) fn kubeadm_sees_a_year(cluster: &Cluster) {
    for node in &cluster.planes {
        let said = node.run("kubeadm certs check-expiration");
        let days = |line: &&str| line.contains(" 364d ") || line.contains(" 365d ");
        assert_eq!(said.lines().filter(days).count(), 10, "{}: {said}", node.name);
    }
}

/// What lies in the directories of kubeadm and kubelet on every node: bytes, links, modes and owners.
pub(crate) fn files(cluster: &Cluster) -> BTreeMap<String, BTreeSet<String>> {
    let list = "find /etc/kubernetes /var/lib/kubelet/pki /var/lib/kubelet/config.yaml -printf '%p %M %u:%g %l\\n'; \
                find /etc/kubernetes /var/lib/kubelet/pki -type f -exec sha256sum {} +";
    let lines = |node: &Node| node.run(list).lines().map(str::to_owned).collect();
    cluster.all().map(|node| (node.name.clone(), lines(node))).collect()
}
