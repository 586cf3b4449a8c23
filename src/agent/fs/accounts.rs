//! Names and numbers of users and groups, as a node's own files say.
//!
//! What enters is the node's `/etc/passwd` and `/etc/group`, read inside its root; what leaves is the name of a number and the number of a name. Other
//! sources of names (LDAP, systemd's dynamic users) are not asked.

use std::collections::BTreeMap;

use crate::agent::fs::lookup::{Detail, Lookup, LookupResult, Payload};
use crate::protocol::error::HostError;
use crate::protocol::facts::ServedBy;

/// The users and groups of a node.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    users: Names,
    groups: Names,
}

/// Both ways. Of two names for one number, and of two lines for one name, the first counts (glibc `getpwuid`, `getpwnam`).
#[derive(Debug, Default)]
struct Names {
    by_number: BTreeMap<u32, String>,
    by_name: BTreeMap<String, u32>,
    /// Why the file could not be read: then a name that is not known may be in it all the same.
    unread: Option<HostError>,
}

impl Accounts {
    pub(crate) fn read(tree: &impl Lookup) -> Self {
        Self { users: Names::read(tree, "/etc/passwd"), groups: Names::read(tree, "/etc/group") }
    }

    pub(crate) fn user(&self, number: u32) -> Option<String> {
        self.users.by_number.get(&number).cloned()
    }

    pub(crate) fn group(&self, number: u32) -> Option<String> {
        self.groups.by_number.get(&number).cloned()
    }

    /// The numbers of a user and a group, each given by name or by number. `root` is 0 also on a node whose files do not say so.
    pub(crate) fn numbers(&self, user: &str, group: &str) -> Result<(u32, u32), HostError> {
        Ok((self.users.number("user", user)?, self.groups.number("group", group)?))
    }
}

impl Names {
    /// Both files start `name:password:number`.
    fn read(tree: &impl Lookup, path: &str) -> Self {
        let mut names = Self::default();
        let bytes = match tree.look(path, Detail::Bytes) {
            LookupResult::Found { payload: Payload::Bytes(bytes), .. } => bytes,
            LookupResult::Found { payload: Payload::Failed { reason }, .. }
            | LookupResult::Failed { reason } => {
                names.unread = Some(HostError::Path { path: path.to_owned(), reason });
                return names;
            }
            LookupResult::Found { payload: Payload::NotRead | Payload::Names(_), .. }
            | LookupResult::Unsafe { .. }
            | LookupResult::Missing
            | LookupResult::Dangling { .. }
            | LookupResult::Looping { .. } => return names,
        };
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut fields = line.split(':');
            let (name, number) = (fields.next(), fields.nth(1).and_then(|number| number.parse().ok()));
            if let (Some(name), Some(number)) = (name, number) {
                names.by_number.entry(number).or_insert_with(|| name.to_owned());
                names.by_name.entry(name.to_owned()).or_insert(number);
            }
        }
        names
    }

    fn number(&self, kind: &'static str, name: &str) -> Result<u32, HostError> {
        let known = self.by_name.get(name).copied();
        let known = known.or_else(|| name.parse().ok().filter(|number| *number != u32::MAX));
        known.or_else(|| (name == "root").then_some(0)).ok_or_else(|| match &self.unread {
            Some(error) => error.clone(),
            None => HostError::UnknownAccount { kind: kind.into(), name: name.to_owned() },
        })
    }
}

/// Who serves this machine's nodes.
pub(crate) fn served_by() -> ServedBy {
    ServedBy { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw() }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::agent::Memory;

    #[test]
    fn names_are_those_of_the_node_and_a_number_needs_none() {
        let node = Memory::new(Timestamp::UNIX_EPOCH)
            .file("/etc/passwd", "etcd:x:52034:52034::/:/sbin/nologin\netcd:x:7:7::/:/\n", 0o644)
            .file("/etc/group", "kube-cert:x:998:etcd\n", 0o644);
        let accounts = Accounts::read(&node);
        assert_eq!(accounts.numbers("etcd", "kube-cert"), Ok((52034, 998)));
        assert_eq!(accounts.numbers("root", "root"), Ok((0, 0)));
        assert_eq!(accounts.numbers("1001", "1002"), Ok((1001, 1002)));
        let unknown = |kind: &'static str, name: &str| {
            Err(HostError::UnknownAccount { kind: kind.into(), name: name.to_owned() })
        };
        assert_eq!(accounts.numbers("etdc", "root"), unknown("user", "etdc"));
        assert_eq!(accounts.numbers("root", "kube"), unknown("group", "kube"));
        assert_eq!(accounts.numbers("4294967295", "root"), unknown("user", "4294967295"));
        let accounts = Accounts::read(&node.unreadable("/etc/group", "Input/output error"));
        assert_eq!(accounts.numbers("root", "root"), Ok((0, 0)));
        let error = accounts.numbers("root", "kube-cert").unwrap_err().to_string();
        assert!(error.contains("/etc/group") && error.contains("Input/output error"), "{error}");
    }
}
