//! Identities that all their nodes hold alike: what each node holds, and which of it is the right one.
//!
//! The right one is chosen by what is known of all nodes together, always the same for the same facts: a good certificate before one that is due, then
//! the one that ends last, then the node whose name comes first.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::desired::Desired;
use crate::protocol::facts::Observed;
use crate::types::names::{IdentityName, NodeName, Target};
use crate::x509::Certificate;

use super::cases::{Authorities, IdentityCase};
use super::{CertificateHealth, Finding, Identities, Reason, directory};

/// What the nodes that were seen hold of an identity that they share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedView {
    held: BTreeMap<NodeName, (CertificateHealth, Option<Certificate>)>,
    /// The nodes of [`SharedView::best`] and [`SharedView::home`], worked out once: each holder asks for them.
    best: Option<NodeName>,
    home: Option<NodeName>,
}

impl SharedView {
    fn new(held: BTreeMap<NodeName, (CertificateHealth, Option<Certificate>)>) -> Self {
        let mut view = Self { held, best: None, home: None };
        view.best = view.find_best().cloned();
        let mut held = view.held.iter();
        view.home = held
            .find(|(_, (standing, _))| *standing > CertificateHealth::Barred)
            .map(|(node, _)| node.clone());
        view
    }

    /// The nodes that were seen and should hold it.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.held.keys()
    }

    /// What is known of the certificate and key on a node.
    pub fn standing(&self, node: &NodeName) -> Option<CertificateHealth> {
        self.held.get(node).map(|(standing, _)| *standing)
    }

    /// The one that all should hold: on which node it is, what it is, and how good. Only one with its own key can be that.
    pub fn best(&self) -> Option<(&NodeName, &Certificate, CertificateHealth)> {
        let node = self.best.as_ref()?;
        let (standing, certificate) = self.held.get(node)?;
        Some((node, certificate.as_ref()?, *standing))
    }

    /// The same, of another node that was `chosen` and holds just that as well.
    pub fn best_of(&self, chosen: Option<&NodeName>) -> Option<(&NodeName, &Certificate, CertificateHealth)> {
        let (best, certificate, standing) = self.best()?;
        let same = |(held, there): &&(CertificateHealth, Option<Certificate>)| {
            *held == standing && there.as_ref() == Some(certificate)
        };
        let chosen = chosen.filter(|chosen| self.held.get(*chosen).as_ref().is_some_and(same));
        Some((
            chosen.and_then(|chosen| self.held.get_key_value(chosen)).map_or(best, |(node, _)| node),
            certificate,
            standing,
        ))
    }

    fn find_best(&self) -> Option<&NodeName> {
        let usable = self.held.iter().filter_map(|(node, (standing, certificate))| {
            let certificate = certificate.as_ref().filter(|_| *standing >= CertificateHealth::Due)?;
            Some((node, certificate, *standing))
        });
        let best = usable.reduce(|best, next| {
            let rank = |(_, certificate, standing): &(_, &Certificate, CertificateHealth)| {
                (*standing, certificate.facts().not_after)
            };
            if rank(&next) > rank(&best) { next } else { best }
        });
        best.map(|(node, ..)| node)
    }

    /// The node on which a new one is issued: the first by name on which nothing forbids it.
    pub fn home(&self) -> Option<&NodeName> {
        self.home.as_ref()
    }
}

/// Gathers what all nodes hold of each identity that they share, from what each holds of its own.
pub(super) fn views(
    desired: &Desired,
    observed: &Observed,
    held: &BTreeMap<NodeName, Identities>,
    authorities: Authorities<'_>,
    now: Timestamp,
) -> BTreeMap<IdentityName, SharedView> {
    let mut views: BTreeMap<IdentityName, BTreeMap<NodeName, (CertificateHealth, Option<Certificate>)>> =
        BTreeMap::new();
    for (name, node) in &desired.nodes {
        let Some(facts) = observed.nodes.get(name).and_then(|answer| answer.facts()) else { continue };
        for (identity, wanted) in node.identities.iter().filter(|(_, wanted)| wanted.shared) {
            let files = wanted.storage.files();
            let hidden = files.iter().any(|file| directory::hiding(node, facts, &file.path).is_some());
            let Some(view) = held.get(name).and_then(|held| held.get(identity)) else { continue };
            let authority = authorities.of(wanted, desired);
            let case = IdentityCase { now, wanted, view, authority, node: name, on: node, facts };
            let standing = if hidden { CertificateHealth::Barred } else { case.standing() };
            let certificate = view.certificate.clone().filter(|_| !hidden);
            views.entry(identity.clone()).or_default().insert(name.clone(), (standing, certificate));
        }
    }
    views.into_iter().map(|(identity, held)| (identity, SharedView::new(held))).collect()
}

/// The nodes that hold another certificate than the right one.
pub(super) fn between_nodes(
    views: &BTreeMap<IdentityName, SharedView>,
) -> Vec<(Target, NodeName, Vec<Finding>)> {
    let mut found = Vec::new();
    for (identity, view) in views {
        let Some((_, right, _)) = view.best() else { continue };
        let holds_it = |certificate: &Option<Certificate>| certificate.as_ref() == Some(right);
        let others: Vec<NodeName> = view
            .held
            .iter()
            .filter(|(_, (standing, certificate))| {
                *standing >= CertificateHealth::Due && holds_it(certificate)
            })
            .map(|(node, _)| node.clone())
            .collect();
        for (node, (_, certificate)) in &view.held {
            let Some(odd) = certificate.as_ref().filter(|certificate| *certificate != right) else {
                continue;
            };
            let reason = Reason::DiffersBetweenNodes {
                others: others.clone(),
                found: *odd.fingerprint(),
                elsewhere: *right.fingerprint(),
            };
            found.push((Target::Identity(identity.clone()), node.clone(), vec![Finding::due(reason)]));
        }
    }
    found
}

#[cfg(test)]
mod tests;
