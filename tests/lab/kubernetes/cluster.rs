//! The running cluster: three control planes and two workers, described by a spec that `pki adopt` has written.
//!
//! Enters: nothing; the lab's `up` makes it where it is not up or not sound. Leaves: a cluster that is ready, on whose nodes pki has kept nothing yet, and of which a
//! test has the only use.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::controller::Controller;
use crate::nodes::{Node, remove, well, within};
use crate::{LAB, PLACES, ROOT};

const WORKERS: [&str; 2] = ["worker-1", "worker-2"];

/// How long a cluster may take to be ready by itself: a kubelet looks after what has failed at growing intervals.
const BY_ITSELF: Duration = Duration::from_secs(240);

/// Tests of one process wait for each other.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) struct Cluster {
    pub(crate) planes: Vec<Node>,
    pub(crate) workers: Vec<Node>,
    pub(crate) controller: Controller,
    _alone: MutexGuard<'static, ()>,
}

impl Cluster {
    pub(crate) fn up() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        well(&Command::new(Path::new(ROOT).join(LAB.scripts).join("up")).output().unwrap());
        let planes: Vec<Node> = PLACES.iter().map(|(name, _)| Node::called(name)).collect();
        let workers: Vec<Node> = WORKERS.iter().map(|name| Node::called(name)).collect();
        let controller = Controller::new(&[]);
        for node in planes.iter().chain(&workers) {
            remove(&node.disk("var/lib/pki"));
            // Sending the program of a debug build takes longer than all that is looked at here.
            node.install(&controller.program, "usr/local/bin/pki");
        }
        let cluster = Self { planes, workers, controller, _alone: alone };
        cluster.adopt();
        cluster
    }

    /// What is described is what is there: nothing is to be done.
    fn adopt(&self) {
        let addresses: Vec<String> = self.all().map(Node::address).collect();
        let hosts = addresses.iter().flat_map(|address| ["--host", address]);
        let words: Vec<&str> = ["adopt", "-o", "spec.yaml"].into_iter().chain(hosts).collect();
        self.controller.ends(0, &words);
        self.nothing_is_to_be_done();
    }

    #[track_caller]
    pub(crate) fn nothing_is_to_be_done(&self) {
        self.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Node> {
        self.planes.iter().chain(&self.workers)
    }

    /// The spec with more under `spec:`.
    pub(crate) fn add_to_spec(&self, more: &str) {
        let spec = std::fs::read_to_string(self.controller.at("spec.yaml")).unwrap();
        let (before, after) = spec.split_once("  nodes:\n").unwrap();
        self.controller.spec(&format!("{before}{more}  nodes:\n{after}"));
    }

    /// What `kubectl` says on the first control plane.
    #[track_caller]
    pub(crate) fn kubectl(&self, words: &str) -> String {
        self.planes[0].run(&format!("kubectl {words}"))
    }

    /// Every API server is ready, every member of etcd healthy, and every node registered and heard of.
    #[track_caller]
    pub(crate) fn is_ready(&self) {
        for node in &self.planes {
            becomes(&format!("the API server of {} is ready", node.name), || {
                let command = format!("kubectl --server=https://{}:6443 get --raw /readyz", node.address());
                String::from_utf8_lossy(&node.ssh(&command).stdout).trim() == "ok"
            });
        }
        becomes("every member of etcd is healthy", || {
            self.planes[0].ssh(&format!("{ETCDCTL} endpoint health --cluster")).status.success()
        });
        becomes("every node is ready", || {
            let nodes = self.planes[0].ssh("kubectl get nodes --no-headers").stdout;
            let nodes = String::from_utf8_lossy(&nodes).into_owned();
            nodes.lines().count() == self.all().count() && nodes.lines().all(|line| line.contains(" Ready "))
        });
    }

    /// Nothing of a run is left on the nodes or here, but what is kept of it.
    #[track_caller]
    pub(crate) fn is_left_clean(&self) {
        for node in self.all() {
            let mut left = String::new();
            let is_clean = within(BY_ITSELF, || {
                left = node.run(LEFT);
                left.is_empty()
            });
            assert!(is_clean, "left on {}:\n{left}", node.name);
        }
        self.controller.is_left_clean();
    }
}

/// What pki may have left: files that are not in their place, sockets and programs, processes, a lock that somebody holds.
const LEFT: &str = "find /etc/kubernetes /var/lib/kubelet/pki -name '.*'; \
    find /run /tmp /dev/shm -maxdepth 1 -name '*pki*' ! -name pki.lock; \
    [ ! -d /var/lib/pki ] || ls -A /var/lib/pki | grep -vxE 'snapshots|last|journal|etcd' || true; \
    pgrep -ax pki || true; \
    [ ! -e /run/pki.lock ] || flock -n /run/pki.lock true || echo the lock is held";

#[track_caller]
fn becomes(what: &str, holds: impl FnMut() -> bool) {
    assert!(within(BY_ITSELF, holds), "{what}: not within {BY_ITSELF:?}");
}

/// `etcdctl` as the health check of kubeadm's manifest.
pub(crate) const ETCDCTL: &str = "ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --command-timeout 3s \
     --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/healthcheck-client.crt \
     --key /etc/kubernetes/pki/etcd/healthcheck-client.key";
