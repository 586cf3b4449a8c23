//! What has to be started anew to use what a plan writes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::desired::{DesiredNode, DesiredService};
use crate::diff::Effect;
use crate::duration::Duration;
use crate::gate::Gate;
use crate::ids::{Address, IdentityName, NodeName, ServiceName, Subject};
use crate::observed::{EndpointFacts, Seen, ServiceFacts, UnitFacts};
use crate::profile::{Reload, What};
use crate::spec::types::Restart;

use super::build::{Builder, DraftDeed};
use super::directories::reads_below;
use super::quorum;
use super::{Deed, ManualRestart, RestartMethod, Why};

/// The service that replaces static pods, by the name that every layout gives it.
const KUBELET: &str = "kubelet";

/// How a service comes to use what is new.
enum Way {
    Restart(RestartMethod),
    /// It does not run, or uses all that is there.
    Needless,
    ByHand,
}

impl Builder<'_> {
    /// Restarts of services that read something that is replaced and do not notice.
    pub(super) fn restarts(&mut self, name: &NodeName, node: &DesiredNode) {
        let mut changed: BTreeMap<What, Vec<Why>> = BTreeMap::new();
        // What was not there: who runs has started with something else, or without it.
        let mut made: BTreeSet<What> = BTreeSet::new();
        for deed in self.draft.on(name) {
            for what in changes(deed) {
                match deed.replaces {
                    true => changed.entry(what).or_default().extend(deed.reasons.iter().cloned()),
                    false => {
                        made.insert(what);
                    }
                }
            }
        }
        let moved = self.moved(name);
        for (service, wanted) in &node.services {
            let runs = self.live(name).and_then(|services| services.get(service));
            let runs = runs.is_some_and(|facts| !facts.started().is_empty());
            let stale = wanted
                .reads
                .iter()
                .filter(|read| read.reload(self.input.survey.desired.version) == Reload::Start)
                .map(|read| &read.what)
                .filter(|what| changed.contains_key(*what) || runs && made.contains(*what));
            let mut reads: BTreeSet<String> = stale.map(what_name).collect();
            // However it re-reads files, it has another directory open than the one that is there now.
            let is_in_use = |directory: &&String| reads_below(wanted, node, directory);
            reads
                .extend(moved.iter().filter(is_in_use).map(|directory| format!("the directory {directory}")));
            let address = Address { subject: Subject::Service(service.clone()), node: name.clone() };
            let due = self.findings(&address).iter().filter(|finding| finding.effect == Effect::Due);
            let due: Vec<Why> = due.map(|finding| self.why(finding)).collect();
            let put_back = self.put_back(name, wanted.restart.as_ref());
            let is_put_back = put_back.is_some();
            let way = match put_back {
                Some(how) => Way::Restart(how),
                None if reads.is_empty() && due.is_empty() => Way::Needless,
                None => self.way(service, name, wanted.restart.as_ref()),
            };
            match way {
                Way::Restart(how) => {
                    let gates = self.gates(service, name, node, &how);
                    let timeout = self.input.survey.desired.rollout.timeout;
                    if !is_put_back {
                        self.add(address.clone(), Deed::Restart { how, timeout }, due, true);
                    }
                    self.await_healthy(address, gates, self.input.survey.desired.rollout.settle);
                    continue;
                }
                Way::ByHand if !reads.is_empty() => {
                    self.restart_by_hand(service, name, &reads, wanted.restart.as_ref());
                }
                Way::ByHand | Way::Needless => {}
            }
            // It takes up by itself what is new; that it does is seen before the node counts as done.
            let gates = self.served(service, name, node).into_iter();
            let renewed =
                gates.filter(|(identity, _)| changed.contains_key(&What::Identity(identity.clone())));
            let gates = renewed.filter(|(identity, _)| self.is_read_again(wanted, identity));
            let gates = gates.map(|(_, gate)| gate).collect();
            self.await_healthy(address, gates, Duration::from_seconds(0));
        }
    }

    /// Whether the manifest of a static pod goes back to what it was, upon which the kubelet replaces the pod. An annotation would make it another one again.
    fn put_back(&self, node: &NodeName, restart: Option<&Restart>) -> Option<RestartMethod> {
        let manifest = restart?.static_pod.as_ref()?;
        let restores =
            |deed: &DraftDeed| matches!(&deed.deed, Deed::Restore { path, .. } if path == manifest);
        let is_put_back = self.draft.on(node).iter().any(restores);
        is_put_back.then(|| RestartMethod::StaticPod { manifest: manifest.clone() })
    }

    fn is_read_again(&self, wanted: &DesiredService, identity: &IdentityName) -> bool {
        let version = self.input.survey.desired.version;
        let mut reads = wanted.reads.iter().filter(|read| read.what == What::Identity(identity.clone()));
        reads.any(|read| read.reload(version) != Reload::Start)
    }

    /// How a service is to be restarted, by what runs on the node.
    fn way(&self, service: &ServiceName, node: &NodeName, restart: Option<&Restart>) -> Way {
        let services = self.live(node);
        let observed = &self.input.survey.observed;
        let is_safe = !quorum::is_member(service) || quorum::can_do_without(node, observed);
        let is_active =
            |unit: Option<&Seen<UnitFacts>>| unit.and_then(Seen::present).map(UnitFacts::is_active);
        match restart {
            Some(Restart { command: Some(argv), .. }) => {
                Way::Restart(RestartMethod::Command { argv: argv.clone() })
            }
            Some(Restart { systemd: Some(unit), .. }) => {
                let facts = services.and_then(|services| services.get(service));
                match is_active(facts.and_then(|facts| facts.unit.as_ref())) {
                    Some(true) if is_safe => Way::Restart(RestartMethod::Systemd { unit: unit.clone() }),
                    Some(true) => Way::ByHand,
                    // It reads what is there when somebody starts it.
                    Some(false) => Way::Needless,
                    None => Way::ByHand,
                }
            }
            Some(Restart { static_pod: Some(manifest), .. }) => {
                // Nobody else replaces the pod.
                let mut kubelets =
                    services.into_iter().flatten().filter(|(name, _)| name.as_str() == KUBELET);
                match kubelets.next().and_then(|(_, facts)| is_active(facts.unit.as_ref())) {
                    Some(true) if is_safe => {
                        Way::Restart(RestartMethod::StaticPod { manifest: manifest.clone() })
                    }
                    Some(true | false) | None => Way::ByHand,
                }
            }
            Some(Restart { systemd: None, static_pod: None, command: None }) | None => Way::ByHand,
        }
    }

    fn live(&self, node: &NodeName) -> Option<&BTreeMap<ServiceName, ServiceFacts>> {
        let answer = self.input.survey.observed.nodes.get(node)?;
        answer.facts().map(|facts| &facts.services)
    }

    /// What shows that a restarted service works with what is new: its unit, and every port that answered before.
    fn gates(
        &self,
        service: &ServiceName,
        name: &NodeName,
        node: &DesiredNode,
        how: &RestartMethod,
    ) -> BTreeSet<Gate> {
        let mut gates: BTreeSet<Gate> =
            self.served(service, name, node).into_iter().map(|(_, gate)| gate).collect();
        if let RestartMethod::Systemd { unit } = how {
            gates.insert(Gate::Active { unit: unit.clone() });
        }
        for (address, endpoint) in self.answering(service, name) {
            if endpoint.serves.as_ref().is_none_or(|identity| !node.identities.contains_key(identity)) {
                gates.insert(Gate::Listens { address, port: endpoint.port });
            }
        }
        gates
    }

    /// The ports at which a service serves certificates of the node's files, with the identities.
    fn served(
        &self,
        service: &ServiceName,
        name: &NodeName,
        node: &DesiredNode,
    ) -> Vec<(IdentityName, Gate)> {
        let endpoints = self.answering(service, name);
        let served = endpoints.filter_map(|(address, endpoint)| {
            let identity = endpoint.serves.clone()?;
            let certificate = node.identities.get(&identity)?.storage.certificate_path().to_owned();
            Some((identity, Gate::Serves { address, port: endpoint.port, certificate }))
        });
        served.collect()
    }

    /// The ports of a service that answer with TLS now.
    fn answering(
        &self,
        service: &ServiceName,
        name: &NodeName,
    ) -> impl Iterator<Item = (IpAddr, &EndpointFacts)> {
        let facts = self.live(name).and_then(|services| services.get(service));
        let endpoints = facts.into_iter().flat_map(|facts| &facts.endpoints);
        endpoints.filter_map(|endpoint| {
            endpoint.probe.served()?;
            // What is served under a name of its own no file holds.
            if endpoint.server_name.is_some() { None } else { Some((endpoint.address?, endpoint)) }
        })
    }

    fn await_healthy(&mut self, address: Address, gates: BTreeSet<Gate>, settle: Duration) {
        if !gates.is_empty() {
            let timeout = self.input.survey.desired.rollout.timeout;
            self.add(address, Deed::AwaitHealthy { gates, settle, timeout }, Vec::new(), false);
        }
    }

    fn restart_by_hand(
        &mut self,
        service: &ServiceName,
        node: &NodeName,
        reads: &BTreeSet<String>,
        restart: Option<&Restart>,
    ) {
        let how = match restart {
            Some(Restart { systemd: Some(unit), .. }) => format!("systemctl restart {unit}"),
            Some(Restart { static_pod: Some(manifest), .. }) => {
                format!("its static pod {manifest}, by a changed annotation in the manifest")
            }
            Some(Restart { systemd: None, static_pod: None, .. }) | None => "as it was started".to_owned(),
        };
        let reads: Vec<String> = reads.iter().cloned().collect();
        let same = |manual: &&mut ManualRestart| {
            manual.service == *service && manual.reads == reads && manual.how == how
        };
        match self.draft.restart_yourself.iter_mut().find(same) {
            Some(manual) => manual.nodes.push(node.clone()),
            None => self.draft.restart_yourself.push(ManualRestart {
                service: service.clone(),
                nodes: vec![node.clone()],
                reads,
                how,
            }),
        }
    }
}

/// What a deed changes, as services name what they read.
pub(super) fn changes(deed: &DraftDeed) -> Vec<What> {
    match (&deed.deed, &deed.address.subject) {
        (Deed::Restore { .. }, Subject::Identity(identity)) => {
            vec![What::Identity(identity.clone()), What::KubeconfigTrust(identity.clone())]
        }
        (Deed::IssueIdentity(issue), Subject::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if issue.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        // Who reads an identity may read it in any of its places.
        (Deed::CopyIdentity(copy), Subject::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if copy.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        (Deed::UpdateKubeconfig { .. }, Subject::Identity(identity)) => {
            vec![What::KubeconfigTrust(identity.clone())]
        }
        (
            Deed::WriteBundle { .. } | Deed::CopyAuthorityCertificate { .. } | Deed::Restore { .. },
            Subject::Authority(authority),
        ) => {
            vec![What::Trust(authority.clone()), What::Signer(authority.clone())]
        }
        (
            Deed::CopyKey { .. } | Deed::WritePublicKey { .. } | Deed::Restore { .. },
            Subject::KeyPair(pair),
        ) => {
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
