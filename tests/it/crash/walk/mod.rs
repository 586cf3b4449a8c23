//! The real program, ended or failed by the kernel at one system call after another: whatever was under way, the next run ends it.
//!
//! `strace` kills the process just before its Nth call of one kind, or makes that call fail. A walk goes through every N until the program ends
//! before it is reached. Calls of threads are not counted: they only read, which the first trace of each start proves.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files and look at them")]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use pki::x509::pem::{Item, read};

use crate::support::cluster::{ROOT, is_root, left_out};

mod migration;

/// Walks at the same time.
const AT_ONCE: usize = 3;

/// No walk is longer; one that is has lost its way.
const MOST_STEPS: usize = 400;

/// Of the calls that open files only every so many-th is hit: nearly all of them read.
const OPEN_STRIDE: usize = 53;

/// Where a call fails rather than being the last one, every so many-th is hit, beginning elsewhere for each kind of failure.
const ERROR_STRIDE: usize = 5;

/// Every kind of call that changes a disk, as the program makes them. `openat` makes files, and reads.
const CALLS: [&str; 16] = [
    "fsync",
    "renameat",
    "renameat2",
    "fsetxattr",
    "unlinkat",
    "mkdirat",
    "mkdir",
    "symlinkat",
    "fchmod",
    "fchown",
    "ftruncate",
    "fallocate",
    "utimensat",
    "write",
    "pwrite64",
    "openat",
];

const RENEWAL: &str = r#"apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: prod-eu1 }
spec:
  profile: kubeadm
  cluster: { controlPlaneEndpoint: "api.prod-eu1.example:6443", serviceSubnet: 10.96.0.0/12 }
  defaults: { keyAlgorithm: ecdsa-p256 }
  nodes:
    cp-1: { address: 10.0.0.11, roles: [control-plane, etcd], connection: { local: { root: ./node } } }
  certificates:
    apiserver: { names: { ip: [10.0.0.10] } }
"#;

const CREATION: &str = r#"apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: new }
spec:
  profile: etcd
  defaults: { keyAlgorithm: ecdsa-p256 }
  nodes:
    m-1: { address: 10.0.0.1, roles: [etcd], connection: { local: { root: ./node } } }
"#;

#[test]
fn a_run_that_is_cut_off_or_fails_at_any_system_call_is_ended_by_the_next_one() {
    if !can_trace() {
        left_out("walk", "strace is not installed or may not trace here");
        return;
    }
    if !is_root() {
        left_out("walk", "only root can give files to the users that the layouts name");
        return;
    }
    let starts = [Start::renewal(), Start::creation(), Start::half_done()];
    let mut walks = Vec::new();
    for start in &starts {
        let counted = start.count();
        for call in CALLS.into_iter().filter(|call| counted.contains_key(*call)) {
            for fault in Fault::ALL.into_iter().filter(|fault| fault.befalls(call)) {
                walks.push(Walk { start, call, fault, steps: None });
            }
        }
    }
    let steps = go_all(&walks);
    assert!(steps > 300, "only {steps} runs were hit");
}

/// Goes every walk, and says how many steps there were.
fn go_all(walks: &[Walk<'_>]) -> usize {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut failures = Vec::new();
        let mut steps = 0;
        while let Some(walk) = walks.get(next.fetch_add(1, Ordering::Relaxed)) {
            steps += walk.go(&mut failures);
        }
        (steps, failures)
    };
    let (steps, failures) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let ends = threads.into_iter().map(|thread| thread.join().unwrap());
        ends.fold((0, Vec::new()), |(steps, mut all), (more, failures)| {
            all.extend(failures);
            (steps + more, all)
        })
    });
    assert!(failures.is_empty(), "{} of {steps} runs went wrong\n{}", failures.len(), failures.join("\n"));
    steps
}

