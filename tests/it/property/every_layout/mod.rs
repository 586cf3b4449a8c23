//! What is true of every layout, whatever is asked of its CAs and wherever a run was interrupted: no file from which somebody takes what is trusted is ever
//! empty or holds a CA twice, every certificate is accepted by all to whom it is presented, every key fits, and one apply is enough where nothing has to wait.
//!
//! Judged from outside: the tables and the judge know the layouts and nothing of plans. Random clusters are nodes in memory; each layout with each wish
//! also goes through the program, on files, with openssl as the judge.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use pki::agent::{Memory, Port, Running};
use pki::apply::{Locking, Settings, apply};
use pki::desired::Survey;
use pki::diagnostic::Source;
use pki::diff::diff;
use pki::observe::survey::survey;
use pki::plan::model::checked::Counterexample;
use pki::plan::model::outcome::{Outcome, Report};
use pki::plan::{Deed, Input, Options, draft};
use pki::profile::Profile;
use pki::protocol::file::SpecReference;
use pki::protocol::node::Host;
use pki::simulate::{Plan, check};
use pki::spec::custom_root::{CertificateFile, RootKey, RootKeys};
use pki::spec::types::OnFailure;
use pki::spec::{Loaded, ReadOptions, read};
use pki::trust::processes::Processes;
use pki::types::names::NodeName;
use pki::types::secret::Secret;
use pki::x509::{Sha256, pem};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::property::members::{address, name};
use crate::property::properties::{CLOCKS, Shared, Trouble, trouble};
use crate::support::cluster::in_order;

use judge::{Node, bundles, filled, leaves, missing};
use layouts::{Can, LAYOUTS, Layout};

mod files;
mod finds;
mod judge;
mod layouts;

/// What is asked of CAs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    Renew,
    Extend,
    Replace,
    Distrust,
    Source,
    CutOff,
}

const WISHES: [Wish; 6] =
    [Wish::Renew, Wish::Extend, Wish::Replace, Wish::Distrust, Wish::Source, Wish::CutOff];

impl Wish {
    /// Whether it can be fulfilled while the CA is in use.
    fn is_fulfilled(self, authority: &layouts::Authority) -> bool {
        match self {
            Wish::Renew => true,
            Wish::Extend => authority.can >= Can::Last,
            Wish::Replace | Wish::Distrust | Wish::Source | Wish::CutOff => authority.can == Can::Go,
        }
    }
}

/// What was done to a file before, by hand or by a run that did not end.
#[derive(Debug, Clone)]
enum Damage<Number> {
    Gone,
    Empty,
    /// It holds what this file holds on another node.
    OfAnother(Number),
}

fn damage() -> impl Strategy<Value = Damage<Index>> {
    prop_oneof![
        3 => Just(Damage::Gone),
        1 => Just(Damage::Empty),
        2 => any::<Index>().prop_map(Damage::OfAnother),
    ]
}

