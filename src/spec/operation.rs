//! The part of a spec that is about work and not about certificates: how nodes are reached, how services are restarted, how changes are rolled
//! out and where snapshots are kept. What enters is YAML, what leaves are these types; nothing is decided here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::Node;
use crate::types::duration::Duration;
use crate::types::names::{EndpointName, IdentityName, NodeName};
use crate::types::scalars::{Port, UrlPath};

/// Something that runs and reads certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// How it is restarted, where that differs from the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// The certificates that it reads, besides those of the profile. It is restarted when one of them changes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reads: BTreeSet<IdentityName>,
    /// Where it serves TLS, besides what the profile knows, by names of your choice. What these ports show is compared with the files, and after a restart
    /// waited for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<EndpointName, Endpoint>,
    /// A path that answers 200 while it works, on the node itself. It must do so after a restart, in place of what the profile looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// A listening TLS port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Endpoint {
    /// The port.
    pub port: Port,
    /// The certificate that it serves; none where the service makes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serves: Option<IdentityName>,
}

/// A path that answers 200 while a service works. It is asked from the node itself, without a client certificate; the server's is not judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Health {
    /// The port.
    pub port: Port,
    /// The path, such as `/healthz`.
    pub path: UrlPath,
    /// How it is asked.
    #[serde(default, skip_serializing_if = "is_https")]
    pub scheme: Scheme,
    /// The address on the node; 127.0.0.1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
}

/// How a path is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    #[default]
    Https,
}

fn is_https(scheme: &Scheme) -> bool {
    *scheme == Scheme::Https
}

/// How a service is restarted: exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Restart {
    /// A systemd unit, restarted with `systemctl restart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd: Option<String>,
    /// The manifest of a static pod, restarted by changing an annotation in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_pod: Option<String>,
    /// A program with its arguments. No shell is involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
}

/// How changes are rolled out over the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rollout {
    /// How many workers may be worked on at once. Control-plane nodes and etcd members are always one at a time.
    #[schemars(range(min = 1))]
    pub max_unavailable: u32,
    /// How long a restarted service must stay healthy before the next step.
    pub settle: Duration,
    /// The longest wait for a service to become healthy.
    pub timeout: Duration,
    /// What happens to work already done when a step fails.
    pub on_failure: OnFailure,
    /// After so long without a word from `pki` a node takes it for dead and undoes what is open: from 1s to 60s.
    pub silence: Duration,
}

impl Rollout {
    /// The shortest and the longest silence. A node never waits longer, whatever it is told.
    pub const SILENCE: [Duration; 2] = [Duration::from_seconds(1), Duration::from_seconds(60)];
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_unavailable: 1,
            settle: Duration::from_seconds(5),
            timeout: Duration::from_seconds(300),
            on_failure: OnFailure::UndoNode,
            silence: Duration::from_seconds(60),
        }
    }
}

/// What happens to work already done when a step fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The failing node is put back; nodes already done stay as they are; then the run stops.
    #[default]
    UndoNode,
    /// The whole run is undone in reverse order.
    UndoAll,
    /// Everything is left as it is.
    Stop,
}

/// Where snapshots are kept, how many, and when etcd's data is among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Snapshots {
    /// The directory on each node, absolute. Snapshots hold private keys and never leave their node.
    pub directory: String,
    /// How many snapshots are kept on each node.
    #[schemars(range(min = 1))]
    pub keep: u32,
    /// When etcd's data is saved before the first member is restarted. As many are kept on a node as other snapshots; `pki rollback` never restores one.
    pub etcd: EtcdSnapshots,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { directory: "/var/lib/pki".to_owned(), keep: 10, etcd: EtcdSnapshots::Rotation }
    }
}

/// When etcd's data is saved before the first member is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EtcdSnapshots {
    /// Before a plan that changes which CAs etcd trusts: a replacement, an extension, a bundle that is mended.
    #[default]
    Rotation,
    /// Before every plan that restarts a member, those of `pki rollback` too.
    Always,
    /// Never.
    Never,
}

/// How a node is reached: exactly one of `ssh` and `local`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// Over SSH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<Ssh>,
    /// On this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Local>,
}

/// A connection over SSH, with the OpenSSH client of whoever runs `pki`: its configuration, agent and jump hosts apply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Ssh {
    /// What to connect to, where that is not the node's address (or its name, when it has none). `{node}` stands for the node's name, `{address}` for its
    /// address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The user to log in as. When absent, the one that the SSH configuration names, or else the name of the user who runs `pki`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The port of sshd. When absent, the one that the SSH configuration names, or else 22.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
    /// Whether the program on the node runs under `sudo -n`.
    pub sudo: bool,
    /// A known_hosts file, relative to the spec; no other is looked into. When absent, those of the SSH configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<String>,
    /// The public keys of which the node must show one, such as `ssh-ed25519 AAAA...`, as in its `/etc/ssh/ssh_host_*_key.pub`. No known_hosts file is
    /// looked into then.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub host_keys: BTreeSet<String>,
}

impl Ssh {
    /// What is connected to for a node.
    pub fn host_of(&self, name: &NodeName, node: &Node) -> String {
        let address = node.address.as_deref().unwrap_or(name.as_str());
        match &self.host {
            None => address.to_owned(),
            Some(host) => host.replace("{node}", name.as_str()).replace("{address}", address),
        }
    }
}

/// A node that is this machine, or a directory on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Local {
    /// The directory that stands for the node's `/`, relative to the spec. The machine itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// A `root` that does not exist is an empty node, and the first apply makes it. Without this, a missing directory is a node that cannot be reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create: bool,
}
