//! A static pod starts as soon as its manifest changes, so on every way back its manifest comes after what the pod reads; and it has stopped before.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::*;
use crate::agent::probe::listeners::{Instance, holders};
use crate::agent::probe::tests::{Server, certificates};
use crate::protocol::health_check::HealthCheck;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MANIFEST: &str = "/etc/kubernetes/etcd.yaml";
const CERTIFICATE: &str = "/etc/kubernetes/pki/etcd/server.crt";
const KEY: &str = "/etc/kubernetes/pki/etcd/server.key";
const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: etcd\n";
const PATHS: [&str; 3] = [MANIFEST, CERTIFICATE, KEY];

fn annotate() -> WriteCommand {
    WriteCommand::AnnotatePod { manifest: MANIFEST.to_owned(), word: "7f3a-91c2-1".to_owned() }
}

/// A transaction that has written a pair, restarted the pod, and written the key once more.
fn restarted(node: &Node) -> Local {
    node.file(MANIFEST, POD, 0o600);
    node.file(CERTIFICATE, "old certificate", 0o644);
    node.file(KEY, "old key", 0o600);
    let mut local = node.begun(&PATHS);
    local.perform(write(CERTIFICATE, "new certificate")).unwrap();
    local.perform(annotate()).unwrap();
    local.perform(write(KEY, "new key")).unwrap();
    assert_ne!(node.text(MANIFEST), POD);
    local
}

#[test]
fn an_undo_puts_the_manifest_back_last() {
    let node = Node::new();
    let undone = restarted(&node).undo().unwrap();
    assert_eq!(undone.restored, [KEY, CERTIFICATE, MANIFEST]);
    assert_eq!(node.text(MANIFEST), POD);
}

#[test]
fn so_does_the_undo_of_what_a_dead_process_left() {
    let node = Node::new();
    drop(restarted(&node));
    let undone = node.local().undo_open(STATE).unwrap().unwrap();
    assert_eq!(undone.restored, [KEY, CERTIFICATE, MANIFEST]);
}

#[test]
fn and_that_of_a_rollback_which_had_put_it_back() {
    let node = Node::new();
    restarted(&node).commit().unwrap();
    let new = node.text(MANIFEST);
    let mut local = node.begun_as("0000-0001", &PATHS);
    let from = VisitId { run: "7f3a-91c2".to_owned(), visit: 1 };
    for path in [CERTIFICATE, MANIFEST, KEY] {
        local
            .perform(WriteCommand::Restore { from: from.clone(), path: path.to_owned(), with: Vec::new() })
            .unwrap();
    }
    assert_eq!(node.text(MANIFEST), POD);
    let undone = local.undo().unwrap();
    assert_eq!(undone.restored, [KEY, CERTIFICATE, MANIFEST]);
    assert_eq!(node.text(MANIFEST), new);
}

/// What lies in the directory of the manifest under other names than its own.
fn beside(node: &Node) -> Vec<String> {
    let names = fs::read_dir(node.at("/etc/kubernetes")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "etcd.yaml" && name != "pki").collect()
}

