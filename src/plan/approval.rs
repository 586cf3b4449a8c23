//! Who has to say yes to a plan, and how.
//!
//! What enters is a finished plan; what leaves is its tier. The upper tier is for what cannot be taken back or takes a cluster down: dropping trust, a loss of quorum of
//! a cluster of several members, and bringing back what has expired. Nothing else is in it, so that nobody gets used to it.

use super::Plan;

/// What a plan needs to be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// A yes.
    Ordinary,
    /// The name, typed out.
    Upper {
        /// What is typed, such as `prod-eu1/outage`.
        name: String,
        /// Why, in one sentence for each reason.
        why: Vec<String>,
    },
}

impl Plan {
    /// What it needs to be approved.
    pub fn approval(&self) -> Approval {
        if self.accepted_outages.is_empty() {
            return Approval::Ordinary;
        }
        Approval::Upper { name: format!("{}/outage", self.cluster), why: self.accepted_outages.clone() }
    }
}
