//! What a reason tells of a file that holds something else than it should.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a file of a cluster's PKI holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KnownContent {
    /// Certificates or keys in PEM.
    Pem,
    /// A kubeconfig.
    Kubeconfig,
}
