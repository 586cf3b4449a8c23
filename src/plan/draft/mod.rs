//! From findings to deeds: what has to be done about each thing, and what cannot be done.
//!
//! What enters is the input; what leaves are deeds without an order, and what is told. Each thing has a file of its own, and here stands only in
//! which turn they come, and what is true of all of them. Nothing is ordered or numbered here. Pure.

mod authorities;
mod case;
mod chains;
mod copies;
mod directories;
mod external;
mod identities;
mod install;
mod issue;
mod shared;
mod wishes;

use std::collections::BTreeSet;

use crate::desired::DesiredNode;
use crate::diff::{Effect, Finding, Reason};
use crate::plan::known::advice::{help, not_mended};
use crate::plan::known::builder::Builder;
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::worklist::Worklist;
use crate::plan::restart::{cold_start, etcd_snapshot, restarts};
use crate::plan::rotation::holds::{self, outsiders, strangers};
use crate::plan::rotation::{phases, purge, split_ca};
use crate::plan::{Blocked, Deed, Input, Noted, Why, Withheld};
use crate::profile::Keep;
use crate::protocol::facts::{NodeFacts, Seen};
use crate::protocol::state_layout::OPEN;
use crate::types::names::{Address, NodeName, Target};
use crate::types::storage::FileSpec;

/// Works out every deed.
pub(super) fn worklist(input: &Input<'_>) -> Worklist {
    let mut builder = Builder::new(input);
    if !undo_what_is_open(&mut builder) && !is_of_other_machines(&mut builder) {
        draw(&mut builder);
    }
    builder.draft
}

/// Draws the deeds of each part, those that others build on first.
fn draw(builder: &mut Builder<'_>) {
    let survey = builder.input.survey;
    split_ca::find_mixed(builder);
    holds::find_replacements(builder);
    let shared = shared::find(builder);
    note_everything(builder);
    wishes::refuse(builder);
    authorities::build(builder);
    let extended = chains::extended(builder);
    for (name, node) in &survey.desired.nodes {
        let Some(facts) = survey.observed.nodes.get(name).and_then(|answer| answer.facts()) else { continue };
        directories::build(builder, name, node);
        purge::build(builder, name, node);
        copies::of_authorities(builder, name, node, facts);
        identities::build(builder, &shared, name, node, facts);
        chains::build(builder, name, node, facts, &extended);
        permissions(builder, name, node, facts);
        directories::parents(builder, name, node, facts);
    }
    cold_start::assign_phases(builder);
    phases::assign_replacement_phases(builder);
    for (name, node) in &survey.desired.nodes {
        if survey.observed.nodes.get(name).is_some_and(|answer| answer.facts().is_some()) {
            restarts::restarts(builder, name, node);
        }
    }
    etcd_snapshot::save_etcd(builder);
    what_may_be_open(builder);
    what_is_left(builder);
    outsiders::tell_held(builder);
    what_is_withheld(builder);
    builder.draft.blocked.sort();
    builder.draft.blocked.dedup();
    builder.draft.elsewhere.sort();
    leave_told_requests(builder);
}

/// Report-only findings are noted; a node that was not seen, and whatever a person has to look at first, blocks.
fn note_everything(builder: &mut Builder<'_>) {
    let seen_later = directories::behind_missing_links(builder);
    for (address, findings) in &builder.input.differences.findings {
        if !builder.input.options.selects(address) {
            continue;
        }
        for finding in findings.iter().filter(|finding| finding.effect == Effect::Note) {
            builder.draft.notes.push(Noted { address: address.clone(), finding: finding.clone() });
        }
        let grave: Vec<&Finding> = findings
            .iter()
            .filter(|finding| matches!(finding.effect, Effect::Blocks | Effect::Unknown))
            .filter(|finding| !seen_later.contains(finding) && !split_ca::is_told(builder, address, finding))
            .filter(|finding| !is_about_outsiders(finding))
            .filter(|finding| !builder.is_lifted(address, finding))
            .collect();
        for stranger in grave.iter().filter(|finding| finding.is_foreign_ca()) {
            strangers::tell_stranger(builder, address, stranger);
        }
        let grave: Vec<&Finding> = grave.into_iter().filter(|finding| !finding.is_foreign_ca()).collect();
        if let Some(first) = grave.first() {
            let help = help(&first.reason, address);
            builder.block(address, first.reason.to_string(), help, &grave);
        }
    }
}

