//! Visits that are made at the same time.
//!
//! What enters is the transactions of a wave; what leaves is how each of them ended, with what it told on the way, one word after the other. Each is a transaction of its
//! own on a node of its own; only what they have signed elsewhere is asked for in turn.

use std::collections::BTreeMap;
use std::sync::mpsc;

use crate::plan::{Action, PlannedTransaction};

use super::Run;
use crate::plan::model::outcome::{Event, Failure, Report, VisitEnd};

impl Run<'_, '_> {
    /// Several visits at the same time. What each of them tells is told as it comes; each ends by itself, however the others end.
    pub(super) fn at_once(
        &mut self,
        visits: &[PlannedTransaction],
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> Vec<VisitEnd> {
        let (say, said) = mpsc::channel();
        let ends: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = visits
                .iter()
                .map(|visit| {
                    let (mut run, say) = (self.beside(), say.clone());
                    scope.spawn(move || {
                        let end = run.visit(visit, &mut |event| {
                            // Nobody listens any more only where the run itself has ended.
                            let _heard = StepEvent::of(event).map(|word| say.send(word));
                        });
                        (end, run.issued, run.requests, run.report.remarks)
                    })
                })
                .collect();
            drop(say);
            let actions = || visits.iter().flat_map(|visit| &visit.actions);
            for word in said {
                if let Some(action) = actions().find(|action| action.number == word.number()) {
                    tell(&word.event(action));
                }
            }
            threads.into_iter().map(|thread| thread.join()).collect()
        });
        let mut told = Vec::new();
        for (visit, end) in visits.iter().zip(ends) {
            told.push(match end {
                Ok((end, issued, requests, remarks)) => {
                    self.report.remarks.extend(remarks);
                    self.issued.extend(issued);
                    self.requests.extend(requests);
                    end
                }
                Err(_) => VisitEnd::Disconnected(Failure::broke_off(&visit.place)),
            });
        }
        told
    }

    /// The same run for one of several visits.
    fn beside(&self) -> Self {
        Run {
            plan: self.plan,
            hosts: self.hosts,
            settings: self.settings,
            made: self.made.clone(),
            issued: self.issued.clone(),
            keys: BTreeMap::new(),
            pairs: self.pairs.clone(),
            held_elsewhere: BTreeMap::new(),
            requests: BTreeMap::new(),
            report: Report::new(self.plan),
        }
    }
}

/// What happens to an action, without what an event borrows.
struct StepEvent {
    number: u32,
    kind: Kind,
}

enum Kind {
    Begins,
    Remarks(String),
    Ends,
    Fails(Failure),
}

impl StepEvent {
    /// None of what is about a whole visit.
    fn of(event: &Event<'_>) -> Option<Self> {
        let (action, kind) = match event {
            Event::StepBegins { action } => (action, Kind::Begins),
            Event::StepRemarks { action, words } => (action, Kind::Remarks((*words).to_owned())),
            Event::StepEnds { action } => (action, Kind::Ends),
            Event::StepFails { action, failure } => (action, Kind::Fails((*failure).clone())),
            Event::VisitBegins { .. } | Event::VisitEnds { .. } => return None,
        };
        Some(Self { number: action.number, kind })
    }

    /// The number of the action.
    fn number(&self) -> u32 {
        self.number
    }

    /// The same for that action.
    fn event<'a>(&'a self, action: &'a Action) -> Event<'a> {
        match &self.kind {
            Kind::Begins => Event::StepBegins { action },
            Kind::Remarks(words) => Event::StepRemarks { action, words },
            Kind::Ends => Event::StepEnds { action },
            Kind::Fails(failure) => Event::StepFails { action, failure },
        }
    }
}
