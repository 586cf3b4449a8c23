//! A saved plan against the plan that is made anew: only where both would do the same, or the new one the rest of it, the new one is carried out.
//!
//! What enters is what a file says, how its transactions stand, and a plan that this program has just made from the spec and the nodes; what leaves is that plan under the
//! name of the saved one, or the first action in which they differ. Nothing of the file is taken over but its name. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use crate::desired::Desired;
use crate::diagnostic::escaped;
use crate::plan::model::draft::Numbers;
use crate::plan::resume::progress::restarts_member;
use crate::plan::{
    Action, Again, Bundle, CaCertificates, Deed, Disruption, Draft, Made, Options, Phase, PlanContent,
    PlanProgress, PlannedTransaction, SavedPlan, TransactionProgress,
};
use crate::types::names::{Address, AuthorityName, Target};
use crate::types::non_empty::NonEmpty;
use crate::types::place::Place;
use crate::x509::Certificate;

/// What is carried out of a saved plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Rest {
    /// First of all, what an interrupted run of the same plan left open is undone. Then it is looked at again.
    Undo(Box<Draft>),
    /// What the plan says, or what is left of it.
    Work(Box<Draft>),
}

impl Rest {
    /// What has to be simulated before it is carried out.
    pub fn into_draft(self) -> Draft {
        match self {
            Rest::Undo(draft) | Rest::Work(draft) => *draft,
        }
    }
}

/// A visit that is done and is passed over. Of what the file says of it nothing is left but its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Its number.
    pub number: u32,
    /// Its phase.
    pub phase: Phase,
    /// Where it works.
    pub place: Place,
}

/// The first action in which a saved plan and the plan made anew differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What the file says; none where it says nothing of it.
    pub saved: Option<String>,
    /// What follows from spec and nodes; none where nothing does.
    pub made: Option<String>,
}

/// How dates are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dates {
    /// Both plans were made for the same instant.
    Equal,
    /// The new one was made for a later one, so that what it issues begins and ends later.
    Later,
}

/// The longest text that is shown of a value that differs.
const SHOWN: usize = 100;

impl SavedPlan {
    /// What the user asked for when the plan was made and what was chosen then, for making what is left of it again.
    pub fn options_again(&self, standings: &PlanProgress) -> Options {
        let is_done = |visit: &&PlannedTransaction| {
            standings.visits.get(&visit.number) == Some(&TransactionProgress::Done)
        };
        let done = self.says.visits.iter().filter(is_done).flat_map(|visit| &visit.actions);
        let issues = |action: &&Action| {
            matches!(action.deed, Deed::IssueIdentity(_) | Deed::CopyIdentity(_) | Deed::WriteCsr(_))
        };
        let mut replaced: BTreeSet<Address> =
            done.filter(issues).map(|action| action.address.clone()).collect();
        // What is shared was issued once for all of its nodes.
        for action in self.says.actions() {
            if let Deed::CopyIdentity(copy) = &action.deed {
                let from = Address::on(action.address.target.clone(), copy.from());
                if replaced.contains(&from) {
                    replaced.insert(action.address.clone());
                }
            }
        }
        let choices = self.says.choices.clone().unwrap_or_default();
        let again = Some(Again { choices, replaced });
        Options { again, until_phase: None, as_of: false, ..self.says.options.clone() }
    }

    /// Whether nothing of it is left to do. Where its nodes do not say themselves that they have done it, nothing may be due that a plan made anew does: a file can
    /// say that anything is done.
    pub fn is_done(&self, standings: &PlanProgress, made: &Draft) -> bool {
        let is_done = |visit: &PlannedTransaction| {
            standings.visits.get(&visit.number) == Some(&TransactionProgress::Done)
        };
        // Of data that was saved no node keeps a record.
        let is_recorded = |visit: &PlannedTransaction| {
            visit.phase == Phase::EtcdSnapshot || standings.recorded.contains(&visit.number)
        };
        let visits = &self.says.visits;
        let last = self.last_phase();
        let is_due = made.as_planned().visits.iter().any(|visit| last.is_none_or(|last| visit.phase <= last));
        // That nothing is open is what the node itself has just said, and the file promises no more.
        let is_vouched_for = !is_due || visits.iter().all(is_recorded) || self.says.only_undoes();
        !visits.is_empty() && visits.iter().all(is_done) && is_vouched_for
    }

