//! Own root CAs: what a spec names in `source`, judged before anything depends on it.
//!
//! What enters is the content of a certificate file, later that of a key file; what leaves is the certificate or what is wrong with it, and a
//! [`RootKey`] that was proven to belong to its certificate. Pure: the files are read in [`crate::apply::root_files`]. Nothing of a file's content is ever in a
//! message but what its certificate says, because a spec from a stranger may name any file of the machine.

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests have the openssl program make certificates")]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::diagnostic::{Code, shown};
use crate::types::duration::Duration;
use crate::types::names::AuthorityName;
use crate::types::secret::Secret;
use crate::x509::chain;
use crate::x509::chain::{Purpose, verify_own_signature};
use crate::x509::issue::is_fit;
use crate::x509::pem;
use crate::x509::pem::{Item, PemProblem};
use crate::x509::verify::SignatureError;
use crate::x509::{Certificate, ExtendedKeyUsage, KeyUsage, PrivateKey, Sha256};

/// The life that a root should have left when it is given to `pki`. StarlingX's documentation of its own etcd root CA advises five to ten years.
pub const ADVISED_LIFE: Duration = Duration::from_days(5 * 365);

/// What reading the certificate file of a root gave.
#[derive(Debug)]
pub enum CertificateFile {
    /// Its content, which may turn out to be a key.
    Content(Secret),
    /// Nothing is there.
    Missing,
    /// Whoever runs `pki` may not read it. Somebody else may, so nothing is known of it.
    Denied,
    /// It is there and cannot be used.
    Unusable {
        /// Why, in a clause.
        reason: String,
    },
    /// The path is relative, and the spec came from standard input, which lies in no folder.
    NoFolder,
}

/// The custom root CAs that a spec names, by authority.
pub type Roots = BTreeMap<AuthorityName, CustomRoot>;

/// A custom root CA as the spec declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomRoot {
    /// The path of the certificate, as the spec writes it.
    pub certificate_path: String,
    /// The path of the key, as the spec writes it.
    pub key_path: String,
    /// The certificate; none if whoever runs `pki` may not read it.
    pub certificate: Option<Certificate>,
}

/// Something wrong with a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootFault {
    /// The stable code.
    pub code: Code,
    /// One clause without a full stop: what is wrong.
    pub message: String,
    /// The way out.
    pub help: &'static str,
}

impl RootFault {
    fn new(code: Code, message: impl Into<String>, help: &'static str) -> Self {
        Self { code, message: message.into(), help }
    }
}

const NAME_THE_ROOT: &str =
    "name the certificate of a root CA: one that may issue certificates and signs itself";
const APPEND_WHAT_IS_ABOVE: &str = "an intermediate CA stands first in its file, and behind it what is above it, each issued by the next one, up to the root";

/// Judges the content of a certificate file, whatever the time: a root alone, or an intermediate CA with what is above it. Without a fault there is a certificate,
/// the first one. It alone is what a cluster trusts: whoever trusted the root above an intermediate would trust everything else under that root.
///
/// # Errors
/// Every fault.
pub fn read(content: &[u8]) -> Result<Certificate, Vec<RootFault>> {
    let reading = pem::read(content);
    let mut faults: Vec<RootFault> = holds_key(&reading).into_iter().collect();
    let certificates: Vec<&Certificate> = reading.certificates().collect();
    let is_faulty =
        reading.problems.iter().any(|problem| problem.loses_block() || *problem == PemProblem::NotPem);
    match certificates.as_slice() {
        [certificate, above @ ..] if !is_faulty && (above.is_empty() || !certificate.facts().self_issued) => {
            faults.extend(certificate_faults(certificate, above));
            if faults.is_empty() {
                return Ok((*certificate).clone());
            }
        }
        [] | [_] if !faults.is_empty() => {}
        [] | [_] => faults.push(no_certificate(&reading)),
        several => faults.push(RootFault::new(
            Code::RootNotCertificate,
            format!("the file holds {} certificates, and a root is one", several.len()),
            "keep the root alone in the file",
        )),
    }
    Err(faults)
}

