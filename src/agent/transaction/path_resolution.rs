//! Where the paths of a transaction lead, once and for all of it.
//!
//! What enters is paths; what leaves is the places that they led to when the transaction began. Later they must lead to the same, or to what the transaction
//! itself has made: whatever else they lead to, somebody else has put there.

use super::{Filesystem, Transaction};
use crate::agent::fs::lookup::{Detail, Lookup, LookupResult, looping};
use crate::protocol::error::HostError;
use crate::protocol::facts::FileKind;

/// Where a path led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// The place of its own last name; none while the directory was not there.
    pub(super) own: Option<String>,
    /// The place of what it leads to; none where it led nowhere.
    pub(super) end: Option<String>,
}

impl Way {
    /// Where a path leads now. That somebody else decides that, or that it cannot be looked at, is an error; that it leads nowhere is not.
    pub(super) fn of(objects: &impl Lookup, path: &str) -> Result<Self, HostError> {
        let known = |place: Result<String, HostError>| match place {
            Ok(place) => Ok(Some(place)),
            // Where it leads is not known, which is not nowhere.
            Err(error @ (HostError::Unsafe { .. } | HostError::Refused { .. })) => Err(error),
            Err(_) => Ok(None),
        };
        Ok(Self { own: known(own_place(objects, path))?, end: known(destination(objects, path))? })
    }
}

impl Transaction {
    /// Where a path leads, as it did when the transaction began.
    pub(crate) fn destination(&self, objects: &impl Lookup, path: &str) -> Result<String, HostError> {
        let now = destination(objects, path)?;
        self.as_begun(path, now, |way| way.end.as_ref())
    }

    /// The place of a path's own last name, as it was when the transaction began.
    pub(super) fn own_place(&self, objects: &impl Lookup, path: &str) -> Result<String, HostError> {
        let now = own_place(objects, path)?;
        self.as_begun(path, now, |way| way.own.as_ref())
    }

    /// Whether every path that was changed still leads to where it was changed.
    pub(crate) fn check_ways(&self, objects: &impl Filesystem) -> Result<(), HostError> {
        for touch in self.touched.iter().filter(|touch| self.ways.contains_key(&touch.path)) {
            for place in [own_place(objects, &touch.path), destination(objects, &touch.path)] {
                match place {
                    Ok(now) if self.is_known(&touch.path, &now) => {}
                    // What was removed, or was made to lead nowhere, has no end any more.
                    Err(
                        HostError::Missing { .. } | HostError::Dangling { .. } | HostError::NotAFile { .. },
                    ) => {}
                    Ok(_) => return Err(HostError::Changed { path: touch.path.clone() }),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn as_begun(
        &self,
        path: &str,
        now: String,
        of: impl Fn(&Way) -> Option<&String>,
    ) -> Result<String, HostError> {
        let begun = self.ways.get(path).and_then(of);
        if begun == Some(&now) || self.is_made(path, &now) {
            return Ok(now);
        }
        Err(HostError::Changed { path: path.to_owned() })
    }

    fn is_known(&self, path: &str, now: &String) -> bool {
        let begun = self.ways.get(path);
        let places = begun.into_iter().flat_map(|way| [way.own.as_ref(), way.end.as_ref()]).flatten();
        places.into_iter().any(|place| place == now) || self.is_made(path, now)
    }

    /// Whether a path leads to a place only because of what this transaction has made.
    fn is_made(&self, path: &str, now: &str) -> bool {
        let own = self.begin.state_directory.trim_end_matches('/');
        let lies_in = |path: &str, directory: &str| {
            path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        lies_in(path, own)
            || self.touched.iter().any(|touch| lies_in(path, &touch.path) || lies_in(now, &touch.location))
    }
}

/// Where a path leads, the last name's link included: the place of a file that is there or could be made.
pub(crate) fn destination(objects: &impl Lookup, path: &str) -> Result<String, HostError> {
    match objects.look(path, Detail::Place) {
        LookupResult::Found { resolved, status, .. } => match status.kind {
            FileKind::Regular | FileKind::Directory if resolved == "/" => Err(unnamed(path)),
            FileKind::Regular | FileKind::Directory => readable(path, resolved),
            FileKind::Other => Err(HostError::NotAFile { path: path.to_owned() }),
        },
        LookupResult::Unsafe { step } => Err(HostError::Unsafe { path: path.to_owned(), step }),
        LookupResult::Missing => own_place(objects, path),
        LookupResult::Dangling { missing, .. } => Err(HostError::Dangling { path: path.to_owned(), missing }),
        LookupResult::Looping { .. } => Err(looping(path)),
        LookupResult::Failed { reason } => Err(HostError::Refused { path: path.to_owned(), reason }),
    }
}

/// The place of a path's own last name, whatever is there. Its directory must be there.
pub(crate) fn own_place(objects: &impl Lookup, path: &str) -> Result<String, HostError> {
    let (parent, name) = path.trim_end_matches('/').rsplit_once('/').ok_or_else(|| unnamed(path))?;
    if matches!(name, "" | "." | "..") {
        return Err(unnamed(path));
    }
    let parent = if parent.is_empty() { "/" } else { parent };
    match objects.look(parent, Detail::Place) {
        LookupResult::Found { resolved, status, .. } => match status.kind {
            FileKind::Directory => readable(path, format!("{}/{name}", resolved.trim_end_matches('/'))),
            FileKind::Regular | FileKind::Other => Err(HostError::Path {
                path: path.to_owned(),
                reason: format!("{resolved} is not a directory"),
            }),
        },
        LookupResult::Unsafe { step } => Err(HostError::Unsafe { path: path.to_owned(), step }),
        LookupResult::Missing => Err(HostError::Missing { path: parent.to_owned() }),
        LookupResult::Dangling { missing, .. } => {
            Err(HostError::Dangling { path: parent.to_owned(), missing })
        }
        LookupResult::Looping { .. } => Err(looping(path)),
        LookupResult::Failed { reason } => Err(HostError::Refused { path: path.to_owned(), reason }),
    }
}

/// A resolved path in which bytes were replaced for showing it is the path of something else.
fn readable(path: &str, resolved: String) -> Result<String, HostError> {
    if resolved.contains(char::REPLACEMENT_CHARACTER) {
        let reason = "a link on the way has a name that is not UTF-8".to_owned();
        return Err(HostError::Path { path: path.to_owned(), reason });
    }
    Ok(resolved)
}

fn unnamed(path: &str) -> HostError {
    HostError::Path { path: path.to_owned(), reason: "it does not end in a name".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that fails.
    struct Broken;

    impl Lookup for Broken {
        fn look(&self, _: &str, _: Detail) -> LookupResult {
            LookupResult::Failed { reason: "Input/output error".to_owned() }
        }
    }

    struct Empty;

    impl Lookup for Empty {
        fn look(&self, _: &str, _: Detail) -> LookupResult {
            LookupResult::Missing
        }
    }

    #[test]
    fn what_cannot_be_looked_at_does_not_count_as_a_path_that_leads_nowhere() {
        let error = Way::of(&Broken, "/a/b").unwrap_err();
        assert_eq!(error.to_string(), "/a/b: Input/output error");
        assert_eq!(Way::of(&Empty, "/a/b"), Ok(Way { own: None, end: None }));
    }
}
