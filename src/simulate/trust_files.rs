//! The trust files of all nodes, watched while a plan is played.
//!
//! What enters is the wanted state, the disks before the plan and the paths that each step wrote; what leaves is each trust file that a step left empty, or with
//! something in it twice. Whether the end of the plan is one that everybody can live with is judged elsewhere (`trust`).

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Desired, DesiredNode};
use crate::plan::model::checked::{Counterexample, When};
use crate::trust::disk::{Disk, DiskEntry, Disks, Source};
use crate::trust::material::CertificateId;
use crate::trust::model::ClusterModel;
use crate::types::names::{AuthorityName, NodeName};
use crate::types::storage::Storage;

/// A file by which somebody judges what others show.
#[derive(Debug, Clone)]
pub(super) struct TrustFile {
    pub(super) authority: AuthorityName,
    pub(super) source: Source,
    /// The file of which it is a copy.
    pub(super) copy_of: Option<String>,
}

/// The trust files of all nodes, and what becomes of them.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) files: BTreeMap<NodeName, BTreeMap<String, TrustFile>>,
    /// The disks before the plan.
    pub(super) first: Disks,
    /// The action that wrote a path last.
    pub(super) wrote: BTreeMap<NodeName, BTreeMap<String, u32>>,
    /// What the steps have left wrong.
    pub(super) faults: Vec<Counterexample>,
}

impl Watch {
    pub(super) fn new(desired: &Desired, disks: &Disks) -> Self {
        let files = desired.nodes.iter().map(|(name, node)| (name.clone(), trust_files(node))).collect();
        Self { files, first: disks.clone(), ..Self::default() }
    }

    /// A step wrote these paths of a node.
    pub(super) fn wrote(&mut self, world: &ClusterModel, node: &NodeName, paths: &[String], action: u32) {
        let wrote = self.wrote.entry(node.clone()).or_default();
        wrote.extend(paths.iter().map(|path| (path.clone(), action)));
        let Some(files) = self.files.get(node) else { return };
        for (path, file) in paths.iter().filter_map(|path| files.get_key_value(path)) {
            let held = world.disks.get(node).and_then(|disk| certificates(disk, &file.source));
            let had = self.first.get(node).and_then(|disk| certificates(disk, &file.source));
            let had_some = had.is_some_and(|had| !had.is_empty());
            let is_kubeconfig = matches!(file.source, Source::Cluster(_));
            let is_there = matches!(world.lies(node, path), DiskEntry::File(_));
            let fault = match held {
                // Where nothing was, a link may come that leads to nothing yet; and a kubeconfig without CA certificates trusts what its machine trusts.
                Some([]) if had_some || is_there && !is_kubeconfig => "without a certificate".to_owned(),
                Some(held) if is_repeated(held) => "with a certificate that is in it twice".to_owned(),
                Some(_) | None => continue,
            };
            let (when, node, path) = (When::Step(action), node.clone(), path.clone());
            self.faults.push(Counterexample::Trust { when, node, path, fault });
        }
    }

    pub(super) fn last(&self, node: &NodeName, path: &str) -> Option<u32> {
        self.wrote.get(node)?.get(path).copied()
    }
}

/// Every file of a node by which what an authority issued is judged.
fn trust_files(node: &DesiredNode) -> BTreeMap<String, TrustFile> {
    let mut files = BTreeMap::new();
    for (authority, copy) in &node.authorities {
        let main = &copy.certificate.path;
        let mut add = |path: &String, copy_of: Option<String>| {
            let source = Source::Bundle(path.clone());
            files.insert(path.clone(), TrustFile { authority: authority.clone(), source, copy_of });
        };
        copy.copies.values().for_each(|file| add(&file.path, Some(main.clone())));
        add(main, None);
    }
    for place in node.identities.values().flat_map(|wanted| wanted.places()) {
        if let Storage::Kubeconfig { file, trusts, .. } = place {
            let (authority, source) = (trusts.clone(), Source::Cluster(file.path.clone()));
            files.insert(file.path.clone(), TrustFile { authority, source, copy_of: None });
        }
    }
    files
}

/// What a trust file holds; none while nobody knows, or where it lies in another file.
pub(super) fn certificates<'d>(disk: &'d Disk, source: &Source) -> Option<&'d [CertificateId]> {
    match (disk.at(source.certificate()), source) {
        (DiskEntry::Unknown, _) => None,
        (DiskEntry::Nothing, _) => Some(&[]),
        (DiskEntry::File(file), Source::Cluster(_)) => {
            (file.trusted_file.is_none() && !file.other_means).then_some(&file.trusted)
        }
        (
            DiskEntry::File(file),
            Source::Bundle(_) | Source::Pair { .. } | Source::Combined(_) | Source::User(_),
        ) => Some(&file.certificates),
    }
}

fn is_repeated(held: &[CertificateId]) -> bool {
    held.iter().collect::<BTreeSet<_>>().len() != held.len()
}
