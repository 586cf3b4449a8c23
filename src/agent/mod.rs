//! A node as it is served on its machine: what can be asked of it, and the places where that touches the world.
//!
//! What enters is requests of [`protocol`](crate::protocol); what leaves is facts and answers. [`Inspect`] is the reading half and cannot change a node: whoever
//! holds only `&dyn Inspect` has no way to write, remove or run. [`Local`] is this machine, or a directory that stands for a node; `Memory` is a node made
//! of values, for tests, behind the feature of that name.
//!
//! [`Host`] is the writing half. It works in transactions: everything that will be touched is copied before the first write, one
//! [`WriteCommand`](crate::protocol::command::WriteCommand) after another is performed, and the end is `commit` or `undo`. A transaction whose process died is
//! found open by the next one, which undoes it.
//!
//! [`Inspect`]: crate::protocol::node::Inspect
//! [`Host`]: crate::protocol::node::Host

pub mod fs;
pub(crate) mod inspect;
mod local;
#[cfg(feature = "memory")]
mod memory;
pub(crate) mod probe;
pub mod serve;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make the files that are observed")]
mod tests;
pub(crate) mod transaction;

pub use local::Local;
#[cfg(feature = "memory")]
pub use memory::{Failure, Memory, Port, Running};
pub use probe::dumps;
pub use serve::{Ending, Login, Service, Stopper};
