//! Requests that wait on a node: a new key with the request that asks for its certificate, in a place that nothing else reads.
//!
//! What enters is a key and what its certificate should say; what leaves is the request, which is public. The key stays where it is. No other file is touched:
//! whatever a command names, only what lies directly in the directory for requests is written and removed.

use super::{Filesystem, PathChange, Transaction};
use crate::agent::fs::file_state::FileState;
use crate::protocol::error::HostError;
use crate::protocol::state_layout::REQUESTS;
use crate::types::secret::Secret;
use crate::types::storage::FileSpec;

impl Transaction {
    /// Writes a request with its key.
    pub(crate) fn write_request(
        &mut self,
        objects: &mut impl Filesystem,
        file: &FileSpec,
        content: Secret,
    ) -> Result<(), HostError> {
        let directory = self.request_directory(&file.path)?;
        objects.make_private(&directory)?;
        self.write(objects, vec![(file, content)])
    }

    /// Removes a request that is answered; one that is gone already is none.
    pub(crate) fn remove_request(
        &mut self,
        objects: &mut impl Filesystem,
        path: &str,
    ) -> Result<(), HostError> {
        self.request_directory(path)?;
        self.check_listed(path)?;
        let location = match self.destination(objects, path) {
            Ok(location) => location,
            Err(HostError::Missing { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.change(objects, vec![(PathChange::new(path, location), FileState::Absent)])
    }

    /// The directory for requests, if the path is that of a file in it.
    fn request_directory(&self, path: &str) -> Result<String, HostError> {
        let directory = format!("{}/{REQUESTS}", self.begin.state_directory.trim_end_matches('/'));
        let name = path.strip_prefix(&directory).and_then(|rest| rest.strip_prefix('/'));
        match name {
            Some(name) if !name.is_empty() && !name.starts_with('.') && !name.contains('/') => Ok(directory),
            Some(_) | None => {
                let reason = "requests are kept in their own directory and nowhere else".to_owned();
                Err(HostError::Refused { path: path.to_owned(), reason })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use jiff::Timestamp;

    use super::*;
    use crate::agent::Memory;
    use crate::protocol::command::{Begin, Reply, RequestContent, Slot, VisitId, WriteCommand};
    use crate::protocol::node::Host as _;
    use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
    use crate::types::scalars::FileMode;
    use crate::types::storage::Storage;

    const WAITS: &str = "/var/lib/pki/requests/a.pem";

    fn begun(run: &str, paths: &[&str], mut node: Memory) -> Memory {
        let begin = Begin {
            id: VisitId { run: run.to_owned(), visit: 1 },
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            state_directory: "/var/lib/pki/".to_owned(),
            keep: 2,
            note: String::new(),
            units: BTreeSet::new(),
            gates: BTreeSet::new(),
            gates_seconds: 0,
            links: Default::default(),
            leads: Default::default(),
            replace_foreign: Default::default(),
        };
        node.begin(&begin).unwrap();
        node
    }

    fn file(path: &str) -> FileSpec {
        let root = || "root".to_owned();
        FileSpec { path: path.to_owned(), user: root(), group: root(), mode: FileMode::PRIVATE }
    }

    fn write(path: &str) -> WriteCommand {
        let subject = SubjectName { common_name: "a".to_owned(), organizations: Vec::new() };
        let content = RequestContent {
            subject,
            usages: [Usage::Client].into(),
            dns: BTreeSet::new(),
            ip: BTreeSet::new(),
        };
        WriteCommand::WriteRequest { slot: slot(), request: Box::new(content), file: file(path) }
    }

    fn slot() -> Slot {
        Slot("a@cp-1".to_owned())
    }

    fn with_key(node: &mut Memory) {
        let keys = BTreeMap::from([(slot(), NewKeyAlgorithm::EcdsaP256)]);
        node.perform(WriteCommand::MakeKeys { keys }).unwrap();
    }

    #[test]
    fn a_key_waits_with_its_request_and_is_taken_from_there() {
        let mut node = begun("asking", &[WAITS], Memory::new(Timestamp::UNIX_EPOCH));
        with_key(&mut node);
        let Reply::Request(request) = node.perform(write(WAITS)).unwrap() else { panic!("no request") };
        node.commit().unwrap();
        let text = std::str::from_utf8(node.bytes(WAITS).unwrap()).unwrap();
        assert!(text.contains("PRIVATE KEY-----") && text.ends_with(&request.to_pem()), "both in one file");
        let mut node = begun("installing", &[WAITS], node);
        let storage = Storage::Combined { file: file(WAITS) };
        let taken = node.perform(WriteCommand::TakeKey { slot: slot(), storage }).unwrap();
        assert!(matches!(taken, Reply::PublicKey(key) if key == request.facts().key));
        for _twice in 0..2 {
            node.perform(WriteCommand::RemoveRequest { path: WAITS.to_owned() }).unwrap();
            assert_eq!(node.bytes(WAITS), None);
        }
        node.undo().unwrap();
        assert!(node.bytes(WAITS).is_some(), "undone, it waits again");
    }

    #[test]
    fn nothing_else_is_written_or_removed() {
        let others = [
            "/etc/kubernetes/pki/a.key",
            "/var/lib/pki/a.pem",
            "/var/lib/pki/requests",
            "/var/lib/pki/requests/",
            "/var/lib/pki/requests/../open",
            "/var/lib/pki/requests/b/a.pem",
            "/var/lib/pki/requests/.a",
            "/var/lib/pki/requests2/a.pem",
        ];
        let node = Memory::new(Timestamp::UNIX_EPOCH).file(others[0], "a key", 0o600);
        let mut node = begun("asking", &others, node);
        with_key(&mut node);
        for path in others {
            for order in [write(path), WriteCommand::RemoveRequest { path: path.to_owned() }] {
                let refused = node.perform(order).unwrap_err();
                assert!(matches!(refused, HostError::Refused { .. }), "{path}: {refused}");
            }
        }
        assert_eq!(node.bytes(others[0]), Some(b"a key".as_slice()));
        let unlisted = node.perform(write(WAITS)).unwrap_err();
        assert!(matches!(unlisted, HostError::NotListed { .. }), "{unlisted}");
    }
}
