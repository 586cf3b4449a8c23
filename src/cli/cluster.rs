//! A cluster that a spec declares, with the nodes behind it: what `status`, `plan`, `apply` and `rollback` start from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use pki::apply::root_files;
use pki::desired::Survey;
use pki::desired::{Desired, Hints, resolve};
use pki::diagnostic::{Source, nearest};
use pki::diff::signed::Signed;
use pki::diff::{Differences, diff};
use pki::observe::survey::survey_further;
use pki::plan::{Draft, Input as PlanInput, NoSuchPhase, Options, PlanError};
use pki::profile::Profile;
use pki::protocol::facts::{Answer, Observed};
use pki::protocol::file::SpecReference;
use pki::simulate::{Plan, check};
use pki::spec::Loaded;
use pki::spec::custom_root::{CertificateFile, Roots};
use pki::spec::types::ClusterPki;
use pki::trust::processes::Processes;
use pki::types::names::{ClusterName, NodeName};
use pki::x509::Sha256;

use super::clusters::Clusters;
use super::input::{self, Input, SpecArguments};
use super::untrusted::{self, HostsFrom};
use super::{Exit, Global, internal, nodes, terminal};

/// A cluster.
pub(super) struct Cluster {
    pub(super) spec: ClusterPki,
    pub(super) profile: Profile,
    /// The document that was written, unless the spec was made up from what this machine holds.
    pub(super) loaded: Option<Loaded>,
    /// What plans refer to.
    pub(super) reference: SpecReference,
    /// The configuration of the OpenSSH client that was named.
    pub(super) ssh_config: Option<PathBuf>,
    /// How long a node may take for its connection and for each answer.
    pub(super) patience: Duration,
    /// The only hosts that are connected to, where the spec is not believed.
    pub(super) hosts: Option<HostsFrom>,
    /// The nodes that are not asked and not worked on, because the user said so.
    pub(super) skipped: BTreeSet<NodeName>,
}

/// Which nodes are left alone.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SkipArguments {
    /// Do not ask this node and do nothing on it, such as one that is down for repair; may be given several times
    #[arg(long, value_name = "NODE", requires = "files")]
    skip_node: Vec<NodeName>,
}

impl SkipArguments {
    /// Tells the clusters which of their nodes are left alone.
    ///
    /// # Errors
    /// The exit code, after a node that no spec has was told, or that no node would be left.
    pub(super) fn skip(&self, clusters: &mut Clusters) -> Result<(), Exit> {
        for name in &self.skip_node {
            if !clusters.nodes().any(|node| node == name) {
                let nodes: Vec<&str> = clusters.nodes().map(NodeName::as_str).collect();
                let meant = match nearest(name.as_str(), nodes.iter().copied()) {
                    Some(near) => format!("did you mean {near}? The"),
                    None => "the".to_owned(),
                };
                terminal::tell(&format!(
                    "error: --skip-node: there is no node {name}\n  help: {meant} nodes are {}\n",
                    nodes.join(", ")
                ));
                return Err(Exit::Usage);
            }
        }
        for cluster in clusters.iter_mut() {
            let nodes = cluster.spec.spec.nodes.keys();
            cluster.skipped = nodes.filter(|name| self.skip_node.contains(name)).cloned().collect();
            if cluster.skipped.len() == cluster.spec.spec.nodes.len() {
                let name = &cluster.spec.metadata.name;
                terminal::tell(&format!("error: --skip-node leaves no node of {name}\n"));
                return Err(Exit::Usage);
            }
        }
        Ok(())
    }
}

/// Reads the specs that the arguments name and tells every problem. `command` is what was typed, for the help where no spec was named.
///
/// # Errors
/// The exit code, when nothing can be done with them.
pub(super) fn load(arguments: &SpecArguments, command: &str, global: &Global) -> Result<Clusters, Exit> {
    load_or(arguments, command, global, &mut |_| {})
}

