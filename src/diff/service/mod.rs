//! The checks of a running service: whether it uses what lies in its files.
//!
//! What enters is a service as it should be, the facts of its files and what was seen of it while it runs; what leaves is findings. A service that was not
//! looked at has none here, and of one that does not run it is only said that it fails again and again. Pure.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::desired::request::LOOPBACK_NAME;
use crate::desired::{DesiredIdentity, DesiredNode, DesiredService};
use crate::profile::{Reload, What};
use crate::protocol::facts::{EndpointFacts, NodeFacts, ServiceFacts};
use crate::types::duration::Duration;
use crate::types::names::IdentityName;
use crate::types::scalars::KubernetesVersion;

use super::view::{Renewal, file};
use super::{Finding, Identities, Reason};

/// How long before the end of an API server's own certificate in memory its restart is called for. It lives a year from the start (1.20; longer since k8s#130047).
const LOOPBACK_WINDOW: Duration = Duration::from_days(30);

/// Something that a service should use and does not.
fn not_in_use(reason: Reason) -> Finding {
    Finding::due(reason)
}

/// One running service on one node.
pub(super) struct ServiceCase<'a> {
    pub(super) version: Option<KubernetesVersion>,
    pub(super) node: &'a DesiredNode,
    pub(super) wanted: &'a DesiredService,
    pub(super) live: &'a ServiceFacts,
    pub(super) facts: &'a NodeFacts,
    /// What the node holds of its identities.
    pub(super) held: &'a Identities,
}

impl ServiceCase<'_> {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let served = self.live.endpoints.iter().filter_map(|endpoint| self.served_differs(endpoint));
        let loopback = self.live.endpoints.iter().filter_map(|endpoint| self.loopback_ends(endpoint));
        served.chain(loopback).chain(self.started_before_files()).chain(self.keeps_failing()).collect()
    }

    /// Its unit is started again and again.
    fn keeps_failing(&self) -> Option<Finding> {
        let unit = self.live.unit.as_ref().and_then(|unit| unit.known().ok()?)?;
        let name = self.wanted.restart.as_ref()?.systemd.clone()?;
        unit.keeps_failing().then(|| {
            let result = unit.result.clone();
            Finding::note(Reason::KeepsFailing { unit: name, restarts: unit.restarts, result })
        })
    }

    /// The certificate that is served is not the one in the file.
    fn served_differs(&self, endpoint: &EndpointFacts) -> Option<Finding> {
        let identity = endpoint.serves.as_ref()?;
        let wanted = self.node.identities.get(identity)?;
        let served = &endpoint.probe.served()?.certificate;
        let file = self.held.get(identity)?.certificate.as_ref()?;
        if served == file {
            return None;
        }
        let address = endpoint.address?;
        let reason = Reason::ServedDiffersFromFile {
            at: std::net::SocketAddr::new(address, endpoint.port).to_string(),
            served: *served.fingerprint(),
            path: wanted.storage.certificate_path().to_owned(),
            file: *file.fingerprint(),
        };
        // It is about to take it up by itself.
        Some(if self.is_taken_up_soon(identity, wanted) { Finding::note(reason) } else { not_in_use(reason) })
    }

    fn is_taken_up_soon(&self, identity: &IdentityName, wanted: &DesiredIdentity) -> bool {
        let reads = self.wanted.reads.iter().filter(|read| read.what == What::Identity(identity.clone()));
        let changed = wanted.storage.files().into_iter().filter_map(|file| self.changed(&file.path)).max();
        reads.map(|read| read.reload(self.version)).any(|reload| match (reload, changed) {
            (Reload::Poll(period), Some(changed)) => self.facts.clock < period.after(changed),
            (Reload::Poll(_) | Reload::Start | Reload::Handshake | Reload::Watch, _) => false,
        })
    }

    /// Files changed after the process had read them for the only time.
    fn started_before_files(&self) -> Vec<Finding> {
        let Some(started) = self.live.started().first().copied() else { return Vec::new() };
        let once = self.wanted.reads.iter().filter(|read| read.reload(self.version) == Reload::Start);
        let paths: BTreeSet<&str> = once.flat_map(|read| self.paths(&read.what)).collect();
        let changed = paths.into_iter().filter_map(|path| Some((path, self.changed(path)?)));
        let later = changed.filter(|(_, changed)| *changed > started);
        let reason = |(path, changed): (&str, Timestamp)| Reason::StartedBeforeFile {
            path: path.to_owned(),
            started,
            changed,
        };
        later.map(reason).map(not_in_use).collect()
    }

    /// The files behind something that is read, but for what is seen better in another way: what is served by a handshake, and what the reader writes itself.
    fn paths(&self, what: &What) -> Vec<&str> {
        let of_identity = |identity: &IdentityName| match self.node.identities.get(identity) {
            Some(wanted) if !self.is_written_by_reader(identity) => {
                wanted.storage.files().into_iter().map(|file| file.path.as_str()).collect()
            }
            Some(_) | None => Vec::new(),
        };
        match what {
            What::Identity(identity) if self.is_served(identity) => Vec::new(),
            What::Identity(identity) | What::KubeconfigTrust(identity) => of_identity(identity),
            What::Trust(authority) => {
                let copy = self.node.authorities.get(authority);
                copy.map(|copy| copy.certificate.path.as_str()).into_iter().collect()
            }
            What::Signer(authority) => {
                let copy = self.node.authorities.get(authority);
                copy.into_iter()
                    .flat_map(|copy| [&copy.certificate, &copy.key])
                    .map(|file| file.path.as_str())
                    .collect()
            }
            What::KeyPair(pair) => {
                let pair = self.node.key_pairs.get(pair);
                pair.into_iter()
                    .flat_map(|pair| [&pair.private, &pair.public])
                    .map(|file| file.path.as_str())
                    .collect()
            }
        }
    }

    fn is_served(&self, identity: &IdentityName) -> bool {
        let serving = |endpoint: &EndpointFacts| {
            endpoint.serves.as_ref() == Some(identity) && endpoint.probe.served().is_some()
        };
        self.live.endpoints.iter().any(serving)
    }

    fn is_written_by_reader(&self, identity: &IdentityName) -> bool {
        self.held.get(identity).is_some_and(|held| held.renewal == Renewal::ByKubelet)
    }

    /// When a file changed last. A copy that keeps the time of its original is no older than the certificate in it.
    fn changed(&self, path: &str) -> Option<Timestamp> {
        let file = file(self.facts, path).ok()?;
        let first = file.content.pem().and_then(|pem| pem.certificates.first());
        let issued = first.map(|certificate| certificate.facts().not_before);
        let issued = issued.filter(|issued| *issued <= self.facts.clock);
        Some(issued.map_or(file.modified, |issued| issued.max(file.modified)))
    }

    /// The certificate in memory with which an API server calls itself ends, and only a restart makes another one (k8s#86552).
    fn loopback_ends(&self, endpoint: &EndpointFacts) -> Option<Finding> {
        if endpoint.server_name.as_deref() != Some(LOOPBACK_NAME) {
            return None;
        }
        let certificate = endpoint.probe.served()?.certificate.facts();
        // A server that does not know the name shows its usual certificate.
        certificate.subject.common_name().filter(|name| name.starts_with(LOOPBACK_NAME))?;
        let not_after = certificate.not_after;
        (self.facts.clock >= LOOPBACK_WINDOW.before(not_after))
            .then(|| not_in_use(Reason::LoopbackEnds { not_after }))
    }
}

#[cfg(test)]
mod tests;
