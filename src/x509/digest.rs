//! SHA-256 digests: the name this program gives to a certificate or a public key. Bytes go in, a fixed value that prints as hex
//! comes out; it never stands for anything secret.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const PREFIX: &str = "sha256:";

/// A SHA-256 digest of public bytes. Prints as 64 lower-case hex digits; written to files as `sha256:HEX`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        let mut value = [0; 32];
        for (to, from) in value.iter_mut().zip(digest.as_ref()) {
            *to = *from;
        }
        Self(value)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 hex digits: for people, never for comparing.
    pub fn short(&self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl From<[u8; 32]> for Sha256 {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{self}")
    }
}

/// The text is no SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a SHA-256 digest: write 64 hex digits, with or without `sha256:` in front and colons between the bytes"
)]
pub struct DigestError;

/// Accepts `sha256:HEX` and `HEX`, in either case, with or without colons between the bytes.
impl FromStr for Sha256 {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix(PREFIX).unwrap_or(text);
        let digits = if hex.contains(':') {
            let bytes: Vec<&str> = hex.split(':').collect();
            if bytes.iter().any(|byte| byte.len() != 2) {
                return Err(DigestError);
            }
            bytes.concat()
        } else {
            hex.to_owned()
        };
        let mut value = [0; 32];
        hex::decode_to_slice(digits, &mut value).map_err(|_| DigestError)?;
        Ok(Self(value))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{PREFIX}{self}"))
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Sha256 {
    fn schema_name() -> Cow<'static, str> {
        "Sha256".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn prints_in_full_and_short() {
        let digest = Sha256::of(b"abc");
        assert_eq!((digest.to_string().as_str(), digest.short().as_str()), (ABC, "ba7816bf"));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"sha256:{ABC}\""));
    }

    #[test]
    fn reads_the_forms_that_people_paste() {
        let colons = ABC.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap().to_uppercase());
        let colons = colons.collect::<Vec<_>>().join(":");
        for text in [ABC, &format!("sha256:{ABC}"), &ABC.to_uppercase(), &colons, &format!("sha256:{colons}")]
        {
            assert_eq!(text.parse(), Ok(Sha256::of(b"abc")), "{text}");
        }
        for text in [
            "",
            "sha256:",
            "ba7816bf",
            &format!("{ABC}00"),
            &ABC.replace('b', "g"),
            &ABC.replacen('b', "b:", 1),
            "é",
        ] {
            assert_eq!(text.parse::<Sha256>(), Err(DigestError), "{text}");
        }
    }
}
