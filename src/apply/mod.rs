//! Does what a plan says, in that order, and nothing else.
//!
//! What enters is a [`Plan`], the nodes behind [`Host`] and what should be on them; what leaves is a [`Report`], with events on the way. Nothing is decided
//! here: each action becomes commands to its node, and the only things drawn are keys and serial numbers, on the nodes. What the plan calls a transaction is one
//! on its node: it is committed after its check, and when anything fails its node is rolled back before the run stops.

mod act;
mod answers;
mod judge;
mod keys;
mod locks;
pub(crate) mod other_nodes;
pub mod root_files;
mod stopwatch;
pub mod used;
mod wave;
pub(crate) mod without_transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::plan::model::outcome::{Event, Failure, FailureKind, Outcome, Report, VisitEnd};
pub use locks::lock;

use crate::desired::Desired;
use crate::desired::request::{declared_links, request, see_through_missing_links};
use crate::plan::{
    Action, Deed, Expected, Fact, Made, PlannedTransaction, Precondition, RestartMethod, fact,
};
use crate::protocol::command::{Begin, Slot, VisitId, WriteCommand};
use crate::protocol::error::HostError;
use crate::protocol::facts::{Content, Expect, FileFacts, Seen, VisitState};
use crate::protocol::health_check::HealthCheck;
use crate::protocol::lock::Claim;
use crate::protocol::node::Host;
use crate::protocol::snapshots::Undone;
use crate::simulate::Plan;
use crate::spec::custom_root::RootKeys;
use crate::spec::types::OnFailure;
use crate::types::names::{Address, AuthorityName, KeyPairName, NodeName};
use crate::types::place::Place;
use crate::x509::{Certificate, CertificateRequest, PublicKey, Sha256};
use stopwatch::Stopwatch;

/// The nodes of a run. Who works on them goes by their places.
pub type Hosts = BTreeMap<NodeName, Box<dyn Host + Send + Sync>>;

/// What a run goes by besides its plan.
pub struct Settings<'a> {
    /// What should be, for asking nodes what is there.
    pub desired: &'a Desired,
    /// What happens when a step fails.
    pub on_failure: OnFailure,
    /// The keys of the custom root CAs that the plan installs.
    pub root_keys: &'a RootKeys,
    /// What the run is about, for the journals on the nodes.
    pub note: String,
    /// For whom the nodes are locked, and how long that is tried.
    pub locking: Locking,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// The visits of a saved plan that are done already and are passed over, with what they have made.
    pub done: Done,
    /// Set when the user asked the run to stop: the node in hand is put back, and no other is begun.
    pub interrupted: &'a AtomicBool,
}

/// What of a saved plan is done already.
#[derive(Debug, Clone, Default)]
pub struct Done {
    /// The numbers of the visits.
    pub visits: BTreeSet<u32>,
    /// What they have made.
    pub made: Made,
}

/// How nodes are locked.
#[derive(Debug, Clone, Default)]
pub struct Locking {
    /// Who says that he holds them. The run is filled in.
    pub claim: Claim,
    /// How long to wait, in all, for nodes that somebody else holds; a node that is still putting itself back holds its own lock until it has.
    pub patience: Duration,
}

/// Why nothing is known of what lies at a path.
fn unseen(seen: &Seen<FileFacts>) -> Option<&str> {
    match seen {
        Seen::Unknown { reason } => Some(reason),
        Seen::Present(FileFacts { content: Content::Unreadable { reason }, .. }) => Some(reason),
        Seen::Present(_) | Seen::Absent | Seen::Dangling { .. } | Seen::Looping { .. } => None,
    }
}

/// Carries out a plan. Every event is told as it happens.
pub fn apply(
    plan: &Plan,
    hosts: &mut Hosts,
    settings: &Settings<'_>,
    tell: &mut dyn FnMut(&Event<'_>),
) -> Report {
    let mut watch = Stopwatch::start(Instant::now());
    let tell = &mut |event: &Event<'_>| {
        watch.note(event, Instant::now());
        tell(event);
    };
    let report = in_table(hosts, |table| carry_out(plan, table, settings, tell));
    Report { spent: watch.stop(Instant::now()), ..report }
}

