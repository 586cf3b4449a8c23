//! The DER of what is signed: names, dates, extensions and keys go in, signed structures come out.
//!
//! Structures of the standard are derived; a part that must stay as it is (the issuer's name above all) is copied as raw bytes and never
//! decoded. `rcgen` is not used here: it keeps one value per kind of attribute, so it changes names that have two (rcgen issue 81).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use const_oid::AssociatedOid;
use const_oid::db::{rfc4519, rfc5280, rfc5912, rfc8410};
use der::asn1::{Any, AnyRef, BitStringRef, Ia5String, ObjectIdentifier, OctetString, PrintableStringRef};
use der::{Decode, Encode, Sequence, Tag};
use jiff::Timestamp;
use x509_cert::Version;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::Rfc5280;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};
use x509_cert::name::{RdnSequence, RelativeDistinguishedName};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::{Time, Validity};

use super::{IssueError, Refusal};
use crate::types::certificate::{SubjectName, Usage};
use crate::x509::asn1;
use crate::x509::{Certificate, KeyAlgorithm, PrivateKey, SerialNumber};

/// First second of 2050, since 1970: from then on dates are GeneralizedTime (RFC 5280 4.1.2.5).
const YEAR_2050: u64 = 2_524_608_000;

/// TBSCertificate, with everything but the version as raw bytes. (`x509_cert::TbsCertificate` has no public fields, and would decode the names.)
#[derive(Sequence)]
pub(super) struct ToBeSigned<'a> {
    #[asn1(context_specific = "0", default = "Default::default")]
    pub(super) version: Version,
    pub(super) serial: AnyRef<'a>,
    pub(super) algorithm: AnyRef<'a>,
    pub(super) issuer: AnyRef<'a>,
    pub(super) validity: AnyRef<'a>,
    pub(super) subject: AnyRef<'a>,
    pub(super) public_key: AnyRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) issuer_unique_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) subject_unique_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(super) extensions: Option<Vec<AnyRef<'a>>>,
}

/// Signs an encoded TBSCertificate or CertificationRequestInfo, which must name the algorithm of this key.
pub(super) fn sign(contents: &[u8], key: &PrivateKey) -> Result<Vec<u8>, IssueError> {
    let algorithm = signature_algorithm(key.algorithm())?;
    let signature = key.sign(contents).map_err(IssueError::Sign)?;
    let signed = asn1::Certificate {
        signed: raw(contents)?,
        algorithm: raw(&algorithm)?,
        signature: BitStringRef::from_bytes(&signature)?,
    };
    Ok(signed.to_der()?)
}

/// One DER element, to be copied as it is.
pub(super) fn raw(der: &[u8]) -> Result<AnyRef<'_>, IssueError> {
    Ok(AnyRef::from_der(der)?)
}

pub(super) fn serial(serial: &SerialNumber) -> Result<AnyRef<'_>, IssueError> {
    Ok(AnyRef::new(Tag::Integer, serial.as_bytes())?)
}

/// Takes the signed part of a certificate apart.
pub(super) fn to_be_signed(certificate: &Certificate) -> Result<ToBeSigned<'_>, IssueError> {
    Ok(ToBeSigned::from_der(certificate.signed())?)
}

/// The AlgorithmIdentifier of what [`PrivateKey::sign`] makes with a key of this algorithm.
pub(super) fn signature_algorithm(key: &KeyAlgorithm) -> Result<Vec<u8>, IssueError> {
    let (oid, parameters) = match key {
        KeyAlgorithm::Rsa { .. } => (rfc5912::SHA_256_WITH_RSA_ENCRYPTION, Some(Any::null())),
        KeyAlgorithm::EcdsaP256 => (rfc5912::ECDSA_WITH_SHA_256, None),
        KeyAlgorithm::EcdsaP384 => (rfc5912::ECDSA_WITH_SHA_384, None),
        KeyAlgorithm::EcdsaP521 => (rfc5912::ECDSA_WITH_SHA_512, None),
        KeyAlgorithm::Ed25519 => (rfc8410::ID_ED_25519, None),
        KeyAlgorithm::Other(_) => {
            return Err(IssueError::Refused {
                refusals: vec![Refusal::IssuerKeyUnfit { algorithm: key.clone() }],
            });
        }
    };
    Ok(AlgorithmIdentifierOwned { oid, parameters }.to_der()?)
}

