//! The profiles as tables, read against what kubeadm and etcd do.

use super::*;
use crate::desired::{AuthorityCopy, Desired, DesiredIdentity, Hints, Origin, Told, resolve};
use crate::spec::types::ClusterPki;

#[test]
fn every_profile_parses_and_is_closed_in_itself() {
    for name in ProfileName::ALL {
        let profile = Profile::load(name).unwrap();
        for (identity, entry) in &profile.identities {
            assert!(!entry.subjects.is_empty(), "{name} {identity} has no subject");
            if let Some(authority) = &entry.authority {
                assert!(profile.authorities.contains_key(authority), "{name} {identity}: {authority}");
            }
        }
        for (service, entry) in &profile.services {
            for read in &entry.reads {
                assert!(read.source.is_some(), "{name} {service}: {:?} has no source", read.what);
                match &read.what {
                    What::Identity(identity) | What::KubeconfigTrust(identity) => {
                        assert!(profile.identities.contains_key(identity), "{name} {service} {identity}");
                    }
                    What::Trust(authority) | What::Signer(authority) => {
                        assert!(profile.authorities.contains_key(authority), "{name} {service} {authority}");
                    }
                    What::KeyPair(pair) => assert!(profile.key_pairs.contains_key(pair), "{name} {pair}"),
                }
            }
        }
    }
}

const KUBEADM: &str = r#"
apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: prod-eu1 }
spec:
  profile: kubeadm
  kubernetesVersion: VERSION
  nodes:
    cp-1: { address: 10.0.0.11, roles: [control-plane, etcd] }
    w-1: { address: 10.0.0.21, roles: [worker] }
"#;

fn version(text: &str) -> KubernetesVersion {
    text.parse().unwrap()
}

fn resolved(spec: &str) -> Desired {
    let spec: ClusterPki = serde_saphyr::from_str(spec).unwrap();
    resolve(&spec, &Profile::load(spec.spec.profile).unwrap(), &Hints::default(), &Default::default())
        .unwrap()
}

/// What a new certificate of each identity on a node would be: issuer, subject as `O,O/CN`, usages, and the files with their modes.
fn identities(desired: &Desired, node: &str) -> Vec<String> {
    let line = |(name, identity): (&IdentityName, &DesiredIdentity)| {
        let subject = identity.subject.as_ref().unwrap();
        let usages: Vec<String> = identity.usages.iter().map(ToString::to_string).collect();
        let files: Vec<String> =
            identity.storage.files().iter().map(|file| format!("{} {}", file.path, file.mode)).collect();
        let marks = [(identity.optional, " optional"), (identity.rotated_by_kubelet, " kubelet")];
        let marks: String = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| *mark).collect();
        format!(
            "{name}: {} {}/{} {} [{}]{marks}",
            identity.authority.as_ref().unwrap(),
            subject.organizations.join(","),
            subject.common_name,
            usages.join("+"),
            files.join(", "),
        )
    };
    desired.nodes[node].identities.iter().map(line).collect()
}

/// certlist.go, kubeconfig.go and pki_helpers.go of kubeadm 1.20.2.
const IDENTITIES_OF_1_20: [&str; 12] = [
    "admin.conf: ca system:masters/kubernetes-admin client [/etc/kubernetes/admin.conf 0600]",
    "apiserver: ca /kube-apiserver server [/etc/kubernetes/pki/apiserver.crt 0644, /etc/kubernetes/pki/apiserver.key 0600]",
    "apiserver-etcd-client: etcd-ca system:masters/kube-apiserver-etcd-client client [/etc/kubernetes/pki/apiserver-etcd-client.crt 0644, /etc/kubernetes/pki/apiserver-etcd-client.key 0600]",
    "apiserver-kubelet-client: ca system:masters/kube-apiserver-kubelet-client client [/etc/kubernetes/pki/apiserver-kubelet-client.crt 0644, /etc/kubernetes/pki/apiserver-kubelet-client.key 0600]",
    "controller-manager.conf: ca /system:kube-controller-manager client [/etc/kubernetes/controller-manager.conf 0600]",
    "etcd-healthcheck-client: etcd-ca system:masters/kube-etcd-healthcheck-client client [/etc/kubernetes/pki/etcd/healthcheck-client.crt 0644, /etc/kubernetes/pki/etcd/healthcheck-client.key 0600]",
    "etcd-peer: etcd-ca /cp-1 server+client [/etc/kubernetes/pki/etcd/peer.crt 0644, /etc/kubernetes/pki/etcd/peer.key 0600]",
    "etcd-server: etcd-ca /cp-1 server+client [/etc/kubernetes/pki/etcd/server.crt 0644, /etc/kubernetes/pki/etcd/server.key 0600]",
    "front-proxy-client: front-proxy-ca /front-proxy-client client [/etc/kubernetes/pki/front-proxy-client.crt 0644, /etc/kubernetes/pki/front-proxy-client.key 0600]",
    "kubelet-serving: ca system:nodes/system:node:cp-1 server [/var/lib/kubelet/pki/kubelet-server-current.pem 0600] optional kubelet",
    "kubelet.conf: ca system:nodes/system:node:cp-1 client [/etc/kubernetes/kubelet.conf 0600] kubelet",
    "scheduler.conf: ca /system:kube-scheduler client [/etc/kubernetes/scheduler.conf 0600]",
];

