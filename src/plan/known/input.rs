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
        let replaced = self.options.replaces(address).then_some(Reason::Requested);
        let brought = self.signed.certificates.get(address);
        let brought = brought.map(|signed| Reason::Signed { file: signed.file.clone() });
        replaced.into_iter().chain(brought).map(Finding::due).collect()
    }
}
