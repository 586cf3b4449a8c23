//! The files of a node as its agent changes them.

pub(crate) mod accounts;
pub(crate) mod disk;
pub(crate) mod file_state;
pub(crate) mod lookup;
pub(crate) mod print;
