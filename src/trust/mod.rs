//! Who accepts whom: the model of a cluster's processes, what they read and present, and the judgement of each connection. Pure.

pub(crate) mod broken_authorities;
pub(crate) mod disk;
pub(crate) mod health;
pub(crate) mod judge;
pub(crate) mod material;
pub(crate) mod model;
pub mod processes;
pub mod refused;
pub mod restored;
pub(crate) mod state;
pub(crate) mod topology;
