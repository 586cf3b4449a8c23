//! The checks of an authority: a CA certificate on every node that trusts it, and its key on those that sign.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::desired::{AuthorityCopy, Desired, DesiredAuthority, DesiredIdentity, DesiredNode};
use crate::formats::pem_facts::PemFacts;
use crate::profile::Domain;
use crate::protocol::facts::{Answer, NodeFacts, Observed};
use crate::types::names::{AuthorityName, NodeName, ServiceName};
use crate::types::storage::Storage;
use crate::x509::{Certificate, Sha256, chain};

use super::key_pair::odd_ones_out;
use super::trust::{Evidence, Trusted, tell_apart};
use super::view::{pem, pem_reasons, storage_view};
use super::{
    CaRotation, Effect, Finding, NotAsDeclared, Reason, Staged, directory, files, strangers, wishes,
};
use crate::diff::snapshot_keys;

/// What all nodes together hold of an authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthorityView {
    /// The certificates in its file, by node, in the file's order.
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
    /// The certificate that signs: the first one of the file on the most nodes, those with the matching key before all others.
    pub fn signer(&self) -> Option<&Certificate> {
        self.settled.signer.as_ref()
    }

    fn settle(&mut self) {
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
    pub(super) fn trusted(&self) -> BTreeSet<&Certificate> {
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
pub fn authority_views(desired: &Desired, observed: &Observed) -> BTreeMap<AuthorityName, AuthorityView> {
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
        view.settled.trusted = tell_apart(view, root, observed);
    }
    views
}

/// The CA data of the kubeconfigs of a node, each with the authority that it trusts.
pub(super) fn embedded<'a>(
    node: &'a DesiredNode,
    facts: &'a NodeFacts,
) -> impl Iterator<Item = (&'a AuthorityName, Vec<Certificate>)> {
    node.identities.values().flat_map(DesiredIdentity::managed_places).filter_map(|place| match place {
        Storage::Kubeconfig { trusts, .. } => Some((trusts, storage_view(place, facts).trusted?)),
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

/// Everything that the checks of one authority on one node look at.
pub(super) struct AuthorityCase<'a> {
    pub(super) now: Timestamp,
    pub(super) name: &'a AuthorityName,
    pub(super) wanted: &'a DesiredAuthority,
    pub(super) copy: &'a AuthorityCopy,
    pub(super) view: &'a AuthorityView,
    /// Which of its certificates go, and which one comes.
    pub(super) succession: Option<&'a CaRotation>,
    pub(super) node: &'a NodeName,
    /// What should be on the node.
    pub(super) on: &'a DesiredNode,
    pub(super) facts: &'a NodeFacts,
}

impl AuthorityCase<'_> {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        match pem(self.facts, &self.copy.certificate.path) {
            Ok(pem) => {
                let reasons = pem_reasons(pem, &self.copy.certificate.path);
                findings.extend(reasons.into_iter().map(Finding::due_unless_unknown));
                if pem.certificates.is_empty() && findings.is_empty() {
                    let problem = "holds no certificate".to_owned();
                    let path = self.copy.certificate.path.clone();
                    findings.push(Finding::due(Reason::Unparseable { path, problem }));
                }
                findings.extend(self.certificate_findings(&pem.certificates));
            }
            Err(reason) => findings.push(Finding::due_unless_unknown(reason)),
        }
        findings.extend(strangers::findings(self));
        findings.extend(wishes::findings(self));
        findings.extend(self.own_root());
        findings.extend(self.key_findings());
        findings.extend(snapshot_keys::findings(self));
        findings.extend(files::findings(&self.copy.certificate, self.facts));
        if self.copy.may_hold_key {
            findings.extend(files::findings(&self.copy.key, self.facts));
        }
        findings
    }

    /// The CA on this node must be the own root that the spec names; where that could not be read, it is not known which one is right.
    fn own_root(&self) -> Option<Finding> {
        let root = self.wanted.root.as_ref()?;
        let by = self.wanted.source.as_ref().and_then(|source| source.by.as_ref());
        let Some(certificate) = &root.certificate else {
            let because = format!(
                "the user who runs pki may not read {}, so which root CA it should be is not known",
                root.certificate_path
            );
            let finding =
                Finding { effect: Effect::Unknown, reason: Reason::Unknown { because }, decided_by: None };
            return Some(finding.decided_by(by));
        };
        // Where the certificate is missing, the one that all nodes together say will be written beside the key.
        let here = self.view.on_node(self.node).and_then(<[Certificate]>::first);
        let first = here.or_else(|| self.view.signer())?;
        if self.succession.is_some_and(|succession| succession.knows(first)) {
            return None;
        }
        (first != certificate).then(|| {
            let (found, wanted) = (*first.fingerprint(), *certificate.fingerprint());
            let source = root.certificate_path.clone();
            Finding::blocks(Reason::RootDiffers { found, wanted, source }).decided_by(by)
        })
    }

    fn certificate_findings(&self, certificates: &[Certificate]) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(first) = certificates.first() {
            findings.extend([self.expired(first), self.expires_soon(first), self.not_yet_valid(first)]);
            findings.extend([self.not_a_ca(first), self.differs_between_nodes()]);
        }
        findings.extend(bundle_duplicates(certificates));
        findings.extend(self.goes(certificates).map(Some));
        findings.into_iter().flatten().collect()
    }

    /// What has to go.
    fn goes(&self, certificates: &[Certificate]) -> impl Iterator<Item = Finding> {
        let leaving = self.succession.map(|succession| &succession.leaving);
        let further = self.copy.copies.values().flat_map(|file| self.facts.certificates(&file.path));
        let held: BTreeSet<&Certificate> = certificates.iter().chain(further).collect();
        let going = move |held: &Certificate| Some(leaving?.get(held.fingerprint())?.1.clone());
        held.into_iter().filter_map(going).collect::<Vec<_>>().into_iter()
    }

    fn expired(&self, certificate: &Certificate) -> Option<Finding> {
        let not_after = certificate.facts().not_after;
        (self.now > not_after).then(|| Finding::blocks(Reason::Expired { not_after }))
    }

    fn expires_soon(&self, certificate: &Certificate) -> Option<Finding> {
        let not_after = certificate.facts().not_after;
        let renew_before = self.wanted.renew_before.value;
        let soon = self.now <= not_after && self.now >= renew_before.before(not_after);
        soon.then(|| {
            Finding::due(Reason::ExpiresSoon { not_after, renew_before })
                .decided_by(self.wanted.renew_before.by.as_ref())
        })
    }

    fn not_yet_valid(&self, certificate: &Certificate) -> Option<Finding> {
        let not_before = certificate.facts().not_before;
        (self.now < not_before).then(|| Finding::blocks(Reason::NotYetValid { not_before }))
    }

    fn not_a_ca(&self, certificate: &Certificate) -> Option<Finding> {
        (!certificate.facts().is_ca()).then(|| Finding::blocks(Reason::NotACa))
    }

    fn differs_between_nodes(&self) -> Option<Finding> {
        let odd = self.view.settled.odd_ones_out.get(self.node)?;
        // While one takes the place of the other, some nodes are further than others.
        let first = self.view.on_node(self.node).and_then(<[Certificate]>::first);
        let is_on_the_way = first.zip(self.succession).is_some_and(|(first, going)| going.knows(first));
        (!is_on_the_way).then(|| Finding::blocks(odd.clone()))
    }

    fn key_findings(&self) -> Vec<Finding> {
        let key = pem(self.facts, &self.copy.key.path);
        if !self.copy.may_hold_key {
            let holds_key = key.is_ok_and(|pem| !pem.keys.is_empty() || pem.encrypted_keys > 0);
            let reason = Reason::CaKeyOnWrongNode { path: self.copy.key.path.clone() };
            return holds_key.then(|| Finding::note(reason)).into_iter().collect();
        }
        match key {
            Ok(pem) => {
                let mut findings: Vec<Finding> =
                    pem_reasons(pem, &self.copy.key.path).into_iter().map(Finding::blocks).collect();
                match pem.keys.first() {
                    Some(key) => findings.extend(self.key_mismatch(key.spki_sha256)),
                    None if pem.encrypted_keys > 0 => {
                        findings
                            .push(Finding::blocks(Reason::KeyEncrypted { path: self.copy.key.path.clone() }));
                    }
                    None => {}
                }
                findings.extend(self.external_key_held(pem));
                findings
            }
            Err(Reason::Missing) => self.key_missing().into_iter().collect(),
            Err(reason @ (Reason::ZeroLength { .. } | Reason::Unknown { .. })) => {
                vec![Finding::due_unless_unknown(reason)]
            }
            Err(reason) => vec![Finding::blocks(reason)],
        }
    }

    /// A key that the spec says is elsewhere, and is here, can sign all the same.
    fn external_key_held(&self, pem: &PemFacts) -> Option<Finding> {
        let holds_key = !pem.keys.is_empty() || pem.encrypted_keys > 0;
        let by: Vec<String> =
            ["spec", "authorities", self.name.as_str(), "external"].map(str::to_owned).into();
        let how = NotAsDeclared::ExternalKeyHeld { path: self.copy.key.path.clone() };
        (self.wanted.external && holds_key).then(|| Finding::not_as_declared(how).decided_by(Some(&by)))
    }

    fn key_mismatch(&self, key: Sha256) -> Option<Finding> {
        // Where the certificate is missing, the one that all nodes together say will be written beside the key.
        let here = self.view.on_node(self.node).and_then(<[Certificate]>::first);
        let first = here.or_else(|| self.view.signer())?;
        if !first.facts().is_ca() {
            // Something else lies in the place of the certificate, which `not_a_ca` says; of the key that proves nothing.
            return None;
        }
        let certificate = first.facts().key.spki_sha256;
        let is_next = |succession: &CaRotation| {
            succession.successor.as_ref().is_some_and(|next| next.facts().key.spki_sha256 == key)
        };
        if self.succession.is_some_and(is_next) {
            return None;
        }
        (certificate != key).then(|| Finding::blocks(Reason::KeyMismatch { certificate, key }))
    }

    /// A key that is nowhere is kept elsewhere on purpose (external CA) or lost; either way it cannot be made again.
    fn key_missing(&self) -> Option<Finding> {
        if matches!(pem(self.facts, &self.copy.certificate.path), Err(Reason::Missing)) {
            // The whole authority is missing on this node, which the certificate's finding says.
            return None;
        }
        if self.wanted.external {
            return None;
        }
        if !self.view.keys.is_empty() {
            return Some(Finding::due(Reason::KeyMissing));
        }
        if self.view.unknown.is_empty() {
            return Some(Finding::note(Reason::AuthorityKeyLost));
        }
        let because = format!("whether {} holds the key of {}", self.view.unknown_nodes(), self.name);
        Some(Finding { effect: Effect::Unknown, reason: Reason::Unknown { because }, decided_by: None })
    }
}

/// Whether one authority has certified another one. One that goes by the same name is the same one, perhaps with another period or key.
pub(super) fn is_certified_by(authority: &Certificate, other: &Certificate) -> bool {
    authority.facts().subject != other.facts().subject && chain::is_issued_by(authority, other)
}

/// Whether two certificates are the same authority for different periods: what one vouches for, the other one does too.
pub fn is_extension(one: &Certificate, other: &Certificate) -> bool {
    let (one, other) = (one.facts(), other.facts());
    one.subject == other.subject && one.key.spki_sha256 == other.key.spki_sha256
}

fn bundle_duplicates(certificates: &[Certificate]) -> Vec<Option<Finding>> {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for certificate in certificates {
        if !seen.insert(certificate.fingerprint()) {
            twice.insert(*certificate.fingerprint());
        }
    }
    let duplicates = twice.into_iter().map(|fingerprint| Reason::BundleDuplicates { fingerprint });
    duplicates.map(|reason| Some(Finding::due(reason))).collect()
}
