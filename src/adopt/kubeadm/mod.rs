//! What a kubeadm configuration says about certificates: `ClusterConfiguration`, `InitConfiguration` and `JoinConfiguration` of v1beta1 to v1beta4, also
//! inside the ConfigMap `kube-system/kubeadm-config`.
//!
//! What enters is the text of such a file; what leaves is [`KubeadmConfig`], which says what was intended. What of it becomes part of a spec is `intents`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::diagnostic::quoted;
use crate::formats::manifest::names_files;
use crate::spec::check::forms::{dns_fault, is_endpoint, is_subnet, path_fault};
use crate::spec::types::{Cluster, Node, Role};
use crate::types::certificate::NewKeyAlgorithm;
use crate::types::duration::Duration;
use crate::types::names::{IdentityName, NodeName};
use crate::types::scalars::KubernetesVersion;
use crate::yaml::lenient;
use crate::yaml::lenient::{at_line, null_is_default};

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
    /// What it says and cannot be taken, each with the reason.
    pub refused: Vec<String>,
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
    /// A line is indented with a tab, which YAML does not know.
    #[error("{file} is not YAML, at line {line}: a tab cannot indent, write spaces")]
    Tab {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// No document in it is one of kubeadm's.
    #[error("{0} holds no ClusterConfiguration, InitConfiguration or JoinConfiguration of kubeadm")]
    NothingInIt(String),
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
            let raw: Raw = lenient::read(&document).map_err(|error| {
                let file = file.to_owned();
                match tab(&document) {
                    Some(number) => KubeadmConfigError::Tab { file, line: number.saturating_add(line) },
                    None => KubeadmConfigError::NotYaml {
                        file,
                        line: if error.line == 0 { 0 } else { error.line.saturating_add(line as u64) },
                    },
                }
            })?;
            match raw.kind.as_str() {
                "ClusterConfiguration" => config.take_cluster(&raw),
                "InitConfiguration" | "JoinConfiguration" => config.take_node(&raw),
                // The ConfigMap kube-system/kubeadm-config, with the configuration as a text in it.
                "ConfigMap" => {
                    let inner = documents(&raw.data.cluster_configuration);
                    // It lies as a block in the document around it, with its own first line somewhere below.
                    waiting.extend(inner.into_iter().map(|(inner, text)| (inner.saturating_add(line), text)));
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
        self.cluster_name = Some(raw.cluster_name.clone()).filter(|name| !name.is_empty());
        let version = |text: &str| text.parse().map_err(|_| "it names no version");
        self.version = self.take("kubernetesVersion", &raw.kubernetes_version, version);
        let checked = |is_good: bool, text: &str, reason: &'static str| {
            if is_good { Ok(text.to_owned()) } else { Err(reason) }
        };
        let endpoint = |text: &str| checked(is_endpoint(text), text, "it is no host with or without a port");
        let subnets = |text: &str| checked(text.split(',').all(is_subnet), text, "it is no subnet");
        let domain = |text: &str| checked(dns_fault(text, false).is_none(), text, "it is no DNS domain");
        let path = |text: &str| {
            checked(path_fault(text).is_none(), text, "it is no absolute path in its plain form")
        };
        self.cluster = Cluster {
            control_plane_endpoint: self.take("controlPlaneEndpoint", &raw.control_plane_endpoint, endpoint),
            service_subnet: self.take("networking.serviceSubnet", &raw.networking.service_subnet, subnets),
            dns_domain: self.take("networking.dnsDomain", &raw.networking.dns_domain, domain),
        };
        let directory = raw.certificates_dir.trim_end_matches('/');
        self.certificates = self.take("certificatesDir", directory, path).filter(|path| path != CERTIFICATES);
        self.validity = self.take("certificateValidityPeriod", &raw.certificate_validity_period, go_duration);
        self.authority_validity =
            self.take("caCertificateValidityPeriod", &raw.ca_certificate_validity_period, go_duration);
        self.key_algorithm = self.take("encryptionAlgorithm", &raw.encryption_algorithm, key_algorithm);
        for (gate, is_on) in &raw.feature_gates {
            match gate.as_str() {
                // Before v1beta4 this was how to ask for it (kubeadm 1.19 to 1.31, features.go `PublicKeysECDSA`).
                "PublicKeysECDSA" if *is_on && raw.encryption_algorithm.is_empty() => {
                    self.key_algorithm = Some(NewKeyAlgorithm::EcdsaP256);
                }
                "RootlessControlPlane" if *is_on => self.refuse(
                    "featureGates.RootlessControlPlane",
                    "true",
                    "files belong to the users of the components then: declare their owners",
                ),
                _ => {}
            }
        }
        let components = [
            ("apiServer", &raw.api_server.extra_args),
            ("controllerManager", &raw.controller_manager.extra_args),
            ("scheduler", &raw.scheduler.extra_args),
            ("etcd.local", &raw.etcd.local.extra_args),
        ];
        for (component, arguments) in components {
            for (flag, value) in arguments.pairs().into_iter().filter(|(flag, _)| names_files(flag)) {
                let field = format!("{component}.extraArgs.{flag}");
                self.refuse(
                    &field,
                    value,
                    "adopt takes files from the manifests of nodes: add --host or --root",
                );
            }
        }
        self.external_etcd = raw.etcd.external.is_some();
        let lists = [
            ("apiserver", "certSANs", &raw.api_server.cert_sans),
            ("etcd-server", "serverCertSANs", &raw.etcd.local.server_cert_sans),
            ("etcd-peer", "peerCertSANs", &raw.etcd.local.peer_cert_sans),
        ];
        for (name, field, names) in lists {
            // kubeadm itself warns of anything else and leaves it out.
            let usable = |name: &&String| {
                name.parse::<std::net::IpAddr>().is_ok()
                    || dns_fault(&name.to_ascii_lowercase(), true).is_none()
            };
            for refused in names.iter().filter(|name| !usable(name)) {
                self.refuse(&format!("{field} of {name}"), refused, "it is no DNS name and no IP address");
            }
            let names: BTreeSet<String> =
                names.iter().filter(usable).map(|name| name.to_ascii_lowercase()).collect();
            if let (false, Ok(name)) = (names.is_empty(), name.parse()) {
                self.names.insert(name, names);
            }
        }
    }

    /// What a field that was written says; what cannot be taken is kept with the reason.
    fn take<T>(
        &mut self,
        field: &str,
        text: &str,
        read: impl Fn(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        if text.is_empty() {
            return None;
        }
        read(text).map_err(|reason| self.refuse(field, text, reason)).ok()
    }

    fn refuse(&mut self, field: &str, text: &str, reason: &str) {
        self.refused.push(format!("{field}: {} in {} is not taken: {reason}", quoted(text), self.file));
    }

    fn take_node(&mut self, raw: &Raw) {
        let name =
            |text: &str| text.to_ascii_lowercase().parse::<NodeName>().map_err(|_| "it is no name of a node");
        let Some(name) = self.take("nodeRegistration.name", &raw.node_registration.name, name) else {
            return;
        };
        let own = raw.control_plane.as_ref().map(|plane| &plane.local_api_endpoint);
        let is_control_plane = raw.kind == "InitConfiguration" || raw.control_plane.is_some();
        let endpoint = own.unwrap_or(&raw.local_api_endpoint);
        let address = |text: &str| match is_endpoint(text) {
            true => Ok(text.to_owned()),
            false => Err("it is no address"),
        };
        let address = self.take("localAPIEndpoint.advertiseAddress", &endpoint.advertise_address, address);
        let roles =
            if is_control_plane { [Role::ControlPlane, Role::Etcd].into() } else { [Role::Worker].into() };
        self.nodes.insert(name, Node { address, roles, connection: None });
    }

    /// The additional names of a certificate, as they were asked for.
    pub(super) fn asks_for(&self, certificate: &IdentityName, name: &str) -> bool {
        self.names.get(certificate).is_some_and(|names| names.contains(name))
    }
}

fn key_algorithm(text: &str) -> Result<NewKeyAlgorithm, &'static str> {
    match text {
        "RSA-2048" => Ok(NewKeyAlgorithm::Rsa2048),
        "RSA-3072" => Ok(NewKeyAlgorithm::Rsa3072),
        "RSA-4096" => Ok(NewKeyAlgorithm::Rsa4096),
        "ECDSA-P256" => Ok(NewKeyAlgorithm::EcdsaP256),
        "ECDSA-P384" => Ok(NewKeyAlgorithm::EcdsaP384),
        _ => Err("it is none of RSA-2048, RSA-3072, RSA-4096, ECDSA-P256 and ECDSA-P384"),
    }
}

