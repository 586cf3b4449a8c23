//! Clusters that have died of their certificates: one run brings them back.

use crate::controller::Controller;
use crate::etcd::Cluster;
use crate::nodes::{Node, wait_until};
use crate::support::by_hand::by_hand;

/// The same certificates, issued in the past.
const EXPIRE: &str = "for name in server peer client; do \
    reissue etc/etcd/pki/$name etc/etcd/pki/ca 20250101000000Z 20260101000000Z; done";

fn state(node: &Node) -> String {
    node.run("systemctl show etcd -p ActiveState --value").trim().to_owned()
}

/// Every member was stopped, and waits for the others since.
fn all_are_started_again(cluster: &Cluster) {
    cluster.nodes.iter().for_each(|node| {
        node.run("systemctl stop etcd");
    });
    for node in &cluster.nodes {
        node.run("systemctl start --no-block etcd");
        wait_until("etcd waits for the others", || state(node) == "activating");
    }
}

fn each_port_shows_what_is_in_its_file(cluster: &Cluster) {
    for node in &cluster.nodes {
        assert_eq!(cluster.shows(node, 2379), cluster.in_file(node, "server"));
        assert_eq!(cluster.shows(node, 2380), cluster.in_file(node, "peer"));
    }
}

#[test]
fn etcd_whose_certificates_have_all_expired_comes_back_with_one_run() {
    let cluster = Cluster::new();
    cluster.write();
    cluster.nodes.iter().for_each(|node| by_hand(&node.disk(""), EXPIRE));
    all_are_started_again(&cluster);
    // As after so many failures that systemd has given up.
    let folder = cluster.nodes[1].disk("etc/systemd/system/etcd.service.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("once.conf"), "[Service]\nRestart=no\n").unwrap();
    cluster.nodes[1].run("systemctl daemon-reload; systemctl kill --signal=KILL etcd");
    wait_until("etcd has failed", || state(&cluster.nodes[1]) == "failed");
    let text = cluster.controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert!(
        crate::words(&text)
            .contains("phase 1 (quorum), to bring etcd back, whose members wait for each other"),
        "{text}"
    );
    let text = cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(text.contains("follows a leader"), "{text}");
    cluster.everything_written_is_there();
    each_port_shows_what_is_in_its_file(&cluster);
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}

/// Another CA of the same name, with its key, in the place of that of the cluster.
const ANOTHER_CA: &str = "rm etc/etcd/pki/ca.key; new_ca etc/etcd/pki/ca etcd-ca";

/// All that it has signed, signed by the CA that lies there.
const BELOW_IT: &str = "for name in server peer client; do \
    reissue etc/etcd/pki/$name etc/etcd/pki/ca $CA_STARTS 20271121234434Z; done";

/// Two of three members have a CA that the third one has not.
fn two_have_another_ca(cluster: &Cluster) {
    by_hand(&cluster.nodes[1].disk(""), ANOTHER_CA);
    let from = cluster.nodes[1].disk("etc/etcd/pki");
    by_hand(&cluster.nodes[2].disk(""), &format!("cp {0}/ca.crt {0}/ca.key etc/etcd/pki/", from.display()));
}

/// Without the flag it is said what is broken and what would be done, and nothing is touched; with it one run heals everything.
fn is_healed_where_an_outage_is_accepted(cluster: &Cluster) {
    let starts = cluster.starts();
    let text = cluster.controller.ends(3, &["plan", "-f", "spec.yaml"]);
    let [one, two, three] = [0, 1, 2].map(|index| &cluster.nodes[index].name);
    let said = crate::words(&text);
    assert!(
        said.contains("etcd-ca has become two CAs")
            && said.contains(&format!("which is held with its key on {two}, {three}, puts it on {one}"))
            && said.contains("--accept-outage keeps CN=etcd-ca"),
        "{text}"
    );
    let text = cluster.controller.ends(3, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(text.contains("Plan: blocked by"), "{text}");
    assert_eq!(cluster.starts(), starts);
    // There is no ordinary yes to it: it is approved by its name, for exactly the plan that was looked at.
    let plain = ["apply", "-f", "spec.yaml", "--yes", "--accept-outage", "--no-input"];
    let text = cluster.controller.ends(6, &plain);
    assert!(text.contains("Needs --confirm etcd-1/outage"), "{text}");
    assert_eq!(cluster.starts(), starts);
    let (_, digest) = cluster.controller.save_plan("plan.json", &["--accept-outage"]);
    let approved = ["apply", "plan.json", "--confirm", "etcd-1/outage", "--expect-digest", &digest];
    let text = cluster.controller.ends(0, &approved);
    assert!(crate::words(&text).contains("Outage, accepted: etcd-ca has become two CAs"), "{text}");
    cluster.everything_written_is_there();
    each_port_shows_what_is_in_its_file(cluster);
    let authority = |node: &Node| cluster.in_file(node, "ca");
    assert_eq!(authority(&cluster.nodes[0]), authority(&cluster.nodes[1]));
    assert_eq!(authority(&cluster.nodes[2]), authority(&cluster.nodes[1]));
    for flags in [&["--exit-code"][..], &["--exit-code", "--accept-outage"]] {
        cluster.controller.ends(0, &[&["plan", "-f", "spec.yaml"][..], flags].concat());
    }
    cluster.is_left_clean();
}

#[test]
fn members_that_refuse_each_other_for_two_cas_are_healed_where_an_outage_is_accepted() {
    let cluster = Cluster::new();
    cluster.write();
    two_have_another_ca(&cluster);
    all_are_started_again(&cluster);
    is_healed_where_an_outage_is_accepted(&cluster);
}

#[test]
fn a_member_that_the_others_have_left_behind_with_their_new_ca_is_healed_where_an_outage_is_accepted() {
    let cluster = Cluster::new();
    cluster.write();
    std::fs::write(cluster.nodes[0].disk("var/lib/tests/stop"), "").unwrap();
    wait_until("the writer has stopped", || cluster.nodes[0].disk("var/lib/tests/stopped").exists());
    two_have_another_ca(&cluster);
    cluster.nodes.iter().for_each(|node| {
        node.run("systemctl stop etcd");
    });
    for node in &cluster.nodes[1..] {
        by_hand(&node.disk(""), BELOW_IT);
    }
    cluster.nodes.iter().for_each(|node| {
        node.run("systemctl start --no-block etcd");
    });
    wait_until("two of three have a quorum", || state(&cluster.nodes[1]) == "active");
    wait_until("the third one waits", || state(&cluster.nodes[0]) == "activating");
    is_healed_where_an_outage_is_accepted(&cluster);
}

/// As a real kubelet it does nothing with a certificate that has expired, replaces a pod whose manifest has changed, and ends one whose manifest is gone. Where it
/// ends, its pods end.
const KUBELET: &str = r#"#!/bin/bash
cd /etc/kubernetes
own=/var/lib/kubelet/pki/kubelet-client-current.pem
if ! grep -q "client-certificate: $own" kubelet.conf; then
  own=/run/kubelet.pem
  sed -n 's/^ *client-certificate-data: //p' kubelet.conf | base64 -d >$own
fi
openssl x509 -noout -checkend 0 -in $own || exit 1
declare -A known pids
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=own -keyout /run/own.key -out /run/own.crt 2>/dev/null
while :; do
  for manifest in manifests/*.yaml; do
    content=$(sha256sum "$manifest" 2>/dev/null)
    [ -n "$content" ] || continue
    [ "$content" != "${known[$manifest]}" ] || continue
    known[$manifest]=$content
    [ -z "${pids[$manifest]}" ] || { kill "${pids[$manifest]}"; wait "${pids[$manifest]}"; }
    answers=
    case $manifest in
      */etcd.yaml) (set -a; . /etc/default/etcd; exec /usr/bin/etcd) >/dev/null 2>&1 & pids[$manifest]=$!; continue ;;
      */kube-scheduler.yaml) port=10259 pair=/run/own ;;
      */kube-controller-manager.yaml) port=10257 pair=/run/own ;;
      */kube-apiserver.yaml) cp pki/apiserver.crt pki/apiserver.key /run/; port=6443 pair=/run/apiserver answers=-www ;;
    esac
    openssl s_server -quiet $answers -accept $port -cert $pair.crt -key $pair.key </dev/null >/dev/null 2>&1 &
    pids[$manifest]=$!
  done
  for manifest in "${!pids[@]}"; do
    [ ! -e "$manifest" ] || continue
    kill ${pids[$manifest]}
    wait ${pids[$manifest]}
    unset "pids[$manifest]" "known[$manifest]"
  done
  sleep 0.1
