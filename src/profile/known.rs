//! What a layout tells the checks of a spec, which know no layouts: the names to which a spec may refer, and whose the directories are. Pure.

use std::collections::BTreeMap;

use super::{CombinedEntry, IdentityEntry, Profile, StorageEntry};
use crate::spec::check::{KnownFiles, KnownNames, foreign_user};
use crate::spec::types::Files;
use crate::types::names::IdentityName;

/// Where a certificate is kept that is a pair of files; none for what there is one of for each member, under names that only the nodes tell.
fn known_files((name, entry): (&IdentityName, &IdentityEntry)) -> Option<(String, KnownFiles)> {
    let StorageEntry::Files(Files { certificate, key, .. }) = &entry.storage else { return None };
    let (certificate, key) = (certificate.clone(), key.clone());
    entry.each.is_none().then(|| (name.to_string(), KnownFiles { certificate, key, on: entry.on.clone() }))
}

impl Profile {
    /// The directories with files that belong to somebody else than root, and to whom.
    fn directories_of_others(&self) -> BTreeMap<String, String> {
        let of_authorities = self
            .authorities
            .values()
            .filter_map(|entry| Some((entry.files.certificate.as_str(), entry.files.owner.as_deref()?)));
        let of_identities = self.identities.values().filter_map(|entry| match &entry.storage {
            StorageEntry::Files(Files { certificate, owner, .. }) => {
                Some((certificate.as_str(), owner.as_deref()?))
            }
            StorageEntry::Combined(CombinedEntry { path, owner, .. }) => {
                Some((path.as_str(), owner.as_deref()?))
            }
            // Those of a layout are root's.
            StorageEntry::Kubeconfig(_) => None,
        });
        let mut found = BTreeMap::new();
        for (path, owner) in of_authorities.chain(of_identities) {
            let Some(user) = foreign_user(owner) else { continue };
            let known = self.directories.keys().find(|name| path.starts_with(&format!("{{{name}}}/")));
            found.extend(known.map(|name| (name.to_string(), user.to_owned())));
        }
        found
    }

    /// The names to which a spec with this profile may refer.
    pub fn known_names(&self) -> KnownNames {
        let issuer =
            |entry: &IdentityEntry| entry.authority.as_ref().map(ToString::to_string).unwrap_or_default();
        KnownNames {
            authorities: self.authorities.keys().map(ToString::to_string).collect(),
            consumers: self
                .authorities
                .iter()
                .map(|(name, entry)| {
                    (name.to_string(), entry.consumers.keys().map(ToString::to_string).collect())
                })
                .collect(),
            certificates: self
                .identities
                .iter()
                .map(|(name, entry)| (name.to_string(), issuer(entry)))
                .collect(),
            directories: self.directories.keys().map(ToString::to_string).collect(),
            directories_of_others: self.directories_of_others(),
            services: self.services.keys().map(ToString::to_string).collect(),
            files: self.identities.iter().filter_map(known_files).collect(),
            places: self
                .directories
                .iter()
                .filter_map(|(name, entry)| Some((name.to_string(), entry.path.clone()?)))
                .collect(),
        }
    }
}
