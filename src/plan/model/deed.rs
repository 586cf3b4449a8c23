//! Actions: the closed list of deeds that a plan can hold, each with its reasons, its undo and what it needs to find.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::desired::Told;
use crate::diff::Finding;
use crate::protocol::health_check::HealthCheck;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName};
use crate::types::duration::Duration;
use crate::types::names::{Address, AuthorityName, IdentityName, NodeName, ServiceName, Target};
use crate::types::storage::FileSpec;
use crate::x509::{Certificate, Sha256};

use super::bundle::Bundle;
use super::fact::Precondition;
use super::issue::{CaCertificates, Issue};
use crate::plan::model::csr::{CsrRequest, Install};
use crate::plan::model::identity_copy::{IdentityCopy, KeyCopy};

/// One deed on one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Action {
    /// Its place in the order of the whole plan, from 1.
    pub number: u32,
    /// The thing that it is about.
    pub address: Address,
    /// What is done.
    pub deed: Deed,
    /// Why. For explaining only: apply never looks at it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Why>,
    /// What must be found on the node before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preconditions: Vec<Precondition>,
    /// What it means for what runs.
    pub disruption: Disruption,
    /// How it is undone.
    pub undo: Undo,
    /// The actions that come before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<u32>,
}

/// A reason together with the place in the spec that decided it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// `FILE:LINE` in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// How a service is restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RestartMethod {
    /// By a program with its arguments; no shell is involved.
    Command {
        /// The program with its arguments.
        argv: Vec<String>,
    },
    /// By systemd, which waits until it has started.
    Systemd {
        /// The unit.
        unit: String,
    },
    /// By systemd, which is not waited for: of a unit that does not run it first forgets how often that has failed. An etcd that waits for the others has not
    /// started before they have.
    Start {
        /// The unit.
        unit: String,
    },
    /// By the kubelet: the manifest of a static pod is moved aside until the pod has stopped, and is then back with another annotation.
    StaticPod {
        /// The manifest.
        manifest: String,
    },
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verb", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Deed {
    /// Undoes a transaction that a crash left open, before anything else happens on the node.
    UndoOpen {
        /// The run that left it.
        run: String,
        /// The visit of that run.
        visit: u32,
    },
    /// Has a member of etcd send its data, and keeps it on the node. Nothing that runs is changed by it, and no way back restores it.
    SnapshotEtcd {
        /// Where the member listens for clients.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The file with a client certificate that it accepts.
        certificate: String,
        /// The file with its key.
        key: String,
        /// The directory for snapshots, below which it is kept.
        directory: String,
        /// How many are kept there, this one among them.
        keep: u32,
        /// The longest wait for all of it.
        timeout: Duration,
    },
    /// Copies every file that the visit may touch, before the first write.
    Snapshot {
        /// The files.
        paths: BTreeSet<String>,
    },
    /// Makes a directory.
    MakeDirectory {
        /// The directory.
        directory: FileSpec,
    },
    /// Makes the link under which programs know a directory.
    MakeLink {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// Moves a directory and puts the link under which programs know it in its place.
    MoveDirectory {
        /// The directory, where the link will be.
        link: String,
        /// Where it goes.
        path: String,
        /// Whether the old directory stays beside the link for programs that have it open, until the next run on the node.
        keeps_old: bool,
    },
    /// Makes a new authority: key and self-signed certificate.
    CreateAuthority {
        /// The certificate's file.
        certificate: FileSpec,
        /// The key's file.
        key: FileSpec,
        /// The subject.
        subject: SubjectName,
        /// The key's algorithm.
        algorithm: NewKeyAlgorithm,
        /// The beginning of its life.
        not_before: Timestamp,
        /// The end of its life.
        not_after: Timestamp,
        /// The certificate that may be there: one that was to come, and cannot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<Sha256>,
    },
    /// Signs a CA's own certificate again with the same key, for another period: whatever it issued stays valid.
    ExtendAuthority {
        /// The certificate's file, which may hold others besides.
        certificate: FileSpec,
        /// The key's file.
        key: FileSpec,
        /// The certificate that is there.
        of: Certificate,
        /// What else the file holds, and goes on to hold.
        others: Vec<Certificate>,
        /// The serial number stays, because certificates name their issuer by it.
        keeps_serial: bool,
        /// The end of its new life. The beginning stays.
        not_after: Timestamp,
    },
    /// Puts an own root CA of the spec on a node: its certificate, which is known, and its key, which is read at apply on the machine that runs it.
    InstallAuthority {
        /// The certificate's file.
        certificate: FileSpec,
        /// The key's file.
        key: FileSpec,
        /// The certificate.
        root: Certificate,
        /// Where both come from.
        source: RootSource,
    },
    /// Writes the certificate of an authority that an earlier action of this plan makes.
    CopyAuthorityCertificate {
        /// The node that makes it.
        from: NodeName,
        /// The file there.
        source: String,
        /// The file here.
        file: FileSpec,
    },
    /// Copies a private key that the layout shares, from memory to memory.
    CopyKey(KeyCopy),
    /// Makes a new key pair without certificate.
    CreateKeyPair {
        /// The private key.
        private: FileSpec,
        /// The public key.
        public: FileSpec,
        /// The algorithm.
        algorithm: NewKeyAlgorithm,
    },
    /// Writes the public half of a key pair anew.
    WritePublicKey {
        /// The private key, which is read.
        private: FileSpec,
        /// The public key.
        public: FileSpec,
    },
    /// Writes the certificates of a trust bundle anew, in this order.
    WriteBundle {
        /// The file.
        file: FileSpec,
        /// What it will hold.
        #[serde(flatten)]
        bundle: Bundle,
        /// What it holds now.
        before: Vec<Sha256>,
    },
    /// Writes anew what follows a certificate in its file, since a CA certificate there was signed again. The certificate itself and its key stay.
    WriteChain {
        /// The file.
        file: FileSpec,
        /// The certificate that stays.
        certificate: Certificate,
        /// What will follow it.
        chain: CaCertificates,
        /// What follows it now.
        before: Vec<Sha256>,
    },
    /// Removes a file that holds nothing but what another one holds too.
    RemoveCopy {
        /// The file.
        path: String,
        /// The other one.
        of: String,
    },
    /// Issues a certificate and writes it with its key.
    IssueIdentity(Box<Issue>),
    /// Writes a certificate that exists with its key to another place: of its own node, or of a node that shares it.
    CopyIdentity(Box<IdentityCopy>),
    /// Makes or takes a key, keeps it where it waits on its node, and hands out the request for its certificate, which is signed elsewhere.
    WriteCsr(Box<CsrRequest>),
    /// Writes a certificate that was signed elsewhere with the key that waited for it.
    InstallIdentity(Box<Install>),
    /// Changes the CA certificates in a kubeconfig and nothing else.
    UpdateKubeconfig {
        /// The kubeconfig.
        file: FileSpec,
        /// Where the CA certificates come from.
        trusted: CaCertificates,
        /// What it trusts now.
        before: Vec<Sha256>,
    },
    /// Sets owner and permission bits.
    SetPermissions {
        /// The file as it should be.
        file: FileSpec,
        /// The bits that it has.
        mode_before: u32,
        /// The owner that it has, `USER:GROUP`.
        owner_before: String,
    },
    /// Has a member of etcd hand its leadership to another one before it is restarted, if it leads by then. Where it cannot be moved the plan goes on: an
    /// election costs seconds, and no safety.
    MoveLeader {
        /// Where the member listens for clients.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The file with a client certificate that it accepts.
        certificate: String,
        /// The file with its key.
        key: String,
        /// The longest wait for another leader.
        timeout: Duration,
    },
    /// Restarts a service.
    Restart {
        /// How.
        how: RestartMethod,
        /// The longest wait for it to end.
        timeout: Duration,
    },
    /// Waits until a service works.
    AwaitHealthy {
        /// What must hold.
        gates: BTreeSet<HealthCheck>,
        /// What must hold if it does before anything is touched: what a cluster is not required to have, such as anonymous access to a health check.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        kept: BTreeSet<HealthCheck>,
        /// The same, as other nodes see this one.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        elsewhere: BTreeMap<NodeName, BTreeSet<HealthCheck>>,
        /// How long it must hold without a break.
        settle: Duration,
        /// The longest wait for it.
        timeout: Duration,
    },
    /// Checks that everything that was written is whole. The visit is committed only if it is.
    Verify {
        /// The identities.
        identities: BTreeSet<IdentityName>,
    },
    /// Removes from every snapshot on the node each copy that holds the private key of a distrusted CA.
    PurgeSnapshots {
        /// The CA certificate, by its fingerprint.
        fingerprint: Sha256,
        /// The key, by its public half (SHA-256 of SubjectPublicKeyInfo).
        key: Sha256,
    },
    /// Puts a path back as it was before a visit of an earlier run.
    Restore {
        /// The earlier run.
        run: String,
        /// The visit of that run.
        visit: u32,
        /// The path.
        path: String,
        /// What it holds now, in words.
        now: String,
        /// What it will hold, in words.
        then: String,
        /// What goes back in the same step, before it: the other file of a pair.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        with: Vec<PutBack>,
    },
}

