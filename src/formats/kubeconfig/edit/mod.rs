//! New certificates and keys in a kubeconfig that somebody else wrote.
//!
//! What enters is its bytes and what its current context is to have; what leaves is the same bytes but for the values of three fields: order, comments,
//! quoting and all other entries stay as they are. The result is read again, and anything else that would have changed is a refusal. Nothing
//! is converted: a kubeconfig that names files is left to who manages the files. Errors tell nothing of the content, which holds secrets. Pure.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Field, KubeconfigFacts, Material, decode};
use crate::diagnostic::Source;
use crate::types::non_empty::NonEmpty;
use crate::types::secret::Secret;
use crate::x509::{Certificate, PrivateKey, pem};
use crate::yaml::edit::{Text, child, forget, same};
use crate::yaml::lenient::first_document;
use crate::yaml::parse;
use crate::yaml::parse::{Entry, Node, Value};

mod create;

pub use create::create;

/// What the user of the current context is to have.
#[derive(Debug, Clone, Copy)]
pub struct NewIdentity<'a> {
    /// Its certificate, and what is to follow it in the file.
    pub certificates: &'a [Certificate],
    /// Its key. One that is there already stays byte for byte.
    pub key: &'a PrivateKey,
    /// The key's PEM text.
    pub key_pem: &'a Secret,
    /// The CA certificates that the server is to be checked with; none leaves those that are there.
    pub trusted: Option<&'a NonEmpty<Certificate>>,
}

/// Why a kubeconfig cannot be edited. Nothing of its content is told, because it holds secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum EditError {
    /// It is no text, no YAML, or YAML with features that are not edited.
    #[error("it is not YAML that can be edited")]
    NotYaml,
    /// The part that leads to the identity is not there.
    #[error("it has no usable {part}")]
    Lacks {
        /// Which one.
        part: Cow<'static, str>,
    },
    /// What was to be written stands in a file that the kubeconfig names.
    #[error("its {field} is in a file that it names, and not in itself")]
    NamesFile {
        /// The field.
        field: Field,
    },
    /// The field is there and cannot be decoded.
    #[error("its {field}-data is not base64")]
    NotBase64 {
        /// The field.
        field: Field,
    },
    /// The change would reach further than the three fields, for instance because of an alias.
    #[error("its fields cannot be changed without changing others")]
    Entangled,
    /// A new one needs a server and there is none.
    #[error("the server that a new kubeconfig has to name is not known")]
    NoServer,
    /// A new one needs CA certificates.
    #[error("the authority that a new kubeconfig has to trust is not given")]
    NoTrusted,
}

/// The same kubeconfig with another identity in its current context.
pub fn with_identity(bytes: &[u8], identity: &NewIdentity<'_>) -> Result<Secret, EditError> {
    let original = Read::of(bytes)?;
    let mut fields = Vec::new();
    let certificates = certificates_pem(identity.certificates);
    fields.push((Field::ClientCertificate, Secret::new(certificates.into_bytes())));
    let has_key = original.data_if_any(Field::ClientKey)?.is_some_and(|old| {
        pem::read(old.reveal())
            .private_keys()
            .next()
            .is_some_and(|old| old.public_key() == identity.key.public_key())
    });
    if !has_key {
        fields.push((Field::ClientKey, identity.key_pem.clone()));
    }
    fields.extend(identity.trusted.map(trusted_field));
    original.with(&fields)
}

/// The same kubeconfig with other CA certificates in its current context.
pub fn with_trusted(bytes: &[u8], trusted: &NonEmpty<Certificate>) -> Result<Secret, EditError> {
    Read::of(bytes)?.with(&[trusted_field(trusted)])
}

/// The PEM text of the current user's key.
pub fn current_key(bytes: &[u8]) -> Result<Secret, EditError> {
    current(bytes, Field::ClientKey, "client-key-data")
}

/// The PEM text of the current user's certificate.
pub fn current_certificate(bytes: &[u8]) -> Result<Secret, EditError> {
    current(bytes, Field::ClientCertificate, "client-certificate-data")
}

fn current(bytes: &[u8], field: Field, part: &'static str) -> Result<Secret, EditError> {
    Read::of(bytes)?.data(field)?.ok_or(EditError::Lacks { part: part.into() })
}

fn trusted_field(trusted: &NonEmpty<Certificate>) -> (Field, Secret) {
    (Field::CertificateAuthority, Secret::new(certificates_pem(trusted).into_bytes()))
}

fn certificates_pem(certificates: &[Certificate]) -> String {
    certificates.iter().map(Certificate::to_pem).collect()
}

/// A kubeconfig with its tree.
struct Read<'a> {
    /// The document that is read, the first one.
    text: &'a str,
    /// What stands behind it.
    rest: &'a str,
    root: Node,
}

