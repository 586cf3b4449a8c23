//! Gates: what must hold before the next step.
//!
//! What enters is what a service should show when it works; what leaves is a value that plans can hold and nodes can look for. Nothing is looked for here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::url::with_port;

/// One thing that must hold on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
// Saved plans and schemas know it by this name.
#[schemars(rename = "Gate")]
pub enum HealthCheck {
    /// A systemd unit is active.
    Active {
        /// The unit.
        unit: String,
    },
    /// A process listens with TLS.
    Listens {
        /// Where.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// A process listens with TLS and shows the first certificate of a file: what was written is in use.
    Serves {
        /// Where.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The file.
        certificate: String,
    },
    /// A systemd unit is active, or is being started and does not fail at it.
    Started {
        /// The unit.
        unit: String,
    },
    /// A systemd unit was started anew since it was last to be restarted in this transaction: its invocation is another one.
    Restarted {
        /// The unit.
        unit: String,
    },
    /// The process behind a socket started after the manifest of its static pod was last changed in this transaction, and none from before listens there. A kubelet
    /// takes a few seconds to notice, in which the old pod still answers.
    Replaced {
        /// The manifest.
        manifest: String,
        /// Where the process listens.
        address: IpAddr,
        /// The port.
        port: u16,
    },
    /// An etcd member follows a leader, has no alarm, and keeps up: what it has applied at one look is at least what any member had committed at the look before.
    Etcd {
        /// Where it listens for clients.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The file with a client certificate that it accepts.
        certificate: String,
        /// The file with its key.
        key: String,
    },
    /// A path answers 200. The server's certificate is not judged, as by a kubelet's probe.
    Http {
        /// Whether TLS is spoken.
        tls: bool,
        /// Where.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The path, with the slash that it begins with.
        path: String,
    },
    /// An API server says that it is ready: a path answers 200. One without anonymous access answers 401 or 403 to strangers, and then no more is known than that it
    /// serves requests. Its certificate is not judged.
    Ready {
        /// Where.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The path, with the slash that it begins with.
        path: String,
    },
    /// A server accepts a client certificate on a fresh connection, with one request on it, and its own certificate is accepted.
    Accepts(Box<Call>),
}

/// A fresh connection to a TLS server with a client certificate, and one request on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Call {
    /// The server: a name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The name under which the server must prove itself, where it is not the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// What the client shows.
    pub shows: Shown,
    /// What the server's certificate is checked with; none where the real client does not check it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusts: Option<Trusted>,
    /// The server is an etcd member called as by a peer: it also looks where the call comes from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_peer: bool,
}

/// Where a client certificate with its key is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Shown {
    /// In two files, or in one that both name.
    Files {
        /// The certificate.
        certificate: String,
        /// The private key.
        key: String,
    },
    /// The user of a kubeconfig's current context.
    Kubeconfig {
        /// The kubeconfig.
        file: String,
    },
}

impl Shown {
    /// The file that people know it by.
    pub fn file(&self) -> &str {
        match self {
            Shown::Files { certificate, .. } => certificate,
            Shown::Kubeconfig { file } => file,
        }
    }
}

/// Where the CA certificates are with which a server is checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Trusted {
    /// In a file.
    File {
        /// The file.
        path: String,
    },
    /// The CA data of a kubeconfig's current context.
    Kubeconfig {
        /// The kubeconfig.
        file: String,
    },
}

impl Call {
    /// `https://HOST:PORT`.
    pub fn url(&self) -> String {
        format!("https://{}", with_port(&self.host, self.port))
    }
}

impl HealthCheck {
    /// `http://ADDRESS:PORT/PATH`, with TLS or without.
    pub fn url(tls: bool, address: IpAddr, port: u16, path: &str) -> String {
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", SocketAddr::new(address, port))
    }
}

impl fmt::Display for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |address: &IpAddr, port: &u16| SocketAddr::new(*address, *port);
        match self {
            HealthCheck::Active { unit } => write!(f, "{unit} is active"),
            HealthCheck::Listens { address, port } => write!(f, "{} answers with TLS", at(address, port)),
            HealthCheck::Serves { address, port, certificate } => {
                write!(f, "{} shows the certificate of {certificate}", at(address, port))
            }
            HealthCheck::Started { unit } => write!(f, "{unit} is active or starting"),
            HealthCheck::Restarted { unit } => write!(f, "{unit} is started anew"),
            HealthCheck::Replaced { address, port, .. } => {
                write!(f, "{} is served by a new process", at(address, port))
            }
            HealthCheck::Etcd { address, port, .. } => {
                write!(f, "etcd at {} follows a leader, without alarm, and keeps up", at(address, port))
            }
            HealthCheck::Http { tls, address, port, path } => {
                write!(f, "{} answers 200", HealthCheck::url(*tls, *address, *port, path))
            }
            HealthCheck::Ready { address, port, path } => {
                let url = HealthCheck::url(true, *address, *port, path);
                write!(f, "{url} answers 200 (401, 403 without anonymous access)")
            }
            HealthCheck::Accepts(call) => write!(f, "{} accepts {}", call.url(), call.shows.file()),
        }
    }
}

/// The gates in words, in few lines: all that accept the same certificate are in one.
pub fn lines(gates: &BTreeSet<HealthCheck>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut accepted: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for gate in gates {
        match gate {
            HealthCheck::Accepts(call) => accepted.entry(call.shows.file()).or_default().push(call.url()),
            HealthCheck::Active { .. }
            | HealthCheck::Listens { .. }
            | HealthCheck::Serves { .. }
            | HealthCheck::Started { .. }
            | HealthCheck::Restarted { .. }
            | HealthCheck::Replaced { .. }
            | HealthCheck::Etcd { .. }
            | HealthCheck::Http { .. }
            | HealthCheck::Ready { .. } => lines.push(gate.to_string()),
        }
    }
    for (file, urls) in accepted {
        let verb = if urls.len() == 1 { "accepts" } else { "accept" };
        lines.push(format!("{} {verb} {file}", urls.join(", ")));
    }
    lines
}
