//! An action in a few words, as the order of a plan and the progress of its apply name it.

use crate::diagnostic::escaped;
use crate::plan::{Action, Deed, KeyCopy};
use crate::types::names::Subject;

/// An action in a few words, as the order and progress name it.
pub fn deed(action: &Action) -> String {
    let subject = &action.address.subject;
    match &action.deed {
        Deed::UndoOpen { run, visit } => {
            format!("undo visit {visit} of the interrupted run {}", escaped(run))
        }
        Deed::SnapshotEtcd { .. } => format!("save the data of {subject}"),
        Deed::Snapshot { paths } => format!("snapshot {}", counted(paths.len(), "path", "paths")),
        Deed::MakeDirectory { directory } => format!("make directory {}", escaped(&directory.path)),
        Deed::MakeLink { path, target } => format!("link {} -> {}", escaped(path), escaped(target)),
        Deed::MoveDirectory { link, path, .. } => {
            format!("move {} to {}, link in its place", escaped(link), escaped(path))
        }
        Deed::CreateAuthority { .. } => format!("create {subject}"),
        Deed::ExtendAuthority { .. } => format!("extend {subject}"),
        Deed::InstallAuthority { source, .. } => {
            format!("install {subject} from {}", escaped(&source.certificate))
        }
        Deed::CopyAuthorityCertificate { from, file, .. } if *from == action.address.node => {
            format!("copy the certificate of {subject} to {}", escaped(&file.path))
        }
        Deed::CopyAuthorityCertificate { from, .. } => {
            format!("copy the certificate of {subject} from {from}")
        }
        Deed::CopyKey(KeyCopy { from, .. }) => format!("copy the private key of {subject} from {from}"),
        Deed::CreateKeyPair { .. } => format!("create {subject}"),
        Deed::WritePublicKey { .. } => format!("write the public key of {subject}"),
        Deed::WriteBundle { file, .. } => format!("write {}", escaped(&file.path)),
        Deed::WriteChain { file, .. } => format!("write the chain in {}", escaped(&file.path)),
        Deed::PurgeSnapshots { fingerprint, .. } => {
            format!("remove the private key of {} from the snapshots", fingerprint.short())
        }
        Deed::RemoveCopy { path, .. } => format!("remove {}", escaped(path)),
        Deed::IssueIdentity(issue) => match issue.before {
            Some(_) => format!("renew {subject}"),
            None => format!("issue {subject}"),
        },
        Deed::CopyIdentity(copy) if *copy.from() != action.address.node => {
            format!("copy {subject} from {}", copy.from())
        }
        Deed::CopyIdentity(copy) => format!("copy {subject} to {}", escaped(copy.target.certificate_path())),
        Deed::WriteCsr(_) => format!("ask for {subject}"),
        Deed::InstallIdentity(_) => format!("install {subject}, signed elsewhere"),
        Deed::UpdateKubeconfig { .. } => format!("update the CA data of {subject}"),
        Deed::SetPermissions { file, .. } => format!("set owner and mode of {}", escaped(&file.path)),
        Deed::Restart { .. } => format!("restart {subject}"),
        Deed::AwaitHealthy { .. } if matches!(subject, Subject::Identity(_)) => {
            format!("wait until {subject} is accepted")
        }
        Deed::AwaitHealthy { .. } => format!("wait until {subject} works"),
        Deed::Verify { identities } if identities.is_empty() => "commit".to_owned(),
        Deed::Verify { identities } => {
            format!("verify {}, commit", counted(identities.len(), "certificate", "certificates"))
        }
        Deed::Restore { path, .. } => format!("put back {}", escaped(path)),
    }
}

/// What a deed makes, where that is not the thing itself.
pub(super) fn made_of(deed: &Deed) -> &'static str {
    let is_snapshot = matches!(deed, Deed::SnapshotEtcd { .. });
    let request = if matches!(deed, Deed::WriteCsr(_)) { "request for " } else { "" };
    if is_snapshot { "snapshot of " } else { request }
}

/// A number with the right one of two words.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
