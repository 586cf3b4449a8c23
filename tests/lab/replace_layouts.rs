//! The CAs of a running etcd are replaced where its files lie as ACK and StarlingX have them.

use crate::etcd::{Cluster, network};
use crate::layouts::{Layout, Pair};
use crate::nodes::Node;
use crate::replacement::{Ca, Going, Replacement, count_starts, each_was_started, make_leaf, told};

#[test]
fn both_cas_of_ack_are_replaced_in_one_run_and_share_two_restarts_of_each_member() {
    let nodes = Node::take(3);
    let layout = Layout::ack(&nodes);
    let cluster = Cluster::laid_out(nodes, layout, "", "");
    let cert = |name: &str| Pair::pem(&format!("/var/lib/etcd/cert/{name}"));
    let going = vec![
        Going { authority: "etcd-ca", files: cert("ca"), ports: &[2379] },
        Going { authority: "etcd-peer-ca", files: cert("peer-ca"), ports: &[2380] },
    ];
    let replacement = Replacement::new(cluster, going);
    replacement.distrust();
    let cluster = &replacement.cluster;
    count_starts(cluster);
    let text = replacement.goes_through_its_barriers();
    assert!(text.contains("etcd 2 of 3 at least"), "{text}");
    each_was_started(cluster, 2);
    for node in &cluster.nodes {
        assert_eq!(node.run("readlink /var/lib/etcd/cert"), "/data/etcd/cert\n");
        let own = cluster.files(node);
        for copied in [&own.trusted, &own.client.certificate, &own.client.key] {
            let name = copied.rsplit('/').next().unwrap();
            node.run(&format!("cmp {copied} /etc/kubernetes/pki/etcd/{name}"));
        }
        for (pair, ca) in [(own.server, "ca"), (own.client, "ca"), (own.peer.unwrap().0, "peer-ca")] {
            node.run(&format!("openssl verify -CAfile {} {}", cert(ca).certificate, pair.certificate));
        }
        // Every master holds the same.
        let all = "cd /var/lib/etcd/cert; sha256sum *.pem";
        assert_eq!(node.run(all), cluster.nodes[0].run(all), "{}", node.name);
    }
    cluster.is_left_clean();
}

/// An address beside its own on the network of a node, until this value ends.
struct Floating {
    name: String,
    address: String,
}

impl Floating {
    fn on(node: &Node) -> Self {
        // .11 to .24 are nodes, .111 to .124 are of others, and .211 to .224 nobody.
        let address = node.address().replacen("10.77.0.", "10.77.0.2", 1);
        let floating = Self { name: node.name.clone(), address };
        assert!(network(&floating.name, &format!("address replace {}/32 dev eth0", floating.address)));
        floating
    }
}

impl Drop for Floating {
    fn drop(&mut self) {
        network(&self.name, &format!("address del {}/32 dev eth0", self.address));
    }
}

/// As the platform does: roles for the user of the API server, and root for those who look after it, both by the names in their certificates.
const WITH_USERS: &str = ". /var/lib/tests/client; export ETCDCTL_ENDPOINTS=$own
    etcdctl user add root --no-password && etcdctl user grant-role root root
    etcdctl user add apiserver-etcd-client --no-password && etcdctl role add apiserver
    etcdctl role grant-permission apiserver --prefix=true readwrite /registry/
    etcdctl user grant-role apiserver-etcd-client apiserver && etcdctl auth enable";

#[test]
fn a_running_starlingx_gets_a_custom_root() {
    let nodes = Node::take(3);
    let floating = Floating::on(&nodes[0]);
    let layout = Layout::starlingx(&nodes, &floating.address);
    let cluster = Cluster::laid_out(nodes, layout, "", "");
    cluster.nodes[0].run(WITH_USERS);
    let going = Going { authority: "etcd-ca", files: Pair::crt("/etc/etcd/ca"), ports: &[2379] };
    let replacement = Replacement::new(cluster, vec![going]);
    let cluster = &replacement.cluster;
    custom_root(cluster, "root", None);
    cluster.spec("  authorities: { etcd-ca: { source: { certificate: ./root.crt, key: ./root.key } } }\n");
    count_starts(cluster);
    replacement.goes_through_its_barriers();
    each_was_started(cluster, 2);
    let root = std::fs::read_to_string(cluster.controller.at("root.crt")).unwrap();
    for node in &cluster.nodes {
        assert_eq!(node.run("cat /etc/etcd/ca.crt"), root, "{}", node.name);
        let shared = "cd /etc/etcd; sha256sum *";
        assert_eq!(node.run(shared), cluster.nodes[0].run(shared), "{}", node.name);
    }
    // Who is who is told by the names in certificates still.
    let as_the_server = |key: &str| {
        format!(
            ". /var/lib/tests/client; cd /etc/kubernetes/pki; export ETCDCTL_CERT=apiserver-etcd-client.crt \
             ETCDCTL_KEY=apiserver-etcd-client.key; etcdctl --endpoints $all put {key} 1"
        )
    };
    cluster.nodes[1].run(&as_the_server("/registry/a"));
    assert!(!cluster.nodes[1].ssh(&as_the_server("elsewhere")).status.success());
    told("the users of etcd are whom they were\n");
    cluster.is_left_clean();
}

#[test]
fn a_running_etcd_gets_an_intermediate_and_trusts_nothing_else_of_its_organisation() {
    let mut replacement = Replacement::of_plain_etcd();
    let cluster = &replacement.cluster;
    custom_root(cluster, "organisation", None);
    custom_root(cluster, "intermediate", Some("organisation"));
    cluster.spec(
        "  authorities: { etcd-ca: { source: { certificate: ./intermediate.crt, key: ./intermediate.key } } }\n",
    );
    count_starts(cluster);
    replacement.goes_through_its_barriers();
    each_was_started(&replacement.cluster, 2);
    // What the root above it issued is refused.
    let node = &replacement.cluster.nodes[0];
    for kind in ["crt", "key"] {
        let file = replacement.cluster.controller.at(&format!("organisation.{kind}"));
        std::fs::copy(file, node.disk(&format!("var/lib/tests/organisation.{kind}"))).unwrap();
    }
    make_leaf(node, "old-organisation", &Pair::crt("/var/lib/tests/organisation"));
    replacement.going[0].authority = "organisation";
    replacement.all_take(Ca::Old, false, "issued by the root above");
    replacement.cluster.is_left_clean();
}

/// A CA of the organisation, beside the spec: a root, or one that another one issued, which stands behind it.
fn custom_root(cluster: &Cluster, name: &str, issuer: Option<&str>) {
    let mut openssl = std::process::Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650"]);
    openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.crt")]);
    openssl.args(["-subj", &format!("/O=Example/CN=Example {name}")]);
    openssl.args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
    if let Some(issuer) = issuer {
        openssl.args(["-CA", &format!("{issuer}.crt"), "-CAkey", &format!("{issuer}.key")]);
    }
    crate::well(&openssl.current_dir(cluster.controller.path()).output().unwrap());
    if let Some(issuer) = issuer {
        let [own, above] = [name, issuer].map(|name| cluster.controller.at(&format!("{name}.crt")));
        let chain = [&own, &above].map(|file| std::fs::read_to_string(file).unwrap()).concat();
        std::fs::write(own, chain).unwrap();
    }
}
