#![expect(
    clippy::disallowed_methods,
    reason = "writes the configuration of the OpenSSH client, asks it for its words, and reads the known_hosts of the spec"
)]
//! The OpenSSH client of whoever runs this program: connections, and programs at their other end.
//!
//! What enters is a [`SshTarget`]; what leaves is a [`Channel`] to a program on it. The user's configuration, agent and jump hosts apply, with some words put
//! before them that no configuration can take back: no question is asked, no unknown host key is taken, nothing is forwarded. Secrets go through the channel's
//! streams only, never into an argument. Sockets are in a private directory, and a connection that is not used any more ends by itself.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use tokio::runtime::Runtime;

use super::config;
use super::failure::{self, SshError};
use super::target::{Known, SshTarget};
use crate::files::named;
use crate::remote::ssh::private_dir::PrivateDirectory;
use crate::x509::Sha256;

/// How long a connection stays that nobody uses, also when this process is killed.
const IDLE_SECONDS: NonZeroUsize = NonZeroUsize::new(10).unwrap();
/// How often the other end is asked whether it is still there. OpenSSH gives up after three times without an answer.
const ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Logging in, after the connection is made, may take longer than making it: name lookups, directory services.
const LOGIN: Duration = Duration::from_secs(30);
/// How long a program may take to end after it has closed its streams.
const ENDING: Duration = Duration::from_secs(10);
/// Most bytes of a known_hosts file.
const KNOWN_LIMIT: u64 = 16 << 20;
/// Most bytes of what a program says on standard error.
const WORDS_LIMIT: u64 = 8 << 10;

/// What a client goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// A configuration of the OpenSSH client that is used instead of the user's and the system's.
    pub config: Option<PathBuf>,
    /// Where directories for sockets are made, the first that can be used; short, since the path of a socket cannot be longer than about 100 bytes. Where none
    /// can, a new one below `/tmp` is.
    pub runtime_directories: Vec<PathBuf>,
    /// How long making a connection may take.
    pub timeout: Duration,
}

/// The OpenSSH client.
#[derive(Debug)]
pub struct Client {
    settings: ClientSettings,
    runtime: Runtime,
    directory: PrivateDirectory,
    files: AtomicU32,
    program: OnceLock<Result<Program, String>>,
    knows_command: OnceLock<bool>,
}

/// This program, for nodes that have none.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: Sha256,
}

