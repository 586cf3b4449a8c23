//! What has to be started anew to use what a plan writes.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::DesiredNode;
use crate::diff::{Effect, Finding, Reason};
use crate::profile::{Reload, What};
use crate::protocol::facts::EtcdFacts;
use crate::spec::types::Restart;
use crate::types::duration::Duration;
use crate::types::names::{Address, AuthorityName, NodeName, ServiceName, Target};
use crate::types::service_kind::ServiceKind;

use super::cause::{Cause, changes, is_read_again, what_name};
use super::cold_start;
use super::health_checks::calls;
use super::health_checks::{after_reload, after_restart, await_clients, await_healthy};
use super::leadership;
use super::other_pods::other_pods;
use crate::plan::known::builder::Builder;
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::foreign_cas::{self, loads_what_is_dropped, must_not_load};
use crate::plan::known::paths::reads_below;
use crate::plan::known::quorum;
use crate::plan::known::services::{self, has_pod, is_silent, live};
use crate::plan::{Blocked, Deed, ManualRestart, Noted, Phase, RestartMethod, Why};

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

/// Restarts of services that read something that is replaced and do not notice, and starts of those that have died of what is replaced.
pub(crate) fn restarts(builder: &mut Builder<'_>, name: &NodeName, node: &DesiredNode) {
    let phases: BTreeSet<Phase> = builder.draft.on(name).iter().map(|deed| deed.phase).collect();
    restarts_in(builder, Phase::Ordinary, name, node);
    // What is only prepared nobody reads.
    for phase in phases.into_iter().filter(|phase| phase.is_of_replacement() && *phase != Phase::Prepare) {
        restarts_in(builder, phase, name, node);
    }
    if let Some(facts) = builder.input.survey.observed.nodes.get(name).and_then(|answer| answer.facts()) {
        other_pods(builder, name, node, facts);
    }
}

/// The same for what is replaced in one phase; what brings etcd back goes with everything else.
fn restarts_in(builder: &mut Builder<'_>, of: Phase, name: &NodeName, node: &DesiredNode) {
    let is_of = |deed: &&DraftDeed| match deed.phase.is_of_replacement() {
        true => deed.phase == of,
        false => of == Phase::Ordinary,
    };
    let mut changed: BTreeMap<What, Vec<Why>> = BTreeMap::new();
    // What was not there: who runs has started with something else, or without it.
    let mut made: BTreeSet<What> = BTreeSet::new();
    for deed in builder.draft.on(name).iter().filter(is_of) {
        for what in changes(deed) {
            match deed.replaces {
                true => changed.entry(what).or_default().extend(deed.reasons.iter().cloned()),
                false => {
                    made.insert(what);
                }
            }
        }
    }
    let written: BTreeSet<What> = builder.draft.on(name).iter().filter(is_of).flat_map(changes).collect();
    let moved = if of == Phase::Ordinary { builder.draft.moved(name) } else { BTreeSet::new() };
    // Whoever goes back loads what it ran on before.
    let goes_back = builder.draft.on(name).iter().any(|deed| matches!(deed.deed, Deed::Restore { .. }));
    // Which pods are replaced decides whether the kubelet has to be there.
    let (kubelets, others): (Vec<_>, Vec<_>) =
        node.services.iter().partition(|(_, wanted)| wanted.is(ServiceKind::Kubelet));
    for (service, wanted) in others.into_iter().chain(kubelets) {
        let runs = live(builder.input.survey, name).and_then(|services| services.get(service));
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
        reads.extend(moved.iter().filter(is_in_use).map(|directory| format!("the directory {directory}")));
        let address = Address::on(Target::Service(service.clone()), name);
        let due = builder.findings(&address).iter();
        // Nobody is restarted to load what this plan drops: that comes once it is gone.
        let waits_for_drop = loads_what_is_dropped(builder, name, wanted);
        let restarts_in = if waits_for_drop { Phase::DropOld } else { Phase::Ordinary };
        let due = due.filter(|finding| finding.effect == Effect::Due && of == restarts_in);
        let due: Vec<Why> = due.map(|finding| builder.why(finding)).collect();
        let put_back = put_back(builder, name, wanted.restart.as_ref());
        let is_put_back = put_back.is_some();
        let phase = if of == Phase::Ordinary { cold_start::phase_of(builder, wanted, node) } else { of };
        let cause = Cause {
            service,
            node: name,
            wanted,
            is_stale: !reads.is_empty() || !due.is_empty(),
            is_touched: wanted.reads.iter().any(|read| {
                changed.contains_key(&read.what) || builder.is_cold && written.contains(&read.what)
            }),
            phase,
        };
        let way = match put_back {
            Some(how) => Way::Restart(how),
            None => way(builder, &cause),
        };
        let is_held = waits_for_drop && phase < Phase::DropOld;
        let must_not = must_not_load(builder, name, wanted).filter(|_| !goes_back && !waits_for_drop);
        match way {
            Way::Restart(_) | Way::ByHand(_) if is_held => {}
            Way::Restart(_) | Way::ByHand(_) if must_not.is_some() => {
                if let Some((authority, finding)) = &must_not {
                    leave_running(builder, (service, name), (authority, finding), &reads, due);
                }
            }
            Way::Restart(how) => {
                let awaited = after_restart(builder, &cause, node, &how, &|what| written.contains(what));
                let timeout = builder.input.survey.desired.rollout.timeout;
                if wanted.is(ServiceKind::Etcd) {
                    leadership::hand_on(builder, phase, (name, node), &address);
                }
                let survey = builder.input.survey;
                // A kubelet that has been started before these leaves are written has to replace the pod once more.
                let is_first = phase == Phase::Quorum || cold_start::nothing_runs(survey, name, node);
                let comes_with_kubelet = builder.is_cold
                    && is_first
                    && matches!(how, RestartMethod::StaticPod { .. })
                    && cold_start::comes_with_kubelet(survey, (name, node), service);
                if !is_put_back && !comes_with_kubelet {
                    builder.add_in(phase, address.clone(), Deed::Restart { how, timeout }, due, true);
                }
                await_healthy(builder, phase, address, awaited, builder.input.survey.desired.rollout.settle);
                continue;
            }
            Way::ByHand(because) if !reads.is_empty() => {
                restart_by_hand(builder, &cause, &reads, because);
            }
            Way::ByHand(_) | Way::Needless => {}
        }
        // It takes up by itself what is new; that it does is seen before the node counts as done.
        let is_new = |what: &What| changed.contains_key(what) || runs && made.contains(what);
        let renewed = |what: &What| is_new(what) && is_read_again((node, wanted), what);
        let awaited = after_reload(builder, (service, wanted), (name, node), &renewed);
        await_healthy(builder, phase, address, awaited, Duration::from_seconds(0));
    }
    await_clients(builder, of, (name, node), &|what| written.contains(what));
}

