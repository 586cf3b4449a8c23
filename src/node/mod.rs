//! A node: what can be asked of it, and the places where that touches the world.
//!
//! What enters is an [`ObserveRequest`]; what leaves is [`NodeFacts`]. [`Inspect`] is the reading half and cannot change a node: whoever
//! holds only `&dyn Inspect` has no way to write, remove or run. [`Local`] is this machine, or a directory that stands for a
//! node; [`Memory`] is a node made of values, for tests.
//!
//! [`Host`] is the writing half. It works in transactions: everything that will be touched is copied before the first write, one [`Order`] after
//! another is performed, and the end is `commit` or `undo`. A transaction whose process died is found open by the next one, which undoes it.

mod accounts;
mod boot;
mod bound;
mod check;
mod claim;
pub mod confined;
mod content;
mod disk;
pub mod dumps;
mod error;
mod etcd_snapshot;
mod gates;
mod host;
mod image;
mod journal;
mod kept;
mod live;
mod local;
mod lock;
mod memory;
mod observe;
pub mod order;
mod perform;
mod print;
mod program;
mod remote;
mod serve;
mod shared;
mod site;
mod snapshot;
pub mod ssh;
mod store;
mod transaction;
mod unreachable;
mod visit;
mod wire;

pub use crate::visits::{Brief, ChangedPath, EtcdSnapshot, FileBrief, SnapshotFacts, Undone};
pub use claim::{Claim, Holder, LockState};
pub use error::HostError;
pub use host::{Host, Inspect, NodeError};
pub use local::Local;
pub use memory::{Failure, Memory, Port, Running};
pub use remote::{Deadlines, Remote, Session};
pub use serve::{Ending, Login, Service, Stopper};
pub use unreachable::Unreachable;
pub use wire::Hello;

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make the files that are observed")]
mod tests;
