//! Keys and certificates as they stand in the files of a node.
//!
//! What enters is files, or what is to stand in them; what leaves is the keys in them, and changes of the transaction. What is not written anew stays as it is.

use std::error::Error;

use crate::agent::fs::lookup::{Lookup, existing, read};
use crate::agent::transaction::{Filesystem, Transaction};
use crate::formats::kubeconfig::KubeconfigFacts;
use crate::formats::kubeconfig::edit;
use crate::formats::kubeconfig::edit::{EditError, NewIdentity};
use crate::protocol::error::HostError;
use crate::types::format::with_causes;
use crate::types::non_empty::NonEmpty;
use crate::types::secret::Secret;
use crate::types::storage::{FileSpec, Storage};
use crate::x509::pem::{self, Item};
use crate::x509::{Certificate, PrivateKey, PublicKey};

pub(super) fn key_pem(key: &PrivateKey) -> Result<Secret, HostError> {
    key.to_pem().map(Secret::from).map_err(|error| not_made("the PEM of a private key", &error))
}

/// The key that an identity has.
pub(super) fn stored_key(objects: &impl Lookup, storage: &Storage) -> Result<PrivateKey, HostError> {
    match storage {
        Storage::Pair { key, .. } => key_in(objects, &key.path),
        Storage::Combined { file } => key_in(objects, &file.path),
        Storage::Kubeconfig { file, .. } => {
            let bytes = existing(objects, &file.path)?;
            let embedded = edit::current_key(bytes.reveal()).map_err(|source| kubeconfig(file, source))?;
            the_key(&file.path, embedded.reveal())
        }
    }
}

pub(super) fn key_in(objects: &impl Lookup, path: &str) -> Result<PrivateKey, HostError> {
    the_key(path, existing(objects, path)?.reveal())
}

/// The first private key, which is what Go's `tls.LoadX509KeyPair` takes.
pub(super) fn the_key(path: &str, bytes: &[u8]) -> Result<PrivateKey, HostError> {
    let reading = pem::read(bytes);
    let reason = reading.problems.first().map_or("there is none in it".to_owned(), ToString::to_string);
    let key = reading
        .items
        .into_iter()
        .find_map(|item| if let Item::PrivateKey(key) = item { Some(key) } else { None });
    key.ok_or_else(|| HostError::NoKey { path: path.to_owned(), reason })
}

/// Whether a file already has this key, so that its bytes can stay.
pub(super) fn holds_key(objects: &impl Lookup, path: &str, public: &PublicKey) -> Result<bool, HostError> {
    let Some(bytes) = read(objects, path)? else { return Ok(false) };
    Ok(the_key(path, bytes.reveal()).is_ok_and(|key| key.public_key() == public))
}

pub(super) fn pem_of(certificates: &[Certificate]) -> String {
    certificates.iter().map(Certificate::to_pem).collect()
}

pub(super) fn kubeconfig(file: &FileSpec, source: EditError) -> HostError {
    HostError::Kubeconfig { path: file.path.clone(), source }
}

pub(super) fn not_made(what: &'static str, error: &dyn Error) -> HostError {
    HostError::NotMade { what: what.into(), reason: with_causes(error) }
}

/// Writes key and certificates to where they are stored, with what a kubeconfig trusts besides.
pub(super) fn write_identity(
    visit: &mut Transaction,
    objects: &mut impl Filesystem,
    key: &PrivateKey,
    certificates: &[Certificate],
    storage: &Storage,
    (trusted, cluster): (Option<&NonEmpty<Certificate>>, &str),
) -> Result<(), HostError> {
    if let (Storage::Kubeconfig { file, .. }, Some(trusted)) = (storage, trusted) {
        distinct(&file.path, trusted)?;
    }
    match storage {
        Storage::Pair { certificate, key: key_file } => {
            let mut files = Vec::new();
            if !holds_key(objects, &key_file.path, key.public_key())? {
                files.push((key_file, key_pem(key)?));
            }
            files.push((certificate, Secret::new(pem_of(certificates).into_bytes())));
            visit.write(objects, files)
        }
        Storage::Combined { file } => {
            let mut text = zeroize::Zeroizing::new(pem_of(certificates).into_bytes());
            let key = key_pem(key)?;
            // Grown once, so that no part of the key stays behind in a buffer that was too small.
            text.reserve_exact(key.len());
            text.extend_from_slice(key.reveal());
            visit.write(objects, vec![(file, Secret::new(text))])
        }
        Storage::Kubeconfig { file, server, user, .. } => {
            // What is no kubeconfig at all has nothing that an edit could keep; the snapshot has its bytes.
            let old = read(objects, &file.path)?.filter(|old| is_kubeconfig(old.reveal()));
            let key_pem = key_pem(key)?;
            let identity = NewIdentity { certificates, key, key_pem: &key_pem, trusted };
            let text = match (&old, server) {
                (Some(old), _) => edit::with_identity(old.reveal(), &identity),
                (None, Some(server)) => edit::create(server, user, cluster, &identity),
                (None, None) => Err(EditError::NoServer),
            };
            let text = text.map_err(|source| kubeconfig(file, source))?;
            visit.write(objects, vec![(file, text)])
        }
    }
}

/// That nobody is made to trust something twice: some verifiers stop at the first of two, and whoever signs refuses the file.
pub(super) fn distinct(path: &str, certificates: &NonEmpty<Certificate>) -> Result<(), HostError> {
    match certificates.repeated() {
        Some(twice) => {
            Err(HostError::TwiceInFile { path: path.to_owned(), certificate: *twice.fingerprint() })
        }
        None => Ok(()),
    }
}

/// Whether a file has anything of a kubeconfig in it.
fn is_kubeconfig(bytes: &[u8]) -> bool {
    let facts = KubeconfigFacts::read(bytes);
    !(facts.clusters.is_empty() && facts.users.is_empty() && facts.contexts.is_empty())
}
