//! What nodes share and what lies in several places: made, renewed and rolled back alike everywhere, and read by openssl as it should be.
#![expect(clippy::disallowed_methods, reason = "the tests run the program and openssl on real files")]

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::plan::Options;
use pki::plan::model::outcome::Outcome;

use crate::support::cluster::{Cluster, NODES, ROOT};
use crate::support::listing::differing;
use crate::support::made::{Made, Spec};
use crate::support::openssl::{Openssl, Recipe};

/// A pair that all nodes share, with a combined file and a second pair; a user of his own with a second kubeconfig; a second file of the CA.
const SHARED: &str = r#"  authorities:
    ca: { copies: { system: { path: /etc/ssl/kubernetes-ca.pem } } }
  certificates:
    front:
      authority: ca
      subject: { commonName: front.prod-eu1.example }
      usages: [server]
      names: { dns: [front.prod-eu1.example] }
      files: { certificate: /etc/front/tls.crt, key: /etc/front/tls.key, mode: "0600" }
      holders: shared
      copies:
        haproxy: { combined: { path: /etc/haproxy/front.pem } }
        backup: { files: { certificate: /srv/front/tls.crt, key: /srv/front/tls.key } }
      on: { role: control-plane }
    ops:
      authority: ca
      subject: { commonName: ops, organizations: [admins] }
      usages: [client]
      kubeconfig: { path: /etc/ops/ops.conf, server: "https://10.9.9.9:6443" }
      copies: { home: { kubeconfig: { path: /home/ops/.kube/config, mode: "0400" } } }
      on: { nodes: [cp-2] }
"#;

const APPLY: [&str; 4] = ["apply", "-f", "spec.yaml", "--yes"];

fn spec(made: &Made, defaults: &str) {
    made.spec(&Spec { defaults, more: SHARED });
}

/// A cluster that has all of it.
fn made() -> Made {
    let made = Made::new();
    spec(&made, Spec::default().defaults);
    made.ends(0, &APPLY);
    made
}

fn read(made: &Made, path: &str) -> Vec<u8> {
    std::fs::read(made.at(path)).unwrap()
}

fn mode(made: &Made, path: &str) -> u32 {
    std::fs::metadata(made.at(path)).unwrap().mode() & 0o7777
}

