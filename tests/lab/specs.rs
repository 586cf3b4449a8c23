//! Specs of the tests, and nodes that begin with a cluster's files.
//!
//! Files that a node begins with are made by the program itself for directories of this machine, once, and copied.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::controller::{Controller, ended_with};
use crate::nodes::{Node, remove};
use crate::{PLACES, well};

/// How a spec's nodes are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// As directories beside the spec.
    Here,
    /// Over SSH.
    There,
}

/// A spec of a kubeadm cluster.
pub(crate) struct Spec<'a> {
    pub(crate) places: &'a [(&'a str, &'a str)],
    /// Lines of `defaults`.
    pub(crate) defaults: &'a str,
    /// Fields of `connection.ssh`.
    pub(crate) ssh: &'a str,
    /// Further lines of `spec`.
    pub(crate) more: &'a str,
}

/// What a made cluster agrees with.
pub(crate) const AS_MADE: &str = "validity: 365d, renewBefore: 30d";
/// What makes every certificate of a made cluster due, and is content with what is then made.
pub(crate) const RENEWING: &str = "validity: 730d, renewBefore: 400d";

impl Default for Spec<'_> {
    fn default() -> Self {
        Self { places: &PLACES, defaults: RENEWING, ssh: "", more: "" }
    }
}

impl Spec<'_> {
    pub(crate) fn text(&self, reached: Reached) -> String {
        let nodes = self.places.iter().map(|(name, address)| {
            let here = format!(", connection: {{ local: {{ root: ./{name}, create: true }} }}");
            let here = if reached == Reached::Here { here.as_str() } else { "" };
            format!("    {name}: {{ address: {address}, roles: [control-plane, etcd]{here} }}\n")
        });
        let connection = format!("  connection: {{ ssh: {{ {} }} }}\n", self.ssh);
        format!(
            "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: prod-eu1 }}\nspec:\n  profile: kubeadm\n  kubernetesVersion: v1.31.2\n  \
             cluster: {{ controlPlaneEndpoint: \"api.prod-eu1.example:6443\", serviceSubnet: 10.96.0.0/12 }}\n  \
             defaults: {{ {}, keyAlgorithm: ecdsa-p256 }}\n{}  nodes:\n{}{}",
            self.defaults,
            if reached == Reached::There { connection.as_str() } else { "" },
            nodes.collect::<String>(),
            self.more,
        )
    }
}

/// Directories of a cluster's three nodes in which everything is as the spec says, made on this machine.
pub(crate) fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let controller = Controller::new(&[]);
        controller.spec(&Spec { defaults: AS_MADE, ..Spec::default() }.text(Reached::Here));
        ended_with(0, &controller.pki(&["apply", "-f", "spec.yaml", "--yes"]));
        let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab-made");
        remove(&made);
        std::fs::create_dir(&made).unwrap();
        for (name, _) in PLACES {
            remove(&controller.at(name).join("var"));
            well(&Command::new("cp").arg("-a").arg(controller.at(name)).arg(&made).output().unwrap());
        }
        made
    })
}

/// Gives a machine the cluster's files below a directory.
pub(crate) fn give(node: &Node, from: &Path) {
    for (folder, name) in [("etc", "kubernetes"), ("var/lib", "kubelet")] {
        let from = from.join(folder).join(name);
        if from.exists() {
            remove(&node.disk(folder).join(name));
            well(&Command::new("cp").arg("-a").arg(from).arg(node.disk(folder)).output().unwrap());
        }
    }
}