/// The groups that 1.29 changed (kubernetes#121305, #121837, #120521, #119859), and the file that it added.
fn identities_since_1_29() -> Vec<String> {
    let changed = |line: &&str| {
        line.replace("system:masters/kubernetes-admin", "kubeadm:cluster-admins/kubernetes-admin")
            .replace(
                "system:masters/kube-apiserver-kubelet-client",
                "kubeadm:cluster-admins/kube-apiserver-kubelet-client",
            )
            .replace("system:masters/kube-apiserver-etcd-client", "/kube-apiserver-etcd-client")
            .replace("system:masters/kube-etcd-healthcheck-client", "/kube-etcd-healthcheck-client")
    };
    let super_admin = "super-admin.conf: ca system:masters/kubernetes-super-admin client [/etc/kubernetes/super-admin.conf 0600] optional";
    IDENTITIES_OF_1_20.iter().map(changed).chain([super_admin.to_owned()]).collect()
}

#[test]
fn kubeadm_issues_these_identities_in_each_version() {
    for (version, expected) in [
        ("v1.20.2", IDENTITIES_OF_1_20.map(str::to_owned).to_vec()),
        ("v1.28.15", IDENTITIES_OF_1_20.map(str::to_owned).to_vec()),
        ("v1.29.0", identities_since_1_29()),
        ("v1.31.2", identities_since_1_29()),
        ("v1.34.1", identities_since_1_29()),
    ] {
        let desired = resolved(&KUBEADM.replace("VERSION", version));
        assert_eq!(identities(&desired, "cp-1"), expected, "{version}");
        let worker = identities(&desired, "w-1");
        let names: Vec<&str> = worker.iter().map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(names, ["kubelet-serving", "kubelet.conf"], "{version}");
    }
}

#[test]
fn older_groups_are_accepted_after_an_upgrade_and_newer_ones_not_before_it() {
    let accepted = |version: &str, identity: &str| {
        let desired = resolved(&KUBEADM.replace("VERSION", version));
        let subjects = desired.nodes["cp-1"].identities[identity].accepted_subjects.clone();
        subjects.into_iter().map(|subject| subject.organizations.join(",")).collect::<Vec<_>>()
    };
    for version in ["v1.20.2", "v1.28.15"] {
        for identity in
            ["admin.conf", "apiserver-kubelet-client", "apiserver-etcd-client", "etcd-healthcheck-client"]
        {
            assert_eq!(accepted(version, identity), ["system:masters"], "{version} {identity}");
        }
    }
    for version in ["v1.29.0", "v1.31.2", "v1.33.11"] {
        assert_eq!(accepted(version, "admin.conf"), ["system:masters", "kubeadm:cluster-admins"]);
        assert_eq!(
            accepted(version, "apiserver-kubelet-client"),
            ["system:masters", "kubeadm:cluster-admins"]
        );
        assert_eq!(accepted(version, "apiserver-etcd-client"), ["system:masters", ""]);
        assert_eq!(accepted(version, "etcd-healthcheck-client"), ["system:masters", ""]);
    }
}

