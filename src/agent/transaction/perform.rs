//! What each command does, on any node.
//!
//! What enters is a command, with the transaction that it belongs to if it writes; what leaves is its reply. Keys are made, taken and kept in the transaction's memory;
//! the only bytes of them that leave are those for files and [`Reply::Shared`]. It decides nothing and touches nothing but through [`Transaction`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::stored::{distinct, key_in, key_pem, kubeconfig, not_made, pem_of, stored_key, write_identity};
use super::{bound, shared};
use crate::agent::fs::lookup::{Lookup, existing, read};
use crate::agent::probe::health_checks::{Checks, Replaced};
use crate::agent::transaction::identity_check;
use crate::agent::transaction::{Filesystem, Known, Member, Transaction};
use crate::formats::kubeconfig::edit;
use crate::protocol::command::{
    AuthorityFiles, ReadCommand, Reply, RequestContent, SignRequest, Slot, WriteCommand,
};
use crate::protocol::error::HostError;
use crate::protocol::health_check::HealthCheck;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName};
use crate::types::non_empty::NonEmpty;
use crate::types::scalars::FileMode;
use crate::types::secret::Secret;
use crate::types::storage::FileSpec;
use crate::x509::issue;
use crate::x509::issue::{LeafRequest, RootRequest};
use crate::x509::pem;
use crate::x509::{Certificate, CertificateRequest, PrivateKey, SerialNumber, Sha256};
use jiff::Timestamp;

/// Performs one command.
pub(crate) fn perform(
    visit: &mut Transaction,
    objects: &mut impl Filesystem,
    command: WriteCommand,
) -> Result<Reply, HostError> {
    let done = |()| Reply::Done;
    match command {
        WriteCommand::MakeDirectory { path, owner, group, mode } => {
            visit.make_directory(objects, &path, (&owner, &group), mode.bits()).map(done)
        }
        WriteCommand::MakeLink { path, target } => visit.make_link(objects, &path, &target).map(done),
        WriteCommand::MoveDirectory { link, path, keeps_old } => {
            visit.move_directory(objects, &link, &path, keeps_old).map(done)
        }
        WriteCommand::MakeKeys { keys } => make_keys(visit, keys),
        WriteCommand::TakeKey { slot, storage } => {
            let key = stored_key(objects, &storage)?;
            Ok(keep(visit, slot, key))
        }
        WriteCommand::WriteRequest { slot, request, file } => {
            write_request(visit, objects, slot, &request, &file)
        }
        WriteCommand::RemoveRequest { path } => visit.remove_request(objects, &path).map(done),
        WriteCommand::WriteIdentity { slot, certificate, chain, storage, trusted, cluster } => {
            let empty = || HostError::EmptySlot { slot: slot.clone() };
            let key = visit.slots.get(&slot).cloned().ok_or_else(empty)?;
            if key.public_key() != &certificate.facts().key {
                return Err(HostError::PairMismatch { path: storage.certificate_path().to_owned() });
            }
            let certificates = NonEmpty::with_first(certificate, chain);
            distinct(storage.certificate_path(), &certificates)?;
            write_identity(visit, objects, &key, &certificates, &storage, (trusted.as_ref(), &cluster))?;
            // It is on the disk: from here on nobody needs it in memory.
            visit.slots.remove(&slot);
            Ok(Reply::Done)
        }
        WriteCommand::CopyIdentity { source, certificate, target, trusted, cluster } => {
            let content = shared::read_identity(objects, &source)?;
            let new = (trusted.as_ref(), cluster.as_str());
            shared::write_identity(visit, objects, content, (&certificate, &target), new).map(done)
        }
        WriteCommand::WriteSharedIdentity { content, certificate, storage, trusted, cluster } => {
            let content = bound::the_identity_alone(storage.certificate_path(), &content, &certificate)?;
            let new = (trusted.as_ref(), cluster.as_str());
            shared::write_identity(visit, objects, content, (&certificate, &storage), new).map(done)
        }
        WriteCommand::WriteTrusted { file, trusted } => {
            distinct(&file.path, &trusted)?;
            let old = existing(objects, &file.path)?;
            let edited =
                edit::with_trusted(old.reveal(), &trusted).map_err(|source| kubeconfig(&file, source))?;
            visit.write(objects, vec![(&file, edited)]).map(done)
        }
        WriteCommand::CreateAuthority {
            certificate,
            key,
            algorithm,
            subject,
            not_before,
            not_after,
            over,
        } => {
            let made = create_authority(
                visit,
                objects,
                (&certificate, &key, over),
                algorithm,
                (subject, not_before, not_after),
            );
            made.map(Reply::Certificate)
        }
        WriteCommand::CreateKeyPair { private, public, algorithm } => {
            let key = new_key(algorithm)?;
            let answer = key.public_key().clone();
            let files =
                vec![(&private, key_pem(&key)?), (&public, Secret::new(answer.to_pem().into_bytes()))];
            visit.write(objects, files)?;
            Ok(Reply::PublicKey(answer))
        }
        WriteCommand::WritePublicKey { private, public } => {
            let key = key_in(objects, &private.path)?;
            let answer = key.public_key().clone();
            visit.write(objects, vec![(&public, Secret::new(answer.to_pem().into_bytes()))])?;
            Ok(Reply::PublicKey(answer))
        }
        WriteCommand::WriteCertificates { file, certificates } => {
            distinct(&file.path, &certificates)?;
            visit.write(objects, vec![(&file, Secret::new(pem_of(&certificates).into_bytes()))]).map(done)
        }
        WriteCommand::RemoveCopy { path, of } => shared::remove_copy(visit, objects, &path, &of).map(done),
        WriteCommand::PurgeSnapshots { key } => objects.purge(&key).map(done),
        WriteCommand::WriteShared { file, content, key } => {
            let content = bound::the_key_alone(&file.path, &content, &key)?;
            visit.write(objects, vec![(&file, content)]).map(done)
        }
        #[cfg(test)]
        WriteCommand::WriteText { file, content } => visit.write(objects, vec![(&file, content)]).map(done),
        WriteCommand::CheckKey { path, key, beside } => {
            identity_check::check_key(objects, &path, key, beside.as_deref()).map(done)
        }
        WriteCommand::SetPermissions { file } => visit.set_permissions(objects, &file).map(done),
        WriteCommand::AnnotatePod { manifest, word } => annotate(visit, objects, &manifest, &word),
        WriteCommand::MoveLeader { address, certificate, key, timeout_seconds } => {
            let member = Member { address, certificate: &certificate, key: &key };
            objects.move_leader(member, Duration::from_secs(timeout_seconds)).map(done)
        }
        WriteCommand::Run { argv, timeout_seconds } => {
            objects.replacing(&visit.begin.gates, Replaced::Program { argv: &argv })?;
            objects.run(&argv, Duration::from_secs(timeout_seconds)).map(done)
        }
        WriteCommand::Restore { from, path, with } => {
            let paths: Vec<&str> = with.iter().chain([&path]).map(String::as_str).collect();
            visit.restore(objects, &from, &paths).map(done)
        }
    }
}

