//! From the connections of a spec to nodes that can be asked and worked on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pki::ids::NodeName;
use pki::node::{Host, Local, Unreachable};
use pki::spec::Loaded;
use pki::spec::types::{Connection, Local as LocalConnection};

/// The nodes of a cluster.
pub(super) type Hosts = BTreeMap<NodeName, Box<dyn Host + Send + Sync>>;

/// The nodes of a spec. A node's own connection wins over the cluster's.
pub(super) fn connect(loaded: &Loaded) -> Hosts {
    let spec = &loaded.spec.spec;
    let base = Path::new(loaded.document.file()).parent().unwrap_or(Path::new(""));
    let nodes = spec.nodes.iter().map(|(name, node)| {
        let connection = node.connection.as_ref().or(spec.connection.as_ref());
        let node: Box<dyn Host + Send + Sync> = match connection {
            Some(Connection { local: Some(local), .. }) => Box::new(self::local(local, base)),
            Some(Connection { local: None, .. }) | None => Box::new(Unreachable::new(
                "this version cannot connect over SSH; run it on the node itself with `connection: { local: {} }`",
            )),
        };
        (name.clone(), node)
    });
    nodes.collect()
}

fn local(connection: &LocalConnection, base: &Path) -> Local {
    match &connection.root {
        Some(root) if connection.create => Local::created_at_need(beside(base, root), super::now),
        Some(root) => Local::new(Some(beside(base, root)), super::now),
        None => Local::new(None, super::now),
    }
}

/// A path of a spec: absolute, or relative to the spec's folder.
fn beside(base: &Path, path: &str) -> PathBuf {
    base.join(path)
}
