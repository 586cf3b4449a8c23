//! What it takes to look at a real component while its files change: authorities that nobody trusts, servers that answer with the certificate they were shown, changes on
//! nodes that are put back, and what processes log.
//!
//! Enters: the running cluster. Leaves: nothing on it, once `put_back` and `remove` were called; after a test that fails its nodes are not used again.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::KUBELET;
use crate::ROOT;
use crate::by_hand::by_hand;
use crate::judges::running;
use crate::nodes::{Node, lab, well, within};

/// As long as a process that is started may take until it shows or says what is looked for: a controller-manager leads only once the lease of the one before has ended.
pub(super) const STARTED: Duration = Duration::from_secs(90);

/// Where API servers find a kubelet, and an aggregated API server, that answer with the certificate that they were shown.
const HERE: &str = "10.78.0.1";
const AS_KUBELET: u16 = 20250;
const AS_AGGREGATED: u16 = 20443;

pub(super) struct Bench {
    made: tempfile::TempDir,
    witnesses: Vec<Child>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        for witness in &mut self.witnesses {
            // Whatever it comes to, it is over.
            let _ = witness.kill();
            let _ = witness.wait();
        }
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        let bench = Self { made: tempfile::tempdir().unwrap(), witnesses: Vec::new() };
        bench.change(Path::new("/"), "make_others");
        bench
    }

    /// Changes files below a directory, with the functions of `changes.sh`.
    #[track_caller]
    pub(super) fn change(&self, root: &Path, commands: &str) {
        let changes = script("changes.sh");
        by_hand(root, &format!("MADE={}; source {changes}; {commands}", self.made.path().display()));
    }

    /// Runs a command of `signs.sh` in the network of a node.
    pub(super) fn beside(&self, node: &Node, command: &str) -> Output {
        let network = format!("--net=/run/netns/{}-{}", crate::LAB.cgroup, node.name);
        let mut run = Command::new("timeout");
        run.args(["60", "nsenter", &network, "bash", "-uc", "source \"$0\"; eval \"$1\""]);
        run.args([&script("signs.sh"), command]);
        run.env("NODE", &node.name).env("ADDRESS", node.address()).env("ROOT", node.disk(""));
        run.env("MADE", self.made.path()).env("KUBECTL", lab().join("built/bin/kubectl"));
        run.stdin(Stdio::null()).output().unwrap()
    }

    pub(super) fn is_so(&self, node: &Node, command: &str) -> bool {
        self.beside(node, command).status.success()
    }

    /// Ends the connections that processes of a node have made to a port, so that they connect anew.
    pub(super) fn sever(&self, node: &Node, port: u16) {
        well(&self.beside(node, &format!("ss --kill --tcp --numeric dport = {port}")));
    }

    /// Leads API servers to servers of this machine.
    pub(super) fn start_witnesses(&mut self, node: &Node) {
        let pair = self.made.path().join("witness");
        for port in [AS_KUBELET, AS_AGGREGATED] {
            let mut server = Command::new("openssl");
            server.args(["s_server", "-quiet", "-www", "-Verify", "1", "-accept", &format!("{HERE}:{port}")]);
            server.arg("-cert").arg(pair.with_extension("crt")).arg("-key").arg(pair.with_extension("key"));
            server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            self.witnesses.push(server.spawn().unwrap());
        }
        for (path, thing) in witnesses() {
            well(&self.beside(node, &format!("kubectl_there create --raw {path} -f - <<<'{thing}'")));
        }
    }

    /// Removes from the cluster what looking at it has made there, and what its API servers have published meanwhile, which only grows by itself (apiserver
    /// clusterauthenticationtrust, 1.20).
    pub(super) fn remove(&self, node: &Node) {
        for (path, thing) in witnesses() {
            let name = thing["metadata"]["name"].as_str().unwrap();
            well(&self.beside(node, &format!("kubectl_there delete --raw {path}/{name}")));
        }
        well(&self.beside(node, "remove_what_was_made"));
    }

    fn kept(&self, node: &Node) -> String {
        self.made.path().join("kept").join(&node.name).display().to_string()
    }
}

fn script(name: &str) -> String {
    Path::new(ROOT).join("tests/lab/kubernetes/calibration").join(name).display().to_string()
}

