//! What is known of the bytes of a file: the bytes themselves, or no more than what tells whether a file still holds them.
//!
//! What enters is bytes; what leaves is an answer to whether others are the same. A print is a salted digest with what may be told of the file: whoever
//! reads it cannot find a weak secret by trying, and no key can be got from it. Pure but for the salt, which is drawn.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::formats::kubeconfig::{KubeconfigFacts, Material};
use crate::formats::pem_facts::PemFacts;
use crate::protocol::error::HostError;
use crate::protocol::snapshots::FileBrief;
use crate::types::secret::Secret;
use crate::x509::{Sha256, pem};

/// Random bytes that go before those of which a digest is made, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Salt(String);

impl Salt {
    /// A new one.
    pub(crate) fn drawn() -> Result<Self, HostError> {
        let mut bytes = [0; 16];
        let made = aws_lc_rs::rand::fill(&mut bytes);
        let not_made = |_| HostError::NotMade {
            what: "a random number".into(),
            reason: "the system gives none".to_owned(),
        };
        made.map_err(not_made)?;
        Ok(Self(hex::encode(bytes)))
    }

    /// The digest of these random bytes with others.
    pub(crate) fn digest(&self, bytes: &[u8]) -> Sha256 {
        let mut salted = Zeroizing::new(Vec::with_capacity(self.0.len() + bytes.len()));
        salted.extend_from_slice(self.0.as_bytes());
        salted.extend_from_slice(bytes);
        Sha256::of(&salted)
    }
}

/// What tells whether a file still holds the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) salt: Salt,
    /// The digest of the salt and the bytes.
    pub(crate) sha256: Sha256,
    /// What may be told of them; owner and mode are the file's.
    pub(crate) told: FileBrief,
}

/// What is known of the bytes of a file.
#[derive(Debug, Clone)]
pub(crate) enum Bytes {
    Whole(Secret),
    Print(Box<Print>),
}

impl Bytes {
    /// The bytes, which nothing can be written without.
    pub(crate) fn whole(&self) -> Option<&Secret> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Print(_) => None,
        }
    }

    /// Whether both are of the same bytes. Of two prints with different salts nobody can say, so they are not.
    pub(crate) fn are_those_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(two)) => one.reveal() == two.reveal(),
            (Self::Print(print), Self::Whole(bytes)) | (Self::Whole(bytes), Self::Print(print)) => {
                print.told.size == size_of(bytes.reveal())
                    && print.sha256 == print.salt.digest(bytes.reveal())
            }
            (Self::Print(one), Self::Print(two)) => (&one.salt, one.sha256) == (&two.salt, two.sha256),
        }
    }

    /// What may be told of them.
    pub(crate) fn brief(&self) -> FileBrief {
        match self {
            Self::Whole(bytes) => contents(bytes.reveal()),
            Self::Print(print) => print.told.clone(),
        }
    }

    /// What tells them again, from here on without them. A print stays what it is, salt and all.
    pub(crate) fn print(self, salt: &Salt) -> Box<Print> {
        match self {
            Self::Whole(bytes) => Box::new(Print {
                sha256: salt.digest(bytes.reveal()),
                told: contents(bytes.reveal()),
                salt: salt.clone(),
            }),
            Self::Print(print) => print,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => size_of(bytes.reveal()),
            Self::Print(print) => print.told.size,
        }
    }
}

impl From<Secret> for Bytes {
    fn from(bytes: Secret) -> Self {
        Self::Whole(bytes)
    }
}

fn size_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// What may be told of the bytes of a file.
pub(crate) fn contents(bytes: &[u8]) -> FileBrief {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut brief = FileBrief { size, ..FileBrief::default() };
    let kubeconfig = KubeconfigFacts::read(bytes);
    match kubeconfig.current() {
        Some((cluster, user)) => {
            for material in [&user.certificate, &user.key, &cluster.authority] {
                if let Material::Embedded(pem) = material {
                    brief.add(pem);
                }
            }
        }
        // What is kept may be larger than a file of certificates, and hold a key all the same.
        None => brief.add(&PemFacts::of(pem::read_larger(bytes))),
    }
    brief
}

impl FileBrief {
    fn add(&mut self, pem: &PemFacts) {
        self.certificates.extend(pem.certificates.iter().cloned());
        self.private_keys.extend(pem.keys.iter().map(|key| key.spki_sha256));
        self.public_keys.extend(pem.public_keys.iter().map(|key| key.spki_sha256));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_print_knows_its_bytes_again_and_does_not_hold_them() {
        let whole = |text: &str| Bytes::from(Secret::new(text.as_bytes().to_vec()));
        let (salt, other) = (Salt::drawn().unwrap(), Salt::drawn().unwrap());
        let print = Bytes::Print(whole("hunter2").print(&salt));
        assert!(print.are_those_of(&whole("hunter2")) && whole("hunter2").are_those_of(&print));
        assert!(!print.are_those_of(&whole("hunter3")) && !print.are_those_of(&whole("hunter22")));
        assert!(
            print.are_those_of(&Bytes::Print(whole("hunter2").print(&salt))),
            "one salt for a whole transaction"
        );
        assert!(!print.are_those_of(&Bytes::Print(whole("hunter2").print(&other))), "nobody can say");
        assert!(print.whole().is_none() && print.len() == 7);
        let Bytes::Print(held) = &print else { panic!("a print") };
        assert_ne!(
            held.sha256,
            Sha256::of(b"hunter2"),
            "a digest without salt lets a weak secret be guessed"
        );
    }
}
