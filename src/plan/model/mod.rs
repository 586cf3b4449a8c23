//! What a plan says: values, and nothing that makes one.

pub mod approval;
pub mod bundle;
pub mod checked;
pub mod choices;
pub mod csr;
pub mod deed;
pub mod deed_traits;
pub mod draft;
pub mod fact;
pub mod identity_copy;
pub mod issue;
pub mod life;
pub mod linked;
pub mod options;
pub mod outcome;
pub mod phase;
pub mod phase_table;
pub mod plan;
mod plan_name;
pub mod postponed;
pub mod privilege;
pub mod saved_plan;
pub mod standing;
pub mod summary;
pub mod until;
pub mod visit;
