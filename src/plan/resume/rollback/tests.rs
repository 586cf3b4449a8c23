//! A run of several phases goes back through them, the last transaction first.

use std::collections::BTreeMap;

use crate::desired::Survey;
use crate::diff::Differences;
use crate::observe::survey::tests::{agreement, now};
use crate::plan::{Deed, Expected, Input, Options, PlanContent, Rollback, rollback};
use crate::protocol::facts::VisitState;
use crate::protocol::file::SpecReference;
use crate::protocol::snapshots::{Brief, ChangedPath, FileBrief, SnapshotFacts, VisitId};
use crate::types::names::NodeName;
use crate::x509::Sha256;

type Snapshots = BTreeMap<NodeName, Vec<SnapshotFacts>>;

const PATH: &str = "/etc/kubernetes/pki/etcd/ca.crt";

fn brief(size: u64) -> Brief {
    Brief::File(FileBrief { mode: 0o100_644, uid: 0, gid: 0, size, ..FileBrief::default() })
}

/// A visit that made a file of so many bytes out of one of so many.
fn snapshot(visit: u32, sizes: (u64, u64), unchanged_since: bool) -> SnapshotFacts {
    of_paths(visit, vec![changed(PATH, sizes, unchanged_since)])
}

fn changed(path: &str, (before, after): (u64, u64), unchanged_since: bool) -> ChangedPath {
    ChangedPath {
        path: path.to_owned(),
        location: path.to_owned(),
        before: brief(before),
        after: Some(brief(after)),
        unchanged_since,
    }
}

fn of_paths(visit: u32, paths: Vec<ChangedPath>) -> SnapshotFacts {
    SnapshotFacts {
        id: VisitId { run: "7f3a-91c2".to_owned(), visit },
        begun_at: now(),
        state: VisitState::Committed,
        purged: Default::default(),
        note: String::new(),
        paths,
    }
}

/// The planner's own way back from what the nodes keep.
pub(crate) fn back(survey: &Survey, snapshots: &Snapshots) -> Rollback {
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(b""),
        commit: None,
        files: Default::default(),
    };
    let options = &Options::default();
    let differences = &Differences::without_findings(&survey.desired, &survey.observed, now());
    let input = Input {
        survey,
        differences,
        now: now(),
        spec,
        options,
        signed: &Default::default(),
        place: &|_| None,
    };
    rollback(&input, snapshots, None).unwrap()
}

fn planned(snapshots: &Snapshots) -> PlanContent {
    back(&agreement(), snapshots).draft.into_planned()
}

/// `NODE VISIT` of what each visit of the way back puts back, and how many things it leaves.
fn way_back(cp_1: [SnapshotFacts; 2], cp_2: [SnapshotFacts; 2]) -> (Vec<String>, usize) {
    let snapshots =
        [("cp-1", cp_1), ("cp-2", cp_2)].map(|(name, kept)| (name.parse().unwrap(), kept.to_vec())).into();
    let plan = planned(&snapshots);
    let restored = plan.visits.iter().flat_map(|visit| {
        let of_visit = visit.actions.iter().filter_map(|action| {
            let Deed::Restore { visit, .. } = &action.deed else { return None };
            Some(format!("{} {visit}", action.address.place))
        });
        of_visit.collect::<Vec<_>>()
    });
    let left_by_later = plan.actions().filter(|action| {
        action.preconditions.iter().any(|found| {
            matches!(found, crate::plan::Precondition::File { expected: Expected::AsLeftBy(_), .. })
        })
    });
    assert_eq!(left_by_later.count(), if plan.elsewhere.is_empty() { 2 } else { 1 });
    (restored.collect(), plan.elsewhere.len())
}

#[test]
fn each_phase_is_gone_before_the_one_on_which_it_stands() {
    let twice = |first: u32| [snapshot(first, (1, 2), false), snapshot(first + 2, (2, 3), true)];
    assert_eq!(
        way_back(twice(1), twice(2)),
        (["cp-2 4", "cp-1 3", "cp-2 2", "cp-1 1"].map(str::to_owned).to_vec(), 0)
    );
}

#[test]
fn what_somebody_has_changed_between_the_phases_is_left() {
    let twice = |first: u32| [snapshot(first, (1, 2), false), snapshot(first + 2, (2, 3), true)];
    let mut changed = twice(1);
    changed[1].paths[0].before = brief(7);
    let (restored, left) = way_back(changed, twice(2));
    assert_eq!((restored, left), (["cp-2 4", "cp-1 3", "cp-2 2"].map(str::to_owned).to_vec(), 1));
}

/// The manifests of two static pods, and a file that no pod has for its manifest.
fn restarted() -> Snapshots {
    let visit = |visit: u32| {
        let paths = ["manifests/etcd.yaml", "manifests/kube-apiserver.yaml", "pki/etcd/ca.crt"];
        let changed = |path: &str| changed(&format!("/etc/kubernetes/{path}"), (2, 3), true);
        vec![of_paths(visit, paths.map(changed).to_vec())]
    };
    [("cp-1", visit(1)), ("cp-2", visit(2))].map(|(name, kept)| (name.parse().unwrap(), kept)).into()
}

