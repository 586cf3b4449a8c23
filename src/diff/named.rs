//! Certificates that a flag or a file of configuration names and that nothing here looks after: a pair for another name, the CA of an identity provider, a webhook's client.
//!
//! What enters is a node as it should be and what was seen of it; what leaves is each such certificate with what names it. No plan touches them, so whoever reports them
//! says where they are from. Pure.

use std::collections::BTreeSet;

use crate::desired::DesiredNode;
use crate::desired::named_trust::is_of_layout;
use crate::formats::kubeconfig::{Field, KubeconfigFacts};
use crate::formats::manifest::FileUse;
use crate::formats::node_path::{beside, file_name, tidy};
use crate::protocol::facts::{Content, NodeFacts};
use crate::types::storage::Storage;
use crate::x509::Certificate;

/// How many CA certificates of one file are of interest each. What holds more is a collection, of which some have always ended.
const FEW: usize = 8;

/// A certificate that something names and that is not managed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedCertificate<'f> {
    /// Who reads it: `kube-apiserver`.
    pub reader: String,
    /// Its file.
    pub path: String,
    /// What names it: `--oidc-ca-file in /etc/kubernetes/manifests/kube-apiserver.yaml`.
    pub by: String,
    /// The certificate.
    pub certificate: &'f Certificate,
}

/// A file that something names.
struct Named {
    reader: String,
    path: String,
    by: String,
    holds_trust: bool,
}

/// Those of a node, in the order of what names them.
pub fn named_certificates<'f>(node: &DesiredNode, facts: &'f NodeFacts) -> Vec<NamedCertificate<'f>> {
    let mut found: Vec<NamedCertificate<'f>> = Vec::new();
    let mut seen = BTreeSet::new();
    for Named { reader, path, by, holds_trust } in named(facts) {
        // What the kubelet rotates is the kubeconfig's, and what it makes for itself is reported with it.
        if is_of_layout(node, facts, &path) || is_rotated(node, &path) || !seen.insert(path.clone()) {
            continue;
        }
        // One that could not be read holds nothing that could be shown; whoever reads it has a finding.
        let content = facts.files.get(&path).and_then(|seen| Some(&seen.known().ok()??.content));
        let held: Vec<&Certificate> = match content.and_then(Content::kubeconfig) {
            Some(config) => of_kubeconfig(config),
            None if holds_trust => of_bundle(node, facts, facts.certificates(&path)),
            None => facts.first_certificate(&path).into_iter().collect(),
        };
        let rows = held.into_iter().map(|certificate| NamedCertificate {
            reader: reader.clone(),
            path: path.clone(),
            by: by.clone(),
            certificate,
        });
        found.extend(rows);
    }
    found
}

/// The CA certificates of a bundle that are not those of an authority on this node.
fn of_bundle<'f>(node: &DesiredNode, facts: &'f NodeFacts, held: &'f [Certificate]) -> Vec<&'f Certificate> {
    let files = node.authorities.values().map(|copy| copy.certificate.path.as_str());
    let own: BTreeSet<&Certificate> = files.flat_map(|path| facts.certificates(path)).collect();
    let others: BTreeSet<&Certificate> = held.iter().filter(|held| !own.contains(held)).collect();
    if others.len() > FEW {
        return others
            .into_iter()
            .max_by_key(|certificate| certificate.facts().not_after)
            .into_iter()
            .collect();
    }
    others.into_iter().collect()
}

fn of_kubeconfig(config: &KubeconfigFacts) -> Vec<&Certificate> {
    let Some((cluster, user)) = config.current() else { return Vec::new() };
    let embedded = [user.certificate.embedded(), cluster.authority.embedded()];
    embedded.into_iter().flatten().filter_map(|pem| pem.certificates.first()).collect()
}

fn is_rotated(node: &DesiredNode, path: &str) -> bool {
    node.identities.values().flat_map(|identity| identity.places()).any(|storage| match storage {
        Storage::Kubeconfig { rotated, .. } => rotated.as_deref() == Some(path),
        Storage::Pair { .. } | Storage::Combined { .. } => false,
    })
}

