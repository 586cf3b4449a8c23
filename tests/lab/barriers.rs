//! A barrier of the replacement of a CA holds, on a running etcd under a writer, a reader and a watcher: whoever is to blame is named, nothing is dropped, and once
//! it is mended the next run goes on to the end.
//!
//! Enters: a replacement that has come half way, and something that goes wrong then. Leaves: what plans and runs say of it, and what they do and leave undone.

use pki::x509::Certificate;

use crate::etcd::{Cluster, start};
use crate::nodes::Node;
use crate::replacement::{Ca, Replacement, listing, told};

/// Goes on up to a phase. Nothing up to the last but one needs more of an approval.
fn go_on_until(cluster: &Cluster, phase: &str) {
    cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--until-phase", phase]);
}

fn go_on_to_the_end(replacement: &Replacement) {
    let apply = replacement.approved();
    let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
    let text = replacement.cluster.controller.ends(0, &apply);
    assert!(crate::words(&text).contains("NONE: the old CA is refused from then on"), "{text}");
    replacement.is_at_its_end();
    replacement.cluster.is_left_clean();
}

/// All files of the cluster and of pki on all nodes, and which starts the members have, but for that of one node, which may be out of reach.
fn everything(cluster: &Cluster, culprit: &Node) -> Vec<String> {
    let of_node = |node: &Node| {
        let started = if node.name == culprit.name { String::new() } else { start(node) };
        [listing(node, "etc/etcd/pki"), listing(node, "var/lib/pki"), started]
    };
    cluster.nodes.iter().flat_map(of_node).collect()
}

/// Plans and runs end with these codes and say these words, and nothing is written, restarted or distrusted.
fn holds(replacement: &Replacement, culprit: &Node, codes: [i32; 3], said: &[String]) {
    let cluster = &replacement.cluster;
    let before = everything(cluster, culprit);
    let plan = ["plan", "-f", "spec.yaml"];
    let asked = [&plan[..], &["--exit-code"]].concat();
    let apply = ["apply", "-f", "spec.yaml", "--yes"];
    for (code, arguments) in codes.into_iter().zip([&plan[..], &asked, &apply]) {
        let text = cluster.controller.ends(code, arguments);
        for words in said {
            assert!(crate::words(&text).contains(words), "{arguments:?}: {words}: {text}");
        }
        assert!(!text.contains("visit 1"), "{arguments:?}: {text}");
    }
    assert_eq!(everything(cluster, culprit), before);
    let others: Vec<&Node> = cluster.nodes.iter().filter(|node| node.name != culprit.name).collect();
    for ca in [Ca::Old, Ca::New] {
        replacement.take(&others, ca, true, "while it holds");
    }
    told(&format!("held for {}\n", culprit.name));
}

#[test]
fn a_member_that_is_down_and_a_node_that_cannot_be_reached_are_named_and_nothing_is_dropped() {
    let replacement = Replacement::of_plain_etcd();
    let cluster = &replacement.cluster;
    let [near, far, down] = cluster.nodes.as_slice() else { panic!("three nodes") };
    cluster.write_and_count();
    go_on_until(cluster, "trust-both");
    replacement.try_the_new_one();

    let approved = replacement.approved();
    down.run("systemctl stop etcd");
    let name = &down.name;
    let waits = format!(
        "Not by this plan: ca/etcd-ca@{name} the member of etcd on {name} does not work, so no other one can be restarted: the replacement of etcd-ca waits where \
         it stands help: bring the member on {name} back, and plan again"
    );
    holds(
        &replacement,
        down,
        [0, 2, 0],
        &[waits, "Nothing of what is due can be done by this plan.".to_owned()],
    );
    // What was approved before is not done either.
    let before = everything(cluster, down);
    let output = cluster.controller.pki(&approved.iter().map(String::as_str).collect::<Vec<_>>());
    let text = crate::both(&output);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains(&format!("stale: {name} the service etcd was active, is not active")), "{text}");
    assert_eq!(everything(cluster, down), before);
    down.run("systemctl start etcd");
    cluster.is_healthy();
    go_on_until(cluster, "servers");

    // A member that leads and is stopped hands the lead over; one that is cut off cannot, and nobody is healthy until another one leads.
    cluster.let_lead(near);
    far.net("cut");
    let name = &far.name;
    // A network that is cut is silent at first; once the neighbour is known to be gone there is no route.
    let is_unreachable = format!("error: node@{name} unknown: the node cannot be reached: ");
    let holds_for_it = format!(
        "error: ca/etcd-ca@{name} what {name} trusts is not known, so no CA of etcd-ca is replaced: nobody shows a new one, and no old one is dropped, before \
         every node is known to trust both help: make {name} reachable, or take it out of the spec"
    );
    holds(&replacement, far, [3, 3, 3], &[is_unreachable, far.address(), holds_for_it]);
    far.net("join");
    cluster.is_healthy();
    go_on_to_the_end(&replacement);
}

