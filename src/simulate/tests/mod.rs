//! Start from a cluster that kubeadm made and from real plans for it, plant one fault, and look which step and which connection are named.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::*;
use crate::diff::diff;
use crate::observe::survey::tests::{SPEC, agreement, nothing, now};
use crate::plan::{
    Action, Approval, Bundle, Deed, Disruption, Draft, Input as PlanInput, Issue, ManualRestart, Options,
    Phase, RestartMethod, draft,
};
use crate::protocol::facts::Answer;
use crate::protocol::file::SpecReference;
use crate::trust::processes::Process;
use crate::trust::topology::TakesUp;
use crate::types::duration::Duration;
use crate::types::names::{Address, AuthorityName, NodeName, Target};
use crate::x509::{Certificate, Sha256};

mod faults;
mod random;
mod rollbacks;
mod trust;
mod undone;
mod ways_back;

const NODES: [&str; 3] = ["cp-1", "cp-2", "cp-3"];

/// The planner's own plan.
fn plan_of(survey: &Survey, replace: &[&str]) -> PlanContent {
    let differences = diff(&survey.desired, &survey.observed, now());
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(SPEC.as_bytes()),
        commit: None,
        files: Default::default(),
    };
    let replace = replace.iter().map(|text| text.parse().unwrap()).collect();
    let options = &Options { replace, ..Options::default() };
    let (differences, place) = (&differences, &|_: &[String]| None);
    draft(&PlanInput { survey, differences, now: now(), spec, options, signed: &Default::default(), place })
        .unwrap()
        .into_planned()
}

/// A plan with these visits, made by hand, numbered in order.
fn by_hand(visits: Vec<(&str, Vec<(Target, Deed)>)>) -> PlanContent {
    let mut plan = plan_of(&agreement(), &[]);
    let mut number = 0;
    for (place, (node, deeds)) in visits.into_iter().enumerate() {
        let node: NodeName = node.parse().unwrap();
        let actions = deeds.into_iter().map(|(subject, deed)| {
            number += 1;
            let address = Address::on(subject, &node);
            Action {
                number,
                undo: deed.traits(&address).undo,
                address,
                deed,
                reasons: Vec::new(),
                preconditions: Vec::new(),
                disruption: Disruption::None,
                after: Vec::new(),
            }
        });
        let actions = actions.collect();
        let number = u32::try_from(place).unwrap() + 1;
        let (phase, with_previous) = (Phase::Ordinary, false);
        plan.visits.push(PlannedTransaction {
            number,
            phase,
            with_previous,
            place: node.clone().into(),
            actions,
        });
    }
    plan
}

fn played(plan: &PlanContent) -> Result<Checked, Counterexample> {
    simulate(plan, &agreement(), &Processes::default())
}

/// The numbers of actions that came into another order.
fn renumbered(mut plan: PlanContent) -> PlanContent {
    for (number, action) in (1..).zip(plan.visits.iter_mut().flat_map(|visit| &mut visit.actions)) {
        action.number = number;
    }
    plan
}

/// Step and connection of what is broken.
fn broken(found: Result<Checked, Counterexample>) -> (When, String, String, Heals) {
    match found.unwrap_err() {
        Counterexample::Broken { when, connection, reason, heals } => (when, connection, reason, heals),
        other @ (Counterexample::TooFew { .. }
        | Counterexample::Trust { .. }
        | Counterexample::Refused { .. }) => {
            panic!("{other}")
        }
    }
}

/// A certificate of an authority of the cluster.
fn authority(survey: &Survey, name: &str) -> Certificate {
    let path = &survey.desired.nodes["cp-1"].authorities[name].certificate.path;
    let Answer::Facts(facts) = &survey.observed.nodes["cp-1"] else { panic!() };
    facts.files[path].shown().unwrap().content.pem().unwrap().certificates[0].clone()
}

/// Writes the certificates of an authority anew, with those of these authorities.
fn bundle(name: &str, of: &[&str]) -> (Target, Deed) {
    let survey = agreement();
    let file = survey.desired.nodes["cp-1"].authorities[name].certificate.clone();
    let certificates: Vec<Certificate> = of.iter().map(|name| authority(&survey, name)).collect();
    let bundle = Bundle::Known(certificates.try_into().unwrap());
    let name: AuthorityName = name.parse().unwrap();
    (Target::Authority(name), Deed::WriteBundle { file, bundle, before: Vec::new() })
}

fn restart(service: &str) -> (Target, Deed) {
    let deed = Deed::Restart {
        how: RestartMethod::Command { argv: vec!["/bin/true".to_owned()] },
        timeout: Duration::from_seconds(60),
    };
    (Target::Service(service.parse().unwrap()), deed)
}

/// The planner's own renewal of an identity on a node, with a change.
fn issue(identity: &str, node: &str, change: impl Fn(&mut Issue)) -> (Target, Deed) {
    let plan = plan_of(&agreement(), &[&format!("{identity}@{node}")]);
    let action = plan.actions().find(|action| matches!(action.deed, Deed::IssueIdentity(_))).unwrap().clone();
    let Deed::IssueIdentity(mut issue) = action.deed else { panic!() };
    change(&mut issue);
    (action.address.target, Deed::IssueIdentity(issue))
}

