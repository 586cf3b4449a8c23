//! What has to be started anew to use what a plan writes.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{DesiredNode, DesiredService};
use crate::diff::{Effect, Finding, Reason};
use crate::profile::{Reload, What};
use crate::protocol::facts::{Seen, ServiceFacts, UnitFacts};
use crate::spec::types::Restart;
use crate::types::duration::Duration;
use crate::types::names::{Address, NodeName, ServiceName, Target};

use crate::plan::draft::Builder;
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::paths::reads_below;
use crate::plan::known::quorum;
use crate::plan::{Deed, ManualRestart, Noted, Phase, RestartMethod, Why};

/// The service that replaces static pods, by the name that every layout gives it.
const KUBELET: &str = "kubelet";

/// How a service comes to use what is new.
enum Way {
    Restart(RestartMethod),
    /// It uses all that is there, or nobody wants it to run.
    Needless,
    /// A person restarts it; why, where the plan could.
    ByHand(Option<&'static str>),
}

/// Why nothing but a person restarts a member.
const NO_QUORUM_WITHOUT: &str =
    "the other members of etcd would have no quorum without it; --accept-outage does it all the same";

/// What a plan means for a service on a node.
pub(crate) struct Cause<'a> {
    pub(crate) service: &'a ServiceName,
    pub(crate) node: &'a NodeName,
    pub(crate) wanted: &'a DesiredService,
    /// It reads something that is new at its start only, or does not use what is there.
    is_stale: bool,
    /// Something that it reads in any way is new.
    is_touched: bool,
    pub(crate) phase: Phase,
}

