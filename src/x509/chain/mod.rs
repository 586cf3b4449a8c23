//! Chains of trust: a certificate, what came with it, the roots, a time and a purpose go in; a path or the reason there is none comes out.
//!
//! By the rules of Go's `x509.Certificate.Verify` (1.19 to 1.25), because Go programs are the judges. They differ from RFC 5280 and OpenSSL:
//! the root's dates and usages count; a leaf may be a CA; every intermediate counts against a path length, self-issued or not; key identifiers
//! only order the candidates; the common name is no host name. No clock, no network, no revocation.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::Timestamp;

use super::certificate::{Certificate, CertificateFacts};
use super::extensions::{ExtendedKeyUsage, KeyUsage, SubjectNames};
use super::name::{Name, escape};
use super::verify::SignatureError;
pub use super::verify::WeakHash;
use crate::types::certificate::Usage;

mod constraints;
mod host;

pub use constraints::{NameFault, allows as allows_names};

/// Most signatures that are checked for one verdict, Go's `maxChainSignatureChecks`: keeps a hostile bundle from costing hours.
pub const MAX_SIGNATURE_CHECKS: usize = 100;

/// What the certificate must be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// To serve TLS, under this name if one is given.
    Server {
        /// What the client dials.
        name: Option<ServerName>,
    },
    /// To be shown by a TLS client.
    Client,
    /// Extended key usages are not looked at.
    Any,
}

impl From<Usage> for Purpose {
    fn from(usage: Usage) -> Self {
        match usage {
            Usage::Server => Self::Server { name: None },
            Usage::Client => Self::Client,
        }
    }
}

/// What a TLS client dials.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerName {
    /// A DNS name.
    Dns(String),
    /// An IP address: matches IP names only, as in Go.
    Ip(IpAddr),
}

