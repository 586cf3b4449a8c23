//! What a node has to be asked, worked out from what it should be.
//!
//! What enters is a [`DesiredNode`]; what leaves is the one request that answers every question of [`crate::diff`]. Pure.

use crate::desired::{DesiredNode, Storage};
use crate::observed::{Expect, ObserveRequest};
use crate::profile::FOREIGN;

/// The kubelet's configuration file, where kubeadm puts it (1.11 and later).
const KUBELET_CONFIGURATION: &str = "/var/lib/kubelet/config.yaml";

/// The request for one node, whose snapshots are kept in `state_directory`.
pub fn request(node: &DesiredNode, state_directory: &str) -> ObserveRequest {
    let mut request =
        ObserveRequest { state_directory: Some(state_directory.to_owned()), ..ObserveRequest::default() };
    for foreign in FOREIGN {
        request.files.insert(foreign.marker.to_owned(), Expect::Link);
    }
    let mut ask = |path: &str, expect: Expect| {
        // A directory above a file may have to be made before it, unless it is asked about for its own sake.
        for above in path
            .match_indices('/')
            .filter_map(|(index, _)| path.get(..index))
            .filter(|above| !above.is_empty())
        {
            request.files.entry(above.to_owned()).or_insert(Expect::Link);
        }
        request.files.insert(path.to_owned(), expect);
    };
    ask(KUBELET_CONFIGURATION, Expect::KubeletConfiguration);
    for directory in node.directories.values() {
        ask(directory.known_as(), Expect::Directory);
        ask(&directory.path, Expect::Directory);
    }
    for manifest in &node.manifests {
        ask(manifest, Expect::Manifest);
    }
    for copy in node.authorities.values() {
        ask(&copy.certificate.path, Expect::Certificates);
        for file in copy.copies.values() {
            ask(&file.path, Expect::Certificates);
        }
        // Also where no key belongs: one that lies there all the same is a finding.
        ask(&copy.key.path, Expect::PrivateKey);
    }
    for storage in node.identities.values().flat_map(|identity| identity.places()) {
        match storage {
            Storage::Pair { certificate, key } => {
                ask(&certificate.path, Expect::Certificates);
                ask(&key.path, Expect::PrivateKey);
            }
            Storage::Combined { file } => ask(&file.path, Expect::Pair),
            Storage::Kubeconfig { file, .. } => ask(&file.path, Expect::Kubeconfig),
        }
    }
    for pair in node.key_pairs.values() {
        ask(&pair.private.path, Expect::PrivateKey);
        ask(&pair.public.path, Expect::PublicKey);
    }
    request
}