/// The files that static pods, kubeconfigs and the kubelet's configuration name.
fn named(facts: &NodeFacts) -> Vec<Named> {
    let mut found = Vec::new();
    for (manifest, pod) in facts.manifests() {
        for container in &pod.containers {
            for file in container.named_files() {
                let holds_trust = match file.usage {
                    FileUse::Trust => true,
                    FileUse::Certificates | FileUse::Kubeconfig => false,
                    FileUse::PrivateKey | FileUse::PublicKeys | FileUse::EtcdConfiguration => continue,
                };
                let by = format!("--{} in {manifest}", file.flag);
                let reader = container.component().to_owned();
                found.push(Named { reader, path: tidy(&file.path), by, holds_trust });
            }
        }
    }
    for (path, content) in facts.contents() {
        if let Some(kubelet) = content.kubelet() {
            let files = [
                ("clientCAFile", &kubelet.client_ca_file, true),
                ("tlsCertFile", &kubelet.tls_cert_file, false),
            ];
            for (field, named, holds_trust) in files {
                let Some(named) = named else { continue };
                let (path, by) = (beside(path, named), format!("{field} in {path}"));
                found.push(Named { reader: "kubelet".to_owned(), path, by, holds_trust });
            }
        }
        for (field, named) in content.kubeconfig().map(KubeconfigFacts::named_files).unwrap_or_default() {
            let holds_trust = match field {
                Field::CertificateAuthority => true,
                Field::ClientCertificate => false,
                Field::ClientKey => continue,
            };
            let (reader, by) = (file_name(path).to_owned(), format!("{field} in {path}"));
            found.push(Named { reader, path: beside(path, named), by, holds_trust });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::manifest::ManifestFacts;
    use crate::observe::survey::tests::{agreement, signed_again};
    use crate::protocol::facts::{Answer, Seen};

    const FILE: &str = "/srv/own/a.pem";

    /// The certificates that are named once this component has this flag, and a file of a CA that is nobody's here is where it says.
    fn named_by(program: &str, flag: &str) -> Vec<(String, String, String)> {
        let survey = agreement();
        let Some(Answer::Facts(facts)) = survey.observed.nodes.get("cp-1") else { panic!() };
        let mut facts = facts.clone();
        let pod = format!(
            "{{kind: Pod, spec: {{containers: [{{name: c, command: [{program}, '--{flag}={FILE},/srv/own/a.key'], volumeMounts: [{{name: v, mountPath: /srv}}]}}], \
             volumes: [{{name: v, hostPath: {{path: /srv}}}}]}}}}"
        );
        let like = facts.files["/etc/kubernetes/pki/ca.crt"].known().unwrap().unwrap().clone();
        let mut file = |path: &str, content: Content| {
            facts.files.insert(
                path.to_owned(),
                Seen::Present(crate::protocol::facts::FileFacts {
                    content,
                    resolved: path.to_owned(),
                    ..like.clone()
                }),
            );
        };
        file("/etc/kubernetes/manifests/own.yaml", Content::Manifest(ManifestFacts::read(pod.as_bytes())));
        file(FILE, Content::Pem(crate::formats::pem_facts::PemFacts::read(&signed_again())));
        let found = named_certificates(&survey.desired.nodes["cp-1"], &facts);
        found.into_iter().map(|named| (named.reader, named.path, named.by)).collect()
    }

    #[test]
    fn in_agreement_everything_that_is_named_is_managed() {
        let survey = agreement();
        for (name, node) in &survey.desired.nodes {
            let facts = survey.observed.nodes[name].facts().unwrap();
            assert_eq!(named_certificates(node, facts), [], "{name}");
        }
    }

    #[test]
    fn whatever_flag_names_a_certificate_it_is_found() {
        let flags = [
            ("kube-apiserver", "oidc-ca-file"),
            ("kube-apiserver", "tls-sni-cert-key"),
            ("kube-apiserver", "requestheader-client-ca-file"),
            ("kube-apiserver", "client-ca-file"),
            ("kube-apiserver", "etcd-cafile"),
            ("kube-apiserver", "kubelet-certificate-authority"),
            ("kube-controller-manager", "root-ca-file"),
            ("kube-controller-manager", "cluster-signing-kubelet-serving-cert-file"),
            ("kube-scheduler", "tls-cert-file"),
            ("etcd", "client-cert-file"),
            ("etcd", "peer-client-cert-file"),
            ("somebody", "tls-cert-file"),
        ];
        for (program, flag) in flags {
            let by = format!("--{flag} in /etc/kubernetes/manifests/own.yaml");
            assert_eq!(named_by(program, flag), [(program.to_owned(), FILE.to_owned(), by)]);
        }
        assert_eq!(named_by("kube-apiserver", "log-file"), [], "a file of another kind");
    }
}
