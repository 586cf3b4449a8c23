//! Going back: a plan that puts every path as it was before a run, where it still is exactly what that run left.
//!
//! What enters are the snapshots that the nodes tell of; what leaves is a plan like any other, carried out by the same apply, with a snapshot of its own. What
//! was changed since is named and left. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::DesiredNode;
use crate::protocol::facts::VisitState;
use crate::protocol::health_check::HealthCheck;
use crate::protocol::snapshots::{Brief, ChangedPath, FileBrief, SnapshotFacts};
use crate::types::format::instant;
use crate::types::names::{Address, NodeName, Target};
use crate::types::storage::Storage;
use crate::x509::Certificate;
use crate::x509::chain::is_issued_by;

use crate::plan::known::builder::Builder;
use crate::plan::known::worklist::Worklist;
use crate::plan::order::Stage;
use crate::plan::restart::etcd_snapshot::{self, Saving};
use crate::plan::restart::restarts;
use crate::plan::{Blocked, Cycle, Deed, Draft, Input, Phase, PutBack, order};

/// A way back.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollback {
    /// The plan, which has to be simulated.
    pub draft: Draft,
    /// Certificates that would come back although they have expired. Bringing them back needs the upper tier of approval.
    pub expired: Vec<String>,
}

/// Why there is no way back.
#[derive(Debug, thiserror::Error)]
pub enum RollbackError {
    /// No node keeps a snapshot.
    #[error("no node keeps a snapshot of any run")]
    NoSnapshots,
    /// The run is unknown.
    #[error("no node keeps a snapshot of run {run}; there are: {}", known.join(", "))]
    UnknownRun {
        /// What was asked for.
        run: String,
        /// The runs of which snapshots are kept, the latest first.
        known: Vec<String>,
    },
    /// It would bring back a CA that nobody trusts any more.
    #[error("run {run} dropped {}, and there is no way back to a dropped CA; replace the one that is there if you have to", certificates.join(", "))]
    Dropped {
        /// The run.
        run: String,
        /// What it dropped.
        certificates: Vec<String>,
    },
    /// The key of a distrusted CA was removed from its snapshots.
    #[error(
        "the private key of a distrusted CA was removed from the snapshots{}, and there is no way back without it; name another run, or replace the CA that is there if you have to",
        purged_from(run, paths)
    )]
    Purged {
        /// The run.
        run: String,
        /// The paths that it cannot put back; none where it is the run that removed the key.
        paths: Vec<String>,
    },
    /// A fault of the planner.
    #[error(transparent)]
    Cycle(#[from] Cycle),
}

fn purged_from(run: &str, paths: &[String]) -> String {
    match paths {
        [] => format!(" by run {run}"),
        paths => format!(" of run {run} ({})", paths.join(", ")),
    }
}

/// The runs of which snapshots are kept, the latest first.
pub fn runs(snapshots: &BTreeMap<NodeName, Vec<SnapshotFacts>>) -> Vec<String> {
    let mut begun: BTreeMap<&str, jiff::Timestamp> = BTreeMap::new();
    let kept = snapshots.values().flatten().filter(|snapshot| snapshot.state == VisitState::Committed);
    for snapshot in kept {
        let latest = begun.entry(&snapshot.id.run).or_insert(snapshot.begun_at);
        *latest = (*latest).max(snapshot.begun_at);
    }
    let mut runs: Vec<(jiff::Timestamp, &str)> = begun.into_iter().map(|(run, begun)| (begun, run)).collect();
    runs.sort_by(|one, other| other.cmp(one));
    runs.into_iter().map(|(_, run)| run.to_owned()).collect()
}

