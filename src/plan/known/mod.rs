//! What planning looks at and fills: the input, what nodes hold, the deeds so far, and questions about them. Nothing is drawn here. Pure.

pub(crate) mod advice;
pub(crate) mod builder;
pub(crate) mod chosen;
pub(crate) mod draft_deed;
pub(crate) mod foreign_cas;
pub mod input;
pub(crate) mod paths;
pub(crate) mod quorum;
pub(crate) mod recovery;
pub(crate) mod rotations;
pub(crate) mod services;
pub(crate) mod signer;
pub(crate) mod worklist;
