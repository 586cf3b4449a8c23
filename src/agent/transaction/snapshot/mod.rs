//! What is kept of a transaction: a directory with a manifest, copies of everything as it was, and later prints of what was left.
//!
//! What enters is images; what leaves is files below the state directory that only root can read, and the same images again. The manifest names
//! places, owners and modes and no content: bytes are in the copies alone, because they may be keys.

mod left;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::fs::disk::{Dir, staged_name};
use crate::agent::fs::file_state::{Access, DirectoryImage, Entry, FileImage, FileState, TreeImage};
use crate::agent::fs::print::{Bytes, Print, Salt, contents};
use crate::protocol::command::{Begin, VisitId};
use crate::protocol::error::HostError;
use crate::protocol::snapshots::{Brief, FileBrief};
use crate::protocol::state_layout::{AFTER_COPIES, BEFORE_COPIES};
use crate::x509::Sha256;

const MANIFEST: &str = "manifest.json";
const AFTER: &str = "after.json";
const PURGED: &str = "purged.json";
const RESERVE: &str = "reserve";
const VERSION: u32 = 1;

/// What the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Manifest {
    version: u32,
    pub(crate) id: VisitId,
    pub(crate) begun_at: Timestamp,
    pub(crate) note: String,
    /// The paths that the transaction was allowed to touch.
    pub(crate) paths: BTreeSet<String>,
    /// What was at each location that they led to.
    pub(crate) before: BTreeMap<String, Record>,
}

/// What was at a location; the bytes of a file are in a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub(crate) enum Record {
    /// Nothing.
    Absent,
    Directory {
        mode: u32,
        uid: u32,
        gid: u32,
        /// Of a directory in a tree.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        modified: Option<(i64, i64)>,
        /// Extended attributes of a directory in a tree, the values in hexadecimal.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<String, String>,
    },
    Link {
        target: String,
        uid: u32,
        gid: u32,
    },
    File {
        mode: u32,
        uid: u32,
        gid: u32,
        size: u64,
        /// The copy's path in the directory of the visit.
        copy: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        modified: Option<(i64, i64)>,
        /// Extended attributes, the values in hexadecimal.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<String, String>,
    },
    /// A file that a transaction left: whether it still is so is all that is ever asked, so it has no copy.
    Print {
        uid: u32,
        gid: u32,
        mode: u32,
        /// Size, certificates and public halves of keys.
        told: Box<FileBrief>,
        salt: Salt,
        sha256: Sha256,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        modified: Option<(i64, i64)>,
        /// Extended attributes, the values in hexadecimal.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        attributes: BTreeMap<String, String>,
    },
    /// A directory with everything in it, by path below it.
    Tree {
        entries: BTreeMap<String, Record>,
    },
    /// A FIFO, socket or device.
    Other,
}

/// Copies into a directory, numbered.
struct Copies<'a> {
    directory: &'a Dir,
    name: &'static str,
    taken: usize,
}

/// Writes manifest and copies into the empty directory of a visit, and takes disk space for the way back.
pub(crate) fn write(
    directory: &Dir,
    begin: &Begin,
    begun_at: Timestamp,
    images: &BTreeMap<String, FileState>,
) -> Result<(), HostError> {
    let before = write_copies(directory, BEFORE_COPIES, images.iter())?;
    let sizes = before.values().map(|record| match record {
        Record::File { size, .. } => size.saturating_add(2 * BLOCK),
        Record::Absent
        | Record::Directory { .. }
        | Record::Link { .. }
        | Record::Print { .. }
        | Record::Tree { .. }
        | Record::Other => BLOCK,
    });
    directory.allocate(RESERVE, sizes.fold(JOURNAL_RESERVE, u64::saturating_add))?;
    let manifest = Manifest {
        version: VERSION,
        id: begin.id.clone(),
        begun_at,
        note: begin.note.clone(),
        paths: begin.paths.clone(),
        before,
    };
    directory.write_new(MANIFEST, &json(directory, MANIFEST, &manifest)?)?;
    directory.sync()
}

/// Disk blocks are at most this large on the file systems that nodes have.
const BLOCK: u64 = 4096;
/// Space for the lines that an undo writes.
const JOURNAL_RESERVE: u64 = 64 * 1024;

