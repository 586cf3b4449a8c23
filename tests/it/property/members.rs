//! What is true of every etcd cluster under systemd, whatever is broken in it and whatever befalls a run: random members in memory that run, load files and serve them.
//!
//! Beside `properties`, whose nodes hold files alone: here plans restart members and wait at gates, and starts and gates fail.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use jiff::{SignedDuration, Timestamp};
use pki::agent::{Failure, Memory, Port, Running};
use pki::apply::{Locking, Settings, apply};
use pki::desired::Survey;
use pki::diagnostic::Source;
use pki::diff::{Differences, diff};
use pki::observe::survey::survey;
use pki::plan::model::checked::Counterexample;
use pki::plan::model::outcome::{Outcome, Report};
use pki::plan::{Deed, Draft, Input, Options, Phase, draft, rollback};
use pki::profile::Profile;
use pki::protocol::file::SpecReference;
use pki::protocol::node::Host;
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

use crate::property::properties::{CLOCKS, Shared, Trouble, trouble};
use crate::support::cluster::in_order;

pub(crate) const MOST: usize = 7;

const NAMES: [&str; 11] = [
    "ca.crt",
    "ca.key",
    "client.crt",
    "client.key",
    "monitor.crt",
    "monitor.key",
    "peer.crt",
    "peer.key",
    "server.crt",
    "server.crt",
    "server.key",
];

/// Where the files are: in the usual place, or behind a link to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Usual,
    Linked,
}

#[derive(Debug, Clone)]
pub(crate) enum Damage {
    Gone(Index),
    Garbage(Index),
    Empty(Index),
    Swapped(Index, Index),
    Mode(Index, u32),
    Owner(Index, u32),
    /// It is newer than the process.
    Touched(Index),
}

/// What befalls the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    Trouble(Trouble),
    /// The next member that is restarted there does not start.
    Start,
    /// It starts and serves nothing.
    Serve,
    /// The next pod there that is to be restarted does not stop.
    Stop,
}

pub(crate) fn damage() -> impl Strategy<Value = Damage> {
    let file = any::<Index>;
    prop_oneof![
        3 => file().prop_map(Damage::Gone),
        1 => file().prop_map(Damage::Garbage),
        1 => file().prop_map(Damage::Empty),
        2 => (file(), file()).prop_map(|(one, other)| Damage::Swapped(one, other)),
        1 => (file(), prop::sample::select(vec![0o600, 0o644, 0o666])).prop_map(|(file, mode)| Damage::Mode(file, mode)),
        1 => (file(), 0..3_u32).prop_map(|(file, owner)| Damage::Owner(file, owner)),
        5 => file().prop_map(Damage::Touched),
    ]
}

pub(crate) fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        3 => trouble().prop_map(Blow::Trouble),
        1 => Just(Blow::Start),
        1 => Just(Blow::Serve),
        1 => Just(Blow::Stop),
    ]
}

pub(crate) fn name(number: usize) -> String {
    format!("member-{number}")
}

pub(crate) fn address(number: usize) -> String {
    format!("10.0.0.{}", number + 10)
}

pub(crate) struct Cluster {
    pub(crate) spec: ClusterPki,
    pub(crate) nodes: BTreeMap<NodeName, Shared>,
    now: fn() -> Timestamp,
}

impl Cluster {
    pub(crate) fn new(
        members: usize,
        place: Place,
        memory: impl Fn(usize) -> Memory,
        now: fn() -> Timestamp,
    ) -> Self {
        let line =
            |number| format!("    {}: {{ address: {}, roles: [etcd] }}\n", name(number), address(number));
        let nodes: String = (0..members).map(line).collect();
        let directories = match place {
            Place::Usual => "",
            Place::Linked => "  directories: { etcd-pki: { path: /data/etcd/pki, link: /etc/etcd/pki } }\n",
        };
        let text = format!(
            "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: random }}\nspec:\n  profile: etcd\n  \
             defaults: {{ keyAlgorithm: ecdsa-p256 }}\n{directories}  certificates:\n    monitor:\n      authority: etcd-ca\n      \
             subject: {{ commonName: monitor }}\n      usages: [client]\n      \
             files: {{ certificate: /etc/etcd/pki/monitor.crt, key: /etc/etcd/pki/monitor.key }}\n      holders: shared\n      \
             on: {{ role: etcd }}\n  nodes:\n{nodes}"
        );
        let nodes = (0..members).map(|number| (name(number).parse().unwrap(), Shared::new(memory(number))));
        Self::of(text, ProfileName::Etcd, nodes.collect(), now)
    }

