//! What a reason tells of a CA that is nobody's of the cluster: which one it is, and what its owner can do.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::names::ServiceName;
use crate::x509::Sha256;

/// Who is judged by the CA certificates of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Judges {
    /// Clients, perhaps servers too.
    Clients,
    /// Servers alone.
    Servers,
    /// Nothing says who.
    #[default]
    Unknown,
}

/// A CA certificate in a trust bundle that is nobody's of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stray {
    /// The certificate.
    pub fingerprint: Sha256,
    /// Its subject.
    pub subject: String,
    /// The file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Who is judged by that file.
    #[serde(default)]
    pub judges: Judges,
    /// The services that do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<ServiceName>,
    /// The services that sign with that file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signs: Vec<ServiceName>,
    /// When it ended; none while it can still vouch for somebody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
}

/// What the owner of a foreign CA can do.
pub(super) fn power(judges: Judges) -> &'static str {
    match judges {
        Judges::Clients => "whoever holds its key is let in as any client",
        Judges::Servers => "whoever holds its key can pass for a server",
        Judges::Unknown => "nothing says who is judged by this file, so whoever holds its key may be let in",
    }
}
