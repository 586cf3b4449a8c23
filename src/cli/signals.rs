//! Signals during a run: the first SIGINT, SIGQUIT or SIGTERM asks the run to stop, which puts back the node in hand; the second one ends the program at once, with a sentence and an
//! exit code that say whether anything was touched. What is open then is undone by its node, or by the next run.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

use pki::diagnostic::escaped;
use pki::diagnostic::log_commands::in_text;
use pki::plan::model::outcome::Event;
use pki::plan::{Action, Deed};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use super::exit::Outcome;
use super::{Exit, terminal};

/// Signals are the process's, and so is what is known of them.
static RUN: Run = Run {
    watched: Once::new(),
    stop: AtomicBool::new(false),
    first: AtomicUsize::new(0),
    touched: AtomicBool::new(false),
    tells_events: AtomicBool::new(false),
    nodes: Mutex::new(Vec::new()),
};

struct Run {
    watched: Once,
    /// The run has to stop.
    stop: AtomicBool,
    /// The signal that said so.
    first: AtomicUsize,
    /// Something on a node was changed, or is about to be.
    touched: AtomicBool,
    /// Standard output holds events, of which the last one is an outcome.
    tells_events: AtomicBool,
    /// The nodes in hand.
    nodes: Mutex<Vec<String>>,
}

/// From now on signals are listened to. What is returned is set at the first one.
pub(super) fn stop_on_signal(tells_events: bool) -> &'static AtomicBool {
    RUN.tells_events.store(tells_events, Ordering::SeqCst);
    RUN.watched.call_once(|| {
        if let Err(error) = listen() {
            terminal::tell(&format!("warning: signals cannot be caught: {error}\n"));
        }
    });
    &RUN.stop
}

/// How a run ends that a signal stopped before it touched anything.
pub(super) fn untouched() -> Exit {
    of_untouched(RUN.first.load(Ordering::SeqCst))
}

fn of_untouched(signal: usize) -> Exit {
    if signal == number(SIGTERM) { Exit::Terminated } else { Exit::Interrupted }
}

fn number(signal: i32) -> usize {
    usize::try_from(signal).unwrap_or_default()
}

/// Keeps in mind what a second signal would have to say.
pub(super) fn happened(event: &Event<'_>) {
    let mut nodes = RUN.nodes.lock().unwrap_or_else(PoisonError::into_inner);
    match event {
        Event::VisitBegins { visit, .. } => nodes.push(visit.place.to_string()),
        Event::VisitEnds { visit, .. } => nodes.retain(|node| node != visit.place.as_str()),
        Event::StepBegins { action } if touches(action) => RUN.touched.store(true, Ordering::SeqCst),
        Event::StepBegins { .. }
        | Event::StepRemarks { .. }
        | Event::StepEnds { .. }
        | Event::StepFails { .. } => {}
    }
}

/// Whether an action changes a managed file or a service.
fn touches(action: &Action) -> bool {
    action.paths().into_iter().next().is_some()
        || action.restarts().is_some()
        || matches!(action.deed, Deed::UndoOpen { .. })
}

fn listen() -> io::Result<()> {
    let (mut signalled, signal) = UnixStream::pair()?;
    let last = Arc::new(AtomicUsize::new(0));
    for number in [SIGINT, SIGQUIT, SIGTERM] {
        // In this order: who wakes up finds out which one it was.
        flag::register_usize(number, Arc::clone(&last), self::number(number))?;
        pipe::register(number, signal.try_clone()?)?;
    }
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        while signalled.read_exact(&mut [0]).is_ok() {
            let signal = last.load(Ordering::SeqCst);
            if RUN.stop.load(Ordering::SeqCst) {
                end(signal);
            }
            RUN.first.store(signal, Ordering::SeqCst);
            RUN.stop.store(true, Ordering::SeqCst);
            say(
                io::stderr(),
                "\nStopping: the node in hand is finished or undone, and no other is begun. A second signal ends pki at once.\n",
            );
        }
    })?;
    Ok(())
}

/// Ends the program.
#[expect(clippy::exit, reason = "the thread that works does not come back to be told")]
fn end(signal: usize) {
    let touched = RUN.touched.load(Ordering::SeqCst);
    let nodes = RUN.nodes.lock().unwrap_or_else(PoisonError::into_inner).join(", ");
    let exit = if touched { Exit::Partial } else { of_untouched(signal) };
    let left = match (touched, nodes.as_str()) {
        (false, _) => "nothing was touched".to_owned(),
        (true, "") => "no node is left half changed".to_owned(),
        (true, nodes) => {
            format!("what was begun on {} is undone by that node, or by the next run", escaped(nodes))
        }
    };
    say(io::stderr(), &format!("error: ended by a second signal: {left}.\n"));
    if RUN.tells_events.load(Ordering::SeqCst) {
        let outcome = if touched { Outcome::touched(exit) } else { Outcome::untouched(exit) };
        say(io::stdout(), &outcome.line());
    }
    std::process::exit(i32::from(exit.code()));
}

/// Writes past the locks of the streams: whoever is to be ended may hold one and wait for a reader.
fn say(stream: impl std::os::fd::AsFd, text: &str) {
    let text = in_text(text);
    let mut rest = text.as_bytes();
    while let Ok(written) = rustix::io::write(&stream, rest) {
        match rest.get(written..) {
            Some(left) if written > 0 && !left.is_empty() => rest = left,
            Some(_) | None => return,
        }
    }
}
