//! Everything that one object of a file tree is.
//!
//! What enters is what was captured of a real or an imagined file tree; what leaves is a value that can be compared and restored. Bytes are
//! secrets, because any file may hold a key; of what was written only their print is kept. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::print::{Bytes, Salt};
use crate::protocol::error::HostError;
use crate::protocol::snapshots::{Brief, FileBrief};
use crate::types::secret::Secret;

/// An object, or that there is none. Links are not followed.
#[derive(Debug, Clone)]
pub(crate) enum FileState {
    Absent,
    Directory(Access),
    Link {
        target: String,
        uid: u32,
        gid: u32,
    },
    File(FileImage),
    /// A directory with everything in it, where it is moved or put back as a whole.
    Tree(TreeImage),
    /// A FIFO, socket or device. It is never opened, written or removed.
    Other,
}

/// A directory with everything in it.
#[derive(Debug, Clone)]
pub(crate) struct TreeImage {
    /// By path below the directory; the directory itself has the empty one. So whatever holds something comes before it.
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// One object in a tree. There are no others: a tree with a FIFO, socket or device in it is not captured.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Directory(DirectoryImage),
    Link { target: String, uid: u32, gid: u32 },
    File(FileImage),
}

/// A directory without what is in it.
#[derive(Debug, Clone)]
pub(crate) struct DirectoryImage {
    pub(crate) access: Access,
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    pub(crate) modified: Option<(i64, i64)>,
}

/// A regular file.
#[derive(Debug, Clone)]
pub(crate) struct FileImage {
    pub(crate) bytes: Bytes,
    pub(crate) access: Access,
    /// By name, the SELinux label among them.
    pub(crate) attributes: BTreeMap<String, Vec<u8>>,
    /// Last change of its content, in seconds and nanoseconds since 1970; a process that started later has read it. None is now.
    pub(crate) modified: Option<(i64, i64)>,
}

/// Who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl FileState {
    /// Whether both are the same to every reader. The time of the last change does not count: copying a file back does not undo what was done.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => true,
            (Self::Directory(one), Self::Directory(two)) => one == two,
            (
                Self::Link { target, uid, gid },
                Self::Link { target: other_target, uid: other_uid, gid: other_gid },
            ) => (target, uid, gid) == (other_target, other_uid, other_gid),
            (Self::File(one), Self::File(two)) => one.access == two.access && one.has_content_of(two),
            (Self::Tree(one), Self::Tree(two)) => one.same_as(two),
            (
                Self::Absent
                | Self::Directory(_)
                | Self::Link { .. }
                | Self::File(_)
                | Self::Tree(_)
                | Self::Other,
                _,
            ) => false,
        }
    }

    /// Whether both are the same as far as both tell: of a directory, one may know what is in it and the other not.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tree(tree), Self::Directory(access)) | (Self::Directory(access), Self::Tree(tree)) => {
                tree.access() == Some(*access)
            }
            (one, two) => one.same_as(two),
        }
    }

    /// Whether it is what was to be made. The system may add attributes of its own to a new file, such as an SELinux label, and a directory
    /// that somebody else has filled cannot go.
    pub(crate) fn is_as_intended(&self, intended: &Self) -> bool {
        match (self, intended) {
            (Self::File(left), Self::File(intended)) => {
                left.access == intended.access && left.bytes.are_those_of(&intended.bytes)
            }
            (Self::Directory(_), Self::Absent) => true,
            (Self::Tree(left), Self::Tree(intended)) => left.is_made_of(intended),
            (
                Self::Absent
                | Self::Directory(_)
                | Self::Link { .. }
                | Self::File(_)
                | Self::Tree(_)
                | Self::Other,
                _,
            ) => self.same_as(intended),
        }
    }

    /// The same without the bytes of any file: what has been written is known again by its digest, and no key stays in memory for it.
    pub(crate) fn printed(self, salt: &Salt) -> Self {
        match self {
            Self::File(file) => Self::File(file.printed(salt)),
            Self::Tree(TreeImage { entries }) => {
                let printed = |entry| match entry {
                    Entry::File(file) => Entry::File(file.printed(salt)),
                    other @ (Entry::Directory(_) | Entry::Link { .. }) => other,
                };
                let entries = entries.into_iter().map(|(name, entry)| (name, printed(entry))).collect();
                Self::Tree(TreeImage { entries })
            }
            other @ (Self::Absent | Self::Directory(_) | Self::Link { .. } | Self::Other) => other,
        }
    }

    /// Whether it is a directory with everything in it.
    pub(crate) fn is_tree(&self) -> bool {
        self.tree().is_some()
    }

    /// A directory with everything in it.
    pub(crate) fn tree(&self) -> Option<&TreeImage> {
        match self {
            Self::Tree(tree) => Some(tree),
            Self::Absent | Self::Directory(_) | Self::Link { .. } | Self::File(_) | Self::Other => None,
        }
    }

    /// In words for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Directory(_) | Self::Tree(_) => "a directory",
            Self::Link { .. } => "a symbolic link",
            Self::File(_) => "a file",
            Self::Other => "neither file nor directory",
        }
    }

    /// What may be told of it.
    pub(crate) fn brief(&self) -> Brief {
        match self {
            Self::Absent | Self::Other => Brief::Absent,
            Self::Directory(_) => Brief::Directory,
            Self::Link { target, .. } => Brief::Link { target: target.clone() },
            Self::File(file) => Brief::File(file.brief()),
            Self::Tree(tree) => Brief::Tree { files: tree.briefs() },
        }
    }
}

