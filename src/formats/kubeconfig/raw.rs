//! A kubeconfig as it is written, and the way from there to facts.
//!
//! What enters is the YAML parser's events; what leaves is facts. Keys are wiped when dropped, and of tokens, passwords and
//! programs no more is kept than whether they are there.

use std::fmt;

use serde::de::{self, IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{ClusterFacts, ContextFacts, Field, KubeconfigProblem, Section, UserFacts, material};
use crate::yaml::lenient::null_is_default;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Config {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) clusters: Vec<NamedCluster>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) users: Vec<NamedUser>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) contexts: Vec<NamedContext>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(super) current_context: String,
}

/// An entry of one of the lists.
pub(super) trait Entry {
    /// What it says.
    type Facts;

    fn name(&self) -> &str;

    fn facts(self, problems: &mut Vec<KubeconfigProblem>) -> Self::Facts;
}

#[derive(Default, Deserialize)]
pub(super) struct NamedCluster {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    cluster: Cluster,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    #[serde(default, deserialize_with = "null_is_default")]
    server: String,
    #[serde(default, deserialize_with = "null_is_default")]
    certificate_authority: String,
    #[serde(default, deserialize_with = "null_is_default")]
    certificate_authority_data: Wiped,
    #[serde(default, deserialize_with = "null_is_default")]
    insecure_skip_tls_verify: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    tls_server_name: String,
}

#[derive(Default, Deserialize)]
pub(super) struct NamedUser {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    #[serde(default, deserialize_with = "null_is_default")]
    client_certificate: String,
    #[serde(default, deserialize_with = "null_is_default")]
    client_certificate_data: Wiped,
    #[serde(default, deserialize_with = "null_is_default")]
    client_key: String,
    #[serde(default, deserialize_with = "null_is_default")]
    client_key_data: Wiped,
    #[serde(default, deserialize_with = "null_is_default")]
    token: Written,
    #[serde(default, deserialize_with = "null_is_default", rename = "tokenFile")]
    token_file: Written,
    #[serde(default, deserialize_with = "null_is_default")]
    username: Written,
    #[serde(default, deserialize_with = "null_is_default")]
    password: Written,
    #[serde(default)]
    exec: Option<IgnoredAny>,
    #[serde(default)]
    auth_provider: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
pub(super) struct NamedContext {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    context: Context,
}

#[derive(Default, Deserialize)]
struct Context {
    #[serde(default, deserialize_with = "null_is_default")]
    cluster: String,
    #[serde(default, deserialize_with = "null_is_default")]
    user: String,
}

impl Entry for NamedCluster {
    type Facts = ClusterFacts;

    fn name(&self) -> &str {
        &self.name
    }

    fn facts(self, problems: &mut Vec<KubeconfigProblem>) -> ClusterFacts {
        let Cluster { server, certificate_authority, certificate_authority_data, .. } = &self.cluster;
        let place = (Section::Cluster, self.name.as_str(), Field::CertificateAuthority);
        ClusterFacts {
            server: without_credentials(server),
            authority: material(place, &certificate_authority_data.0, certificate_authority, problems),
            insecure: self.cluster.insecure_skip_tls_verify,
            tls_server_name: Some(self.cluster.tls_server_name).filter(|name| !name.is_empty()),
        }
    }
}

impl Entry for NamedUser {
    type Facts = UserFacts;

    fn name(&self) -> &str {
        &self.name
    }

    fn facts(self, problems: &mut Vec<KubeconfigProblem>) -> UserFacts {
        let User { client_certificate, client_certificate_data, client_key, client_key_data, .. } =
            &self.user;
        let place = |field| (Section::User, self.name.as_str(), field);
        let has_certificate = !client_certificate.is_empty() || !client_certificate_data.0.is_empty();
        let has_key = !client_key.is_empty() || !client_key_data.0.is_empty();
        if has_certificate && !has_key {
            problems.push(KubeconfigProblem::CertificateWithoutKey { user: self.name.clone() });
        }
        UserFacts {
            certificate: material(
                place(Field::ClientCertificate),
                &client_certificate_data.0,
                client_certificate,
                problems,
            ),
            key: material(place(Field::ClientKey), &client_key_data.0, client_key, problems),
            has_token: self.user.token.0 || self.user.token_file.0,
            has_password: self.user.username.0 || self.user.password.0,
            has_program: self.user.exec.is_some() || self.user.auth_provider.is_some(),
        }
    }
}

impl Entry for NamedContext {
    type Facts = ContextFacts;

    fn name(&self) -> &str {
        &self.name
    }

    fn facts(self, _: &mut Vec<KubeconfigProblem>) -> ContextFacts {
        ContextFacts { cluster: self.context.cluster, user: self.context.user }
    }
}

/// A URL without the user name and password that may stand before its host.
fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") }
}

/// Text that is wiped when dropped.
#[derive(Default)]
struct Wiped(Zeroizing<String>);

impl<'de> Deserialize<'de> for Wiped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// Whether a text is written, and not the text.
#[derive(Default)]
struct Written(bool);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Looking;

        impl Visitor<'_> for Looking {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
                Ok(Written(!text.is_empty()))
            }
        }

        deserializer.deserialize_str(Looking)
    }
}