/// A Name as Go's `pkix.Name` writes it (1.19 to 1.25): all organisations in one SET, so sorted by their encoding, then the common name.
pub(super) fn name(subject: &SubjectName) -> Result<Vec<u8>, IssueError> {
    let mut parts = RdnSequence::default();
    if !subject.organizations.is_empty() {
        let mut organizations = RelativeDistinguishedName::default();
        for organization in &subject.organizations {
            organizations.insert(attribute(rfc4519::ORGANIZATION_NAME, organization)?)?;
        }
        parts.push(organizations);
    }
    let mut common_name = RelativeDistinguishedName::default();
    common_name.insert(attribute(rfc4519::COMMON_NAME, &subject.common_name)?)?;
    parts.push(common_name);
    Ok(parts.to_der()?)
}

fn attribute(oid: ObjectIdentifier, text: &str) -> Result<AttributeTypeAndValue, IssueError> {
    let tag = if PrintableStringRef::new(text).is_ok() { Tag::PrintableString } else { Tag::Utf8String };
    Ok(AttributeTypeAndValue { oid, value: Any::new(tag, text.as_bytes())? })
}

/// Dates in whole seconds, fractions cut off.
pub(super) fn validity(not_before: Timestamp, not_after: Timestamp) -> Result<Vec<u8>, IssueError> {
    Ok(Validity::<Rfc5280>::new(time(not_before)?, time(not_after)?).to_der()?)
}

fn time(moment: Timestamp) -> Result<Time, IssueError> {
    let Ok(seconds) = u64::try_from(moment.as_second()) else {
        return Err(IssueError::Refused { refusals: vec![Refusal::BeforeFirstDate { date: moment }] });
    };
    let since_1970 = Duration::from_secs(seconds);
    Ok(if seconds < YEAR_2050 {
        Time::UtcTime(der::asn1::UtcTime::from_unix_duration(since_1970)?)
    } else {
        Time::GeneralTime(der::asn1::GeneralizedTime::from_unix_duration(since_1970)?)
    })
}

/// digitalSignature and keyEncipherment for every kind of key, as kubeadm 1.20 sets them (`pkiutil.NewSignedCert`).
pub(super) fn key_usage() -> Result<Extension, IssueError> {
    extension(true, &KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment))
}

pub(super) fn extended_key_usage(usages: &BTreeSet<Usage>) -> Result<Extension, IssueError> {
    let oids = usages.iter().map(|usage| match usage {
        Usage::Server => rfc5280::ID_KP_SERVER_AUTH,
        Usage::Client => rfc5280::ID_KP_CLIENT_AUTH,
    });
    extension(false, &ExtendedKeyUsage(oids.collect()))
}

pub(super) fn authority_key_id(key_id: &[u8]) -> Result<Extension, IssueError> {
    let key_identifier = Some(OctetString::new(key_id)?);
    extension(false, &AuthorityKeyIdentifier { key_identifier, ..AuthorityKeyIdentifier::default() })
}

/// DNS names before IP addresses, each sorted; none at all without a name.
pub(super) fn subject_alt_name(
    dns: &BTreeSet<String>,
    ip: &BTreeSet<IpAddr>,
) -> Result<Option<Extension>, IssueError> {
    let mut names = Vec::new();
    for name in dns {
        names.push(GeneralName::DnsName(Ia5String::new(name)?));
    }
    for address in ip {
        let octets = match address {
            IpAddr::V4(address) => OctetString::new(address.octets())?,
            IpAddr::V6(address) => OctetString::new(address.octets())?,
        };
        names.push(GeneralName::IpAddress(octets));
    }
    if names.is_empty() { Ok(None) } else { extension(false, &SubjectAltName(names)).map(Some) }
}

fn extension<E: AssociatedOid + Encode>(critical: bool, value: &E) -> Result<Extension, IssueError> {
    Ok(Extension { extn_id: E::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}