fn can_trace() -> bool {
    let trace = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    trace.is_ok_and(|output| output.status.success())
}

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The process ends before it.
    Kill,
    /// The disk is full, for this call only.
    Full,
    /// The disk is broken, for this call only.
    Broken,
    /// The disk breaks, and stays so.
    StaysBroken,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Kill, Self::Full, Self::Broken, Self::StaysBroken];

    /// A full disk is told by calls that take room.
    fn befalls(self, call: &str) -> bool {
        self != Self::Full || ["write", "pwrite64", "fallocate", "mkdirat", "openat"].contains(&call)
    }

    /// The first call that is hit, and the distance to the next ones.
    fn steps(self, call: &str) -> (usize, usize) {
        let (first, stride) = match self {
            Self::Kill => (1, 1),
            Self::Full => (1, ERROR_STRIDE),
            Self::Broken => (2, ERROR_STRIDE),
            Self::StaysBroken => (3, ERROR_STRIDE),
        };
        (first, if call == "openat" { OPEN_STRIDE } else { stride })
    }

    fn injection(self, call: &str, number: usize) -> String {
        match self {
            Self::Kill => format!("inject={call}:signal=KILL:when={number}"),
            Self::Full => format!("inject={call}:error=ENOSPC:when={number}"),
            Self::Broken => format!("inject={call}:error=EIO:when={number}"),
            Self::StaysBroken => format!("inject={call}:error=EIO:when={number}+"),
        }
    }
}

/// What a run begins with: a folder with a spec, and its one node.
struct Start {
    name: &'static str,
    folder: tempfile::TempDir,
    arguments: Vec<&'static str>,
    before: Tree,
    /// What a run that nothing disturbs leaves.
    after: Tree,
}

impl Start {
    /// Two certificates of a control plane are renewed: a kubeconfig, and a pair.
    fn renewal() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Path::new(ROOT).join("tests/fixtures/kubeadm-v1.20.2.tar");
        let mut tar = Command::new("tar");
        tar.arg("--no-same-owner").arg("-pxf").arg(archive).arg("-C").arg(folder.path()).arg("cp-1");
        assert!(tar.status().unwrap().success());
        std::fs::rename(folder.path().join("cp-1"), folder.path().join("node")).unwrap();
        std::fs::write(folder.path().join("spec.yaml"), RENEWAL).unwrap();
        Self::new("renewal", folder, vec!["--only", "etcd-server", "--only", "admin.conf"])
    }

    /// A whole PKI, its directories included, on a node that has none.
    fn creation() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("node/etc");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("passwd"), "root:x:0:0::/:/bin/sh\netcd:x:4242:4243::/:/bin/sh\n").unwrap();
        std::fs::write(etc.join("group"), "root:x:0:\netcd:x:4243:\n").unwrap();
        std::fs::write(folder.path().join("spec.yaml"), CREATION).unwrap();
        Self::new("creation", folder, Vec::new())
    }

    /// The renewal after a crash between the key of a pair and its certificate.
    fn half_done() -> Self {
        let Self { folder, arguments, .. } = Self::renewal();
        let strace = ["-qq", "-o", "/dev/null", "-e", "inject=renameat:signal=KILL:when=5"];
        let killed = run(folder.path(), "apply", &with(&arguments, &["--yes"]), &strace);
        assert!(killed.status.code().is_none() || killed.status.code() == Some(137), "{killed:?}");
        let tree = Tree::of(&folder.path().join("node"));
        assert!(tree.is_open() && !tree.mismatches().is_empty(), "the crash left a pair that does not match");
        Self::new("half done", folder, arguments)
    }

    fn new(name: &'static str, folder: tempfile::TempDir, arguments: Vec<&'static str>) -> Self {
        let before = Tree::of(&folder.path().join("node"));
        let mut start = Self { name, folder, arguments, before, after: Tree::default() };
        let undisturbed = start.copy();
        let output = run(undisturbed.path(), "apply", &with(&start.arguments, &["--yes"]), &[]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", said(&output));
        start.after = Tree::of(&undisturbed.path().join("node"));
        assert_eq!(start.after.mismatches(), Vec::<String>::new());
        start
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        let status = Command::new("cp")
            .arg("-a")
            .args([self.folder.path().join("node"), self.folder.path().join("spec.yaml")])
            .arg(copy.path())
            .status();
        assert!(status.unwrap().success());
        copy
    }

    /// How often the first thread makes each call. No other thread changes anything.
    fn count(&self) -> BTreeMap<String, usize> {
        let copy = self.copy();
        let trace = copy.path().join("trace");
        let strace = ["-f", "-qq", "-o", trace.to_str().unwrap()];
        assert_eq!(
            run(copy.path(), "apply", &with(&self.arguments, &["--yes"]), &strace).status.code(),
            Some(0)
        );
        let trace = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
        let first = trace.split_whitespace().next().unwrap();
        let mut counted = BTreeMap::new();
        for line in trace.lines() {
            let (thread, line) = line.split_once(' ').unwrap();
            // What goes on after another thread's call was counted where it began.
            let begins = Some(line.trim_start()).filter(|line| !line.starts_with("<..."));
            let Some((call, _)) = begins.and_then(|line| line.split_once('(')) else { continue };
            let changes = CALLS.contains(&call) && (call != "openat" || line.contains("O_CREAT"));
            assert!(thread == first || !changes, "{}: another thread: {line}", self.name);
            let unknown =
                ["rename", "link", "chmod", "chown", "mkdir", "trunc", "pwrite", "setxattr", "utime"];
            let is_change = unknown.iter().any(|part| call.contains(part)) && !call.contains("readlink");
            assert!(!is_change || CALLS.contains(&call), "{}: no walk knows {line}", self.name);
            *counted.entry(call.to_owned()).or_insert(0) += usize::from(thread == first);
        }
        counted
    }
}

