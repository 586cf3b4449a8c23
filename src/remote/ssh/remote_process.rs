//! The program at the other end: the installed one, or a copy of this one.
//!
//! What enters is a connection; what leaves is a [`Remote`]. A node without a `pki` of this protocol gets a copy in a private directory of its own, of which
//! nothing is left once it runs: it removes itself first of all. The copy is compared by its digest and tried before it serves. Everything that a shell
//! reads is written here, and nothing of the spec or of the node goes into it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use openssh::Session as Connection;

use super::client::{Channel, Client, Program, RemoteProcess};
use super::failure::{self, RemoteFailure, SshError};
use super::target::SshTarget;
use crate::protocol::node::NodeError;
use crate::protocol::wire::VERSION;
use crate::remote::session::{Remote, Session};

/// With this the copy begins its answer; what a shell's start-up files print comes before it.
const MARK: &str = "pki-upload ";
/// Most bytes before the mark and with its line.
const FIRST_LIMIT: usize = 64 << 10;

/// Connects to a node and starts the program there.
pub(super) fn connect(
    client: &Arc<Client>,
    target: &SshTarget,
    session: &Session,
) -> Result<Remote, SshError> {
    let connection = client.connect(target)?;
    match installed(client, &connection, target, session)? {
        Some(remote) => Ok(remote),
        None if session.looks_only => {
            Err(SshError::NotInstalled { host: target.host.clone(), version: VERSION })
        }
        None => copied(client, &connection, target, session),
    }
}

/// The installed program; `None` where there is none that fits.
fn installed(
    client: &Arc<Client>,
    connection: &Arc<Connection>,
    target: &SshTarget,
    session: &Session,
) -> Result<Option<Remote>, SshError> {
    let words: &[&str] = match session.looks_only {
        true => &["pki", "node", "serve", "--read-only"],
        false => &["pki", "node", "serve"],
    };
    let Channel { input, output, far } = client.start(connection, target, words)?;
    match Remote::connect(output, input, Box::new(Arc::clone(&far)), session) {
        Ok(remote) => Ok(Some(remote)),
        Err(NodeError::Incompatible { .. }) => Ok(None),
        Err(
            error @ (NodeError::NoFiles(_)
            | NodeError::Unreachable { .. }
            | NodeError::Disconnected { .. }
            | NodeError::TooLarge { .. }),
        ) => match ending(target, &far, &error) {
            RemoteFailure::NoProgram => Ok(None),
            RemoteFailure::Wrong(error) => Err(error),
        },
    }
}

/// What became of a program that did not serve.
fn ending(target: &SshTarget, far: &RemoteProcess, error: &NodeError) -> RemoteFailure {
    let (code, words) = far.end();
    if words.trim().is_empty() && code.is_none_or(|code| code == 0) {
        let said = format!("{error}; does a start-up file of the login shell print something?");
        return RemoteFailure::Wrong(SshError::Protocol { host: target.host.clone(), said });
    }
    failure::of_program(target, code, &words)
}

/// A copy of this program.
fn copied(
    client: &Arc<Client>,
    connection: &Arc<Connection>,
    target: &SshTarget,
    session: &Session,
) -> Result<Remote, SshError> {
    let host = || target.host.clone();
    let program = client.program().map_err(|said| SshError::Here { host: host(), said })?;
    let mut nonce = [0; 8];
    let drawn = aws_lc_rs::rand::fill(&mut nonce);
    drawn.map_err(|_| SshError::Here { host: host(), said: "there are no random numbers".to_owned() })?;
    let script = script(program, &hex::encode(nonce));
    let Channel { mut input, output, far } = client.start(connection, target, &["sh", "-c", &script])?;
    let (output, machine) = match first_line(output, session.deadlines.hello) {
        Ok(first) => first,
        Err(said) => {
            drop(input);
            return Err(not_copied(target, &far, &said));
        }
    };
    let own = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
    let node = spelled(&machine);
    if node != own {
        return Err(SshError::OtherArchitecture { host: host(), node, own, version: VERSION });
    }
    // That it cannot be written means that the other end is gone, which the answer tells better.
    let _written = input.write_all(&program.bytes);
    Remote::connect(output, input, Box::new(Arc::clone(&far)), session)
        .map_err(|error| not_copied(target, &far, &error.to_string()))
}

