//! From the connections of a spec to nodes that can be asked.

use std::path::{Path, PathBuf};

use pki::node::{Inspect, Local, NodeError};
use pki::observed::{NodeFacts, ObserveRequest};
use pki::spec::Loaded;
use pki::spec::types::{Connection, Local as LocalConnection};
use pki::survey::Nodes;

/// A node that this build cannot reach. It answers every question with the reason.
struct Unreachable {
    reason: String,
}

impl Inspect for Unreachable {
    fn observe(&self, _: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        Err(NodeError::Unreachable { reason: self.reason.clone() })
    }
}

/// The nodes of a spec. A node's own connection wins over the cluster's.
pub(super) fn connect(loaded: &Loaded) -> Nodes {
    let spec = &loaded.spec.spec;
    let base = Path::new(loaded.document.file()).parent().unwrap_or(Path::new(""));
    let nodes = spec.nodes.iter().map(|(name, node)| {
        let connection = node.connection.as_ref().or(spec.connection.as_ref());
        let node: Box<dyn Inspect + Send + Sync> = match connection {
            Some(Connection { local: Some(LocalConnection { root }), .. }) => {
                Box::new(Local::new(root.as_deref().map(|root| beside(base, root)), super::now))
            }
            Some(Connection { local: None, .. }) | None => Box::new(Unreachable {
                reason: "connections over SSH are not supported yet; use `connection: { local: {} }` on the node itself".to_owned(),
            }),
        };
        (name.clone(), node)
    });
    nodes.collect()
}

/// A path of a spec: absolute, or relative to the spec's folder.
fn beside(base: &Path, path: &str) -> PathBuf {
    base.join(path)
}