/// One kind of call, failed in one way, at every place.
struct Walk<'a> {
    start: &'a Start,
    call: &'static str,
    fault: Fault,
    /// The first call that is hit and the distance to the next ones, where these are not the usual ones.
    steps: Option<(usize, usize)>,
}

impl Walk<'_> {
    /// Takes every step and says how many there were.
    fn go(&self, failures: &mut Vec<String>) -> usize {
        let (mut number, stride) = self.steps.unwrap_or_else(|| self.fault.steps(self.call));
        let mut steps = 0;
        loop {
            let hit = self.step(number).unwrap_or_else(|failure| {
                failures.push(format!(
                    "{}: {} {number}, {:?}: {failure}",
                    self.start.name, self.call, self.fault
                ));
                true
            });
            if !hit {
                return steps;
            }
            steps += 1;
            number += stride;
            assert!(steps < MOST_STEPS, "{}: {} has no end", self.start.name, self.call);
        }
    }

    /// One run that is hit, and what has to be true after it. Gives `false` when the run ended before it was hit.
    fn step(&self, number: usize) -> Result<bool, String> {
        let copy = self.start.copy();
        let (folder, node) = (copy.path(), copy.path().join("node"));
        let trace = folder.join("trace");
        let only = format!("trace={}", self.call);
        let injection = self.fault.injection(self.call, number);
        let strace = ["-qq", "-o", trace.to_str().unwrap(), "-e", &only, "-e", &injection];
        let hit = run(folder, "apply", &with(&self.start.arguments, &["--yes"]), &strace);
        let trace = String::from_utf8_lossy(&std::fs::read(&trace).unwrap()).into_owned();
        if !trace.contains("(INJECTED)") && !trace.contains("killed by SIGKILL") {
            check(hit.status.code() == Some(0), || format!("untouched, it failed: {}", said(&hit)))?;
            return Ok(false);
        }
        let found = Tree::of(&node);
        let was_open = found.is_open();
        check(was_open || found.mismatches().is_empty(), || {
            format!("nothing is open, and these do not match: {:?}", found.mismatches())
        })?;
        if self.fault != Fault::Kill {
            self.judge_error(&hit, &found, &trace)?;
        }
        self.recover(folder, was_open)
            .map_err(|failure| format!("{failure}\nthe run that was hit: {}", said(&hit)))?;
        Ok(true)
    }

    /// An error of the system is told, and the exit code says what became of the node.
    fn judge_error(&self, hit: &Output, found: &Tree, trace: &str) -> Result<(), String> {
        let text = said(hit);
        let before = &self.start.before;
        let code = hit.status.code();
        check(!text.contains("panicked"), || text.clone())?;
        // The output itself may be what failed.
        let lost_output = trace.lines().any(|line| {
            line.contains("(INJECTED)") && (line.starts_with("write(1,") || line.starts_with("write(2,"))
        });
        let was_open = before.is_open();
        let as_before = || {
            check(was_open || found.same_as(before), || {
                format!("not as before: {}\n{text}", found.difference(before))
            })
        };
        match code {
            Some(0) => check(found.is_like(&self.start.after), || {
                format!("it says done: {}\n{text}", found.unlikeness(&self.start.after))
            }),
            Some(1) if lost_output => Ok(()),
            Some(1 | 3 | 4 | 10) => {
                as_before()?;
                check(
                    lost_output || text.contains("Input/output error") || text.contains("No space left"),
                    || format!("the cause is not told: {text}"),
                )
            }
            Some(11) => Ok(()),
            // Everything may be back, but not for certain on the disk.
            Some(12) => check(found.is_open() || found.mismatches().is_empty(), || text.clone()),
            // The program could not be loaded.
            Some(127) => as_before(),
            _ => Err(format!("it ended with {:?}: {text}", hit.status)),
        }
    }

    /// The next runs, which nothing disturbs, end what was begun.
    fn recover(&self, folder: &Path, was_open: bool) -> Result<(), String> {
        let first = run(folder, "apply", &with(&self.start.arguments, &["--yes"]), &[]);
        let says_so = String::from_utf8_lossy(&first.stdout).contains("undo visit ");
        check(says_so == was_open, || {
            format!("what was open ({was_open}) and what is told differ: {}", said(&first))
        })?;
        if first.status.code() != Some(0) {
            let second = run(folder, "apply", &with(&self.start.arguments, &["--yes"]), &[]);
            check(second.status.code() == Some(0), || format!("two runs fail: {}", said(&second)))?;
        }
        let found = Tree::of(&folder.join("node"));
        check(found.mismatches().is_empty(), || format!("do not match: {:?}", found.mismatches()))?;
        check(found.is_like(&self.start.after), || found.unlikeness(&self.start.after))?;
        check(found.leftovers().is_empty(), || format!("left over: {:?}", found.leftovers()))?;
        let plan = run(folder, "plan", &with(&self.start.arguments, &["--exit-code"]), &[]);
        check(plan.status.code() == Some(0), || format!("something is still due: {}", said(&plan)))
    }
}

