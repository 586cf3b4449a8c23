//! Specs: which are valid, what is said of those that are not, and the one that `adopt` writes.

pub(crate) mod adopt;
pub(crate) mod custom_root;
pub(crate) mod examples;
pub(crate) mod inventory;
pub(crate) mod one_file;
pub(crate) mod specs;
