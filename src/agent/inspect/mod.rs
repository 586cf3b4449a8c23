//! One request answered from one file tree, whatever the tree is made of.
//!
//! What enters is an [`ObserveRequest`] and something that can [`Lookup`] at paths; what leaves is [`NodeFacts`]. Besides what was
//! asked, the files that manifests, kubeconfigs and the kubelet's configuration name are looked at, since those decide which
//! certificates are in use. Bytes are dropped, and wiped, as soon as their facts are taken. Nothing is written.

pub(crate) mod content;
pub(crate) mod snapshot_keys;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::agent::fs::accounts::Accounts;
use crate::agent::fs::lookup::{Detail, Lookup, LookupResult, Payload};
use crate::agent::inspect::snapshot_keys::SnapshotKeys;
use crate::files::confined::{Listing, Status};
use crate::formats::etcd_configuration::EtcdConfiguration;
use crate::formats::manifest;
use crate::protocol::facts::{
    Content, Expect, FileFacts, NodeFacts, ObserveRequest, Seen, ServedBy, UnsafeStep, not_looked,
};
use crate::protocol::named_files::{NAMED_LIMIT, named_files};
use crate::protocol::state_layout::{LAST, OPEN};

/// Answers a request. Without a `hostname` the tree's `/etc/hostname` says it.
pub(super) fn observe(
    tree: &impl SnapshotKeys,
    request: &ObserveRequest,
    hostname: Option<String>,
    clock: Timestamp,
    served_by: ServedBy,
) -> NodeFacts {
    let accounts = Accounts::read(tree);
    let mut files = BTreeMap::new();
    let mut unsafe_steps = BTreeMap::new();
    let mut named_by: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut waiting: VecDeque<(String, Expect)> =
        request.files.iter().map(|(path, expect)| (path.clone(), *expect)).collect();
    while let Some((path, expect)) = waiting.pop_front() {
        if files.contains_key(&path) {
            continue;
        }
        let (seen, step) = see(tree, &accounts, &path, expect);
        if let Some(step) = step {
            unsafe_steps.insert(path.clone(), step.with_names(|uid| accounts.user(uid)));
        }
        if let Seen::Present(facts) = &seen {
            let mut named = vec![(path.clone(), named_files(&path, expect, &facts.content))];
            if let Content::EtcdConfiguration(configuration) = &facts.content {
                named.extend(configured(&mut files, &path, configuration));
            }
            for (by, (named, expect)) in
                named.into_iter().flat_map(|(by, named)| named.into_iter().map(move |one| (by.clone(), one)))
            {
                if request.files.contains_key(&named) {
                    continue;
                }
                if named_by.len() == NAMED_LIMIT && !named_by.contains_key(&named) {
                    // So many are said not to be known; whoever asks takes no more.
                    if files.len() < 2 * NAMED_LIMIT {
                        let reason = format!("the files of this node name more than {NAMED_LIMIT} paths");
                        files.insert(named, Seen::Unknown { reason });
                    }
                    continue;
                }
                named_by.entry(named.clone()).or_default().insert(by);
                waiting.push_back((named, expect));
            }
        }
        files.insert(path, seen);
    }
    let hostname = hostname.or_else(|| first_line(tree, "/etc/hostname"));
    let (open_transaction, last_transaction) = match &request.state_directory {
        Some(directory) => (record(tree, directory, OPEN), record(tree, directory, LAST)),
        None => (not_looked(), not_looked()),
    };
    if let Some(directory) = &request.state_directory
        && let LookupResult::Unsafe { step } = tree.look(directory, Detail::Place)
    {
        let step = step.with_names(|uid| accounts.user(uid));
        unsafe_steps.insert(directory.trim_end_matches('/').to_owned(), step);
    }
    let mut facts = NodeFacts {
        hostname,
        clock,
        served_by,
        kubernetes_version: None,
        files,
        unsafe_steps,
        named_by,
        open_transaction,
        last_transaction,
        consumers: Vec::new(),
        kept_keys: not_looked(),
        services: BTreeMap::new(),
        etcd: not_looked(),
    };
    if let (Some(directory), false) = (&request.state_directory, request.distrusted.is_empty()) {
        facts.kept_keys = tree.kept_keys(directory, &request.distrusted, &facts.files);
    }
    facts.kubernetes_version = manifest::kubernetes_version(facts.manifests().map(|(_, manifest)| manifest));
    facts
}

