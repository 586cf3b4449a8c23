//! Certificates: DER goes in, the same bytes and the facts in them come out.
//!
//! Parsed once, at the edge of the program; everything behind it works with [`CertificateFacts`]. Nothing here judges a certificate; it
//! only says, in [`CertificateFacts::defects`], why Go would not even read it. Bytes whose outer structure is broken are refused.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x509_parser::certificate::X509CertificateParser;
use x509_parser::error::X509Error;
use x509_parser::nom::Parser as _;
use x509_parser::time::ASN1Time;

use super::algorithm::{PublicKey, PublicKeyError, pem_text};
use super::asn1::{self, NotStrict};
use super::digest::Sha256;
use super::extensions::{
    AuthorityKeyId, BasicConstraints, ExtendedKeyUsage, Extensions, KeyUsage, NameConstraints, SubjectNames,
};
use super::name::Name;
use super::verify::{SignatureAlgorithm, SignatureError, WeakHash};

/// Longest certificate that is read, in bytes: a hundred times what real ones need.
pub const MAX_CERTIFICATE_BYTES: usize = 128 * 1024;

/// An X.509 certificate: its bytes and what they say. Cloning is cheap; equality and order are those of the bytes.
#[derive(Clone)]
pub struct Certificate(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    signed: Vec<u8>,
    signature: Vec<u8>,
    signature_algorithm: SignatureAlgorithm,
    fingerprint: Sha256,
    facts: CertificateFacts,
    /// The key (SPKI) that is known to have made the signature. Checking is the dearest thing that planning does, and many checks ask.
    signed_by: OnceLock<Sha256>,
}

/// What a certificate says.
#[derive(Debug, Clone)]
pub struct CertificateFacts {
    /// 1, 2 or 3.
    pub version: u8,
    /// Unique per issuer at best: kubeadm before 1.29 gives every CA the number 0.
    pub serial: Serial,
    /// Whom it is for.
    pub subject: Name,
    /// Who issued it.
    pub issuer: Name,
    /// First moment it is valid.
    pub not_before: Timestamp,
    /// Last moment it is valid; [`Timestamp::MAX`] also stands for the date without end (RFC 5280 4.1.2.5), 9999-12-31 23:59:59, which lies
    /// a day beyond it.
    pub not_after: Timestamp,
    /// The subject's public key.
    pub key: PublicKey,
    /// The issuer's signature algorithm by OpenSSL's name (`sha256WithRSAEncryption`), or its dotted object identifier.
    pub signature_algorithm: String,
    /// Present in every certificate of an authority.
    pub basic_constraints: Option<BasicConstraints>,
    /// Absent means unrestricted; Go takes an empty set as absent.
    pub key_usages: Option<BTreeSet<KeyUsage>>,
    /// Absent means unrestricted.
    pub extended_key_usages: Option<BTreeSet<ExtendedKeyUsage>>,
    /// Subject alternative names; empty without the extension.
    pub names: SubjectNames,
    /// Names the subject's key.
    pub subject_key_id: Option<Vec<u8>>,
    /// Names the issuer's key.
    pub authority_key_id: Option<AuthorityKeyId>,
    /// Limits the names below an authority.
    pub name_constraints: Option<NameConstraints>,
    /// Dotted object identifiers of critical extensions that Go does not know, so refuses in every chain.
    pub unknown_critical_extensions: Vec<String>,
    /// Subject and issuer are the same name. Says nothing about the signature.
    pub self_issued: bool,
    /// Why Go does not read this certificate at all, in words; empty for every sane certificate. Includes the invalid names.
    pub defects: Vec<String>,
}

impl CertificateFacts {
    /// Whether it is the certificate of an authority: a CA by its basic constraints, or of version 1 and self-issued, the form that
    /// roots had before there were extensions.
    pub fn is_ca(&self) -> bool {
        self.basic_constraints.map_or(self.version < 3 && self.self_issued, |constraints| constraints.ca)
    }

    /// Whether it is neither too early nor too late for it; the first and the last second count (RFC 5280, 4.1.2.5).
    pub fn is_in_time(&self, at: Timestamp) -> bool {
        self.not_before <= at && at <= self.not_after
    }
}

