//! What all nodes together hold, gathered once for everybody who asks: the checks, the plan, the status and the texts.
//!
//! What enters is what should be, what is and the instant `now`; what leaves is what each node holds of each identity, what all hold of each authority and of what they
//! share, and which authorities take the place of others. Nothing is found here; which of two certificates that nodes share is the better one is judged by the
//! checks.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::authority_view::authority_views;
use super::cases::Authorities;
use super::succession::successions;
use super::view::identity_view;
use super::{AuthorityView, CaRotation, Identities, SharedView, shared};
use crate::desired::{Desired, DesiredNode};
use crate::protocol::facts::Observed;
use crate::types::names::{AuthorityName, IdentityName, NodeName};

/// What all nodes together hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Views {
    pub(super) authorities: BTreeMap<AuthorityName, AuthorityView>,
    pub(super) successions: BTreeMap<AuthorityName, CaRotation>,
    pub(super) shared: BTreeMap<IdentityName, SharedView>,
    pub(super) identities: BTreeMap<NodeName, Identities>,
}

impl Views {
    pub(super) fn of(desired: &Desired, observed: &Observed, now: Timestamp) -> Self {
        let of_node = |(name, node): (&NodeName, &DesiredNode)| {
            let facts = observed.nodes.get(name)?.facts()?;
            let held = node.identities.iter();
            let held = held
                .map(|(identity, wanted)| (identity.clone(), Arc::new(identity_view(wanted, node, facts))));
            Some((name.clone(), held.collect()))
        };
        let identities = desired.nodes.par_iter().filter_map(of_node).collect();
        let authorities = authority_views(desired, observed);
        let successions = successions(desired, &authorities, now);
        let known = Authorities { views: &authorities, successions: &successions };
        let shared = shared::views(desired, observed, &identities, known, now);
        Self { authorities, successions, shared, identities }
    }

    pub(super) fn known(&self) -> Authorities<'_> {
        Authorities { views: &self.authorities, successions: &self.successions }
    }
}
