//! What the nodes hold, as all of planning looks at it.
//!
//! What enters is what the differences hold of it and what the nodes told; what leaves are the views of it. What has to be done about them is decided elsewhere. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::input::Input;
use crate::diff::{AuthorityView, CaRotation, Identities, IdentityView, Unlisted, unlisted};
use crate::types::names::{AuthorityName, IdentityName, NodeName};

/// What the nodes hold.
pub(crate) struct Known<'a> {
    pub(crate) authorities: &'a BTreeMap<AuthorityName, AuthorityView>,
    /// What takes the place of those that are being replaced.
    pub(crate) successions: &'a BTreeMap<AuthorityName, CaRotation>,
    /// Who takes part and is in no node of the spec.
    pub(crate) unlisted: Unlisted,
    /// Of nodes that were seen.
    pub(crate) identities: &'a BTreeMap<NodeName, Identities>,
}

impl<'a> Known<'a> {
    pub(crate) fn new(input: &Input<'a>) -> Self {
        Self {
            authorities: input.differences.authorities(),
            successions: input.differences.successions(),
            unlisted: unlisted(&input.survey.desired, &input.survey.observed),
            identities: input.differences.identities(),
        }
    }

    /// What a node holds of an identity; `None` when it was not seen.
    pub(crate) fn identity(&self, node: &NodeName, identity: &IdentityName) -> Option<&Arc<IdentityView>> {
        self.identities.get(node)?.get(identity)
    }
}