#[test]
fn ca_keys_and_service_account_keys_stay_on_control_planes() {
    let desired = resolved(&KUBEADM.replace("VERSION", "v1.31.2"));
    let copies = |node: &str| {
        let copies = desired.nodes[node].authorities.iter();
        let line = |(name, copy): (&AuthorityName, &AuthorityCopy)| {
            format!(
                "{name}: {} {}, {} {}{}",
                copy.certificate.path,
                copy.certificate.mode,
                copy.key.path,
                copy.key.mode,
                if copy.may_hold_key { "" } else { " elsewhere" }
            )
        };
        copies.map(line).collect::<Vec<_>>()
    };
    assert_eq!(
        copies("cp-1"),
        [
            "ca: /etc/kubernetes/pki/ca.crt 0644, /etc/kubernetes/pki/ca.key 0600",
            "etcd-ca: /etc/kubernetes/pki/etcd/ca.crt 0644, /etc/kubernetes/pki/etcd/ca.key 0600",
            "front-proxy-ca: /etc/kubernetes/pki/front-proxy-ca.crt 0644, /etc/kubernetes/pki/front-proxy-ca.key 0600",
        ]
    );
    assert_eq!(
        copies("w-1"),
        ["ca: /etc/kubernetes/pki/ca.crt 0644, /etc/kubernetes/pki/ca.key 0600 elsewhere"]
    );
    let pair = &desired.nodes["cp-1"].key_pairs["sa"];
    let files = [&pair.private, &pair.public].map(|file| format!("{} {}", file.path, file.mode));
    assert_eq!(files, ["/etc/kubernetes/pki/sa.key 0600", "/etc/kubernetes/pki/sa.pub 0600"]);
    assert!(desired.nodes["w-1"].key_pairs.is_empty());
}

#[test]
fn with_external_etcd_nothing_of_etcd_belongs_to_the_layout() {
    let desired =
        resolved(&KUBEADM.replace("VERSION", "v1.31.2").replace("[control-plane, etcd]", "[control-plane]"));
    let node = &desired.nodes["cp-1"];
    assert!(node.identities.keys().all(|name| !name.as_str().contains("etcd")));
    assert!(!node.authorities.contains_key("etcd-ca") && !desired.authorities.contains_key("etcd-ca"));
}

#[test]
fn a_plain_etcd_cluster_has_these_identities() {
    let spec = "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: e }\nspec: { profile: etcd, nodes: { m-1: { address: 10.0.0.1, roles: [etcd] } } }\n";
    let desired = resolved(spec);
    assert_eq!(
        identities(&desired, "m-1"),
        [
            "etcd-client: etcd-ca /etcd-client client [/etc/etcd/pki/client.crt 0644, /etc/etcd/pki/client.key 0600]",
            "etcd-peer: etcd-ca /m-1 server+client [/etc/etcd/pki/peer.crt 0644, /etc/etcd/pki/peer.key 0600]",
            "etcd-server: etcd-ca /m-1 server+client [/etc/etcd/pki/server.crt 0644, /etc/etcd/pki/server.key 0600]",
        ]
    );
    let names = &desired.nodes["m-1"].identities["etcd-server"].names;
    let dns: Vec<&str> = names.dns.iter().map(String::as_str).collect();
    let ip: Vec<String> = names.ip.iter().map(ToString::to_string).collect();
    assert_eq!(
        (dns.join(" "), ip.join(" ")),
        ("localhost m-1".to_owned(), "10.0.0.1 127.0.0.1 ::1".to_owned())
    );
}

/// When a running process takes up each file that it reads. `start` means that it must be restarted.
fn reload(profile: ProfileName, service: &str, what: &str, version: Option<&str>) -> String {
    let profile = Profile::load(profile).unwrap();
    let found = profile.services[service].reads.iter().find(|read| named(&read.what) == what);
    match found.unwrap_or_else(|| panic!("{service} does not read {what}")).reload(version.map(self::version))
    {
        Reload::Start => "start".to_owned(),
        Reload::Handshake => "handshake".to_owned(),
        Reload::Watch => "watch".to_owned(),
        Reload::Poll(period) => format!("poll {period}"),
    }
}

fn named(what: &What) -> String {
    match what {
        What::Identity(name) => format!("identity {name}"),
        What::Trust(name) => format!("trust {name}"),
        What::Signer(name) => format!("signer {name}"),
        What::KubeconfigTrust(name) => format!("kubeconfig trust {name}"),
        What::KeyPair(name) => format!("key pair {name}"),
    }
}

