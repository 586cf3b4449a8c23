//! Whose CAs are trusted: an authority's own, those of a rotation that a person has begun, and those of somebody else.
//!
//! What enters are the CA certificates that all nodes trust as an authority, and every certificate that was seen anywhere; what leaves says of each what it is. A CA is
//! one of the cluster's own if its key lies on a node or if it signed anything that was seen; where neither can be said of any of them, it is the one that stands first.
//! Whatever has nothing to do with those is a stranger's: its owner is let in wherever the file is used to judge clients, and nobody here has made it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::formats::kubeconfig::Material;
use crate::protocol::facts::{Content, NodeFacts, Observed, Seen};
use crate::types::names::{NodeName, ServiceName};
use crate::x509::chain::is_issued_by;
use crate::x509::{Certificate, Sha256};

/// What is known of the CAs that are trusted as one authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trusted {
    /// Those of somebody else.
    strangers: BTreeSet<Sha256>,
    /// Those of the cluster beside the one that signs: somebody has begun, or not ended, to replace one by the other.
    by_hand: BTreeMap<Sha256, Evidence>,
}

/// Why a CA is one of the cluster's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The nodes that hold its key.
    pub(super) key_on: Vec<NodeName>,
    /// Something that it signed, by its place.
    pub(super) signed: Option<String>,
}

impl Trusted {
    /// Whether it is somebody else's.
    pub(super) fn is_strange(&self, certificate: &Certificate) -> bool {
        self.strangers.contains(certificate.fingerprint())
    }

    /// Why it is one of the cluster's own beside the one that signs; none where it is not.
    pub(super) fn begun_by_hand(&self, certificate: &Certificate) -> Option<&Evidence> {
        self.by_hand.get(certificate.fingerprint())
    }
}

/// What all nodes together hold of an authority.
pub(super) struct Held<'a> {
    /// Every CA certificate that is trusted as it, wherever.
    pub(super) trusted: BTreeSet<&'a Certificate>,
    /// The one that signs.
    pub(super) signer: Option<&'a Certificate>,
    /// The keys, in use and to come, by node.
    pub(super) keys: [&'a BTreeMap<NodeName, Sha256>; 2],
}

/// Tells the CAs of an authority apart.
pub(super) fn tell_apart(held: &Held<'_>, root: Option<&Certificate>, observed: &Observed) -> Trusted {
    let all = &held.trusted;
    // What is trusted alone is the authority, whatever else is wrong with it.
    if all.len() <= 1 {
        return Trusted::default();
    }
    let known = all.iter().filter_map(|ca| Some((*ca, evidence(held, ca, observed)?)));
    let known: BTreeMap<&Certificate, Evidence> = known.collect();
    let mut own: Vec<&Certificate> = known.keys().copied().chain(root).collect();
    if known.is_empty() {
        own.extend(held.signer);
    }
    let belong = |one: &Certificate, other: &Certificate| {
        one == other
            || is_extension(one, other)
            // A root and the authorities that it has certified belong together.
            || is_certified_by(one, other)
            || is_certified_by(other, one)
    };
    let is_strange = |ca: &&&Certificate| !own.iter().any(|own| belong(ca, own));
    let strangers = all.iter().filter(is_strange).map(|ca| *ca.fingerprint()).collect();
    let is_beside = |ca: &Certificate| held.signer.is_some_and(|signer| !belong(ca, signer));
    let by_hand = known.into_iter().filter(|(ca, _)| is_beside(ca));
    Trusted { strangers, by_hand: by_hand.map(|(ca, evidence)| (*ca.fingerprint(), evidence)).collect() }
}

/// Whether one authority has certified another one. One that goes by the same name is the same one, perhaps with another period or key.
fn is_certified_by(authority: &Certificate, other: &Certificate) -> bool {
    authority.facts().subject != other.facts().subject && is_issued_by(authority, other)
}

/// Whether two certificates are the same authority for different periods: what one vouches for, the other one does too.
pub fn is_extension(one: &Certificate, other: &Certificate) -> bool {
    let (one, other) = (one.facts(), other.facts());
    one.subject == other.subject && one.key.spki_sha256 == other.key.spki_sha256
}

/// Why a CA is one of the cluster's own. What it signed is looked for only where no node holds its key.
fn evidence(held: &Held<'_>, ca: &Certificate, observed: &Observed) -> Option<Evidence> {
    let spki = ca.facts().key.spki_sha256;
    let holders = held.keys.into_iter().flatten().filter(|(_, key)| **key == spki);
    let key_on: BTreeSet<&NodeName> = holders.map(|(node, _)| node).collect();
    if !key_on.is_empty() {
        return Some(Evidence { key_on: key_on.into_iter().cloned().collect(), signed: None });
    }
    let signed = observed.nodes.iter().find_map(|(node, answer)| {
        let place = place_of_issued(answer.facts()?, ca)?;
        Some(format!("{place} on {node}"))
    })?;
    Some(Evidence { key_on: Vec::new(), signed: Some(signed) })
}

/// Where something lies on a node, or is shown, that a CA signed. Other CAs prove nothing: whoever adds one can add what it has certified.
fn place_of_issued(facts: &NodeFacts, ca: &Certificate) -> Option<String> {
    let issued = |chain: &[Certificate]| {
        let is_leaf = chain.first().is_some_and(|first| !first.facts().is_ca());
        is_leaf && chain.iter().any(|below| is_issued_by(below, ca))
    };
    let in_file = facts.files.iter().find_map(|(path, seen)| {
        let Seen::Present(file) = seen else { return None };
        let held = match &file.content {
            Content::Pem(pem) => Some(pem),
            Content::Kubeconfig(config) => match config.current().map(|(_, user)| &user.certificate) {
                Some(Material::Embedded(pem)) => Some(pem),
                Some(Material::File { .. } | Material::Absent | Material::Undecodable) | None => None,
            },
            Content::Empty
            | Content::Manifest(_)
            | Content::Kubelet(_)
            | Content::EtcdConfiguration(_)
            | Content::Directory { .. }
            | Content::Opaque
            | Content::NotRead
            | Content::Unreadable { .. } => None,
        };
        held.is_some_and(|held| issued(&held.certificates)).then(|| path.clone())
    });
    let shown = |(service, live): (&ServiceName, &crate::protocol::facts::ServiceFacts)| {
        let mut served = live.endpoints.iter().filter_map(|endpoint| endpoint.probe.served());
        let is_it = |served: &crate::protocol::facts::Served| {
            issued(&[std::slice::from_ref(&served.certificate), &served.chain].concat())
        };
        served.any(is_it).then(|| format!("what {service} shows"))
    };
    in_file.or_else(|| facts.services.iter().find_map(shown))
}
