//! Services that nobody but a person restarts: what they have read at their start they go on with, whatever this program writes.
//!
//! What enters is how the cluster is, and which authority is being replaced; what leaves is who holds up its phases. Pure.

use std::collections::BTreeSet;

use crate::desired::Survey;
use crate::diff::Effect;
use crate::profile::{Reload, What};
use crate::types::names::{Address, IdentityName, NodeName, ServiceName, Target};
use crate::types::service_kind::ServiceKind;

use super::hold::{Hold, HoldEffect, RotationCase};
use crate::plan::Phase;

/// The services that run, read such a thing at their start only, and are started anew by nobody but a person.
pub(crate) fn restarted(survey: &Survey, is_read: impl Fn(&What) -> bool) -> Vec<(&NodeName, &ServiceName)> {
    let mut found = Vec::new();
    for (name, node) in &survey.desired.nodes {
        let Some(facts) = survey.observed.nodes.get(name).and_then(|answer| answer.facts()) else { continue };
        for (service, wanted) in &node.services {
            let mut reads = wanted.reads.iter().filter(|read| is_read(&read.what));
            let runs = facts.services.get(service).is_some_and(|live| !live.started().is_empty());
            let is_once = reads.any(|read| read.reload(node.version) == Reload::Start);
            let is_seen = facts.services.get(service).is_some_and(|live| live.unit.is_some());
            let is_replaced = wanted.restart.as_ref().is_some_and(|restart| restart.static_pod.is_some())
                && node.services_of(ServiceKind::Kubelet).any(|(own, _)| facts.services.contains_key(own));
            let is_run = wanted.restart.as_ref().is_some_and(|restart| restart.command.is_some());
            if runs && is_once && !(is_seen || is_replaced || is_run) {
                found.push((name, service));
            }
        }
    }
    found
}

/// The services that may show what the old CA signed from memory: each until everything is issued anew and it runs on that.
pub(super) fn still_showing(case: &RotationCase<'_, '_>) -> Vec<Hold> {
    // Nobody shows anything of what is somebody else's.
    if case.succession.is_only_dropping() {
        return Vec::new();
    }
    let identities = case.input.survey.desired.nodes.values().flat_map(|node| &node.identities);
    let issued: BTreeSet<&IdentityName> = identities
        .filter(|(_, wanted)| wanted.authority.as_ref() == Some(case.name))
        .map(|(identity, _)| identity)
        .collect();
    let shows = |what: &What| match what {
        What::Identity(identity) => issued.contains(identity),
        What::Trust(_) | What::Signer(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => false,
    };
    let is_behind = |node: &NodeName, service: &ServiceName| {
        let address = Address::on(Target::Service(service.clone()), node);
        case.input.differences.of(&address).iter().any(|finding| finding.effect == Effect::Due)
    };
    let waits = |(node, service): &(&NodeName, &ServiceName)| !case.is_complete() || is_behind(node, service);
    let hold = |(node, service): (&NodeName, &ServiceName)| {
        let because = format!(
            "{service} on {node} shows what it has read at its start and is restarted by hand, so no old CA of {} is dropped before it has been",
            case.name
        );
        let help = format!(
            "restart it once its files are new, and plan again; or declare spec.services.{service}.restart"
        );
        case.hold((Phase::DropOld, HoldEffect::Elsewhere), node, because, help)
    };
    restarted(case.input.survey, shows).into_iter().filter(waits).map(hold).collect()
}
