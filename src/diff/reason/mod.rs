//! Why something is not as it should be: the closed list of reasons, one row for each.
//!
//! A row says what a reason is, what it knows, whether a new certificate fixes it, and what it says to a person; the enum and its questions are made of the
//! rows. Their order is that of findings, and of the schemas. A reason is a fact with its figures, for explaining. It never steers what apply does.

mod authorities;
mod certificates;
mod copy_held;
mod known_content;
mod nodes;
mod not_as_declared;
mod obstacle;
mod places;
mod stray;

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use copy_held::CopyHeld;
pub use known_content::KnownContent;
pub use not_as_declared::NotAsDeclared;
pub use obstacle::MoveObstacle;
pub use stray::{Judges, Stray};

use super::{Outsider, Sighting};
use crate::diagnostic::escaped;
use crate::formats::kubeconfig::OtherCredentials;
use crate::protocol::facts::UnsafeStep;
use crate::types::certificate::Usage;
use crate::types::duration::Duration;
use crate::types::format::{date, instant, joined, names};
use crate::types::lookalike::spelled;
use crate::types::names::{AuthorityName, NodeName, ServiceName};
use crate::types::scalars::FileMode;
use crate::x509::chain::WeakHash;
use crate::x509::{KeyAlgorithm, Sha256};

use authorities::authorities;
use certificates::certificates;
use nodes::nodes;
use places::places;
use stray::power;

/// Makes the enum and its questions of the rows `VARIANT { FIELDS }, reissues: WHETHER, |f| SENTENCE;`; a field of the variant is a name in both.
macro_rules! reasons {
    ([] $(
        $(#[$doc:meta])*
        $variant:ident
        $({ $($(#[$about:meta])* $field:ident : $type:ty),* $(,)? })?
        $(( $held:ident : $holds:ty ))?
        , reissues: $reissues:expr, |$f:ident| $sentence:expr;
    )*) => {
        /// One difference between what should be and what is.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "reason", rename_all_fields = "camelCase")]
        pub enum Reason {
            $($(#[$doc])* $variant $({ $($(#[$about])* $field: $type),* })? $(($holds))?,)*
        }

        impl Reason {
            /// The name of the reason, as JSON and documentation call it.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Reason::$variant $({ $($field: _),* })? $((reasons!(@any $held)))? => stringify!($variant),)*
                }
            }

            /// Whether issuing the certificate anew mends it.
            #[expect(unused_variables, reason = "few rows look at their fields")]
            pub(crate) fn reissues(&self) -> bool {
                match self {
                    $(Reason::$variant $({ $($field),* })? $(($held))? => $reissues,)*
                }
            }
        }

        impl fmt::Display for Reason {
            /// One clause for people, without a full stop; texts from nodes are escaped.
            #[expect(unused_variables, reason = "a sentence need not tell everything that a reason knows")]
            fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Reason::$variant $({ $($field),* })? $(($held))? => {
                        let $f = to;
                        $sentence
                    })*
                }
            }
        }
    };
    (@any $held:ident) => { _ };
}

certificates! { [authorities places nodes reasons] }

fn services(names: &[ServiceName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn counted_times(times: u32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
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
