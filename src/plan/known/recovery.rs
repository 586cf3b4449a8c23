//! What is known of authorities that have become two.
//!
//! A plain value: [`crate::plan::rotation::split_ca`] fills it, and whoever draws deeds of such an authority asks it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::names::AuthorityName;
use crate::x509::Certificate;

/// What is known of authorities that have become two.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// Those about which everything is said, so that nothing of it has to be said again.
    pub(crate) told: BTreeSet<AuthorityName>,
    /// Those that this plan makes one again, with the certificate that stays.
    pub(crate) stays: BTreeMap<AuthorityName, Certificate>,
}
