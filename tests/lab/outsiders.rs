//! A spec that has one of three members of a running etcd: every change of trust is held, by name, and with all three in the spec it is made.

use std::process::Command;

use pki::x509::Certificate;

use crate::etcd::Cluster;
use crate::words;

/// The spec of these nodes alone, with more in it.
fn spec(cluster: &Cluster, nodes: &[usize], more: &str) {
    let nodes: String = nodes
        .iter()
        .map(|place| &cluster.nodes[*place])
        .map(|node| format!("    {}: {{ address: {}, roles: [etcd] }}\n", node.name, node.address()))
        .collect();
    cluster.controller.spec(&format!(
        "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: etcd-1 }}\nspec:\n  profile: etcd\n  \
         connection: {{ ssh: {{}} }}\n  rollout: {{ settle: 1s, timeout: 20s }}\n{more}  nodes:\n{nodes}"
    ));
}

#[test]
fn a_spec_of_one_member_of_three_changes_no_trust() {
    let cluster = Cluster::new();
    let controller = &cluster.controller;
    let pem = cluster.nodes[1].run("cat /etc/etcd/pki/ca.crt");
    let reading = pki::x509::pem::read(pem.as_bytes());
    let old = reading.certificates().next().map(Certificate::fingerprint).unwrap();
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7300", "-subj", "/CN=own", "-addext",
        ])
        .args(["keyUsage=critical,keyCertSign,cRLSign", "-keyout", "own.key", "-out", "own.crt"])
        .current_dir(controller.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let distrust = format!("distrust: {{ \"sha256:{old}\": \"INC-2291\" }}");
    let now =
        String::from_utf8(Command::new("date").args(["-u", "+%FT%TZ"]).output().unwrap().stdout).unwrap();
    let cut_off = format!("onExpiry: replace, reissueIssuedBefore: \"{}\"", now.trim());
    let changes = [
        distrust.as_str(),
        "onExpiry: extend, renewBefore: 3650d, validity: 20y",
        "onExpiry: replace, renewBefore: 3650d, validity: 20y",
        "source: { certificate: ./own.crt, key: ./own.key }",
        &cut_off,
    ];
    let files = || -> Vec<String> {
        let sums = "cd /etc/etcd/pki; sha256sum *";
        cluster.nodes.iter().map(|node| node.run(sums)).collect()
    };
    let (before, starts) = (files(), cluster.starts());
    let others: Vec<String> = [0, 2]
        .map(|place| &cluster.nodes[place])
        .map(|node| format!("{} (https://{}:2380)", node.name, node.address()))
        .into();
    for change in changes {
        spec(&cluster, &[1], &format!("  authorities: {{ etcd-ca: {{ {change} }} }}\n"));
        let output = controller.pki(&["plan", "-f", "spec.yaml", "--exit-code"]);
        let text = words(&crate::both(&output));
        for other in &others {
            assert!(text.contains(other.as_str()), "{change}: {text}");
        }
        assert!(
            text.contains("they hold etcd-ca too, so it is not changed without them"),
            "{change}: {text}"
        );
        let makes = ["extend-authority", "create-authority", "Prepare", "drop"];
        assert!(!makes.iter().any(|word| text.contains(word)), "{change}: {text}");
        assert_eq!(output.status.code(), Some(3), "{change}: {text}");
        let applied = controller.pki(&["apply", "-f", "spec.yaml", "--yes"]);
        assert_eq!(applied.status.code(), Some(3), "{change}");
    }
    assert_eq!((files(), cluster.starts()), (before.clone(), starts), "nothing was touched");
    let status = controller.pki(&["status", "-f", "spec.yaml", "--exit-code"]);
    assert_eq!(status.status.code(), Some(3));
    let metrics = controller.ends(0, &["status", "-f", "spec.yaml", "--format", "prometheus"]);
    assert!(metrics.lines().any(|line| line.contains("blocked") && line.ends_with(" 1")), "{metrics}");

    let adopted = controller.pki(&["adopt", "--host", &cluster.nodes[1].address()]);
    assert_eq!(adopted.status.code(), Some(0), "{adopted:?}");
    let command: String = cluster.nodes.iter().map(|node| format!(" --host {}", node.address())).collect();
    for said in [&adopted.stdout, &adopted.stderr] {
        let said = String::from_utf8_lossy(said);
        assert!(said.contains(&format!("pki adopt{command}")), "{said}");
    }

    spec(
        &cluster,
        &[0, 1, 2],
        "  authorities: { etcd-ca: { onExpiry: extend, renewBefore: 3650d, validity: 20y } }\n",
    );
    controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    cluster.is_healthy();
    controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert_ne!(files(), before, "the CA was extended");
    cluster.is_left_clean();
}
