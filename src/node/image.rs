//! Everything that one object of a file tree is.
//!
//! What enters is what was captured of a real or an imagined file tree; what leaves is a value that can be compared and put back. Bytes are
//! secrets, because any file may hold a key. Pure.

use std::collections::BTreeMap;

use crate::kubeconfig::{KubeconfigFacts, Material};
use crate::material::PemFacts;
use crate::secret::Secret;
use crate::visits::{Brief, FileBrief};

/// An object, or that there is none. Links are not followed.
#[derive(Debug, Clone)]
pub(super) enum Image {
    Absent,
    Directory(Access),
    Link {
        target: String,
        uid: u32,
        gid: u32,
    },
    File(FileImage),
    /// A FIFO, socket or device. It is never opened, written or removed.
    Other,
}

/// A regular file.
#[derive(Debug, Clone)]
pub(super) struct FileImage {
    pub(super) bytes: Secret,
    pub(super) access: Access,
    /// By name, the SELinux label among them.
    pub(super) attributes: BTreeMap<String, Vec<u8>>,
    /// Last change of its content, in seconds and nanoseconds since 1970; a process that started later has read it. None is now.
    pub(super) modified: Option<(i64, i64)>,
}

/// Who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Image {
    /// Whether both are the same to every reader. The time of the last change does not count: copying a file back does not undo what was done.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent, Self::Absent) => true,
            (Self::Directory(one), Self::Directory(two)) => one == two,
            (
                Self::Link { target, uid, gid },
                Self::Link { target: other_target, uid: other_uid, gid: other_gid },
            ) => (target, uid, gid) == (other_target, other_uid, other_gid),
            (Self::File(one), Self::File(two)) => one.access == two.access && one.has_content_of(two),
            (Self::Absent | Self::Directory(_) | Self::Link { .. } | Self::File(_) | Self::Other, _) => false,
        }
    }

    /// In words for a message.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Directory(_) => "a directory",
            Self::Link { .. } => "a symbolic link",
            Self::File(_) => "a file",
            Self::Other => "neither file nor directory",
        }
    }

    /// What may be told of it.
    pub(super) fn brief(&self) -> Brief {
        match self {
            Self::Absent | Self::Other => Brief::Absent,
            Self::Directory(_) => Brief::Directory,
            Self::Link { target, .. } => Brief::Link { target: target.clone() },
            Self::File(file) => Brief::File(file.brief()),
        }
    }
}

impl FileImage {
    /// Whether bytes and attributes are the same, so that only owner and mode may differ.
    pub(super) fn has_content_of(&self, other: &Self) -> bool {
        self.bytes.reveal() == other.bytes.reveal() && self.attributes == other.attributes
    }

    fn brief(&self) -> FileBrief {
        let Access { mode, uid, gid } = self.access;
        let mut brief = FileBrief {
            mode,
            uid,
            gid,
            size: u64::try_from(self.bytes.len()).unwrap_or(u64::MAX),
            certificates: Vec::new(),
            private_keys: Vec::new(),
            public_keys: Vec::new(),
        };
        let kubeconfig = KubeconfigFacts::read(self.bytes.reveal());
        match kubeconfig.current() {
            Some((cluster, user)) => {
                for material in [&user.certificate, &user.key, &cluster.authority] {
                    if let Material::Embedded(pem) = material {
                        brief.add(pem);
                    }
                }
            }
            None => brief.add(&PemFacts::read(self.bytes.reveal())),
        }
        brief
    }
}

impl FileBrief {
    fn add(&mut self, pem: &PemFacts) {
        self.certificates.extend(pem.certificates.iter().cloned());
        self.private_keys.extend(pem.keys.iter().map(|key| key.spki_sha256));
        self.public_keys.extend(pem.public_keys.iter().map(|key| key.spki_sha256));
    }
}
