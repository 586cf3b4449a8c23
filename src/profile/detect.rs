//! Which layout a machine has, seen from its files alone: no spec and no API server needed.
//!
//! What enters are the facts of one node about the paths that [`markers`] asks for; what leaves is a spec that describes that machine as it is, with
//! every setting at its default. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::formats::kubeconfig::{ContextFacts, KubeconfigFacts, Material};
use crate::formats::node_path::beside;
use crate::profile::{Detect, FOREIGN, Profile, ProfileError};
use crate::protocol::facts::{Expect, NodeFacts, ObserveRequest, Seen};
use crate::spec::types::{
    ApiVersion, Cluster, ClusterPki, Connection, Defaults, Kind, Local, Metadata, Node, Role, Rollout,
    Snapshots, Spec,
};
use crate::types::names::{ClusterName, NodeName};
use crate::types::profile_name::ProfileName;
use crate::x509::Certificate;

pub(crate) const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";
pub(crate) const API_SERVER: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
pub(crate) const ETCD: &str = "/etc/kubernetes/manifests/etcd.yaml";
/// Where kubelets take static pods from unless their configuration says otherwise (kubeadm 1.11 and later).
const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// The kubelet's configuration file, where kubeadm puts it (1.11 and later). It says where static pods are.
pub(crate) const KUBELET_CONFIGURATION: &str = "/var/lib/kubelet/config.yaml";
/// The CA of a cluster, where no flag says where it is.
const CA: &str = "/etc/kubernetes/pki/ca.crt";
/// The flags that name the CA by which clients are judged, and the one that pods check the API server with.
const CA_FLAGS: [&str; 2] = ["client-ca-file", "root-ca-file"];
pub(crate) const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";

/// The question that tells layouts apart.
///
/// # Errors
/// Only if the program was built with a broken profile.
pub fn markers() -> Result<ObserveRequest, ProfileError> {
    let mut request = ObserveRequest::default();
    for name in ProfileName::ALL {
        let detect = Profile::load(name)?.detect;
        for path in detect.any.into_iter().chain(detect.roles.into_values().flatten()) {
            request.files.insert(path, Expect::Link);
        }
    }
    for foreign in FOREIGN {
        request.files.insert(foreign.marker.to_owned(), Expect::Link);
    }
    request.files.insert(API_SERVER.to_owned(), Expect::Manifest);
    request.files.insert(ETCD.to_owned(), Expect::Manifest);
    request.files.insert(STATIC_PODS.to_owned(), Expect::StaticPods);
    request.files.insert(KUBELET_CONFIGURATION.to_owned(), Expect::KubeletConfiguration);
    request.files.insert(CA.to_owned(), Expect::Certificates);
    request.files.insert(ADMIN_CONF.to_owned(), Expect::Kubeconfig);
    request.files.insert(KUBELET_CONF.to_owned(), Expect::Kubeconfig);
    Ok(request)
}

/// A spec that describes this machine, whose files lie under `root`; `None` when it has none of the known layouts.
///
/// # Errors
/// Only if the program was built with a broken profile.
pub fn detect(facts: &NodeFacts, root: Option<&str>) -> Result<Option<ClusterPki>, ProfileError> {
    layout(facts)?.map(|name| describe(name, facts, root)).transpose()
}

/// Which layout a machine has; `None` when it has none of the known ones.
///
/// # Errors
/// Only if the program was built with a broken profile.
pub fn layout(facts: &NodeFacts) -> Result<Option<ProfileName>, ProfileError> {
    Ok(marker(facts)?.map(|(name, _)| name))
}

/// The layout of a machine, with the path that tells it.
pub(crate) fn marker(facts: &NodeFacts) -> Result<Option<(ProfileName, String)>, ProfileError> {
    let mut marked = None;
    for name in ProfileName::ALL {
        let Detect { any, first, pods, .. } = Profile::load(name)?.detect;
        // Layouts that cannot be told by their files are not told by a pod either, and a pod that all of them have tells nothing of a special one.
        let programs = pods.values().flatten().filter(|_| !any.is_empty() && !first);
        let pod = programs.filter_map(|program| pod_of(facts, program)).next().map(str::to_owned);
        if let Some(path) = any.into_iter().find(|path| may_be_there(facts, path)).or(pod) {
            if first {
                return Ok(Some((name, path)));
            }
            marked = marked.or(Some((name, path)));
        }
    }
    Ok(marked)
}

/// The other layouts that a machine has beside its own, each with the path that tells it: the etcd of kubespray or KubeKey beside kubeadm's control plane. A layout that
/// builds on another one has the files of both.
///
/// # Errors
/// Only if the program was built with a broken profile.
pub fn further(facts: &NodeFacts, own: ProfileName) -> Result<Vec<(ProfileName, String)>, ProfileError> {
    let base = Profile::load(own)?.base;
    let mut found = Vec::new();
    for name in ProfileName::ALL {
        let Profile { detect, base: builds_on, .. } = Profile::load(name)?;
        if name == own || base == Some(name) || builds_on == Some(own) {
            continue;
        }
        let marker = detect.any.into_iter().find(|path| may_be_there(facts, path));
        found.extend(marker.map(|path| (name, path)));
    }
    Ok(found)
}

/// The manifest of a static pod that runs a program.
fn pod_of<'f>(facts: &'f NodeFacts, program: &str) -> Option<&'f str> {
    facts.manifests().find_map(|(path, pod)| pod.container(program).map(|_| path))
}