fn holds_key(reading: &pem::Reading) -> Option<RootFault> {
    let is_key = |item: &Item| matches!(item, Item::PrivateKey(_) | Item::EncryptedKey);
    let is_broken_key = |problem: &PemProblem| match problem {
        PemProblem::PrivateKey { .. } => true,
        PemProblem::MissingEnd { label, .. }
        | PemProblem::EndDiffers { label, .. }
        | PemProblem::Base64 { label, .. } => label.contains("PRIVATE KEY"),
        PemProblem::Empty
        | PemProblem::OnlyWhitespace
        | PemProblem::NoBlocks
        | PemProblem::TooLarge { .. }
        | PemProblem::TooManyBlocks { .. }
        | PemProblem::NotPem
        | PemProblem::ByteOrderMark
        | PemProblem::SharesLine { .. }
        | PemProblem::CertificateHeaders { .. }
        | PemProblem::BrokenBegin { .. }
        | PemProblem::Certificate { .. }
        | PemProblem::PublicKey { .. } => false,
    };
    let found = reading.items.iter().any(is_key) || reading.problems.iter().any(is_broken_key);
    found.then(|| {
        RootFault::new(
            Code::RootHoldsKey,
            "the file holds a private key",
            "the certificate is read wherever the spec is: keep the key in a file of its own, and name that in `key`",
        )
    })
}

fn no_certificate(reading: &pem::Reading) -> RootFault {
    let message = match reading.problems.first() {
        Some(PemProblem::Empty | PemProblem::OnlyWhitespace) => "the file is empty",
        Some(PemProblem::NotPem) => "the file is DER, not PEM",
        Some(PemProblem::NoBlocks) => "the file is not PEM",
        Some(problem) if problem.loses_block() => "the file holds a block that cannot be read",
        Some(_) | None => "the file holds no certificate",
    };
    RootFault::new(
        Code::RootNotCertificate,
        message,
        "name a file with one certificate as PEM; `openssl x509 -inform DER -in FILE` turns DER into PEM",
    )
}

/// What forbids issuing from a certificate with these above it, whatever the time. What is no CA at all is not told what else it lacks.
fn certificate_faults(certificate: &Certificate, above: &[&Certificate]) -> Vec<RootFault> {
    let facts = certificate.facts();
    let subject = shown(&facts.subject.to_string());
    if !facts.defects.is_empty() {
        let message =
            format!("the programs of a cluster cannot read it: {}", shown(&facts.defects.join("; ")));
        return vec![RootFault::new(Code::RootNotCertificate, message, NAME_THE_ROOT)];
    }
    if !facts.is_ca() {
        let message = format!("the certificate of {subject} is no CA's: its basic constraints do not say so");
        return vec![RootFault::new(Code::RootNotCa, message, NAME_THE_ROOT)];
    }
    let mut faults = Vec::new();
    if let Some(lack) = may_not_issue(certificate) {
        let message = format!("{subject} may not issue certificates: {lack}");
        faults.push(RootFault::new(Code::RootMayNotIssue, message, NAME_THE_ROOT));
    }
    let weak = |message| {
        RootFault::new(
            Code::RootWeak,
            message,
            "make a new root: RSA of 2048 to 8192 bits or ECDSA, signed with SHA-256 or better",
        )
    };
    if !is_fit(&facts.key.algorithm) {
        faults.push(weak(format!(
            "{subject} has a key of {}, with which pki issues nothing",
            facts.key.algorithm
        )));
    }
    if let [_, ..] = above {
        faults.extend(chain_fault(certificate, above));
        return faults;
    }
    if !facts.self_issued {
        let message =
            format!("{subject} was issued by {}, so it is no root", shown(&facts.issuer.to_string()));
        faults.push(RootFault::new(Code::RootNotSelfSigned, message, APPEND_WHAT_IS_ABOVE));
        return faults;
    }
    match verify_own_signature(certificate) {
        Ok(()) => {}
        Err(SignatureError::Forged) => {
            let message = format!("{subject} names itself as its issuer, but its own key did not sign it");
            faults.push(RootFault::new(Code::RootNotSelfSigned, message, NAME_THE_ROOT));
        }
        // That the key is unfit is said already.
        Err(SignatureError::CannotCheck { .. }) if !is_fit(&facts.key.algorithm) => {}
        Err(error @ (SignatureError::InsecureAlgorithm { .. } | SignatureError::CannotCheck { .. })) => {
            faults.push(weak(format!("{subject}: {error}")));
        }
    }
    faults
}

