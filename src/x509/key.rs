//! Private keys: the DER of a key goes in, its public key and signatures come out; the secret itself never does.
//!
//! Reads PKCS#1, SEC1 and PKCS#8 (versions 1 and 2) as OpenSSL and Go write them. The kind is told by the structure, not by a PEM label, as
//! in Go's `tls.X509KeyPair`. The bytes are wiped when a key is dropped; a key is not `Clone`, not `Serialize`, and its `Debug` says only
//! which algorithm it is for.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5912::{ID_EC_PUBLIC_KEY, SECP_256_R_1, SECP_384_R_1, SECP_521_R_1};
use const_oid::db::rfc8410::ID_ED_25519;
use der::asn1::{AnyRef, OctetStringRef};
use der::{Decode as _, Encode as _, Tag, Tagged as _};
use pkcs8::PrivateKeyInfoRef;
use x509_cert::spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use super::algorithm::{
    KeyAlgorithm, PublicKey, PublicKeyError, curve_algorithm, named_algorithm, oid, spki,
};
use super::asn1::{EcPrivateKey, RsaPrivateKey, RsaPublicKey, dotted};

/// Sizes of RSA keys, in bits, that this program signs with; kubeadm makes 2048, 3072 and 4096.
const RSA_SIGNING_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// A private key.
pub struct PrivateKey {
    pub(super) secret: Secret,
    public: PublicKey,
    encoding: KeyEncoding,
}

/// In which structure a private key was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyEncoding {
    /// RSAPrivateKey, `RSA PRIVATE KEY`.
    Pkcs1,
    /// ECPrivateKey, `EC PRIVATE KEY`.
    Sec1,
    /// PrivateKeyInfo, `PRIVATE KEY`.
    Pkcs8,
}

pub(super) enum Secret {
    /// PKCS#1.
    Rsa(Zeroizing<Vec<u8>>),
    /// A form that aws-lc-rs loads: PKCS#8, or SEC1 where the curve is spelled out in it.
    Ecdsa(&'static EcdsaSigningAlgorithm, Zeroizing<Vec<u8>>),
    /// The 32 bytes.
    Ed25519(Zeroizing<Vec<u8>>),
}

/// Why bytes are not a private key that can be read. Never tells anything of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The structure is broken.
    #[error("not a private key in PKCS#1, SEC1 or PKCS#8: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: String,
    },
    /// A passphrase is needed.
    #[error("the private key is encrypted with a passphrase")]
    Encrypted,
    /// An algorithm that this program, or Go's `crypto/tls`, does not work with.
    #[error("a private key of {algorithm} is not supported")]
    Unsupported {
        /// Which one.
        algorithm: KeyAlgorithm,
    },
    /// Well-formed, but its numbers do not belong together.
    #[error("the numbers of the {algorithm} private key do not fit each other")]
    Inconsistent {
        /// What the key says it is.
        algorithm: KeyAlgorithm,
    },
}

/// Why a key cannot sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Too short to be safe.
    #[error("RSA key of {bits} bits: too short to sign with, at least {} are needed", RSA_SIGNING_BITS.start())]
    RsaTooShort {
        /// Length of its modulus.
        bits: u32,
    },
    /// Longer than the cryptographic library takes.
    #[error("RSA key of {bits} bits: too long to sign with, at most {} are possible", RSA_SIGNING_BITS.end())]
    RsaTooLong {
        /// Length of its modulus.
        bits: u32,
    },
    /// The cryptographic library failed.
    #[error("signing with the {algorithm} key failed")]
    Failed {
        /// The key's algorithm.
        algorithm: KeyAlgorithm,
    },
}

impl PrivateKey {
    /// Reads one DER private key, with nothing before or after it.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        Self::from_der_after_parameters(der, None)
    }

    /// Reads a key that may follow an `EC PARAMETERS` block, which names the curve where the key itself does not.
    pub(super) fn from_der_after_parameters(der: &[u8], parameters: Option<&[u8]>) -> Result<Self, KeyError> {
        let fields: Vec<AnyRef<'_>> = Vec::from_der(der)?;
        match *fields.iter().map(|field| field.tag()).collect::<Vec<_>>() {
            [Tag::Sequence, ..] => Err(KeyError::Encrypted),
            [_, Tag::Sequence, ..] => from_pkcs8(der),
            [_, Tag::OctetString, ..] => {
                let outside = parameters.map(AnyRef::from_der).transpose()?;
                from_sec1(der, outside, KeyEncoding::Sec1)
            }
            _ => from_pkcs1(der, KeyEncoding::Pkcs1),
        }
    }

    /// The public half, by which a key is matched with its certificate.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// What kind of key it is.
    pub fn algorithm(&self) -> &KeyAlgorithm {
        &self.public.algorithm
    }

    /// In which structure it was found.
    pub fn encoding(&self) -> KeyEncoding {
        self.encoding
    }

    /// Signs as kubeadm's keys do: RSA with PKCS#1 v1.5 and SHA-256, P-256 with SHA-256, P-384 with SHA-384, P-521 with SHA-512, Ed25519.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = || SignError::Failed { algorithm: self.algorithm().clone() };
        match &self.secret {
            Secret::Rsa(pkcs1) => {
                if let KeyAlgorithm::Rsa { bits } = *self.algorithm() {
                    if bits < *RSA_SIGNING_BITS.start() {
                        return Err(SignError::RsaTooShort { bits });
                    }
                    if bits > *RSA_SIGNING_BITS.end() {
                        return Err(SignError::RsaTooLong { bits });
                    }
                }
                let pair = RsaKeyPair::from_der(pkcs1).map_err(|_| failed())?;
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out)
                    .map_err(|_| failed())?;
                Ok(out)
            }
            Secret::Ecdsa(algorithm, der) => {
                let pair = EcdsaKeyPair::from_private_key_der(algorithm, der).map_err(|_| failed())?;
                Ok(pair.sign(&SystemRandom::new(), message).map_err(|_| failed())?.as_ref().to_vec())
            }
            Secret::Ed25519(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| failed())?;
                Ok(pair.try_sign(message).map_err(|_| failed())?.as_ref().to_vec())
            }
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, redacted)", self.algorithm())
    }
}