/// Who reads what, and what a change needs, in 1.20, 1.28, 1.31 and 1.34.
const RELOADS: [(&str, &str, [&str; 4]); 23] = [
    ("etcd", "identity etcd-server", ["handshake"; 4]),
    ("etcd", "identity etcd-peer", ["handshake"; 4]),
    ("etcd", "trust etcd-ca", ["start"; 4]),
    ("kube-apiserver", "identity apiserver", ["poll 1m"; 4]),
    ("kube-apiserver", "trust ca", ["poll 1m"; 4]),
    ("kube-apiserver", "trust front-proxy-ca", ["poll 1m"; 4]),
    ("kube-apiserver", "identity front-proxy-client", ["poll 1m"; 4]),
    ("kube-apiserver", "identity apiserver-kubelet-client", ["handshake"; 4]),
    ("kube-apiserver", "identity apiserver-etcd-client", ["handshake"; 4]),
    ("kube-apiserver", "trust etcd-ca", ["start"; 4]),
    ("kube-apiserver", "key pair sa", ["start"; 4]),
    ("kube-controller-manager", "trust ca", ["start"; 4]),
    ("kube-controller-manager", "signer ca", ["poll 1m"; 4]),
    ("kube-controller-manager", "trust front-proxy-ca", ["poll 1m"; 4]),
    ("kube-controller-manager", "key pair sa", ["start"; 4]),
    ("kube-controller-manager", "identity controller-manager.conf", ["start"; 4]),
    ("kube-controller-manager", "kubeconfig trust controller-manager.conf", ["start"; 4]),
    ("kube-scheduler", "identity scheduler.conf", ["start"; 4]),
    ("kube-scheduler", "kubeconfig trust scheduler.conf", ["start"; 4]),
    ("kubelet", "identity kubelet.conf", ["start"; 4]),
    ("kubelet", "kubeconfig trust kubelet.conf", ["start"; 4]),
    ("kubelet", "trust ca", ["poll 1m"; 4]),
    ("kubelet", "identity kubelet-serving", ["start", "start", "watch", "watch"]),
];

#[test]
fn each_process_takes_up_changes_as_its_version_does() {
    for (service, what, expected) in RELOADS {
        for (version, expected) in ["v1.20.2", "v1.28.15", "v1.31.2", "v1.34.1"].into_iter().zip(expected) {
            let found = reload(ProfileName::Kubeadm, service, what, Some(version));
            assert_eq!(found, expected, "{service} {what} {version}");
        }
    }
    let reads: usize =
        Profile::load(ProfileName::Kubeadm).unwrap().services.values().map(|entry| entry.reads.len()).sum();
    assert_eq!(reads, RELOADS.len(), "every read of the profile is in the table");
    for what in ["identity etcd-server", "identity etcd-peer"] {
        assert_eq!(reload(ProfileName::Etcd, "etcd", what, None), "handshake", "since etcd 3.2");
    }
    assert_eq!(reload(ProfileName::Etcd, "etcd", "trust etcd-ca", None), "start");
}

#[test]
fn before_the_version_that_reloads_and_without_a_known_one_a_restart_is_needed() {
    let front_proxy =
        |version| reload(ProfileName::Kubeadm, "kube-apiserver", "identity front-proxy-client", version);
    assert_eq!((front_proxy(Some("v1.19.16")), front_proxy(None)), ("start".to_owned(), "start".to_owned()));
    let serving = |version| reload(ProfileName::Kubeadm, "kubelet", "identity kubelet-serving", version);
    assert_eq!(
        (serving(Some("v1.30.9")), serving(Some("v1.31.0"))),
        ("start".to_owned(), "watch".to_owned())
    );
    assert_eq!(reload(ProfileName::Kubeadm, "etcd", "identity etcd-server", None), "handshake");
}

#[test]
fn a_single_file_mount_hides_a_renamed_file_whatever_the_process_does() {
    let profile = Profile::load(ProfileName::Kubeadm).unwrap();
    let mounted: Vec<String> = profile
        .services
        .values()
        .flat_map(|service| &service.reads)
        .filter(|read| read.single_file_mount)
        .map(|read| named(&read.what))
        .collect();
    assert_eq!(
        mounted,
        [
            "identity controller-manager.conf",
            "kubeconfig trust controller-manager.conf",
            "identity scheduler.conf",
            "kubeconfig trust scheduler.conf"
        ]
    );
    let watched = Versioned { since: None, backported: [].into(), until: None, value: Reload::Watch };
    let read = Read {
        what: What::Identity("scheduler.conf".parse().unwrap()),
        reload: vec![watched],
        single_file_mount: true,
        source: None,
    };
    assert_eq!(read.reload(Some(version("v1.34.1"))), Reload::Start);
}