    /// The last phase that it goes to, where it does not go to its end.
    fn last_phase(&self) -> Option<Phase> {
        self.says.options.until_phase.into_iter().chain(self.cut_after).min()
    }

    /// The plan that was made anew, if it is what this one says or the rest of it.
    ///
    /// # Errors
    /// They differ.
    pub fn rest(
        &self,
        standings: &PlanProgress,
        made: Draft,
        desired: &Desired,
        dates: Dates,
    ) -> Result<Rest, Difference> {
        let is_undo = |visit: &PlannedTransaction| {
            let own =
                |action: &Action| matches!(&action.deed, Deed::UndoOpen { run, .. } if *run == self.says.id);
            visit.actions.iter().all(own)
        };
        let visits = &made.as_planned().visits;
        if !visits.is_empty() && visits.iter().all(is_undo) {
            return Ok(Rest::Undo(Box::new(made)));
        }
        let made = match self.last_phase() {
            Some(last) => made.up_to(last),
            None => made,
        };
        let visits = &made.as_planned().visits;
        let begun = standings.visits.values().any(|standing| *standing == TransactionProgress::Done);
        let restarts = made.as_planned().actions().any(|action| restarts_member(action, desired));
        let saves = visits.iter().any(|visit| visit.phase == Phase::EtcdSnapshot);
        let to_do: Vec<(usize, &PlannedTransaction)> = self
            .says
            .visits
            .iter()
            .enumerate()
            .filter(|(_, visit)| standings.visits.get(&visit.number) != Some(&TransactionProgress::Done))
            // With the last restart of a member the reason for a snapshot has gone, and one that was made before the run was interrupted need not be made again. But
            // a plan that saves etcd's data first is not begun without it because no member can be asked just now.
            .filter(|(_, visit)| saves || visit.phase != Phase::EtcdSnapshot || restarts && !begun)
            .collect();
        let compare = Compare { made: &standings.made, dates };
        let mut places = Vec::new();
        for position in 0..to_do.len().max(visits.len()) {
            let (saved, new) = (to_do.get(position), visits.get(position));
            compare.visits(saved.map(|(_, visit)| *visit), new)?;
            places.extend(saved.map(|(place, _)| *place));
        }
        let numbers = self.numbers(&places);
        Ok(Rest::Work(Box::new(made.renumbered(&self.says.id, &numbers))))
    }

    /// The numbers that the visits at these places have, and their first actions.
    fn numbers(&self, places: &[usize]) -> Vec<Numbers> {
        let firsts: Vec<u32> = self
            .says
            .visits
            .iter()
            .scan(1_u32, |next, visit| {
                let first = *next;
                *next = next.saturating_add(u32::try_from(visit.actions.len()).unwrap_or(u32::MAX));
                Some(first)
            })
            .collect();
        let of_place = |place: &usize| Numbers {
            visit: u32::try_from(*place).unwrap_or(u32::MAX).saturating_add(1),
            first_action: firsts.get(*place).copied().unwrap_or(1),
        };
        places.iter().map(of_place).collect()
    }

    /// The visits that a run of the rest passes over.
    pub fn passed(&self, rest: &PlanContent) -> Vec<Passed> {
        let is_left = |number: u32| rest.visits.iter().any(|visit| visit.number == number);
        let passed = self.says.visits.iter().filter(|visit| !is_left(visit.number)).map(|visit| Passed {
            number: visit.number,
            phase: visit.phase,
            place: visit.place.clone(),
        });
        passed.collect()
    }
}

struct Compare<'a> {
    /// What visits that are done have made.
    made: &'a Made,
    dates: Dates,
}

