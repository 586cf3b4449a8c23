//! How much memory a plan for a thousand nodes takes at most, that of reading the spec and of all facts included: `cargo bench --bench memory`.
//!
//! Each node's facts are decoded anew, as they would come from the node, so that no two nodes share them. What a connection takes is not part of it.
#![expect(clippy::disallowed_methods, reason = "measures the program on real files")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made has failed, and its result is printed"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use pki::agent::Local;
use pki::diagnostic::Source;
use pki::diff::diff;
use pki::observe::survey::survey;
use pki::plan::{Input, Options, draft};
use pki::profile::Profile;
use pki::protocol::facts::{NodeFacts, ObserveRequest};
use pki::protocol::file::SpecReference;
use pki::protocol::node::{Inspect, NodeError};
use pki::simulate::check;
use pki::spec::custom_root::CertificateFile;
use pki::spec::{ReadOptions, read};
use pki::trust::processes::Processes;
use pki::types::profile_name::ProfileName;
use pki::x509::Sha256;

const NODES: usize = 1_000;
const HEAD: &str = "apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: large }
spec:
  profile: kubeadm
  kubernetesVersion: v1.20.2
  cluster: { controlPlaneEndpoint: \"api.prod-eu1.example:6443\", serviceSubnet: 10.96.0.0/12 }
  nodes:
";

/// A node of a cluster's three that was read once.
struct Seen(Arc<str>);

impl Inspect for Seen {
    fn observe(&self, _: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        Ok(serde_json::from_str(&self.0).unwrap())
    }
}

fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kubeadm-v1.20.2.tar");
    let tar =
        Command::new("tar").args(["--no-same-owner", "-xpf", archive, "-C"]).arg(folder.path()).status();
    assert!(tar.unwrap().success());

    let mut text = HEAD.to_owned();
    for number in 0..NODES {
        let (high, low) = (number / 250, number % 250 + 1);
        writeln!(text, "    n-{number}: {{ address: 10.0.{high}.{low}, roles: [control-plane, etcd] }}")
            .unwrap();
    }
    let source = Source::from_bytes("spec.yaml", text.into_bytes()).unwrap();
    let profile = Profile::load(ProfileName::Kubeadm).unwrap();
    let known = BTreeMap::from([(ProfileName::Kubeadm, profile.known_names())]);
    let certificate_file = &|_: &str, _: &str| CertificateFile::Missing;
    let options = ReadOptions { now: now(), ignore_other_kinds: false, known: &known, certificate_file };
    let spec = read(&[source], &options).specs.into_iter().next().unwrap().spec;
    let first =
        pki::desired::resolve(&spec, &profile, &pki::desired::Hints::default(), &Default::default()).unwrap();
    let request =
        pki::desired::request::request(first.nodes.values().next().unwrap(), &first.snapshots.directory);
    let answers: Vec<Arc<str>> = ["cp-1", "cp-2", "cp-3"]
        .iter()
        .map(|name| {
            let facts = Local::new(Some(folder.path().join(name)), now).observe(&request).unwrap();
            serde_json::to_string(&facts).unwrap().into()
        })
        .collect();
    let nodes: BTreeMap<_, _> = spec
        .spec
        .nodes
        .keys()
        .zip(answers.iter().cycle())
        .map(|(name, answer)| (name.clone(), Seen(Arc::clone(answer))))
        .collect();
    drop(first);
    let before = resident("VmRSS:");
    let survey = survey(&spec, &profile, &nodes, now(), &Default::default()).unwrap();
    let surveyed = resident("VmHWM:");
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
    let planned = resident("VmHWM:");
    let plan = check(draft, &survey, &Processes::default()).unwrap();
    println!(
        "{NODES} nodes   before {before:.0} MB   all facts {surveyed:.0} MB   planned {planned:.0} MB (the most at any time; {} visits)",
        plan.visits.len()
    );
}

/// A line of the kernel's account of this process, in megabytes.
fn resident(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let text = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    let kilobytes: f64 = text.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes / 1000.0
}