/// The addresses and places of a node's certificates, with what is shared and where else it lies.
fn places(desired: &Desired, node: &str) -> Vec<String> {
    let line = |(name, identity): (&IdentityName, &DesiredIdentity)| {
        let shared = if identity.shared { " shared" } else { "" };
        let copy = |copy: &crate::desired::DesiredCopy| {
            let files: Vec<&str> = copy.storage.files().iter().map(|file| file.path.as_str()).collect();
            format!(" -> {}", files.join("+"))
        };
        let copies: String = identity.copies.values().map(copy).collect();
        let authority = identity.authority.as_ref().unwrap();
        let subject = identity.subject.as_ref().unwrap();
        let names: Vec<String> = identity
            .names
            .dns
            .iter()
            .cloned()
            .chain(identity.names.ip.iter().map(ToString::to_string))
            .collect();
        format!(
            "{name}: {authority}/{} [{}] {}{shared}{copies}",
            subject.common_name,
            names.join(","),
            identity.storage.certificate_path()
        )
    };
    desired.nodes[node].identities.iter().map(line).collect()
}

const ACK: &str = r#"
apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: { name: ack }
spec:
  profile: ack
  kubernetesVersion: v1.20.11
  cluster: { controlPlaneEndpoint: "10.0.0.10:6443", serviceSubnet: 172.21.0.0/20 }
  nodes:
    master-1: { address: 10.0.0.11, roles: [control-plane, etcd] }
    master-2: { address: 10.0.0.12, roles: [control-plane, etcd] }
"#;

#[test]
fn every_master_of_ack_holds_the_pairs_of_all_members() {
    let desired = resolved(ACK);
    let etcd: Vec<String> =
        places(&desired, "master-2").into_iter().filter(|line| line.contains("etcd")).collect();
    assert_eq!(
        etcd,
        [
            "etcd-client: etcd-ca/etcd-client [] /var/lib/etcd/cert/etcd-client.pem shared -> /etc/kubernetes/pki/etcd/etcd-client.pem+/etc/kubernetes/pki/etcd/etcd-client-key.pem",
            "etcd-member-master-1: etcd-peer-ca/10.0.0.11-name-1 [10.0.0.11-name-1,10.0.0.11-name-1.local,10.0.0.11] /var/lib/etcd/cert/10.0.0.11-name-1.pem shared",
            "etcd-member-master-2: etcd-peer-ca/10.0.0.12-name-2 [10.0.0.12-name-2,10.0.0.12-name-2.local,10.0.0.12] /var/lib/etcd/cert/10.0.0.12-name-2.pem shared",
            "etcd-server: etcd-ca/etcd-server [10.0.0.11,10.0.0.12] /var/lib/etcd/cert/etcd-server.pem shared",
        ]
    );
    let copy = &desired.nodes["master-1"].authorities["etcd-ca"].copies["apiserver"];
    assert_eq!(copy.path, "/etc/kubernetes/pki/etcd/ca.pem");
    let own: IdentityName = "etcd-member-master-2".parse().unwrap();
    let reads = &desired.nodes["master-2"].services["etcd"].reads;
    assert!(
        reads.iter().any(|read| read.what == What::Identity(own.clone())),
        "etcd shows its own member's pair"
    );
    assert_eq!(desired.nodes["master-2"].services["etcd"].endpoints[1].serves, Some(own));
}

#[test]
fn the_number_of_a_member_is_that_of_its_files() {
    let spec: ClusterPki = serde_saphyr::from_str(ACK).unwrap();
    let hints =
        Hints { member_indexes: [("10.0.0.12".to_owned(), "3".to_owned())].into(), ..Hints::default() };
    let desired =
        resolve(&spec, &Profile::load(ProfileName::Ack).unwrap(), &hints, &Default::default()).unwrap();
    let identity = &desired.nodes["master-1"].identities["etcd-member-master-2"];
    assert_eq!(identity.storage.certificate_path(), "/var/lib/etcd/cert/10.0.0.12-name-3.pem");
}

