//! What a kubeconfig says: servers, identities and the CA certificates it trusts.
//!
//! What enters is the bytes of a kubeconfig as they lie on a node, of unknown origin; what leaves is
//! [`KubeconfigFacts`], which cannot hold a key, token or password. Pure: files that the kubeconfig names are not opened here.
//! Kubernetes' own reader (client-go) is the judge of what is an error; unlike it, everything that can be read is.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::formats::pem_facts::PemFacts;
use crate::x509::Certificate;
use crate::yaml::lenient;

pub mod edit;
mod raw;

/// What a kubeconfig says. Entries are keyed by their names; of entries with one name the first is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigFacts {
    /// Servers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clusters: BTreeMap<String, ClusterFacts>,
    /// Identities.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, UserFacts>,
    /// Pairs of both.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub contexts: BTreeMap<String, ContextFacts>,
    /// The context that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_context: Option<String>,
    /// What is wrong with it. Facts beside a problem may be incomplete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<KubeconfigProblem>,
}

/// A server and what is trusted about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFacts {
    /// The URL, without any user name or password in it.
    pub server: String,
    /// The CA certificates that the server is checked with.
    pub authority: Material,
    /// `insecure-skip-tls-verify`: the server is not checked at all.
    pub insecure: bool,
    /// `tls-server-name`: the name expected in the server's certificate instead of the URL's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
}

/// An identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserFacts {
    /// The client certificate, with any chain.
    pub certificate: Material,
    /// The client key; only what is public about it.
    pub key: Material,
    /// Whether there is a bearer token, in the file or in one it names.
    pub has_token: bool,
    /// Whether there is a user name or password.
    pub has_password: bool,
    /// Whether a program or plugin (`exec`, `auth-provider`) supplies the identity.
    pub has_program: bool,
}

/// What a user proves itself with instead of a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OtherCredentials {
    /// What a program or plugin (`exec`, `auth-provider`) returns.
    Program,
    /// A bearer token, in the file or in one that it names.
    Token,
    /// A user name and password.
    Password,
    /// What is shown to another cluster, to which the current context leads; one that leads to this cluster is in the file too.
    AnotherCluster,
}

/// A cluster and the user that is shown to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContextFacts {
    /// The name among the clusters.
    pub cluster: String,
    /// The name among the users.
    pub user: String,
}

/// Where a kubeconfig has certificates or a key, and what is public about them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Material {
    /// Nowhere.
    #[default]
    Absent,
    /// In the kubeconfig itself. This wins over a file.
    Embedded(PemFacts),
    /// In a file.
    File {
        /// The path as written: absolute, or relative to the kubeconfig's directory.
        path: String,
    },
    /// In the kubeconfig, but it is not base64.
    Undecodable,
}

/// One of the named lists of a kubeconfig.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Section {
    /// `clusters`.
    Cluster,
    /// `users`.
    User,
    /// `contexts`.
    Context,
}

/// One of the fields that hold certificates or a key, each with a `-data` twin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// `certificate-authority`.
    CertificateAuthority,
    /// `client-certificate`.
    ClientCertificate,
    /// `client-key`.
    ClientKey,
}

