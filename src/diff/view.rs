//! What a node holds of an identity, gathered once from the facts of its files.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::desired::{DesiredIdentity, DesiredNode};
use crate::formats::kubeconfig::{KubeconfigFacts, Material, OtherCredentials, UserFacts};
use crate::formats::node_path::beside;
use crate::formats::pem_facts::{DefectKind, PemDefect, PemFacts};
use crate::protocol::facts::{Content, FileFacts, FileKind, NodeFacts, Seen};
use crate::types::certificate::Usage;
use crate::types::names::IdentityName;
use crate::types::storage::Storage;
use crate::x509::{Certificate, Sha256};

use super::{KnownContent, Reason};

/// What a node holds of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityView {
    /// The certificate itself.
    pub certificate: Option<Certificate>,
    /// The certificates that follow it in its file.
    pub chain: Vec<Certificate>,
    /// SHA-256 of the public key (SPKI) that belongs to the private key.
    pub key: Option<Sha256>,
    /// Where it is kept.
    pub form: Form,
    /// The CA certificates that a kubeconfig trusts, where the identity is kept in one and embeds them.
    pub trusted: Option<Vec<Certificate>>,
    /// What the user of a kubeconfig proves itself with, where that is no certificate: such a file is nobody's to write a certificate into.
    pub other_credentials: Option<OtherCredentials>,
    /// Who renews it.
    pub renewal: Renewal,
    /// Why something is not there or not right, as far as the files themselves show.
    pub reasons: Vec<Reason>,
}

/// What a node holds of its identities.
pub type Identities = BTreeMap<IdentityName, Arc<IdentityView>>;

/// How an identity is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Two files.
    Pair,
    /// One file with certificate and key.
    Combined,
    /// Embedded in a kubeconfig.
    Embedded,
    /// A kubeconfig that points at files.
    Referenced,
}

/// Who renews a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Renewal {
    /// A plan.
    #[default]
    Planned,
    /// The kubelet, by itself.
    ByKubelet,
    /// The kubelet would, from its own file, and is told not to by its configuration.
    TurnedOff {
        /// The path of the configuration.
        configuration: String,
    },
}

impl Renewal {
    fn of(wanted: &DesiredIdentity, form: Form, facts: &NodeFacts) -> Self {
        let is_own_file = match form {
            Form::Referenced | Form::Combined => wanted.rotated_by_kubelet,
            Form::Embedded | Form::Pair => false,
        };
        if !is_own_file {
            return Self::Planned;
        }
        // `rotateCertificates` is about what the kubelet shows to API servers; what it serves it renews whenever it has asked for one at all (Kubernetes 1.20 to
        // 1.31, cmd/kubelet/app/server.go and pkg/kubelet/kubelet.go). Without a configuration that was seen, the layout's word counts.
        let is_client = wanted.usages.contains(&Usage::Client);
        let mut configurations = facts.kubelet_configurations();
        let off = configurations.find(|(_, own)| own.problem.is_none() && !own.rotate_certificates);
        match off.filter(|_| is_client) {
            Some((configuration, _)) => Self::TurnedOff { configuration: configuration.to_owned() },
            None => Self::ByKubelet,
        }
    }
}

/// Gathers what a node holds of an identity.
pub(super) fn identity_view(wanted: &DesiredIdentity, node: &DesiredNode, facts: &NodeFacts) -> IdentityView {
    let view = storage_view(&wanted.storage, node, facts);
    IdentityView { renewal: Renewal::of(wanted, view.form, facts), ..view }
}

/// Gathers what a node holds in one place of an identity.
pub fn storage_view(storage: &Storage, node: &DesiredNode, facts: &NodeFacts) -> IdentityView {
    let mut view = IdentityView {
        certificate: None,
        chain: Vec::new(),
        key: None,
        form: Form::Pair,
        trusted: None,
        other_credentials: None,
        renewal: Renewal::Planned,
        reasons: Vec::new(),
    };
    match storage {
        Storage::Pair { certificate, key } => {
            view.take_certificate_file(facts, &certificate.path);
            view.take_key_file(facts, &key.path);
        }
        Storage::Combined { file } => {
            view.form = Form::Combined;
            view.take_combined_file(facts, &file.path);
        }
        Storage::Kubeconfig { file, trusts, .. } => {
            let cas = node.certificates_of(trusts, facts);
            view.form = Form::Embedded;
            match kubeconfig(facts, &file.path) {
                Ok(config) => view.take_kubeconfig(facts, &file.path, (config, cas)),
                Err(reason) => view.reasons.push(reason),
            }
        }
    }
    view.reasons.sort();
    view.reasons.dedup();
    view
}