/// The way back to before a run; to before the latest one when none is named.
///
/// # Errors
/// There is no such run.
pub fn rollback(
    input: &Input<'_>,
    snapshots: &BTreeMap<NodeName, Vec<SnapshotFacts>>,
    run: Option<&str>,
) -> Result<Rollback, RollbackError> {
    let known = runs(snapshots);
    let run = match run {
        None => known.first().cloned().ok_or(RollbackError::NoSnapshots)?,
        Some(run) if known.iter().any(|known| known == run) => run.to_owned(),
        Some(_) if known.is_empty() => return Err(RollbackError::NoSnapshots),
        Some(run) => return Err(RollbackError::UnknownRun { run: run.to_owned(), known }),
    };
    let mut builder = Builder::new(input);
    let certificates = dropped(&builder, snapshots, &run);
    if !certificates.is_empty() {
        return Err(RollbackError::Dropped { run, certificates });
    }
    if let Some(paths) = purged(snapshots, &run) {
        return Err(RollbackError::Purged { run, paths });
    }
    let mut expired = Vec::new();
    let mut stages = Vec::new();
    // What lies at a path once the later visits to its node are taken back.
    let mut then: BTreeMap<(&NodeName, &str), &Brief> = BTreeMap::new();
    for visits in backwards(snapshots, &run) {
        for (name, snapshot) in visits {
            let Some(node) = input.survey.desired.nodes.get(name) else { continue };
            for step in steps(node, &snapshot.paths) {
                let is_as_left = |changed: &&ChangedPath| {
                    let then = then.get(&(name, changed.location.as_str()));
                    changed.unchanged_since || then.is_some_and(|then| changed.after.as_ref() == Some(then))
                };
                let (back, left): (Vec<_>, Vec<_>) =
                    step.into_iter().partition(|all| all.iter().all(is_as_left));
                left.iter().for_each(|all| leave(&mut builder, (name, node), snapshot, all));
                put_back(&mut builder, (name, node), snapshot, &back, &mut expired);
                let back = back.iter().flatten();
                then.extend(back.map(|changed| ((name, changed.location.as_str()), &changed.before)));
            }
            restarts::restarts(&mut builder, name, node);
            let kept = snapshots.get(name).map_or(&[][..], Vec::as_slice);
            let unusable = unusable(input, name, node, &builder, kept);
            without_gates(&mut builder.draft, name, &unusable);
        }
        let by_place = std::mem::take(&mut builder.draft.deeds);
        stages.push(Stage { phase: Phase::Ordinary, by_place });
    }
    match etcd_snapshot::saving(&builder, stages.iter().flat_map(|stage| stage.by_place.values().flatten())) {
        Saving::Unwanted => {}
        Saving::Saved(deed) => {
            let by_place = BTreeMap::from([(deed.address.place.clone(), vec![*deed])]);
            stages.insert(0, Stage { phase: Phase::EtcdSnapshot, by_place });
        }
        Saving::Impossible(noted) => builder.draft.notes.push(noted),
    }
    let visits = order::visits(stages, input)?;
    let work = builder.draft;
    let mut plan = order::content::content(input, visits, &[]);
    plan.elsewhere = work.elsewhere;
    plan.restart_yourself = work.restart_yourself;
    plan.notes = work.notes;
    plan.accepted_outages = work.accepted;
    Ok(Rollback { draft: Draft::new(plan), expired })
}

/// The CAs that no node holds any more and that the way back would need: those that a run took out of bundles which it left standing, and those that issued what
/// would be shown again.
fn dropped(
    builder: &Builder<'_>,
    snapshots: &BTreeMap<NodeName, Vec<SnapshotFacts>>,
    run: &str,
) -> Vec<String> {
    let mut dropped = BTreeSet::new();
    let words = |gone: &Certificate| format!("{} ({})", gone.facts().subject, gone.fingerprint().short());
    dropped.extend(issuers_dropped(builder, snapshots, run).into_iter().map(words));
    for view in builder.input.differences.authorities().values() {
        let held: BTreeSet<&Certificate> = view.certificates.values().flatten().collect();
        let of_run = snapshots.values().flatten().filter(|kept| kept.id.run == run);
        for changed in of_run.flat_map(|kept| &kept.paths) {
            let (Brief::File(before), Some(Brief::File(after))) = (&changed.before, &changed.after) else {
                continue;
            };
            let stays = after.certificates.iter().any(|after| held.contains(after));
            let gone = before.certificates.iter().filter(|gone| gone.facts().is_ca() && !held.contains(gone));
            // What it replaced at once, as one that had ended, nobody has trusted beside another one.
            let is_beside = before.certificates.iter().any(|before| held.contains(before))
                || gone.clone().any(|gone| after.certificates.contains(gone));
            if stays && is_beside {
                dropped.extend(gone.map(words));
            }
        }
    }
    dropped.into_iter().collect()
}