/// The same, for a command that writes reports of specs that are `invalid`, too.
///
/// # Errors
/// The exit code, when nothing can be done with them.
pub(super) fn load_or(
    arguments: &SpecArguments,
    command: &str,
    global: &Global,
    invalid: &mut dyn FnMut(&Input),
) -> Result<Clusters, Exit> {
    arguments.named(command)?;
    let input = input::read(arguments, super::now()).map_err(|error| internal(&error))?;
    terminal::tell(&input.report(terminal::stderr_style(global.color)));
    if input.has_errors() {
        invalid(&input);
        return Err(Exit::InvalidSpec);
    }
    let mut clusters = Vec::new();
    for loaded in input.reading.specs {
        let text = input.sources.iter().find(|source: &&Source| source.name == loaded.document.file());
        let reference = SpecReference {
            file: loaded.document.file().to_owned(),
            sha256: Sha256::of(text.map(|source| source.text.as_bytes()).unwrap_or_default()),
            commit: commit(),
            files: named_files(&loaded, arguments.only_below),
        };
        let profile = Profile::load(loaded.spec.spec.profile).map_err(|error| internal(&error))?;
        let ssh_config = global.ssh_config.clone();
        clusters.push(Cluster {
            spec: loaded.spec.clone(),
            profile,
            loaded: Some(loaded),
            reference,
            ssh_config,
            patience: global.patience(),
            hosts: None,
            skipped: BTreeSet::new(),
        });
    }
    Clusters::new(clusters, command)
}

/// The files that a spec names, with what they hold. One that cannot be read has no digest, and becomes another file once it can be.
fn named_files(loaded: &Loaded, is_below: bool) -> BTreeMap<String, Sha256> {
    let spec = &loaded.spec.spec;
    let connections = spec.nodes.values().filter_map(|node| node.connection.as_ref()).chain(&spec.connection);
    let known = connections.filter_map(|connection| connection.ssh.as_ref()?.known_hosts.as_ref());
    let sources =
        spec.authorities.values().filter_map(|authority| authority.source.as_ref()?.certificate.as_ref());
    let folder = super::custom_root::folder(loaded.document.file());
    let names: BTreeSet<&String> = known
        .chain(sources)
        .filter(|name| !is_below || untrusted::is_below(folder.as_deref(), name))
        .collect();
    let digest = |name: &String| match root_files::certificate(folder.as_deref(), name) {
        CertificateFile::Content(content) => {
            is_public(content.reveal()).then(|| Sha256::of(content.reveal()))
        }
        CertificateFile::Missing
        | CertificateFile::Denied
        | CertificateFile::Unusable { .. }
        | CertificateFile::NoFolder => None,
    };
    names.into_iter().filter_map(|name| Some((name.clone(), digest(name)?))).collect()
}

/// Whether a file is one of certificates or of host keys: of a secret not even the digest is told, whatever file a spec names.
fn is_public(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let is_host_key = |line: &str| {
        let kinds = ["ssh-", "ecdsa-", "sk-"];
        line.split_whitespace().skip(1).take(2).any(|word| kinds.iter().any(|kind| word.starts_with(kind)))
    };
    let is_public = text.contains("-----BEGIN CERTIFICATE-----") || text.lines().any(is_host_key);
    is_public && !text.contains("PRIVATE KEY")
}

/// Tells that a plan does not have the phase after which it should end.
pub(super) fn no_such_phase(error: &NoSuchPhase) -> Exit {
    terminal::tell(&format!("error: --until-phase: {error}\n"));
    Exit::Usage
}

