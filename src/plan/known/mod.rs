//! What planning looks up while it works: advice, names, which findings a new certificate mends, and which CAs are replaced. Pure.

pub(crate) mod advice;
pub mod names;
pub(crate) mod rotations;