impl Client {
    /// A client. Makes its private directory and removes those that dead runs left.
    ///
    /// # Errors
    /// In words for people: the directory cannot be made, or the configuration does not exist.
    pub fn new(settings: ClientSettings) -> Result<Self, String> {
        if let Some(config) = &settings.config {
            // OpenSSH skips an included file that is not there.
            File::open(config).map_err(|error| {
                format!("the SSH configuration {} cannot be read: {error}", config.display())
            })?;
        }
        allow_many_files();
        let directory = PrivateDirectory::in_one_of(&settings.runtime_directories)
            .map_err(|error| format!("no directory for SSH's sockets: {error}"))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| format!("no threads for SSH: {error}"))?;
        Ok(Self {
            settings,
            runtime,
            directory,
            files: AtomicU32::new(0),
            program: OnceLock::new(),
            knows_command: OnceLock::new(),
        })
    }

    /// Connects.
    pub(super) fn connect(&self, target: &SshTarget) -> Result<Arc<Session>, SshError> {
        let here = |said: String| SshError::Here { host: target.host.clone(), said };
        if !target.is_harmless() {
            return Err(here("this is no name of a host, or the user is no name of a user".to_owned()));
        }
        let known = self.known_hosts(target).map_err(&here)?;
        let config = self
            .write("config", self.config(known.as_deref()).as_bytes())
            .map_err(|error| here(error.to_string()))?;
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .connect_timeout(self.settings.timeout)
            .server_alive_interval(ALIVE_INTERVAL)
            .control_directory(self.directory.path())
            .control_persist(ControlPersist::IdleFor(IDLE_SECONDS))
            .config_file(config);
        if let Some(user) = &target.user {
            builder.user(user.clone());
        }
        if let Some(port) = target.port {
            builder.port(port);
        }
        let deadline = self.settings.timeout + LOGIN;
        let connecting = async { tokio::time::timeout(deadline, builder.connect_mux(&target.host)).await };
        match self.runtime.block_on(connecting) {
            Ok(Ok(session)) => Ok(Arc::new(session)),
            Err(_elapsed) => {
                Err(SshError::TimedOut { host: target.host.clone(), seconds: deadline.as_secs() })
            }
            Ok(Err(openssh::Error::Connect(error))) if error.kind() == io::ErrorKind::NotFound => {
                Err(here("there is no program `ssh`; install the OpenSSH client".to_owned()))
            }
            Ok(Err(openssh::Error::Connect(error))) => {
                Err(self.of_log(target, known.as_deref(), &error.to_string()))
            }
            Ok(Err(error)) => Err(here(words(&error))),
        }
    }

    /// Starts a program at the other end, with its arguments. They are visible to everyone there.
    pub(super) fn start(
        self: &Arc<Self>,
        session: &Arc<Session>,
        target: &SshTarget,
        program: &[&str],
    ) -> Result<Channel, SshError> {
        let mut all = if target.sudo { vec!["sudo", "-n", "--"] } else { Vec::new() };
        all.extend(program);
        let Some((first, arguments)) = all.split_first() else {
            return Err(SshError::Here { host: target.host.clone(), said: "no program is named".to_owned() });
        };
        let mut command = Arc::clone(session).arc_command((*first).to_owned());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let starting = async {
            let mut child = command.spawn().await.map_err(|error| words(&error))?;
            let streams = (child.stdin().take(), child.stdout().take(), child.stderr().take());
            let (Some(input), Some(output), Some(errors)) = streams else {
                return Err("it has no streams".to_owned());
            };
            let file = |fd: io::Result<_>| fd.map(File::from).map_err(|error: io::Error| error.to_string());
            Ok((
                child,
                file(input.into_owned_fd())?,
                file(output.into_owned_fd())?,
                file(errors.into_owned_fd())?,
            ))
        };
        let (child, input, output, errors) = self
            .runtime
            .block_on(starting)
            .map_err(|said| SshError::Ended { host: target.host.clone(), said })?;
        Ok(Channel { input, output, far: Arc::new(RemoteProcess::new(self, child, errors)) })
    }

    /// This program as it runs, also when its file has been replaced since.
    pub(super) fn program(&self) -> Result<&Program, String> {
        let read = || {
            let bytes = fs::read("/proc/self/exe")
                .map_err(|error| format!("this program cannot be read: {error}"))?;
            Ok(Program { sha256: Sha256::of(&bytes), bytes })
        };
        self.program.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    /// The known_hosts file for a target, copied to where its path has no character that the configuration could misread.
    fn known_hosts(&self, target: &SshTarget) -> Result<Option<PathBuf>, String> {
        let text = match &target.known {
            Known::Configuration => return Ok(None),
            Known::File { folder, path } => {
                let mut text = Vec::new();
                let file = named::of_spec(folder, path);
                let file = file.and_then(|file| file.take(KNOWN_LIMIT).read_to_end(&mut text));
                file.map_err(|error| format!("{} of the spec cannot be read: {error}", path.display()))?;
                text
            }
            Known::Keys(keys) => keys.iter().flat_map(|key| format!("* {key}\n").into_bytes()).collect(),
        };
        self.write("known-hosts", &text).map(Some).map_err(|error| error.to_string())
    }

    /// The configuration for a target.
    fn config(&self, known: Option<&Path>) -> String {
        config::text(known, self.settings.config.as_deref(), known.is_some() && self.knows_command())
    }

    /// Whether the OpenSSH client knows `KnownHostsCommand`. One that cannot be asked cannot connect either, and says why then.
    fn knows_command(&self) -> bool {
        *self.knows_command.get_or_init(|| {
            let asked = Command::new("ssh")
                .args(["-F", "/dev/null", "-o", "KnownHostsCommand=none", "-G", "localhost"])
                .stdin(process::Stdio::null())
                .stdout(process::Stdio::null())
                .stderr(process::Stdio::null())
                .status();
            asked.is_ok_and(|status| status.success())
        })
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.path().join(format!("{name}-{number}"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content)?;
        Ok(path)
    }

    fn of_log(&self, target: &SshTarget, known: Option<&Path>, log: &str) -> SshError {
        let mut error = failure::of_log(target, log, self.settings.timeout.as_secs(), fingerprint);
        if let (SshError::HostKeyChanged { place, .. }, Some(known)) = (&mut error, known) {
            *place = match &target.known {
                Known::Keys(_) => "`hostKeys` of the spec".to_owned(),
                Known::File { folder, path } => {
                    place.replace(&known.display().to_string(), &folder.join(path).display().to_string())
                }
                Known::Configuration => place.clone(),
            };
        }
        error
    }
}

/// The SHA-256 fingerprint of the key in a line of a known_hosts file, as OpenSSH writes it.
fn fingerprint(file: &str, line: usize) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(KNOWN_LIMIT).read_to_string(&mut text).ok()?;
    let words: Vec<&str> = text.lines().nth(line.checked_sub(1)?)?.split_ascii_whitespace().collect();
    // A marker such as @cert-authority may stand before the hosts.
    let key = words.windows(2).find_map(|pair| match pair {
        [kind, key] if kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-") => {
            Some((*kind, STANDARD.decode(key).ok()?))
        }
        _ => None,
    });
    let (kind, key) = key?;
    Some(format!("{kind} SHA256:{}", STANDARD_NO_PAD.encode(Sha256::of(&key).as_bytes())))
}

