//! What can be wrong with one node of three, each with its own words and its own code, and with the two others unharmed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::controller::{Controller, ended_with};
use crate::nodes::{Node, lab, wait_until, well};
use crate::specs::{Reached, Spec, give, made};
use crate::tap::Tap;
use crate::{PLACES, both};

/// Three control planes of which everything is due, with pki on each.
struct Cluster {
    nodes: Vec<Node>,
    controller: Controller,
}

impl Cluster {
    fn new() -> Self {
        let (nodes, controller) = Controller::of_cluster();
        let cluster = Self { nodes, controller };
        cluster.spec("", "");
        for ((name, _), node) in PLACES.iter().zip(&cluster.nodes) {
            give(node, &made().join(name));
            node.install(Path::new(env!("CARGO_BIN_EXE_pki")), "usr/local/bin/pki");
        }
        cluster
    }

    /// With fields of the cluster's connection, and further fields of the first node.
    fn spec(&self, ssh: &str, first: &str) {
        let text = Spec { ssh, ..Spec::default() }.text(Reached::There);
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let line = lines.iter_mut().find(|line| line.contains("cp-1: {")).unwrap();
        *line = line.replace(" }", &format!("{first} }}"));
        self.controller.spec(&(lines.join("\n") + "\n"));
    }

    /// Puts lines before all others of the SSH configuration.
    fn ssh_config(&self, lines: &str) {
        let path = self.controller.at("ssh_config");
        let config = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{lines}\n{config}")).unwrap();
    }

    /// The first node cannot be reached for a reason that is told in these words; the others are seen. What depends on it is blocked.
    #[track_caller]
    fn first_is_out_of_reach(&self, words: &[&str]) {
        let before = self.files();
        let status = self.controller.pki(&["status", "-f", "spec.yaml", "--exit-code"]);
        let said = both(&status);
        assert_eq!(status.status.code(), Some(3), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} is not told:\n{said}");
        }
        for name in ["cp-2", "cp-3"] {
            let seen = said.lines().any(|line| line.starts_with("apiserver ") && line.contains(name));
            assert!(seen, "{name} is not told:\n{said}");
        }
        let plan = self.controller.pki(&["plan", "-f", "spec.yaml"]);
        assert_eq!(plan.status.code(), Some(3), "{}", both(&plan));
        let apply = self.controller.pki(&["apply", "-f", "spec.yaml", "--yes"]);
        let said = both(&apply);
        assert!(apply.status.code() == Some(3) && words.iter().all(|word| said.contains(word)), "{said}");
        assert_eq!(self.files(), before, "nothing was touched");
    }

    /// Everything of the cluster on the nodes' disks.
    fn files(&self) -> Vec<Vec<(String, Vec<u8>)>> {
        self.nodes.iter().map(files).collect()
    }

    #[track_caller]
    fn is_left_clean(&self) {
        for node in &self.nodes {
            node.is_left_clean("afterwards");
        }
        self.controller.is_left_clean();
    }
}

fn files(node: &Node) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    crate::nodes::below(&node.disk("etc/kubernetes"), &mut |path| {
        let bytes = if path.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
        files.push((path.display().to_string(), bytes));
    });
    files
}

/// What `ssh-keygen` calls a machine's key.
fn fingerprint(node: &Node) -> String {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-l", "-f"]).arg(node.disk("etc/ssh/ssh_host_ed25519_key.pub"));
    well(&keygen.output().unwrap()).split(' ').nth(1).unwrap().to_owned()
}