/// What is wrong with a kubeconfig. Each of them makes client-go 1.31 refuse the file or fail to connect.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum KubeconfigProblem {
    /// The file is empty, which client-go takes for a configuration without any server.
    #[error("is empty")]
    Empty,
    /// The file is not UTF-8 text.
    #[error("is not UTF-8 text")]
    NotText,
    /// The file is not YAML, or not of a kubeconfig's shape.
    #[error("is not the YAML of a kubeconfig, at line {line}")]
    NotYaml {
        /// The line, from 1; 0 when the place is not known.
        line: u64,
    },
    /// The file is YAML of another kind.
    #[error("is of kind {kind:?}, not Config")]
    WrongKind {
        /// The kind as written.
        kind: String,
    },
    /// Two entries of one list have the same name.
    #[error("has two {section} entries named {name:?}")]
    DuplicateName {
        /// The list.
        section: Section,
        /// The name.
        name: String,
    },
    /// A `-data` field is not base64.
    #[error("{section} {name:?}: {field}-data is not base64")]
    BadBase64 {
        /// The list.
        section: Section,
        /// The entry's name.
        name: String,
        /// The field.
        field: Field,
    },
    /// A field and its `-data` twin are both written.
    #[error("{section} {name:?}: {field} and {field}-data are both there")]
    DataAndFile {
        /// The list.
        section: Section,
        /// The entry's name.
        name: String,
        /// The field.
        field: Field,
    },
    /// A user has a client certificate and no key for it.
    #[error("user {user:?} has a certificate and no key")]
    CertificateWithoutKey {
        /// The user's name.
        user: String,
    },
    /// No current context is named.
    #[error("names no current context")]
    NoCurrentContext,
    /// The current context is not among the contexts.
    #[error("the current context {context:?} is not there")]
    ContextMissing {
        /// The name of the context.
        context: String,
    },
    /// The cluster of the current context is not among the clusters.
    #[error("the current context's cluster {cluster:?} is not there")]
    ClusterMissing {
        /// The name of the cluster.
        cluster: String,
    },
    /// The user of the current context is not among the users.
    #[error("the current context's user {user:?} is not there")]
    UserMissing {
        /// The name of the user.
        user: String,
    },
}

impl ClusterFacts {
    /// Whether the server is one that these CA certificates vouch for; none where that cannot be told from the kubeconfig alone.
    fn is_checked_with(&self, cas: &[Certificate]) -> Option<bool> {
        if cas.is_empty() {
            return None;
        }
        match &self.authority {
            Material::Embedded(trusted) if trusted.certificates.is_empty() => None,
            Material::Embedded(trusted) => {
                Some(trusted.certificates.iter().any(|trusted| cas.contains(trusted)))
            }
            Material::Absent if self.insecure => Some(false),
            Material::Absent | Material::File { .. } | Material::Undecodable => None,
        }
    }
}

impl UserFacts {
    /// What it proves itself with, where that is no certificate. Beside a certificate the others do not count: an API server takes the certificate first, so that is
    /// the identity which ends.
    pub fn other_credentials(&self) -> Option<OtherCredentials> {
        let has_certificate = !matches!(self.certificate, Material::Absent);
        match (has_certificate, self.has_program, self.has_token, self.has_password) {
            (true, ..) | (false, false, false, false) => None,
            (false, true, ..) => Some(OtherCredentials::Program),
            (false, false, true, _) => Some(OtherCredentials::Token),
            (false, false, false, true) => Some(OtherCredentials::Password),
        }
    }
}

impl fmt::Display for OtherCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "a program (exec or auth-provider)",
            Self::Token => "a token",
            Self::Password => "a user name and password",
            Self::AnotherCluster => "another cluster",
        })
    }
}

impl KubeconfigFacts {
    /// Whether it holds something, and nothing of a kubeconfig: then it may be any file.
    pub fn is_foreign(&self) -> bool {
        let is_bare = self.clusters.is_empty() && self.users.is_empty() && self.contexts.is_empty();
        is_bare && !self.problems.is_empty() && self.problems != [KubeconfigProblem::Empty]
    }

    /// Reads a kubeconfig. It never fails: what is wrong is among the problems.
    pub fn read(bytes: &[u8]) -> Self {
        let problem = |problem| Self { problems: vec![problem], ..Self::default() };
        if bytes.is_empty() {
            return problem(KubeconfigProblem::Empty);
        }
        let Ok(text) = str::from_utf8(bytes) else { return problem(KubeconfigProblem::NotText) };
        let raw = match lenient::read::<raw::Config>(text) {
            Ok(raw) => raw,
            Err(error) => return problem(KubeconfigProblem::NotYaml { line: error.line }),
        };
        if !raw.kind.is_empty() && raw.kind != "Config" {
            return problem(KubeconfigProblem::WrongKind { kind: raw.kind });
        }
        let mut problems = Vec::new();
        let mut facts = Self {
            clusters: keyed(raw.clusters, Section::Cluster, &mut problems),
            users: keyed(raw.users, Section::User, &mut problems),
            contexts: keyed(raw.contexts, Section::Context, &mut problems),
            current_context: Some(raw.current_context).filter(|name| !name.is_empty()),
            problems: Vec::new(),
        };
        problems.extend(facts.loose_end());
        facts.problems = problems;
        facts
    }