impl Compare<'_> {
    fn visits(
        &self,
        saved: Option<&PlannedTransaction>,
        new: Option<&PlannedTransaction>,
    ) -> Result<(), Difference> {
        let place = |visit: &PlannedTransaction| (visit.phase, visit.place.clone());
        if saved.map(place) != new.map(place) {
            let first = |visit: Option<&PlannedTransaction>| {
                visit.map(|visit| {
                    let of_phase = match visit.phase.is_ordinary() {
                        true => String::new(),
                        false => format!(", in phase {}", visit.phase),
                    };
                    format!(
                        "work on {}{of_phase}: {}",
                        visit.place,
                        told(visit.actions.get(1).or(visit.actions.first()))
                    )
                })
            };
            return Err(Difference { saved: first(saved), made: first(new) });
        }
        let (saved, new) = (actions(saved), actions(new));
        for position in 0..saved.len().max(new.len()) {
            match (saved.get(position), new.get(position)) {
                (Some(one), Some(other)) => self.actions((one, saved), (other, new))?,
                (one, other) => {
                    let words = |action: Option<&Action>| action.map(|action| told(Some(action)));
                    return Err(Difference { saved: words(one), made: words(other) });
                }
            }
        }
        Ok(())
    }

    fn actions(
        &self,
        (saved, of_saved): (&Action, &[Action]),
        (new, of_new): (&Action, &[Action]),
    ) -> Result<(), Difference> {
        let wanted = self.canonical(new, &new.deed, of_new);
        let found = self.canonical(saved, &saved.deed, of_saved);
        if found == wanted {
            return Ok(());
        }
        let resolved = self.resolved(saved, &new.deed);
        let found = self.canonical(saved, &resolved, of_saved);
        if found == wanted {
            return Ok(());
        }
        let (mut one, mut other) = (told(Some(saved)), told(Some(new)));
        if one == other {
            let (place, found, wanted) = first_difference("", &found, &wanted);
            one = format!("{one}, {place} {found}");
            other = format!("{other}, {place} {wanted}");
        }
        Err(Difference { saved: Some(one), made: Some(other) })
    }

    /// What counts of an action: what it is about and does, how it is undone, what it interrupts, and what comes before it in its visit.
    fn canonical(&self, action: &Action, deed: &Deed, visit: &[Action]) -> Value {
        let mut deed = json!(deed);
        if self.dates == Dates::Later {
            without_dates(&mut deed);
        }
        let disruption = match &action.disruption {
            Disruption::None => json!("none"),
            Disruption::Reload { .. } => json!("reload"),
            Disruption::Restart { services } => json!({ "restart": services }),
        };
        let place = |number: &u32| visit.iter().position(|other| other.number == *number);
        let after: Vec<Option<usize>> = action.after.iter().map(place).collect();
        json!({ "address": action.address, "deed": deed, "disruption": disruption, "undo": action.undo, "after": after })
    }

    /// A deed that goes by what an earlier action makes, once that is done. One that is left out here is compared as it was planned: that can refuse
    /// the rest of a plan, and never allows what it does not say.
    fn resolved(&self, action: &Action, now: &Deed) -> Deed {
        let mut deed = action.deed.clone();
        let own = action.address.target.authority().and_then(|name| self.authority(name));
        match (&mut deed, now) {
            (Deed::CopyAuthorityCertificate { file, .. }, _) => {
                if let (Some(made), Deed::WriteBundle { before, .. }) = (own, now) {
                    let (file, before) = (file.clone(), before.clone());
                    return Deed::WriteBundle { file, bundle: Bundle::one(made), before };
                }
            }
            (Deed::WriteBundle { bundle, before, .. }, _) => {
                // What is there now, the one that was made among it, its preconditions say and the planner has seen.
                if let (Some(_), Deed::WriteBundle { before: now, .. }) = (own, now) {
                    before.clone_from(now);
                }
                if let (Some(ca), Some(_)) = (own, bundle.made())
                    && let Some(whole) = bundle.whole(Certificate::clone, Some(ca.clone()))
                {
                    *bundle = Bundle::Known(whole);
                }
            }
            (Deed::IssueIdentity(issue), _) => {
                if issue.issuer.is_none() {
                    issue.issuer = self.authority(&issue.authority).map(|made| *made.fingerprint());
                }
                [&mut issue.trusted, &mut issue.chain]
                    .into_iter()
                    .flatten()
                    .for_each(|ca| self.certificates(ca));
            }
            (Deed::InstallIdentity(install), _) => {
                install.trusted.iter_mut().for_each(|ca| self.certificates(ca))
            }
            (Deed::WriteChain { chain, before, .. }, _) => {
                self.certificates(chain);
                if let Deed::WriteChain { before: now, .. } = now {
                    before.clone_from(now);
                }
            }
            (Deed::UpdateKubeconfig { trusted, before, .. }, _) => {
                self.certificates(trusted);
                if let Deed::UpdateKubeconfig { before: now, .. } = now {
                    before.clone_from(now);
                }
            }
            (Deed::CopyKey(copy), _) if copy.spki.is_none() => {
                let of_pair = || self.made.pairs.get(action.address.target.key_pair()?).copied();
                copy.spki = own.map(|made| made.facts().key.spki_sha256).or_else(of_pair);
            }
            (Deed::CopyIdentity(copy), _) => {
                if let (None, Deed::CopyIdentity(now)) = (&copy.certificate, now) {
                    copy.certificate = self.made_as(&action.address.target, now.certificate.as_ref());
                }
                copy.trusted.iter_mut().for_each(|ca| self.certificates(ca));
            }
            (_, _) => {}
        }
        deed
    }

    /// A certificate, if it is one of those that were made for this, on whichever node: what is shared was made on one of them.
    fn made_as(&self, subject: &Target, certificate: Option<&Certificate>) -> Option<Certificate> {
        let made = self.made.identities.iter().filter(|(address, _)| address.target == *subject);
        made.map(|(_, made)| made).find(|made| Some(*made) == certificate).cloned()
    }

    fn authority(&self, name: &AuthorityName) -> Option<&Certificate> {
        self.made.authorities.get(name)
    }

    fn certificates(&self, ca: &mut CaCertificates) {
        let made = match ca {
            CaCertificates::Made(name) => self.authority(name).cloned(),
            CaCertificates::Certificates(_) => None,
        };
        if let Some(made) = made {
            *ca = CaCertificates::Certificates(NonEmpty::one(made));
        }
    }
}