/// What leads API servers to the witnesses.
fn witnesses() -> [(&'static str, serde_json::Value); 3] {
    let node = serde_json::json!({
        "apiVersion": "v1", "kind": "Node", "metadata": { "name": "witness" },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": HERE }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": AS_KUBELET } },
        },
    });
    let service = serde_json::json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "witness" },
        "spec": { "type": "ExternalName", "externalName": HERE, "ports": [{ "port": AS_AGGREGATED }] },
    });
    let aggregated = serde_json::json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": "v1.witness.lab.example" },
        "spec": {
            "group": "witness.lab.example", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
            "insecureSkipTLSVerify": true,
            "service": { "namespace": "default", "name": "witness", "port": AS_AGGREGATED },
        },
    });
    [
        ("/api/v1/nodes", node),
        ("/api/v1/namespaces/default/services", service),
        ("/apis/apiregistration.k8s.io/v1/apiservices", aggregated),
    ]
}

/// What is done to a node: how its files are changed, to which ports its processes are made to connect anew, and what is restarted later.
pub(super) struct Part<'a> {
    pub(super) node: &'a Node,
    pub(super) change: &'static str,
    pub(super) sever: &'static [u16],
    pub(super) services: &'static [&'static str],
    /// Those that are restarted after the others, because others need them.
    pub(super) last: &'static [&'static str],
}

impl Part<'_> {
    pub(super) fn change(&self, bench: &Bench) {
        let kept = bench.kept(self.node);
        let root = self.node.disk("");
        let keep = "etc/kubernetes/*.conf etc/kubernetes/pki var/lib/kubelet/pki";
        let manifests = "[ ! -e etc/kubernetes/manifests ] || cp -a etc/kubernetes/manifests";
        bench.change(&root, &format!("keep {kept}/files {keep}; {manifests} {kept}/"));
        bench.change(&root, self.change);
        self.reconnect(bench);
    }

    fn reconnect(&self, bench: &Bench) {
        self.sever.iter().for_each(|port| bench.sever(self.node, *port));
    }

    pub(super) fn restart(&self) {
        restart(self.node, self.services);
    }

    /// Its files and manifests, and what was restarted once more.
    pub(super) fn put_back(&self, bench: &Bench) {
        let kept = bench.kept(self.node);
        let root = self.node.disk("");
        bench.change(&root, &format!("put_back {kept}/files"));
        self.reconnect(bench);
        let services = [self.last, self.services].concat();
        for service in services.iter().filter(|service| **service != KUBELET) {
            let lies_ready = format!("cp -a {kept}/manifests/{service}.yaml etc/kubernetes/{service}.next");
            bench.change(&root, &lies_ready);
        }
        restart(self.node, &services);
    }
}

/// Restarts services of a node, one after the other. A static pod is replaced, by a manifest that lies ready or by the same with another label; what ran is gone before the
/// next one comes, which would not get its port.
pub(super) fn restart(node: &Node, services: &[&str]) {
    for service in services {
        let program = format!("{service}@{}", node.name);
        let before = running([node]);
        let command = match *service {
            KUBELET => "systemctl restart kubelet".to_owned(),
            pod => format!(
                r#"cd /etc/kubernetes
                [ -e {pod}.next ] || sed "s/^    tier: .*/&\n    start: \"$RANDOM\"/" manifests/{pod}.yaml >{pod}.next
                rm manifests/{pod}.yaml
                while pgrep -f '^{pod} ' >/dev/null; do sleep 0.1; done
                mv {pod}.next manifests/{pod}.yaml"#
            ),
        };
        node.run(&command);
        let is_anew = || {
            let after = running([node]);
            after.get(&program).is_some_and(|now| before.get(&program) != Some(now))
        };
        assert!(within(STARTED, is_anew), "{program} does not come back");
    }
}

/// What a service of a node has logged since then.
pub(super) fn logged(node: &Node, service: &str, since: Timestamp) -> String {
    if service == KUBELET {
        return node.run(&format!("journalctl -q -u kubelet -o cat --since @{}", since.as_second()));
    }
    // A pod that is being replaced takes its log with it.
    let logs = format!("cat /var/log/pods/kube-system_{service}-{}_*/{service}/*.log || true", node.name);
    let logs = node.run(&logs);
    let is_since = |line: &&str| {
        let at = line.split(' ').next().and_then(|at| at.parse::<Timestamp>().ok());
        at.is_some_and(|at| at >= since)
    };
    logs.lines().filter(is_since).fold(String::new(), |said, line| said + line + "\n")
}

/// Whether it becomes so in time; what costs processes is not done all the time.
pub(super) fn patiently(deadline: Duration, mut holds: impl FnMut() -> bool) -> Option<Duration> {
    let begun = Instant::now();
    loop {
        let after = begun.elapsed();
        if holds() {
            return Some(after);
        }
        if after > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_secs(2));
    }
}

/// Does it for all of them at the same time.
pub(super) fn at_once<T: Sync, R: Send>(all: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = all.iter().map(|one| scope.spawn(move || act(one))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}
