//! What to connect to.
//!
//! What enters is a connection of a spec with the node's name and address; what leaves is a [`SshTarget`], checked once more before any of it reaches a
//! command line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::spec::types::{Node, Ssh};
use crate::types::names::NodeName;

/// What to connect to, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshTarget {
    /// The host, as the OpenSSH client is given it.
    pub host: String,
    /// The user to log in as; what the SSH configuration says when absent.
    pub user: Option<String>,
    /// The port; what the SSH configuration says when absent.
    pub port: Option<u16>,
    /// Whether the program on the node runs under `sudo -n`.
    pub sudo: bool,
    /// Where the host's key is known from.
    pub known: Known,
}

/// Where a host's key is known from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Known {
    /// From where the SSH configuration says.
    #[default]
    Configuration,
    /// From this known_hosts file only.
    File {
        /// The folder of the spec, from which a relative path counts and which it must not leave.
        folder: PathBuf,
        /// The path, as the spec writes it.
        path: PathBuf,
    },
    /// It is one of these public keys.
    Keys(BTreeSet<String>),
}

impl SshTarget {
    /// The target of a node. Paths of the spec are relative to `base`.
    pub fn new(name: &NodeName, node: &Node, ssh: &Ssh, base: &Path) -> Self {
        let known = match &ssh.known_hosts {
            _ if !ssh.host_keys.is_empty() => Known::Keys(ssh.host_keys.clone()),
            Some(file) => Known::File { folder: base.to_owned(), path: file.into() },
            None => Known::Configuration,
        };
        Self {
            host: ssh.host_of(name, node),
            user: ssh.user.clone(),
            port: ssh.port.map(crate::types::scalars::Port::number),
            sudo: ssh.sudo,
            known,
        }
    }

    /// What ssh could take for an option, or a shell for more than a word. The spec is checked for it as well; this is the last line.
    pub(super) fn is_harmless(&self) -> bool {
        let is_word = |text: &str, others: &[u8]| {
            (1..=253).contains(&text.len())
                && !text.starts_with('-')
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
        };
        is_word(&self.host, b"._:%-") && self.user.as_ref().is_none_or(|user| is_word(user, b"._-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_or_user_does_not_reach_a_command_line() {
        let is_harmless = |host: &str, user: Option<&str>| {
            SshTarget { host: host.to_owned(), user: user.map(str::to_owned), ..SshTarget::default() }
                .is_harmless()
        };
        for host in ["10.0.0.11", "fe80::1%eth0", "cp-1.example", "cp_1"] {
            assert!(is_harmless(host, None), "{host}");
        }
        for host in ["", "-oProxyCommand=x", "a b", "a;b", "root@a", "ssh://a", "a\nb", "$(x)", "`x`", "*"] {
            assert!(!is_harmless(host, None), "{host}");
        }
        assert!(is_harmless("a", Some("admin")));
        assert!(
            !is_harmless("a", Some("-l")) && !is_harmless("a", Some("a b")) && !is_harmless("a", Some(""))
        );
    }
}