/// The text of a spec in which something is asked of some CAs; the fingerprints are of the CAs that are in use.
fn spec(
    layout: &Layout,
    members: usize,
    wish: Option<Wish>,
    of: &BTreeSet<usize>,
    (fingerprints, cut_off): (&[Sha256], Timestamp),
    connection: &str,
) -> String {
    let fields = |index: &usize, authority: &layouts::Authority| {
        let wanted = match wish.filter(|_| of.contains(index)) {
            None | Some(Wish::Renew) => String::new(),
            Some(Wish::Extend) => "onExpiry: extend, renewBefore: 3651d, validity: 20y".to_owned(),
            Some(Wish::Replace) => "onExpiry: replace, renewBefore: 3651d, validity: 20y".to_owned(),
            Some(Wish::Distrust) => {
                format!("distrust: {{ \"sha256:{}\": INC-1 }}", fingerprints[*index])
            }
            Some(Wish::Source) => "source: { certificate: ./root.crt, key: ./root.key }".to_owned(),
            Some(Wish::CutOff) => format!("onExpiry: replace, reissueIssuedBefore: \"{cut_off}\""),
        };
        let fields: Vec<&str> =
            [authority.declared, &wanted].into_iter().filter(|text| !text.is_empty()).collect();
        format!("    {}: {{ {} }}\n", authority.name, fields.join(", "))
    };
    let authorities: String =
        layout.authorities.iter().enumerate().map(|(index, authority)| fields(&index, authority)).collect();
    let nodes: String = (0..members)
        .map(|number| {
            let connection = connection.replace("{node}", &name(number));
            format!(
                "    {}: {{ address: {}, roles: [{}]{connection} }}\n",
                name(number),
                address(number),
                layout.roles
            )
        })
        .collect();
    let renewal = if wish == Some(Wish::Renew) { ", validity: 730d, renewBefore: 400d" } else { "" };
    format!(
        "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: random }}\nspec:\n  profile: {}\n{}  \
         defaults: {{ keyAlgorithm: ecdsa-p256{renewal} }}\n  authorities:\n{authorities}  nodes:\n{nodes}",
        layout.profile, layout.head
    )
}

/// A root CA of one's own with its key, made by openssl.
static ROOT_FILES: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    files::make_root(folder.path());
    files::root_in(folder.path())
});

struct Cluster {
    layout: &'static Layout,
    loaded: Loaded,
    nodes: BTreeMap<NodeName, Shared>,
    now: fn() -> Timestamp,
}

impl Cluster {
    fn new(
        layout: &'static Layout,
        text: String,
        nodes: BTreeMap<NodeName, Shared>,
        now: fn() -> Timestamp,
    ) -> Self {
        let source = Source::from_bytes("spec.yaml", text.into_bytes()).unwrap();
        let known = BTreeMap::from([(layout.profile, Profile::load(layout.profile).unwrap().known_names())]);
        let certificate_file = |_: &str, _: &str| CertificateFile::Content(Secret::new(ROOT_FILES.0.clone()));
        let options = ReadOptions {
            now: now(),
            ignore_other_kinds: false,
            known: &known,
            certificate_file: &certificate_file,
        };
        let reading = read(std::slice::from_ref(&source), &options);
        assert!(!pki::diagnostic::has_errors(&reading.problems), "{:?}", reading.problems);
        Self { layout, loaded: reading.specs.into_iter().next().unwrap(), nodes, now }
    }

    fn survey(&self) -> Survey {
        let profile = Profile::load(self.layout.profile).unwrap();
        survey(&self.loaded.spec, &profile, &self.nodes, (self.now)(), &self.loaded.roots).unwrap()
    }

    fn plan(&self) -> Result<Plan, Counterexample> {
        let survey = self.survey();
        let differences = diff(&survey.desired, &survey.observed, (self.now)());
        let draft = draft(&Input {
            survey: &survey,
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
        });
        check(draft.unwrap(), &survey, &Processes::of(&survey.observed)).map(in_order)
    }

    /// Carries out a plan, and judges after each of its events.
    fn apply(&self, plan: &Plan, judge: &mut dyn FnMut(&Self)) -> Report {
        let host = |(name, node): (&NodeName, &Shared)| {
            (name.clone(), Box::new(node.clone()) as Box<dyn Host + Send + Sync>)
        };
        let mut root_keys = RootKeys::new();
        for (authority, root) in &self.loaded.roots {
            let key = RootKey::read(root.certificate.as_ref().unwrap(), &Secret::new(ROOT_FILES.1.clone()));
            root_keys.insert(authority.clone(), key.unwrap());
        }
        let settings = Settings {
            done: pki::apply::Done::default(),
            desired: &self.survey().desired,
            on_failure: OnFailure::UndoNode,
            root_keys: &root_keys,
            note: String::new(),
            now: self.now,
            interrupted: &AtomicBool::new(false),
            locking: Locking::default(),
        };
        apply(plan, &mut self.nodes.iter().map(host).collect(), &settings, &mut |_| judge(self))
    }

