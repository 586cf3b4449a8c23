#![expect(clippy::disallowed_methods, reason = "asks the environment who starts this run")]
//! `pki lock status`: who is at work on the nodes; and what a run says of itself when it locks them.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration as Time;

use clap::Subcommand;
use pki::apply::Locking;
use pki::observe::ask::at_once;
use pki::protocol::error::HostError;
use pki::protocol::lock::{Claim, LockState};
use pki::types::duration::Duration;
use pki::types::format::with_causes;
use pki::types::names::NodeName;
use serde::Serialize;

use super::cluster::{self, Cluster};
use super::exit::Outcome;
use super::formats::ResultForm;
use super::input::SpecArguments;
use super::{Exit, Global, json, terminal, written};

/// What `pki lock` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Tell of each node whether somebody is at work on it, and who. Takes no lock
    Status {
        #[command(flatten)]
        spec: SpecArguments,
        /// The form of the result
        #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
        format: ResultForm,
    },
}

/// How nodes are locked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct LockArguments {
    /// How long to wait for nodes that somebody else is at work on, such as 10m
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    lock_timeout: Duration,
}

impl LockArguments {
    /// For whom, and with how much patience.
    pub(super) fn locking(&self) -> Locking {
        Locking { claim: claim(), patience: Time::from_secs(self.lock_timeout.seconds()) }
    }
}

/// Who starts this run.
fn claim() -> Claim {
    let word = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let system = rustix::system::uname();
    Claim {
        run: String::new(),
        user: ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(word).unwrap_or_default(),
        host: system.nodename().to_string_lossy().into_owned(),
        url: word("CI_JOB_URL").or_else(|| {
            let (server, repository) = (word("GITHUB_SERVER_URL")?, word("GITHUB_REPOSITORY")?);
            Some(format!("{server}/{repository}/actions/runs/{}", word("GITHUB_RUN_ID")?))
        }),
    }
}

/// What is known of a node's lock.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Told {
    Unknown {
        reason: String,
    },
    #[serde(untagged)]
    Known(LockState),
}

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    cluster: String,
    nodes: &'a BTreeMap<NodeName, Told>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// Tells.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    let Command::Status { spec, format } = &arguments.command;
    let clusters = match cluster::load(spec, "lock status", global) {
        Ok(clusters) => clusters,
        Err(exit) => return exit,
    };
    clusters.gravest(|cluster| one(cluster, *format))
}

fn one(cluster: &Cluster, format: ResultForm) -> Exit {
    let told = |state: Result<LockState, HostError>| match state {
        Ok(state) => Told::Known(state),
        Err(error) => Told::Unknown { reason: with_causes(&error) },
    };
    let nodes = cluster.nodes();
    let mut states = at_once(&nodes, |node| node.lock_state());
    let broke_off = || Err(HostError::Unreachable { reason: "its reading broke off".to_owned() });
    let nodes: BTreeMap<NodeName, Told> = nodes
        .keys()
        .map(|name| (name.clone(), told(states.remove(name).unwrap_or_else(broke_off))))
        .collect();
    let is_unknown = nodes.values().any(|told| matches!(told, Told::Unknown { .. }));
    let exit = if is_unknown { Exit::Blocked } else { Exit::Done };
    let text = match format {
        ResultForm::Text => text(&nodes),
        ResultForm::Json => json(&Report {
            cluster: cluster.spec.metadata.name.to_string(),
            nodes: &nodes,
            outcome: Outcome::untouched(exit),
        }),
    };
    exit.max(written(terminal::print(&text)))
}

fn text(nodes: &BTreeMap<NodeName, Told>) -> String {
    let width = nodes.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
    let line = |(name, told): (&NodeName, &Told)| {
        let words = match told {
            Told::Known(LockState::Free) => "free".to_owned(),
            Told::Known(LockState::Held { holder: None }) => {
                "held by a process that does not say who it is".to_owned()
            }
            Told::Known(LockState::Held { holder: Some(holder) }) => format!("held by {holder}"),
            Told::Unknown { reason } => format!("unknown: {reason}"),
        };
        format!("{name:<width$}  {}\n", pki::diagnostic::escaped(&words))
    };
    nodes.iter().map(line).collect()
}
