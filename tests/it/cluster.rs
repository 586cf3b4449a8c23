//! A real cluster for tests: three control planes made by kubeadm 1.20.2, unpacked below a temporary directory, one folder for each node.
#![expect(clippy::disallowed_methods, reason = "the tests unpack real files")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use pki::diagnostic::{RenderStyle, Source, render};
use pki::diff::diff;
use pki::node::{Inspect, Local};
use pki::profile::Profile;
use pki::spec::types::ProfileName;
use pki::spec::{Loaded, ReadOptions, read};
use pki::status::Status;
use pki::survey::{Nodes, Survey, survey};

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub(crate) const NODES: [&str; 3] = ["cp-1", "cp-2", "cp-3"];

/// Ten days into the life of the fixture's certificates, on every clock.
pub(crate) fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

/// The nodes' folders, and `spec.yaml` beside them.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn unpack() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = Path::new(ROOT).join("tests/fixtures/kubeadm-v1.20.2.tar");
        // As root, tar would give the files to whoever packed them.
        let mut tar = Command::new("tar");
        tar.arg("--no-same-owner").arg("-pxf").arg(archive).arg("-C").arg(folder.path());
        assert!(tar.status().unwrap().success());
        std::fs::copy(Path::new(ROOT).join("tests/scenarios/spec.yaml"), folder.path().join("spec.yaml"))
            .unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn report(&self) -> Report {
        let loaded = self.spec();
        let profile = Profile::load(loaded.spec.spec.profile).unwrap();
        let Survey { desired, observed } =
            survey(&loaded.spec, &profile, &self.nodes(&loaded), now()).unwrap();
        let differences = diff(&desired, &observed, now());
        let status = Status::new(&desired, &observed, &differences, now());
        Report { loaded, status }
    }

    fn spec(&self) -> Loaded {
        let text = std::fs::read(self.path().join("spec.yaml")).unwrap();
        let source = Source::from_bytes("spec.yaml", text).unwrap();
        let known: BTreeMap<_, _> = ProfileName::ALL
            .into_iter()
            .map(|name| (name, Profile::load(name).unwrap().known_names()))
            .collect();
        let options = ReadOptions { now: now(), ignore_other_kinds: false, known: &known };
        let reading = read(std::slice::from_ref(&source), &options);
        assert!(reading.problems.is_empty(), "{}", render(&reading.problems, &[source], RenderStyle::PLAIN));
        reading.specs.into_iter().next().unwrap()
    }

    fn nodes(&self, loaded: &Loaded) -> Nodes {
        let node = |(name, node): (&pki::ids::NodeName, &pki::spec::types::Node)| {
            let local = node.connection.as_ref().unwrap().local.as_ref().unwrap();
            let root = self.path().join(local.root.as_ref().unwrap());
            let node: Box<dyn Inspect + Send + Sync> = Box::new(Local::new(Some(root), now));
            (name.clone(), node)
        };
        loaded.spec.spec.nodes.iter().map(node).collect()
    }
}

/// What is to be said about a cluster.
pub(crate) struct Report {
    pub(crate) loaded: Loaded,
    pub(crate) status: Status,
}

impl Report {
    /// The text that a person reads.
    pub(crate) fn text(&self) -> String {
        let style = pki::render::StatusStyle { color: false, unicode: false };
        let document = &self.loaded.document;
        pki::render::status(&self.status, style, &|path| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            document.node(&path)?;
            let place = document.key_place(&path);
            Some(format!("{}:{}", place.file, place.line))
        })
    }
}

/// Says which test was left out and why; `cargo test -- --nocapture` shows it.
#[expect(clippy::print_stdout, reason = "what was not tested must be seen")]
pub(crate) fn left_out(name: &str, reason: &str) {
    println!("{name} left out: {reason}");
}

/// Compares a text with the golden file at `path`; `UPDATE=1` writes it anew.
pub(crate) fn golden(path: &Path, found: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, found).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    Err(format!("{}\n--- expected\n{expected}\n--- found\n{found}", path.display()))
}
