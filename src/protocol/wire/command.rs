//! The written form of orders and answers.
//!
//! What enters is an [`Order`] or an [`Answer`]; what leaves is its JSON, and the other way round. The types themselves cannot be serialised, and these forms
//! can be neither made nor printed: they only tell serde how. A secret is base64 in it, in memory that is wiped.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::protocol::command::{
    Answer, AuthorityFiles, IdentityCheck, Order, RequestContent, SharedIdentity, SignRequest, Slot, VisitId,
};
use crate::protocol::health_check::Gate;
use crate::types::certificate::{KeyAlgorithm, SubjectName};
use crate::types::non_empty::{NonEmpty, or_nothing};
use crate::types::scalars::FileMode;
use crate::types::secret::Secret;
use crate::types::storage::{FileSpec, Storage};
use crate::x509::{Certificate, CertificateRequest, PublicKey, Sha256};

/// How an [`Order`] is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Order", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(super) enum WireOrder {
    MakeDirectory {
        path: String,
        owner: String,
        group: String,
        mode: FileMode,
    },
    MakeLink {
        path: String,
        target: String,
    },
    MoveDirectory {
        link: String,
        path: String,
        keeps_old: bool,
    },
    MakeKeys {
        keys: BTreeMap<Slot, KeyAlgorithm>,
    },
    TakeKey {
        slot: Slot,
        storage: Storage,
    },
    WriteRequest {
        slot: Slot,
        request: Box<RequestContent>,
        file: FileSpec,
    },
    RemoveRequest {
        path: String,
    },
    Sign {
        authority: AuthorityFiles,
        request: Box<SignRequest>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        links: BTreeMap<String, String>,
    },
    Extend {
        authority: AuthorityFiles,
        certificate: Sha256,
        not_before: Timestamp,
        not_after: Timestamp,
        keeps_serial: bool,
    },
    WriteIdentity {
        slot: Slot,
        certificate: Certificate,
        chain: Vec<Certificate>,
        storage: Storage,
        #[serde(with = "or_nothing")]
        trusted: Option<NonEmpty<Certificate>>,
        cluster: String,
    },
    CopyIdentity {
        source: Storage,
        certificate: Sha256,
        target: Storage,
        #[serde(with = "or_nothing")]
        trusted: Option<NonEmpty<Certificate>>,
        cluster: String,
    },
    ReadSharedIdentity {
        storage: Storage,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        links: BTreeMap<String, String>,
    },
    WriteSharedIdentity {
        #[serde(with = "WireSharedIdentity")]
        content: SharedIdentity,
        certificate: Sha256,
        storage: Storage,
        #[serde(with = "or_nothing")]
        trusted: Option<NonEmpty<Certificate>>,
        cluster: String,
    },
    WriteTrusted {
        file: FileSpec,
        trusted: NonEmpty<Certificate>,
    },
    CreateAuthority {
        certificate: FileSpec,
        key: FileSpec,
        algorithm: KeyAlgorithm,
        subject: SubjectName,
        not_before: Timestamp,
        not_after: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<Sha256>,
    },
    RemoveCopy {
        path: String,
        of: String,
    },
    PurgeSnapshots {
        key: Sha256,
    },
    CreateKeyPair {
        private: FileSpec,
        public: FileSpec,
        algorithm: KeyAlgorithm,
    },
    WritePublicKey {
        private: FileSpec,
        public: FileSpec,
    },
    WriteCertificates {
        file: FileSpec,
        certificates: NonEmpty<Certificate>,
    },
    ReadShared {
        path: String,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        links: BTreeMap<String, String>,
    },
    WriteShared {
        file: FileSpec,
        #[serde(with = "secret")]
        content: Secret,
        key: Sha256,
    },
    #[cfg(test)]
    WriteText {
        file: FileSpec,
        #[serde(with = "secret")]
        content: Secret,
    },
    CheckKey {
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<Sha256>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        beside: Option<String>,
    },
    SetPermissions {
        file: FileSpec,
    },
    AnnotatePod {
        manifest: String,
        word: String,
    },
    Await {
        gates: BTreeSet<Gate>,
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        kept: BTreeSet<Gate>,
        settle_seconds: u64,
        timeout_seconds: u64,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        links: BTreeMap<String, String>,
    },
    Run {
        argv: Vec<String>,
        timeout_seconds: u64,
    },
    Check {
        identity: Box<IdentityCheck>,
    },
    Restore {
        from: VisitId,
        path: String,
    },
}

/// How an [`Answer`] is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Answer", rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum WireAnswer {
    Done,
    PublicKey(PublicKey),
    PublicKeys(BTreeMap<Slot, PublicKey>),
    Certificate(Certificate),
    Request(CertificateRequest),
    Shared(#[serde(with = "secret")] Secret),
    SharedIdentity(#[serde(with = "WireSharedIdentity")] SharedIdentity),
}

/// How a [`SharedIdentity`] is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "SharedIdentity", rename_all = "camelCase", deny_unknown_fields)]
struct WireSharedIdentity {
    #[serde(with = "secret")]
    certificate: Secret,
    #[serde(with = "secret")]
    key: Secret,
}

/// How a [`Secret`] is written.
mod secret {
    use std::fmt;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;
    use zeroize::Zeroizing;

    use crate::types::secret::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(secret.reveal())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        deserializer.deserialize_str(Encoded)
    }

    struct Encoded;

    impl Visitor<'_> for Encoded {
        type Value = Secret;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("base64")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
            // What is wrong with it would be told with a part of it.
            let decoded = STANDARD.decode(text).map(Zeroizing::new).map_err(|_| E::custom("not base64"))?;
            Ok(Secret::new(decoded))
        }
    }
}
