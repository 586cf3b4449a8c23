//! The files of custom root CAs, on the machine that runs `pki`.
//!
//! What enters are paths as a spec writes them and the folder of the spec; what leaves is the content of certificate files, and, of an approved plan alone,
//! the keys of the roots that it installs. Only regular files of at most 1 MiB are read, links to them included; nothing is written. A key file is opened by
//! [`keys`] and nowhere else.

use std::io::Read as _;
use std::path::Path;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::diagnostic::quoted;
use crate::files::named;
use crate::plan::Deed;
use crate::simulate::Plan;
use crate::spec::custom_root;
use crate::spec::custom_root::{CertificateFile, RootKey, RootKeyError, RootKeys};
use crate::types::names::{AuthorityName, Target};
use crate::types::secret::Secret;
use crate::x509::pem::MAX_FILE_BYTES;

/// Reads the certificate file that a spec names. `folder` is the folder of the spec; none for standard input.
pub fn certificate(folder: Option<&Path>, path: &str) -> CertificateFile {
    match read(folder, path) {
        Ok((content, _)) => CertificateFile::Content(content),
        Err(ReadError::Missing) => CertificateFile::Missing,
        Err(ReadError::Denied) => CertificateFile::Denied,
        Err(ReadError::NoFolder) => CertificateFile::NoFolder,
        Err(
            error @ (ReadError::NotAFile
            | ReadError::TooLarge
            | ReadError::Outside
            | ReadError::Refused { .. }),
        ) => CertificateFile::Unusable { reason: error.to_string() },
    }
}

/// Why a file could not be read. Says nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing is there.
    #[error("does not exist")]
    Missing,
    /// Whoever runs `pki` may not read it.
    #[error("may not be read by the user who runs pki")]
    Denied,
    /// It is a directory, a device, a socket or a pipe.
    #[error("is not a regular file")]
    NotAFile,
    /// More than a certificate or key file ever has.
    #[error("is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// The system refused for another reason.
    #[error("cannot be read: {reason}")]
    Refused {
        /// The system's own words.
        reason: String,
    },
    /// The path is relative and leads out of the spec's folder, by itself or by a link.
    #[error("is relative and leads out of the spec's folder; write its absolute path")]
    Outside,
    /// The path is relative, and the spec came from standard input.
    #[error("is relative, and a spec from standard input lies in no folder")]
    NoFolder,
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        if named::leads_out(&error) {
            return ReadError::Outside;
        }
        match (error.raw_os_error(), error.kind()) {
            (Some(code), _) => Errno::from_raw_os_error(code).into(),
            // Of the kind alone, it was found out here.
            (None, _) => ReadError::NotAFile,
        }
    }
}

impl From<Errno> for ReadError {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::NOTDIR => ReadError::Missing,
            Errno::ACCESS | Errno::PERM => ReadError::Denied,
            // A socket, or a device without a driver.
            Errno::NXIO | Errno::NODEV => ReadError::NotAFile,
            other => ReadError::Refused { reason: std::io::Error::from(other).to_string() },
        }
    }
}

/// What is wrong with the files of one root at apply.
#[derive(Debug, thiserror::Error)]
#[error("ca/{authority}: {} {problem}", quoted(path))]
pub struct RootError {
    /// The authority.
    pub authority: AuthorityName,
    /// The file, as the spec writes it.
    pub path: String,
    /// What is wrong with it.
    pub problem: RootProblem,
}

/// What is wrong with a file of a root at apply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootProblem {
    /// The certificate is another one than when the plan was made.
    #[error("is no longer the certificate that the plan shows")]
    Changed,
    /// It could not be read.
    #[error("{0}")]
    Unread(ReadError),
    /// It is not the key of this root.
    #[error("{0}")]
    Key(RootKeyError),
}

impl RootProblem {
    /// The way out.
    pub fn help(&self) -> &'static str {
        match self {
            RootProblem::Changed => "plan again",
            RootProblem::Unread(_) => {
                "check `source` in the spec, and run apply as a user who may read the file"
            }
            RootProblem::Key(error) => error.help(),
        }
    }
}

/// The keys of the roots that a plan installs, and what else should be known of their files.
#[derive(Debug, Default)]
pub struct Keys {
    /// By authority.
    pub keys: RootKeys,
    /// The key files that others than their owners may use, as the spec writes them, with their permission bits.
    pub open: Vec<(String, u32)>,
}

