//! What each reason says to a person: one sentence each, in which whatever nodes said is escaped.
//!
//! What enters is a [`Reason`]; what leaves is text. It decides nothing.

use std::fmt;

use super::alarm::power;
use super::strangers::{Judges, Stray};
use super::unlisted::Sighting;
use super::{KnownContent, Reason};
use crate::diagnostic::escaped;
use crate::types::format::{date, instant, joined, names};
use crate::types::lookalike::spelled;
use crate::types::names::{NodeName, ServiceName};
use crate::x509::KeyAlgorithm;
use crate::x509::chain::WeakHash;

impl fmt::Display for Reason {
    /// One clause for people, without a full stop; texts from nodes are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Missing => f.write_str("missing"),
            Reason::Requested => f.write_str("asked for with --replace"),
            Reason::Signed { file } => write!(f, "its signed certificate was brought, {}", escaped(file)),
            Reason::AwaitsCertificate { path } => {
                write!(f, "its request waits for a certificate: {}", escaped(path))
            }
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
                    spelled(issuer)
                )
            }
            Reason::SubjectDiffers { found, wanted } => {
                write!(f, "subject is {}, not {}", spelled(found), spelled(wanted))
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
            Reason::WeakSignature { hash, is_certain } => weak_signature(*hash, *is_certain, f),
            Reason::WeakKey { algorithm } => weak_key(algorithm, f),
            Reason::RefusedByOpenssl { because } => {
                write!(
                    f,
                    "{}: Go programs take it, and those with OpenSSL, such as haproxy, nginx and curl, refuse it",
                    escaped(because)
                )
            }
            Reason::BundleLacks { fingerprint } => {
                write!(f, "trust bundle lacks {}, the CA certificate in use", fingerprint.short())
            }
            Reason::RootDiffers { found, wanted, source } => write!(
                f,
                "the cluster runs on the CA {}, and source names another one, {} ({})",
                found.short(),
                wanted.short(),
                escaped(source)
            ),
            Reason::Distrusted { fingerprint, because, .. } => {
                write!(f, "distrusted: {} ({})", fingerprint.short(), escaped(because))
            }
            Reason::KeyInSnapshots { fingerprint, files, because, .. } => write!(
                f,
                "{files} {} in the snapshots {} the private key of {}, which is distrusted ({})",
                if *files == 1 { "file" } else { "files" },
                if *files == 1 { "holds" } else { "hold" },
                fingerprint.short(),
                escaped(because)
            ),
            Reason::SnapshotsUnread { fingerprint, because } => write!(
                f,
                "whether the snapshots hold the private key of {}, which is distrusted, is not known: {}",
                fingerprint.short(),
                escaped(because)
            ),
            Reason::IssuerGoes { issuer } => {
                write!(f, "signed by {}, a CA that is being replaced", issuer.short())
            }
            Reason::Waived { needs, because } => {
                write!(f, "{}, and is not waited for: {}", escaped(needs), escaped(because))
            }
            Reason::SuccessorKeyLost { fingerprint } => write!(
                f,
                "no node holds the key of {}, which was to come, so another one comes in its place",
                fingerprint.short()
            ),
            Reason::BundleHasStray(stray) => {
                let Stray { fingerprint, subject, path, judges, by, signs } = &**stray;
                let place = if path.is_empty() { "trust bundle".to_owned() } else { escaped(path) };
                let (ca, power) = (spelled(subject), power(*judges));
                let digits = fingerprint.short();
                write!(
                    f,
                    "{place} also holds {digits} ({ca}), a CA that is none of this cluster's: {power}"
                )?;
                if !by.is_empty() {
                    let to = if *judges == Judges::Unknown { "read" } else { "checked" };
                    write!(f, " ({to} by {})", services(by))?;
                }
                if !signs.is_empty() {
                    write!(f, "; {} signs with this file", services(signs))?;
                }
                Ok(())
            }
            Reason::BegunByHand { fingerprint, subject, key_on, signed } => {
                let ca = spelled(subject);
                write!(f, "a rotation begun by hand: {} ({ca}) is trusted too", fingerprint.short())?;
                let nodes: Vec<&str> = key_on.iter().map(NodeName::as_str).collect();
                match signed {
                    Some(place) => write!(f, "; it signed {}", escaped(place)),
                    None => write!(f, "; its key is on {}", nodes.join(", ")),
                }
            }
            Reason::AlsoTrusted { fingerprint, subject: Some(subject), because } => {
                let (ca, because) = (spelled(subject), escaped(because));
                write!(f, "also trusts {} ({ca}), as the spec says: {because}", fingerprint.short())
            }
            Reason::AlsoTrusted { fingerprint, subject: None, because } => write!(
                f,
                "the spec also trusts {} ({}), and the file does not hold it: pki never writes it, since it has only its digest",
                fingerprint.short(),
                escaped(because)
            ),
            Reason::TrustedAnyway { fingerprint } => {
                write!(f, "alsoTrusts names {}, which is this authority's own CA", fingerprint.short())
            }
            Reason::SignerIsBundle { path, by } => write!(
                f,
                "{} holds several certificates, and {} signs with it, which takes exactly one: it signs nothing, and does not start again",
                escaped(path),
                services(by)
            ),
            Reason::CannotReplace { authority, asked } => {
                write!(
                    f,
                    "{} asks for another {authority}, which this version cannot replace",
                    escaped(asked)
                )
            }
            Reason::BundleDuplicates { fingerprint } => {
                write!(f, "trust bundle holds {} more than once", fingerprint.short())
            }
            Reason::ChainOutdated { found, wanted } => {
                write!(f, "followed in its file by {}, a CA certificate that ", found.short())?;
                match wanted {
                    Some(wanted) => write!(f, "was signed again as {}", wanted.short()),
                    None => f.write_str("is signed again before"),
                }
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
            Reason::CopyMissing { path } => write!(f, "its copy {} is missing", escaped(path)),
            Reason::CopyDiffers { path, of, held } => held.write(f, path, of),
            Reason::CopyOutdated { path, of, held } => held.write_outdated(f, path, of),
            Reason::ServedDiffersFromFile { at, served, path, file } => write!(
                f,
                "renewed, not in use: {} serves {}, {} holds {}",
                escaped(at),
                served.short(),
                escaped(path),
                file.short()
            ),
            Reason::StartedBeforeFile { path, started, changed } => write!(
                f,
                "renewed, not in use: {} changed {}, and the process that read it at its start runs since {}",
                escaped(path),
                instant(*changed),
                instant(*started)
            ),
            Reason::LoopbackEnds { not_after } => write!(
                f,
                "the certificate in its memory with which it calls itself ends {}; only a restart makes another one",
                instant(*not_after)
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
            Reason::TakesCareItself { distribution, path } => write!(
                f,
                "{path} belongs to {distribution}, whose own program makes and renews its certificates"
            ),
            Reason::OtherMachine { name, by, node } => {
                write!(
                    f,
                    "this machine is node {}, by {}; the spec calls it {node}",
                    escaped(name),
                    escaped(by)
                )
            }
            Reason::AddressOfAnother { address, other } => {
                write!(f, "its address {} is that of {other} too", escaped(address))
            }
            Reason::ClockSkew { node, ours } => {
                write!(f, "the node's clock says {}, ours {}", instant(*node), instant(*ours))
            }
            Reason::StoppedByHand { unit, state } if state.is_empty() => {
                write!(
                    f,
                    "{unit} was stopped and is not started with the node, so it is not started here either"
                )
            }
            Reason::StoppedByHand { unit, state } => {
                write!(f, "{unit} was stopped and is {state}, so it is not started here either")
            }
            Reason::EtcdNotSaved { because } => write!(
                f,
                "etcd's data is not saved before its members are restarted: {}; if you need a copy, make it yourself first",
                escaped(because)
            ),
            Reason::Refused { by, presented_by, issuer, reissue: _ } => {
                let verb = |all: &[String], one, many| if all.len() == 1 { one } else { many };
                write!(
                    f,
                    "{} {} it when {} {} it: its issuer, {}, is not among the CAs trusted there",
                    joined(by),
                    verb(by, "refuses", "refuse"),
                    joined(presented_by),
                    verb(presented_by, "presents", "present"),
                    escaped(issuer)
                )
            }
            Reason::NotInSpec { who, by } => {
                let who: Vec<String> = who.iter().map(ToString::to_string).collect();
                let who = joined(&who);
                match by {
                    Sighting::MemberList | Sighting::InitialCluster { .. } => {
                        write!(f, "etcd has members that are not in this spec: {who} ({by})")
                    }
                    Sighting::EtcdServers { .. } => {
                        write!(f, "the API server uses etcd where no node of this spec is: {who} ({by})")
                    }
                }
            }
            Reason::NotAsDeclared { how } => write!(f, "{how}"),
            Reason::AuthorityKeyLost => f.write_str(
                "no node holds its key; declare `external: true` if it is kept elsewhere on purpose",
            ),
            Reason::OtherCredentials { path, by } => {
                write!(
                    f,
                    "the credentials in {} come from {by}, not from a certificate; left alone",
                    escaped(path)
                )
            }
            Reason::KubeletRotates => f.write_str("renewed by the kubelet itself"),
            Reason::KubeletDoesNotRotate => {
                f.write_str("embedded in kubelet.conf, so the kubelet does not renew it")
            }
            Reason::UnsafeLink { path, step, declare: _ } | Reason::ForeignDirectory { path, step } => {
                write!(f, "{} is not relied on: {step}", escaped(path))
            }
            Reason::KeyBehindLink { path, target, resolved } => {
                write!(f, "{} is a link to {}", escaped(path), escaped(target))?;
                if target != resolved {
                    write!(f, ", which is {}", escaped(resolved))?;
                }
                f.write_str(", and no private key is written through a link")
            }
            Reason::ForeignContent { path, wanted } => {
                let wanted = match wanted {
                    KnownContent::Pem => "holds neither certificates nor keys",
                    KnownContent::Kubeconfig => "is no kubeconfig",
                };
                write!(f, "{} is not empty and {wanted}, so it may be anything", escaped(path))
            }
            Reason::Skipped => {
                f.write_str("skipped, by --skip-node; nothing is known of it and nothing is done on it")
            }
            Reason::Unknown { because } => write!(f, "unknown: {}", escaped(because)),
        }
    }
}

