//! Where the files of etcd lie on machines of the lab: plainly, as on a master of ACK, and as on a controller of StarlingX.
//!
//! Enters: nodes. Leaves: what a spec says of such a layout, and which files a member and its clients use there.

use crate::nodes::Node;

/// A certificate and its key.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Which files a member and its clients use.
pub(crate) struct Files {
    pub(crate) server: Pair,
    pub(crate) client: Pair,
    /// The CA certificates that clients are checked with, and members by clients.
    pub(crate) trusted: String,
    /// What members show each other, and the CA certificates that they check it with; none where they speak without TLS.
    pub(crate) peer: Option<(Pair, String)>,
}

/// How the files of etcd lie.
pub(crate) struct Layout {
    pub(crate) profile: &'static str,
    pub(crate) roles: &'static str,
    /// As whom members run.
    pub(crate) user: &'static str,
    /// What a spec says besides its nodes.
    pub(crate) spec: String,
    /// What the member of a node is called, which is the first one, the second one and so on.
    pub(crate) member: fn(&Node, usize) -> String,
    /// The files on this node.
    pub(crate) files: fn(&Node, usize) -> Files,
    /// Where members listen for clients.
    pub(crate) listens: fn(&Node) -> String,
}

impl Pair {
    /// As kubeadm calls them.
    pub(crate) fn crt(path: &str) -> Self {
        Self { certificate: format!("{path}.crt"), key: format!("{path}.key") }
    }

    /// As cfssl calls them.
    pub(crate) fn pem(path: &str) -> Self {
        Self { certificate: format!("{path}.pem"), key: format!("{path}-key.pem") }
    }

    /// Where one waits that is to take its place.
    pub(crate) fn next(&self) -> Self {
        match self.certificate.strip_suffix(".pem") {
            Some(path) => Self::pem(&format!("{path}-next")),
            None => Self::crt(&self.certificate.replace(".crt", "-next")),
        }
    }
}

impl Layout {
    /// One CA, and a pair for each purpose on each member.
    pub(crate) fn plain() -> Self {
        let files = |_: &Node, _| Files {
            server: Pair::crt("/etc/etcd/pki/server"),
            client: Pair::crt("/etc/etcd/pki/client"),
            trusted: "/etc/etcd/pki/ca.crt".to_owned(),
            peer: Some((Pair::crt("/etc/etcd/pki/peer"), "/etc/etcd/pki/ca.crt".to_owned())),
        };
        Self {
            profile: "etcd",
            roles: "etcd",
            user: "etcd",
            spec: String::new(),
            member: |node, _| node.name.clone(),
            files,
            listens: both,
        }
    }

    /// A CA for clients and one for peers, pairs that all masters share, called after the members' addresses, on a data disk behind the link that ACK asks for.
    pub(crate) fn ack(nodes: &[Node]) -> Self {
        let member = |node: &Node, number: usize| format!("{}-name-{number}", node.address());
        let files = |node: &Node, number: usize| Files {
            server: Pair::pem("/var/lib/etcd/cert/etcd-server"),
            client: Pair::pem("/var/lib/etcd/cert/etcd-client"),
            trusted: "/var/lib/etcd/cert/ca.pem".to_owned(),
            peer: Some((
                Pair::pem(&format!("/var/lib/etcd/cert/{}-name-{number}", node.address())),
                "/var/lib/etcd/cert/peer-ca.pem".to_owned(),
            )),
        };
        let spec = format!(
            "  kubernetesVersion: v1.20.11\n{}  defaults: {{ validity: 50y, authorityValidity: 50y, renewBefore: 60d, alarmBefore: 60d }}\n  \
             directories:\n    etcd-cert: {{ path: /data/etcd/cert, link: /var/lib/etcd/cert }}\n",
            endpoint(&nodes[0].address())
        );
        // Its certificates are good for the addresses of members alone.
        let listens = |node: &Node| format!("https://{}:2379", node.address());
        Self { profile: "ack", roles: "control-plane, etcd", user: "etcd", spec, member, files, listens }
    }

    /// A root CA of etcd's own and one pair for all members, with names of the floating address; members speak with each other without TLS.
    pub(crate) fn starlingx(nodes: &[Node], floating: &str) -> Self {
        let files = |_: &Node, _| Files {
            server: Pair::crt("/etc/etcd/etcd-server"),
            client: Pair::crt("/etc/etcd/etcd-client"),
            trusted: "/etc/etcd/ca.crt".to_owned(),
            peer: None,
        };
        let addresses: Vec<String> = nodes.iter().map(Node::address).collect();
        let spec = format!(
            "  kubernetesVersion: v1.29.2\n{}  defaults: {{ validity: 365d, renewBefore: 15d }}\n  \
             certificates: {{ etcd-server: {{ names: {{ ip: [{}] }} }} }}\n",
            endpoint(floating),
            addresses.join(", ")
        );
        Self {
            profile: "starlingx",
            roles: "control-plane, etcd",
            user: "root",
            spec,
            member: |node, _| node.name.clone(),
            files,
            // On whichever controller the floating address is.
            listens: |_| "https://0.0.0.0:2379".to_owned(),
        }
    }
}

fn endpoint(host: &str) -> String {
    format!("  cluster: {{ controlPlaneEndpoint: \"{host}:6443\", serviceSubnet: 10.96.0.0/12 }}\n")
}

fn both(node: &Node) -> String {
    format!("https://{}:2379,https://127.0.0.1:2379", node.address())
}
