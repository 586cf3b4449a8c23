//! An action in words: a few, as the order of a plan and the progress of its apply name it, or line by line, as the block of a plan shows what it changes.

use std::net::SocketAddr;

use jiff::Timestamp;

use super::external::{install_lines, request_lines};
use super::issue::{
    Lines, bundle_line, ca_certificates, certificate_name, copy_lines, custom_root_lines, extension_lines,
    fingerprints, issue_lines, key_copy_lines, move_lines,
};
use super::snapshot::etcd_snapshot_lines;
use super::status::left;
use crate::diagnostic::escaped;
use crate::output::health_checks::gate_lines;
use crate::plan::{Action, Deed, KeyCopy, RestartMethod};
use crate::types::format::instant;
use crate::types::names::Target;

/// An action in a few words, as the order and progress name it.
pub fn deed(action: &Action) -> String {
    let subject = &action.address.target;
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
        Deed::CopyAuthorityCertificate { from, file, .. } if action.address.place.is(from) => {
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
        Deed::CopyIdentity(copy) if !action.address.place.is(copy.from()) => {
            format!("copy {subject} from {}", copy.from())
        }
        Deed::CopyIdentity(copy) => format!("copy {subject} to {}", escaped(copy.target.certificate_path())),
        Deed::WriteCsr(_) => format!("ask for {subject}"),
        Deed::InstallIdentity(_) => format!("install {subject}, signed elsewhere"),
        Deed::UpdateKubeconfig { .. } => format!("update the CA data of {subject}"),
        Deed::SetPermissions { file, .. } => format!("set owner and mode of {}", escaped(&file.path)),
        Deed::MoveLeader { .. } => format!("move the leadership away from {subject}"),
        Deed::Restart { .. } => format!("restart {subject}"),
        Deed::AwaitHealthy { .. } if matches!(subject, Target::Identity(_)) => {
            format!("wait until {subject} is accepted")
        }
        Deed::AwaitHealthy { .. } if matches!(subject, Target::Node) => {
            "wait until the cluster works as a whole".to_owned()
        }
        Deed::AwaitHealthy { .. } => format!("wait until {subject} works"),
        Deed::Verify { identities } if identities.is_empty() => "commit".to_owned(),
        Deed::Verify { identities } => {
            format!("verify {}, commit", counted(identities.len(), "certificate", "certificates"))
        }
        Deed::Restore { .. } => {
            let paths: Vec<_> = beside_each_other(&action.paths()).into_iter().map(escaped).collect();
            let restarts = action.restarts().map(|_| format!(", which restarts {subject}"));
            format!("put back {}{}", paths.join(" and "), restarts.unwrap_or_default())
        }
    }
}

/// Paths, of which those in the directory of the first one are told by their names.
fn beside_each_other<'a>(paths: &[&'a str]) -> Vec<&'a str> {
    let directory = paths.first().and_then(|first| first.rsplit_once('/')).map(|(directory, _)| directory);
    let short = |(index, path): (usize, &'a str)| match path.rsplit_once('/') {
        Some((own, name)) if index > 0 && Some(own) == directory => name,
        Some(_) | None => path,
    };
    paths.iter().copied().enumerate().map(short).collect()
}

