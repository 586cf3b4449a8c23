//! YAML with places: parsed, decoded with all errors in one run, read leniently where it was found on nodes, and edited in one field.

pub mod decode;
pub mod document;
pub(crate) mod edit;
pub(crate) mod lenient;
pub(crate) mod name_index;
pub mod node;
pub mod parse;
pub(crate) mod withheld;
