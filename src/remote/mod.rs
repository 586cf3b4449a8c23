//! Nodes that are reached through a connection.

pub mod session;
pub mod ssh;
pub mod unreachable;