impl<'a> Read<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, EditError> {
        let text = str::from_utf8(bytes).map_err(|_| EditError::NotYaml)?;
        let (text, rest) = first_document(text);
        let parsed = parse::parse(&Source::new("kubeconfig", text));
        match parsed.documents.as_slice() {
            [only] if parsed.problems.is_empty() => Ok(Self { text, rest, root: only.root().clone() }),
            _ => Err(EditError::NotYaml),
        }
    }

    /// The mapping in which a field stands, that of the current context's user or cluster.
    fn home(&self, field: Field) -> Result<(&Entry, &Node), EditError> {
        let lacks = |part: &'static str| EditError::Lacks { part: part.into() };
        let name = string(&self.root, "current-context").ok_or(lacks("current context"))?;
        let (_, context) = named(&self.root, "contexts", name, "context").ok_or(lacks("current context"))?;
        match field {
            Field::CertificateAuthority => {
                let cluster = string(context, "cluster");
                cluster
                    .and_then(|name| named(&self.root, "clusters", name, "cluster"))
                    .ok_or(lacks("current cluster"))
            }
            Field::ClientCertificate | Field::ClientKey => {
                let user = string(context, "user");
                user.and_then(|name| named(&self.root, "users", name, "user")).ok_or(lacks("current user"))
            }
        }
    }

    /// What a field's data are, decoded; `None` when nothing is there. A file in its place is an error.
    fn data(&self, field: Field) -> Result<Option<Secret>, EditError> {
        let (_, home) = self.home(field)?;
        if child(home, &field.to_string()).is_some_and(|entry| !is_empty(&entry.value)) {
            return Err(EditError::NamesFile { field });
        }
        match child(home, &data_name(field)).map(|entry| &entry.value.value) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text) | Value::Number(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text) | Value::Number(text)) => {
                decode(text).map(|bytes| Some(Secret::new(bytes))).ok_or(EditError::NotBase64 { field })
            }
            Some(Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_)) => {
                Err(EditError::NotBase64 { field })
            }
        }
    }

    /// The same for who is going to replace them: what cannot be decoded is nothing.
    fn data_if_any(&self, field: Field) -> Result<Option<Secret>, EditError> {
        match self.data(field) {
            Err(EditError::NotBase64 { .. }) => Ok(None),
            other => other,
        }
    }

    fn with(&self, fields: &[(Field, Secret)]) -> Result<Secret, EditError> {
        let mut text = Zeroizing::new(self.text.to_owned());
        for (field, pem) in fields {
            let now = Read::of(text.as_bytes())?;
            if now.data_if_any(*field)?.is_some_and(|old| old.reveal() == pem.reveal()) {
                continue;
            }
            let edited = now.set(*field, pem)?;
            text = edited;
        }
        self.check(&text, fields)?;
        // A text that grows leaves its old place behind unwiped.
        let mut whole = Zeroizing::new(String::with_capacity(text.len().saturating_add(self.rest.len())));
        whole.push_str(&text);
        whole.push_str(self.rest);
        Ok(Secret::from(whole))
    }

    /// One field changed or added.
    fn set(&self, field: Field, pem: &Secret) -> Result<Zeroizing<String>, EditError> {
        let (home_key, home) = self.home(field)?;
        let text = Text(self.text);
        text.set(home_key, home, &data_name(field), &base64_of(pem)).ok_or(EditError::Entangled)
    }

    /// Whether the new text says the same as this one, but for the fields, and those what was asked.
    fn check(&self, text: &str, fields: &[(Field, Secret)]) -> Result<(), EditError> {
        let new = Read::of(text.as_bytes()).map_err(|_| EditError::Entangled)?;
        for (field, pem) in fields {
            if new.data(*field)?.is_none_or(|data| data.reveal() != pem.reveal()) {
                return Err(EditError::Entangled);
            }
        }
        let without = |read: &Read<'_>| -> Result<Node, EditError> {
            let mut root = read.root.clone();
            for (field, _) in fields {
                let home = read.home(*field)?.1.span;
                forget(&mut root, home, &data_name(*field));
            }
            Ok(root)
        };
        // Who reads the file for Kubernetes must find in it what was put there.
        let understood = KubeconfigFacts::read(text.as_bytes());
        let embedded = |material: &Material| matches!(material, Material::Embedded(_));
        let current = understood.current().is_some_and(|(cluster, user)| {
            fields.iter().all(|(field, _)| match field {
                Field::CertificateAuthority => embedded(&cluster.authority),
                Field::ClientCertificate => embedded(&user.certificate),
                Field::ClientKey => embedded(&user.key),
            })
        });
        if current && same(&without(self)?, &without(&new)?) { Ok(()) } else { Err(EditError::Entangled) }
    }
}

fn data_name(field: Field) -> String {
    format!("{field}-data")
}

fn base64_of(pem: &Secret) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(pem.reveal()))
}

/// A text of a mapping. A name such as `1` or `true` is one too: client-go reads it so.
fn string<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    match &child(node, name)?.value.value {
        Value::String(text) | Value::Number(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

/// The mapping under `inner` in the entry of a list that has this name.
fn named<'a>(root: &'a Node, list: &str, name: &str, inner: &str) -> Option<(&'a Entry, &'a Node)> {
    let Value::Sequence(items) = &child(root, list)?.value.value else { return None };
    let item = items.iter().find(|item| string(item, "name") == Some(name))?;
    let entry = child(item, inner)?;
    Some((entry, &entry.value))
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) => false,
    }
}

#[cfg(test)]
mod tests;
