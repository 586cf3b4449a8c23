#![expect(
    clippy::disallowed_methods,
    reason = "asks on the terminal itself, and reads whether a pipeline runs this"
)]
//! Approval: a yes on the terminal, or `--yes`. Standard input is never read, so `yes | pki apply` does nothing.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use pki::diagnostic::log_commands::in_text;
use pki::diagnostic::{escaped, quoted};
use pki::plan::Approval;
use pki::simulate::Plan;

use super::{Exit, files, terminal};

/// How approval is given.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Consent {
    /// Do it without asking. Dropping trust and restoring expired material are never covered by this
    #[arg(short, long)]
    yes: bool,
    /// For timers: do what an ordinary yes covers, and report what waits for more; never ask
    #[arg(long, conflicts_with_all = ["yes", "confirm"])]
    unattended: bool,
    /// Never ask: without approval on the command line, end with 6
    #[arg(long)]
    no_input: bool,
    /// Approve what `--yes` does not cover, by the name that the plan shows
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

/// What an approval on the command line is tied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tied {
    /// To exactly what was reviewed: a saved plan by its digest, or a run that was named.
    Named,
    /// To what is left of a saved plan that was reviewed: it may need less than the whole of it did.
    Rest,
    /// To whatever is planned now.
    Anything {
        /// How it is tied, for the help.
        help: &'static str,
    },
}

impl Consent {
    /// Whether approval can be given at all.
    ///
    /// # Errors
    /// The exit code, when nobody can be asked and nothing was approved.
    pub(super) fn possible(&self) -> Result<(), Exit> {
        if self.yes || self.unattended || self.confirm.is_some() || self.can_ask() {
            return Ok(());
        }
        terminal::tell("error: not approved: there is nobody to ask; look at `pki plan`, then add --yes\n");
        Err(Exit::NotApproved)
    }

    /// Whether nobody is there to approve more than what is ordinary.
    pub(super) fn is_unattended(&self) -> bool {
        self.unattended
    }

    /// Whether nobody is asked: the command line has approved it.
    pub(super) fn is_unasked(&self) -> bool {
        self.yes || self.unattended || self.confirm.is_some()
    }

    /// Whether approval on the command line says which saved plan it is for. What `--yes` covers is planned again and compared, so there it is only said.
    ///
    /// # Errors
    /// The exit code, where the plan has to be named by its digest.
    pub(super) fn of_saved(&self, path: &Path, is_bound: bool, is_quiet: bool) -> Result<(), Exit> {
        if is_bound || !self.is_unasked() {
            return Ok(());
        }
        let plan = files::pasted(path);
        let how =
            format!("sha256sum {plan} shows it, and so does the review; add --expect-digest sha256:DIGEST");
        if self.unattended || self.confirm.is_some() {
            let option = if self.unattended { "--unattended" } else { "--confirm" };
            terminal::tell(&format!(
                "error: {option} on a saved plan needs the digest of what was reviewed: --expect-digest\n  help: {how}\n"
            ));
            return Err(Exit::Usage);
        }
        if !is_quiet {
            terminal::tell(&format!(
                "note: this run is bound to no review: whatever is in {plan} is compared with spec and nodes, and with nothing that somebody has read\n  help: {how}\n"
            ));
        }
        Ok(())
    }

    /// A pipeline has nobody in front of it, even where it lends a terminal.
    fn can_ask(&self) -> bool {
        let in_pipeline = std::env::var_os("CI").is_some_and(|value| !value.is_empty())
            || std::env::var_os("PKI_NO_INPUT").is_some_and(|value| !value.is_empty());
        !self.no_input
            && !self.unattended
            && !in_pipeline
            && OpenOptions::new().read(true).write(true).open("/dev/tty").is_ok()
    }

