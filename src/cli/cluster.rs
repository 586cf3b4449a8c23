//! A cluster that a spec declares, with the nodes behind it: what `status`, `plan`, `apply` and `rollback` start from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use pki::diagnostic::Source;
use pki::diff::diff;
use pki::observed::Observed;
use pki::plan::{Input, Options, Plan, SpecReference};
use pki::profile::Profile;
use pki::simulate::{Processes, checked};
use pki::spec::Loaded;
use pki::spec::types::ClusterPki;
use pki::survey::{Survey, survey_further};
use pki::x509::Sha256;

use super::input::{self, SpecArguments};
use super::{Exit, Global, internal, nodes, output};

/// A cluster.
pub(super) struct Cluster {
    pub(super) spec: ClusterPki,
    pub(super) profile: Profile,
    /// The document that was written, unless the spec was made up from what this machine holds.
    pub(super) loaded: Option<Loaded>,
    /// What plans refer to.
    pub(super) reference: SpecReference,
}

/// Reads the specs that the arguments name and tells every problem.
///
/// # Errors
/// The exit code, when nothing can be done with them.
pub(super) fn load(arguments: &SpecArguments, global: &Global) -> Result<Vec<Cluster>, Exit> {
    let input = input::read(arguments, super::now()).map_err(|error| internal(&error))?;
    output::tell(&input.report(output::stderr_style(global.color)));
    if input.has_errors() {
        return Err(Exit::InvalidSpec);
    }
    let mut clusters = Vec::new();
    for loaded in input.reading.specs {
        let text = input.sources.iter().find(|source: &&Source| source.name == loaded.document.file());
        let reference = SpecReference {
            file: loaded.document.file().to_owned(),
            sha256: Sha256::of(text.map(|source| source.text.as_bytes()).unwrap_or_default()),
        };
        let profile = Profile::load(loaded.spec.spec.profile).map_err(|error| internal(&error))?;
        clusters.push(Cluster { spec: loaded.spec.clone(), profile, loaded: Some(loaded), reference });
    }
    Ok(clusters)
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

    /// The nodes behind the connections of the spec.
    pub(super) fn nodes(&self) -> nodes::Hosts {
        self.loaded.as_ref().map(nodes::connect).unwrap_or_default()
    }

    /// What should be, and what is.
    ///
    /// # Errors
    /// The exit code, after every problem of the spec was told.
    pub(super) fn survey(&self, nodes: &nodes::Hosts) -> Result<Survey, Exit> {
        self.survey_further(nodes, Observed { observed_at: super::now(), nodes: BTreeMap::new() })
    }

    /// What should be, and what is, where something is known already.
    ///
    /// # Errors
    /// The exit code, after every problem of the spec was told.
    pub(super) fn survey_further(&self, nodes: &nodes::Hosts, known: Observed) -> Result<Survey, Exit> {
        let survey = survey_further(&self.spec, &self.profile, nodes, known);
        let mut survey = survey.map_err(|problems| {
            for problem in problems {
                output::tell(&format!("error: {}: {problem}\n", problem.path.join(".")));
            }
            Exit::InvalidSpec
        })?;
        if let Some(loaded) = &self.loaded {
            survey.desired.take_roots(&loaded.roots);
        }
        Ok(survey)
    }

    /// The plan for an instant, simulated: one that would break something without saying so is never shown.
    ///
    /// # Errors
    /// The exit code, after an internal error was told.
    pub(super) fn plan(&self, survey: &Survey, options: &Options, now: Timestamp) -> Result<Plan, Exit> {
        // Certificates count in whole seconds, and a plan says exactly what they will say.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let differences = diff(&survey.desired, &survey.observed, now);
        let input = Input {
            survey,
            differences: &differences,
            now,
            spec: self.reference.clone(),
            options,
            place: &|path| self.place(path),
        };
        let plan = pki::plan::plan(&input).map_err(|cycle| internal(&cycle))?;
        checked(plan, survey, &Processes::default()).map_err(|counterexample| internal(&counterexample))
    }
}
