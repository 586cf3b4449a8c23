//! What all nodes together hold of an authority: its certificates, its keys, the one that is to come, and what follows from all of them.
//!
//! What enters is what should be and what is; what leaves is an [`AuthorityView`] for each authority, made once for all checks of all nodes. Nothing is judged here
//! but whose CAs are trusted (`trust`), and what was not seen is counted as that.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{AuthorityCopy, Desired, DesiredIdentity, DesiredNode};
use crate::profile::Domain;
use crate::protocol::facts::{Answer, NodeFacts, Observed};
use crate::types::names::{AuthorityName, NodeName, ServiceName};
use crate::types::storage::Storage;
use crate::x509::{Certificate, Sha256};

use super::key_pair::odd_ones_out;
use super::trust::{Evidence, Held, Trusted, is_extension, tell_apart};
use super::view::{pem, storage_view};
use super::{Reason, directory};

/// What nodes hold beside the files that are read: the CA that comes, before anybody uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Staged {
    /// The certificates, by node.
    pub certificates: BTreeMap<NodeName, Certificate>,
    /// SHA-256 of the public key (SPKI) that belongs to the private key, by node.
    pub keys: BTreeMap<NodeName, Sha256>,
}

/// What all nodes together hold of an authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorityView {
    /// The certificates in its file, by node: the one to which the key belongs, then the others in the file's order.
    pub certificates: BTreeMap<NodeName, Vec<Certificate>>,
    /// SHA-256 of the public key (SPKI) that belongs to its private key, by node.
    pub keys: BTreeMap<NodeName, Sha256>,
    /// The nodes of which it is not known what they hold.
    pub unknown: BTreeSet<NodeName>,
    /// Those of them that were not asked because the user said so.
    pub skipped: BTreeSet<NodeName>,
    /// The one that is to take its place, as far as it is there.
    pub staged: Staged,
    /// The CA certificates in its further files and in the CA data of the kubeconfigs that trust it, on any node.
    pub further: BTreeSet<Certificate>,
    /// The services that let in the clients whose certificates it signed.
    pub admits: BTreeSet<ServiceName>,
    /// How far a plan can go with it.
    pub domain: Domain,
    /// What all nodes together say, worked out once: every check of every node asks for it.
    settled: Settled,
}

/// What all nodes together say of an authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Settled {
    signer: Option<Certificate>,
    odd_ones_out: BTreeMap<NodeName, Reason>,
    trusted: Trusted,
}

impl AuthorityView {
    /// The certificate that signs: the one of the most nodes, those with the matching key before all others.
    pub fn signer(&self) -> Option<&Certificate> {
        self.settled.signer.as_ref()
    }

    /// The CA of a node is the certificate to which its key belongs, wherever it stands in its file; on a node without a key, one to which a key of another node belongs.
    fn put_own_first(&mut self) {
        let keys: BTreeSet<Sha256> = self.keys.values().copied().collect();
        for (node, held) in &mut self.certificates {
            let fits = |certificate: &Certificate| {
                let spki = &certificate.facts().key.spki_sha256;
                self.keys.get(node).map_or_else(|| keys.contains(spki), |key| key == spki)
            };
            if let Some(own) = held.iter().position(fits) {
                held.get_mut(..=own).into_iter().for_each(|upto| upto.rotate_right(1));
            }
        }
    }

    fn settle(&mut self) {
        self.put_own_first();
        let voted = self.voted_signer();
        let firsts = self.certificates.values().filter_map(|held| held.first());
        let extended = firsts.filter(|first| voted.is_some_and(|voted| is_extension(first, voted)));
        // Of one that is extended on some nodes the one that ends last counts.
        let signer = extended.max_by_key(|first| (first.facts().not_after, *first.fingerprint())).cloned();
        let as_signer = |first: &Certificate| match &signer {
            Some(signer) if is_extension(first, signer) => *signer.fingerprint(),
            Some(_) | None => *first.fingerprint(),
        };
        let firsts = self.certificates.iter();
        let firsts = firsts.filter_map(|(node, held)| Some((node, as_signer(held.first()?)))).collect();
        let odd_ones_out = odd_ones_out(&firsts).into_iter().collect();
        self.settled = Settled { signer, odd_ones_out, trusted: Trusted::default() };
    }

    /// Every CA certificate that is trusted as this authority, wherever.
    fn trusted(&self) -> BTreeSet<&Certificate> {
        self.certificates.values().flatten().chain(&self.further).collect()
    }

    /// Whether it is somebody else's: no node holds its key, and nothing that was seen is signed by it.
    pub fn is_strange(&self, certificate: &Certificate) -> bool {
        self.settled.trusted.is_strange(certificate)
    }

    /// Why it is one of the cluster's own beside the one that signs; none where it is not.
    pub(super) fn begun_by_hand(&self, certificate: &Certificate) -> Option<&Evidence> {
        self.settled.trusted.begun_by_hand(certificate)
    }

    /// What it holds on a node, where most nodes hold something else first.
    pub(super) fn odd_one_out(&self, node: &NodeName) -> Option<&Reason> {
        self.settled.odd_ones_out.get(node)
    }

    fn voted_signer(&self) -> Option<&Certificate> {
        let mut votes: BTreeMap<&Certificate, (usize, usize)> = BTreeMap::new();
        for (node, certificates) in &self.certificates {
            if let Some(first) = certificates.first() {
                let vote = votes.entry(first).or_default();
                if self.keys.get(node) == Some(&first.facts().key.spki_sha256) {
                    vote.0 += 1;
                }
                vote.1 += 1;
            }
        }
        votes.into_iter().max_by_key(|(_, vote)| *vote).map(|(certificate, _)| certificate)
    }

