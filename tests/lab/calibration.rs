//! The simulation beside a real etcd: what the reload table says of each file is what the processes do, and of a wrong plan that is carried out all the same exactly
//! those connections break that the simulation names.
//!
//! The table is read from the built-in profiles, so that a wrong row of it fails here.

mod planted;

use pki::profile::{At, Profile, Read, Reload, What};
use pki::types::profile_name::ProfileName;

use crate::etcd::Cluster;
use crate::nodes::{Node, wait_until};

/// Makes another authority, with which `issue` signs what is for tests.
const AUTHORITY: &str = "mkdir -p /var/lib/tests; cd /var/lib/tests; \
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=other-ca -keyout other.key -out other.crt 2>/dev/null";

/// Issues a certificate with these names to a pair of files, which take the place of what is there, the key first.
fn issue(node: &Node, authority: &str, names: &str, pair: &str) {
    let extensions = match names {
        "" => "extendedKeyUsage=clientAuth,serverAuth".to_owned(),
        names => format!("extendedKeyUsage=clientAuth,serverAuth\\nsubjectAltName={names}"),
    };
    node.run(&format!(
        "cd /var/lib/tests; printf '{extensions}' >extensions; \
         openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=by-hand -keyout new.key -out new.csr 2>/dev/null; \
         openssl x509 -req -in new.csr -CA {authority}.crt -CAkey {authority}.key -CAcreateserial -days 9 -extfile extensions -out new.crt 2>/dev/null; \
         for part in key crt; do [ ! -e {pair}.$part ] || chown --reference={pair}.$part new.$part; mv new.$part {pair}.$part; done"
    ));
}

/// All names by which a member is called.
fn own_names(node: &Node) -> String {
    format!("DNS:{},DNS:localhost,IP:{},IP:127.0.0.1", node.name, node.address())
}

/// Whether a member answers a request of somebody who shows this pair. With TLS 1.3 a handshake ends before the client is judged, so only an answer counts.
fn answers(from: &Node, to: &Node, port: u16, pair: &str) -> bool {
    let request = format!(
        "printf 'GET /version HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -connect {}:{port} -cert {pair}.crt -key {pair}.key 2>/dev/null",
        to.address()
    );
    String::from_utf8_lossy(&from.ssh(&request).stdout).contains("etcdserver")
}

/// Whether somebody finds a member's own etcd healthy who shows the client's pair and trusts the client's authorities.
fn client_works(node: &Node) -> bool {
    node.ssh(". /var/lib/tests/client; etcdctl --endpoints $own endpoint status").status.success()
}

/// When a process was seen to take up a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    AtTheNextHandshake,
    AtItsStart,
}

/// What a row of the table says.
fn said(read: &Read) -> Seen {
    match read.reload(None) {
        Reload::Handshake => Seen::AtTheNextHandshake,
        Reload::Start => Seen::AtItsStart,
        other @ (Reload::Watch | Reload::Poll(_)) => panic!("etcd neither watches nor polls: {other:?}"),
    }
}

impl Cluster {
    fn restart(&self, node: &Node) {
        node.run("systemctl restart etcd");
        self.is_healthy();
    }

    /// Replaces the pair behind a port and looks what is shown there.
    fn seen_of_pair(&self, node: &Node, name: &str, port: u16) -> Seen {
        let (before, start) = (self.shows(node, port), node.run("systemctl show etcd -p InvocationID"));
        issue(node, "/etc/etcd/pki/ca", &own_names(node), &format!("/etc/etcd/pki/{name}"));
        assert_ne!(self.in_file(node, name), before);
        let seen = match self.shows(node, port) {
            shown if shown == self.in_file(node, name) => Seen::AtTheNextHandshake,
            shown => {
                assert_eq!(shown, before);
                Seen::AtItsStart
            }
        };
        assert_eq!(node.run("systemctl show etcd -p InvocationID"), start, "nobody has restarted it");
        self.restart(node);
        assert_eq!(self.shows(node, port), self.in_file(node, name));
        seen
    }