impl Builder<'_> {
    /// Restarts of services that read something that is replaced and do not notice, and starts of those that have died of what is replaced.
    pub(crate) fn restarts(&mut self, name: &NodeName, node: &DesiredNode) {
        let phases: BTreeSet<Phase> = self.draft.on(name).iter().map(|deed| deed.phase).collect();
        self.restarts_in(Phase::Ordinary, name, node);
        // What is only prepared nobody reads.
        for phase in phases.into_iter().filter(|phase| phase.is_of_replacement() && *phase != Phase::Prepare)
        {
            self.restarts_in(phase, name, node);
        }
    }

    /// The same for what is replaced in one phase; what brings etcd back goes with everything else.
    fn restarts_in(&mut self, of: Phase, name: &NodeName, node: &DesiredNode) {
        let is_of = |deed: &&DraftDeed| match deed.phase.is_of_replacement() {
            true => deed.phase == of,
            false => of == Phase::Ordinary,
        };
        let mut changed: BTreeMap<What, Vec<Why>> = BTreeMap::new();
        // What was not there: who runs has started with something else, or without it.
        let mut made: BTreeSet<What> = BTreeSet::new();
        for deed in self.draft.on(name).iter().filter(is_of) {
            for what in changes(deed) {
                match deed.replaces {
                    true => changed.entry(what).or_default().extend(deed.reasons.iter().cloned()),
                    false => {
                        made.insert(what);
                    }
                }
            }
        }
        let written: BTreeSet<What> = self.draft.on(name).iter().filter(is_of).flat_map(changes).collect();
        let moved = if of == Phase::Ordinary { self.moved(name) } else { BTreeSet::new() };
        // Whoever goes back loads what it ran on before.
        let goes_back = self.draft.on(name).iter().any(|deed| matches!(deed.deed, Deed::Restore { .. }));
        // Which pods are replaced decides whether the kubelet has to be there.
        let (kubelets, others): (Vec<_>, Vec<_>) =
            node.services.iter().partition(|(service, _)| is_kubelet(service));
        for (service, wanted) in others.into_iter().chain(kubelets) {
            let runs = self.live(name).and_then(|services| services.get(service));
            let runs = runs.is_some_and(|facts| !facts.started().is_empty());
            let stale = wanted
                .reads
                .iter()
                .filter(|read| changed.contains_key(&read.what) || runs && made.contains(&read.what))
                .filter(|read| read.reload(node.version) == Reload::Start)
                .map(|read| &read.what);
            let mut reads: BTreeSet<String> = stale.map(what_name).collect();
            // However it re-reads files, it has another directory open than the one that is there now.
            let is_in_use = |directory: &&String| reads_below(wanted, node, directory);
            reads
                .extend(moved.iter().filter(is_in_use).map(|directory| format!("the directory {directory}")));
            let address = Address { subject: Target::Service(service.clone()), node: name.clone() };
            let due = self.findings(&address).iter();
            // Nobody is restarted to load what this plan drops: that comes once it is gone.
            let waits_for_drop = self.loads_what_is_dropped(name, wanted);
            let restarts_in = if waits_for_drop { Phase::DropOld } else { Phase::Ordinary };
            let due = due.filter(|finding| finding.effect == Effect::Due && of == restarts_in);
            let due: Vec<Why> = due.map(|finding| self.why(finding)).collect();
            let put_back = self.put_back(name, wanted.restart.as_ref());
            let is_put_back = put_back.is_some();
            let phase = if of == Phase::Ordinary { self.phase_of(service, node) } else { of };
            let cause = Cause {
                service,
                node: name,
                wanted,
                is_stale: !reads.is_empty() || !due.is_empty(),
                is_touched: wanted.reads.iter().any(|read| {
                    changed.contains_key(&read.what) || self.is_cold && written.contains(&read.what)
                }),
                phase,
            };
            let way = match put_back {
                Some(how) => Way::Restart(how),
                None => self.way(&cause),
            };
            let is_held = waits_for_drop && phase < Phase::DropOld;
            let must_not = self.must_not_load(name, wanted).filter(|_| !goes_back && !waits_for_drop);
            match way {
                Way::Restart(_) | Way::ByHand(_) if is_held => {}
                Way::Restart(_) | Way::ByHand(_) if must_not.is_some() => {
                    if let Some((authority, finding)) = &must_not {
                        self.leave_running((service, name), (authority, finding), &reads, due);
                    }
                }
                Way::Restart(how) => {
                    let awaited = self.after_restart(&cause, node, &how);
                    let timeout = self.input.survey.desired.rollout.timeout;
                    if !is_put_back {
                        self.add_in(phase, address.clone(), Deed::Restart { how, timeout }, due, true);
                    }
                    self.await_healthy(phase, address, awaited, self.input.survey.desired.rollout.settle);
                    continue;
                }
                Way::ByHand(because) if !reads.is_empty() => {
                    self.restart_by_hand(&cause, &reads, because);
                }
                Way::ByHand(_) | Way::Needless => {}
            }
            // It takes up by itself what is new; that it does is seen before the node counts as done.
            let renewed = |what: &What| changed.contains_key(what) && is_read_again((node, wanted), what);
            let awaited = self.after_reload((service, wanted), (name, node), &renewed);
            self.await_healthy(phase, address, awaited, Duration::from_seconds(0));
        }
        self.await_clients(of, (name, node), &|what| changed.contains_key(what));
    }

    /// Whether the manifest of a static pod goes back to what it was, upon which the kubelet replaces the pod. An annotation would make it another one again.
    fn put_back(&self, node: &NodeName, restart: Option<&Restart>) -> Option<RestartMethod> {
        let manifest = restart?.static_pod.as_ref()?;
        let restores =
            |deed: &DraftDeed| matches!(&deed.deed, Deed::Restore { path, .. } if path == manifest);
        let is_put_back = self.draft.on(node).iter().any(restores);
        is_put_back.then(|| RestartMethod::StaticPod { manifest: manifest.clone() })
    }

    /// How a service is to be restarted, by what runs on the node.
    fn way(&mut self, cause: &Cause<'_>) -> Way {
        match &cause.wanted.restart {
            Some(Restart { command: Some(argv), .. }) if cause.is_stale => {
                Way::Restart(RestartMethod::Command { argv: argv.clone() })
            }
            Some(Restart { command: None, systemd: Some(unit), .. }) => self.way_of_unit(cause, unit),
            Some(Restart { command: None, systemd: None, static_pod: Some(manifest) }) => {
                self.way_of_pod(cause, manifest)
            }
            Some(Restart { .. }) | None if cause.is_stale => Way::ByHand(None),
            Some(Restart { .. }) | None => Way::Needless,
        }
    }

    fn way_of_unit(&mut self, cause: &Cause<'_>, unit: &str) -> Way {
        let own = || unit.to_owned();
        let is_cold = cause.phase == Phase::Quorum && quorum::is_member(cause.service);
        let Some(facts) = self.unit(cause.node, cause.service) else {
            return if cause.is_stale { Way::ByHand(None) } else { Way::Needless };
        };
        let is_needed = is_kubelet(cause.service) && self.replaces_pods(cause.node);
        if facts.is_active() {
            match self.is_safe(cause) {
                _ if !cause.is_stale => Way::Needless,
                _ if is_cold => Way::Restart(RestartMethod::Start { unit: own() }),
                true => Way::Restart(RestartMethod::Systemd { unit: own() }),
                false => Way::ByHand(Some(NO_QUORUM_WITHOUT)),
            }
        } else if !(cause.is_stale || cause.is_touched || is_cold || is_needed) {
            Way::Needless
        } else if facts.is_wanted() {
            // It died of what is new by now, or the others cannot do without it.
            Way::Restart(RestartMethod::Start { unit: own() })
        } else {
            let state = facts.unit_file_state.clone().unwrap_or_default();
            let reason = Reason::StoppedByHand { unit: own(), state };
            let address =
                Address { subject: Target::Service(cause.service.clone()), node: cause.node.clone() };
            let noted = Noted { address, finding: Finding::note(reason) };
            if !self.draft.notes.contains(&noted) {
                self.draft.notes.push(noted);
            }
            Way::Needless
        }
    }

    fn way_of_pod(&mut self, cause: &Cause<'_>, manifest: &str) -> Way {
        let live = self.live(cause.node).and_then(|services| services.get(cause.service));
        let is_dead = if cause.phase == Phase::Quorum {
            live.is_some_and(quorum::is_down)
        } else {
            cause.is_touched && live.is_some_and(is_silent)
        };
        if !cause.is_stale && !is_dead {
            return Way::Needless;
        }
        if !self.has_pod(cause.node, manifest) {
            return if cause.is_stale { Way::ByHand(None) } else { Way::Needless };
        }
        match is_dead || self.is_safe(cause) {
            true => Way::Restart(RestartMethod::StaticPod { manifest: manifest.to_owned() }),
            false => Way::ByHand(Some(NO_QUORUM_WITHOUT)),
        }
    }

    /// Whether the others can do without it, or have to for they cannot do anything as it is, or an outage was accepted.
    fn is_safe(&mut self, cause: &Cause<'_>) -> bool {
        if !quorum::is_member(cause.service)
            || cause.phase == Phase::Quorum
            || quorum::can_do_without(cause.node, &self.input.survey.observed, self.held.unlisted.count())
        {
            return true;
        }
        if self.input.options.accept_outage && cause.is_stale {
            let because = format!(
                "{} stands still while its member on {} is restarted: the others have no quorum without it",
                cause.service, cause.node
            );
            if !self.draft.accepted.contains(&because) {
                self.draft.accepted.push(because);
            }
            return true;
        }
        false
    }

    pub(crate) fn unit(&self, node: &NodeName, service: &ServiceName) -> Option<&UnitFacts> {
        self.live(node)?.get(service)?.unit.as_ref()?.present()
    }

    /// What runs the pods of a node.
    pub(crate) fn kubelet(&self, node: &NodeName) -> Option<&UnitFacts> {
        let (service, _) = self.live(node)?.iter().find(|(service, _)| is_kubelet(service))?;
        self.unit(node, service)
    }

    /// Whether a kubelet that runs, or would be started, replaces the pod of a manifest. Where the manifest is seen to be gone, somebody has ended the pod.
    pub(crate) fn has_pod(&self, node: &NodeName, manifest: &str) -> bool {
        let facts = self.input.survey.observed.nodes.get(node).and_then(|answer| answer.facts());
        let is_gone = facts
            .and_then(|facts| facts.files.get(manifest))
            .is_some_and(|seen| matches!(seen, Seen::Absent));
        let kubelet = self.kubelet(node);
        !is_gone && kubelet.is_some_and(|kubelet| kubelet.is_active() || kubelet.is_wanted())
    }

    /// Whether static pods of a node are replaced.
    fn replaces_pods(&self, node: &NodeName) -> bool {
        let by_manifest = |deed: &DraftDeed| {
            matches!(deed.deed, Deed::Restart { how: RestartMethod::StaticPod { .. }, .. })
        };
        self.draft.on(node).iter().any(by_manifest)
    }

    pub(crate) fn live(&self, node: &NodeName) -> Option<&BTreeMap<ServiceName, ServiceFacts>> {
        let answer = self.input.survey.observed.nodes.get(node)?;
        answer.facts().map(|facts| &facts.services)
    }

    fn restart_by_hand(&mut self, cause: &Cause<'_>, reads: &BTreeSet<String>, because: Option<&str>) {
        let (service, node) = (cause.service, cause.node);
        let how = match &cause.wanted.restart {
            Some(Restart { systemd: Some(unit), .. }) => format!("systemctl restart {unit}"),
            Some(Restart { static_pod: Some(manifest), .. }) => {
                format!("its static pod {manifest}, by a changed annotation in the manifest")
            }
            Some(Restart { systemd: None, static_pod: None, .. }) | None => "as it was started".to_owned(),
        };
        let reads: Vec<String> = reads.iter().cloned().collect();
        let because = because.map(str::to_owned);
        let same = |manual: &&mut ManualRestart| {
            manual.service == *service
                && manual.reads == reads
                && manual.how == how
                && manual.because == because
        };
        match self.draft.restart_yourself.iter_mut().find(same) {
            Some(manual) if manual.nodes.contains(node) => {}
            Some(manual) => manual.nodes.push(node.clone()),
            None => self.draft.restart_yourself.push(ManualRestart {
                service: service.clone(),
                nodes: vec![node.clone()],
                reads,
                how,
                because,
            }),
        }
    }
}

