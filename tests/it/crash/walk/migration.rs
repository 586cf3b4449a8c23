//! A run that moves a directory, ended or failed at every call that its moving consists of.

use super::*;

/// The calls that make, exchange and remove what the move consists of.
const MOVING: [&str; 8] =
    ["renameat2", "symlinkat", "unlinkat", "mkdirat", "renameat", "fchmod", "fchown", "utimensat"];

/// The calls of which there are many and that matter less.
const STRIDED: [&str; 3] = ["unlinkat", "renameat", "fchmod"];

impl Start {
    /// The certificates of etcd are in a real directory, one of them is due, and all of them are to be on another disk.
    fn migration() -> Self {
        let Self { folder, .. } = Self::renewal();
        let spec = RENEWAL.to_owned()
            + "  directories:\n    etcd-pki: { path: /data/etcd-pki, link: /etc/kubernetes/pki/etcd, migrate: true }\n"
            + "  services:\n    etcd: { restart: { command: [/bin/true] } }\n    kube-apiserver: { restart: { command: [/bin/true] } }\n";
        std::fs::write(folder.path().join("spec.yaml"), spec).unwrap();
        Self::new("migration", folder, vec!["--only", "dir/etcd-pki", "--only", "etcd-server"])
    }
}

#[test]
fn a_move_that_is_cut_off_or_fails_at_any_system_call_is_ended_by_the_next_run() {
    if !can_trace() {
        left_out("walk of a move", "strace is not installed or may not trace here");
        return;
    }
    if !is_root() {
        left_out("walk of a move", "only root can give files to the users that the layouts name");
        return;
    }
    let start = Start::migration();
    let link = start.after.entries.get(Path::new("/etc/kubernetes/pki/etcd")).unwrap();
    assert!(link.about.ends_with(" /data/etcd-pki"), "{}", link.about);
    let counted = start.count();
    assert_eq!(counted.get("renameat2"), Some(&1), "one exchange");
    let mut walks = Vec::new();
    for call in MOVING.into_iter().filter(|call| counted.contains_key(*call)) {
        for fault in [Fault::Kill, Fault::Broken, Fault::StaysBroken] {
            // The first of few calls counts as much as any.
            let (first, stride) = match (fault, STRIDED.contains(&call)) {
                (Fault::Kill, false) => (1, 1),
                (Fault::Kill, true) => (1, 2),
                (_, false) => (1, 2),
                (_, true) => (2, 7),
            };
            walks.push(Walk { start: &start, call, fault, steps: Some((first, stride)) });
        }
    }
    let steps = go_all(&walks);
    assert!(steps > 60, "only {steps} runs were hit");
}
