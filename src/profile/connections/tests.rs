//! Dials as tables, read against what the components are told to connect to.

use super::*;
use crate::desired::{Hints, resolve};
use crate::profile::{Endpoint, Profile, What};
use crate::spec::types::ClusterPki;
use crate::types::certificate::Usage;
use crate::types::profile_name::ProfileName;

#[test]
fn every_dial_names_what_its_profile_has_and_what_its_service_reads() {
    for name in ProfileName::ALL {
        let profile = Profile::load(name).unwrap();
        let reads = |service: &ServiceName, what: &What| {
            profile.services[service].reads.iter().any(|read| read.what == *what)
        };
        let services = profile.services.iter().map(|(client, entry)| (client, &entry.dials, true));
        let programs = profile.programs.iter().map(|(client, entry)| (client, &entry.dials, false));
        for (client, dials, runs) in services.chain(programs) {
            for dial in dials {
                let told = format!("{name} {client} -> {}: {dial:?}", dial.to);
                assert!(!dial.source.is_empty(), "{told}");
                let server = profile.services.get(&dial.to).unwrap_or_else(|| panic!("{told}"));
                assert!(
                    dial.port.is_none_or(|port| server.endpoints.iter().any(|known| known.port == port)),
                    "{told}"
                );
                if let Some(PresentedKey { identity, copy }) = &dial.shows {
                    let entry = profile.identities.get(identity).unwrap_or_else(|| panic!("{told}"));
                    assert!(entry.usages.contains(&Usage::Client), "{told}");
                    assert!(copy.iter().all(|copy| entry.copies.contains_key(copy)), "{told}");
                    assert!(!runs || reads(client, &What::Identity(identity.clone())), "{told}");
                }
                let trusted = match &dial.trusts {
                    Some(Trusts::Authority { authority, copy }) => {
                        let entry = profile.authorities.get(authority).unwrap_or_else(|| panic!("{told}"));
                        assert!(copy.iter().all(|copy| entry.copies.contains_key(copy)), "{told}");
                        Some(What::Trust(authority.clone()))
                    }
                    Some(Trusts::Kubeconfig { kubeconfig }) => {
                        Some(What::KubeconfigTrust(kubeconfig.clone()))
                    }
                    None => None,
                };
                assert!(!runs || trusted.iter().all(|what| reads(client, what)), "{told}");
                assert_eq!(
                    dial.at == At::Kubeconfig,
                    matches!(trusted, Some(What::KubeconfigTrust(_))),
                    "{told}"
                );
                let admits = dial.admits.clone().map(What::Trust);
                assert!(admits.iter().all(|what| reads(&dial.to, what)), "{told}");
            }
        }
    }
}

/// Who connects to whom in a cluster that kubeadm made: the client's certificate, the server, and what it is admitted with.
#[test]
fn these_are_the_connections_of_a_kubeadm_cluster() {
    let profile = Profile::load(ProfileName::Kubeadm).unwrap();
    let services = profile.services.iter().map(|(client, entry)| (client, &entry.dials));
    let programs = profile.programs.iter().map(|(client, entry)| (client, &entry.dials));
    let line = |client: &ServiceName, dial: &TlsConnection| {
        let port = dial.port.map(|port| format!(":{port}")).unwrap_or_default();
        let shows = dial.shows.as_ref().unwrap();
        format!("{client} -> {}{port} as {} by {}", dial.to, shows.identity, dial.admits.as_ref().unwrap())
    };
    let lines: Vec<String> = services
        .chain(programs)
        .flat_map(|(client, dials)| dials.iter().map(move |dial| line(client, dial)))
        .collect();
    assert_eq!(
        lines,
        [
            "etcd -> etcd:2380 as etcd-peer by etcd-ca",
            "etcd -> etcd:2379 as etcd-server by etcd-ca",
            "kube-apiserver -> etcd:2379 as apiserver-etcd-client by etcd-ca",
            "kube-apiserver -> kubelet:10250 as apiserver-kubelet-client by ca",
            "kube-apiserver -> kube-apiserver as front-proxy-client by front-proxy-ca",
            "kube-controller-manager -> kube-apiserver:6443 as controller-manager.conf by ca",
            "kube-scheduler -> kube-apiserver:6443 as scheduler.conf by ca",
            "kubelet -> kube-apiserver:6443 as kubelet.conf by ca",
            "etcdctl -> etcd:2379 as etcd-healthcheck-client by etcd-ca",
            "kubectl -> kube-apiserver:6443 as admin.conf by ca",
            "kubectl -> kube-apiserver:6443 as super-admin.conf by ca",
        ]
    );
}

#[test]
fn endpoints_serve_what_the_profile_has_where_the_layout_has_them_listen() {
    for name in ProfileName::ALL {
        let profile = Profile::load(name).unwrap();
        for (service, entry) in &profile.services {
            for Endpoint { serves, .. } in &entry.endpoints {
                assert!(serves.iter().all(|one| profile.identities.contains_key(one)), "{name} {service}");
            }
        }
    }
    let text = "{ apiVersion: pki/v1alpha1, kind: ClusterPKI, metadata: { name: c }, spec: { profile: kubeadm, nodes: { cp-1: { address: 10.0.0.11, roles: [control-plane, etcd] } } } }";
    let spec: ClusterPki = serde_saphyr::from_str(text).unwrap();
    let desired =
        resolve(&spec, &Profile::load(ProfileName::Kubeadm).unwrap(), &Hints::default(), &Default::default())
            .unwrap();
    let bound = |service: &str| {
        let endpoints = desired.nodes["cp-1"].services[service].endpoints.iter();
        endpoints.map(|known| format!("{} {}", known.port, known.bind.join(","))).collect::<Vec<_>>()
    };
    assert_eq!(bound("etcd"), ["2379 127.0.0.1,10.0.0.11", "2380 10.0.0.11"]);
    assert_eq!(bound("kube-scheduler"), ["10259 127.0.0.1"]);
    assert_eq!(bound("kube-apiserver"), ["6443 "], "on every address");
}
