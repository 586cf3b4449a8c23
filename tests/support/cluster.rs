//! A real cluster for tests: three control planes made by kubeadm 1.20.2, unpacked below a temporary directory, one folder for each node.
#![expect(clippy::disallowed_methods, reason = "the tests unpack real files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use pki::agent::Local;
use pki::apply::root_files;
use pki::apply::{Hosts, Locking, Settings};
use pki::desired::Survey;
use pki::diagnostic::{RenderStyle, Source, has_errors, render};
use pki::diff::diff;
use pki::observe::ask::PATIENCE;
use pki::observe::survey::survey_further;
use pki::output::status_report::Status;
use pki::plan::model::outcome::Event;
use pki::plan::{Input, Options, Rollback};
use pki::profile::Profile;
use pki::protocol::facts::{Answer, Observed};
use pki::protocol::file::Facts;
use pki::protocol::file::SpecReference;
use pki::protocol::node::Host;
use pki::simulate::{Plan, check, check_rollback};
use pki::spec::custom_root::RootKeys;
use pki::spec::{Loaded, ReadOptions, read};
use pki::trust::processes::Processes;
use pki::types::names::NodeName;
use pki::types::profile_name::ProfileName;
use pki::x509::Sha256;

use crate::support::kept::copy;

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What it is unpacked from.
pub(crate) const ARCHIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kubeadm-v1.20.2.tar");
pub(crate) const NODES: [&str; 3] = ["cp-1", "cp-2", "cp-3"];

/// Ten days into the life of the fixture's certificates, on every clock.
pub(crate) fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

/// The nodes' folders, and `spec.yaml` beside them.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
}

/// The real cluster with the shared spec.
pub(crate) fn unpack(into: &Path) {
    // As root, tar would give the files to whoever packed them.
    let mut tar = Command::new("tar");
    tar.arg("--no-same-owner").arg("-pxf").arg(ARCHIVE).arg("-C").arg(into);
    assert!(tar.status().unwrap().success());
    std::fs::copy(Path::new(ROOT).join("tests/scenarios/spec.yaml"), into.join("spec.yaml")).unwrap();
}

