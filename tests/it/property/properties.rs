//! What is true of every cluster, whatever is broken in it and wherever a run ends: random faults on nodes in memory, planned and applied.
//!
//! Key material is made once, by applying to empty nodes; each case takes copies of some of them, damages these, and lets a run go
//! through, fail at one order, or die there.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use jiff::Timestamp;
use pki::agent::Memory;
use pki::apply::{Locking, Settings, apply};
use pki::desired::{Desired, Survey};
use pki::diagnostic::Source;
use pki::diff::{Differences, diff};
use pki::observe::survey::survey;
use pki::plan::model::outcome::{Outcome, Report};
use pki::plan::{Deed, Input, Options, draft, rollback};
use pki::profile::Profile;
use pki::protocol::command::{Begin, ReadCommand, Reply, SnapshotEtcd, WriteCommand};
use pki::protocol::error::HostError;
use pki::protocol::facts::{NodeFacts, ObserveRequest, Observed};
use pki::protocol::file::SpecReference;
use pki::protocol::lock::{Claim, LockState};
use pki::protocol::node::{Host, Inspect, NodeError};
use pki::protocol::snapshots::{EtcdSnapshot, SnapshotFacts, Undone};
use pki::simulate::{Plan, check, check_rollback};
use pki::spec::custom_root::{CertificateFile, RootKeys};
use pki::spec::types::{ClusterPki, OnFailure};
use pki::spec::{ReadOptions, read};
use pki::trust::processes::Processes;
use pki::types::names::NodeName;
use pki::types::profile_name::ProfileName;
use pki::x509::Sha256;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::cluster::in_order;

const HEAD: &str = "apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: random }
spec:
  profile: kubeadm
  kubernetesVersion: v1.31.2
  cluster: { controlPlaneEndpoint: \"api.example:6443\", serviceSubnet: 10.96.0.0/12 }
  defaults: { keyAlgorithm: ecdsa-p256 }
  nodes:
";

/// What all control planes share, and further places of it, of a kubeconfig and of an authority.
const PLACES: &str = "  authorities: { ca: { copies: { system: { path: /etc/ssl/ca.pem } } } }
  certificates:
    admin.conf: { copies: { ops: { kubeconfig: { path: /etc/ops/admin.conf } } } }
    front:
      authority: ca
      subject: { commonName: front.example }
      usages: [server]
      files: { certificate: /etc/front/tls.crt, key: /etc/front/tls.key }
      holders: shared
      copies: { haproxy: { combined: { path: /etc/haproxy/front.pem } } }
      on: { role: control-plane }
";

const NODES: [(&str, &str); 5] = [
    ("cp-1", "[control-plane, etcd]"),
    ("cp-2", "[control-plane, etcd]"),
    ("cp-3", "[control-plane]"),
    ("member-1", "[etcd]"),
    ("worker-1", "[worker]"),
];

const FILES: [&str; 19] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/pki/apiserver.crt",
    "/etc/kubernetes/pki/apiserver.key",
    "/etc/kubernetes/pki/front-proxy-client.crt",
    "/etc/kubernetes/pki/etcd/server.key",
    "/etc/kubernetes/pki/etcd/peer.crt",
    "/etc/kubernetes/pki/ca.crt",
    "/etc/kubernetes/pki/ca.key",
    "/etc/kubernetes/pki/etcd/ca.crt",
    "/etc/kubernetes/pki/etcd/ca.key",
    "/etc/kubernetes/pki/sa.key",
    "/etc/kubernetes/pki/sa.pub",
    "/etc/front/tls.crt",
    "/etc/front/tls.key",
    "/etc/haproxy/front.pem",
    "/etc/ops/admin.conf",
    "/etc/ssl/ca.pem",
];

/// The present when the cluster was made, and later ones: nothing is due, leaves are due, leaves have expired, the authorities have too.
pub(crate) const CLOCKS: [fn() -> Timestamp; 4] = [
    || "2026-12-01T00:00:00Z".parse().unwrap(),
    || "2027-11-15T00:00:00Z".parse().unwrap(),
    || "2028-06-01T00:00:00Z".parse().unwrap(),
    || "2037-06-01T00:00:00Z".parse().unwrap(),
];

