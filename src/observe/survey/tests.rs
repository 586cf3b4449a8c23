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

/// A node whose kubelet takes static pods from another folder, where they are called as people like; `usual` holds what was left behind.
fn node_with_pods(files: &[(&str, &str)]) -> Survey {
    let text = "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: a }\nspec:\n  profile: kubeadm\n  nodes: { cp-1: { address: 10.0.0.11, roles: [control-plane, etcd] } }\n";
    let spec: ClusterPki = serde_saphyr::from_str(text).unwrap();
    let mut memory = Memory::new(now());
    for (path, content) in files {
        memory = memory.file(path, *content, 0o600);
    }
    let nodes = BTreeMap::from([("cp-1".parse().unwrap(), memory)]);
    survey(&spec, &Profile::load(ProfileName::Kubeadm).unwrap(), &nodes, now(), &Default::default()).unwrap()
}

const ETCD_POD: &str = "kind: Pod\nmetadata: {name: m}\nspec:\n  containers: [{name: etcd, image: 'etcd:3.5.9-0', command: [etcd, --cert-file=/tls/s.crt, --key-file=/tls/s.key], volumeMounts: [{name: v, mountPath: /tls}]}]\n  volumes: [{name: v, hostPath: {path: /etc/etcd-tls}}]\n";

#[test]
fn pods_are_known_by_what_they_run_in_the_folder_that_the_kubelet_reads() {
    let kubelet = "kind: KubeletConfiguration\nstaticPodPath: /etc/kubelet.d/\n";
    let server = r#"{"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "x", "image": "k:v1.28.3", "command": ["/go-runner", "kube-apiserver", "--secure-port=6443"]}]}}"#;
    let old = ETCD_POD.replace("/tls/s.", "/tls/old.");
    let elsewhere = [
        ("/var/lib/kubelet/config.yaml", kubelet),
        ("/etc/kubelet.d/10-m.manifest", ETCD_POD),
        ("/etc/kubelet.d/server", server),
        ("/etc/kubelet.d/.hidden.yaml", &old),
        ("/etc/kubelet.d/sub/etcd.yaml", &old),
        ("/etc/kubernetes/manifests/etcd.yaml", &old),
    ];
    let usual =
        [("/etc/kubernetes/manifests/00.yml", ETCD_POD), ("/etc/kubernetes/manifests/server.json", server)];
    for (files, folder, etcd, api) in [
        (&elsewhere[..], "/etc/kubelet.d", "10-m.manifest", "server"),
        (&usual[..], "/etc/kubernetes/manifests", "00.yml", "server.json"),
    ] {
        let survey = node_with_pods(files);
        let node = &survey.desired.nodes["cp-1"];
        let pod =
            |service: &str| node.services[service].restart.as_ref().unwrap().static_pod.clone().unwrap();
        assert_eq!(pod("etcd"), format!("{folder}/{etcd}"));
        assert_eq!(pod("kube-apiserver"), format!("{folder}/{api}"));
        assert!(node.manifests.contains(&format!("{folder}/{etcd}")), "{:?}", node.manifests);
        assert_eq!(node.directories["manifests"].known_as(), folder);
        assert_eq!(node.identities["etcd-server"].storage.certificate_path(), "/etc/etcd-tls/s.crt");
        assert_eq!(
            survey.observed.nodes["cp-1"].facts().unwrap().kubernetes_version.as_deref(),
            Some("v1.28.3")
        );
    }
}

#[test]
fn etcd_has_its_files_where_its_configuration_or_its_environment_says() {
    let by_file = ETCD_POD.replace(
        "--cert-file=/tls/s.crt, --key-file=/tls/s.key",
        "--cert-file=/tls/no.crt, --config-file=/tls/e.yml",
    );
    let named_by_environment = ETCD_POD.replace(
        "--cert-file=/tls/s.crt, --key-file=/tls/s.key], ",
        "], env: [{name: ETCD_CONFIG_FILE, value: /tls/e.yml}], ",
    );
    let by_environment = ETCD_POD.replace(
        "--cert-file=/tls/s.crt, --key-file=/tls/s.key], ",
        "--cert-file=/tls/s.crt], env: [{name: ETCD_KEY_FILE, value: /tls/s.key}, {name: ETCD_CERT_FILE, value: /tls/no.crt}], ",
    );
    let configuration = "client-transport-security: {cert-file: /tls/s.crt, key-file: /tls/s.key}\n";
    for pod in [&by_file, &named_by_environment, &by_environment] {
        let survey = node_with_pods(&[
            ("/etc/kubernetes/manifests/etcd.yaml", pod),
            ("/etc/etcd-tls/e.yml", configuration),
            ("/etc/etcd-tls/s.crt", "x"),
        ]);
        let storage = &survey.desired.nodes["cp-1"].identities["etcd-server"].storage;
        let files: Vec<&str> = storage.files().into_iter().map(|file| file.path.as_str()).collect();
        assert_eq!(files, ["/etc/etcd-tls/s.crt", "/etc/etcd-tls/s.key"], "{pod}");
        let facts = survey.observed.nodes["cp-1"].facts().unwrap();
        assert!(matches!(facts.files["/etc/etcd-tls/s.crt"], Seen::Present(_)));
    }
}
