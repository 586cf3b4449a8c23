//! Inventories as the projects write them, and what is wrong with others.

use super::*;

fn read(text: &str) -> Result<Inventory, Vec<InventoryError>> {
    Inventory::read("hosts.yaml", text)
}

/// Each host as `NAME USER@HOST:PORT`, with `sudo`.
fn hosts(text: &str) -> Vec<String> {
    let told = |host: &InventoryHost| match &host.reached {
        Reached::Local { .. } => format!("{} local", host.name),
        Reached::Ssh { host: address, user, port, sudo } => format!(
            "{} {}@{address}:{}{}",
            host.name,
            user.as_deref().unwrap_or_default(),
            port.map(|port| port.number().to_string()).unwrap_or_default(),
            if *sudo { " sudo" } else { "" }
        ),
    };
    read(text).unwrap().hosts.iter().map(told).collect()
}

fn problems(text: &str) -> Vec<String> {
    read(text).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn the_nodes_of_kubespray_are_those_of_its_groups_with_what_is_nearest_to_them() {
    let text = "
all:
  vars: { ansible_user: ubuntu, ansible_become: yes, ansible_port: 22 }
  hosts:
    node1: { ansible_host: 10.0.0.11, ip: 192.168.0.11, etcd_member_name: etcd1 }
    node2: { ansible_host: 10.0.0.12, ansible_user: root }
    node3:
    bastion: { ansible_host: 203.0.113.1 }
  children:
    kube_control_plane: { hosts: { node1: , node2: } }
    etcd: { hosts: { node1: { ansible_port: 2222 } } }
    kube_node: { hosts: { node3: }, vars: { ansible_user: worker } }
    k8s_cluster:
      vars: { ansible_user: nearer }
      children: { kube_control_plane: , kube_node: }
";
    assert_eq!(
        hosts(text),
        ["node1 nearer@10.0.0.11:2222 sudo", "node2 root@10.0.0.12:22", "node3 worker@node3:22 sudo"]
    );
}

#[test]
fn what_ansible_itself_lists_is_read_as_well() {
    let text = r#"{ "_meta": { "hostvars": { "m1": { "ansible_host": "10.0.0.1", "ansible_connection": "ssh" } } },
        "all": { "children": ["ungrouped", "kube-master"] }, "kube-master": { "hosts": ["m1", "m2"] } }"#;
    assert_eq!(hosts(text), ["m1 @10.0.0.1:", "m2 @m2:"]);
    assert_eq!(
        hosts("all: { children: { etcd: { hosts: { here: { ansible_connection: local } } } } }"),
        ["here local"]
    );
    assert_eq!(hosts("etcd: { hosts: { 'e[01:02]': { ansible_user: x } } }"), ["e01 x@e01:", "e02 x@e02:"]);
}

#[test]
fn the_nodes_of_kubekey_are_those_of_its_role_groups() {
    let text = "
apiVersion: kubekey.kubesphere.io/v1alpha2
kind: Cluster
spec:
  hosts:
  - {name: node1, address: 172.16.0.2, internalAddress: 172.16.0.2, port: 8022, user: ubuntu, password: secret}
  - {name: node2, address: 172.16.0.3, privateKeyPath: ~/.ssh/id_rsa, user: root}
  - {name: spare, address: 172.16.0.9}
  roleGroups:
    etcd: [node1]
    control-plane: [node1]
    worker: ['node[1:2]']
    registry: [spare]
";
    assert_eq!(hosts(text), ["node1 ubuntu@172.16.0.2:8022 sudo", "node2 root@172.16.0.3:"]);
    let remarks = read(text).unwrap().remarks;
    assert_eq!(remarks, ["privateKeyPath of 1 host is not taken: say it in the configuration of ssh"]);
    let text = "
apiVersion: kubekey.kubesphere.io/v1
kind: Inventory
spec:
  hosts:
    n1: { connector: { type: ssh, host: 10.0.0.1, port: 22, user: admin, password: secret } }
    n2: { connector: { type: local } }
    nfs: { connector: { host: 10.0.0.9 } }
  groups:
    k8s_cluster: { groups: [kube_control_plane, kube_worker] }
    kube_control_plane: { hosts: [n1] }
    kube_worker: { hosts: [n2] }
    nfs: { hosts: [nfs] }
";
    assert_eq!(hosts(text), ["n1 admin@10.0.0.1:22 sudo", "n2 local"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_no_password_with_it() {
    let text = "
etcd:
  hosts:
    a: { ansible_host: '{{ ip_of_a }}', ansible_port: 70000 }
    b: { ansible_host: '-oProxyCommand=x', ansible_user: 'x y' }
    c: { ansible_connection: docker, ansible_password: hunter2 }
    d: { ansible_become: true, ansible_become_user: admin }
    e: { ansible_host: [1, 2] }
    'f[1': {}
";
    let told = problems(text);
    assert_eq!(
        told,
        [
            "hosts.yaml: f[1: a range begins with `[` and does not end",
            "hosts.yaml: a: ansible_host is a template, which only Ansible can fill in",
            "hosts.yaml: a: ansible_port is not a port from 1 to 65535",
            "hosts.yaml: b: `-oProxyCommand=x` is not a host name or an address",
            "hosts.yaml: b: `x y` is not a login name",
            "hosts.yaml: c: ansible_connection is neither ssh nor local",
            "hosts.yaml: d: ansible_become_user is not root, to whom the certificates belong",
            "hosts.yaml: e: ansible_host is not one value",
        ]
    );
    assert!(!told.concat().contains("hunter2"));
    let missing = "kind: Cluster\nspec: { hosts: [], roleGroups: { etcd: [gone] } }";
    assert_eq!(problems(missing), ["hosts.yaml: gone: it is in a group, and not among the hosts"]);
}

#[test]
fn what_is_no_inventory_of_a_cluster_is_refused_with_the_way_out() {
    let [told] = &problems("[kube_node]\nnode1 ansible_host=10.0.0.1\n")[..] else { panic!() };
    assert!(told.ends_with("help: ansible-inventory -i 'hosts.yaml' --list --yaml > hosts.yaml"), "{told}");
    for text in ["all: { hosts: { a: } }", "{}", "all:"] {
        let [told] = &problems(text)[..] else { panic!() };
        assert!(told.contains("no host in a group of a cluster"), "{text}: {told}");
    }
    assert!(matches!(&read("- a\n").unwrap_err()[..], [InventoryError::NotYaml { .. }]));
    // Groups in a circle are no way without end.
    let circle = "a: { children: { etcd: { hosts: { x: }, children: { a: } } } }";
    assert_eq!(hosts(circle), ["x @x:"]);
}
