//! Keys of distrusted CAs in what a node made of values keeps of its transactions.
//!
//! What enters is public halves of keys, or certificates; what leaves is where such keys are kept, and afterwards that they are
//! not any more. It touches nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::KeptSnapshot;
use crate::agent::fs::file_state::FileState;
use crate::agent::inspect::snapshot_keys::Sighted;
use crate::agent::memory::Memory;
use crate::protocol::error::HostError;
use crate::protocol::facts::{FileFacts, KeptKey, Seen, VisitState};
use crate::protocol::snapshots::{Brief, FileBrief};
use crate::x509::Sha256;

impl KeptSnapshot {
    /// The images of a location that hold a private key.
    fn holds(&self, location: &str, key: &Sha256) -> bool {
        // Of what was left there are prints, and no key is in those.
        self.before
            .get(location)
            .into_iter()
            .map(FileState::brief)
            .any(|brief| files(&brief).any(|file| file.private_keys.contains(key)))
    }

    fn locations(&self) -> BTreeSet<String> {
        self.before.keys().chain(self.after.keys()).cloned().collect()
    }

    /// What may be told of a location, before or after.
    pub(super) fn brief(&self, location: &str, image: Option<&FileState>) -> Brief {
        match self.purged.get(location) {
            Some(key) => {
                Brief::File(FileBrief { private_keys: vec![*key], purged: true, ..FileBrief::default() })
            }
            None => image.unwrap_or(&FileState::Absent).brief(),
        }
    }
}

fn files(brief: &Brief) -> impl Iterator<Item = &FileBrief> {
    let (one, more) = match brief {
        Brief::File(file) => (Some(file), None),
        Brief::Tree { files } => (None, Some(files.values())),
        Brief::Absent | Brief::Directory | Brief::Link { .. } => (None, None),
    };
    one.into_iter().chain(more.into_iter().flatten())
}

impl Memory {
    /// The keys of these CA certificates in the images that are kept.
    pub(crate) fn keys_kept(
        &self,
        distrusted: &BTreeSet<Sha256>,
        files: &BTreeMap<String, Seen<FileFacts>>,
    ) -> BTreeMap<Sha256, KeptKey> {
        let mut sight = Sighted::of(files);
        for kept in &self.work.visits {
            for image in kept.before.values() {
                self::files(&image.brief()).for_each(|file| sight.add(file));
            }
        }
        sight.keys(distrusted)
    }

    /// Removes a private key from everything that is kept of earlier transactions.
    pub(super) fn purge_kept(&mut self, key: &Sha256) -> Result<(), HostError> {
        self.open().ok_or(HostError::NotOpen)?.purges.insert(*key);
        let is_earlier = |kept: &&mut KeptSnapshot| kept.state != VisitState::Open;
        for kept in self.work.visits.iter_mut().filter(is_earlier) {
            let held: Vec<String> =
                kept.locations().into_iter().filter(|location| kept.holds(location, key)).collect();
            for location in held {
                for images in [&mut kept.before, &mut kept.after] {
                    images.get_mut(&location).into_iter().for_each(|image| *image = FileState::Other);
                }
                kept.purged.insert(location, *key);
            }
        }
        Ok(())
    }
}
