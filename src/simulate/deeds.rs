//! What each deed of a plan does to the disks and to what runs, and why a node would refuse it.
//!
//! What enters is one action; what leaves is its [`Effect`], after the disks have been changed, or before that the reason why it cannot succeed. It reads of an action
//! only what it does, never why or what it is said to disturb, and asks no table of the planner, so that a mistake of the planner does not repeat itself here.

use std::sync::Arc;

use super::refusal::{made, missing, no_key, not_made, of_issue, other_key, signs, source, verify};
use crate::plan::{
    Action, Bundle, CaCertificates, Deed, Issue, KeyCopy, KeySource, PlannedTransaction, Position,
    RestartMethod,
};
use crate::protocol::health_check::HealthCheck;
use crate::protocol::snapshots::VisitId;
use crate::trust::disk::{DiskEntry, File};
use crate::trust::material::{CertificateId, Issuer, Key, Planned};
use crate::trust::model::ClusterModel;
use crate::trust::restored::Comes;
use crate::trust::state::State;
use crate::types::duration::Duration;
use crate::types::names::{NodeName, ServiceName, Target};
use crate::types::place::Place;
use crate::types::storage::Storage;
use crate::x509::SubjectNames;

/// What an action did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing that a connection depends on.
    None,
    /// It wrote these paths.
    Wrote(Vec<String>),
    /// It put another directory in the place of this one: what has the old one open does not see what is written from here on.
    Moved(String),
    /// The service on the node stops and starts again.
    Restarted {
        /// The service.
        service: ServiceName,
        /// Its manifest is what was changed, so that it is restarted when that is put back.
        by_manifest: bool,
    },
    /// So much is known of what runs.
    Awaited {
        /// What was seen at ports: the first certificate of this file.
        served: Vec<(u16, String)>,
        /// So long it was waited at least.
        settled: Duration,
    },
}

/// Why nothing is done in the cluster: what such a step leaves there is not played, so nobody could say that it is safe.
pub(super) const UNPLAYED: &str = "it is about the cluster itself, and of that nothing is simulated yet";

