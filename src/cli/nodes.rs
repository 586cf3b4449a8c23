#![expect(clippy::disallowed_methods, reason = "reads from the environment where sockets belong")]
//! From the connections of a spec to nodes that can be asked and worked on.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pki::agent::Local;
use pki::protocol::node::Host;
use pki::remote::session::{Deadlines, Session};
use pki::remote::ssh::{Client, ClientSettings, Ssh, SshTarget};
use pki::remote::unreachable::Unreachable;
use pki::spec::Loaded;
use pki::spec::types::{Connection, Local as LocalConnection};
use pki::types::names::NodeName;

use super::untrusted::HostsFrom;

/// The nodes of a cluster.
pub(super) type Hosts = BTreeMap<NodeName, Box<dyn Host + Send + Sync>>;

/// The longest time for making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest directory for sockets that leaves enough of the 108 bytes that the path of a socket may have (`unix(7)`).
const LONGEST: usize = 32;

/// The nodes of a spec. A node's own connection wins over the cluster's. Nodes over SSH are connected to when they are first asked something; `patience` is
/// for the connection, and for what they then tell of their files.
pub(super) fn connect(loaded: &Loaded, ssh_config: Option<&Path>, patience: Duration) -> Hosts {
    connect_with(loaded, Session::default(), ssh_config, patience)
}

/// The nodes of a spec that is not believed: only the hosts that the operator has named are connected to, whatever the spec says, and nothing is copied there.
pub(super) fn connect_only(
    loaded: &Loaded,
    hosts: &HostsFrom,
    ssh_config: Option<&Path>,
    patience: Duration,
) -> Hosts {
    let mut loaded = loaded.clone();
    let spec = &mut loaded.spec.spec;
    let unnamed: Vec<NodeName> = spec.nodes.keys().filter(|name| !hosts.has(name)).cloned().collect();
    spec.nodes.retain(|name, _| hosts.has(name));
    for (name, node) in &mut spec.nodes {
        node.connection = hosts.connection(name);
    }
    spec.connection = None;
    let session = Session { looks_only: true, ..Session::default() };
    let mut nodes = connect_with(&loaded, session, ssh_config, patience);
    for name in unnamed {
        let reason = "--hosts-from does not name it, and with --untrusted no other host is connected to";
        nodes.insert(name, Box::new(Unreachable::new(reason)));
    }
    nodes
}

fn connect_with(loaded: &Loaded, agreed: Session, ssh_config: Option<&Path>, patience: Duration) -> Hosts {
    let spec = &loaded.spec.spec;
    let base = Path::new(loaded.document.file()).parent().unwrap_or(Path::new(""));
    let mut client = None;
    let mut ssh = || client.get_or_insert_with(|| self::client(ssh_config, patience)).clone();
    let note = format!("{} from {}", loaded.spec.metadata.name, loaded.document.file());
    let Session { looks_only, .. } = agreed;
    let silence = Duration::from_secs(spec.rollout.silence.seconds());
    let session = Session { silence, looks_only, ..session(note, patience) };
    let nodes = spec.nodes.iter().map(|(name, node)| {
        let connection = node.connection.as_ref().or(spec.connection.as_ref());
        let host: Box<dyn Host + Send + Sync> = match connection {
            Some(Connection { local: Some(local), .. }) => Box::new(self::local(local, base)),
            Some(Connection { local: None, ssh: Some(way) }) => match ssh() {
                Ok(client) => {
                    Box::new(Ssh::new(&client, SshTarget::new(name, node, way, base), session.clone()))
                }
                Err(reason) => Box::new(Unreachable::new(reason)),
            },
            Some(Connection { local: None, ssh: None }) | None => {
                Box::new(Unreachable::new("the spec does not say how; it lacks `connection`"))
            }
        };
        (name.clone(), host)
    });
    nodes.collect()
}

/// The OpenSSH client of whoever runs this.
///
/// # Errors
/// In words for people.
pub(super) fn client(ssh_config: Option<&Path>, patience: Duration) -> Result<Arc<Client>, String> {
    let settings = ClientSettings {
        config: ssh_config.map(|config| std::path::absolute(config).unwrap_or(config.to_owned())),
        runtime_directories: runtime_directories(),
        // Sooner than the wait for the node's answer, so that it is told why there was none.
        timeout: (patience / 2).clamp(Duration::from_secs(1), CONNECT_TIMEOUT),
    };
    Client::new(settings).map(Arc::new)
}

/// What is agreed with a node over SSH.
pub(super) fn session(note: String, patience: Duration) -> Session {
    let deadlines = Deadlines { hello: patience, observe: patience, ..Deadlines::default() };
    Session { note, deadlines, ..Session::default() }
}

/// Where directories for sockets may be made, in the order in which they are tried: of root its own, of any other user the session's. Where there is neither,
/// or it cannot be used, a new one with a name that nobody can guess is made below /tmp.
fn runtime_directories() -> Vec<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return vec![PathBuf::from("/run/pki")];
    }
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let fits =
        |path: &PathBuf| path.is_absolute() && path.as_os_str().as_bytes().len() <= LONGEST && path.is_dir();
    own.filter(fits).map(|directory| directory.join("pki")).into_iter().collect()
}

fn local(connection: &LocalConnection, base: &Path) -> Local {
    match &connection.root {
        Some(root) if connection.create => Local::created_at_need(beside(base, root), super::now),
        Some(root) => Local::new(Some(beside(base, root)), super::now),
        None => Local::new(None, super::now),
    }
}

/// A path of a spec: absolute, or relative to the spec's folder.
fn beside(base: &Path, path: &str) -> PathBuf {
    base.join(path)
}