/// What is broken on a node before the plan is made.
#[derive(Debug, Clone)]
enum Damage {
    Gone(Index),
    Garbage(Index),
    Empty(Index),
    /// One file holds what belongs into another, on the same node.
    Swapped(Index, Index),
    Mode(Index, u32),
    Owner(Index, u32),
    /// The file is a link to where its content lies.
    Moved(Index),
}

/// What befalls the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    Before(u32),
    After(u32),
    Commit,
    /// The process dies after this many orders.
    Death(u32),
}

fn damage() -> impl Strategy<Value = Damage> {
    let file = any::<Index>;
    let modes = prop::sample::select(vec![0o600, 0o640, 0o644, 0o666, 0o777]);
    prop_oneof![
        4 => file().prop_map(Damage::Gone),
        2 => file().prop_map(Damage::Garbage),
        1 => file().prop_map(Damage::Empty),
        3 => (file(), file()).prop_map(|(one, other)| Damage::Swapped(one, other)),
        2 => (file(), modes).prop_map(|(file, mode)| Damage::Mode(file, mode)),
        1 => (file(), 0..3_u32).prop_map(|(file, owner)| Damage::Owner(file, owner)),
        2 => file().prop_map(Damage::Moved),
    ]
}

pub(crate) fn trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        Just(Trouble::None),
        (0..25_u32).prop_map(Trouble::Before),
        (0..25_u32).prop_map(Trouble::After),
        Just(Trouble::Commit),
        (0..25_u32).prop_map(Trouble::Death),
    ]
}

/// A node of which the test keeps hold while a run has it.
#[derive(Clone)]
pub(crate) struct Shared {
    memory: Arc<Mutex<Memory>>,
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Copy)]
pub(crate) struct State {
    pub(crate) trouble: Trouble,
    performed: u32,
    dead: bool,
}

impl Shared {
    pub(crate) fn new(memory: Memory) -> Self {
        let state = State { trouble: Trouble::None, performed: 0, dead: false };
        Self { memory: Arc::new(Mutex::new(memory)), state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn alive(&self) -> Result<MutexGuard<'_, Memory>, HostError> {
        if self.state().dead { Err(told()) } else { Ok(self.memory()) }
    }

    /// Has a command carried out, unless the trouble comes at it.
    fn counted<T>(&self, deed: impl FnOnce(&mut Memory) -> Result<T, HostError>) -> Result<T, HostError> {
        let State { trouble, performed, .. } = *self.state();
        self.state().performed = performed + 1;
        if trouble == Trouble::Death(performed) {
            self.state().dead = true;
        }
        if trouble == Trouble::Before(performed) {
            return Err(told());
        }
        let answer = self.alive().and_then(|mut node| deed(&mut node));
        if trouble == Trouble::After(performed) { Err(told()) } else { answer }
    }

    /// The trouble is over; what a dead process held is gone.
    pub(crate) fn heal(&self) {
        let was_dead = self.state().dead;
        *self.state() = State { trouble: Trouble::None, performed: 0, dead: false };
        if was_dead {
            self.memory().crash();
        }
    }
}

fn told() -> HostError {
    HostError::Refused { path: "/".to_owned(), reason: "told to fail".to_owned() }
}

impl Inspect for Shared {
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        self.memory().observe(request)
    }
}

impl Host for Shared {
    fn lock(&mut self, claim: &Claim) -> Result<(), HostError> {
        self.alive()?.lock(claim)
    }

    fn lock_state(&self) -> Result<LockState, HostError> {
        self.alive()?.lock_state()
    }

    fn unlock(&mut self) {
        self.memory().unlock();
    }

    fn begin(&mut self, begin: &Begin) -> Result<(), HostError> {
        self.alive()?.begin(begin)
    }

    fn ask(&mut self, command: ReadCommand) -> Result<Reply, HostError> {
        self.counted(|node| node.ask(command))
    }

