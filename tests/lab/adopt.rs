//! A cluster that nobody has described yet is adopted over SSH: nothing is to be done then, and exactly one thing after one file was changed.

use serde_json::Value;

use crate::PLACES;
use crate::controller::Controller;
use crate::specs::give;
use crate::support::cluster::Cluster;

/// How many things a plan does.
fn counted(plan: &str) -> u64 {
    let plan: Value = serde_json::from_str(plan).unwrap();
    let kinds = ["renew", "issue", "trust", "remove", "repair", "copy"];
    kinds.iter().map(|kind| plan["summary"][kind].as_u64().unwrap()).sum()
}

#[test]
fn what_is_adopted_over_ssh_is_what_is_there() {
    let fixture = Cluster::unpack();
    let (nodes, controller) = Controller::of_cluster();
    for ((name, _), node) in PLACES.iter().zip(&nodes) {
        give(node, &fixture.path().join(name));
    }
    let hosts = PLACES.iter().flat_map(|(_, address)| ["--host", address]);
    let adopt: Vec<&str> = ["adopt", "-o", "spec.yaml"].into_iter().chain(hosts).collect();
    controller.ends(0, &adopt);
    let spec = std::fs::read_to_string(controller.at("spec.yaml")).unwrap();
    for part in [
        "metadata: { name: prod-eu1 }",
        "    cp-2: { address: 10.0.0.12, roles: [control-plane, etcd] }\n",
        "  connection: { ssh: {} }\n",
        "names: { ip: [10.0.0.10] }",
        "# The next plan would change nothing.\n",
    ] {
        assert!(spec.contains(part), "{part}\n{spec}");
    }
    controller.ends(0, &["validate", "spec.yaml"]);
    controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);

    // The same nodes by an inventory as kubespray has one; the balancer in it is no node.
    let entries: Vec<String> =
        PLACES.iter().map(|(name, address)| format!("    {name}: {{ ansible_host: {address} }}\n")).collect();
    let groups =
        "  children: { kube_control_plane: { hosts: { 'cp-[1:3]': } }, balancers: { hosts: { lb: } } }\n";
    let inventory =
        format!("all:\n  hosts:\n{}    lb: {{ ansible_host: 10.0.0.99 }}\n{groups}", entries.concat());
    std::fs::write(controller.at("hosts.yaml"), inventory).unwrap();
    controller.ends(0, &["adopt", "-o", "by-inventory.yaml", "--inventory", "hosts.yaml"]);
    assert_eq!(std::fs::read_to_string(controller.at("by-inventory.yaml")).unwrap(), spec);

    let key = nodes[1].disk("etc/kubernetes/pki/etcd/peer.key");
    let aside = controller.at("peer.key");
    std::fs::copy(&key, &aside).unwrap();
    std::fs::remove_file(&key).unwrap();
    let plan = controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code", "--format", "json"]);
    assert_eq!(counted(&plan), 1, "{plan}");
    assert!(plan.contains("etcd-peer@cp-2"), "{plan}");
    std::fs::copy(&aside, &key).unwrap();
    controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    for node in &nodes {
        node.is_left_clean("after an adoption");
    }
    controller.is_left_clean();
}

#[test]
fn a_host_that_is_not_known_is_not_adopted() {
    let (nodes, controller) = Controller::of_cluster();
    let output = controller.pki(&["adopt", "--host", &nodes[0].address(), "--host", "10.0.0.99"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("10.0.0.99: ") && said.contains("no spec was written"), "{said}");
    controller.is_left_clean();
}
