//! Where each authority signs.
//!
//! Plain values that whoever draws the files of authorities fills, and whoever draws certificates asks. Nothing is decided here. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::desired::AuthorityCopy;
use crate::diff::Reason;
use crate::plan::{Deed, KeyCopy};
use crate::types::names::{AuthorityName, NodeName};
use crate::types::storage::FileSpec;
use crate::x509::Certificate;

/// Where each authority signs, and what it will be once this plan's own deeds are done.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    pub(crate) signers: BTreeMap<AuthorityName, Signer>,
}

/// Where an authority signs.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    /// The first node by name that holds the key.
    pub(crate) node: NodeName,
    pub(crate) files: AuthorityCopy,
    /// The end of its life, which no certificate of it outlives.
    pub(crate) not_after: Timestamp,
    /// The certificate; none while this plan makes it.
    pub(crate) certificate: Option<Certificate>,
}

impl Signer {
    /// The copy of its key to another place.
    pub(crate) fn key_for(&self, file: &FileSpec) -> Deed {
        Deed::CopyKey(KeyCopy {
            from: self.node.clone(),
            source: self.files.key.path.clone(),
            file: file.clone(),
            spki: self.certificate.as_ref().map(|certificate| certificate.facts().key.spki_sha256),
        })
    }
}

/// Whether a finding says of the certificate's file that it is missing, or not as it should be, so that it is written from what all nodes know.
pub(crate) fn is_put_right(reason: &Reason, copy: &AuthorityCopy) -> bool {
    let is_the_file = |path: &String| *path == copy.certificate.path;
    matches!(reason, Reason::Missing | Reason::BundleDuplicates { .. } | Reason::LinkDangling { .. })
        || matches!(reason, Reason::ZeroLength { path } | Reason::Unparseable { path, .. } | Reason::NotPem { path } | Reason::ForeignContent { path, .. } if is_the_file(path))
}
