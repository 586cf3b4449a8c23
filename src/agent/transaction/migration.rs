//! Moving a directory and putting a link in its place.
//!
//! What enters is the place of the directory, and where it is to be; what leaves is two changes: the copy, and then the link that takes the directory's
//! place. Whatever cannot be moved whole is refused before anything is touched.

use std::collections::BTreeSet;

use super::{Filesystem, PathChange, Transaction, Wanted, destination};
use crate::agent::fs::file_state::FileState;
use crate::agent::fs::lookup::{Detail, LookupResult};
use crate::protocol::error::HostError;
use crate::protocol::facts::ServedBy;

impl Transaction {
    pub(crate) fn move_directory(
        &mut self,
        objects: &mut impl Filesystem,
        link: &str,
        path: &str,
        keeps_old: bool,
    ) -> Result<(), HostError> {
        self.check_listed(link)?;
        self.check_listed(path)?;
        let from = self.own_place(objects, link)?;
        let occupied = |path: &str, found: &'static str| {
            Err(HostError::Occupied { path: path.to_owned(), found: found.into() })
        };
        match objects.capture(&from)? {
            FileState::Directory(_) => {}
            FileState::Absent => return Err(HostError::Missing { path: link.to_owned() }),
            FileState::Link { target, .. } if target == path => return Ok(()),
            other @ (FileState::Link { .. } | FileState::File(_) | FileState::Tree(_) | FileState::Other) => {
                return occupied(link, other.kind());
            }
        }
        let to = self.own_place(objects, path)?;
        if matches!(objects.look(path, Detail::Place), LookupResult::Found { .. })
            && destination(objects, path)? != to
        {
            return occupied(path, "a symbolic link");
        }
        if is_in(&from, &to) || is_in(&to, &from) {
            let reason = format!("{from} and {to} lie one inside the other");
            return Err(HostError::Path { path: path.to_owned(), reason });
        }
        let there = objects.capture_tree(&to)?;
        match &there {
            FileState::Absent => {}
            FileState::Tree(tree) if tree.is_empty() => {}
            FileState::Tree(_) => return occupied(path, "a directory that is not empty"),
            other @ (FileState::Directory(_)
            | FileState::Link { .. }
            | FileState::File(_)
            | FileState::Other) => {
                return occupied(path, other.kind());
            }
        }
        let whole = objects.capture_tree(&from)?;
        let FileState::Tree(tree) = &whole else { return Err(HostError::Changed { path: link.to_owned() }) };
        if let Some((name, target)) = tree.link_out() {
            let reason = format!(
                "it is a link to {target}, relative and out of {link}; moved, it would lead elsewhere"
            );
            return Err(HostError::Refused { path: format!("{link}/{name}"), reason });
        }
        let ServedBy { uid, gid } = objects.served_by();
        let touch = |location: &str| PathChange::new(link, location.to_owned());
        let copy = Wanted { touch: touch(&to), image: whole.clone(), found: Some(there) };
        let image = FileState::Link { target: path.to_owned(), uid, gid };
        let exchange = Wanted { touch: touch(&from), image, found: Some(whole) };
        self.change_all(objects, vec![copy, exchange], keeps_old)
    }
}

/// What a transaction may have put below a directory that it has filled: the tree that it copied there, and whatever else its orders named.
pub(crate) fn made_below(
    touch: &PathChange,
    trees: &[(&PathChange, BTreeSet<String>)],
    paths: &BTreeSet<String>,
) -> BTreeSet<String> {
    let copied = trees.iter().filter(|(other, _)| other.path == touch.path);
    let mut names: BTreeSet<String> = copied.flat_map(|(_, names)| names.iter().cloned()).collect();
    if names.is_empty() {
        return names;
    }
    for directory in [&touch.path, &touch.location] {
        let below = paths.iter().filter_map(|path| path.strip_prefix(directory.as_str())?.strip_prefix('/'));
        names.extend(below.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    names
}

fn is_in(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