/// What is wrong with what is above an intermediate CA.
fn chain_fault(certificate: &Certificate, above: &[&Certificate]) -> Option<RootFault> {
    let path: Vec<Certificate> = std::iter::once(certificate).chain(above.iter().copied()).cloned().collect();
    let [between @ .., root] = path.get(1..)? else { return None };
    let faulty = |message: String| RootFault::new(Code::RootNotSelfSigned, message, APPEND_WHAT_IS_ABOVE);
    if !root.facts().self_issued {
        let (subject, issuer) = (root.facts().subject.to_string(), root.facts().issuer.to_string());
        return Some(faulty(format!(
            "the last certificate, {}, was issued by {}, so it is no root",
            shown(&subject),
            shown(&issuer)
        )));
    }
    // Dates are judged elsewhere; here some instant is enough at which all of them are valid.
    let instant = path.iter().map(|certificate| certificate.facts().not_before).max()?;
    let roots = std::slice::from_ref(root);
    match chain::verify(certificate, between, roots, instant, &Purpose::Any) {
        Err(error) => {
            let (subject, fault) = (error.certificate.facts().subject.to_string(), error.fault.to_string());
            Some(faulty(format!("{}: {}", shown(&subject), shown(&fault))))
        }
        Ok(found) if found != path => {
            let message = "the certificates are not each issued by the next one, and nothing else";
            Some(faulty(message.to_owned()))
        }
        Ok(_) => {
            // What this CA issues is one further below.
            let mut limits = above.iter().zip(1_u32..);
            let limit = limits.find(|(issuer, below)| {
                let constraints = issuer.facts().basic_constraints;
                constraints.and_then(|constraints| constraints.path_len).is_some_and(|most| most < *below)
            });
            limit.map(|(issuer, below)| {
                let subject = issuer.facts().subject.to_string();
                faulty(format!("{} allows fewer than {below} CAs below it", shown(&subject)))
            })
        }
    }
}

/// Why Go takes nothing that this CA issued, its dates and key aside.
fn may_not_issue(certificate: &Certificate) -> Option<String> {
    let facts = certificate.facts();
    let usages = facts.key_usages.as_ref().filter(|usages| !usages.is_empty());
    if usages.is_some_and(|usages| !usages.contains(&KeyUsage::KeyCertSign)) {
        return Some("its key usages leave out keyCertSign".to_owned());
    }
    // An extended key usage of a CA limits whatever is below it.
    let allows = |extended: &ExtendedKeyUsage| {
        matches!(
            extended,
            ExtendedKeyUsage::Any | ExtendedKeyUsage::ServerAuth | ExtendedKeyUsage::ClientAuth
        )
    };
    if facts.extended_key_usages.as_ref().is_some_and(|extended| !extended.iter().any(allows)) {
        return Some("its extended key usages allow neither servers nor clients below it".to_owned());
    }
    if let Some(unknown) = facts.unknown_critical_extensions.first() {
        return Some(format!(
            "it has the critical extension {unknown}, which the programs of a cluster do not know"
        ));
    }
    facts.subject.is_empty().then(|| "it has no subject, by which its certificates could name it".to_owned())
}