impl Certificate {
    /// Reads one DER certificate, with nothing before or after it.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.is_empty() {
            return Err(CertificateError::Empty);
        }
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge { bytes: der.len() });
        }
        parse(der).map(|inner| Self(Arc::new(inner)))
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// PEM with the label `CERTIFICATE`: lines of 64 columns, ended by a newline.
    pub fn to_pem(&self) -> String {
        pem_text("CERTIFICATE", self.der())
    }

    /// SHA-256 of the DER: the only name that tells two certificates of one authority apart.
    pub fn fingerprint(&self) -> &Sha256 {
        &self.0.fingerprint
    }

    /// What it says.
    pub fn facts(&self) -> &CertificateFacts {
        &self.0.facts
    }

    /// The bytes that the issuer signed.
    pub(super) fn signed(&self) -> &[u8] {
        &self.0.signed
    }

    /// Whether this key made the signature.
    pub(super) fn check_signature(&self, key: &PublicKey) -> Result<(), SignatureError> {
        if self.0.signed_by.get() == Some(&key.spki_sha256) {
            return Ok(());
        }
        self.0.signature_algorithm.verify(key, &self.0.signed, &self.0.signature)?;
        self.0.signed_by.get_or_init(|| key.spki_sha256);
        Ok(())
    }
}

impl Certificate {
    /// The hash of its signature where Go refuses that, and whether this key made it; `None` there where that cannot be told.
    pub(super) fn weakness(&self, key: &PublicKey) -> Option<(WeakHash, Option<bool>)> {
        self.0.signature_algorithm.weakness(key, &self.0.signed, &self.0.signature)
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl Eq for Certificate {}

impl PartialOrd for Certificate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Certificate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.der().cmp(other.der())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {})", self.fingerprint().short(), self.facts().subject)
    }
}

impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.der()))
    }
}

impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let der = STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Self::from_der(&der).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Certificate {
    fn schema_name() -> Cow<'static, str> {
        "Certificate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64", "description": "A certificate: DER in Base64" })
    }
}

/// A serial number. Prints as `openssl x509 -serial` does, in lower case: an even number of hex digits, `00` for zero, `-` in front of
/// a negative one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial(Vec<u8>);