    /// Whether the name that `--confirm` gives is one that is asked for.
    ///
    /// # Errors
    /// The exit code, after it was told that nothing is called so.
    pub(super) fn confirms_something(&self, approvals: &[&Approval]) -> Result<(), Exit> {
        let Some(typed) = &self.confirm else { return Ok(()) };
        let mut names: Vec<&str> = Vec::new();
        for approval in approvals {
            match approval {
                Approval::Upper { name, .. } if name == typed => return Ok(()),
                Approval::Upper { name, .. } => names.push(name),
                Approval::Ordinary => {}
            }
        }
        let help = match names.first() {
            Some(name) => format!("it asks for --confirm {name}"),
            None => "it asks for no name; leave --confirm out".to_owned(),
        };
        terminal::tell(&format!(
            "error: --confirm: nothing in this plan is called {}\n  help: {help}\n",
            quoted(typed)
        ));
        Err(Exit::Usage)
    }

    /// Asks, unless the command line has approved it. The upper tier is approved there only if it is tied to what was reviewed.
    ///
    /// # Errors
    /// The exit code, when approval was not given.
    pub(super) fn ask(&self, plan: &Plan, approval: &Approval, tied: Tied) -> Result<(), Exit> {
        // What an interrupted run left is undone before it can be seen what the rest asks for.
        if !plan.only_undoes() && tied != Tied::Rest {
            self.confirms_something(&[approval])?;
        }
        if self.unattended {
            heard(plan)?;
        }
        let (wanted, question) = match approval {
            Approval::Ordinary if self.yes || self.unattended => return Ok(()),
            Approval::Ordinary => {
                ("yes", format!("\nApply plan {} to {}? Only `yes` is a yes: ", plan.id, plan.cluster))
            }
            Approval::Upper { name, .. }
                if self.confirm.as_ref() == Some(name) && matches!(tied, Tied::Named | Tied::Rest) =>
            {
                return Ok(());
            }
            Approval::Upper { name, why } => {
                let why = why.join("\n");
                (name.as_str(), format!("\n{why}\nTo apply plan {} all the same, type {name}: ", plan.id))
            }
        };
        if !self.can_ask() {
            if self.unattended {
                terminal::tell("This plan waits for approval. Nothing was changed.\n");
            }
            terminal::tell(&refusal(approval, tied));
            return Err(Exit::NotApproved);
        }
        match answer(&question) {
            Ok(answer) if answer == wanted => Ok(()),
            Ok(_) => {
                terminal::tell("Not approved. Nothing was changed.\n");
                Err(Exit::NotApproved)
            }
            Err(error) => {
                terminal::tell(&format!("error: cannot ask on the terminal: {error}\n"));
                Err(Exit::NotApproved)
            }
        }
    }
}

/// Whether nothing comes into the files of one node by the word of another alone: that a person has to look at.
fn heard(plan: &Plan) -> Result<(), Exit> {
    let told: Vec<String> =
        plan.told_by_others().map(|(action, told)| format!("  {}: {told}\n", action.address)).collect();
    if told.is_empty() {
        return Ok(());
    }
    terminal::tell(&format!(
        "This plan waits for approval. Nothing was changed.\nerror: not approved: not every control plane says the same of what comes into the files of other nodes:\n{}  help: read the plan and apply it with --yes, or declare the values under spec.cluster\n",
        told.concat()
    ));
    Err(Exit::NotApproved)
}

/// What is said where nobody can be asked.
fn refusal(approval: &Approval, tied: Tied) -> String {
    let Approval::Upper { name, why } = approval else {
        return "error: not approved: there is nobody to ask; add --yes\n".to_owned();
    };
    let how = match tied {
        Tied::Named | Tied::Rest => format!("add --confirm {name}"),
        Tied::Anything { help } => format!("{help}, and add --confirm {name}"),
    };
    let why = escaped(&why.join(" "));
    format!("error: not approved: {why}\n  help: --yes does not cover this; {how}\n")
}

fn answer(question: &str) -> std::io::Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(in_text(question).as_bytes())?;
    terminal.flush()?;
    let mut line = String::new();
    BufReader::new(terminal).read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