/// Does something with nodes that may be worked on at the same time.
fn in_table<T>(hosts: &mut Hosts, work: impl FnOnce(&Table) -> T) -> T {
    let table: Table =
        std::mem::take(hosts).into_iter().map(|(name, host)| (Place::Node(name), Mutex::new(host))).collect();
    let result = work(&table);
    let let_go = |host: Mutex<_>| host.into_inner().unwrap_or_else(PoisonError::into_inner);
    let given_back = table.into_iter().filter_map(|(place, host)| match place {
        Place::Node(name) => Some((name, let_go(host))),
        // Nobody has given any.
        Place::Cluster => None,
    });
    *hosts = given_back.collect();
    result
}

fn carry_out(
    plan: &Plan,
    hosts: &Table,
    settings: &Settings<'_>,
    tell: &mut dyn FnMut(&Event<'_>),
) -> Report {
    let mut run = Run {
        plan,
        hosts,
        settings,
        made: settings.done.made.authorities.clone(),
        issued: settings.done.made.identities.clone(),
        keys: BTreeMap::new(),
        pairs: settings.done.made.pairs.clone(),
        held_elsewhere: BTreeMap::new(),
        requests: BTreeMap::new(),
        report: Report { requests: settings.done.made.requests.clone(), ..Report::new(plan) },
    };
    if let Err(failure) = run.check_root_keys().and_then(|()| run.lock()) {
        run.unlock();
        run.report.outcome = Outcome::of_refusal(&failure);
        run.report.failure = Some(failure);
        return run.report;
    }
    run.visits(tell);
    run.unlock();
    run.report
}

/// Where a run is at work. Visits that are made at the same time sign on the same one, each in its turn.
type Table = BTreeMap<Place, Mutex<Box<dyn Host + Send + Sync>>>;
type HostGuard<'h> = MutexGuard<'h, Box<dyn Host + Send + Sync>>;

/// What an action needs to find at paths of its own node. What it needs of others was looked at when the run began.
fn needed(action: &Action) -> impl Iterator<Item = (&str, &Fact)> {
    action.preconditions.iter().filter_map(|precondition| match precondition {
        Precondition::File { node: None, path, expected: Expected::Fact(fact) } => {
            Some((path.as_str(), fact))
        }
        Precondition::File { .. } | Precondition::Service { .. } | Precondition::Members { .. } => None,
    })
}

/// What works on a node before a visit must work after its undo.
fn gates(visit: &PlannedTransaction) -> BTreeSet<HealthCheck> {
    let gates = visit.actions.iter().filter_map(|action| {
        if let Deed::AwaitHealthy { gates, kept, .. } = &action.deed {
            Some(gates.iter().chain(kept))
        } else {
            None
        }
    });
    gates.flatten().cloned().collect()
}

struct Run<'a, 'h> {
    plan: &'a Plan,
    hosts: &'h Table,
    settings: &'a Settings<'a>,
    /// Certificates of authorities that this run has made.
    made: BTreeMap<AuthorityName, Certificate>,
    /// Certificates that this run has issued, by the place where they are.
    issued: BTreeMap<Address, Certificate>,
    /// The public halves of keys that were made for the visit in hand.
    keys: BTreeMap<Slot, PublicKey>,
    /// The key pairs without certificate that this run has made, by their public halves.
    pairs: BTreeMap<KeyPairName, Sha256>,
    /// What other nodes saw of the node in hand before its visit.
    held_elsewhere: other_nodes::Elsewhere,
    /// The requests that the visit in hand has written.
    requests: BTreeMap<Address, CertificateRequest>,
    report: Report,
}

fn held(host: &Mutex<Box<dyn Host + Send + Sync>>) -> HostGuard<'_> {
    host.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'h> Run<'_, 'h> {
    /// A root whose key is not at hand is found out before anything is touched.
    fn check_root_keys(&self) -> Result<(), Failure> {
        for action in self.plan.actions() {
            if matches!(action.deed, Deed::InstallAuthority { .. }) {
                act::root_key(self, action)
                    .map_err(|error| Failure::on(&action.address.place, Some(action), error))?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<(), Failure> {
        let Settings { desired, locking, interrupted, .. } = self.settings;
        locks::take(self.plan, self.hosts, desired, locking, interrupted)
    }

    fn unlock(&mut self) {
        for host in self.hosts.values() {
            held(host).unlock();
        }
    }

    fn visits(&mut self, tell: &mut dyn FnMut(&Event<'_>)) {
        let plan = self.plan;
        let mut done = 0;
        for wave in plan.waves() {
            if self.settings.interrupted.load(Ordering::Relaxed) {
                self.report.interrupted();
                return;
            }
            wave.iter().for_each(|visit| tell(&Event::VisitBegins { visit, of: plan.visits.len() }));
            let ends = match wave {
                [visit] => vec![self.visit(visit, tell)],
                visits => self.at_once(visits, tell),
            };
            let is_good = |end: &VisitEnd| {
                matches!(end, VisitEnd::Committed | VisitEnd::DoneBefore | VisitEnd::Saved(_))
            };
            let went_well = ends.iter().all(is_good);
            for (visit, end) in wave.iter().zip(ends) {
                tell(&Event::VisitEnds { visit, end: &end });
                self.keep_requests(&visit.place, &end);
                self.report.ended(done, end);
                done += 1;
            }
            if !went_well {
                if self.settings.on_failure == OnFailure::UndoAll && self.plan.can_take_back(done) {
                    self.undo_earlier(done, tell);
                }
                return;
            }
        }
        self.report.outcome = Outcome::Done;
    }

    fn visit(&mut self, visit: &PlannedTransaction, tell: &mut dyn FnMut(&Event<'_>)) -> VisitEnd {
        if self.settings.done.visits.contains(&visit.number) {
            return VisitEnd::DoneBefore;
        }
        if let Err(failure) = self.check_preconditions(visit) {
            return VisitEnd::Refused(failure);
        }
        if let Some(end) = self.without_transaction(visit, tell) {
            return end;
        }
        self.look_elsewhere(visit);
        if let Err(error) = self.begin(visit) {
            return VisitEnd::Refused(Failure::on(&visit.place, visit.actions.first(), error));
        }
        for action in &visit.actions {
            tell(&Event::StepBegins { action });
            let done = match self.settings.interrupted.load(Ordering::Relaxed) {
                true => Err(Failure::interrupted(&visit.place, action)),
                false => self.act(action),
            };
            match done {
                Ok(()) => {
                    if let Some(words) = self.report.remarks.get(&action.number) {
                        tell(&Event::StepRemarks { action, words });
                    }
                    tell(&Event::StepEnds { action });
                }
                Err(failure) => {
                    tell(&Event::StepFails { action, failure: &failure });
                    return self.undo(visit, failure);
                }
            }
        }
        match self.commit(&visit.place) {
            Ok(None) => VisitEnd::Committed,
            Ok(Some(failure)) => VisitEnd::NotClosed(failure),
            Err(failure) => self.undo(visit, failure),
        }
    }

    /// Keeps what was done on a node, and says what kept the record of it from being closed.
    fn commit(&mut self, place: &Place) -> Result<Option<Failure>, Failure> {
        match self.host(place)?.commit() {
            Ok(()) => Ok(None),
            Err(error @ HostError::NotClosed { .. }) => Ok(Some(Failure::on(place, None, error))),
            Err(error) => Err(Failure::on(place, None, error)),
        }
    }

    fn host(&self, place: &Place) -> Result<HostGuard<'h>, Failure> {
        self.hosts.get(place).map(held).ok_or_else(|| Failure::unconnected(place))
    }

    fn begin(&mut self, visit: &PlannedTransaction) -> Result<(), HostError> {
        let paths = visit.actions.iter().flat_map(|action| action.paths()).map(str::to_owned).collect();
        let begin = Begin {
            id: VisitId { run: self.plan.id.clone(), visit: visit.number },
            paths,
            state_directory: self.settings.desired.snapshots.directory.clone(),
            keep: self.settings.desired.snapshots.keep,
            note: self.settings.note.clone(),
            units: self.units(&visit.place),
            gates: gates(visit),
            gates_seconds: self.settings.desired.rollout.timeout.seconds(),
            links: self.links_on(&visit.place),
            leads: visit.place.node().map(|node| self.plan.leads(node)).unwrap_or_default(),
            replace_foreign: self.plan.options.replace_foreign.clone(),
        };
        match self.hosts.get(&visit.place) {
            Some(host) => held(host).begin(&begin),
            None => Err(HostError::NotOpen),
        }
    }

    /// The links that the spec declares at a place, with what they must lead to.
    fn links_on(&self, place: &Place) -> BTreeMap<String, String> {
        self.settings.desired.at(place).map(declared_links).unwrap_or_default()
    }

    /// The systemd units at a place that read what may change.
    fn units(&self, place: &Place) -> BTreeSet<String> {
        let services = self.settings.desired.at(place).into_iter().flat_map(|node| node.services.values());
        services.filter_map(|service| service.restart.as_ref()?.systemd.clone()).collect()
    }

    /// Looks at the node again: a plan is done only where everything that it was made from still is as it was.
    fn check_preconditions(&mut self, visit: &PlannedTransaction) -> Result<(), Failure> {
        let desired = self.settings.desired;
        // In the cluster nothing can be looked at yet.
        let Some(wanted) = desired.at(&visit.place) else {
            return Err(Failure::unconnected(&visit.place));
        };
        let host = self.host(&visit.place)?;
        let mut question = request(wanted, &desired.snapshots.directory);
        for action in &visit.actions {
            for (path, expected) in needed(action) {
                // What a kubeconfig names, the request does not.
                let expect = match expected {
                    Fact::Pem { .. } => Expect::Pair,
                    Fact::Absent
                    | Fact::BrokenLink
                    | Fact::Directory
                    | Fact::Kubeconfig { .. }
                    | Fact::Other { .. }
                    | Fact::Unknown => Expect::Link,
                };
                question.files.entry(path.to_owned()).or_insert(expect);
            }
        }
        let mut facts =
            host.observe(&question).map_err(|error| Failure::unreachable(&visit.place, &error))?;
        see_through_missing_links(wanted, &mut facts);
        for action in &visit.actions {
            for (path, expected) in needed(action) {
                let found = fact(&facts, path);
                if found != *expected {
                    if let Some(reason) = facts.files.get(path).and_then(unseen) {
                        return Err(Failure::unseen(&visit.place, action, path, reason));
                    }
                    return Err(Failure::stale(&visit.place, action, path));
                }
            }
        }
        Ok(())
    }

    /// Puts a node back after a failure, or leaves it as the user wanted.
    fn undo(&mut self, visit: &PlannedTransaction, cause: Failure) -> VisitEnd {
        if cause.kind == FailureKind::Disconnected {
            // Nobody is there to be told. The node puts itself back, unless the last thing that it did was to keep everything.
            return VisitEnd::Disconnected(cause);
        }
        if self.settings.on_failure == OnFailure::Stop {
            return match self.commit(&visit.place) {
                Ok(_) => VisitEnd::Left(cause),
                Err(undo) => VisitEnd::UndoFailed { cause, undo },
            };
        }
        let undone = self
            .host(&visit.place)
            .and_then(|mut host| host.undo().map_err(|error| Failure::on(&visit.place, None, error)));
        match undone {
            // Only the last words of the commit were lost, and those have been said now.
            Ok(Undone { state: VisitState::Committed, .. }) => VisitEnd::Committed,
            Ok(Undone { state: VisitState::Open | VisitState::Undone | VisitState::UndoFailed, .. }) => {
                match self.is_seen_as_before(&visit.place) {
                    Ok(()) => VisitEnd::Undone(cause),
                    Err(undo) => VisitEnd::UndoFailed { cause, undo },
                }
            }
            Err(undo) if undo.kind == FailureKind::Disconnected => VisitEnd::Disconnected(cause),
            Err(undo) => VisitEnd::UndoFailed { cause, undo },
        }
    }

    /// Takes back the visits that this run has committed, the last one first, each as a visit of its own.
    fn undo_earlier(&mut self, failed: usize, tell: &mut dyn FnMut(&Event<'_>)) {
        let plan = self.plan;
        for (position, visit) in plan.visits.iter().enumerate().take(failed).rev() {
            // Of visits made at the same time one may have failed by itself.
            if !self.report.is_committed(position) {
                continue;
            }
            let result = self.take_back(visit, plan.visits.len());
            let end = match result {
                Ok(()) => VisitEnd::TakenBack,
                // What it had done of the way back the node undoes; what the visit did stays.
                Err(failure) if failure.kind == FailureKind::Disconnected => VisitEnd::Disconnected(failure),
                Err(failure) => VisitEnd::UndoFailed { cause: failure.clone(), undo: failure },
            };
            tell(&Event::VisitEnds { visit, end: &end });
            let went_well = end == VisitEnd::TakenBack;
            self.report.requests.retain(|address, _| !went_well || address.place != visit.place);
            self.report.ended(position, end);
            if !went_well {
                return;
            }
        }
    }

    fn take_back(&mut self, visit: &PlannedTransaction, visits: usize) -> Result<(), Failure> {
        let changed = visit.actions.iter().flat_map(|action| action.paths());
        let paths: BTreeSet<String> = changed.map(str::to_owned).collect();
        // What a manifest starts finds the files that are back.
        let restarts = visit.actions.iter().filter(|action| action.restarts().is_some());
        let manifests: BTreeSet<&str> = restarts.flat_map(|action| action.paths()).collect();
        let mut back: Vec<&String> = paths.iter().rev().collect();
        back.sort_by_key(|path| manifests.contains(path.as_str()));
        let from = VisitId { run: self.plan.id.clone(), visit: visit.number };
        let offset = u32::try_from(visits).unwrap_or(u32::MAX);
        let begin = Begin {
            id: VisitId { run: self.plan.id.clone(), visit: visit.number.saturating_add(offset) },
            paths: paths.clone(),
            state_directory: self.settings.desired.snapshots.directory.clone(),
            keep: self.settings.desired.snapshots.keep,
            note: format!("taking back visit {from}"),
            units: self.units(&visit.place),
            gates: gates(visit),
            gates_seconds: self.settings.desired.rollout.timeout.seconds(),
            links: self.links_on(&visit.place),
            leads: BTreeMap::new(),
            replace_foreign: BTreeSet::new(),
        };
        let on = |error| Failure::on(&visit.place, None, error);
        self.host(&visit.place)?.begin(&begin).map_err(on)?;
        // The way back restarts the same members, one of which may lead by now.
        for action in visit.actions.iter().filter(|action| matches!(action.deed, Deed::MoveLeader { .. })) {
            if let Err(failure) = self.act(action) {
                self.host(&visit.place)?.undo().map_err(on)?;
                return Err(failure);
            }
        }
        let mut host = self.host(&visit.place)?;
        for path in back {
            let command = WriteCommand::Restore { from: from.clone(), path: path.clone(), with: Vec::new() };
            match host.perform(command) {
                Ok(_) | Err(HostError::NoSnapshot { .. }) => {}
                Err(error) => {
                    let failure = Failure::on(&visit.place, None, error);
                    host.undo().map_err(on)?;
                    return Err(failure);
                }
            }
        }
        drop(host);
        // What runs has read what was there before. A static pod has been replaced with its manifest, which is as it was; another annotation would undo that.
        let by_manifest =
            |deed: &Deed| matches!(deed, Deed::Restart { how: RestartMethod::StaticPod { .. }, .. });
        let restarts = |deed: &Deed| {
            matches!(deed, Deed::Restart { .. } | Deed::AwaitHealthy { .. }) && !by_manifest(deed)
        };
        for action in visit.actions.iter().filter(|action| restarts(&action.deed)) {
            if let Err(failure) = self.act(action) {
                self.host(&visit.place)?.undo().map_err(on)?;
                return Err(failure);
            }
        }
        self.host(&visit.place)?.commit().map_err(on)
    }

    /// One action, as commands to its node.
    fn act(&mut self, action: &Action) -> Result<(), Failure> {
        act::act(self, action).map_err(|error| Failure::on(&action.address.place, Some(action), error))
    }
}
