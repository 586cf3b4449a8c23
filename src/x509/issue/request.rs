//! Certificate requests (PKCS#10) for authorities whose key is elsewhere: what the certificate should say and its key go in, DER and PEM
//! come out. The key signs the request, which proves that it is at hand; it is not part of it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use der::asn1::SetOfVec;
use der::{Decode, Encode};
use x509_cert::attr::Attribute;
use x509_cert::name::Name;
use x509_cert::request::{CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::{IssueError, Refusal, encode, is_fit, leaf_faults, refuse, subject_faults};
use crate::types::certificate::{SubjectName, Usage};
use crate::x509::PrivateKey;
use crate::x509::algorithm::pem_text;

/// Makes the DER of a request with the key usages, extended key usages and subject alternative names that [`issue`](super::issue) would set.
/// The authority decides which of them it grants.
pub fn csr(
    subject: &SubjectName,
    dns: &BTreeSet<String>,
    ip: &BTreeSet<IpAddr>,
    usages: &BTreeSet<Usage>,
    key: &PrivateKey,
) -> Result<Vec<u8>, IssueError> {
    let mut refusals = subject_faults(subject);
    refusals.extend(leaf_faults(dns, usages));
    if !is_fit(key.algorithm()) {
        refusals.push(Refusal::SubjectKeyUnfit { algorithm: key.algorithm().clone() });
    }
    refuse(refusals)?;

    let mut extensions = vec![encode::key_usage()?, encode::extended_key_usage(usages)?];
    extensions.extend(encode::subject_alt_name(dns, ip)?);
    let mut attributes = SetOfVec::new();
    attributes.insert(Attribute::try_from(ExtensionReq(extensions))?)?;
    let contents = CertReqInfo {
        version: Version::V1,
        subject: Name::from_der(&encode::name(subject)?)?,
        public_key: SubjectPublicKeyInfoOwned::from_der(key.public_key().spki_der())?,
        attributes,
    };
    encode::sign(&contents.to_der()?, key)
}

/// PEM of a request with the label `CERTIFICATE REQUEST`: lines of 64 columns, ended by a newline.
pub fn csr_to_pem(der: &[u8]) -> String {
    pem_text("CERTIFICATE REQUEST", der)
}
