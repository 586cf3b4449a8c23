//! What a service is to those parts of the program that know more of it than where its files are.
//!
//! A plain value: a layout says it of its services, and nobody goes by what a service is called. Services of which nothing more has to be known have none.

use serde::Deserialize;

/// What a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// Its instances are members of one etcd cluster, which needs a quorum.
    Etcd,
    /// It runs the pods of its node, and replaces a static one whose manifest changes.
    Kubelet,
    /// Everything in a Kubernetes cluster depends on it; it calls itself with a certificate that it keeps in memory.
    ApiServer,
}
