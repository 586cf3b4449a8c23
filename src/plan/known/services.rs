//! What runs on a node, and what starts it.
//!
//! What enters is what the nodes told; what leaves are answers about one service of one node. Whether anything is restarted is decided elsewhere. Pure.

use std::collections::BTreeMap;

use crate::desired::Survey;
use crate::protocol::facts::{Seen, ServiceFacts, UnitFacts};
use crate::types::names::{NodeName, ServiceName};
use crate::types::service_kind::ServiceKind;

/// What runs on a node; none where it was not seen.
pub(crate) fn live<'a>(
    survey: &'a Survey,
    node: &NodeName,
) -> Option<&'a BTreeMap<ServiceName, ServiceFacts>> {
    let answer = survey.observed.nodes.get(node)?;
    answer.facts().map(|facts| &facts.services)
}

/// The unit of a service.
pub(crate) fn unit<'a>(survey: &'a Survey, node: &NodeName, service: &ServiceName) -> Option<&'a UnitFacts> {
    // Nobody restarts a unit, or counts on one, that could not be looked at: what is due is left to a person.
    live(survey, node)?.get(service)?.unit.as_ref()?.known().ok()?
}

/// What runs the pods of a node.
fn kubelet<'a>(survey: &'a Survey, node: &NodeName) -> Option<&'a UnitFacts> {
    let mut kubelets = survey.desired.nodes.get(node)?.services_of(ServiceKind::Kubelet);
    kubelets.find_map(|(service, _)| unit(survey, node, service))
}

/// Whether a kubelet that runs, or would be started, replaces the pod of a manifest. Where the manifest is seen to be gone, somebody has ended the pod.
pub(crate) fn has_pod(survey: &Survey, node: &NodeName, manifest: &str) -> bool {
    let facts = survey.observed.nodes.get(node).and_then(|answer| answer.facts());
    let is_gone =
        facts.and_then(|facts| facts.files.get(manifest)).is_some_and(|seen| matches!(seen, Seen::Absent));
    let kubelet = kubelet(survey, node);
    !is_gone && kubelet.is_some_and(|kubelet| kubelet.is_active() || kubelet.is_wanted())
}

/// Whether no port of a service answers.
pub(crate) fn is_silent(live: &ServiceFacts) -> bool {
    !live.endpoints.is_empty() && live.endpoints.iter().all(|endpoint| endpoint.probe.served().is_none())
}

/// Whether a service evidently does not work: its unit does not run, or a port of it does not answer. A member of etcd that waits for the others answers
/// at its port for them and not at that for clients.
pub(crate) fn is_down(live: &ServiceFacts) -> bool {
    // One that could not be looked at is not evidently down: its ports say it.
    let unit = live.unit.as_ref().and_then(|unit| unit.known().ok()?);
    unit.is_some_and(|unit| !unit.is_active())
        || live.endpoints.iter().any(|endpoint| endpoint.probe.served().is_none())
}
