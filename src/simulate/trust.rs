//! Trust files: what they hold after each step, and whether the end of a plan is one that everybody can live with.
//!
//! What enters is the wanted state, the disks before a plan and after it, and what was seen of its steps; what leaves is each trust file that a step has left wrong, and each certificate that was accepted before the plan and is not at its end, as soon as whoever reads it reads it again. A process that nobody
//! restarts hides what lies on its disk, so the end is judged by what lies there, for every file that the wanted state knows, whether a connection is known that
//! uses it or not.

use std::collections::{BTreeMap, BTreeSet};

use super::play::Play;
use super::trust_files::{Watch, certificates};
use crate::desired::Desired;
use crate::plan::model::checked::{Counterexample, Heals, When};
use crate::profile::Keep;
use crate::trust::disk::{DiskEntry, Source};
use crate::trust::judge::Verdict;
use crate::trust::material::HoldingId;
use crate::trust::topology::{Half, Input, InputId, Kind, LinkId, Topology};
use crate::types::certificate::Usage;
use crate::types::names::{AuthorityName, NodeName};

/// Everything that is wrong with trust files after the steps, and at the end.
pub(super) fn faults(play: &mut Play<'_>, topology: &Topology, desired: &Desired) -> Vec<Counterexample> {
    let watch = std::mem::take(&mut play.watch);
    let mut faults = lagging(&watch, play);
    faults.extend(refused_leaves(&watch, play, desired));
    faults.extend(refused_links(&watch, play, topology));
    // What a step has left empty explains whatever else is wrong with that file at the end.
    let told: BTreeSet<(NodeName, String)> = watch.faults.iter().filter_map(trust_file).collect();
    faults.retain(|fault| trust_file(fault).is_none_or(|file| !told.contains(&file)));
    faults.splice(0..0, watch.faults);
    faults
}

fn trust_file(fault: &Counterexample) -> Option<(NodeName, String)> {
    match fault {
        Counterexample::Trust { node, path, .. } => Some((node.clone(), path.clone())),
        Counterexample::Broken { .. } | Counterexample::TooFew { .. } | Counterexample::Refused { .. } => {
            None
        }
    }
}

/// Copies that were to follow their file and hold something else at the end.
fn lagging(watch: &Watch, play: &Play<'_>) -> Vec<Counterexample> {
    let mut faults = Vec::new();
    for (node, files) in &watch.files {
        let Some(disk) = play.state.world.disks.get(node) else { continue };
        for (path, file) in files {
            let Some(main) = &file.copy_of else { continue };
            let Some(step) = watch.last(node, path).max(watch.last(node, main)) else { continue };
            let held = |path: &str| certificates(disk, &Source::Bundle(path.to_owned()));
            let (Some(copy), Some(main_holds)) = (held(path), held(main)) else { continue };
            // One that held something else before, such as somebody's own CA or bytes that nobody knows, is a finding, and is not brought up by itself.
            let was = |path: &str| certificates(watch.first.get(node)?, &Source::Bundle(path.to_owned()));
            let lagged = match (was(path), was(main)) {
                (Some(copy), Some(main)) => {
                    let is_other = copy.is_empty() || copy.iter().any(|held| !main_holds.contains(held));
                    main.iter().any(|certificate| !copy.contains(certificate))
                        || main.is_empty() && is_other && is_left_alone(watch, node, path)
                }
                (None, _) | (_, None) => false,
            };
            let lacks = !lagged && main_holds.iter().any(|certificate| !copy.contains(certificate));
            if lacks && !main_holds.is_empty() {
                let (when, fault) = (When::Step(step), format!("without a CA certificate that {main} holds"));
                let (node, path) = (node.clone(), path.clone());
                faults.push(Counterexample::Trust { when, node, path, fault });
            }
        }
    }
    faults
}

/// Whether a file was there before the plan, and is not written by it.
fn is_left_alone(watch: &Watch, node: &NodeName, path: &str) -> bool {
    let lay = watch.first.get(node).map(|disk| disk.at(path));
    matches!(lay, Some(DiskEntry::File(_))) && watch.last(node, path).is_none()
}

/// What was held before the plan and what is held after it, by the node and path where it is.
type Groups = BTreeMap<(HoldingId, HoldingId), (NodeName, String)>;

