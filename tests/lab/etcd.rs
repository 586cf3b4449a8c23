//! A running etcd cluster with TLS and client certificates everywhere: made, renewed and restarted under a writer whose acknowledged writes must all be there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::controller::Controller;
use crate::layouts::{Files, Layout};
use crate::nodes::{Node, wait_until};

/// Where the writer keeps which writes were acknowledged, and when.
const WRITES: &str = "var/lib/tests/writes";
/// Writes numbered keys until it is told to stop. A line is on the disk before the next key is written.
const WRITER: &str = r#"
mkdir -p /var/lib/tests
. /var/lib/tests/client
number=0
while [ ! -e /var/lib/tests/stop ]; do
  number=$((number + 1))
  if etcdctl --endpoints "$all" --command-timeout 2s put "key-$number" "$number" >/dev/null 2>&1; then
    echo "$(date +%s%N) $number" >>/var/lib/tests/writes
    sync /var/lib/tests/writes
  fi
  # The machine is everybody's.
  sleep 0.02
done
touch /var/lib/tests/stopped
"#;
/// Reads one key after the other, each time through a quorum, until the writer is told to stop.
const READER: &str = r#"
. /var/lib/tests/client
while [ ! -e /var/lib/tests/stop ]; do
  if etcdctl --endpoints "$all" --command-timeout 2s get key-1 >/dev/null 2>&1; then
    date +%s%N >>/var/lib/tests/reads
  fi
  sleep 0.05
done
touch /var/lib/tests/reader-stopped
"#;
/// Counts the healthy members until the writer is told to stop.
const COUNTER: &str = r#"
. /var/lib/tests/client
while [ ! -e /var/lib/tests/stop ]; do
  etcdctl --endpoints "$all" --command-timeout 3s endpoint health 2>&1 | grep -c 'is healthy' >>/var/lib/tests/counts
  sleep 0.1
done
"#;
/// Is told of every write. As a client that reads its files at its start only, it is started anew when one of them has changed, and goes on after the last event
/// that it was told of. Nothing of it names a path in its arguments, by which it would be taken for pki.
const WATCHER: &str = r#"
. /var/lib/tests/client
cd /var/lib/tests
files() { for file in "$ETCDCTL_CACERT" "$ETCDCTL_CERT" "$ETCDCTL_KEY"; do cksum <"$file"; done 2>&1; }
touch watched
while [ ! -e watched-enough ]; do
  loaded=$(files)
  last=$(sed -n 's/^"ModRevision" : //p' watched | tail -n 1)
  echo started >>watched
  etcdctl --endpoints "$all" --write-out fields watch --rev $((last + 1)) --prefix key- >>watched 2>/dev/null &
  while [ ! -e watched-enough ] && kill -0 $! && [ "$(files)" = "$loaded" ]; do sleep 0.2; done
  kill $!
  wait $!
done
touch watcher-stopped
"#;

/// Those who use the cluster.
const CLIENTS: [(&str, &str); 3] = [("watcher", WATCHER), ("writer", WRITER), ("reader", READER)];

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) controller: Controller,
    pub(crate) layout: Layout,
}

/// What the member of a node says of itself.
fn status(node: &Node) -> serde_json::Value {
    let told = node.run(". /var/lib/tests/client; etcdctl --endpoints $own endpoint status -w json");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    told[0]["Status"].clone()
}

impl Cluster {
    /// Three members whose files pki has made over SSH.
    pub(crate) fn new() -> Self {
        Self::with(Node::take(3), "", "")
    }

    /// The same on these nodes, with more of a spec and of etcd's settings.
    pub(crate) fn with(nodes: Vec<Node>, more: &str, setting: &str) -> Self {
        Self::laid_out(nodes, Layout::plain(), more, setting)
    }

