//! Running a program without a shell.
//!
//! What enters is a program with its arguments, a place and a time; what leaves is that it ended well, or what it said, or the error with the end of that. It
//! gets no input and none of our environment, and after its time it is killed with everything that it started. What looks like key material in its output
//! is not repeated. For a node that is a directory, the program runs in that directory and finds its absolute path in `PKI_ROOT`.
#![expect(clippy::disallowed_methods, reason = "the one place where programs are started")]

use std::io::{PipeReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::protocol::error::HostError;

/// Where programs are looked for that are named without a path.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How much of the end of its output is kept.
const TAIL: usize = 1024;
/// How long the output is waited for once the program has ended: something that it started may still hold it open.
const DRAIN: Duration = Duration::from_millis(500);

/// How much of the output is kept of a program that is run for it.
const ANSWER: u64 = 64 * 1024;

/// Where a program finds the directory that stands for its node.
const ROOT: &str = "PKI_ROOT";

/// Runs a program, in the node's `root` if it has one, and waits for its end.
pub(crate) fn run(
    program: &Path,
    arguments: &[String],
    root: Option<&Path>,
    timeout: Duration,
) -> Result<(), HostError> {
    start(program, arguments, root, timeout, tail).map(|_| ())
}

/// Runs a program of this machine for what it says.
pub(crate) fn read(program: &Path, arguments: &[String], timeout: Duration) -> Result<String, HostError> {
    let output = start(program, arguments, None, timeout, beginning)?;
    Ok(output.recv_timeout(DRAIN).unwrap_or_default())
}

/// Runs a program and waits for its end. What it said comes from `keep`.
fn start(
    program: &Path,
    arguments: &[String],
    root: Option<&Path>,
    timeout: Duration,
    keep: fn(PipeReader) -> String,
) -> Result<mpsc::Receiver<String>, HostError> {
    let failed = |reason: String, output: String| HostError::Program {
        program: program.to_string_lossy().into_owned(),
        reason,
        output,
    };
    let io = |error: &std::io::Error| {
        let text = error.to_string();
        text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
    };
    let (reader, writer) =
        std::io::pipe().map_err(|error| failed(format!("cannot be run: {}", io(&error)), String::new()))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", SEARCH).env("LC_ALL", "C.UTF-8").process_group(0);
    command.current_dir(root.unwrap_or(Path::new("/"))).stdin(Stdio::null());
    if let Some(root) = root {
        let absolute = std::path::absolute(root)
            .map_err(|error| failed(format!("cannot be run: {}", io(&error)), String::new()))?;
        command.env(ROOT, absolute);
    }
    let copy = writer
        .try_clone()
        .map_err(|error| failed(format!("cannot be run: {}", io(&error)), String::new()))?;
    command.stdout(writer).stderr(copy);
    let mut child = super::dumps::spawn(&mut command)
        .map_err(|error| failed(format!("cannot be run: {}", io(&error)), String::new()))?;
    // The command holds the writing ends, which keep the output from ending.
    drop(command);
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (said, output) = mpsc::channel();
    std::thread::spawn(move || said.send(keep(reader)));
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait()));
    let status = match end.recv_timeout(timeout) {
        Ok(status) => status,
        Err(_) => {
            if let Some(group) = group {
                let _killed = rustix::process::kill_process_group(group, Signal::KILL);
            }
            let output = output.recv_timeout(DRAIN).unwrap_or_default();
            return Err(failed(format!("did not end within {} s and was killed", timeout.as_secs()), output));
        }
    };
    match status {
        Ok(status) if status.success() => Ok(output),
        Ok(status) => {
            let output = output.recv_timeout(DRAIN).unwrap_or_default();
            Err(failed(format!("failed ({status})"), output))
        }
        Err(error) => Err(failed(format!("was lost: {}", io(&error)), String::new())),
    }
}

/// The beginning of what a program says.
fn beginning(mut output: PipeReader) -> String {
    let mut kept = Vec::new();
    let whole = output.by_ref().take(ANSWER).read_to_end(&mut kept);
    // A program that nobody listens to any more might not end.
    let _rest = whole.and_then(|_| std::io::copy(&mut output, &mut std::io::sink()));
    String::from_utf8_lossy(&kept).into_owned()
}

/// The end of what a program says, made harmless.
fn tail(mut output: PipeReader) -> String {
    let mut kept: Vec<u8> = Vec::new();
    let mut buffer = [0; 4096];
    let mut holds_key = false;
    loop {
        match output.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                kept.extend(buffer.get(..count).unwrap_or_default());
                holds_key |= kept.windows(KEY_MARK.len()).any(|window| window == KEY_MARK);
                let excess = kept.len().saturating_sub(TAIL);
                kept.drain(..excess);
            }
        }
    }
    if holds_key {
        return "(not repeated: it holds a private key)".to_owned();
    }
    let text = String::from_utf8_lossy(&kept);
    let shown: String = text.trim().chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

const KEY_MARK: &[u8] = b"PRIVATE KEY";

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, seconds: u64) -> Result<(), HostError> {
        let arguments = ["-c".to_owned(), script.to_owned()];
        run(Path::new("sh"), &arguments, None, Duration::from_secs(seconds))
    }

    #[test]
    fn a_program_gets_no_input_and_no_environment() {
        assert_eq!(shell("test \"$(cat)\" = '' && test -z \"$HOME$CARGO\" && test \"$PWD\" = /", 10), Ok(()));
    }

    #[test]
    fn an_error_has_the_end_of_the_output_and_never_a_key() {
        let Err(HostError::Program { reason, output, .. }) = shell("seq 1000; echo bad >&2; exit 3", 10)
        else {
            panic!()
        };
        assert_eq!(reason, "failed (exit status: 3)");
        assert!(output.ends_with("999 1000 bad") && output.len() <= TAIL, "{output}");
        let leak = "echo '-----BEGIN RSA PRIVATE KEY-----'; echo MIIEcanary; seq 2000; exit 1";
        let error = shell(leak, 10).unwrap_err();
        assert!(
            !error.to_string().contains("canary") && error.to_string().contains("not repeated"),
            "{error}"
        );
        let missing = run(Path::new("/no/such/program"), &[], None, Duration::from_secs(1)).unwrap_err();
        assert_eq!(missing.to_string(), "/no/such/program cannot be run: No such file or directory");
    }

    #[test]
    fn a_program_is_heard_out() {
        let arguments = ["-c".to_owned(), "printf 'A=1\\nB=2\\n'".to_owned()];
        assert_eq!(read(Path::new("sh"), &arguments, Duration::from_secs(10)).unwrap(), "A=1\nB=2\n");
        let arguments = ["-c".to_owned(), "head -c 1000000 /dev/zero".to_owned()];
        let long = read(Path::new("sh"), &arguments, Duration::from_secs(10)).unwrap();
        assert_eq!(u64::try_from(long.len()).unwrap(), ANSWER);
    }

    #[test]
    fn what_does_not_end_is_killed_with_everything_it_started() {
        let error = shell("sleep 1000 & sleep 1000", 0).unwrap_err();
        assert!(error.to_string().contains("did not end within 0 s and was killed"), "{error}");
    }
}
