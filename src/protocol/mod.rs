//! What controller and nodes say to each other, as plain values, and how it is written. Pure.

pub mod command;
pub mod error;
pub mod facts;
pub mod file;
pub mod health_check;
pub mod live_facts;
pub mod lock;
pub(crate) mod named_files;
pub mod node;
pub mod shared_identity;
pub mod snapshots;
pub mod state_layout;
pub mod tree_error;
pub mod unsafe_step;
pub mod visit;
pub mod wire;
