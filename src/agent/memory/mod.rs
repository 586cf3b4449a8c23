//! A node made of values, for tests that need many nodes fast.
//!
//! What enters is paths with their content; what leaves is the facts that the same files on a real node give: the content goes
//! through the same code as [`super::Local`]'s. Only the walk is its own: links and directories are entries of a map. It touches nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::agent::fs::lookup::{Detail, Lookup, LookupResult, Payload};
use crate::agent::inspect::observe;
use crate::agent::inspect::snapshot_keys::SnapshotKeys;
use crate::agent::probe::health_checks::{Checks, Glance};
use crate::files::confined::{Listing, Status};
use crate::protocol::facts::{
    EtcdFacts, FileFacts, FileKind, Hop, KeptKey, NodeFacts, ObserveRequest, Seen, ServedBy, ServiceFacts,
};
use crate::protocol::health_check::HealthCheck;
use crate::protocol::named_files::LIST_LIMIT;
use crate::protocol::node::{Inspect, NodeError};
use crate::types::names::ServiceName;
use crate::x509::Sha256;

mod etcd;
mod failure;
mod services;
mod work;

pub use failure::Failure;
pub use services::{Port, Running};

const HOP_LIMIT: usize = 40;

/// A node in memory. Directories come to be with the files in them.
#[derive(Debug, Clone)]
pub struct Memory {
    entries: BTreeMap<String, Entry>,
    hostname: Option<String>,
    clock: Timestamp,
    unreachable: Option<String>,
    services: BTreeMap<ServiceName, ServiceFacts>,
    models: BTreeMap<ServiceName, services::Modelled>,
    etcd: Option<Seen<EtcdFacts>>,
    work: work::Work,
}

#[derive(Debug, Clone)]
struct Entry {
    object: Object,
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Timestamp,
}

#[derive(Clone)]
enum Object {
    File(Zeroizing<Vec<u8>>),
    Directory,
    Link(String),
    Fifo,
    Unreadable(String),
}

impl Memory {
    /// An empty node whose clock stands at `clock`, which is also when its files were last changed.
    pub fn new(clock: Timestamp) -> Self {
        Self {
            entries: BTreeMap::new(),
            hostname: None,
            clock,
            unreachable: None,
            services: BTreeMap::new(),
            models: BTreeMap::new(),
            etcd: None,
            work: work::Work::default(),
        }
    }

    /// Names the node.
    #[must_use]
    pub fn hostname(mut self, hostname: &str) -> Self {
        self.hostname = Some(hostname.to_owned());
        self
    }

    /// Makes the node give no answer at all.
    #[must_use]
    pub fn unreachable(mut self, reason: &str) -> Self {
        self.unreachable = Some(reason.to_owned());
        self
    }

    /// Makes a service run as these facts say.
    #[must_use]
    pub fn service(mut self, name: ServiceName, facts: ServiceFacts) -> Self {
        self.services.insert(name, facts);
        self
    }

    /// Makes the node's etcd member say this of its cluster.
    #[must_use]
    pub fn etcd(mut self, facts: Seen<EtcdFacts>) -> Self {
        self.etcd = Some(facts);
        self
    }

    /// Adds or replaces a file of root's.
    #[must_use]
    pub fn file(self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.with(path, Object::File(Zeroizing::new(bytes.into())), mode)
    }

    /// Adds or replaces a directory of root's, for its mode or because it is empty.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        self.with(path, Object::Directory, mode)
    }

    /// Adds or replaces a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.with(path, Object::Link(target.to_owned()), 0o777)
    }

    /// Adds or replaces an object that is never opened.
    #[must_use]
    pub fn fifo(self, path: &str) -> Self {
        self.with(path, Object::Fifo, 0o600)
    }

    /// Adds or replaces a file that is there and gives an error when read.
    #[must_use]
    pub fn unreadable(self, path: &str, reason: &str) -> Self {
        self.with(path, Object::Unreadable(reason.to_owned()), 0o600)
    }

    /// Gives what is at `path` to a user and a group.
    #[must_use]
    pub fn owned(mut self, path: &str, uid: u32, gid: u32) -> Self {
        if let Some(entry) = self.entries.get_mut(path) {
            (entry.uid, entry.gid) = (uid, gid);
        }
        self
    }

    /// Sets when what is at `path` was last changed.
    #[must_use]
    pub fn modified(mut self, path: &str, modified: Timestamp) -> Self {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.modified = modified;
        }
        self
    }

    /// Takes away what is at `path`, and everything below it.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.entries.retain(|key, _| key != path && !is_below(key, path));
        self
    }

    fn with(mut self, path: &str, object: Object, mode: u32) -> Self {
        self.entries.insert(path.to_owned(), Entry { object, mode, uid: 0, gid: 0, modified: self.clock });
        self
    }

    /// The entry at a resolved path; a directory that only has something below it is root's, with the usual mode.
    fn entry(&self, path: &str) -> Option<Entry> {
        if let Some(entry) = self.entries.get(path) {
            return Some(entry.clone());
        }
        let implied = path == "/" || self.entries.keys().any(|key| is_below(key, path));
        implied.then(|| Entry {
            object: Object::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            modified: self.clock,
        })
    }

    fn names(&self, path: &str) -> Listing {
        let prefix = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let below = self.entries.keys().filter_map(|key| key.strip_prefix(&prefix));
        let mut names: Vec<String> = below
            .filter_map(|rest| rest.split('/').next())
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        names.dedup();
        names.sort();
        names.dedup();
        let complete = names.len() <= LIST_LIMIT;
        names.truncate(LIST_LIMIT);
        Listing { names, complete }
    }

    /// A number that tells entries apart, as an inode does.
    fn inode(&self, path: &str) -> u64 {
        let position = self.entries.keys().position(|key| key == path).unwrap_or(self.entries.len());
        u64::try_from(position).unwrap_or(u64::MAX).saturating_add(2)
    }
}

