//! The machines of the running lab, for tests to take for themselves.
//!
//! Enters: which lab it is ([`crate::LAB`]), and its directory, which its `up` has filled. Leaves: nodes that hold nothing of earlier tests, and that no other
//! test uses until they are dropped. What is on a node is looked at from outside: its disk below the lab's directory, its processes by its cgroups.
//! Never touches a process or file outside the lab.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::{LAB, ROOT};

/// What the scripts of a lab call what is theirs: see `name_lab` in `tests/lab/lib.sh`.
pub(crate) struct Lab {
    /// The variable that names its directory.
    pub(crate) variable: &'static str,
    /// The directory where the variable is not set.
    pub(crate) directory: &'static str,
    /// What its cgroups are below.
    pub(crate) cgroup: &'static str,
    /// Where its scripts are.
    pub(crate) scripts: &'static str,
}

/// How long anything may take that should take a few seconds.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How often it is looked whether something is so.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    assert!(within(DEADLINE, holds), "{what}: not within {DEADLINE:?}");
}

/// Whether it becomes so in time.
pub(crate) fn within(deadline: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > deadline {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
    true
}

/// Where the lab is.
pub(crate) fn lab() -> PathBuf {
    std::env::var_os(LAB.variable).map_or_else(|| LAB.directory.into(), PathBuf::from)
}

/// Says in a node's folder that a test failed on it.
const FAILED: &str = "failed";

/// What tests make on nodes.
const MADE: [&str; 16] = [
    "data",
    "etc/default/etcd",
    "etc/kubernetes",
    "etc/etcd",
    "etc/sudoers.d/zz-tests",
    "etc/systemd/system/etcd.service.d",
    "etc/systemd/system/kubelet.service",
    "etc/systemd/system/multi-user.target.wants/etcd.service",
    "etc/systemd/system/multi-user.target.wants/kubelet.service",
    "var/lib/etcd/cert",
    "var/lib/etcd/default",
    "var/lib/kubelet",
    "var/lib/pki",
    "var/lib/pki-relay",
    "var/lib/tests",
    "usr/local/bin/pki",
];

/// Only one test at a time looks for free nodes: it takes all that it needs, or none.
static CHOOSING: Mutex<()> = Mutex::new(());

/// A machine of the lab, of which the test has the only use.
pub(crate) struct Node {
    pub(crate) name: String,
    folder: PathBuf,
    /// Held while the node is taken, against the tests of other processes too.
    _taken: File,
}

/// What was said by a command in a node, which must have ended well.
#[track_caller]
pub(crate) fn well(output: &Output) -> String {
    let [text, errors] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{}: {text}{errors}", output.status);
    text
}

impl Node {
    /// Takes so many machines without options, all at once, as soon as they are there.
    pub(crate) fn take(count: usize) -> Vec<Self> {
        Self::take_if(count, |options, suite| options.is_empty() && suite == "bookworm")
    }

    /// Takes a machine with an option of `tests/lab/up`.
    pub(crate) fn with_option(option: &str) -> Self {
        Self::take_if(1, |options, _| options.contains(option)).remove(0)
    }

    /// Takes a machine with this Debian.
    pub(crate) fn of_suite(wanted: &str) -> Self {
        Self::take_if(1, |_, suite| suite == wanted).remove(0)
    }

    /// Takes this machine as it is.
    pub(crate) fn called(name: &str) -> Self {
        take_named(name).expect("nobody else uses it")
    }

    fn take_if(count: usize, fits: impl Fn(&BTreeSet<String>, &str) -> bool) -> Vec<Self> {
        let fitting: BTreeSet<String> =
            names().into_iter().filter(|name| fits(&options(name), &suite(name))).collect();
        assert!(
            fitting.len() >= count,
            "the lab has {} such nodes, not {count}; tests/run starts it",
            fitting.len()
        );
        let nodes = loop {
            if let Some(nodes) = take_free(&fitting, count) {
                break nodes;
            }
            std::thread::sleep(PAUSE);
        };
        for node in &nodes {
            node.reset();
        }
        nodes
    }

    /// As new: on, joined, and with nothing that a test has made.
    pub(crate) fn reset(&self) {
        let link = format!("/sys/class/net/pkilab{}/operstate", self.about("index"));
        if std::fs::read_to_string(link).unwrap().trim() != "up" {
            self.net("join");
        }
        let is_of_a_test = |words: &str| words.contains("etcd") || words.contains("/var/lib/tests/");
        let runs = self.processes().iter().any(|(_, words)| is_of_a_test(words));
        // One that is to start with the machine may be about to.
        let will_run =
            MADE.iter().any(|path| path.contains(".wants/") && self.disk(path).symlink_metadata().is_ok());
        let failed = self.folder.join(FAILED);
        if self.init().is_none() || runs || will_run || !self.ours().is_empty() || failed.exists() {
            self.power("kill");
            // What is enabled to start may keep it from starting.
            self.remove_made();
            // A test that failed has said so itself: it is not to fail those after it.
            if failed.exists() {
                self.left_on_disk().iter().for_each(|path| remove(&self.disk(path)));
                remove(&failed);
            }
            self.power("on");
        }
        self.remove_made();
        // What systemd still knows of units that were removed would be taken for theirs.
        self.run("systemctl daemon-reload; systemctl reset-failed");
        let init = self.init().unwrap();
        remove(Path::new(&format!("/proc/{init}/root/run/pki.lock")));
        self.is_left_clean("an earlier test");
    }

    fn remove_made(&self) {
        for path in MADE {
            remove(&self.disk(path));
        }
    }

    fn about(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.join(file)).unwrap().trim().to_owned()
    }

    /// By what it is reached.
    pub(crate) fn address(&self) -> String {
        self.about("address")
    }

    /// A path on the node's disk. What is mounted there in the node, such as /run and /tmp, is not seen.
    pub(crate) fn disk(&self, path: &str) -> PathBuf {
        self.folder.join("root").join(path.trim_start_matches('/'))
    }

    /// Puts a program there.
    pub(crate) fn install(&self, program: &Path, path: &str) {
        let to = self.disk(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        // Not written in place: the old one may run.
        remove(&to);
        assert!(Command::new("cp").arg("-p").args([program, &to]).status().unwrap().success());
    }

    /// Runs a command in the node.
    pub(crate) fn ssh(&self, command: &str) -> Output {
        let seconds = DEADLINE.as_secs().to_string();
        let mut ssh = Command::new("timeout");
        ssh.arg(seconds).args(["ssh", "-n", "-F"]).arg(lab().join("ssh_config")).args([&self.name, command]);
        ssh.output().unwrap()
    }

    /// Runs a command in the node, which must end well; what it printed.
    #[track_caller]
    pub(crate) fn run(&self, command: &str) -> String {
        well(&self.ssh(command))
    }

    /// The lab's `power` for this node.
    pub(crate) fn power(&self, what: &str) {
        self.script("power", what);
    }

    /// The lab's `net` for this node.
    pub(crate) fn net(&self, what: &str) {
        self.script("net", what);
    }

    fn script(&self, script: &str, what: &str) {
        let path = Path::new(ROOT).join(LAB.scripts).join(script);
        well(&Command::new(path).args([what, &self.name]).output().unwrap());
    }

    /// Each process in the node with its command line, its words separated by spaces.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
        let mut processes = Vec::new();
        for process in cgroups(&self.name).iter().flat_map(|cgroup| processes_of(cgroup)) {
            let folder = PathBuf::from(format!("/proc/{process}"));
            // What supervises the node from outside is in its cgroups too.
            let is_inside = std::fs::read_link(folder.join("ns/pid")).is_ok_and(|namespace| namespace != own);
            // Of one that has ended nothing is left to read.
            if let (true, Ok(words)) = (is_inside, std::fs::read(folder.join("cmdline"))) {
                let words = String::from_utf8_lossy(&words).replace('\0', " ");
                if !words.is_empty() && !processes.iter().any(|(known, _)| *known == process) {
                    processes.push((process, words));
                }
            }
        }
        processes
    }

    /// The first process of the node, by this machine's numbers; none when it is off.
    pub(crate) fn init(&self) -> Option<u32> {
        let is_init =
            |(_, words): &(u32, String)| words.contains("systemd/systemd ") || words.contains("/sbin/init");
        self.processes().iter().find(|process| is_init(process)).map(|(process, _)| *process)
    }

    /// The processes in the node that are of pki, or of a relay in its place.
    pub(crate) fn ours(&self) -> Vec<(u32, String)> {
        self.processes().into_iter().filter(|(_, words)| words.contains("pki")).collect()
    }

    /// Nothing of pki runs there any more, and nothing is left of it. systemd takes a moment to forget a scope.
    #[track_caller]
    pub(crate) fn is_left_clean(&self, context: &str) {
        let mut left = BTreeSet::new();
        let clean = within(DEADLINE, || {
            left = self.leftovers();
            left.is_empty()
        });
        assert!(clean, "{context}: left on {}: {left:?}", self.name);
    }

    /// Kills the processes of sshd that serve connections, as when a connection breaks.
    pub(crate) fn kill_connections(&self) {
        let sessions = self.processes().into_iter().filter(|(_, words)| {
            words.starts_with("sshd: ") && !words.contains("[listener]")
                || words.starts_with("sshd-session: ")
        });
        let sessions: Vec<_> = sessions.map(|(process, _)| process.to_string()).collect();
        // One may have ended before.
        let _ended = Command::new("kill").arg("-9").args(sessions).output().unwrap();
    }

    /// What pki has left in the node besides what it keeps: temporary files, sockets, programs, processes, units, and the lock, if it is held.
    fn leftovers(&self) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = self.ours().into_iter().map(|(_, words)| words).collect();
        found.extend(self.left_on_disk());
        let init = self.init().expect("the node is on");
        for mounted in ["run", "tmp", "dev/shm"] {
            let top = PathBuf::from(format!("/proc/{init}/root"));
            below(&top.join(mounted), &mut |path| {
                let path = format!("/{}", path.strip_prefix(&top).unwrap().display());
                if path.contains("pki") && path != "/run/pki.lock" {
                    found.insert(path);
                }
            });
        }
        let lock = format!("/proc/{init}/root/run/pki.lock");
        if Path::new(&lock).exists()
            && !Command::new("flock").args(["-n", &lock, "true"]).status().unwrap().success()
        {
            found.insert("the lock is held".to_owned());
        }
        found
    }

    /// The same of its disk. What differs from what the node began with is all in one directory.
    fn left_on_disk(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let upper = self.folder.join("upper");
        below(&upper, &mut |path| {
            let path = format!("/{}", path.strip_prefix(&upper).unwrap().display());
            if is_left(&path) {
                found.insert(path);
            }
        });
        found
    }
}

