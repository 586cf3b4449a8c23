#![expect(
    clippy::disallowed_methods,
    reason = "the one place that writes to the terminal and asks the environment how"
)]
//! The two streams: results on standard output, everything else on standard error.
//!
//! What enters is finished text; what leaves goes to a stream. Colour and line drawing are decided here, once for each stream, from the flag, the
//! environment and the terminal. Whatever a text holds, no log processor finds a command in it: that is seen to here, behind everything that could move words to
//! the start of a line. A reader that closes the pipe early (`pki status | head`) ends the output quietly.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use pki::diagnostic::log_commands::in_text;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR or TERM=dumb says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a stream is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    /// Whether ANSI colours may be used.
    pub(crate) color: bool,
    /// Whether characters outside ASCII may be used for line drawing.
    pub(crate) unicode: bool,
    /// The number of columns.
    pub(crate) width: usize,
    /// Whether a line can be written over.
    pub(crate) is_live: bool,
}

/// The width of what is not a terminal: wide enough for reports, narrow enough for a review page.
const DEFAULT_WIDTH: usize = 100;

fn set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// The style of a stream.
fn style(color: Color, is_terminal: bool, columns: Option<u16>) -> Style {
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    let forced = set("CLICOLOR_FORCE") || set("FORCE_COLOR");
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| env::var(name).ok().filter(|v| !v.is_empty()));
    let utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    Style {
        color: match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !set("NO_COLOR") && (forced || is_terminal && !dumb),
        },
        unicode: is_terminal && !dumb && utf8,
        is_live: is_terminal && !dumb,
        width: columns.map_or(DEFAULT_WIDTH, usize::from).max(40),
    }
}

fn columns(stream: impl std::os::fd::AsFd) -> Option<u16> {
    rustix::termios::tcgetwinsize(stream).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// The style of standard output.
pub(crate) fn stdout_style(color: Color) -> Style {
    let stdout = io::stdout();
    style(color, stdout.is_terminal(), columns(&stdout))
}

/// The style of standard error.
pub(crate) fn stderr_style(color: Color) -> Style {
    let stderr = io::stderr();
    style(color, stderr.is_terminal(), columns(&stderr))
}

/// Writes a result.
///
/// # Errors
/// Everything but a closed pipe, which ends the output quietly.
pub(crate) fn print(text: &str) -> io::Result<()> {
    quiet_on_closed_pipe(
        io::stdout().lock().write_all(in_text(text).as_bytes()).and_then(|()| io::stdout().flush()),
    )
}

/// Writes a message for the person at the terminal. That it could not be written is no reason to fail.
pub(crate) fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(in_text(text).as_bytes());
}

fn quiet_on_closed_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