impl FromStr for ServerName {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        Ok(bare.parse().map_or_else(|_| Self::Dns(text.to_owned()), Self::Ip))
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(&escape(name)),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

/// There is no path, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the chain fails at certificate {} ({})", certificate.facts().subject, certificate.fingerprint().short())]
pub struct ChainError {
    /// The certificate that is at fault; for [`ChainFault::UnknownIssuer`] the one whose issuer is missing.
    pub certificate: Certificate,
    /// What is wrong with it.
    #[source]
    pub fault: ChainFault,
}

/// What is wrong with a certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named by the message")]
pub enum ChainFault {
    /// Go does not even parse it.
    #[error("Go programs cannot read it: {}", defects.join("; "))]
    Unreadable { defects: Vec<String> },
    /// `now` lies before its first moment.
    #[error("it is not valid before {not_before} (now {now})")]
    NotYetValid { not_before: Timestamp, now: Timestamp },
    /// `now` lies after its last moment.
    #[error("it expired at {not_after} (now {now})")]
    Expired { not_after: Timestamp, now: Timestamp },
    /// An extension that must be understood and is not.
    #[error("it has critical extensions that Go programs do not know: {}", extensions.join(", "))]
    UnknownCriticalExtension { extensions: Vec<String> },
    /// None of its names is the one that is dialled.
    #[error("it is not for {wanted}")]
    WrongName { wanted: ServerName },
    /// No certificate with the name of its issuer is at hand.
    #[error("its issuer {issuer} is neither among the roots nor among the intermediates")]
    UnknownIssuer { issuer: Name },
    /// The path ends here, in a certificate that no one else issued and that is not trusted.
    #[error("it is self-issued and not among the roots")]
    NotTrusted,
    /// Every certificate with the name of its issuer has another key, so another CA of that name signed it.
    #[error("no certificate at hand for its issuer {issuer} has the key that signed it")]
    NotSignedByIssuer { issuer: Name },
    /// Its signature cannot count.
    #[error("its signature does not count")]
    Signature(#[source] SignatureError),
    /// It issued another certificate without being a CA.
    #[error("it is no certificate authority, yet it issued {issued}")]
    NotCa { issued: Name },
    /// It issued another certificate, but its key usages do not include keyCertSign.
    #[error("its key usages do not allow it to issue certificates, yet it issued {issued}")]
    MayNotSign { issued: Name },
    /// Go counts self-issued intermediates too.
    #[error("it allows {allowed} intermediate certificates below itself, and there are {found}")]
    TooManyIntermediates { allowed: u32, found: usize },
    /// One of its name constraints forbids a name below it.
    #[error("its name constraints forbid the {kind} {name} of {of}")]
    NameForbidden { kind: &'static str, name: String, of: Name },
    /// A name below it, or a constraint, that cannot be compared.
    #[error("its name constraints cannot be applied to the {kind} {name} of {of}")]
    NameNotComparable { kind: &'static str, name: String, of: Name },
    /// Its extended key usages do not include the one that is needed.
    #[error("its extended key usages do not allow {usage}")]
    UsageNotAllowed { usage: ExtendedKeyUsage },
    /// [`MAX_SIGNATURE_CHECKS`] were not enough.
    #[error("its issuer was not found within {MAX_SIGNATURE_CHECKS} signature checks")]
    TooManySignatures,
}

/// Finds a path from `leaf` over `intermediates` to one of `roots`, the leaf first and the root last; a leaf that is itself a root is a path of one.
pub fn verify(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    now: Timestamp,
    purpose: &Purpose,
) -> Result<Vec<Certificate>, ChainError> {
    check_validity(leaf, now)?;
    let usage = match purpose {
        Purpose::Server { name } => {
            if let Some(wanted) = name.as_ref().filter(|name| !host::matches(&leaf.facts().names, name)) {
                return Err(fault(leaf, ChainFault::WrongName { wanted: wanted.clone() }));
            }
            Some(ExtendedKeyUsage::ServerAuth)
        }
        Purpose::Client => Some(ExtendedKeyUsage::ClientAuth),
        Purpose::Any => None,
    };
    let mut search = Search { intermediates, roots, now, usage, checks: 0 };
    if roots.contains(leaf) {
        let path = vec![leaf.clone()];
        search.check_usage(&path)?;
        return Ok(path);
    }
    search.extend(std::slice::from_ref(leaf))
}

/// Whether one of the names of a certificate is the one that is dialled. The common name is not asked.
pub fn is_for(names: &SubjectNames, dialled: &ServerName) -> bool {
    host::matches(names, dialled)
}

/// Whether a certificate lets itself and what is below it be used so: one that lists usages must list this one, a root too.
pub(super) fn allows_usage(certificate: &Certificate, usage: &ExtendedKeyUsage) -> bool {
    let allowed = certificate.facts().extended_key_usages.as_ref().filter(|allowed| !allowed.is_empty());
    allowed.is_none_or(|allowed| allowed.contains(usage) || allowed.contains(&ExtendedKeyUsage::Any))
}

/// Whether `issuer` issued `certificate`, whatever their dates: it has the name of its issuer and the key that signed it, and may sign.
pub fn is_issued_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    certificate.facts().issuer == issuer.facts().subject && check_issued(certificate, issuer).is_ok()
}

/// A signature that Go refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeakSignature {
    /// Its hash.
    pub hash: WeakHash,
    /// Whether the issuer made it, by the signature or else by the key identifiers; `None` where neither can tell.
    pub is_by_issuer: Option<bool>,
}

/// How a certificate that names `issuer` is signed, where Go refuses that whoever did it.
pub fn weak_signature(certificate: &Certificate, issuer: &Certificate) -> Option<WeakSignature> {
    let (facts, above) = (certificate.facts(), issuer.facts());
    if facts.issuer != above.subject {
        return None;
    }
    let (hash, is_made_by) = certificate.weakness(&above.key)?;
    let named = facts.authority_key_id.as_ref().and_then(|id| id.key_id.as_ref());
    let by_key_id = named.zip(above.subject_key_id.as_ref()).map(|(named, own)| named == own);
    Some(WeakSignature { hash, is_by_issuer: is_made_by.or(by_key_id) })
}

/// Whether its own key signed a certificate.
///
/// # Errors
/// Another key signed it, or with an algorithm that does not count.
pub fn verify_own_signature(certificate: &Certificate) -> Result<(), SignatureError> {
    let key = &certificate.facts().key;
    certificate.check_signature(key)
}

struct Search<'a> {
    intermediates: &'a [Certificate],
    roots: &'a [Certificate],
    now: Timestamp,
    usage: Option<ExtendedKeyUsage>,
    checks: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Root,
    Intermediate,
}

impl Search<'_> {
    /// A path that starts with `path`; its last certificate still lacks an issuer.
    ///
    /// Depth-first and ends, because no certificate stands in a path twice and the number of signature checks is bounded.
    fn extend(&mut self, path: &[Certificate]) -> Result<Vec<Certificate>, ChainError> {
        let Some(child) = path.last() else { return Ok(Vec::new()) };
        let mut best: Option<ChainError> = None;
        for (role, pool) in [(Role::Root, self.roots), (Role::Intermediate, self.intermediates)] {
            for candidate in candidates(child, pool) {
                if already_in_path(candidate, path) {
                    continue;
                }
                if self.checks >= MAX_SIGNATURE_CHECKS {
                    return Err(fault(child, ChainFault::TooManySignatures));
                }
                self.checks += 1;
                match self.try_issuer(candidate, role, path) {
                    Ok(path) => return Ok(path),
                    Err(error) if error.fault == ChainFault::TooManySignatures => return Err(error),
                    Err(error) => best = Some(more_telling(best, error)),
                }
            }
        }
        let missing = match child.facts() {
            facts if facts.self_issued => ChainFault::NotTrusted,
            facts => ChainFault::UnknownIssuer { issuer: facts.issuer.clone() },
        };
        Err(best.unwrap_or_else(|| fault(child, missing)))
    }