fn actions(visit: Option<&PlannedTransaction>) -> &[Action] {
    visit.map_or(&[], |visit| visit.actions.as_slice())
}

fn told(action: Option<&Action>) -> String {
    action.map_or_else(|| "nothing".to_owned(), |action| format!("{} {}", action.verb(), action.address))
}

/// What begins and ends later where a plan is made later.
fn without_dates(deed: &mut Value) {
    if let Value::Object(fields) = deed {
        for date in ["notBefore", "notAfter"] {
            fields.remove(date);
        }
    }
}

/// The first place at which two values differ, and what is there.
fn first_difference(at: &str, one: &Value, other: &Value) -> (String, String, String) {
    match (one, other) {
        (Value::Object(left), Value::Object(right)) => {
            for name in left.keys().chain(right.keys()) {
                let (left, right) =
                    (left.get(name).unwrap_or(&Value::Null), right.get(name).unwrap_or(&Value::Null));
                if left != right {
                    let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    return first_difference(&at, left, right);
                }
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for position in 0..left.len().max(right.len()) {
                let (left, right) = (left.get(position), right.get(position));
                if left != right {
                    let (left, right) = (left.unwrap_or(&Value::Null), right.unwrap_or(&Value::Null));
                    return first_difference(&format!("{at}[{position}]"), left, right);
                }
            }
        }
        (_, _) => {}
    }
    (escaped(at), short(one), short(other))
}

fn short(value: &Value) -> String {
    let text = escaped(&value.to_string());
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.split_at(end).0),
        None => text,
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing of it".to_owned());
        write!(f, "the saved plan says {}; spec and nodes say {}", words(&self.saved), words(&self.made))
    }
}