/// Why the node would refuse an action; none where nothing is known that speaks against it.
pub(super) fn refusal(state: &mut State<'_>, visit: &PlannedTransaction, action: &Action) -> Option<String> {
    let node = match &action.address.place {
        Place::Node(node) => node,
        Place::Cluster => return Some(UNPLAYED.to_owned()),
    };
    let world = &state.world;
    match &action.deed {
        Deed::Verify { .. } => verify(state, visit, action),
        Deed::IssueIdentity(issue) => of_issue(world, node, issue),
        Deed::ExtendAuthority { certificate, key, of, .. } => {
            let of = world.material.with_digest(of.fingerprint());
            signs(world, (node, &certificate.path, &key.path), of)
        }
        Deed::CreateAuthority { certificate, key, over, .. } => {
            let held =
                world.file(node, &certificate.path).and_then(|held| held.certificates.first().copied());
            let over = over.and_then(|over| world.material.with_digest(&over));
            let occupied = |path: &String| {
                let is_there = matches!(world.lies(node, path), DiskEntry::File(_));
                is_there.then(|| format!("{path} is already there: a file that is not empty"))
            };
            let is_written_over = over.is_some() && held == over;
            [&key.path, &certificate.path].into_iter().filter(|_| !is_written_over).find_map(occupied)
        }
        Deed::CopyKey(copy) => missing(world, &copy.from, &copy.source),
        Deed::WritePublicKey { private, .. } => no_key(world, node, &private.path),
        Deed::CopyAuthorityCertificate { .. } | Deed::WriteBundle { bundle: Bundle::WithMade { .. }, .. } => {
            let authority = action.address.target.authority()?;
            not_made(world, Some(authority))
        }
        Deed::WriteBundle { bundle: Bundle::Known(_), .. } => None,
        Deed::WriteChain { chain, .. } => not_made(world, made(Some(chain))),
        Deed::UpdateKubeconfig { file, trusted, .. } => {
            missing(world, node, &file.path).or_else(|| not_made(world, made(Some(trusted))))
        }
        Deed::CopyIdentity(copy) => {
            let trusted = not_made(world, made(copy.trusted.as_ref()));
            let wanted = copy.certificate.as_ref();
            let wanted = wanted.and_then(|wanted| world.material.with_digest(wanted.fingerprint()));
            trusted.or_else(|| source(world, copy.from(), &copy.source, wanted))
        }
        Deed::InstallIdentity(install) => {
            let own = Key::Known(install.certificate.facts().key.spki_sha256);
            let trusted = not_made(world, made(install.trusted.as_ref()));
            trusted.or_else(|| other_key(world, node, &install.request.path, own))
        }
        Deed::RemoveCopy { path, of } => {
            let (copy, kept) = (world.file(node, path)?, world.file(node, of));
            let is_kept = |certificate: &CertificateId| {
                kept.is_some_and(|kept| kept.certificates.contains(certificate))
            };
            let key_is_kept = copy.key.is_none() || kept.is_some_and(|kept| kept.key == copy.key);
            let is_lost = !(copy.certificates.iter().all(is_kept) && key_is_kept);
            let is_known = !matches!(world.lies(node, of), DiskEntry::Unknown);
            (is_lost && is_known).then(|| format!("{path}: it holds something that {of} does not"))
        }
        Deed::UndoOpen { .. }
        | Deed::SnapshotEtcd { .. }
        | Deed::Snapshot { .. }
        | Deed::MakeDirectory { .. }
        | Deed::MakeLink { .. }
        | Deed::MoveDirectory { .. }
        | Deed::InstallAuthority { .. }
        | Deed::CreateKeyPair { .. }
        | Deed::WriteCsr(_)
        | Deed::SetPermissions { .. }
        | Deed::MoveLeader { .. }
        | Deed::Restart { .. }
        | Deed::AwaitHealthy { .. }
        | Deed::PurgeSnapshots { .. }
        | Deed::Restore { .. } => None,
    }
}