/// Certificates that an authority's trust file accepted before the plan, and does not at its end.
fn refused_leaves(watch: &Watch, play: &mut Play<'_>, desired: &Desired) -> Vec<Counterexample> {
    let mut faults = Vec::new();
    let mut bundles: BTreeMap<&AuthorityName, Groups> = BTreeMap::new();
    for (node, files) in &watch.files {
        for (path, file) in files {
            if let Some(group) = held(watch, play, node, &file.source) {
                let groups = bundles.entry(&file.authority).or_default();
                groups.entry(group).or_insert_with(|| (node.clone(), path.clone()));
            }
        }
    }
    for (node, wanted) in &desired.nodes {
        for (identity, wanted) in &wanted.identities {
            let Some(bundles) = wanted.authority.as_ref().and_then(|authority| bundles.get(authority)) else {
                continue;
            };
            let kept = wanted.copies.values().filter(|copy| copy.keep != Keep::Report);
            for storage in kept.map(|copy| &copy.storage).chain([&wanted.storage]) {
                let Some(leaf) = held(watch, play, node, &Source::of(storage)) else { continue };
                for (bundle, (bundle_node, path)) in bundles {
                    if leaf.0 == leaf.1 && bundle.0 == bundle.1 {
                        continue;
                    }
                    let Some(reason) = refused(play, leaf, *bundle, &wanted.usages) else { continue };
                    let own = watch.last(node, storage.certificate_path());
                    let Some(step) = own.max(watch.last(bundle_node, path)) else { continue };
                    let when = When::Step(step);
                    let fault = format!(
                        "where it does not verify {identity}@{node}, which it verified before: {reason}"
                    );
                    let (node, path) = (bundle_node.clone(), path.clone());
                    faults.push(Counterexample::Trust { when, node, path, fault });
                }
            }
        }
    }
    faults
}

fn held(
    watch: &Watch,
    play: &mut Play<'_>,
    node: &NodeName,
    source: &Source,
) -> Option<(HoldingId, HoldingId)> {
    let world = &mut play.state.world;
    let before = watch.first.get(node)?.read(source, &mut world.material);
    let after = world.disks.get(node)?.read(source, &mut world.material);
    Some((before, after))
}

fn refused(
    play: &mut Play<'_>,
    leaf: (HoldingId, HoldingId),
    bundle: (HoldingId, HoldingId),
    usages: &BTreeSet<Usage>,
) -> Option<String> {
    usages.iter().find_map(|usage| {
        let before = play.state.ask(leaf.0, bundle.0, *usage);
        match (before, play.state.ask(leaf.1, bundle.1, *usage)) {
            (Verdict::Holds, Verdict::Fails(reason)) => Some(reason.to_string()),
            (Verdict::Holds | Verdict::Unknown | Verdict::Fails(_), _) => None,
        }
    })
}

/// Connections that work with what lay on the disks before the plan, and do not with what lies there at its end: they break at the next restart.
fn refused_links(watch: &Watch, play: &mut Play<'_>, topology: &Topology) -> Vec<Counterexample> {
    let mut inputs: BTreeMap<InputId, u32> = BTreeMap::new();
    for (node, paths) in &watch.wrote {
        let Some(readers) = topology.readers.get(node) else { continue };
        for (path, step) in paths {
            for input in readers.get(path).into_iter().flatten() {
                let last = inputs.entry(*input).or_default();
                *last = (*last).max(*step);
            }
        }
    }
    let links: BTreeSet<LinkId> =
        inputs.keys().filter_map(|input| topology.links_of.get(input)).flatten().copied().collect();
    let mut faults = Vec::new();
    for id in links {
        let Some(Kind::Connection(halves)) = topology.links.get(id.0).map(|link| &link.kind) else {
            continue;
        };
        let before = connection(watch, play, topology, halves, true);
        let (Verdict::Holds, Verdict::Fails(reason)) =
            (before, connection(watch, play, topology, halves, false))
        else {
            continue;
        };
        let ends = halves.iter().flat_map(|half| [Some(half.shows), half.checks]).flatten();
        let step = ends.filter_map(|input| inputs.get(&input)).max().copied().unwrap_or_default();
        let (when, connection) = (When::Step(step), topology.words(id));
        let reason = format!("as soon as its ends are restarted, {reason}");
        faults.push(Counterexample::Broken { when, connection, reason, heals: Heals::Never });
    }
    faults
}

fn connection(
    watch: &Watch,
    play: &mut Play<'_>,
    topology: &Topology,
    halves: &[Half],
    is_before: bool,
) -> Verdict {
    let mut worst = Verdict::Holds;
    for half in halves {
        let read = |play: &mut Play<'_>, input: InputId| {
            let Input { instance, source, .. } = topology.inputs.get(input.0)?;
            let (before, after) = held(watch, play, &topology.instance(*instance)?.node, source)?;
            Some(if is_before { before } else { after })
        };
        let shown = read(play, half.shows);
        let checked = half.checks.map(|checks| read(play, checks));
        let (Some(shown), Some(checked)) = (shown, checked.map_or(Some(None), |checked| checked.map(Some)))
        else {
            worst = Verdict::Unknown;
            continue;
        };
        match play.state.on_disks(half, shown, checked) {
            Verdict::Holds => {}
            Verdict::Unknown => worst = Verdict::Unknown,
            failed @ Verdict::Fails(_) => return failed,
        }
    }
    worst
}
