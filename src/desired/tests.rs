//! What specs mean, node by node.

use super::*;
use crate::profile::Profile;
use crate::spec::types::ClusterPki;
use crate::types::profile_name::ProfileName;

const KUBEADM: &str = r#"
apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: prod-eu1 }
spec:
  profile: kubeadm
  kubernetesVersion: v1.31.2
  cluster: { controlPlaneEndpoint: "api.prod-eu1.example:6443", serviceSubnet: 10.96.0.0/12 }
  nodes:
    cp-1: { address: 10.0.0.11, roles: [control-plane, etcd] }
    w-1: { address: 10.0.0.21, roles: [worker] }
"#;

fn spec(text: &str) -> ClusterPki {
    serde_saphyr::from_str(text).unwrap()
}

fn resolved(spec: &ClusterPki) -> Result<Desired, Vec<ResolveError>> {
    resolve(spec, &Profile::load(spec.spec.profile).unwrap(), &Hints::default(), &Default::default())
}

fn node<'a>(desired: &'a Desired, name: &str) -> &'a DesiredNode {
    &desired.nodes[name]
}

#[test]
fn the_api_server_gets_the_names_that_kubeadm_gives_it() {
    let desired = resolved(&spec(KUBEADM)).unwrap();
    let names = &node(&desired, "cp-1").identities["apiserver"].names;
    let dns: Vec<&str> = names.dns.iter().map(String::as_str).collect();
    assert_eq!(
        dns,
        [
            "api.prod-eu1.example",
            "cp-1",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local"
        ]
    );
    let ip: Vec<String> = names.ip.iter().map(ToString::to_string).collect();
    assert_eq!(ip, ["10.0.0.11", "10.96.0.1"]);
    assert!(names.unresolved.is_empty());
}

#[test]
fn a_name_whose_parts_nobody_knows_is_set_aside() {
    let mut open = spec(KUBEADM);
    open.spec.cluster.service_subnet = None;
    let desired = resolved(&open).unwrap();
    let names = &node(&desired, "cp-1").identities["apiserver"].names;
    assert_eq!(names.unresolved.iter().collect::<Vec<_>>(), ["{service-ip}"]);
}

fn told(value: &str) -> Told {
    let from = Origin { node: "cp-1".parse().unwrap(), path: "/x".to_owned() };
    Told { value: value.to_owned(), from, agreed: true }
}

#[test]
fn what_nodes_say_fills_in_what_the_spec_leaves_open() {
    let mut open = spec(KUBEADM);
    open.spec.cluster.service_subnet = None;
    open.spec.kubernetes_version = None;
    let hints = Hints {
        versions: [("cp-1".parse().unwrap(), "v1.28.1".parse().unwrap())].into(),
        service_subnet: Some(told("fd00:10:96::/112,10.96.0.0/12")),
        ..Hints::default()
    };
    let desired =
        resolve(&open, &Profile::load(ProfileName::Kubeadm).unwrap(), &hints, &Default::default()).unwrap();
    let identities = &node(&desired, "cp-1").identities;
    assert!(identities["apiserver"].names.ip.contains(&"fd00:10:96::1".parse().unwrap()));
    assert_eq!(identities["admin.conf"].subject.as_ref().unwrap().organizations, ["system:masters"]);
    assert!(!identities.contains_key("super-admin.conf"), "super-admin.conf came with 1.29");
}

#[test]
fn after_an_upgrade_the_older_subject_stays_right_and_the_newer_one_is_issued() {
    let desired = resolved(&spec(KUBEADM)).unwrap();
    let identity = &node(&desired, "cp-1").identities["apiserver-kubelet-client"];
    assert_eq!(identity.subject.as_ref().unwrap().organizations, ["kubeadm:cluster-admins"]);
    assert_eq!(identity.accepted_subjects.len(), 2);
}

#[test]
fn each_node_is_judged_by_its_own_version_and_accepts_what_the_newest_one_makes() {
    let mut open = spec(KUBEADM);
    open.spec.kubernetes_version = None;
    let mut second = open.spec.nodes["cp-1"].clone();
    second.address = Some("10.0.0.99".to_owned());
    open.spec.nodes.insert("cp-9".parse().unwrap(), second);
    let versions = [("cp-1", "v1.29.4"), ("cp-9", "v1.28.9")];
    let versions = versions.map(|(node, version)| (node.parse().unwrap(), version.parse().unwrap()));
    let hints = Hints { versions: versions.into(), ..Hints::default() };
    let desired =
        resolve(&open, &Profile::load(ProfileName::Kubeadm).unwrap(), &hints, &Default::default()).unwrap();
    let groups = |name: &str| {
        let identity = &node(&desired, name).identities["admin.conf"];
        (identity.subject.clone().unwrap().organizations.join(","), identity.accepted_subjects.len())
    };
    assert_eq!(groups("cp-1"), ("kubeadm:cluster-admins".to_owned(), 2));
    assert_eq!(groups("cp-9"), ("system:masters".to_owned(), 2));
    assert!(node(&desired, "cp-1").identities.contains_key("super-admin.conf"));
    assert!(!node(&desired, "cp-9").identities.contains_key("super-admin.conf"));
    assert_eq!(desired.version.unwrap().to_string(), "v1.28.9");
    assert_eq!(node(&desired, "w-1").version, desired.version);
}

