//! What a kubeadm configuration says about certificates: `ClusterConfiguration`, `InitConfiguration` and `JoinConfiguration` of v1beta1 to v1beta4, also
//! inside the ConfigMap `kube-system/kubeadm-config`.
//!
//! What enters is the text of such a file; what leaves is [`KubeadmConfig`], which says what was intended. What of it becomes part of a spec is `intents`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::spec::check::forms::{dns_fault, is_endpoint, is_subnet, path_fault};
use crate::spec::types::{Cluster, Node, Role};
use crate::types::certificate::NewKeyAlgorithm;
use crate::types::duration::Duration;
use crate::types::names::{IdentityName, NodeName};
use crate::types::scalars::KubernetesVersion;
use crate::yaml::lenient;
use crate::yaml::lenient::null_is_default;

/// kubeadm's own place for certificates.
const CERTIFICATES: &str = "/etc/kubernetes/pki";

/// What a kubeadm configuration says about certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubeadmConfig {
    /// What messages call the file.
    pub file: String,
    /// `clusterName`.
    pub cluster_name: Option<String>,
    /// `kubernetesVersion`, where it is a version and not a label such as `stable-1`.
    pub version: Option<KubernetesVersion>,
    /// `controlPlaneEndpoint`, `networking.serviceSubnet` and `networking.dnsDomain`.
    pub cluster: Cluster,
    /// `certificatesDir`, where it is not kubeadm's own.
    pub certificates: Option<String>,
    /// Additional names by certificate: `apiServer.certSANs`, `etcd.local.serverCertSANs` and `peerCertSANs`.
    pub names: BTreeMap<IdentityName, BTreeSet<String>>,
    /// `certificateValidityPeriod` (v1beta4).
    pub validity: Option<Duration>,
    /// `caCertificateValidityPeriod` (v1beta4).
    pub authority_validity: Option<Duration>,
    /// `encryptionAlgorithm` (v1beta4).
    pub key_algorithm: Option<NewKeyAlgorithm>,
    /// Whether etcd is somebody else's (`etcd.external`).
    pub external_etcd: bool,
    /// The nodes that `InitConfiguration` and `JoinConfiguration` register.
    pub nodes: BTreeMap<NodeName, Node>,
}

/// Why a file is no kubeadm configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeadmConfigError {
    /// It is not YAML, or not of the shape of one.
    #[error("{file} is not the YAML of a kubeadm configuration{}", at_line(*line))]
    NotYaml {
        /// The file.
        file: String,
        /// The line, from 1; 0 when the place is not known.
        line: u64,
    },
    /// No document in it is one of kubeadm's.
    #[error("{0} holds no ClusterConfiguration, InitConfiguration or JoinConfiguration of kubeadm")]
    NothingInIt(String),
}

fn at_line(line: u64) -> String {
    if line == 0 { String::new() } else { format!(", at line {line}") }
}

