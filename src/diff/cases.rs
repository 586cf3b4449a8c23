//! What the checks of one thing on one node look at: an authority there, or an identity.
//!
//! A case is put together once and handed to every check. It finds nothing itself; it only answers what several checks ask.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::desired::{AuthorityCopy, Desired, DesiredAuthority, DesiredIdentity, DesiredNode};
use crate::protocol::facts::NodeFacts;
use crate::types::names::{AuthorityName, NodeName};
use crate::x509::{Certificate, chain};

use super::{AuthorityView, CaRotation, IdentityView};

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

/// Everything that the checks of one identity on one node look at.
pub(super) struct IdentityCase<'a> {
    pub(super) now: Timestamp,
    pub(super) wanted: &'a DesiredIdentity,
    pub(super) view: &'a IdentityView,
    pub(super) authority: Option<IssuingAuthority<'a>>,
    pub(super) node: &'a NodeName,
    /// What should be on that node.
    pub(super) on: &'a DesiredNode,
    pub(super) facts: &'a NodeFacts,
}

/// What all nodes hold of the authorities, and which of them are being replaced.
#[derive(Clone, Copy)]
pub(super) struct Authorities<'a> {
    pub(super) views: &'a BTreeMap<AuthorityName, AuthorityView>,
    pub(super) successions: &'a BTreeMap<AuthorityName, CaRotation>,
}

impl<'a> Authorities<'a> {
    /// The authority of an identity.
    pub(super) fn of(
        self,
        wanted: &'a DesiredIdentity,
        desired: &'a Desired,
    ) -> Option<IssuingAuthority<'a>> {
        let name = wanted.authority.as_ref()?;
        let (wanted, view) = (desired.authorities.get(name)?, self.views.get(name)?);
        Some(IssuingAuthority { name, wanted, view, succession: self.successions.get(name) })
    }
}

/// The authority of an identity.
#[derive(Clone, Copy)]
pub(super) struct IssuingAuthority<'a> {
    pub(super) name: &'a AuthorityName,
    pub(super) wanted: &'a DesiredAuthority,
    /// What all nodes hold of it.
    pub(super) view: &'a AuthorityView,
    /// What takes its place.
    pub(super) succession: Option<&'a CaRotation>,
}

impl IdentityCase<'_> {
    /// The certificates with which this node's components check what the authority issued; `None` while unknown.
    pub(super) fn issuers(&self) -> Option<&[Certificate]> {
        self.authority?.view.on_node(self.node)
    }

    /// The certificate right above one, among those on this node.
    pub(super) fn issuer<'c>(&'c self, certificate: &'c Certificate) -> Option<&'c Certificate> {
        issuers_of(certificate, &self.view.chain, self.issuers()?).first().copied()
    }

    /// When the first of those ends that stand above a certificate.
    pub(super) fn issuer_end(&self, certificate: &Certificate) -> Option<Timestamp> {
        let above = issuers_of(certificate, &self.view.chain, self.issuers()?);
        above.into_iter().map(|issuer| issuer.facts().not_after).min()
    }
}

/// The certificates above `certificate`, one issuing the one before it, up to one of `issuers`: that one alone where it signed `certificate`
/// itself, else after those of its own `chain` that lead to it. Empty where none does.
pub(super) fn issuers_of<'a>(
    certificate: &'a Certificate,
    chain: &'a [Certificate],
    issuers: &'a [Certificate],
) -> Vec<&'a Certificate> {
    let mut above: Vec<&Certificate> = Vec::new();
    let mut child = certificate;
    loop {
        let issuer_among =
            |pool: &'a [Certificate]| pool.iter().find(|issuer| chain::is_issued_by(child, issuer));
        if let Some(issuer) = issuer_among(issuers) {
            above.push(issuer);
            return above;
        }
        match issuer_among(chain).filter(|issuer| !above.contains(issuer)) {
            Some(next) => {
                above.push(next);
                child = next;
            }
            None => return Vec::new(),
        }
    }
}
