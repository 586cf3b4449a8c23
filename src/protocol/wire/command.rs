//! The written form of replies.
//!
//! What enters is a [`Reply`]; what leaves is its JSON, and the other way round. The type itself cannot be serialised, and this form can be neither made nor
//! printed: it only tells serde how. The form of commands follows from their list (`protocol/command.rs`), that of the secrets in both is `secret`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::command::{Reply, SharedIdentity, Slot};
use crate::protocol::wire::secret;
use crate::protocol::wire::secret::WireSharedIdentity;
use crate::types::secret::Secret;
use crate::x509::{Certificate, CertificateRequest, PublicKey};

/// How a [`Reply`] is written.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Reply", rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum WireReply {
    Done,
    PublicKey(PublicKey),
    PublicKeys(BTreeMap<Slot, PublicKey>),
    Certificate(Certificate),
    Request(CertificateRequest),
    Shared(#[serde(with = "secret")] Secret),
    SharedIdentity(#[serde(with = "WireSharedIdentity")] SharedIdentity),
}