    /// The server and the identity that count: those of the current context.
    pub fn current(&self) -> Option<(&ClusterFacts, &UserFacts)> {
        let context = self.contexts.get(self.current_context.as_ref()?)?;
        Some((self.clusters.get(&context.cluster)?, self.users.get(&context.user)?))
    }

    /// The context, by its name, that leads to the cluster with these CA certificates: the current one, unless that one leads elsewhere for certain; then
    /// the first one that leads there, and none where none does.
    pub fn own_context(&self, cas: &[Certificate]) -> Option<(&str, &ContextFacts)> {
        let (current, context) = self.contexts.get_key_value(self.current_context.as_ref()?)?;
        let leads = |context: &ContextFacts| self.clusters.get(&context.cluster)?.is_checked_with(cas);
        if leads(context) != Some(false) {
            return Some((current, context));
        }
        let own = self.contexts.iter().find(|(_, context)| leads(context) == Some(true));
        own.map(|(name, context)| (name.as_str(), context))
    }

    /// The context that leads to the cluster with these CA certificates, where the current one leads elsewhere.
    pub fn own_beside_current(&self, cas: &[Certificate]) -> Option<&ContextFacts> {
        let (name, context) = self.own_context(cas)?;
        (self.current_context.as_deref() != Some(name)).then_some(context)
    }

    /// What stays wrong with it when its current context gets another certificate, key and CA: with that, a renewal would be for nothing, and due again at once.
    pub fn incurable(&self) -> Option<&KubeconfigProblem> {
        let context = self.contexts.get(self.current_context.as_ref()?)?;
        let is_rewritten = |section: Section, name: &String| match section {
            Section::Cluster => *name == context.cluster,
            Section::User => *name == context.user,
            Section::Context => false,
        };
        self.problems.iter().find(|problem| match problem {
            KubeconfigProblem::Empty => false,
            KubeconfigProblem::BadBase64 { section, name, field: _ } => !is_rewritten(*section, name),
            KubeconfigProblem::CertificateWithoutKey { user } => *user != context.user,
            KubeconfigProblem::NotText
            | KubeconfigProblem::NotYaml { .. }
            | KubeconfigProblem::WrongKind { .. }
            | KubeconfigProblem::DuplicateName { .. }
            | KubeconfigProblem::DataAndFile { .. }
            | KubeconfigProblem::NoCurrentContext
            | KubeconfigProblem::ContextMissing { .. }
            | KubeconfigProblem::ClusterMissing { .. }
            | KubeconfigProblem::UserMissing { .. } => true,
        })
    }

    /// The files that certificates and keys lie in, with the paths as written.
    pub fn named_files(&self) -> Vec<(Field, &str)> {
        let authorities =
            self.clusters.values().map(|cluster| (Field::CertificateAuthority, &cluster.authority));
        let identities = self
            .users
            .values()
            .flat_map(|user| [(Field::ClientCertificate, &user.certificate), (Field::ClientKey, &user.key)]);
        let files = authorities.chain(identities).filter_map(|(field, material)| match material {
            Material::File { path } => Some((field, path.as_str())),
            Material::Absent | Material::Embedded(_) | Material::Undecodable => None,
        });
        files.collect()
    }

    /// Whether the file holds anything that must not be guessed: a key, a token, a password, or what could be one.
    pub fn holds_secrets(&self) -> bool {
        let secret = |material: &Material| match material {
            Material::Embedded(pem) => pem.may_hold_keys(),
            Material::Absent | Material::File { .. } => false,
            Material::Undecodable => true,
        };
        // A program's arguments and environment are not read, so what they hold is not known.
        let of_user = |user: &UserFacts| {
            !matches!(user.key, Material::Absent | Material::File { .. })
                || secret(&user.certificate)
                || user.has_token
                || user.has_password
                || user.has_program
        };
        self.problems.iter().any(KubeconfigProblem::hides_entries)
            || self.users.values().any(of_user)
            || self.clusters.values().any(|cluster| secret(&cluster.authority))
    }

