//! The rotation of a CA: its phases, what each of them writes, and what holds it. Pure.

pub(crate) mod extend;
pub mod holds;
pub mod phases;
pub(crate) mod purge;
pub(crate) mod reached;
pub(crate) mod split_ca;
