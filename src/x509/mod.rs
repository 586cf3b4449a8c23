//! X.509, PEM and DER: bytes of certificates, keys and bundles go in, facts and verdicts come out.
//!
//! This is the only part of the program that knows these formats. It is pure: no file, no clock (the time is given), and no randomness
//! outside [`generate`] but for the nonces of signatures.
//! It never panics on hostile input, never shows a private key, and never says less than it read: what cannot be understood is
//! named. Where implementations differ, Go's `crypto/x509` is the judge, because the programs that use the certificates (etcd,
//! kube-apiserver, kubelet) are written in Go.

pub mod algorithm;
mod asn1;
pub mod certificate;
pub mod chain;
pub mod digest;
mod extensions;
pub mod generate;
pub mod issue;
pub mod key;
pub mod name;
pub mod pem;
pub mod request;
pub mod verify;

pub use algorithm::{KeyAlgorithm, PublicKey};
pub use certificate::{Certificate, CertificateError, CertificateFacts, Serial};
pub use digest::Sha256;
pub use extensions::{
    AuthorityKeyId, BasicConstraints, ExtendedKeyUsage, IpNetwork, KeyUsage, NameConstraints, NameSubtrees,
    SubjectNames,
};
pub use generate::SerialNumber;
pub use key::{KeyEncoding, PrivateKey};
pub use name::Name;
pub use request::CertificateRequest;
