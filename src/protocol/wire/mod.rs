//! What the two ends of a connection say to each other.
//!
//! What enters is values of this crate; what leaves is frames of JSON, and the other way round. The node speaks first ([`Hello`]), the controller answers
//! once (`Greeting`), and from then on each `Request` gets one `Outcome` of its kind before the next one is sent. Only `Request::Heartbeat` gets none and
//! may come at any time: whoever works cannot answer, and what the node wants to know is that the controller lives.
//!
//! Commands and replies that carry secrets have a written form only in a `Request` and its `Outcome`, so no other code can write them. Of key material only
//! that crosses which nodes share by their layout; the keys of leaves stay in the slots of their node.

pub(crate) mod command;
pub(crate) mod frame;
pub(crate) mod secret;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::error::HostError;
use crate::protocol::command::{Begin, Reply, SnapshotEtcd, WireCommand};
use crate::protocol::facts::ObserveRequest;
use crate::protocol::lock::Claim;

/// The protocol that is spoken here. The ends must agree in the first number; the second one grows with what may be ignored.
pub(crate) const PROTOCOL: Protocol = Protocol { major: 1, minor: 0 };
/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Protocol {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

/// The part of the first frame that every version has.
#[derive(Debug, Deserialize)]
pub(crate) struct Introduction {
    pub(crate) protocol: Protocol,
    #[serde(default)]
    pub(crate) version: String,
}

/// The first frame, in which the node says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    pub(crate) protocol: Protocol,
    /// The version of the program on the node.
    pub version: String,
    /// The node's operating system, such as `linux`.
    pub os: String,
    /// The processor that the node's program is for, such as `x86_64`.
    pub arch: String,
    /// The process that serves.
    pub pid: u32,
    /// What the node's kernel calls it.
    pub hostname: String,
    /// The user that serves, by number; 0 is root.
    pub uid: u32,
    /// Whether it can only be looked at.
    pub read_only: bool,
}

/// The second frame, in which the controller says who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Greeting {
    pub(crate) protocol: Protocol,
    pub(crate) version: String,
    /// The run, where it has a name already.
    #[serde(default)]
    pub(crate) run: Option<String>,
    /// What it is about.
    pub(crate) note: String,
    /// After so many seconds without a word the node takes the controller for dead.
    pub(crate) silence_seconds: u64,
}

/// What the controller wants.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Request {
    Heartbeat,
    Observe(ObserveRequest),
    Lock(Claim),
    LockState,
    Unlock,
    Begin(Begin),
    /// One of either kind.
    Perform(WireCommand),
    Commit,
    Undo,
    UndoOpen {
        state_directory: String,
    },
    Snapshots {
        state_directory: String,
    },
    SnapshotEtcd(SnapshotEtcd),
    EtcdSnapshots {
        state_directory: String,
    },
    Prune {
        state_directory: String,
        keep: u32,
    },
}

/// A heartbeat as it is written, which is told from everything else without reading it.
pub(crate) const HEARTBEAT: &[u8] = br#""heartbeat""#;

/// What the node answers. Of each request the kind of `done` is known.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Outcome<T, E = HostError> {
    Done(T),
    Failed(E),
    /// The node ends the session, because it was not spoken to as the protocol says.
    Ended(String),
}

/// The answer to [`Request::Perform`].
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Performed(#[serde(with = "command::WireReply")] pub(crate) Reply);