#[test]
fn files_that_are_called_after_an_address_wait_for_the_nodes_to_tell_it() {
    let unreached = ACK.replace("address: 10.0.0.12, ", "");
    let reached = ACK.replace("address: 10.0.0.12, ", "connection: { ssh: { host: 10.0.0.12 } }, ");
    let profile = Profile::load(ProfileName::Ack).unwrap();
    let members_of = |spec: &str, hints: &Hints| {
        let spec: ClusterPki = serde_saphyr::from_str(spec).unwrap();
        let desired = resolve(&spec, &profile, hints, &Default::default())?;
        let names = desired.nodes["master-1"].identities.keys().map(ToString::to_string);
        Ok::<_, Vec<crate::desired::ResolveError>>(
            names.filter(|name| name.contains("member")).collect::<Vec<_>>(),
        )
    };
    let members = |hints: &Hints| members_of(&unreached, hints);
    assert_eq!(members(&Hints::default()).unwrap(), ["etcd-member-master-1"], "nobody was asked");
    let from = Origin { node: "master-2".parse().unwrap(), path: "/x".to_owned() };
    let word = Told { value: "10.0.0.12".to_owned(), from, agreed: false };
    let told = [("master-2".parse().unwrap(), word)].into();
    let told = Hints { asked: true, addresses: told, ..Hints::default() };
    assert!(members(&told).is_err(), "its word alone does not come into the files of others");
    assert_eq!(members_of(&reached, &told).unwrap(), ["etcd-member-master-1", "etcd-member-master-2"]);
    let problems = members(&Hints { asked: true, ..Hints::default() }).unwrap_err();
    assert_eq!(problems[0].path, ["spec", "nodes", "master-2"]);
    assert!(problems[0].message.ends_with("declare its `address`"), "{}", problems[0].message);
}

#[test]
fn starlingx_shares_etcds_pairs_under_the_floating_address() {
    let spec = ACK.replace("profile: ack", "profile: starlingx").replace(
        "  nodes:",
        "  directories: { platform-config: { path: /opt/platform/config/24.09 } }\n  nodes:",
    );
    let lines = places(&resolved(&spec), "master-1");
    let etcd: Vec<&String> =
        lines.iter().filter(|line| line.contains("etcd") || line.contains("haproxy")).collect();
    assert_eq!(
        etcd,
        [
            "admin.conf: ca/kubernetes-admin [] /etc/kubernetes/admin.conf -> /etc/kubernetes/pki/haproxy_client.pem",
            "apiserver-etcd-client: etcd-ca/apiserver-etcd-client [10.0.0.10,127.0.0.1] /etc/kubernetes/pki/apiserver-etcd-client.crt",
            "etcd-client: etcd-ca/root [root] /etc/etcd/etcd-client.crt shared -> /opt/platform/config/24.09/etcd/etcd-client.crt+/opt/platform/config/24.09/etcd/etcd-client.key",
            "etcd-server: etcd-ca/etcd-server [10.0.0.10,127.0.0.1] /etc/etcd/etcd-server.crt shared -> /opt/platform/config/24.09/etcd/etcd-server.crt+/opt/platform/config/24.09/etcd/etcd-server.key",
        ]
    );
    let undeclared = resolved(&ACK.replace("profile: ack", "profile: starlingx"));
    assert!(
        undeclared.nodes["master-1"].identities["etcd-server"].copies.is_empty(),
        "nobody said which release"
    );
}

#[test]
fn kubespray_names_every_member_in_every_certificate() {
    let lines = places(&resolved(&ACK.replace("profile: ack", "profile: kubespray-etcd")), "master-2");
    assert_eq!(
        lines[0],
        "etcd-admin: etcd-ca/etcd-admin-master-2 [localhost,master-1,master-2,10.0.0.11,10.0.0.12,127.0.0.1] /etc/ssl/etcd/ssl/admin-master-2.pem"
    );
    assert_eq!(lines.len(), 3);
}

#[test]
fn rke1_shares_every_pair_and_never_makes_a_new_token_key() {
    let desired = resolved(&ACK.replace("profile: ack", "profile: rke1"));
    let identities = &desired.nodes["master-1"].identities;
    assert!(identities.values().all(|identity| identity.shared));
    assert!(identities["kube-service-account-token"].reuse_key && !identities["kube-node"].reuse_key);
    let etcd = &identities["kube-etcd-master-2"];
    assert_eq!(etcd.storage.certificate_path(), "/etc/kubernetes/ssl/kube-etcd-10-0-0-12.pem");
}