/// Whether the manifest of a static pod goes back to what it was, by which the pod is restarted. An annotation would make it another one again.
fn put_back(builder: &Builder<'_>, node: &NodeName, restart: Option<&Restart>) -> Option<RestartMethod> {
    let manifest = restart?.static_pod.as_ref()?;
    let restores = |deed: &DraftDeed| {
        matches!(deed.deed, Deed::Restore { .. }) && deed.paths().contains(&manifest.as_str())
    };
    let is_put_back = builder.draft.on(node).iter().any(restores);
    is_put_back.then(|| RestartMethod::StaticPod { manifest: manifest.clone() })
}

/// How a service is to be restarted, by what runs on the node.
fn way(builder: &mut Builder<'_>, cause: &Cause<'_>) -> Way {
    match &cause.wanted.restart {
        Some(Restart { command: Some(argv), .. }) if cause.is_stale => {
            Way::Restart(RestartMethod::Command { argv: argv.clone() })
        }
        Some(Restart { command: None, systemd: Some(unit), .. }) => way_of_unit(builder, cause, unit),
        Some(Restart { command: None, systemd: None, static_pod: Some(manifest) }) => {
            way_of_pod(builder, cause, manifest)
        }
        Some(Restart { .. }) | None if cause.is_stale => Way::ByHand(None),
        Some(Restart { .. }) | None => Way::Needless,
    }
}

