//! Deeds about further places: files on the same node that hold what the main place holds, or will hold once this plan is done.

use std::sync::Arc;

use crate::desired::{DesiredIdentity, DesiredNode};
use crate::diff::{CopyHeld, Effect, Finding, Reason, storage_view};
use crate::profile::Keep;
use crate::protocol::facts::NodeFacts;
use crate::types::names::{Address, IdentityName, NodeName, Target};
use crate::types::storage::Storage;
use crate::x509::{Certificate, Sha256};

use super::case::{Case, NotIssued};
use crate::plan::known::builder::Builder;
use crate::plan::known::foreign_cas::holds_stranger;
use crate::plan::model::identity_copy::{Copied, IdentityCopy};
use crate::plan::{Bundle, Deed, Noted, Position, Why};

/// The further places of an identity, once it is known what becomes of the main one.
pub(crate) fn of_identity(
    builder: &mut Builder<'_>,
    (identity, wanted): (&IdentityName, &DesiredIdentity),
    name: &NodeName,
    node: &DesiredNode,
    facts: &NodeFacts,
) {
    if wanted.copies.is_empty() {
        return;
    }
    let address = Address::on(Target::Identity(identity.clone()), name);
    let Some(main) = builder.input.differences.identity(name, identity).cloned() else { return };
    let renewed = renewed(builder, &address, wanted);
    // What stands in a main place without its own key is no model for anything.
    let certificate = main.certificate.as_ref().filter(|certificate| {
        main.reasons.is_empty() && main.key == Some(certificate.facts().key.spki_sha256)
    });
    let findings = builder.findings(&address).to_vec();
    let barred = findings.iter().any(|finding| matches!(finding.effect, Effect::Blocks | Effect::Unknown));
    for copy in wanted.copies.values() {
        let storage = &copy.storage;
        let view = Arc::new(storage_view(storage, node, facts));
        if copy.keep == Keep::Report {
            let current = certificate.filter(|held| view.certificate.as_ref() == Some(held));
            if let (Some(held), Some(_)) = (current, &renewed) {
                note_left(builder, &address, (wanted, storage), held);
            }
            continue;
        }
        if view.other_credentials.is_some() {
            continue;
        }
        let case = Case { name, node, wanted, storage, facts, view, model: None, address: address.clone() };
        let due: Vec<&Finding> = findings.iter().filter(|finding| is_about(finding, storage)).collect();
        let is_there = !case.view.reasons.contains(&Reason::Missing);
        let follows = renewed.is_some() && (copy.keep == Keep::Always || is_there);
        let (copied, reasons) = match (&renewed, certificate) {
            (Some((copied, reasons)), _) if follows => (copied.clone(), reasons.clone()),
            (None, Some(held)) if !due.is_empty() => (Copied::held(held, wanted), Vec::new()),
            _ => continue,
        };
        // What bars the main place bars the others, and was told.
        if renewed.is_none() && barred {
            continue;
        }
        let own: Vec<Why> = due.iter().map(|finding| builder.why(finding)).collect();
        let why = if own.is_empty() { reasons } else { own };
        if renewed.is_none() && due.iter().all(is_trust) {
            update_trust(builder, &case, why);
        } else {
            let lacks = due.iter().any(is_trust);
            write(builder, &case, copied, why, lacks);
        }
    }
}

/// What this plan writes to the main place, and why.
fn renewed(builder: &Builder<'_>, address: &Address, wanted: &DesiredIdentity) -> Option<(Copied, Vec<Why>)> {
    let mut deeds = builder.draft.at(&address.place).iter().filter(|deed| deed.address == *address);
    deeds.find_map(|deed| {
        let new = deed.copied();
        let copy = deed.deed.copy().filter(|copy| copy.target == wanted.storage);
        Some((new.or_else(|| copy.map(Copied::brought))?, deed.reasons.clone()))
    })
}

fn is_trust(finding: &&Finding) -> bool {
    matches!(&finding.reason, Reason::CopyDiffers { held, .. } if matches!(**held, CopyHeld::Trust { .. }))
}

fn is_about(finding: &Finding, storage: &Storage) -> bool {
    finding.effect == Effect::Due
        && matches!(&finding.reason, Reason::CopyMissing { path } | Reason::CopyDiffers { path, .. } if path == storage.certificate_path())
}

/// A person's own copy is as good as the certificate that this plan replaces.
fn note_left(
    builder: &mut Builder<'_>,
    address: &Address,
    (wanted, storage): (&DesiredIdentity, &Storage),
    held: &Certificate,
) {
    let reason = Reason::CopyOutdated {
        path: storage.certificate_path().to_owned(),
        of: wanted.storage.certificate_path().to_owned(),
        held: Box::new(CopyHeld::Former { not_after: held.facts().not_after }),
    };
    builder.draft.notes.push(Noted { address: address.clone(), finding: Finding::note(reason) });
}

/// A further place that cannot follow is told, and keeps the main place from nothing: that is what was asked for.
fn left(builder: &mut Builder<'_>, case: &Case<'_>, obstacle: NotIssued, mut why: Vec<Why>) {
    why.retain(|why| why.finding.reason != Reason::Requested);
    case.stopped(builder, obstacle, why);
}