    /// The nodes of a spec.
    pub(crate) fn of(
        text: String,
        profile: ProfileName,
        nodes: BTreeMap<NodeName, Shared>,
        now: fn() -> Timestamp,
    ) -> Self {
        let source = Source::from_bytes("spec.yaml", text.into_bytes()).unwrap();
        let known = BTreeMap::from([(profile, Profile::load(profile).unwrap().known_names())]);
        let options = ReadOptions {
            now: now(),
            ignore_other_kinds: false,
            known: &known,
            certificate_file: &|_, _| CertificateFile::Missing,
        };
        let reading = read(std::slice::from_ref(&source), &options);
        assert!(reading.problems.is_empty(), "{:?}", reading.problems);
        let spec = reading.specs.into_iter().next().unwrap().spec.clone();
        Self { spec, nodes, now }
    }

    pub(crate) fn survey(&self) -> Survey {
        survey(
            &self.spec,
            &Profile::load(self.spec.spec.profile).unwrap(),
            &self.nodes,
            (self.now)(),
            &Default::default(),
        )
        .unwrap()
    }

    fn input<T>(&self, survey: &Survey, differences: Differences, work: impl FnOnce(&Input<'_>) -> T) -> T {
        work(&Input {
            survey,
            differences: &differences,
            now: (self.now)(),
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

    /// Simulated with what the nodes tell of their processes.
    pub(crate) fn plan(&self) -> Plan {
        self.planned().unwrap()
    }

    /// The same up to a phase and with it.
    pub(crate) fn plan_until(&self, last: Phase) -> Plan {
        self.checked(|draft| draft.until(last).unwrap()).unwrap()
    }

    pub(crate) fn planned(&self) -> Result<Plan, Counterexample> {
        self.checked(|draft| draft)
    }

    fn checked(&self, cut: impl FnOnce(Draft) -> Draft) -> Result<Plan, Counterexample> {
        let survey = self.survey();
        let differences = diff(&survey.desired, &survey.observed, (self.now)());
        let draft = self.input(&survey, differences, |input| draft(input).unwrap());
        check(cut(draft), &survey, &Processes::of(&survey.observed)).map(in_order)
    }

    pub(crate) fn way_back(&self, run: &str) -> Plan {
        let survey = self.survey();
        let snapshots =
            self.nodes.iter().map(|(name, node)| (name.clone(), node.snapshots("").unwrap())).collect();
        let differences = Differences::without_findings(&survey.desired, &survey.observed, (self.now)());
        let back =
            self.input(&survey, differences, |input| rollback(input, &snapshots, Some(run)).unwrap().draft);
        check_rollback(back, &survey, &Processes::of(&survey.observed), &snapshots)
    }

    pub(crate) fn running(&self) -> usize {
        self.nodes.values().filter(|node| node.memory().is_running("etcd").is_some()).count()
    }

    /// Carries out a plan, and says how many members ran at the worst moment.
    pub(crate) fn apply(&self, plan: &Plan) -> (Report, usize) {
        let mut hosts = self
            .nodes
            .iter()
            .map(|(name, node)| (name.clone(), Box::new(node.clone()) as Box<dyn Host + Send + Sync>))
            .collect();
        let settings = Settings {
            done: pki::apply::Done::default(),
            desired: &self.survey().desired,
            on_failure: OnFailure::UndoNode,
            root_keys: &RootKeys::default(),
            note: String::new(),
            now: self.now,
            interrupted: &AtomicBool::new(false),
            locking: Locking::default(),
        };
        let mut least = self.running();
        let report = apply(plan, &mut hosts, &settings, &mut |_| least = least.min(self.running()));
        (report, least)
    }

    pub(crate) fn copies(&self) -> BTreeMap<NodeName, Memory> {
        self.nodes.iter().map(|(name, node)| (name.clone(), node.memory().clone())).collect()
    }

    pub(crate) fn is_as(&self, before: &BTreeMap<NodeName, Memory>) -> bool {
        self.nodes.iter().all(|(name, node)| node.memory().has_files_of(&before[name]))
    }
}

/// A machine with the package of etcd and nothing else.
fn empty() -> Memory {
    Memory::new(CLOCKS[0]())
        .directory("/etc/etcd", 0o755)
        .directory("/data/etcd", 0o755)
        .file("/etc/passwd", "root:x:0:0::/:/bin/sh\netcd:x:1234:1234::/:/bin/sh\n", 0o644)
        .file("/etc/group", "root:x:0:\netcd:x:1234:\n", 0o644)
}

/// Every member as the first apply leaves it, by the place of its files.
pub(crate) static MADE: LazyLock<BTreeMap<Place, Vec<Memory>>> = LazyLock::new(|| {
    let made = |place| {
        let cluster = Cluster::new(MOST, place, |_| empty(), CLOCKS[0]);
        let plan = cluster.plan();
        assert!(plan.applicable, "{}", pki::output::plan(&plan));
        let (report, _) = cluster.apply(&plan);
        assert_eq!(report.outcome, Outcome::Done, "{:?}", report.failure);
        (place, cluster.nodes.values().map(|node| node.memory().clone()).collect())
    };
    [made(Place::Usual), made(Place::Linked)].into()
});

pub(crate) fn etcd(number: usize) -> Running {
    let port = |port, name: &str| Port {
        address: address(number).parse().unwrap(),
        port,
        serves: format!("etcd-{name}").parse().unwrap(),
        certificate: format!("/etc/etcd/pki/{name}.crt"),
        key: format!("/etc/etcd/pki/{name}.key"),
        is_read_again: true,
    };
    let unit = Some("etcd.service".to_owned());
    Running { unit, manifest: None, ports: vec![port(2379, "server"), port(2380, "peer")] }
}

pub(crate) fn broken(mut memory: Memory, place: Place, damage: &[&Damage]) -> Memory {
    let folder = match place {
        Place::Usual => "/etc/etcd/pki",
        Place::Linked => "/data/etcd/pki",
    };
    let file = |index: &Index| format!("{folder}/{}", index.get(&NAMES));
    for damage in damage {
        let bytes = |path: &str| memory.bytes(path).map(<[u8]>::to_vec);
        memory = match damage {
            Damage::Gone(index) => memory.without(&file(index)),
            Damage::Garbage(index) => memory.file(&file(index), "no PEM, no YAML: [", 0o600),
            Damage::Empty(index) => memory.file(&file(index), "", 0o600),
            Damage::Swapped(one, other) => match bytes(&file(other)) {
                Some(content) => memory.file(&file(one), content, 0o600),
                None => memory,
            },
            Damage::Mode(index, mode) => match bytes(&file(index)) {
                Some(content) => memory.file(&file(index), content, *mode),
                None => memory,
            },
            Damage::Owner(index, owner) => memory.owned(&file(index), *owner, *owner),
            Damage::Touched(index) => {
                let later = CLOCKS[0]() + SignedDuration::from_secs(10);
                memory.modified(&file(index), later)
            }
        };
    }
    memory
}

pub(crate) fn shown(plan: &Plan, report: &Report) -> String {
    format!("{}\n{}\n{report:?}", pki::output::plan(plan), pki::output::report(plan, report))
}

proptest! {
    #![proptest_config(crate::support::seeds::cases(96))]

    #[test]
    fn a_run_keeps_the_quorum_and_is_whole_or_was_never_there(
        members in 1..=MOST,
        place in prop::sample::select(vec![Place::Usual, Place::Linked]),
        damaged in prop::collection::vec((any::<Index>(), damage()), 0..8),
        started_last in any::<bool>(),
        clock in prop::sample::select(vec![0_usize, 0, 1, 2]),
        struck in any::<Index>(),
        blow in blow(),
    ) {
        let etcd_name = || "etcd".parse().unwrap();
        let made = |number: usize| {
            let own: Vec<&Damage> = damaged.iter().filter(|(node, _)| node.index(members) == number).map(|(_, damage)| damage).collect();
            let memory = MADE[&place][number].clone();
            match started_last {
                true => broken(memory, place, &own).running(etcd_name(), etcd(number)),
                false => broken(memory.running(etcd_name(), etcd(number)), place, &own),
            }
        };
        let cluster = Cluster::new(members, place, made, CLOCKS[clock]);
        let before = cluster.copies();
        let plan = cluster.planned().map_err(|wrong| TestCaseError::fail(wrong.to_string()))?;
        prop_assert!(cluster.is_as(&before), "planning changed a node");
        if !plan.applicable {
            // Where all members work, there is always a way to restart one.
            let too_few = plan.blocked.iter().find(|blocked| blocked.because.contains(" would leave "));
            prop_assert!(too_few.is_none() || !damaged.is_empty(), "{too_few:?}");
            return Ok(());
        }
        for least in plan.checked.iter().flat_map(|checked| &checked.least).filter(|least| least.of > 2 && least.before == least.of) {
            prop_assert!(least.least + 1 >= least.of, "{least:?}\n{}", pki::output::plan(&plan));
        }

        let node = cluster.nodes[&name(struck.index(members)).parse::<NodeName>().unwrap()].clone();
        let failing = |failure| {
            let failing = node.memory().clone().failing(failure);
            *node.memory() = failing;
        };
        match blow {
            Blow::Trouble(trouble) => node.state().trouble = trouble,
            Blow::Start => failing(Failure::Start),
            Blow::Serve => failing(Failure::Serve),
            Blow::Stop => failing(Failure::Stop),
        }
        let (report, least) = cluster.apply(&plan);
        node.heal();
        // What was not hit does not hit the next run.
        let whole = node.memory().clone().unfailing();
        *node.memory() = whole;
        prop_assert!(least + 1 >= members, "{least} of {members} ran\n{}", shown(&plan, &report));
        prop_assert_eq!(cluster.running(), members, "{}", shown(&plan, &report));
        match report.outcome {
            Outcome::Done => {}
            Outcome::Undone => {
                prop_assert!(blow != Blow::Trouble(Trouble::None), "{}", shown(&plan, &report));
                prop_assert!(cluster.is_as(&before), "{}", shown(&plan, &report));
            }
            Outcome::Partial => prop_assert!(blow != Blow::Trouble(Trouble::None), "{}", shown(&plan, &report)),
            Outcome::UndoFailed => {
                prop_assert!(matches!(blow, Blow::Trouble(Trouble::Death(_))), "{}", shown(&plan, &report));
                let undo = cluster.plan();
                let only_undoes = undo.actions().all(|action| matches!(action.deed, Deed::UndoOpen { .. }));
                prop_assert!(undo.applicable && only_undoes);
                prop_assert_eq!(cluster.apply(&undo).0.outcome, Outcome::Done);
            }
            Outcome::Refused | Outcome::Stale | Outcome::Locked | Outcome::InterruptedUntouched => {
                prop_assert!(false, "{}", shown(&plan, &report));
            }
        }

        // Whatever happened, the next run goes on from there, one member at a time, and then nothing is left to do.
        if report.outcome != Outcome::Done {
            let rest = cluster.plan();
            prop_assert!(rest.applicable, "{}", pki::output::plan(&rest));
            let (report, _) = cluster.apply(&rest);
            prop_assert_eq!(report.outcome, Outcome::Done, "{}", shown(&rest, &report));
        }
        let nothing = cluster.plan();
        prop_assert!(nothing.visits.is_empty() && nothing.applicable, "{}\nafter\n{}", pki::output::plan(&nothing), pki::output::plan(&plan));

        if report.outcome == Outcome::Done && !plan.visits.is_empty() {
            let back = cluster.way_back(&plan.id);
            prop_assert!(back.applicable, "{}", pki::output::plan(&back));
            let (report, least) = cluster.apply(&back);
            prop_assert_eq!(report.outcome, Outcome::Done, "{}", shown(&back, &report));
            prop_assert!(cluster.is_as(&before) && least == members, "{}", pki::output::plan(&back));
        }
    }
}