/// The sign of an action's block and what it changes, line by line; none for what frames the others.
pub(super) fn body(action: &Action, now: Timestamp) -> Option<(char, Lines)> {
    let subject = &action.address.target;
    let mut body = Lines::default();
    let sign = match &action.deed {
        Deed::Snapshot { .. } | Deed::Verify { .. } => return None,
        Deed::UndoOpen { run, visit } => {
            body.add("undo", format!("visit {visit} of run {}, which was interrupted", escaped(run)));
            // What that was only the journal on the node says.
            body.add("restarts", "what that visit had restarted, which no counter counts".to_owned());
            '!'
        }
        Deed::SnapshotEtcd { .. } => {
            etcd_snapshot_lines(&mut body, &action.deed);
            '+'
        }
        Deed::MakeDirectory { directory } => {
            body.add("directory", format!("{}   {} root:root", escaped(&directory.path), directory.mode));
            '+'
        }
        Deed::MakeLink { path, target } => {
            body.add("link", format!("{} -> {}", escaped(path), escaped(target)));
            '+'
        }
        Deed::MoveDirectory { link, path, keeps_old } => {
            move_lines(&mut body, (link, path), *keeps_old);
            '~'
        }
        Deed::CreateAuthority { certificate, key, subject, algorithm, not_before, not_after, over } => {
            body.add("subject", super::issue::subject(subject));
            body.add("not before", instant(*not_before));
            body.add("not after", format!("{} ({})", instant(*not_after), left(*not_after, now)));
            body.add("key", format!("new, {algorithm}; made at apply on this node"));
            if let Some(over) = over {
                body.add("in place of", format!("{}, which was to come", over.short()));
            }
            body.file(certificate);
            body.file(key);
            '+'
        }
        Deed::ExtendAuthority { certificate, of, keeps_serial, not_after, .. } => {
            extension_lines(&mut body, of, (*not_after, *keeps_serial), now);
            body.file(certificate);
            '~'
        }
        Deed::InstallAuthority { certificate, key, root, source } => {
            custom_root_lines(&mut body, root, source, now);
            body.file(certificate);
            body.file(key);
            '+'
        }
        Deed::CopyAuthorityCertificate { from, source, file } => {
            let one = match action.address.place.is(from) {
                true => format!("the one in {} on this node", escaped(source)),
                false => format!("the one made on {from}"),
            };
            body.add("certificate", one);
            body.file(file);
            '+'
        }
        Deed::CopyKey(copy) => key_copy_lines(&mut body, copy),
        Deed::CreateKeyPair { private, public, algorithm } => {
            body.add("key", format!("new, {algorithm}; made at apply on this node"));
            body.file(private);
            body.file(public);
            '+'
        }
        Deed::WritePublicKey { private, public } => {
            body.add("public key", format!("of {}", escaped(&private.path)));
            body.file(public);
            '~'
        }
        Deed::WriteBundle { file, bundle, before } => {
            bundle_line(&mut body, bundle, before);
            body.file(file);
            if before.is_empty() { '+' } else { '~' }
        }
        Deed::WriteChain { file, certificate, chain, before } => {
            body.add("certificate", format!("{}, which stays", certificate_name(certificate)));
            body.add("followed by", format!("{} -> {}", fingerprints(before), ca_certificates(chain)));
            body.file(file);
            '~'
        }
        Deed::RemoveCopy { path, of } => {
            body.add("file", escaped(path));
            body.add("kept in", escaped(of));
            '-'
        }
        Deed::PurgeSnapshots { fingerprint, key } => {
            body.add("private key", format!("of {}, spki {}", fingerprint.short(), key.short()));
            body.add("removed", "from every snapshot on the node; no undo brings it back".to_owned());
            '-'
        }
        Deed::IssueIdentity(issue) => {
            issue_lines(&mut body, issue, now);
            if issue.before.is_some() { '~' } else { '+' }
        }
        Deed::CopyIdentity(copy) => {
            copy_lines(&mut body, copy, &action.address.place, now);
            if copy.before.is_some() { '~' } else { '+' }
        }
        Deed::WriteCsr(request) => {
            request_lines(&mut body, request, subject);
            '+'
        }
        Deed::InstallIdentity(install) => {
            install_lines(&mut body, install, now);
            if install.before.is_some() { '~' } else { '+' }
        }
        Deed::UpdateKubeconfig { file, trusted, before } => {
            body.add("trusts", format!("{} -> {}", fingerprints(before), ca_certificates(trusted)));
            body.file(file);
            '~'
        }
        Deed::SetPermissions { file, mode_before, owner_before } => {
            let owner = format!("{}:{}", file.user, file.group);
            if file.mode.bits() != *mode_before {
                body.add("mode", format!("{mode_before:04o} -> {}", file.mode));
            }
            if owner != *owner_before {
                body.add("owner", format!("{} -> {owner}", escaped(owner_before)));
            }
            body.add("file", escaped(&file.path));
            '~'
        }
        Deed::MoveLeader { address, port, certificate, timeout, .. } => {
            let member = format!("the member at {}", SocketAddr::new(*address, *port));
            body.add("if it leads", "leadership is moved to another member first".to_owned());
            body.add("asks", format!("{member}, as {}", escaped(certificate)));
            body.add(
                "waits",
                format!("at most {timeout}; if it cannot be moved, the restart costs an election"),
            );
            '!'
        }
        Deed::Restart { how, timeout } => {
            match how {
                RestartMethod::Command { argv } => {
                    // A reviewer must see every program that a spec makes run, word for word.
                    let words: Vec<String> = argv.iter().map(|word| format!("{word:?}")).collect();
                    body.add("runs", words.join(" "));
                }
                RestartMethod::Systemd { unit } => {
                    body.add("runs", format!("systemctl restart {}", escaped(unit)))
                }
                RestartMethod::Start { unit } => {
                    let unit = escaped(unit);
                    body.add("runs", format!("systemctl reset-failed {unit}; it may fail"));
                    body.add("runs", format!("systemctl restart --no-block {unit}"));
                }
                RestartMethod::StaticPod { manifest } => {
                    body.add("annotates", escaped(manifest));
                    body.add(
                        "restarts",
                        "its pod, by the manifest: aside until it has stopped, then back".to_owned(),
                    );
                }
            }
            body.add("waits", format!("at most {timeout}"));
            '!'
        }
        Deed::AwaitHealthy { gates, kept, elsewhere, settle, timeout } => {
            gate_lines(&mut body, gates, kept, elsewhere);
            let settled =
                if settle.seconds() > 0 { format!("; it must hold for {settle}") } else { String::new() };
            body.add("waits", format!("at most {timeout}{settled}"));
            '!'
        }
        Deed::Restore { run, visit, path, now, then, with } => {
            let others = with.iter().map(|other| (&other.path, &other.now, &other.then));
            for (path, now, then) in [(path, now, then)].into_iter().chain(others) {
                body.add("path", escaped(path));
                body.add("now", escaped(now));
                body.add("then", format!("{} (before visit {visit} of run {})", escaped(then), escaped(run)));
            }
            '~'
        }
    };
    Some((sign, body))
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
