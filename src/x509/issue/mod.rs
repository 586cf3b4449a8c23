//! Issuing: what a certificate should say, the issuer and its key go in, a certificate or a request for one comes out.
//!
//! Nothing is read, drawn or looked up here: key, serial number and dates are given. Every reason to refuse is reported at once, and what
//! was made is read back and verified before it leaves, so no certificate leaves that Go programs would not take under its issuer. The
//! private key only signs; it never leaves [`PrivateKey`].

use std::collections::BTreeSet;
use std::net::IpAddr;

use der::Encode;
use jiff::{SignedDuration, Timestamp};
use x509_cert::Version;

use super::certificate::CertificateError;
use super::chain::{self, ChainError, NameFault, Purpose};
use super::generate::SerialNumber;
use super::key::{PrivateKey, SignError};
use super::name::{Name, escape};
use super::verify::SignatureError;
use super::{
    Certificate, CertificateFacts, ExtendedKeyUsage, KeyAlgorithm, KeyUsage, PublicKey, SubjectNames,
};
use crate::types::certificate::{SubjectName, Usage};

mod authority;
mod encode;
mod request;

pub use authority::{RootRequest, extend, issue_root};
pub use request::{csr, csr_to_pem};

/// What a leaf certificate should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRequest {
    /// Whom it is for.
    pub subject: SubjectName,
    /// The public half of its key.
    pub public_key: PublicKey,
    /// Its number.
    pub serial: SerialNumber,
    /// First moment it is valid; fractions of the second are cut off.
    pub not_before: Timestamp,
    /// Last moment it is valid; fractions of the second are cut off.
    pub not_after: Timestamp,
    /// What it may be used for.
    pub usages: BTreeSet<Usage>,
    /// DNS names, a wildcard allowed as the left-most label.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ip: BTreeSet<IpAddr>,
}

/// What a leaf certificate should say, whatever its key: enough to know whether an issuer can issue it.
#[derive(Debug, Clone, Copy)]
pub struct LeafContent<'a> {
    /// Whom it is for.
    pub subject: &'a SubjectName,
    /// First moment it is valid.
    pub not_before: Timestamp,
    /// Last moment it is valid.
    pub not_after: Timestamp,
    /// What it may be used for.
    pub usages: &'a BTreeSet<Usage>,
    /// DNS names.
    pub dns: &'a BTreeSet<String>,
    /// IP addresses.
    pub ip: &'a BTreeSet<IpAddr>,
}

impl LeafRequest {
    fn content(&self) -> LeafContent<'_> {
        let Self { subject, not_before, not_after, usages, dns, ip, public_key: _, serial: _ } = self;
        LeafContent { subject, not_before: *not_before, not_after: *not_after, usages, dns, ip }
    }
}

