//! CA certificates that follow a certificate in its own file.
//!
//! What enters is what lies behind certificates; what leaves is what lies there once this plan is done. Where a CA is signed again with the same key, its former certificate
//! behind a leaf would end there as it would have in a bundle, and some verifiers, Java's among them, take the chain that they are shown as it is
//! (elastic/cloud-on-k8s#9198). A chain is kept where there is one, and never begun where there is none. Pure.

use std::collections::BTreeSet;

use crate::desired::DesiredNode;
use crate::diff::{Finding, Reason, is_extension, storage_view};
use crate::profile::Keep;
use crate::protocol::facts::NodeFacts;
use crate::types::names::{Address, AuthorityName, NodeName, Target};
use crate::types::non_empty::NonEmpty;
use crate::types::storage::Storage;
use crate::x509::Certificate;
use crate::x509::chain::is_issued_by;

use super::case::Case;
use crate::plan::known::builder::Builder;
use crate::plan::known::signer::Signer;
use crate::plan::{CaCertificates, Deed};

/// What follows a new certificate: its issuer where the file held the issuer of the one before, with whatever stood above that if it is still the same.
pub(crate) fn chain(case: &Case<'_>, authority: &AuthorityName, signer: &Signer) -> Option<CaCertificates> {
    let old = case.view.certificate.as_ref()?;
    let held = &case.view.chain;
    held.iter().any(|above| is_issued_by(old, above)).then(|| match &signer.certificate {
        Some(issuer) => {
            let same = NonEmpty::each_once(held.iter().cloned()).filter(|_| held.contains(issuer));
            CaCertificates::Certificates(same.unwrap_or_else(|| NonEmpty::one(issuer.clone())))
        }
        None => CaCertificates::Made(authority.clone()),
    })
}

/// Puts a CA certificate that was signed again, or is by this plan, behind the certificates that stay.
pub(crate) fn build(
    builder: &mut Builder<'_>,
    name: &NodeName,
    node: &DesiredNode,
    facts: &NodeFacts,
    extended: &BTreeSet<AuthorityName>,
) {
    for (identity, wanted) in &node.identities {
        let address = Address::on(Target::Identity(identity.clone()), name);
        let Some(authority) = wanted.authority.as_ref().filter(|_| builder.input.options.selects(&address))
        else {
            continue;
        };
        let view = builder.input.differences.authorities().get(authority);
        let Some(signer) = view.and_then(|view| view.signer()).cloned() else { continue };
        let is_made = extended.contains(authority);
        let kept = wanted.copies.values().filter(|copy| copy.keep != Keep::Report);
        for place in kept.map(|copy| &copy.storage).chain([&wanted.storage]) {
            let Storage::Pair { certificate: file, .. } = place else { continue };
            let view = storage_view(place, node, facts);
            let is_outdated =
                |held: &Certificate| is_extension(held, &signer) && (is_made || *held != signer);
            let Some(former) = view.chain.iter().find(|held| is_outdated(held)) else { continue };
            let is_written =
                builder.draft.on(name).iter().any(|deed| deed.paths().contains(&file.path.as_str()));
            let Some(certificate) = view.certificate.filter(|_| !is_written) else { continue };
            let (found, wanted) = (*former.fingerprint(), (!is_made).then(|| *signer.fingerprint()));
            let why = builder.why(&Finding::due(Reason::ChainOutdated { found, wanted }));
            let chain = match is_made {
                true => CaCertificates::Made(authority.clone()),
                false => CaCertificates::Certificates(brought_up_to(&signer, &view.chain)),
            };
            let before = view.chain.iter().map(|held| *held.fingerprint()).collect();
            let deed = Deed::WriteChain { file: file.clone(), certificate, chain, before };
            builder.add(address.clone(), deed, vec![why], true);
        }
    }
}

/// The authorities that this plan signs again, on whichever node.
pub(crate) fn extended(builder: &Builder<'_>) -> BTreeSet<AuthorityName> {
    let deeds = builder.draft.deeds.values().flatten();
    let extensions = deeds.filter(|deed| matches!(deed.deed, Deed::ExtendAuthority { .. }));
    extensions.filter_map(|deed| deed.address.target.authority().cloned()).collect()
}

/// A chain with the authority's certificate in the place of its former ones.
fn brought_up_to(signer: &Certificate, held: &[Certificate]) -> NonEmpty<Certificate> {
    let now = held.iter().map(|held| if is_extension(held, signer) { signer } else { held });
    NonEmpty::each_once(now.cloned()).unwrap_or_else(|| NonEmpty::one(signer.clone()))
}
