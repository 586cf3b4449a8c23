//! What is known of each deed: one row for each, in the only list of all deeds that the planner has.
//!
//! What enters is a deed and the thing that it is about; what leaves are answers: how it is called, when its turn comes, what it writes and reads, what it gives, and
//! how it is seen that it is done. Whoever classifies deeds asks here. Carrying out, showing and playing a deed is not here: the simulation has a list of its own, so
//! that a mistake in this one does not repeat itself there. Pure.

use jiff::Timestamp;

use super::bundle::Bundle;
use super::csr::{CsrRequest, Install};
use super::deed::{Action, Deed, RestartMethod, Undo};
use super::identity_copy::{IdentityCopy, KeyCopy};
use super::issue::Issue;
use crate::types::certificate::SubjectName;
use crate::types::names::{Address, NodeName, Target};
use crate::types::storage::{FileSpec, Storage};
use crate::x509::{Certificate, Sha256};

/// What is known of a deed.
#[derive(Debug, Clone)]
pub struct DeedTraits<'d> {
    /// The verb, as addresses of actions and JSON call it.
    pub verb: &'static str,
    /// When its turn comes in its visit.
    pub rank: Rank,
    /// How it is undone.
    pub undo: Undo,
    /// What it gives, by which it is judged.
    pub gives: Gives<'d>,
    /// The paths that it may write, make or remove.
    pub writes: Vec<&'d str>,
    /// The number of the summary that it adds to, besides that of what it starts anew.
    pub counter: Option<Counter>,
    /// Whether its visit is a transaction. One that is none consists of this deed alone.
    pub transaction: bool,
    /// The paths whose directories must be there; none where these are the ones that it writes.
    pub parents: Option<Vec<&'d str>>,
    /// The files of its node that an earlier deed may have to write first.
    pub reads: Vec<&'d str>,
    /// The node from which it takes something.
    pub from: Option<&'d NodeName>,
    /// Whether it makes or brings what other nodes wait for.
    pub makes: bool,
    /// The life of a certificate that it issues, from its beginning to its end.
    pub issues: Option<(Timestamp, Timestamp)>,
    /// How it is seen that it is done.
    pub proof: Proof<'d>,
}

/// The turns of deeds in one visit. Deeds of different kinds come in this order unless what they need says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// What is a visit of its own.
    Alone,
    /// The snapshot.
    Snapshot,
    /// Directories that are made.
    Directory,
    /// Links, and directories that are moved behind one.
    Link,
    /// CAs that are made, brought or signed again.
    Authority,
    /// Files with CA certificates.
    Trust,
    /// Private keys without certificate.
    Key,
    /// Public keys.
    PublicKey,
    /// Certificates, be they issued, installed or given by another node, and requests for them.
    Certificate,
    /// What is copied from a certificate on its own node, and the CA certificates of kubeconfigs.
    Copy,
    /// Owners and bits.
    Permissions,
    /// What is put back.
    Restored,
    /// Restarts, each behind what has to be said to the service before it. A service is awaited before the next one is restarted, and what comes back with a pod's manifest starts too, and reads what is there then.
    Restart,
    /// What clients show is tried once everything runs that they show it to.
    Clients,
    /// What is left over goes once everything works without it.
    Leftover,
    /// The check.
    Check,
}

/// The numbers of a summary to which deeds add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Certificates that replace one.
    Renew,
    /// Certificates, authorities and key pairs that were not there.
    Issue,
    /// Trust bundles and shared keys.
    Trust,
    /// Things that are removed.
    Remove,
    /// Links, directories, owners and permission bits.
    Repair,
    /// Paths that are put back.
    Restore,
    /// Places to which a certificate is copied.
    Copy,
    /// Requests.
    Request,
}

