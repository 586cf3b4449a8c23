//! What others rely on: words, codes, streams and formats, and the form of the source tree.

pub(crate) mod cli;
pub(crate) mod dependencies;
pub(crate) mod forms;
pub(crate) mod layers;
pub(crate) mod pipelines;
pub(crate) mod promises;
pub(crate) mod reviews;
pub(crate) mod saved;
pub(crate) mod schema;
pub(crate) mod silence;
pub(crate) mod tidy;
pub(crate) mod views;
