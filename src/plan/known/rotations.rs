//! Which CAs are being replaced, and how far this plan goes with each of them.
//!
//! What enters is what [`crate::plan::rotation::holds`] has found out; what leaves are answers for whoever draws deeds. Nothing is decided here. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::{CaRotation, Finding, Reason};
use crate::plan::Phase;
use crate::types::names::AuthorityName;
use crate::x509::Sha256;

/// A replacement that this plan works on.
#[derive(Debug, Clone)]
pub(crate) struct RotationProgress {
    pub(crate) succession: CaRotation,
    /// The certificates that go and that somebody still shows something of.
    pub(crate) shown: BTreeSet<Sha256>,
    /// The last of its phases that this plan draws.
    pub(crate) last: Phase,
}

impl RotationProgress {
    /// Whether this plan has what they issued issued anew by the one that comes, which everybody trusts. What is somebody else's has issued nothing.
    pub(crate) fn reissues(&self) -> bool {
        self.last >= Phase::Clients && !self.succession.is_only_dropping()
    }

    /// Whether this plan drops those that go, too.
    pub(crate) fn drops(&self) -> bool {
        self.last >= Phase::DropOld
    }

    /// Whether it draws anything at all.
    fn goes(&self) -> bool {
        self.last >= Phase::Prepare
    }
}

/// What is known of the replacements of all authorities.
#[derive(Debug, Default)]
pub(crate) struct Rotations {
    going: BTreeMap<AuthorityName, RotationProgress>,
    /// Those that have to wait. What they leave undone is told once, by their holds.
    waiting: BTreeSet<AuthorityName>,
    /// Those that are held by somebody outside the spec.
    held_outside: BTreeSet<AuthorityName>,
}

impl Rotations {
    pub(crate) fn insert(
        &mut self,
        name: &AuthorityName,
        replacement: RotationProgress,
        is_held_outside: bool,
    ) {
        if is_held_outside {
            self.held_outside.insert(name.clone());
        }
        match replacement.goes() {
            true => drop(self.going.insert(name.clone(), replacement)),
            false => drop(self.waiting.insert(name.clone())),
        }
    }

    /// The replacement of an authority that this plan works on.
    pub(crate) fn get(&self, name: &AuthorityName) -> Option<&RotationProgress> {
        self.going.get(name)
    }

    /// The authorities that this plan replaces and by whose new CA it has everything issued anew.
    pub(crate) fn reissued(&self) -> impl Iterator<Item = &AuthorityName> {
        self.going.iter().filter(|(_, going)| going.reissues()).map(|(name, _)| name)
    }

    /// Whether a finding says only that something goes whose replacement waits, or has what it issued wait.
    pub(crate) fn waits_for(&self, finding: &Finding, authority: &AuthorityName) -> bool {
        if matches!(finding.reason, Reason::IssuerGoes { .. })
            && self.going.get(authority).is_some_and(|going| !going.reissues())
        {
            return true;
        }
        // What is older than the new CA will have to be is not issued by the old one once more.
        if matches!(finding.reason, Reason::IssuedBefore { .. }) && self.held_outside.contains(authority) {
            return true;
        }
        let is_of_replacement = matches!(
            finding.reason,
            Reason::IssuerGoes { .. }
                | Reason::Distrusted { .. }
                | Reason::RootDiffers { .. }
                | Reason::SuccessorKeyLost { .. }
        );
        is_of_replacement && self.waiting.contains(authority)
    }

    /// Whether it is held up.
    pub(crate) fn waits(&self, authority: &AuthorityName) -> bool {
        self.waiting.contains(authority)
    }

    /// Whether everything of it that can be done before its soak has ended is done, so that what is still due of it is no change.
    pub(crate) fn soaks(&self, authority: &AuthorityName) -> bool {
        self.going.get(authority).is_some_and(|going| !going.drops())
    }
}
