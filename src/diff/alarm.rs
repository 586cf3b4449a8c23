//! Which findings are alarms: what monitoring has to wake somebody for, besides the ends of certificates.
//!
//! What enters is a finding; what leaves is its alarm, if it is one. Said here once, for text, JSON, metrics and test cases alike. Pure.

use serde::Serialize;

use super::{Effect, Finding, Reason};

/// An alarm that a finding raises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum FindingAlarm {
    /// Somebody else's CA is in a file by which clients are judged, or with which a service signs.
    ForeignCa,
    /// The spec wishes for something that this version cannot do.
    CannotBeDone,
}

impl Finding {
    /// The alarm that it raises.
    pub fn alarm(&self) -> Option<FindingAlarm> {
        if self.effect != Effect::Blocks {
            return None;
        }
        if self.is_foreign_ca() {
            return Some(FindingAlarm::ForeignCa);
        }
        matches!(self.reason, Reason::CannotReplace { .. } | Reason::RootDiffers { .. })
            .then_some(FindingAlarm::CannotBeDone)
    }

    /// Whether it says that somebody else's CA lets its owner in. What would load that file, or sign with it, waits; nothing else does.
    pub fn is_foreign_ca(&self) -> bool {
        self.effect == Effect::Blocks && matches!(self.reason, Reason::BundleHasStray(_))
    }

    /// Whether it says that somebody else's CA goes, because the spec distrusts it.
    pub fn is_of_stray(&self) -> bool {
        matches!(self.reason, Reason::Distrusted { stray: true, .. })
    }
}
