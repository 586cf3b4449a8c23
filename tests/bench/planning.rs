//! How long planning takes for many nodes, and renewing for one: `cargo bench --bench planning`.
//!
//! Renewing is measured as the whole process, keys of RSA-2048 included; `kubeadm certs renew all` needs 1.0 to 1.3 s for the same ten certificates on
//! two cores (published figure; it is not run here). Planning is measured without reading: the facts of one real node are those of all.
#![expect(clippy::disallowed_methods, reason = "measures the program on real files")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made has failed, and its result is printed"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

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

const HEAD: &str = "apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: large }
spec:
  profile: kubeadm
  kubernetesVersion: v1.20.2
  cluster: { controlPlaneEndpoint: \"api.prod-eu1.example:6443\", serviceSubnet: 10.96.0.0/12 }
  nodes:
";

fn main() {
    let renewals: Vec<Duration> = (0..9).map(|_| renewal()).collect();
    println!("renew ten certificates, RSA-2048   median {:>8.1} ms", milliseconds(&renewals));
    println!("kubeadm certs renew all            1000 to 1300 ms (published figure, two cores)");
    let folder = unpacked();
    let facts = Local::new(Some(folder.path().join("cp-1")), now);
    for due in [false, true] {
        let thousand = planning(&facts, 1_000, due);
        let ten_thousand = planning(&facts, 10_000, due);
        let what = if due { "everything due" } else { "nothing due" };
        println!(
            "plan, {what:<14}   1,000 nodes {:>8.1} ms   10,000 nodes {:>8.1} ms   ratio {:.1}",
            thousand.as_secs_f64() * 1000.0,
            ten_thousand.as_secs_f64() * 1000.0,
            ten_thousand.as_secs_f64() / thousand.as_secs_f64()
        );
    }
    let (planned, simulated) = renewal_of_a_cluster(folder.path(), 1_000);
    println!(
        "renewal of all leaves, 3 control planes and 1,000 workers   plan {:>8.1} ms   simulate {:>8.1} ms",
        planned.as_secs_f64() * 1000.0,
        simulated.as_secs_f64() * 1000.0
    );
}

/// Planning and simulating the renewal of every leaf of a cluster with many workers, which all have the files of the first node.
fn renewal_of_a_cluster(folder: &Path, workers: usize) -> (Duration, Duration) {
    let mut text = HEAD.to_owned();
    for number in 1..=3 {
        writeln!(text, "    cp-{number}: {{ address: 10.0.0.1{number}, roles: [control-plane, etcd] }}")
            .unwrap();
    }
    for number in 0..workers {
        let (high, low) = (number / 250, number % 250 + 1);
        writeln!(text, "    n-{number}: {{ address: 10.1.{high}.{low}, roles: [worker] }}").unwrap();
    }
    let spec: pki::spec::types::ClusterPki = serde_saphyr::from_str(&text).unwrap();
    let profile = Profile::load(ProfileName::Kubeadm).unwrap();
    let first =
        pki::desired::resolve(&spec, &profile, &pki::desired::Hints::default(), &Default::default()).unwrap();
    let seen = |name: &str, kind: &str| -> Arc<str> {
        let node = first.nodes.get(kind).unwrap();
        let request = pki::desired::request::request(node, &first.snapshots.directory);
        let facts = Local::new(Some(folder.join(name)), now).observe(&request).unwrap();
        serde_json::to_string(&facts).unwrap().into()
    };
    let worker = seen("cp-1", "n-0");
    let nodes: BTreeMap<_, _> = spec
        .spec
        .nodes
        .keys()
        .map(|name| {
            let is_worker = name.as_str().starts_with("n-");
            let answer = if is_worker { worker.clone() } else { seen(name.as_str(), name.as_str()) };
            (name.clone(), Seen(answer))
        })
        .collect();
    let survey = survey(&spec, &profile, &nodes, now(), &Default::default()).unwrap();
    let replace = [
        "admin.conf",
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "controller-manager.conf",
    ];
    let more = [
        "etcd-healthcheck-client",
        "etcd-peer",
        "etcd-server",
        "front-proxy-client",
        "scheduler.conf",
        "kubelet.conf",
    ];
    let replace = replace.iter().chain(&more).map(|name| name.parse().unwrap()).collect();
    let options = Options { replace, ..Options::default() };
    let start = Instant::now();
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
        options: &options,
        signed: &Default::default(),
        place: &|_| None,
    })
    .unwrap();
    let planned = start.elapsed();
    let start = Instant::now();
    let plan = check(draft, &survey, &Processes::default()).unwrap();
    let simulated = start.elapsed();
    let checked = plan.checked.as_ref().unwrap();
    println!("  {} renewals, {} connections, {:?}", plan.summary.renew, checked.connections, checked.least);
    (planned, simulated)
}

