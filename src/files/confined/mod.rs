//! Files of a node, reached one path component at a time.
//!
//! What enters is an absolute node path (`/etc/kubernetes/pki/ca.crt`) and, for nodes that are a directory of this
//! machine, the `root` that stands for their `/`. What leaves is where the path led, every symbolic link met on the way,
//! and open descriptors for whoever reads or writes there.
//!
//! Each component is opened relative to the descriptor of the one before it and never follows a link by itself; links are
//! read and walked here. An absolute link target starts again at the root's descriptor and `..` steps back to the
//! descriptor that was walked before, so no path, no link and no one who swaps a directory for a link meanwhile can lead
//! outside the root: there is no moment at which a name that was checked is looked up again. `openat2` with
//! `RESOLVE_IN_ROOT` gives the same confinement but hides the hops, which the plan has to know.
//!
//! Nothing here writes, and nothing here blocks: only regular files are opened for reading.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::protocol::facts::{FileKind, Hop, UnsafeStep};

use crate::protocol::tree_error::TreeError;
pub(crate) use domain::opens_to_others;
use domain::{Kind, Object, Purpose, Standing, Trusted, Verdict, Way};
use walker::{Walker, components, join};

mod domain;
mod walker;

/// The file tree of a node.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    object: Object,
    device: u64,
    trusted: Trusted,
    /// What walks in it are for.
    purpose: Purpose,
    /// The links that the spec declares, each with the directory that it must lead to.
    links: BTreeMap<String, String>,
    /// This program's own directory in it. What lies there is only reached where nobody else could have put it.
    state: Option<String>,
}

/// Where a walk led, with every link it followed.
#[derive(Debug)]
pub struct Walk {
    /// The links that were followed, in order.
    pub hops: Vec<Hop>,
    /// Where it ended.
    pub outcome: Outcome,
}

/// The end of a walk.
#[derive(Debug)]
pub enum Outcome {
    /// The path leads to something that exists.
    Found(Found),
    /// A component of the path itself does not exist.
    Missing {
        /// The deepest directory of the path that exists, as a resolved node path.
        parent: String,
        /// The first component that is missing.
        name: String,
    },
    /// A link was followed and what it names does not exist.
    Dangling {
        /// The node path at which the link's target ends in nothing.
        missing: String,
    },
    /// More links than any honest path has.
    Loop,
    /// Somebody who is not trusted with the node decides where the path leads.
    Unsafe(Box<UnsafeStep>),
    /// The walk could not be finished, so nothing is known about what the path names.
    Failed(TreeError),
}

/// Something that exists, held open so that later use cannot meet something else under its name.
#[derive(Debug)]
pub struct Found {
    /// The object itself, opened without permission to read.
    handle: OwnedFd,
    /// Where its name stands; only the root directory has no such place.
    pub place: Option<Place>,
    /// Its node path with every link resolved.
    pub resolved: String,
    /// Its metadata when it was walked to.
    pub status: Status,
    /// A step on the way that was taken only because this is for looking.
    pub told: Option<UnsafeStep>,
}

/// A name in an open directory: what a reader opens and a writer replaces.
#[derive(Debug)]
pub struct Place {
    /// The directory, opened without permission to read.
    pub directory: OwnedFd,
    /// The directory's node path with every link resolved.
    pub path: String,
    /// The name in it. Never empty, never `.` or `..`, never with a `/`.
    pub name: OsString,
    /// Who decides what its names mean.
    pub(crate) standing: Guard,
}

/// What is needed to judge the next step from an open directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    standing: Standing,
    purpose: Purpose,
    trusted: Trusted,
}

impl Guard {
    /// Goes to an object in the directory that somebody has just opened.
    pub(crate) fn enter(
        &self,
        stat: &rustix::fs::Stat,
        handle: &OwnedFd,
        from: &str,
        to: &str,
    ) -> Result<Self, Box<UnsafeStep>> {
        let has_list =
            Status::from_stat(stat).kind == FileKind::Directory && walker::has_access_list(handle, stat);
        let object = walker::object_of(stat, has_list);
        match self.standing.step(&object, Way::Down { is_last: true }, self.purpose, self.trusted) {
            Verdict::Go(standing) | Verdict::Told(standing) => Ok(Self { standing, ..*self }),
            Verdict::Refused => {
                Err(Box::new(self.standing.refused(from.to_owned(), to.to_owned(), Some((&object, None)))))
            }
        }
    }

    /// Whether it is about this program's own state.
    pub(crate) fn is_state(&self) -> bool {
        self.purpose == Purpose::State
    }
}

/// Metadata of one file, directory or other object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: FileKind,
    /// The twelve permission bits.
    pub mode: u32,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Last change of its content.
    pub modified: Timestamp,
    /// Number of the device that holds it.
    pub device: u64,
    /// Number of its inode there.
    pub inode: u64,
}

