//! Which files this program may write over.
//!
//! What enters is the bytes of a file that is there; what leaves is whether it is one of those that this program knows. Whatever led here, a file of another
//! kind is not lost by it. Pure.

use crate::formats::kubeconfig::KubeconfigFacts;
use crate::formats::manifest::ManifestFacts;
use crate::formats::pem_facts::PemFacts;

/// Whether the kubelet itself keeps a link at this path, to the file of its latest certificate.
fn is_kubelets_own(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("kubelet-") && name.ends_with("-current.pem")
}

/// What is expected of a file that is written over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Certificates, keys or a kubeconfig, or nothing yet.
    Material,
    /// The manifest of a static pod.
    Manifest,
}

impl Known {
    /// Whether a file may be written over.
    pub(super) fn is_met_by(self, bytes: &[u8]) -> bool {
        match self {
            Self::Material => {
                !(PemFacts::read(bytes).is_foreign() && KubeconfigFacts::read(bytes).is_foreign())
            }
            Self::Manifest => ManifestFacts::read(bytes).is_pod(),
        }
    }

    /// Whether bytes hold a private key, so that they go nowhere but where the plan says.
    pub(super) fn is_secret(self, path: &str, bytes: &[u8]) -> bool {
        match self {
            // The kubelet keeps its own certificate behind a link.
            Self::Material if is_kubelets_own(path) => false,
            Self::Material => {
                let pem = PemFacts::read(bytes);
                !pem.keys.is_empty()
                    || pem.encrypted_keys > 0
                    || !KubeconfigFacts::read(bytes).users.is_empty()
            }
            Self::Manifest => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pod_may_be_started_anew_and_nothing_else_is_written_over_as_one() {
        let shell =
            "kind: Pod\nspec:\n  containers:\n  - { name: etcd, command: [/bin/sh, -c, exec etcd] }\n";
        assert!(!ManifestFacts::read(shell.as_bytes()).problems.is_empty(), "its flags are in a script");
        for pod in [shell, "kind: Pod\n", "kind: Pod\nspec:\n  containers: []\n"] {
            assert!(Known::Manifest.is_met_by(pod.as_bytes()), "{pod}");
        }
        for other in ["", "root:x:0:0::/:/bin/sh\n", "kind: Config\n", "kind: Pod\nspec: [\n", "\u{0}"] {
            assert!(!Known::Manifest.is_met_by(other.as_bytes()), "{other}");
        }
    }
}
