//! Signatures: an algorithm identifier, a public key, a message and a signature go in, a verdict comes out.
//!
//! Accepts what Go's `x509.Certificate.CheckSignatureFrom` accepts: RSA PKCS#1 v1.5 and PSS, ECDSA on P-256, P-384 and P-521, each with
//! SHA-256, SHA-384 and SHA-512, and Ed25519. SHA-1, MD5 and SHA-224 are refused by name (Go 1.18 and
//! later do not take SHA-1, no Go takes the others). A signature that this program has no
//! means to check is never called forged.

use std::fmt;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::AlgorithmIdentifier;

use super::algorithm::{KeyAlgorithm, PublicKey};
use super::asn1::dotted;

/// What signed a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SignatureAlgorithm {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ecdsa(Hash),
    Ed25519,
    /// Known, and refused by Go: by OpenSSL's name.
    Insecure(WeakHash, &'static str),
    /// By dotted object identifier or name.
    Unknown(String),
}

/// A hash whose signatures Go refuses: SHA-1 and MD5 as broken, SHA-224 because it does not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WeakHash {
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// MD5.
    Md5,
}

impl fmt::Display for WeakHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha224 => "SHA-224",
            Self::Md5 => "MD5",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It was not made by this key over these bytes.
    #[error("the signature does not fit the key")]
    Forged,
    /// Go refuses the algorithm whoever signed.
    #[error("the signature uses {algorithm}, which Go programs refuse")]
    InsecureAlgorithm {
        /// By OpenSSL's name.
        algorithm: String,
    },
    /// Neither good nor bad: there are no means here to tell.
    #[error("a signature with {algorithm} by a key of {key} cannot be checked")]
    CannotCheck {
        /// By OpenSSL's name or dotted object identifier.
        algorithm: String,
        /// The key's algorithm.
        key: KeyAlgorithm,
    },
}

impl SignatureAlgorithm {
    /// Reads an AlgorithmIdentifier.
    pub(super) fn new(identifier: &AlgorithmIdentifier<'_>) -> Self {
        let oid = dotted(identifier.algorithm.as_bytes());
        match oid.as_str() {
            "1.2.840.113549.1.1.11" => Self::RsaPkcs1(Hash::Sha256),
            "1.2.840.113549.1.1.12" => Self::RsaPkcs1(Hash::Sha384),
            "1.2.840.113549.1.1.13" => Self::RsaPkcs1(Hash::Sha512),
            "1.2.840.113549.1.1.10" => match pss_hash(identifier) {
                Some(hash) => Self::RsaPss(hash),
                None => Self::Unknown("rsassaPss with unusual parameters".into()),
            },
            "1.2.840.10045.4.3.2" => Self::Ecdsa(Hash::Sha256),
            "1.2.840.10045.4.3.3" => Self::Ecdsa(Hash::Sha384),
            "1.2.840.10045.4.3.4" => Self::Ecdsa(Hash::Sha512),
            "1.3.101.112" => Self::Ed25519,
            "1.2.840.113549.1.1.4" => Self::Insecure(WeakHash::Md5, "md5WithRSAEncryption"),
            "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => {
                Self::Insecure(WeakHash::Sha1, "sha1WithRSAEncryption")
            }
            "1.2.840.113549.1.1.14" => Self::Insecure(WeakHash::Sha224, "sha224WithRSAEncryption"),
            "1.2.840.10045.4.1" => Self::Insecure(WeakHash::Sha1, "ecdsa-with-SHA1"),
            "1.2.840.10045.4.3.1" => Self::Insecure(WeakHash::Sha224, "ecdsa-with-SHA224"),
            _ => Self::Unknown(oid),
        }
    }

    /// Whether `key` made `signature` over `message`.
    pub(super) fn verify(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        if let Self::Insecure(_, algorithm) = self {
            return Err(SignatureError::InsecureAlgorithm { algorithm: (*algorithm).to_owned() });
        }
        let Some(algorithm) = self.with_key(&key.algorithm) else {
            return Err(SignatureError::CannotCheck {
                algorithm: self.to_string(),
                key: key.algorithm.clone(),
            });
        };
        UnparsedPublicKey::new(algorithm, key.bits())
            .verify(message, signature)
            .map_err(|_| SignatureError::Forged)
    }

    /// The hash of a signature that Go refuses, and whether `key` made it; `None` there where that cannot be told.
    pub(super) fn weakness(
        &self,
        key: &PublicKey,
        message: &[u8],
        signature: &[u8],
    ) -> Option<(WeakHash, Option<bool>)> {
        let Self::Insecure(hash, _) = self else { return None };
        let is_rsa = matches!(key.algorithm, KeyAlgorithm::Rsa { bits: 1024..=8192 });
        let is_made_by = match hash {
            // To say who made it, never to trust it.
            WeakHash::Sha1 if is_rsa => {
                let algorithm = &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY;
                Some(UnparsedPublicKey::new(algorithm, key.bits()).verify(message, signature).is_ok())
            }
            WeakHash::Sha1 | WeakHash::Sha224 | WeakHash::Md5 => None,
        };
        Some((*hash, is_made_by))
    }

    fn with_key(&self, key: &KeyAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
        match self {
            Self::RsaPkcs1(hash) => rsa_pkcs1(*hash, key),
            Self::RsaPss(hash) => {
                let KeyAlgorithm::Rsa { bits: 2048..=8192 } = key else { return None };
                Some(match hash {
                    Hash::Sha256 => &signature::RSA_PSS_2048_8192_SHA256,
                    Hash::Sha384 => &signature::RSA_PSS_2048_8192_SHA384,
                    Hash::Sha512 => &signature::RSA_PSS_2048_8192_SHA512,
                })
            }
            Self::Ecdsa(hash) => ecdsa(*hash, key),
            Self::Ed25519 if *key == KeyAlgorithm::Ed25519 => Some(&signature::ED25519),
            Self::Ed25519 | Self::Insecure(..) | Self::Unknown(_) => None,
        }
    }
}

