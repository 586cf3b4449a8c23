//! What an order must have been answered with. A node that answers something else than it was asked breaks the protocol.

use std::collections::BTreeMap;

use crate::protocol::command::{Answer, SharedIdentity, Slot};
use crate::protocol::error::HostError;
use crate::types::secret::Secret;
use crate::x509::{Certificate, CertificateRequest, PublicKey};

pub(super) fn certificate_of(answer: Answer) -> Result<Certificate, HostError> {
    if let Answer::Certificate(certificate) = answer { Ok(certificate) } else { Err(unanswered()) }
}

pub(super) fn request_of(answer: Answer) -> Result<CertificateRequest, HostError> {
    if let Answer::Request(request) = answer { Ok(request) } else { Err(unanswered()) }
}

pub(super) fn public_key(answer: Answer) -> Result<PublicKey, HostError> {
    if let Answer::PublicKey(key) = answer { Ok(key) } else { Err(unanswered()) }
}

pub(super) fn public_keys(answer: Answer) -> Result<BTreeMap<Slot, PublicKey>, HostError> {
    if let Answer::PublicKeys(keys) = answer { Ok(keys) } else { Err(unanswered()) }
}

pub(super) fn shared(answer: Answer) -> Result<Secret, HostError> {
    if let Answer::Shared(secret) = answer { Ok(secret) } else { Err(unanswered()) }
}

pub(super) fn shared_identity(answer: Answer) -> Result<SharedIdentity, HostError> {
    if let Answer::SharedIdentity(identity) = answer { Ok(identity) } else { Err(unanswered()) }
}

/// What such a node's visit fails with.
pub(super) fn unanswered() -> HostError {
    HostError::NotMade {
        what: "an answer".into(),
        reason: "the node answered something else than it was asked".to_owned(),
    }
}
