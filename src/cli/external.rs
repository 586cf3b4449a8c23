#![expect(
    clippy::disallowed_methods,
    reason = "reads and writes the directories that were named on the command line"
)]
//! What goes to an external CA and comes back from it: `--requests` and `--certificates`.
//!
//! What enters is a directory; what leaves is requests in it, one file each, or the certificates that were found there, checked. Both are public. No key is ever
//! read or written here.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use pki::diagnostic::{RenderStyle, render};
use pki::diff::signed::{EXTENSIONS, FileContent, Signed, check};
use pki::files::named;
use pki::types::names::{Address, ClusterName};
use pki::types::secret::Secret;
use pki::x509::CertificateRequest;
use pki::x509::pem::MAX_FILE_BYTES;
use serde::Serialize;

use super::cluster::Compared;
use super::{Exit, Global, files, terminal};

/// The most names that are read of a directory.
const MOST_FILES: usize = 100_000;

/// Where signed certificates come from.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CertificatesArguments {
    /// Install the certificates in this directory that an external CA has signed: NAME@NODE.crt, PEM, intermediates after the certificate. All of them are
    /// checked first, and with one fault none is installed
    #[arg(long, value_name = "DIR")]
    pub(super) certificates: Option<PathBuf>,
}

impl CertificatesArguments {
    /// The certificates that were brought, each as its request asked for it.
    ///
    /// # Errors
    /// The exit code, after everything that is wrong with any of them was told.
    pub(super) fn read(
        &self,
        compared: &Compared<'_>,
        now: Timestamp,
        global: &Global,
    ) -> Result<Signed, Exit> {
        let Some(directory) = &self.certificates else { return Ok(Signed::default()) };
        let found = contents(directory).map_err(|error| {
            terminal::tell(&format!(
                "error: --certificates: cannot read {}: {error}\n",
                files::shown(directory)
            ));
            Exit::Internal
        })?;
        if found.is_empty() {
            terminal::tell(&format!(
                "error: --certificates: no file in {} is named *.crt or *.pem\n  help: name each certificate as its request is named: NAME@NODE.crt\n",
                files::shown(directory)
            ));
            return Err(Exit::Usage);
        }
        check(&found, compared.survey, &compared.differences, now).map_err(|problems| {
            let style = terminal::stderr_style(global.color);
            let style = RenderStyle { color: style.color, ..RenderStyle::PLAIN };
            terminal::tell(&render(&problems, &[], style));
            terminal::tell("Nothing was installed and nothing was touched.\n");
            Exit::Blocked
        })
    }
}

/// Every file of the directory that may hold a certificate, by name.
fn contents(directory: &Path) -> io::Result<BTreeMap<String, FileContent>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)?.take(MOST_FILES) {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_certificate = name.rsplit_once('.').is_some_and(|(_, end)| EXTENSIONS.contains(&end));
        if is_certificate && !name.starts_with('.') {
            found.insert(name, content(&entry.path()));
        }
    }
    Ok(found)
}

fn content(path: &Path) -> FileContent {
    let file = named::named(path).map_err(|error| error.to_string())?;
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(Secret::new(bytes))
}

/// Where requests go.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct RequestsArguments {
    /// Write the requests for certificates that an external CA signs to this directory, as NAME@NODE.csr; ./pki-requests-CLUSTER when not given. Their keys
    /// wait on the nodes. Apply ends with 0 once everything else is done
    #[arg(long, value_name = "DIR")]
    requests: Option<PathBuf>,
}

/// A request that was written.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Written {
    /// The certificate.
    pub(super) address: Address,
    /// Its file.
    pub(super) file: String,
}

impl RequestsArguments {
    /// Whether requests could be written to the directory that was named.
    ///
    /// # Errors
    /// The exit code, after it was told.
    pub(super) fn can_write(&self) -> Result<(), Exit> {
        let Some(directory) = &self.requests else { return Ok(()) };
        // Permission bits say nothing to root, and nothing of a file system that takes no directories: only trying tells.
        let made: Vec<&Path> = directory.ancestors().take_while(|above| !above.exists()).collect();
        let tried = fs::create_dir_all(directory);
        for made in made {
            // What could not be made is not there; what somebody else has filled meanwhile stays.
            let _left = fs::remove_dir(made);
        }
        tried.map_err(|error| {
            let directory = files::shown(directory);
            terminal::tell(&format!("error: --requests: cannot make {directory}: {error}\n"));
            Exit::Internal
        })
    }

    /// Writes requests, each into a file of its own. One that is there already in the same words stays as it is.
    ///
    /// # Errors
    /// The exit code, after it was told. The requests wait on the nodes all the same, and the next apply writes them.
    pub(super) fn write(
        &self,
        cluster: &ClusterName,
        requests: &BTreeMap<Address, CertificateRequest>,
    ) -> Result<Vec<Written>, Exit> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let default = || PathBuf::from(format!("pki-requests-{cluster}"));
        let directory = self.requests.clone().unwrap_or_else(default);
        DirBuilder::new().recursive(true).mode(0o755).create(&directory).map_err(|error| {
            terminal::tell(&format!(
                "error: --requests: cannot make {}: {error}\n",
                files::shown(&directory)
            ));
            Exit::Internal
        })?;
        let mut written = Vec::new();
        for (address, request) in requests {
            let path = directory.join(format!("{address}.csr"));
            let text = request.to_pem();
            if !fs::read(&path).is_ok_and(|found| found == text.as_bytes()) {
                files::write(&path, &text, files::SHOWN)?;
            }
            written.push(Written { address: address.clone(), file: path.display().to_string() });
        }
        Ok(written)
    }
}