    /// Adds an authority to those that a member trusts and looks whether a client, and a peer, of it is accepted.
    fn seen_of_trust(&self, node: &Node) -> Seen {
        node.run(AUTHORITY);
        issue(node, "/var/lib/tests/other", &own_names(node), "/var/lib/tests/stranger");
        let ports = [2379, 2380];
        let accepted = || ports.map(|port| answers(node, node, port, "/var/lib/tests/stranger"));
        let own = || ports.map(|port| answers(node, node, port, "/etc/etcd/pki/peer"));
        assert_eq!((accepted(), own()), ([false; 2], [true; 2]), "nobody trusts it yet");
        node.run("cat /var/lib/tests/other.crt >>/etc/etcd/pki/ca.crt");
        let seen = match accepted() {
            [true, true] => Seen::AtTheNextHandshake,
            [false, false] => Seen::AtItsStart,
            other => panic!("one port trusts what the other one does not: {other:?}"),
        };
        self.restart(node);
        assert_eq!((accepted(), own()), ([true; 2], [true; 2]), "after a restart it is trusted");
        // And what is not trusted any more still is until the next one.
        node.run("cd /etc/etcd/pki; sed '/END CERTIFICATE/q' ca.crt >/var/lib/tests/first; cat /var/lib/tests/first >ca.crt");
        let still = if accepted() == [true; 2] { Seen::AtItsStart } else { Seen::AtTheNextHandshake };
        assert_eq!(still, seen);
        self.restart(node);
        assert_eq!((accepted(), own()), ([false; 2], [true; 2]));
        seen
    }

    fn seen(&self, what: &What, node: &Node) -> Seen {
        match what {
            What::Identity(identity) if identity.as_str() == "etcd-server" => {
                self.seen_of_pair(node, "server", 2379)
            }
            What::Identity(identity) if identity.as_str() == "etcd-peer" => {
                self.seen_of_pair(node, "peer", 2380)
            }
            What::Trust(authority) if authority.as_str() == "etcd-ca" => self.seen_of_trust(node),
            What::Identity(_)
            | What::Trust(_)
            | What::Signer(_)
            | What::KubeconfigTrust(_)
            | What::KeyPair(_) => panic!("a row of the table without a test: {what:?}"),
        }
    }
}

#[test]
fn each_row_of_the_reload_table_is_what_a_real_etcd_does() {
    let cluster = Cluster::new();
    let mut rows: Vec<(String, Seen, Seen)> = Vec::new();
    for profile in [ProfileName::Etcd, ProfileName::Kubeadm] {
        let table = Profile::load(profile).unwrap();
        let reads = &table.services["etcd"].reads;
        assert_eq!(reads.len(), 3, "{profile}");
        for read in reads {
            let told = format!("{:?}", read.what);
            // One etcd answers for both layouts.
            let known = rows.iter().find(|(known, ..)| *known == told).map(|(.., seen)| *seen);
            let seen = known.unwrap_or_else(|| cluster.seen(&read.what, &cluster.nodes[1]));
            assert_eq!(said(read), seen, "{profile}: {told}");
            rows.push((told, said(read), seen));
        }
    }
    assert_eq!(rows.len(), 6);
    cluster.is_healthy();
    cluster.is_left_clean();
}

#[test]
fn a_client_reads_its_pair_and_its_authorities_each_time_it_is_run() {
    let table = Profile::load(ProfileName::Etcd).unwrap();
    // Of programs the simulation assumes this of all that they read; etcdctl calls every member.
    assert!(table.programs["etcdctl"].dials.iter().all(|dial| dial.at == At::Every));
    let cluster = Cluster::new();
    let node = &cluster.nodes[1];
    assert!(client_works(node));
    node.run(AUTHORITY);
    node.run("cp -p /etc/etcd/pki/client.crt /etc/etcd/pki/client.key /etc/etcd/pki/ca.crt /var/lib/tests/");
    issue(node, "/var/lib/tests/other", "", "/etc/etcd/pki/client");
    assert!(!client_works(node), "it shows what nobody trusts");
    issue(node, "/etc/etcd/pki/ca", "", "/etc/etcd/pki/client");
    assert!(client_works(node), "it shows what is new and trusted");
    node.run("cat /var/lib/tests/other.crt >/etc/etcd/pki/ca.crt");
    assert!(!client_works(node), "it trusts nobody who is there");
    node.run("cat /var/lib/tests/ca.crt >/etc/etcd/pki/ca.crt");
    wait_until("it trusts again", || client_works(node));
    cluster.is_left_clean();
}
