//! Why something is not as it should be: the closed list of reasons.
//!
//! A reason is a fact with its figures, for explaining. It never steers what apply does.

mod name;

use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CopyHeld, KnownContent, NotAsDeclared, Obstacle, Outsider, Sighting, Stray};
use crate::formats::kubeconfig::OtherCredentials;
use crate::protocol::facts::UnsafeStep;
use crate::types::certificate::Usage;
use crate::types::duration::Duration;
use crate::types::names::{AuthorityName, NodeName, ServiceName};
use crate::types::scalars::FileMode;
use crate::x509::chain::WeakHash;
use crate::x509::{KeyAlgorithm, Sha256};

/// One difference between what should be and what is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Reason {
    /// The file is not there.
    Missing,
    /// The user asked for it.
    Requested,
    /// Its signed certificate was brought.
    Signed {
        /// The file, as it is called on the machine that runs `pki`.
        file: String,
    },
    /// Its request waits on the node for a certificate that is signed elsewhere.
    AwaitsCertificate {
        /// The file with the key and the request.
        path: String,
    },
    /// The remaining life is within the renewal window.
    ExpiresSoon {
        /// When it ends.
        not_after: Timestamp,
        /// The window.
        renew_before: Duration,
    },
    /// It has ended.
    Expired {
        /// When it ended.
        not_after: Timestamp,
    },
    /// It has not begun.
    NotYetValid {
        /// When it begins.
        not_before: Timestamp,
    },
    /// It was issued before the instant that the spec names.
    IssuedBefore {
        /// When it was issued.
        not_before: Timestamp,
        /// The instant.
        cut_off: Timestamp,
    },
    /// Its issuer ends no later than it does, so renewing it would gain nothing.
    IssuerEndsFirst {
        /// When its issuer ends.
        issuer_not_after: Timestamp,
    },
    /// None of the authority's certificates on this node issued it.
    WrongIssuer {
        /// The issuer that the certificate names.
        issuer: String,
        /// The authority that should have issued it.
        authority: AuthorityName,
    },
    /// The subject is not one of those that the profile or the spec allows.
    SubjectDiffers {
        /// The subject on disk.
        found: String,
        /// The subject that it should be.
        wanted: String,
    },
    /// Names are missing.
    NamesMissing {
        /// The missing DNS names.
        dns: Vec<String>,
        /// The missing IP addresses.
        ip: Vec<IpAddr>,
    },
    /// Names are there that the spec's `names.only` excludes.
    NamesUnwanted {
        /// The DNS names.
        dns: Vec<String>,
        /// The IP addresses.
        ip: Vec<IpAddr>,
    },
    /// The extended key usages are others.
    UsagesDiffer {
        /// Those that are missing.
        missing: Vec<Usage>,
    },
    /// The key has another algorithm than the spec declares.
    KeyAlgorithmDiffers {
        /// The algorithm on disk.
        found: KeyAlgorithm,
        /// The algorithm that it should be.
        wanted: KeyAlgorithm,
    },
    /// The private key does not belong to the certificate.
    KeyMismatch {
        /// SHA-256 of the certificate's public key (SPKI).
        certificate: Sha256,
        /// SHA-256 of the public key that belongs to the private key.
        key: Sha256,
    },
    /// The public key file of a key pair does not belong to its private key.
    PublicKeyMismatch {
        /// SHA-256 of the public key (SPKI) in the file.
        public: Sha256,
        /// SHA-256 of the public key that belongs to the private key.
        key: Sha256,
    },
    /// The private key is not there.
    KeyMissing,
    /// The public key of a key pair is not there.
    PublicKeyMissing,
    /// The certificate of an authority may not sign others.
    NotACa,
    /// It is valid longer than the certificate that issued it.
    OutlivesIssuer {
        /// When it ends.
        not_after: Timestamp,
        /// When its issuer ends.
        issuer_not_after: Timestamp,
    },
    /// The authority issued it, yet no verifier with the authority's certificate would accept it.
    NotTrusted {
        /// Why, in the verifier's words.
        because: String,
    },
    /// It is signed with a hash that Go refuses.
    #[rustfmt::skip] WeakSignature { #[doc = "The hash."] hash: WeakHash, #[doc = "Whether it is certain that the authority signed it."] is_certain: bool },
    /// Its key is one that a verifier does not take.
    #[rustfmt::skip] WeakKey { #[doc = "The algorithm of the key."] algorithm: KeyAlgorithm },
    /// Go takes it, and OpenSSL does not.
    #[rustfmt::skip] RefusedByOpenssl { #[doc = "Why."] because: String },
    /// A trust bundle lacks a certificate of its authority.
    BundleLacks {
        /// The certificate.
        fingerprint: Sha256,
    },
    /// The CA on the nodes is another one than the own root CA that the spec names.
    RootDiffers {
        /// The CA certificate on the node.
        found: Sha256,
        /// The certificate that `source` names.
        wanted: Sha256,
        /// Its file, as the spec writes it.
        source: String,
    },
    /// The spec says that a CA has to go.
    #[rustfmt::skip] Distrusted { #[doc = "The CA certificate."] fingerprint: Sha256, #[doc = "Why, as the spec says."] because: String, #[doc = "It is nobody's of the cluster, so that nothing has to take its place."] #[serde(default, skip_serializing_if = "std::ops::Not::not")] stray: bool },
    /// Nobody holds a distrusted CA any more, and the node's snapshots still hold its private key.
    KeyInSnapshots {
        /// The CA certificate.
        fingerprint: Sha256,
        /// Its key, by its public half (SHA-256 of SubjectPublicKeyInfo).
        key: Sha256,
        /// The number of files.
        files: usize,
        /// Why it is distrusted, as the spec says.
        because: String,
    },
    /// Nobody holds a distrusted CA any more, and whether the node's snapshots hold its private key is not known.
    #[rustfmt::skip] SnapshotsUnread { #[doc = "The CA certificate."] fingerprint: Sha256, #[doc = "Why it is not known."] because: String },
    /// A CA that has to go issued it.
    #[rustfmt::skip] IssuerGoes { #[doc = "The CA certificate."] issuer: Sha256 },
    /// A CA that was to come has no key any more.
    #[rustfmt::skip] SuccessorKeyLost { #[doc = "The CA certificate."] fingerprint: Sha256 },
    /// Somebody who is not managed here needs a CA that goes, and is not waited for.
    Waived {
        /// Who needs it, where and how.
        needs: String,
        /// Why nobody waits, in the words of the spec.
        because: String,
    },
    /// A trust bundle holds a CA certificate that is nobody's of the cluster.
    BundleHasStray(Box<Stray>),
    /// A trust bundle holds a CA certificate of the cluster beside the one that signs: a rotation that a person has begun, or not ended.
    #[rustfmt::skip] BegunByHand { #[doc = "The certificate."] fingerprint: Sha256, #[doc = "Its subject."] subject: String, #[doc = "The nodes that hold its key."] key_on: Vec<NodeName>, #[doc = "Something that it signed, by its place."] signed: Option<String> },
    /// The spec trusts a CA beside the authority's own.
    #[rustfmt::skip] AlsoTrusted { #[doc = "The certificate."] fingerprint: Sha256, #[doc = "Its subject; none where the file does not hold it."] subject: Option<String>, #[doc = "Why, as the spec says."] because: String },
    /// The spec names the authority's own CA as one that is trusted beside it.
    #[rustfmt::skip] TrustedAnyway { #[doc = "The certificate."] fingerprint: Sha256 },
    /// A service signs with a file of several certificates and takes exactly one.
    #[rustfmt::skip] SignerIsBundle { #[doc = "The file."] path: String, #[doc = "The services."] by: Vec<ServiceName> },
    /// The spec, or the command line, asks for another CA or key in the place of one that this version does not replace.
    #[rustfmt::skip] CannotReplace { #[doc = "The authority."] authority: AuthorityName, #[doc = "What asks for it, as it is written."] asked: String },
    /// A trust bundle holds a certificate more than once.
    BundleDuplicates {
        /// The certificate.
        fingerprint: Sha256,
    },
    /// A certificate is followed in its file by one of its CA that was signed again since.
    ChainOutdated {
        /// The one that follows it.
        found: Sha256,
        /// The CA's certificate now; none while a plan signs it again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wanted: Option<Sha256>,
    },
    /// The permission bits are others.
    PermissionsDiffer {
        /// The file.
        path: String,
        /// The bits on disk.
        found: u32,
        /// The bits that it should have.
        wanted: FileMode,
    },
    /// The owner is another.
    OwnerDiffers {
        /// The file.
        path: String,
        /// `USER:GROUP` on disk.
        found: String,
        /// `USER:GROUP` that it should have.
        wanted: String,
    },
    /// The link under which programs know a directory is not there.
    LinkMissing {
        /// Where it should lead.
        wanted: String,
    },
    /// The link leads elsewhere.
    LinkDiffers {
        /// Where it leads.
        found: String,
        /// Where it should lead.
        wanted: String,
    },
    /// A link on the way leads to nothing.
    LinkDangling {
        /// The path asked for.
        path: String,
        /// Where the last link leads.
        target: String,
    },
    /// The links on the way lead in a circle.
    LinkLoops {
        /// The path asked for.
        path: String,
    },
    /// A real directory stands where a link should be.
    LinkIsDirectory {
        /// The path of the link.
        path: String,
        /// Where it should lead.
        wanted: String,
    },
    /// A file stands where a link should be.
    LinkIsFile {
        /// The path of the link.
        path: String,
        /// Where it should lead.
        wanted: String,
    },
    /// The directory that stands where a link should be cannot be moved.
    CannotMove {
        /// The directory.
        path: String,
        /// Where it should be.
        wanted: String,
        /// Why.
        obstacle: Obstacle,
    },
    /// Something that all nodes must hold alike differs.
    DiffersBetweenNodes {
        /// The nodes that hold what most nodes hold.
        others: Vec<NodeName>,
        /// What this node holds (SHA-256 of the public key or certificate).
        found: Sha256,
        /// What the others hold.
        elsewhere: Sha256,
    },
    /// A file that should hold the same as another one is not there.
    CopyMissing {
        /// The file.
        path: String,
    },
    /// A file that should hold the same as another one holds something else.
    CopyDiffers {
        /// The file.
        path: String,
        /// The file of the main place.
        of: String,
        /// What it holds.
        held: Box<CopyHeld>,
    },
    /// A person's own copy is outdated. It is never written.
    CopyOutdated {
        /// The file.
        path: String,
        /// The file of the main place.
        of: String,
        /// What it holds.
        held: Box<CopyHeld>,
    },
    /// The process serves another certificate than the file holds.
    ServedDiffersFromFile {
        /// The address and port at which it does.
        at: String,
        /// The certificate served.
        served: Sha256,
        /// The file.
        path: String,
        /// The certificate in the file.
        file: Sha256,
    },
    /// The process started before the file changed, and does not read it again.
    StartedBeforeFile {
        /// The file.
        path: String,
        /// When the process started.
        started: Timestamp,
        /// When the file changed.
        changed: Timestamp,
    },
    /// The certificate in its memory with which an API server calls itself ends; only a restart makes another one.
    LoopbackEnds {
        /// When it ends.
        not_after: Timestamp,
    },
    /// The node belongs to a distribution whose own program takes care of its certificates.
    TakesCareItself {
        /// The distribution.
        distribution: String,
        /// The directory that marks it.
        path: String,
    },
    /// The key of an authority lies on a node that should not hold it.
    CaKeyOnWrongNode {
        /// The file.
        path: String,
    },
    /// The file cannot be understood.
    Unparseable {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is empty.
    ZeroLength {
        /// The file.
        path: String,
    },
    /// The file holds raw DER; Kubernetes and etcd read PEM only.
    NotPem {
        /// The file.
        path: String,
    },
    /// The file holds an encrypted key; Kubernetes and etcd cannot ask for a passphrase.
    KeyEncrypted {
        /// The file.
        path: String,
    },
    /// Something that is not a regular file stands in the place of a file.
    NotAFile {
        /// The path.
        path: String,
    },
    /// Something that is not a directory stands in the place of a directory.
    NotADirectory {
        /// The path.
        path: String,
    },
    /// A kubeconfig has no usable user for its current context.
    KubeconfigIncomplete {
        /// What is missing.
        problem: String,
    },
    /// The machine that answers for a node is another one by its own name.
    OtherMachine {
        /// What it is called.
        name: String,
        /// What tells so.
        by: String,
        /// What the spec calls it.
        node: NodeName,
    },
    /// Two nodes have one address.
    AddressOfAnother {
        /// The address.
        address: String,
        /// The other node.
        other: NodeName,
    },
    /// The node's clock is off.
    ClockSkew {
        /// The node's clock.
        node: Timestamp,
        /// Our clock.
        ours: Timestamp,
    },
    /// A unit does not run, and nobody wants it to.
    StoppedByHand {
        /// The unit.
        unit: String,
        /// What systemd says of its file, such as `disabled`.
        state: String,
    },
    /// etcd's data is not saved before its members are restarted, although the spec wants that.
    EtcdNotSaved {
        /// Why.
        because: String,
    },
    /// Those to whom it is presented refuse it: its issuer is in none of the CA files with which they check it.
    Refused {
        /// They, such as `etcd@cp-1`.
        by: Vec<String>,
        /// Who presents it to them, such as `etcd@cp-2`.
        presented_by: Vec<String>,
        /// Its issuer.
        issuer: String,
        /// Whether they would accept one that the CA in use issues.
        reissue: bool,
    },
    /// Somebody takes part in the cluster, holds its CAs, and is in no node of the spec.
    NotInSpec {
        /// They.
        who: Vec<Outsider>,
        /// Where they were seen.
        by: Sighting,
    },
    /// What the spec declares has no effect yet, or none here.
    NotAsDeclared {
        /// What it is.
        how: Box<NotAsDeclared>,
    },
    /// No reachable node holds the authority's key.
    AuthorityKeyLost,
    /// The user of a kubeconfig proves itself with something else than a certificate, so none is issued for it.
    OtherCredentials {
        /// The kubeconfig.
        path: String,
        /// With what.
        by: OtherCredentials,
    },
    /// The kubelet renews it by itself.
    KubeletRotates,
    /// The kubelet does not renew it: the kubeconfig embeds the certificate instead of pointing at the kubelet's own file.
    KubeletDoesNotRotate,
    /// The way to it leads through a link that somebody else decides about.
    UnsafeLink {
        /// The path asked for.
        path: String,
        /// The step on the way.
        step: Box<UnsafeStep>,
        /// What to declare, where the link is an administrator's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        declare: Option<String>,
    },
    /// The way to it leads through a directory that somebody else decides about.
    ForeignDirectory {
        /// The path asked for.
        path: String,
        /// The step on the way.
        step: Box<UnsafeStep>,
    },
    /// A link stands in the place of a file with a private key.
    KeyBehindLink {
        /// The path asked for.
        path: String,
        /// What the link says.
        target: String,
        /// Where it ends.
        resolved: String,
    },
    /// The file is not empty, and holds nothing that this program knows.
    ForeignContent {
        /// The file.
        path: String,
        /// What was looked for.
        wanted: KnownContent,
    },
    /// The user does not want it to be asked, so nothing is known of it.
    Skipped,
    /// It could not be read, so nothing is known of it.
    Unknown {
        /// Why.
        because: String,
    },
}