fn rsa_pkcs1(hash: Hash, key: &KeyAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match (hash, key) {
        (Hash::Sha256, KeyAlgorithm::Rsa { bits: 1024..2048 }) => {
            Some(&signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY)
        }
        (Hash::Sha512, KeyAlgorithm::Rsa { bits: 1024..2048 }) => {
            Some(&signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY)
        }
        (Hash::Sha256, KeyAlgorithm::Rsa { bits: 2048..=8192 }) => {
            Some(&signature::RSA_PKCS1_2048_8192_SHA256)
        }
        (Hash::Sha384, KeyAlgorithm::Rsa { bits: 2048..=8192 }) => {
            Some(&signature::RSA_PKCS1_2048_8192_SHA384)
        }
        (Hash::Sha512, KeyAlgorithm::Rsa { bits: 2048..=8192 }) => {
            Some(&signature::RSA_PKCS1_2048_8192_SHA512)
        }
        _ => None,
    }
}

fn ecdsa(hash: Hash, key: &KeyAlgorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match (key, hash) {
        (KeyAlgorithm::EcdsaP256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (KeyAlgorithm::EcdsaP256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (KeyAlgorithm::EcdsaP256, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
        (KeyAlgorithm::EcdsaP384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (KeyAlgorithm::EcdsaP384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (KeyAlgorithm::EcdsaP384, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
        (KeyAlgorithm::EcdsaP521, Hash::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
        (KeyAlgorithm::EcdsaP521, Hash::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
        (KeyAlgorithm::EcdsaP521, Hash::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        (KeyAlgorithm::Rsa { .. } | KeyAlgorithm::Ed25519 | KeyAlgorithm::Other(_), _) => return None,
    })
}

/// The hash of RSASSA-PSS parameters, if they are the only form Go takes: the same hash for the mask, a salt of its length, and the usual
/// trailer.
fn pss_hash(identifier: &AlgorithmIdentifier<'_>) -> Option<Hash> {
    let parameters = RsaSsaPssParams::try_from(identifier.parameters()?).ok()?;
    let mask = parameters.mask_gen_algorithm().ok()?;
    let (hash, length) = match dotted(parameters.hash_algorithm_oid().as_bytes()).as_str() {
        "2.16.840.1.101.3.4.2.1" => (Hash::Sha256, 32),
        "2.16.840.1.101.3.4.2.2" => (Hash::Sha384, 48),
        "2.16.840.1.101.3.4.2.3" => (Hash::Sha512, 64),
        _ => return None,
    };
    let usual = dotted(mask.mgf.as_bytes()) == "1.2.840.113549.1.1.8"
        && mask.hash == *parameters.hash_algorithm_oid()
        && parameters.salt_length() == length
        && parameters.trailer_field() == 1;
    usual.then_some(hash)
}

/// OpenSSL's name.
impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RsaPkcs1(Hash::Sha256) => "sha256WithRSAEncryption",
            Self::RsaPkcs1(Hash::Sha384) => "sha384WithRSAEncryption",
            Self::RsaPkcs1(Hash::Sha512) => "sha512WithRSAEncryption",
            Self::RsaPss(_) => "rsassaPss",
            Self::Ecdsa(Hash::Sha256) => "ecdsa-with-SHA256",
            Self::Ecdsa(Hash::Sha384) => "ecdsa-with-SHA384",
            Self::Ecdsa(Hash::Sha512) => "ecdsa-with-SHA512",
            Self::Ed25519 => "ED25519",
            Self::Insecure(_, name) => name,
            Self::Unknown(name) => name,
        })
    }
}