    /// The certificates in the authority's file on a node; `None` while they are not known.
    pub fn on_node(&self, node: &NodeName) -> Option<&[Certificate]> {
        self.certificates.get(node).map(Vec::as_slice)
    }

    /// The nodes of which it is not known what they hold, in words.
    pub fn unknown_nodes(&self) -> String {
        let word = |node: &NodeName| match self.skipped.contains(node) {
            true => format!("{node} (skipped, by --skip-node)"),
            false => node.to_string(),
        };
        self.unknown.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// Whether no node holds the key, as far as every node was seen.
    pub fn key_is_nowhere(&self) -> bool {
        self.keys.is_empty() && self.unknown.is_empty()
    }
}

/// Gathers what all nodes hold of each authority.
pub(super) fn authority_views(
    desired: &Desired,
    observed: &Observed,
) -> BTreeMap<AuthorityName, AuthorityView> {
    let mut views: BTreeMap<AuthorityName, AuthorityView> = BTreeMap::new();
    for (node, wanted) in &desired.nodes {
        let answer = observed.nodes.get(node);
        let facts = answer.and_then(|answer| answer.facts());
        for (authority, copy) in &wanted.authorities {
            let view = views.entry(authority.clone()).or_default();
            match facts {
                Some(facts) => gather(view, (node, wanted), copy, facts),
                None => {
                    view.unknown.insert(node.clone());
                    if answer == Some(&Answer::Skipped) {
                        view.skipped.insert(node.clone());
                    }
                }
            }
        }
    }
    for (name, node) in &desired.nodes {
        let facts = observed.nodes.get(name).and_then(|answer| answer.facts());
        for (authority, certificates) in facts.into_iter().flat_map(|facts| embedded(node, facts)) {
            if let Some(view) = views.get_mut(authority) {
                view.further.extend(certificates);
            }
        }
        let dials = node.services.values().flat_map(|service| &service.dials);
        for dial in dials.chain(node.programs.values().flatten()) {
            let Some(view) = dial.admits.as_ref().and_then(|authority| views.get_mut(authority)) else {
                continue;
            };
            if !view.admits.contains(&dial.to) {
                view.admits.insert(dial.to.clone());
            }
        }
    }
    for (authority, view) in &mut views {
        let wanted = desired.authorities.get(authority);
        view.domain = wanted.map(|wanted| wanted.domain.clone()).unwrap_or_default();
        view.settle();
        let root = wanted.and_then(|wanted| wanted.root.as_ref());
        let root = root.and_then(|root| root.certificate.as_ref());
        let held =
            Held { trusted: view.trusted(), signer: view.signer(), keys: [&view.keys, &view.staged.keys] };
        view.settled.trusted = tell_apart(&held, root, observed);
    }
    views
}

/// The CA data of the kubeconfigs of a node, each with the authority that it trusts.
fn embedded<'a>(
    node: &'a DesiredNode,
    facts: &'a NodeFacts,
) -> impl Iterator<Item = (&'a AuthorityName, Vec<Certificate>)> {
    node.identities.values().flat_map(DesiredIdentity::managed_places).filter_map(|place| match place {
        Storage::Kubeconfig { trusts, .. } => Some((trusts, storage_view(place, node, facts).trusted?)),
        Storage::Pair { .. } | Storage::Combined { .. } => None,
    })
}

fn gather(
    view: &mut AuthorityView,
    (node, wanted): (&NodeName, &DesiredNode),
    copy: &AuthorityCopy,
    facts: &NodeFacts,
) {
    if [&copy.certificate.path, &copy.key.path]
        .iter()
        .any(|path| directory::hiding(wanted, facts, path).is_some())
    {
        view.unknown.insert(node.clone());
        return;
    }
    match pem(facts, &copy.certificate.path) {
        Ok(pem) if !pem.certificates.is_empty() => {
            view.certificates.insert(node.clone(), pem.certificates.clone());
        }
        Ok(_) => {}
        Err(Reason::Unknown { .. }) => {
            view.unknown.insert(node.clone());
        }
        Err(_) => {}
    }
    for file in copy.copies.values() {
        let held = pem(facts, &file.path).map(|pem| pem.certificates.as_slice()).unwrap_or_default();
        view.further.extend(held.iter().cloned());
    }
    if !copy.may_hold_key {
        return;
    }
    match pem(facts, &copy.key.path) {
        Ok(pem) => {
            if let Some(key) = pem.keys.first() {
                view.keys.insert(node.clone(), key.spki_sha256);
            }
        }
        Err(Reason::Unknown { .. }) => {
            view.unknown.insert(node.clone());
        }
        Err(_) => {}
    }
    let next = copy.successor();
    let staged = pem(facts, &next.certificate.path).ok().and_then(|pem| pem.certificates.first().cloned());
    view.staged.certificates.extend(staged.map(|certificate| (node.clone(), certificate)));
    let staged = pem(facts, &next.key.path).ok().and_then(|pem| pem.keys.first());
    view.staged.keys.extend(staged.map(|key| (node.clone(), key.spki_sha256)));
    // One that waits and cannot be read is not lost: another one made over it could take the place of one that has signed.
    let is_unread = |path: &String| {
        facts.files.contains_key(path) && matches!(pem(facts, path), Err(Reason::Unknown { .. }))
    };
    if [&next.certificate.path, &next.key.path].into_iter().any(is_unread) {
        view.unknown.insert(node.clone());
    }
}
