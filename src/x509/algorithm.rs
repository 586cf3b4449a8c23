//! Public keys and the names of their algorithms: a SubjectPublicKeyInfo goes in, algorithm and digest come out. Never a secret.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::RSA_ENCRYPTION;
use der::asn1::{AnyRef, BitStringRef, Null};
use der::pem::LineEnding;
use der::{Decode as _, Encode as _, Tag, Tagged as _};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use super::asn1::{RsaPublicKey, dotted};
use super::digest::Sha256;
use crate::types::certificate::NewKeyAlgorithm;

/// Dotted object identifiers of key algorithms and curves.
pub(super) mod oid {
    pub(crate) const RSA: &str = "1.2.840.113549.1.1.1";
    pub(crate) const RSA_PSS: &str = "1.2.840.113549.1.1.10";
    pub(crate) const EC: &str = "1.2.840.10045.2.1";
    pub(crate) const ED25519: &str = "1.3.101.112";
    pub(crate) const P256: &str = "1.2.840.10045.3.1.7";
    pub(crate) const P384: &str = "1.3.132.0.34";
    pub(crate) const P521: &str = "1.3.132.0.35";
}

/// What kind of key it is, and its size. Prints and is written as `rsa-2048`, `ecdsa-p256`, `ed25519`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// RSA with a modulus of so many bits.
    Rsa {
        /// Length of the modulus in bits.
        bits: u32,
    },
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
    /// Any other, by its usual name (`ecdsa-secp256k1`, `dsa`) or its dotted object identifier: read, never made or used.
    Other(String),
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "rsa-{bits}"),
            Self::EcdsaP256 => f.write_str("ecdsa-p256"),
            Self::EcdsaP384 => f.write_str("ecdsa-p384"),
            Self::EcdsaP521 => f.write_str("ecdsa-p521"),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// The text names no algorithm that this program works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a key algorithm: write rsa-2048, rsa-3072, rsa-4096, ecdsa-p256, ecdsa-p384, ecdsa-p521 or ed25519"
)]
pub struct KeyAlgorithmError;

/// Accepts what is printed for the algorithms this program works with, so never [`KeyAlgorithm::Other`].
impl FromStr for KeyAlgorithm {
    type Err = KeyAlgorithmError;

    fn from_str(text: &str) -> Result<Self, KeyAlgorithmError> {
        match text {
            "ecdsa-p256" => Ok(Self::EcdsaP256),
            "ecdsa-p384" => Ok(Self::EcdsaP384),
            "ecdsa-p521" => Ok(Self::EcdsaP521),
            "ed25519" => Ok(Self::Ed25519),
            rsa => match rsa.strip_prefix("rsa-").map(str::parse) {
                Some(Ok(bits)) if format!("rsa-{bits}") == rsa => Ok(Self::Rsa { bits }),
                _ => Err(KeyAlgorithmError),
            },
        }
    }
}

impl Serialize for KeyAlgorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads back what was written; a name that [`FromStr`] does not know becomes [`KeyAlgorithm::Other`].
impl<'de> Deserialize<'de> for KeyAlgorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.parse().unwrap_or(Self::Other(text)))
    }
}

impl JsonSchema for KeyAlgorithm {
    fn schema_name() -> Cow<'static, str> {
        "KeyAlgorithm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Such as rsa-2048 or ecdsa-p256; another word for one that pki makes no keys of" })
    }
}