#[test]
fn the_group_of_the_kubelet_client_is_accepted_in_every_form_that_its_version_knows() {
    let cases = [
        ("v1.28.9", "system:masters", 1),
        ("v1.33.11", "kubeadm:cluster-admins", 2),
        ("v1.33.12", "", 3),
        ("v1.34.7", "kubeadm:cluster-admins", 3),
        ("v1.34.8", "", 3),
        ("v1.35.4", "kubeadm:cluster-admins", 3),
        ("v1.35.5", "", 3),
        ("v1.36.0", "kubeadm:cluster-admins", 3),
        ("v1.36.1", "", 3),
        ("v1.37.0", "", 3),
    ];
    for (version, issued, accepted) in cases {
        let mut one = spec(KUBEADM);
        one.spec.kubernetes_version = Some(version.parse().unwrap());
        let desired = resolved(&one).unwrap();
        let identity = &node(&desired, "cp-1").identities["apiserver-kubelet-client"];
        assert_eq!(identity.subject.clone().unwrap().organizations.join(","), issued, "{version}");
        assert_eq!(identity.accepted_subjects.len(), accepted, "{version}");
    }
}

#[test]
fn workers_hold_the_cluster_ca_but_not_its_key_and_only_a_kubelet_identity() {
    let desired = resolved(&spec(KUBEADM)).unwrap();
    let worker = node(&desired, "w-1");
    assert!(!worker.authorities["ca"].may_hold_key);
    assert_eq!(worker.authorities.len(), 1);
    assert_eq!(
        worker.identities.keys().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["kubelet-serving", "kubelet.conf"]
    );
    assert_eq!(desired.authorities["ca"].signers.iter().map(|n| n.as_str()).collect::<Vec<_>>(), ["cp-1"]);
}

#[test]
fn with_external_etcd_its_certificates_are_not_ours() {
    let mut external = spec(KUBEADM);
    for node in external.spec.nodes.values_mut() {
        node.roles.remove(&Role::Etcd);
    }
    let desired = resolved(&external).unwrap();
    assert!(!desired.authorities.contains_key("etcd-ca"));
    assert!(!node(&desired, "cp-1").identities.contains_key("apiserver-etcd-client"));
}

#[test]
fn a_linked_directory_keeps_the_default_path_for_programs() {
    let mut linked = spec(KUBEADM);
    linked.spec.directories.insert(
        "pki".parse().unwrap(),
        crate::spec::types::Directory {
            path: "/data/pki".to_owned(),
            link: Some("/etc/kubernetes/pki".to_owned()),
            migrate: false,
        },
    );
    let desired = resolved(&linked).unwrap();
    let cp = node(&desired, "cp-1");
    assert_eq!(cp.identities["apiserver"].storage.certificate_path(), "/etc/kubernetes/pki/apiserver.crt");
    linked.spec.directories.get_mut("pki").unwrap().link = None;
    let desired = resolved(&linked).unwrap();
    let cp = node(&desired, "cp-1");
    assert_eq!(cp.identities["etcd-peer"].storage.certificate_path(), "/data/pki/etcd/peer.crt");
}

#[test]
fn every_reference_to_something_unknown_is_named_in_one_go() {
    let mut wrong = spec(KUBEADM);
    wrong.spec.directories.insert(
        "nowhere".parse().unwrap(),
        crate::spec::types::Directory { path: "/data".to_owned(), link: None, migrate: false },
    );
    wrong.spec.certificates.insert("scraper".parse().unwrap(), Default::default());
    wrong.spec.authorities.insert("other-ca".parse().unwrap(), Default::default());
    let problems = resolved(&wrong).unwrap_err();
    let paths: Vec<String> = problems.iter().map(|problem| problem.path.join(".")).collect();
    assert_eq!(paths, ["spec.authorities.other-ca", "spec.certificates.scraper", "spec.directories.nowhere"]);
}

