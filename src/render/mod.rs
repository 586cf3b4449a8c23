//! Texts for people. What enters are finished values; what leaves are strings with every line ended. No stream is written here.

mod checked;
mod deed;
mod gates;
mod issue;
mod plan;
mod report;
mod snapshot;
mod status;

pub use deed::deed;
pub use plan::plan;
pub use report::report;
pub use snapshot::{snapshot, snapshots};
pub use status::{StatusStyle, status};
