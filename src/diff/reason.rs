//! Why something is not as it should be: the closed list of reasons.
//!
//! A reason is a fact with its figures, for explaining. It never steers what apply does.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::directory::Obstacle;
pub(super) use super::words::subject_text;
use super::words::{date, instant, names};
use crate::diagnostic::escaped;
use crate::duration::Duration;
use crate::ids::{AuthorityName, NodeName};
use crate::spec::scalars::FileMode;
use crate::spec::types::Usage;
use crate::x509::{KeyAlgorithm, Sha256};

/// One difference between what should be and what is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all_fields = "camelCase")]
pub enum Reason {
    /// The file is not there.
    Missing,
    /// The user asked for it.
    Requested,
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
    /// A trust bundle lacks a certificate of its authority.
    BundleLacks {
        /// The certificate.
        fingerprint: Sha256,
    },
    /// A trust bundle holds a certificate that is none of its authority's.
    BundleHasStray {
        /// The certificate.
        fingerprint: Sha256,
        /// Its subject.
        subject: String,
    },
    /// A trust bundle holds a certificate more than once.
    BundleDuplicates {
        /// The certificate.
        fingerprint: Sha256,
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
    /// The process serves another certificate than the file holds.
    ServedDiffersFromFile {
        /// The certificate served.
        served: Sha256,
        /// The certificate in the file.
        file: Sha256,
    },
    /// The process started before the file changed, and does not read it again.
    StartedBeforeFile {
        /// When the process started.
        started: Timestamp,
        /// When the file changed.
        changed: Timestamp,
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
    /// The node's clock is off.
    ClockSkew {
        /// The node's clock.
        node: Timestamp,
        /// Our clock.
        ours: Timestamp,
    },
    /// No reachable node holds the authority's key.
    AuthorityKeyLost,
    /// The kubelet renews it by itself.
    KubeletRotates,
    /// The kubelet does not renew it: the kubeconfig embeds the certificate instead of pointing at the kubelet's own file.
    KubeletDoesNotRotate,
    /// It could not be read, so nothing is known of it.
    Unknown {
        /// Why.
        because: String,
    },
}

impl Reason {
    /// The name of the reason, as JSON and documentation call it.
    pub fn name(&self) -> &'static str {
        match self {
            Reason::Missing => "Missing",
            Reason::Requested => "Requested",
            Reason::ExpiresSoon { .. } => "ExpiresSoon",
            Reason::Expired { .. } => "Expired",
            Reason::NotYetValid { .. } => "NotYetValid",
            Reason::IssuedBefore { .. } => "IssuedBefore",
            Reason::IssuerEndsFirst { .. } => "IssuerEndsFirst",
            Reason::WrongIssuer { .. } => "WrongIssuer",
            Reason::SubjectDiffers { .. } => "SubjectDiffers",
            Reason::NamesMissing { .. } => "NamesMissing",
            Reason::NamesUnwanted { .. } => "NamesUnwanted",
            Reason::UsagesDiffer { .. } => "UsagesDiffer",
            Reason::KeyAlgorithmDiffers { .. } => "KeyAlgorithmDiffers",
            Reason::KeyMismatch { .. } => "KeyMismatch",
            Reason::PublicKeyMismatch { .. } => "PublicKeyMismatch",
            Reason::KeyMissing => "KeyMissing",
            Reason::PublicKeyMissing => "PublicKeyMissing",
            Reason::NotACa => "NotACa",
            Reason::OutlivesIssuer { .. } => "OutlivesIssuer",
            Reason::NotTrusted { .. } => "NotTrusted",
            Reason::BundleLacks { .. } => "BundleLacks",
            Reason::BundleHasStray { .. } => "BundleHasStray",
            Reason::BundleDuplicates { .. } => "BundleDuplicates",
            Reason::PermissionsDiffer { .. } => "PermissionsDiffer",
            Reason::OwnerDiffers { .. } => "OwnerDiffers",
            Reason::LinkMissing { .. } => "LinkMissing",
            Reason::LinkDiffers { .. } => "LinkDiffers",
            Reason::LinkDangling { .. } => "LinkDangling",
            Reason::LinkLoops { .. } => "LinkLoops",
            Reason::LinkIsDirectory { .. } => "LinkIsDirectory",
            Reason::LinkIsFile { .. } => "LinkIsFile",
            Reason::CannotMove { .. } => "CannotMove",
            Reason::DiffersBetweenNodes { .. } => "DiffersBetweenNodes",
            Reason::ServedDiffersFromFile { .. } => "ServedDiffersFromFile",
            Reason::StartedBeforeFile { .. } => "StartedBeforeFile",
            Reason::CaKeyOnWrongNode { .. } => "CaKeyOnWrongNode",
            Reason::Unparseable { .. } => "Unparseable",
            Reason::ZeroLength { .. } => "ZeroLength",
            Reason::NotPem { .. } => "NotPem",
            Reason::KeyEncrypted { .. } => "KeyEncrypted",
            Reason::NotAFile { .. } => "NotAFile",
            Reason::NotADirectory { .. } => "NotADirectory",
            Reason::KubeconfigIncomplete { .. } => "KubeconfigIncomplete",
            Reason::ClockSkew { .. } => "ClockSkew",
            Reason::AuthorityKeyLost => "AuthorityKeyLost",
            Reason::KubeletRotates => "KubeletRotates",
            Reason::KubeletDoesNotRotate => "KubeletDoesNotRotate",
            Reason::Unknown { .. } => "Unknown",
        }
    }
}

impl fmt::Display for Reason {
    /// One clause for people, without a full stop; texts from nodes are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Missing => f.write_str("missing"),
            Reason::Requested => f.write_str("asked for with --replace"),
            Reason::ExpiresSoon { not_after, renew_before } => {
                write!(f, "expires {} and renewBefore is {renew_before}", date(*not_after))
            }
            Reason::Expired { not_after } => write!(f, "expired {}", instant(*not_after)),
            Reason::NotYetValid { not_before } => write!(f, "not valid before {}", instant(*not_before)),
            Reason::IssuedBefore { not_before, cut_off } => {
                write!(f, "issued {}, before {}", instant(*not_before), instant(*cut_off))
            }
            Reason::IssuerEndsFirst { issuer_not_after } => {
                write!(f, "its issuer ends {}, so renewing it would gain nothing", date(*issuer_not_after))
            }
            Reason::WrongIssuer { issuer, authority } => {
                write!(
                    f,
                    "not signed by this node's {authority}; the issuer that it names is {}",
                    escaped(issuer)
                )
            }
            Reason::SubjectDiffers { found, wanted } => {
                write!(f, "subject is {}, not {wanted}", escaped(found))
            }
            Reason::NamesMissing { dns, ip } => write!(f, "lacks the names {}", names(dns, ip)),
            Reason::NamesUnwanted { dns, ip } => {
                write!(f, "has names that names.only excludes: {}", names(dns, ip))
            }
            Reason::UsagesDiffer { missing } => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                write!(f, "may not be used as {}", missing.join(" and "))
            }
            Reason::KeyAlgorithmDiffers { found, wanted } => {
                write!(f, "key is {found}, declared is {wanted}")
            }
            Reason::KeyMismatch { certificate, key } => write!(
                f,
                "private key does not match: certificate has spki {}, key file {}",
                certificate.short(),
                key.short()
            ),
            Reason::PublicKeyMismatch { public, key } => write!(
                f,
                "public key does not match: its file holds {}, the private key belongs to {}",
                public.short(),
                key.short()
            ),
            Reason::KeyMissing => f.write_str("private key missing"),
            Reason::PublicKeyMissing => f.write_str("public key missing"),
            Reason::NotACa => f.write_str("is no CA certificate, so nothing it signed is accepted"),
            Reason::OutlivesIssuer { not_after, issuer_not_after } => {
                write!(
                    f,
                    "valid until {}, longer than its issuer ({})",
                    date(*not_after),
                    date(*issuer_not_after)
                )
            }
            Reason::NotTrusted { because } => write!(f, "no verifier would accept it: {}", escaped(because)),
            Reason::BundleLacks { fingerprint } => {
                write!(f, "trust bundle lacks {}, the CA certificate in use", fingerprint.short())
            }
            Reason::BundleHasStray { fingerprint, subject } => {
                write!(f, "trust bundle also holds {} ({})", fingerprint.short(), escaped(subject))
            }
            Reason::BundleDuplicates { fingerprint } => {
                write!(f, "trust bundle holds {} more than once", fingerprint.short())
            }
            Reason::PermissionsDiffer { path, found, wanted } => {
                write!(f, "{} has mode {found:04o}, not {wanted}", escaped(path))
            }
            Reason::OwnerDiffers { path, found, wanted } => {
                write!(f, "{} belongs to {}, not {wanted}", escaped(path), escaped(found))
            }
            Reason::LinkMissing { wanted } => write!(f, "link to {} missing", escaped(wanted)),
            Reason::LinkDiffers { found, wanted } => {
                write!(f, "link leads to {}, not {}", escaped(found), escaped(wanted))
            }
            Reason::LinkDangling { path, target } => {
                write!(f, "{} leads to {}, which does not exist", escaped(path), escaped(target))
            }
            Reason::LinkLoops { path } => write!(f, "the links at {} lead in a circle", escaped(path)),
            Reason::LinkIsDirectory { path, wanted } => {
                write!(f, "{} is a directory, not a link to {}", escaped(path), escaped(wanted))
            }
            Reason::LinkIsFile { path, wanted } => {
                write!(f, "{} is a file, not a link to {}", escaped(path), escaped(wanted))
            }
            Reason::CannotMove { path, wanted, obstacle } => {
                let (path, wanted) = (escaped(path), escaped(wanted));
                write!(
                    f,
                    "{path} is a directory, not a link to {wanted}, and cannot be moved there: {obstacle}"
                )
            }
            Reason::DiffersBetweenNodes { others, found, elsewhere } => {
                let others: Vec<&str> = others.iter().map(NodeName::as_str).collect();
                let (here, there) = (found.short(), elsewhere.short());
                write!(f, "not the same as on {}: {here} here, {there} there", others.join(", "))
            }
            Reason::ServedDiffersFromFile { served, file } => {
                write!(f, "the process serves {}, the file holds {}", served.short(), file.short())
            }
            Reason::StartedBeforeFile { started, changed } => write!(
                f,
                "renewed {}, not in use: the process runs since {}",
                instant(*changed),
                instant(*started)
            ),
            Reason::CaKeyOnWrongNode { path } => {
                write!(f, "{} is a CA key and does not belong here", escaped(path))
            }
            Reason::Unparseable { path, problem } => write!(f, "{}: {}", escaped(path), escaped(problem)),
            Reason::ZeroLength { path } => write!(f, "{} is empty", escaped(path)),
            Reason::NotPem { path } => {
                write!(f, "{} is DER, and Kubernetes and etcd read PEM only", escaped(path))
            }
            Reason::KeyEncrypted { path } => {
                write!(f, "{} is encrypted, and no component can ask for a passphrase", escaped(path))
            }
            Reason::NotAFile { path } => write!(f, "{} is not a regular file", escaped(path)),
            Reason::NotADirectory { path } => write!(f, "{} is not a directory", escaped(path)),
            Reason::KubeconfigIncomplete { problem } => f.write_str(&escaped(problem)),
            Reason::ClockSkew { node, ours } => {
                write!(f, "the node's clock says {}, ours {}", instant(*node), instant(*ours))
            }
            Reason::AuthorityKeyLost => f.write_str(
                "no node holds its key; declare `external: true` if it is kept elsewhere on purpose",
            ),
            Reason::KubeletRotates => f.write_str("renewed by the kubelet itself"),
            Reason::KubeletDoesNotRotate => {
                f.write_str("embedded in kubelet.conf, so the kubelet does not renew it")
            }
            Reason::Unknown { because } => write!(f, "unknown: {}", escaped(because)),
        }
    }
}
