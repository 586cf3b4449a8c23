#![expect(
    clippy::disallowed_methods,
    reason = "reads the file that was named on the command line, and looks where another one lies"
)]
//! `--untrusted`: a spec that nobody has reviewed yet, such as that of a pull request, decides neither whom `pki` connects to nor what it reads here.
//!
//! What enters is a file of the operator that names the hosts, and paths of the spec; what leaves are connections, and whether a path lies below the spec's
//! folder. Nothing of any file is shown.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use pki::spec::types::{Connection, Ssh};
use pki::types::format::with_causes;
use pki::types::names::NodeName;

use super::{Exit, files, terminal};

/// Options for a spec that is not believed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct UntrustedArguments {
    /// Do not believe the spec, such as that of a pull request: connect only to hosts of --hosts-from and copy nothing there, ignore `connection`, and read no file
    /// that it names outside of its folder
    #[arg(long)]
    pub(super) untrusted: bool,
    /// The hosts that are connected to, whatever the spec says: YAML, `NODE: { host: 10.0.0.11, user: reader, hostKeys: ["ssh-ed25519 AAAA..."] }`
    #[arg(long, value_name = "FILE", requires = "untrusted")]
    pub(super) hosts_from: Option<PathBuf>,
}

impl UntrustedArguments {
    /// The hosts that may be connected to; none where the spec is believed.
    ///
    /// # Errors
    /// The exit code, after what is wrong with the file was told.
    pub(super) fn hosts(&self) -> Result<Option<HostsFrom>, Exit> {
        match (&self.hosts_from, self.untrusted) {
            (Some(path), _) => HostsFrom::read(path).map(Some),
            (None, true) => Ok(Some(HostsFrom::default())),
            (None, false) => Ok(None),
        }
    }
}

/// The most bytes that such a file may have.
const MOST: u64 = 1024 * 1024;

/// Nodes by name, each with how it is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostsFrom(BTreeMap<NodeName, Ssh>);

impl HostsFrom {
    fn read(path: &Path) -> Result<Self, Exit> {
        let refused = |what: &str| {
            terminal::tell(&format!("error: --hosts-from: {}: {what}\n", files::shown(path)));
            Exit::Usage
        };
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(MOST).read_to_string(&mut text));
        read.map_err(|error| {
            terminal::tell(&format!("error: --hosts-from: cannot read {}: {error}\n", files::shown(path)));
            Exit::Internal
        })?;
        Self::of(&text).map_err(|what| refused(&what))
    }

    fn of(text: &str) -> Result<Self, String> {
        let hosts: BTreeMap<NodeName, Ssh> = serde_saphyr::from_str(text).map_err(|error| {
            let line = with_causes(&error);
            let line = line.lines().next().unwrap_or_default().to_owned();
            format!("{line}; write NODE: {{ host: HOST, user: USER, port: 22, hostKeys: [\"ssh-ed25519 AAAA...\"] }}")
        })?;
        for (name, ssh) in &hosts {
            if ssh.host.is_none() {
                return Err(format!("{name} has no `host`, and that of the spec is not believed"));
            }
            if ssh.host_keys.is_empty() {
                return Err(format!(
                    "{name} has no `hostKeys`: without one, whoever answers would be taken for it"
                ));
            }
            if ssh.known_hosts.is_some() {
                return Err(format!("{name} has `knownHosts`; write its keys as `hostKeys`"));
            }
        }
        Ok(Self(hosts))
    }

    /// Whether no node may be connected to.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a node may be connected to.
    pub(super) fn has(&self, node: &NodeName) -> bool {
        self.0.contains_key(node)
    }

    /// How a node is reached.
    pub(super) fn connection(&self, node: &NodeName) -> Option<Connection> {
        self.0.get(node).map(|ssh| Connection { ssh: Some(ssh.clone()), local: None })
    }
}

/// Whether a path of a spec lies below the folder of the spec, links included.
pub(super) fn is_below(folder: Option<&Path>, path: &str) -> bool {
    let Some(folder) = folder else { return false };
    let path = Path::new(path);
    if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return false;
    }
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match (folder.canonicalize(), folder.join(path).canonicalize()) {
        (Ok(folder), Ok(found)) => found.starts_with(folder),
        // What does not exist is not read.
        (_, Err(error)) => error.kind() == std::io::ErrorKind::NotFound,
        (Err(_), Ok(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_named_with_their_keys_or_not_at_all() {
        let hosts = HostsFrom::of(
            "cp-1: { host: 10.0.0.11, user: reader, port: 2222, hostKeys: [\"ssh-ed25519 AAAA\"] }",
        )
        .unwrap();
        let [one, two] = ["cp-1", "cp-2"].map(|name| name.parse::<NodeName>().unwrap());
        assert!(hosts.has(&one) && !hosts.has(&two));
        let ssh = hosts.connection(&one).unwrap().ssh.unwrap();
        assert_eq!((ssh.host.as_deref(), ssh.user.as_deref()), (Some("10.0.0.11"), Some("reader")));
        for (text, said) in [
            ("cp-1: { host: a }", "no `hostKeys`"),
            ("cp-1: { hostKeys: [\"ssh-ed25519 AAAA\"] }", "no `host`"),
            ("cp-1: { host: a, hostKeys: [\"ssh-ed25519 AAAA\"], knownHosts: f }", "knownHosts"),
            ("cp-1: { local: {} }", "local"),
            ("- a", "write NODE"),
        ] {
            let found = HostsFrom::of(text).unwrap_err();
            assert!(found.contains(said), "{text}: {found}");
        }
    }

    #[test]
    fn only_what_lies_below_the_folder_is_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("below")).unwrap();
        std::fs::write(folder.path().join("below/ca.crt"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("below/ca.crt", folder.path().join("own")).unwrap();
        let is_below = |path: &str| is_below(Some(folder.path()), path);
        assert!(is_below("below/ca.crt") && is_below("./own") && is_below("nothing"));
        assert!(
            !is_below("/etc/passwd") && !is_below("../x") && !is_below("link") && !is_below("below/../../x")
        );
        assert!(!super::is_below(None, "below/ca.crt"));
    }
}
