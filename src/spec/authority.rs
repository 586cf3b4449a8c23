//! What a spec says of an authority: a CA, how it is renewed, who else is trusted beside it, and who uses it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::places::{CertificateFile, Consumer, Files, Placement};
use crate::types::certificate::{NewKeyAlgorithm, SubjectName};
use crate::types::duration::Duration;
use crate::types::names::{ConsumerName, CopyName};

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A CA.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authority {
    /// How long a new certificate of this authority is valid; `defaults.authorityValidity` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validity: Option<Duration>,
    /// The authority is due for `onExpiry` once its remaining life is at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_before: Option<Duration>,
    /// `status` raises an alarm about it once its remaining life is at most this; `defaults.authorityAlarmBefore` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm_before: Option<Duration>,
    /// The algorithm of a new key; `defaults.keyAlgorithm` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_algorithm: Option<NewKeyAlgorithm>,
    /// The subject of a new certificate, where it differs from the profile's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectName>,
    /// The files, for an authority that the profile does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// Further files on the same nodes that hold the same certificates, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub copies: BTreeMap<CopyName, CertificateFile>,
    /// The nodes that hold it, for an authority that the profile does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<Placement>,
    /// An own root CA, instead of one that `pki` makes: where its certificate and key are read from, on the machine that runs `pki`. It is put on the
    /// nodes of a cluster that has none yet. Another CA of etcd that is there is replaced by it in phases; of another authority it blocks the plan.
    /// An intermediate CA stands first in its file, and behind it what is above it, up to the root; nodes trust the intermediate alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The key is elsewhere: certificates are requested with CSRs and brought back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external: bool,
    /// Everything that this authority issued before this instant is reissued. An instant in the future is refused.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::types::scalars::instant"
    )]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub reissue_issued_before: Option<Timestamp>,
    /// CA certificates that must go, by `sha256:` fingerprint, each with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub distrust: BTreeMap<String, String>,
    /// CA certificates that are trusted beside this authority's own, by `sha256:` fingerprint, each with the reason, such as a company's CA for users. They
    /// stay where they are and raise no alarm. They are never written here: put each into the file of every node whose users it signs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub also_trusts: BTreeMap<String, String>,
    /// What happens when the authority itself is about to expire.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_expiry: OnExpiry,
    /// How long an old and a new CA are both trusted before the old one is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Duration>,
    /// Who else uses it and is not managed here, besides those that the profile knows. A CA is not dropped while one of them needs it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consumers: BTreeMap<ConsumerName, Consumer>,
    /// Consumers that are not waited for, each with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waive: BTreeMap<ConsumerName, String>,
}

/// What happens when an authority is about to expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnExpiry {
    /// The same key is signed again for a new period: every certificate stays valid.
    #[default]
    Extend,
    /// A new key replaces the old one, with both trusted for a while.
    Replace,
}

/// Where an own root CA is read from: both files or neither. It signs itself, may issue certificates, and has five to ten years left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The certificate, absolute or relative to the folder of the spec: one PEM block. It is read by every command that reads the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The private key, absolute or relative to the folder of the spec, without a passphrase. Opened only by `pki apply`, once it was approved, and only
    /// when the root is put on a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}
