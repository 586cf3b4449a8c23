//! What a kubelet's configuration file says about certificates.
//!
//! What enters is the bytes of `/var/lib/kubelet/config.yaml` of unknown origin; what leaves is [`KubeletFacts`]. Pure.
//! Fields without a bearing on certificates are not read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::yaml::lenient;
use crate::yaml::lenient::null_is_default;

/// What a kubelet's configuration file (`kubelet.config.k8s.io/v1beta1`) says about certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeletFacts {
    /// `authentication.x509.clientCAFile`: the CA certificates that the kubelet accepts clients under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<String>,
    /// `tlsCertFile`: what the kubelet serves; absent means a certificate the kubelet makes or requests itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_cert_file: Option<String>,
    /// `tlsPrivateKeyFile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_private_key_file: Option<String>,
    /// `staticPodPath`: the directory of manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_pod_path: Option<String>,
    /// `rotateCertificates`: the kubelet renews its client certificate itself. Off unless written.
    pub rotate_certificates: bool,
    /// `serverTLSBootstrap`: the kubelet requests its serving certificate from the cluster. Off unless written.
    pub server_tls_bootstrap: bool,
    /// What could not be understood. With a problem the fields above mean nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<KubeletProblem>,
}

/// Why a kubelet's configuration file was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KubeletProblem {
    /// The file is not UTF-8 text.
    #[error("is not UTF-8 text")]
    NotText,
    /// The file is not YAML, or not of a configuration's shape.
    #[error("is not the YAML of a kubelet's configuration, at line {line}")]
    NotYaml {
        /// The line, from 1; 0 when the place is not known.
        line: u64,
    },
    /// The file is YAML of another kind.
    #[error("is of kind {kind:?}, not KubeletConfiguration")]
    WrongKind {
        /// The kind as written, empty when there is none.
        kind: String,
    },
}

impl KubeletFacts {
    /// Reads a configuration file. It never fails: what is not understood is the problem.
    pub fn read(bytes: &[u8]) -> Self {
        let problem = |problem| Self { problem: Some(problem), ..Self::default() };
        let Ok(text) = str::from_utf8(bytes) else { return problem(KubeletProblem::NotText) };
        let raw = match lenient::read::<Configuration>(text) {
            Ok(raw) => raw,
            Err(error) => return problem(KubeletProblem::NotYaml { line: error.line }),
        };
        if raw.kind != "KubeletConfiguration" {
            return problem(KubeletProblem::WrongKind { kind: raw.kind });
        }
        let written = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            client_ca_file: written(raw.authentication.x509.client_ca_file),
            tls_cert_file: written(raw.tls_cert_file),
            tls_private_key_file: written(raw.tls_private_key_file),
            static_pod_path: written(raw.static_pod_path),
            rotate_certificates: raw.rotate_certificates,
            server_tls_bootstrap: raw.server_tls_bootstrap,
            problem: None,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    #[serde(default, deserialize_with = "null_is_default")]
    kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    authentication: Authentication,
    #[serde(default, deserialize_with = "null_is_default")]
    tls_cert_file: String,
    #[serde(default, deserialize_with = "null_is_default")]
    tls_private_key_file: String,
    #[serde(default, deserialize_with = "null_is_default")]
    static_pod_path: String,
    #[serde(default, deserialize_with = "null_is_default")]
    rotate_certificates: bool,
    #[serde(default, deserialize_with = "null_is_default", rename = "serverTLSBootstrap")]
    server_tls_bootstrap: bool,
}

#[derive(Debug, Default, Deserialize)]
struct Authentication {
    #[serde(default, deserialize_with = "null_is_default")]
    x509: X509,
}

#[derive(Debug, Default, Deserialize)]
struct X509 {
    #[serde(default, deserialize_with = "null_is_default", rename = "clientCAFile")]
    client_ca_file: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_about_certificates_are_read() {
        let text = b"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nauthentication:\n  anonymous: {enabled: false}\n  \
                     x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}\nrotateCertificates: true\nserverTLSBootstrap: true\n\
                     staticPodPath: /etc/kubernetes/manifests\ntlsCertFile: ''\ncpuManagerReconcilePeriod: 0s\n";
        let facts = KubeletFacts {
            client_ca_file: Some("/etc/kubernetes/pki/ca.crt".into()),
            static_pod_path: Some("/etc/kubernetes/manifests".into()),
            rotate_certificates: true,
            server_tls_bootstrap: true,
            ..KubeletFacts::default()
        };
        assert_eq!(KubeletFacts::read(text), facts);
    }

    #[test]
    fn what_is_not_written_is_off() {
        let facts = KubeletFacts::read(b"kind: KubeletConfiguration\nauthentication: {x509: null}\n");
        assert_eq!(facts, KubeletFacts::default());
    }

    #[test]
    fn what_is_no_configuration_says_why() {
        let problem = |bytes: &[u8]| KubeletFacts::read(bytes).problem.unwrap();
        assert_eq!(problem(b"\xff"), KubeletProblem::NotText);
        assert_eq!(problem(b"kind: [\n"), KubeletProblem::NotYaml { line: 1 });
        assert_eq!(problem(b""), KubeletProblem::WrongKind { kind: String::new() });
        assert_eq!(problem(b"kind: Pod\n"), KubeletProblem::WrongKind { kind: "Pod".into() });
    }
}
