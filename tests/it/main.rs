//! Tests of the library from outside.

mod schema;
mod specs;
