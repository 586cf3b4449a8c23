//! Extending a CA: the same key signs its certificate again for another period, so that nobody has to trust anything new.
//!
//! What enters is a CA that is about to end and what every node holds of it; what leaves are the deeds that put its new certificate in the place of the old one. Whatever
//! it issued stays valid, since subject, key and key identifier stay (RFC 5280, 4.2.1.1); only those who read their bundle at their start have to be started
//! anew before the old one ends. A CA that is distrusted is replaced and never extended. Pure.

use crate::desired::{AuthorityCopy, DesiredAuthority, UnwrittenTrust, unwritten_trust};
use crate::diff::{Effect, Reason, is_extension};
use crate::types::names::{Address, AuthorityName, NodeName, Target};
use crate::types::non_empty::once;
use crate::types::place::Place;
use crate::x509::{Certificate, Sha256};

use crate::plan::known::builder::Builder;
use crate::plan::known::chosen;
use crate::plan::known::foreign_cas::trusts_stranger;
use crate::plan::known::signer::{Signer, is_put_right};
use crate::plan::rotation::holds::outsiders;
use crate::plan::{Blocked, Bundle, Deed, Position, Why};

/// Extends an authority on every node on which it is about to end. Says where it signs then; none where nothing is extended.
pub(crate) fn build(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    wanted: &DesiredAuthority,
    copies: &[(&NodeName, &AuthorityCopy)],
    signer: &Certificate,
) -> Option<Signer> {
    if builder.replacements.waits(name) {
        return None;
    }
    let ends = |node: &NodeName| {
        let address = Address::on(Target::Authority(name.clone()), node);
        let findings = builder.findings(&address).iter();
        let due = findings.filter(|finding| finding.effect == Effect::Due);
        let why = due.filter(|finding| matches!(finding.reason, Reason::ExpiresSoon { .. }));
        (address.clone(), why.map(|finding| builder.why(finding)).collect::<Vec<Why>>())
    };
    let ending: Vec<(&AuthorityCopy, Address, Vec<Why>)> = copies
        .iter()
        .map(|(node, copy)| (*copy, ends(node)))
        .filter(|(_, (_, why))| !why.is_empty())
        .map(|(copy, (address, why))| (copy, address, why))
        .collect();
    if ending.is_empty() {
        return None;
    }
    let now = builder.input.now;
    let not_after = wanted.validity.value.after(now);
    let is_extended_already = now < wanted.renew_before.value.before(signer.facts().not_after);
    let chosen: Vec<(&NodeName, &AuthorityCopy)> =
        ending.iter().filter_map(|(copy, address, _)| Some((address.node()?, *copy))).collect();
    let maker = maker(builder, name, signer, &chosen);
    let maker = maker.or_else(|| chosen.first().copied().filter(|_| is_extended_already));
    let maker = maker.map(|(node, files)| (node.clone(), files.clone()));
    let obstacle =
        obstacle(builder, name, wanted, signer).or_else(|| unready(builder, name, copies, maker.is_some()));
    if let Some((because, help)) = obstacle {
        for (_, address, findings) in ending {
            let (because, help) = (because.clone(), Some(help.clone()));
            builder.draft.elsewhere.push(Blocked { address, because, help, findings });
        }
        return None;
    }
    let mut is_held = false;
    for (_, address, findings) in &ending {
        is_held |= outsiders::is_held(builder, name, address, findings.clone());
    }
    if is_held {
        return None;
    }
    let (node, files) = maker?;
    for (copy, address, why) in ending {
        let view = builder.input.differences.authorities().get(name);
        let held = view.zip(address.node()).and_then(|(view, node)| view.on_node(node)).unwrap_or_default();
        let others = once(held.iter().filter(|held| !is_extension(held, signer)).cloned());
        let deed = match address.place.is(&node) && !is_extended_already {
            true => Deed::ExtendAuthority {
                certificate: copy.certificate.clone(),
                key: copy.key.clone(),
                of: signer.clone(),
                keeps_serial: is_named_by_serial(builder, name, signer),
                others,
                not_after,
            },
            false => Deed::WriteBundle {
                file: copy.certificate.clone(),
                bundle: match is_extended_already {
                    true => Bundle::with_first(signer, others),
                    false => Bundle::with_made(Position::First, others),
                },
                before: held_at(builder, &address.place, &copy.certificate.path),
            },
        };
        // Its further places get what this one does: see `copies`.
        builder.add(address.clone(), deed, why, true);
    }
    (!is_extended_already).then(|| Signer { node, files, not_after, certificate: None })
}

/// Who makes the new certificate: of those that get it and hold the key one whose member does not lead, since it is restarted first, and the leader should be the
/// last one.
fn maker<'c>(
    builder: &Builder<'_>,
    name: &AuthorityName,
    signer: &Certificate,
    copies: &[(&'c NodeName, &'c AuthorityCopy)],
) -> Option<(&'c NodeName, &'c AuthorityCopy)> {
    let view = builder.input.differences.authorities().get(name)?;
    let leader = chosen::leader(builder.input);
    let spki = signer.facts().key.spki_sha256;
    let holds = |(node, _): &(&NodeName, &AuthorityCopy)| view.keys.get(*node) == Some(&spki);
    let holders = || copies.iter().copied().filter(holds);
    holders().find(|(node, _)| Some(*node) != leader).or_else(|| holders().next())
}

