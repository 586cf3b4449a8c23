//! The walk itself: from one descriptor to the next, with links read and followed here.
//!
//! What enters is the tree's root and the components of a path; what leaves is an [`Outcome`] and the links on the way.
//! It never gives the system a name with a `/` in it and never lets the system follow a link.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Found, Outcome, Place, Status, Tree, TreeError, refused, status};
use crate::observed::Hop;

/// Links followed in one walk before it counts as a loop; the number Linux itself uses (`MAXSYMLINKS`).
const HOP_LIMIT: usize = 40;
/// Bytes in a node path; the number Linux itself uses (`PATH_MAX`, with its closing NUL).
const PATH_LIMIT: usize = 4096;
/// Directories one walk may stand in. Each is an open descriptor, so a hostile chain of links must not use them all up.
const DEPTH_LIMIT: usize = 128;

/// One component still to be walked.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: OsString,
    /// Whether a link's target brought it, rather than the path that was asked for.
    from_link: bool,
}

/// A directory the walk went into.
#[derive(Debug)]
struct Entered {
    directory: OwnedFd,
    name: OsString,
}

/// A walk under way: the directories from the root to where it stands.
#[derive(Debug)]
pub(super) struct Walker<'tree> {
    tree: &'tree Tree,
    entered: Vec<Entered>,
    pub(super) hops: Vec<Hop>,
}

impl<'tree> Walker<'tree> {
    pub(super) fn new(tree: &'tree Tree) -> Self {
        Self { tree, entered: Vec::new(), hops: Vec::new() }
    }

    /// Walks `steps`, the last of which comes first.
    pub(super) fn run(&mut self, mut steps: Vec<Step>) -> Outcome {
        while let Some(step) = steps.pop() {
            if step.name == "." {
                continue;
            }
            if step.name == ".." {
                // At the root this does nothing, as in `/..`.
                self.entered.pop();
                continue;
            }
            let path = join(&self.path(), &step.name.to_string_lossy());
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = match rustix::fs::openat(self.here(), step.name.as_os_str(), flags, Mode::empty()) {
                Ok(opened) => opened,
                Err(Errno::NOENT) if step.from_link => return Outcome::Dangling { missing: path },
                Err(Errno::NOENT) => {
                    let name = step.name.to_string_lossy().into_owned();
                    return Outcome::Missing { parent: self.path(), name };
                }
                Err(error) => return Outcome::Failed(refused(path, error)),
            };
            let stat = match rustix::fs::fstat(&opened) {
                Ok(stat) => stat,
                Err(error) => return Outcome::Failed(refused(path, error)),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    // The link that was opened is read through its own descriptor: it cannot have become another.
                    let target = match rustix::fs::readlinkat(&opened, c"", Vec::new()) {
                        Ok(target) => OsString::from_vec(target.into_bytes()),
                        Err(error) => return Outcome::Failed(refused(path, error)),
                    };
                    if self.hops.len() == HOP_LIMIT {
                        return Outcome::Loop;
                    }
                    self.hops.push(Hop { path, target: target.to_string_lossy().into_owned() });
                    if target.as_bytes().starts_with(b"/") {
                        self.entered.clear();
                    }
                    steps.extend(split(&target, true));
                }
                FileType::Directory => {
                    if self.entered.len() == DEPTH_LIMIT {
                        return Outcome::Failed(TreeError::TooDeep { limit: DEPTH_LIMIT });
                    }
                    self.entered.push(Entered { directory: opened, name: step.name });
                }
                FileType::RegularFile
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {
                    if !steps.is_empty() {
                        return Outcome::Failed(TreeError::NotADirectory { path });
                    }
                    return self.arrive_at_leaf(opened, step.name, path, &stat);
                }
            }
        }
        self.arrive_at_directory()
    }

    fn arrive_at_leaf(
        &mut self,
        handle: OwnedFd,
        name: OsString,
        resolved: String,
        stat: &rustix::fs::Stat,
    ) -> Outcome {
        let status = Status::from_stat(stat);
        match self.place(name) {
            Ok(place) => Outcome::Found(Found { handle, place: Some(place), resolved, status }),
            Err(error) => Outcome::Failed(error),
        }
    }

    fn arrive_at_directory(&mut self) -> Outcome {
        let resolved = self.path();
        let (handle, place) = match self.entered.pop() {
            Some(last) => match self.place(last.name) {
                Ok(place) => (last.directory, Some(place)),
                Err(error) => return Outcome::Failed(error),
            },
            None => match self.tree.root.try_clone() {
                Ok(root) => (root, None),
                Err(error) => {
                    let reason = error.kind().to_string();
                    return Outcome::Failed(TreeError::Refused { path: resolved, reason });
                }
            },
        };
        match status(handle.as_fd()) {
            Ok(status) => Outcome::Found(Found { handle, place, resolved, status }),
            Err(error) => Outcome::Failed(refused(resolved, error)),
        }
    }

    /// The place of `name` in the directory the walk stands in.
    fn place(&mut self, name: OsString) -> Result<Place, TreeError> {
        let path = self.path();
        let directory = match self.entered.pop() {
            Some(last) => last.directory,
            None => match self.tree.root.try_clone() {
                Ok(root) => root,
                Err(error) => return Err(TreeError::Refused { path, reason: error.kind().to_string() }),
            },
        };
        Ok(Place { directory, path, name })
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.entered.last().map_or_else(|| self.tree.root.as_fd(), |entered| entered.directory.as_fd())
    }

    fn path(&self) -> String {
        if self.entered.is_empty() {
            return "/".to_owned();
        }
        self.entered.iter().map(|entered| format!("/{}", entered.name.to_string_lossy())).collect()
    }
}

/// The components of a node path, the last one first.
pub(super) fn components(path: &str) -> Result<Vec<Step>, TreeError> {
    if path.len() >= PATH_LIMIT {
        return Err(TreeError::TooLong { length: path.len(), limit: PATH_LIMIT - 1 });
    }
    if path.contains('\0') {
        return Err(TreeError::ContainsNul { path: path.to_owned() });
    }
    if !path.starts_with('/') {
        return Err(TreeError::Relative { path: path.to_owned() });
    }
    Ok(split(OsStr::new(path), false))
}

/// An ending slash becomes a last `.`, because both ask for a directory.
fn split(path: &OsStr, from_link: bool) -> Vec<Step> {
    let bytes = path.as_bytes();
    let ending = bytes.ends_with(b"/").then_some(b".".as_slice());
    let names = bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut steps: Vec<Step> = names
        .chain(ending)
        .map(|name| Step { name: OsStr::from_bytes(name).to_owned(), from_link })
        .collect();
    steps.reverse();
    steps
}

pub(super) fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}
