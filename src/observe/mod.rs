//! What nodes hold, asked of all of them at once.

pub mod ask;
pub mod survey;