impl IdentityView {
    /// Whether nothing of it is there, so that it has to be made from nothing.
    pub fn form_is_absent(&self) -> bool {
        self.certificate.is_none() && self.trusted.is_none()
    }

    /// Whether it can be shown at an instant: its certificate and the key to it are there, and it is neither too early nor too late for it.
    pub(crate) fn is_usable(&self, now: Timestamp) -> bool {
        let facts = self.certificate.as_ref().map(Certificate::facts);
        facts.is_some_and(|facts| facts.is_in_time(now) && self.key == Some(facts.key.spki_sha256))
    }

    fn take_certificate_file(&mut self, facts: &NodeFacts, path: &str) {
        match pem(facts, path) {
            Ok(pem) => self.take_certificates(pem, path),
            Err(reason) => self.reasons.push(reason),
        }
    }

    fn take_key_file(&mut self, facts: &NodeFacts, path: &str) {
        match pem(facts, path) {
            Ok(pem) => self.take_key(pem, path),
            // The whole identity is missing when its certificate is; a lone key is of no use to name.
            Err(Reason::Missing) if self.reasons.contains(&Reason::Missing) => {}
            Err(Reason::Missing) => self.reasons.push(Reason::KeyMissing),
            Err(reason) => self.reasons.push(reason),
        }
    }

    fn take_combined_file(&mut self, facts: &NodeFacts, path: &str) {
        match pem(facts, path) {
            Ok(pem) => {
                self.take_certificates(pem, path);
                self.take_key(pem, path);
            }
            Err(reason) => self.reasons.push(reason),
        }
    }

    fn take_certificates(&mut self, pem: &PemFacts, path: &str) {
        self.reasons.extend(pem_reasons(pem, path));
        match pem.certificates.split_first() {
            Some((first, rest)) => {
                self.certificate = Some(first.clone());
                self.chain = rest.to_vec();
            }
            None if self.reasons.is_empty() => {
                let problem = "holds no certificate".to_owned();
                self.reasons.push(Reason::Unparseable { path: path.to_owned(), problem });
            }
            None => {}
        }
    }

    fn take_key(&mut self, pem: &PemFacts, path: &str) {
        let reasons = pem_reasons(pem, path);
        match pem.keys.first() {
            Some(key) => self.key = Some(key.spki_sha256),
            None if pem.encrypted_keys > 0 => {
                self.reasons.push(Reason::KeyEncrypted { path: path.to_owned() })
            }
            None if reasons.is_empty() => {
                let problem = "holds no private key".to_owned();
                self.reasons.push(Reason::Unparseable { path: path.to_owned(), problem });
            }
            None => {}
        }
        self.reasons.extend(reasons);
    }

    fn take_kubeconfig(
        &mut self,
        facts: &NodeFacts,
        path: &str,
        (config, cas): (&KubeconfigFacts, &[Certificate]),
    ) {
        let own = config.own_beside_current(cas);
        if let Some(user) = own.and_then(|context| config.users.get(&context.user)) {
            // It is shown as it is; writing goes to the current context, so nothing is written.
            self.take_user(facts, path, user);
            self.other_credentials = Some(OtherCredentials::AnotherCluster);
            return;
        }
        let incomplete = config.problems.iter().map(ToString::to_string);
        self.reasons.extend(incomplete.map(|problem| Reason::KubeconfigIncomplete { problem }));
        let Some((cluster, user)) = config.current() else { return };
        if let Material::Embedded(trusted) = &cluster.authority {
            self.trusted = Some(trusted.certificates.clone());
            self.reasons.extend(pem_reasons(trusted, path));
        }
        self.take_user(facts, path, user);
    }

    fn take_user(&mut self, facts: &NodeFacts, path: &str, user: &UserFacts) {
        self.other_credentials = user.other_credentials();
        if self.other_credentials.is_some() {
            return;
        }
        match &user.certificate {
            Material::Embedded(pem) => self.take_certificates(pem, path),
            Material::File { path: named } => {
                self.form = Form::Referenced;
                self.take_certificate_file(facts, &beside(path, named));
            }
            Material::Absent | Material::Undecodable => {
                let problem = "its user has no client certificate".to_owned();
                self.reasons.push(Reason::KubeconfigIncomplete { problem });
            }
        }
        match &user.key {
            Material::Embedded(pem) => self.take_key(pem, path),
            Material::File { path: named } => self.take_key_file(facts, &beside(path, named)),
            Material::Absent | Material::Undecodable => self.reasons.push(Reason::KeyMissing),
        }
    }
}

