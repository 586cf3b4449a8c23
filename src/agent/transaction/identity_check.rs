//! Whether an identity on a node is whole.
//!
//! What enters is the files as they are now and what they must be; what leaves is yes, or the first reason why not. It reads and judges, and
//! changes nothing.

use crate::agent::fs::lookup::{Lookup, existing};
use crate::formats::kubeconfig::edit;
use crate::protocol::command::IdentityCheck;
use crate::protocol::error::HostError;
use crate::types::secret::Secret;
use crate::types::storage::Storage;
use crate::x509::chain;
use crate::x509::chain::Purpose;
use crate::x509::pem;
use crate::x509::pem::{Item, Reading};
use crate::x509::{Certificate, PublicKey, Sha256};

/// Checks one identity.
pub(crate) fn check(objects: &impl Lookup, wanted: &IdentityCheck) -> Result<(), HostError> {
    let path = wanted.storage.certificate_path();
    let failed = |reason: String| HostError::CheckFailed { path: path.to_owned(), reason };
    let (certificates, key) = identity(objects, &wanted.storage)?;
    let Some((leaf, intermediates)) = certificates.split_first() else {
        return Err(failed("it has no certificate".to_owned()));
    };
    if key != leaf.facts().key {
        return Err(HostError::PairMismatch { path: path.to_owned() });
    }
    let roots = match &wanted.authority {
        Some(authority) => certificates_of(authority, &existing(objects, authority)?)?,
        None => vec![leaf.clone()],
    };
    let mut purposes: Vec<Purpose> = wanted.usages.iter().copied().map(Purpose::from).collect();
    if purposes.is_empty() {
        purposes.push(Purpose::Any);
    }
    for purpose in purposes {
        chain::verify(leaf, intermediates, &roots, wanted.now, &purpose)
            .map_err(|error| failed(format!("{error}: {}", error.fault)))?;
    }
    let names = &leaf.facts().names;
    let dns = wanted.dns.difference(&names.dns).cloned();
    let missing: Vec<String> = dns.chain(wanted.ip.difference(&names.ip).map(ToString::to_string)).collect();
    if missing.is_empty() { Ok(()) } else { Err(failed(format!("its names lack {}", missing.join(", ")))) }
}

/// Checks a private key with what lies beside it: a public key, or certificates of which one must be its own.
pub(crate) fn check_key(
    objects: &impl Lookup,
    path: &str,
    wanted: Option<Sha256>,
    beside: Option<&str>,
) -> Result<(), HostError> {
    let failed = |path: &str, reason: &str| HostError::CheckFailed {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let key = key_of(path, &existing(objects, path)?)?;
    if wanted.is_some_and(|wanted| wanted != key.spki_sha256) {
        return Err(failed(path, "it holds another key than the plan names"));
    }
    let Some(beside) = beside else { return Ok(()) };
    let reading = clean(beside, &existing(objects, beside)?)?;
    let is_its_own = |item: &Item| match item {
        Item::Certificate(certificate) => certificate.facts().key == key,
        Item::PublicKey(public) => *public == key,
        Item::PrivateKey(_)
        | Item::EncryptedKey
        | Item::CertificateRequest(_)
        | Item::Parameters
        | Item::Other(_) => false,
    };
    if reading.items.iter().any(is_its_own) {
        return Ok(());
    }
    Err(failed(beside, &format!("nothing in it belongs to the key in {path}")))
}

/// The certificates of an identity, the leaf first, and the public half of its key.
fn identity(objects: &impl Lookup, storage: &Storage) -> Result<(Vec<Certificate>, PublicKey), HostError> {
    let path = storage.certificate_path();
    match storage {
        Storage::Pair { certificate, key } => Ok((
            certificates_of(path, &existing(objects, &certificate.path)?)?,
            key_of(&key.path, &existing(objects, &key.path)?)?,
        )),
        Storage::Combined { file } => {
            let bytes = existing(objects, &file.path)?;
            Ok((certificates_of(path, &bytes)?, key_of(path, &bytes)?))
        }
        Storage::Kubeconfig { file, .. } => {
            let bytes = existing(objects, &file.path)?;
            let of_file = |source| HostError::Kubeconfig { path: path.to_owned(), source };
            let certificate = edit::current_certificate(bytes.reveal()).map_err(of_file)?;
            let key = edit::current_key(bytes.reveal()).map_err(of_file)?;
            Ok((certificates_of(path, &certificate)?, key_of(path, &key)?))
        }
    }
}

/// Every block must be readable by those who will read the file.
fn certificates_of(path: &str, bytes: &Secret) -> Result<Vec<Certificate>, HostError> {
    let reading = clean(path, bytes)?;
    Ok(reading.certificates().cloned().collect())
}

fn key_of(path: &str, bytes: &Secret) -> Result<PublicKey, HostError> {
    let reading = clean(path, bytes)?;
    let key = reading.private_keys().next().map(|key| key.public_key().clone());
    key.ok_or_else(|| HostError::NoKey { path: path.to_owned(), reason: "there is none in it".to_owned() })
}

fn clean(path: &str, bytes: &Secret) -> Result<Reading, HostError> {
    let reading = pem::read(bytes.reveal());
    match reading.problems.first() {
        Some(problem) => Err(HostError::CheckFailed { path: path.to_owned(), reason: problem.to_string() }),
        None => Ok(reading),
    }
}