    /// The same with files that lie so.
    pub(crate) fn laid_out(nodes: Vec<Node>, layout: Layout, more: &str, setting: &str) -> Self {
        let cluster = Self { nodes, controller: Controller::new(&[]), layout };
        cluster.spec(more);
        cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
        let all = cluster.nodes.iter().map(|node| format!("https://{}:2379", node.address()));
        let all = all.collect::<Vec<_>>().join(",");
        for (node, number) in cluster.nodes.iter().zip(1..) {
            let settings = cluster.settings(node, number);
            std::fs::write(node.disk("etc/default/etcd"), settings + setting).unwrap();
            let Files { client, trusted, .. } = cluster.files(node);
            let client = format!(
                "export ETCDCTL_API=3 ETCDCTL_CACERT={trusted} ETCDCTL_CERT={} ETCDCTL_KEY={}\nall={all}\nown=https://{}:2379\n",
                client.certificate,
                client.key,
                node.address()
            );
            std::fs::create_dir_all(node.disk("var/lib/tests")).unwrap();
            std::fs::write(node.disk("var/lib/tests/client"), client).unwrap();
            let user = format!("[Service]\nUser={}\n", cluster.layout.user);
            cluster.set_up_unit(node, "user.conf", &user);
            node.run("systemctl start --no-block etcd");
        }
        cluster.is_healthy();
        cluster
    }

    /// Adds to the unit of a node's member.
    pub(crate) fn set_up_unit(&self, node: &Node, file: &str, text: &str) {
        let folder = node.disk("etc/systemd/system/etcd.service.d");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
        node.run("systemctl daemon-reload");
    }

    /// The files that the member on a node uses.
    pub(crate) fn files(&self, node: &Node) -> Files {
        let place = self.nodes.iter().position(|other| other.name == node.name).unwrap();
        (self.layout.files)(node, place + 1)
    }

    /// What the unit of a member reads.
    fn settings(&self, node: &Node, number: usize) -> String {
        let Files { server, trusted, peer, .. } = self.files(node);
        let address = node.address();
        let scheme = if peer.is_some() { "https" } else { "http" };
        let of_peer = |(node, number): (&Node, usize)| {
            format!("{}={scheme}://{}:2380", (self.layout.member)(node, number), node.address())
        };
        let peers = self.nodes.iter().zip(1..).map(of_peer).collect::<Vec<_>>().join(",");
        let among_peers = peer.map_or(String::new(), |(pair, trusted)| {
            format!(
                "ETCD_PEER_CERT_FILE={}\nETCD_PEER_KEY_FILE={}\nETCD_PEER_TRUSTED_CA_FILE={trusted}\nETCD_PEER_CLIENT_CERT_AUTH=true\n",
                pair.certificate, pair.key
            )
        });
        format!(
            "ETCD_NAME={}\nETCD_DATA_DIR=/var/lib/etcd/default\nETCD_INITIAL_CLUSTER={peers}\n\
             ETCD_LISTEN_PEER_URLS={scheme}://{address}:2380\nETCD_INITIAL_ADVERTISE_PEER_URLS={scheme}://{address}:2380\n\
             ETCD_LISTEN_CLIENT_URLS={}\nETCD_ADVERTISE_CLIENT_URLS=https://{address}:2379\nETCD_CLIENT_CERT_AUTH=true\n\
             ETCD_CERT_FILE={}\nETCD_KEY_FILE={}\nETCD_TRUSTED_CA_FILE={trusted}\n{among_peers}",
            (self.layout.member)(node, number),
            (self.layout.listens)(node),
            server.certificate,
            server.key
        )
    }

    pub(crate) fn spec(&self, more: &str) {
        let Layout { profile, roles, spec, .. } = &self.layout;
        let nodes = self.nodes.iter();
        let nodes = nodes
            .map(|node| format!("    {}: {{ address: {}, roles: [{roles}] }}\n", node.name, node.address()));
        let nodes: String = nodes.collect();
        self.controller.spec(&format!(
            "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: etcd-1 }}\nspec:\n  profile: {profile}\n  \
             connection: {{ ssh: {{}} }}\n  rollout: {{ settle: 1s, timeout: 20s }}\n{spec}{more}  nodes:\n{nodes}"
        ));
    }