/// The regular file at a path, or why there is none.
pub(super) fn file<'a>(facts: &'a NodeFacts, path: &str) -> Result<&'a FileFacts, Reason> {
    let owned = path.to_owned();
    match facts.files.get(path) {
        None => Err(Reason::Unknown { because: format!("{path} was not looked at") }),
        Some(Seen::Absent) => Err(Reason::Missing),
        Some(Seen::Dangling { missing, .. }) => {
            Err(Reason::LinkDangling { path: owned, target: missing.clone() })
        }
        Some(Seen::Looping { .. }) => Err(Reason::LinkLoops { path: owned }),
        Some(Seen::Unknown { reason }) => Err(Reason::Unknown { because: format!("{path}: {reason}") }),
        Some(Seen::Present(file)) => match file.kind {
            FileKind::Regular => Ok(file),
            FileKind::Directory | FileKind::Other => Err(Reason::NotAFile { path: owned }),
        },
    }
}

/// What lies at a path in place of a file, if it is nothing that one could be put over.
pub(crate) fn in_the_way(facts: &NodeFacts, path: &str) -> Option<Reason> {
    let is_it = |reason: &Reason| matches!(reason, Reason::LinkLoops { .. } | Reason::NotAFile { .. });
    file(facts, path).err().filter(is_it)
}

/// What the PEM file at a path holds, or why it holds nothing.
pub(super) fn pem<'a>(facts: &'a NodeFacts, path: &str) -> Result<&'a PemFacts, Reason> {
    match &file(facts, path)?.content {
        Content::Pem(pem) => Ok(pem),
        Content::Empty => Err(Reason::ZeroLength { path: path.to_owned() }),
        Content::Unreadable { reason } => Err(Reason::Unknown { because: format!("{path}: {reason}") }),
        Content::Opaque
        | Content::NotRead
        | Content::Kubeconfig(_)
        | Content::Manifest(_)
        | Content::Kubelet(_)
        | Content::EtcdConfiguration(_)
        | Content::Directory { .. } => {
            Err(Reason::ForeignContent { path: path.to_owned(), wanted: KnownContent::Pem })
        }
    }
}

/// What the kubeconfig at a path says, or why it says nothing.
fn kubeconfig<'a>(facts: &'a NodeFacts, path: &str) -> Result<&'a KubeconfigFacts, Reason> {
    match &file(facts, path)?.content {
        Content::Kubeconfig(config) if config.is_foreign() => {
            Err(Reason::ForeignContent { path: path.to_owned(), wanted: KnownContent::Kubeconfig })
        }
        Content::Kubeconfig(config) => Ok(config),
        Content::Empty => Err(Reason::ZeroLength { path: path.to_owned() }),
        Content::Unreadable { reason } => Err(Reason::Unknown { because: format!("{path}: {reason}") }),
        Content::Opaque
        | Content::NotRead
        | Content::Pem(_)
        | Content::Manifest(_)
        | Content::Kubelet(_)
        | Content::EtcdConfiguration(_)
        | Content::Directory { .. } => {
            Err(Reason::ForeignContent { path: path.to_owned(), wanted: KnownContent::Kubeconfig })
        }
    }
}

/// What lies at a path, if it is neither PEM nor a kubeconfig nor anything else that is known: nobody has said that it may be replaced.
pub(crate) fn foreign_content(facts: &NodeFacts, path: &str) -> Option<Reason> {
    let foreign = |wanted| Reason::ForeignContent { path: path.to_owned(), wanted };
    match &file(facts, path).ok()?.content {
        Content::Pem(pem) => {
            let mut reasons = pem_reasons(pem, path).into_iter();
            reasons.find(|reason| matches!(reason, Reason::ForeignContent { .. }))
        }
        Content::Kubeconfig(config) => config.is_foreign().then(|| foreign(KnownContent::Kubeconfig)),
        Content::Opaque => Some(foreign(KnownContent::Pem)),
        Content::Empty
        | Content::Manifest(_)
        | Content::Kubelet(_)
        | Content::EtcdConfiguration(_)
        | Content::Directory { .. }
        | Content::NotRead
        | Content::Unreadable { .. } => None,
    }
}

/// What is wrong with a PEM file, block by block.
pub(super) fn pem_reasons(pem: &PemFacts, path: &str) -> Vec<Reason> {
    let path = || path.to_owned();
    let understood = !pem.certificates.is_empty() || !pem.keys.is_empty() || !pem.public_keys.is_empty();
    let reason = |defect: &PemDefect| match defect.kind {
        DefectKind::Blank => Reason::ZeroLength { path: path() },
        DefectKind::NotPem if understood => Reason::NotPem { path: path() },
        DefectKind::NotPem => Reason::ForeignContent { path: path(), wanted: KnownContent::Pem },
        DefectKind::TooMuch | DefectKind::SkippedByGo | DefectKind::BrokenBlock => {
            Reason::Unparseable { path: path(), problem: defect.message.clone() }
        }
    };
    pem.defects.iter().map(reason).collect()
}