/// The names in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Sorted names, without `.` and `..`.
    pub names: Vec<String>,
    /// Whether these are all; false when the directory has more than was asked for.
    pub complete: bool,
}

impl Tree {
    /// Opens the tree below `root`, or the machine's own when there is none.
    ///
    /// Links in the path of `root` itself are followed: whoever runs the program chose it.
    pub fn open(root: Option<PathBuf>) -> Result<Self, TreeError> {
        let root = root.unwrap_or_else(|| PathBuf::from("/"));
        let unusable = |error| TreeError::RootUnusable {
            root: root.to_string_lossy().into_owned(),
            reason: in_words(error),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(CWD, &root, flags, Mode::empty()).map_err(unusable)?;
        let stat = rustix::fs::fstat(&opened).map_err(unusable)?;
        Ok(Self {
            root: opened,
            object: walker::object_of(&stat, false),
            device: stat.st_dev,
            trusted: Trusted { serving: rustix::process::geteuid().as_raw() },
            purpose: Purpose::Look,
            links: BTreeMap::new(),
            state: None,
        })
    }

    /// The same tree for changing what is in it.
    #[must_use]
    pub fn for_work(self) -> Self {
        Self { purpose: Purpose::Work, ..self }
    }

    /// The same tree with the links that the spec declares, each with the directory that it must lead to.
    #[must_use]
    pub fn with_links(self, links: &BTreeMap<String, String>) -> Self {
        Self { links: links.clone(), ..self }
    }

    /// The same tree with this program's own directory in it.
    #[must_use]
    pub fn with_state(self, directory: &str) -> Self {
        Self { state: Some(directory.trim_end_matches('/').to_owned()), ..self }
    }

    /// What a walk to this path is for.
    fn purpose_of(&self, path: &str) -> Purpose {
        let below = self.state.as_ref().and_then(|state| path.strip_prefix(state.as_str()));
        if below.is_some_and(|below| below.is_empty() || below.starts_with('/')) {
            Purpose::State
        } else {
            self.purpose
        }
    }

    /// Walks to what `path` names, through every link, the last component's included.
    pub fn walk(&self, path: &str) -> Walk {
        let mut walker = Walker::new(self, self.purpose_of(path));
        let outcome = match components(path) {
            Ok(steps) => walker.run(steps),
            Err(error) => Outcome::Failed(error),
        };
        Walk { hops: walker.hops, outcome }
    }

    /// Walks to this program's own directory, which may still be open to others. Nobody else may decide anything on the way.
    pub(crate) fn walk_to_state(&self, path: &str) -> Walk {
        let mut walker = Walker::new(self, Purpose::State);
        walker.must_be_closed = false;
        let outcome = match components(path) {
            Ok(steps) => walker.run(steps),
            Err(error) => Outcome::Failed(error),
        };
        Walk { hops: walker.hops, outcome }
    }

    /// Walks to the directory that holds the name `path` ends in, and leaves that name alone: it may be missing, a file
    /// or a link. A writer decides about a link with open eyes; to write *through* one, it takes [`Found::place`].
    pub fn open_parent(&self, path: &str) -> Result<Place, TreeError> {
        self.open_parent_for(path, self.purpose_of(path))
    }

    /// The same where nobody else may decide anything on the way.
    pub(crate) fn open_parent_for_state(&self, path: &str) -> Result<Place, TreeError> {
        self.open_parent_for(path, Purpose::State)
    }

    fn open_parent_for(&self, path: &str, purpose: Purpose) -> Result<Place, TreeError> {
        let mut steps = components(path)?;
        // An ending slash or `.` names the same object as the path without it.
        while steps.first().is_some_and(|step| step.name == ".") {
            steps.remove(0);
        }
        let no_name = || TreeError::NoName { path: path.to_owned() };
        let last = if steps.is_empty() { return Err(no_name()) } else { steps.remove(0) };
        if last.name == ".." {
            return Err(no_name());
        }
        let mut walker = Walker::new(self, purpose);
        walker.must_be_closed = false;
        match walker.run(steps) {
            Outcome::Found(found) => match found.status.kind {
                FileKind::Directory => {
                    let standing = walker.guard();
                    let place =
                        Place { directory: found.handle, path: found.resolved, name: last.name, standing };
                    self.judge(&place)?;
                    Ok(place)
                }
                FileKind::Regular | FileKind::Other => Err(TreeError::NotADirectory { path: found.resolved }),
            },
            Outcome::Missing { parent, name } => Err(TreeError::NoParent { missing: join(&parent, &name) }),
            Outcome::Dangling { missing } => Err(TreeError::DanglingParent { missing }),
            Outcome::Loop => Err(TreeError::LoopingParent),
            Outcome::Unsafe(step) => Err(TreeError::Unsafe(step)),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Refuses a name that a writer may not take. A link there is none of its matter: it is not followed.
    fn judge(&self, place: &Place) -> Result<(), TreeError> {
        let path = || join(&place.path, &place.name.to_string_lossy());
        let Guard { standing, purpose, trusted } = &place.standing;
        if !standing.may_create(*purpose) {
            let step = standing.refused(place.path.clone(), path(), None);
            return Err(TreeError::Unsafe(Box::new(step)));
        }
        let stat =
            match rustix::fs::statat(&place.directory, place.name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(refused(path(), error)),
            };
        let object = walker::object_of(&stat, false);
        let verdict = standing.step(&object, Way::Down { is_last: true }, *purpose, *trusted);
        if object.kind != Kind::Link && verdict == Verdict::Refused {
            let step = standing.refused(place.path.clone(), path(), Some((&object, None)));
            return Err(TreeError::Unsafe(Box::new(step)));
        }
        Ok(())
    }

    /// Reads a regular file of at most `limit` bytes, with the metadata of exactly what was read.
    ///
    /// The buffer is wiped when dropped, because any file may turn out to hold a key. A file that is replaced or
    /// written meanwhile gives [`TreeError::Changed`]; walking again finds the new one.
    pub fn read(&self, found: &Found, limit: usize) -> Result<(Zeroizing<Vec<u8>>, Status), TreeError> {
        let path = || found.resolved.clone();
        let Some(place) = &found.place else { return Err(TreeError::NotRegular { path: path() }) };
        match found.status.kind {
            FileKind::Regular => {}
            FileKind::Directory | FileKind::Other => return Err(TreeError::NotRegular { path: path() }),
        }
        // Should a FIFO have taken the name since, O_NONBLOCK keeps the open from waiting for its writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let opened = match rustix::fs::openat(&place.directory, place.name.as_os_str(), flags, Mode::empty())
        {
            Ok(opened) => opened,
            Err(Errno::LOOP | Errno::NOENT | Errno::NXIO) => return Err(TreeError::Changed { path: path() }),
            Err(error) => return Err(refused(path(), error)),
        };
        let before = status(opened.as_fd()).map_err(|error| refused(path(), error))?;
        match before.kind {
            FileKind::Regular => {}
            FileKind::Directory | FileKind::Other => return Err(TreeError::Changed { path: path() }),
        }
        let too_large = || TreeError::TooLarge { path: path(), limit };
        let size = usize::try_from(before.size).map_err(|_| too_large())?;
        if size > limit {
            return Err(too_large());
        }
        let mut file = File::from(opened);
        // One byte more than the file has, so that growth shows, and never a second buffer that would not be wiped.
        let mut bytes = Zeroizing::new(vec![0; size.saturating_add(1)]);
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read(rest) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(TreeError::Refused { path: path(), reason: error.kind().to_string() });
                }
            }
        }
        let after = status(file.as_fd()).map_err(|error| refused(path(), error))?;
        if filled != size || after != before {
            return Err(TreeError::Changed { path: path() });
        }
        bytes.truncate(size);
        Ok((bytes, before))
    }

