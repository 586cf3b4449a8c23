//! A deed as it is drafted.
//!
//! A plain value: whoever draws deeds makes it, whoever orders them takes it apart. Pure.

use crate::plan::model::deed_traits::DeedTraits;
use crate::plan::model::identity_copy::Copied;
use crate::plan::{Deed, Phase, Why};
use crate::types::names::{Address, Target};

/// One deed without its place in the order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DraftDeed {
    pub(crate) phase: Phase,
    pub(crate) address: Address,
    pub(crate) deed: Deed,
    pub(crate) reasons: Vec<Why>,
    /// What it replaces was there before, so something may be running on it.
    pub(crate) replaces: bool,
}

impl DraftDeed {
    /// Whether it writes a certificate with its key.
    pub(crate) fn gives_identity(&self) -> bool {
        matches!(self.deed, Deed::IssueIdentity(_) | Deed::CopyIdentity(_) | Deed::InstallIdentity(_))
    }

    /// What is known of its deed.
    pub(crate) fn traits(&self) -> DeedTraits<'_> {
        self.deed.traits(&self.address)
    }

    /// What further places get of the certificate that it makes anew or installs.
    pub(crate) fn copied(&self) -> Option<Copied> {
        if let Deed::InstallIdentity(install) = &self.deed {
            return Some(Copied::installed(install));
        }
        self.deed.issue().map(Copied::issued)
    }

    /// The paths that it may write, make or remove.
    pub(crate) fn paths(&self) -> Vec<&str> {
        self.traits().writes
    }

    /// The directory in whose place another one comes with it. Going back does so too.
    pub(crate) fn moved(&self) -> Option<&str> {
        match (&self.deed, &self.address.target) {
            (Deed::MoveDirectory { link, .. }, _) => Some(link),
            (Deed::Restore { path, .. }, Target::Directory(_)) if self.replaces => Some(path),
            _ => None,
        }
    }
}