fn check(holds: bool, failure: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(failure()) }
}

fn with<'a>(arguments: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [arguments, more].concat()
}

/// Runs the program, below strace when there are arguments for it.
fn run(folder: &Path, command: &str, arguments: &[&str], strace: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_pki");
    let mut call = Command::new(if strace.is_empty() { program } else { "strace" });
    if !strace.is_empty() {
        call.args(strace).arg(program);
    }
    call.args([command, "-q", "-f", "spec.yaml"]).args(arguments);
    call.current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    let end = match (output.status.code(), output.status.signal()) {
        (Some(code), _) => format!("exit {code}"),
        (None, signal) => format!("signal {signal:?}"),
    };
    let texts = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    format!("{end}\n{}{}", texts[0], texts[1])
}

/// Everything on a node: what it is, and for files its bytes.
#[derive(Default)]
struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(PartialEq, Eq)]
struct Entry {
    /// Kind, mode, owner, group, and the target of a link.
    about: String,
    bytes: Vec<u8>,
}

impl Tree {
    fn of(root: &Path) -> Self {
        let mut tree = Self::default();
        tree.add(root, Path::new("/"));
        tree
    }

    fn add(&mut self, root: &Path, path: &Path) {
        let real = root.join(path.strip_prefix("/").unwrap());
        let about = std::fs::symlink_metadata(&real).unwrap();
        let target = std::fs::read_link(&real).unwrap_or_default();
        let bytes = if about.is_file() { std::fs::read(&real).unwrap() } else { Vec::new() };
        let text = format!("{:o} {}:{} {}", about.mode(), about.uid(), about.gid(), target.display());
        self.entries.insert(path.to_owned(), Entry { about: text, bytes });
        if about.is_dir() {
            for entry in std::fs::read_dir(&real).unwrap() {
                self.add(root, &path.join(entry.unwrap().file_name()));
            }
        }
    }