/// Gives back the space that was taken for the way back, so that it can be gone on a full disk.
pub(crate) fn release_reserve(directory: &Dir) -> Result<(), HostError> {
    directory.remove_file(RESERVE)?;
    directory.sync()
}

/// Removes what a crash left of a file that [`write_after`] was writing.
pub(crate) fn remove_half_written(directory: &Dir) -> Result<(), HostError> {
    directory.remove_file(&staged_name(AFTER))
}

/// Records what a transaction left, for a rollback that has to know whether it is still so.
pub(crate) fn write_after<'a>(
    directory: &Dir,
    images: impl Iterator<Item = (&'a String, &'a FileState)>,
) -> Result<(), HostError> {
    let mut after = BTreeMap::new();
    for (location, image) in images {
        after.insert(location.clone(), left::record(image)?);
    }
    directory.write_whole(AFTER, &json(directory, AFTER, &after)?)
}

/// Copies one more object that was met on the way.
pub(crate) fn add_copy(directory: &Dir, location: &str, image: &FileState) -> Result<Record, HostError> {
    let copies = match directory.child(BEFORE_COPIES)? {
        Some(copies) => copies,
        None => return Err(damaged(directory, BEFORE_COPIES, "it is missing")),
    };
    let taken = copies.names()?.len();
    let record = Copies { directory: &copies, name: BEFORE_COPIES, taken }.add(location, image)?;
    copies.sync()?;
    Ok(record)
}

pub(crate) fn read_manifest(directory: &Dir) -> Result<Manifest, HostError> {
    let bytes = directory.read(MANIFEST)?.ok_or_else(|| damaged(directory, MANIFEST, "it is missing"))?;
    let manifest: Manifest = serde_json::from_slice(bytes.reveal())
        .map_err(|_| damaged(directory, MANIFEST, "it cannot be understood"))?;
    if manifest.version != VERSION {
        return Err(damaged(directory, MANIFEST, "it is of another version of this program"));
    }
    Ok(manifest)
}

/// What a committed transaction left at each location that it changed.
pub(crate) fn read_after(directory: &Dir) -> Result<BTreeMap<String, Record>, HostError> {
    let bytes = directory.read(AFTER)?.ok_or_else(|| damaged(directory, AFTER, "it is missing"))?;
    serde_json::from_slice(bytes.reveal()).map_err(|_| damaged(directory, AFTER, "it cannot be understood"))
}

/// The copies that were removed because of the private key in them: each with that key's public half.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Purged {
    copies: BTreeMap<String, Sha256>,
}

impl Purged {
    /// Whether a copy of what the record tells of was removed.
    pub(crate) fn touches(&self, record: &Record) -> bool {
        match record {
            Record::File { copy, .. } => self.copies.contains_key(copy),
            Record::Tree { entries } => entries.values().any(|entry| self.touches(entry)),
            Record::Absent
            | Record::Directory { .. }
            | Record::Link { .. }
            | Record::Print { .. }
            | Record::Other => false,
        }
    }
}

/// Which copies of a visit were removed because of the keys in them.
pub(crate) fn read_purged(directory: &Dir) -> Result<Purged, HostError> {
    let Some(bytes) = directory.read(PURGED)? else { return Ok(Purged::default()) };
    serde_json::from_slice(bytes.reveal()).map_err(|_| damaged(directory, PURGED, "it cannot be understood"))
}

