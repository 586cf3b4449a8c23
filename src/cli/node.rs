#![expect(clippy::disallowed_methods, reason = "removes its own copy from where it was put")]
//! `pki node`: what runs on the nodes themselves. `serve` is the far end of a connection and writes nothing but messages for the near end, neither to standard
//! output nor to standard error; `undo` is run by systemd after a reboot in the middle of a change, and says in the system's journal what it did.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use clap::Subcommand;
use pki::agent::{Ending, Local, Login, Service, Stopper};
use pki::protocol::error::HostError;
use pki::protocol::facts::VisitState;
use pki::types::format::with_causes;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::pipe;

use super::{Exit, terminal};

/// What `pki node` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Internal: run by pki over SSH; also usable as an sshd forced command. Speaks pki's protocol on standard input and output
    Serve {
        /// Refuse everything that could change the node or read a key
        #[arg(long)]
        read_only: bool,
        /// The directory that stands for this machine's `/`
        #[arg(long, value_name = "DIR", hide = true)]
        root: Option<PathBuf>,
        /// This program is a copy in a directory of its own: both are removed first of all
        #[arg(long, hide = true)]
        uploaded: bool,
        /// The directory around that one was made for it, and is removed as well unless something else is in it
        #[arg(long, hide = true, requires = "uploaded")]
        made: bool,
    },
    /// Internal: run by systemd when the machine starts, where it was stopped in the middle of a change
    #[command(hide = true)]
    Undo {
        /// The directory in which the change is recorded
        #[arg(long, value_name = "DIR")]
        state_directory: String,
        /// The directory that stands for this machine's `/`
        #[arg(long, value_name = "DIR", hide = true)]
        root: Option<PathBuf>,
    },
}

/// Serves, or undoes.
pub(super) fn run(arguments: &Arguments) -> Exit {
    match &arguments.command {
        Command::Serve { read_only, root, uploaded, made } => {
            if *uploaded {
                remove_copy(*made);
            }
            serve(*read_only, root.as_ref())
        }
        Command::Undo { state_directory, root } => undo(state_directory, root.as_ref()),
    }
}

/// Puts the files back that a reboot left half changed. What is said goes to the system's journal.
fn undo(state_directory: &str, root: Option<&PathBuf>) -> Exit {
    let mut host = Local::new(root.cloned(), super::now);
    match host.undo_at_boot(state_directory) {
        Ok(None) => Exit::Done,
        Ok(Some(undone)) => {
            let ended = match undone.state {
                VisitState::Committed => "had ended well",
                VisitState::Open | VisitState::Undone | VisitState::UndoFailed => "is undone",
            };
            let restored = undone.restored.iter().map(|path| format!("\n  put back: {path}"));
            let left = undone.left.iter().map(|path| format!("\n  left, because others use it: {path}"));
            let paths: String = restored.chain(left).collect();
            terminal::tell(&format!("transaction {} {ended}{paths}\n", undone.id));
            Exit::Done
        }
        Err(error) => {
            terminal::tell(&format!("error: {}\n", with_causes(&error)));
            if matches!(error, HostError::Locked { .. }) {
                Exit::Locked
            } else if matches!(error, HostError::UndoFailed { .. }) {
                Exit::UndoFailed
            } else {
                Exit::Internal
            }
        }
    }
}

/// Serves until the other end is gone.
fn serve(read_only: bool, root: Option<&PathBuf>) -> Exit {
    // A message of a bug would go where the messages for the near end go, and could hold anything.
    std::panic::set_hook(Box::new(|_| {}));
    // Not `io::stdin` and `io::stdout`, whose buffers keep what goes through them, keys too.
    let streams = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|input| Ok((File::from(input), File::from(io::stdout().as_fd().try_clone_to_owned()?))));
    let Ok((input, output)) = streams else { return Exit::Internal };
    let login = if root.is_some() { Login::LeaveForSession } else { Login::LeaveForScope };
    let service = Service::listen(input);
    if stop_on_signal(service.stopper()).is_err() {
        return Exit::Internal;
    }
    let mut host = Local::new(root.cloned(), super::now);
    match service.serve(&mut host, output, read_only, login) {
        Ending::Closed => Exit::Done,
        Ending::Refused { .. } => Exit::Usage,
        Ending::Undone(_) => Exit::Undone,
        Ending::UndoFailed(_) => Exit::UndoFailed,
    }
}

/// What begins the name of a directory that holds a copy of this program and nothing else.
const COPY: &str = ".pki-upload-";

/// Removes the copy that runs. What cannot be removed, the next copy removes.
fn remove_copy(made: bool) {
    let Ok(program) = std::env::current_exe() else { return };
    let Some(directory) = program.parent() else { return };
    let is_copy = directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(COPY));
    if is_copy && fs::remove_file(&program).is_ok() && fs::remove_dir(directory).is_ok() && made {
        let _kept = directory.parent().map(fs::remove_dir);
    }
}

/// Whoever ends this process wants it to end, but not before the node is put back. That a pipe is closed is an error of the write, not a signal: Rust's
/// runtime ignores SIGPIPE from the start.
fn stop_on_signal(stopper: Stopper) -> io::Result<()> {
    let (mut signalled, signal) = UnixStream::pair()?;
    for number in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
        pipe::register(number, signal.try_clone()?)?;
    }
    std::thread::spawn(move || {
        if signalled.read_exact(&mut [0]).is_ok() {
            stopper.stop();
        }
    });
    Ok(())
}