fn way_of_unit(builder: &mut Builder<'_>, cause: &Cause<'_>, unit: &str) -> Way {
    let own = || unit.to_owned();
    let is_cold = cause.phase == Phase::Quorum && cause.wanted.is(ServiceKind::Etcd);
    let Some(facts) = services::unit(builder.input.survey, cause.node, cause.service) else {
        return if cause.is_stale { Way::ByHand(None) } else { Way::Needless };
    };
    let is_needed = cause.wanted.is(ServiceKind::Kubelet) && has_to_start_pods(builder, cause.node);
    if facts.is_active() || facts.is_up() && follows_leader(builder, cause) {
        match is_safe(builder, cause) {
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
        let address = Address::on(Target::Service(cause.service.clone()), cause.node);
        let noted = Noted { address, finding: Finding::note(reason) };
        if !builder.draft.notes.contains(&noted) {
            builder.draft.notes.push(noted);
        }
        Way::Needless
    }
}

fn way_of_pod(builder: &mut Builder<'_>, cause: &Cause<'_>, manifest: &str) -> Way {
    let live = live(builder.input.survey, cause.node).and_then(|services| services.get(cause.service));
    let is_dead = if cause.phase == Phase::Quorum {
        live.is_some_and(services::is_down)
    } else {
        cause.is_touched && live.is_some_and(is_silent)
    };
    if !cause.is_stale && !is_dead {
        return Way::Needless;
    }
    if !has_pod(builder.input.survey, cause.node, manifest) {
        return if cause.is_stale { Way::ByHand(None) } else { Way::Needless };
    }
    match is_dead || is_safe(builder, cause) {
        true => Way::Restart(RestartMethod::StaticPod { manifest: manifest.to_owned() }),
        false => Way::ByHand(Some(NO_QUORUM_WITHOUT)),
    }
}

/// Whether the others can do without it, or have to for they cannot do anything as it is, or an outage was accepted.
fn is_safe(builder: &mut Builder<'_>, cause: &Cause<'_>) -> bool {
    if !cause.wanted.is(ServiceKind::Etcd)
        || cause.phase == Phase::Quorum
        || quorum::can_do_without(cause.node, &builder.input.survey.observed, builder.unlisted.count())
    {
        return true;
    }
    if builder.input.options.accept_outage && cause.is_stale {
        let because = format!(
            "{} stands still while its member on {} is restarted: the others have no quorum without it",
            cause.service, cause.node
        );
        if !builder.draft.accepted.contains(&because) {
            builder.draft.accepted.push(because);
        }
        return true;
    }
    false
}

/// Whether it is a member that follows a leader: though it may have been started again a moment ago, the others count on it.
fn follows_leader(builder: &Builder<'_>, cause: &Cause<'_>) -> bool {
    // One that gave no answer is not counted on.
    cause.wanted.is(ServiceKind::Etcd)
        && calls::etcd(builder, cause.node).is_some_and(EtcdFacts::follows_leader)
}

/// Whether static pods of a node are replaced, be it that their manifests go back to what they were, or come with its kubelet.
fn has_to_start_pods(builder: &Builder<'_>, node: &NodeName) -> bool {
    let by_manifest =
        |deed: &DraftDeed| matches!(deed.deed, Deed::Restart { how: RestartMethod::StaticPod { .. }, .. });
    let by_going_back = |deed: &DraftDeed| {
        matches!((&deed.deed, &deed.address.target), (Deed::Restore { .. }, Target::Service(_)))
    };
    let survey = builder.input.survey;
    let come_with_it = |wanted: &DesiredNode| {
        let mut services = wanted.services.keys();
        services.any(|service| cold_start::comes_with_kubelet(survey, (node, wanted), service))
    };
    builder.draft.on(node).iter().any(|deed| by_manifest(deed) || by_going_back(deed))
        || builder.is_cold && survey.desired.nodes.get(node).is_some_and(come_with_it)
}

fn restart_by_hand(
    builder: &mut Builder<'_>,
    cause: &Cause<'_>,
    reads: &BTreeSet<String>,
    because: Option<&str>,
) {
    let (service, node) = (cause.service, cause.node);
    let how = match &cause.wanted.restart {
        Some(Restart { systemd: Some(unit), .. }) => format!("systemctl restart {unit}"),
        Some(Restart { static_pod: Some(manifest), .. }) => {
            format!("its static pod, by its manifest {manifest}: aside until it has stopped, then back")
        }
        Some(Restart { systemd: None, static_pod: None, .. }) | None => "as it was started".to_owned(),
    };
    let reads: Vec<String> = reads.iter().cloned().collect();
    let because = because.map(str::to_owned);
    let (service, nodes) = (service.clone(), vec![node.clone()]);
    builder.draft.leave_restart(ManualRestart { service, nodes, reads, how, because });
}

/// Tells that a service is not restarted, and what waits for that.
fn leave_running(
    builder: &mut Builder<'_>,
    (service, name): (&ServiceName, &NodeName),
    (authority, finding): (&AuthorityName, &Finding),
    waits: &BTreeSet<String>,
    due: Vec<Why>,
) {
    let what = match waits.is_empty() {
        true => String::new(),
        false => {
            let waits: Vec<&str> = waits.iter().map(String::as_str).collect();
            format!(", and goes on with what it has read of {}", waits.join(", "))
        }
    };
    let because = format!(
        "{service} on {name} is not restarted{what}: it would load the file of ca/{authority} ({})",
        finding.reason
    );
    let help = foreign_cas::help(&finding.reason, authority).or_else(|| {
        if let Reason::SignerIsBundle { path, .. } = &finding.reason {
            return Some(format!(
                "give {service} a file with its one certificate in `--cluster-signing-cert-file`, or leave one certificate in {path}; then plan again"
            ));
        }
        Some(format!("plan again once this CA is dropped from ca/{authority}"))
    });
    let address = Address::on(Target::Service(service.clone()), name);
    let blocked = Blocked { address, because, help, findings: due };
    // Members of etcd that wait for each other need every one of them.
    match builder.is_cold {
        true => builder.draft.blocked.push(blocked),
        false => builder.draft.elsewhere.push(blocked),
    }
}