    fn try_issuer(
        &mut self,
        issuer: &Certificate,
        role: Role,
        path: &[Certificate],
    ) -> Result<Vec<Certificate>, ChainError> {
        let Some(child) = path.last() else { return Ok(Vec::new()) };
        check_issued(child, issuer)?;
        check_validity(issuer, self.now)?;
        constraints::check(issuer, path)?;
        let facts = issuer.facts();
        let is_ca = facts.basic_constraints.is_some_and(|constraints| constraints.ca);
        if role == Role::Intermediate && !is_ca {
            return Err(fault(issuer, ChainFault::NotCa { issued: child.facts().subject.clone() }));
        }
        let found = path.len() - 1;
        match facts.basic_constraints.and_then(|constraints| constraints.path_len) {
            Some(allowed) if usize::try_from(allowed).is_ok_and(|allowed| found > allowed) => {
                return Err(fault(issuer, ChainFault::TooManyIntermediates { allowed, found }));
            }
            Some(_) | None => {}
        }
        let longer: Vec<Certificate> = path.iter().chain([issuer]).cloned().collect();
        match role {
            Role::Root => self.check_usage(&longer).map(|()| longer),
            Role::Intermediate => self.extend(&longer),
        }
    }

    fn check_usage(&self, path: &[Certificate]) -> Result<(), ChainError> {
        let Some(usage) = &self.usage else { return Ok(()) };
        match path.iter().rev().find(|certificate| !allows_usage(certificate, usage)) {
            Some(certificate) => {
                Err(fault(certificate, ChainFault::UsageNotAllowed { usage: usage.clone() }))
            }
            None => Ok(()),
        }
    }
}

/// Whether Go reads the certificate at this time at all, wherever it stands in the path.
fn check_validity(certificate: &Certificate, now: Timestamp) -> Result<(), ChainError> {
    let CertificateFacts { defects, unknown_critical_extensions, not_before, not_after, .. } =
        certificate.facts();
    let found = if !defects.is_empty() {
        ChainFault::Unreadable { defects: defects.clone() }
    } else if !unknown_critical_extensions.is_empty() {
        ChainFault::UnknownCriticalExtension { extensions: unknown_critical_extensions.clone() }
    } else if now < *not_before {
        ChainFault::NotYetValid { not_before: *not_before, now }
    // Certificates count in whole seconds: the second of notAfter is still good, but in Go not its fractions.
    } else if now > *not_after {
        ChainFault::Expired { not_after: *not_after, now }
    } else {
        return Ok(());
    };
    Err(fault(certificate, found))
}

/// Go's `CheckSignatureFrom`.
fn check_issued(child: &Certificate, issuer: &Certificate) -> Result<(), ChainError> {
    let facts = issuer.facts();
    let issued = || child.facts().subject.clone();
    let refused = match facts.basic_constraints {
        Some(constraints) => !constraints.ca,
        None => facts.version == 3,
    };
    if refused {
        return Err(fault(issuer, ChainFault::NotCa { issued: issued() }));
    }
    let usages = facts.key_usages.as_ref().filter(|usages| !usages.is_empty());
    if usages.is_some_and(|usages| !usages.contains(&KeyUsage::KeyCertSign)) {
        return Err(fault(issuer, ChainFault::MayNotSign { issued: issued() }));
    }
    child.check_signature(&facts.key).map_err(|error| match error {
        SignatureError::Forged => {
            fault(child, ChainFault::NotSignedByIssuer { issuer: facts.subject.clone() })
        }
        error @ (SignatureError::InsecureAlgorithm { .. } | SignatureError::CannotCheck { .. }) => {
            fault(child, ChainFault::Signature(error))
        }
    })
}

/// Certificates with the right name, those whose key identifier fits first, those where it does not fit last.
fn candidates<'a>(child: &Certificate, pool: &'a [Certificate]) -> Vec<&'a Certificate> {
    let facts = child.facts();
    let wanted = facts.authority_key_id.as_ref().and_then(|id| id.key_id.as_ref());
    let mut found: Vec<&Certificate> =
        pool.iter().filter(|issuer| issuer.facts().subject == facts.issuer).collect();
    found.sort_by_key(|issuer| match (wanted, &issuer.facts().subject_key_id) {
        (wanted, given) if wanted == given.as_ref() => 0,
        (None, _) | (_, None) => 1,
        (Some(_), Some(_)) => 2,
    });
    found
}

/// The same name, key and alternative names count as the same certificate, so that cross-signed CAs make no circles.
fn already_in_path(candidate: &Certificate, path: &[Certificate]) -> bool {
    let facts = candidate.facts();
    path.iter().map(Certificate::facts).any(|known| {
        known.subject == facts.subject
            && known.key.spki_sha256 == facts.key.spki_sha256
            && known.names == facts.names
    })
}

/// Of the reasons for which candidates failed, the first that says more than "another key".
fn more_telling(best: Option<ChainError>, next: ChainError) -> ChainError {
    match best {
        Some(best) if !matches!(best.fault, ChainFault::NotSignedByIssuer { .. }) => best,
        Some(_) | None => next,
    }
}

fn fault(certificate: &Certificate, fault: ChainFault) -> ChainError {
    ChainError { certificate: certificate.clone(), fault }
}