impl From<der::Error> for KeyError {
    fn from(source: der::Error) -> Self {
        Self::Malformed { reason: source.to_string() }
    }
}

impl From<PublicKeyError> for KeyError {
    fn from(source: PublicKeyError) -> Self {
        Self::Malformed { reason: source.to_string() }
    }
}

fn from_pkcs8(der: &[u8]) -> Result<PrivateKey, KeyError> {
    let info = PrivateKeyInfoRef::from_der(der)?;
    let secret = info.private_key.as_bytes();
    match dotted(info.algorithm.oid.as_bytes()).as_str() {
        oid::RSA => from_pkcs1(secret, KeyEncoding::Pkcs8),
        oid::EC => from_sec1(secret, info.algorithm.parameters, KeyEncoding::Pkcs8),
        oid::ED25519 => from_ed25519(secret),
        other => Err(KeyError::Unsupported { algorithm: named_algorithm(other) }),
    }
}

fn from_pkcs1(der: &[u8], encoding: KeyEncoding) -> Result<PrivateKey, KeyError> {
    let key = RsaPrivateKey::from_der(der)?;
    if key.version != 0 || key.other_primes.is_some() {
        return Err(KeyError::Malformed { reason: "an RSA key of more than two primes".into() });
    }
    let public = RsaPublicKey { modulus: key.modulus, exponent: key.exponent };
    let public = PublicKey::from_pkcs1_der(&public.to_der()?)?;
    let checkable =
        matches!(public.algorithm, KeyAlgorithm::Rsa { bits } if RSA_SIGNING_BITS.contains(&bits));
    if checkable && RsaKeyPair::from_der(der).is_err() {
        return Err(KeyError::Inconsistent { algorithm: public.algorithm });
    }
    Ok(PrivateKey { secret: Secret::Rsa(Zeroizing::new(der.to_vec())), public, encoding })
}

/// An ECPrivateKey; `outside` are curve parameters that stand around or before it.
fn from_sec1(der: &[u8], outside: Option<AnyRef<'_>>, encoding: KeyEncoding) -> Result<PrivateKey, KeyError> {
    let key = EcPrivateKey::from_der(der)?;
    if key.version != 1 {
        return Err(KeyError::Malformed { reason: "an elliptic curve key of an unknown version".into() });
    }
    let Some(parameters) = key.parameters.or(outside) else {
        return Err(KeyError::Malformed {
            reason: "an elliptic curve key that does not say which curve".into(),
        });
    };
    let candidates = [
        (KeyAlgorithm::EcdsaP256, SECP_256_R_1, &signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        (KeyAlgorithm::EcdsaP384, SECP_384_R_1, &signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        (KeyAlgorithm::EcdsaP521, SECP_521_R_1, &signature::ECDSA_P521_SHA512_ASN1_SIGNING),
    ];
    // A curve that is spelled out instead of named is recognised by aws-lc-rs if it is one of the three.
    let spelled_out = parameters.tag() == Tag::Sequence;
    let named =
        if spelled_out { None } else { Some(curve_algorithm(parameters.decode_as::<ObjectIdentifier>()?)) };
    for (algorithm, curve, signing) in candidates {
        if named.as_ref().is_some_and(|named| *named != algorithm) {
            continue;
        }
        let loadable = if spelled_out && key.parameters.is_some() {
            Zeroizing::new(der.to_vec())
        } else {
            let algorithm = AlgorithmIdentifierRef { oid: ID_EC_PUBLIC_KEY, parameters: Some(parameters) };
            let info: PrivateKeyInfoRef<'_> = PrivateKeyInfoRef::new(algorithm, OctetStringRef::new(der)?);
            Zeroizing::new(info.to_der()?)
        };
        let Ok(pair) = EcdsaKeyPair::from_private_key_der(signing, &loadable) else {
            continue;
        };
        let public = spki(ID_EC_PUBLIC_KEY, Some((&curve).into()), pair.public_key().as_ref())?;
        let public = PublicKey::from_spki_der(&public)?;
        return Ok(PrivateKey { secret: Secret::Ecdsa(signing, loadable), public, encoding });
    }
    match named {
        Some(algorithm @ KeyAlgorithm::Other(_)) => Err(KeyError::Unsupported { algorithm }),
        Some(algorithm) => Err(KeyError::Inconsistent { algorithm }),
        None => Err(KeyError::Unsupported { algorithm: KeyAlgorithm::Other("ecdsa-explicit-curve".into()) }),
    }
}

fn from_ed25519(octets: &[u8]) -> Result<PrivateKey, KeyError> {
    let seed = <&OctetStringRef>::from_der(octets)?.as_bytes();
    let inconsistent = || KeyError::Inconsistent { algorithm: KeyAlgorithm::Ed25519 };
    if seed.len() != 32 {
        return Err(inconsistent());
    }
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| inconsistent())?;
    let public = PublicKey::from_spki_der(&spki(ID_ED_25519, None, pair.public_key().as_ref())?)?;
    Ok(PrivateKey {
        secret: Secret::Ed25519(Zeroizing::new(seed.to_vec())),
        public,
        encoding: KeyEncoding::Pkcs8,
    })
}