/// What a deed gives to whom: what may be shown, opened or accepted after it. A deed has to say so, because what gives nothing is neither judged nor held.
#[derive(Debug, Clone, Copy)]
pub enum Gives<'d> {
    /// Nothing that was not there.
    Nothing,
    /// A CA that is made, brought or signed again, and where its key lies if that is written too.
    Authority(Option<&'d FileSpec>),
    /// A file with CA certificates.
    Trust {
        /// What it will hold.
        bundle: &'d Bundle,
        /// What it holds now.
        before: &'d [Sha256],
    },
    /// A certificate that is issued, with its key.
    Issued(&'d Issue),
    /// A certificate that is asked for.
    Requested(&'d CsrRequest),
    /// A certificate that was signed elsewhere, with its key.
    Installed(&'d Install),
    /// A certificate that exists, with its key.
    Copied(&'d IdentityCopy),
    /// A file with a private key, or with what takes its place.
    Key(&'d FileSpec),
    /// Another owner or other bits to a file, whatever it holds.
    Access(&'d FileSpec),
}

/// How it is seen from what is there that a deed has been done.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'d> {
    /// Nothing of what it is for is due any more.
    Findings,
    /// Nothing but its run says so.
    Never,
    /// No transaction is open on its node.
    NothingOpen,
    /// A file begins with a CA certificate of this subject and life.
    Authority {
        /// The file.
        file: &'d str,
        /// The subject.
        subject: &'d SubjectName,
        /// The life.
        life: (Timestamp, Timestamp),
    },
    /// A file begins with a CA certificate that was signed again.
    Extended {
        /// The file.
        file: &'d str,
        /// The certificate that was there.
        of: &'d Certificate,
        /// The end of its new life.
        not_after: Timestamp,
    },
    /// A file begins with this certificate.
    Holds {
        /// The file.
        file: &'d str,
        /// The certificate.
        certificate: &'d Certificate,
    },
    /// A file begins with another certificate than the one that was there.
    Replaced {
        /// The file.
        file: &'d str,
        /// The certificate that was there.
        before: &'d Certificate,
    },
    /// Something else follows the certificate in a file than what did.
    OtherChain {
        /// The file.
        file: &'d str,
        /// What followed.
        before: &'d [Sha256],
    },
    /// A request waits, and not the one with the key that was to be replaced.
    Waits {
        /// That key.
        replaces: Option<Sha256>,
    },
}

impl Action {
    /// What is known of its deed.
    pub fn traits(&self) -> DeedTraits<'_> {
        self.deed.traits(&self.address)
    }

    /// The verb of its deed.
    pub fn verb(&self) -> &'static str {
        self.traits().verb
    }

    /// The paths that it may write, make or remove.
    pub fn paths(&self) -> Vec<&str> {
        self.traits().writes
    }
}

impl Deed {
    /// What is known of it where it is about this thing.
    pub fn traits<'d>(&'d self, at: &Address) -> DeedTraits<'d> {
        match self {
            Deed::UndoOpen { .. } => DeedTraits {
                transaction: false,
                proof: Proof::NothingOpen,
                ..row("undo-open", Rank::Alone, Undo::None, Gives::Nothing, [])
            },
            // Every run that restarts members begins with a snapshot of its own.
            Deed::SnapshotEtcd { .. } => DeedTraits {
                transaction: false,
                proof: Proof::Never,
                ..row("snapshot-etcd", Rank::Alone, Undo::None, Gives::Nothing, [])
            },
            Deed::Snapshot { .. } => row("snapshot", Rank::Snapshot, Undo::None, Gives::Nothing, []),
            Deed::MakeDirectory { directory } => DeedTraits {
                counter: Some(Counter::Repair),
                ..row("make-directory", Rank::Directory, Undo::Restore, Gives::Nothing, [&directory.path])
            },
            Deed::MakeLink { path, target } => DeedTraits {
                counter: Some(Counter::Repair),
                parents: Some(vec![target, path]),
                reads: vec![target],
                ..row("make-link", Rank::Link, Undo::Restore, Gives::Nothing, [path])
            },
            Deed::MoveDirectory { link, path, .. } => DeedTraits {
                counter: Some(Counter::Repair),
                parents: Some(vec![path]),
                ..row("move-directory", Rank::Link, Undo::Restore, Gives::Nothing, [link, path])
            },
            Deed::CreateAuthority { certificate, key, subject, not_before, not_after, .. } => {
                let life = (*not_before, *not_after);
                let writes = [&key.path, &certificate.path];
                DeedTraits {
                    counter: Some(Counter::Issue),
                    makes: true,
                    issues: Some(life),
                    proof: Proof::Authority { file: &certificate.path, subject, life },
                    ..row(
                        "create-authority",
                        Rank::Authority,
                        Undo::Restore,
                        Gives::Authority(Some(key)),
                        writes,
                    )
                }
            }
            Deed::ExtendAuthority { certificate, of, not_after, .. } => DeedTraits {
                counter: Some(Counter::Renew),
                makes: true,
                proof: Proof::Extended { file: &certificate.path, of, not_after: *not_after },
                ..row(
                    "extend-authority",
                    Rank::Authority,
                    Undo::Restore,
                    Gives::Authority(None),
                    [&certificate.path],
                )
            },
            Deed::InstallAuthority { certificate, key, root, .. } => {
                let writes = [&key.path, &certificate.path];
                DeedTraits {
                    counter: Some(Counter::Issue),
                    makes: true,
                    proof: Proof::Holds { file: &certificate.path, certificate: root },
                    ..row(
                        "install-authority",
                        Rank::Authority,
                        Undo::Restore,
                        Gives::Authority(Some(key)),
                        writes,
                    )
                }
            }
            // It brings what another deed of its plan makes, by which both were judged.
            Deed::CopyAuthorityCertificate { from, source, file } => DeedTraits {
                counter: Some(Counter::Trust),
                reads: if at.place.is(from) { vec![source] } else { Vec::new() },
                from: Some(from),
                ..row("copy-authority-certificate", Rank::Trust, Undo::Restore, Gives::Nothing, [&file.path])
            },
            Deed::CopyKey(KeyCopy { from, file, .. }) => DeedTraits {
                counter: Some(Counter::Trust),
                from: Some(from),
                ..row("copy-key", Rank::Key, Undo::Restore, Gives::Key(file), [&file.path])
            },
            Deed::CreateKeyPair { private, public, .. } => DeedTraits {
                counter: Some(Counter::Issue),
                makes: true,
                ..row(
                    "create-key-pair",
                    Rank::Key,
                    Undo::Restore,
                    Gives::Key(private),
                    [&private.path, &public.path],
                )
            },
            Deed::WritePublicKey { private, public } => DeedTraits {
                counter: Some(Counter::Trust),
                reads: vec![&private.path],
                ..row("write-public-key", Rank::PublicKey, Undo::Restore, Gives::Nothing, [&public.path])
            },
            Deed::WriteBundle { file, bundle, before } => DeedTraits {
                counter: Some(Counter::Trust),
                ..row(
                    "write-bundle",
                    Rank::Trust,
                    Undo::Restore,
                    Gives::Trust { bundle, before },
                    [&file.path],
                )
            },
            Deed::WriteChain { file, before, .. } => DeedTraits {
                counter: Some(Counter::Trust),
                proof: Proof::OtherChain { file: &file.path, before },
                ..row("write-chain", Rank::Certificate, Undo::Restore, Gives::Nothing, [&file.path])
            },
            Deed::RemoveCopy { path, .. } => DeedTraits {
                counter: Some(Counter::Remove),
                ..row("remove-copy", Rank::Leftover, Undo::Restore, Gives::Nothing, [path])
            },
            Deed::IssueIdentity(issue) => {
                let signer: &[&String] = match at.place.is(&issue.signer) {
                    true => &[&issue.signer_certificate, &issue.signer_key],
                    false => &[],
                };
                let read = signer.iter().copied().chain([&issue.verified_by]);
                // What was asked for by hand leaves no finding behind, so its certificate must be another one.
                let replaced = issue.before.as_ref();
                let file = issue.storage.certificate_path();
                DeedTraits {
                    counter: Some(instead_of(replaced)),
                    reads: read.map(String::as_str).collect(),
                    from: Some(&issue.signer),
                    issues: Some((issue.not_before, issue.not_after)),
                    proof: replaced.map_or(Proof::Findings, |before| Proof::Replaced { file, before }),
                    ..row(
                        "issue-identity",
                        Rank::Certificate,
                        Undo::Restore,
                        Gives::Issued(issue),
                        paths(&issue.storage),
                    )
                }
            }
            // What another node gives is what further places of this node are copied from.
            Deed::CopyIdentity(copy) => {
                let rank = if at.place.is(copy.from()) { Rank::Copy } else { Rank::Certificate };
                DeedTraits {
                    counter: Some(Counter::Copy),
                    reads: copy.source_here(&at.place),
                    from: Some(copy.from()),
                    ..row("copy-identity", rank, Undo::Restore, Gives::Copied(copy), paths(&copy.target))
                }
            }
            // Requests lie in a directory of this program's own, which it makes and closes by itself.
            Deed::WriteCsr(request) => DeedTraits {
                counter: Some(Counter::Request),
                parents: Some(Vec::new()),
                proof: Proof::Waits { replaces: request.replaces },
                ..row(
                    "write-csr",
                    Rank::Certificate,
                    Undo::Restore,
                    Gives::Requested(request),
                    [&request.file.path],
                )
            },
            Deed::InstallIdentity(install) => {
                let Install { storage, certificate, before, request, .. } = &**install;
                let writes = paths(storage).chain([&request.path]);
                DeedTraits {
                    counter: Some(instead_of(before.as_ref())),
                    parents: Some(paths(storage).map(String::as_str).collect()),
                    reads: vec![&install.verified_by],
                    proof: Proof::Holds { file: storage.certificate_path(), certificate },
                    ..row(
                        "install-identity",
                        Rank::Certificate,
                        Undo::Restore,
                        Gives::Installed(install),
                        writes,
                    )
                }
            }
            Deed::UpdateKubeconfig { file, .. } => DeedTraits {
                counter: Some(Counter::Trust),
                ..row("update-kubeconfig", Rank::Copy, Undo::Restore, Gives::Key(file), [&file.path])
            },
            Deed::SetPermissions { file, .. } => DeedTraits {
                counter: Some(Counter::Repair),
                ..row("set-permissions", Rank::Permissions, Undo::Restore, Gives::Access(file), [&file.path])
            },
            Deed::MoveLeader { .. } => row("move-leader", Rank::Restart, Undo::None, Gives::Nothing, []),
            Deed::Restart { how, .. } => {
                let manifest = match how {
                    RestartMethod::StaticPod { manifest } => Some(manifest),
                    RestartMethod::Command { .. }
                    | RestartMethod::Systemd { .. }
                    | RestartMethod::Start { .. } => None,
                };
                row("restart", Rank::Restart, Undo::Inverse, Gives::Nothing, manifest)
            }
            Deed::AwaitHealthy { .. } => {
                // The cluster as a whole is looked at from a node.
                let is_last = matches!(at.target, Target::Identity(_) | Target::Node);
                let rank = if is_last { Rank::Clients } else { Rank::Restart };
                row("await-healthy", rank, Undo::None, Gives::Nothing, [])
            }
            Deed::Verify { .. } => row("verify", Rank::Check, Undo::None, Gives::Nothing, []),
            Deed::PurgeSnapshots { .. } => DeedTraits {
                counter: Some(Counter::Remove),
                ..row("purge-snapshots", Rank::Leftover, Undo::None, Gives::Nothing, [])
            },
            // Nothing but the run itself says what a snapshot holds.
            Deed::Restore { path, with, .. } => {
                let writes = [path].into_iter().chain(with.iter().map(|other| &other.path));
                let is_pod = matches!(at.target, Target::Service(_));
                let rank = if is_pod { Rank::Restart } else { Rank::Restored };
                DeedTraits {
                    counter: Some(Counter::Restore),
                    proof: Proof::Never,
                    ..row("restore", rank, Undo::Restore, Gives::Nothing, writes)
                }
            }
        }
    }
}

/// What every deed has to say of itself, and of everything else what most deeds say.
fn row<'d>(
    verb: &'static str,
    rank: Rank,
    undo: Undo,
    gives: Gives<'d>,
    writes: impl IntoIterator<Item = &'d String>,
) -> DeedTraits<'d> {
    DeedTraits {
        verb,
        rank,
        undo,
        gives,
        writes: writes.into_iter().map(String::as_str).collect(),
        counter: None,
        transaction: true,
        parents: None,
        reads: Vec::new(),
        from: None,
        makes: false,
        issues: None,
        proof: Proof::Findings,
    }
}

/// The counter of a certificate in the place of another one, or of none.
fn instead_of(before: Option<&Certificate>) -> Counter {
    if before.is_some() { Counter::Renew } else { Counter::Issue }
}

/// The files of a place.
fn paths(storage: &Storage) -> impl Iterator<Item = &String> {
    storage.files().into_iter().map(|file| &file.path)
}