#[test]
fn a_manifest_that_is_put_back_is_counted_as_the_restart_that_it_is() {
    let plan = planned(&restarted());
    assert_eq!((plan.summary.restart, plan.summary.restore), (4, 6));
    assert_eq!(serde_json::to_value(&plan).unwrap()["summary"]["restart"], 4);
    let text = crate::output::plan(&plan);
    assert!(text.contains("  This plan will restart 4 services, put back 6 paths."), "{text}");
    assert!(text.ends_with("restart 4, repair 0, restore 6.\n"), "{text}");
    assert!(!text.contains("when etcd is restarted: read at its start only"), "it is restarted: {text}");
}

#[test]
fn a_dead_kubelet_is_started_before_manifests_go_back_whichever_moment_of_it_was_seen() {
    use crate::plan::restart::cold_start::tests::{everything_down, unit};
    use crate::protocol::facts::{Answer, Seen, UnitFacts};
    let moments = [
        unit("activating", "auto-restart", "enabled"),
        unit("failed", "failed", "enabled"),
        UnitFacts {
            restarts: Some(7),
            up_seconds: Some(0),
            result: Some("success".to_owned()),
            ..unit("active", "running", "enabled")
        },
    ];
    for moment in moments {
        let mut survey = everything_down();
        for answer in survey.observed.nodes.values_mut() {
            let Answer::Facts(facts) = answer else { continue };
            facts.services.get_mut("kubelet").unwrap().unit = Some(Seen::Present(moment.clone()));
        }
        let plan = back(&survey, &restarted()).draft.into_planned();
        for visit in &plan.visits {
            let verbs: Vec<String> = visit
                .actions
                .iter()
                .filter(|action| matches!(action.address.target, crate::types::names::Target::Service(_)))
                .map(|action| format!("{} {}", action.verb(), action.address.target))
                .filter(|verb| !verb.starts_with("await-healthy"))
                .collect();
            assert_eq!(
                verbs,
                ["restart svc/kubelet", "restore svc/etcd", "restore svc/kube-apiserver"],
                "{moment:?}"
            );
        }
    }
}

#[test]
fn a_kubelet_is_restarted_where_the_certificate_that_it_has_rotated_to_goes_back() {
    use crate::plan::restart::cold_start::tests::{everything_down, unit};
    use crate::protocol::facts::{Answer, Seen};
    let mut survey = everything_down();
    for answer in survey.observed.nodes.values_mut() {
        let Answer::Facts(facts) = answer else { continue };
        let unit = unit("active", "running", "enabled");
        facts.services.get_mut("kubelet").unwrap().unit = Some(Seen::Present(unit));
    }
    let path = changed("/var/lib/kubelet/pki/kubelet-client-current.pem", (1, 2), true);
    let snapshots = BTreeMap::from([("cp-1".parse().unwrap(), vec![of_paths(1, vec![path])])]);
    let plan = back(&survey, &snapshots).draft.into_planned();
    let deeds: Vec<String> =
        plan.actions().map(|action| format!("{} {}", action.verb(), action.address.target)).collect();
    assert!(deeds.contains(&"restore kubelet.conf".to_owned()), "{deeds:?}");
    assert!(deeds.contains(&"restart svc/kubelet".to_owned()), "{deeds:?}");
}

#[test]
fn each_visit_says_which_pods_are_replaced_with_their_manifests() {
    let text = unwrapped(&planned(&restarted()));
    for service in ["etcd", "kube-apiserver"] {
        let line =
            format!("put back /etc/kubernetes/manifests/{service}.yaml, which restarts svc/{service} ");
        assert_eq!(text.matches(&line).count(), 2, "{text}");
    }
    assert!(text.contains("put back /etc/kubernetes/pki/etcd/ca.crt "), "{text}");
}

/// The text of a plan in one line.
fn unwrapped(plan: &PlanContent) -> String {
    crate::output::plan(plan).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What each step puts back, by the names of its files.
fn steps(plan: &PlanContent) -> Vec<Vec<&str>> {
    let restores = plan.actions().filter(|action| matches!(action.deed, Deed::Restore { .. }));
    let name = |path| str::rsplit(path, '/').next().unwrap_or(path);
    restores.map(|action| action.paths().into_iter().map(name).collect()).collect()
}

#[test]
fn both_files_of_a_pair_go_back_in_one_step() {
    let pki =
        ["apiserver.crt", "apiserver.key", "etcd/ca.crt", "etcd/ca.key", "etcd/peer.crt", "sa.key", "sa.pub"];
    let paths = |is_as_left: fn(&str) -> bool| {
        let changed = |path: &&str| changed(&format!("/etc/kubernetes/pki/{path}"), (2, 3), is_as_left(path));
        [("cp-1".parse().unwrap(), vec![of_paths(1, pki.iter().map(changed).collect())])].into()
    };
    let plan = planned(&paths(|_| true));
    assert_eq!(
        steps(&plan),
        [
            vec!["ca.crt", "ca.key"],
            vec!["apiserver.crt", "apiserver.key"],
            vec!["peer.crt"],
            vec!["sa.pub", "sa.key"],
        ]
    );
    assert_eq!(plan.summary.restore, 7, "each path counts");
    let text = unwrapped(&plan);
    let line = "put back /etc/kubernetes/pki/apiserver.crt and apiserver.key ";
    assert!(text.contains(line), "{text}");
    // What somebody has changed since goes back in no step.
    let plan = planned(&paths(|path| path != "apiserver.key"));
    assert_eq!(steps(&plan)[1], ["apiserver.crt"]);
    assert_eq!(plan.elsewhere.len(), 1);
}