impl ClusterModel {
    /// Does what an action does.
    pub(super) fn act(&mut self, action: &Action) -> Effect {
        let node = match &action.address.place {
            Place::Node(node) => node,
            // It was refused, and changes nothing on any node.
            Place::Cluster => return Effect::None,
        };
        let number = action.number;
        match &action.deed {
            Deed::SnapshotEtcd { .. }
            | Deed::Snapshot { .. }
            | Deed::MakeDirectory { .. }
            | Deed::SetPermissions { .. }
            | Deed::WriteCsr(_)
            | Deed::MoveLeader { .. }
            | Deed::PurgeSnapshots { .. }
            | Deed::Verify { .. } => Effect::None,
            Deed::AwaitHealthy { gates, settle, .. } => {
                let served = |gate: &HealthCheck| {
                    let HealthCheck::Serves { port, certificate, .. } = gate else { return None };
                    Some((*port, certificate.clone()))
                };
                Effect::Awaited { served: gates.iter().filter_map(served).collect(), settled: *settle }
            }
            Deed::Restart { how, .. } => match &action.address.target {
                Target::Service(service) => Effect::Restarted {
                    service: service.clone(),
                    by_manifest: matches!(how, RestartMethod::StaticPod { .. }),
                },
                Target::Authority(_)
                | Target::Identity(_)
                | Target::KeyPair(_)
                | Target::Directory(_)
                | Target::Node => Effect::None,
            },
            // What a crash left half done the plan does not say.
            Deed::UndoOpen { .. } => {
                let disk = self.disks.entry(node.clone()).or_default();
                let paths: Vec<String> = disk.paths().cloned().collect();
                paths.iter().for_each(|path| disk.put(path, DiskEntry::Unknown));
                Effect::Wrote(paths)
            }
            Deed::Restore { run, visit, path, with, .. } => {
                let visit = VisitId { run: run.clone(), visit: *visit };
                let mut wrote = Vec::new();
                for path in with.iter().map(|other| &other.path).chain([path]) {
                    match self.restore(node, visit.clone(), path) {
                        Effect::None => {}
                        Effect::Wrote(paths) => wrote.extend(paths),
                        // A pair is two files; what is more than a file goes back alone.
                        alone @ (Effect::Moved(_) | Effect::Restarted { .. } | Effect::Awaited { .. }) => {
                            return alone;
                        }
                    }
                }
                if wrote.is_empty() { Effect::None } else { Effect::Wrote(wrote) }
            }
            Deed::MakeLink { path, target } => self.link(node, path, target),
            Deed::MoveDirectory { link, .. } => Effect::Moved(link.clone()),
            Deed::CreateAuthority { certificate, key, subject, not_before, not_after, .. } => {
                let made = self.material.planned(Planned {
                    subject: subject.common_name.clone(),
                    names: SubjectNames::default(),
                    usages: Default::default(),
                    not_before: *not_before,
                    not_after: *not_after,
                    issuer: Issuer::Itself,
                    key: Key::Made(number),
                });
                self.remember(&action.address.target, made);
                self.pair(node, (&certificate.path, &key.path), made, Key::Made(number))
            }
            // It vouches for just what it vouched for before.
            Deed::ExtendAuthority { certificate, of, others, .. } => {
                let own = self.material.real(of);
                self.remember(&action.address.target, own);
                let others: Vec<CertificateId> =
                    others.iter().map(|other| self.material.real(other)).collect();
                self.write(node, &certificate.path, certificates([vec![own], others].concat()))
            }
            Deed::InstallAuthority { certificate, key, root, .. } => {
                let made = self.material.real(root);
                self.remember(&action.address.target, made);
                let own = Key::Known(root.facts().key.spki_sha256);
                self.pair(node, (&certificate.path, &key.path), made, own)
            }
            Deed::CopyAuthorityCertificate { from, source, file } => {
                let lies = match self.lies(from, source) {
                    DiskEntry::File(found) => certificates(found.certificates.clone()),
                    DiskEntry::Nothing => DiskEntry::Nothing,
                    DiskEntry::Unknown => DiskEntry::Unknown,
                };
                self.write(node, &file.path, lies)
            }
            Deed::CopyKey(KeyCopy { from, source, file, .. }) => {
                let lies = self.lies(from, source);
                self.write(node, &file.path, lies)
            }
            Deed::CreateKeyPair { private, public, .. } => {
                let key = File { key: Some(Key::Made(number)), ..File::default() };
                self.write(node, &private.path, DiskEntry::File(Arc::new(key)));
                self.write(node, &public.path, DiskEntry::Unknown)
            }
            Deed::WritePublicKey { public, .. } => self.write(node, &public.path, DiskEntry::Unknown),
            Deed::WriteBundle { file, bundle, .. } => {
                let mut held: Vec<CertificateId> =
                    bundle.certificates().iter().map(|certificate| self.material.real(certificate)).collect();
                let own = match &action.address.target {
                    Target::Authority(authority) => self.made.get(authority).copied(),
                    Target::Identity(_)
                    | Target::KeyPair(_)
                    | Target::Directory(_)
                    | Target::Service(_)
                    | Target::Node => None,
                };
                match (bundle.made(), own) {
                    (Some(Position::First), Some(own)) => held.insert(0, own),
                    (Some(Position::Last), Some(own)) => held.push(own),
                    (Some(Position::First | Position::Last), None) | (None, _) => {}
                }
                self.write(node, &file.path, certificates(held))
            }
            Deed::WriteChain { file, certificate, chain, .. } => {
                let all = [vec![self.material.real(certificate)], self.ca_certificates(chain)].concat();
                self.write(node, &file.path, certificates(all))
            }
            Deed::RemoveCopy { path, .. } => self.write(node, path, DiskEntry::Nothing),
            Deed::IssueIdentity(issue) => self.issue(node, number, issue),
            Deed::CopyIdentity(copy) => {
                let (shown, key) = match self.shown(copy.from(), &copy.source) {
                    (Some(shown), key) => (shown, key),
                    (None, _) => match &copy.certificate {
                        Some(certificate) => {
                            let id = self.material.real(certificate);
                            (vec![id], self.material.key_of(id))
                        }
                        None => (Vec::new(), None),
                    },
                };
                self.keep(node, &copy.target, shown, key, copy.trusted.as_ref())
            }
            Deed::InstallIdentity(install) => {
                let all = std::iter::once(&install.certificate).chain(&install.chain);
                let shown = all.map(|certificate| self.material.real(certificate)).collect();
                // It was made for the request, so no other node holds it.
                let key = Key::Known(install.certificate.facts().key.spki_sha256);
                self.keep(node, &install.storage, shown, Some(key), install.trusted.as_ref())
            }
            Deed::UpdateKubeconfig { file, trusted, .. } => {
                let trusted = self.ca_certificates(trusted);
                let known = self.disk_file(node, &file.path);
                let updated = File { trusted, trusted_file: None, ..known };
                self.write(node, &file.path, DiskEntry::File(Arc::new(updated)))
            }
        }
    }

