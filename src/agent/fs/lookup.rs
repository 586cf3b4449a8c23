//! What is looked at by whoever reads a node: a path goes in, and what is found there comes out.
//!
//! It is the lowest thing that is known of a node's files, whatever they are made of. Bytes are wiped when they are dropped. Nothing is written, and nothing judged.

use zeroize::Zeroizing;

use crate::agent::fs::disk::COPY_LIMIT;
use crate::files::confined::{Listing, Outcome, Status, Tree, Walk};
use crate::protocol::error::HostError;
use crate::protocol::facts::{FileKind, Hop, UnsafeStep};
use crate::protocol::named_files::LIST_LIMIT;
use crate::protocol::tree_error::TreeError;
use crate::types::secret::Secret;

/// Most bytes that are read of one file: a bundle of all public roots has a fifth of that.
const READ_LIMIT: usize = 1024 * 1024;

/// How often a file is walked to again that was replaced while it was read. Whoever renews files replaces each once.
const ATTEMPTS: usize = 3;

/// Something that has files at paths.
pub(crate) trait Lookup {
    /// Walks to a path through every link, and takes from there what is wanted.
    fn look(&self, path: &str, want: Detail) -> LookupResult;
}

/// What is taken from the object at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Its metadata.
    Place,
    /// Also the names, when it is a directory.
    Names,
    /// Also the names of a directory and the bytes of a file.
    Bytes,
    /// The same of what a snapshot keeps, where a file may be as large as one that is copied.
    Copy,
}

/// What was seen at a path.
pub(crate) enum LookupResult {
    Found {
        hops: Vec<Hop>,
        resolved: String,
        status: Status,
        payload: Payload,
        /// A step on the way that is taken for looking only.
        told: Option<Box<UnsafeStep>>,
    },
    /// Somebody who is not trusted with the node decides where the path leads.
    Unsafe {
        step: Box<UnsafeStep>,
    },
    Missing,
    Dangling {
        hops: Vec<Hop>,
        missing: String,
    },
    Looping {
        hops: Vec<Hop>,
    },
    Failed {
        reason: String,
    },
}

/// What was taken from an object.
pub(crate) enum Payload {
    NotRead,
    Bytes(Zeroizing<Vec<u8>>),
    Names(Listing),
    Failed { reason: String },
}

impl Detail {
    /// What to take from an object of this kind.
    pub(crate) fn of(self, kind: FileKind) -> Self {
        match (self, kind) {
            (Self::Place, _) | (_, FileKind::Other) | (Self::Names, FileKind::Regular) => Self::Place,
            (Self::Names | Self::Bytes | Self::Copy, FileKind::Directory) => Self::Names,
            (Self::Bytes | Self::Copy, FileKind::Regular) => self,
        }
    }

    /// Most bytes that are read of the file.
    pub(crate) fn limit(self) -> usize {
        match self {
            Self::Place | Self::Names => 0,
            Self::Bytes => READ_LIMIT,
            Self::Copy => COPY_LIMIT,
        }
    }
}

impl Lookup for Tree {
    fn look(&self, path: &str, want: Detail) -> LookupResult {
        let mut attempts = 1;
        loop {
            match self.attempt(path, want) {
                Err(TreeError::Changed { .. }) if attempts < ATTEMPTS => attempts += 1,
                Err(error) => return LookupResult::Failed { reason: error.to_string() },
                Ok(sight) => return sight,
            }
        }
    }
}

impl Tree {
    /// Walks and reads once. Of the errors of reading only a changed file leaves, because it means to walk again.
    fn attempt(&self, path: &str, want: Detail) -> Result<LookupResult, TreeError> {
        let Walk { hops, outcome } = self.walk(path);
        let found = match outcome {
            Outcome::Found(found) => found,
            Outcome::Missing { .. } => return Ok(LookupResult::Missing),
            Outcome::Dangling { missing } => return Ok(LookupResult::Dangling { hops, missing }),
            Outcome::Loop => return Ok(LookupResult::Looping { hops }),
            Outcome::Unsafe(step) => return Ok(LookupResult::Unsafe { step }),
            Outcome::Failed(error) => return Ok(LookupResult::Failed { reason: error.to_string() }),
        };
        let mut status = found.status;
        let taken = match want.of(status.kind) {
            Detail::Place => Ok(Payload::NotRead),
            Detail::Names => self.list(&found, LIST_LIMIT).map(Payload::Names),
            want @ (Detail::Bytes | Detail::Copy) => {
                self.read(&found, want.limit()).map(|(bytes, of_bytes)| {
                    status = of_bytes;
                    Payload::Bytes(bytes)
                })
            }
        };
        let payload = match taken {
            Ok(payload) => payload,
            Err(changed @ TreeError::Changed { .. }) => return Err(changed),
            Err(error) => Payload::Failed { reason: error.to_string() },
        };
        let told = found.told.map(Box::new);
        Ok(LookupResult::Found { hops, resolved: found.resolved, status, payload, told })
    }
}

/// Reads a file through every link; `None` when nothing is there.
pub(crate) fn read(objects: &impl Lookup, path: &str) -> Result<Option<Secret>, HostError> {
    match objects.look(path, Detail::Bytes) {
        LookupResult::Found { payload: Payload::Bytes(bytes), .. } => Ok(Some(Secret::new(bytes))),
        LookupResult::Found { payload: Payload::NotRead | Payload::Names(_), .. } => {
            Err(HostError::NotAFile { path: path.to_owned() })
        }
        LookupResult::Found { payload: Payload::Failed { reason }, .. } | LookupResult::Failed { reason } => {
            Err(HostError::Path { path: path.to_owned(), reason })
        }
        LookupResult::Unsafe { step } => Err(HostError::Unsafe { path: path.to_owned(), step }),
        LookupResult::Missing => Ok(None),
        LookupResult::Dangling { missing, .. } => Err(HostError::Dangling { path: path.to_owned(), missing }),
        LookupResult::Looping { .. } => Err(looping(path)),
    }
}

/// The same, where it has to be there.
pub(crate) fn existing(objects: &impl Lookup, path: &str) -> Result<Secret, HostError> {
    read(objects, path)?.ok_or_else(|| HostError::Missing { path: path.to_owned() })
}

/// That no end is reached.
pub(crate) fn looping(path: &str) -> HostError {
    HostError::Path { path: path.to_owned(), reason: "the links on the way form a loop".to_owned() }
}