/// What is done before it is extended: every node gets the new certificate in the place of one, and one of them makes it.
fn unready(
    builder: &Builder<'_>,
    name: &AuthorityName,
    copies: &[(&NodeName, &AuthorityCopy)],
    is_made: bool,
) -> Option<(String, String)> {
    for (node, copy) in copies {
        let address = Address::on(Target::Authority(name.clone()), node);
        let findings = builder.input.differences.of(&address).iter();
        let mut due = findings.filter(|finding| finding.effect == Effect::Due);
        if let Some(first) = due.find(|finding| is_put_right(&finding.reason, copy)) {
            let because = format!("{address} comes first ({}); the next plan extends {name}", first.reason);
            return Some((because, format!("have {address} put right, and plan again")));
        }
    }
    (!is_made).then(|| {
        let because = format!("no node that holds the key of {name} is part of this plan");
        (because, "plan with all its nodes".to_owned())
    })
}

/// Why it cannot be extended here, and the way out.
fn obstacle(
    builder: &Builder<'_>,
    name: &AuthorityName,
    wanted: &DesiredAuthority,
    signer: &Certificate,
) -> Option<(String, String)> {
    let view = builder.input.differences.authorities().get(name)?;
    let mut unwritten = unwritten_trust(&builder.input.survey.desired, name);
    let unwritten = unwritten.find(|file| !wanted.waive.contains_key(file.consumer));
    let stranger = view.certificates.keys().find(|node| trusts_stranger(builder, name, node));
    let (because, help) = if let Some(node) = stranger {
        (
            format!(
                "{node} trusts somebody else's CA as {name}, and nothing is signed with such a file, or restarted to load it"
            ),
            "have that CA dropped, or trusted, as is said of it; the next plan goes on".to_owned(),
        )
    } else if !view.domain.is_extendable() {
        (
            format!("{name} itself is about to end, and this version extends and replaces the CAs of etcd only"),
            "extend it with the same key, or plan its replacement, before its certificates can no longer be renewed".to_owned(),
        )
    } else if wanted.source.is_some() {
        (
            format!("{name} is the own root CA that `source` names, and it is about to end"),
            "have its certificate extended where it was made, or name another one in `source`".to_owned(),
        )
    } else if !signer.facts().self_issued {
        (
            format!("{name} was issued by {}, which alone can extend it", signer.facts().issuer),
            "have it extended there, or declare `onExpiry: replace`".to_owned(),
        )
    } else if let Some(UnwrittenTrust { node, consumer, path, named_by }) = unwritten {
        let facts = builder.input.survey.observed.nodes.get(node).and_then(|answer| answer.facts());
        let is_read = facts.is_some_and(|facts| !facts.certificates(path).is_empty());
        let (what, help) = if is_read {
            (format!("holds {name} and other CAs"), format!("give it a file with {name} alone"))
        } else {
            ("could not be read".to_owned(), "let it be read".to_owned())
        };
        (
            format!(
                "{path} on {node} ({named_by}) {what}, so pki does not write it, and what reads it would keep the old certificate"
            ),
            format!(
                "{help}, or declare that you replace the certificate there yourself: spec.authorities.{name}.waive.{consumer}: WHY"
            ),
        )
    } else if !view.unknown.is_empty() {
        (
            format!("what {} holds of {name} is not known", view.unknown_nodes()),
            "plan with all its nodes".to_owned(),
        )
    } else {
        return None;
    };
    Some((because, help))
}

/// Whether a certificate names its issuer by its serial number, as OpenSSL's `issuer:always` does.
fn is_named_by_serial(builder: &Builder<'_>, name: &AuthorityName, signer: &Certificate) -> bool {
    let names = |certificate: &Certificate| {
        certificate.facts().authority_key_id.as_ref().is_some_and(|id| id.issuer_and_serial)
    };
    let nodes = builder.input.survey.desired.nodes.iter();
    let mut issued = nodes.flat_map(|(node, wanted)| {
        let own = wanted.identities.iter().filter(|(_, wanted)| wanted.authority.as_ref() == Some(name));
        own.filter_map(move |(identity, _)| {
            builder.input.differences.identity(node, identity)?.certificate.as_ref()
        })
    });
    names(signer) || issued.any(names)
}

/// The certificates that lie at a path.
pub(crate) fn held_at(builder: &Builder<'_>, place: &Place, path: &str) -> Vec<Sha256> {
    let facts = builder.input.survey.observed.facts_at(place);
    let certificates = facts.map_or(&[][..], |facts| facts.certificates(path));
    certificates.iter().map(|certificate| *certificate.fingerprint()).collect()
}

#[cfg(test)]
mod tests;