    fn perform(&mut self, command: WriteCommand) -> Result<Reply, HostError> {
        self.counted(|node| node.perform(command))
    }

    fn commit(&mut self) -> Result<(), HostError> {
        if self.state().trouble == Trouble::Commit { Err(told()) } else { self.alive()?.commit() }
    }

    fn undo(&mut self) -> Result<Undone, HostError> {
        self.alive()?.undo()
    }

    fn undo_open(&mut self, state_directory: &str) -> Result<Option<Undone>, HostError> {
        self.alive()?.undo_open(state_directory)
    }

    fn snapshots(&self, state_directory: &str) -> Result<Vec<SnapshotFacts>, HostError> {
        self.memory().snapshots(state_directory)
    }

    fn snapshot_etcd(&mut self, wanted: &SnapshotEtcd) -> Result<EtcdSnapshot, HostError> {
        self.alive()?.snapshot_etcd(wanted)
    }

    fn etcd_snapshots(&self, state_directory: &str) -> Result<Vec<EtcdSnapshot>, HostError> {
        self.memory().etcd_snapshots(state_directory)
    }

    fn prune(&mut self, state_directory: &str, keep: u32) -> Result<Vec<String>, HostError> {
        self.alive()?.prune(state_directory, keep)
    }
}

/// Some nodes and the spec that declares them.
struct Cluster {
    spec: ClusterPki,
    nodes: BTreeMap<NodeName, Shared>,
    now: fn() -> Timestamp,
}

impl Cluster {
    fn new(chosen: &[usize], memory: impl Fn(&str) -> Memory, now: fn() -> Timestamp) -> Self {
        let line = |index: &usize| {
            let (name, roles) = NODES[*index];
            format!("    {name}: {{ address: 10.0.0.{index}1, roles: {roles} }}\n")
        };
        let text = format!("{HEAD}{}{PLACES}", chosen.iter().map(line).collect::<String>());
        let source = Source::from_bytes("spec.yaml", text.into_bytes()).unwrap();
        let known = BTreeMap::from([(ProfileName::Kubeadm, profile().known_names())]);
        let options = ReadOptions {
            now: now(),
            ignore_other_kinds: false,
            known: &known,
            certificate_file: &|_, _| CertificateFile::Missing,
        };
        let reading = read(std::slice::from_ref(&source), &options);
        assert!(reading.problems.is_empty(), "{:?}", reading.problems);
        let spec = reading.specs.into_iter().next().unwrap().spec.clone();
        let names = chosen.iter().map(|index| NODES[*index].0);
        let nodes = names.map(|name| (name.parse().unwrap(), Shared::new(memory(name)))).collect();
        Self { spec, nodes, now }
    }

    fn survey(&self) -> Survey {
        survey(&self.spec, &profile(), &self.nodes, (self.now)(), &Default::default()).unwrap()
    }

