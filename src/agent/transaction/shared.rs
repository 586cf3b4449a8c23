//! An identity as it is read from one place and written to another, on the same node or on one that shares it.
//!
//! What enters is the files of a place, or the bytes that another node gave; what leaves is the same certificates and key in the form of the other
//! place. Nothing is written whose key does not belong to its certificate, or that is another certificate than the plan named.

use super::stored::{self, key_pem, kubeconfig, pem_of, the_key};
use crate::agent::fs::file_state::FileState;
use crate::agent::fs::lookup::{Lookup, existing, read};
use crate::agent::transaction::{Filesystem, PathChange, Transaction};
use crate::formats::kubeconfig::edit;
use crate::protocol::command::SharedIdentity;
use crate::protocol::error::HostError;
use crate::types::non_empty::NonEmpty;
use crate::types::secret::Secret;
use crate::types::storage::Storage;
use crate::x509::pem;
use crate::x509::pem::Item;
use crate::x509::{Certificate, Sha256};

/// What lies in a place. Of a pair these are the very bytes of its files.
pub(crate) fn read_identity(objects: &impl Lookup, storage: &Storage) -> Result<SharedIdentity, HostError> {
    match storage {
        Storage::Pair { certificate, key } => Ok(SharedIdentity {
            certificate: existing(objects, &certificate.path)?,
            key: existing(objects, &key.path)?,
        }),
        Storage::Combined { file } => {
            let bytes = existing(objects, &file.path)?;
            let certificates: Vec<Certificate> = pem::read(bytes.reveal()).certificates().cloned().collect();
            Ok(SharedIdentity {
                certificate: Secret::new(pem_of(&certificates).into_bytes()),
                key: key_pem(&the_key(&file.path, bytes.reveal())?)?,
            })
        }
        Storage::Kubeconfig { file, .. } => {
            let bytes = existing(objects, &file.path)?;
            let of_file = |source| kubeconfig(file, source);
            Ok(SharedIdentity {
                certificate: edit::current_certificate(bytes.reveal()).map_err(of_file)?,
                key: edit::current_key(bytes.reveal()).map_err(of_file)?,
            })
        }
    }
}

/// Puts it into a place, which must get the certificate that the plan named.
pub(crate) fn write_identity(
    visit: &mut Transaction,
    objects: &mut impl Filesystem,
    content: SharedIdentity,
    (wanted, storage): (&Sha256, &Storage),
    (trusted, cluster): (Option<&NonEmpty<Certificate>>, &str),
) -> Result<(), HostError> {
    let path = storage.certificate_path().to_owned();
    let certificates: Vec<Certificate> =
        pem::read(content.certificate.reveal()).certificates().cloned().collect();
    let leaf = certificates.first().filter(|leaf| leaf.fingerprint() == wanted);
    let Some(leaf) = leaf else { return Err(HostError::Changed { path }) };
    let key = the_key(&path, content.key.reveal())?;
    if key.public_key() != &leaf.facts().key {
        return Err(HostError::PairMismatch { path });
    }
    match storage {
        Storage::Pair { certificate, key } => {
            visit.write(objects, vec![(key, content.key), (certificate, content.certificate)])
        }
        Storage::Combined { .. } | Storage::Kubeconfig { .. } => {
            stored::write_identity(visit, objects, &key, &certificates, storage, (trusted, cluster))
        }
    }
}

/// Removes a file whose certificates and keys another file holds too, so that nothing is lost with it.
pub(crate) fn remove_copy(
    visit: &mut Transaction,
    objects: &mut impl Filesystem,
    path: &str,
    of: &str,
) -> Result<(), HostError> {
    let Some(copy) = read(objects, path)? else { return Ok(()) };
    let (copy, kept) = (pem::read(copy.reveal()), existing(objects, of)?);
    let kept = pem::read(kept.reveal());
    let is_kept = |item: &Item| match item {
        Item::Certificate(certificate) => kept.certificates().any(|kept| kept == certificate),
        Item::PrivateKey(key) => kept.items.iter().any(|kept| {
            if let Item::PrivateKey(kept) = kept { kept.public_key() == key.public_key() } else { false }
        }),
        Item::EncryptedKey
        | Item::PublicKey(_)
        | Item::CertificateRequest(_)
        | Item::Parameters
        | Item::Other(_) => false,
    };
    if copy.problems.is_empty() && copy.items.iter().all(is_kept) {
        visit.check_listed(path)?;
        let touch = PathChange::new(path, visit.destination(objects, path)?);
        return visit.change(objects, vec![(touch, FileState::Absent)]);
    }
    let reason = format!("it holds something that {of} does not");
    Err(HostError::Refused { path: path.to_owned(), reason })
}
