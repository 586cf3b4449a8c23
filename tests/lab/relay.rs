//! Stands on a node in the place of `pki` and runs the real one behind it, so that tests see and disturb what is said inside an SSH connection.
//!
//! Enters: the arguments and streams of `pki`; `/var/lib/pki-relay/real`, the program itself; and `/var/lib/pki-relay/order`, one line of what is to be done:
//!
//! * `kill N`: the real process is killed when it is about to be told, or has just said, message N;
//! * `hold N`: message N is not passed on before the file `go` is there; that this is so is told by the file `held`;
//! * `kill-at TEXT`, `hold-at TEXT`: the same at the first message of the controller in which this text is;
//! * `clock SECONDS`: the node's clock in its facts is so much further.
//!
//! Leaves: the messages of `node serve` in both directions, each written to `/var/lib/pki-relay/said` with its direction before it is passed on. They are
//! counted over all connections since `said` was made, whoever speaks; heartbeats come by the clock and are not counted. Anything else than
//! `node serve` is done by the real program alone. Never speaks for itself: what cannot be passed on ends the connection.
#![expect(
    clippy::disallowed_methods,
    reason = "it stands in the place of a program, and keeps files for tests"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

const FOLDER: &str = "/var/lib/pki-relay";
const HEARTBEAT: &[u8] = br#""heartbeat""#;
/// How often it is looked whether a message may go on.
const PAUSE: Duration = Duration::from_millis(5);

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let mut real = Command::new(file("real"));
    real.args(&arguments);
    if arguments.get(..2).is_none_or(|command| command != ["node", "serve"]) {
        return Err(real.exec());
    }
    let mut child = real.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let child = Arc::new(Mutex::new(child));
    let to_node = Relay { child: Arc::clone(&child), direction: b'>' };
    thread::spawn(move || to_node.pass_in(input));
    // The node's last words come before its end.
    Relay { child: Arc::clone(&child), direction: b'<' }.pass_out(output);
    let status = child.lock().unwrap_or_else(PoisonError::into_inner).wait()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn file(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// What is to be done at a message.
enum Order {
    Nothing,
    Kill(usize),
    Hold(usize),
    KillAt(String),
    HoldAt(String),
    Clock(i64),
}

impl Order {
    fn read() -> Self {
        let text = std::fs::read_to_string(file("order")).unwrap_or_default();
        let number = |text: &str| text.trim().parse().ok();
        match text.trim().split_once(' ') {
            Some(("kill", at)) => number(at).map_or(Self::Nothing, Self::Kill),
            Some(("hold", at)) => number(at).map_or(Self::Nothing, Self::Hold),
            Some(("kill-at", text)) => Self::KillAt(text.to_owned()),
            Some(("hold-at", text)) => Self::HoldAt(text.to_owned()),
            Some(("clock", seconds)) => seconds.parse().map_or(Self::Nothing, Self::Clock),
            _ => Self::Nothing,
        }
    }
}

/// One direction of a connection.
struct Relay {
    child: Arc<Mutex<Child>>,
    direction: u8,
}

impl Relay {
    /// What the controller says, until it is gone. Dropping the pipe at the end tells the node.
    fn pass_in(&self, mut to: ChildStdin) {
        // An error is the end of one of the two.
        let _ended = self.pass(&mut io::stdin(), &mut to);
    }

    /// What the node says, until it is gone. When the controller is gone before, the node may still speak, to nobody.
    fn pass_out(&self, mut from: ChildStdout) {
        let _ended = self.pass(&mut from, &mut io::stdout());
        let _drained = io::copy(&mut from, &mut io::sink());
    }

    fn pass(&self, from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
        loop {
            let mut header = [0; 4];
            from.read_exact(&mut header)?;
            let length = u32::from_be_bytes(header).try_into().map_err(io::Error::other)?;
            let mut message = vec![0; length];
            from.read_exact(&mut message)?;
            let message = self.at_message(message)?;
            let length = u32::try_from(message.len()).map_err(io::Error::other)?;
            to.write_all(&[&length.to_be_bytes(), message.as_slice()].concat())?;
            to.flush()?;
        }
    }

    /// Writes a message down and does what is to be done at it.
    fn at_message(&self, message: Vec<u8>) -> io::Result<Vec<u8>> {
        let number = record(self.direction, &message)?;
        match (Order::read(), number) {
            (Order::Kill(at), Some(number)) if number == at => self.kill()?,
            (Order::Hold(at), Some(number)) if number == at => hold(number)?,
            (Order::KillAt(text), Some(_)) if self.is_told(&message, &text) => self.kill()?,
            (Order::HoldAt(text), Some(number)) if self.is_told(&message, &text) => hold(number)?,
            (Order::Clock(seconds), Some(_)) => return Ok(shifted(message, seconds)),
            (
                Order::Nothing
                | Order::Kill(_)
                | Order::Hold(_)
                | Order::KillAt(_)
                | Order::HoldAt(_)
                | Order::Clock(_),
                _,
            ) => {}
        }
        Ok(message)
    }

    /// Whether the controller says this to the node.
    fn is_told(&self, message: &[u8], text: &str) -> bool {
        self.direction == b'>' && message.windows(text.len().max(1)).any(|part| part == text.as_bytes())
    }

    fn kill(&self) -> io::Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.kill()?;
        child.wait().map(|_| ())
    }
}

/// Waits until the message may go on; at once where one was held before.
fn hold(number: usize) -> io::Result<()> {
    std::fs::write(file("held"), number.to_string())?;
    while !file("go").exists() {
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Writes a message down; its number, unless it is a heartbeat.
fn record(direction: u8, message: &[u8]) -> io::Result<Option<usize>> {
    let mut said = OpenOptions::new().create(true).append(true).open(file("said"))?;
    said.lock()?;
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    said.write_all(&[&[direction], length.to_be_bytes().as_slice(), message].concat())?;
    if message == HEARTBEAT {
        return Ok(None);
    }
    let number =
        std::fs::read_to_string(file("count")).ok().and_then(|count| count.parse().ok()).unwrap_or(0) + 1;
    // Not by way of another name: whoever reads it holds the lock.
    File::create(file("count"))?.write_all(usize::to_string(&number).as_bytes())?;
    Ok(Some(number))
}

/// The node's facts with another clock.
fn shifted(message: Vec<u8>, seconds: i64) -> Vec<u8> {
    let Ok(mut facts) = serde_json::from_slice::<serde_json::Value>(&message) else { return message };
    let Some(clock) = facts.pointer_mut("/done/clock") else { return message };
    let Some(now) = clock.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) else {
        return message;
    };
    *clock = (now + jiff::SignedDuration::from_secs(seconds)).to_string().into();
    facts.to_string().into_bytes()
}
