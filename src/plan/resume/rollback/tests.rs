//! A run of several phases goes back through them, the last transaction first.

use crate::diff::Differences;
use crate::observe::survey::tests::{agreement, now};
use crate::plan::{Deed, Expected, Input, Options, rollback};
use crate::protocol::facts::VisitState;
use crate::protocol::file::SpecReference;
use crate::protocol::snapshots::{Brief, ChangedPath, FileBrief, SnapshotFacts, VisitId};
use crate::x509::Sha256;

const PATH: &str = "/etc/kubernetes/pki/etcd/ca.crt";

fn brief(size: u64) -> Brief {
    Brief::File(FileBrief { mode: 0o100_644, uid: 0, gid: 0, size, ..FileBrief::default() })
}

/// A visit that made a file of so many bytes out of one of so many.
fn snapshot(visit: u32, (before, after): (u64, u64), unchanged_since: bool) -> SnapshotFacts {
    let changed = ChangedPath {
        path: PATH.to_owned(),
        location: PATH.to_owned(),
        before: brief(before),
        after: Some(brief(after)),
        unchanged_since,
    };
    SnapshotFacts {
        id: VisitId { run: "7f3a-91c2".to_owned(), visit },
        begun_at: now(),
        state: VisitState::Committed,
        purged: Default::default(),
        note: String::new(),
        paths: vec![changed],
    }
}

/// `NODE VISIT` of what each visit of the way back puts back, and how many things it leaves.
fn way_back(cp_1: [SnapshotFacts; 2], cp_2: [SnapshotFacts; 2]) -> (Vec<String>, usize) {
    let survey = agreement();
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(b""),
        commit: None,
        files: Default::default(),
    };
    let options = &Options::default();
    let differences = &Differences::without_findings(&survey.desired, &survey.observed, now());
    let input = Input {
        survey: &survey,
        differences,
        now: now(),
        spec,
        options,
        signed: &Default::default(),
        place: &|_| None,
    };
    let snapshots =
        [("cp-1", cp_1), ("cp-2", cp_2)].map(|(name, kept)| (name.parse().unwrap(), kept.to_vec())).into();
    let plan = rollback(&input, &snapshots, None).unwrap().draft.into_planned();
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
