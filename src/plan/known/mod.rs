//! What planning looks up while it works: advice, names and paths, which findings a new certificate fixes, which CAs are replaced and where each signs. Pure.

pub(crate) mod advice;
pub(crate) mod choices;
pub(crate) mod draft_deed;
pub mod input;
pub(crate) mod names;
pub(crate) mod paths;
pub(crate) mod quorum;
pub(crate) mod recovery;
pub(crate) mod rotations;
pub(crate) mod signer;