impl TreeImage {
    /// Owner and mode of the directory itself.
    pub(crate) fn access(&self) -> Option<Access> {
        match self.entries.get("") {
            Some(Entry::Directory(directory)) => Some(directory.access),
            Some(Entry::Link { .. } | Entry::File(_)) | None => None,
        }
    }

    /// Whether nothing is in the directory.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.len() <= 1
    }

    /// The paths below the directory.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.entries.keys().filter(|name| !name.is_empty()).cloned().collect()
    }

    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.entries.len() == other.entries.len() && self.is_within(other)
    }

    /// Whether everything in this tree is the same in the other, which may hold more.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        self.entries
            .iter()
            .all(|(name, entry)| other.entries.get(name).is_some_and(|other| entry.same_as(other)))
    }

    /// Whether this is what was to be made of the other; the system may add attributes of its own, such as an SELinux label.
    pub(crate) fn is_made_of(&self, other: &Self) -> bool {
        let plain = |tree: &Self| -> BTreeMap<String, Entry> {
            tree.entries.iter().map(|(name, entry)| (name.clone(), entry.without_attributes())).collect()
        };
        Self { entries: plain(self) }.same_as(&Self { entries: plain(other) })
    }

    /// What is at a path below the directory.
    pub(crate) fn at(&self, name: &str) -> FileState {
        match self.entries.get(name) {
            None => FileState::Absent,
            Some(Entry::Directory(directory)) => FileState::Directory(directory.access),
            Some(Entry::Link { target, uid, gid }) => {
                FileState::Link { target: target.clone(), uid: *uid, gid: *gid }
            }
            Some(Entry::File(file)) => FileState::File(file.clone()),
        }
    }

    /// Notes that what is at a path below the directory has changed.
    pub(crate) fn set(&mut self, name: &str, image: &FileState) {
        let entry = match image {
            FileState::Directory(access) => {
                let (attributes, modified) = match self.entries.get(name) {
                    Some(Entry::Directory(old)) => (old.attributes.clone(), old.modified),
                    Some(Entry::Link { .. } | Entry::File(_)) | None => (BTreeMap::new(), None),
                };
                Entry::Directory(DirectoryImage { access: *access, attributes, modified })
            }
            FileState::Link { target, uid, gid } => {
                Entry::Link { target: target.clone(), uid: *uid, gid: *gid }
            }
            FileState::File(file) => Entry::File(file.clone()),
            FileState::Absent | FileState::Tree(_) | FileState::Other => {
                self.entries.remove(name);
                return;
            }
        };
        self.entries.insert(name.to_owned(), entry);
    }

    /// A link that would lead elsewhere from another place: a relative one that leads out of the directory.
    pub(crate) fn link_out(&self) -> Option<(&str, &str)> {
        self.entries.iter().find_map(|(name, entry)| match entry {
            Entry::Link { target, .. } if leads_out(name, target) => Some((name.as_str(), target.as_str())),
            Entry::Link { .. } | Entry::Directory(_) | Entry::File(_) => None,
        })
    }

    fn briefs(&self) -> BTreeMap<String, FileBrief> {
        let files = self.entries.iter().filter_map(|(name, entry)| match entry {
            Entry::File(file) => Some((name.clone(), file.brief())),
            Entry::Directory(_) | Entry::Link { .. } => None,
        });
        files.collect()
    }
}

fn leads_out(name: &str, target: &str) -> bool {
    if target.starts_with('/') {
        return false;
    }
    let mut depth = name.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return true,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

impl Entry {
    fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory(one), Self::Directory(two)) => {
                one.access == two.access && one.attributes == two.attributes
            }
            (
                Self::Link { target, uid, gid },
                Self::Link { target: other_target, uid: other_uid, gid: other_gid },
            ) => (target, uid, gid) == (other_target, other_uid, other_gid),
            (Self::File(one), Self::File(two)) => one.access == two.access && one.has_content_of(two),
            (Self::Directory(_) | Self::Link { .. } | Self::File(_), _) => false,
        }
    }

    fn without_attributes(&self) -> Self {
        match self.clone() {
            Self::Directory(directory) => {
                Self::Directory(DirectoryImage { attributes: BTreeMap::new(), ..directory })
            }
            Self::File(file) => Self::File(FileImage { attributes: BTreeMap::new(), ..file }),
            link @ Self::Link { .. } => link,
        }
    }
}

impl FileImage {
    /// Whether bytes and attributes are the same, so that only owner and mode may differ.
    pub(crate) fn has_content_of(&self, other: &Self) -> bool {
        self.bytes.are_those_of(&other.bytes) && self.attributes == other.attributes
    }

    /// The bytes, for writing them to a path. What is known by its print alone is never written.
    pub(crate) fn content(&self, path: &str) -> Result<&[u8], HostError> {
        let reason = || "only a digest of it is known".to_owned();
        let whole = self.bytes.whole().map(Secret::reveal);
        whole.ok_or_else(|| HostError::Damaged { path: path.to_owned(), reason: reason() })
    }

    fn printed(self, salt: &Salt) -> Self {
        Self { bytes: Bytes::Print(self.bytes.print(salt)), ..self }
    }

    fn brief(&self) -> FileBrief {
        let Access { mode, uid, gid } = self.access;
        FileBrief { mode, uid, gid, ..self.bytes.brief() }
    }
}