    /// Whether a transaction is open.
    fn is_open(&self) -> bool {
        self.entries.contains_key(Path::new("/var/lib/pki/open"))
    }

    /// What belongs to the cluster and not to the program: neither its state nor its lock, nor the directories that these came with.
    fn managed(&self) -> impl Iterator<Item = (&PathBuf, &Entry)> {
        let own = ["/run", "/var"].map(Path::new);
        self.entries.iter().filter(move |(path, _)| !own.iter().any(|own| path.starts_with(own)))
    }

    /// Byte for byte.
    fn same_as(&self, other: &Self) -> bool {
        self.managed().eq(other.managed())
    }

    fn difference(&self, other: &Self) -> String {
        let mine: BTreeMap<_, _> = self.managed().collect();
        let others: BTreeMap<_, _> = other.managed().collect();
        let paths = mine.keys().chain(others.keys()).filter(|path| mine.get(*path) != others.get(*path));
        paths.map(|path| format!("{} ", path.display())).collect()
    }

    /// The same objects with the same modes and owners; keys and serial numbers are drawn anew in every run.
    fn is_like(&self, other: &Self) -> bool {
        self.unlikeness(other).is_empty()
    }

    fn unlikeness(&self, other: &Self) -> String {
        let abouts = |tree: &'_ Self| -> BTreeMap<PathBuf, String> {
            tree.managed().map(|(path, entry)| (path.clone(), entry.about.clone())).collect()
        };
        let (mine, others) = (abouts(self), abouts(other));
        let paths = mine.keys().chain(others.keys()).filter(|path| mine.get(*path) != others.get(*path));
        paths
            .map(|path| format!("{}: {:?}, not {:?}; ", path.display(), mine.get(path), others.get(path)))
            .collect()
    }

    /// What a run that has ended must not leave.
    fn leftovers(&self) -> Vec<&Path> {
        let is_temporary = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with('.') || path.starts_with("/var/lib/pki/open")
        };
        self.entries.keys().map(PathBuf::as_path).filter(|path| is_temporary(path)).collect()
    }

    /// Every certificate whose key is not the one beside it.
    fn mismatches(&self) -> Vec<String> {
        let mut mismatches = Vec::new();
        for (path, entry) in self.managed() {
            let text = match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => {
                    // A CA certificate may lie where its key does not.
                    let Some(key) = self.entries.get(&path.with_extension("key")) else { continue };
                    [entry.bytes.as_slice(), &key.bytes].concat()
                }
                Some("conf") => {
                    [data(&entry.bytes, "client-certificate-data"), data(&entry.bytes, "client-key-data")]
                        .concat()
                }
                _ => continue,
            };
            if !is_pair(&text) {
                mismatches.push(path.display().to_string());
            }
        }
        mismatches
    }
}

/// A field of a kubeconfig, decoded.
fn data(kubeconfig: &[u8], field: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(kubeconfig).into_owned();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(": "));
    base64::engine::general_purpose::STANDARD.decode(line.unwrap_or_default()).unwrap_or_default()
}

fn is_pair(text: &[u8]) -> bool {
    let items = read(text).items;
    let certificate =
        items.iter().find_map(|item| if let Item::Certificate(found) = item { Some(found) } else { None });
    let key =
        items.iter().find_map(|item| if let Item::PrivateKey(found) = item { Some(found) } else { None });
    match (certificate, key) {
        (Some(certificate), Some(key)) => certificate.facts().key == *key.public_key(),
        _ => false,
    }
}
