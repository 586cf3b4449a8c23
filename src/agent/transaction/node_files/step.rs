//! The last step of each change: what was prepared takes its place, if what it replaces is still what was looked at.
//!
//! What enters is prepared files, links and directories; what leaves is the change. A directory's owner may exchange names in it at every moment, so each step
//! compares what is under a name right before it, and works on open descriptors otherwise.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

use crate::agent::fs::disk::{Beside, Dir, Identity, Removal, host_error};
use crate::agent::fs::file_state::{FileImage, FileState, TreeImage};
use crate::protocol::error::HostError;

/// A file that waits to take its place.
pub(super) struct Staged {
    pub(super) directory: Dir,
    pub(super) name: String,
    pub(super) temporary: String,
    /// What was under the name when it was looked at.
    pub(super) found: Option<Identity>,
    /// What was put under the temporary name.
    pub(super) own: Option<Identity>,
}

/// The visible part of a change.
pub(super) enum Step<'a> {
    Swap { index: usize },
    SetAccess { directory: Dir, name: String, image: &'a FileState, found: Option<Identity> },
    MakeDirectory { directory: Dir, name: String, image: &'a FileState },
    RemoveDirectory { directory: Dir, name: String, takes: &'a BTreeSet<String> },
    Fill { directory: Dir, name: String, tree: &'a TreeImage, takes: &'a BTreeSet<String> },
    Exchange { directory: Dir, name: String, temporary: String, is_link_left: bool, found: Option<Identity> },
    Remove { directory: Dir, name: String, found: Option<Identity> },
    Nothing,
}

impl Step<'_> {
    pub(super) fn take_place(self, staged: &[Staged], beside: &Beside) -> Result<(), HostError> {
        match self {
            Self::Swap { index } => {
                if let Some(Staged { directory, name, temporary, found, own }) = staged.get(index) {
                    directory.check_is(temporary, own.as_ref())?;
                    directory.check_is(name, found.as_ref())?;
                    match found {
                        Some(_) => directory.rename(temporary, name)?,
                        None => directory.rename_to_free(temporary, name)?,
                    }
                    directory.sync()?;
                }
                Ok(())
            }
            Self::SetAccess { directory, name, image, found } => {
                directory.check_is(&name, found.as_ref())?;
                set_access(&directory, &name, image, found)
            }
            Self::MakeDirectory { directory, name, image } => {
                directory.make_directory(&name, 0o700)?;
                set_access(&directory, &name, image, None)?;
                directory.sync()
            }
            // One that somebody else has put something into stays.
            Self::RemoveDirectory { directory, name, takes } => {
                if !takes.is_empty() {
                    directory.clear(&name, takes, beside)?;
                }
                match directory.remove_directory(&name)? {
                    Removal::Removed => directory.sync(),
                    Removal::NotEmpty => Ok(()),
                }
            }
            Self::Fill { directory, name, tree, takes } => {
                let superfluous: BTreeSet<String> =
                    takes.iter().filter(|path| !tree.entries.contains_key(*path)).cloned().collect();
                if !superfluous.is_empty() {
                    directory.clear(&name, &superfluous, beside)?;
                }
                directory.fill(&name, tree, beside)?;
                directory.sync()?;
                // No link may lead there before it is whole.
                if takes.is_empty() && !directory.capture_tree(&name)?.is_made_of(tree) {
                    return Err(HostError::Changed { path: directory.path_of(&name) });
                }
                Ok(())
            }
            Self::Exchange { directory, name, temporary, is_link_left, found } => {
                directory.check_is(&name, found.as_ref())?;
                directory.exchange(&temporary, &name)?;
                directory.sync()?;
                if is_link_left {
                    directory.remove_file(&temporary)?;
                    directory.sync()?;
                }
                Ok(())
            }
            Self::Remove { directory, name, found } => {
                directory.check_is(&name, found.as_ref())?;
                directory.remove_file(&name)?;
                directory.sync()
            }
            Self::Nothing => Ok(()),
        }
    }
}

fn set_access(
    directory: &Dir,
    name: &str,
    image: &FileState,
    found: Option<Identity>,
) -> Result<(), HostError> {
    match image {
        FileState::File(FileImage { access, .. }) | FileState::Directory(access) => {
            directory.set_access(name, *access, found)
        }
        FileState::Absent | FileState::Link { .. } | FileState::Tree(_) | FileState::Other => Ok(()),
    }
}

/// Fills a file that waits to take its place.
pub(super) fn stage_file(
    Staged { directory, temporary, own, .. }: &mut Staged,
    file: &OwnedFd,
    wanted: &FileImage,
) -> Result<(), HostError> {
    *own = Some(Identity::of(file).map_err(|error| host_error(directory.path_of(temporary), error))?);
    directory.fill_file(file, temporary, wanted)
}