fn openssl(made: &Made, arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(made.path()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What stands behind a field of a kubeconfig.
fn field(made: &Made, path: &str, name: &str) -> Vec<u8> {
    let text = String::from_utf8(read(made, path)).unwrap();
    let data =
        text.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}: ")).map(str::to_owned));
    STANDARD.decode(data.unwrap()).unwrap()
}

/// Every place holds what it should, judged without the program.
fn is_alike(made: &Made) {
    let (certificate, key) = (read(made, "cp-1/etc/front/tls.crt"), read(made, "cp-1/etc/front/tls.key"));
    for node in NODES {
        for (place, bytes) in [("etc", &certificate), ("srv", &certificate)] {
            assert!(read(made, &format!("{node}/{place}/front/tls.crt")) == *bytes, "{node} {place}");
            assert!(read(made, &format!("{node}/{place}/front/tls.key")) == key, "{node} {place}: the key");
        }
        let combined = [certificate.as_slice(), key.as_slice()].concat();
        assert!(
            read(made, &format!("{node}/etc/haproxy/front.pem")) == combined,
            "{node}: the combined file"
        );
        let authority = read(made, &format!("{node}/etc/kubernetes/pki/ca.crt"));
        assert_eq!(read(made, &format!("{node}/etc/ssl/kubernetes-ca.pem")), authority);
        let file = |path: &str| format!("{node}/{path}");
        let (ca, leaf) = (file("etc/kubernetes/pki/ca.crt"), file("etc/haproxy/front.pem"));
        openssl(made, &["verify", "-purpose", "sslserver", "-CAfile", &ca, &leaf]);
        let of_certificate = openssl(made, &["x509", "-in", &leaf, "-noout", "-pubkey"]);
        assert_eq!(openssl(made, &["pkey", "-in", &leaf, "-pubout"]), of_certificate);
        for (path, wanted) in [
            ("etc/front/tls.crt", 0o644),
            ("etc/front/tls.key", 0o600),
            ("etc/haproxy/front.pem", 0o600),
            ("srv/front/tls.key", 0o600),
            ("etc/ssl/kubernetes-ca.pem", 0o644),
        ] {
            assert_eq!(mode(made, &file(path)), wanted, "{node} {path}");
        }
    }
    let (main, home) = ("cp-2/etc/ops/ops.conf", "cp-2/home/ops/.kube/config");
    for name in ["client-certificate-data", "client-key-data", "certificate-authority-data"] {
        assert!(field(made, main, name) == field(made, home, name), "{name}");
    }
    assert_eq!((mode(made, main), mode(made, home)), (0o600, 0o400));
    assert!(!made.at("cp-1/etc/ops/ops.conf").exists(), "who is on one node is on no other");
    std::fs::write(made.at("ops.crt"), field(made, home, "client-certificate-data")).unwrap();
    std::fs::write(made.at("trusted.crt"), field(made, home, "certificate-authority-data")).unwrap();
    openssl(made, &["verify", "-purpose", "sslclient", "-CAfile", "trusted.crt", "ops.crt"]);
    let subject = openssl(made, &["x509", "-in", "ops.crt", "-noout", "-subject", "-nameopt", "RFC2253"]);
    assert_eq!(subject.trim(), "subject=CN=ops,O=admins");
    assert!(String::from_utf8(read(made, home)).unwrap().contains("server: https://10.9.9.9:6443\n"));
}

#[test]
fn what_is_shared_and_copied_is_made_renewed_and_put_back_alike() {
    let made = Made::empty();
    spec(&made, Spec::default().defaults);
    made.ends(0, &APPLY);
    is_alike(&made);
    assert!(made.ends(0, &APPLY).contains("No changes. prod-eu1 matches spec.yaml."));

    let before = made.listing();
    let old = read(&made, "cp-1/etc/front/tls.key");
    spec(&made, "validity: 730d, renewBefore: 400d");
    let applied = made.ends(0, &APPLY);
    assert!(
        applied.contains("\nPlan: renew 35, issue 0, trust 0, remove 0, restart 0, repair 0, copy 9.\n"),
        "{applied}"
    );
    is_alike(&made);
    assert!(read(&made, "cp-1/etc/front/tls.key") != old, "a new key, and the same on every node");
    let renewed = made.listing();
    let front = |path: &&String| ["/front/", "front.pem", "/ops/"].iter().any(|part| path.contains(part));
    assert_eq!(differing(&before, &renewed).iter().filter(front).count(), 3 * 5 + 2);
    assert!(made.ends(0, &APPLY).contains("No changes."));

    made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert_eq!(made.listing(), before, "every byte is back");
    is_alike(&made);
    made.no_secret_was_told();
}

#[test]
fn a_kept_key_is_kept_on_every_node() {
    let made = made();
    let old = read(&made, "cp-3/etc/front/tls.key");
    spec(&made, "validity: 730d, renewBefore: 400d, reuseKeys: true");
    made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--only", "front", "--only", "ops"]);
    is_alike(&made);
    assert!(read(&made, "cp-3/etc/front/tls.key") == old);
}

#[test]
fn a_shared_certificate_is_renewed_on_all_nodes_or_on_none() {
    let made = made();
    let before = made.listing();
    spec(&made, "validity: 730d, renewBefore: 400d");
    for node in NODES {
        let told = made.ends(3, &["apply", "-f", "spec.yaml", "--yes", "--only", &format!("front@{node}")]);
        let others: Vec<&str> = NODES.into_iter().filter(|other| *other != node).collect();
        let because = format!(
            "error: front@{node} it is the same on all its nodes, so it is issued once, on cp-1, for all of them; --only leaves out {} \
             help: select it on every node: --only front",
            others.join(", ")
        );
        assert!(crate::support::program::words(&told).contains(&because), "{told}");
    }
    assert_eq!(made.listing(), before);
}

#[test]
fn one_node_is_mended_from_another_that_was_not_selected() {
    let made = made();
    let before = made.listing();
    std::fs::remove_dir_all(made.at("cp-1/etc/front")).unwrap();
    let told = made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--only", "front@cp-1"]);
    assert!(told.contains("private key   the shared one, from cp-2 through memory to this node"), "{told}");
    assert_eq!(differing(&before, &made.listing()), BTreeSet::new());
}

#[test]
fn asked_for_on_one_node_it_is_replaced_on_all() {
    let made = made();
    let old = read(&made, "cp-3/etc/front/tls.crt");
    let told = made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--replace", "front@cp-3"]);
    assert!(
        told.contains("\nPlan: renew 1, issue 0, trust 0, remove 0, restart 0, repair 0, copy 8.\n"),
        "{told}"
    );
    is_alike(&made);
    assert!(read(&made, "cp-3/etc/front/tls.crt") != old);
}

#[test]
fn a_key_that_is_not_shared_does_not_leave_its_node_whatever_a_plan_says() {
    let cluster = Cluster::unpack();
    let scenario = std::path::Path::new(ROOT).join("tests/scenarios/copies.yaml");
    let shared = std::fs::read_to_string(scenario).unwrap();
    std::fs::write(cluster.path().join("spec.yaml"), &shared).unwrap();
    let plan = cluster.plan(&Options::default());
    assert!(plan.applicable && plan.summary.copy > 2);
    std::fs::write(cluster.path().join("spec.yaml"), shared.replace("holders: shared", "holders: each"))
        .unwrap();
    let report = cluster.apply(&plan);
    assert_eq!(report.outcome, Outcome::Partial, "{report:?}");
    let because = report.failure.unwrap().because;
    assert!(because.contains("front is not shared between nodes, so its key stays where it is"), "{because}");
    assert!(!cluster.path().join("cp-2/etc/front/tls.key").exists());
}

#[test]
fn what_lies_in_a_further_place_and_is_nothing_known_goes_only_by_an_explicit_word() {
    let made = made();
    let foreign = "something of somebody else\n";
    let places = [
        "/etc/haproxy/front.pem",
        "/srv/front/tls.crt",
        "/home/ops/.kube/config",
        "/etc/ssl/kubernetes-ca.pem",
        "/etc/kubernetes/pki/sa.pub",
    ];
    let at = |path: &str| match path.starts_with("/home") {
        true => format!("cp-2{path}"),
        false => format!("cp-1{path}"),
    };
    for path in places {
        std::fs::write(made.at(&at(path)), foreign).unwrap();
    }
    let text = made.ends(0, &APPLY);
    for path in places {
        assert_eq!(read(&made, &at(path)), foreign.as_bytes(), "{path}: {text}");
        assert!(text.contains(&format!("--replace-foreign {path}")), "{path}: {text}");
    }
    let words = places.map(|path| ["--replace-foreign", path]);
    let arguments = [&APPLY[..], words.as_flattened()].concat();
    made.ends(0, &arguments);
    is_alike(&made);
    let plan = made.ends(0, &["plan", "-f", "spec.yaml"]);
    assert!(!plan.contains("--replace-foreign"), "{plan}");
    // The main place holds up the plan until the word is said.
    std::fs::write(made.at("cp-2/etc/ops/ops.conf"), foreign).unwrap();
    let refused = made.pki(&APPLY);
    assert_eq!(refused.status.code(), Some(3));
    made.ends(0, &[&APPLY[..], &["--replace-foreign", "/etc/ops/ops.conf"]].concat());
    is_alike(&made);
}

#[test]
fn what_lies_in_a_further_place_does_not_keep_a_ca_from_coming_back() {
    let made = made();
    let kept = read(&made, "cp-1/etc/ssl/kubernetes-ca.pem");
    let openssl = Openssl::new();
    openssl.issue("stranger", None, &Recipe { subject: "CN=stranger", ..Recipe::default() });
    for lies in [b"something of somebody else\n".to_vec(), openssl.read("stranger.crt")] {
        std::fs::write(made.at("cp-1/etc/kubernetes/pki/ca.crt"), "").unwrap();
        std::fs::write(made.at("cp-1/etc/ssl/kubernetes-ca.pem"), &lies).unwrap();
        let text = made.ends(0, &APPLY);
        assert!(read(&made, "cp-1/etc/kubernetes/pki/ca.crt") == kept, "{text}");
        assert!(read(&made, "cp-1/etc/ssl/kubernetes-ca.pem") == lies, "{text}");
        assert!(text.contains("/etc/ssl/kubernetes-ca.pem"), "{text}");
    }
}

#[test]
fn a_further_place_that_is_a_link_gets_no_key_and_is_told_in_time() {
    let made = made();
    let place = made.at("cp-1/etc/haproxy/front.pem");
    std::fs::create_dir_all(made.at("cp-1/srv/haproxy")).unwrap();
    std::fs::rename(&place, made.at("cp-1/srv/haproxy/front.pem")).unwrap();
    std::os::unix::fs::symlink("/srv/haproxy/front.pem", &place).unwrap();
    std::fs::remove_file(made.at("cp-1/etc/front/tls.key")).unwrap();
    let before = read(&made, "cp-1/srv/haproxy/front.pem");
    let text = made.ends(0, &[&APPLY[..], &["--replace", "front"]].concat());
    assert!(
        text.contains("Not by this plan: front@cp-1") && text.contains("/srv/haproxy/front.pem"),
        "{text}"
    );
    assert_eq!(read(&made, "cp-1/srv/haproxy/front.pem"), before);
}

#[test]
fn a_ca_file_that_holds_something_else_is_not_spread_to_its_further_places() {
    let made = made();
    std::fs::copy(
        made.at("cp-1/etc/kubernetes/pki/apiserver.crt"),
        made.at("cp-1/etc/kubernetes/pki/ca.crt"),
    )
    .unwrap();
    let before = read(&made, "cp-1/etc/ssl/kubernetes-ca.pem");
    let refused = made.pki(&APPLY);
    let text = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{text}");
    assert!(text.contains("error: ca/ca@cp-1") && !text.contains("the plan is wrong"), "{text}");
    assert_eq!(read(&made, "cp-1/etc/ssl/kubernetes-ca.pem"), before);
}