/// The CAs that were in a bundle, are in none now, and issued a certificate that would come back in the place of one whose issuer is trusted.
fn issuers_dropped<'s>(
    builder: &Builder<'_>,
    snapshots: &'s BTreeMap<NodeName, Vec<SnapshotFacts>>,
    run: &str,
) -> BTreeSet<&'s Certificate> {
    let views = builder.input.differences.authorities().values().filter(|view| view.domain.is_replaceable());
    let held: BTreeSet<&Certificate> = views.flat_map(|view| view.certificates.values().flatten()).collect();
    let kept = || snapshots.values().flatten();
    let file = |brief: &'s Brief| match brief {
        Brief::File(file) => file.certificates.as_slice(),
        Brief::Absent | Brief::Directory | Brief::Link { .. } | Brief::Tree { .. } => &[],
    };
    let known = kept().flat_map(|kept| &kept.paths).flat_map(|changed| file(&changed.before));
    let gone: BTreeSet<&Certificate> =
        known.filter(|known| known.facts().is_ca() && !held.contains(known)).collect();
    let mut needed = BTreeSet::new();
    for changed in kept().filter(|kept| kept.id.run == run).flat_map(|kept| &kept.paths) {
        let after = changed.after.as_ref().map_or(&[][..], file);
        let (Some(before), Some(after)) = (file(&changed.before).first(), after.first()) else { continue };
        let is_trusted = |leaf: &Certificate| held.iter().any(|held| is_issued_by(leaf, held));
        if changed.unchanged_since && !before.facts().is_ca() && is_trusted(after) && !is_trusted(before) {
            needed.extend(gone.iter().copied().filter(|gone| is_issued_by(before, gone)));
        }
    }
    needed
}

/// The paths of a run of which the snapshots hold nothing any more, because of the key in them; some as well where the run itself removed a key.
fn purged(snapshots: &BTreeMap<NodeName, Vec<SnapshotFacts>>, run: &str) -> Option<Vec<String>> {
    let of_run = |kept: &&SnapshotFacts| kept.id.run == run && kept.state == VisitState::Committed;
    let kept: Vec<&SnapshotFacts> = snapshots.values().flatten().filter(of_run).collect();
    let paths: BTreeSet<&str> = kept.iter().flat_map(|kept| kept.purged_paths()).collect();
    let is_purge = kept.iter().any(|kept| !kept.purged.is_empty());
    (is_purge || !paths.is_empty()).then(|| paths.into_iter().map(str::to_owned).collect())
}

