//! A CA of somebody else among those that a running etcd trusts: nobody is restarted to load it, and only `distrust` takes it out of the files and of what runs.

use crate::etcd::Cluster;
use crate::layouts::Pair;
use crate::nodes::Node;
use crate::replacement::make_leaf;
use crate::words;

/// Makes a CA on a node, and a client certificate of it.
fn stranger(node: &Node) -> String {
    node.run(
        "mkdir -p /var/lib/tests; cd /var/lib/tests; \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=stranger -keyout stranger.key -out stranger.crt 2>/dev/null",
    );
    make_leaf(node, "stranger", &Pair::crt("/var/lib/tests/stranger"));
    let text = node.run("openssl x509 -in /var/lib/tests/stranger.crt -noout -fingerprint -sha256");
    text.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase()
}

/// Whether the member on a node takes the client certificate of the stranger, which is tried from the node on which it was made.
fn lets_in(from: &Node, member: &Node) -> bool {
    let probe = "/var/lib/tests/probe/stranger";
    let get = format!(
        ". /var/lib/tests/client; ETCDCTL_CERT={probe}.crt ETCDCTL_KEY={probe}.key etcdctl --command-timeout 5s --endpoints https://{}:2379 get nothing",
        member.address()
    );
    from.ssh(&get).status.success()
}

#[test]
fn a_strangers_ca_is_loaded_by_nobody_and_distrust_takes_it_out_of_files_and_memory() {
    let cluster = Cluster::new();
    let [first, odd, _] = &cluster.nodes[..] else { panic!("three members") };
    let digest = stranger(first);
    let pem = std::fs::read(first.disk("var/lib/tests/stranger.crt")).unwrap();
    std::fs::write(odd.disk("var/lib/tests/stranger.crt"), pem).unwrap();
    odd.run("cat /var/lib/tests/stranger.crt >>/etc/etcd/pki/ca.crt");
    let starts = cluster.starts();

    // An alarm in every form; the file is newer than the member, which is not restarted for it.
    let text = words(&cluster.controller.ends(0, &["status", "-f", "spec.yaml"]));
    assert!(text.contains("foreign") && text.contains(&digest), "{text}");
    let json = cluster.controller.ends(0, &["status", "-f", "spec.yaml", "--format", "json"]);
    assert!(json.contains("\"foreignCa\""), "{json}");
    let metrics = cluster.controller.ends(0, &["status", "-f", "spec.yaml", "--format", "prometheus"]);
    assert!(metrics.contains("state=\"foreign-ca\""), "{metrics}");
    let junit =
        cluster.controller.ends(3, &["status", "-f", "spec.yaml", "--format", "junit", "--exit-code"]);
    assert!(junit.contains("<failure"), "{junit}");
    for how in ["--yes", "--unattended"] {
        let text = words(&cluster.controller.ends(0, &["apply", "-f", "spec.yaml", how]));
        assert!(text.contains(&format!("etcd on {} is not restarted", odd.name)), "{text}");
    }
    assert_eq!(cluster.starts(), starts);
    assert!(odd.run("grep -c BEGIN /etc/etcd/pki/ca.crt").trim() == "2");
    assert!(!lets_in(first, odd), "the member has not loaded it");

    // Somebody restarts the member, and with that lets the stranger in.
    odd.run("systemctl restart etcd");
    cluster.is_healthy();
    assert!(lets_in(first, odd) && !lets_in(first, first));
    let starts = cluster.starts();

    cluster.spec(&format!(
        "  authorities: {{ etcd-ca: {{ distrust: {{ \"sha256:{digest}\": \"INC-2301, nobody knows it\" }} }} }}\n"
    ));
    // No timer drops it.
    let text = words(&cluster.controller.ends(6, &["apply", "-f", "spec.yaml", "--unattended"]));
    assert!(text.contains("none of this cluster's"), "{text}");
    let (_, digest) = cluster.controller.save_plan("plan.json", &[]);
    cluster.write();
    let text = cluster
        .controller
        .ends(0, &["apply", "plan.json", "--confirm", "etcd-1/etcd-ca", "--expect-digest", &digest]);
    assert!(text.contains("Checked: no connection breaks; etcd 2 of 3 at least"), "{text}");
    let now = cluster.starts();
    assert_eq!((&now[0], &now[2]), (&starts[0], &starts[2]), "only who trusted it is restarted");
    assert_ne!(now[1], starts[1]);
    cluster.is_healthy();
    for member in &cluster.nodes {
        assert!(!lets_in(first, member), "{}", member.name);
        member.run("test $(grep -c BEGIN /etc/etcd/pki/ca.crt) = 1");
        member.run("openssl verify -CAfile /etc/etcd/pki/ca.crt /etc/etcd/pki/server.crt /etc/etcd/pki/peer.crt /etc/etcd/pki/client.crt");
    }
    cluster.everything_written_is_there();
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}
