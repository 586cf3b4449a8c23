//! The copy of a certificate with its key from one place to another, as a plan holds it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::{DesiredIdentity, Told};
use crate::types::certificate::Usage;
use crate::types::names::NodeName;
use crate::types::place::Place;
use crate::types::storage::{FileSpec, Storage};
use crate::x509::{Certificate, Sha256};

use super::csr::Install;
use super::issue::{CaCertificates, Issue};

/// A private key that the layout shares, on its way from the node that holds it to another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyCopy {
    /// The node that holds it.
    pub from: NodeName,
    /// The file there.
    pub source: String,
    /// The file here.
    pub file: FileSpec,
    /// Which key it must be, by its public half (SHA-256 of SubjectPublicKeyInfo); none while an earlier action of this plan makes it. The node that
    /// receives it takes no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spki: Option<Sha256>,
}

/// A certificate with its key that is written to another place as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityCopy {
    /// Where it is copied from. Only `IdentityCopy::new` sets it, because a key that is not shared must not leave its node.
    from: NodeName,
    /// The place there.
    pub source: Storage,
    /// The place here.
    pub target: Storage,
    /// The certificate; none while an earlier action of this plan issues it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// When it ends.
    pub not_after: Timestamp,
    /// What it may be used for.
    pub usages: BTreeSet<Usage>,
    /// DNS names that it has.
    pub dns: BTreeSet<String>,
    /// IP addresses that it has.
    pub ip: BTreeSet<IpAddr>,
    /// What comes into it by the word of a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
    /// The authority's certificates on this node, which it is checked with.
    pub verified_by: String,
    /// The CA certificates that a kubeconfig trusts, where it has to be written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<CaCertificates>,
    /// The certificate that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Certificate>,
}

/// What is copied: the certificate that is there, or the one that an earlier action of this plan leaves there.
#[derive(Debug, Clone)]
pub(crate) struct Copied {
    pub(crate) certificate: Option<Certificate>,
    pub(crate) not_after: Timestamp,
    pub(crate) usages: BTreeSet<Usage>,
    pub(crate) dns: BTreeSet<String>,
    pub(crate) ip: BTreeSet<IpAddr>,
}

impl Copied {
    /// A certificate that is there. Of its names those count that it should have.
    pub(crate) fn held(certificate: &Certificate, wanted: &DesiredIdentity) -> Self {
        let facts = certificate.facts();
        // DNS names compare without case, as Go's verifier does.
        let is_wanted =
            |name: &&String| wanted.names.dns.iter().any(|other| other.eq_ignore_ascii_case(name));
        Self {
            certificate: Some(certificate.clone()),
            not_after: facts.not_after,
            usages: wanted.usages.clone(),
            dns: facts.names.dns.iter().filter(is_wanted).cloned().collect(),
            ip: facts.names.ip.intersection(&wanted.names.ip).copied().collect(),
        }
    }

    /// The certificate that an action of this plan issues.
    pub(crate) fn issued(issue: &Issue) -> Self {
        Self {
            certificate: None,
            not_after: issue.not_after,
            usages: issue.usages.clone(),
            dns: issue.dns.clone(),
            ip: issue.ip.clone(),
        }
    }

    /// The certificate that an action of this plan installs.
    pub(crate) fn installed(install: &Install) -> Self {
        Self {
            certificate: Some(install.certificate.clone()),
            not_after: install.certificate.facts().not_after,
            usages: install.usages.clone(),
            dns: install.dns.clone(),
            ip: install.ip.clone(),
        }
    }

    /// The certificate that an earlier copy of this plan brings.
    pub(crate) fn brought(copy: &IdentityCopy) -> Self {
        Self {
            certificate: copy.certificate.clone(),
            not_after: copy.not_after,
            usages: copy.usages.clone(),
            dns: copy.dns.clone(),
            ip: copy.ip.clone(),
        }
    }
}

impl IdentityCopy {
    /// A copy to a place on the node `to`; none where the key would leave a node that does not share it.
    pub(crate) fn new(
        (from, source): (&NodeName, &Storage),
        (to, target): (&NodeName, &Storage),
        wanted: &DesiredIdentity,
        copied: Copied,
    ) -> Option<Self> {
        let Copied { certificate, not_after, usages, dns, ip } = copied;
        (from == to || wanted.shared).then(|| Self {
            from: from.clone(),
            source: source.clone(),
            target: target.clone(),
            certificate,
            not_after,
            usages,
            dns,
            ip,
            told: Vec::new(),
            verified_by: String::new(),
            trusted: None,
            before: None,
        })
    }

    /// The node from which it is copied.
    pub fn from(&self) -> &NodeName {
        &self.from
    }

    /// The files that are read on this node; none where another node gives it.
    pub(crate) fn source_here(&self, place: &Place) -> Vec<&str> {
        if !place.is(&self.from) {
            return Vec::new();
        }
        self.source.files().into_iter().map(|file| file.path.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Hints, resolve};
    use crate::profile::Profile;
    use crate::spec::types::ClusterPki;
    use crate::types::profile_name::ProfileName;

    #[test]
    fn only_what_is_shared_can_be_copied_to_another_node() {
        let text = "{ apiVersion: pki/v1alpha1, kind: ClusterPKI, metadata: { name: c }, spec: { profile: etcd, nodes: { m-1: { address: 10.0.0.1, roles: [etcd] } } } }";
        let spec: ClusterPki = serde_saphyr::from_str(text).unwrap();
        let profile = Profile::load(ProfileName::Etcd).unwrap();
        let mut desired = resolve(&spec, &profile, &Hints::default(), &Default::default()).unwrap();
        let node = desired.nodes.values_mut().next().unwrap();
        let mut wanted = node.identities.values().next().unwrap().clone();
        let (here, there): (NodeName, NodeName) = ("m-1".parse().unwrap(), "m-2".parse().unwrap());
        let place = wanted.storage.clone();
        let copied = Copied {
            certificate: None,
            not_after: Timestamp::UNIX_EPOCH,
            usages: BTreeSet::new(),
            dns: BTreeSet::new(),
            ip: BTreeSet::new(),
        };
        let copy = |wanted: &DesiredIdentity, to: &NodeName| {
            IdentityCopy::new((&here, &place), (to, &place), wanted, copied.clone()).is_some()
        };
        assert!(copy(&wanted, &here) && !copy(&wanted, &there));
        wanted.shared = true;
        assert!(copy(&wanted, &there));
    }
}
