//! A local user who owns a directory, or who has written the checkout, against the program as root runs it.
//!
//! The sentinels are files of root that no run may touch, give away or repeat. Each case is one that once ended well for the user.
#![expect(clippy::disallowed_methods, reason = "the tests make the files that the program meets")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::support::program::{code, command, pki, stderr, stdout};

mod every_trick;

const N: u32 = 997;
const SHADOW: &str = "root:!:canary:19000::::::\n";
const SMALLEST: &str = "apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: x }
spec:
  profile: custom
  nodes: { n1: { address: 10.0.0.1, roles: [worker], connection: { local: { root: ./r } } } }
  authorities: { ca: { subject: { commonName: ca }, files: { certificate: /p/ca.crt, key: /p/ca.key }, on: { role: worker } } }
  certificates: { a: { authority: ca, subject: { commonName: a }, usages: [client], files: { certificate: /p/a.crt, key: /p/a.key }, on: { role: worker } } }
";
const ACK: &str = "apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: x }
spec:
  profile: ack
  kubernetesVersion: v1.20.4
  cluster: { controlPlaneEndpoint: \"api.x:6443\", serviceSubnet: 10.96.0.0/12 }
  nodes: { n1: { address: 10.0.0.11, roles: [control-plane, etcd], connection: { local: { root: ./n } } } }
";
const CERTIFICATES: &str = "n/var/lib/etcd/cert";

/// Only root can give directories to another user; tests/run says what is left out without it.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// An ACK master whose etcd directory belongs to etcd, as the first apply leaves it; copied for each case.
static MASTER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::write(at("ack.yaml"), ACK).unwrap();
    for directory in ["n/etc/cron.d", "n/run", "n/var/lib"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    fs::write(at("n/etc/passwd"), "root:x:0:0::/:/bin/sh\netcd:x:997:997::/:/bin/sh\n").unwrap();
    fs::write(at("n/etc/group"), "root:x:0:\netcd:x:997:\n").unwrap();
    fs::write(at("n/etc/shadow"), SHADOW).unwrap();
    fs::set_permissions(at("n/etc/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(at("n/run/pki.lock"), "").unwrap();
    let made = pki(folder.path(), &["apply", "-f", "ack.yaml", "--yes"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    give(&at("n/var/lib/etcd"));
    folder
});

/// Gives a directory with everything in it to the user.
fn give(path: &Path) {
    lchown(path, Some(N), Some(N)).unwrap();
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path());
        }
    }
}

/// A folder with everything in it, owners too.
fn copied(of: &tempfile::TempDir) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(of.path().join(".")).arg(folder.path()).status();
    assert!(copied.unwrap().success());
    folder
}

/// What nobody may touch: content, mode, owner and inode.
fn sentinels(root: &Path, paths: &[&str]) -> Vec<String> {
    let sentinel = |path: &&str| {
        let place = root.join(path);
        let status = fs::symlink_metadata(&place).unwrap();
        let content = match status.is_dir() {
            true => fs::read_dir(&place).unwrap().count().to_string(),
            false => fs::read_to_string(&place).unwrap(),
        };
        format!("{path} {content} {:o} {}:{} {}", status.mode(), status.uid(), status.gid(), status.ino())
    };
    paths.iter().map(sentinel).collect()
}

struct Master(tempfile::TempDir);