/// The commit that a pipeline works on. It only names the spec in what people read.
#[expect(clippy::disallowed_methods, reason = "pipelines tell it in the environment")]
fn commit() -> Option<String> {
    let told = ["CI_COMMIT_SHA", "GITHUB_SHA"].iter().find_map(|name| std::env::var(name).ok());
    told.filter(|text| (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Cluster {
    /// Where in the spec a path is written, as `FILE:LINE`; `None` for a built-in default.
    pub(super) fn place(&self, path: &[String]) -> Option<String> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let document = &self.loaded.as_ref()?.document;
        document.node(&path)?;
        let place = document.key_place(&path);
        Some(format!("{}:{}", place.file, place.line))
    }

    /// Its name, and the file of its spec.
    pub(super) fn as_named(&self) -> (&ClusterName, &str) {
        (&self.spec.metadata.name, &self.reference.file)
    }

    /// The nodes behind the connections of the spec.
    pub(super) fn nodes(&self) -> nodes::Hosts {
        let Some(loaded) = &self.loaded else { return nodes::Hosts::new() };
        // Nothing is opened to a node that is left alone.
        let mut others = loaded.clone();
        others.spec.spec.nodes.retain(|name, _| !self.skipped.contains(name));
        match &self.hosts {
            Some(hosts) => nodes::connect_only(&others, hosts, self.ssh_config.as_deref(), self.patience),
            None => nodes::connect(&others, self.ssh_config.as_deref(), self.patience),
        }
    }

    /// What should be as far as it is known before any node is asked: every name, though not every value.
    pub(super) fn unasked(&self) -> Option<Desired> {
        resolve(&self.spec, &self.profile, &Hints::default(), &self.roots()).ok()
    }

    /// What is known of the custom root CAs that the spec names.
    fn roots(&self) -> Roots {
        self.loaded.as_ref().map(|loaded| loaded.roots.clone()).unwrap_or_default()
    }

    /// What should be, and what is.
    ///
    /// # Errors
    /// The exit code, after every problem of the spec was told.
    pub(super) fn survey(&self, nodes: &nodes::Hosts) -> Result<Survey, Exit> {
        let skipped = self.skipped.iter().map(|name| (name.clone(), Answer::Skipped));
        self.survey_further(nodes, Observed { observed_at: super::now(), nodes: skipped.collect() })
    }

    /// What should be, and what is, where something is known already.
    ///
    /// # Errors
    /// The exit code, after every problem of the spec was told.
    pub(super) fn survey_further(&self, nodes: &nodes::Hosts, known: Observed) -> Result<Survey, Exit> {
        let roots = self.roots();
        let survey = survey_further((&self.spec, &roots), &self.profile, nodes, known, self.patience);
        survey.map_err(|problems| {
            for problem in problems {
                terminal::tell(&format!("error: {}: {problem}\n", problem.path.join(".")));
            }
            Exit::InvalidSpec
        })
    }

    /// The plan for an instant, simulated: one that would break something without saying so is never shown.
    ///
    /// # Errors
    /// The exit code, after an internal error was told, or that the plan does not have the phase that was named.
    pub(super) fn plan(
        &self,
        compared: &Compared<'_>,
        options: &Options,
        signed: &Signed,
    ) -> Result<Plan, Exit> {
        self.simulated(self.draft(compared, options, signed)?, compared.survey)
    }

    /// The plan that a draft becomes, with what its simulation says.
    ///
    /// # Errors
    /// The exit code, after an internal error was told.
    pub(super) fn simulated(&self, draft: Draft, survey: &Survey) -> Result<Plan, Exit> {
        check(draft, survey, &Processes::of(&survey.observed))
            .map_err(|counterexample| internal(&counterexample))
    }

    /// The plan for an instant, before its simulation.
    ///
    /// # Errors
    /// The exit code, after an internal error was told, or that the plan does not have the phase that was named.
    pub(super) fn draft(
        &self,
        compared: &Compared<'_>,
        options: &Options,
        signed: &Signed,
    ) -> Result<Draft, Exit> {
        let input = PlanInput {
            survey: compared.survey,
            differences: &compared.differences,
            now: compared.now,
            spec: self.reference.clone(),
            options,
            signed,
            place: &|path| self.place(path),
        };
        pki::plan::draft(&input).map_err(|error| match error {
            PlanError::Cycle(cycle) => internal(&cycle),
            PlanError::Phase(error) => no_such_phase(&error),
        })
    }
}

/// What was found, compared with what should be at the instant for which it is planned.
pub(super) struct Compared<'a> {
    pub(super) survey: &'a Survey,
    pub(super) differences: Differences,
    now: Timestamp,
}

impl<'a> Compared<'a> {
    pub(super) fn at(survey: &'a Survey, now: Timestamp) -> Self {
        // Certificates count in whole seconds, and a plan says exactly what they will say.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let differences = diff(&survey.desired, &survey.observed, now);
        Self { survey, differences, now }
    }
}
