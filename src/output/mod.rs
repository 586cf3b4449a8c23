//! Texts for people. What enters are finished values; what leaves are strings with every line ended. No stream is written here.

mod checked;
mod deed;
mod event;
mod external;
pub(crate) mod health_checks;
mod issue;
mod markdown;
mod markdown_parts;
mod metrics;
pub(crate) mod notes;
mod nothing;
mod phases;
mod pipeline;
mod plan;
mod privilege;
mod report;
pub mod run_markdown;
pub mod schema;
mod snapshot;
mod status;
pub mod status_report;
mod view;
mod wrap;

pub use deed::deed;
pub(crate) use event::Line;
pub use event::{event, outcome, request, version};
pub use external::requests;
pub use markdown::{markdown, marker, no_plan_markdown};
pub use metrics::metrics;
pub use pipeline::{gitlab, gitlab_of_no_plan, junit_of_status, junit_of_validation};
pub use plan::plan;
pub use report::report;
pub use run_markdown::report_markdown;
pub use snapshot::{etcd_snapshots, snapshot, snapshots};
pub use status::{StatusStyle, status};
pub use view::View;