/// Where a machine is not the node that it is taken for, whatever was worked out for any node may be about another one: nothing is planned, whatever the user
/// selected.
fn is_of_other_machines(builder: &mut Builder<'_>) -> bool {
    for (address, findings) in &builder.input.differences.findings {
        let others = findings.iter().filter(|one| matches!(one.reason, Reason::OtherMachine { .. }));
        for finding in others {
            builder.block(address, finding.reason.to_string(), help(&finding.reason, address), &[finding]);
        }
    }
    !builder.draft.blocked.is_empty()
}

/// What a crash left half done is undone first. What else is due can only be seen once that has happened, so the plan holds nothing else.
fn undo_what_is_open(builder: &mut Builder<'_>) -> bool {
    for (name, answer) in &builder.input.survey.observed.nodes {
        // What cannot be read blocks once it is known what else would be done (`what_may_be_open`).
        if let Some(open) = answer.facts().and_then(|facts| facts.open_transaction.known().ok()?) {
            let address = Address::on(Target::Node, name);
            builder.add(
                address,
                Deed::UndoOpen { run: open.run.clone(), visit: open.visit },
                Vec::new(),
                false,
            );
        }
    }
    !builder.draft.deeds.is_empty()
}

/// Where it cannot be read whether an interrupted run left something half done, nothing is written: what lies there may be half of what that run wrote, and would be
/// kept as what was there before.
fn what_may_be_open(builder: &mut Builder<'_>) {
    let survey = builder.input.survey;
    let directory = survey.desired.snapshots.directory.trim_end_matches('/');
    for (node, answer) in &survey.observed.nodes {
        let Some(facts) = answer.facts() else { continue };
        let reason = match &facts.open_transaction {
            Seen::Present(_) | Seen::Absent => continue,
            // Facts that were gathered before there was a spec, or saved without it, never asked for it; the node itself refuses to begin.
            unlooked if unlooked.is_unlooked() => continue,
            Seen::Unknown { reason } => reason.clone(),
            Seen::Dangling { missing, .. } => format!("{missing} does not exist"),
            Seen::Looping { .. } => "the links to it lead in a circle".to_owned(),
        };
        let address = Address::on(Target::Node, node);
        let is_touched = !builder.draft.on(node).is_empty() || builder.input.options.selects(&address);
        // A way there that somebody else decides is a finding of its own.
        if !is_touched || facts.unsafe_steps.contains_key(directory) {
            continue;
        }
        let because =
            format!("whether an interrupted run left something half done there cannot be read: {reason}");
        let help = format!(
            "look at {directory}/{OPEN} on {node}: once it can be read, the next plan undoes what is open, and so does `pki node undo --state-directory {directory}` on the node; if no run is open, move it away"
        );
        builder.block(&address, because, Some(help), &[]);
    }
}

/// What is left out because nobody is there to approve it is named, with what has to be approved.
fn what_is_withheld(builder: &mut Builder<'_>) {
    for Withheld { address, privileges } in &builder.input.options.withheld {
        let due = builder.input.differences.of(address).iter();
        let findings = due.filter(|one| one.effect == Effect::Due).map(|one| builder.why(one)).collect();
        let because = format!("it waits for an approval: {}", privileges.join("; "));
        let help = "save the plan with `pki plan -o`, have it reviewed, and apply it with --expect-digest, and with --confirm if it says so".to_owned();
        let address = address.clone();
        builder.draft.elsewhere.push(Blocked { address, because, help: Some(help), findings });
    }
}

