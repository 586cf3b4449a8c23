//! A plan in each of its forms, whether it was just made or stands in a file: showing one takes no more than looking at it.

use serde::{Serialize, Serializer};

use super::{gitlab, markdown, plan};
use crate::plan::{PlanContent, SavedPlan};
use crate::x509::Sha256;

/// A plan that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a>(&'a PlanContent);

impl<'a> From<&'a PlanContent> for View<'a> {
    fn from(plan: &'a PlanContent) -> Self {
        Self(plan)
    }
}

impl<'a> From<&'a SavedPlan> for View<'a> {
    fn from(plan: &'a SavedPlan) -> Self {
        Self(plan.shown())
    }
}

impl Serialize for View<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl View<'_> {
    /// For people.
    pub fn text(self) -> String {
        plan(self.0)
    }

    /// For a comment on a pull request, with the digest of the file where there is one.
    pub fn markdown(self, digest: Option<&Sha256>, max_bytes: usize) -> String {
        markdown(self.0, digest, max_bytes)
    }

    /// What GitLab shows at a merge request.
    pub fn gitlab(self) -> String {
        gitlab(self.0)
    }

    /// Whether anything keeps it from being applied.
    pub fn is_blocked(self) -> bool {
        !self.0.blocked.is_empty()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}
