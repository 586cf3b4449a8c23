//! What needs randomness: an algorithm goes in, a new private key comes out; serial numbers are drawn. Also the PEM text of a private key.
//!
//! The only part of [`x509`](super) that is not pure. Randomness comes from aws-lc-rs alone. Every copy of a key that is made here is wiped;
//! no key is ever printed, and none leaves as bytes but by [`PrivateKey::to_pem`].

use std::fmt;

use aws_lc_rs::encoding::{AsDer, EcPrivateKeyRfc5915Der, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, RsaKeyPair};
use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use super::key::{KeyError, PrivateKey, Secret};
use crate::types::certificate::NewKeyAlgorithm;

/// Most bytes of a serial number (RFC 5280 4.1.2.2).
const SERIAL_BYTES: usize = 20;

/// Why nothing could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenerateError {
    /// The cryptographic library made no key.
    #[error("no key of {algorithm} could be made")]
    Key {
        /// Of which algorithm.
        algorithm: NewKeyAlgorithm,
    },
    /// The cryptographic library made a key that does not read back.
    #[error("the new key of {algorithm} cannot be read back")]
    Unreadable {
        /// Of which algorithm.
        algorithm: NewKeyAlgorithm,
        /// Why not.
        #[source]
        source: KeyError,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// A private key could not be written as PEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot be written as PEM")]
pub struct KeyPemError;

impl PrivateKey {
    /// Makes a new key. RSA takes 50 ms to 1 s, the others less than 1 ms.
    pub fn generate(algorithm: NewKeyAlgorithm) -> Result<Self, GenerateError> {
        let der = new_key(algorithm).map_err(|Unspecified| GenerateError::Key { algorithm })?;
        Self::from_der(&der).map_err(|source| GenerateError::Unreadable { algorithm, source })
    }

    /// PEM as kubeadm 1.19 and later write keys: `RSA PRIVATE KEY` (PKCS#1), `EC PRIVATE KEY` (SEC1 with curve and public key). Ed25519, which
    /// kubeadm never makes, is `PRIVATE KEY` in PKCS#8 version 1: OpenSSL 3.0 does not read version 2.
    ///
    /// Not the bytes that the key was read from. Leave a key file alone when its key stays.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyPemError> {
        match &self.secret {
            Secret::Rsa(pkcs1) => pem("RSA PRIVATE KEY", pkcs1),
            Secret::Ecdsa(algorithm, der) => {
                let pair =
                    EcdsaKeyPair::from_private_key_der(algorithm, der).map_err(|_rejected| KeyPemError)?;
                pem("EC PRIVATE KEY", &sec1(&pair).map_err(|Unspecified| KeyPemError)?)
            }
            Secret::Ed25519(seed) => {
                let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_rejected| KeyPemError)?;
                pem("PRIVATE KEY", pair.to_pkcs8v1().map_err(|Unspecified| KeyPemError)?.as_ref())
            }
        }
    }
}

/// The DER of a new key, in the structure that [`PrivateKey::to_pem`] writes.
fn new_key(algorithm: NewKeyAlgorithm) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    match algorithm {
        NewKeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048),
        NewKeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072),
        NewKeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096),
        NewKeyAlgorithm::EcdsaP256 => ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        NewKeyAlgorithm::EcdsaP384 => ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        NewKeyAlgorithm::Ed25519 => {
            Ok(Zeroizing::new(Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref().to_vec()))
        }
    }
}

fn rsa(size: KeySize) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let pkcs8: Pkcs8V1Der<'static> = RsaKeyPair::generate(size)?.as_der()?;
    // The octets inside PKCS#8 are PKCS#1.
    let info = pkcs8::PrivateKeyInfoRef::try_from(pkcs8.as_ref()).map_err(|_malformed| Unspecified)?;
    Ok(Zeroizing::new(info.private_key.as_bytes().to_vec()))
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    sec1(&EcdsaKeyPair::generate(algorithm)?)
}

fn sec1(pair: &EcdsaKeyPair) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let der: EcPrivateKeyRfc5915Der<'static> = pair.private_key().as_der()?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// PEM of a secret: a buffer of the final size, so that no copy is left behind by growing.
fn pem(label: &str, der: &[u8]) -> Result<Zeroizing<String>, KeyPemError> {
    let length = pem_rfc7468::encoded_len(label, LineEnding::LF, der).map_err(|_| KeyPemError)?;
    let mut buffer = Zeroizing::new(vec![0; length]);
    let text = pem_rfc7468::encode(label, LineEnding::LF, der, &mut buffer).map_err(|_| KeyPemError)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A serial number to issue with: positive, and no longer than the 20 bytes that RFC 5280 4.1.2.2 allows. Prints as lower-case hex.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SerialNumber(Vec<u8>);

/// The bytes are no serial number to issue with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a serial number must be above zero and fit into 159 bits")]
pub struct SerialNumberError;

impl SerialNumber {
    /// Draws one of 159 bits. The highest is always set, so that all are of one length and none is zero; 158 are random.
    pub fn random() -> Result<Self, GenerateError> {
        let mut bytes = vec![0; SERIAL_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|Unspecified| GenerateError::Random)?;
        if let Some(first) = bytes.first_mut() {
            *first = *first & 0x7f | 0x40;
        }
        Ok(Self(bytes))
    }

    /// The number of these big-endian bytes, which are taken as unsigned.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SerialNumberError> {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let magnitude = bytes.get(zeros..).unwrap_or_default();
        let Some(first) = magnitude.first() else { return Err(SerialNumberError) };
        let sign: &[u8] = if first & 0x80 == 0 { &[] } else { &[0] };
        let encoded = [sign, magnitude].concat();
        if encoded.len() > SERIAL_BYTES { Err(SerialNumberError) } else { Ok(Self(encoded)) }
    }

    /// The big-endian two's complement bytes as they are encoded.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.0.strip_prefix(&[0]).unwrap_or(&self.0);
        magnitude.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SerialNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SerialNumber({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_positive_and_fit_into_159_bits() {
        for (bytes, encoded) in
            [(&[1][..], &[1][..]), (&[0, 0, 1], &[1]), (&[0x80], &[0, 0x80]), (&[0x7f; 20], &[0x7f; 20])]
        {
            assert_eq!(SerialNumber::from_bytes(bytes).unwrap().as_bytes(), encoded);
        }
        for bytes in [&[][..], &[0, 0], &[0x80; 20], &[1; 21]] {
            assert_eq!(SerialNumber::from_bytes(bytes), Err(SerialNumberError));
        }
        assert_eq!(SerialNumber::from_bytes(&[0x80, 1]).unwrap().to_string(), "8001");
    }

    #[test]
    fn drawn_serial_numbers_differ() {
        let drawn: std::collections::BTreeSet<_> =
            (0..2000).map(|_| SerialNumber::random().unwrap()).collect();
        assert_eq!(drawn.len(), 2000);
        for serial in &drawn {
            assert_eq!((serial.as_bytes().len(), serial.as_bytes()[0] & 0xc0), (20, 0x40));
            assert_eq!(&SerialNumber::from_bytes(serial.as_bytes()).unwrap(), serial);
        }
    }
}