fn update_trust(builder: &mut Builder<'_>, case: &Case<'_>, why: Vec<Why>) {
    let Storage::Kubeconfig { file, .. } = case.storage else { return };
    if let Err(obstacle) = case.can_be_written() {
        return left(builder, case, obstacle, why);
    }
    let Some(trusted) = case.trusted_if_needed(builder, true) else { return };
    let before = case.view.trusted.iter().flatten().map(|certificate| *certificate.fingerprint()).collect();
    let deed = Deed::UpdateKubeconfig { file: file.clone(), trusted, before };
    builder.add(case.address.clone(), deed, why, true);
}

fn write(builder: &mut Builder<'_>, case: &Case<'_>, copied: Copied, why: Vec<Why>, lacks: bool) {
    if let Err(obstacle) = case.can_be_written() {
        return left(builder, case, obstacle, why);
    }
    let trusted = case.trusted_if_needed(builder, lacks);
    let source = (case.name, &case.wanted.storage);
    let Some(mut copy) = IdentityCopy::new(source, (case.name, case.storage), case.wanted, copied) else {
        return;
    };
    let before = case.view.certificate.clone();
    let replaces = before.is_some();
    copy.verified_by = case.verified_by();
    copy.told = case.server_told().into_iter().collect();
    (copy.trusted, copy.before) = (trusted, before);
    builder.add(case.address.clone(), Deed::CopyIdentity(Box::new(copy)), why, replaces);
}

/// The further files of every authority on a node, once it is known what becomes of the main ones.
pub(crate) fn of_authorities(
    builder: &mut Builder<'_>,
    name: &NodeName,
    node: &DesiredNode,
    facts: &NodeFacts,
) {
    for (authority, copy) in &node.authorities {
        if builder.replacements.get(authority).is_some() {
            // What is replaced is written to all its places together.
            continue;
        }
        let address = Address::on(Target::Authority(authority.clone()), name);
        if holds_stranger(builder, &address) {
            // Somebody else's CA is neither spread to further files nor dropped from them.
            continue;
        }
        let findings = builder.findings(&address).to_vec();
        for file in copy.copies.values() {
            let is_about = |finding: &&Finding| {
                finding.effect == Effect::Due
                    && matches!(&finding.reason, Reason::CopyMissing { path } | Reason::CopyDiffers { path, .. } if *path == file.path)
            };
            let due: Vec<Why> =
                findings.iter().filter(is_about).map(|finding| builder.why(finding)).collect();
            let held = builder
                .input
                .differences
                .authorities()
                .get(authority)
                .and_then(|view| view.on_node(name))
                .map(<[_]>::to_vec);
            // What bars the main file bars the others, and was told.
            let barred = findings.iter().any(|one| matches!(one.effect, Effect::Blocks | Effect::Unknown));
            let held = held.filter(|_| !barred);
            let held = || Some((Content::Bundle(Bundle::known(held?)?), Vec::new()));
            // While nobody knows what belongs there, nothing is written there: what is due is told elsewhere.
            let Some((content, reasons)) = coming(builder, &address, &copy.certificate.path).or_else(held)
            else {
                continue;
            };
            if due.is_empty() && reasons.is_empty() {
                continue;
            }
            // What a file held that could not be read is not told as what goes.
            let before: Vec<Sha256> = match facts.files.get(&file.path).and_then(|seen| seen.known().ok()?) {
                Some(there) => there.content.pem().map(|pem| pem.certificates.as_slice()),
                None => None,
            }
            .unwrap_or_default()
            .iter()
            .map(|certificate| *certificate.fingerprint())
            .collect();
            let why = if due.is_empty() { reasons } else { due };
            let replaces = !before.is_empty();
            let deed = match content {
                Content::Bundle(bundle) => Deed::WriteBundle { file: file.clone(), bundle, before },
                Content::Made => Deed::CopyAuthorityCertificate {
                    from: name.clone(),
                    source: copy.certificate.path.clone(),
                    file: file.clone(),
                },
            };
            builder.add(address.clone(), deed, why, replaces);
        }
    }
}

/// What the main file of an authority will hold.
enum Content {
    /// These certificates, be it that an earlier action of this plan makes one of them.
    Bundle(Bundle),
    /// The one certificate that an earlier action of this plan makes.
    Made,
}

/// What this plan writes to the main file of an authority, and why.
fn coming(builder: &Builder<'_>, address: &Address, main: &str) -> Option<(Content, Vec<Why>)> {
    let deeds = builder.draft.at(&address.place).iter();
    let mut deeds = deeds.filter(|deed| deed.address == *address && deed.paths().contains(&main));
    deeds.find_map(|deed| {
        let made = matches!(deed.deed, Deed::CreateAuthority { .. } | Deed::CopyAuthorityCertificate { .. });
        let content = if let Deed::WriteBundle { bundle, .. } = &deed.deed {
            Content::Bundle(bundle.clone())
        } else if let Deed::ExtendAuthority { others, .. } = &deed.deed {
            Content::Bundle(Bundle::with_made(Position::First, others.iter().cloned()))
        } else if let Deed::InstallAuthority { root, .. } = &deed.deed {
            Content::Bundle(Bundle::one(root))
        } else if made {
            Content::Made
        } else {
            return None;
        };
        Some((content, deed.reasons.clone()))
    })
}
