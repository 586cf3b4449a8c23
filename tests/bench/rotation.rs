//! How long it takes to plan and to simulate another CA for an etcd of seven members with many clients on nodes of their own: `cargo bench --bench rotation`.
//!
//! The members and one client are real files that the program has made; every client has the files of that one. What the lab's whole rotation takes, processes
//! and restarts included, its tests print (`tests/lab/replace.rs`).
#![expect(clippy::disallowed_methods, reason = "measures the program on real files")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made has failed, and its result is printed"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use pki::agent::Local;
use pki::diff::diff;
use pki::observe::survey::survey;
use pki::plan::{Input, Options, draft};
use pki::profile::Profile;
use pki::protocol::facts::{NodeFacts, ObserveRequest};
use pki::protocol::file::SpecReference;
use pki::protocol::node::{Inspect, NodeError};
use pki::simulate::check;
use pki::spec::types::ClusterPki;
use pki::trust::processes::Processes;
use pki::types::profile_name::ProfileName;
use pki::x509::Sha256;

const MEMBERS: usize = 7;
const CLIENTS: usize = 1_000;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spec.yaml"), text(1, "")).unwrap();
    let owner = std::fs::metadata(folder.path()).unwrap();
    for number in 0..MEMBERS {
        // Members own what they show: on these nodes they are whoever measures.
        let etc = folder.path().join(format!("e-{number}/etc"));
        std::fs::create_dir_all(&etc).unwrap();
        let (user, group) = (owner.uid(), owner.gid());
        std::fs::write(
            etc.join("passwd"),
            format!("root:x:0:0::/root:/bin/sh\netcd:x:{user}:{group}::/:/bin/false\n"),
        )
        .unwrap();
        std::fs::write(etc.join("group"), format!("root:x:0:\netcd:x:{group}:\n")).unwrap();
    }
    let mut pki = Command::new(env!("CARGO_BIN_EXE_pki"));
    pki.args(["apply", "-q", "-f", "spec.yaml", "--yes"]).current_dir(folder.path());
    assert!(pki.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
    for clients in [CLIENTS / 10, CLIENTS] {
        measure(folder.path(), clients);
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

/// A spec with so many clients.
fn text(clients: usize, authorities: &str) -> String {
    let mut text = format!(
        "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: large }}\nspec:\n  profile: etcd\n  defaults: {{ keyAlgorithm: ecdsa-p256 }}\n{authorities}  \
         certificates:\n    scraper: {{ authority: etcd-ca, subject: {{ commonName: scraper }}, usages: [client], on: {{ role: worker }}, \
         files: {{ certificate: /etc/scraper/tls.crt, key: /etc/scraper/tls.key }} }}\n  nodes:\n"
    );
    let mut node = |name: &str, address: &str, role: &str| {
        writeln!(
            text,
            "    {name}: {{ address: {address}, roles: [{role}], connection: {{ local: {{ root: ./{name}, create: true }} }} }}"
        )
        .unwrap();
    };
    for number in 0..MEMBERS {
        node(&format!("e-{number}"), &format!("10.0.0.{}", number + 1), "etcd");
    }
    for number in 0..clients {
        node(&format!("c-{number}"), &format!("10.1.{}.{}", number / 250, number % 250 + 1), "worker");
    }
    text
}

fn measure(folder: &Path, clients: usize) {
    let ca = std::fs::read(folder.join("e-0/etc/etcd/pki/ca.crt")).unwrap();
    let ca = pki::x509::pem::read(&ca).certificates().next().unwrap().clone();
    let distrust = format!(
        "  authorities: {{ etcd-ca: {{ distrust: {{ \"sha256:{}\": measured }} }} }}\n",
        ca.fingerprint()
    );
    let spec: ClusterPki = serde_saphyr::from_str(&text(clients, &distrust)).unwrap();
    let profile = Profile::load(ProfileName::Etcd).unwrap();
    let desired =
        pki::desired::resolve(&spec, &profile, &pki::desired::Hints::default(), &Default::default()).unwrap();
    let seen = |name: &str| -> Arc<str> {
        let request =
            pki::desired::request::request(desired.nodes.get(name).unwrap(), &desired.snapshots.directory);
        let facts = Local::new(Some(folder.join(name)), now).observe(&request).unwrap();
        serde_json::to_string(&facts).unwrap().into()
    };
    let client = seen("c-0");
    let answer = |name: &str| Seen(if name.starts_with("c-") { client.clone() } else { seen(name) });
    let nodes: BTreeMap<_, _> =
        spec.spec.nodes.keys().map(|name| (name.clone(), answer(name.as_str()))).collect();
    let survey = survey(&spec, &profile, &nodes, now(), &Default::default()).unwrap();
    let begun = Instant::now();
    let differences = diff(&survey.desired, &survey.observed, now());
    let draft = draft(&Input {
        survey: &survey,
        differences: &differences,
        now: now(),
        spec: SpecReference {
            file: "spec.yaml".to_owned(),
            sha256: Sha256::of(b""),
            commit: None,
            files: Default::default(),
        },
        options: &Options::default(),
        signed: &Default::default(),
        place: &|_| None,
    })
    .unwrap();
    let planned = begun.elapsed();
    let begun = Instant::now();
    let plan = check(draft, &survey, &Processes::default()).unwrap();
    let checked = plan.checked.as_ref().unwrap();
    println!(
        "another CA for {MEMBERS} members and {clients:>5} clients   plan {:>8.1} ms   simulate {:>8.1} ms   ({} visits, {} actions, {} connections)",
        planned.as_secs_f64() * 1000.0,
        begun.elapsed().as_secs_f64() * 1000.0,
        plan.visits.len(),
        plan.actions().count(),
        checked.connections
    );
}

/// A node that was read once.
struct Seen(Arc<str>);

impl Inspect for Seen {
    fn observe(&self, _: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        Ok(serde_json::from_str(&self.0).unwrap())
    }
}
