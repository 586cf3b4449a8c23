//! What users write: the declared PKI of a cluster.

pub mod scalars;
pub mod types;