fn public_key(node: &Node) -> String {
    let key = std::fs::read_to_string(node.disk("etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
    key.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_host_key_that_is_another_or_unknown() {
    let cluster = Cluster::new();
    let known_hosts = cluster.controller.at("known_hosts");
    let [first, second] = [0, 1].map(|index: usize| &cluster.nodes[index]);
    let others = std::fs::read_to_string(lab().join("known_hosts")).unwrap();
    let is_of_first =
        |line: &&str| line.split(' ').next().unwrap().split(',').any(|name| name == first.address());
    let others: String =
        others.lines().filter(|line| !is_of_first(line)).map(|line| format!("{line}\n")).collect();
    cluster.ssh_config(&format!(
        "Host *\n  UserKnownHostsFile {}\n  HostKeyAlgorithms ssh-ed25519",
        known_hosts.display()
    ));
    std::fs::write(&known_hosts, format!("{others}{} {}\n", first.address(), public_key(second))).unwrap();
    cluster.first_is_out_of_reach(&["cp-1", "host key", &fingerprint(first), &fingerprint(second)]);
    std::fs::write(&known_hosts, &others).unwrap();
    cluster.first_is_out_of_reach(&["cp-1", "host key", &fingerprint(first)]);
    cluster.is_left_clean();
}

#[test]
fn host_keys_that_the_spec_pins() {
    let cluster = Cluster::new();
    cluster.ssh_config("Host *\n  UserKnownHostsFile /dev/null");
    let pinned = |index: usize| {
        let keys = [0, 1, 2].map(|own: usize| {
            let key = public_key(&cluster.nodes[if own == 0 { index } else { own }]);
            format!("    cp-{}: {{ address: {}, roles: [control-plane, etcd], connection: {{ ssh: {{ hostKeys: [\"{key}\"] }} }} }}\n", own + 1, PLACES[own].1)
        });
        let text = Spec { places: &[], ..Spec::default() }.text(Reached::There);
        cluster.controller.spec(&text.replace("  nodes:\n", &format!("  nodes:\n{}", keys.concat())));
    };
    pinned(1);
    cluster.first_is_out_of_reach(&["cp-1", "host key"]);
    pinned(0);
    cluster.controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}

#[test]
fn a_node_that_is_off() {
    let cluster = Cluster::new();
    cluster.nodes[0].power("off");
    cluster.first_is_out_of_reach(&["cp-1", "10.0.0.11"]);
    cluster.nodes[0].power("on");
    cluster.controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}

#[test]
fn a_node_without_sshd_a_name_that_nobody_knows_and_a_user_who_may_not() {
    let cluster = Cluster::new();
    cluster.nodes[0].run("systemctl stop ssh.socket ssh.service 2>/dev/null || systemctl stop ssh.service");
    cluster.first_is_out_of_reach(&["cp-1", "refuses"]);
    cluster.nodes[0].power("kill");
    cluster.nodes[0].power("on");
    let config = std::fs::read(cluster.controller.at("ssh_config")).unwrap();
    cluster.ssh_config("Host 10.0.0.11\n  HostName nowhere.invalid");
    cluster.first_is_out_of_reach(&["cp-1", "name"]);
    std::fs::write(cluster.controller.at("ssh_config"), &config).unwrap();
    cluster.ssh_config("Host 10.0.0.11\n  User games");
    cluster.first_is_out_of_reach(&["cp-1", "games"]);
    std::fs::write(cluster.controller.at("ssh_config"), &config).unwrap();
    cluster.ssh_config("Host 10.0.0.11\n  User operator");
    std::fs::write(cluster.nodes[0].disk("etc/sudoers.d/zz-tests"), "operator ALL=(ALL:ALL) PASSWD: ALL\n")
        .unwrap();
    std::fs::set_permissions(
        cluster.nodes[0].disk("etc/sudoers.d/zz-tests"),
        std::fs::Permissions::from_mode(0o440),
    )
    .unwrap();
    cluster.spec("", ", connection: { ssh: { sudo: true } }");
    cluster.first_is_out_of_reach(&["cp-1", "sudo"]);
    cluster.is_left_clean();
}

#[test]
fn a_node_whose_network_is_cut() {
    let cluster = Cluster::new();
    cluster.nodes[0].net("cut");
    // Whether there is no route, or no answer, depends on what the kernel remembers of the neighbour.
    cluster.first_is_out_of_reach(&["node@cp-1", "unknown: "]);
    cluster.nodes[0].net("join");
    cluster.controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}

#[test]
fn a_node_whose_clock_is_an_hour_off() {
    let cluster = Cluster::new();
    // A container has no clock of its own, so its facts are told an hour later.
    Tap::on(&cluster.nodes[0]).order("clock 3600");
    let before = cluster.files();
    let refused = cluster.controller.pki(&["apply", "-f", "spec.yaml", "--yes"]);
    let said = both(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("clock") && said.contains("cp-1"), "{said}");
    assert_eq!(cluster.files(), before);
    cluster.is_left_clean();
}

#[test]
fn a_disk_that_is_full() {
    let cluster = Cluster::new();
    let before = cluster.files();
    // No room for the copies: nothing was begun. Two pages are for directories.
    cluster.nodes[0]
        .run("mkdir -p -m 0700 /var/lib/pki && mount -t tmpfs -o size=8k,mode=0700 full /var/lib/pki");
    let refused =
        cluster.controller.pki(&["apply", "-f", "spec.yaml", "--yes", "--only", "etcd-server@cp-1"]);
    let said = both(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device") && said.contains("cp-1"), "{said}");
    assert_eq!(cluster.files(), before);
    cluster.nodes[0].run("umount /var/lib/pki");

    // No room for a file: what was written before it is undone.
    let node = &cluster.nodes[0];
    node.run(
        "mkdir /var/lib/tests && cp -a /etc/kubernetes/. /var/lib/tests && mount -t tmpfs -o size=1m,mode=0755 full /etc/kubernetes && \
         cp -a /var/lib/tests/. /etc/kubernetes && { cat /dev/zero >/etc/kubernetes/pki/full 2>/dev/null; true; }",
    );
    let digests = "cd /etc/kubernetes && find . -type f ! -name full -exec sha256sum {} + | sort";
    let on_node = node.run(digests);
    let undone = cluster.controller.pki(&["apply", "-f", "spec.yaml", "--yes"]);
    let said = both(&undone);
    assert_eq!(undone.status.code(), Some(10), "{said}");
    assert!(said.contains("No space left on device") && said.contains("cp-1"), "{said}");
    assert_eq!(node.run(digests), on_node);
    assert_eq!(cluster.files()[1..], before[1..], "the others are unharmed");
    node.run("umount /etc/kubernetes");
    cluster.controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    cluster.is_left_clean();
}

#[test]
fn a_disk_that_is_slow() {
    let cluster = Cluster::new();
    let tap = Tap::on(&cluster.nodes[0]);
    tap.order("hold 1");
    let run = cluster.controller.start(&["apply", "-f", "spec.yaml", "--yes", "--only", "etcd-server@cp-1"]);
    tap.wait_until_held();
    let ours = cluster.nodes[0].ours();
    let (process, _) = ours.iter().find(|(_, words)| words.contains("pki-relay/real")).unwrap();
    // From outside: the node's process is one of this machine, too.
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,renameat", "-e"]);
    strace.arg("inject=fsync,renameat:delay_exit=100000").args(["-p", &process.to_string()]);
    let mut strace = strace.spawn().unwrap();
    let status = format!("/proc/{process}/status");
    wait_until("strace does not come", || {
        std::fs::read_to_string(&status)
            .unwrap()
            .lines()
            .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
    });
    tap.go_on();
    ended_with(0, &cluster.controller.ended(run));
    strace.wait().unwrap();
    cluster.is_left_clean();
}
