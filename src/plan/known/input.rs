//! What a plan is made from. Nothing is planned here. Pure.

use jiff::Timestamp;

use crate::desired::Survey;
use crate::diff::signed::Signed;
use crate::diff::{Differences, Finding, Reason};
use crate::plan::Options;
use crate::protocol::file::SpecReference;
use crate::types::names::Address;

/// What a plan is made from.
pub struct Input<'a> {
    /// What should be, and what is.
    pub survey: &'a Survey,
    /// The differences between them.
    pub differences: &'a Differences,
    /// The instant for which the plan is made.
    pub now: Timestamp,
    /// The spec.
    pub spec: SpecReference,
    /// What the user asked for.
    pub options: &'a Options,
    /// Certificates that were signed elsewhere and brought back, checked.
    pub signed: &'a Signed,
    /// Where a path of the spec is written, as `FILE:LINE`; `None` for what is not written.
    pub place: &'a dyn Fn(&[String]) -> Option<String>,
}

impl Input<'_> {
    /// Why a thing is replaced whatever it is like: the user asked for it, or brought what is to replace it.
    pub(crate) fn asked_for(&self, address: &Address) -> Vec<Finding> {
        if !self.options.selects(address) {
            return Vec::new();
        }
        let replaced = self.is_to_be_replaced(address).then_some(Reason::Requested);
        let brought = self.signed.certificates.get(address);
        let brought = brought.map(|signed| Reason::Signed { file: signed.file.clone() });
        replaced.into_iter().chain(brought).map(Finding::due).collect()
    }

    /// Whether the user asked that a thing be replaced. What a node need not have, and has not, is made for those alone who name it: whoever asks for
    /// everything on a node means what is there.
    pub(crate) fn is_to_be_replaced(&self, address: &Address) -> bool {
        let is_named = || self.options.names_to_replace(address);
        self.options.replaces(address) && (!self.is_rightly_absent(address) || is_named())
    }

    /// Whether a certificate is not there, and need not be.
    pub(crate) fn is_rightly_absent(&self, address: &Address) -> bool {
        let wanted = self.survey.desired.identity_at(address);
        let view = address.node().zip(address.target.identity());
        let view = view.and_then(|(node, identity)| self.differences.identity(node, identity));
        wanted.is_some_and(|wanted| wanted.optional)
            && view.is_some_and(|view| view.reasons == [Reason::Missing])
    }
}
