//! Key material that a layout shares between nodes, as a command or a reply carries it. Its written form is `wire/secret`.

use crate::types::secret::Secret;

/// An identity that nodes share, on its way from one to another. It cannot be printed or serialised.
#[derive(Debug, Clone)]
pub struct SharedIdentity {
    /// The certificate and what follows it, PEM. Of a pair the file as it is.
    pub certificate: Secret,
    /// The private key, PEM. Of a pair the file as it is.
    pub key: Secret,
}
