//! Machines that are taken for other nodes than they are, and those that only look so.

use super::super::diff;
use super::*;
use crate::desired::Desired;
use crate::desired::Survey;
use crate::observe::survey::tests::{agreement, now};
use crate::protocol::facts::{Answer, Seen};
use crate::types::names::{Address, Target};

struct World {
    desired: Desired,
    observed: Observed,
}

fn world() -> World {
    let Survey { desired, observed } = agreement();
    World { desired, observed }
}

impl World {
    fn facts(&mut self, node: &str) -> &mut NodeFacts {
        let Some(Answer::Facts(facts)) = self.observed.nodes.get_mut(node) else { panic!("{node}") };
        facts
    }

    /// What is said of the machine behind a node, in words.
    fn of(&self, node: &str) -> Vec<String> {
        let differences = diff(&self.desired, &self.observed, now());
        let address = Address::on(Target::Node, &node.parse().unwrap());
        let found = differences.of(&address).iter();
        found.map(|finding| format!("{:?} {}", finding.effect, finding.reason)).collect()
    }

    /// Leaves nothing on a node but its host name.
    fn bare(&mut self, node: &str, hostname: &str) {
        let facts = self.facts(node);
        facts.hostname = Some(hostname.to_owned());
        for seen in facts.files.values_mut() {
            *seen = Seen::Absent;
        }
    }
}

#[test]
fn two_nodes_that_were_swapped_are_both_named() {
    let mut world = world();
    let one = world.observed.nodes.remove("cp-1").unwrap();
    let two = world.observed.nodes.insert("cp-2".parse().unwrap(), one).unwrap();
    world.observed.nodes.insert("cp-1".parse().unwrap(), two);
    assert_eq!(
        world.of("cp-1"),
        ["Blocks this machine is node cp-2, by /etc/kubernetes/kubelet.conf; the spec calls it cp-1"]
    );
    assert_eq!(world.of("cp-2").len(), 1);
    assert!(world.of("cp-3").is_empty());
}

#[test]
fn where_the_kubelet_names_the_node_neither_host_name_nor_member_counts() {
    let mut world = world();
    for host in ["ip-10-0-0-11.ec2.internal", "CP-1.example", "cp-2"] {
        world.facts("cp-1").hostname = Some(host.to_owned());
        assert!(world.of("cp-1").is_empty(), "{host}: {:?}", world.of("cp-1"));
    }
}

#[test]
fn without_a_kubelet_the_name_of_the_member_counts_where_the_layout_fixes_it() {
    let mut world = world();
    let kubelet = "/etc/kubernetes/kubelet.conf";
    let other = world.facts("cp-2").files["/etc/kubernetes/manifests/etcd.yaml"].clone();
    let facts = world.facts("cp-1");
    facts.files.insert(kubelet.to_owned(), Seen::Absent);
    assert!(world.of("cp-1").is_empty());
    world.facts("cp-1").files.insert("/etc/kubernetes/manifests/etcd.yaml".to_owned(), other);
    let said = world.of("cp-1");
    assert!(said[0].contains("node cp-2, by --name in /etc/kubernetes/manifests/etcd.yaml"), "{said:?}");
    // In a layout that numbers its members, the name of another node is still the name of another node.
    let services = &mut world.desired.nodes.get_mut("cp-1").unwrap().services;
    services.get_mut("etcd").unwrap().member_name = None;
    assert!(world.of("cp-1").is_empty(), "its certificates bear the name cp-1: {:?}", world.of("cp-1"));
}

#[test]
fn a_bare_machine_is_known_by_its_host_name() {
    let cases = [
        ("cp-1", None),
        ("CP-1.prod.example", None),
        ("cp-2", Some("node cp-2, by its host name")),
        ("01-master", Some("node 01-master, by its host name")),
        ("what no spec can call a node", None),
    ];
    for (host, expected) in cases {
        let mut world = world();
        world.bare("cp-1", host);
        let said = world.of("cp-1").join(";");
        match expected {
            Some(words) => assert!(said.contains(words), "{host}: {said}"),
            None => assert_eq!(said, "", "{host}"),
        }
    }
}

#[test]
fn a_machine_without_a_kubelet_may_be_called_as_it_likes_but_not_as_another_node() {
    let mut world = world();
    for identities in world.desired.nodes.values_mut().map(|node| &mut node.identities) {
        identities.retain(|name, _| !name.as_str().starts_with("kubelet"));
    }
    for service in world.desired.nodes.values_mut().flat_map(|node| node.services.values_mut()) {
        service.member_name = None;
    }
    world.bare("cp-1", "etcd-0");
    assert!(world.of("cp-1").is_empty());
    world.bare("cp-1", "cp-3.prod.example");
    assert!(world.of("cp-1")[0].contains("node cp-3.prod.example, by its host name"));
}

#[test]
fn two_nodes_with_one_address_are_named_in_every_form_of_it() {
    let mut world = world();
    let set = |world: &mut World, address: &str| {
        world.desired.nodes.get_mut("cp-2").unwrap().address = Some(address.to_owned());
    };
    let own = world.desired.nodes["cp-1"].address.clone().unwrap();
    set(&mut world, &format!("::ffff:{own}"));
    assert_eq!(world.of("cp-2"), [format!("Blocks its address {own} is that of cp-1 too")]);
    set(&mut world, "CP-1.example");
    assert!(world.of("cp-2").is_empty());
}