/// A kubelet with one static pod, which listens on a port. As that of 1.20 it starts the pod of a changed manifest before the old one has let go of the port.
struct Kubelet {
    port: u16,
    ends: Arc<AtomicBool>,
    collisions: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Kubelet {
    /// One that stops pods, or, as a dead one, does not.
    fn start(node: &Node, port: u16, stops: bool) -> Self {
        let (ends, collisions) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let manifest = node.at(MANIFEST);
        let thread = std::thread::spawn({
            let (ends, collisions, folder) = (ends.clone(), collisions.clone(), certificates());
            move || {
                let mut pod: Option<(Vec<u8>, Server)> = None;
                while !ends.load(Ordering::Relaxed) {
                    let now = fs::read(&manifest).ok();
                    let is_other = pod.as_ref().is_some_and(|(known, _)| now.as_ref() != Some(known));
                    if is_other && stops {
                        collisions.fetch_add(usize::from(now.is_some()), Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(400));
                        pod = None;
                    }
                    if let (None, Some(content)) = (&pod, now) {
                        pod = Some((content, Server::start_at(&folder, port, &[])));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let kubelet = Self { port, ends, collisions, thread: Some(thread) };
        while kubelet.process().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        kubelet
    }

    fn process(&self) -> Option<Instance> {
        holders(LOOPBACK, self.port).ok()?.into_iter().next()
    }

    fn gate(&self) -> HealthCheck {
        HealthCheck::Replaced { manifest: MANIFEST.to_owned(), address: LOOPBACK, port: self.port }
    }

    /// A transaction that watches the pod.
    fn begun(&self, node: &Node, run: &str, seconds: u64) -> Local {
        let mut local = node.local();
        let gates = [self.gate()].into();
        local.begin(&Begin { gates, gates_seconds: seconds, ..begin(run, 1, &PATHS) }).unwrap();
        local
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A port that the system gives to nobody else.
fn port(number: u16) -> u16 {
    10_000 + u16::try_from(std::process::id() % 2_000).unwrap() * 4 + number
}

#[test]
fn a_pod_has_stopped_before_the_next_one_starts_forward_backward_and_in_a_rollback() {
    let node = Node::new();
    node.file(MANIFEST, POD, 0o600);
    let kubelet = Kubelet::start(&node, port(0), true);
    let is_another_than = |old: Instance, local: &mut Local| {
        let gates = [kubelet.gate()].into();
        let wait = ReadCommand::Await {
            gates,
            kept: BTreeSet::new(),
            settle_seconds: 1,
            timeout_seconds: 20,
            links: Default::default(),
        };
        local.ask(wait).unwrap();
        let new = kubelet.process().unwrap();
        assert_ne!(new, old);
        assert_eq!((kubelet.collisions.load(Ordering::Relaxed), beside(&node)), (0, Vec::new()));
        new
    };
    let first = kubelet.process().unwrap();
    let mut local = kubelet.begun(&node, "7f3a-91c2", 20);
    local.perform(annotate()).unwrap();
    let second = is_another_than(first, &mut local);
    local.undo().unwrap();
    assert_eq!((node.text(MANIFEST).as_str(), beside(&node)), (POD, Vec::new()));
    assert!(kubelet.process().is_some_and(|third| third != second), "the undo waits for it");
    let mut local = kubelet.begun(&node, "7f3a-91c2", 20);
    local.perform(annotate()).unwrap();
    local.commit().unwrap();
    let mut local = kubelet.begun(&node, "0000-0001", 20);
    while kubelet.process().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let old = kubelet.process().unwrap();
    let from = VisitId { run: "7f3a-91c2".to_owned(), visit: 1 };
    local.perform(WriteCommand::Restore { from, path: MANIFEST.to_owned(), with: Vec::new() }).unwrap();
    is_another_than(old, &mut local);
    local.commit().unwrap();
    assert_eq!((node.text(MANIFEST).as_str(), beside(&node)), (POD, Vec::new()));
    assert_eq!(kubelet.collisions.load(Ordering::Relaxed), 0);
}

#[test]
fn a_pod_that_does_not_stop_is_named_and_every_undo_brings_its_manifest_back() {
    let node = Node::new();
    node.file(MANIFEST, POD, 0o600);
    node.file(CERTIFICATE, "old certificate", 0o644);
    let kubelet = Kubelet::start(&node, port(1), false);
    let process = kubelet.process().unwrap();
    let before = node.everything();
    let undos: [&dyn Fn(Local) -> Undone; 3] = [
        &|mut local| local.undo().unwrap(),
        &|local| {
            drop(local);
            node.local().undo_open(STATE).unwrap().unwrap()
        },
        &|local| {
            drop(local);
            node.local().undo_at_boot(STATE).unwrap().unwrap()
        },
    ];
    for undo in undos {
        let mut local = kubelet.begun(&node, "7f3a-91c2", 1);
        local.perform(write(CERTIFICATE, "new certificate")).unwrap();
        let error = local.perform(annotate()).unwrap_err().to_string();
        let words = format!(
            "the pod of {MANIFEST} has not stopped within 1 s, while the manifest was moved aside: process {} (openssl) still listens on 127.0.0.1:{}. Only a kubelet stops it",
            process.pid,
            port(1)
        );
        assert!(error.starts_with(&words), "{error}");
        assert!(!node.at(MANIFEST).exists(), "the undo puts it back, after what the pod reads");
        let waiting = beside(&node);
        assert!(matches!(&waiting[..], [one] if one.starts_with(".etcd.yaml.pki-")), "{waiting:?}");
        assert_eq!(node.text(&format!("/etc/kubernetes/{}", waiting[0])), POD);
        assert_eq!(undo(local).restored, [CERTIFICATE, MANIFEST]);
        assert_eq!(node.everything(), before);
        assert_eq!(kubelet.process(), Some(process));
    }
}

#[test]
fn no_manifest_stays_aside_wherever_the_process_ends() {
    let from = VisitId { run: "7f3a-91c2".to_owned(), visit: 1 };
    let restore =
        || WriteCommand::Restore { from: from.clone(), path: MANIFEST.to_owned(), with: Vec::new() };
    let orders: [&dyn Fn() -> WriteCommand; 2] = [&annotate, &restore];
    for (order, is_rollback) in orders.into_iter().zip([false, true]) {
        let mut outcomes = [0, 0];
        for survived in 0.. {
            let node = Node::new();
            node.file(MANIFEST, POD, 0o600);
            if is_rollback {
                let mut local = node.begun(&PATHS);
                local.perform(annotate()).unwrap();
                local.commit().unwrap();
            }
            let before = node.everything();
            let mut local = node.local();
            let end = FailPoint::after(survived);
            let outcome = local
                .begin(&begin("0000-0001", 1, &PATHS))
                .and_then(|()| local.perform(order()))
                .and_then(|_| local.commit());
            let was_aside = !node.at(MANIFEST).exists();
            drop(local);
            let is_whole = end.left() >= 0;
            drop(end);
            node.local().undo_at_boot(STATE).unwrap();
            assert_eq!(beside(&node), Vec::<String>::new(), "after {survived}, {outcome:?}");
            let is_done = (node.text(MANIFEST) == POD) == is_rollback;
            assert!(is_done || node.everything() == before, "after {survived}, {outcome:?}");
            outcomes[0] += usize::from(was_aside);
            outcomes[1] += usize::from(is_done);
            if is_whole {
                outcome.unwrap();
                break;
            }
        }
        assert!(outcomes[0] > 5 && outcomes[1] > 0, "{outcomes:?}");
    }
}
