//! The whole of what the program is for: every certificate is renewed and nothing else is touched, and a rollback brings every byte back.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::collections::BTreeSet;
use std::path::Path;

use pki::plan::Options;
use pki::plan::model::outcome::Outcome;

use crate::support::cluster::{Cluster, NODES, ROOT, golden, plan_text};
use crate::support::listing::{differing, without_contents};
use crate::support::made::{Made, Spec};
use crate::support::program;

const PAIRS: [&str; 7] = [
    "apiserver",
    "apiserver-etcd-client",
    "apiserver-kubelet-client",
    "etcd/healthcheck-client",
    "etcd/peer",
    "etcd/server",
    "front-proxy-client",
];
const KUBECONFIGS: [&str; 4] = ["admin.conf", "controller-manager.conf", "kubelet.conf", "scheduler.conf"];

/// The files of the 33 identities.
fn identities() -> BTreeSet<String> {
    let of_node = |node: &&str| {
        let pairs = PAIRS
            .iter()
            .flat_map(|pair| ["crt", "key"].map(|kind| format!("{node}/etc/kubernetes/pki/{pair}.{kind}")));
        let kubeconfigs = KUBECONFIGS.iter().map(|name| format!("{node}/etc/kubernetes/{name}"));
        pairs.chain(kubeconfigs).collect::<Vec<_>>()
    };
    NODES.iter().flat_map(of_node).collect()
}

