//! New certificates and keys in a kubeconfig that somebody else wrote.

/// Why a kubeconfig cannot be edited. Nothing of its content is told, because it holds secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It is no kubeconfig that client-go would take.
    #[error("it is not a kubeconfig with a current context: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
}
