//! Commands to the nodes of a run, and what each must have been answered with. A node that answers something else than it was asked breaks the protocol.

use std::collections::BTreeMap;

use crate::protocol::command::{ReadCommand, Reply, SharedIdentity, Slot, WriteCommand};
use crate::protocol::error::HostError;
use crate::types::place::Place;
use crate::types::secret::Secret;
use crate::x509::{Certificate, CertificateRequest, PublicKey};

use super::Run;

pub(super) fn ask(run: &mut Run<'_, '_>, place: &Place, command: ReadCommand) -> Result<Reply, HostError> {
    match run.hosts.get(place) {
        Some(host) => super::held(host).ask(command),
        None => Err(HostError::NotOpen),
    }
}

pub(super) fn perform(
    run: &mut Run<'_, '_>,
    place: &Place,
    command: WriteCommand,
) -> Result<Reply, HostError> {
    match run.hosts.get(place) {
        Some(host) => super::held(host).perform(command),
        None => Err(HostError::NotOpen),
    }
}

pub(super) fn done(run: &mut Run<'_, '_>, place: &Place, command: WriteCommand) -> Result<(), HostError> {
    perform(run, place, command).map(|_| ())
}

pub(super) fn certificate_of(reply: Reply) -> Result<Certificate, HostError> {
    if let Reply::Certificate(certificate) = reply { Ok(certificate) } else { Err(unanswered()) }
}

pub(super) fn request_of(reply: Reply) -> Result<CertificateRequest, HostError> {
    if let Reply::Request(request) = reply { Ok(request) } else { Err(unanswered()) }
}

pub(super) fn public_key(reply: Reply) -> Result<PublicKey, HostError> {
    if let Reply::PublicKey(key) = reply { Ok(key) } else { Err(unanswered()) }
}

pub(super) fn public_keys(reply: Reply) -> Result<BTreeMap<Slot, PublicKey>, HostError> {
    if let Reply::PublicKeys(keys) = reply { Ok(keys) } else { Err(unanswered()) }
}

pub(super) fn shared(reply: Reply) -> Result<Secret, HostError> {
    if let Reply::Shared(secret) = reply { Ok(secret) } else { Err(unanswered()) }
}

pub(super) fn shared_identity(reply: Reply) -> Result<SharedIdentity, HostError> {
    if let Reply::SharedIdentity(identity) = reply { Ok(identity) } else { Err(unanswered()) }
}

/// What such a node's visit fails with.
pub(super) fn unanswered() -> HostError {
    HostError::NotMade {
        what: "an answer".into(),
        reason: "the node answered something else than it was asked".to_owned(),
    }
}
