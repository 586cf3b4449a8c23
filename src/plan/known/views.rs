//! What the nodes hold, as all of planning looks at it.
//!
//! What enters is what should be and what the nodes told; what leaves are the views of it, made once. What has to be done about them is decided elsewhere. Pure.

use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::Timestamp;

use crate::desired::{DesiredNode, Survey};
use crate::diff::{
    AuthorityView, CaRotation, IdentityView, Unlisted, authority_views, identity_view, successions, unlisted,
};
use crate::types::names::{AuthorityName, IdentityName, NodeName};

/// What the nodes hold, gathered once.
pub(crate) struct Known<'a> {
    pub(crate) authorities: BTreeMap<AuthorityName, AuthorityView>,
    /// What takes the place of those that are being replaced.
    pub(crate) successions: BTreeMap<AuthorityName, CaRotation>,
    /// Who takes part and is in no node of the spec.
    pub(crate) unlisted: Unlisted,
    /// Of nodes that were seen.
    pub(crate) identities: BTreeMap<&'a NodeName, BTreeMap<&'a IdentityName, Rc<IdentityView>>>,
}

impl<'a> Known<'a> {
    pub(crate) fn new(survey: &'a Survey, now: Timestamp) -> Self {
        let (desired, observed) = (&survey.desired, &survey.observed);
        let of_node = |(name, node): (&'a NodeName, &'a DesiredNode)| {
            let facts = observed.nodes.get(name)?.facts()?;
            let views = node.identities.iter();
            let views = views.map(|(identity, wanted)| (identity, Rc::new(identity_view(wanted, facts))));
            Some((name, views.collect()))
        };
        let identities = desired.nodes.iter().filter_map(of_node).collect();
        let authorities = authority_views(desired, observed);
        let successions = successions(desired, &authorities, now);
        let unlisted = unlisted(desired, observed);
        Self { authorities, successions, unlisted, identities }
    }

    /// What a node holds of an identity; `None` when it was not seen.
    pub(crate) fn identity(&self, node: &NodeName, identity: &IdentityName) -> Option<&Rc<IdentityView>> {
        self.identities.get(node)?.get(identity)
    }
}