#[test]
fn the_place_of_a_value_is_the_certificate_or_the_defaults() {
    let mut own = spec(KUBEADM);
    let certificate =
        crate::spec::types::Certificate { validity: Some(Duration::from_days(90)), ..Default::default() };
    own.spec.certificates.insert("apiserver".parse().unwrap(), certificate);
    let desired = resolved(&own).unwrap();
    let identities = &node(&desired, "cp-1").identities;
    assert_eq!(identities["apiserver"].validity.value, Duration::from_days(90));
    assert_eq!(
        identities["apiserver"].validity.by.as_ref().unwrap().join("."),
        "spec.certificates.apiserver.validity"
    );
    assert_eq!(identities["etcd-peer"].validity.by.as_ref().unwrap().join("."), "spec.defaults.validity");
}

/// Two control planes of which all certificates with this name are declared so.
fn two_control_planes(certificate: &str) -> Result<Desired, Vec<ResolveError>> {
    let second = "    cp-2: { address: 10.0.0.12, roles: [control-plane, etcd] }\n";
    resolved(&spec(&format!("{KUBEADM}{second}  certificates:\n    {certificate}\n")))
}

#[test]
fn what_nodes_share_cannot_have_the_names_of_each() {
    let problems = two_control_planes("etcd-server: { holders: shared }").unwrap_err();
    let told: Vec<String> = problems.iter().map(|problem| problem.path.join(".")).collect();
    assert_eq!(told, ["spec.certificates.etcd-server.holders"]);
    assert!(problems[0].message.contains("others on cp-2 than on cp-1"), "{}", problems[0].message);
    let common = "etcd-server: { holders: shared, subject: { commonName: etcd }, names: { only: { dns: [etcd.example] } } }";
    let desired = two_control_planes(common).unwrap();
    assert!(["cp-1", "cp-2"].iter().all(|name| node(&desired, name).identities["etcd-server"].shared));
}

#[test]
fn a_copied_kubeconfig_leads_to_the_server_of_its_original_unless_it_names_its_own() {
    let certificate = "admin.conf: { kubeconfig: { path: /a, server: \"https://a:6443\" }, copies: { one: { kubeconfig: { path: /b } }, two: { kubeconfig: { path: /c, server: \"https://c:6443\" } } } }";
    let desired = two_control_planes(certificate).unwrap();
    let identity = &node(&desired, "cp-2").identities["admin.conf"];
    let servers = identity.places().map(|place| match place {
        Storage::Kubeconfig { file, server, .. } => (file.path.as_str(), server.as_deref().unwrap()),
        Storage::Pair { .. } | Storage::Combined { .. } => panic!("{place:?}"),
    });
    let servers: BTreeMap<&str, &str> = servers.collect();
    let [a, c] = ["https://a:6443", "https://c:6443"];
    assert_eq!((servers["/a"], servers["/b"], servers["/c"]), (a, a, c));
}

#[test]
fn a_service_says_in_the_spec_where_it_listens_and_what_tells_that_it_works() {
    let text = "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: x }\nspec:\n  profile: kubeadm\n  kubernetesVersion: v1.20.2\n  nodes:\n    cp-1: { address: 10.0.0.11, roles: [control-plane, etcd] }\n  services:\n    \
                kube-apiserver: { endpoints: { main: { port: 6443, serves: etcd-server }, other: { port: 8132 } } }\n    \
                broker: { restart: { systemd: broker.service }, reads: [etcd-server], health: { port: 8443, path: /ok } }\n";
    let spec: ClusterPki = serde_saphyr::from_str(text).unwrap();
    let desired =
        resolve(&spec, &Profile::load(ProfileName::Kubeadm).unwrap(), &Hints::default(), &Default::default())
            .unwrap();
    let services = &desired.nodes["cp-1"].services;
    let ports = services["kube-apiserver"].endpoints.iter();
    let ports: Vec<(u16, Option<&str>)> =
        ports.map(|known| (known.port, known.serves.as_ref().map(|serves| serves.as_str()))).collect();
    assert_eq!(ports, [(6443, Some("etcd-server")), (8132, None)], "declared anew, and besides");
    let health = |service: &str| -> Vec<(u16, &str, bool)> {
        let health = services[service].health.iter();
        health.map(|health| (health.port, health.path.as_str(), health.is_declared)).collect()
    };
    assert_eq!(health("kube-apiserver"), [(6443, "/readyz", false)]);
    assert_eq!(health("broker"), [(8443, "/ok", true)]);
    let old = text.replace("v1.20.2", "v1.15.0");
    let spec: ClusterPki = serde_saphyr::from_str(&old).unwrap();
    let desired =
        resolve(&spec, &Profile::load(ProfileName::Kubeadm).unwrap(), &Hints::default(), &Default::default())
            .unwrap();
    assert_eq!(desired.nodes["cp-1"].services["kube-apiserver"].health[0].path.as_str(), "/healthz");
}
