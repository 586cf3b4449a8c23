//! How far a plan has been done: what is still to do, what is done already, and what has changed under it.
//!
//! Plain values: whoever compares a plan with what is there now fills them. Nothing is compared here. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::names::{Address, AuthorityName, KeyPairName};
use crate::types::place::Place;
use crate::x509::{Certificate, CertificateRequest, Sha256};

/// How one visit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransactionProgress {
    /// Everything is as it was when the plan was made.
    ToDo,
    /// What it was for has been reached.
    Done,
    /// Something that it was made from is different now.
    Stale(Vec<Changed>),
    /// Its node cannot be seen.
    Unseen {
        /// Why.
        reason: String,
    },
}

/// A fact that has changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Changed {
    /// Where.
    pub place: Place,
    /// What has changed: a path, a service, the members of etcd.
    pub what: String,
    /// What was found when the plan was made.
    pub was: String,
    /// What is found now.
    pub is: String,
}

/// How a plan stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanProgress {
    /// Each visit, by its number.
    pub visits: BTreeMap<u32, TransactionProgress>,
    /// What visits that are done have made, which later ones go by.
    pub made: Made,
    /// Those that are done by their nodes' own records, too.
    pub recorded: BTreeSet<u32>,
}

/// Certificates and requests that a plan has made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// The certificates of authorities.
    pub authorities: BTreeMap<AuthorityName, Certificate>,
    /// Key pairs without certificate, by their public halves.
    pub pairs: BTreeMap<KeyPairName, Sha256>,
    /// Certificates, by the place where they are.
    pub identities: BTreeMap<Address, Certificate>,
    /// Requests for certificates that are signed elsewhere.
    pub requests: BTreeMap<Address, CertificateRequest>,
}

impl PlanProgress {
    /// Every fact that has changed, each once.
    pub fn changed(&self) -> BTreeSet<&Changed> {
        let stale = self.visits.values().filter_map(|standing| match standing {
            TransactionProgress::Stale(changed) => Some(changed),
            TransactionProgress::ToDo | TransactionProgress::Done | TransactionProgress::Unseen { .. } => {
                None
            }
        });
        stale.flatten().collect()
    }

    /// The visits that are still to be made.
    pub fn to_do(&self) -> impl Iterator<Item = u32> {
        let open = self.visits.iter().filter(|(_, standing)| **standing == TransactionProgress::ToDo);
        open.map(|(number, _)| *number)
    }
}