/// A length of time as Go writes it (`time.ParseDuration`, Go 1.22), by which kubeadm reads it: numbers with or without a fraction, each with a unit, and no
/// days. What is left of a second is dropped.
fn go_duration(text: &str) -> Result<Duration, &'static str> {
    const NO_DURATION: &str =
        "kubeadm reads it as Go does, which takes no such duration; write hours, such as 8760h";
    const LONGEST: u128 = i64::MAX as u128;
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (whole, after) = rest.split_at(digits(rest));
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(digits(after)),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(NO_DURATION);
        }
        let (unit, after) =
            after.split_at(after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len()));
        let unit: u128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60 * 1_000_000_000,
            "h" => 3_600 * 1_000_000_000,
            _ => return Err(NO_DURATION),
        };
        let number = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
        // Further digits are less than a nanosecond of any unit.
        let fraction = fraction.get(..18).unwrap_or(fraction);
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
        let parts = number(whole).and_then(|whole| whole.checked_mul(unit)).zip(number(fraction));
        let (whole, part) = parts.ok_or(NO_DURATION)?;
        nanoseconds = nanoseconds
            .checked_add(whole)
            .and_then(|sum| sum.checked_add(part.checked_mul(unit)?.checked_div(scale)?))
            .filter(|sum| *sum <= LONGEST)
            .ok_or(NO_DURATION)?;
        rest = after;
    }
    match u64::try_from(nanoseconds / 1_000_000_000) {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_seconds(seconds)),
        Ok(_) | Err(_) => Err(NO_DURATION),
    }
}