    /// Lists a directory, at most `limit` names of it.
    pub fn list(&self, found: &Found, limit: usize) -> Result<Listing, TreeError> {
        let failed = |error| match error {
            Errno::NOTDIR => TreeError::NotADirectory { path: found.resolved.clone() },
            other => refused(found.resolved.clone(), other),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&found.handle, ".", flags, Mode::empty()).map_err(failed)?;
        let mut names = Vec::new();
        let mut complete = true;
        for entry in Dir::new(opened).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if names.len() == limit {
                complete = false;
                break;
            }
            names.push(String::from_utf8_lossy(name).into_owned());
        }
        names.sort();
        Ok(Listing { names, complete })
    }
}

impl Status {
    fn from_stat(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::Regular,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => FileKind::Other,
        };
        let nanoseconds = i32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        // A file may carry a time outside the years that a timestamp can say; the nearest one is the honest answer.
        let outside = if stat.st_mtime < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: Timestamp::new(stat.st_mtime, nanoseconds).unwrap_or(outside),
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

fn status(descriptor: BorrowedFd<'_>) -> Result<Status, Errno> {
    rustix::fs::fstat(descriptor).map(|stat| Status::from_stat(&stat))
}

fn refused(path: String, error: Errno) -> TreeError {
    TreeError::Refused { path, reason: in_words(error) }
}

/// The system's message without the number that the standard library adds to it.
pub(crate) fn in_words(error: Errno) -> String {
    let message = std::io::Error::from(error).to_string();
    message.split_once(" (os error").map_or(message.clone(), |(words, _)| words.to_owned())
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make the files that the walk is tested on")]
mod tests;