/// What a failed test has left running would take the machine away from all others.
impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Before the power goes: a node that comes up again would go on with what it undoes.
            let _ = std::fs::write(self.folder.join(FAILED), "");
            let power = Path::new(ROOT).join(LAB.scripts).join("power");
            // Whatever it comes to, the test has failed already.
            let _ = Command::new(power).args(["kill", &self.name]).status();
        }
    }
}

/// So many of these nodes, if as many are free.
fn take_free(names: &BTreeSet<String>, count: usize) -> Option<Vec<Node>> {
    let _choosing = CHOOSING.lock().unwrap_or_else(PoisonError::into_inner);
    let nodes = File::open(lab().join("nodes")).unwrap();
    nodes.lock().unwrap();
    let free: Vec<Node> = names.iter().filter_map(|name| take_named(name)).take(count).collect();
    (free.len() == count).then_some(free)
}

/// This node, unless somebody has it.
fn take_named(name: &str) -> Option<Node> {
    let folder = lab().join("nodes").join(name);
    let taken = File::create(folder.join("taken")).unwrap();
    taken.try_lock().ok()?;
    Some(Node { name: name.to_owned(), folder, _taken: taken })
}

/// Whether something at this path is neither the cluster's nor what is kept of runs.
fn is_left(path: &str) -> bool {
    if ["/var/lib/pki-relay", "/var/lib/tests"].iter().any(|made| path.starts_with(made))
        || path == "/usr/local/bin/pki"
    {
        return false;
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    if let Some(kept) = path.strip_prefix("/var/lib/pki/") {
        // What is still being received of etcd's data starts with a dot.
        let is_half = kept.starts_with("etcd/.");
        let first = kept.split('/').next().unwrap_or_default();
        return is_half || !["snapshots", "last", "journal", "etcd"].contains(&first);
    }
    let is_of_cluster = path.starts_with("/etc/kubernetes") || path.starts_with("/etc/etcd");
    if is_of_cluster { name.starts_with('.') } else { path.contains("pki") && path != "/var/lib/pki" }
}

fn names() -> BTreeSet<String> {
    let nodes = std::fs::read_dir(lab().join("nodes")).expect("no lab is up: tests/run starts it");
    nodes.map(|node| node.unwrap().file_name().into_string().unwrap()).collect()
}

fn options(name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(lab().join("nodes").join(name).join("options")).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

fn suite(name: &str) -> String {
    std::fs::read_to_string(lab().join("nodes").join(name).join("suite")).unwrap().trim().to_owned()
}

/// Removes whatever is there.
pub(crate) fn remove(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        std::fs::remove_dir_all(path).unwrap();
    } else if path.symlink_metadata().is_ok() {
        std::fs::remove_file(path).unwrap();
    }
}

/// Goes through everything below a folder. What vanishes meanwhile is passed over.
pub(crate) fn below(folder: &Path, tell: &mut dyn FnMut(&Path)) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        tell(&entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&entry.path(), tell);
        }
    }
}

