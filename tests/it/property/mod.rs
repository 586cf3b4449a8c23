//! What is true of every cluster: random ones, in random states, interrupted anywhere.

pub(crate) mod every_layout;
pub(crate) mod members;
pub(crate) mod properties;
pub(crate) mod rotations;
pub(crate) mod rotations_of_ack;