/// Gives what etcd's configuration file at `path` says to the containers that are configured by it, and tells the files that their manifests name now.
fn configured(
    files: &mut BTreeMap<String, Seen<FileFacts>>,
    path: &str,
    configuration: &EtcdConfiguration,
) -> Vec<(String, Vec<(String, Expect)>)> {
    let mut named = Vec::new();
    if configuration.problem.is_some() {
        return named;
    }
    for (manifest, seen) in files {
        let Seen::Present(file) = seen else { continue };
        let Content::Manifest(pod) = &mut file.content else { continue };
        let mut of_file =
            pod.containers.iter_mut().filter(|container| container.is_configured_by(path)).peekable();
        if of_file.peek().is_some() {
            of_file.for_each(|container| container.configure(&configuration.flags));
            named.push((manifest.clone(), named_files(manifest, Expect::Manifest, &file.content)));
        }
    }
    named
}

/// Reads one of the small files that tell of transactions.
fn record<T: DeserializeOwned>(tree: &impl Lookup, directory: &str, name: &str) -> Seen<T> {
    let path = format!("{}/{name}", directory.trim_end_matches('/'));
    match tree.look(&path, Detail::Bytes) {
        LookupResult::Found { payload: Payload::Bytes(bytes), .. } => match serde_json::from_slice(&bytes) {
            Ok(read) => Seen::Present(read),
            Err(_) => Seen::Unknown { reason: format!("{path} cannot be understood") },
        },
        LookupResult::Found { payload: Payload::Failed { reason }, .. } | LookupResult::Failed { reason } => {
            Seen::Unknown { reason }
        }
        LookupResult::Found { payload: Payload::NotRead | Payload::Names(_), .. } => {
            Seen::Unknown { reason: format!("{path} is not a regular file") }
        }
        LookupResult::Unsafe { step } => Seen::Unknown { reason: step.to_string() },
        LookupResult::Missing => Seen::Absent,
        LookupResult::Dangling { hops, missing } => Seen::Dangling { hops, missing },
        LookupResult::Looping { hops } => Seen::Looping { hops },
    }
}

/// What is at a path, and the step on the way there that is not to be relied on.
fn see(
    tree: &impl Lookup,
    accounts: &Accounts,
    path: &str,
    expect: Expect,
) -> (Seen<FileFacts>, Option<UnsafeStep>) {
    let want = match expect {
        Expect::Link => Detail::Place,
        Expect::Directory | Expect::StaticPods => Detail::Names,
        Expect::Certificates
        | Expect::PrivateKey
        | Expect::Pair
        | Expect::PublicKey
        | Expect::Kubeconfig
        | Expect::Manifest
        | Expect::KubeletConfiguration
        | Expect::EtcdConfiguration
        | Expect::Text => Detail::Bytes,
    };
    let (hops, resolved, status, payload, told) = match tree.look(path, want) {
        LookupResult::Found { hops, resolved, status, payload, told } => {
            (hops, resolved, status, payload, told)
        }
        LookupResult::Unsafe { step } => {
            let step = step.with_names(|uid| accounts.user(uid));
            return (Seen::Unknown { reason: step.to_string() }, Some(step));
        }
        LookupResult::Missing => return (Seen::Absent, None),
        LookupResult::Dangling { hops, missing } => return (Seen::Dangling { hops, missing }, None),
        LookupResult::Looping { hops } => return (Seen::Looping { hops }, None),
        LookupResult::Failed { reason } => return (Seen::Unknown { reason }, None),
    };
    let (content, sha256) = match payload {
        Payload::NotRead => (Content::NotRead, None),
        Payload::Bytes(bytes) => content::classify(&bytes, expect),
        Payload::Names(Listing { names, complete }) => {
            (Content::Directory { entries: names, complete }, None)
        }
        Payload::Failed { reason } => (Content::Unreadable { reason }, None),
    };
    let Status { kind, mode, uid, gid, size, modified, device, inode } = status;
    let owner = accounts.user(uid);
    let group = accounts.group(gid);
    let seen = Seen::Present(FileFacts {
        kind,
        hops,
        resolved,
        mode,
        uid,
        gid,
        owner,
        group,
        size,
        modified,
        device,
        inode,
        sha256,
        content,
    });
    (seen, told.map(|step| *step))
}

fn first_line(tree: &impl Lookup, path: &str) -> Option<String> {
    let text = text(tree, path)?;
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

fn text(tree: &impl Lookup, path: &str) -> Option<String> {
    match tree.look(path, Detail::Bytes) {
        LookupResult::Found { payload: Payload::Bytes(bytes), .. } => {
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
        LookupResult::Found {
            payload: Payload::NotRead | Payload::Names(_) | Payload::Failed { .. },
            ..
        }
        | LookupResult::Unsafe { .. }
        | LookupResult::Missing
        | LookupResult::Dangling { .. }
        | LookupResult::Looping { .. }
        | LookupResult::Failed { .. } => None,
    }
}