/// The one that is to come, by the first digits of its digest.
fn successor(cluster: &Cluster) -> String {
    let pem = std::fs::read(cluster.nodes[0].disk("etc/etcd/pki/ca-next.crt")).unwrap();
    let reading = pki::x509::pem::read(&pem);
    reading.certificates().next().map(Certificate::fingerprint).unwrap().short()
}

/// Every holder of the key of the one that is to come has lost it. Says which one that is.
fn its_key_is_lost(cluster: &Cluster) -> String {
    for node in &cluster.nodes {
        std::fs::remove_file(node.disk("etc/etcd/pki/ca-next.key")).unwrap();
    }
    successor(cluster)
}

/// The nodes that a saved plan visits in a phase.
fn visited(replacement: &Replacement, phase: &str) -> Vec<String> {
    let saved = replacement.saved();
    let visits = saved["visits"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|visit| visit["phase"].as_str().unwrap_or("ordinary") == phase);
    visits.map(|visit| visit["node"].as_str().unwrap().to_owned()).collect()
}

fn says(replacement: &Replacement, said: &[&str]) {
    let text = replacement.cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    for words in said {
        assert!(crate::words(&text).contains(words), "{words}: {text}");
    }
}

#[test]
fn a_bundle_that_is_missing_or_not_in_use_and_a_new_key_that_is_lost_are_mended_before_it_goes_on() {
    let replacement = Replacement::of_plain_etcd();
    let cluster = &replacement.cluster;
    let [right, missing, unused] = cluster.nodes.as_slice() else { panic!("three nodes") };
    cluster.write_and_count();
    let bundle = |node: &Node| node.disk("etc/etcd/pki/ca.crt");
    let old = std::fs::read(bundle(right)).unwrap();
    go_on_until(cluster, "trust-both");
    replacement.try_the_new_one();

    let both = std::fs::read(bundle(right)).unwrap();
    for node in [missing, unused] {
        std::fs::write(bundle(node), &old).unwrap();
        node.run("systemctl restart etcd");
        cluster.is_healthy();
    }
    std::fs::write(bundle(unused), both).unwrap();
    replacement.take(&[missing, unused], Ca::New, false, "with the old bundle");
    let writes = format!("~ ca/etcd-ca @ {} certificates 1 -> 2: CN=etcd-ca (", missing.name);
    let restarts = format!("! svc/etcd @ {}, {}", unused.name, missing.name);
    says(
        &replacement,
        &["trust both (1 visit)", &writes, &restarts, "renewed, not in use: /etc/etcd/pki/ca.crt changed"],
    );
    assert_eq!(visited(&replacement, "ordinary"), std::slice::from_ref(&unused.name));
    assert_eq!(visited(&replacement, "trust-both"), std::slice::from_ref(&missing.name));
    assert_eq!(visited(&replacement, "clients").len(), 3);
    go_on_until(cluster, "trust-both");
    replacement.all_take(Ca::New, true, "with both bundles mended");
    told("bundles mended\n");

    let first = its_key_is_lost(cluster);
    let lost = |fingerprint: &str| {
        format!(
            "no node holds the key of {fingerprint}, which was to come, so another one comes in its place"
        )
    };
    says(&replacement, &[&lost(&first), &format!("in place of {first}, which was to come")]);
    go_on_until(cluster, "peers");
    let second = its_key_is_lost(cluster);
    assert_ne!(first, second);
    // Clients and members show certificates of it.
    says(
        &replacement,
        &[&lost(&first), &lost(&second), &format!("signed by {second}, a CA that is being replaced")],
    );
    go_on_until(cluster, "trust-both");
    assert!(![first, second].contains(&successor(cluster)));
    replacement.try_the_new_one();
    for ca in [Ca::Old, Ca::New] {
        replacement.all_take(ca, true, "with the third one to come");
    }
    told("two lost keys mended\n");
    go_on_to_the_end(&replacement);
}
