//! An own root CA from its files to the nodes: who reads which file when, what is put where, and that the key is told to nobody.
#![expect(clippy::disallowed_methods, reason = "the tests run the program, openssl and strace on real files")]

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use pki::apply::root_files;
use pki::plan::Options;
use pki::plan::model::outcome::Outcome;
use pki::spec::custom_root::RootKeys;

use crate::support::cluster::{Cluster, ROOT, golden, is_root, left_out, normalised};
use crate::support::listing::{Listing, differing, listing};
use crate::support::program;
use crate::support::told_keys;

const NODES: [&str; 3] = ["e-1", "e-2", "e-3"];
const LEAVES: [&str; 3] = ["server", "peer", "client"];
const PLAN: [&str; 3] = ["plan", "-f", "spec.yaml"];
const APPLY: [&str; 4] = ["apply", "-f", "spec.yaml", "--yes"];
const P384: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
const RSA: &[&str] = &["-newkey", "rsa:3072"];

/// Three machines for etcd without any certificate, a spec beside them, and the files of a root in `roots`.
struct Etcd {
    folder: tempfile::TempDir,
    said: Mutex<Vec<u8>>,
}

impl Etcd {
    /// Nothing but root can give the leaves to the user etcd; without it the test is left out.
    fn new(test: &str, key: &[&str]) -> Option<Self> {
        if !is_root() {
            left_out(test, "only root can give files to the user etcd");
            return None;
        }
        let etcd = Self { folder: tempfile::tempdir().unwrap(), said: Mutex::default() };
        std::fs::set_permissions(etcd.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for node in NODES {
            // Where pki keeps its snapshots is no part of what is compared, but the folders above are.
            std::fs::create_dir_all(etcd.at(node).join("var/lib")).unwrap();
            let etc = etcd.at(node).join("etc");
            std::fs::create_dir_all(&etc).unwrap();
            std::fs::write(etc.join("passwd"), "root:x:0:0::/:/bin/sh\netcd:x:998:998::/:/bin/false\n")
                .unwrap();
            std::fs::write(etc.join("group"), "root:x:0:\netcd:x:998:\n").unwrap();
        }
        etcd.spec("roots/ca.crt", "./roots/ca.key");
        std::fs::create_dir(etcd.at("roots")).unwrap();
        etcd.root("ca", key);
        Some(etcd)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    fn spec(&self, certificate: &str, key: &str) {
        let nodes = NODES.iter().enumerate().map(|(index, name)| {
            format!(
                "    {name}: {{ address: 10.0.0.{}, roles: [etcd], connection: {{ local: {{ root: ./{name}, create: true }} }} }}\n",
                index + 11
            )
        });
        let text = format!(
            "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: prod-eu1 }}\nspec:\n  profile: etcd\n  nodes:\n{}  authorities:\n    \
             etcd-ca: {{ source: {{ certificate: {certificate}, key: {key} }} }}\n",
            nodes.collect::<String>()
        );
        std::fs::write(self.at("spec.yaml"), text).unwrap();
    }

    /// Makes `roots/NAME.crt` and `roots/NAME.key`.
    fn root(&self, name: &str, key: &[&str]) {
        let (certificate, key_file) = (format!("roots/{name}.crt"), format!("roots/{name}.key"));
        let subject = format!("/O=Example/CN={name}");
        let usage = "keyUsage=critical,keyCertSign,cRLSign";
        let fixed = ["req", "-x509", "-noenc", "-days", "3650", "-subj", &subject, "-addext", usage];
        self.openssl(&[&fixed, &["-out", &certificate, "-keyout", &key_file][..], key].concat());
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let output = Command::new("openssl").args(arguments).current_dir(self.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn pki(&self, arguments: &[&str]) -> Output {
        self.heard(program::pki(self.path(), arguments))
    }

    fn heard(&self, output: Output) -> Output {
        let mut said = self.said.lock().unwrap();
        said.extend(&output.stdout);
        said.extend(&output.stderr);
        output
    }

    /// Runs the program, which must end with this code; what it printed on both streams.
    fn ends(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.pki(arguments);
        let (text, told) = (program::stdout(&output), program::stderr(&output));
        assert_eq!(program::code(&output), code, "{arguments:?}\n{text}\n{told}");
        (text, told)
    }

    fn listing(&self) -> Listing {
        listing(self.path())
    }

    /// Runs the program as a user who is not root.
    fn as_nobody(&self, arguments: &[&str]) -> Output {
        let program = self.at("pki");
        // Copied by a process of its own: what this one has open for writing, a child of another test may hold while the program is started.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_pki")).arg(&program).status();
        assert!(copied.unwrap().success());
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(program)
            .args(arguments)
            .current_dir(self.path())
            .output()
            .unwrap();
        self.heard(output)
    }

    /// The text without the name of the plan, its instants and what it takes from them.
    fn settled(text: &str) -> String {
        let lines = text.lines().map(|line| match line.split_once("pki plan ") {
            Some((before, rest)) => {
                let rest = rest.split_once("   ").unwrap().1;
                let mut parts: Vec<&str> = rest.split("   ").collect();
                parts[2] = "<instant>, 3 of 3 nodes seen";
                format!("{before}pki plan <plan>   {}", parts.join("   "))
            }
            None => line.to_owned(),
        });
        normalised(&lines.map(|line| line + "\n").collect::<String>(), &BTreeSet::new())
    }

    fn golden(name: &str, text: &str) {
        golden(&Path::new(ROOT).join(format!("tests/golden/{name}.txt")), text).unwrap();
    }
}

#[test]
fn a_new_cluster_is_issued_from_a_custom_root_of_rsa() {
    new_cluster("a_new_cluster_is_issued_from_a_custom_root_of_rsa", RSA);
}

#[test]
fn a_new_cluster_is_issued_from_a_custom_root_of_p384() {
    new_cluster("a_new_cluster_is_issued_from_a_custom_root_of_p384", P384);
}

fn new_cluster(test: &str, key: &[&str]) {
    let Some(etcd) = Etcd::new(test, key) else { return };
    let before = etcd.listing();
    let (plan, told) = etcd.ends(0, &PLAN);
    let fingerprint = etcd.openssl(&["x509", "-in", "roots/ca.crt", "-noout", "-fingerprint", "-sha256"]);
    let fingerprint = fingerprint.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
    for line in ["the own root CA in roots/ca.crt", "read from ./roots/ca.key at apply", &fingerprint] {
        assert!(plan.contains(line), "{line}\n{plan}");
    }
    assert_eq!((told.as_str(), etcd.listing()), ("", before.clone()));
    etcd.ends(0, &["plan", "-f", "spec.yaml", "--format", "json"]);
    etcd.ends(0, &APPLY);
    let pem = etcd.openssl(&["x509", "-in", "roots/ca.crt"]);
    let public = etcd.openssl(&["pkey", "-in", "roots/ca.key", "-pubout"]);
    for node in NODES {
        let at = |file: &str| format!("{node}/etc/etcd/pki/{file}");
        assert_eq!(std::fs::read_to_string(etcd.at(&at("ca.crt"))).unwrap(), pem);
        assert_eq!(etcd.openssl(&["pkey", "-in", &at("ca.key"), "-pubout"]), public);
        let key = std::fs::metadata(etcd.at(&at("ca.key"))).unwrap();
        assert_eq!((key.mode() & 0o7777, key.uid(), key.gid()), (0o600, 0, 0), "{node}");
        for leaf in LEAVES {
            let (certificate, leaf_key) = (at(&format!("{leaf}.crt")), at(&format!("{leaf}.key")));
            etcd.openssl(&["verify", "-x509_strict", "-CAfile", "roots/ca.crt", &certificate]);
            let of_certificate = etcd.openssl(&["x509", "-in", &certificate, "-noout", "-pubkey"]);
            assert_eq!(etcd.openssl(&["pkey", "-in", &leaf_key, "-pubout"]), of_certificate);
        }
    }
    let after = etcd.listing();
    let (again, _) = etcd.ends(0, &APPLY);
    assert!(
        again.starts_with("pki plan") && again.contains("\nNo changes. prod-eu1 matches spec.yaml."),
        "{again}"
    );
    assert_eq!(etcd.listing(), after);
    told_keys::none_is_told(etcd.path(), &etcd.said.lock().unwrap());
    etcd.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert_eq!(differing(&before, &etcd.listing()), BTreeSet::new());
    // What the first run kept is there to go back to; the key of the root must be in no text of it.
    told_keys::none_is_told(etcd.path(), &etcd.said.lock().unwrap());
}

#[test]
fn the_key_of_another_certificate_is_found_out_before_any_node_is_touched() {
    let Some(etcd) = Etcd::new("the_key_of_another_certificate", P384) else { return };
    etcd.root("other", P384);
    etcd.spec("roots/ca.crt", "roots/other.key");
    let before = etcd.listing();
    let (_, told) = etcd.ends(3, &APPLY);
    Etcd::golden("own-root-key-of-another", &Etcd::settled(&told));
    assert_eq!(etcd.listing(), before);
    let (report, _) = etcd.ends(3, &["apply", "-f", "spec.yaml", "--yes", "--format", "json"]);
    assert!(report.contains("\"outcome\": \"blocked\"") && report.contains("\"touched\": false"), "{report}");
    etcd.spec("roots/ca.crt", "roots/ca.key");
    etcd.ends(0, &APPLY);
}

#[test]
fn a_key_that_cannot_be_used_is_told_before_any_node_is_touched() {
    let Some(etcd) = Etcd::new("a_key_that_cannot_be_used", P384) else { return };
    etcd.openssl(&[
        "pkey",
        "-in",
        "roots/ca.key",
        "-aes256",
        "-passout",
        "pass:x",
        "-out",
        "roots/locked.key",
    ]);
    etcd.openssl(&[
        "ec",
        "-in",
        "roots/ca.key",
        "-aes256",
        "-passout",
        "pass:x",
        "-out",
        "roots/locked-ec.key",
    ]);
    std::fs::write(etcd.at("roots/text.key"), "hunter2").unwrap();
    let before = etcd.listing();
    for (key, code, problem) in [
        ("roots/locked.key", 3, "is encrypted, and pki asks for no passphrase"),
        ("roots/locked-ec.key", 3, "is encrypted, and pki asks for no passphrase"),
        ("roots/text.key", 3, "holds no private key that pki can read"),
        ("roots/ca.crt", 3, "holds no private key that pki can read"),
        ("roots/none.key", 1, "does not exist"),
        ("roots", 1, "is not a regular file"),
    ] {
        // What is in the file of a key is nobody's business before apply.
        etcd.spec("roots/ca.crt", key);
        etcd.ends(0, &PLAN);
        let (_, told) = etcd.ends(code, &APPLY);
        assert!(told.contains(&format!("error: ca/etcd-ca: `{key}` {problem}\n")), "{told}");
        assert!(told.ends_with("Nothing was touched.\n") && !told.contains("hunter2"), "{told}");
        assert_eq!(etcd.listing(), before);
    }
}

#[test]
fn a_key_that_others_may_read_is_used_with_a_warning() {
    let Some(etcd) = Etcd::new("a_key_that_others_may_read", P384) else { return };
    std::fs::set_permissions(etcd.at("roots/ca.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (_, told) = etcd.ends(0, &APPLY);
    assert!(
        told.contains(
            "warning: `./roots/ca.key` has mode 0644: others than its owner may use the key of a root CA\n"
        ),
        "{told}"
    );
}

#[test]
fn a_root_that_only_others_may_read_blocks_the_plan_and_not_the_apply() {
    let Some(etcd) = Etcd::new("a_root_that_only_others_may_read", P384) else { return };
    std::fs::set_permissions(etcd.at("roots"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let before = etcd.listing();
    let plan = etcd.as_nobody(&PLAN);
    assert_eq!(program::code(&plan), 3, "{}", program::stderr(&plan));
    Etcd::golden(
        "own-root-readable-only-at-apply",
        &format!("{}\n{}", Etcd::settled(&program::stderr(&plan)), Etcd::settled(&program::stdout(&plan))),
    );
    let status = etcd.as_nobody(&["status", "-f", "spec.yaml", "--exit-code"]);
    assert_eq!(program::code(&status), 3, "{}", program::stdout(&status));
    assert_eq!(program::code(&etcd.as_nobody(&["validate", "spec.yaml"])), 0);
    assert_eq!(etcd.listing(), before);
    etcd.ends(0, &APPLY);
    // On nodes that hold it, too, nobody can tell whether it is the right one.
    assert_eq!(program::code(&etcd.as_nobody(&PLAN)), 3);
    let (again, _) = etcd.ends(0, &PLAN);
    assert!(again.contains("\nNo changes."), "{again}");
}

#[test]
fn a_plan_opens_no_key() {
    let Some(etcd) = Etcd::new("a_plan_opens_no_key", P384) else { return };
    for command in ["validate", "status", "plan"] {
        let trace = etcd.at("trace");
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=%file", "-o"])
            .arg(&trace)
            .arg(env!("CARGO_BIN_EXE_pki"))
            .args([command, "-f", "spec.yaml"])
            .current_dir(etcd.path())
            .output();
        if !strace.is_ok_and(|output| output.status.success()) {
            left_out("a_plan_opens_no_key", "strace is not installed or may not trace here");
            return;
        }
        let trace = std::fs::read_to_string(trace).unwrap();
        assert!(trace.contains("roots/ca.crt"), "{trace}");
        assert!(!trace.contains("roots/ca.key"), "{command}: {trace}");
    }
}

#[test]
fn a_pipe_in_the_place_of_the_certificate_keeps_nobody_waiting() {
    let Some(etcd) = Etcd::new("a_pipe_in_the_place", P384) else { return };
    let made = Command::new("mkfifo").arg(etcd.at("roots/pipe.crt")).status().unwrap();
    assert!(made.success());
    etcd.spec("roots/pipe.crt", "roots/ca.key");
    let (_, told) = etcd.ends(65, &["validate", "spec.yaml"]);
    assert!(told.contains("error[PKI1070]") && told.contains("is not a regular file"), "{told}");
}

#[test]
fn a_spec_from_standard_input_needs_absolute_paths() {
    let Some(etcd) = Etcd::new("a_spec_from_standard_input", P384) else { return };
    let piped = |spec: &str| {
        let shell = format!("{} validate - < {spec}", env!("CARGO_BIN_EXE_pki"));
        Command::new("sh").args(["-c", &shell]).current_dir(etcd.path()).output().unwrap()
    };
    let relative = piped("spec.yaml");
    assert_eq!(program::code(&relative), 65);
    assert!(program::stderr(&relative).contains("lies in no folder"), "{}", program::stderr(&relative));
    let absolute = |name: &str| etcd.at(name).to_str().unwrap().to_owned();
    etcd.spec(&absolute("roots/ca.crt"), &absolute("roots/ca.key"));
    assert_eq!(program::code(&piped("spec.yaml")), 0);
    // A file of that name is a file, and has a folder.
    etcd.spec("roots/ca.crt", "roots/ca.key");
    std::fs::rename(etcd.at("spec.yaml"), etcd.at("stdin")).unwrap();
    etcd.ends(0, &["apply", "-f", "stdin", "--yes"]);
}

#[test]
fn a_ca_that_all_nodes_have_lost_comes_back_and_its_leaves_stay() {
    let Some(etcd) = Etcd::new("a_ca_that_all_nodes_have_lost", P384) else { return };
    etcd.ends(0, &APPLY);
    let made = etcd.listing();
    for node in NODES {
        for file in ["ca.crt", "ca.key"] {
            std::fs::remove_file(etcd.at(&format!("{node}/etc/etcd/pki/{file}"))).unwrap();
        }
    }
    let (text, _) = etcd.ends(0, &APPLY);
    assert!(text.contains("Plan: renew 0, issue 1, trust 4,"), "{text}");
    assert_eq!(differing(&made, &etcd.listing()), BTreeSet::new());
    // Another root would not be trusted by the leaves that are there.
    for node in NODES {
        std::fs::remove_file(etcd.at(&format!("{node}/etc/etcd/pki/ca.crt"))).unwrap();
    }
    etcd.root("other", P384);
    etcd.spec("roots/other.crt", "roots/other.key");
    let (text, _) = etcd.ends(3, &PLAN);
    assert!(program::words(&text).contains("a new authority would not be trusted by the rest"), "{text}");
}

#[test]
fn what_changes_between_plan_and_apply_is_found_out_before_any_node_is_touched() {
    let cluster = Cluster::unpack();
    let scenarios = Path::new(ROOT).join("tests/scenarios");
    let script = "set -euo pipefail; source \"$0/lib.sh\"; source \"$0/own-root/change.sh\"";
    let changed =
        Command::new("bash").arg("-c").arg(script).arg(&scenarios).current_dir(cluster.path()).status();
    assert!(changed.unwrap().success());
    let plan = cluster.plan(&Options::default());
    let before = listing(cluster.path());
    let report = cluster.apply_with(&plan, &RootKeys::default(), &mut |_| {});
    assert_eq!((report.outcome, report.touched()), (Outcome::Refused, false));
    let other = cluster.path().join("cp-1/etc/kubernetes/pki/ca.crt");
    std::fs::copy(other, cluster.path().join("roots/etcd-ca.crt")).unwrap();
    let errors = root_files::keys(&plan, Some(cluster.path())).unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["ca/etcd-ca: `roots/etcd-ca.crt` is no longer the certificate that the plan shows"]);
    assert_eq!(differing(&before, &listing(cluster.path())), ["roots/etcd-ca.crt".to_owned()].into());
}