done
"#;

/// All that lies below the CAs of a control plane, issued in the past.
const EXPIRE_ALL: &str = r#"
past="20250101000000Z 20260101000000Z"
for name in apiserver apiserver-kubelet-client; do reissue $PKI/$name $PKI/ca $past; done
reissue $PKI/front-proxy-client $PKI/front-proxy-ca $past
for name in apiserver-etcd-client etcd/server etcd/peer etcd/healthcheck-client; do reissue $PKI/$name $PKI/etcd/ca $past; done
for name in admin controller-manager scheduler; do reissue_kubeconfig $KUBERNETES/$name.conf $PKI/ca $past; done
"#;

/// A control plane whose static pods a kubelet runs, an etcd with data among them, made by pki from nothing.
fn control_plane() -> (Vec<Node>, Controller) {
    let (nodes, controller) = (Node::take(3), Controller::new(&[]));
    let places = nodes.iter().map(|node| {
        format!("    {}: {{ address: {}, roles: [control-plane, etcd] }}\n", node.name, node.address())
    });
    controller.spec(&format!(
        "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: prod-eu1 }}\nspec:\n  profile: kubeadm\n  \
         kubernetesVersion: v1.20.2\n  cluster: {{ controlPlaneEndpoint: \"{}:6443\", serviceSubnet: 10.96.0.0/12 }}\n  \
         defaults: {{ keyAlgorithm: ecdsa-p256 }}\n  connection: {{ ssh: {{}} }}\n  rollout: {{ settle: 1s, timeout: 30s }}\n  nodes:\n{}",
        nodes[0].address(),
        places.collect::<String>()
    ));
    controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    let peers = nodes.iter().map(|node| format!("{}=https://{}:2380", node.name, node.address()));
    let peers = peers.collect::<Vec<_>>().join(",");
    for node in &nodes {
        let (name, address) = (&node.name, node.address());
        let pki = "/etc/kubernetes/pki/etcd";
        let settings = format!(
            "ETCD_NAME={name}\nETCD_DATA_DIR=/var/lib/etcd/default\nETCD_INITIAL_CLUSTER={peers}\n\
             ETCD_LISTEN_PEER_URLS=https://{address}:2380\nETCD_INITIAL_ADVERTISE_PEER_URLS=https://{address}:2380\n\
             ETCD_LISTEN_CLIENT_URLS=https://{address}:2379,https://127.0.0.1:2379\n\
             ETCD_ADVERTISE_CLIENT_URLS=https://{address}:2379\nETCD_CLIENT_CERT_AUTH=true\nETCD_PEER_CLIENT_CERT_AUTH=true\n\
             ETCD_CERT_FILE={pki}/server.crt\nETCD_KEY_FILE={pki}/server.key\nETCD_TRUSTED_CA_FILE={pki}/ca.crt\n\
             ETCD_PEER_CERT_FILE={pki}/peer.crt\nETCD_PEER_KEY_FILE={pki}/peer.key\nETCD_PEER_TRUSTED_CA_FILE={pki}/ca.crt\n"
        );
        std::fs::write(node.disk("etc/default/etcd"), settings).unwrap();
        std::fs::create_dir_all(node.disk("etc/kubernetes/manifests")).unwrap();
        for pod in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let manifest = format!(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {pod}\n  namespace: kube-system\nspec:\n  containers:\n  - name: {pod}\n    command: [{pod}]\n"
            );
            std::fs::write(node.disk("etc/kubernetes/manifests").join(format!("{pod}.yaml")), manifest)
                .unwrap();
        }
        std::fs::create_dir_all(node.disk("var/lib/tests")).unwrap();
        std::fs::write(node.disk("var/lib/tests/kubelet"), KUBELET).unwrap();
        let unit = "[Service]\nExecStart=/bin/bash /var/lib/tests/kubelet\nRestart=always\n";
        std::fs::write(node.disk("etc/systemd/system/kubelet.service"), unit).unwrap();
        node.run("systemctl daemon-reload; systemctl start kubelet");
    }
    (nodes, controller)
}