impl Inspect for Memory {
    fn observe(&self, request: &ObserveRequest) -> Result<NodeFacts, NodeError> {
        match &self.unreachable {
            Some(reason) => Err(NodeError::Unreachable { reason: reason.clone() }),
            None => {
                let mut facts =
                    observe(self, request, self.hostname.clone(), self.clock, ServedBy::default());
                if request.state_directory.is_some() {
                    self.add_transactions(&mut facts);
                }
                let asked = |name: &ServiceName| request.live.services.contains_key(name);
                let services = self.services.iter().filter(|(name, _)| asked(name));
                let services = services.map(|(name, facts)| (name.clone(), facts.clone()));
                let models = self.models.keys().filter(|name| asked(name));
                let models = models.filter_map(|name| Some((name.clone(), self.service_facts(name)?)));
                facts.services = models.chain(services).collect();
                if let (Some(etcd), Some(_)) = (&self.etcd, &request.live.etcd) {
                    facts.etcd = etcd.clone();
                }
                Ok(facts)
            }
        }
    }
}

impl SnapshotKeys for Memory {
    fn kept_keys(
        &self,
        _: &str,
        distrusted: &BTreeSet<Sha256>,
        files: &BTreeMap<String, Seen<FileFacts>>,
    ) -> Seen<BTreeMap<Sha256, KeptKey>> {
        Seen::Present(self.keys_kept(distrusted, files))
    }
}

impl Checks for Memory {
    fn look_at(&self, gates: &BTreeSet<HealthCheck>) -> Glance {
        let failing = |gate: &HealthCheck| Some((gate.clone(), self.gate_holds(gate).err()?));
        Glance { failing: gates.iter().filter_map(failing).collect(), running: BTreeMap::new() }
    }

    fn changes_by_itself(&self) -> bool {
        false
    }
}

impl Lookup for Memory {
    fn look(&self, path: &str, want: Detail) -> LookupResult {
        if !path.starts_with('/') {
            return LookupResult::Failed { reason: format!("{path:?} is not an absolute path") };
        }
        let mut hops = Vec::new();
        let mut here: Vec<String> = Vec::new();
        let mut steps: Vec<(String, bool)> = path.rsplit('/').map(|name| (name.to_owned(), false)).collect();
        while let Some((name, from_link)) = steps.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    here.pop();
                    continue;
                }
                name => here.push(name.to_owned()),
            }
            let resolved = format!("/{}", here.join("/"));
            let Some(entry) = self.entry(&resolved) else {
                return if from_link {
                    LookupResult::Dangling { hops, missing: resolved }
                } else {
                    LookupResult::Missing
                };
            };
            match entry.object {
                Object::Directory => {}
                Object::Link(target) => {
                    if hops.len() == HOP_LIMIT {
                        return LookupResult::Looping { hops };
                    }
                    here.pop();
                    if target.starts_with('/') {
                        here.clear();
                    }
                    steps.extend(target.rsplit('/').map(|name| (name.to_owned(), true)));
                    hops.push(Hop { path: resolved, target });
                }
                Object::File(_) | Object::Fifo | Object::Unreadable(_) if !steps.is_empty() => {
                    return LookupResult::Failed { reason: format!("{resolved} is not a directory") };
                }
                Object::File(_) | Object::Fifo | Object::Unreadable(_) => break,
            }
        }
        let resolved = format!("/{}", here.join("/"));
        match self.entry(&resolved) {
            Some(entry) => self.arrive(hops, resolved, entry, want),
            None => LookupResult::Missing,
        }
    }
}

impl Memory {
    fn arrive(&self, hops: Vec<Hop>, resolved: String, entry: Entry, want: Detail) -> LookupResult {
        let (kind, size) = match &entry.object {
            Object::File(bytes) => (FileKind::Regular, bytes.len()),
            Object::Unreadable(_) => (FileKind::Regular, 1),
            Object::Directory => (FileKind::Directory, 0),
            Object::Link(_) | Object::Fifo => (FileKind::Other, 0),
        };
        let status = Status {
            kind,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            size: u64::try_from(size).unwrap_or(u64::MAX),
            modified: entry.modified,
            device: 1,
            inode: self.inode(&resolved),
        };
        let (want, limit) = (want.of(kind), want.limit());
        let payload = match (want, entry.object) {
            (Detail::Names, _) => Payload::Names(self.names(&resolved)),
            (Detail::Bytes | Detail::Copy, Object::File(bytes)) if bytes.len() > limit => {
                Payload::Failed { reason: format!("{resolved} is larger than {limit} bytes") }
            }
            (Detail::Bytes | Detail::Copy, Object::File(bytes)) => Payload::Bytes(bytes),
            (Detail::Bytes | Detail::Copy, Object::Unreadable(reason)) => {
                Payload::Failed { reason: format!("{resolved}: {reason}") }
            }
            (Detail::Place, _)
            | (Detail::Bytes | Detail::Copy, Object::Directory | Object::Link(_) | Object::Fifo) => {
                Payload::NotRead
            }
        };
        LookupResult::Found { hops, resolved, status, payload, told: None }
    }
}

/// Files may hold keys: their bytes are never shown.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(bytes) => write!(f, "File({} bytes)", bytes.len()),
            Self::Directory => f.write_str("Directory"),
            Self::Link(target) => write!(f, "Link({target:?})"),
            Self::Fifo => f.write_str("Fifo"),
            Self::Unreadable(reason) => write!(f, "Unreadable({reason:?})"),
        }
    }
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}