    fn input<T>(
        &self,
        compare: impl FnOnce(&Desired, &Observed, Timestamp) -> Differences,
        work: impl FnOnce(&Input<'_>) -> T,
    ) -> T {
        let survey = self.survey();
        let now = (self.now)();
        let differences = compare(&survey.desired, &survey.observed, now);
        work(&Input {
            survey: &survey,
            differences: &differences,
            now,
            spec: SpecReference {
                file: "spec.yaml".to_owned(),
                sha256: Sha256::of(b""),
                commit: None,
                files: Default::default(),
            },
            options: &Options::default(),
            signed: &Default::default(),
            place: &|_| None,
        })
    }

    fn plan(&self) -> Plan {
        self.input(diff, |input| {
            in_order(check(draft(input).unwrap(), input.survey, &Processes::default()).unwrap())
        })
    }

    fn apply(&self, plan: &Plan) -> Report {
        let mut hosts = self
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), Box::new(node.clone()) as Box<dyn Host + Send + Sync>))
            .collect();
        let desired = self.survey().desired;
        let settings = Settings {
            done: pki::apply::Done::default(),
            desired: &desired,
            on_failure: OnFailure::UndoNode,
            root_keys: &RootKeys::default(),
            note: String::new(),
            now: self.now,
            interrupted: &AtomicBool::new(false),
            locking: Locking::default(),
        };
        apply(plan, &mut hosts, &settings, &mut |_| {})
    }

    /// A plan to go back to before a run.
    fn way_back(&self, run: &str) -> Plan {
        let snapshots =
            self.nodes.iter().map(|(name, node)| (name.clone(), node.snapshots("").unwrap())).collect();
        let back = |input: &Input<'_>| {
            let draft = rollback(input, &snapshots, Some(run)).unwrap().draft;
            check_rollback(draft, input.survey, &Processes::default(), &snapshots)
        };
        self.input(Differences::without_findings, back)
    }

    fn copies(&self) -> BTreeMap<NodeName, Memory> {
        self.nodes.iter().map(|(name, node)| (name.clone(), node.memory().clone())).collect()
    }

    fn is_as(&self, before: &BTreeMap<NodeName, Memory>) -> bool {
        self.nodes.iter().all(|(name, node)| node.memory().has_files_of(&before[name]))
    }

    /// Long pieces of every private key, in the form that its file has.
    fn canaries(&self) -> Vec<String> {
        let mut canaries = Vec::new();
        for node in self.nodes.values() {
            for path in FILES {
                let bytes = node.memory().bytes(path).map(<[u8]>::to_vec).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let keys = text.split("-----BEGIN ").filter(|block| block.contains("PRIVATE KEY-----"));
                let lines = keys.flat_map(str::lines).filter(|line| line.len() == 64);
                canaries.extend(lines.map(str::to_owned));
                let embedded = text.lines().find_map(|line| line.trim().strip_prefix("client-key-data: "));
                canaries.extend(embedded.and_then(|data| data.get(60..140)).map(str::to_owned));
            }
        }
        canaries
    }
}

fn profile() -> Profile {
    Profile::load(ProfileName::Kubeadm).unwrap()
}

/// Every node as the first apply leaves it.
static MADE: LazyLock<BTreeMap<NodeName, Memory>> = LazyLock::new(|| {
    let cluster = Cluster::new(&[0, 1, 2, 3, 4], |_| Memory::new(CLOCKS[0]()), CLOCKS[0]);
    // What a worker has comes from its own kubelet, which is not there: only control planes and members are asked for.
    let plan = cluster.plan();
    assert!(plan.applicable, "{}", pki::output::plan(&plan));
    let report = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Done, "{:?}", report.failure);
    cluster.copies()
});

fn broken(mut memory: Memory, damage: &[Damage]) -> Memory {
    for damage in damage {
        let bytes = |memory: &Memory, path: &str| memory.bytes(path).map(<[u8]>::to_vec);
        let file = |index: &Index| *index.get(&FILES);
        memory = match damage {
            Damage::Gone(index) => memory.without(file(index)),
            Damage::Garbage(index) => memory.file(file(index), "no PEM, no YAML: [", 0o600),
            Damage::Empty(index) => memory.file(file(index), "", 0o600),
            Damage::Swapped(one, other) => match bytes(&memory, file(other)) {
                Some(content) => memory.file(file(one), content, 0o600),
                None => memory,
            },
            Damage::Mode(index, mode) => match bytes(&memory, file(index)) {
                Some(content) => memory.file(file(index), content, *mode),
                None => memory,
            },
            Damage::Owner(index, owner) => memory.owned(file(index), *owner, *owner),
            Damage::Moved(index) => match bytes(&memory, file(index)) {
                Some(content) => {
                    let target = format!("/srv{}", file(index));
                    memory.file(&target, content, 0o600).link(file(index), &target)
                }
                None => memory,
            },
        };
    }
    memory
}

fn shown(plan: &Plan, report: Option<&Report>) -> String {
    let text = pki::output::plan(plan);
    let report = report.map(|report| format!("{}\n{report:?}", pki::output::report(plan, report)));
    format!("{}\n{text}\n{plan:?}\n{}", serde_json::to_string(plan).unwrap(), report.unwrap_or_default())
}