    /// Puts back what a snapshot holds, of which no more is known than the node told.
    fn restore(&mut self, node: &NodeName, visit: VisitId, path: &str) -> Effect {
        if let Some(service) = self.pods.get(&(node.clone(), path.to_owned())) {
            return Effect::Restarted { service: service.clone(), by_manifest: true };
        }
        let comes = self.kept.comes(node, visit, path).cloned();
        let disk = self.disks.entry(node.clone()).or_default();
        let below = |known: &&String| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let mut paths: Vec<String> = disk.paths().filter(below).cloned().collect();
        match comes {
            None => self.write(node, path, DiskEntry::Unknown),
            Some(Comes::Directory) => Effect::None,
            Some(Comes::File(lies)) => {
                paths.iter().for_each(|below| disk.put(below, DiskEntry::Nothing));
                disk.put(path, lies);
                paths.push(path.to_owned());
                Effect::Wrote(paths)
            }
            Some(Comes::Link) => {
                paths.iter().for_each(|below| disk.put(below, DiskEntry::Unknown));
                Effect::Moved(path.to_owned())
            }
            Some(Comes::Tree(files)) => {
                for known in paths {
                    let name = known.strip_prefix(path).map(|rest| rest.trim_start_matches('/'));
                    let lies = name.and_then(|name| files.get(name)).cloned();
                    disk.put(&known, lies.unwrap_or(DiskEntry::Nothing));
                }
                Effect::Moved(path.to_owned())
            }
        }
    }

    fn issue(&mut self, node: &NodeName, number: u32, issue: &Issue) -> Effect {
        let issuer = match &issue.issuer {
            Some(digest) => self.material.with_digest(digest),
            None => self.made.get(&issue.authority).copied(),
        };
        let key = match issue.key {
            KeySource::New(_) => Key::Made(number),
            KeySource::Kept(spki) => Key::Known(spki),
        };
        let made = self.material.planned(Planned {
            subject: issue.subject.common_name.clone(),
            names: SubjectNames { dns: issue.dns.clone(), ip: issue.ip.clone(), ..SubjectNames::default() },
            usages: issue.usages.clone(),
            not_before: issue.not_before,
            not_after: issue.not_after,
            issuer: issuer.map_or(Issuer::Unknown, Issuer::Certificate),
            key,
        });
        let chain = issue.chain.as_ref().map_or(Vec::new(), |chain| self.ca_certificates(chain));
        let shown = [vec![made], chain].concat();
        self.keep(node, &issue.storage, shown, Some(key), issue.trusted.as_ref())
    }