    fn judged<T>(&self, judge: impl FnOnce(&[Node<'_>]) -> T) -> T {
        let read: Vec<_> = self
            .nodes
            .iter()
            .map(|(name, node)| {
                (name.to_string(), move |path: &str| node.memory().bytes(path).map(<[u8]>::to_vec))
            })
            .collect();
        let nodes: Vec<Node<'_>> =
            read.iter().map(|(name, bytes)| Node { name: name.clone(), bytes }).collect();
        judge(&nodes)
    }

    /// The content of all that is judged: as long as it stays, so does the judgement.
    fn content(&self) -> Vec<Option<Vec<u8>>> {
        let paths = paths(self.layout, self.nodes.len());
        let of_node = |node: &Shared| {
            let memory = node.memory();
            paths.iter().map(|path| memory.bytes(path).map(<[u8]>::to_vec)).collect::<Vec<_>>()
        };
        self.nodes.values().flat_map(of_node).collect()
    }

    fn bundles(&self) -> BTreeSet<String> {
        self.judged(|nodes| bundles(self.layout, nodes))
    }

    fn leaves(&self) -> BTreeSet<String> {
        self.judged(|nodes| leaves(self.layout, nodes, (self.now)()))
    }
}

fn empty(layout: &Layout) -> Memory {
    let memory = Memory::new(CLOCKS[0]())
        .file("/etc/passwd", "root:x:0:0::/:/bin/sh\netcd:x:1234:1234::/:/bin/sh\n", 0o644)
        .file("/etc/group", "root:x:0:\netcd:x:1234:\n", 0o644);
    layout.folders.iter().fold(memory, |memory, folder| memory.directory(folder, 0o755))
}

/// Every layout as the first apply leaves it, by how many nodes it has.
static MADE: LazyLock<BTreeMap<(usize, usize), Vec<Memory>>> = LazyLock::new(|| {
    let made = |index: usize, members: usize| {
        let layout = &LAYOUTS[index];
        let text = spec(layout, members, None, &BTreeSet::new(), (&[], CLOCKS[0]()), "");
        let nodes = (0..members).map(|number| (name(number).parse().unwrap(), Shared::new(empty(layout))));
        let cluster = Cluster::new(layout, text, nodes.collect(), CLOCKS[0]);
        let plan = cluster.plan().unwrap();
        assert!(plan.applicable, "{}", pki::output::plan(&plan));
        let report = cluster.apply(&plan, &mut |_| {});
        assert_eq!(report.outcome, Outcome::Done, "{:?}", report.failure);
        let nothing: BTreeSet<String> = BTreeSet::new();
        assert_eq!(cluster.judged(|nodes| missing(layout, nodes)), nothing, "{}", layout.profile);
        assert_eq!(cluster.bundles(), nothing, "{}", layout.profile);
        assert_eq!(cluster.leaves(), nothing, "{}", layout.profile);
        ((index, members), cluster.nodes.values().map(|node| node.memory().clone()).collect())
    };
    let all = LAYOUTS
        .iter()
        .enumerate()
        .flat_map(|(index, layout)| (1..=layout.most).map(move |most| (index, most)));
    all.map(|(index, members)| made(index, members)).collect()
});

/// Everything that the layout knows of runs on a node.
fn running(layout: &Layout, memory: Memory, number: usize) -> Memory {
    layout.processes.iter().fold(memory, |memory, process| {
        let ports = process.ports.iter().map(|(port, serves, certificate, key)| Port {
            address: address(number).parse().unwrap(),
            port: *port,
            serves: filled(serves, number).parse().unwrap(),
            certificate: filled(certificate, number),
            key: filled(key, number),
            is_read_again: true,
        });
        let what = Running {
            unit: process.unit.map(str::to_owned),
            manifest: process.manifest.map(str::to_owned),
            ports: ports.collect(),
        };
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {}\nspec:\n  containers: []\n",
            process.service
        );
        let memory =
            process.manifest.into_iter().fold(memory, |memory, path| memory.file(path, pod.clone(), 0o600));
        memory.running(process.service.parse().unwrap(), what)
    })
}

/// The files that can be damaged: all that is judged.
fn paths(layout: &Layout, members: usize) -> Vec<String> {
    let mut paths = BTreeSet::new();
    let leaves = layout.leaves.iter().flat_map(|leaf| [leaf.certificate, leaf.key]);
    for part in layout.trusted.iter().copied().chain(leaves) {
        paths.extend(judge::names(part, members));
    }
    paths.into_iter().collect()
}

/// What is damaged is what was there: an empty file where the layout has none would be nobody's, and is left alone.
fn broken(memory: Memory, path: &str, damage: &Damage<usize>, others: &[Memory]) -> Memory {
    if memory.bytes(path).is_none() {
        return memory;
    }
    match damage {
        Damage::Gone => memory.without(path),
        Damage::Empty => memory.file(path, "", 0o600),
        Damage::OfAnother(node) => match others[*node].bytes(path).map(<[u8]>::to_vec) {
            Some(bytes) => memory.file(path, bytes, 0o600),
            None => memory,
        },
    }
}

fn shown(plan: &Plan, report: &Report) -> String {
    format!("{}\n{}\n{:?}", pki::output::plan(plan), pki::output::report(plan, report), report.failure)
}

/// Everything that a case is made of.
#[derive(Debug)]
struct Case {
    layout: usize,
    members: usize,
    wish: Wish,
    /// The authorities of which something is wished.
    of: BTreeSet<usize>,
    runs: bool,
    /// Files of nodes.
    damaged: Vec<(usize, String, Damage<usize>)>,
    /// What meets which node while each plan is carried out.
    blows: Vec<(usize, Trouble)>,
}

fn case() -> impl Strategy<Value = Case> {
    let any = any::<Index>;
    (
        (0..LAYOUTS.len(), any(), prop::sample::select(WISHES.to_vec()), prop::collection::vec(any(), 1..3)),
        (
            any_bool(),
            prop::collection::vec((any(), any(), damage()), 0..3),
            prop::collection::vec((any(), trouble()), 0..4),
        ),
    )
        .prop_map(|((layout, members, wish, of), (runs, damaged, blows))| {
            let members = members.index(LAYOUTS[layout].most) + 1;
            let paths = paths(&LAYOUTS[layout], members);
            let number = |index: Index| index.index(members);
            let damaged = damaged.into_iter().map(|(node, file, damage)| {
                let damage = match damage {
                    Damage::Gone => Damage::Gone,
                    Damage::Empty => Damage::Empty,
                    Damage::OfAnother(other) => Damage::OfAnother(number(other)),
                };
                (number(node), file.get::<String>(&paths).clone(), damage)
            });
            Case {
                layout,
                members,
                wish,
                of: of.iter().map(|index| index.index(LAYOUTS[layout].authorities.len())).collect(),
                runs,
                damaged: damaged.collect(),
                blows: blows.into_iter().map(|(node, trouble)| (number(node), trouble)).collect(),
            }
        })
}

fn any_bool() -> impl Strategy<Value = bool> {
    prop_oneof![Just(true), Just(false)]
}

/// Whether a plan begins with what an interrupted run left half done: what else is due is planned after that.
fn undoes(plan: &Plan) -> bool {
    plan.actions().any(|action| matches!(action.deed, Deed::UndoOpen { .. }))
}

/// Goes through one case; what is wrong with it.
fn go(case: &Case) -> Result<(), TestCaseError> {
    let (layout, members, of) = (&LAYOUTS[case.layout], case.members, &case.of);
    let made = &MADE[&(case.layout, members)];
    let fingerprints: Vec<Sha256> = layout
        .authorities
        .iter()
        .map(|authority| {
            *pem::read(made[0].bytes(authority.file).unwrap()).certificates().next().unwrap().fingerprint()
        })
        .collect();
    let node = |number: usize| {
        let own = case.damaged.iter().filter(|(node, ..)| *node == number);
        let memory =
            own.fold(made[number].clone(), |memory, (_, path, damage)| broken(memory, path, damage, made));
        let memory = if case.runs { running(layout, memory, number) } else { memory };
        (name(number).parse().unwrap(), Shared::new(memory))
    };
    let text = spec(layout, members, Some(case.wish), of, (&fingerprints, CLOCKS[0]()), "");
    let cluster = Cluster::new(layout, text, (0..members).map(node).collect(), CLOCKS[0]);
    let (bundles_before, leaves_before) = (cluster.bundles(), cluster.leaves());
    let is_whole = case.damaged.is_empty();

    let mut blows = case.blows.iter();
    let mut log = String::new();
    // Plans that did something and named what comes only after it: one more plan for each of them is promised, and not a defect.
    let mut announced = 0;
    for round in 0..24 {
        let plan = match cluster.plan() {
            Ok(plan) => plan,
            // Members that do not work leave no way to restart another one, and nothing is shown.
            Err(Counterexample::TooFew { .. }) if !is_whole => return Ok(()),
            Err(wrong) => return Err(TestCaseError::fail(format!("{wrong}\n{log}"))),
        };
        if !plan.applicable {
            let is_refused = of.iter().any(|index| !case.wish.is_fulfilled(&layout.authorities[*index]));
            prop_assert!(!is_whole || is_refused, "{}\n{log}", pki::output::plan(&plan));
            return Ok(());
        }
        let waits = !plan.elsewhere.is_empty() || !plan.postponed.is_empty();
        if plan.visits.is_empty() {
            prop_assert!(
                waits || !plan.restart_yourself.is_empty() || round <= 1 + case.blows.len() + announced,
                "one apply is not enough: {log}"
            );
            if !waits {
                prop_assert!(cluster.bundles().is_empty(), "{:?}\n{log}", cluster.bundles());
                prop_assert!(cluster.leaves().is_empty(), "{:?}\n{log}", cluster.leaves());
            }
            return Ok(());
        }
        announced += usize::from(waits || undoes(&plan));
        let blow = blows.next();
        if let Some((node, trouble)) = blow {
            cluster.nodes[name(*node).as_str()].state().trouble = *trouble;
        }
        let mut seen = BTreeSet::new();
        let mut last = None;
        let report = cluster.apply(&plan, &mut |cluster| {
            let content = Some(cluster.content());
            if content == last {
                return;
            }
            last = content;
            seen.extend(cluster.bundles().difference(&bundles_before).cloned());
            if is_whole {
                seen.extend(cluster.leaves().difference(&leaves_before).cloned());
            }
        });
        cluster.nodes.values().for_each(Shared::heal);
        prop_assert!(seen.is_empty(), "on the way: {seen:#?}\n{}", shown(&plan, &report));
        let can_fail = blow.is_some_and(|(_, trouble)| *trouble != Trouble::None);
        prop_assert!(report.outcome == Outcome::Done || can_fail, "{}", shown(&plan, &report));
        let phases: Vec<_> = plan.phases().map(|(phase, _)| phase).collect();
        log.push_str(&format!(
            "{:?} {phases:?} {:?}\n{}\n",
            report.outcome,
            report.failure,
            pki::output::plan(&plan)
        ));
        prop_assert!(round < 23, "it does not end\n{log}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(crate::support::seeds::cases(500))]

    #[test]
    fn no_trust_file_is_ever_empty_and_every_certificate_is_accepted_by_all_who_judge_it(case in case()) {
        go(&case)?;
    }
}