    /// Every member answers with the cluster behind it.
    pub(crate) fn is_healthy(&self) {
        wait_until("etcd is healthy", || {
            self.nodes[0]
                .ssh(". /var/lib/tests/client; etcdctl --endpoints $all endpoint health")
                .status
                .success()
        });
    }

    /// The node whose member leads.
    pub(crate) fn leader(&self) -> &Node {
        let leads = |node: &&Node| {
            let status = status(node);
            status["leader"] == status["header"]["member_id"]
        };
        self.nodes.iter().find(leads).unwrap()
    }

    /// Has the member of a node lead, if it does not yet.
    pub(crate) fn let_lead(&self, node: &Node) {
        let member = status(node)["header"]["member_id"].as_u64().unwrap();
        let lead = format!(". /var/lib/tests/client; etcdctl --endpoints $all move-leader {member:x}");
        wait_until("the member leads", || {
            self.leader().name == node.name
                || node.ssh(&lead).status.success() && self.leader().name == node.name
        });
    }

    /// Which start of etcd each node has.
    pub(crate) fn starts(&self) -> Vec<String> {
        self.nodes.iter().map(start).collect()
    }

    /// Starts a writer, a reader and a watcher.
    pub(crate) fn write(&self) {
        self.give(&CLIENTS);
    }

    /// The same, and counts again and again how many members are healthy.
    pub(crate) fn write_and_count(&self) {
        self.give(&[&CLIENTS[..], &[("counter", COUNTER)]].concat());
    }

    /// The fewest members that were healthy at any time.
    pub(crate) fn fewest_healthy(&self) -> u32 {
        let text = std::fs::read_to_string(self.nodes[0].disk("var/lib/tests/counts")).unwrap();
        text.lines().filter_map(|line| line.parse().ok()).min().unwrap()
    }

    fn give(&self, scripts: &[(&str, &str)]) {
        for (name, script) in scripts {
            std::fs::write(self.nodes[0].disk("var/lib/tests").join(name), script).unwrap();
        }
        self.start_writer();
        wait_until("writes are acknowledged", || self.written().len() > 10);
    }

    /// Starts the writer with the reader and the watcher, anew after their node has lost its power: the writer begins with the first key again, which has the same
    /// value, and the watcher goes on.
    pub(crate) fn start_writer(&self) {
        let is_given = |name: &&str| self.nodes[0].disk("var/lib/tests").join(name).exists();
        for name in ["watcher", "writer", "reader", "counter"].into_iter().filter(is_given) {
            self.nodes[0].run(&format!("setsid sh /var/lib/tests/{name} </dev/null >/dev/null 2>&1 &"));
        }
    }

    /// The events of which the watcher was told: the revision of each, and the number of the write. The rest of one that was cut short is told again.
    fn watched(&self) -> Vec<(u64, u64)> {
        let text = std::fs::read_to_string(self.nodes[0].disk("var/lib/tests/watched")).unwrap_or_default();
        let (mut events, mut key) = (Vec::new(), None);
        for line in text.lines() {
            if let Some(told) = line.strip_prefix("\"Key\" : \"key-") {
                key = told.trim_end_matches('"').parse().ok();
            } else if let Some(told) = line.strip_prefix("\"ModRevision\" : ") {
                events.extend(told.parse().ok().zip(key.take()));
            }
        }
        events
    }

    /// The watcher was told of every acknowledged write, each once and in its order, however often it was started. Says how often, and ends it.
    fn everything_was_watched(&self, acknowledged: &BTreeSet<u64>) -> String {
        let told = || self.watched().iter().map(|(_, number)| *number).collect::<BTreeSet<u64>>();
        wait_until("the watcher was told of every write", || acknowledged.is_subset(&told()));
        std::fs::write(self.nodes[0].disk("var/lib/tests/watched-enough"), "").unwrap();
        let stopped = self.nodes[0].disk("var/lib/tests/watcher-stopped");
        wait_until("the watcher has stopped", || stopped.exists());
        let revisions: Vec<u64> = self.watched().iter().map(|(revision, _)| *revision).collect();
        let in_order = revisions.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(in_order, "an event was told twice or out of its order: {revisions:?}");
        let text = std::fs::read_to_string(self.nodes[0].disk("var/lib/tests/watched")).unwrap();
        let starts = text.lines().filter(|line| *line == "started").count();
        format!("; {} events watched, with {starts} starts", revisions.len())
    }