/// Answers what only reads. `held` is the gates that held before the open transaction touched anything; none where none is open.
pub(crate) fn ask(
    objects: &impl Checks,
    held: impl FnOnce() -> BTreeSet<HealthCheck>,
    command: ReadCommand,
) -> Result<Reply, HostError> {
    match command {
        ReadCommand::Sign { authority, request, links: _ } => {
            sign(objects, &authority, *request).map(Reply::Certificate)
        }
        ReadCommand::Extend { authority, certificate, not_before, not_after, keeps_serial } => {
            extend(objects, &authority, &certificate, (not_before, not_after), keeps_serial)
                .map(Reply::Certificate)
        }
        ReadCommand::ReadSharedIdentity { storage, links: _ } => {
            shared::read_identity(objects, &storage).map(Reply::SharedIdentity)
        }
        ReadCommand::ReadShared { path, links: _ } => existing(objects, &path).map(Reply::Shared),
        ReadCommand::Await { mut gates, kept, settle_seconds, timeout_seconds, links: _ } => {
            gates.extend(kept.intersection(&held()).cloned());
            wait(objects, &gates, (settle_seconds, timeout_seconds))
        }
        ReadCommand::Check { identity } => identity_check::check(objects, &identity).map(|()| Reply::Done),
    }
}

fn wait(
    objects: &impl Checks,
    gates: &BTreeSet<HealthCheck>,
    (settle, timeout): (u64, u64),
) -> Result<Reply, HostError> {
    crate::agent::probe::health_checks::wait(
        objects,
        gates,
        Duration::from_secs(settle),
        Duration::from_secs(timeout),
    )?;
    Ok(Reply::Done)
}

/// The file stays who it belongs to and as open as it is.
fn annotate(
    visit: &mut Transaction,
    objects: &mut impl Filesystem,
    path: &str,
    word: &str,
) -> Result<Reply, HostError> {
    let old = existing(objects, path)?;
    let edited = crate::formats::manifest::annotate(old.reveal(), word)
        .map_err(|source| HostError::Manifest { path: path.to_owned(), source })?;
    let root = || "root".to_owned();
    let file = FileSpec { path: path.to_owned(), user: root(), group: root(), mode: FileMode::ALL };
    let (mut touch, image) = visit.renewed(objects, &file, Secret::new(edited), Known::Manifest)?;
    touch.starts = true;
    visit.change(objects, vec![(touch, image)])?;
    Ok(Reply::Done)
}

/// An RSA key takes long to find and how long is luck, so all cores look for all keys at once.
fn make_keys(visit: &mut Transaction, keys: BTreeMap<Slot, NewKeyAlgorithm>) -> Result<Reply, HostError> {
    let made = keys.into_par_iter().map(|(slot, algorithm)| Ok((slot, new_key(algorithm)?)));
    let made: BTreeMap<Slot, PrivateKey> = made.collect::<Result<_, HostError>>()?;
    let public = made.iter().map(|(slot, key)| (slot.clone(), key.public_key().clone())).collect();
    visit.slots.extend(made.into_iter().map(|(slot, key)| (slot, Arc::new(key))));
    Ok(Reply::PublicKeys(public))
}