/// The first line, from 1, that is indented with a tab.
fn tab(document: &str) -> Option<usize> {
    let is_it = |line: &str| line.trim_start_matches(' ').starts_with('\t') && !line.trim().is_empty();
    Some(document.lines().position(is_it)?.saturating_add(1))
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
    feature_gates: BTreeMap<String, bool>,
    #[serde(deserialize_with = "null_is_default")]
    api_server: ApiServer,
    #[serde(deserialize_with = "null_is_default")]
    controller_manager: Component,
    #[serde(deserialize_with = "null_is_default")]
    scheduler: Component,
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
    #[serde(deserialize_with = "null_is_default", rename = "extraArgs")]
    extra_args: Arguments,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Component {
    #[serde(deserialize_with = "null_is_default", rename = "extraArgs")]
    extra_args: Arguments,
}

/// Flags: by name up to v1beta3, in a list since v1beta4.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Arguments {
    ByName(BTreeMap<String, String>),
    Listed(Vec<Argument>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Argument {
    name: String,
    value: String,
}

impl Default for Arguments {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Arguments {
    fn pairs(&self) -> Vec<(&str, &str)> {
        match self {
            Self::ByName(all) => all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            Self::Listed(all) => all.iter().map(|own| (own.name.as_str(), own.value.as_str())).collect(),
        }
    }
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
    #[serde(deserialize_with = "null_is_default", rename = "extraArgs")]
    extra_args: Arguments,
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

#[cfg(test)]
mod tests;