    /// The acknowledged writes, with their times in nanoseconds.
    fn written(&self) -> Vec<(u128, u64)> {
        let text = std::fs::read_to_string(self.nodes[0].disk(WRITES)).unwrap_or_default();
        let line = |line: &str| {
            let (time, number) = line.split_once(' ')?;
            Some((time.parse().ok()?, number.parse().ok()?))
        };
        text.lines().filter_map(line).collect()
    }

    /// Ends the writer; each acknowledged write must be read back from each member alone.
    pub(crate) fn everything_written_is_there(&self) {
        std::fs::write(self.nodes[0].disk("var/lib/tests/stop"), "").unwrap();
        wait_until("the writer has stopped", || self.nodes[0].disk("var/lib/tests/stopped").exists());
        self.is_healthy();
        let written = self.written();
        for node in &self.nodes {
            let read =
                node.run(". /var/lib/tests/client; etcdctl --endpoints $own get --prefix key- | paste - -");
            let read: BTreeMap<&str, &str> = read.lines().filter_map(|line| line.split_once('\t')).collect();
            for (_, number) in &written {
                let (key, value) = (format!("key-{number}"), number.to_string());
                assert_eq!(read.get(key.as_str()), Some(&value.as_str()), "{key} on {}", node.name);
            }
        }
        let writes: Vec<u128> = written.iter().map(|(time, _)| *time).collect();
        let mut told = format!("{} writes, longest gap {} ms", writes.len(), longest_gap(&writes));
        told += &self.everything_was_watched(&written.iter().map(|(_, number)| *number).collect());
        let stopped = self.nodes[0].disk("var/lib/tests/reader-stopped");
        wait_until("the reader has stopped", || stopped.exists());
        let reads = std::fs::read_to_string(self.nodes[0].disk("var/lib/tests/reads")).unwrap();
        let reads: Vec<u128> = reads.lines().filter_map(|line| line.parse().ok()).collect();
        assert!(!reads.is_empty());
        told += &format!("; {} reads, longest gap {} ms", reads.len(), longest_gap(&reads));
        told.push('\n');
        std::io::stderr().write_all(told.as_bytes()).unwrap();
    }

    /// What each port of a member shows, by openssl.
    pub(crate) fn shows(&self, node: &Node, port: u16) -> String {
        node.run(&format!(
            "openssl s_client -connect {}:{port} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256",
            node.address()
        ))
    }

    pub(crate) fn in_file(&self, node: &Node, name: &str) -> String {
        node.run(&format!("openssl x509 -noout -fingerprint -sha256 -in /etc/etcd/pki/{name}.crt"))
    }

    pub(crate) fn is_left_clean(&self) {
        for node in &self.nodes {
            node.is_left_clean("afterwards");
        }
    }
}

/// Which start of etcd a node has.
pub(crate) fn start(node: &Node) -> String {
    node.run("systemctl show etcd -p InvocationID --value")
}

/// In milliseconds.
fn longest_gap(times: &[u128]) -> u128 {
    times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or(0) / 1_000_000
}

/// An instant to which nothing that is made later is back-dated.
pub(crate) fn after_everything_made_so_far(node: &Node) -> String {
    let dates = node.run(
        "for file in server peer client; do openssl x509 -noout -startdate -in /etc/etcd/pki/$file.crt; done",
    );
    assert_eq!(dates.lines().count(), 3);
    // Certificates begin five minutes before they are made, so each of an hour's certificates begins before this.
    node.run("date -u -d '4 minutes ago' +%Y-%m-%dT%H:%M:%SZ").trim().to_owned()
}

