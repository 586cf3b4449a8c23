//! The machine from which pki is run: this one, with a home, a directory for sockets and an SSH configuration of its own.
//!
//! Enters: nodes of the lab with the names and addresses that a spec has for them, and the spec. Leaves: runs of the real program over SSH, and that none of
//! them leaves a socket, a file or a connection here. Everything that the program says is kept, so that keys can be looked for in it.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::Mutex;

use pki::x509::Sha256;
use serde_json::Value;

use crate::PLACES;
use crate::nodes::{DEADLINE, Node, below, lab, wait_until, within};

/// A node in a spec: its name, its address, and the machine behind it.
pub(crate) type Place<'a> = (&'a str, &'a str, &'a Node);

pub(crate) struct Controller {
    folder: tempfile::TempDir,
    /// The program that is run.
    pub(crate) program: PathBuf,
    said: Mutex<Vec<u8>>,
}

/// A run that goes on.
pub(crate) struct Run {
    child: Child,
    errors: BufReader<ChildStderr>,
    /// What it was heard to say on standard error while it went on.
    heard: Vec<u8>,
}

impl Controller {
    /// The addresses lead to the machines as in a person's own `~/.ssh/config`.
    pub(crate) fn new(places: &[Place<'_>]) -> Self {
        let program = env!("CARGO_BIN_EXE_pki").into();
        let controller = Self { folder: tempfile::tempdir().unwrap(), program, said: Mutex::default() };
        for folder in ["home", "run", "tmp"] {
            std::fs::create_dir(controller.at(folder)).unwrap();
            std::fs::set_permissions(controller.at(folder), std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let mut config = String::new();
        for (_, address, node) in places.iter().filter(|(_, address, node)| node.address() != *address) {
            writeln!(config, "Host {address}\n  HostName {}", node.address()).unwrap();
        }
        writeln!(config, "Host *\n  Include {}", lab().join("ssh_config").display()).unwrap();
        std::fs::write(controller.at("ssh_config"), config).unwrap();
        controller
    }

    /// Three machines with the names and addresses of the fixtures, and what they are reached from.
    pub(crate) fn of_cluster() -> (Vec<Node>, Self) {
        let nodes = Node::take(PLACES.len());
        let places: Vec<_> =
            PLACES.iter().zip(&nodes).map(|((name, address), node)| (*name, *address, node)).collect();
        let controller = Self::new(&places);
        (nodes, controller)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub(crate) fn spec(&self, text: &str) {
        std::fs::write(self.at("spec.yaml"), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        let folders = [("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("TMPDIR", "tmp")];
        command
            .current_dir(self.path())
            .env_clear()
            .envs(folders.map(|(name, folder)| (name, self.at(folder))));
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PKI_SSH_CONFIG", self.at("ssh_config"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn pki(&self, arguments: &[&str]) -> Output {
        self.ended(self.start(arguments))
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &[&str]) -> Run {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        Run { child, errors, heard: Vec::new() }
    }

    /// Waits for a run's end, and keeps what it said.
    pub(crate) fn ended(&self, run: Run) -> Output {
        let Run { mut child, mut errors, mut heard } = run;
        let errors = std::thread::spawn(move || {
            errors.read_to_end(&mut heard).unwrap();
            heard
        });
        let mut stdout = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
        let output = Output { status: child.wait().unwrap(), stdout, stderr: errors.join().unwrap() };
        let mut said = self.said.lock().unwrap();
        said.extend(&output.stdout);
        said.extend(&output.stderr);
        output
    }

    /// Runs the program, which must end with this code; what it printed.
    #[track_caller]
    pub(crate) fn ends(&self, code: i32, arguments: &[&str]) -> String {
        ended_with(code, &self.pki(arguments))
    }

    /// Saves a plan, as people approve it; the plan, and the digest by which it is approved.
    #[track_caller]
    pub(crate) fn save_plan(&self, file: &str, more: &[&str]) -> (Value, String) {
        self.ends(0, &[&["plan", "-f", "spec.yaml", "-o", file], more].concat());
        let bytes = std::fs::read(self.at(file)).unwrap();
        let saved: Value = serde_json::from_slice(&bytes).unwrap();
        let plan = if saved["plan"].is_object() { saved["plan"].clone() } else { saved };
        (plan, format!("sha256:{}", Sha256::of(&bytes)))
    }

    /// Everything that was said by runs so far.
    pub(crate) fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }

    /// Nothing of the runs is left here: no socket, no file, and no connection that outlasts its idle time.
    #[track_caller]
    pub(crate) fn is_left_clean(&self) {
        let mut found = Vec::new();
        let clean = within(DEADLINE, || {
            found.clear();
            for folder in ["run", "tmp", "home"] {
                below(&self.at(folder), &mut |path| found.push(path.to_owned()));
            }
            // Directories that are empty hold no socket and say nothing.
            found.retain(|path| !path.is_dir());
            found.is_empty()
        });
        assert!(clean, "left on the controller: {found:?}");
        let here = self.path().display().to_string();
        wait_until("a connection is left on the controller", || !is_run_with(&here));
    }
}

/// Whether a process of this machine has these words among its arguments.
fn is_run_with(words: &str) -> bool {
    let mut found = false;
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        found |= String::from_utf8_lossy(&arguments).contains(words);
    }
    found
}

/// What a run printed that must have ended with this code.
#[track_caller]
pub(crate) fn ended_with(code: i32, output: &Output) -> String {
    let [text, errors] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert_eq!(output.status.code(), Some(code), "{text}\n{errors}");
    text
}

impl Run {
    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends it a signal, as a person or a pipeline does.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &process]).status().unwrap().success());
    }

    /// Waits until it says these words on standard error.
    #[track_caller]
    pub(crate) fn wait_for_words(&mut self, words: &str) {
        while !String::from_utf8_lossy(&self.heard).contains(words) {
            let read = self.errors.read_until(b'\n', &mut self.heard).unwrap();
            assert!(read > 0, "it ended without {words:?}: {}", String::from_utf8_lossy(&self.heard));
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said, once it has ended.
    pub(crate) fn said(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut out) = self.child.stdout.take() {
            out.read_to_string(&mut said).unwrap();
        }
        said.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.heard)));
        self.errors.read_to_string(&mut said).unwrap();
        said
    }
}