/// Whether this service replaces the static pods of its node.
pub(crate) fn is_kubelet(service: &ServiceName) -> bool {
    service.as_str() == KUBELET
}

/// Whether no port of a service answers.
pub(crate) fn is_silent(live: &ServiceFacts) -> bool {
    !live.endpoints.is_empty() && live.endpoints.iter().all(|endpoint| endpoint.probe.served().is_none())
}

/// What a deed changes, as services name what they read.
pub(crate) fn changes(deed: &DraftDeed) -> Vec<What> {
    match (&deed.deed, &deed.address.subject) {
        (Deed::Restore { .. }, Target::Identity(identity)) => {
            vec![What::Identity(identity.clone()), What::KubeconfigTrust(identity.clone())]
        }
        (Deed::IssueIdentity(issue), Target::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if issue.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        (Deed::InstallIdentity(install), Target::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if install.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        // Who reads an identity may read it in any of its places.
        (Deed::CopyIdentity(copy), Target::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if copy.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        (Deed::WriteChain { .. }, Target::Identity(identity)) => vec![What::Identity(identity.clone())],
        (Deed::UpdateKubeconfig { .. }, Target::Identity(identity)) => {
            vec![What::KubeconfigTrust(identity.clone())]
        }
        (
            Deed::WriteBundle { .. }
            | Deed::ExtendAuthority { .. }
            | Deed::CopyAuthorityCertificate { .. }
            | Deed::Restore { .. },
            Target::Authority(authority),
        ) => {
            vec![What::Trust(authority.clone()), What::Signer(authority.clone())]
        }
        (Deed::CopyKey(_) | Deed::WritePublicKey { .. } | Deed::Restore { .. }, Target::KeyPair(pair)) => {
            vec![What::KeyPair(pair.clone())]
        }
        _ => Vec::new(),
    }
}

/// What a service reads, as people call it.
fn what_name(what: &What) -> String {
    match what {
        What::Identity(identity) => identity.to_string(),
        What::Trust(authority) | What::Signer(authority) => format!("ca/{authority}"),
        What::KubeconfigTrust(identity) => format!("the CA data of {identity}"),
        What::KeyPair(pair) => format!("key/{pair}"),
    }
}

fn is_read_again((node, wanted): (&DesiredNode, &DesiredService), what: &What) -> bool {
    let mut reads = wanted.reads.iter().filter(|read| read.what == *what);
    reads.any(|read| read.reload(node.version) != Reload::Start)
}