#[test]
fn a_running_cluster_is_renewed_without_a_restart_and_uses_what_is_new() {
    let cluster = Cluster::new();
    let starts = cluster.starts();
    let shown = |cluster: &Cluster| -> Vec<String> {
        cluster.nodes.iter().flat_map(|node| [2379, 2380].map(|port| cluster.shows(node, port))).collect()
    };
    let before = shown(&cluster);
    cluster.write();
    let cut_off = after_everything_made_so_far(&cluster.nodes[0]);
    cluster.spec(&format!("  authorities: {{ etcd-ca: {{ reissueIssuedBefore: \"{cut_off}\" }} }}\n"));
    let text = cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(text.contains("Checked: no connection breaks; etcd 3 of 3 at least"), "{text}");
    assert!(text.contains("Plan: renew 9, issue 0, trust 0, remove 0, restart 0, repair 0."), "{text}");
    assert_eq!(cluster.starts(), starts, "nothing that the plan does not list was restarted");
    let after = shown(&cluster);
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
    for node in &cluster.nodes {
        assert_eq!(cluster.shows(node, 2379), cluster.in_file(node, "server"));
        assert_eq!(cluster.shows(node, 2380), cluster.in_file(node, "peer"));
    }
    cluster.everything_written_is_there();
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}

#[test]
fn what_was_changed_by_hand_and_is_not_in_use_is_restarted_one_member_after_the_other() {
    let cluster = Cluster::new();
    cluster.write();
    let starts = cluster.starts();
    // As after a renewal by hand: the file is newer than the process that has read it.
    cluster.nodes[1].run("touch /etc/etcd/pki/ca.crt");
    let text = cluster.controller.ends(0, &["status", "-f", "spec.yaml"]);
    assert!(crate::words(&text).contains("renewed, not in use: /etc/etcd/pki/ca.crt changed"), "{text}");
    cluster.controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    let text = cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(text.contains("Plan: renew 0, issue 0, trust 0, remove 0, restart 1, repair 0."), "{text}");
    let now = cluster.starts();
    assert_eq!((&now[0], &now[2]), (&starts[0], &starts[2]));
    assert_ne!(now[1], starts[1]);
    cluster.nodes.iter().for_each(|node| {
        node.run("touch /etc/etcd/pki/ca.crt");
    });
    let text = cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(text.contains("restart 3, repair 0.") && text.contains("etcd 2 of 3 at least"), "{text}");
    assert!(crate::words(&text).contains(":2379 follows a leader, without alarm, and keeps up"), "{text}");
    assert!(text.contains("etcd.service is started anew"), "{text}");
    assert!(cluster.starts().iter().zip(&now).all(|(one, other)| one != other));
    cluster.everything_written_is_there();
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}

#[test]
fn a_member_that_does_not_come_back_stops_the_run_and_a_person_is_told() {
    let cluster = Cluster::new();
    let folder = cluster.nodes[1].disk("etc/systemd/system/etcd.service.d");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("refuse.conf"),
        "[Service]\nRestart=no\nExecStartPre=/usr/bin/test ! -e /var/lib/tests/refuse\n",
    )
    .unwrap();
    cluster.nodes[1].run("systemctl daemon-reload; touch /var/lib/tests/refuse");
    cluster.nodes.iter().for_each(|node| {
        node.run("touch /etc/etcd/pki/ca.crt");
    });
    let text = cluster.controller.ends(12, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(text.contains("A person is needed") && text.contains("etcd.service is active"), "{text}");
    // The others work, whether they came before it or would have come after it: where it leads, it is the last.
    let healthy = ". /var/lib/tests/client; etcdctl --endpoints $own endpoint health";
    assert!(cluster.nodes[0].ssh(healthy).status.success() && cluster.nodes[2].ssh(healthy).status.success());
    crate::nodes::remove(Path::new(&cluster.nodes[1].disk("var/lib/tests/refuse")));
    cluster.nodes[1].run("systemctl reset-failed etcd");
    // The node tries again to put itself back when it is left alone, and holds its lock as long.
    cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--lock-timeout", "1m"]);
    cluster.is_healthy();
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}

