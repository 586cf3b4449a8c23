//! Requests for certificates (PKCS#10): DER goes in, the same bytes and what they ask for come out.
//!
//! A request is public: it holds a public key and what its certificate should say. Nothing here judges one, and the signature with which its key proves that it is
//! at hand is not checked: who signs the certificate does that.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use x509_parser::asn1_rs::FromDer as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;

use super::algorithm::{PublicKey, pem_text};
use super::certificate::MAX_CERTIFICATE_BYTES;
use super::extensions::{ExtendedKeyUsage, Extensions, SubjectNames};
use super::name::Name;
use crate::types::certificate::Usage;

/// A request for a certificate: its bytes and what they ask for. Cloning is cheap; equality is that of the bytes.
#[derive(Clone)]
pub struct CertificateRequest(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    facts: RequestFacts,
}

/// What a request asks for.
#[derive(Debug, Clone)]
pub struct RequestFacts {
    /// Whom the certificate is for.
    pub subject: Name,
    /// Its public key.
    pub key: PublicKey,
    /// What it is to be usable for.
    pub extended_key_usages: BTreeSet<ExtendedKeyUsage>,
    /// Its subject alternative names.
    pub names: SubjectNames,
}

impl RequestFacts {
    /// Those of the usages that this program knows.
    pub fn usages(&self) -> BTreeSet<Usage> {
        let known =
            [(Usage::Server, ExtendedKeyUsage::ServerAuth), (Usage::Client, ExtendedKeyUsage::ClientAuth)];
        let asked = known.into_iter().filter(|(_, extended)| self.extended_key_usages.contains(extended));
        asked.map(|(usage, _)| usage).collect()
    }
}

/// Bytes are no request for a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a certificate request: {reason}")]
pub struct RequestError {
    /// What is wrong with them.
    reason: String,
}

impl CertificateRequest {
    /// Reads one DER request, with nothing after it.
    ///
    /// # Errors
    /// It is something else, or larger than any.
    pub fn from_der(der: &[u8]) -> Result<Self, RequestError> {
        let refused = |reason: String| RequestError { reason };
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(refused(format!("{} bytes are too many", der.len())));
        }
        let (rest, parsed) =
            X509CertificationRequest::from_der(der).map_err(|error| refused(error.to_string()))?;
        if !rest.is_empty() {
            return Err(refused("bytes are left over at its end".to_owned()));
        }
        let contents = &parsed.certification_request_info;
        let subject = Name::parse(contents.subject.as_raw()).map_err(|error| refused(error.to_string()))?;
        let key =
            PublicKey::from_spki_der(contents.subject_pki.raw).map_err(|error| refused(error.to_string()))?;
        let asked = contents.iter_attributes().find_map(|attribute| match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(asked) => Some(Extensions::new(&asked.extensions)),
            ParsedCriAttribute::ChallengePassword(_) | ParsedCriAttribute::UnsupportedAttribute => None,
        });
        let asked = asked.unwrap_or_default();
        let facts = RequestFacts {
            subject,
            key,
            extended_key_usages: asked.extended_key_usages.unwrap_or_default(),
            names: asked.names.unwrap_or_default(),
        };
        Ok(Self(Arc::new(Inner { der: der.to_vec(), facts })))
    }

    /// The bytes.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// PEM with the label `CERTIFICATE REQUEST`: lines of 64 columns, ended by a newline.
    pub fn to_pem(&self) -> String {
        pem_text("CERTIFICATE REQUEST", self.der())
    }

    /// What it asks for.
    pub fn facts(&self) -> &RequestFacts {
        &self.0.facts
    }
}

impl PartialEq for CertificateRequest {
    fn eq(&self, other: &Self) -> bool {
        self.der() == other.der()
    }
}

impl Eq for CertificateRequest {}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RequestFacts { subject, key, .. } = self.facts();
        write!(f, "CertificateRequest({subject} {})", key.spki_sha256.short())
    }
}

impl Serialize for CertificateRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.der()))
    }
}

impl<'de> Deserialize<'de> for CertificateRequest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let der = STANDARD.decode(text).map_err(de::Error::custom)?;
        Self::from_der(&der).map_err(de::Error::custom)
    }
}

impl JsonSchema for CertificateRequest {
    fn schema_name() -> Cow<'static, str> {
        "CertificateRequest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64", "description": "A certificate request (PKCS#10): DER in Base64" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::certificate::{NewKeyAlgorithm, SubjectName};
    use crate::x509::PrivateKey;
    use crate::x509::issue::csr;

    fn made() -> (CertificateRequest, PrivateKey) {
        let key = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap();
        let organizations = ["system:masters", "admins"].map(str::to_owned).to_vec();
        let subject = SubjectName { common_name: "admin".to_owned(), organizations };
        let dns = ["a.example".to_owned()].into();
        let ip = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()].into();
        let der = csr(&subject, &dns, &ip, &[Usage::Server, Usage::Client].into(), &key).unwrap();
        (CertificateRequest::from_der(&der).unwrap(), key)
    }

    #[test]
    fn a_request_says_what_it_was_made_with() {
        let (request, key) = made();
        let facts = request.facts();
        assert_eq!(facts.subject.common_name(), Some("admin"));
        assert_eq!(facts.subject.organizations(), ["admins", "system:masters"].map(str::to_owned).into());
        assert_eq!(facts.key, *key.public_key());
        assert_eq!(facts.usages(), [Usage::Server, Usage::Client].into());
        assert_eq!(facts.names.dns, ["a.example".to_owned()].into());
        assert_eq!(facts.names.ip.len(), 2);
    }

    #[test]
    fn it_is_written_and_read_again() {
        let (request, _) = made();
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<CertificateRequest>(&text).unwrap(), request);
        assert!(request.to_pem().starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"));
    }

    #[test]
    fn whatever_else_the_bytes_are_is_refused() {
        let (request, _) = made();
        let der = request.der();
        for length in 0..der.len() {
            assert!(CertificateRequest::from_der(&der[..length]).is_err(), "{length}");
        }
        assert!(CertificateRequest::from_der(&[der, &[0]].concat()).is_err());
        assert!(CertificateRequest::from_der(&vec![0x30; MAX_CERTIFICATE_BYTES + 1]).is_err());
        // Of no byte that is another one may it panic.
        for position in 0..der.len() {
            let mut broken = der.to_vec();
            broken[position] ^= 0xff;
            let _read_or_refused = CertificateRequest::from_der(&broken);
        }
    }
}
