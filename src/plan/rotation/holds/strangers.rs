//! Somebody else's CA in a file: that it is told, and what it is dropped from.
//!
//! What enters is what was found of a file; what leaves is a word to a person, or what drops the CA from kubeconfigs once the spec says that it goes. Who must not load it
//! is a question to [`crate::plan::known::foreign_cas`]. Pure.

use crate::desired::DesiredNode;
use crate::diff::{CaRotation, Effect, Finding, storage_view};
use crate::types::names::{Address, AuthorityName, IdentityName, Target};
use crate::types::non_empty::NonEmpty;
use crate::types::storage::Storage;
use crate::x509::Certificate;

use crate::plan::known::builder::Builder;
use crate::plan::known::foreign_cas::help;
use crate::plan::known::paths::facts_of;
use crate::plan::{Blocked, CaCertificates, Deed, Phase, Why};

/// Tells of a CA of somebody else, which no plan drops by itself.
pub(crate) fn tell_stranger(builder: &mut Builder<'_>, address: &Address, finding: &Finding) {
    let Target::Authority(authority) = &address.target else { return };
    let blocked = Blocked {
        address: address.clone(),
        because: "trust is never dropped by itself, and while this CA is there nobody is restarted to load that file and nothing is signed with it".to_owned(),
        help: help(&finding.reason, authority),
        findings: vec![builder.why(finding)],
    };
    builder.draft.elsewhere.push(blocked);
}

/// Takes somebody else's CAs out of the CA data of every kubeconfig that trusts the authority.
pub(crate) fn drop_from_kubeconfigs(
    builder: &mut Builder<'_>,
    authority: &AuthorityName,
    succession: &CaRotation,
) {
    let survey = builder.input.survey;
    let mut deeds = Vec::new();
    for (name, node) in &survey.desired.nodes {
        let Some(facts) = facts_of(&survey.observed, name) else { continue };
        for (identity, place) in places(node, authority) {
            let Storage::Kubeconfig { file, .. } = place else { continue };
            let held = storage_view(place, node, facts).trusted.unwrap_or_default();
            let goes = |held: &Certificate| succession.leaving.contains_key(held.fingerprint());
            if !held.iter().any(goes) {
                continue;
            }
            let left = held.iter().filter(|held| !goes(held)).cloned();
            let left = NonEmpty::each_once(left).or(succession.successor.clone().map(NonEmpty::one));
            let Some(left) = left else { continue };
            let before = held.iter().map(|held| *held.fingerprint()).collect();
            let trusted = CaCertificates::Certificates(left);
            let deed = Deed::UpdateKubeconfig { file: file.clone(), trusted, before };
            let address = Address::on(Target::Identity(identity.clone()), name);
            let why = why_dropped(builder, &address);
            deeds.push((address, deed, why));
        }
    }
    for (address, deed, why) in deeds {
        builder.add_in(Phase::DropOld, address, deed, why, true);
    }
}

/// The findings about a thing that say which CAs of somebody else go.
pub(crate) fn why_dropped(builder: &Builder<'_>, address: &Address) -> Vec<Why> {
    let findings = builder.findings(address).iter();
    let due = findings.filter(|finding| finding.effect == Effect::Due && finding.is_of_stray());
    due.map(|finding| builder.why(finding)).collect()
}

/// The kubeconfigs of a node that trust an authority, in all their places.
fn places<'a>(
    node: &'a DesiredNode,
    authority: &'a AuthorityName,
) -> impl Iterator<Item = (&'a IdentityName, &'a Storage)> {
    let all = node.identities.iter();
    all.flat_map(|(identity, wanted)| wanted.managed_places().map(move |place| (identity, place)))
        .filter(move |(_, place)| matches!(place, Storage::Kubeconfig { trusts, .. } if trusts == authority))
}
