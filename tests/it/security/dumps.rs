//! No image of the program's memory is left behind, and what it starts is as it would have been without it.
#![expect(clippy::disallowed_methods, reason = "the tests run the program and send it signals")]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::cluster::{is_root, left_out};
use crate::support::made::{Made, Spec};
use crate::support::traces;

/// Starts the program in a shell that allows core files of any size, in the directory of the cluster.
fn allowed(made: &Made, arguments: &str) -> Child {
    let script = format!(
        "ulimit -c unlimited 2>/dev/null || ulimit -c $(ulimit -Hc); exec {} {arguments}",
        env!("CARGO_BIN_EXE_pki")
    );
    Command::new("sh")
        .args(["-c", &script])
        .current_dir(made.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} did not come", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// A cluster in which one certificate is due, whose service takes a while to restart and tells the core limit that it was given.
fn restarting() -> Made {
    let made = Made::new();
    let script = "ulimit -c > $PKI_ROOT/../limit; touch $PKI_ROOT/../started; while test ! -e $PKI_ROOT/../go; do sleep 0.1; done";
    let more = format!(
        "  services: {{ kube-scheduler: {{ restart: {{ command: [/bin/sh, -c, '{script}'] }} }} }}\n"
    );
    made.spec(&Spec { more: &more, ..Spec::renewing() });
    for node in crate::support::cluster::NODES {
        std::fs::create_dir_all(made.at(&format!("{node}/bin"))).unwrap();
        std::fs::copy("/bin/sh", made.at(&format!("{node}/bin/sh"))).unwrap();
    }
    made
}

const APPLY: &str = "apply -f spec.yaml --yes --only scheduler.conf@cp-1";

/// Core files in the directory of the cluster, and those that the system's own pattern puts there.
fn cores(made: &Made) -> Vec<String> {
    let names = std::fs::read_dir(made.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.starts_with("core")).collect()
}

#[test]
fn no_signal_leaves_a_core_file() {
    for sent in ["-ABRT", "-QUIT", "-SEGV"] {
        let made = restarting();
        let mut run = allowed(&made, APPLY);
        wait_for(&made.at("started"));
        signal(run.id(), sent);
        std::fs::write(made.at("go"), "").unwrap();
        run.wait().unwrap();
        assert_eq!(cores(&made), Vec::<String>::new(), "{sent}");
        let mut served = allowed(&made, "node serve --root cp-1");
        std::thread::sleep(Duration::from_millis(300));
        signal(served.id(), sent);
        drop(served.stdin.take());
        served.wait().unwrap();
        assert_eq!(cores(&made), Vec::<String>::new(), "node serve, {sent}");
    }
}

#[test]
fn sigquit_ends_a_run_as_sigterm_does() {
    let made = restarting();
    let before = std::fs::read(made.at("cp-1/etc/kubernetes/scheduler.conf")).unwrap();
    let mut run = allowed(&made, APPLY);
    wait_for(&made.at("started"));
    signal(run.id(), "-QUIT");
    std::fs::write(made.at("go"), "").unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(11), "stopped, and undone");
    assert_eq!(std::fs::read(made.at("cp-1/etc/kubernetes/scheduler.conf")).unwrap(), before);
}

#[test]
fn what_is_started_has_the_limit_that_was_there_before() {
    let made = restarting();
    let hard = Command::new("sh").args(["-c", "ulimit -Hc"]).output().unwrap().stdout;
    let mut run = allowed(&made, APPLY);
    wait_for(&made.at("started"));
    let limit = |process: u32| {
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
        line.split_whitespace().nth(4).unwrap().to_owned()
    };
    if is_root() {
        assert_eq!(limit(run.id()), "0", "the program itself writes none");
    }
    std::fs::write(made.at("go"), "").unwrap();
    assert!(run.wait().unwrap().success());
    let given = std::fs::read(made.at("limit")).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&given),
        String::from_utf8_lossy(&hard),
        "as the shell that started it had it"
    );
}

#[test]
fn nobody_but_root_looks_into_its_memory() {
    if !is_root() {
        left_out("nobody_but_root_looks_into_its_memory", "only root can run the program as somebody else");
        return;
    }
    // Somebody else than root must be able to start it.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("pki");
    std::fs::copy(env!("CARGO_BIN_EXE_pki"), &program).unwrap();
    Command::new("chmod").args(["-R", "a+rx"]).arg(folder.path()).status().unwrap();
    let mut served = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["node", "serve", "--read-only", "--root", "/"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its first word says that it is past its beginning.
    let mut word = [0; 4];
    std::io::Read::read_exact(served.stdout.as_mut().unwrap(), &mut word).unwrap();
    let own = std::fs::metadata(format!("/proc/{}/environ", served.id())).unwrap();
    assert_eq!(own.uid(), 0, "that is what the kernel makes of a process that is not dumpable");
    let read = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "cat"])
        .arg(format!("/proc/{}/environ", served.id()))
        .output()
        .unwrap();
    assert!(!read.status.success(), "its own user may not look into it");
    drop(served.stdin.take());
    served.wait().unwrap();
}

#[test]
fn a_key_is_gone_from_memory_as_soon_as_it_is_written() {
    let has_gcore = Command::new("gcore").output().is_ok();
    if !is_root() || !has_gcore {
        left_out(
            "a_key_is_gone_from_memory_as_soon_as_it_is_written",
            "it needs root and gcore, which comes with gdb",
        );
        return;
    }
    let made = restarting();
    let mut run = allowed(&made, APPLY);
    // The certificate is written by then, and nothing is committed yet.
    wait_for(&made.at("started"));
    let image = made.at("image");
    let taken = Command::new("gcore").arg("-o").arg(&image).arg(run.id().to_string()).output().unwrap();
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    let image = std::fs::read(made.at(&format!("image.{}", run.id()))).unwrap();
    std::fs::write(made.at("go"), "").unwrap();
    assert!(run.wait().unwrap().success());
    let config = std::fs::read(made.at("cp-1/etc/kubernetes/scheduler.conf")).unwrap();
    let keys = traces::traces(&config);
    assert!(!keys.is_empty());
    let left = occurring(&image, &keys);
    // Of a test's key it may be told which part is left, and among what.
    let shown: Vec<String> = left
        .iter()
        .map(|(part, place)| {
            let around = image.get(place.saturating_sub(80)..place + 120).unwrap_or_default();
            format!("part {part} of {} in: {}", keys.len(), around.escape_ascii())
        })
        .collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
}

/// Which of the parts occur in an image, each with the first place.
fn occurring(image: &[u8], parts: &[Vec<u8>]) -> BTreeMap<usize, usize> {
    // The first two bytes tell nearly every place apart.
    let mut begins = vec![false; 1 << 16];
    let index = |bytes: &[u8]| usize::from(bytes[0]) << 8 | usize::from(bytes[1]);
    parts.iter().for_each(|part| begins[index(part)] = true);
    let mut found = BTreeMap::new();
    for place in 0..image.len().saturating_sub(traces::LENGTH) {
        if begins[index(&image[place..])] {
            let here = parts.iter().enumerate().filter(|(_, part)| image[place..].starts_with(part));
            here.for_each(|(part, _)| {
                found.entry(part).or_insert(place);
            });
        }
    }
    found
}

#[test]
fn a_part_of_a_key_in_an_image_would_be_found() {
    let parts = [vec![7; traces::LENGTH], vec![8; traces::LENGTH]];
    let image = [vec![1; 1000], parts[1].clone(), vec![2; 1000]].concat();
    assert_eq!(occurring(&image, &parts), [(1, 1000)].into());
}
