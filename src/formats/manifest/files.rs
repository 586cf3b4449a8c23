//! Which flags of which component name certificates, keys and kubeconfigs.
//!
//! What enters is a container's facts; what leaves is the files its flags name, as paths of the node. Files that no host
//! mount shows to the container are not on the node and do not leave.

use std::collections::BTreeSet;

use super::ContainerFacts;

/// What a component expects in a file that a flag names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileUse {
    /// A certificate, with its chain or without.
    Certificates,
    /// The CA certificates that are trusted.
    Trust,
    /// A private key.
    PrivateKey,
    /// Public keys that check signatures.
    PublicKeys,
    /// A kubeconfig.
    Kubeconfig,
    /// etcd's own configuration, in which it finds everything else.
    EtcdConfiguration,
}

/// A file of the node that a flag names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedFile {
    /// Its path on the node.
    pub path: String,
    /// What the component expects there.
    pub usage: FileUse,
    /// The flag, without dashes.
    pub flag: String,
}

/// Names of flags and what their files hold, from the flag definitions of Kubernetes 1.20 to 1.31 and etcd 3.4 to 3.5.
const FLAGS: [(&str, FileUse); 49] = [
    // kube-apiserver, kube-controller-manager, kube-scheduler, kubelet
    ("client-ca-file", FileUse::Trust),
    ("tls-cert-file", FileUse::Certificates),
    ("tls-private-key-file", FileUse::PrivateKey),
    ("requestheader-client-ca-file", FileUse::Trust),
    ("kubeconfig", FileUse::Kubeconfig),
    ("authentication-kubeconfig", FileUse::Kubeconfig),
    ("authorization-kubeconfig", FileUse::Kubeconfig),
    ("bootstrap-kubeconfig", FileUse::Kubeconfig),
    // kube-apiserver
    ("etcd-cafile", FileUse::Trust),
    ("etcd-certfile", FileUse::Certificates),
    ("etcd-keyfile", FileUse::PrivateKey),
    ("kubelet-certificate-authority", FileUse::Trust),
    ("kubelet-client-certificate", FileUse::Certificates),
    ("kubelet-client-key", FileUse::PrivateKey),
    ("oidc-ca-file", FileUse::Trust),
    ("proxy-client-cert-file", FileUse::Certificates),
    ("proxy-client-key-file", FileUse::PrivateKey),
    ("service-account-key-file", FileUse::PublicKeys),
    ("service-account-signing-key-file", FileUse::PrivateKey),
    ("audit-webhook-config-file", FileUse::Kubeconfig),
    ("authentication-token-webhook-config-file", FileUse::Kubeconfig),
    ("authorization-webhook-config-file", FileUse::Kubeconfig),
    // kube-controller-manager
    ("root-ca-file", FileUse::Trust),
    ("service-account-private-key-file", FileUse::PrivateKey),
    ("cluster-signing-cert-file", FileUse::Certificates),
    ("cluster-signing-key-file", FileUse::PrivateKey),
    ("cluster-signing-kube-apiserver-client-cert-file", FileUse::Certificates),
    ("cluster-signing-kube-apiserver-client-key-file", FileUse::PrivateKey),
    ("cluster-signing-kubelet-client-cert-file", FileUse::Certificates),
    ("cluster-signing-kubelet-client-key-file", FileUse::PrivateKey),
    ("cluster-signing-kubelet-serving-cert-file", FileUse::Certificates),
    ("cluster-signing-kubelet-serving-key-file", FileUse::PrivateKey),
    ("cluster-signing-legacy-unknown-cert-file", FileUse::Certificates),
    ("cluster-signing-legacy-unknown-key-file", FileUse::PrivateKey),
    // etcd
    ("cert-file", FileUse::Certificates),
    ("key-file", FileUse::PrivateKey),
    ("trusted-ca-file", FileUse::Trust),
    ("ca-file", FileUse::Trust),
    ("client-cert-file", FileUse::Certificates),
    ("client-key-file", FileUse::PrivateKey),
    ("peer-cert-file", FileUse::Certificates),
    ("peer-key-file", FileUse::PrivateKey),
    ("peer-trusted-ca-file", FileUse::Trust),
    ("peer-ca-file", FileUse::Trust),
    ("peer-client-cert-file", FileUse::Certificates),
    ("peer-client-key-file", FileUse::PrivateKey),
    // etcdctl and etcd's own proxies
    ("cacert", FileUse::Trust),
    ("cert", FileUse::Certificates),
    ("key", FileUse::PrivateKey),
];

/// `--tls-sni-cert-key=CERT,KEY[:NAMES]` of all Kubernetes servers, repeatable.
const SNI: &str = "tls-sni-cert-key";

/// Who reads the file that `clientCAFile` of a kubelet's configuration names, which has taken the place of the flag.
pub const KUBELET_CLIENT_CA: &str = "kubelet-client-ca-file";

/// Who reads a trust file and has a name that no spec could say.
pub const UNNAMEABLE_READER: &str = "named-by-a-flag";

/// Whether this is the name of somebody who reads a trust file that a flag names: `kube-apiserver-etcd-cafile`. Who there is, is seen on the nodes only.
pub fn is_trust_reader(name: &str) -> bool {
    let mut flags = FLAGS.iter().filter(|(_, usage)| *usage == FileUse::Trust);
    name == UNNAMEABLE_READER
        || flags.any(|(flag, _)| name.strip_suffix(flag).is_some_and(|component| component.ends_with('-')))
}

/// `--config-file` of etcd, with which it ignores every other flag (etcd 3.4 to 3.6, etcdmain/config.go `parse`). Other programs have a flag of that name too.
pub(super) const ETCD_CONFIGURATION: &str = "config-file";

/// Whether a flag of a component names certificates, keys or kubeconfigs.
pub fn names_files(flag: &str) -> bool {
    let flag = flag.replace('_', "-");
    flag == SNI || FLAGS.iter().any(|(known, _)| *known == flag)
}

/// The files that the container's flags name.
pub(super) fn named_files(container: &ContainerFacts) -> Vec<NamedFile> {
    let mut found = BTreeSet::new();
    let mut add = |flag: &str, usage: FileUse, path: &str| {
        let honest = path.starts_with('/') && !path.split('/').any(|name| name == "..");
        if let Some(path) = honest.then(|| container.host_path(path)).flatten() {
            found.insert(NamedFile { path, usage, flag: flag.to_owned() });
        }
    };
    for (flag, usage) in FLAGS {
        for value in container.flags.all(flag) {
            for path in value.split(',') {
                add(flag, usage, path);
            }
        }
    }
    for value in container.flags.all(SNI) {
        let files = value.split_once(':').map_or(value.as_str(), |(files, _)| files);
        if let Some((certificate, key)) = files.split_once(',') {
            add(SNI, FileUse::Certificates, certificate);
            add(SNI, FileUse::PrivateKey, key);
        }
    }
    if container.component() == "etcd"
        && let Some(path) = container.flags.last(ETCD_CONFIGURATION)
    {
        add(ETCD_CONFIGURATION, FileUse::EtcdConfiguration, path);
    }
    found.into_iter().collect()
}
