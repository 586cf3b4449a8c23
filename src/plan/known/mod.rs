//! What planning looks up while it works: advice, names, and which findings a new certificate mends. Pure.

pub(crate) mod advice;
pub mod names;
