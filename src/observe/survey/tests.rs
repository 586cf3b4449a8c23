//! The clusters that tests of deciding start from.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;

use super::{Nodes, merge, survey};
use crate::agent::{Local, Memory};
use crate::desired::Survey;
use crate::profile::Profile;
use crate::protocol::facts::{
    Answer, EndpointFacts, NodeFacts, ObserveRequest, Observed, Probe, Seen, ServedBy, ServiceFacts,
};
use crate::protocol::node::{Inspect, NodeError};
use crate::spec::types::ClusterPki;
use crate::types::names::NodeName;
use crate::types::profile_name::ProfileName;

pub(crate) const SPEC: &str = r#"
apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: prod-eu1 }
spec:
  profile: kubeadm
  cluster: { controlPlaneEndpoint: "api.prod-eu1.example:6443", serviceSubnet: 10.96.0.0/12 }
  nodes:
    cp-1: { address: 10.0.0.11, roles: [control-plane, etcd] }
    cp-2: { address: 10.0.0.12, roles: [control-plane, etcd] }
    cp-3: { address: 10.0.0.13, roles: [control-plane, etcd] }
"#;

/// What kubeadm 1.20.2 made.
const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kubeadm-v1.20.2.tar");

/// Ten days into the life of the certificates.
pub(crate) fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

/// A cluster in which everything is as it should be: three control planes that kubeadm 1.20.2 made.
pub(crate) fn agreement() -> Survey {
    static SURVEYED: OnceLock<Survey> = OnceLock::new();
    let unpack = |folder: &Path| {
        let mut tar = Command::new("tar");
        tar.args(["--no-same-owner", "-pxf", ARCHIVE, "-C"]).arg(folder);
        assert!(tar.status().unwrap().success());
    };
    SURVEYED.get_or_init(|| surveyed(unpack)).clone()
}

/// The CA of etcd of that cluster, signed again with its own key by openssl.
pub(crate) fn signed_again() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let pki = Path::new("cp-1/etc/kubernetes/pki/etcd");
    let [certificate, key] = ["ca.crt", "ca.key"].map(|name| pki.join(name).display().to_string());
    run("tar", &["-xf", ARCHIVE, "--wildcards", "--no-anchored", "*cp-1/etc/kubernetes/pki/etcd/ca.*"]);
    let again = ["-signkey", &key, "-days", "9000", "-set_serial", "7"];
    run("openssl", &[&["x509", "-in", &certificate][..], &again].concat())
}

/// The same cluster before anything was made.
pub(crate) fn nothing() -> Survey {
    surveyed(|_| {})
}

fn surveyed(fill: impl Fn(&Path)) -> Survey {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let spec: ClusterPki = serde_saphyr::from_str(SPEC).unwrap();
    let node = |name: &NodeName| -> Box<dyn Inspect + Send + Sync> {
        Box::new(Local::created_at_need(folder.path().join(name.as_str()), now))
    };
    let nodes: Nodes = spec.spec.nodes.keys().map(|name| (name.clone(), node(name))).collect();
    let mut survey =
        survey(&spec, &Profile::load(ProfileName::Kubeadm).unwrap(), &nodes, now(), &Default::default())
            .unwrap();
    survey.observed.nodes.values_mut().for_each(give_to_root);
    survey
}

/// Whoever runs the tests: the nodes are root's.
fn give_to_root(answer: &mut Answer) {
    let Answer::Facts(facts) = answer else { panic!("{answer:?}") };
    facts.served_by = ServedBy::default();
    for seen in facts.files.values_mut() {
        if let Seen::Present(file) = seen {
            (file.uid, file.gid, file.owner, file.group) = (0, 0, None, None);
        }
    }
}

/// A node in memory on which etcd runs, and how often it was asked what runs.
struct Running {
    node: Memory,
    asked: AtomicUsize,
}

impl Inspect for Running {
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        self.asked.fetch_add(usize::from(!request.live.is_empty()), Ordering::Relaxed);
        self.node.observe(request)
    }
}

#[test]
fn what_runs_is_asked_once_and_is_in_the_survey() {
    let spec: ClusterPki = serde_saphyr::from_str(SPEC).unwrap();
    let node = |name: &NodeName| {
        let node = Memory::new(now()).service("etcd".parse().unwrap(), ServiceFacts::default());
        (name.clone(), Running { node, asked: AtomicUsize::new(0) })
    };
    let nodes: BTreeMap<NodeName, Running> = spec.spec.nodes.keys().map(node).collect();
    let survey =
        survey(&spec, &Profile::load(ProfileName::Kubeadm).unwrap(), &nodes, now(), &Default::default())
            .unwrap();
    for (name, node) in &nodes {
        assert_eq!(node.asked.load(Ordering::Relaxed), 1);
        let facts = survey.observed.nodes[name].facts().unwrap();
        assert_eq!(facts.services.keys().map(|service| service.as_str()).collect::<Vec<_>>(), ["etcd"]);
    }
}

#[test]
fn what_runs_is_that_of_the_last_look_at_it() {
    let name: NodeName = "cp-1".parse().unwrap();
    let look = |ports: &[u16], services: &[&str]| {
        let mut facts = Memory::new(now()).observe(&ObserveRequest::default()).unwrap();
        let service = |service: &&str| (service.parse().unwrap(), ServiceFacts::default());
        facts.services = services.iter().map(service).collect();
        let consumer = |port: &u16| EndpointFacts {
            port: *port,
            address: None,
            serves: None,
            server_name: None,
            probe: Probe::Refused,
            process: Seen::Absent,
        };
        facts.consumers = ports.iter().map(consumer).collect();
        facts
    };
    let mut observed = Observed { observed_at: now(), nodes: BTreeMap::new() };
    let mut ports_after = |facts: NodeFacts| {
        merge(&mut observed, name.clone(), Answer::Facts(facts));
        let facts = observed.nodes[&name].facts().unwrap();
        facts.consumers.iter().map(|consumer| consumer.port).collect::<Vec<_>>()
    };
    assert_eq!(ports_after(look(&[8443], &["etcd"])), [8443]);
    assert_eq!(ports_after(look(&[9443], &["etcd"])), [9443], "a second look is a whole answer");
    assert_eq!(ports_after(look(&[], &[])), [9443], "who was asked for files alone says nothing of ports");
    assert_eq!(ports_after(look(&[7443], &[])), [7443]);
}