/// A public key as certificates carry it. Two are the same when their SubjectPublicKeyInfo bytes are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey {
    /// What kind of key it is.
    pub algorithm: KeyAlgorithm,
    /// SHA-256 of the SubjectPublicKeyInfo: what `openssl pkey -pubout -outform DER | sha256sum` prints.
    pub spki_sha256: Sha256,
    spki: Vec<u8>,
    /// Contents of the BIT STRING, the form in which aws-lc-rs takes RSA, EC and Ed25519 keys.
    bits: Vec<u8>,
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo. A key of unknown algorithm is read; one whose structure is broken is refused.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        Self::parse(der).map_err(|source| PublicKeyError { reason: source.to_string() })
    }

    /// Reads a PKCS#1 RSAPublicKey, the contents of `RSA PUBLIC KEY`.
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, PublicKeyError> {
        spki(RSA_ENCRYPTION, Some(Null.into()), der)
            .and_then(|spki| Self::parse(&spki))
            .map_err(|source| PublicKeyError { reason: source.to_string() })
    }

    /// The DER SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// PEM with the label `PUBLIC KEY`, as in `sa.pub`: lines of 64 columns, ended by a newline.
    pub fn to_pem(&self) -> String {
        pem_text("PUBLIC KEY", &self.spki)
    }

    pub(super) fn bits(&self) -> &[u8] {
        &self.bits
    }

    fn parse(der: &[u8]) -> der::Result<Self> {
        let info = SubjectPublicKeyInfoRef::from_der(der)?;
        let bits = whole_bytes(info.subject_public_key)?;
        let algorithm = algorithm(&info.algorithm, bits)?;
        Ok(Self { algorithm, spki_sha256: Sha256::of(der), spki: der.to_vec(), bits: bits.to_vec() })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm, self.spki_sha256.short())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.spki))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let der = STANDARD.decode(text).map_err(de::Error::custom)?;
        Self::from_spki_der(&der).map_err(de::Error::custom)
    }
}

/// The bytes are no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a public key: {reason}")]
pub struct PublicKeyError {
    reason: String,
}

/// What an AlgorithmIdentifier and the key bytes say about a key.
fn algorithm(identifier: &AlgorithmIdentifierRef<'_>, bits: &[u8]) -> der::Result<KeyAlgorithm> {
    match dotted(identifier.oid.as_bytes()).as_str() {
        oid::RSA => {
            Ok(KeyAlgorithm::Rsa { bits: bit_length(RsaPublicKey::from_der(bits)?.modulus.as_bytes()) })
        }
        oid::EC => Ok(match identifier.parameters {
            Some(curve) if curve.tag() == Tag::ObjectIdentifier => {
                curve_algorithm(curve.decode_as::<ObjectIdentifier>()?)
            }
            Some(explicit) if explicit.tag() == Tag::Sequence => {
                KeyAlgorithm::Other("ecdsa-explicit-curve".into())
            }
            Some(_) | None => KeyAlgorithm::Other("ecdsa-without-curve".into()),
        }),
        other => Ok(named_algorithm(other)),
    }
}

/// The contents of a BIT STRING that holds whole bytes, as keys and signatures do.
pub(super) fn whole_bytes(bits: BitStringRef<'_>) -> der::Result<&[u8]> {
    bits.as_bytes().ok_or_else(|| Tag::BitString.value_error().into())
}

/// A key algorithm that needs no parameters to be named.
pub(super) fn named_algorithm(oid: &str) -> KeyAlgorithm {
    KeyAlgorithm::Other(match oid {
        oid::ED25519 => return KeyAlgorithm::Ed25519,
        oid::RSA_PSS => "rsa-pss".into(),
        "1.2.840.10040.4.1" => "dsa".into(),
        "1.3.101.113" => "ed448".into(),
        "1.3.101.110" => "x25519".into(),
        "1.3.101.111" => "x448".into(),
        "2.16.840.1.101.3.4.3.17" => "ml-dsa-44".into(),
        "2.16.840.1.101.3.4.3.18" => "ml-dsa-65".into(),
        "2.16.840.1.101.3.4.3.19" => "ml-dsa-87".into(),
        other => other.to_owned(),
    })
}