/// A node that calls others from another address than they call it at, as behind NAT, until this value ends.
struct Elsewhere<'a> {
    node: &'a Node,
    address: String,
}

impl<'a> Elsewhere<'a> {
    fn new(node: &'a Node) -> Self {
        // .11 to .24 are nodes, and .111 to .124 nobody.
        let address = node.address().replacen("10.77.0.", "10.77.0.1", 1);
        let elsewhere = Self { node, address };
        let (name, address) = (&elsewhere.node.name, &elsewhere.address);
        assert!(network(name, &format!("address replace {address}/32 dev eth0")));
        assert!(network(name, &format!("route replace 10.77.0.0/24 dev eth0 src {address}")));
        elsewhere
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        let Self { node, address } = self;
        network(&node.name, &format!("route replace 10.77.0.0/24 dev eth0 src {}", node.address()));
        network(&node.name, &format!("address del {address}/32 dev eth0"));
    }
}

/// `ip` on the network of a node. From outside: a node of the lab may not.
pub(crate) fn network(node: &str, words: &str) -> bool {
    let namespace = format!("pki-lab-{node}");
    Command::new("ip").args(["-n", &namespace]).args(words.split(' ')).status().unwrap().success()
}

#[test]
fn a_certificate_that_peers_refuse_is_taken_back_and_the_address_is_told() {
    let nodes = Node::take(3);
    let name = nodes[1].name.clone();
    let other = nodes[1].address().replacen("10.77.0.", "10.77.0.1", 1);
    let names = |names: &str| format!("  certificates: {{ etcd-peer: {{ names: {{ {names} }} }} }}\n");
    let cluster = Cluster::with(nodes, &names(&format!("ip: [{other}]")), "");
    let elsewhere = Elsewhere::new(&cluster.nodes[1]);
    let far = &cluster.nodes[1];
    far.run("systemctl restart etcd");
    cluster.is_healthy();
    let before = cluster.in_file(far, "peer");
    let starts = cluster.starts();
    cluster.spec(&names("only: { ip: [\"{address}\", 127.0.0.1] }"));
    let only = format!("etcd-peer@{name}");
    let text = cluster.controller.ends(10, &["apply", "-f", "spec.yaml", "--yes", "--only", &only]);
    for words in [
        &format!("https://{}:2380 accepts /etc/etcd/pki/peer.crt", cluster.nodes[0].address()),
        &format!("shown from {}", elsewhere.address),
        &format!("{} is not among them: add it to the names", elsewhere.address),
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!((cluster.in_file(far, "peer"), cluster.starts()), (before, starts));
    cluster.is_healthy();
    // The others have no such address, and take each other with the same names.
    let only = format!("etcd-peer@{}", cluster.nodes[0].name);
    cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--only", &only]);
    cluster.is_healthy();
    cluster.is_left_clean();
}

#[test]
fn a_client_certificate_that_etcd_refuses_is_taken_back() {
    let names = |name: &str| format!("  certificates: {{ etcd-client: {{ names: {{ dns: [{name}] }} }} }}\n");
    let allowed = "ETCD_CLIENT_CERT_ALLOWED_HOSTNAME=client.example\n";
    let cluster = Cluster::with(Node::take(3), &names("client.example"), allowed);
    let node = &cluster.nodes[0];
    let before = cluster.in_file(node, "client");
    cluster.spec(
        &names("other.example, client-1.example").replace("dns:", "only: { dns:").replace("] }", "] } }"),
    );
    let only = format!("etcd-client@{}", node.name);
    let text = cluster.controller.ends(10, &["apply", "-f", "spec.yaml", "--yes", "--only", &only]);
    assert!(
        crate::words(&text)
            .contains(&format!("https://{}:2379 accepts /etc/etcd/pki/client.crt", node.address())),
        "{text}"
    );
    assert!(
        crate::words(&text).contains("it refuses /etc/etcd/pki/client.crt (CN=etcd-client, names"),
        "{text}"
    );
    assert_eq!(cluster.in_file(node, "client"), before);
    cluster.is_healthy();
    cluster.is_left_clean();
}
