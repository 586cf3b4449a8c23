//! What a reason tells of a further place that is no copy of the main one, as data and as one clause.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::escaped;
use crate::types::format::date;
use crate::x509::Sha256;

/// What a further place holds that it should not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum CopyHeld {
    /// Another certificate.
    Certificate {
        /// The certificate in it.
        found: Sha256,
        /// When that one ends.
        not_after: Timestamp,
        /// The certificate of the main place.
        wanted: Sha256,
    },
    /// The right certificate with another private key.
    Key,
    /// A kubeconfig that does not trust the CA certificate in use.
    Trust {
        /// That CA certificate.
        lacks: Sha256,
    },
    /// Other certificates besides the first one, or the same in another order.
    Bundle {
        /// Those in it.
        found: Vec<Sha256>,
        /// Those of the main place.
        wanted: Vec<Sha256>,
    },
    /// Nothing that could be used.
    Nothing {
        /// Why.
        problem: String,
    },
    /// The same, until the plan at hand renews the main place.
    Former {
        /// When it ends.
        not_after: Timestamp,
    },
}

impl CopyHeld {
    /// That the file at `path` is no copy of the one at `of`, as one clause.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, path: &str, of: &str) -> fmt::Result {
        let (path, of) = (escaped(path), escaped(of));
        match self {
            CopyHeld::Certificate { found, not_after, wanted } => write!(
                f,
                "{path} holds another certificate than {of}: {} (ends {}), not {}",
                found.short(),
                date(*not_after),
                wanted.short()
            ),
            CopyHeld::Key => write!(f, "{path} holds another private key than belongs to {of}"),
            CopyHeld::Trust { lacks } => {
                write!(f, "{path} does not trust {}, the CA certificate in use", lacks.short())
            }
            CopyHeld::Bundle { found, wanted } => {
                write!(f, "{path} holds other certificates than {of}: {}, not {}", list(found), list(wanted))
            }
            CopyHeld::Nothing { problem } => write!(f, "{path} is no copy of {of}: {}", escaped(problem)),
            CopyHeld::Former { not_after } => {
                write!(f, "{path} holds what {of} held, which ends {}", date(*not_after))
            }
        }
    }

    /// The same of a person's own copy, with what that person has to do.
    pub(super) fn write_outdated(&self, f: &mut fmt::Formatter<'_>, path: &str, of: &str) -> fmt::Result {
        match self {
            CopyHeld::Certificate { not_after, .. } => {
                write!(f, "{} still holds the certificate that ends {}; ", escaped(path), date(*not_after))?;
            }
            CopyHeld::Former { not_after } => write!(
                f,
                "{} is not written by this plan and keeps the certificate that ends {}; afterwards ",
                escaped(path),
                date(*not_after)
            )?,
            CopyHeld::Key | CopyHeld::Trust { .. } | CopyHeld::Bundle { .. } | CopyHeld::Nothing { .. } => {
                self.write(f, path, of)?;
                f.write_str("; ")?;
            }
        }
        write!(f, "copy {} over it", escaped(of))
    }
}

fn list(fingerprints: &[Sha256]) -> String {
    fingerprints.iter().map(|fingerprint| fingerprint.short()).collect::<Vec<_>>().join(", ")
}
