//! Why a node did not do what it was told.
//!
//! What enters is what went wrong; what leaves is words for people, always with the path and the system's own text. No content of a file is
//! ever in an error, because any file may hold a key.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Code;
use crate::formats::kubeconfig::edit::EditError;
use crate::formats::manifest::AnnotateError;
use crate::protocol::command::{Slot, VisitId};
use crate::protocol::facts::UnsafeStep;
use crate::protocol::lock::Holder;

/// Why a command, or the beginning or end of a transaction, failed. After any of them the transaction can be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are named by the message")]
pub enum HostError {
    /// The path cannot be reached.
    #[error("{path} cannot be reached: {reason}")]
    Path { path: String, reason: String },
    /// Somebody who is not trusted with the node decides where the path leads.
    #[error("{path} is not touched: {step}")]
    Unsafe { path: String, step: Box<UnsafeStep> },
    /// The file is none that this program knows, and nobody said that it may be replaced.
    #[error(
        "{path} is not empty, and neither PEM nor a kubeconfig: it is not replaced unless --replace-foreign {path} says so"
    )]
    Foreign { path: String },
    /// A private key would go where a link leads that the plan does not know.
    #[error("{path} is a link to {location}, and no private key is written through a link")]
    KeyBehindLink { path: String, location: String },
    /// No space, or no quota, is left.
    #[error("{path}: the disk is full ({reason})")]
    DiskFull { path: String, reason: String },
    /// The file system cannot be written to.
    #[error("{path}: the file system is read-only")]
    ReadOnly { path: String },
    /// The system does not allow it to whoever serves the node.
    #[error("{path}: {reason}")]
    Denied { path: String, reason: String },
    /// The system refused for another reason.
    #[error("{path}: {reason}")]
    Refused { path: String, reason: String },
    /// Somebody else changed it since the transaction copied or wrote it. It was left as it is.
    #[error("{path} was changed by someone else during this transaction")]
    Changed { path: String },
    /// It is not what the visit left there, so taking back that visit's change would destroy another one. It was left as it is.
    #[error("{path} was changed after visit {visit}")]
    ChangedSince { path: String, visit: VisitId },
    /// The visit did not change it, or no snapshot of the visit is kept.
    #[error("there is no snapshot of {path} from visit {visit}")]
    NoSnapshot { path: String, visit: VisitId },
    /// What the visit's snapshot held of it was removed, because it held the private key of a distrusted CA.
    #[error("the snapshot of {path} from visit {visit} held the key of a distrusted CA and was removed")]
    Purged { path: String, visit: VisitId },
    /// The path was not named when the transaction began.
    #[error("{path} is not among the paths of this transaction")]
    NotListed { path: String },
    /// Another process works on this node.
    #[error("the node is locked by {}", holder.as_ref().map_or("another process".to_owned(), ToString::to_string))]
    Locked { holder: Option<Box<Holder>> },
    /// A transaction is open, which must be undone first.
    #[error("transaction {open} is open")]
    AlreadyOpen { open: VisitId },
    /// No transaction is open.
    #[error("no transaction is open")]
    NotOpen,
    /// A transaction of this name has been there before.
    #[error("there has been a transaction {id} before")]
    Repeated { id: VisitId },
    /// The run's name cannot be the name of a directory.
    #[error("{run:?} cannot name a run: up to 64 letters, digits and hyphens")]
    BadRun { run: String },
    /// Something else is where the order wants to make something.
    #[error("{path} is already there: {found}")]
    Occupied { path: String, found: Cow<'static, str> },
    /// The order needs a file, and nothing is there.
    #[error("{path} does not exist")]
    Missing { path: String },
    /// The path ends in a link that leads to nothing; who made it meant something else than to have a file made there.
    #[error("{path} leads to {missing}, which does not exist")]
    Dangling { path: String, missing: String },
    /// The order needs a regular file.
    #[error("{path} is not a regular file")]
    NotAFile { path: String },
    /// The node has no such user or group.
    #[error("the node has no {kind} {name:?}")]
    UnknownAccount { kind: Cow<'static, str>, name: String },
    /// No order has put a key into the slot.
    #[error("no key is in slot {:?}", slot.0)]
    EmptySlot { slot: Slot },
    /// The file has no private key that can be used.
    #[error("{path} has no private key that can be used: {reason}")]
    NoKey { path: String, reason: String },
    /// The certificate is not for this key.
    #[error("{path}: the certificate and the private key do not belong together")]
    PairMismatch { path: String },
    /// The authority's files do not hold the certificate that must sign.
    #[error("{path} does not hold the certificate sha256:{issuer} that must sign")]
    NoIssuer { path: String, issuer: crate::x509::Sha256 },
    /// A file would hold a certificate twice. Nothing was written.
    #[error("{path} would hold the certificate sha256:{certificate} twice, so nothing was written")]
    TwiceInFile { path: String, certificate: crate::x509::Sha256 },
    /// A key or certificate could not be made.
    #[error("{what} could not be made: {reason}")]
    NotMade { what: Cow<'static, str>, reason: String },
    /// The kubeconfig cannot be edited.
    #[error("{path} cannot be edited")]
    Kubeconfig {
        path: String,
        #[source]
        source: EditError,
    },
    /// The manifest of a static pod cannot be edited.
    #[error("{path} cannot be edited")]
    Manifest {
        path: String,
        #[source]
        source: AnnotateError,
    },
    /// A written identity is not what it should be.
    #[error("{path}: {reason}")]
    CheckFailed { path: String, reason: String },
    /// What had to hold did not, in time.
    #[error("not healthy within {seconds} s: {}", reasons.join("; "))]
    NotHealthy { reasons: Vec<String>, seconds: u64 },
    /// What the pod of a manifest ran is still there, although the manifest is not.
    #[error(
        "the pod of {manifest} has not stopped within {seconds} s, while the manifest was moved aside: {reason}. Only a kubelet stops it: one that runs, and that has reached an API server since its own start"
    )]
    NotStopped { manifest: String, reason: String, seconds: u64 },
    /// The disk has not enough room for a snapshot of etcd's data.
    #[error("{}: a snapshot of etcd's data needs {} MiB below {path}, and {} MiB are free there; nothing else was begun. Free some, or declare `snapshots: {{ etcd: never }}`", Code::EtcdNoRoom, mebibytes(*needed, true), mebibytes(*free, false))]
    EtcdNoRoom { path: String, needed: u64, free: u64 },
    /// No snapshot of etcd's data could be made. What there was of it is gone again.
    #[error(
        "{}: etcd's data could not be saved: {reason}; nothing else was begun. Mend that, or declare `snapshots: {{ etcd: never }}`",
        Code::EtcdNotSaved
    )]
    EtcdNotSaved { reason: String },
    /// A member of etcd still leads that was to hand its leadership on.
    #[error("etcd's leadership was not moved: {reason}")]
    LeaderNotMoved { reason: String },
    /// A program failed.
    #[error("{program} {reason}{}", if output.is_empty() { String::new() } else { format!("; it said: {output}") })]
    Program { program: String, reason: String, output: String },
    /// What is kept of a transaction cannot be read back.
    #[error("{path} is damaged: {reason}")]
    Damaged { path: String, reason: String },
    /// The changes are kept, and the record of that could not be closed. The next run closes it.
    #[error(
        "the changes are kept, and the record of the transaction could not be closed: {reason}; the next `pki apply` closes it"
    )]
    NotClosed { reason: String },
    /// An undo could not be finished. The transaction stays open, and undoing it again goes on where this ended.
    #[error("{path} could not be put back: {reason}. {instruction}")]
    UndoFailed { path: String, reason: String, instruction: String },
    /// The node cannot be reached.
    #[error("the node cannot be reached: {reason}")]
    Unreachable { reason: String },
    /// The node is served for looking only.
    #[error("the node is served for reading only, and {request} is more than that")]
    ServedReadOnly { request: Cow<'static, str> },
    /// A message does not go through the connection. It was not sent, and the connection and the transaction are as before.
    #[error("the {message} is larger than {mebibytes} MiB, the most that is sent at once")]
    TooLarge { message: Cow<'static, str>, mebibytes: usize },
    /// The connection to the node was lost, before or after it did what it was told.
    #[error(
        "the connection to the node is lost: {reason}. What was not committed there, the node undoes by itself"
    )]
    Disconnected { reason: String },
}

/// What is needed is rounded up, and what is there down.
fn mebibytes(bytes: u64, up: bool) -> u64 {
    const MEBIBYTE: u64 = 1024 * 1024;
    if up { bytes.div_ceil(MEBIBYTE) } else { bytes / MEBIBYTE }
}