fn etcd_is_healthy(nodes: &[Node]) {
    let pki = "/etc/kubernetes/pki/etcd";
    for node in nodes {
        let asks = format!(
            "ETCDCTL_API=3 etcdctl --cacert {pki}/ca.crt --cert {pki}/healthcheck-client.crt --key {pki}/healthcheck-client.key \
             --endpoints https://{}:2379 endpoint health",
            node.address()
        );
        wait_until("etcd is healthy", || node.ssh(&asks).status.success());
    }
}

#[test]
fn a_control_plane_whose_certificates_have_all_expired_comes_back_with_one_run() {
    let (nodes, controller) = control_plane();
    etcd_is_healthy(&nodes);
    controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    for (node, rotates) in nodes.iter().zip([false, false, true]) {
        by_hand(&node.disk(""), EXPIRE_ALL);
        by_hand(
            &node.disk(""),
            match rotates {
                true => "kubelet_rotated . 20250101000000Z 20260101000000Z",
                false => {
                    "reissue_kubeconfig $KUBERNETES/kubelet.conf $PKI/ca 20250101000000Z 20260101000000Z"
                }
            },
        );
        node.run("systemctl restart kubelet || true");
        wait_until("the kubelet has given up", || {
            node.run("systemctl show kubelet -p ActiveState --value").trim() == "failed"
        });
    }
    let text = controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(
        crate::words(&text).contains("phase 1 (quorum), to bring etcd back")
            && crate::words(&text).contains("phase 2 (ordinary), to do everything else"),
        "{text}"
    );
    etcd_is_healthy(&nodes);
    for node in &nodes {
        assert_eq!(node.run("systemctl is-active kubelet").trim(), "active");
        for (port, name) in [(2379, "etcd/server"), (2380, "etcd/peer"), (6443, "apiserver")] {
            let shown = node.run(&format!(
                "openssl s_client -connect {}:{port} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256",
                node.address()
            ));
            let file = format!("openssl x509 -noout -fingerprint -sha256 -in /etc/kubernetes/pki/{name}.crt");
            assert_eq!(shown, node.run(&file), "port {port} of {}", node.name);
        }
    }
    controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    // The third one has a directory of the kubelet's own that is called pki too.
    nodes[..2].iter().for_each(|node| node.is_left_clean("afterwards"));
}