impl Cluster {
    pub(crate) fn unpack() -> Self {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path());
        Self { folder }
    }

    /// One that was made before.
    pub(crate) fn copy(made: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(made, folder.path());
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn report(&self) -> Report {
        let loaded = self.spec();
        let Survey { desired, observed } = self.survey(&loaded);
        let differences = diff(&desired, &observed, now());
        let status = Status::new(&desired, &observed, &differences, now());
        Report { loaded, status, observed }
    }

    /// What the nodes tell, as it is saved.
    pub(crate) fn facts(&self) -> Facts {
        let loaded = self.spec();
        let spec = SpecReference {
            file: "spec.yaml".to_owned(),
            sha256: Sha256::of(b""),
            commit: None,
            files: Default::default(),
        };
        Facts::new(loaded.spec.metadata.name.clone(), spec, self.survey(&loaded).observed)
    }

    pub(crate) fn survey(&self, loaded: &Loaded) -> Survey {
        let profile = Profile::load(loaded.spec.spec.profile).unwrap();
        let known = Observed { observed_at: now(), nodes: self.skipped() };
        survey_further((&loaded.spec, &loaded.roots), &profile, &self.nodes(loaded), known, PATIENCE).unwrap()
    }

    /// The nodes that a scenario wants to be left out, one a line in a file of its own.
    fn skipped(&self) -> BTreeMap<NodeName, Answer> {
        let names = std::fs::read_to_string(self.path().join("skip-node")).unwrap_or_default();
        names.lines().map(|name| (name.parse().unwrap(), Answer::Skipped)).collect()
    }

    /// What would be done.
    pub(crate) fn plan(&self, options: &Options) -> Plan {
        self.input(options, |input| {
            let draft = pki::plan::draft(input).unwrap();
            in_order(check(draft, input.survey, &Processes::default()).unwrap())
        })
    }

    /// The way back to before a run. It is named, because on a clock that stands still no run is the latest.
    pub(crate) fn rollback(&self, run: &str) -> WayBack {
        let directory = self.survey(&self.spec()).desired.snapshots.directory;
        let snapshots = self
            .nodes(&self.spec())
            .into_iter()
            .map(|(name, node)| (name, node.snapshots(&directory).unwrap()))
            .collect();
        self.input(&Options::default(), |input| {
            let Rollback { draft, expired } = pki::plan::rollback(input, &snapshots, Some(run)).unwrap();
            WayBack { plan: check_rollback(draft, input.survey, &Processes::default(), &snapshots), expired }
        })
    }

    fn input<T>(&self, options: &Options, make: impl FnOnce(&Input<'_>) -> T) -> T {
        let loaded = self.spec();
        let survey = self.survey(&loaded);
        let differences = diff(&survey.desired, &survey.observed, now());
        let spec = SpecReference {
            file: "spec.yaml".to_owned(),
            sha256: Sha256::of(b""),
            commit: None,
            files: Default::default(),
        };
        let place = |path: &[String]| place(&loaded, path);
        let (survey, differences) = (&survey, &differences);
        make(&Input {
            survey,
            differences,
            now: now(),
            spec,
            options,
            signed: &Default::default(),
            place: &place,
        })
    }

    /// Does it.
    pub(crate) fn apply(&self, plan: &Plan) -> pki::plan::model::outcome::Report {
        self.apply_and(plan, &mut |_| {})
    }

    /// Does it and tells what happens on the way.
    pub(crate) fn apply_and(
        &self,
        plan: &Plan,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> pki::plan::model::outcome::Report {
        let found = root_files::keys(plan, Some(self.path())).unwrap();
        self.apply_with(plan, &found.keys, tell)
    }

    /// Does it with these keys of own root CAs.
    pub(crate) fn apply_with(
        &self,
        plan: &Plan,
        root_keys: &RootKeys,
        tell: &mut dyn FnMut(&Event<'_>),
    ) -> pki::plan::model::outcome::Report {
        let loaded = self.spec();
        let desired = self.survey(&loaded).desired;
        let settings = Settings {
            done: pki::apply::Done::default(),
            desired: &desired,
            on_failure: desired.rollout.on_failure,
            root_keys,
            note: "a test".to_owned(),
            now,
            interrupted: &std::sync::atomic::AtomicBool::new(false),
            locking: Locking::default(),
        };
        pki::apply::apply(plan, &mut self.nodes(&loaded), &settings, tell)
    }

    pub(crate) fn spec(&self) -> Loaded {
        let text = std::fs::read(self.path().join("spec.yaml")).unwrap();
        let source = Source::from_bytes("spec.yaml", text).unwrap();
        let known: BTreeMap<_, _> = ProfileName::ALL
            .into_iter()
            .map(|name| (name, Profile::load(name).unwrap().known_names()))
            .collect();
        let certificate_file = |_: &str, path: &str| root_files::certificate(Some(self.path()), path);
        let certificate_file = &certificate_file;
        let options = ReadOptions { now: now(), ignore_other_kinds: false, known: &known, certificate_file };
        let reading = read(std::slice::from_ref(&source), &options);
        assert!(
            !has_errors(&reading.problems),
            "{}",
            render(&reading.problems, &[source], RenderStyle::PLAIN)
        );
        reading.specs.into_iter().next().unwrap()
    }

    pub(crate) fn nodes(&self, loaded: &Loaded) -> Hosts {
        let node = |(name, node): (&NodeName, &pki::spec::types::Node)| {
            let local = node.connection.as_ref().unwrap().local.as_ref().unwrap();
            let root = self.path().join(local.root.as_ref().unwrap());
            let node: Box<dyn Host + Send + Sync> = Box::new(Local::new(Some(root), now));
            (name.clone(), node)
        };
        loaded.spec.spec.nodes.iter().map(node).collect()
    }
}

/// A plan of which no undo breaks what works: such a fault of the planner bars no plan, so whoever plans in tests looks for it.
pub(crate) fn in_order(plan: Plan) -> Plan {
    let risks: Vec<_> = plan.undo_risks().collect();
    assert!(risks.is_empty(), "{risks:?}");
    plan
}

/// A way back.
pub(crate) struct WayBack {
    pub(crate) plan: Plan,
    /// What has expired and comes back.
    pub(crate) expired: Vec<String>,
}

/// What is to be said about a cluster.
pub(crate) struct Report {
    pub(crate) loaded: Loaded,
    pub(crate) status: Status,
    pub(crate) observed: Observed,
}

impl Report {
    /// The text that a person reads.
    pub(crate) fn text(&self) -> String {
        let style = pki::output::StatusStyle { color: false, unicode: false };
        pki::output::status(&self.status, style, &|path| place(&self.loaded, path))
    }

    /// The short digests of everything that the cluster holds.
    pub(crate) fn digests(&self) -> BTreeSet<String> {
        let leaves = self.status.certificates.iter().map(|status| &status.certificate);
        let authorities = self.status.certificate_authorities.iter().map(|status| &status.certificate);
        let fields = leaves.chain(authorities).flatten();
        fields.flat_map(|fields| [fields.fingerprint.short(), fields.spki.short()]).collect()
    }
}

fn place(loaded: &Loaded, path: &[String]) -> Option<String> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    loaded.document.node(&path)?;
    let place = loaded.document.key_place(&path);
    Some(format!("{}:{}", place.file, place.line))
}

/// A plan as text without what is another in every run: its name, and digests that are not among `ours` as numbers in their order. Each of
/// its lines has room in a hundred columns.
pub(crate) fn plan_text(plan: &Plan, ours: &BTreeSet<String>) -> String {
    let text = pki::output::plan(plan);
    for line in text.lines() {
        // What people copy is not broken.
        let is_one_word = !line.trim().contains(' ');
        assert!(line.chars().count() <= 100 || is_one_word, "{line}");
    }
    normalised(&text.replace(&plan.id, "<plan>"), ours)
}

/// Whether files can be given away.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says which test was left out and why; `cargo test -- --nocapture` shows it.
#[expect(clippy::print_stdout, reason = "what was not tested must be seen")]
pub(crate) fn left_out(name: &str, reason: &str) {
    println!("{name} left out: {reason}");
}

/// Compares a text with the golden file at `path`; `UPDATE=1` writes it anew, with the folds that it has, and `UPDATE=whole` without them.
pub(crate) fn golden(path: &Path, found: &str) -> Result<(), String> {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let update = std::env::var("UPDATE").ok();
    if update.as_deref() == Some("whole") {
        std::fs::write(path, found).unwrap();
        return Ok(());
    }
    let shown = folded(found, &before);
    if update.is_some() {
        std::fs::write(path, &shown).unwrap();
        return Ok(());
    }
    if before == shown {
        return Ok(());
    }
    let whole = if shown == found { String::new() } else { format!("\n--- found, unfolded\n{found}") };
    Err(format!("{}\n--- expected\n{before}\n--- found\n{shown}{whole}", path.display()))
}

/// A text in which the same blocks are folded as in another one: to their first line and a digest of the others, so that a change of
/// what is not shown is still one.
fn folded(text: &str, like: &str) -> String {
    let head = |line| str::strip_suffix(line, "]")?.split_once(" lines more: ")?.0.rsplit_once("   [");
    let folds: BTreeSet<&str> = like.lines().filter_map(head).map(|(head, _)| head).collect();
    let body = text.trim_end_matches('\n');
    let fold = |block: &str| match block.split_once('\n') {
        Some((head, rest)) if folds.contains(head) => {
            let digest = Sha256::of(rest.as_bytes());
            format!("{head}   [{} lines more: {}]", rest.lines().count(), digest.short())
        }
        Some(_) | None => block.to_owned(),
    };
    let blocks: Vec<String> = body.split("\n\n").map(fold).collect();
    blocks.join("\n\n") + text.strip_prefix(body).unwrap_or_default()
}

/// The text with digests that are others in every run replaced by numbers, in their order.
pub(crate) fn normalised(text: &str, ours: &BTreeSet<String>) -> String {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut out = String::new();
    let mut word = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() {
            word.push(character);
            continue;
        }
        let is_digest = [8, 64].contains(&word.len())
            && word.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if is_digest && !ours.contains(&word) {
            let number = names.len() + 1;
            out.push_str(names.entry(word.clone()).or_insert_with(|| format!("<digest-{number}>")));
        } else {
            out.push_str(&word);
        }
        word.clear();
        out.push(character);
    }
    out.pop();
    out
}
