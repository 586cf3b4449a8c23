//! Counts the time of a run while it goes on.
//!
//! What enters is the events of a run, with the moment of each; what leaves is how long it took and how long each of its actions did. It reads no clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::plan::model::outcome::Event;
use crate::plan::model::spent::SpentTime;

/// The time of a run that goes on.
#[derive(Debug)]
pub(super) struct Stopwatch {
    begun: Instant,
    begun_actions: BTreeMap<u32, Instant>,
    ended: BTreeMap<u32, Duration>,
}

impl Stopwatch {
    /// Begins to count.
    pub(super) fn start(now: Instant) -> Self {
        Self { begun: now, begun_actions: BTreeMap::new(), ended: BTreeMap::new() }
    }

    /// Takes note of what happens.
    pub(super) fn note(&mut self, event: &Event<'_>, now: Instant) {
        match event {
            Event::StepBegins { action } => {
                self.begun_actions.insert(action.number, now);
            }
            Event::StepEnds { action } | Event::StepFails { action, .. } => {
                if let Some(begun) = self.begun_actions.remove(&action.number) {
                    self.ended.insert(action.number, now.saturating_duration_since(begun));
                }
            }
            Event::VisitBegins { .. } | Event::StepRemarks { .. } | Event::VisitEnds { .. } => {}
        }
    }

    /// What there was.
    pub(super) fn stop(self, now: Instant) -> SpentTime {
        SpentTime { total: now.saturating_duration_since(self.begun), actions: self.ended }
    }
}
