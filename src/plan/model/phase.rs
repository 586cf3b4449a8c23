//! Phases: what a plan does on every node that it concerns before it does the next thing on any.
//!
//! What enters is nothing; what leaves is a closed list of phases with their words. A phase is a barrier over the whole cluster: none of its visits is
//! open when the next one begins, and whoever goes back goes back through them. Inside a phase a node has one visit at most.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A phase. They are carried out in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// A member of etcd sends its data, which is kept: no member is restarted before.
    EtcdSnapshot,
    /// Etcd, which has no quorum, gets one again: nobody else works before.
    Quorum,
    /// Everything that needs no phase of its own.
    #[default]
    Ordinary,
    /// A CA that takes the place of another is made, where nobody reads it yet.
    Prepare,
    /// Everybody who checks certificates trusts both.
    TrustBoth,
    /// Those who only connect show certificates of the new one: they fail softly, one at a time.
    Clients,
    /// Members of etcd show each other certificates of the new one.
    Peers,
    /// Servers show certificates of the new one: whoever does not trust it fails now, so all others were proven before.
    Servers,
    /// Nobody trusts the old one any more. There is no way back from here.
    DropOld,
    /// The snapshots forget the key of a CA that is distrusted. There is no way back from here either.
    Purge,
}

/// No phase is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no phase is called so; there are {}", Phase::ALL.map(Phase::name).join(", "))]
pub struct PhaseError;

impl Phase {
    /// All of them, in order.
    pub const ALL: [Phase; 10] = [
        Phase::EtcdSnapshot,
        Phase::Quorum,
        Phase::Ordinary,
        Phase::Prepare,
        Phase::TrustBoth,
        Phase::Clients,
        Phase::Peers,
        Phase::Servers,
        Phase::DropOld,
        Phase::Purge,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::EtcdSnapshot => "etcd-snapshot",
            Phase::Quorum => "quorum",
            Phase::Ordinary => "ordinary",
            Phase::Prepare => "prepare",
            Phase::TrustBoth => "trust-both",
            Phase::Clients => "clients",
            Phase::Peers => "peers",
            Phase::Servers => "servers",
            Phase::DropOld => "drop-old",
            Phase::Purge => "purge",
        }
    }

    /// Whether it is the one that a plan without phases has.
    pub fn is_ordinary(&self) -> bool {
        *self == Phase::Ordinary
    }

    /// Whether it is one of those in which one CA takes the place of another.
    pub fn is_of_replacement(self) -> bool {
        match self {
            Phase::EtcdSnapshot | Phase::Quorum | Phase::Ordinary => false,
            Phase::Prepare
            | Phase::TrustBoth
            | Phase::Clients
            | Phase::Peers
            | Phase::Servers
            | Phase::DropOld
            | Phase::Purge => true,
        }
    }

    /// What it is called.
    pub fn title(self) -> &'static str {
        match self {
            Phase::EtcdSnapshot => "save etcd's data",
            Phase::Quorum => "bring etcd back",
            Phase::Ordinary => "everything else",
            Phase::Prepare => "prepare",
            Phase::TrustBoth => "trust both",
            Phase::Clients => "reissue clients",
            Phase::Peers => "reissue peers",
            Phase::Servers => "reissue servers",
            Phase::DropOld => "drop old",
            Phase::Purge => "purge",
        }
    }

    /// What it is for, in words.
    pub fn words(self) -> &'static str {
        match self {
            Phase::EtcdSnapshot => "save etcd's data before any member is restarted",
            Phase::Quorum => "bring etcd back, whose members wait for each other",
            Phase::Ordinary => "do everything else",
            Phase::Prepare => "make the new CA, which nobody reads yet",
            Phase::TrustBoth => "trust the old CA and the new one",
            Phase::Clients => "reissue what clients show",
            Phase::Peers => "reissue what members show each other",
            Phase::Servers => "reissue what servers show",
            Phase::DropOld => "drop the old CA",
            Phase::Purge => "remove the distrusted CA's key from the snapshots",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Phase {
    type Err = PhaseError;

    fn from_str(text: &str) -> Result<Self, PhaseError> {
        Phase::ALL.into_iter().find(|phase| phase.name() == text).ok_or(PhaseError)
    }
}