/// Reads the key of every root that an approved plan installs, and makes sure that each belongs to the certificate that the plan shows.
///
/// # Errors
/// Everything that is wrong, of all roots.
pub fn keys(plan: &Plan, folder: Option<&Path>) -> Result<Keys, Vec<RootError>> {
    let mut found = Keys::default();
    let mut errors = Vec::new();
    for action in plan.actions() {
        let (Deed::InstallAuthority { root, source, .. }, Target::Authority(authority)) =
            (&action.deed, &action.address.target)
        else {
            continue;
        };
        let error =
            |path: &str, problem| RootError { authority: authority.clone(), path: path.to_owned(), problem };
        match read(folder, &source.certificate) {
            Err(unread) => errors.push(error(&source.certificate, RootProblem::Unread(unread))),
            Ok((content, _)) if custom_root::read(content.reveal()).as_ref() != Ok(root) => {
                errors.push(error(&source.certificate, RootProblem::Changed));
            }
            Ok(_) => {}
        }
        match read(folder, &source.key) {
            Err(unread) => errors.push(error(&source.key, RootProblem::Unread(unread))),
            Ok((content, mode)) => {
                if mode & 0o077 != 0 {
                    found.open.push((source.key.clone(), mode));
                }
                match RootKey::read(root, &content) {
                    Ok(key) => {
                        found.keys.insert(authority.clone(), key);
                    }
                    Err(fault) => errors.push(error(&source.key, RootProblem::Key(fault))),
                }
            }
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// The content and the permission bits of a regular file.
fn read(folder: Option<&Path>, path: &str) -> Result<(Secret, u32), ReadError> {
    let path = Path::new(path);
    let mut file = match folder {
        Some(folder) => named::of_spec(folder, path)?,
        None if path.is_absolute() => named::named(path)?,
        None => return Err(ReadError::NoFolder),
    };
    let stat = rustix::fs::fstat(&file)?;
    let length = length(&stat)?;
    // Filled in place, so that no buffer that was too small stays behind with a part of a key. One byte more shows whether the file has grown.
    let mut bytes = Zeroizing::new(vec![0; length.saturating_add(1)]);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled = filled.saturating_add(count),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadError::Refused { reason: error.to_string() }),
        }
    }
    if filled > length {
        return Err(ReadError::Refused { reason: "it grows while it is read".to_owned() });
    }
    bytes.truncate(filled);
    Ok((Secret::new(bytes), stat.st_mode & 0o7777))
}

fn length(stat: &Stat) -> Result<usize, ReadError> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(ReadError::NotAFile);
    }
    let length = usize::try_from(stat.st_size).map_err(|_| ReadError::TooLarge)?;
    if length > MAX_FILE_BYTES { Err(ReadError::TooLarge) } else { Ok(length) }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make the files that are read")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn reason(file: CertificateFile) -> String {
        if let CertificateFile::Unusable { reason } = file { reason } else { format!("{file:?}") }
    }

    #[test]
    fn a_path_is_absolute_or_counts_from_the_folder_of_the_spec() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.crt");
        std::fs::write(&path, "text").unwrap();
        let absolute = path.to_str().unwrap();
        for (folder, path) in
            [(Some(folder.path()), "./ca.crt"), (None, absolute), (Some(Path::new("/")), absolute)]
        {
            let read = certificate(folder, path);
            assert!(
                matches!(&read, CertificateFile::Content(content) if content.reveal() == b"text"),
                "{read:?}"
            );
        }
        assert!(matches!(certificate(None, "ca.crt"), CertificateFile::NoFolder));
        assert!(matches!(certificate(Some(folder.path()), "none.crt"), CertificateFile::Missing));
        assert!(matches!(certificate(Some(folder.path()), "ca.crt/none.crt"), CertificateFile::Missing));
    }

    #[test]
    fn links_are_followed_to_regular_files_and_to_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let fifo = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(fifo.success());
        std::fs::write(at("file"), "text").unwrap();
        std::fs::File::create(at("large")).unwrap().set_len(1024 * 1024 + 1).unwrap();
        for target in ["file", "fifo", "large", "none", "loop", "/dev/zero"] {
            symlink(target, at(&format!("to-{}", target.replace('/', "")))).unwrap();
        }
        symlink("loop", at("loop")).unwrap();
        let read = |name: &str| certificate(Some(folder.path()), name);
        assert!(matches!(read("to-file"), CertificateFile::Content(_)));
        assert!(matches!(read("to-none"), CertificateFile::Missing));
        for name in ["to-fifo", "fifo", "."] {
            assert_eq!(reason(read(name)), "is not a regular file", "{name}");
        }
        let absolute = at("to-devzero");
        assert_eq!(reason(certificate(None, absolute.to_str().unwrap())), "is not a regular file");
        for name in ["to-devzero", "../file", "../../etc/passwd"] {
            assert!(reason(read(name)).contains("leads out of the spec's folder"), "{name}");
        }
        assert_eq!(reason(read("to-large")), "is larger than 1048576 bytes");
        assert!(reason(read("to-loop")).starts_with("cannot be read: Too many levels"));
    }
}
