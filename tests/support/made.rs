//! A cluster that the program itself has made, below a temporary directory, with a spec beside it that each test writes as it needs it. Everything that the
//! program says to a test is kept, so that at its end no private key may be found in it.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};

use super::{program, told_keys};
use crate::support::cluster::NODES;
use crate::support::listing::{Listing, listing};

/// The parts of a spec that tests change.
pub(crate) struct Spec<'a> {
    /// Lines of `defaults`.
    pub(crate) defaults: &'a str,
    /// Further lines of `spec`.
    pub(crate) more: &'a str,
}

impl Default for Spec<'_> {
    fn default() -> Self {
        Self { defaults: "validity: 365d, renewBefore: 30d", more: "" }
    }
}

impl Spec<'_> {
    /// What makes every certificate due, and is content with what is then made.
    pub(crate) fn renewing() -> Self {
        Self { defaults: "validity: 730d, renewBefore: 400d", more: "" }
    }

    fn text(&self) -> String {
        let nodes = NODES.iter().enumerate().map(|(index, name)| {
            format!(
                "    {name}: {{ address: 10.0.0.{}, roles: [control-plane, etcd], connection: {{ local: {{ root: ./{name}, create: true }} }} }}\n",
                index + 11
            )
        });
        format!(
            "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: prod-eu1 }}\nspec:\n  profile: kubeadm\n  kubernetesVersion: v1.31.2\n  \
             cluster: {{ controlPlaneEndpoint: \"api.prod-eu1.example:6443\", serviceSubnet: 10.96.0.0/12 }}\n  \
             defaults: {{ {}, keyAlgorithm: ecdsa-p256 }}\n  nodes:\n{}{}",
            self.defaults,
            nodes.collect::<String>(),
            self.more,
        )
    }
}

/// The nodes' folders, and `spec.yaml` beside them.
pub(crate) struct Made {
    folder: tempfile::TempDir,
    said: Mutex<Vec<u8>>,
}

impl Made {
    /// A cluster of its own in which everything is as the default spec says.
    pub(crate) fn new() -> Self {
        static FIRST: OnceLock<Made> = OnceLock::new();
        let first = FIRST.get_or_init(|| {
            let made = Self::empty();
            let output = made.pki(&["apply", "-f", "spec.yaml", "--yes"]);
            assert_eq!(program::code(&output), 0, "{}", program::stderr(&output));
            made
        });
        let made = Self { folder: tempfile::tempdir().unwrap(), said: Mutex::default() };
        for name in NODES.iter().chain(&["spec.yaml"]) {
            let copied = Command::new("cp").arg("-a").arg(first.at(name)).arg(made.path()).status();
            assert!(copied.unwrap().success());
            // What is kept of the run that made it is no business of the tests.
            let _none = std::fs::remove_dir_all(made.at(name).join("var/lib/pki"));
        }
        made
    }

    /// No node has anything yet.
    pub(crate) fn empty() -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap(), said: Mutex::default() };
        made.spec(&Spec::default());
        made
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub(crate) fn spec(&self, spec: &Spec<'_>) {
        std::fs::write(self.at("spec.yaml"), spec.text()).unwrap();
    }

    /// Runs the program to its end.
    pub(crate) fn pki(&self, arguments: &[&str]) -> Output {
        self.heard(program::pki(self.path(), arguments))
    }

    /// Keeps what a run said.
    pub(crate) fn heard(&self, output: Output) -> Output {
        let mut said = self.said.lock().unwrap();
        said.extend(&output.stdout);
        said.extend(&output.stderr);
        output
    }

    /// Runs the program, which must end with this code; what it printed.
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.pki(arguments);
        let text = program::stdout(&output);
        assert_eq!(program::code(&output), code, "{arguments:?}\n{text}\n{}", program::stderr(&output));
        text
    }

    pub(crate) fn listing(&self) -> Listing {
        listing(self.path())
    }

    /// No private key of the cluster occurs in what was said so far, nor in what the nodes keep of runs besides the copies themselves.
    pub(crate) fn no_secret_was_told(&self) {
        told_keys::none_is_told(self.path(), &self.said.lock().unwrap());
    }
}