fn services(names: &[ServiceName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn weak_signature(hash: WeakHash, is_certain: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let who = match hash {
        WeakHash::Sha1 => "which Go 1.18 and later refuse (Kubernetes 1.24 and later)",
        WeakHash::Sha224 => "which Go does not know and so refuses",
        WeakHash::Md5 => "which Go refuses",
    };
    write!(f, "signed with {hash}, {who}")?;
    if is_certain { Ok(()) } else { f.write_str("; whether this node's CA signed it cannot be told") }
}

fn weak_key(algorithm: &KeyAlgorithm, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "key is {}, ", escaped(&algorithm.to_string()))?;
    match algorithm {
        KeyAlgorithm::Rsa { bits: ..1024 } => {
            f.write_str("and Go 1.24 and later refuse RSA keys below 1024 bits (Kubernetes 1.33 and later)")
        }
        KeyAlgorithm::Rsa { .. } => f.write_str(
            "which Go programs take, and those with OpenSSL, such as haproxy, nginx and curl, refuse below 2048 bits at its security level 2",
        ),
        KeyAlgorithm::Other(_)
        | KeyAlgorithm::EcdsaP256
        | KeyAlgorithm::EcdsaP384
        | KeyAlgorithm::EcdsaP521
        | KeyAlgorithm::Ed25519 => f.write_str("with which no Go program makes a TLS connection"),
    }
}
