//! Tests of the library and the program from outside, against real files and other implementations.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

mod contract;
mod crash;
mod property;
mod scenario;
mod security;
mod spec;
#[path = "../support/mod.rs"]
mod support;
mod x509;
