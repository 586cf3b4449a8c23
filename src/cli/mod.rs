//! The command line: what may be typed, and which command it calls. No decision about certificates is made here.

mod adopt;
mod apply;
mod cluster;
mod clusters;
mod completions;
mod consent;
mod custom_root;
mod exit;
mod explain;
mod external;
mod files;
mod formats;
mod input;
mod lock;
mod no_plan;
mod node;
mod nodes;
mod observe;
mod plan;
mod progress;
mod reports;
mod rollback;
mod saved_plan;
mod schema;
mod show;
mod signals;
mod snapshot;
mod status;
mod terminal;
mod untrusted;
mod used_plan;
mod validate;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub(crate) use exit::Exit;
use pki::protocol::file::to_text as json;
use pki::types::duration::Duration;
use pki::types::format::with_causes;
use terminal::Color;

/// Plan and apply the certificates of self-managed Kubernetes and etcd clusters.
#[derive(Debug, Parser)]
#[command(name = "pki", version, disable_help_subcommand = true, max_term_width = 110)]
#[command(after_help = "`pki help exit-codes` lists what the exit codes mean.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
struct Global {
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: Color,
    /// The configuration of the OpenSSH client, instead of the user's and the system's
    #[arg(long, global = true, value_name = "FILE", env = "PKI_SSH_CONFIG")]
    ssh_config: Option<PathBuf>,
    /// Say less: no progress, no hints
    #[arg(short, long, global = true)]
    quiet: bool,
    /// How long to wait for a node: for the connection, and for each look at its files
    #[arg(long, global = true, value_name = "DURATION", default_value = "30s", value_parser = timeout)]
    timeout: Duration,
}

impl Global {
    /// How long a node may take for its connection and for each answer.
    fn patience(&self) -> std::time::Duration {
        std::time::Duration::from_secs(self.timeout.seconds())
    }
}

/// A time that lets a node answer at all.
fn timeout(text: &str) -> Result<Duration, String> {
    match text.parse::<Duration>() {
        Ok(time) if time.seconds() == 0 => Err("no node answers in no time".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check specs without touching any node
    Validate(validate::Arguments),
    /// Show what would be done, step by step, without doing it
    Plan(plan::Arguments),
    /// Show a saved plan once more, without asking any node
    Show(show::Arguments),
    /// Do what the plan shows: snapshot, write, verify, and undo a node on which a step fails
    Apply(apply::Arguments),
    /// Put everything back as it was before a run, where nothing else has changed it since
    Rollback(rollback::Arguments),
    /// What the nodes keep of earlier runs
    Snapshot(snapshot::Arguments),
    /// Write down what the nodes tell, for planning without access to them
    Observe(observe::Arguments),
    /// Report every certificate, kubeconfig and CA: when it expires and what is wrong with it
    Status(status::Arguments),
    /// Write a spec from what nodes already hold; the nodes are only read
    Adopt(adopt::Arguments),
    /// Who is at work on the nodes
    Lock(lock::Arguments),
    /// Explain a code such as PKI1003
    Explain(explain::Arguments),
    /// Print the JSON Schema of the spec, of saved plans, of facts or of events
    Schema(schema::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
    /// Internal: run by pki on nodes, over SSH
    Node(node::Arguments),
    /// Print help on a command, or on `exit-codes`
    Help {
        /// A command, or `exit-codes`
        topic: Option<String>,
    },
}

/// Runs the program with these arguments, the program's name first.
pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    // Before anything else: whatever this process is told to do, it may come to hold keys.
    if let Err(error) = pki::agent::dumps::forbid() {
        terminal::tell(&format!("error: core dumps cannot be turned off: {error}\n"));
        return Exit::Internal;
    }
    let Cli { global, command } = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    match command {
        Command::Validate(arguments) => validate::run(&arguments, &global),
        Command::Plan(arguments) => plan::run(&arguments, &global),
        Command::Show(arguments) => show::run(&arguments),
        Command::Observe(arguments) => observe::run(&arguments, &global),
        Command::Apply(arguments) => apply::run(&arguments, &global),
        Command::Rollback(arguments) => rollback::run(&arguments, &global),
        Command::Snapshot(arguments) => snapshot::run(&arguments, &global),
        Command::Status(arguments) => status::run(&arguments, &global),
        Command::Adopt(arguments) => adopt::run(&arguments, &global),
        Command::Lock(arguments) => lock::run(&arguments, &global),
        Command::Explain(arguments) => explain::run(&arguments, &global),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Node(arguments) => node::run(&arguments),
        Command::Help { topic } => help(topic.as_deref()),
    }
}

/// Help and version go to standard output and end well; everything else is a usage error (clap's own 2 would read as "changes pending").
fn refused(error: &clap::Error) -> Exit {
    if error.use_stderr() {
        terminal::tell(&error.render().to_string());
        return Exit::Usage;
    }
    written(terminal::print(&error.render().to_string()))
}

fn help(topic: Option<&str>) -> Exit {
    let mut command = Cli::command();
    // Building fills in the names under which subcommands print their usage.
    command.build();
    let text = match topic {
        None => command.render_long_help().to_string(),
        Some("exit-codes") => Exit::table(),
        Some(name) => match command.find_subcommand_mut(name) {
            Some(subcommand) => subcommand.render_long_help().to_string(),
            None => {
                terminal::tell(&format!(
                    "error: no command `{}`; `pki help` lists them\n",
                    name.escape_default()
                ));
                return Exit::Usage;
            }
        },
    };
    written(terminal::print(&text))
}

/// Done, unless the result could not be written.
fn written(result: std::io::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            terminal::tell(&format!("error: cannot write to standard output: {error}\n"));
            Exit::Internal
        }
    }
}

/// An error that the user did not cause.
fn internal(error: &dyn std::error::Error) -> Exit {
    terminal::tell(&format!("error: {}\n", with_causes(error)));
    Exit::Internal
}

#[expect(clippy::disallowed_methods, reason = "the one place where the command line reads the clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
