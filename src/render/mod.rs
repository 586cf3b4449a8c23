//! Texts for people. What enters are finished values; what leaves are strings with every line ended. No stream is written here.

mod status;

pub use status::{StatusStyle, status};
