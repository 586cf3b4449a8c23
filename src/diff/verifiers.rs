//! What one of those who check certificates refuses and another takes: the Go programs of a cluster, and those that use OpenSSL in front of it.
//!
//! What enters is the case of a certificate; what leaves is a finding that names who refuses it. What Go refuses is due, unless the node's version still
//! takes it; what only OpenSSL refuses is said, and never due. Nothing here looks at dates, names or usages that are missing: those have checks of their own.

use crate::types::certificate::Usage;
use crate::types::scalars::KubernetesVersion;
use crate::x509::chain;
use crate::x509::chain::{WeakHash, WeakSignature};
use crate::x509::{Certificate, CertificateFacts, ExtendedKeyUsage, KeyAlgorithm, KeyUsage};

use super::cases::IdentityCase;
use super::{Effect, Finding, Reason};

/// The first Kubernetes that was built with Go 1.18, which refuses SHA-1.
const WITHOUT_SHA1: (u32, u32) = (1, 24);
/// The first Kubernetes that was built with Go 1.24, which refuses RSA keys below [`SHORTEST_FOR_GO`].
const WITHOUT_SHORT_RSA: (u32, u32) = (1, 33);
/// The shortest RSA key, in bits, that Go 1.24 works with.
const SHORTEST_FOR_GO: u32 = 1024;
/// The shortest RSA key, in bits, that OpenSSL takes at security level 2, which distributions set.
const SHORTEST_FOR_OPENSSL: u32 = 2048;

/// How a certificate of this authority is signed, where Go refuses that. Nobody but the authority can have made it where its signature or its key
/// identifier says so; otherwise a renewal might put a certificate of another CA into a running system, so a person looks first.
pub(super) fn weak_signature(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let WeakSignature { hash, is_by_issuer } = signed_weakly(case, certificate)?;
    let effect = match (is_by_issuer, hash) {
        (None, WeakHash::Sha1 | WeakHash::Sha224 | WeakHash::Md5) => Effect::Blocks,
        (Some(_), WeakHash::Sha1) => since(case.on.version, WITHOUT_SHA1),
        (Some(_), WeakHash::Sha224 | WeakHash::Md5) => Effect::Due,
    };
    let reason = Reason::WeakSignature { hash, is_certain: is_by_issuer.is_some() };
    Some(Finding { effect, reason, decided_by: None })
}

/// The weak signature of a certificate, unless another CA than those of its authority made it.
pub(super) fn signed_weakly(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<WeakSignature> {
    let issuers = case.issuers()?.iter().chain(case.authority?.view.signer());
    let weak = issuers.filter_map(|issuer| chain::weak_signature(certificate, issuer));
    // One that says yes counts before one that cannot say.
    weak.filter(|weak| weak.is_by_issuer != Some(false)).max_by_key(|weak| weak.is_by_issuer)
}

/// A key that a verifier does not take.
pub(super) fn weak_key(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let algorithm = &certificate.facts().key.algorithm;
    let effect = match algorithm {
        KeyAlgorithm::Rsa { bits } if *bits < SHORTEST_FOR_GO => since(case.on.version, WITHOUT_SHORT_RSA),
        KeyAlgorithm::Rsa { bits } if *bits < SHORTEST_FOR_OPENSSL => Effect::Note,
        KeyAlgorithm::Other(_) => Effect::Due,
        KeyAlgorithm::Rsa { .. }
        | KeyAlgorithm::EcdsaP256
        | KeyAlgorithm::EcdsaP384
        | KeyAlgorithm::EcdsaP521
        | KeyAlgorithm::Ed25519 => return None,
    };
    let reason = Reason::WeakKey { algorithm: algorithm.clone() };
    Some(Finding { effect, reason, decided_by: None })
}

/// What a version still takes is said; what it refuses, or may refuse where it is not known, is due.
fn since(version: Option<KubernetesVersion>, first: (u32, u32)) -> Effect {
    match version {
        Some(version) if (version.major, version.minor) < first => Effect::Note,
        Some(_) | None => Effect::Due,
    }
}

/// Go takes it, and OpenSSL does not.
pub(super) fn refused_by_openssl(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<Finding> {
    let facts = certificate.facts();
    let because = wrong_key_id(case, certificate)
        .or_else(|| case.wanted.usages.iter().find_map(|usage| refused_usage(facts, *usage)))?;
    Some(Finding::note(Reason::RefusedByOpenssl { because }))
}

/// Its issuer has another key identifier than the one that it names. Go takes that for a hint, OpenSSL for a condition.
fn wrong_key_id(case: &IdentityCase<'_>, certificate: &Certificate) -> Option<String> {
    let named = certificate.facts().authority_key_id.as_ref()?.key_id.as_ref()?;
    let above = case.issuers()?.iter().chain(&case.view.chain);
    let mut above = above.filter(|issuer| chain::is_issued_by(certificate, issuer)).peekable();
    above.peek()?;
    let fits = |issuer: &Certificate| issuer.facts().subject_key_id.as_ref().is_none_or(|own| own == named);
    let is_wrong = !above.any(fits);
    is_wrong.then(|| "its authority key identifier is not the key identifier of its issuer".to_owned())
}

/// Why OpenSSL does not let it be used so, as `X509_check_purpose` decides, where Go does.
fn refused_usage(facts: &CertificateFacts, usage: Usage) -> Option<String> {
    let extended = ExtendedKeyUsage::from(usage);
    let keys: &[KeyUsage] = match usage {
        Usage::Server => &[KeyUsage::DigitalSignature, KeyUsage::KeyEncipherment, KeyUsage::KeyAgreement],
        Usage::Client => &[KeyUsage::DigitalSignature, KeyUsage::KeyAgreement],
    };
    let listed = facts.extended_key_usages.as_ref();
    if listed.is_some_and(|listed| listed.contains(&ExtendedKeyUsage::Any) && !listed.contains(&extended)) {
        return Some(format!("its extended key usage is `any` and does not name {extended}"));
    }
    // Go takes an empty set as none.
    let allowed = facts.key_usages.as_ref().filter(|allowed| !allowed.is_empty())?;
    let lacks = !keys.iter().any(|key| allowed.contains(key));
    lacks.then(|| format!("its key usage does not let a {usage} sign or agree on keys"))
}