/// The certificate files of identities that come back as something that no server can show: no gate can wait for those.
fn unusable(
    input: &Input<'_>,
    name: &NodeName,
    node: &DesiredNode,
    builder: &Builder<'_>,
    kept: &[SnapshotFacts],
) -> BTreeSet<String> {
    let restored = |path: &str| {
        let deeds = builder.draft.on(name).iter();
        let visits = deeds.filter_map(|draft| {
            let Deed::Restore { run, visit, .. } = &draft.deed else { return None };
            draft.paths().contains(&path).then_some((run, *visit))
        });
        // Of several visits the first one knows what was there before all of them.
        let (run, visit) = visits.min_by_key(|(_, visit)| *visit)?;
        let snapshot = kept.iter().find(|kept| kept.id.run == *run && kept.id.visit == visit)?;
        snapshot.paths.iter().find(|changed| changed.path == path).map(|changed| &changed.before)
    };
    let facts = input.survey.observed.nodes.get(name).and_then(|answer| answer.facts());
    // What could not be read may be unusable, and a way back does not wait for what may never come.
    let pem = |path: &str| facts?.files.get(path)?.known().ok()??.content.pem();
    let certificate = |path: &str| match restored(path) {
        Some(Brief::File(file)) => Some(file.certificates.first()?.facts().key.spki_sha256),
        Some(Brief::Absent | Brief::Directory | Brief::Link { .. } | Brief::Tree { .. }) => None,
        None => Some(pem(path)?.certificates.first()?.facts().key.spki_sha256),
    };
    let key = |path: &str| match restored(path) {
        Some(Brief::File(file)) => file.private_keys.first().copied(),
        Some(Brief::Absent | Brief::Directory | Brief::Link { .. } | Brief::Tree { .. }) => None,
        None => Some(pem(path)?.keys.first()?.spki_sha256),
    };
    let mut unusable = BTreeSet::new();
    for storage in node.identities.values().map(|wanted| &wanted.storage) {
        let files = storage.files();
        let is_restored = files.iter().any(|file| restored(&file.path).is_some());
        let key_path = match storage {
            Storage::Pair { key, .. } => &key.path,
            Storage::Combined { file } => &file.path,
            Storage::Kubeconfig { .. } => continue,
        };
        let shown = certificate(storage.certificate_path());
        if is_restored && (shown.is_none() || shown != key(key_path)) {
            unusable.insert(storage.certificate_path().to_owned());
        }
    }
    unusable
}

/// On a node on which these certificates come back as what nobody can show, no wait is for what depends on them.
fn without_gates(work: &mut Worklist, node: &NodeName, files: &BTreeSet<String>) {
    if files.is_empty() {
        return;
    }
    let Some(deeds) = work.deeds.get_mut(&node.into()) else { return };
    let can_hold = |gate: &HealthCheck| match gate {
        HealthCheck::Active { .. }
        | HealthCheck::Listens { .. }
        | HealthCheck::Started { .. }
        | HealthCheck::Restarted { .. }
        | HealthCheck::Replaced { .. } => true,
        HealthCheck::Serves { certificate, .. } => !files.contains(certificate),
        HealthCheck::Etcd { .. }
        | HealthCheck::Http { .. }
        | HealthCheck::Ready { .. }
        | HealthCheck::Accepts(_) => false,
    };
    deeds.retain_mut(|draft| {
        let Deed::AwaitHealthy { gates, kept, elsewhere, .. } = &mut draft.deed else { return true };
        gates.retain(can_hold);
        kept.retain(can_hold);
        elsewhere.clear();
        !(gates.is_empty() && kept.is_empty())
    });
}

/// The visits of a run: those of nodes that were visited once go back together, and where a node was visited in several phases, each visit goes back by itself,
/// the last one first, so that each phase is gone before the one on which it stands.
fn backwards<'a>(
    snapshots: &'a BTreeMap<NodeName, Vec<SnapshotFacts>>,
    run: &str,
) -> Vec<Vec<(&'a NodeName, &'a SnapshotFacts)>> {
    let of_run =
        |snapshot: &&SnapshotFacts| snapshot.id.run == run && snapshot.state == VisitState::Committed;
    let of_node = |(name, kept): (&'a NodeName, &'a Vec<SnapshotFacts>)| {
        kept.iter().filter(of_run).map(move |snapshot| (name, snapshot)).collect::<Vec<_>>()
    };
    let by_node: Vec<Vec<_>> = snapshots.iter().map(of_node).collect();
    if by_node.iter().all(|visits| visits.len() <= 1) {
        return vec![by_node.into_iter().flatten().collect()];
    }
    let mut visits: Vec<_> = by_node.into_iter().flatten().collect();
    visits.sort_by_key(|(_, snapshot)| std::cmp::Reverse(snapshot.id.visit));
    visits.into_iter().map(|visit| vec![visit]).collect()
}