impl Master {
    fn copied() -> Self {
        Self(copied(&MASTER))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    fn link(&self, target: &str, path: &str) {
        symlink(target, self.at(path)).unwrap();
        lchown(self.at(path), Some(N), Some(N)).unwrap();
    }

    fn aside(&self, path: &str) {
        fs::rename(self.at(path), self.at(&format!("{path}.moved"))).unwrap();
    }

    fn sentinels(&self) -> Vec<String> {
        sentinels(
            &self.at("n"),
            &["etc/shadow", "etc/cron.d", "etc/kubernetes/pki/ca.key", "etc/kubernetes/pki/ca.crt"],
        )
    }

    /// Every command that looks or writes; nothing outside is touched or told, and whoever is to write says whose doing it is.
    fn assert_refused(&self, named: &str) {
        let before = self.sentinels();
        for arguments in [
            ["status", "-f", "ack.yaml"].as_slice(),
            &["plan", "-f", "ack.yaml"],
            &["apply", "-f", "ack.yaml", "--unattended"],
            &["apply", "-f", "ack.yaml", "--yes"],
        ] {
            let output = pki(self.path(), arguments);
            let text = format!("{}{}", stdout(&output), stderr(&output));
            assert_eq!(self.sentinels(), before, "{arguments:?}: {text}");
            assert!(!text.contains("canary"), "{arguments:?}: {text}");
            let flat: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(flat.contains(named) && flat.contains("997"), "{arguments:?}: {flat}");
            if arguments[0] == "apply" {
                assert_eq!(code(&output), 3, "{arguments:?}: {text}");
            }
        }
    }
}

#[test]
fn a_link_in_place_of_a_certificate_does_not_give_a_file_of_root_away() {
    if !is_root() {
        return;
    }
    let master = Master::copied();
    let path = format!("{CERTIFICATES}/etcd-server.pem");
    master.aside(&path);
    master.link("/etc/shadow", &path);
    master.assert_refused("/var/lib/etcd/cert/etcd-server.pem is a link to /etc/shadow");
}

#[test]
fn links_in_place_of_a_ca_do_not_give_another_cas_key_away() {
    if !is_root() {
        return;
    }
    let master = Master::copied();
    for (name, target) in [("ca.pem", "ca.crt"), ("ca-key.pem", "ca.key")] {
        master.aside(&format!("{CERTIFICATES}/{name}"));
        master.link(&format!("/etc/kubernetes/pki/{target}"), &format!("{CERTIFICATES}/{name}"));
    }
    for name in ["etcd-client.pem", "etcd-client-key.pem", "etcd-server.pem", "etcd-server-key.pem"] {
        let _gone = fs::remove_file(master.at(&format!("{CERTIFICATES}/{name}")));
    }
    master.assert_refused("/var/lib/etcd/cert/ca-key.pem is a link to /etc/kubernetes/pki/ca.key");
}

#[test]
fn a_link_in_place_of_a_directory_leads_nothing_elsewhere() {
    if !is_root() {
        return;
    }
    let master = Master::copied();
    master.aside(CERTIFICATES);
    master.link("/etc/cron.d", CERTIFICATES);
    master.assert_refused("/var/lib/etcd/cert is a link to /etc/cron.d");
}

/// A process of the user that waits for the run to begin and then puts a link in place of a file, again and again.
fn racer(master: &Master, pause: u32) -> Child {
    let script = "use Time::HiRes 'usleep'; my ($f, $lock, $pause) = @ARGV; symlink('/etc/shadow', \"$f.l\"); \
        1 until -s $lock; usleep($pause); rename(\"$f.l\", $f);";
    Command::new("setpriv")
        .args(["--reuid", "997", "--regid", "997", "--clear-groups", "perl", "-e", script])
        .arg(master.at(&format!("{CERTIFICATES}/etcd-server.pem")))
        .arg(master.at("n/run/pki.lock"))
        .arg(pause.to_string())
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_link_that_comes_after_the_review_is_met_by_name_or_not_at_all() {
    if !is_root() {
        return;
    }
    let has = |program: &str| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    if !has("setpriv") || !has("perl") {
        return;
    }
    for attempt in 0..50_u32 {
        let master = Master::copied();
        // The user has to be able to come as far as its own directory.
        fs::set_permissions(master.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(master.at("n/run/pki.lock"), fs::Permissions::from_mode(0o644)).unwrap();
        let planned =
            pki(master.path(), &["plan", "-f", "ack.yaml", "--replace", "etcd-server@n1", "-o", "p.json"]);
        assert_eq!(code(&planned), 0, "{}", stderr(&planned));
        let before = master.sentinels();
        let mut racer = racer(&master, attempt.saturating_mul(1000));
        let applied = pki(master.path(), &["apply", "p.json", "--yes"]);
        racer.kill().unwrap();
        racer.wait().unwrap();
        let text = format!("{}{}", stdout(&applied), stderr(&applied));
        assert_eq!(master.sentinels(), before, "{attempt}: {text}");
        assert!(!text.contains("canary"), "{attempt}: {text}");
        assert!([0, 3, 4, 10, 11, 12].contains(&code(&applied)), "{attempt}: {} {text}", code(&applied));
        if code(&applied) != 0 {
            assert!(text.contains("/var/lib/etcd"), "{attempt}: {text}");
        }
    }
}

#[test]
fn a_hard_link_is_neither_read_nor_written() {
    if !is_root() {
        return;
    }
    let master = Master::copied();
    let path = format!("{CERTIFICATES}/etcd-server.pem");
    master.aside(&path);
    fs::hard_link(master.at("n/etc/shadow"), master.at(&path)).unwrap();
    master.assert_refused("/var/lib/etcd/cert/etcd-server.pem is a file with other names too");
}

#[test]
fn a_foreign_file_is_replaced_only_by_an_explicit_word() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::write(at("s.yaml"), SMALLEST).unwrap();
    fs::create_dir(at("r")).unwrap();
    let run = |arguments: &[&str]| pki(folder.path(), arguments);
    assert_eq!(code(&run(&["apply", "-f", "s.yaml", "--yes"])), 0);
    fs::write(at("r/p/a.crt"), SHADOW).unwrap();
    for arguments in
        [["apply", "-f", "s.yaml", "--yes"].as_slice(), &["apply", "-f", "s.yaml", "--unattended"]]
    {
        let output = run(arguments);
        let text = format!("{}{}", stdout(&output), stderr(&output));
        assert_eq!(
            (code(&output), fs::read_to_string(at("r/p/a.crt")).unwrap().as_str()),
            (3, SHADOW),
            "{text}"
        );
        assert!(text.contains("--replace-foreign /p/a.crt") && !text.contains("canary"), "{text}");
    }
    // Another file is not meant.
    assert_eq!(code(&run(&["apply", "-f", "s.yaml", "--yes", "--replace-foreign", "/p/a.key"])), 3);
    let output = run(&["apply", "-f", "s.yaml", "--yes", "--replace-foreign", "/p/a.crt"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(fs::read_to_string(at("r/p/a.crt")).unwrap().contains("BEGIN CERTIFICATE"));
    // What a half-written file holds is no foreign content.
    fs::write(at("r/p/a.crt"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    assert_eq!(code(&run(&["apply", "-f", "s.yaml", "--yes"])), 0);
}

#[test]
fn state_in_a_directory_of_another_user_is_not_believed_and_runs_nothing() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::write(at("s.yaml"), SMALLEST).unwrap();
    fs::create_dir(at("r")).unwrap();
    assert_eq!(code(&pki(folder.path(), &["apply", "-f", "s.yaml", "--yes"])), 0);
    fs::write(at("s.yaml"), format!("{SMALLEST}  snapshots: {{ directory: /var/lib/etcd/pki }}\n")).unwrap();
    let visit = at("r/var/lib/etcd/pki/snapshots/0-1/1");
    fs::create_dir_all(visit.join("before")).unwrap();
    fs::create_dir_all(at("r/etc")).unwrap();
    fs::write(at("r/etc/shadow"), SHADOW).unwrap();
    fs::write(visit.join("before/0001"), "root::1:").unwrap();
    let begun = "\"begunAt\":\"2026-11-30T00:00:00Z\",\"note\":\"x\"";
    fs::write(at("r/var/lib/etcd/pki/open"), format!("{{\"run\":\"0-1\",\"visit\":1,{begun}}}")).unwrap();
    fs::write(
        visit.join("manifest.json"),
        format!("{{\"version\":1,\"id\":{{\"run\":\"0-1\",\"visit\":1}},{begun},\"paths\":[\"/etc/shadow\"],\"before\":{{\"/etc/shadow\":{{\"file\":{{\"mode\":420,\"uid\":0,\"gid\":0,\"size\":9,\"copy\":\"before/0001\",\"modified\":[0,0]}}}}}}}}"),
    )
    .unwrap();
    let ran = at("ran");
    let events = [
        "\"begun\"".to_owned(),
        "{\"writing\":{\"path\":\"/etc/shadow\",\"location\":\"/etc/shadow\"}}".to_owned(),
        format!(
            "{{\"running\":{{\"argv\":[\"/bin/sh\",\"-c\",\"id >{}\"],\"timeoutSeconds\":9}}}}",
            ran.display()
        ),
    ];
    let lines: String = events
        .iter()
        .map(|event| format!("{{\"at\":\"2026-11-30T00:00:00Z\",\"event\":{event}}}\n"))
        .collect();
    fs::write(visit.join("journal.jsonl"), lines).unwrap();
    give(&at("r/var/lib/etcd"));
    let undo = ["node", "undo", "--state-directory", "/var/lib/etcd/pki", "--root", "r"];
    for arguments in [
        ["status", "-f", "s.yaml", "--exit-code"].as_slice(),
        &["plan", "-f", "s.yaml"],
        &["apply", "-f", "s.yaml", "--unattended"],
        &["snapshot", "list", "-f", "s.yaml"],
        &["snapshot", "prune", "-f", "s.yaml", "--keep", "1"],
        &undo,
    ] {
        let output = pki(folder.path(), arguments);
        let text = format!("{}{}", stdout(&output), stderr(&output));
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_ne!(code(&output), 0, "{arguments:?}: {text}");
        assert!(flat.contains("/var/lib/etcd") && flat.contains("997"), "{arguments:?}: {flat}");
        assert_eq!(fs::read_to_string(at("r/etc/shadow")).unwrap(), SHADOW, "{arguments:?}: {text}");
        assert!(!ran.exists(), "{arguments:?}: {text}");
        if arguments[0] == "apply" {
            assert_eq!(code(&output), 3, "{text}");
        }
    }
}

/// Ends a call that waits for what never comes.
fn in_time(folder: &Path, arguments: &[&str]) -> Output {
    let mut child = command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "{arguments:?} waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.wait_with_output().unwrap()
}

#[test]
fn a_spec_that_leads_elsewhere_shows_nothing_of_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("shadow");
    fs::write(&secret, SHADOW).unwrap();
    fs::create_dir_all(at("specs/..data")).unwrap();
    symlink(&secret, at("x.yaml")).unwrap();
    symlink(&secret, at("specs/x.yaml")).unwrap();
    symlink("/proc/self/root/etc/passwd", at("proc.yaml")).unwrap();
    fs::copy(&secret, at("plain.yaml")).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo.yaml")).status().unwrap().success());
    let absolute = at("x.yaml").display().to_string();
    let secret = secret.display().to_string();
    for path in [
        "x.yaml",
        "./x.yaml",
        "specs",
        "specs/../x.yaml",
        "proc.yaml",
        "plain.yaml",
        "fifo.yaml",
        &absolute,
        &secret,
    ] {
        for arguments in [
            ["validate", path].as_slice(),
            &["validate", "--ignore-other-kinds", path],
            &["plan", "-f", path],
            &["status", "-f", path],
        ] {
            let output = in_time(folder.path(), arguments);
            let text = format!("{}{}", stdout(&output), stderr(&output));
            assert_ne!(code(&output), 0, "{arguments:?}: {text}");
            assert!(!text.contains("canary") && !text.contains("root:"), "{arguments:?}: {text}");
            assert!(text.contains("PKI1"), "{arguments:?}: {text}");
        }
    }
    // A mounted ConfigMap is made of such links, and a spec that is faulty still shows where.
    fs::write(
        at("specs/..data/x.yaml"),
        SMALLEST.replace("profile: custom", "profile: custom\n  nonsense: 1"),
    )
    .unwrap();
    fs::remove_file(at("specs/x.yaml")).unwrap();
    symlink("..data/x.yaml", at("specs/x.yaml")).unwrap();
    let output = in_time(folder.path(), &["validate", "specs"]);
    let text = format!("{}{}", stdout(&output), stderr(&output));
    assert!(text.contains("nonsense: 1"), "{text}");
    // In a file of several kinds, what is foreign is not shown either.
    let mixed = format!("kind: Secret\nstringData: {{ a: canary, a: canary }}\n---\n{SMALLEST}");
    fs::write(at("mixed.yaml"), mixed).unwrap();
    let output = in_time(folder.path(), &["validate", "--ignore-other-kinds", "mixed.yaml"]);
    let text = format!("{}{}", stdout(&output), stderr(&output));
    assert!(text.contains("mixed.yaml:2") && !text.contains("canary"), "{text}");
}

#[test]
fn a_report_replaces_a_link_and_reaches_no_device() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::write(at("s.yaml"), SMALLEST).unwrap();
    fs::create_dir(at("r")).unwrap();
    fs::write(at("victim"), SHADOW).unwrap();
    symlink("victim", at("to-file")).unwrap();
    symlink("/dev/null", at("to-device")).unwrap();
    symlink("none", at("to-nothing")).unwrap();
    symlink("r", at("to-directory")).unwrap();
    let plan = |more: &[&str]| pki(folder.path(), &[&["plan", "-f", "s.yaml"], more].concat());
    for (option, value) in [("-o", "to-file"), ("--report", "markdown=to-file")] {
        let _gone = fs::remove_file(at("to-file"));
        symlink("victim", at("to-file")).unwrap();
        let output = plan(&[option, value]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(fs::symlink_metadata(at("to-file")).unwrap().is_file(), "the link is replaced");
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), SHADOW, "what it led to is not");
    }
    for target in ["to-device", "to-nothing", "to-directory", "r", "/dev/full", "/dev/zero"] {
        for option in
            [["-o".to_owned(), target.to_owned()], ["--report".to_owned(), format!("markdown={target}")]]
        {
            let output = plan(&option.each_ref().map(String::as_str));
            assert_eq!(code(&output), 1, "{option:?}: {}", stderr(&output));
            assert!(stderr(&output).contains("cannot write"), "{option:?}: {}", stderr(&output));
        }
    }
    assert!(!at("none").exists());
    for target in ["/dev/stdout", "/dev/null", "/dev/fd/1"] {
        let output = plan(&["--report", &format!("markdown={target}")]);
        assert_eq!(code(&output), 0, "{target}: {}", stderr(&output));
        assert_eq!(stdout(&output).contains("<!-- pki plan"), target != "/dev/null", "{target}");
    }
}
