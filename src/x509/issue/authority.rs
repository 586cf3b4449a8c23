//! Roots: a subject and its key go in, a self-signed CA certificate comes out; or an old one and its key, and the same authority for a
//! new period comes out.
//!
//! New roots are encoded by `rcgen`, which gets a signer and never the key. Extended ones are the old bytes with other dates, so that
//! everything issued under the old one stays valid under the new one.

use std::time::Duration;

use der::Encode;
use jiff::Timestamp;
use rcgen::string::PrintableString;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, IsCa, KeyIdMethod,
    KeyUsagePurpose, PublicKeyData, SanType, SigningKey,
};

use super::{
    IssueError, Refusal, encode, is_dns_name, issuer_faults, key_faults, period_faults, read_back, refuse,
    subject_faults,
};
use crate::types::certificate::SubjectName;
use crate::x509::generate::SerialNumber;
use crate::x509::verify::SignatureError;
use crate::x509::{Certificate, KeyAlgorithm, PrivateKey};

/// What the certificate of a new root should say. Its algorithms are those of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRequest {
    /// Its name.
    pub subject: SubjectName,
    /// Its number.
    pub serial: SerialNumber,
    /// First moment it is valid; fractions of the second are cut off.
    pub not_before: Timestamp,
    /// Last moment it is valid; fractions of the second are cut off.
    pub not_after: Timestamp,
}

/// Makes a self-signed root.
///
/// As newer kubeadm does (client-go `cert.NewSelfSignedCACert`): digitalSignature, keyEncipherment and keyCertSign; a CA without a
/// path length; the common name also as DNS name, here only if it is one. The subject key identifier is the SHA-1 of the public key bits,
/// as Go 1.15 to 1.24 writes it.
pub fn issue_root(request: &RootRequest, key: &PrivateKey) -> Result<Certificate, IssueError> {
    let mut refusals = subject_faults(&request.subject);
    refusals.extend(period_faults(request.not_before, request.not_after));
    refusals.extend(key_faults(key.algorithm()));
    refuse(refusals)?;

    let mut params = CertificateParams::default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(request.not_before);
    params.not_after = epoch + since_1970(request.not_after);
    params.serial_number = Some(request.serial.as_bytes().to_vec().into());
    params.distinguished_name = distinguished_name(&request.subject);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyCertSign,
    ];
    let digest = &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
    let key_id = aws_lc_rs::digest::digest(digest, key.public_key().bits());
    params.key_identifier_method = KeyIdMethod::PreSpecified(key_id.as_ref().to_vec());
    let common_name = &request.subject.common_name;
    if is_dns_name(common_name) {
        let name = common_name.as_str().try_into().map_err(IssueError::Root)?;
        params.subject_alt_names = vec![SanType::DnsName(name)];
    }
    let root = params.self_signed(&Signer::new(key)?).map_err(IssueError::Root)?;
    let root = read_back(root.der())?;

    // rcgen keeps one value per kind of attribute, so a subject of several organisations is put in afterwards.
    let subject = encode::name(&request.subject)?;
    if root.facts().subject.der() == subject {
        return self_signed(root);
    }
    let mut contents = encode::to_be_signed(&root)?;
    contents.subject = encode::raw(&subject)?;
    contents.issuer = encode::raw(&subject)?;
    self_signed(read_back(&encode::sign(&contents.to_der()?, key)?)?)
}

/// Signs the certificate of a root again, with the same key, for another period; with its old serial number if none is given.
///
/// Subject, key identifiers and all other extensions stay byte for byte, so certificates that were issued under the old one verify under
/// the new one. The signature is made as for new certificates, whatever the old one's was. An authority that another one issued is refused:
/// only that one can extend it.
pub fn extend(
    ca: &Certificate,
    key: &PrivateKey,
    not_before: Timestamp,
    not_after: Timestamp,
    serial: Option<&SerialNumber>,
) -> Result<Certificate, IssueError> {
    let facts = ca.facts();
    let mut refusals = period_faults(not_before, not_after);
    refusals.extend(issuer_faults(facts));
    if facts.key != *key.public_key() {
        refusals.push(Refusal::KeyNotIssuers { issuer: facts.subject.clone() });
    }
    let own_signature = ca.check_signature(&facts.key);
    // A broken or unknown algorithm is no proof of another signer, and the signature is about to be replaced.
    if !facts.self_issued || own_signature == Err(SignatureError::Forged) {
        refusals.push(Refusal::NotSelfSigned { subject: facts.subject.clone() });
    }
    let refers_to_serial = facts.authority_key_id.as_ref().is_some_and(|id| id.issuer_and_serial);
    if refers_to_serial && serial.is_some_and(|serial| serial.as_bytes() != facts.serial.as_bytes()) {
        refusals.push(Refusal::SerialReferredTo { subject: facts.subject.clone() });
    }
    refuse(refusals)?;

    let algorithm = encode::signature_algorithm(key.algorithm())?;
    let validity = encode::validity(not_before, not_after)?;
    let mut contents = encode::to_be_signed(ca)?;
    contents.algorithm = encode::raw(&algorithm)?;
    contents.validity = encode::raw(&validity)?;
    if let Some(serial) = serial {
        contents.serial = encode::serial(serial)?;
    }
    self_signed(read_back(&encode::sign(&contents.to_der()?, key)?)?)
}

fn self_signed(root: Certificate) -> Result<Certificate, IssueError> {
    let checked = root.check_signature(&root.facts().key);
    checked.map(|()| root.clone()).map_err(IssueError::BadSignature)
}

fn distinguished_name(subject: &SubjectName) -> DistinguishedName {
    let value = |text: &str| match PrintableString::try_from(text) {
        Ok(printable) => DnValue::PrintableString(printable),
        Err(_) => DnValue::Utf8String(text.to_owned()),
    };
    let mut name = DistinguishedName::new();
    for organization in &subject.organizations {
        name.push(DnType::OrganizationName, value(organization));
    }
    name.push(DnType::CommonName, value(&subject.common_name));
    name
}

/// Whole seconds since 1970, before which nothing is issued. No overflow: [`Timestamp::MAX`] lies in 9999, which rcgen's dates reach too.
fn since_1970(moment: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(moment.as_second()).unwrap_or_default())
}

/// Lends a key to rcgen for signing.
struct Signer<'a> {
    key: &'a PrivateKey,
    algorithm: &'static rcgen::SignatureAlgorithm,
}

impl<'a> Signer<'a> {
    fn new(key: &'a PrivateKey) -> Result<Self, IssueError> {
        let algorithm = match key.algorithm() {
            KeyAlgorithm::Rsa { .. } => &rcgen::PKCS_RSA_SHA256,
            KeyAlgorithm::EcdsaP256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyAlgorithm::EcdsaP384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyAlgorithm::EcdsaP521 => &rcgen::PKCS_ECDSA_P521_SHA512,
            KeyAlgorithm::Ed25519 => &rcgen::PKCS_ED25519,
            other @ KeyAlgorithm::Other(_) => {
                let refusals = vec![Refusal::IssuerKeyUnfit { algorithm: other.clone() }];
                return Err(IssueError::Refused { refusals });
            }
        };
        Ok(Self { key, algorithm })
    }
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.public_key().bits()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.algorithm
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
