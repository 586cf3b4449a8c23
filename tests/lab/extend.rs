//! The CA of a running etcd is extended under a writer: the same key signs its certificate again, so that nobody needs anything new.

use crate::replacement::{Ca, Replacement, count_starts, each_was_started, make_leaf, told};

#[test]
fn an_extended_ca_costs_one_restart_of_each_member_and_nothing_that_it_issued() {
    let replacement = Replacement::of_plain_etcd();
    let cluster = &replacement.cluster;
    let leaves = "cd /etc/etcd/pki; sha256sum server.* peer.* client.* ca.key";
    let before: Vec<String> = cluster.nodes.iter().map(|node| node.run(leaves)).collect();
    let end = "openssl x509 -in /etc/etcd/pki/ca.crt -noout -enddate";
    let ended = cluster.nodes[0].run(end);
    // Ten years were left to it when it was made.
    cluster.spec("  authorities: { etcd-ca: { onExpiry: extend, renewBefore: 3650d, validity: 20y } }\n");
    count_starts(cluster);
    cluster.write_and_count();
    let text = crate::words(&cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]));
    assert!(text.contains("private key kept, so that everything it signed stays valid"), "{text}");
    assert!(text.contains("Plan: renew 1, issue 0, trust 2, remove 0, restart 3, repair 0."), "{text}");
    assert!(text.contains("Checked: no connection breaks; etcd 2 of 3 at least"), "{text}");
    each_was_started(cluster, 1);
    let going = &replacement.going[0];
    make_leaf(&cluster.nodes[0], &Ca::New.probe(going), &going.files);
    replacement.all_take(Ca::Old, true, "what it issued before");
    replacement.all_take(Ca::New, true, "what it issues now");
    let after: Vec<String> = cluster.nodes.iter().map(|node| node.run(leaves)).collect();
    assert_eq!(after, before);
    let ends: Vec<String> = cluster.nodes.iter().map(|node| node.run(end)).collect();
    assert!(ends.iter().all(|end| *end == ends[0] && *end != ended), "{ends:?}");
    cluster.everything_written_is_there();
    let fewest = cluster.fewest_healthy();
    told(&format!("never fewer than {fewest} healthy members\n"));
    assert!(fewest >= 2);
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}