/// The number of the first action that issues this.
fn step_of(plan: &PlanContent, address: &str) -> u32 {
    plan.actions()
        .find(|action| action.address.to_string() == address && matches!(action.deed, Deed::IssueIdentity(_)))
        .unwrap()
        .number
}

#[test]
fn every_connection_of_a_cluster_that_kubeadm_made_works() {
    let survey = agreement();
    let mut world = ClusterModel::default();
    for (name, answer) in &survey.observed.nodes {
        let disk = Disk::of(answer.facts().unwrap(), &mut world.material);
        world.disks.insert(name.clone(), disk);
    }
    let topology = topology(&survey.desired, &survey.observed, &world.disks);
    let state = State::new(world, &topology, now(), |_, _| None);
    let links = (0..topology.links.len()).map(LinkId);
    let fails: Vec<String> = links
        .clone()
        .filter(|id| *state.link(*id) != Verdict::Holds)
        .map(|id| format!("{}: {:?}", topology.words(id), state.link(id)))
        .collect();
    assert_eq!(fails, Vec::<String>::new());
    let of_one: BTreeSet<String> =
        links.map(|id| topology.words(id)).filter(|words| words.starts_with("kube-apiserver@cp-2")).collect();
    let of_one: Vec<&str> = of_one.iter().map(String::as_str).collect();
    assert_eq!(
        of_one,
        [
            "kube-apiserver@cp-2 -> etcd@cp-2:2379",
            "kube-apiserver@cp-2 -> kubelet@cp-1:10250",
            "kube-apiserver@cp-2 -> kubelet@cp-2:10250",
            "kube-apiserver@cp-2 -> kubelet@cp-3:10250",
            "kube-apiserver@cp-2 -> those who trust what kube-apiserver@cp-1 publishes",
            "kube-apiserver@cp-2 -> those who trust what kube-apiserver@cp-2 publishes",
            "kube-apiserver@cp-2 -> those who trust what kube-apiserver@cp-3 publishes",
        ]
    );
}

#[test]
fn renewing_everything_breaks_nothing_and_stops_no_member() {
    let plan = plan_of(&agreement(), &["@cp-1", "@cp-2", "@cp-3"]);
    assert!(plan.summary.renew > 20);
    let checked = played(&plan).unwrap();
    assert_eq!(checked.interruptions, []);
    let counts: Vec<String> = checked
        .least
        .iter()
        .map(|least| format!("{} {} of {}", least.service, least.least, least.of))
        .collect();
    assert_eq!(counts, ["etcd 3 of 3", "kube-apiserver 3 of 3"]);
    assert!(checked.connections > 50);
}

#[test]
fn from_nothing_there_is_nothing_that_could_break() {
    let survey = nothing();
    let checked = simulate(&plan_of(&survey, &[]), &survey, &Processes::default()).unwrap();
    assert_eq!((checked.connections, checked.interruptions.len()), (0, 0));
    assert!(checked.least.iter().all(|least| least.before == 0));
}

#[test]
fn a_plan_carries_what_its_simulation_says_and_is_the_same_plan() {
    let survey = agreement();
    let plan = plan_of(&survey, &["etcd-server@cp-2"]);
    let id = plan.id.clone();
    let checked = check(Draft::by_hand(plan), &survey, &Processes::default()).unwrap();
    assert_eq!(checked.id, id);
    let text = crate::output::plan(&checked);
    assert!(
        text.contains(
            "\n  Checked: no connection breaks; no process was seen on these nodes, so nothing was checked live\n"
        ),
        "{text}"
    );
    let json = serde_json::to_value(&checked).unwrap();
    assert_eq!(json["checked"]["least"][0]["least"], 3);
}

#[test]
fn what_a_process_serves_counts_more_than_its_file() {
    let survey = agreement();
    let Answer::Facts(facts) = &survey.observed.nodes["cp-2"] else { panic!() };
    let of = |path: &str| {
        let file = facts.files[path].shown().unwrap();
        file.content.pem().unwrap().certificates.clone()
    };
    // It still serves a certificate that nobody trusts as the API server's.
    let stale = of("/etc/kubernetes/pki/etcd/server.crt");
    let process = Process { started: None, served: [(6443, stale)].into() };
    let key = ("kube-apiserver".parse().unwrap(), "cp-2".parse().unwrap());
    let processes = Processes { known: [(key, process)].into(), ..Processes::default() };
    let plan = plan_of(&survey, &["scheduler.conf@cp-1"]);
    let all = simulate(&plan, &survey, &Processes::default()).unwrap().connections;
    let known = simulate(&plan, &survey, &processes).unwrap().connections;
    assert_eq!(
        all - known,
        8,
        "kubectl and kubelet of three nodes, scheduler and controller manager of its own"
    );
}

#[test]
fn of_what_was_written_after_a_process_started_nothing_is_claimed() {
    let survey = agreement();
    let started = Some(Timestamp::UNIX_EPOCH);
    let key = ("etcd".parse().unwrap(), "cp-1".parse().unwrap());
    let process = Process { started, served: BTreeMap::new() };
    let processes = Processes { known: [(key, process)].into(), ..Processes::default() };
    let plan = plan_of(&survey, &["etcd-server@cp-1"]);
    let all = played(&plan).unwrap().connections;
    // It checks its peers, itself, the API server and etcdctl with a bundle that it may not have.
    assert_eq!(all - simulate(&plan, &survey, &processes).unwrap().connections, 7);
}
