//! Gates: what must hold before the next step.
//!
//! What enters is what a service should show when it works; what leaves is a value that plans can hold and nodes can look for. Nothing is looked for here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// One thing that must hold on a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Gate {
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
    /// An etcd member follows a leader: the members have a quorum.
    EtcdQuorum {
        /// Where it listens for clients.
        address: IpAddr,
        /// The port.
        port: u16,
        /// The file with a client certificate that it accepts.
        certificate: String,
        /// The file with its key.
        key: String,
    },
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Gate::Active { unit } => write!(f, "{unit} is active"),
            Gate::Listens { address, port } => {
                write!(f, "{} answers with TLS", SocketAddr::new(*address, *port))
            }
            Gate::Serves { address, port, certificate } => {
                write!(f, "{} shows the certificate of {certificate}", SocketAddr::new(*address, *port))
            }
            Gate::Started { unit } => write!(f, "{unit} is active or starting"),
            Gate::EtcdQuorum { address, port, .. } => {
                write!(f, "etcd at {} follows a leader", SocketAddr::new(*address, *port))
            }
        }
    }
}