/// A kubeconfig without the two fields that a renewal changes.
fn without_identity(text: &str) -> String {
    let is_identity =
        |line: &&str| line.contains("client-certificate-data: ") || line.contains("client-key-data: ");
    assert_eq!(text.lines().filter(is_identity).count(), 2);
    text.lines().filter(|line| !is_identity(line)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_cluster_of_kubeadm_is_renewed_and_rolled_back_to_the_byte() {
    let cluster = Cluster::unpack();
    let spec = std::fs::read_to_string(cluster.path().join("spec.yaml")).unwrap();
    let spec = spec.replace("validity: 365d, renewBefore: 30d", "validity: 730d, renewBefore: 400d");
    std::fs::write(cluster.path().join("spec.yaml"), spec).unwrap();
    let before = crate::support::listing::listing(cluster.path());
    let kubeconfigs = || -> Vec<String> {
        let paths = identities().into_iter().filter(|path| path.ends_with(".conf"));
        paths.map(|path| std::fs::read_to_string(cluster.path().join(path)).unwrap()).collect()
    };
    let kubeconfigs_before = kubeconfigs();
    let plan = cluster.plan(&Options::default());
    let ours = Cluster::unpack().report().digests();
    golden(&Path::new(ROOT).join("tests/golden/plan-renewal.txt"), &plan_text(&plan, &ours)).unwrap();

    assert_eq!(cluster.apply(&plan).outcome, Outcome::Done);
    let renewed = crate::support::listing::listing(cluster.path());
    assert_eq!(differing(&before, &renewed), identities(), "the files of the identities, and nothing else");
    assert_eq!(without_contents(&renewed), without_contents(&before), "modes, owners and links stay");
    for (old, new) in kubeconfigs_before.iter().zip(kubeconfigs()) {
        assert_eq!(without_identity(old), without_identity(&new));
        assert_ne!(*old, new);
    }
    assert!(cluster.plan(&Options::default()).visits.is_empty(), "nothing is left to do");

    let back = cluster.rollback(&plan.id);
    assert_eq!(back.expired, Vec::<String>::new());
    assert_eq!(cluster.apply(&back.plan).outcome, Outcome::Done);
    assert_eq!(crate::support::listing::listing(cluster.path()), before, "every byte is back");
    let forth = cluster.rollback(&back.plan.id);
    assert_eq!(cluster.apply(&forth.plan).outcome, Outcome::Done);
    assert_eq!(crate::support::listing::listing(cluster.path()), renewed, "a rollback can be rolled back");
}

#[test]
fn the_program_renews_agrees_and_goes_back() {
    let made = Made::new();
    let before = made.listing();
    made.spec(&Spec::renewing());
    made.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert_eq!(made.listing(), before, "a plan touches nothing");
    let applied = made.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(
        applied.contains("\nPlan: renew 33, issue 0, trust 0, remove 0, restart 0, repair 0.\n"),
        "{applied}"
    );
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    let renewed = made.listing();
    assert_eq!(differing(&before, &renewed), identities());
    made.ends(0, &["rollback", "-f", "spec.yaml", "--plan"]);
    assert_eq!(made.listing(), renewed, "--plan shows and stops");
    made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert_eq!(made.listing(), before);
    made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert_eq!(made.listing(), renewed);
    made.no_secret_was_told();
}

#[test]
fn what_was_changed_since_is_named_and_left() {
    let made = Made::new();
    let before = made.listing();
    made.spec(&Spec::renewing());
    made.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    let path = "cp-2/etc/kubernetes/scheduler.conf";
    let text = std::fs::read_to_string(made.at(path)).unwrap() + "# seen by Ann\n";
    std::fs::write(made.at(path), &text).unwrap();
    let told = made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert!(
        told.contains(
            "Not by this plan: scheduler.conf@cp-2\n    /etc/kubernetes/scheduler.conf was changed after run "
        ),
        "{told}"
    );
    assert_eq!(differing(&before, &made.listing()), [path.to_owned()].into());
    assert_eq!(std::fs::read_to_string(made.at(path)).unwrap(), text);
}

#[test]
fn expired_material_comes_back_only_by_name() {
    let made = Made::new();
    let pki = made.at("cp-1/etc/kubernetes/pki");
    reissue(&pki, "20200101000000Z", "20210101000000Z");
    let expired = made.listing();
    let said = made.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    let run = said.lines().find_map(|line| line.strip_prefix("apply ")?.strip_suffix(" done.")).unwrap();
    let renewed = made.listing();
    assert_eq!(differing(&expired, &renewed).len(), 2, "certificate and key");
    let refused = made.pki(&["rollback", "-f", "spec.yaml", "--yes"]);
    assert_eq!(program::code(&refused), 6, "{}", program::stdout(&refused));
    assert!(
        program::stderr(&refused).contains("--confirm prod-eu1/rollback"),
        "{}",
        program::stderr(&refused)
    );
    assert_eq!(made.listing(), renewed, "nothing is touched");
    made.ends(64, &["rollback", run, "-f", "spec.yaml", "--confirm", "prod-eu1"]);
    // An approval from the command line is for one run, not for whichever is the last.
    made.ends(6, &["rollback", "-f", "spec.yaml", "--confirm", "prod-eu1/rollback"]);
    made.ends(0, &["rollback", run, "-f", "spec.yaml", "--confirm", "prod-eu1/rollback"]);
    assert_eq!(made.listing(), expired);
}

/// `front-proxy-client.crt` with other dates, by `openssl ca`, its key kept.
fn reissue(pki: &Path, start: &str, end: &str) {
    let script = r#"
        set -e
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        : >"$work/index.txt"
        printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s/index.txt\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\npreserve=yes\nrand_serial=yes\n[p]\ncommonName=optional\n' "$work" "$work" >"$work/ca.cnf"
        printf 'keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=clientAuth\nauthorityKeyIdentifier=keyid\n' >"$work/ext"
        openssl req -new -key front-proxy-client.key -subj /CN=front-proxy-client -out "$work/csr"
        openssl ca -batch -config "$work/ca.cnf" -in "$work/csr" -out "$work/crt" -notext -extfile "$work/ext" \
          -cert front-proxy-ca.crt -keyfile front-proxy-ca.key -startdate "$1" -enddate "$2"
        cat "$work/crt" >front-proxy-client.crt
    "#;
    let output = std::process::Command::new("bash")
        .args(["-c", script, "reissue", start, end])
        .current_dir(pki)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