/// Why nothing was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// What was asked for must not be issued.
    #[error("refused: {}", joined(refusals))]
    Refused {
        /// All reasons.
        refusals: Vec<Refusal>,
    },
    /// The key does not sign.
    #[error("the key cannot sign")]
    Sign(#[source] SignError),
    /// The structure cannot be written.
    #[error("the certificate cannot be written as DER")]
    Encode(#[source] der::Error),
    /// The structure of a root cannot be written.
    #[error("the root certificate cannot be written")]
    Root(#[source] rcgen::Error),
    /// What was made does not read back.
    #[error("the new certificate cannot be read back")]
    Unreadable(#[source] CertificateError),
    /// What was made does not verify under its issuer.
    #[error("the new certificate would not be accepted under its issuer")]
    NotAccepted(#[source] Box<ChainError>),
    /// What was made does not verify with its own key.
    #[error("the signature of the new certificate does not verify")]
    BadSignature(#[source] SignatureError),
}

/// One reason not to issue.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Kubernetes and etcd read the common name as the user.
    #[error("the subject has no common name")]
    EmptyCommonName,
    /// An organisation without a name.
    #[error("an organization of the subject is empty")]
    EmptyOrganization,
    /// A set holds nothing twice.
    #[error("the organization {} stands in the subject twice", escape(name))]
    RepeatedOrganization {
        /// Which one.
        name: String,
    },
    /// Names with control characters show up wrong wherever they are printed.
    #[error("the {attribute} {} has control characters", escape(text))]
    ControlCharacters {
        /// `common name` or `organization`.
        attribute: &'static str,
        /// Its text.
        text: String,
    },
    /// A leaf that is named as its issuer looks self-signed.
    #[error("the subject is the name of the issuer")]
    SubjectIsIssuer,
    /// Not a host name in ASCII letters, digits, `-`, `_` and `.`, with `*` as the whole left-most label at most.
    #[error("{} is no DNS name", escape(name))]
    DnsName {
        /// Which one.
        name: String,
    },
    /// Without an extended key usage a certificate would be good for everything.
    #[error("no usage is given")]
    NoUsage,
    /// It would never be valid.
    #[error("the period ends at {not_after}, which is not after its start {not_before}")]
    EmptyPeriod {
        /// First moment.
        not_before: Timestamp,
        /// Last moment.
        not_after: Timestamp,
    },
    /// The dates that are written start in 1970.
    #[error("the date {date} lies before 1970")]
    BeforeFirstDate {
        /// Which one.
        date: Timestamp,
    },
    /// It would be worthless from the issuer's end on.
    #[error("it would end at {not_after}, after its issuer, which ends at {issuer_not_after}")]
    OutlivesIssuer {
        /// Last moment asked for.
        not_after: Timestamp,
        /// Last moment of the issuer.
        issuer_not_after: Timestamp,
    },
    /// Nobody would accept the name under its issuer.
    #[error("{issuer} cannot issue it: {fault}")]
    NameNotAllowed {
        /// Subject of the issuer.
        issuer: Name,
        /// The name, and why.
        fault: NameFault,
    },
    /// The issuer lists usages, and this one is not among them.
    #[error("{issuer} cannot issue it: its extended key usages leave out {usage}")]
    UsageNotAllowed {
        /// Subject of the issuer.
        issuer: Name,
        /// The usage.
        usage: ExtendedKeyUsage,
    },
    /// The issuer's certificate is no CA certificate.
    #[error("{issuer} is no certificate authority")]
    IssuerNotCa {
        /// Its subject.
        issuer: Name,
    },
    /// The issuer's key usages leave out keyCertSign.
    #[error("the key usages of {issuer} do not allow it to issue certificates")]
    IssuerMayNotSign {
        /// Its subject.
        issuer: Name,
    },
    /// The private key is another one's.
    #[error("the private key does not belong to the certificate of {issuer}")]
    KeyNotIssuers {
        /// Subject of the certificate.
        issuer: Name,
    },
    /// RSA below 2048 or above 8192 bits, or an algorithm that Go's `crypto/x509` does not verify.
    #[error("a key of {algorithm} is not fit to issue with")]
    IssuerKeyUnfit {
        /// Algorithm of the issuer's key.
        algorithm: KeyAlgorithm,
    },
    /// RSA below 2048 or above 8192 bits, or an algorithm that Go's `crypto/tls` does not serve with.
    #[error("a key of {algorithm} is not fit for a certificate")]
    SubjectKeyUnfit {
        /// Algorithm of the subject's key.
        algorithm: KeyAlgorithm,
    },
    /// Another authority issued it, so its own key cannot extend it.
    #[error("the certificate of {subject} is not signed by its own key")]
    NotSelfSigned {
        /// Its subject.
        subject: Name,
    },
    /// Its authority key identifier spells out its own serial number.
    #[error("the certificate of {subject} refers to itself by its serial number, which must be kept")]
    SerialReferredTo {
        /// Its subject.
        subject: Name,
    },
}

/// Issues a leaf under `issuer`, whose private key is `issuer_key`.
///
/// As kubeadm 1.20 does (`pkiutil.NewSignedCert`): key usages for every kind of key, extended key usages, authority key identifier,
/// subject alternative names, in this order; no basic constraints and no subject key identifier. The issuer's name is copied byte for byte.
pub fn issue(
    request: &LeafRequest,
    issuer: &Certificate,
    issuer_key: &PrivateKey,
) -> Result<Certificate, IssueError> {
    let facts = issuer.facts();
    let mut refusals = refusals(&request.content(), issuer);
    if facts.key != *issuer_key.public_key() {
        refusals.push(Refusal::KeyNotIssuers { issuer: facts.subject.clone() });
    }
    if !is_fit(&request.public_key.algorithm) {
        refusals.push(Refusal::SubjectKeyUnfit { algorithm: request.public_key.algorithm.clone() });
    }
    refuse(refusals)?;
    let subject = encode::name(&request.subject);

    let mut extensions = vec![encode::key_usage()?, encode::extended_key_usage(&request.usages)?];
    if let Some(key_id) = &facts.subject_key_id {
        extensions.push(encode::authority_key_id(key_id)?);
    }
    extensions.extend(encode::subject_alt_name(&request.dns, &request.ip)?);
    let extensions: Vec<Vec<u8>> = extensions.iter().map(Encode::to_der).collect::<Result<_, _>>()?;
    let (subject, algorithm) = (subject?, encode::signature_algorithm(issuer_key.algorithm())?);
    let validity = encode::validity(request.not_before, request.not_after)?;
    let contents = encode::ToBeSigned {
        version: Version::V3,
        serial: encode::serial(&request.serial)?,
        algorithm: encode::raw(&algorithm)?,
        issuer: encode::raw(facts.subject.der())?,
        validity: encode::raw(&validity)?,
        subject: encode::raw(&subject)?,
        public_key: encode::raw(request.public_key.spki_der())?,
        issuer_unique_id: None,
        subject_unique_id: None,
        extensions: Some(extensions.iter().map(|der| encode::raw(der)).collect::<Result<_, _>>()?),
    };
    let leaf = read_back(&encode::sign(&contents.to_der()?, issuer_key)?)?;
    accepted(&leaf, issuer, &request.usages)?;
    Ok(leaf)
}

/// Why `issuer` cannot issue such a certificate, whatever its key: what is asked for must not be issued by anybody, or nobody would accept it under this issuer.
/// Plans ask this before they offer a certificate, and whoever signs asks it again.
pub fn refusals(content: &LeafContent<'_>, issuer: &Certificate) -> Vec<Refusal> {
    let facts = issuer.facts();
    let mut refusals = subject_faults(content.subject);
    refusals.extend(leaf_faults(content.dns, content.usages));
    refusals.extend(period_faults(content.not_before, content.not_after));
    refusals.extend(issuer_faults(facts));
    if content.not_after.as_second() > facts.not_after.as_second() {
        let (not_after, issuer_not_after) = (content.not_after, facts.not_after);
        refusals.push(Refusal::OutlivesIssuer { not_after, issuer_not_after });
    }
    if encode::name(content.subject).is_ok_and(|subject| subject == facts.subject.der()) {
        refusals.push(Refusal::SubjectIsIssuer);
    }
    let names = SubjectNames { dns: content.dns.clone(), ip: content.ip.clone(), ..SubjectNames::default() };
    if let Err(fault) = chain::allows_names(issuer, &names) {
        refusals.push(Refusal::NameNotAllowed { issuer: facts.subject.clone(), fault });
    }
    let usages = content.usages.iter().map(|usage| ExtendedKeyUsage::from(*usage));
    let left_out = usages.filter(|usage| !chain::allows_usage(issuer, usage));
    refusals.extend(left_out.map(|usage| Refusal::UsageNotAllowed { issuer: facts.subject.clone(), usage }));
    refusals
}

/// Go must take the new leaf under its issuer for every usage, as soon as both are valid. Finds what the request cannot show: a signature gone wrong.
fn accepted(leaf: &Certificate, issuer: &Certificate, usages: &BTreeSet<Usage>) -> Result<(), IssueError> {
    let both_valid = leaf.facts().not_before.max(issuer.facts().not_before);
    for usage in usages {
        chain::verify(leaf, &[], std::slice::from_ref(issuer), both_valid, &Purpose::from(*usage))
            .map_err(|error| IssueError::NotAccepted(Box::new(error)))?;
    }
    Ok(())
}

fn read_back(der: &[u8]) -> Result<Certificate, IssueError> {
    Certificate::from_der(der).map_err(IssueError::Unreadable)
}

fn refuse(refusals: Vec<Refusal>) -> Result<(), IssueError> {
    if refusals.is_empty() { Ok(()) } else { Err(IssueError::Refused { refusals }) }
}

fn subject_faults(subject: &SubjectName) -> Vec<Refusal> {
    let mut faults = Vec::new();
    let mut control_characters = |attribute, text: &String| {
        if text.chars().any(char::is_control) {
            faults.push(Refusal::ControlCharacters { attribute, text: text.clone() });
        }
    };
    control_characters("common name", &subject.common_name);
    subject.organizations.iter().for_each(|name| control_characters("organization", name));
    if subject.common_name.is_empty() {
        faults.push(Refusal::EmptyCommonName);
    }
    if subject.organizations.iter().any(String::is_empty) {
        faults.push(Refusal::EmptyOrganization);
    }
    let mut seen = BTreeSet::new();
    let repeated = subject.organizations.iter().filter(|name| !seen.insert(*name));
    faults.extend(repeated.map(|name| Refusal::RepeatedOrganization { name: name.clone() }));
    faults
}

fn leaf_faults(dns: &BTreeSet<String>, usages: &BTreeSet<Usage>) -> Vec<Refusal> {
    let no_usage = usages.is_empty().then_some(Refusal::NoUsage);
    let not_dns = dns.iter().filter(|name| !is_dns_name(name.strip_prefix("*.").unwrap_or(name)));
    not_dns.map(|name| Refusal::DnsName { name: name.clone() }).chain(no_usage).collect()
}

/// The form that Go's `validHostname` takes without a wildcard (underscores included), within the lengths of RFC 1035.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn period_faults(not_before: Timestamp, not_after: Timestamp) -> Vec<Refusal> {
    let too_early = [not_before, not_after].into_iter().filter(|date| *date < Timestamp::UNIX_EPOCH);
    let empty = not_after.duration_since(not_before) < SignedDuration::from_secs(1);
    let empty = empty.then_some(Refusal::EmptyPeriod { not_before, not_after });
    too_early.map(|date| Refusal::BeforeFirstDate { date }).chain(empty).collect()
}

/// Why nothing can be signed for this certificate.
fn issuer_faults(facts: &CertificateFacts) -> Vec<Refusal> {
    let issuer = || facts.subject.clone();
    let mut faults = Vec::new();
    if !facts.is_ca() {
        faults.push(Refusal::IssuerNotCa { issuer: issuer() });
    }
    let usages = facts.key_usages.as_ref().filter(|usages| !usages.is_empty());
    if usages.is_some_and(|usages| !usages.contains(&KeyUsage::KeyCertSign)) {
        faults.push(Refusal::IssuerMayNotSign { issuer: issuer() });
    }
    faults.extend(key_faults(&facts.key.algorithm));
    faults
}

fn key_faults(algorithm: &KeyAlgorithm) -> Option<Refusal> {
    (!is_fit(algorithm)).then(|| Refusal::IssuerKeyUnfit { algorithm: algorithm.clone() })
}

/// Whether certificates can be issued with a key of this kind, and served with one.
pub fn is_fit(algorithm: &KeyAlgorithm) -> bool {
    match algorithm {
        // aws-lc-rs signs with no more than 8192 bits, and Go's crypto/tls (1.20.7 and later) verifies no more.
        KeyAlgorithm::Rsa { bits } => (2048..=8192).contains(bits),
        KeyAlgorithm::EcdsaP256
        | KeyAlgorithm::EcdsaP384
        | KeyAlgorithm::EcdsaP521
        | KeyAlgorithm::Ed25519 => true,
        KeyAlgorithm::Other(_) => false,
    }
}

fn joined(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl From<der::Error> for IssueError {
    fn from(source: der::Error) -> Self {
        Self::Encode(source)
    }
}