/// What was changed at each path, in order. A directory that was moved is changed in two places, and goes back in both or in none.
fn by_path(changes: &[ChangedPath]) -> Vec<Vec<&ChangedPath>> {
    let mut paths: Vec<Vec<&ChangedPath>> = Vec::new();
    for changed in changes {
        let same = |known: &&mut Vec<&ChangedPath>| known.iter().any(|known| known.path == changed.path);
        match paths.iter_mut().find(same) {
            Some(known) => known.push(changed),
            None => paths.push(vec![changed]),
        }
    }
    paths
}

/// What goes back in one step: a path by itself, or both files of a pair, whose readers would find neither the old nor the new one between two steps. As where a
/// pair is written, the one that is read with the other is the last; here it is the first, as the one that people know.
fn steps<'a>(node: &DesiredNode, changes: &'a [ChangedPath]) -> Vec<Vec<Vec<&'a ChangedPath>>> {
    let pairs = pairs(node);
    let path_of = |all: &[&'a ChangedPath]| all.first().map(|changed| changed.path.as_str());
    let mut steps: Vec<Vec<Vec<&ChangedPath>>> = Vec::new();
    for all in by_path(changes) {
        let Some(path) = path_of(&all) else { continue };
        let is_beside = |known: Option<&str>| {
            let pair = |known| pairs.iter().any(|pair| pair.contains(&path) && pair.contains(&known));
            known.is_some_and(|known| pair(known) && subject_of(node, known) == subject_of(node, path))
        };
        match steps.iter_mut().find(|step| step.iter().any(|known| is_beside(path_of(known)))) {
            Some(step) if pairs.iter().any(|[first, _]| *first == path) => step.insert(0, all),
            Some(step) => step.push(all),
            None => steps.push(vec![all]),
        }
    }
    steps
}

/// The two files of each pair of a node, that which is written last first.
fn pairs(node: &DesiredNode) -> Vec<[&str; 2]> {
    let places = node.identities.values().flat_map(|wanted| wanted.places());
    let identities = places.filter_map(|place| match place {
        Storage::Pair { certificate, key } => Some([certificate, key]),
        Storage::Combined { .. } | Storage::Kubeconfig { .. } => None,
    });
    let authorities = node.authorities.values().map(|copy| [&copy.certificate, &copy.key]);
    let key_pairs = node.key_pairs.values().map(|pair| [&pair.public, &pair.private]);
    let pairs = identities.chain(authorities).chain(key_pairs);
    pairs.map(|pair| pair.map(|file| file.path.as_str())).collect()
}

/// Of the places of one path, its own is what people know: there the link is, or the directory.
fn known_place<'a>(all: &[&'a ChangedPath]) -> Option<&'a ChangedPath> {
    all.iter().find(|changed| is_own_place(changed)).or(all.last()).copied()
}

/// Names what somebody has changed since.
fn leave(
    builder: &mut Builder<'_>,
    (name, node): (&NodeName, &DesiredNode),
    snapshot: &SnapshotFacts,
    all: &[&ChangedPath],
) {
    let Some(changed) = known_place(all) else { return };
    builder.draft.elsewhere.push(Blocked {
        address: Address::on(subject_of(node, &changed.path), name),
        because: format!(
            "{} was changed after run {}, so it is left as it is",
            changed.path, snapshot.id.run
        ),
        help: Some(
            "compare it with the snapshot on the node, and put it back by hand if that is right".to_owned(),
        ),
        findings: Vec::new(),
    });
}

