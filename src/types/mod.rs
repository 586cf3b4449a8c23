//! What has one meaning everywhere: names, durations, secrets, lists that are never empty.

pub mod address;
pub mod certificate;
pub mod duration;
pub mod format;
pub mod lookalike;
pub mod names;
pub mod non_empty;
pub mod place;
pub mod profile_name;
pub mod scalars;
pub mod secret;
pub mod service_kind;
pub mod storage;
pub(crate) mod url;