    /// Writes certificates with a key to a place.
    fn keep(
        &mut self,
        node: &NodeName,
        place: &Storage,
        shown: Vec<CertificateId>,
        key: Option<Key>,
        trusted: Option<&CaCertificates>,
    ) -> Effect {
        match place {
            Storage::Pair { certificate, key: key_file } => {
                let beside = File { key, ..File::default() };
                self.write(node, &key_file.path, DiskEntry::File(Arc::new(beside)));
                self.write(node, &certificate.path, certificates(shown));
                Effect::Wrote(vec![key_file.path.clone(), certificate.path.clone()])
            }
            Storage::Combined { file } => {
                let both = File { certificates: shown, key, ..File::default() };
                self.write(node, &file.path, DiskEntry::File(Arc::new(both)))
            }
            Storage::Kubeconfig { file, .. } => {
                let known = self.disk_file(node, &file.path);
                let mut updated =
                    File { certificates: shown, key, certificate_file: None, key_file: None, ..known };
                if let Some(trusted) = trusted {
                    (updated.trusted, updated.trusted_file) = (self.ca_certificates(trusted), None);
                }
                self.write(node, &file.path, DiskEntry::File(Arc::new(updated)))
            }
        }
    }

    /// What a place holds.
    fn shown(&self, node: &NodeName, place: &Storage) -> (Option<Vec<CertificateId>>, Option<Key>) {
        let file = |path: &str| self.disks.get(node).and_then(|disk| disk.file(path)).cloned();
        let (certificate, key) = match place {
            Storage::Pair { certificate, key } => (file(&certificate.path), file(&key.path)),
            Storage::Combined { file: both } | Storage::Kubeconfig { file: both, .. } => {
                (file(&both.path), file(&both.path))
            }
        };
        (certificate.map(|file| file.certificates.clone()), key.and_then(|file| file.key))
    }

    fn ca_certificates(&mut self, trusted: &CaCertificates) -> Vec<CertificateId> {
        match trusted {
            CaCertificates::Certificates(known) => known.iter().map(|one| self.material.real(one)).collect(),
            CaCertificates::Made(authority) => self.made.get(authority).copied().into_iter().collect(),
        }
    }

    fn remember(&mut self, subject: &Target, made: CertificateId) {
        if let Target::Authority(authority) = subject {
            self.made.insert(authority.clone(), made);
        }
    }

    fn pair(
        &mut self,
        node: &NodeName,
        (certificate, key): (&str, &str),
        made: CertificateId,
        own: Key,
    ) -> Effect {
        let beside = File { key: Some(own), ..File::default() };
        self.write(node, key, DiskEntry::File(Arc::new(beside)));
        self.write(node, certificate, certificates(vec![made]))
    }

    /// A link in the place of nothing: everything below the target is below the link too. What was seen there already was looked up behind the
    /// missing link.
    fn link(&mut self, node: &NodeName, path: &str, target: &str) -> Effect {
        let disk = self.disks.entry(node.clone()).or_default();
        let below = |known: &String| known.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        let unseen = |known: &&String| below(known) && *disk.at(known) == DiskEntry::Nothing;
        let paths: Vec<String> = disk.paths().filter(unseen).cloned().collect();
        for known in &paths {
            let behind = known.strip_prefix(path).map(|rest| format!("{target}{rest}"));
            let lies = behind.map_or(DiskEntry::Unknown, |behind| disk.at(&behind).clone());
            disk.put(known, lies);
        }
        Effect::Wrote(paths)
    }

    fn write(&mut self, node: &NodeName, path: &str, lies: DiskEntry) -> Effect {
        self.disks.entry(node.clone()).or_default().put(path, lies);
        Effect::Wrote(vec![path.to_owned()])
    }
}

fn certificates(certificates: Vec<CertificateId>) -> DiskEntry {
    DiskEntry::File(Arc::new(File { certificates, ..File::default() }))
}