/// A node's directory in each hierarchy of cgroups; see `cgroup_roots` of `tests/lab/lib.sh`.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let places =
        mounts.lines().filter(|line| line.split(' ').nth(2).is_some_and(|kind| kind.starts_with("cgroup")));
    let cgroup = |line: &str| Path::new(line.split(' ').nth(1).unwrap()).join(LAB.cgroup).join(name);
    places.map(cgroup).filter(|cgroup| cgroup.is_dir()).collect()
}

fn processes_of(cgroup: &Path) -> Vec<u32> {
    let mut processes = Vec::new();
    let mut add = |path: &Path| {
        if path.ends_with("cgroup.procs") {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            processes.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        }
    };
    below(cgroup, &mut add);
    processes
}

/// Machines that are called as the example's spec calls them, for as long as this lives: a kubelet gets no name that its machine does not have.
pub(crate) struct Called<'a>(&'a [Node]);

impl<'a> Called<'a> {
    pub(crate) fn as_in_the_example(nodes: &'a [Node]) -> Self {
        for (node, name) in nodes.iter().zip(["cp-1", "cp-2", "cp-3"]) {
            node.run(&format!("hostname {name}"));
        }
        Self(nodes)
    }
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        for node in self.0 {
            let _own = node.ssh(&format!("hostname {}", node.name));
        }
    }
}
