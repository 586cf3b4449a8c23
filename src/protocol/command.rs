//! What a node can be asked and told: the closed list of commands, and the replies.
//!
//! What enters is one [`ReadCommand`], or one [`WriteCommand`] inside a transaction; what leaves is its [`Reply`]. A command names files and parameters that the plan
//! shows; it decides nothing. The only commands that carry secrets are those that move key material which a layout shares between nodes, and they carry it in
//! [`Secret`], which cannot be printed or serialised. A command cannot be serialised either, but as a `WireCommand`, and only [`wire`](super::wire) does that.
//!
//! Every path is absolute on the node. A write goes *through* links: the file at their end is replaced and no link ever is. A file that is there keeps
//! its owner, its extended attributes and every permission bit that the [`FileSpec`] grants too; the spec's owner and mode are those of new
//! files, and only [`WriteCommand::SetPermissions`] brings them to old ones.
//!
//! A new command is a row of the list below, what it does in `agent/transaction/perform.rs`, the deed that gives it in `apply/act.rs`, and what it says on
//! the wire in `wire/tests.rs` with `wire/frames.txt`. Only a new kind of [`Reply`] concerns more: its written form in `wire/command.rs`, how long it may be in
//! `remote/session`, and who takes it in `apply/answers.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::protocol::health_check::HealthCheck;
use crate::protocol::wire::secret;
use crate::protocol::wire::secret::WireSharedIdentity;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::types::non_empty::{NonEmpty, or_nothing};
use crate::types::scalars::FileMode;
use crate::types::secret::Secret;
use crate::types::storage::{FileSpec, Storage};
use crate::x509::{Certificate, CertificateRequest, PublicKey, Sha256};

pub use crate::protocol::shared_identity::SharedIdentity;
pub use crate::protocol::visit::VisitId;

/// Opens a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Begin {
    /// Which one.
    pub id: VisitId,
    /// Every path that may be written, made or removed in it, as the commands will name it. Anything else is refused.
    pub paths: BTreeSet<String>,
    /// The directory for snapshots and journal, absolute on the node. It is made if it is missing.
    pub state_directory: String,
    /// How many runs' snapshots are kept; those of older runs are removed at commit. This run's own are always kept.
    pub keep: u32,
    /// What the run is about, for the journal: cluster, who, command line's reason. Shown to the next one who finds the transaction open.
    pub note: String,
    /// The systemd units on the node that read its files: after a reboot in the middle of it they start only once it is taken back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub units: BTreeSet<String>,
    /// What is looked at before anything is touched: of these gates, those that hold then must hold again after an undo.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gates: BTreeSet<HealthCheck>,
    /// How long an undo waits for them, and a static pod may take to stop.
    #[serde(default)]
    pub gates_seconds: u64,
    /// The links that the spec declares, each with the directory that it must lead to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// The links that the plan shows, each with the end that it had; at another end nothing is begun.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub leads: BTreeMap<String, String>,
    /// Files that may be replaced although they hold nothing that this program knows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub replace_foreign: BTreeSet<String>,
}

/// Has a member of etcd on this node send its data, and keeps it. It needs no transaction, since nothing that anybody reads is touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SnapshotEtcd {
    /// The run before which it is made.
    pub run: String,
    /// The directory for snapshots, absolute on the node. It is made if it is missing.
    pub state_directory: String,
    /// How many are kept, this one among them; older ones are removed once it is whole.
    pub keep: u32,
    /// Where the member listens for clients.
    pub address: SocketAddr,
    /// The file with a client certificate that it accepts.
    pub certificate: String,
    /// The file with its key.
    pub key: String,
    /// The longest wait for all of it.
    pub timeout_seconds: u64,
    /// The links that the spec declares on the node, with what they must lead to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
}

/// A private key that a transaction holds in memory until it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub String);

