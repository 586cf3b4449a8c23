//! `pki adopt --inventory`: what is wrong with an inventory is told before any node is called. That one over SSH gives the same spec is seen in the lab.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use super::adopt::refused;
use crate::support::program::pki;

#[test]
fn what_is_no_inventory_is_refused_with_all_that_is_wrong_before_any_node_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let adopt = |text: &str, more: &[&str]| {
        std::fs::write(folder.path().join("hosts.yaml"), text).unwrap();
        pki(folder.path(), &[&["adopt", "--inventory", "hosts.yaml"], more].concat())
    };
    let wrong = "etcd: { hosts: { a: { ansible_port: 0 }, b: { ansible_host: '{{ x }}' } } }\n";
    refused(&adopt(wrong, &[]), 65, "hosts.yaml: a: ansible_port is not a port");
    refused(&adopt(wrong, &[]), 65, "hosts.yaml: b: ansible_host is a template");
    refused(
        &adopt("[etcd]\na ansible_host=10.0.0.1\n", &[]),
        65,
        "ansible-inventory -i 'hosts.yaml' --list --yaml",
    );
    refused(
        &adopt(&"# long\n".repeat(200_000), &[]),
        1,
        "cannot read `hosts.yaml`: it has more than 1048576 bytes",
    );
    refused(&adopt("etcd: { hosts: { a: } }\n", &["--host", "a"]), 64, "cannot be used with");
    refused(&pki(folder.path(), &["adopt", "--sudo"]), 64, "--inventory");
    refused(&pki(folder.path(), &["adopt", "--inventory", "missing.yaml"]), 1, "cannot read `missing.yaml`");
    // This machine is no node of a cluster.
    let here = "etcd: { hosts: { here: { ansible_connection: local } } }\n";
    refused(&adopt(here, &[]), 3, "no Kubernetes or etcd layout that pki knows on here");
}