impl Serial {
    /// The big-endian two's complement bytes as encoded.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is below zero, which RFC 5280 forbids and Go 1.23 and later refuse.
    pub fn is_negative(&self) -> bool {
        self.0.first().is_some_and(|first| first & 0x80 != 0)
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut magnitude = self.0.clone();
        if self.is_negative() {
            f.write_str("-")?;
            let mut carry = true;
            for byte in magnitude.iter_mut().rev() {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
        }
        let significant = magnitude.iter().skip_while(|byte| **byte == 0);
        if significant.clone().next().is_none() {
            return f.write_str("00");
        }
        significant.into_iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// Why bytes are not a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There are no bytes.
    #[error("no bytes where a certificate should be")]
    Empty,
    /// More than [`MAX_CERTIFICATE_BYTES`].
    #[error("{bytes} bytes are too many for a certificate (the limit is {MAX_CERTIFICATE_BYTES})")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// The structure is broken.
    #[error("not a DER certificate: {field}: {reason}")]
    Malformed {
        /// Which part of the certificate.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A date that does not exist, is not in UTC, or is out of range.
    #[error("{field} is no date of years 1 to 9999 in UTC: {text}")]
    Date {
        /// notBefore or notAfter.
        field: &'static str,
        /// The bytes of the date, escaped.
        text: String,
    },
    /// A version that does not exist.
    #[error("certificate version {version} does not exist")]
    Version {
        /// As encoded, plus one.
        version: u32,
    },
    /// The signed part and the signature name different algorithms.
    #[error("the signature algorithm inside the signed part is not the one outside")]
    SignatureAlgorithmsDiffer,
    /// The public key is broken.
    #[error("its public key cannot be read")]
    PublicKey(#[source] PublicKeyError),
}

fn parse(der: &[u8]) -> Result<Inner, CertificateError> {
    asn1::is_strict(der)?;
    let (_, parsed) = X509CertificateParser::new()
        .with_deep_parse_extensions(false)
        .parse(der)
        .map_err(|source| in_field("certificate")(X509Error::from(source)))?;
    let version = match parsed.version().0 {
        encoded @ 0..=2 => u8::try_from(encoded + 1).unwrap_or(3),
        encoded => return Err(CertificateError::Version { version: encoded.saturating_add(1) }),
    };
    let signature_algorithm = SignatureAlgorithm::new(&parsed.signature_algorithm);
    let issuer = Name::parse(parsed.issuer().as_raw()).map_err(in_field("issuer"))?;
    let subject = Name::parse(parsed.subject().as_raw()).map_err(in_field("subject"))?;
    let key = PublicKey::from_spki_der(parsed.public_key().raw).map_err(CertificateError::PublicKey)?;
    let serial = Serial(parsed.raw_serial().to_vec());
    let extensions = Extensions::new(parsed.extensions());

    let negative =
        serial.is_negative().then(|| "a negative serial number, which Go 1.23 and later refuse".into());
    let names = extensions.names.unwrap_or_default();
    let invalid_names = names.invalid.iter().map(|invalid| format!("subject alternative name: {invalid}"));
    let defects = [subject.defects(), issuer.defects(), &extensions.defects]
        .into_iter()
        .flatten()
        .cloned()
        .chain(invalid_names)
        .chain(negative)
        .collect();
    let facts = CertificateFacts {
        version,
        serial,
        self_issued: subject == issuer,
        defects,
        subject,
        issuer,
        not_before: timestamp(parsed.validity().not_before),
        not_after: timestamp(parsed.validity().not_after),
        key,
        signature_algorithm: signature_algorithm.to_string(),
        basic_constraints: extensions.basic_constraints,
        key_usages: extensions.key_usages,
        extended_key_usages: extensions.extended_key_usages,
        names,
        subject_key_id: extensions.subject_key_id,
        authority_key_id: extensions.authority_key_id,
        name_constraints: extensions.name_constraints,
        unknown_critical_extensions: extensions.unknown_critical,
    };
    Ok(Inner {
        der: der.to_vec(),
        signed: parsed.tbs_certificate.as_ref().to_vec(),
        signature: parsed.signature_value.as_ref().to_vec(),
        signature_algorithm,
        fingerprint: Sha256::of(der),
        facts,
        signed_by: OnceLock::new(),
    })
}

/// The date without end and whatever else is beyond what can be said becomes the last moment that can.
fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}

impl From<NotStrict> for CertificateError {
    fn from(fault: NotStrict) -> Self {
        match fault {
            NotStrict::Form(field, error) => in_field(field)(error),
            NotStrict::Date(field, bytes) => {
                let text = bytes.iter().take(32).flat_map(|byte| byte.escape_ascii()).map(char::from);
                Self::Date { field, text: text.collect() }
            }
            NotStrict::AlgorithmsDiffer => Self::SignatureAlgorithmsDiffer,
            NotStrict::LaterParts => in_field("version")(
                "a certificate of version 1 has neither extensions nor unique identifiers",
            ),
        }
    }
}

fn in_field<E: fmt::Display>(field: &'static str) -> impl Fn(E) -> CertificateError {
    move |source| CertificateError::Malformed { field, reason: source.to_string() }
}

#[cfg(test)]
mod tests {
    use der::asn1::AnyRef;
    use der::{Encode as _, Tag};
    use x509_parser::asn1_rs::FromDer as _;

    use super::*;

    fn read(tag: Tag, text: &str) -> Option<String> {
        let value = AnyRef::new(tag, text.as_bytes()).unwrap();
        let read = |der: Vec<u8>| timestamp(ASN1Time::from_der(&der).unwrap().1).to_string();
        asn1::is_date(value).then(|| read(value.to_der().unwrap()))
    }

    #[test]
    fn two_digit_years_turn_at_1950() {
        assert_eq!(read(Tag::UtcTime, "491231235959Z").unwrap(), "2049-12-31T23:59:59Z");
        assert_eq!(read(Tag::UtcTime, "500101000000Z").unwrap(), "1950-01-01T00:00:00Z");
        assert_eq!(read(Tag::UtcTime, "2601020304Z").unwrap(), "2026-01-02T03:04:00Z");
    }

    #[test]
    fn four_digit_years_reach_from_1_to_9999() {
        assert_eq!(read(Tag::GeneralizedTime, "21250101000000Z").unwrap(), "2125-01-01T00:00:00Z");
        assert_eq!(read(Tag::GeneralizedTime, "00010101000000Z").unwrap(), "0001-01-01T00:00:00Z");
        assert_eq!(read(Tag::GeneralizedTime, "99991231235959Z").unwrap(), Timestamp::MAX.to_string());
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "",
            "Z",
            "260230000000Z",
            "261301000000Z",
            "260101240000Z",
            "260101000060Z",
            "260101000000",
            "2601010000+1Z",
        ] {
            assert_eq!(read(Tag::UtcTime, text), None, "{text}");
        }
        for text in [
            "260101000000Z",
            "202601010000Z",
            "20260101000000.5Z",
            "20260101000000+0100",
            "2026010100000000Z",
        ] {
            assert_eq!(read(Tag::GeneralizedTime, text), None, "{text}");
        }
        assert_eq!(read(Tag::Ia5String, "260101000000Z"), None);
    }
}