/// Unreadable is not absent: a machine on which a marker cannot be read still has the layout.
fn may_be_there(facts: &NodeFacts, path: &str) -> bool {
    match facts.files.get(path) {
        None | Some(Seen::Absent) => false,
        Some(Seen::Present(_) | Seen::Dangling { .. } | Seen::Looping { .. } | Seen::Unknown { .. }) => true,
    }
}

/// What a machine of this layout does, by its files.
///
/// # Errors
/// Only if the program was built with a broken profile.
pub fn roles(profile: ProfileName, facts: &NodeFacts) -> Result<BTreeSet<Role>, ProfileError> {
    let Detect { always: mut roles, roles: by_files, pods, .. } = Profile::load(profile)?.detect;
    let is_seen = |paths: &[String]| paths.iter().any(|path| may_be_there(facts, path));
    roles.extend(by_files.into_iter().filter(|(_, paths)| is_seen(paths)).map(|(role, _)| role));
    let runs = |programs: &[String]| programs.iter().any(|program| pod_of(facts, program).is_some());
    roles.extend(pods.into_iter().filter(|(_, programs)| runs(programs)).map(|(role, _)| role));
    if roles.is_empty() {
        roles.insert(Role::Worker);
    }
    Ok(roles)
}

fn describe(profile: ProfileName, facts: &NodeFacts, root: Option<&str>) -> Result<ClusterPki, ProfileError> {
    let roles = roles(profile, facts)?;
    let node = Node { address: None, roles, connection: None };
    Ok(ClusterPki {
        api_version: ApiVersion::V1Alpha1,
        kind: Kind::ClusterPki,
        metadata: Metadata {
            name: cluster_name(facts).map_or_else(ClusterName::unnamed, |(name, _)| name),
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
        },
        spec: Spec {
            connection: Some(Connection {
                ssh: None,
                local: Some(Local { root: root.map(str::to_owned), create: false }),
            }),
            ..bare(profile, [(node_name(facts).unwrap_or_else(NodeName::unnamed), node)].into())
        },
    })
}

/// A spec that says nothing but the layout and the nodes.
pub(crate) fn bare(profile: ProfileName, nodes: BTreeMap<NodeName, Node>) -> Spec {
    Spec {
        profile,
        kubernetes_version: None,
        cluster: Cluster::default(),
        defaults: Defaults::default(),
        nodes,
        connection: None,
        authorities: BTreeMap::new(),
        certificates: BTreeMap::new(),
        directories: BTreeMap::new(),
        services: BTreeMap::new(),
        rollout: Rollout::default(),
        snapshots: Snapshots::default(),
    }
}

/// The name under which the cluster knows the node: the kubelet's user, else etcd's member name, else the host name.
pub fn node_name(facts: &NodeFacts) -> Option<NodeName> {
    let kubelet = config(facts, KUBELET_CONF).and_then(|config| {
        let (_, user) = config.current()?;
        let certificate = match &user.certificate {
            Material::Embedded(pem) => pem.certificates.first(),
            Material::File { path } => facts.first_certificate(&beside(KUBELET_CONF, path)),
            Material::Absent | Material::Undecodable => None,
        };
        certificate?.facts().subject.common_name()?.strip_prefix("system:node:").map(str::to_owned)
    });
    let context = config(facts, KUBELET_CONF).and_then(|config| {
        let name = config.contexts.get(config.current_context.as_ref()?)?.user.as_str();
        name.strip_prefix("system:node:").map(str::to_owned)
    });
    let member = facts.manifests().find_map(|(_, manifest)| {
        manifest.container("etcd").and_then(|container| container.flags.last("name")).map(str::to_owned)
    });
    let candidates = [kubelet, context, member, facts.hostname.clone()];
    candidates.into_iter().flatten().find_map(|name| name.to_ascii_lowercase().parse().ok())
}

/// The name of the cluster in its kubeconfigs, with the path of the one that tells it.
pub(crate) fn cluster_name(facts: &NodeFacts) -> Option<(ClusterName, &'static str)> {
    [ADMIN_CONF, KUBELET_CONF].into_iter().find_map(|path| {
        let config = config(facts, path)?;
        let context = own_context(facts, config)?;
        Some((context.cluster.to_ascii_lowercase().parse().ok()?, path))
    })
}

/// The context of a kubeconfig that leads to the cluster of the node; none where all lead elsewhere.
pub(crate) fn own_context<'a>(facts: &NodeFacts, config: &'a KubeconfigFacts) -> Option<&'a ContextFacts> {
    let named = facts.manifests().flat_map(|(_, manifest)| manifest.named_files());
    let mut paths: BTreeSet<String> =
        named.filter(|file| CA_FLAGS.contains(&file.flag.as_str())).map(|file| file.path).collect();
    paths.insert(CA.to_owned());
    let cas: Vec<Certificate> = paths.iter().flat_map(|path| facts.certificates(path)).cloned().collect();
    Some(config.own_context(&cas)?.1)
}

pub(crate) fn config<'a>(facts: &'a NodeFacts, path: &str) -> Option<&'a KubeconfigFacts> {
    // One that could not be read tells nothing; whoever asks has other places to look.
    facts.files.get(path)?.known().ok()??.content.kubeconfig()
}