fn milliseconds(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).unwrap().as_secs_f64() * 1000.0
}

fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn unpacked() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kubeadm-v1.20.2.tar");
    let tar =
        Command::new("tar").args(["--no-same-owner", "-xpf", archive, "-C"]).arg(folder.path()).status();
    assert!(tar.unwrap().success());
    folder
}

/// One process that renews the ten certificates that `kubeadm certs renew all` renews.
fn renewal() -> Duration {
    let folder = unpacked();
    let node = "    cp-1: { address: 10.0.0.11, roles: [control-plane, etcd], connection: { local: { root: ./cp-1 } } }\n";
    std::fs::write(folder.path().join("spec.yaml"), format!("{HEAD}{node}")).unwrap();
    let mut pki = Command::new(env!("CARGO_BIN_EXE_pki"));
    pki.args(["apply", "-q", "-f", "spec.yaml", "--yes"]).current_dir(folder.path());
    for identity in [
        "admin.conf",
        "apiserver",
        "apiserver-etcd-client",
        "apiserver-kubelet-client",
        "controller-manager.conf",
        "etcd-healthcheck-client",
        "etcd-peer",
        "etcd-server",
        "front-proxy-client",
        "scheduler.conf",
    ] {
        pki.args(["--only", identity, "--replace", identity]);
    }
    pki.stdin(Stdio::null()).stdout(Stdio::null());
    let before = digest(&folder.path().join("cp-1"));
    let start = Instant::now();
    let status = pki.status().unwrap();
    let time = start.elapsed();
    assert!(status.success() && before != digest(&folder.path().join("cp-1")), "it was renewed");
    time
}

fn digest(node: &Path) -> Sha256 {
    Sha256::of(&std::fs::read(node.join("etc/kubernetes/pki/etcd/server.crt")).unwrap())
}

/// A node that was read once. Each answer is decoded anew, so that no two nodes share what was worked out about a certificate.
struct Seen(Arc<str>);

impl Inspect for Seen {
    fn observe(&self, _: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        Ok(serde_json::from_str(&self.0).unwrap())
    }
}

fn planning(node: &Local, count: usize, due: bool) -> Duration {
    let mut text = HEAD.to_owned();
    for number in 0..count {
        let (high, low) = (number / 250, number % 250 + 1);
        writeln!(text, "    n-{number}: {{ address: 10.0.{high}.{low}, roles: [control-plane, etcd] }}")
            .unwrap();
    }
    let source = Source::from_bytes("spec.yaml", text.into_bytes()).unwrap();
    let profile = Profile::load(ProfileName::Kubeadm).unwrap();
    let known = BTreeMap::from([(ProfileName::Kubeadm, profile.known_names())]);
    let options = ReadOptions {
        now: now(),
        ignore_other_kinds: false,
        known: &known,
        certificate_file: &|_, _| CertificateFile::Missing,
    };
    let reading = read(&[source], &options);
    let spec = reading.specs.first().unwrap().spec.clone();
    let first =
        pki::desired::resolve(&spec, &profile, &pki::desired::Hints::default(), &Default::default()).unwrap();
    let request =
        pki::desired::request::request(first.nodes.values().next().unwrap(), &first.snapshots.directory);
    let facts = node.observe(&request).unwrap();
    let answer: Arc<str> = serde_json::to_string(&facts).unwrap().into();
    let nodes: BTreeMap<_, _> =
        spec.spec.nodes.keys().map(|name| (name.clone(), Seen(answer.clone()))).collect();
    let survey = survey(&spec, &profile, &nodes, now(), &Default::default()).unwrap();
    let now = if due { "2027-11-15T00:00:00Z".parse().unwrap() } else { now() };
    let start = Instant::now();
    let differences = diff(&survey.desired, &survey.observed, now);
    let draft = draft(&Input {
        survey: &survey,
        differences: &differences,
        now,
        spec: SpecReference {
            file: "spec.yaml".to_owned(),
            sha256: Sha256::of(b""),
            commit: None,
            files: Default::default(),
        },
        options: &Options::default(),
        signed: &Default::default(),
        place: &|_| None,
    });
    let time = start.elapsed();
    println!("  {} blocked", draft.unwrap().blocked().len());
    time
}