fn keep(visit: &mut Transaction, slot: Slot, key: PrivateKey) -> Reply {
    let public = key.public_key().clone();
    visit.slots.insert(slot, Arc::new(key));
    Reply::PublicKey(public)
}

fn new_key(algorithm: NewKeyAlgorithm) -> Result<PrivateKey, HostError> {
    PrivateKey::generate(algorithm).map_err(|error| not_made("a private key", &error))
}

fn new_serial() -> Result<SerialNumber, HostError> {
    SerialNumber::random().map_err(|error| not_made("a serial number", &error))
}

/// Certificate and key of an authority, which must belong to each other.
fn authority_of(
    objects: &impl Lookup,
    files: &AuthorityFiles,
    wanted: &Sha256,
) -> Result<(Certificate, PrivateKey), HostError> {
    let bytes = existing(objects, &files.certificate)?;
    let reading = pem::read(bytes.reveal());
    let issuer = reading.certificates().find(|certificate| certificate.fingerprint() == wanted);
    let issuer = issuer
        .ok_or_else(|| HostError::NoIssuer { path: files.certificate.clone(), issuer: *wanted })?
        .clone();
    let key = key_in(objects, &files.key)?;
    if key.public_key() != &issuer.facts().key {
        return Err(HostError::PairMismatch { path: files.key.clone() });
    }
    Ok((issuer, key))
}

fn extend(
    objects: &impl Lookup,
    authority: &AuthorityFiles,
    certificate: &Sha256,
    (not_before, not_after): (Timestamp, Timestamp),
    keeps_serial: bool,
) -> Result<Certificate, HostError> {
    let (issuer, key) = authority_of(objects, authority, certificate)?;
    let serial = if keeps_serial { None } else { Some(new_serial()?) };
    issue::extend(&issuer, &key, not_before, not_after, serial.as_ref())
        .map_err(|error| not_made("the certificate", &error))
}

fn sign(
    objects: &impl Lookup,
    authority: &AuthorityFiles,
    request: SignRequest,
) -> Result<Certificate, HostError> {
    let SignRequest { public_key, subject, usages, dns, ip, not_before, not_after, issuer } = request;
    let (issuer, key) = authority_of(objects, authority, &issuer)?;
    let leaf =
        LeafRequest { subject, public_key, serial: new_serial()?, not_before, not_after, usages, dns, ip };
    issue::issue(&leaf, &issuer, &key).map_err(|error| not_made("the certificate", &error))
}

/// Key and request are one file, so that the one is never there without the other.
fn write_request(
    visit: &mut Transaction,
    objects: &mut impl Filesystem,
    slot: Slot,
    content: &RequestContent,
    file: &FileSpec,
) -> Result<Reply, HostError> {
    let empty = || HostError::EmptySlot { slot: slot.clone() };
    let key = visit.slots.get(&slot).cloned().ok_or_else(empty)?;
    let RequestContent { subject, usages, dns, ip } = content;
    let what = "the request for a certificate";
    let der = issue::csr(subject, dns, ip, usages, &key).map_err(|error| not_made(what, &error))?;
    let request = CertificateRequest::from_der(&der).map_err(|error| not_made(what, &error))?;
    let (key, public) = (key_pem(&key)?, request.to_pem());
    // Grown once, so that no part of the key stays behind in a buffer that was too small.
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(key.len() + public.len()));
    text.extend_from_slice(key.reveal());
    text.extend_from_slice(public.as_bytes());
    visit.write_request(objects, file, Secret::new(text))?;
    visit.slots.remove(&slot);
    Ok(Reply::Request(request))
}

fn create_authority(
    visit: &mut Transaction,
    objects: &mut impl Filesystem,
    (certificate_file, key_file, over): (&FileSpec, &FileSpec, Option<Sha256>),
    algorithm: NewKeyAlgorithm,
    (subject, not_before, not_after): (SubjectName, Timestamp, Timestamp),
) -> Result<Certificate, HostError> {
    let held = read(objects, &certificate_file.path)?;
    let held =
        held.and_then(|held| pem::read(held.reveal()).certificates().next().map(|held| *held.fingerprint()));
    let is_written_over = over.is_some() && held == over;
    for file in [key_file, certificate_file].into_iter().filter(|_| !is_written_over) {
        // Everything that an old authority signed depends on it.
        if read(objects, &file.path)?.is_some_and(|old| !old.is_empty()) {
            return Err(HostError::Occupied {
                path: file.path.clone(),
                found: "a file that is not empty".into(),
            });
        }
    }
    let key = new_key(algorithm)?;
    let request = RootRequest { subject, serial: new_serial()?, not_before, not_after };
    let root = issue::issue_root(&request, &key).map_err(|error| not_made("the authority", &error))?;
    let text = Secret::new(root.to_pem().into_bytes());
    visit.write(objects, vec![(key_file, key_pem(&key)?), (certificate_file, text)])?;
    Ok(root)
}
