//! What a plan means for a service: what its deeds change, and what the service has read of it.
//!
//! What enters is a deed or a service; what leaves are names of what is read. Whether it is restarted is decided in [`super::restarts`]. Pure.

use crate::desired::{DesiredNode, DesiredService};
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::{Deed, Phase};
use crate::profile::{Reload, What};
use crate::types::names::{NodeName, ServiceName, Target};

/// What a plan means for a service on a node.
pub(crate) struct Cause<'a> {
    pub(crate) service: &'a ServiceName,
    pub(crate) node: &'a NodeName,
    pub(crate) wanted: &'a DesiredService,
    /// It reads something that is new at its start only, or does not use what is there.
    pub(super) is_stale: bool,
    /// Something that it reads in any way is new.
    pub(super) is_touched: bool,
    pub(crate) phase: Phase,
}

/// What a deed changes, as services name what they read.
pub(crate) fn changes(deed: &DraftDeed) -> Vec<What> {
    match (&deed.deed, &deed.address.target) {
        (Deed::Restore { .. }, Target::Identity(identity)) => {
            vec![What::Identity(identity.clone()), What::KubeconfigTrust(identity.clone())]
        }
        (Deed::IssueIdentity(issue), Target::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if issue.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        (Deed::InstallIdentity(install), Target::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if install.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        // Who reads an identity may read it in any of its places.
        (Deed::CopyIdentity(copy), Target::Identity(identity)) => {
            let mut changes = vec![What::Identity(identity.clone())];
            if copy.trusted.is_some() {
                changes.push(What::KubeconfigTrust(identity.clone()));
            }
            changes
        }
        (Deed::WriteChain { .. }, Target::Identity(identity)) => vec![What::Identity(identity.clone())],
        (Deed::UpdateKubeconfig { .. }, Target::Identity(identity)) => {
            vec![What::KubeconfigTrust(identity.clone())]
        }
        (
            Deed::WriteBundle { .. }
            | Deed::ExtendAuthority { .. }
            | Deed::CopyAuthorityCertificate { .. }
            | Deed::Restore { .. },
            Target::Authority(authority),
        ) => {
            vec![What::Trust(authority.clone()), What::Signer(authority.clone())]
        }
        (Deed::CopyKey(_) | Deed::WritePublicKey { .. } | Deed::Restore { .. }, Target::KeyPair(pair)) => {
            vec![What::KeyPair(pair.clone())]
        }
        _ => Vec::new(),
    }
}

/// What a service reads, as people call it.
pub(super) fn what_name(what: &What) -> String {
    match what {
        What::Identity(identity) => identity.to_string(),
        What::Trust(authority) | What::Signer(authority) => format!("ca/{authority}"),
        What::KubeconfigTrust(identity) => format!("the CA data of {identity}"),
        What::KeyPair(pair) => format!("key/{pair}"),
    }
}

/// Whether a service reads something again by itself.
pub(super) fn is_read_again((node, wanted): (&DesiredNode, &DesiredService), what: &What) -> bool {
    let mut reads = wanted.reads.iter().filter(|read| read.what == *what);
    reads.any(|read| read.reload(node.version) != Reload::Start)
}