/// Each connection takes several descriptors, and the usual limit of 1024 is for old programs that cannot count further.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it, there can be fewer nodes.
    let _raised = setrlimit(Resource::Nofile, limit);
}

/// An error of the SSH library with its causes.
fn words(error: &openssh::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let _written = write!(text, ": {cause}");
        source = cause.source();
    }
    failure::bounded(&text)
}

/// A program at the other end.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) input: File,
    pub(super) output: File,
    pub(super) far: Arc<RemoteProcess>,
}

/// What is kept of a program as long as it is spoken to. When the last of it is dropped, the connection ends.
#[derive(Debug)]
pub(super) struct RemoteProcess {
    child: Mutex<Option<openssh::Child<Arc<Session>>>>,
    said: Arc<Mutex<Vec<u8>>>,
    /// Tells by its end that all was heard.
    heard: Mutex<Receiver<()>>,
    // Dropped after the connection, whose socket is in its directory.
    client: Arc<Client>,
}

impl RemoteProcess {
    fn new(client: &Arc<Client>, child: openssh::Child<Arc<Session>>, errors: File) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let words = Arc::clone(&said);
        let (hearing, heard) = channel();
        // To the end, so that the program never waits for a reader.
        std::thread::spawn(move || {
            listen(errors, &words);
            drop::<Sender<()>>(hearing);
        });
        Self { child: Mutex::new(Some(child)), said, heard: Mutex::new(heard), client: Arc::clone(client) }
    }

    /// Waits for the program's end: its exit code, if it has one, and what it said. Its input must be closed.
    pub(super) fn end(&self) -> (Option<i32>, String) {
        let child = self.child.lock().unwrap_or_else(PoisonError::into_inner).take();
        let code = child.and_then(|child| {
            let ended = async { tokio::time::timeout(ENDING, child.wait()).await };
            match self.client.runtime.block_on(ended) {
                Ok(Ok(status)) => status.code(),
                // How the library tells 127.
                Ok(Err(openssh::Error::Remote(error))) if error.kind() == io::ErrorKind::NotFound => {
                    Some(127)
                }
                Ok(Err(_)) | Err(_) => None,
            }
        });
        // The last words may come behind the exit code. Nothing is ever sent: what is waited for is the end.
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let _ended = heard.recv_timeout(ENDING);
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        (code, String::from_utf8_lossy(&said).into_owned())
    }
}

fn listen(mut errors: File, said: &Mutex<Vec<u8>>) {
    let mut part = [0; 1024];
    while let Ok(length) = errors.read(&mut part) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        match part.get(..length) {
            None | Some([]) => return,
            Some(words) if (said.len() as u64) < WORDS_LIMIT => said.extend_from_slice(words),
            Some(_) => {}
        }
    }
}
