//! Where the certificates of a spec and its profile are kept, and where else they lie.

use std::collections::BTreeMap;

use super::parts::{owned_file, pair};
use super::{ResolveError, unknown_placeholder};
use crate::desired::DesiredCopy;
use crate::desired::template::Values;
use crate::profile::{CombinedEntry, Keep, KubeconfigEntry, StorageEntry};
use crate::spec::types::{Certificate, Files, KubeconfigFile, Place};
use crate::types::certificate::SubjectName;
use crate::types::names::{AuthorityName, CopyName, IdentityName};
use crate::types::scalars::FileMode;
use crate::types::storage::Storage;

/// Where a kubeconfig leads that the spec declares without saying where.
pub(super) const ENDPOINT_URL: &str = "{endpoint-url}";

pub(super) fn entry_storage(entry: &StorageEntry, values: &Values) -> Option<Storage> {
    match entry {
        StorageEntry::Files(files) => {
            let (certificate, key) = pair(files, values)?;
            Some(Storage::Pair { certificate, key })
        }
        StorageEntry::Combined(CombinedEntry { path, mode, owner }) => {
            Some(Storage::Combined { file: owned_file(path, owner.as_deref(), *mode, values)? })
        }
        StorageEntry::Kubeconfig(KubeconfigEntry { path, mode, server, user, trusts, rotated }) => {
            Some(Storage::Kubeconfig {
                file: owned_file(path, None, *mode, values)?,
                server: values.fill(server),
                user: values.fill(user)?,
                trusts: trusts.clone(),
                rotated: rotated.clone(),
            })
        }
    }
}

/// A copy of a kubeconfig leads to the same server.
pub(super) fn with_server_of(main: &Storage, copy: Storage) -> Storage {
    match (main, copy) {
        (
            Storage::Kubeconfig { server: Some(known), .. },
            Storage::Kubeconfig { file, user, trusts, rotated, .. },
        ) => Storage::Kubeconfig { file, server: Some(known.clone()), user, trusts, rotated },
        (_, copy) => copy,
    }
}

/// The files whose permission bits the spec declares, each with its place in it.
pub(super) fn declared_modes(
    name: &IdentityName,
    declared: &Certificate,
    storage: &Storage,
) -> BTreeMap<String, Vec<String>> {
    let at = |of: &str, field: &str| {
        ["spec", "certificates", name.as_str(), of, field].map(str::to_owned).to_vec()
    };
    let modes = match storage {
        Storage::Pair { certificate, key } => declared
            .files
            .iter()
            .flat_map(|files| {
                let certificate =
                    files.certificate_mode.map(|_| (&certificate.path, at("files", "certificateMode")));
                let key = files.mode.map(|_| (&key.path, at("files", "mode")));
                [certificate, key].into_iter().flatten()
            })
            .collect(),
        Storage::Kubeconfig { file, .. } => {
            let declared = declared.kubeconfig.iter().filter(|kubeconfig| kubeconfig.mode.is_some());
            declared.map(|_| (&file.path, at("kubeconfig", "mode"))).collect::<Vec<_>>()
        }
        Storage::Combined { .. } => Vec::new(),
    };
    modes.into_iter().map(|(path, by)| (path.clone(), by)).collect()
}

/// Where the spec says that an identity is kept. A kubeconfig's user is called as its certificate calls it.
pub(super) fn declared_storage(
    files: Option<&Files>,
    kubeconfig: Option<&KubeconfigFile>,
    subject: Option<&SubjectName>,
    authority: Option<&AuthorityName>,
    values: &Values,
) -> Option<Storage> {
    if let Some(files) = files {
        let (certificate, key) = pair(files, values)?;
        return Some(Storage::Pair { certificate, key });
    }
    let KubeconfigFile { path, server, owner, mode } = kubeconfig?;
    let server = server.as_deref().unwrap_or(ENDPOINT_URL);
    Some(Storage::Kubeconfig {
        file: owned_file(path, owner.as_deref(), mode.unwrap_or(FileMode::PRIVATE), values)?,
        server: values.fill(server),
        user: subject?.common_name.clone(),
        trusts: authority?.clone(),
        rotated: None,
    })
}

pub(super) fn declared_copies(
    name: &IdentityName,
    declared: &Certificate,
    main: &Storage,
    subject: Option<&SubjectName>,
    authority: Option<&AuthorityName>,
    values: &Values,
    problems: &mut Vec<ResolveError>,
) -> BTreeMap<CopyName, DesiredCopy> {
    let mut copies = BTreeMap::new();
    for (copy, Place { files, combined, kubeconfig }) in &declared.copies {
        let storage = match combined {
            Some(file) => {
                let mode = file.mode.unwrap_or(FileMode::PRIVATE);
                owned_file(&file.path, file.owner.as_deref(), mode, values)
                    .map(|file| Storage::Combined { file })
            }
            None => declared_storage(files.as_ref(), kubeconfig.as_ref(), subject, authority, values),
        };
        let names_server = kubeconfig.as_ref().is_some_and(|kubeconfig| kubeconfig.server.is_some());
        match storage.map(|storage| if names_server { storage } else { with_server_of(main, storage) }) {
            Some(storage) => {
                copies.insert(copy.clone(), DesiredCopy { storage, keep: Keep::Always });
            }
            None => problems.push(unknown_placeholder(&[
                "spec",
                "certificates",
                name.as_str(),
                "copies",
                copy.as_str(),
            ])),
        }
    }
    copies
}