/// Removes every copy in the directory of a visit that holds a private key.
///
/// That they go is on the disk before they do: whoever reads the snapshot then knows why a copy is missing, and whoever is
/// interrupted finds the rest by what it holds.
pub(crate) fn purge(directory: &Dir, key: &Sha256) -> Result<(), HostError> {
    let mut found = BTreeSet::new();
    for copies in [BEFORE_COPIES, AFTER_COPIES] {
        let Some(from) = directory.child(copies)? else { continue };
        for name in from.names()? {
            let bytes = from.read(&name)?;
            if bytes.is_some_and(|bytes| contents(bytes.reveal()).private_keys.contains(key)) {
                found.insert((copies, name));
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    let mut purged = read_purged(directory)?;
    purged.copies.extend(found.iter().map(|(copies, name)| (format!("{copies}/{name}"), *key)));
    directory.write_whole(PURGED, &json(directory, PURGED, &purged)?)?;
    for copies in [BEFORE_COPIES, AFTER_COPIES] {
        let Some(from) = directory.child(copies)? else { continue };
        for (_, name) in found.iter().filter(|(of, _)| *of == copies) {
            from.remove_file(name)?;
        }
        from.sync()?;
    }
    Ok(())
}

impl Record {
    /// What may be told of it, also where a copy was removed because of the key in it.
    pub(crate) fn brief(&self, directory: &Dir, purged: &Purged) -> Result<Brief, HostError> {
        if !purged.touches(self) {
            return Ok(self.load(directory)?.brief());
        }
        Ok(match self {
            Self::File { mode, uid, gid, size, copy, .. } => Brief::File(FileBrief {
                mode: *mode,
                uid: *uid,
                gid: *gid,
                size: *size,
                private_keys: purged.copies.get(copy).copied().into_iter().collect(),
                purged: true,
                ..FileBrief::default()
            }),
            Self::Tree { entries } => {
                let mut files = BTreeMap::new();
                for (name, entry) in entries {
                    if let Brief::File(file) = entry.brief(directory, purged)? {
                        files.insert(name.clone(), file);
                    }
                }
                Brief::Tree { files }
            }
            Self::Absent | Self::Directory { .. } | Self::Link { .. } | Self::Print { .. } | Self::Other => {
                Brief::Absent
            }
        })
    }

    /// The whole image again.
    pub(crate) fn load(&self, directory: &Dir) -> Result<FileState, HostError> {
        Ok(match self {
            Self::Absent => FileState::Absent,
            Self::Directory { mode, uid, gid, .. } => {
                FileState::Directory(Access { mode: *mode, uid: *uid, gid: *gid })
            }
            Self::Link { target, uid, gid } => {
                FileState::Link { target: target.clone(), uid: *uid, gid: *gid }
            }
            Self::Tree { entries } => {
                let mut tree = TreeImage { entries: BTreeMap::new() };
                for (name, record) in entries {
                    tree.entries.insert(name.clone(), record.load_entry(directory)?);
                }
                FileState::Tree(tree)
            }
            Self::Other => FileState::Other,
            Self::Print { mode, uid, gid, told, salt, sha256, modified, attributes } => {
                let print = Print { salt: salt.clone(), sha256: *sha256, told: (**told).clone() };
                FileState::File(FileImage {
                    bytes: Bytes::Print(Box::new(print)),
                    access: Access { mode: *mode, uid: *uid, gid: *gid },
                    attributes: decoded(directory, attributes)?,
                    modified: *modified,
                })
            }
            Self::File { mode, uid, gid, size, copy, modified, attributes } => {
                let bytes = match copy.split_once('/') {
                    Some((copies, name)) => match directory.child(copies)? {
                        Some(copies) => copies.read(name)?,
                        None => None,
                    },
                    None => None,
                };
                let bytes = bytes.ok_or_else(|| damaged(directory, copy, "it is missing"))?;
                if u64::try_from(bytes.len()) != Ok(*size) {
                    return Err(damaged(directory, copy, "it has another length than the manifest says"));
                }
                FileState::File(FileImage {
                    bytes: bytes.into(),
                    access: Access { mode: *mode, uid: *uid, gid: *gid },
                    attributes: decoded(directory, attributes)?,
                    modified: *modified,
                })
            }
        })
    }

    /// The names below a directory that is kept with everything in it.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Tree { entries } => entries.keys().filter(|name| !name.is_empty()).cloned().collect(),
            Self::Absent
            | Self::Directory { .. }
            | Self::Link { .. }
            | Self::File { .. }
            | Self::Print { .. }
            | Self::Other => BTreeSet::new(),
        }
    }

    fn load_entry(&self, directory: &Dir) -> Result<Entry, HostError> {
        if let Self::Directory { mode, uid, gid, modified, attributes } = self {
            return Ok(Entry::Directory(DirectoryImage {
                access: Access { mode: *mode, uid: *uid, gid: *gid },
                attributes: decoded(directory, attributes)?,
                modified: *modified,
            }));
        }
        match self.load(directory)? {
            FileState::File(file) => Ok(Entry::File(file)),
            FileState::Link { target, uid, gid } => Ok(Entry::Link { target, uid, gid }),
            FileState::Absent | FileState::Directory(_) | FileState::Tree(_) | FileState::Other => {
                Err(damaged(directory, MANIFEST, "a directory is kept with something else than files in it"))
            }
        }
    }
}

fn decoded(
    directory: &Dir,
    attributes: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Vec<u8>>, HostError> {
    let mut decoded = BTreeMap::new();
    for (name, value) in attributes {
        let value = hex::decode(value)
            .map_err(|_| damaged(directory, MANIFEST, "an attribute cannot be understood"))?;
        decoded.insert(name.clone(), value);
    }
    Ok(decoded)
}

fn encoded(attributes: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    attributes.iter().map(|(name, value)| (name.clone(), hex::encode(value))).collect()
}

impl Copies<'_> {
    fn add(&mut self, location: &str, image: &FileState) -> Result<Record, HostError> {
        Ok(match image {
            FileState::Absent => Record::Absent,
            FileState::Directory(Access { mode, uid, gid }) => Record::Directory {
                mode: *mode,
                uid: *uid,
                gid: *gid,
                modified: None,
                attributes: BTreeMap::new(),
            },
            FileState::Tree(tree) => {
                let mut entries = BTreeMap::new();
                for (name, entry) in &tree.entries {
                    entries.insert(name.clone(), self.add_entry(&format!("{location}/{name}"), entry)?);
                }
                Record::Tree { entries }
            }
            FileState::Link { target, uid, gid } => {
                Record::Link { target: target.clone(), uid: *uid, gid: *gid }
            }
            FileState::Other => Record::Other,
            FileState::File(file) => {
                let FileImage { bytes, access: Access { mode, uid, gid }, attributes, modified } = file;
                self.taken += 1;
                let name = format!("{:04}", self.taken);
                self.directory.write_new(&name, file.content(location)?)?;
                Record::File {
                    mode: *mode,
                    uid: *uid,
                    gid: *gid,
                    size: bytes.len(),
                    copy: format!("{}/{name}", self.name),
                    modified: *modified,
                    attributes: encoded(attributes),
                }
            }
        })
    }

    fn add_entry(&mut self, location: &str, entry: &Entry) -> Result<Record, HostError> {
        match entry {
            Entry::Directory(DirectoryImage { access: Access { mode, uid, gid }, attributes, modified }) => {
                Ok(Record::Directory {
                    mode: *mode,
                    uid: *uid,
                    gid: *gid,
                    modified: *modified,
                    attributes: encoded(attributes),
                })
            }
            Entry::Link { target, uid, gid } => {
                Ok(Record::Link { target: target.clone(), uid: *uid, gid: *gid })
            }
            Entry::File(file) => self.add(location, &FileState::File(file.clone())),
        }
    }
}

fn write_copies<'a>(
    directory: &Dir,
    name: &'static str,
    images: impl Iterator<Item = (&'a String, &'a FileState)>,
) -> Result<BTreeMap<String, Record>, HostError> {
    directory.make_directory(name, 0o700)?;
    let into = directory.child(name)?.ok_or_else(|| damaged(directory, name, "it is missing"))?;
    let mut copies = Copies { directory: &into, name, taken: 0 };
    let mut records = BTreeMap::new();
    for (location, image) in images {
        records.insert(location.clone(), copies.add(location, image)?);
    }
    into.sync()?;
    Ok(records)
}

fn json(directory: &Dir, name: &str, value: &impl Serialize) -> Result<Vec<u8>, HostError> {
    let failed = |error: serde_json::Error| HostError::Refused {
        path: directory.path_of(name),
        reason: error.to_string(),
    };
    serde_json::to_vec_pretty(value).map_err(failed)
}

fn damaged(directory: &Dir, name: &str, reason: &str) -> HostError {
    HostError::Damaged { path: directory.path_of(name), reason: reason.to_owned() }
}