impl KubeadmConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// What keeps it from being one.
    pub fn read(file: &str, text: &str) -> Result<Self, KubeadmConfigError> {
        let mut config = Self { file: file.to_owned(), ..Self::default() };
        let mut waiting: Vec<(usize, String)> = documents(text);
        let mut found = false;
        while let Some((line, document)) = waiting.pop() {
            if document.trim().is_empty() {
                continue;
            }
            let raw: Raw = lenient::read(&document).map_err(|error| KubeadmConfigError::NotYaml {
                file: file.to_owned(),
                line: if error.line == 0 { 0 } else { error.line.saturating_add(line as u64) },
            })?;
            match raw.kind.as_str() {
                "ClusterConfiguration" => config.take_cluster(&raw),
                "InitConfiguration" | "JoinConfiguration" => config.take_node(&raw),
                // The ConfigMap kube-system/kubeadm-config, with the configuration as a text in it.
                "ConfigMap" => {
                    waiting.extend(documents(&raw.data.cluster_configuration));
                    continue;
                }
                _ => continue,
            }
            found = true;
        }
        if config.external_etcd {
            config.nodes.values_mut().for_each(|node| {
                node.roles.remove(&Role::Etcd);
            });
        }
        if found { Ok(config) } else { Err(KubeadmConfigError::NothingInIt(file.to_owned())) }
    }

    fn take_cluster(&mut self, raw: &Raw) {
        let written = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        self.cluster_name = written(&raw.cluster_name);
        self.version = raw.kubernetes_version.parse().ok();
        self.cluster = Cluster {
            control_plane_endpoint: written(&raw.control_plane_endpoint).filter(|text| is_endpoint(text)),
            service_subnet: written(&raw.networking.service_subnet)
                .filter(|text| text.split(',').all(is_subnet)),
            dns_domain: written(&raw.networking.dns_domain).filter(|text| dns_fault(text, false).is_none()),
        };
        let is_own = |path: &String| path != CERTIFICATES && path_fault(path).is_none();
        self.certificates =
            written(&raw.certificates_dir).map(|path| path.trim_end_matches('/').to_owned()).filter(is_own);
        self.validity = raw.certificate_validity_period.parse().ok();
        self.authority_validity = raw.ca_certificate_validity_period.parse().ok();
        self.key_algorithm = match raw.encryption_algorithm.as_str() {
            "RSA-2048" => Some(NewKeyAlgorithm::Rsa2048),
            "RSA-3072" => Some(NewKeyAlgorithm::Rsa3072),
            "RSA-4096" => Some(NewKeyAlgorithm::Rsa4096),
            "ECDSA-P256" => Some(NewKeyAlgorithm::EcdsaP256),
            "ECDSA-P384" => Some(NewKeyAlgorithm::EcdsaP384),
            _ => None,
        };
        self.external_etcd = raw.etcd.external.is_some();
        let lists = [
            ("apiserver", &raw.api_server.cert_sans),
            ("etcd-server", &raw.etcd.local.server_cert_sans),
            ("etcd-peer", &raw.etcd.local.peer_cert_sans),
        ];
        for (name, names) in lists {
            // kubeadm itself warns of anything else and leaves it out.
            let usable = |name: &&String| {
                name.parse::<std::net::IpAddr>().is_ok()
                    || dns_fault(&name.to_ascii_lowercase(), true).is_none()
            };
            let names: BTreeSet<String> =
                names.iter().filter(usable).map(|name| name.to_ascii_lowercase()).collect();
            if let (false, Ok(name)) = (names.is_empty(), name.parse()) {
                self.names.insert(name, names);
            }
        }
    }

    fn take_node(&mut self, raw: &Raw) {
        let Ok(name) = raw.node_registration.name.to_ascii_lowercase().parse::<NodeName>() else { return };
        let own = raw.control_plane.as_ref().map(|plane| &plane.local_api_endpoint);
        let is_control_plane = raw.kind == "InitConfiguration" || raw.control_plane.is_some();
        let endpoint = own.unwrap_or(&raw.local_api_endpoint);
        let address = Some(endpoint.advertise_address.clone()).filter(|text| is_endpoint(text));
        let roles =
            if is_control_plane { [Role::ControlPlane, Role::Etcd].into() } else { [Role::Worker].into() };
        self.nodes.insert(name, Node { address, roles, connection: None });
    }

    /// The additional names of a certificate, as they were asked for.
    pub(super) fn asks_for(&self, certificate: &IdentityName, name: &str) -> bool {
        self.names.get(certificate).is_some_and(|names| names.contains(name))
    }
}

/// The documents of a text, each with the number of lines before it.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            documents.push((number.saturating_add(1), String::new()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents.reverse();
    documents
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    #[serde(deserialize_with = "null_is_default")]
    kind: String,
    #[serde(deserialize_with = "null_is_default")]
    data: Data,
    #[serde(deserialize_with = "null_is_default")]
    cluster_name: String,
    #[serde(deserialize_with = "null_is_default")]
    kubernetes_version: String,
    #[serde(deserialize_with = "null_is_default")]
    control_plane_endpoint: String,
    #[serde(deserialize_with = "null_is_default")]
    certificates_dir: String,
    #[serde(deserialize_with = "null_is_default")]
    certificate_validity_period: String,
    #[serde(deserialize_with = "null_is_default")]
    ca_certificate_validity_period: String,
    #[serde(deserialize_with = "null_is_default")]
    encryption_algorithm: String,
    #[serde(deserialize_with = "null_is_default")]
    networking: Networking,
    #[serde(deserialize_with = "null_is_default")]
    api_server: ApiServer,
    #[serde(deserialize_with = "null_is_default")]
    etcd: Etcd,
    #[serde(deserialize_with = "null_is_default")]
    node_registration: NodeRegistration,
    #[serde(deserialize_with = "null_is_default", rename = "localAPIEndpoint")]
    local_api_endpoint: ApiEndpoint,
    control_plane: Option<ControlPlane>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    #[serde(deserialize_with = "null_is_default", rename = "ClusterConfiguration")]
    cluster_configuration: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Networking {
    #[serde(deserialize_with = "null_is_default")]
    service_subnet: String,
    #[serde(deserialize_with = "null_is_default")]
    dns_domain: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiServer {
    #[serde(deserialize_with = "null_is_default", rename = "certSANs")]
    cert_sans: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Etcd {
    #[serde(deserialize_with = "null_is_default")]
    local: LocalEtcd,
    external: Option<ExternalEtcd>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LocalEtcd {
    #[serde(deserialize_with = "null_is_default", rename = "serverCertSANs")]
    server_cert_sans: Vec<String>,
    #[serde(deserialize_with = "null_is_default", rename = "peerCertSANs")]
    peer_cert_sans: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct ExternalEtcd {}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NodeRegistration {
    #[serde(deserialize_with = "null_is_default")]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ApiEndpoint {
    #[serde(deserialize_with = "null_is_default")]
    advertise_address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ControlPlane {
    #[serde(deserialize_with = "null_is_default", rename = "localAPIEndpoint")]
    local_api_endpoint: ApiEndpoint,
}
