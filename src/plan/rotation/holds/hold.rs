//! A replacement that is looked at, and what a reason to wait is.
//!
//! Plain values, with what makes a [`Hold`]: each reason in the files beside this one says what it needs. Nothing is looked at here. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::desired::DesiredAuthority;
use crate::diff::{CaRotation, Unlisted};
use crate::plan::{Input, Phase};
use crate::types::names::{Address, AuthorityName, NodeName, Target};
use crate::types::place::Place;
use crate::x509::Sha256;

/// Something that has to be so before a phase is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hold {
    /// The first phase that waits for it.
    pub(crate) before: Phase,
    /// The authority, on the node that is to blame, or else on the first that has it.
    pub(crate) who: Address,
    /// Why, in one sentence.
    pub(crate) because: String,
    /// The way out, where somebody has to do something.
    pub(crate) help: Option<String>,
    /// From when on it holds no more, where that is known.
    pub(crate) until: Option<Timestamp>,
    /// What becomes of it.
    pub(crate) effect: HoldEffect,
}

/// What becomes of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HoldEffect {
    /// Somebody has to do something first; the plan does everything else.
    Elsewhere,
    /// Somebody has to do something first, and nothing at all may be done before.
    Blocked,
    /// Those who are not in the spec hold it: it blocks a plan that would do nothing else.
    Outside,
    /// Another plan goes on by itself.
    Postponed,
    /// It is told by its own findings, or was not asked for.
    Silent,
    /// It is not waited for, because the user says so.
    Noted {
        /// Why not, as the spec says.
        waived: String,
    },
}

impl Hold {
    /// Whether a phase waits for it.
    pub(super) fn holds(&self, phase: Phase) -> bool {
        let is_waived = matches!(self.effect, HoldEffect::Noted { .. });
        !is_waived && self.before <= phase
    }
}

/// One replacement and everything that may hold it.
pub(crate) struct RotationCase<'l, 'a> {
    pub(super) input: &'l Input<'a>,
    /// Who takes part and is in no node of the spec.
    pub(super) unlisted: &'l Unlisted,
    pub(super) name: &'l AuthorityName,
    pub(super) wanted: &'l DesiredAuthority,
    pub(super) succession: &'l CaRotation,
    /// The first node that has the authority.
    pub(super) first: &'l NodeName,
    /// The certificates that go and issued something which is still held.
    pub(super) shown: BTreeSet<Sha256>,
}

impl RotationCase<'_, '_> {
    /// Whether nobody holds anything any more that one of those issued that go.
    pub(super) fn is_complete(&self) -> bool {
        self.shown.is_empty()
    }

    pub(super) fn at(&self, place: impl Into<Place>) -> Address {
        Address { target: Target::Authority(self.name.clone()), place: place.into() }
    }

    /// A hold for which somebody at a node has to do something.
    pub(super) fn hold(
        &self,
        (before, effect): (Phase, HoldEffect),
        node: &NodeName,
        because: String,
        help: String,
    ) -> Hold {
        Hold { before, who: self.at(node), because, help: Some(help), until: None, effect }
    }

    /// A hold about which nothing is said here.
    pub(super) fn silent(&self, place: impl Into<Place>, because: &str) -> Hold {
        let (who, because) = (self.at(place), because.to_owned());
        Hold { before: Phase::Prepare, who, because, help: None, until: None, effect: HoldEffect::Silent }
    }

    /// A hold that ends by itself.
    pub(super) fn postponed(
        &self,
        before: Phase,
        place: impl Into<Place>,
        until: Option<Timestamp>,
        because: String,
    ) -> Hold {
        Hold { before, who: self.at(place), because, help: None, until, effect: HoldEffect::Postponed }
    }
}