/// A path that is put back together with another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PutBack {
    /// The path.
    pub path: String,
    /// What it holds now, in words.
    pub now: String,
    /// What it will hold, in words.
    pub then: String,
}

/// The files of an own root CA, as the spec writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootSource {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// What an action means for what runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Disruption {
    /// Nothing runs on it.
    None,
    /// A running process takes it up by itself.
    Reload {
        /// When and who, in words.
        when: String,
        /// How long the last of them may take.
        #[serde(default, skip_serializing_if = "is_at_once")]
        within: Duration,
    },
    /// These services have to be started anew to use it.
    Restart {
        /// The services.
        services: BTreeSet<ServiceName>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_at_once(within: &Duration) -> bool {
    within.seconds() == 0
}

/// How an action is undone when its visit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Undo {
    /// The snapshot is put back.
    Restore,
    /// The service is restarted again with the files that were put back.
    Inverse,
    /// There is nothing to undo.
    None,
}

impl Action {
    /// The service that it starts anew, be it by putting back the manifest of its static pod.
    pub fn restarts(&self) -> Option<&ServiceName> {
        match (&self.deed, &self.address.target) {
            (Deed::Restart { .. } | Deed::Restore { .. }, Target::Service(service)) => Some(service),
            (_, _) => None,
        }
    }

