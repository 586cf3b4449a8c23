//! What is at paths: what a node told, and which services read there.
//!
//! What enters is the wanted state and what the nodes told; what leaves is answers about one node. Pure.

use crate::desired::{DesiredNode, DesiredService};
use crate::profile::What;
use crate::protocol::facts::{NodeFacts, Observed};
use crate::types::names::NodeName;

/// What a node told; none where it was not seen.
pub(crate) fn facts_of<'a>(observed: &'a Observed, node: &NodeName) -> Option<&'a NodeFacts> {
    observed.nodes.get(node).and_then(|answer| answer.facts())
}

/// Whether a path is in a directory, at any depth.
pub(crate) fn lies_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a service reads anything below a directory, so that it has the directory open or mounted.
pub(crate) fn reads_below(service: &DesiredService, node: &DesiredNode, directory: &str) -> bool {
    let files = |what: &What| -> Vec<&str> {
        match what {
            What::Identity(identity) | What::KubeconfigTrust(identity) => {
                let identity = node.identities.get(identity);
                let files = identity.map(|identity| identity.storage.files()).unwrap_or_default();
                files.into_iter().map(|file| file.path.as_str()).collect()
            }
            What::Trust(authority) | What::Signer(authority) => node
                .authorities
                .get(authority)
                .map(|copy| vec![copy.certificate.path.as_str(), copy.key.path.as_str()])
                .unwrap_or_default(),
            What::KeyPair(pair) => node
                .key_pairs
                .get(pair)
                .map(|pair| vec![pair.private.path.as_str(), pair.public.path.as_str()])
                .unwrap_or_default(),
        }
    };
    service.reads.iter().flat_map(|read| files(&read.what)).any(|path| lies_below(path, directory))
}
