//! The clusters that a command works on: at least one. A command that was given no spec has nothing to say, so an empty list cannot be built.

use pki::types::names::NodeName;

use super::cluster::Cluster;
use super::{Exit, terminal};

/// One cluster or several.
pub(super) struct Clusters {
    first: Cluster,
    further: Vec<Cluster>,
}

impl Clusters {
    /// The clusters that were read.
    ///
    /// # Errors
    /// The exit code, after it was told that there is none, and how `command` is typed.
    pub(super) fn new(clusters: Vec<Cluster>, command: &str) -> Result<Self, Exit> {
        let mut clusters = clusters.into_iter();
        let Some(first) = clusters.next() else { return Err(no_spec(command)) };
        Ok(Self { first, further: clusters.collect() })
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Cluster> + Clone {
        std::iter::once(&self.first).chain(&self.further)
    }

    /// Each of them, to change.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Cluster> {
        std::iter::once(&mut self.first).chain(&mut self.further)
    }

    /// Each of them.
    pub(super) fn into_iter(self) -> impl Iterator<Item = Cluster> {
        std::iter::once(self.first).chain(self.further)
    }

    /// Whether there are several.
    pub(super) fn are_several(&self) -> bool {
        !self.further.is_empty()
    }

    /// The names of all nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.iter().flat_map(|cluster| cluster.spec.spec.nodes.keys())
    }

    /// Does something with each, and ends as the gravest of them did.
    pub(super) fn gravest(&self, mut one: impl FnMut(&Cluster) -> Exit) -> Exit {
        self.further.iter().fold(one(&self.first), |gravest, cluster| gravest.max(one(cluster)))
    }

    /// The only cluster, for a command that works on one.
    ///
    /// # Errors
    /// The exit code, when the arguments name several.
    pub(super) fn only(&self) -> Result<&Cluster, Exit> {
        if self.are_several() {
            let names: Vec<&str> = self.iter().map(|cluster| cluster.spec.metadata.name.as_str()).collect();
            terminal::tell(&format!(
                "error: this works on one cluster, and {} were named: {}\n  help: name the spec of one of them with -f\n",
                names.len(),
                names.join(", ")
            ));
            return Err(Exit::Usage);
        }
        Ok(&self.first)
    }
}

/// Tells that no spec was named, with the command as it should be typed.
pub(super) fn no_spec(command: &str) -> Exit {
    let saved = match command {
        "apply" => "\n        for a saved plan:            pki apply plan.json",
        _ => "",
    };
    terminal::tell(&format!(
        "error: no spec was named\n  help: pki {command} -f cluster.yaml{saved}\n        on a node without a spec:    pki adopt -o cluster.yaml\n"
    ));
    Exit::Usage
}