/// The list of commands, from which follows everything that has to be said of each of them. A row is the command with its fields, and the [`Expected`] reply, with the
/// field that decides which ones those are if it holds several. What serde has to know of a field goes for the written form alone.
macro_rules! commands {
    ($(
        $(#[doc = $side_doc:literal])*
        $side:ident($commands:ident) { $(
            $(#[doc = $doc:literal])*
            $(#[cfg($cfg:meta)])?
            $command:ident { $(
                $(#[doc = $field_doc:literal])*
                $(#[serde($($serde:tt)*)])?
                $field:ident: $type:ty,
            )* } -> $reply:ident $(($several:ident))?;
        )* }
    )*) => {
        $(
            $(#[doc = $side_doc])*
            #[derive(Debug)]
            pub enum $commands { $(
                $(#[doc = $doc])*
                $(#[cfg($cfg)])?
                $command { $(
                    $(#[doc = $field_doc])*
                    $field: $type,
                )* },
            )* }

            impl $commands {
                /// What it must be answered with.
                pub(crate) fn expected(&self) -> Expected {
                    match self { $(
                        $(#[cfg($cfg)])?
                        Self::$command { $($several,)? .. } => Expected::$reply $(($several.clone()))?,
                    )* }
                }
            }

            impl From<$commands> for WireCommand {
                fn from(command: $commands) -> Self {
                    Self(match command { $(
                        $(#[cfg($cfg)])?
                        $commands::$command { $($field),* } => Form::$command { $($field),* },
                    )* })
                }
            }
        )*

        /// A command of either kind.
        #[derive(Debug)]
        pub(crate) enum Command { $(
            $side($commands),
        )* }

        impl From<WireCommand> for Command {
            fn from(WireCommand(form): WireCommand) -> Self {
                match form { $($(
                    $(#[cfg($cfg)])?
                    Form::$command { $($field),* } => Self::$side($commands::$command { $($field),* }),
                )*)* }
            }
        }

        /// How a command is written. The wire does not tell the two kinds apart.
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
        enum Form { $($(
            $(#[cfg($cfg)])?
            $command { $(
                $(#[serde($($serde)*)])?
                $field: $type,
            )* },
        )*)* }
    };
}

/// Any command on its way between the two ends, where alone it can be serialised. It is made of a command and becomes one; nothing else can be done with it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct WireCommand(Form);

commands! {
    /// A question to a node. It changes nothing there, and needs no transaction: another node's visit has something signed here, or copies what is shared. With
    /// one open, the node answers from what it knows since its beginning.
    Read(ReadCommand) {
        /// Signs a leaf with an authority whose key lives on this node. Reads only; answers with the certificate.
        Sign {
            /// Who signs.
            authority: AuthorityFiles,
            /// What is signed.
            request: Box<SignRequest>,
            /// The links that the spec declares on the node, with what they must lead to: outside of a transaction nothing else says so.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            links: BTreeMap<String, String>,
        } -> Certificate;
        /// Signs an authority's own certificate again, with the same key, for another period. Reads only; answers with the
        /// certificate, which [`WriteCommand::WriteCertificates`] then writes.
        Extend {
            /// The authority.
            authority: AuthorityFiles,
            /// Which of its certificates, by fingerprint.
            certificate: Sha256,
            /// First moment of the new period.
            not_before: Timestamp,
            /// Last moment of the new period.
            not_after: Timestamp,
            /// The serial number stays, because certificates name their issuer by it.
            keeps_serial: bool,
        } -> Certificate;
        /// Reads an identity that nodes share. Its bytes never reach a disk of the controller.
        ReadSharedIdentity {
            /// Where it is.
            storage: Storage,
            /// The links that the spec declares on the node, with what they must lead to: outside of a transaction nothing else says so.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            links: BTreeMap<String, String>,
        } -> SharedIdentity;
        /// Reads a file of shared key material. Its bytes never reach a disk of the controller.
        ReadShared {
            /// The file.
            path: String,
            /// The links that the spec declares on the node, with what they must lead to: outside of a transaction nothing else says so.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            links: BTreeMap<String, String>,
        } -> Shared;
        /// Waits until gates hold, and have held for a while. Needs no transaction.
        Await {
            /// The gates.
            gates: BTreeSet<HealthCheck>,
            /// More gates, of which only those count that held before the transaction touched anything.
            #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
            kept: BTreeSet<HealthCheck>,
            /// How long they must hold without a break.
            settle_seconds: u64,
            /// The longest wait for it.
            timeout_seconds: u64,
            /// The links that the spec declares on the node, with what they must lead to: outside of a transaction nothing else says so.
            #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
            links: BTreeMap<String, String>,
        } -> Done;
        /// Checks that an identity is whole: readable, key and certificate match, the authority's certificates on this node verify it for its
        /// usages at `now`, names present. Reads the files afresh.
        Check {
            /// What it must be.
            identity: Box<IdentityCheck>,
        } -> Done;
    }

    /// One deed on one node, in the transaction that is open there.
    Write(WriteCommand) {
        /// Makes a directory, parents excluded. An existing directory, also behind a link, is left as it is.
        MakeDirectory {
            /// Where.
            path: String,
            /// The user it belongs to.
            owner: String,
            /// The group it belongs to.
            group: String,
            /// Its permission bits.
            mode: FileMode,
        } -> Done;
        /// Makes a symbolic link. An existing object at the path is refused, unless it is this very link.
        MakeLink {
            /// Where the link is.
            path: String,
            /// What it says, absolute or relative to its directory.
            target: String,
        } -> Done;
        /// Moves a directory and puts a link in its place: everything in it is copied, a link takes its place in one step, and the directory itself waits
        /// beside the link under a name with a dot. At every moment the old path leads to all files. Refused where `path` holds anything.
        MoveDirectory {
            /// The directory, where the link will be.
            link: String,
            /// Where it goes, absolute; the directory above must be there. It may be on another file system.
            path: String,
            /// Whether the old directory stays beside the link beyond the transaction, for programs that have it open; the next transaction on this node
            /// removes it. Otherwise it goes with the commit.
            keeps_old: bool,
        } -> Done;
        /// Makes new private keys, on all cores at once, and keeps each in its slot. Answers with their public halves.
        MakeKeys {
            /// Where each is kept, and what kind of key it is.
            keys: BTreeMap<Slot, NewKeyAlgorithm>,
        } -> PublicKeys(keys);
        /// Takes the private key that an identity has on this node into a slot, so that it is kept. Answers with its public half.
        TakeKey {
            /// Where it is kept.
            slot: Slot,
            /// Where the identity is.
            storage: Storage,
        } -> PublicKey;
        /// Writes the request for a certificate that is signed elsewhere, with its key, to where it waits. Answers with the request.
        WriteRequest {
            /// The slot with the key.
            slot: Slot,
            /// What the certificate should say.
            request: Box<RequestContent>,
            /// Where it waits.
            file: FileSpec,
        } -> Request;
        /// Removes a request that waited, with its key.
        RemoveRequest {
            /// Where it waited.
            path: String,
        } -> Done;
        /// Writes an identity. Of a pair the key goes first; a key that is there already is left byte for byte. A kubeconfig is edited in place, or made
        /// as kubeadm makes it where there is none.
        WriteIdentity {
            /// The slot with the key.
            slot: Slot,
            /// The certificate. Its key must be the slot's.
            certificate: Certificate,
            /// Certificates that follow it in its file, up to but without the root.
            chain: Vec<Certificate>,
            /// Where it goes.
            storage: Storage,
            /// Of a kubeconfig, the CA certificates that it trusts; none leaves those that are there.
            #[serde(with = "or_nothing")]
            trusted: Option<NonEmpty<Certificate>>,
            /// Of a new kubeconfig, the name of its cluster.
            cluster: String,
        } -> Done;
        /// Writes an identity that is on this node to another place on it, with its certificates as they are. The key does not leave the node.
        CopyIdentity {
            /// Where it is.
            source: Storage,
            /// The certificate that must be there, by fingerprint.
            certificate: Sha256,
            /// Where else it goes.
            target: Storage,
            /// Of a kubeconfig, the CA certificates that it trusts; none leaves those that are there.
            #[serde(with = "or_nothing")]
            trusted: Option<NonEmpty<Certificate>>,
            /// Of a new kubeconfig, the name of its cluster.
            cluster: String,
        } -> Done;
        /// Writes an identity that nodes share: of a pair the very bytes, the key first.
        WriteSharedIdentity {
            /// What another node gave.
            #[serde(with = "WireSharedIdentity")]
            content: SharedIdentity,
            /// The certificate that must be in it, by fingerprint.
            certificate: Sha256,
            /// Where it goes.
            storage: Storage,
            /// Of a kubeconfig, the CA certificates that it trusts; none leaves those that are there.
            #[serde(with = "or_nothing")]
            trusted: Option<NonEmpty<Certificate>>,
            /// Of a new kubeconfig, the name of its cluster.
            cluster: String,
        } -> Done;
        /// Changes only the CA certificates in a kubeconfig.
        WriteTrusted {
            /// The kubeconfig, which must be there.
            file: FileSpec,
            /// All CA certificates that it is to trust.
            trusted: NonEmpty<Certificate>,
        } -> Done;
        /// Makes a new authority: key and self-signed certificate. Refused where either file holds something already, but for one that it may be written
        /// `over`. Answers with the certificate.
        CreateAuthority {
            /// The certificate's file.
            certificate: FileSpec,
            /// The key's file.
            key: FileSpec,
            /// What kind of key.
            algorithm: NewKeyAlgorithm,
            /// The subject, which is also the issuer.
            subject: SubjectName,
            /// First moment of its validity.
            not_before: Timestamp,
            /// Last moment of its validity.
            not_after: Timestamp,
            /// The certificate that may be there, by fingerprint: one that was to be used, and never was.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            over: Option<Sha256>,
        } -> Certificate;
        /// Makes a new key pair without certificate. Answers with the public half.
        CreateKeyPair {
            /// The private key's file.
            private: FileSpec,
            /// The public key's file.
            public: FileSpec,
            /// What kind of key.
            algorithm: NewKeyAlgorithm,
        } -> PublicKey;
        /// Writes the public half of a private key that is there. Answers with it.
        WritePublicKey {
            /// The private key's file, which is read.
            private: FileSpec,
            /// The public key's file, which is written.
            public: FileSpec,
        } -> PublicKey;
        /// Writes certificates to a file, in this order.
        WriteCertificates {
            /// The file.
            file: FileSpec,
            /// Everything that it is to hold. Refused where one stands there twice.
            certificates: NonEmpty<Certificate>,
        } -> Done;
        /// Removes a file of certificates and keys, all of which another file holds too. Refused where anything would be lost.
        RemoveCopy {
            /// The file.
            path: String,
            /// The other one.
            of: String,
        } -> Done;
        /// Writes a private key that nodes share. What another node gave is read first: it must be this one key and nothing else.
        WriteShared {
            /// The file.
            file: FileSpec,
            /// What another node gave.
            #[serde(with = "secret")]
            content: Secret,
            /// The key that it must be, by its public half (SHA-256 of SubjectPublicKeyInfo).
            key: Sha256,
        } -> Done;
        /// Writes any text, for tests of transactions.
        #[cfg(test)]
        WriteText {
            /// The file.
            file: FileSpec,
            /// Its whole content.
            #[serde(with = "secret")]
            content: Secret,
        } -> Done;
        /// Checks that a file holds a private key, and that what lies beside it belongs to it. Reads the files afresh.
        CheckKey {
            /// The file with the key.
            path: String,
            /// The key that it must be, by its public half; none where it has only to be whole.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            key: Option<Sha256>,
            /// The file with its certificate or public key.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            beside: Option<String>,
        } -> Done;
        /// Sets owner and permission bits of a file or directory to just these.
        SetPermissions {
            /// What is there, and what it should be.
            file: FileSpec,
        } -> Done;
        /// Has the kubelet stop a static pod, and start it with another annotation in its manifest: the manifest waits beside its place, under a name with a
        /// dot, until what the pod ran is gone. All else in it stays as it is. Where the pod does not stop, the undo puts the manifest back.
        AnnotatePod {
            /// The manifest.
            manifest: String,
            /// What the annotation is to say: letters, digits and hyphens.
            word: String,
        } -> Done;
        /// Has the member of etcd that listens here hand its leadership to another one that has caught up, and waits until that one leads. One that does not
        /// lead is only asked. Where it cannot be done, everything is as it was.
        MoveLeader {
            /// Where the member listens for clients.
            address: SocketAddr,
            /// The file with a client certificate that it accepts.
            certificate: String,
            /// The file with its key.
            key: String,
            /// The longest wait for it.
            timeout_seconds: u64,
        } -> Done;
        /// Runs a program without a shell. Output is discarded but for its end, which goes into the error.
        ///
        /// On a node that is a directory of this machine the program must be an absolute path, is taken from inside that directory and runs in it:
        /// the machine's own `systemctl` knows nothing of that node.
        Run {
            /// Program and arguments.
            argv: Vec<String>,
            /// After this time it is killed, and everything it started.
            timeout_seconds: u64,
        } -> Done;
        /// Removes from every earlier snapshot each copy that holds a private key. No undo brings it back.
        PurgeSnapshots {
            /// The key, by its public half (SHA-256 of SubjectPublicKeyInfo).
            key: Sha256,
        } -> Done;
        /// Puts back one path as it was before a visit of an earlier run, if it still is what that run left there. The pod of a manifest stops in between.
        Restore {
            /// The visit whose changes are taken back.
            from: VisitId,
            /// The path, as that visit's commands named it.
            path: String,
            /// Paths that go back in the same step, before it; all of them or none.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            with: Vec<String>,
        } -> Done;
    }
}

impl ReadCommand {
    /// The links that it names, for a node on which no transaction is open.
    pub(crate) fn links(&self) -> Option<&BTreeMap<String, String>> {
        match self {
            Self::Sign { links, .. }
            | Self::ReadShared { links, .. }
            | Self::ReadSharedIdentity { links, .. }
            | Self::Await { links, .. } => Some(links),
            Self::Extend { .. } | Self::Check { .. } => None,
        }
    }
}

/// Where an authority lives on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuthorityFiles {
    /// The file with its certificate, which may hold others beside it.
    pub certificate: String,
    /// The file with its private key.
    pub key: String,
}

/// What a certificate should say that is signed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RequestContent {
    /// The subject.
    pub subject: SubjectName,
    /// What it is good for.
    pub usages: BTreeSet<Usage>,
    /// DNS names.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ip: BTreeSet<IpAddr>,
}

/// What is to be signed. Everything but the serial number and the public key comes from the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignRequest {
    /// Whose certificate it is. Of a CSR nothing else is taken.
    pub public_key: PublicKey,
    /// The subject.
    pub subject: SubjectName,
    /// What it is good for.
    pub usages: BTreeSet<Usage>,
    /// DNS names.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ip: BTreeSet<IpAddr>,
    /// First moment of its validity.
    pub not_before: Timestamp,
    /// Last moment of its validity.
    pub not_after: Timestamp,
    /// The certificate that must sign, by fingerprint: the authority's file may hold several.
    pub issuer: Sha256,
}

/// What a written identity must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityCheck {
    /// Where it is.
    pub storage: Storage,
    /// The file with the CA certificates that must verify it; none for a certificate that signs itself.
    pub authority: Option<String>,
    /// What it must be good for.
    pub usages: BTreeSet<Usage>,
    /// DNS names that it must have.
    pub dns: BTreeSet<String>,
    /// IP addresses that it must have.
    pub ip: BTreeSet<IpAddr>,
    /// When it must be valid.
    pub now: Timestamp,
}

/// What a command gave.
#[derive(Debug)]
pub enum Reply {
    /// It is done, or was so already.
    Done,
    /// The public half of a key that was made or taken.
    PublicKey(PublicKey),
    /// The public halves of keys that were made.
    PublicKeys(BTreeMap<Slot, PublicKey>),
    /// A certificate that was signed or made.
    Certificate(Certificate),
    /// A request for a certificate.
    Request(CertificateRequest),
    /// Shared key material.
    Shared(Secret),
    /// A shared identity.
    SharedIdentity(SharedIdentity),
}

/// What a command must be answered with.
#[derive(Debug)]
pub(crate) enum Expected {
    Done,
    PublicKey,
    /// Of these slots, no more and no less.
    PublicKeys(BTreeMap<Slot, NewKeyAlgorithm>),
    Certificate,
    Request,
    Shared,
    SharedIdentity,
}

impl Expected {
    /// Whether a reply is of the kind.
    pub(crate) fn fits(&self, reply: &Reply) -> bool {
        match (self, reply) {
            (Self::Done, Reply::Done)
            | (Self::PublicKey, Reply::PublicKey(_))
            | (Self::Certificate, Reply::Certificate(_))
            | (Self::Request, Reply::Request(_))
            | (Self::Shared, Reply::Shared(_))
            | (Self::SharedIdentity, Reply::SharedIdentity(_)) => true,
            (Self::PublicKeys(wanted), Reply::PublicKeys(made)) => wanted.keys().eq(made.keys()),
            (
                Self::Done
                | Self::PublicKey
                | Self::PublicKeys(_)
                | Self::Certificate
                | Self::Request
                | Self::Shared
                | Self::SharedIdentity,
                Reply::Done
                | Reply::PublicKey(_)
                | Reply::PublicKeys(_)
                | Reply::Certificate(_)
                | Reply::Request(_)
                | Reply::Shared(_)
                | Reply::SharedIdentity(_),
            ) => false,
        }
    }
}
