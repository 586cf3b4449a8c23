//! What is refused now, before any plan: certificates that one side of a connection presents and whose issuer the other side does not trust.
//!
//! What enters is what should be and what lies on the nodes; what leaves is each such certificate with both ends. Every certificate is judged by every CA file of
//! those to whom it is presented, on all nodes, and not by that of its own node alone. Dates, usages and names have findings of their own. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::{Disk, Disks, Source};
use super::material::{Holding, HoldingId, Known, Material};
use super::topology::{Half, Input, InputId, Kind, Topology, topology};
use crate::desired::{Desired, DesiredNode};
use crate::protocol::facts::Observed;
use crate::types::names::{AuthorityName, IdentityName, NodeName};
use crate::x509::Certificate;
use crate::x509::chain::is_issued_by;

/// A certificate that somebody refuses because none of the CA certificates that it trusts issued it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// The certificate, by its name in the spec.
    pub identity: IdentityName,
    /// The node that holds it.
    pub node: NodeName,
    /// It.
    pub certificate: Certificate,
    /// Who presents it, such as `etcd@cp-2`.
    pub presented_by: String,
    /// Who refuses it, such as `etcd@cp-1`.
    pub refused_by: String,
    /// The node on which that runs.
    pub refused_on: NodeName,
    /// What it is checked with.
    pub checked_with: CheckedWith,
    /// The certificates in there.
    pub bundle: Vec<Certificate>,
}

/// What a certificate is checked with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckedWith {
    /// A file of an authority.
    Authority(AuthorityName),
    /// The CA certificates in a kubeconfig.
    Kubeconfig(IdentityName),
}

/// Every certificate that is refused so by what lies on the nodes.
pub fn refusals(desired: &Desired, observed: &Observed) -> BTreeSet<Refusal> {
    let mut material = Material::default();
    let mut disks = Disks::new();
    for (name, answer) in &observed.nodes {
        if let Some(facts) = answer.facts() {
            disks.insert(name.clone(), Disk::of(facts, &mut material));
        }
    }
    let topology = topology(desired, observed, &disks);
    let mut look = Look { desired, disks: &disks, topology: &topology, material, known: BTreeMap::new() };
    let mut found = BTreeSet::new();
    for link in &topology.links {
        let Kind::Connection(halves) = &link.kind else { continue };
        for half in halves {
            found.extend(look.refusal(half));
        }
    }
    found
}

struct Look<'a> {
    desired: &'a Desired,
    disks: &'a Disks,
    topology: &'a Topology,
    material: Material,
    /// Whether what is held is refused by what is held: a thousand clients with the same bundle cost one look.
    known: BTreeMap<(HoldingId, HoldingId), bool>,
}

impl<'a> Look<'a> {
    fn refusal(&mut self, half: &Half) -> Option<Refusal> {
        let (presents, shown) = self.read(half.shows)?;
        let (checks, bundle) = self.read(half.checks?)?;
        if !self.is_refused(shown, bundle) {
            return None;
        }
        let (presenter, refuser) =
            (self.topology.instance(presents.instance)?, self.topology.instance(checks.instance)?);
        let (certificate, _) = self.pair(shown)?;
        Some(Refusal {
            identity: identity_at(self.desired.nodes.get(&presenter.node)?, &presents.source)?,
            node: presenter.node.clone(),
            certificate,
            presented_by: presenter.to_string(),
            refused_by: refuser.to_string(),
            refused_on: refuser.node.clone(),
            checked_with: checked_with(self.desired.nodes.get(&refuser.node)?, &checks.source)?,
            bundle: self.bundle(bundle)?,
        })
    }

    fn read(&mut self, id: InputId) -> Option<(&'a Input, HoldingId)> {
        let input = self.topology.inputs.get(id.0)?;
        let node = &self.topology.instance(input.instance)?.node;
        let holding = self.disks.get(node)?.read(&input.source, &mut self.material);
        Some((input, holding))
    }

    fn is_refused(&mut self, shown: HoldingId, bundle: HoldingId) -> bool {
        if let Some(known) = self.known.get(&(shown, bundle)) {
            return *known;
        }
        let is_refused = match (self.pair(shown), self.bundle(bundle)) {
            (Some((leaf, chain)), Some(bundle)) => !leads_to(&leaf, &chain, &bundle),
            // That something is missing or cannot be read is said where it lies.
            _ => false,
        };
        self.known.insert((shown, bundle), is_refused);
        is_refused
    }

    fn pair(&self, id: HoldingId) -> Option<(Certificate, Vec<Certificate>)> {
        let Holding::Pair { certificate, chain, fits: true } = self.material.holding(id) else { return None };
        Some((self.real(*certificate)?, chain.iter().filter_map(|id| self.real(*id)).collect()))
    }

    fn bundle(&self, id: HoldingId) -> Option<Vec<Certificate>> {
        let Holding::Bundle(certificates) = self.material.holding(id) else { return None };
        Some(certificates.iter().filter_map(|id| self.real(*id)).collect())
    }

    fn real(&self, id: super::material::CertificateId) -> Option<Certificate> {
        match self.material.certificate(id)? {
            Known::Real(certificate) => Some(certificate.clone()),
            Known::Planned(_) => None,
        }
    }
}

/// Whether one of these CA certificates issued a leaf, or one of those of its chain that lead up from it.
fn leads_to(leaf: &Certificate, chain: &[Certificate], bundle: &[Certificate]) -> bool {
    let mut above: Vec<&Certificate> = vec![leaf];
    let mut at = leaf;
    loop {
        if bundle.iter().any(|trusted| trusted == at || is_issued_by(at, trusted)) {
            return true;
        }
        match chain.iter().find(|next| is_issued_by(at, next) && !above.contains(next)) {
            Some(next) => {
                above.push(next);
                at = next;
            }
            None => return false,
        }
    }
}

fn identity_at(node: &DesiredNode, source: &Source) -> Option<IdentityName> {
    let mut own = node.identities.iter();
    let holds = |(_, wanted): &(&IdentityName, &crate::desired::DesiredIdentity)| {
        wanted.places().any(|storage| Source::of(storage) == *source)
    };
    own.find(holds).map(|(name, _)| name.clone())
}

fn checked_with(node: &DesiredNode, source: &Source) -> Option<CheckedWith> {
    match source {
        Source::Bundle(path) => {
            let mut authorities = node.authorities.iter();
            let holds = |(_, copy): &(&AuthorityName, &crate::desired::AuthorityCopy)| {
                copy.copies.values().chain([&copy.certificate]).any(|file| file.path == *path)
            };
            authorities.find(holds).map(|(name, _)| CheckedWith::Authority(name.clone()))
        }
        Source::Cluster(path) => {
            let mut own = node.identities.iter();
            let is_it = |(_, wanted): &(&IdentityName, &crate::desired::DesiredIdentity)| {
                wanted.storage.certificate_path() == path
            };
            own.find(is_it).map(|(name, _)| CheckedWith::Kubeconfig(name.clone()))
        }
        Source::Pair { .. } | Source::Combined(_) | Source::User(_) => None,
    }
}
