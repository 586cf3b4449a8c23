//! The written form of replies, and of the secrets in them and in commands.
//!
//! What enters is a [`Reply`]; what leaves is its JSON, and the other way round. The types themselves cannot be serialised, and these forms can be neither made nor
//! printed: they only tell serde how. The form of commands follows from their list (`protocol/command.rs`). A secret is base64 in it, in memory that is wiped.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::command::{Reply, SharedIdentity, Slot};
use crate::types::secret::Secret;
use crate::x509::{Certificate, CertificateRequest, PublicKey};

/// How a [`Reply`] is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Reply", rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum WireReply {
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
pub(in crate::protocol) struct WireSharedIdentity {
    #[serde(with = "secret")]
    certificate: Secret,
    #[serde(with = "secret")]
    key: Secret,
}

/// How a [`Secret`] is written.
pub(in crate::protocol) mod secret {
    use std::fmt;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;
    use zeroize::Zeroizing;

    use crate::types::secret::Secret;

    pub(in crate::protocol) fn serialize<S: Serializer>(
        secret: &Secret,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(secret.reveal())))
    }

    pub(in crate::protocol) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret, D::Error> {
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