/// Drafts one step.
fn put_back(
    builder: &mut Builder<'_>,
    (name, node): (&NodeName, &DesiredNode),
    snapshot: &SnapshotFacts,
    step: &[Vec<&ChangedPath>],
    expired: &mut Vec<String>,
) {
    let now = builder.input.now;
    let changes: Vec<&ChangedPath> = step.iter().filter_map(|all| known_place(all)).collect();
    let Some((first, others)) = changes.split_first() else { return };
    let address = Address::on(subject_of(node, &first.path), name);
    for file in changes.iter().flat_map(|changed| files(&changed.before)) {
        let gone = file.certificates.iter().filter(|certificate| certificate.facts().not_after < now);
        expired.extend(
            gone.map(|certificate| format!("{address} (expired {})", instant(certificate.facts().not_after))),
        );
    }
    let told = |changed: &ChangedPath| PutBack {
        path: changed.path.clone(),
        now: changed.after.as_ref().map_or_else(|| "unknown".to_owned(), brief),
        then: brief(&changed.before),
    };
    let PutBack { path, now, then } = told(first);
    let with = others.iter().map(|changed| told(changed)).collect();
    let deed =
        Deed::Restore { run: snapshot.id.run.clone(), visit: snapshot.id.visit, path, now, then, with };
    let is_tree = |brief: &Brief| matches!(brief, Brief::Tree { .. });
    let replaces = changes.iter().any(|changed| {
        [Some(&changed.before), changed.after.as_ref()].into_iter().flatten().any(is_tree)
            || matches!(changed.before, Brief::File(_))
    });
    builder.add(address, deed, Vec::new(), replaces);
}

/// Whether a directory, or the link in its place, was changed.
fn is_own_place(changed: &ChangedPath) -> bool {
    let is_tree = |brief: &Brief| matches!(brief, Brief::Tree { .. });
    let is_link = |brief: &Brief| matches!(brief, Brief::Link { .. });
    let after = changed.after.as_ref();
    is_tree(&changed.before) && after.is_some_and(is_link)
        || is_link(&changed.before) && after.is_some_and(is_tree)
}

/// The files that come back.
fn files(brief: &Brief) -> Vec<&FileBrief> {
    match brief {
        Brief::File(file) => vec![file],
        Brief::Tree { files } => files.values().collect(),
        Brief::Absent | Brief::Directory | Brief::Link { .. } => Vec::new(),
    }
}

/// The thing to which a file belongs.
fn subject_of(node: &DesiredNode, path: &str) -> Target {
    let identity = node.identities.iter().find(|(_, wanted)| wanted.places().any(|place| place.is_at(path)));
    if let Some((identity, _)) = identity {
        return Target::Identity(identity.clone());
    }
    let holds = |copy: &crate::desired::AuthorityCopy| {
        // What waits beside them nobody reads: it is the node's.
        let files = copy.copies.values().chain([&copy.certificate, &copy.key]);
        files.into_iter().any(|file| file.path == path)
    };
    if let Some((authority, _)) = node.authorities.iter().find(|(_, copy)| holds(copy)) {
        return Target::Authority(authority.clone());
    }
    let pairs = node.key_pairs.iter();
    let mut pairs = pairs.filter(|(_, pair)| pair.private.path == path || pair.public.path == path);
    if let Some((pair, _)) = pairs.next() {
        return Target::KeyPair(pair.clone());
    }
    let mut directories = node.directories.iter();
    if let Some((directory, _)) =
        directories.find(|(_, directory)| directory.path == path || directory.known_as() == path)
    {
        return Target::Directory(directory.clone());
    }
    // The manifest of a static pod is its restart.
    let pod = node.services.iter().find(|(_, service)| {
        service.restart.as_ref().and_then(|restart| restart.static_pod.as_deref()) == Some(path)
    });
    pod.map_or(Target::Node, |(service, _)| Target::Service(service.clone()))
}

/// What lies at a path, in a few words.
fn brief(brief: &Brief) -> String {
    match brief {
        Brief::Absent => "nothing".to_owned(),
        Brief::Directory => "a directory".to_owned(),
        Brief::Link { target } => format!("a link to {target}"),
        Brief::Tree { files } => format!("a directory with {} files in it", files.len()),
        Brief::File(FileBrief { mode, size, certificates, private_keys, .. }) => {
            let mut parts = vec![format!("{size} bytes, mode {:04o}", mode & 0o7777)];
            parts.extend(certificates.first().map(|certificate| {
                format!(
                    "certificate {} until {}",
                    certificate.fingerprint().short(),
                    instant(certificate.facts().not_after)
                )
            }));
            parts.extend(private_keys.first().map(|key| format!("private key with spki {}", key.short())));
            parts.join(", ")
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