/// What is due and nothing in the plan mends is named: a plan without it would look as if all were well.
fn what_is_left(builder: &mut Builder<'_>) {
    let blocked = builder.draft.blocked.iter().chain(&builder.draft.elsewhere).chain(&builder.draft.held);
    let told: BTreeSet<Address> = blocked.map(|blocked| blocked.address.clone()).collect();
    for (address, findings) in &builder.input.differences.findings {
        if told.contains(address) || !builder.input.options.selects(address) {
            continue;
        }
        let here = builder.draft.at(&address.place).iter();
        let deeds: Vec<&DraftDeed> = here.filter(|deed| deed.address == *address).collect();
        let is_mended = |finding: &Finding| {
            // The deeds of a directory follow from what is put into it.
            matches!(address.target, Target::Directory(_)) && !deeds.is_empty()
                || deeds.iter().flat_map(|deed| &deed.reasons).any(|why| why.finding == *finding)
        };
        let left: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.effect == Effect::Due && !is_mended(finding))
            .filter(|finding| !holds::is_waited_for(builder, address, finding))
            .collect();
        let Some(first) = left.first() else { continue };
        let (because, help) = not_mended(&first.reason, &address.target);
        let findings = left.iter().map(|finding| builder.why(finding)).collect();
        let address = address.clone();
        builder.draft.elsewhere.push(Blocked { address, because, help: Some(help), findings });
    }
}

/// That a request waits is said with what is due, and noted only where nothing is.
fn leave_told_requests(builder: &mut Builder<'_>) {
    let told: BTreeSet<&Address> = builder.draft.elsewhere.iter().map(|blocked| &blocked.address).collect();
    let is_told = |noted: &Noted| {
        matches!(noted.finding.reason, Reason::AwaitsCertificate { .. })
            && (told.contains(&noted.address) || builder.input.signed.has(&noted.address))
    };
    builder.draft.notes.retain(|noted| !is_told(noted));
}

/// Owners and permission bits, of whatever this plan does not write anew with the right ones.
fn permissions(builder: &mut Builder<'_>, name: &NodeName, node: &DesiredNode, facts: &NodeFacts) {
    let identities = node.identities.iter().flat_map(|(identity, wanted)| {
        let kept = wanted.copies.values().filter(|copy| copy.keep != Keep::Report);
        let storages = kept.map(|copy| &copy.storage).chain([&wanted.storage]);
        storages
            .flat_map(|storage| storage.files())
            .map(move |file| (Target::Identity(identity.clone()), file))
    });
    let authorities = node.authorities.iter().flat_map(|(authority, copy)| {
        let files = copy.copies.values().chain([&copy.certificate, &copy.key]);
        files.map(|file| (Target::Authority(authority.clone()), file))
    });
    let pairs = node.key_pairs.iter().flat_map(|(pair, wanted)| {
        [&wanted.private, &wanted.public].map(|file| (Target::KeyPair(pair.clone()), file))
    });
    let files: Vec<(Target, &FileSpec)> = identities.chain(authorities).chain(pairs).collect();
    for (subject, file) in files {
        let address = Address::on(subject, name);
        let due: Vec<Why> = builder
            .findings(&address)
            .iter()
            .filter(|finding| {
                finding.effect == Effect::Due && is_about_permissions(&finding.reason, &file.path)
            })
            .map(|finding| builder.why(finding))
            .collect();
        let Some(Seen::Present(found)) = facts.files.get(&file.path) else { continue };
        if due.is_empty() {
            continue;
        }
        let user = found.owner.clone().unwrap_or_else(|| found.uid.to_string());
        let group = found.group.clone().unwrap_or_else(|| found.gid.to_string());
        let deed = Deed::SetPermissions {
            file: file.clone(),
            mode_before: found.mode,
            owner_before: format!("{user}:{group}"),
        };
        builder.add(address, deed, due, false);
    }
}

fn is_about_permissions(reason: &Reason, file: &str) -> bool {
    matches!(reason, Reason::PermissionsDiffer { path, .. } | Reason::OwnerDiffers { path, .. } if path == file)
}

/// Whether a finding is about somebody outside the spec: it holds what changes trust, and nothing else.
fn is_about_outsiders(finding: &Finding) -> bool {
    matches!(finding.reason, Reason::NotInSpec { .. })
}
