//! The written form of the secrets in commands and replies.
//!
//! What enters is a [`Secret`]; what leaves is base64, in memory that is wiped, and the other way round. The types themselves cannot be serialised, and these
//! forms can be neither made nor printed: they only tell serde how.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::protocol::shared_identity::SharedIdentity;
use crate::protocol::wire::secret;
use crate::types::secret::Secret;

/// How a [`SharedIdentity`] is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "SharedIdentity", rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::protocol) struct WireSharedIdentity {
    #[serde(with = "secret")]
    certificate: Secret,
    #[serde(with = "secret")]
    key: Secret,
}

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
