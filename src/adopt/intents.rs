//! What a kubeadm configuration intends, as a part of the draft: what nodes cannot tell is taken from it, and where they lack what it intends, that is said.
//!
//! What nodes hold is taken before it, and no value that was found on them is replaced by one of the configuration.

use std::collections::BTreeMap;

use super::Draft;
use super::cluster::api_server_certificate;
use super::kubeadm::KubeadmConfig;
use crate::protocol::facts::NodeFacts;
use crate::spec::types::Directory;
use crate::types::names::{DirectoryName, NodeName};

/// Writes into a draft what nodes cannot tell; what they can is found on them.
pub(super) fn intend(config: &KubeadmConfig, draft: &mut Draft, facts: &BTreeMap<&NodeName, &NodeFacts>) {
    let from = |field: &str| format!("{field} in {}", config.file);
    draft.intents.extend(config.refused.iter().cloned());
    let tells_version = facts.values().any(|facts| facts.kubernetes_version.is_some());
    if let Some(version) = config.version.filter(|_| !tells_version) {
        draft.spec.spec.kubernetes_version = Some(version);
        draft.comments.say(&["kubernetesVersion"], from("kubernetesVersion"));
    }
    if let Some(validity) = config.validity {
        draft.comments.say(&["defaults", "validity"], from("certificateValidityPeriod"));
        draft.spec.spec.defaults.validity = validity;
    }
    if let Some(validity) = config.authority_validity {
        draft.comments.say(&["defaults", "authorityValidity"], from("caCertificateValidityPeriod"));
        draft.spec.spec.defaults.authority_validity = validity;
    }
    if !facts.is_empty() {
        compare_names(config, draft, facts);
        return;
    }
    if let Some(algorithm) = config.key_algorithm {
        draft.spec.spec.defaults.key_algorithm = Some(algorithm);
        draft.comments.say(&["defaults", "keyAlgorithm"], from("encryptionAlgorithm"));
    }
    if let (Some(path), Ok(pki)) = (&config.certificates, "pki".parse::<DirectoryName>()) {
        draft.comments.say(&["directories", "pki"], from("certificatesDir"));
        let directory = Directory { path: path.clone(), link: None, migrate: false };
        draft.spec.spec.directories.insert(pki, directory);
    }
    for (name, names) in &config.names {
        if config.external_etcd && name.as_str() != "apiserver" {
            continue;
        }
        let field = if name.as_str() == "apiserver" { "apiServer.certSANs" } else { "etcd.local" };
        draft.comments.say(&["certificates", name.as_str(), "names"], from(field));
        for text in names {
            let (dns, ip) = {
                let own = &mut draft.certificate(name).names;
                (&mut own.dns, &mut own.ip)
            };
            if text.parse::<std::net::IpAddr>().is_ok() {
                ip.insert(text.clone())
            } else {
                dns.insert(text.clone())
            };
        }
    }
    if config.external_etcd {
        let text = format!("etcd is external in {}: adopt its nodes by themselves", config.file);
        draft.intents.insert(text);
    }
}

/// Names that were asked for and that no certificate has: kubeadm's renewal copies the names of the old one (kubeadm#1447).
fn compare_names(config: &KubeadmConfig, draft: &mut Draft, facts: &BTreeMap<&NodeName, &NodeFacts>) {
    let Some(names) = config.names.iter().find(|(name, _)| name.as_str() == "apiserver") else { return };
    for (node, facts) in facts {
        let Some((path, certificate)) = api_server_certificate(facts) else { continue };
        let held = &certificate.facts().names;
        let lacks = |name: &&String| match name.parse() {
            Ok(ip) => !held.ip.contains(&ip),
            Err(_) => !held.dns.iter().any(|held| held.eq_ignore_ascii_case(name)),
        };
        let lacking: Vec<&str> = names.1.iter().filter(lacks).map(String::as_str).collect();
        if !lacking.is_empty() {
            draft.intents.insert(format!(
                "apiServer.certSANs in {} asks for {}, which {path} on {node} lacks: add them to certificates.apiserver.names to have them",
                config.file,
                lacking.join(", ")
            ));
        }
    }
}
