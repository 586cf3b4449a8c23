//! Who connects to whom: the part of a catalogue that says which certificate is shown on each side of a connection and what it is checked with.
//!
//! What enters is the YAML of a profile; what leaves is its `dials` as values. Nothing here decides: [`crate::simulate`] verifies the connections.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::spec::types::Role;
use crate::types::names::{AuthorityName, CopyName, IdentityName, ServiceName};
use crate::types::service_kind::ServiceKind;

/// A TLS connection that a service or program makes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsConnection {
    /// The service that is dialled.
    pub to: ServiceName,
    /// What that service is. It need not run on any node of the cluster.
    #[serde(skip)]
    pub to_kind: Option<ServiceKind>,
    /// The port, which decides what the service shows. None for a connection of which only the client's side counts: servers that trust what `to`
    /// publishes (aggregated API servers).
    #[serde(default)]
    pub port: Option<u16>,
    /// Which instances of the service, and by which name.
    pub at: At,
    /// The name that is dialled, where it is not the one that `at` says.
    #[serde(default)]
    pub name: Option<String>,
    /// What the client shows; none for a client without a certificate.
    #[serde(default)]
    pub shows: Option<PresentedKey>,
    /// What the client checks the server with; none where it does not check.
    #[serde(default)]
    pub trusts: Option<Trusts>,
    /// What the server checks the client with; none where it does not check.
    #[serde(default)]
    pub admits: Option<AuthorityName>,
    /// The server refuses a client certificate with names none of which is the address that the client calls from (etcd's peer port).
    #[serde(default)]
    pub checks_address: bool,
    /// Where this is known from.
    pub source: String,
}

/// Which instances of a service are dialled, and by which name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum At {
    /// The one on the same node, by 127.0.0.1.
    Own,
    /// The one on the same node by 127.0.0.1; where there is none, every one by its node's address.
    Nearest,
    /// Every one on another node, by that node's address.
    Others,
    /// Every one, by its node's address.
    Every,
    /// The server of the kubeconfig that is trusted: the one at that address, else every one, by that name.
    Kubeconfig,
}

/// A certificate with its key, in one of its places.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PresentedKey {
    /// The certificate.
    pub identity: IdentityName,
    /// The further place that is read; none for the main one.
    #[serde(default)]
    pub copy: Option<CopyName>,
}

/// What certificates are checked with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", untagged)]
pub enum Trusts {
    /// The file of an authority.
    Authority {
        /// The authority.
        authority: AuthorityName,
        /// The further place that is read; none for the main one.
        #[serde(default)]
        copy: Option<CopyName>,
    },
    /// The CA data of a kubeconfig.
    Kubeconfig {
        /// The kubeconfig.
        kubeconfig: IdentityName,
    },
}

/// A program that people or other programs start anew for each use, so it reads its files each time: `kubectl`, `etcdctl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProgramEntry {
    /// The roles of nodes on which it is used.
    pub on: BTreeSet<Role>,
    /// What it connects to.
    pub dials: Vec<TlsConnection>,
}

#[cfg(test)]
mod tests;