/// The algorithm of a key on this curve.
pub(super) fn curve_algorithm(oid: ObjectIdentifier) -> KeyAlgorithm {
    match dotted(oid.as_bytes()).as_str() {
        oid::P256 => KeyAlgorithm::EcdsaP256,
        oid::P384 => KeyAlgorithm::EcdsaP384,
        oid::P521 => KeyAlgorithm::EcdsaP521,
        "1.3.132.0.33" => KeyAlgorithm::Other("ecdsa-p224".into()),
        "1.3.132.0.10" => KeyAlgorithm::Other("ecdsa-secp256k1".into()),
        other => KeyAlgorithm::Other(format!("ecdsa-{other}")),
    }
}

/// Number of significant bits of a big-endian number.
pub(super) fn bit_length(magnitude: &[u8]) -> u32 {
    let significant = magnitude.iter().skip_while(|byte| **byte == 0);
    let first = significant.clone().next().map_or(0, |first| 8 - first.leading_zeros());
    let following = u32::try_from(significant.count().saturating_sub(1)).unwrap_or(u32::MAX / 8);
    following * 8 + first
}

/// The DER SubjectPublicKeyInfo of a key.
pub(super) fn spki(
    oid: ObjectIdentifier,
    parameters: Option<AnyRef<'_>>,
    bits: &[u8],
) -> der::Result<Vec<u8>> {
    let subject_public_key = BitStringRef::from_bytes(bits)?;
    SubjectPublicKeyInfoRef { algorithm: AlgorithmIdentifierRef { oid, parameters }, subject_public_key }
        .to_der()
}

/// PEM as OpenSSL writes it, for public contents only: the text is not wiped.
pub(super) fn pem_text(label: &'static str, der: &[u8]) -> String {
    // Fails only for a label that is none, or gigabytes of contents: callers have neither.
    der::pem::encode_string(label, LineEnding::LF, der).unwrap_or_default()
}

impl NewKeyAlgorithm {
    /// The algorithm of an existing key, if new keys of it are made.
    pub fn of_key(found: &KeyAlgorithm) -> Option<Self> {
        let made =
            [Self::Rsa2048, Self::Rsa3072, Self::Rsa4096, Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519];
        made.into_iter().find(|made| KeyAlgorithm::from(*made) == *found)
    }
}

impl From<NewKeyAlgorithm> for KeyAlgorithm {
    fn from(algorithm: NewKeyAlgorithm) -> Self {
        match algorithm {
            NewKeyAlgorithm::Rsa2048 => Self::Rsa { bits: 2048 },
            NewKeyAlgorithm::Rsa3072 => Self::Rsa { bits: 3072 },
            NewKeyAlgorithm::Rsa4096 => Self::Rsa { bits: 4096 },
            NewKeyAlgorithm::EcdsaP256 => Self::EcdsaP256,
            NewKeyAlgorithm::EcdsaP384 => Self::EcdsaP384,
            NewKeyAlgorithm::Ed25519 => Self::Ed25519,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn algorithms_are_written_and_read_by_name() {
        for name in ["rsa-1024", "rsa-2048", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519"] {
            assert_eq!(name.parse::<KeyAlgorithm>().unwrap().to_string(), name);
            let json = format!("\"{name}\"");
            assert_eq!(
                serde_json::to_string(&serde_json::from_str::<KeyAlgorithm>(&json).unwrap()).unwrap(),
                json
            );
        }
        for name in ["", "rsa", "rsa-", "rsa-02048", "RSA-2048", "ecdsa-p224", "dsa"] {
            assert_eq!(name.parse::<KeyAlgorithm>(), Err(KeyAlgorithmError), "{name}");
        }
        assert_eq!(
            serde_json::from_str::<KeyAlgorithm>("\"dsa\"").unwrap(),
            KeyAlgorithm::Other("dsa".into())
        );
    }

    #[test]
    fn bits_are_counted_from_the_first_one() {
        assert_eq!(
            [bit_length(&[]), bit_length(&[0, 0]), bit_length(&[1]), bit_length(&[0, 0x80, 0])],
            [0, 0, 1, 16]
        );
    }
}
