//! Every way in which a directory and its link can be wrong: what the apply makes of it, told by other programs, and that a rollback brings everything
//! back. The golden text `listing.txt` beside a scenario's plan says what is another after the apply; `UPDATE=1` rewrites it.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pki::plan::model::outcome::Outcome;
use pki::plan::{Deed, Options, PlanContent};
use pki::simulate::Plan;

use crate::scenario::scenarios::{folders, set_up};
use crate::support::cluster::{Cluster, ROOT, golden, left_out, normalised};
use crate::support::listing::{Listing, differing, listing};
use crate::support::program;

/// The folders of the scenarios about directories and links.
fn cases() -> Vec<PathBuf> {
    let is_case = |folder: &PathBuf| {
        let name = folder.file_name().unwrap().to_str().unwrap();
        name.starts_with("directory-") || name.starts_with("link-")
    };
    let cases: Vec<PathBuf> =
        folders(&Path::new(ROOT).join("tests/scenarios")).into_iter().filter(is_case).collect();
    assert!(cases.len() >= 15, "only {} cases", cases.len());
    cases
}

fn case(name: &str) -> Cluster {
    set_up(&Path::new(ROOT).join("tests/scenarios").join(name)).unwrap()
}

#[test]
fn every_case_is_applied_and_rolled_back_to_the_byte() {
    let failures: Vec<String> = cases().iter().filter_map(|folder| go(folder).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn go(folder: &Path) -> Result<(), String> {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let cluster = set_up(folder)?;
    let before = listing(cluster.path());
    let plan = cluster.plan(&Options::default());
    if !plan.applicable {
        let refused = program::pki(cluster.path(), &["apply", "-f", "spec.yaml", "--yes"]);
        if program::code(&refused) == 0 || listing(cluster.path()) != before {
            return Err(format!("{name}: a plan that is blocked was applied"));
        }
        return golden(&folder.join("listing.txt"), "It is not applied, and nothing is touched.\n");
    }
    if plan.visits.is_empty() {
        return golden(&folder.join("listing.txt"), "There is nothing to do.\n");
    }
    let report = cluster.apply(&plan);
    if report.outcome != Outcome::Done {
        return Err(format!("{name}: {report:?}"));
    }
    let after = listing(cluster.path());
    golden(&folder.join("listing.txt"), &changes(&before, &after, &plan))?;
    let left = cluster.plan(&Options::default());
    if !left.visits.is_empty() {
        return Err(format!("{name}: something is left to do\n{}", pki::output::plan(&left)));
    }
    let back = cluster.rollback(&plan.id).plan;
    golden(&folder.join("rollback.txt"), &rollback_text(&back, &plan))?;
    let report = cluster.apply(&back);
    if report.outcome != Outcome::Done {
        return Err(format!("{name}: going back: {report:?}"));
    }
    let now = listing(cluster.path());
    if now != before {
        return Err(format!("{name}: not as before: {:?}", differing(&before, &now)));
    }
    Ok(())
}

/// What is another after the apply, each with what it is. Bytes are named by a file that had them before.
fn changes(before: &Listing, after: &Listing, plan: &Plan) -> String {
    let us = before.values().next().unwrap().split(' ').nth(2).unwrap();
    let digest = |facts: &str| facts.split_once(" sha256 ").map(|(_, digest)| digest.to_owned());
    let node = |path: &str| path.split('/').next().unwrap().to_owned();
    let mut known: BTreeMap<(String, String), &String> = BTreeMap::new();
    for (path, facts) in before {
        if let Some(digest) = digest(facts) {
            known.entry((node(path), digest)).or_insert(path);
        }
    }
    let told = |path: &str, facts: Option<&String>| -> String {
        let Some(facts) = facts else { return "nothing".to_owned() };
        let about = facts.split(" sha256 ").next().unwrap().replace(us, "us");
        match digest(facts) {
            None => about,
            Some(digest) => match known.get(&(node(path), digest)) {
                Some(like) => format!("{about}, the bytes of {like}"),
                None => format!("{about}, new bytes"),
            },
        }
    };
    let mut text = String::from("After the apply; everything else is as before:\n");
    for path in differing(before, after) {
        let (old, new) = (told(&path, before.get(&path)), told(&path, after.get(&path)));
        let shown = without_random(&path.replace(&plan.id, "<plan>"));
        writeln!(text, "  {shown}\n      was {old}\n      is  {new}").unwrap();
    }
    text.push_str("After the rollback everything is as before.\n");
    text
}

/// A path without the random end of the name of what waits beside something.
fn without_random(path: &str) -> String {
    let parts = path.split('/').map(|name| match name.rsplit_once(".pki-") {
        Some((thing, end)) if end.len() == 16 && end.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            format!("{thing}.pki-*")
        }
        Some(_) | None => name.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The way back. Of what a scenario or the run has issued, digests and sizes are others in every run.
fn rollback_text(back: &Plan, plan: &Plan) -> String {
    let back = PlanContent { checked: None, ..(**back).clone() };
    let text = pki::output::plan(&back).replace(&back.id, "<rollback>").replace(&plan.id, "<plan>");
    let lines = text.lines().map(|line| match line.split_once(" bytes, mode ") {
        Some((size, mode)) => {
            format!(
                "{}<size> bytes, mode {mode}",
                size.trim_end_matches(|digit: char| digit.is_ascii_digit())
            )
        }
        None => line.to_owned(),
    });
    normalised(&(lines.collect::<Vec<_>>().join("\n") + "\n"), &BTreeSet::new())
}

#[test]
fn of_two_directories_one_inside_the_other_the_outer_one_is_moved_first() {
    let cluster = case("directory-to-migrate-restarted");
    let spec = std::fs::read_to_string(cluster.path().join("spec.yaml")).unwrap();
    let inner = "  directories:\n    etcd-pki: { path: /data/etcd-pki, link: /etc/kubernetes/pki/etcd, migrate: true }\n";
    std::fs::write(cluster.path().join("spec.yaml"), spec.replace("  directories:\n", inner)).unwrap();
    let before = listing(cluster.path());
    let first = cluster.plan(&Options::default());
    let text = pki::output::plan(&first);
    assert!(
        text.contains(
            "Not by this plan: dir/etcd-pki@cp-2\n    it lies in dir/pki, which this plan moves first\n"
        ),
        "{text}"
    );
    assert_eq!(cluster.apply(&first).outcome, Outcome::Done);
    let between = listing(cluster.path());
    let second = cluster.plan(&Options::default());
    let moves: BTreeSet<String> = second
        .actions()
        .filter(|action| matches!(action.deed, Deed::MoveDirectory { .. }))
        .map(|action| action.address.to_string())
        .collect();
    assert!(moves.contains("dir/etcd-pki@cp-2"), "{moves:?}");
    assert_eq!(cluster.apply(&second).outcome, Outcome::Done);
    assert!(cluster.plan(&Options::default()).is_empty());
    let link = cluster.path().join("cp-2/data/pki/etcd");
    assert_eq!(std::fs::read_link(link).unwrap(), Path::new("/data/etcd-pki"));
    assert_eq!(cluster.apply(&cluster.rollback(&second.id).plan).outcome, Outcome::Done);
    assert_eq!(listing(cluster.path()), between);
    assert_eq!(cluster.apply(&cluster.rollback(&first.id).plan).outcome, Outcome::Done);
    assert_eq!(listing(cluster.path()), before);
}

#[test]
fn what_was_changed_in_a_moved_directory_keeps_it_where_it_is() {
    let cluster = case("directory-to-migrate-restarted");
    let plan = cluster.plan(&Options::default());
    assert_eq!(cluster.apply(&plan).outcome, Outcome::Done);
    std::fs::write(cluster.path().join("cp-2/data/pki/of-ann"), "seen by Ann\n").unwrap();
    let since = listing(cluster.path());
    let back = cluster.rollback(&plan.id).plan;
    let text = pki::output::plan(&back);
    let told = "Not by this plan: dir/pki@cp-2\n    /etc/kubernetes/pki was changed after run ";
    assert!(text.contains(told), "{text}");
    let _what_else_goes_back = cluster.apply(&back);
    assert_eq!(listing(cluster.path()), since);
}

#[test]
fn a_link_out_of_the_directory_is_told_and_nothing_is_touched() {
    let cluster = case("directory-to-migrate");
    let link = cluster.path().join("cp-2/etc/kubernetes/pki/shared.crt");
    std::os::unix::fs::symlink("../shared/ca.crt", link).unwrap();
    let before = listing(cluster.path());
    let report = cluster.apply(&cluster.plan(&Options::default()));
    assert_ne!(report.outcome, Outcome::Done);
    let told = format!("{report:?}");
    assert!(told.contains("a link to ../shared/ca.crt, relative and out of /etc/kubernetes/pki"), "{told}");
    assert_eq!(listing(cluster.path()), before);
}

/// Runs `pki apply` below strace.
fn traced(cluster: &Cluster, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_pki");
    let apply = ["apply", "-f", "spec.yaml", "--only", "dir/pki", "--yes"];
    Command::new("strace")
        .args(["-qq", "-o", "/dev/null"])
        .args(arguments)
        .arg(program)
        .args(apply)
        .current_dir(cluster.path())
        .output()
        .unwrap()
}

fn can_run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_kernel_that_cannot_exchange_names_is_told_and_nothing_is_touched() {
    if !can_run("strace", &["-qq", "-o", "/dev/null", "true"]) {
        left_out("exchange", "strace is not installed or may not trace here");
        return;
    }
    for error in ["EINVAL", "ENOSYS"] {
        let cluster = case("directory-to-migrate-restarted");
        let before = listing(cluster.path());
        let refused = traced(&cluster, &["-e", &format!("inject=renameat2:error={error}")]);
        let said = program::stdout(&refused) + &program::stderr(&refused);
        assert_ne!(program::code(&refused), 0, "{said}");
        assert!(said.contains("RENAME_EXCHANGE"), "{said}");
        assert_eq!(listing(cluster.path()), before);
    }
}

/// Two file systems can be had only by mounting one, in a namespace of its own, where everything has to happen.
#[test]
fn a_directory_is_moved_to_another_file_system_and_back() {
    if !can_run("unshare", &["--mount", "sh", "-c", "mount -t tmpfs none /mnt"]) {
        left_out("another file system", "nothing can be mounted here");
        return;
    }
    let cluster = case("directory-to-migrate-restarted");
    let pki = env!("CARGO_BIN_EXE_pki");
    let script = format!(
        r#"set -e
        mkdir -p cp-2/data
        mount -t tmpfs none cp-2/data
        state() {{ (cd cp-2 && find etc data ! -type l -printf '%P %y %m %U:%G\n' -o -printf '%P %l\n' | sort && find etc data -type f -exec sha256sum {{}} + | sort); }}
        files() {{ (cd "$1" && find . -printf '%P %y %m %U:%G %T@\n' | sort && find . -type f -exec sha256sum {{}} + | sort); }}
        state >before
        files cp-2/etc/kubernetes/pki >files-before
        {pki} apply -f spec.yaml --only dir/pki --yes
        test "$(readlink cp-2/etc/kubernetes/pki)" = /data/pki
        test "$(stat -c %d cp-2/data/pki)" != "$(stat -c %d cp-2/etc/kubernetes)"
        files cp-2/data/pki >files-after
        cmp files-before files-after
        {pki} rollback -f spec.yaml --yes
        state >after
        cmp before after
        # And a file system that is mounted at the link itself has no link put in its place.
        mv cp-2/etc/kubernetes/pki cp-2/etc/kubernetes/old
        mkdir cp-2/etc/kubernetes/pki
        mount -t tmpfs none cp-2/etc/kubernetes/pki
        cp -a cp-2/etc/kubernetes/old/. cp-2/etc/kubernetes/pki
        ! {pki} plan -f spec.yaml >plan
        tr -s ' \n' ' ' <plan | grep -q 'cannot be moved there: a file system is mounted on it'
        "#
    );
    let mut call = Command::new("unshare");
    call.args(["--mount", "sh", "-c", &script]).current_dir(cluster.path());
    let output = call.output().unwrap();
    assert!(output.status.success(), "{}{}", program::stdout(&output), program::stderr(&output));
}