fn holds_none(text: &str, canaries: &[String]) -> bool {
    canaries.iter().all(|canary| !text.contains(canary.as_str()))
}

proptest! {
    #![proptest_config(crate::support::seeds::cases(96))]

    #[test]
    fn a_run_is_whole_or_was_never_there(
        chosen in prop::sample::subsequence(vec![0_usize, 1, 2, 3, 4], 1..=5),
        damaged in prop::collection::vec((any::<Index>(), damage()), 0..6),
        clock in prop::sample::select(vec![0_usize, 0, 1, 2, 3]),
        troubled in any::<Index>(),
        trouble in trouble(),
    ) {
        let damage_of = |name: &str| -> Vec<Damage> {
            let own = damaged.iter().filter(|(node, _)| NODES[*node.get(&chosen)].0 == name);
            own.map(|(_, damage)| damage.clone()).collect()
        };
        let made = |name: &str| broken(MADE[&name.parse::<NodeName>().unwrap()].clone(), &damage_of(name));
        let cluster = Cluster::new(&chosen, made, CLOCKS[clock]);
        let before = cluster.copies();
        let mut canaries = cluster.canaries();
        let plan = cluster.plan();
        let again = cluster.plan();
        prop_assert_eq!(serde_json::to_string(&plan).unwrap(), serde_json::to_string(&again).unwrap());
        prop_assert!(holds_none(&shown(&plan, None), &canaries), "a plan holds a private key");
        prop_assert!(cluster.is_as(&before), "planning changed a node");
        if !plan.applicable {
            return Ok(());
        }

        let node = cluster.nodes[&NODES[*troubled.get(&chosen)].0.parse::<NodeName>().unwrap()].clone();
        node.state().trouble = trouble;
        let report = cluster.apply(&plan);
        canaries.extend(cluster.canaries());
        prop_assert!(holds_none(&shown(&plan, Some(&report)), &canaries), "a report holds a private key");
        node.heal();
        match report.outcome {
            Outcome::Done => {}
            Outcome::Undone => {
                prop_assert!(trouble != Trouble::None, "{}", shown(&plan, Some(&report)));
                prop_assert!(cluster.is_as(&before), "{}", pki::output::report(&plan, &report));
            }
            Outcome::Partial => prop_assert!(trouble != Trouble::None, "{}", shown(&plan, Some(&report))),
            Outcome::UndoFailed => {
                let died = matches!(trouble, Trouble::Death(_));
                prop_assert!(died, "{}", shown(&plan, Some(&report)));
                let undo = cluster.plan();
                let only_undoes = undo.actions().all(|action| matches!(action.deed, Deed::UndoOpen { .. }));
                prop_assert!(undo.applicable && only_undoes);
                prop_assert_eq!(undo.visits.len(), 1);
                prop_assert_eq!(cluster.apply(&undo).outcome, Outcome::Done);
            }
            Outcome::Refused | Outcome::Stale | Outcome::Locked | Outcome::InterruptedUntouched => {
                prop_assert!(false, "{}", shown(&plan, Some(&report)));
            }
        }

        // Whatever happened, the next run goes on from there, and then nothing is left to do.
        if report.outcome != Outcome::Done {
            let rest = cluster.plan();
            prop_assert!(rest.applicable, "{}", pki::output::plan(&rest));
            let report = cluster.apply(&rest);
            prop_assert_eq!(report.outcome, Outcome::Done, "{}", shown(&rest, Some(&report)));
        }
        let nothing = cluster.plan();
        prop_assert!(nothing.visits.is_empty() && nothing.applicable, "{}\nafter\n{}", pki::output::plan(&nothing), pki::output::plan(&plan));

        if report.outcome == Outcome::Done && !plan.visits.is_empty() {
            let back = cluster.way_back(&plan.id);
            prop_assert!(back.applicable, "{}", pki::output::plan(&back));
            let report = cluster.apply(&back);
            prop_assert_eq!(report.outcome, Outcome::Done, "{}", shown(&back, Some(&report)));
            prop_assert!(cluster.is_as(&before), "{}", pki::output::plan(&back));
        }
    }
}
