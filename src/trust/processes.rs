//! What runs, besides what lies on disk: which processes are up, since when, and what they serve.
//!
//! What enters is what the nodes told; what leaves is the certificate that a process shows, or that it may have loaded something else than what its files hold now.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::disk::Source;
use super::material::{Holding, HoldingId};
use super::model::ClusterModel;
use super::topology::{Input, TakesUp, Topology};
use crate::desired::Survey;
use crate::protocol::facts::{Observed, Seen};
use crate::types::names::{NodeName, ServiceName};
use crate::x509::Certificate;

/// What is known of processes besides their files. Of a process that is not in it, it is assumed that it is up and has loaded what lies on its disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Processes {
    /// The processes, by service and node.
    pub known: BTreeMap<(ServiceName, NodeName), Process>,
    /// Those that do not work: their units do not run, or ports of theirs do not answer.
    pub down: BTreeSet<(ServiceName, NodeName)>,
    /// Whether an outage was accepted.
    pub outage_accepted: bool,
}

impl Processes {
    /// What the nodes told of their processes.
    pub fn of(observed: &Observed) -> Self {
        let (mut known, mut down) = (BTreeMap::new(), BTreeSet::new());
        for (node, answer) in &observed.nodes {
            for (service, facts) in answer.facts().into_iter().flat_map(|facts| &facts.services) {
                // One that could not be looked at is not taken for down: its ports say it.
                let unit = facts.unit.as_ref().and_then(|unit| unit.known().ok()?);
                if unit.is_some_and(|unit| !unit.is_active())
                    || facts.endpoints.iter().any(|endpoint| endpoint.probe.served().is_none())
                {
                    down.insert((service.clone(), node.clone()));
                }
                let served = facts.endpoints.iter().filter_map(|endpoint| {
                    let served = endpoint.probe.served()?;
                    let chain = std::iter::once(&served.certificate).chain(&served.chain);
                    Some((endpoint.port, chain.cloned().collect()))
                });
                // Of several the one that has loaded the oldest files.
                let process = Process { started: facts.started().first().copied(), served: served.collect() };
                if process != Process::default() {
                    known.insert((service.clone(), node.clone()), process);
                }
            }
        }
        Self { known, down, outage_accepted: false }
    }
}

/// What is known of a running process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// When it started. What was written after that it has not loaded, unless it reads it again.
    pub started: Option<Timestamp>,
    /// The certificate that it serves at each port, with what follows it.
    pub served: BTreeMap<u16, Vec<Certificate>>,
}

/// What a process has loaded where that is known to be something else than what lies on its disk.
pub(crate) fn otherwise(
    input: &Input,
    world: &mut ClusterModel,
    topology: &Topology,
    survey: &Survey,
    processes: &Processes,
) -> Option<HoldingId> {
    let instance = topology.instance(input.instance)?;
    let process = processes.known.get(&(instance.service.clone(), instance.node.clone()))?;
    let node = survey.desired.nodes.get(&instance.node)?;
    let service = node.services.get(&instance.service)?;
    let serves_this = |port: &u16| {
        let endpoint = service.endpoints.iter().find(|endpoint| endpoint.port == *port);
        let identity = endpoint.and_then(|endpoint| endpoint.serves.as_ref());
        let storage =
            identity.and_then(|identity| node.identities.get(identity)).map(|wanted| &wanted.storage);
        storage.is_some_and(|storage| Source::of(storage) == input.source)
    };
    if let Some((_, served)) = process.served.iter().find(|(port, _)| serves_this(port))
        && let Some((leaf, followers)) = served.split_first()
    {
        let certificate = world.material.real(leaf);
        let chain = followers.iter().map(|follower| world.material.real(follower)).collect();
        return Some(world.material.hold(Holding::Pair { certificate, chain, fits: true }));
    }
    let facts = survey.observed.nodes.get(&instance.node).and_then(|answer| answer.facts())?;
    let started = process.started?;
    let paths = world.disks.get(&instance.node)?.paths_of(&input.source);
    // What is gone was there when it started, or it would not run.
    let is_other = |path: &String| match facts.files.get(path) {
        Some(Seen::Present(file)) => started < file.modified,
        Some(Seen::Absent) => true,
        Some(Seen::Dangling { .. } | Seen::Looping { .. } | Seen::Unknown { .. }) | None => false,
    };
    let is_stale = input.takes_up == TakesUp::AtStart && paths.iter().any(is_other);
    is_stale.then(|| world.material.hold(Holding::Unknown))
}