/// The gravest fault of a root's dates. `longest` is the latest end of what it would issue at `now`, with its name.
pub fn period_fault(
    certificate: &Certificate,
    now: Timestamp,
    longest: Option<(&str, Timestamp)>,
) -> Option<RootFault> {
    let facts = certificate.facts();
    let day = crate::types::format::date;
    let (from, until) = (day(facts.not_before), day(facts.not_after));
    if now > facts.not_after {
        let message = format!("the root expired {until}");
        let help = "make a new root; a cluster that runs already needs no `source`";
        return Some(RootFault::new(Code::RootNotValidNow, message, help));
    }
    if now < facts.not_before {
        let message = format!("the root is not valid before {from}");
        return Some(RootFault::new(
            Code::RootNotValidNow,
            message,
            "wait until then, or make a root that is valid",
        ));
    }
    if let Some((name, end)) = longest.filter(|(_, end)| *end > facts.not_after) {
        let message = format!(
            "the root ends {until}, before certificates that it would issue now ({name} until {})",
            day(end)
        );
        let help = "make a root with five to ten years, or shorten the `validity` of what it issues";
        return Some(RootFault::new(Code::RootEndsFirst, message, help));
    }
    let is_short = facts.not_after < ADVISED_LIFE.after(now);
    is_short.then(|| {
        let message = format!("the root ends {until}, in less than five years");
        let help = "a root with five to ten years left spares an early replacement of everything under it";
        RootFault::new(Code::RootShortLived, message, help)
    })
}

/// The key of a root, which belongs to its certificate.
#[derive(Debug)]
pub struct RootKey {
    certificate: Sha256,
    key: PrivateKey,
}

/// The keys of the roots that a plan installs.
pub type RootKeys = BTreeMap<AuthorityName, RootKey>;

/// Why a key file is not the key of a root. Holds nothing of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootKeyError {
    /// There is no private key that can be used.
    #[error("holds no private key that pki can read")]
    NoKey,
    /// It asks for a passphrase.
    #[error("is encrypted, and pki asks for no passphrase")]
    Encrypted,
    /// It holds several keys.
    #[error("holds several private keys, so which one is meant is not clear")]
    Several,
    /// It is the key of another certificate.
    #[error("is the key of another certificate: its public half is {}, that of the root's certificate {}", found.short(), wanted.short())]
    Mismatch {
        /// SHA-256 of the public half of the key (SPKI).
        found: Sha256,
        /// SHA-256 of the public key in the certificate (SPKI).
        wanted: Sha256,
    },
}

impl RootKeyError {
    /// The way out.
    pub fn help(&self) -> &'static str {
        match self {
            RootKeyError::NoKey | RootKeyError::Several => {
                "name a file with the root's private key, alone, as PEM"
            }
            RootKeyError::Encrypted => {
                "decrypt it into a file that only you can read: openssl pkey -in KEY -out FILE"
            }
            RootKeyError::Mismatch { .. } => "name the certificate and the key of the same CA",
        }
    }
}

impl RootKey {
    /// Reads the key of a root.
    ///
    /// # Errors
    /// It is not the key of this certificate.
    pub fn read(certificate: &Certificate, content: &Secret) -> Result<Self, RootKeyError> {
        let mut keys = Vec::new();
        let mut encrypted = false;
        for item in pem::read(content.reveal()).items {
            match item {
                Item::PrivateKey(key) => keys.push(key),
                Item::EncryptedKey => encrypted = true,
                Item::Certificate(_)
                | Item::PublicKey(_)
                | Item::CertificateRequest(_)
                | Item::Parameters
                | Item::Other(_) => {}
            }
        }
        let key = match (keys.pop(), keys.is_empty(), encrypted) {
            (Some(key), true, false) => key,
            (Some(_), _, _) => return Err(RootKeyError::Several),
            (None, _, true) => return Err(RootKeyError::Encrypted),
            (None, _, false) => return Err(RootKeyError::NoKey),
        };
        let wanted = &certificate.facts().key;
        if key.public_key() != wanted {
            let (found, wanted) = (key.public_key().spki_sha256, wanted.spki_sha256);
            return Err(RootKeyError::Mismatch { found, wanted });
        }
        Ok(Self { certificate: *certificate.fingerprint(), key })
    }

    /// The certificate that it belongs to.
    pub fn certificate(&self) -> &Sha256 {
        &self.certificate
    }

    /// The key as kubeadm writes keys, for the node that will hold it.
    pub fn to_pem(&self) -> Option<Secret> {
        self.key.to_pem().map(Secret::from).ok()
    }
}
