//! Which keys of distrusted CAs the snapshots of a node still hold.
//!
//! What enters is fingerprints of CA certificates and something that can [`Lookup`] at the snapshots; what leaves is the public
//! half of each such key that is there, and in how many files. A key is told by its own public half, and that by the
//! certificate, which snapshots hold beside it: whoever replaced a CA has written its bundles. What cannot be read is
//! unknown and never absent. Nothing is written.

use std::collections::{BTreeMap, BTreeSet};

use crate::agent::fs::disk::COPY_LIMIT;
use crate::agent::fs::lookup::{Detail, Lookup, LookupResult, Payload};
use crate::agent::fs::print::contents;
use crate::files::confined::Tree;
use crate::protocol::facts::{FileFacts, KeptKey, Seen};
use crate::protocol::snapshots::FileBrief;
use crate::protocol::state_layout::{AFTER_COPIES, BEFORE_COPIES, SNAPSHOTS};
use crate::x509::{Certificate, Sha256};

/// Most files that are looked at: many times what the runs that are kept hold, and little enough for a hostile node.
const FILES: usize = 16 * 1024;
/// Most bytes that are read of them all: several times what one directory that is moved may hold.
const BYTES: usize = 16 * COPY_LIMIT;

/// A node whose snapshots can be looked into.
pub(crate) trait SnapshotKeys: Lookup + Sized {
    /// The keys of these CA certificates in the snapshots below a state directory. `files` is what was seen of the node.
    fn kept_keys(
        &self,
        state_directory: &str,
        distrusted: &BTreeSet<Sha256>,
        files: &BTreeMap<String, Seen<FileFacts>>,
    ) -> Seen<BTreeMap<Sha256, KeptKey>> {
        keys(self, state_directory, distrusted, files)
    }
}

impl SnapshotKeys for Tree {}

/// What was seen of certificates and keys.
#[derive(Debug, Default)]
pub(crate) struct Sighted {
    /// The public half of each certificate's key, by the certificate's fingerprint.
    certificates: BTreeMap<Sha256, Sha256>,
    /// In how many files each private key is, by its public half.
    keys: BTreeMap<Sha256, usize>,
}

impl Sighted {
    /// The certificates that lie outside of the snapshots.
    pub(crate) fn of(files: &BTreeMap<String, Seen<FileFacts>>) -> Self {
        let mut sighted = Self::default();
        let pems = files.values().filter_map(|seen| seen.known().ok()??.content.pem());
        pems.for_each(|pem| sighted.add_certificates(&pem.certificates));
        sighted
    }

    /// One file of a snapshot.
    pub(crate) fn add(&mut self, file: &FileBrief) {
        self.add_certificates(&file.certificates);
        let keys: BTreeSet<Sha256> = file.private_keys.iter().copied().collect();
        keys.into_iter().for_each(|key| *self.keys.entry(key).or_default() += 1);
    }

    fn add_certificates(&mut self, certificates: &[Certificate]) {
        let known = certificates.iter();
        self.certificates.extend(known.map(|known| (*known.fingerprint(), known.facts().key.spki_sha256)));
    }

    /// The keys of these certificates.
    pub(crate) fn keys(&self, distrusted: &BTreeSet<Sha256>) -> BTreeMap<Sha256, KeptKey> {
        let kept = distrusted.iter().filter_map(|fingerprint| {
            let key = *self.certificates.get(fingerprint)?;
            let files = *self.keys.get(&key)?;
            Some((*fingerprint, KeptKey { key, files }))
        });
        kept.collect()
    }
}

fn keys(
    tree: &impl Lookup,
    state_directory: &str,
    distrusted: &BTreeSet<Sha256>,
    files: &BTreeMap<String, Seen<FileFacts>>,
) -> Seen<BTreeMap<Sha256, KeptKey>> {
    let mut walk = Walk { tree, sighted: Sighted::of(files), files: 0, bytes: 0 };
    let directory = format!("{}/{SNAPSHOTS}", state_directory.trim_end_matches('/'));
    match walk.snapshots(&directory) {
        Ok(()) => Seen::Present(walk.sighted.keys(distrusted)),
        Err(reason) => Seen::Unknown { reason },
    }
}

struct Walk<'t, L> {
    tree: &'t L,
    sighted: Sighted,
    files: usize,
    bytes: usize,
}

impl<L: Lookup> Walk<'_, L> {
    fn snapshots(&mut self, directory: &str) -> Result<(), String> {
        for run in self.below(directory)? {
            for visit in self.below(&run)? {
                for copies in [BEFORE_COPIES, AFTER_COPIES] {
                    for copy in self.below(&format!("{visit}/{copies}"))? {
                        self.look_into(&copy)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The paths in a directory; none where there is no directory.
    fn below(&self, directory: &str) -> Result<Vec<String>, String> {
        match self.tree.look(directory, Detail::Names) {
            LookupResult::Found { payload: Payload::Names(listing), .. } if listing.complete => {
                Ok(listing.names.into_iter().map(|name| format!("{directory}/{name}")).collect())
            }
            LookupResult::Found { payload: Payload::Names(_), .. } => {
                Err(format!("{directory} holds more than is listed of one directory"))
            }
            LookupResult::Found { payload: Payload::Failed { reason }, .. }
            | LookupResult::Failed { reason } => Err(reason),
            LookupResult::Found { payload: Payload::NotRead | Payload::Bytes(_), .. }
            | LookupResult::Missing => Ok(Vec::new()),
            LookupResult::Unsafe { step } => Err(step.to_string()),
            LookupResult::Dangling { .. } | LookupResult::Looping { .. } => {
                Err(format!("{directory} is a link that leads nowhere"))
            }
        }
    }

    fn look_into(&mut self, copy: &str) -> Result<(), String> {
        match self.tree.look(copy, Detail::Copy) {
            LookupResult::Found { payload: Payload::Bytes(bytes), .. } => {
                self.files = self.files.saturating_add(1);
                self.bytes = self.bytes.saturating_add(bytes.len());
                if self.files > FILES || self.bytes > BYTES {
                    return Err("the snapshots hold more than is looked at".to_owned());
                }
                self.sighted.add(&contents(&bytes));
                Ok(())
            }
            LookupResult::Found { payload: Payload::Failed { reason }, .. }
            | LookupResult::Failed { reason } => Err(reason),
            LookupResult::Found { payload: Payload::NotRead | Payload::Names(_), .. }
            | LookupResult::Missing => Ok(()),
            LookupResult::Unsafe { step } => Err(step.to_string()),
            LookupResult::Dangling { .. } | LookupResult::Looping { .. } => Err(format!("{copy} is a link")),
        }
    }
}
