//! Changes of trust that are held because somebody takes part who is not in the spec.
//!
//! What enters is who was seen outside the spec, and the deeds of a plan; what leaves is why a change is held, and who holds it. Whatever makes a CA, signs one
//! again, or adds or drops one changes what everybody has to trust; a new certificate of the same CA does not. Pure.

use std::collections::BTreeSet;

use crate::diff::{Finding, SeenOutside, way_out};
use crate::types::names::{Address, AuthorityName, Target};
use crate::x509::Sha256;

use crate::plan::known::builder::Builder;
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::model::deed_traits::Gives;
use crate::plan::{Blocked, Input, Why};

/// Why something of which they hold a part is not changed, and the way out.
pub(crate) fn held_by(seen: &SeenOutside, input: &Input<'_>, what: &str) -> (String, String) {
    let because = format!("{}; they hold {what} too, so it is not changed without them", seen.reason());
    (because, way_out(seen, &input.survey.desired))
}

/// Holds a change of an authority, if somebody outside the spec holds it too.
pub(crate) fn is_held(
    builder: &mut Builder<'_>,
    authority: &AuthorityName,
    at: &Address,
    findings: Vec<Why>,
) -> bool {
    let Some(seen) = builder.unlisted.holding(authority) else { return false };
    let (because, help) = held_by(seen, builder.input, authority.as_str());
    builder.draft.held.push(Blocked { address: at.clone(), because, help: Some(help), findings });
    true
}

/// The same for a key pair, which API servers share.
pub(crate) fn is_pair_held(builder: &mut Builder<'_>, at: &Address, findings: Vec<Why>) -> bool {
    let Some(seen) = &builder.unlisted.members else { return false };
    let (because, help) = held_by(seen, builder.input, &at.target.to_string());
    builder.draft.held.push(Blocked { address: at.clone(), because, help: Some(help), findings });
    true
}

/// Says what is held: it blocks a plan that would do nothing else, and is left out of one that has something else to do. Whoever is outside the spec is named
/// in every plan. Nothing that changes trust gets past them, whoever planned it.
pub(crate) fn tell_held(builder: &mut Builder<'_>) {
    let slipped: Vec<(Address, AuthorityName)> =
        builder.draft.deeds.values().flatten().filter_map(|deed| changes_trust(builder, deed)).collect();
    for (address, authority) in slipped {
        let Some(seen) = builder.unlisted.holding(&authority) else { continue };
        let (because, help) = held_by(seen, builder.input, authority.as_str());
        builder.draft.blocked.push(Blocked { address, because, help: Some(help), findings: Vec::new() });
    }
    let mut held = std::mem::take(&mut builder.draft.held);
    held.sort();
    held.dedup();
    let is_named = !held.is_empty();
    match builder.draft.deeds.values().all(Vec::is_empty) {
        true => builder.draft.blocked.append(&mut held),
        false => builder.draft.elsewhere.append(&mut held),
    }
    let Some(seen) = builder.unlisted.members.clone().filter(|_| !is_named) else { return };
    if !builder.input.options.selects(&seen.at) {
        return;
    }
    let finding = Finding::blocks(seen.reason());
    builder.draft.elsewhere.push(Blocked {
        address: seen.at.clone(),
        because: "they take part and nothing is done on them, so this plan is not about the whole cluster"
            .to_owned(),
        help: Some(way_out(&seen, &builder.input.survey.desired)),
        findings: vec![builder.why(&finding)],
    });
}

/// The authority whose trust a deed changes.
fn changes_trust(builder: &Builder<'_>, draft: &DraftDeed) -> Option<(Address, AuthorityName)> {
    let Target::Authority(authority) = &draft.address.target else { return None };
    let changes = match draft.traits().gives {
        Gives::Authority(_) => true,
        Gives::Trust { bundle, before } => {
            let view = builder.input.differences.authorities().get(authority)?;
            let held: BTreeSet<&Sha256> =
                view.certificates.values().flatten().map(|held| held.fingerprint()).collect();
            let after = bundle.certificates().iter().map(|after| after.fingerprint());
            let after: BTreeSet<&Sha256> = after.collect();
            // A file that lags behind may hold what is in use nowhere any more.
            let drops = before.iter().any(|before| held.contains(before) && !after.contains(before));
            bundle.made().is_some() || !after.is_subset(&held) || drops
        }
        // What they write was decided by one of those, or is no trust.
        Gives::Nothing
        | Gives::Issued(_)
        | Gives::Requested(_)
        | Gives::Installed(_)
        | Gives::Copied(_)
        | Gives::Key(_)
        | Gives::Access(_) => false,
    };
    changes.then(|| (draft.address.clone(), authority.clone()))
}

#[cfg(test)]
mod tests;