/// Finds a place for the copy, says on which machine, takes the copy, compares it, tries it, and lets it serve. Ends with 3 when there is no place, 4 when
/// the copy is not what was sent, 5 when it does not run.
///
/// /var/lib/pki comes first, since what is there runs on nodes where /tmp and /home do not allow it (noexec).
///
/// `nonce` is a word that nobody else can know, so nobody else can have made the directory.
fn script(program: &Program, nonce: &str) -> String {
    let (size, sha256, mark) = (program.bytes.len(), program.sha256, MARK);
    format!(
        r#"umask 077
made=
tried=
for place in /var/lib/pki "${{HOME:-/}}" /var/tmp /tmp; do
  tried="$tried $place"
  if [ "$place" = /var/lib/pki ] && [ ! -e "$place" ]; then mkdir "$place" 2>/dev/null && made=--made; fi
  own="$place/.pki-upload-{nonce}"
  mkdir "$own" 2>/dev/null || {{ own=; [ -z "$made" ] || rmdir "$place"; made=; continue; }}
  trap 'rm -rf "$own"; [ -z "$made" ] || rmdir /var/lib/pki 2>/dev/null' EXIT
  trap 'exit 6' HUP INT TERM PIPE
  printf '#!/bin/sh\n' >"$own/pki" && chmod 700 "$own/pki" && "$own/pki" 2>/dev/null && break
  rm -rf "$own"; [ -z "$made" ] || rmdir "$place" 2>/dev/null
  made= own=
done
[ -n "$own" ] || {{ echo "tried$tried: not writable, or mounted noexec" >&2; exit 3; }}
find "$place" -maxdepth 1 -name '.pki-upload-*' -mmin +10 -exec rm -rf '{{}}' + 2>/dev/null
echo "{mark}$(uname -s) $(uname -m)"
rm -f "$own/pki"
head -c {size} >"$own/pki"
found=$(sha256sum "$own/pki") || exit 4
[ "${{found%% *}}" = {sha256} ] || {{ echo "the copy is not what was sent" >&2; exit 4; }}
chmod 700 "$own/pki"
"$own/pki" --version >/dev/null || exit 5
trap - EXIT HUP INT TERM PIPE
exec "$own/pki" node serve --uploaded $made
"#
    )
}

fn not_copied(target: &SshTarget, far: &RemoteProcess, otherwise: &str) -> SshError {
    let (code, words) = far.end();
    let (host, said) = (target.host.clone(), failure::bounded(&words));
    match code {
        Some(3) => SshError::NoPlace { host, said, version: VERSION },
        Some(4) => SshError::Ended { host, said },
        Some(5) => SshError::LibraryTooOld { host, said: loader(&words), version: VERSION },
        None | Some(_) => match failure::of_program(target, code, &words) {
            RemoteFailure::Wrong(error @ SshError::SudoRefused { .. }) => error,
            RemoteFailure::Wrong(_) | RemoteFailure::NoProgram if words.trim().is_empty() => {
                SshError::Protocol { host, said: otherwise.to_owned() }
            }
            RemoteFailure::Wrong(error) => error,
            RemoteFailure::NoProgram => SshError::Protocol { host, said },
        },
    }
}

/// What the dynamic loader misses (ld.so of glibc, dl-version.c), or else all that it says.
fn loader(words: &str) -> String {
    let missing =
        words.split('`').filter_map(|part| part.split_once("' not found").map(|(version, _)| version));
    match missing.collect::<BTreeSet<_>>() {
        missing if missing.is_empty() => failure::bounded(words),
        missing => {
            failure::bounded(&format!("it lacks {}", missing.into_iter().collect::<Vec<_>>().join(", ")))
        }
    }
}

/// The machine that the script tells, and the stream after it.
fn first_line(mut output: File, deadline: Duration) -> Result<(File, String), String> {
    let (arrived, arrival) = channel();
    std::thread::spawn(move || {
        let mut read = Vec::new();
        let mut byte = [0];
        let line = loop {
            match output.read(&mut byte) {
                Ok(1) if byte == *b"\n" => {
                    let line = String::from_utf8_lossy(&read);
                    if let Some(machine) = line.strip_prefix(MARK) {
                        break Ok(machine.trim().to_owned());
                    }
                    read.clear();
                }
                Ok(1) if read.len() < FIRST_LIMIT => read.extend(byte),
                Ok(1) => break Err("it says too much".to_owned()),
                Ok(_) => break Err("it ended".to_owned()),
                Err(error) => break Err(error.to_string()),
            }
        };
        // Nobody waits any more when the deadline is over.
        let _heard = arrived.send(line.map(|line| (output, line)));
    });
    let late = |_| format!("nothing came within {} s", deadline.as_secs());
    arrival.recv_timeout(deadline).map_err(late)?
}

/// What `uname -sm` says, in the words of Rust's targets.
fn spelled(machine: &str) -> String {
    let (system, processor) = machine.split_once(' ').unwrap_or((machine, ""));
    let processor = match processor {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "i386" | "i486" | "i586" | "i686" => "x86",
        "ppc64le" | "ppc64" => "powerpc64",
        other if other.starts_with("armv") => "arm",
        other => other,
    };
    failure::bounded(&format!("{} {processor}", system.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_misses_is_told_and_not_all_its_words() {
        let words = "/a/pki: /lib/libc.so.6: version `GLIBC_2.34' not found (required by /a/pki)\n/a/pki: /lib/libc.so.6: version `GLIBC_2.33' not found (required by /a/pki)";
        assert_eq!(loader(words), "it lacks GLIBC_2.33, GLIBC_2.34");
        assert_eq!(loader("cannot execute\n"), "cannot execute");
    }

    #[test]
    fn machines_are_spelled_as_by_rust() {
        assert_eq!(spelled("Linux x86_64"), "linux x86_64");
        assert_eq!(spelled("Linux armv7l"), "linux arm");
        assert_eq!(spelled("Linux arm64"), "linux aarch64");
        assert_eq!(spelled("FreeBSD amd64"), "freebsd x86_64");
    }

    #[test]
    fn what_a_shell_prints_first_is_passed_over() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"Welcome!\nlast login: today\npki-upload Linux x86_64\nrest").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let (mut file, line) = first_line(file, Duration::from_secs(10)).unwrap();
        let mut rest = String::new();
        file.read_to_string(&mut rest).unwrap();
        assert_eq!((line.as_str(), rest.as_str()), ("Linux x86_64", "rest"));
    }
}
