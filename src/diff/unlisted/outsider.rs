//! One who takes part and is in no node of the spec, and where that was seen: what findings tell of it, and how it is compared with nodes.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::escaped;
use crate::types::names::NodeName;
use crate::types::url::host_of;

/// Somebody who is in no node of the spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outsider {
    /// Its name; none of one that tells none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is reached.
    pub urls: BTreeSet<String>,
    /// The node of the spec that is at that place and has no member by what the spec says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
}

impl Outsider {
    /// The host at which it is reached.
    pub fn host(&self) -> Option<&str> {
        // What a node says may stand in a command that somebody pastes.
        let is_plain = |host: &str| {
            host.chars().all(|letter| letter.is_ascii_alphanumeric() || ".:-_".contains(letter))
                && !host.starts_with('-')
        };
        self.urls
            .iter()
            .filter_map(|url| host_of(url.trim()))
            .find(|host| !is_loopback(host) && is_plain(host))
    }

    pub(super) fn is_at(&self, hosts: &BTreeSet<String>) -> bool {
        let mut own = self.urls.iter().filter_map(|url| host_of(url.trim())).map(canonical);
        own.any(|host| hosts.contains(&host))
    }
}

impl fmt::Display for Outsider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<String> = self.urls.iter().map(|url| escaped(url)).collect();
        match &self.name {
            Some(name) if urls.is_empty() => f.write_str(&escaped(name))?,
            Some(name) => write!(f, "{} ({})", escaped(name), urls.join(", "))?,
            None => f.write_str(&urls.join(", "))?,
        }
        match &self.node {
            Some(node) => write!(f, " (the node {node}, without the role etcd)"),
            None => Ok(()),
        }
    }
}

/// Where they were seen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Sighting {
    /// A member told who the members are.
    MemberList,
    /// `--initial-cluster` of a member names them.
    InitialCluster {
        /// The file with the flag.
        path: String,
    },
    /// `--etcd-servers` of an API server names them.
    EtcdServers {
        /// The file with the flag.
        path: String,
    },
}

impl fmt::Display for Sighting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MemberList => f.write_str("by its member list"),
            Self::InitialCluster { path } => write!(f, "by --initial-cluster in {}", escaped(path)),
            Self::EtcdServers { path } => write!(f, "by --etcd-servers in {}", escaped(path)),
        }
    }
}

/// A host in the one way of writing it in which it is compared.
pub(super) fn canonical(host: &str) -> String {
    host.parse::<IpAddr>()
        .map_or_else(|_| host.trim_end_matches('.').to_ascii_lowercase(), |ip| ip.to_string())
}

/// Whether it leads back to the machine that says it.
pub(super) fn is_loopback(host: &str) -> bool {
    let is_own = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(is_own)
}
