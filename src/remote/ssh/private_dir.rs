#![expect(clippy::disallowed_methods, reason = "makes and removes the private directory of a run")]
//! A directory for the sockets of one run, which nobody else can enter.
//!
//! What enters is where such directories are; what leaves is a new one of mode 0700, gone when the run ends. Beside each is a lock file that its run holds
//! (`flock`, so it ends with the process, however that ends): the next run removes the directories of runs that are gone, and no others. In a directory that
//! others may write to, a name that is known beforehand is theirs to take, so there the directory's name is random.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Runs of one process, one after the other or at once, have directories of their own.
const MOST: u32 = 1000;
const LOCK: &str = "lock";

/// Where a directory with a random name is made.
const SHARED: &str = "/tmp";
/// Letters of a random name; each is one of 62, so that together they are more than 64 random bits.
const RANDOM_LETTERS: usize = 12;

/// The directory of a run.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    path: PathBuf,
    /// Held as long as the directory is in use.
    _lock: File,
    /// The directory around it, where that is this run's alone.
    around: Option<TempDir>,
}

impl PrivateDirectory {
    /// Makes a directory in the first of these places that can be used, or in a new one.
    ///
    /// # Errors
    /// When no directory can be made at all.
    pub(super) fn in_one_of(bases: &[PathBuf]) -> io::Result<Self> {
        Self::in_one_of_or_below(bases, Path::new(SHARED))
    }

    fn in_one_of_or_below(bases: &[PathBuf], shared: &Path) -> io::Result<Self> {
        // Why a place cannot be used is nobody's concern while there is another.
        if let Some(directory) = bases.iter().find_map(|base| Self::new(base).ok()) {
            return Ok(directory);
        }
        // `mkdtemp`: made with mode 0700, and never one that is there.
        let around = tempfile::Builder::new()
            .prefix("pki-")
            .rand_bytes(RANDOM_LETTERS)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(shared)?;
        let mut directory = Self::new(around.path())?;
        directory.around = Some(around);
        Ok(directory)
    }

    /// Makes a directory below `base`, and removes those of dead runs.
    ///
    /// # Errors
    /// When `base` cannot be made, or is open to others.
    pub(super) fn new(base: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let found = fs::symlink_metadata(base)?;
        let own = rustix::process::geteuid().as_raw();
        if !found.is_dir() || found.uid() != own || found.mode() & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "{} is not a directory of this user alone",
                base.display()
            )));
        }
        sweep(base)?;
        for number in 0..MOST {
            let path = base.join(format!("run-{}-{number}", std::process::id()));
            let lock = path.with_extension(LOCK);
            let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            // In between another run may have taken it for one that is left over: then it is gone.
            if file.try_lock().is_err() || !is_same(&file, &lock) {
                continue;
            }
            DirBuilder::new().mode(0o700).create(&path)?;
            return Ok(Self { path, _lock: file, around: None });
        }
        Err(io::Error::other(format!("{} is full", base.display())))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        // What cannot be removed now the next run removes.
        let _gone = fs::remove_dir_all(&self.path);
        let _gone = fs::remove_file(self.path.with_extension(LOCK));
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(found)) => open.ino() == found.ino() && open.dev() == found.dev(),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

fn sweep(base: &Path) -> io::Result<()> {
    for entry in fs::read_dir(base)? {
        let lock = entry?.path();
        if lock.extension().is_none_or(|extension| extension != LOCK) {
            continue;
        }
        let Ok(file) = OpenOptions::new().write(true).open(&lock) else { continue };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => continue,
        }
        // Two runs may sweep at once; the other one has removed it then.
        let _gone = fs::remove_dir_all(lock.with_extension(""));
        let _gone = fs::remove_file(&lock);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(base)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_run_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("pki");
        let directory = PrivateDirectory::new(&base).unwrap();
        fs::write(directory.path().join("socket"), "").unwrap();
        assert_eq!(fs::metadata(directory.path()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(names(&base).len(), 2);
        drop(directory);
        assert!(names(&base).is_empty());
    }

    #[test]
    fn what_a_dead_run_left_is_swept_and_what_lives_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("pki");
        let living = PrivateDirectory::new(&base).unwrap();
        let dead = base.join("run-1-0");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join("socket"), "").unwrap();
        fs::write(base.join("run-1-0.lock"), "").unwrap();
        let second = PrivateDirectory::new(&base).unwrap();
        assert!(!dead.exists() && living.path().exists() && second.path().exists());
        assert_ne!(living.path(), second.path());
        assert_eq!(names(&base).len(), 4);
    }

    #[test]
    fn a_place_that_somebody_has_taken_is_passed_over_for_a_name_that_nobody_knows() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("pki-0");
        DirBuilder::new().mode(0o755).create(&taken).unwrap();
        let missing = folder.path().join("none/pki");
        let directory =
            PrivateDirectory::in_one_of_or_below(&[taken.clone(), missing], folder.path()).unwrap();
        let around = directory.path().parent().unwrap().to_owned();
        assert_eq!(around.parent(), Some(folder.path()));
        assert_eq!(fs::metadata(&around).unwrap().mode() & 0o777, 0o700);
        assert_eq!(around.file_name().unwrap().len(), "pki-".len() + RANDOM_LETTERS);
        let own = folder.path().join("own");
        let preferred = PrivateDirectory::in_one_of_or_below(&[taken, own.clone()], folder.path()).unwrap();
        assert_eq!(preferred.path().parent(), Some(own.as_path()));
        drop((directory, preferred));
        assert!(!around.exists(), "it goes with its run");
    }

    #[test]
    fn a_directory_that_others_can_enter_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("pki");
        DirBuilder::new().mode(0o755).create(&base).unwrap();
        assert!(
            PrivateDirectory::new(&base)
                .unwrap_err()
                .to_string()
                .contains("is not a directory of this user alone")
        );
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&base, &link).unwrap();
        assert!(PrivateDirectory::new(&link).is_err());
    }
}