    /// The authority that it is about.
    pub(crate) fn authority(&self) -> Option<&AuthorityName> {
        self.address.target.authority()
    }

    /// Whether it takes CAs out of a file of trust that belong to nobody of the cluster, and no others.
    pub(super) fn drops_strays(&self) -> bool {
        !self.reasons.is_empty() && self.reasons.iter().all(|why| why.finding.is_of_stray())
    }

    /// Whether it writes trust anew for another reason.
    pub(crate) fn drops_own(&self) -> bool {
        self.writes_trust() && !self.drops_strays()
    }

    pub(super) fn writes_trust(&self) -> bool {
        matches!(self.deed, Deed::WriteBundle { .. } | Deed::UpdateKubeconfig { .. })
    }
}

impl Deed {
    /// The certificate that it issues.
    pub fn issue(&self) -> Option<&Issue> {
        if let Deed::IssueIdentity(issue) = self { Some(issue) } else { None }
    }

    /// The certificate that it copies.
    pub fn copy(&self) -> Option<&IdentityCopy> {
        if let Deed::CopyIdentity(copy) = self { Some(copy) } else { None }
    }

    /// The authority under which a certificate is that it issues or installs.
    pub fn signed_under(&self) -> Option<&AuthorityName> {
        if let Deed::InstallIdentity(install) = self {
            return Some(&install.authority);
        }
        self.issue().map(|issue| &issue.authority)
    }

    /// The values in it that are the word of a node.
    pub fn told(&self) -> &[Told] {
        if let Self::IssueIdentity(issue) = self {
            return &issue.told;
        }
        if let Self::WriteCsr(request) = self {
            return &request.told;
        }
        self.copy().map_or(&[], |copy| &copy.told)
    }
}
