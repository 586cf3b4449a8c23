//! What should be beside what is: what everything that decides is given.

use super::Desired;
use crate::protocol::facts::Observed;

/// What should be, and what is.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// What should be.
    pub desired: Desired,
    /// What is.
    pub observed: Observed,
}