    /// What of the current context leads nowhere.
    fn loose_end(&self) -> Option<KubeconfigProblem> {
        let Some(name) = &self.current_context else { return Some(KubeconfigProblem::NoCurrentContext) };
        let Some(context) = self.contexts.get(name) else {
            return Some(KubeconfigProblem::ContextMissing { context: name.clone() });
        };
        if !self.clusters.contains_key(&context.cluster) {
            return Some(KubeconfigProblem::ClusterMissing { cluster: context.cluster.clone() });
        }
        let missing = !self.users.contains_key(&context.user);
        missing.then(|| KubeconfigProblem::UserMissing { user: context.user.clone() })
    }
}

impl KubeconfigProblem {
    /// Whether there may be entries in the file that the facts do not show.
    fn hides_entries(&self) -> bool {
        match self {
            Self::NotText | Self::NotYaml { .. } | Self::WrongKind { .. } | Self::DuplicateName { .. } => {
                true
            }
            Self::Empty
            | Self::BadBase64 { .. }
            | Self::DataAndFile { .. }
            | Self::CertificateWithoutKey { .. }
            | Self::NoCurrentContext
            | Self::ContextMissing { .. }
            | Self::ClusterMissing { .. }
            | Self::UserMissing { .. } => false,
        }
    }
}

impl Material {
    /// What is public in the kubeconfig itself.
    pub fn embedded(&self) -> Option<&PemFacts> {
        match self {
            Self::Embedded(pem) => Some(pem),
            Self::Absent | Self::File { .. } | Self::Undecodable => None,
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::User => "user",
            Self::Context => "context",
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CertificateAuthority => "certificate-authority",
            Self::ClientCertificate => "client-certificate",
            Self::ClientKey => "client-key",
        })
    }
}

/// Turns a list of named entries into a map; client-go refuses a file in which a name occurs twice.
fn keyed<R: raw::Entry>(
    entries: Vec<R>,
    section: Section,
    problems: &mut Vec<KubeconfigProblem>,
) -> BTreeMap<String, R::Facts> {
    let mut map = BTreeMap::new();
    for entry in entries {
        let name = entry.name().to_owned();
        if map.contains_key(&name) {
            problems.push(KubeconfigProblem::DuplicateName { section, name });
            continue;
        }
        let facts = entry.facts(problems);
        map.insert(name, facts);
    }
    map
}

/// The certificates or key of one field: its data when there are any, else its file.
fn material(
    (section, name, field): (Section, &str, Field),
    data: &str,
    file: &str,
    problems: &mut Vec<KubeconfigProblem>,
) -> Material {
    let name = || name.to_owned();
    if data.is_empty() {
        return if file.is_empty() { Material::Absent } else { Material::File { path: file.to_owned() } };
    }
    if !file.is_empty() {
        problems.push(KubeconfigProblem::DataAndFile { section, name: name(), field });
    }
    match decode(data) {
        Some(bytes) => Material::Embedded(PemFacts::read(&bytes)),
        None => {
            problems.push(KubeconfigProblem::BadBase64 { section, name: name(), field });
            Material::Undecodable
        }
    }
}

/// Decodes as Go's `encoding/base64` does: line ends are passed over, spaces are not, unused last bits may be set.
fn decode(data: &str) -> Option<Zeroizing<Vec<u8>>> {
    const GO: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let mut one_line = Zeroizing::new(String::with_capacity(data.len()));
    one_line.extend(data.chars().filter(|character| !matches!(character, '\r' | '\n')));
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(one_line.len())]);
    let length = GO.decode_slice(one_line.as_bytes(), &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}

#[cfg(test)]
mod tests;
