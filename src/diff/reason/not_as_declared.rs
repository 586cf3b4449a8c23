//! What a reason tells of a declaration that has no effect yet, as data and as one clause.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::escaped;
use crate::spec::types::Role;
use crate::types::duration::Duration;
use crate::types::format::date;
use crate::types::scalars::FileMode;

/// A declaration that has no effect yet, or none on this node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum NotAsDeclared {
    /// A certificate was made for another time than is declared. The next renewal makes it as declared.
    Validity {
        /// How long it is valid, as far as that is known.
        found: Duration,
        /// How long it should be.
        wanted: Duration,
        /// When it is renewed.
        next: Timestamp,
    },
    /// A certificate ends with its issuer, before the declared time has passed.
    ValidityClamped {
        /// How long it should be valid.
        wanted: Duration,
        /// When its issuer ends.
        issuer_not_after: Timestamp,
    },
    /// The permission bits on disk are fewer than the spec declares. They are left so until the file is written.
    ModeTighter {
        /// The file.
        path: String,
        /// The bits on disk.
        found: u32,
        /// The bits that are declared.
        wanted: FileMode,
    },
    /// The spec says that an authority's key is elsewhere, and a node holds it.
    ExternalKeyHeld {
        /// The file.
        path: String,
    },
    /// A component is set up on the node that the spec does not give it.
    RoleContradicted {
        /// The component's manifest.
        path: String,
        /// The role that it belongs to.
        role: Role,
    },
}

impl fmt::Display for NotAsDeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Validity { found, wanted, next } => write!(
                f,
                "made for {found}, and {wanted} is declared: so from its next renewal on, due {}, or now with --replace",
                date(*next)
            ),
            Self::ValidityClamped { wanted, issuer_not_after } => write!(
                f,
                "ends with its CA on {}, and a validity of {wanted} is declared: no renewal reaches that before the CA itself ends later",
                date(*issuer_not_after)
            ),
            Self::ModeTighter { path, found, wanted } => write!(
                f,
                "{} has mode {found:04o}, tighter than the declared {wanted}; it is left so until the file is written again",
                escaped(path)
            ),
            Self::ExternalKeyHeld { path } => write!(
                f,
                "{} holds the key that the spec says is elsewhere, and any copy of it can sign: remove it, or drop `external`",
                escaped(path)
            ),
            Self::RoleContradicted { path, role } => write!(
                f,
                "{} is there, and the spec does not give this node the role {role}: its certificates are not managed",
                escaped(path)
            ),
        }
    }
}
